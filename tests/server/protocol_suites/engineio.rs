//! What the suites of both revisions of Engine.IO ask for.

use serde_json::Value;

use crate::support::{Answer, TestServer, eventually, http};
use crate::transports::client::{BOTH, Eio, EngineSocket, Poller, SID_UNKNOWN};

/// A heartbeat that is due at once and may be answered late.
pub const EAGER: &[(&str, &str)] = &[
    ("LIVEROOM__ENGINEIO__PING_INTERVAL_MS", "300"),
    ("LIVEROOM__ENGINEIO__PING_TIMEOUT_MS", "20000"),
];

/// The heartbeat of the suites.
pub const STRICT: &[(&str, &str)] = &[
    ("LIVEROOM__ENGINEIO__PING_INTERVAL_MS", "300"),
    ("LIVEROOM__ENGINEIO__PING_TIMEOUT_MS", "200"),
];

/// Asks Engine.IO for something without a session.
pub fn ask(server: &TestServer, method: &str, query: &str) -> Answer {
    http::request_bytes(
        server.port(),
        method,
        &format!("/socket.io/?{query}"),
        &[],
        b"",
    )
}

/// Opens a session on a WebSocket; the socket and what its open packet holds.
pub fn open_websocket(server: &TestServer, eio: Eio) -> (EngineSocket, Value) {
    let number = if eio == Eio::V3 { 3 } else { 4 };
    let path = format!("/socket.io/?EIO={number}&transport=websocket");
    let mut socket = EngineSocket::connect(server.port(), &path).expect("a handshake");
    let open = socket.read().expect("the open packet");
    (
        socket,
        serde_json::from_str(open.strip_prefix('0').expect("an open packet")).expect("JSON"),
    )
}

/// The same, connected to the root namespace.
pub fn connected_websocket(server: &TestServer, eio: Eio) -> EngineSocket {
    let (mut socket, _) = open_websocket(server, eio);
    if eio == Eio::V4 {
        socket.send("40");
    }
    assert!(
        socket
            .read()
            .expect("the answer to CONNECT")
            .starts_with("40")
    );
    socket
}

/// A command that is refused, and so answered at once. `ack` is one digit.
pub fn command(ack: u8) -> String {
    format!("42{ack}[\"leaveLive\",{{}}]")
}

fn is_answer(packet: &str, ack: u8) -> bool {
    packet.starts_with(&format!("43{ack}[{{\"ok\":false,"))
}

/// Reads the answer to [`command`]. Nothing but pings may come before it.
pub fn read_answer(socket: &mut EngineSocket, ack: u8) {
    loop {
        let packet = socket.read().expect("the session goes on");
        if packet != "2" {
            return assert!(is_answer(&packet, ack), "{packet}");
        }
    }
}

/// Reads to the end of the connection. A client that reads `41` on the way would not come back.
pub fn assert_closed(socket: &mut EngineSocket, why: &str) {
    while let Some(packet) = socket.read() {
        assert_ne!(packet, "41", "{why}");
    }
}

/// Polls until the acks have come, and checks that nothing else did.
fn assert_acks(poller: &Poller, acks: &[u8]) {
    let mut packets = Vec::new();
    while packets.len() < acks.len() {
        packets.extend(poller.poll());
    }
    assert_eq!(packets.len(), acks.len(), "{packets:?}");
    for (packet, ack) in packets.iter().zip(acks) {
        assert!(is_answer(packet, *ack), "{packets:?}");
    }
}

fn assert_over(poller: &Poller, why: &str) {
    let answer = poller.get();
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (400, SID_UNKNOWN),
        "{why}"
    );
    assert!(poller.is_over(), "{why}");
}

#[test]
fn a_handshake_with_an_unknown_transport_fails() {
    let server = TestServer::start(&[]);
    for eio in [3, 4] {
        for query in [format!("EIO={eio}"), format!("EIO={eio}&transport=abc")] {
            assert_eq!(ask(&server, "GET", &query).status, 400, "{query}");
            let refused =
                EngineSocket::connect(server.port(), &format!("/socket.io/?{query}")).map(|_| ());
            assert_eq!(refused, Err(400), "{query}");
        }
    }
}

#[test]
fn a_handshake_with_another_method_fails() {
    let server = TestServer::start(&[]);
    for query in ["EIO=3&transport=polling", "EIO=4&transport=polling"] {
        for method in ["POST", "PUT", "DELETE"] {
            assert_eq!(ask(&server, method, query).status, 400, "{method} {query}");
        }
    }
}

#[test]
fn a_handshake_with_an_unknown_revision_fails() {
    let server = TestServer::start(&[]);
    for query in ["EIO=abc&transport=polling", "EIO=&transport=polling"] {
        assert_eq!(ask(&server, "GET", query).status, 400, "{query}");
    }
    let refused =
        EngineSocket::connect(server.port(), "/socket.io/?EIO=abc&transport=websocket").map(|_| ());
    assert_eq!(refused, Err(400));
}

#[test]
fn a_payload_of_one_text_packet_is_taken_and_one_is_answered() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        let pushed = poller.post(&[&command(1)]);
        assert_eq!((pushed.status, pushed.text().as_str()), (200, "ok"));
        assert_acks(&poller, &[1]);
    }
}

#[test]
fn a_payload_of_several_text_packets_is_taken_in_order() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        assert_eq!(
            poller.post(&[&command(1), &command(2), &command(3)]).text(),
            "ok"
        );
        assert_acks(&poller, &[1, 2, 3]);
    }
}

#[test]
fn a_payload_of_text_and_binary_packets_is_taken() {
    let server = TestServer::start(&[]);
    for (eio, attachment) in [(Eio::V3, "b4AQIDBA=="), (Eio::V4, "bAQIDBA==")] {
        let poller = Poller::connect(&server, eio);
        let event = r#"451-2["leaveLive",{"_placeholder":true,"num":0}]"#;
        assert_eq!(poller.post(&[&command(1), event, attachment]).text(), "ok");
        assert_acks(&poller, &[1, 2]);
    }
}

#[test]
fn a_packet_of_no_type_ends_a_polling_session() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        assert_eq!(poller.post_bytes(b"abc").status, 400);
        assert_over(&poller, "abc");
        // The poll that hangs meanwhile reads a close packet.
        let poller = Poller::connect(&server, eio);
        let hanging = poller.hang();
        assert_eq!(poller.post(&["abc"]).status, 400);
        assert_eq!(hanging.packets(), ["1"]);
    }
}

#[test]
fn a_poll_beside_another_ends_the_session_with_a_close_packet_alone() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        let hanging = poller.hang();
        assert_eq!(poller.get().status, 400);
        assert_eq!(hanging.packets(), ["1"]);
        assert_over(&poller, "overlap");
    }
}

#[test]
fn a_text_packet_on_a_websocket_is_taken_and_answered() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let mut socket = connected_websocket(&server, eio);
        socket.send(&command(1));
        read_answer(&mut socket, 1);
        socket.close();
    }
}

#[test]
fn a_binary_packet_on_a_websocket_is_taken() {
    let server = TestServer::start(&[]);
    for (eio, attachment) in [(Eio::V3, &[4, 1, 2, 3, 4][..]), (Eio::V4, &[1, 2, 3, 4])] {
        let mut socket = connected_websocket(&server, eio);
        socket.send(r#"451-7["leaveLive",{"_placeholder":true,"num":0}]"#);
        socket.send_binary(attachment);
        read_answer(&mut socket, 7);
        socket.close();
    }
}

#[test]
fn a_packet_of_no_type_ends_a_session_on_a_websocket() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let mut socket = connected_websocket(&server, eio);
        socket.send("abc");
        assert_closed(&mut socket, "abc");
    }
}

#[test]
fn a_silent_client_on_a_websocket_is_closed() {
    let server = TestServer::start(STRICT);
    for eio in BOTH {
        let (mut socket, _) = open_websocket(&server, eio);
        assert_closed(&mut socket, "silence");
    }
}

#[test]
fn a_silent_client_that_polls_is_forgotten() {
    let server = TestServer::start(STRICT);
    for eio in BOTH {
        let poller = Poller::open(&server, eio);
        eventually("the session is over", || {
            (poller.get().text() == SID_UNKNOWN).then_some(())
        });
        assert_over(&poller, "silence");
    }
}

#[test]
fn a_close_packet_ends_a_polling_session_and_lets_its_poll_go() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        let hanging = poller.hang();
        assert_eq!(poller.post(&["1"]).text(), "ok");
        assert_eq!(hanging.packets(), ["6"]);
        assert_over(&poller, "close");
    }
}

#[test]
fn a_close_packet_ends_a_session_on_a_websocket() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let (mut socket, _) = open_websocket(&server, eio);
        socket.send("1");
        assert_closed(&mut socket, "close");
    }
}

#[test]
fn a_polling_session_goes_over_to_a_websocket() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let mut socket = Poller::connect(&server, eio).upgrade();
        socket.send(&command(1));
        read_answer(&mut socket, 1);
        socket.close();
    }
}

#[test]
fn requests_for_a_session_that_went_over_are_refused_and_it_goes_on() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        let mut socket = poller.upgrade();
        socket.send(&command(1));
        read_answer(&mut socket, 1);
        assert_eq!(poller.get().status, 400);
        assert_eq!(poller.post(&["6"]).status, 400);
        socket.send(&command(2));
        read_answer(&mut socket, 2);
        socket.close();
    }
}

#[test]
fn a_second_websocket_for_a_session_that_went_over_is_closed_and_the_first_goes_on() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        let mut socket = poller.upgrade();
        socket.send(&command(1));
        read_answer(&mut socket, 1);
        assert_closed(&mut poller.websocket(), "the second");
        socket.send(&command(2));
        read_answer(&mut socket, 2);
        socket.close();
    }
}
