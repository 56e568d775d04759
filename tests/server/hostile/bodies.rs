//! Bodies that begin and do not end.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::bystanders::Bystanders;
use crate::support::http::connect_from;
use crate::support::{TestServer, eventually};

/// The largest that is allowed, by default.
const LARGE: usize = 1_000_000;

/// Who sends bodies, by the last number of its address.
#[derive(Clone, Copy)]
struct Stranger<'a> {
    server: &'a TestServer,
    number: u8,
}

impl Stranger<'_> {
    fn connect(self) -> TcpStream {
        connect_from(self.number, self.server.port())
    }

    /// Begins a session that polls; its sid, unless there is no seat.
    fn open(self) -> Option<String> {
        let mut stream = self.connect();
        stream
            .write_all(b"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .expect("the server reads");
        let answer = answer_of(stream);
        let (_, rest) = answer.split_once(r#""sid":""#)?;
        Some(rest.split('"').next().expect("a sid has an end").to_owned())
    }

    /// Begins a POST of `declared` bytes and sends `sent` of them. The server may answer before it
    /// has them all.
    fn post(self, sid: &str, declared: usize, sent: usize) -> TcpStream {
        let mut stream = self.connect();
        let head = format!(
            "POST /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
             content-length: {declared}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("the server reads");
        let _ = stream.write_all(&body(declared)[..sent]);
        stream
    }

    /// Begins a poll and goes away, which ends the session.
    fn hang_up(self, sid: &str) {
        let head = format!(
            "GET /socket.io/?EIO=4&transport=polling&sid={sid} HTTP/1.1\r\nhost: x\r\n\r\n"
        );
        self.connect()
            .write_all(head.as_bytes())
            .expect("the server reads");
    }
}

/// Packets of nothing but signs of life, as many bytes as asked for.
fn body(bytes: usize) -> Vec<u8> {
    (0..bytes)
        .map(|at| if at % 2 == 0 { b'6' } else { 0x1e })
        .collect()
}

fn answer_of(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A server that turns a body away may reset the connection after its answer.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn bodies_end_with_the_session_that_sends_them() {
    let server = TestServer::start(&[]);
    let stranger = Stranger {
        server: &server,
        number: 2,
    };
    let sid = stranger.open().expect("there is room");
    let posting = stranger.post(&sid, LARGE, 10);
    stranger.hang_up(&sid);
    let answer = answer_of(posting);
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("Session ID unknown"),
        "{answer}"
    );
}

#[test]
fn a_body_that_does_not_come_ends_its_session() {
    let server = TestServer::start(&[]);
    let stranger = Stranger {
        server: &server,
        number: 2,
    };
    let sid = stranger.open().expect("there is room");
    let answer = answer_of(stranger.post(&sid, 101, 10));
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.contains("Bad request"),
        "{answer}"
    );
    let answer = answer_of(stranger.post(&sid, 1, 1));
    assert!(answer.contains("Session ID unknown"), "{answer}");
}

#[test]
fn large_bodies_of_one_address_share_a_budget_and_others_do_not_notice() {
    let server = TestServer::start(&[]);
    let (stranger, other) = (
        Stranger {
            server: &server,
            number: 2,
        },
        Stranger {
            server: &server,
            number: 3,
        },
    );
    let mut bystanders = Bystanders::meet(&server, &server.user("alice"));
    let open = || stranger.open().expect("there is room");
    // One after the other, until one finds no room. What is held comes without its last byte.
    let (mut held, mut refused) = (Vec::new(), String::new());
    eventually("a large body finds no room", || {
        held.push(stranger.post(&open(), LARGE, LARGE - 1));
        let sid = open();
        refused = answer_of(stranger.post(&sid, LARGE - 1, LARGE - 1));
        (!refused.starts_with("HTTP/1.1 200 ")).then_some(())
    });
    assert!(
        refused.starts_with("HTTP/1.1 503 ") && refused.contains("retry-after: "),
        "{refused}"
    );
    assert!(held.len() <= 4, "{}", held.len());
    bystanders.assert_unharmed(&server, "large bodies");
    let answer = answer_of(stranger.post(&open(), 1_001, 1_001));
    assert!(
        answer.starts_with("HTTP/1.1 200 "),
        "a command of the same address: {answer}"
    );
    let sid = other.open().expect("there is room");
    let answer = answer_of(other.post(&sid, LARGE - 1, LARGE - 1));
    assert!(
        answer.starts_with("HTTP/1.1 200 "),
        "a large body of another address: {answer}"
    );
    drop(held);
    eventually("there is room again", || {
        answer_of(stranger.post(&open(), LARGE - 1, LARGE - 1))
            .starts_with("HTTP/1.1 200 ")
            .then_some(())
    });
}

#[test]
fn bodies_whose_sessions_are_hung_up_fill_no_memory() {
    let server = TestServer::start(&[("LIVEROOM__LIMITS__CONNECTIONS_PER_ADDRESS", "40")]);
    let stranger = Stranger {
        server: &server,
        number: 2,
    };
    let mut bystanders = Bystanders::meet(&server, &server.user("alice"));
    let before = server.memory_kib();
    let mut posting = Vec::new();
    for round in 0..100 {
        let sid = eventually("a seat is free again", || stranger.open());
        posting.push(stranger.post(&sid, LARGE, LARGE - 1));
        stranger.hang_up(&sid);
        if round % 10 == 0 {
            bystanders.assert_unharmed(&server, "bodies of sessions that ended");
        }
        // As much as twice the address's budget, and what the rest of it costs.
        let grown = server.memory_kib().saturating_sub(before);
        assert!(
            grown < 32 * 1_024,
            "{grown} KiB for {} bodies",
            posting.len()
        );
    }
    for posting in posting {
        let answer = answer_of(posting);
        assert!(!answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    bystanders.assert_unharmed(&server, "bodies that were turned away");
}
