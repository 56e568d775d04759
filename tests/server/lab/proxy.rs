//! A server that breaks one promise: the real one behind a proxy that spoils what it says on `/ws`.
//!
//! HTTP and the clients' side pass untouched. Frames of the server are taken apart, and one or more
//! of them suffer the fault.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    /// Two comments change places for one member.
    Reorder,
    /// One member does not get one comment.
    Drop,
    /// One member does not get one gift.
    DropGift,
    /// One member gets one comment twice.
    Repeat,
    /// Presence tells everybody of one user too many.
    Miscount,
    /// Gifts tell another total for the live than their prices make.
    WrongPrice,
    /// A member gets a comment of a room it is not in.
    Leak,
    /// One comment is accepted, but its sender is not told.
    DropAnswer,
    /// One comment is announced, but its sender is told that it is not.
    FalseReceipt,
    /// One comment is announced, but its sender is answered that it is muted.
    FalseRefusal,
    /// One comment is announced, but its sender is answered that it is held.
    FalseHold,
    /// No user is notified of its mute.
    DropMuted,
    /// No user is notified of its ban.
    DropKicked,
    /// A member that comes back receives comments that were taken down.
    Resurrect,
    /// No removal of a comment is delivered.
    DropRemoved,
}

pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server_port: u16,
    fault: Fault,
    has_struck: AtomicBool,
    /// Frames seen of the kind the fault is about: a few pass first, so that the run is under way.
    seen: AtomicUsize,
    /// Comments by their offsets, for [`Fault::Resurrect`].
    comments: Mutex<HashMap<String, Vec<u8>>>,
    /// A comment of some room, for [`Fault::Leak`].
    leak: Mutex<Option<Leak>>,
}

struct Leak {
    live_id: String,
    frame: Vec<u8>,
}

/// Frames of a kind that pass before the fault strikes.
const SPARED: usize = 5;

impl Proxy {
    pub fn start(server_port: u16, fault: Fault) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener
            .local_addr()
            .expect("a bound socket has an address")
            .port();
        let shared = Arc::new(Shared {
            server_port,
            fault,
            has_struck: AtomicBool::new(false),
            seen: AtomicUsize::new(0),
            comments: Mutex::new(HashMap::new()),
            leak: Mutex::new(None),
        });
        let accepting = Arc::clone(&shared);
        // Ends with the test's process, as the connections' threads do.
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&accepting);
                thread::spawn(move || shared.serve(client));
            }
        });
        Self { port, shared }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn has_struck(&self) -> bool {
        self.shared.has_struck.load(Ordering::SeqCst)
    }
}

impl Shared {
    /// Carries one connection both ways. Whatever fails ends it, for both.
    fn serve(&self, mut client: TcpStream) {
        let Ok(mut server) = TcpStream::connect((Ipv4Addr::LOCALHOST, self.server_port)) else {
            return;
        };
        let (Ok(mut from_client), Ok(mut to_server)) = (client.try_clone(), server.try_clone())
        else {
            return;
        };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        thread::spawn(move || {
            let _ = std::io::copy(&mut from_client, &mut to_server);
            let _ = to_server.shutdown(Shutdown::Write);
        });
        let _ = self.carry(&mut server, &mut client);
        let _ = client.shutdown(Shutdown::Both);
        let _ = server.shutdown(Shutdown::Both);
    }

    fn carry(&self, server: &mut TcpStream, client: &mut TcpStream) -> std::io::Result<()> {
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            server.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        client.write_all(&head)?;
        if !head.starts_with(b"HTTP/1.1 101") {
            std::io::copy(server, client)?;
            return Ok(());
        }
        let mut held = None;
        loop {
            let (frame, text) = read_frame(server)?;
            for frame in self.spoil(frame, &text, &mut held) {
                client.write_all(&frame)?;
            }
        }
    }

    /// What the client gets in place of `frame`.
    fn spoil(&self, frame: Vec<u8>, text: &str, held: &mut Option<Vec<u8>>) -> Vec<Vec<u8>> {
        let is_comment = text.starts_with("{\"event\":\"comment\"");
        let is_gift = text.starts_with("{\"event\":\"gift\"");
        match self.fault {
            Fault::Reorder if is_comment => match held.take() {
                Some(earlier) => vec![frame, earlier],
                None if self.strikes() => {
                    *held = Some(frame);
                    Vec::new()
                }
                None => vec![frame],
            },
            Fault::Drop if is_comment && self.strikes() => Vec::new(),
            Fault::DropGift if is_gift && self.strikes() => Vec::new(),
            Fault::Repeat if is_comment && self.strikes() => vec![frame.clone(), frame],
            Fault::DropAnswer if text.contains("\"comment_id\"") && self.strikes() => Vec::new(),
            Fault::FalseReceipt if text.contains("\"delivered\"") && self.strikes() => {
                vec![text_frame(&text.replace("delivered", "sampled_out"))]
            }
            Fault::FalseRefusal if text.contains("\"delivered\"") && self.strikes() => {
                let id = number_after(text, "\"id\":");
                let refusal = format!(r#"{{"id":{id},"ok":false,"code":"muted","message":"m"}}"#);
                vec![text_frame(&refusal)]
            }
            Fault::FalseHold if text.contains("\"delivered\"") && self.strikes() => {
                vec![text_frame(&text.replace("delivered", "held"))]
            }
            Fault::DropMuted if text.starts_with("{\"event\":\"muted\"") => self.swallow(),
            Fault::DropKicked if text.starts_with("{\"event\":\"kicked\"") => self.swallow(),
            Fault::DropRemoved if text.starts_with("{\"event\":\"removed\"") => self.swallow(),
            Fault::Resurrect => vec![self.resurrect(frame, text)],
            Fault::Miscount if text.starts_with("{\"event\":\"online\"") => {
                self.has_struck.store(true, Ordering::SeqCst);
                vec![replace_number(text, "\"count\":", 1)]
            }
            Fault::WrongPrice if is_gift => {
                self.has_struck.store(true, Ordering::SeqCst);
                vec![replace_number(text, "\"gift_coin\":", 1)]
            }
            Fault::Leak if is_comment => self.leak(frame, text),
            _ => vec![frame],
        }
    }

    fn swallow(&self) -> Vec<Vec<u8>> {
        self.has_struck.store(true, Ordering::SeqCst);
        Vec::new()
    }

    /// The comment that had its place where its removal is now.
    fn resurrect(&self, frame: Vec<u8>, text: &str) -> Vec<u8> {
        let place = number_after(text, "\"offset\":");
        let mut comments = self.comments.lock().unwrap_or_else(PoisonError::into_inner);
        if text.starts_with("{\"event\":\"comment\"") {
            comments.insert(place, frame.clone());
            return frame;
        }
        match comments.get(&place) {
            Some(comment) if text.starts_with("{\"event\":\"removed\"") => {
                self.has_struck.store(true, Ordering::SeqCst);
                comment.clone()
            }
            _ => frame,
        }
    }

    /// Once, after a few.
    fn strikes(&self) -> bool {
        self.seen.fetch_add(1, Ordering::SeqCst) >= SPARED
            && !self.has_struck.swap(true, Ordering::SeqCst)
    }

    /// Keeps the first comment, and gives it to the first member that hears one of another room.
    fn leak(&self, frame: Vec<u8>, text: &str) -> Vec<Vec<u8>> {
        let live_id = number_after(text, "\"live_id\":");
        let mut leak = self.leak.lock().unwrap_or_else(PoisonError::into_inner);
        match &*leak {
            None => {
                *leak = Some(Leak {
                    live_id,
                    frame: frame.clone(),
                });
                vec![frame]
            }
            Some(kept)
                if kept.live_id != live_id && !self.has_struck.swap(true, Ordering::SeqCst) =>
            {
                vec![frame, kept.frame.clone()]
            }
            Some(_) => vec![frame],
        }
    }
}

/// One frame of the server: as it came, and its text.
fn read_frame(server: &mut TcpStream) -> std::io::Result<(Vec<u8>, String)> {
    let mut frame = vec![0; 2];
    server.read_exact(&mut frame)?;
    let more = match frame[1] {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let mut length = vec![0; more];
    server.read_exact(&mut length)?;
    let bytes = match more {
        0 => usize::from(frame[1]),
        _ => length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte)),
    };
    let mut payload = vec![0; bytes];
    server.read_exact(&mut payload)?;
    let text = if frame[0] == 0x81 {
        String::from_utf8_lossy(&payload).into_owned()
    } else {
        String::new()
    };
    frame.extend(length);
    frame.extend(payload);
    Ok((frame, text))
}

fn after<'a>(text: &'a str, key: &str) -> &'a str {
    text.rfind(key).map_or("", |at| &text[at + key.len()..])
}

/// The digits behind the last `key`.
fn number_after(text: &str, key: &str) -> String {
    let digits = after(text, key).chars().take_while(char::is_ascii_digit);
    digits.collect()
}

/// A text frame with `add` added to the number behind `key`.
fn replace_number(text: &str, key: &str, add: u64) -> Vec<u8> {
    let rest = after(text, key);
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let number = digits.parse::<u64>().unwrap_or_default() + add;
    let before = &text[..text.len() - rest.len()];
    text_frame(&format!("{before}{number}{}", &rest[digits.len()..]))
}

fn text_frame(text: &str) -> Vec<u8> {
    let mut frame = vec![0x81];
    match text.len() {
        short @ 0..=125 => frame.push(short as u8),
        medium @ 126..=0xffff => {
            frame.push(126);
            frame.extend((medium as u16).to_be_bytes());
        }
        long => {
            frame.push(127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(text.as_bytes());
    frame
}
