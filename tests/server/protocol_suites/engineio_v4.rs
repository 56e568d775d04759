//! What only the suite of Engine.IO 4 asks for. It wants a request without `EIO` refused; here that
//! is a client of revision 3, as in the replaced system.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::engineio::{EAGER, ask, open_websocket};
use crate::support::TestServer;
use crate::transports::client::{Eio, Poller};

fn assert_opens(open: &Value, upgrades: &Value) {
    let keys: BTreeSet<&str> = open
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        keys,
        BTreeSet::from([
            "sid",
            "upgrades",
            "pingInterval",
            "pingTimeout",
            "maxPayload"
        ])
    );
    assert!(open["sid"].is_string(), "{open}");
    assert_eq!(
        (
            &open["upgrades"],
            &open["pingInterval"],
            &open["pingTimeout"],
            &open["maxPayload"]
        ),
        (upgrades, &json!(300), &json!(20_000), &json!(1_000_000)),
        "{open}"
    );
}

#[test]
fn a_session_opens_by_polling() {
    let server = TestServer::start(EAGER);
    let answer = ask(&server, "GET", "EIO=4&transport=polling");
    assert_eq!(answer.status, 200);
    let text = answer.text();
    let open = serde_json::from_str(text.strip_prefix('0').expect("an open packet")).expect("JSON");
    assert_opens(&open, &json!(["websocket"]));
}

#[test]
fn a_session_opens_on_a_websocket() {
    let server = TestServer::start(EAGER);
    let (mut socket, open) = open_websocket(&server, Eio::V4);
    assert_opens(&open, &json!([]));
    socket.close();
}

#[test]
fn a_client_that_polls_is_pinged_and_answers() {
    let server = TestServer::start(EAGER);
    let poller = Poller::open(&server, Eio::V4);
    for _ in 0..3 {
        assert_eq!(poller.poll(), ["2"]);
        assert_eq!(poller.post(&["3"]).status, 200);
    }
}

#[test]
fn a_client_on_a_websocket_is_pinged_and_answers() {
    let server = TestServer::start(EAGER);
    let (mut socket, _) = open_websocket(&server, Eio::V4);
    for _ in 0..3 {
        assert_eq!(socket.read().as_deref(), Some("2"));
        socket.send("3");
    }
    socket.close();
}

#[test]
fn a_ping_of_the_client_is_in_the_wrong_direction() {
    let server = TestServer::start(&[]);
    let poller = Poller::connect(&server, Eio::V4);
    assert_eq!(poller.post(&["2"]).status, 400);
    assert!(poller.is_over());
}
