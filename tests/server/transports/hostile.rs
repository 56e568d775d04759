//! WebSocket bytes that no client library sends.

use std::io::Write;
use std::net::Shutdown;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{BOTH, Poller, RawSocket, frame};
use crate::support::{TestServer, User, Ws};

fn plain(server: &TestServer, user: &User) -> RawSocket {
    RawSocket::connect(server.port(), &format!("/ws?token={}", user.token))
}

#[test]
fn broken_frames_have_their_close_codes() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let mut huge = vec![0x81, 0x80 | 127];
    huge.extend_from_slice(&(1_u64 << 40).to_be_bytes());
    let mut endless = vec![0x81, 0x80 | 127];
    endless.extend_from_slice(&u64::MAX.to_be_bytes());
    for (name, bytes, code) in [
        ("too big", frame(0x81, &[b'x'; 65_537]), 1009),
        ("says it is huge", huge, 1009),
        ("says it is endless", endless, 1009),
        (
            "too big in pieces",
            [frame(0x01, &[b'x'; 40_000]), frame(0x80, &[b'x'; 40_000])].concat(),
            1009,
        ),
        ("no utf-8", frame(0x81, b"\xff\xfe"), 1007),
        (
            "no utf-8 in pieces",
            [frame(0x01, b"{\xe4"), frame(0x80, b"}")].concat(),
            1007,
        ),
        ("unmasked", vec![0x81, 2, b'{', b'}'], 1008),
        ("unknown opcode", frame(0x83, b""), 1008),
        ("reserved bit", frame(0xC1, b"{}"), 1008),
        ("continuation of nothing", frame(0x80, b"{}"), 1008),
        (
            "message in a message",
            [frame(0x01, b"{"), frame(0x81, b"{}")].concat(),
            1008,
        ),
        ("control frame in pieces", frame(0x09, b""), 1008),
        ("long control frame", frame(0x89, &[0; 126]), 1008),
        ("half a close code", frame(0x88, &[3]), 1008),
        (
            "reserved close code",
            frame(0x88, &1005_u16.to_be_bytes()),
            1008,
        ),
    ] {
        let mut socket = plain(&server, &alice);
        socket.send(&bytes);
        assert_eq!(socket.close_code(), Some(code), "{name}");
    }
}

#[test]
fn good_byes_are_answered_in_kind() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    for (payload, code) in [
        (Vec::new(), None),
        (1000_u16.to_be_bytes().to_vec(), Some(1000)),
        (b"\x0f\xa0bye".to_vec(), Some(4000)),
    ] {
        let mut socket = plain(&server, &alice);
        socket.send(&frame(0x88, &payload));
        let began = Instant::now();
        assert_eq!(socket.close_code(), code);
        assert!(
            began.elapsed() < Duration::from_secs(1),
            "the server hangs up at once"
        );
    }
}

#[test]
fn fragments_and_pings_between_them_are_one_command() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    let mut socket = plain(&server, &alice);
    let command =
        json!({"id": "世", "event": "joinLive", "data": {"live_id": live_id}}).to_string();
    let bytes = command.as_bytes();
    let mut sent = frame(0x01, &bytes[..8]);
    sent.extend(frame(0x89, b"still there?"));
    for byte in &bytes[8..] {
        sent.extend(frame(0x00, &[*byte]));
    }
    sent.extend(frame(0x80, b""));
    for chunk in sent.chunks(7) {
        socket.send(chunk);
    }
    let pong = socket.read().expect("a pong");
    assert_eq!(
        (pong.opcode, pong.payload.as_slice()),
        (0xA, b"still there?" as &[u8])
    );
    loop {
        let frame = socket.read().expect("the answer");
        let text: Value = serde_json::from_slice(&frame.payload).expect("JSON");
        if text["id"] == json!("世") {
            assert_eq!(text["ok"], json!(true), "{text}");
            break;
        }
    }
}

#[test]
fn binary_is_answered_and_harmless() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let mut socket = plain(&server, &alice);
    socket.send(&frame(0x82, &[0xff; 100]));
    let answer = socket.read().expect("an answer");
    let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
    assert_eq!(answer["data"]["code"], json!("bad_request"), "{answer}");
}

#[test]
fn a_flood_of_frames_ends_its_sender_and_nobody_else() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    let mut bystander = Ws::connect(&server, &alice);
    bystander.join(live_id);
    let mut socket = plain(&server, &alice);
    socket.send(&frame(0x81, br#"{"event":"joinLive","data":{"live_id":1}}"#).repeat(10_000));
    assert_eq!(socket.close_code(), Some(1008));
    let joined = bystander.join(live_id);
    assert_eq!(joined["ok"], json!(true));
}

/// Sends `first` once and then `again` without end, until the server says good-bye. Returns its
/// code.
fn flood(mut socket: RawSocket, first: &[u8], again: &[u8]) -> Option<u16> {
    socket.send(first);
    let mut sender = socket.0.try_clone().expect("a socket can be cloned");
    let again = again.repeat(10_000 / again.len());
    let sending = thread::spawn(move || while sender.write_all(&again).is_ok() {});
    let code = loop {
        match socket.read() {
            Some(heard) if heard.opcode == 8 => break heard.close_code(),
            Some(_) => {}
            None => break None,
        }
    };
    // The attack has had its consequence.
    let _ = socket.0.shutdown(Shutdown::Both);
    sending.join().expect("the flood ended");
    code
}

/// Frames that carry nothing, in each way there is to send them: what comes first, and what then.
fn empty_floods() -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    vec![
        ("empty fragments", frame(0x01, b""), frame(0x00, b"")),
        ("binary fragments", frame(0x02, b""), frame(0x00, b"")),
        ("pongs", Vec::new(), frame(0x8A, b"")),
        ("pings", Vec::new(), frame(0x89, b"")),
        (
            "pings in a fragmented message",
            frame(0x01, b"{"),
            frame(0x89, b"?"),
        ),
    ]
}

/// Asks again and again until `attackers` are done; each answer comes, on the worker that they
/// flood.
fn assert_answered_during(
    attackers: Vec<thread::JoinHandle<Option<u16>>>,
    bystander: &mut Ws,
    live_id: i64,
    what: &str,
) {
    loop {
        let joined = bystander.join(live_id);
        assert_eq!(joined["ok"], json!(true), "{what}: {joined}");
        if attackers.iter().all(thread::JoinHandle::is_finished) {
            break;
        }
        // No faster than the limit of its own commands.
        thread::sleep(Duration::from_millis(60));
    }
    for attacker in attackers {
        assert_eq!(
            attacker.join().expect("the attacker heard its end"),
            Some(1008),
            "{what}"
        );
    }
}

/// One worker, and a bystander that no limit slows down.
fn one_worker() -> TestServer {
    TestServer::start(&[
        ("LIVEROOM__SERVER__WORKERS", "1"),
        ("LIVEROOM__LIMITS__JOIN_BURST", "100000"),
    ])
}

#[test]
fn a_flood_of_frames_that_carry_nothing_ends_its_sender_and_delays_nobody() {
    let server = one_worker();
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    for (what, first, again) in empty_floods() {
        // A bystander's commands have a limit, too, so each flood has a fresh one.
        let mut bystander = Ws::connect(&server, &alice);
        let attackers = (0..2)
            .map(|_| {
                let (socket, first, again) = (plain(&server, &alice), first.clone(), again.clone());
                thread::spawn(move || flood(socket, &first, &again))
            })
            .collect();
        assert_answered_during(attackers, &mut bystander, live_id, what);
    }
}

#[test]
fn a_flood_beside_a_probe_costs_the_session_that_would_be_upgraded() {
    let server = one_worker();
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    for (what, first, again) in empty_floods() {
        let mut bystander = Ws::connect(&server, &alice);
        let attackers = BOTH
            .into_iter()
            .map(|eio| {
                let poller = Poller::open(&server, eio);
                let socket = RawSocket::connect(poller.port, &poller.path("websocket"));
                let (first, again) = (first.clone(), again.clone());
                thread::spawn(move || flood(socket, &first, &again))
            })
            .collect();
        assert_answered_during(attackers, &mut bystander, live_id, what);
    }
}

#[test]
fn large_commands_pass_in_small_fragments_as_fast_as_commands_may_come() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let mut socket = plain(&server, &alice);
    // Forty of the fifty commands that may come at once, each about as large as one may be.
    const COMMANDS: usize = 40;
    for id in 0..COMMANDS {
        let head = format!("{{\"id\":{id},\"event\":\"comment\",\"data\":{{\"live_id\":404}}");
        let text = format!("{head}{}}}", " ".repeat(8_000 - head.len()));
        let mut pieces = text.as_bytes().chunks(1_000).peekable();
        let mut opcode = 0x01;
        while let Some(piece) = pieces.next() {
            let last = if pieces.peek().is_none() { 0x80 } else { 0 };
            socket.send(&frame(opcode | last, piece));
            opcode = 0x00;
        }
    }
    for id in 0..COMMANDS {
        let answer = socket.read().expect("an answer");
        let answer: Value = serde_json::from_slice(&answer.payload).expect("JSON");
        assert_eq!(
            (&answer["id"], &answer["code"]),
            (&json!(id), &json!("live_not_found")),
            "{answer}"
        );
    }
}

#[test]
fn who_does_not_answer_a_close_frame_is_cut_all_the_same() {
    let server = TestServer::start(&[]);
    // No token: refused with last words and a close frame, which this client ignores.
    let mut socket = RawSocket::connect(server.port(), "/ws");
    let began = Instant::now();
    let words = socket.read().expect("last words");
    assert_eq!(
        String::from_utf8_lossy(&words.payload),
        r#"{"msg":"fail","data":"Token 令牌不合法!"}"#
    );
    assert_eq!(
        socket.read().expect("a close frame").close_code(),
        Some(3000)
    );
    assert_eq!(socket.read(), None);
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "took {:?}",
        began.elapsed()
    );
}

#[test]
fn silent_peers_are_closed() {
    let server = TestServer::start(&[
        ("LIVEROOM__WEBSOCKET__PING_INTERVAL_MS", "100"),
        ("LIVEROOM__WEBSOCKET__IDLE_TIMEOUT_MS", "500"),
    ]);
    let alice = server.user("alice");
    let mut socket = plain(&server, &alice);
    // Pings come, and are not answered.
    assert_eq!(socket.read().expect("a ping").opcode, 9);
    assert_eq!(socket.close_code(), Some(3408));
}

#[test]
fn requests_that_are_no_handshake_are_refused() {
    let server = TestServer::start(&[]);
    assert_eq!(server.get("/ws?token=x").status, 400);
    assert_eq!(server.post("/ws?token=x", &json!({})).status, 405);
}

#[test]
fn a_steady_flood_ends_its_sender_too() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let mut socket = RawSocket::connect(server.port(), &format!("/ws?token={}", alice.token));
    // Ten times the limit: one passes every now and then, and must not excuse the others.
    for _ in 0..600 {
        socket.send_text(r#"{"event":"leaveLive","data":{"live_id":404}}"#);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    assert_eq!(socket.close_code(), Some(1008));
}
