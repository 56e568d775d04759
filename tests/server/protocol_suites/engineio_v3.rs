//! What only the suite of Engine.IO 3 asks for. Left out: packets in `application/octet-stream`
//! that answer a poll, since we send no binary.

use serde_json::{Value, json};

use super::engineio::{EAGER, ask, open_websocket};
use crate::support::{TestServer, http};
use crate::transports::client::{Eio, Poller};

fn assert_opens(open: &Value, upgrades: &Value) {
    assert!(open["sid"].is_string(), "{open}");
    assert_eq!(
        (
            &open["upgrades"],
            &open["pingInterval"],
            &open["pingTimeout"]
        ),
        (upgrades, &json!(300), &json!(20_000)),
        "{open}"
    );
    assert!(
        open.get("maxPayload")
            .is_none_or(|bytes| *bytes == json!(1_000_000)),
        "{open}"
    );
}

#[test]
fn a_session_opens_by_polling() {
    let server = TestServer::start(EAGER);
    let answer = ask(&server, "GET", "EIO=3&transport=polling");
    assert_eq!(answer.status, 200);
    let text = answer.text();
    let (length, packet) = text.split_once(':').expect("a length");
    // The next packet follows in the same payload, or none does.
    let packet = &packet[..length.parse().expect("a number")];
    let open =
        serde_json::from_str(packet.strip_prefix('0').expect("an open packet")).expect("JSON");
    assert_opens(&open, &json!(["websocket"]));
}

#[test]
fn a_session_opens_on_a_websocket() {
    let server = TestServer::start(EAGER);
    let (mut socket, open) = open_websocket(&server, Eio::V3);
    assert_opens(&open, &json!([]));
    socket.close();
}

#[test]
fn a_binary_payload_is_taken() {
    let server = TestServer::start(&[]);
    let poller = Poller::connect(&server, Eio::V3);
    let event = br#"451-5["leaveLive",{"_placeholder":true,"num":0}]"#;
    // Each packet: text or binary, the digits of its length, the end of those.
    let mut body = vec![0];
    body.extend(event.len().to_string().bytes().map(|digit| digit - b'0'));
    body.push(0xff);
    body.extend_from_slice(event);
    body.extend_from_slice(&[1, 5, 0xff, 4, 1, 2, 3, 4]);
    let headers = [("content-type", "application/octet-stream")];
    let pushed = http::request_bytes(
        server.port(),
        "POST",
        &poller.path("polling"),
        &headers,
        &body,
    );
    assert_eq!((pushed.status, pushed.text().as_str()), (200, "ok"));
    let answers = poller.poll();
    assert!(
        answers.len() == 1 && answers[0].starts_with("435["),
        "{answers:?}"
    );
}

#[test]
fn pings_of_a_client_that_polls_are_answered() {
    let server = TestServer::start(EAGER);
    let poller = Poller::connect(&server, Eio::V3);
    for _ in 0..3 {
        assert_eq!(poller.post(&["2"]).status, 200);
        assert_eq!(poller.poll(), ["3"]);
    }
}

#[test]
fn pings_on_a_websocket_are_answered() {
    let server = TestServer::start(EAGER);
    let (mut socket, _) = open_websocket(&server, Eio::V3);
    assert_eq!(socket.read().as_deref(), Some("40"));
    for _ in 0..3 {
        socket.send("2");
        assert_eq!(socket.read().as_deref(), Some("3"));
    }
    socket.close();
}
