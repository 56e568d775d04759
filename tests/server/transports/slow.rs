//! Peers that do not read, or vanish.

use std::io::{ErrorKind, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{Eio, Poller, RawSocket, frame};
use crate::support::{TestServer, Ws, eventually};

/// Resident memory of the server, in KiB.
fn resident_kib(server: &TestServer) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()))
        .expect("a process has a status");
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .expect("memory is told");
    line.split_whitespace()
        .nth(1)
        .and_then(|kib| kib.parse().ok())
        .expect("a number")
}

/// A peer whose kernel takes little for it, so that the server meets its limit soon.
fn small_stream(port: u16) -> TcpStream {
    let socket =
        socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
    socket
        .set_recv_buffer_size(4_096)
        .expect("an option can be set");
    socket
        .connect(&SocketAddr::from(([127, 0, 0, 1], port)).into())
        .expect("the server accepts");
    socket.into()
}

#[test]
fn a_reader_that_stopped_is_cut_and_nobody_else_notices() {
    let server = TestServer::start(&[
        ("LIVEROOM__OUTBOX__SLOW_AFTER_MS", "1000"),
        ("LIVEROOM__LIMITS__COMMENT_CHARS", "4000"),
        ("LIVEROOM__LIMITS__COMMAND_BYTES", "65536"),
        ("LIVEROOM__LIMITS__COMMAND_BURST", "1000000"),
        ("LIVEROOM__LIMITS__COMMANDS_PER_S", "1000000"),
    ]);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    let mut streamer = Ws::connect(&server, &alice);
    streamer.join(live_id);
    let stopped: Vec<RawSocket> = (0..20)
        .map(|_| {
            let mut socket = RawSocket::over(
                small_stream(server.port()),
                &format!("/ws?token={}", alice.token),
            );
            socket
                .send_text(&json!({"event": "joinLive", "data": {"live_id": live_id}}).to_string());
            socket
        })
        .collect();
    let before = resident_kib(&server);
    let text = "x".repeat(4_000);
    let mut slowest = Duration::ZERO;
    let members = || server.admin_get(&format!("/admin/rooms/{live_id}")).text();
    let began = Instant::now();
    let mut sent = 0;
    while members().matches("socket_id").count() > 1 || sent < 2_000 {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "stopped readers stay: {}",
            members()
        );
        for _ in 0..50 {
            let asked = Instant::now();
            let said = streamer.ask("comment", json!({"live_id": live_id, "data": text}));
            assert_eq!(said["ok"], json!(true), "{said}");
            slowest = slowest.max(asked.elapsed());
            sent += 1;
        }
    }
    let grown = resident_kib(&server).saturating_sub(before);
    // Twenty outboxes of 256 KiB each, the room's history, and what the allocator keeps.
    assert!(
        grown < 40 << 10,
        "grew by {grown} KiB for {} stopped readers",
        stopped.len()
    );
    assert!(
        slowest < Duration::from_secs(2),
        "a bystander waited {slowest:?}"
    );
}

#[test]
fn who_sends_on_but_reads_nothing_is_cut() {
    let server = TestServer::start(&[("LIVEROOM__OUTBOX__BYTES_MAX", "131072")]);
    let alice = server.user("alice");
    let mut socket = RawSocket::over(
        small_stream(server.port()),
        &format!("/ws?token={}", alice.token),
    );
    socket
        .0
        .set_write_timeout(Some(Duration::from_secs(20)))
        .expect("a time limit can be set");
    let pings = frame(0x89, &[b'x'; 125]).repeat(1_000);
    // Each ping is answered, into a socket that nobody reads.
    let began = Instant::now();
    let refused = loop {
        match socket.0.write_all(&pings) {
            Ok(()) => assert!(
                began.elapsed() < Duration::from_secs(30),
                "pings are taken for ever"
            ),
            Err(error) => break error,
        }
    };
    // Not our own time limit, but the server hung up.
    assert!(
        matches!(
            refused.kind(),
            ErrorKind::BrokenPipe | ErrorKind::ConnectionReset
        ),
        "{refused:?}"
    );
}

#[test]
fn stopped_readers_leave_no_connection_behind() {
    let server = TestServer::start(&[
        ("LIVEROOM__WEBSOCKET__PING_INTERVAL_MS", "100"),
        ("LIVEROOM__WEBSOCKET__IDLE_TIMEOUT_MS", "400"),
    ]);
    let alice = server.user("alice");
    let open_files = || {
        std::fs::read_dir(format!("/proc/{}/fd", server.pid()))
            .expect("a process has files")
            .count()
    };
    let before = open_files();
    let silent: Vec<RawSocket> = (0..50)
        .map(|_| RawSocket::connect(server.port(), &format!("/ws?token={}", alice.token)))
        .collect();
    let open = open_files();
    // One or two of those that were open before may be gone.
    assert!(
        (before + 45..=before + 52).contains(&open),
        "one descriptor each: {before} before, {open} now"
    );
    // None of them answers anything, least of all a close frame.
    eventually("the server hangs up on all", || {
        (open_files() <= before + 2).then_some(())
    });
    drop(silent);
}

#[test]
fn who_polls_no_more_is_cut_too() {
    let server = TestServer::start(&[
        ("LIVEROOM__OUTBOX__SLOW_AFTER_MS", "500"),
        ("LIVEROOM__OUTBOX__PACKETS_MAX", "16"),
        ("LIVEROOM__LIMITS__COMMENT_BURST", "1000000"),
        ("LIVEROOM__LIMITS__COMMAND_BURST", "1000000"),
        ("LIVEROOM__LIMITS__CROWD_EVENTS_PER_S", "0"),
    ]);
    let (alice, bob) = (server.user("alice"), server.user("bobby"));
    let live_id = server.live(&alice);
    let detail = || server.admin_get(&format!("/admin/rooms/{live_id}")).text();
    let members = || detail().matches("socket_id").count();
    // The streamer's comments are never dropped for a live session, so one too many ends it at
    // once; a viewer's give way, until the outbox has been full for too long.
    for (speaker, eio) in [(&alice, Eio::V4), (&bob, Eio::V3)] {
        let mut ws = Ws::connect(&server, speaker);
        ws.join(live_id);
        let poller = Poller::connect(&server, eio);
        poller.join(&alice, live_id);
        assert_eq!(members(), 2);
        let mut said = 0;
        // What is cut has nothing waiting any more.
        eventually("a member that does not poll is cut", || {
            let answer = ws.ask(
                "comment",
                json!({"live_id": live_id, "data": "anybody there?"}),
            );
            assert_eq!(answer["ok"], json!(true), "{answer}");
            said += 1;
            (said > 17 && detail().matches("\"queued_packets\":0").count() == members())
                .then_some(())
        });
        let next = poller.get();
        assert_eq!(
            (next.status, next.text().as_str()),
            (400, r#"{"code":1,"message":"Session ID unknown"}"#)
        );
        eventually("it is out of the room", || (members() == 1).then_some(()));
        ws.ask("leaveLive", json!({"live_id": live_id}));
    }
}
