//! How fast the lab itself receives: a bare writer of comment frames against the whole driver, with
//! every check that a real run has. A lab that is slower than what it judges would judge itself.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::accounts::Account;
use crate::client::frames;
use crate::driver::{Driver, Errands};
use crate::http::Base;
use crate::progress::Progress;
use crate::script::Script;
use crate::setup::{RoomSite, Setup};

/// Events in one write to one socket, as a saturated server coalesces them.
const EVENTS_PER_WRITE: u64 = 50;

/// Whole frames are of this size.
const FRAME_BYTES: usize = 150;

/// The rate at which one core receives and verifies.
pub struct Received {
    /// The median second.
    pub frames_per_s: f64,
    pub frames_per_cpu_s: f64,
    pub frame_bytes: usize,
}

/// Members come in at this pace, which the writer admits one by one.
const ADMITTED_PER_S: f64 = 1_000.0;

/// Receives on `sockets` connections for about `seconds` once everybody is in.
pub fn measure(sockets: usize, seconds: f64) -> Result<Received, Box<dyn Error>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let base = Base::parse(&format!("http://{}", listener.local_addr()?))?;
    let ramp_s = sockets as f64 / ADMITTED_PER_S;
    let script = Script::parse(&format!(
        "[script]\nname = \"receive\"\nduration = \"{:.3}s\"\nsettle = \"0s\"\n\
         [[room]]\nname = \"room\"\nmembers = {{ plain = {sockets} }}\nusers = 1\nramp = \"{ramp_s:.3}s\"\n",
        ramp_s + 1.0 + seconds
    ))?;
    let setup = Setup {
        base,
        version: None,
        admin_token: None,
        rooms: vec![RoomSite {
            plan: 0,
            name: "room".to_owned(),
            live_id: 1,
        }],
        users: vec![Account::default()],
        owner: Account::default(),
        gifts: Vec::new(),
        run_id: String::new(),
    };
    let writer = thread::spawn(move || write_events(&listener, sockets));
    let errands = Errands {
        asked: mpsc::channel().0,
        done: mpsc::channel().1,
    };
    let mut driver = Driver::new(&script, &setup, 0, errands, Progress::new(true))?;
    let cpu_before = thread_cpu();
    driver.run()?;
    let cpu_s = (thread_cpu() - cpu_before).as_secs_f64();
    let frames = driver.stats.deliveries;
    let busy = driver
        .stats
        .series
        .iter()
        .map(|point| point.deliveries_per_s)
        .filter(|rate| *rate > 0.0);
    // The first busy second is a part of one.
    let mut rates: Vec<f64> = busy.skip(1).collect();
    rates.sort_by(f64::total_cmp);
    let frames_per_s = rates.get(rates.len() / 2).copied().unwrap_or_default();
    // Closing the sockets ends the writer.
    drop(driver);
    match writer.join() {
        Ok(Err(error)) if !is_hang_up(&error) => Err(error.into()),
        Ok(_) => Ok(Received {
            frames_per_s,
            frames_per_cpu_s: frames as f64 / cpu_s,
            frame_bytes: FRAME_BYTES,
        }),
        Err(_) => Err("the writer died".into()),
    }
}

fn thread_cpu() -> Duration {
    let used = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(used.tv_sec as u64, used.tv_nsec as u32)
}

fn is_hang_up(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
    )
}

/// Lets everybody in and then writes events to all until they hang up.
fn write_events(listener: &TcpListener, sockets: usize) -> io::Result<()> {
    let mut members = (0..sockets)
        .map(|_| admit(listener))
        .collect::<io::Result<Vec<TcpStream>>>()?;
    let mut offset = 0;
    loop {
        let mut block = Vec::new();
        for _ in 0..EVENTS_PER_WRITE {
            offset += 1;
            frames::push_unmasked(&mut block, frames::TEXT, &event(offset));
        }
        members
            .iter_mut()
            .try_for_each(|member| member.write_all(&block))?;
    }
}

/// A comment as the server would send it.
fn event(offset: u64) -> Vec<u8> {
    let head = r#"{"event":"comment","data":{"user":{"id":1,"name":"n","avatar":null},"content":""#;
    let tail = format!(r#"","id":"1","at":1,"live_id":1,"epoch":"e","offset":{offset}}}}}"#);
    // Two bytes, or four above 125, are the frame's own.
    let filler = (FRAME_BYTES - 4).saturating_sub(head.len() + tail.len());
    format!("{head}{}{tail}", "x".repeat(filler)).into_bytes()
}

/// Accepts one member: the handshake, and the answer to its join.
fn admit(listener: &TcpListener) -> io::Result<TcpStream> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut byte = [0];
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    stream.write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")?;
    let mut frame_head = [0; 6];
    stream.read_exact(&mut frame_head)?;
    let mut text = vec![0; usize::from(frame_head[1] & 0x7f)];
    stream.read_exact(&mut text)?;
    text.iter_mut()
        .zip(frame_head[2..].iter().cycle())
        .for_each(|(byte, key)| *byte ^= key);
    let text = String::from_utf8_lossy(&text).into_owned();
    let number: String = text
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect();
    let answer = format!(r#"{{"id":{number},"ok":true,"epoch":"e","offset":0,"count":1}}"#);
    let mut frame = Vec::new();
    frames::push_unmasked(&mut frame, frames::TEXT, answer.as_bytes());
    stream.write_all(&frame)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_of_the_size_they_are_said_to_be() {
        for offset in [1, 999_999, 123_456_789] {
            let mut frame = Vec::new();
            frames::push_unmasked(&mut frame, frames::TEXT, &event(offset));
            assert_eq!(frame.len(), FRAME_BYTES);
        }
    }

    #[test]
    fn the_lab_receives_what_a_bare_writer_writes() {
        let received = measure(5, 0.5).unwrap();
        assert!(received.frames_per_s > 0.0 && received.frames_per_cpu_s > 0.0);
    }
}
