//! The suite of Socket.IO protocol 5; what it asks of Engine.IO is beside it. There is no namespace
//! here but the root, so what it does with another one is done with one that is refused.

use serde_json::{Value, json};

use super::engineio::{
    EAGER, assert_closed, command, connected_websocket, open_websocket, read_answer,
};
use crate::support::TestServer;
use crate::transports::client::{BOTH, Eio, EngineSocket, Poller};

/// A session that did not connect yet.
fn open(server: &TestServer) -> EngineSocket {
    open_websocket(server, Eio::V4).0
}

fn assert_connects(connect: &str) {
    let server = TestServer::start(&[]);
    let mut socket = open(&server);
    socket.send(connect);
    let answer = socket.read().expect("the answer to CONNECT");
    let answer: Value =
        serde_json::from_str(answer.strip_prefix("40").expect("CONNECT")).expect("JSON");
    let fields = answer.as_object().expect("an object");
    assert!(fields.len() == 1 && fields["sid"].is_string(), "{answer}");
}

#[test]
fn the_root_namespace_lets_clients_in() {
    assert_connects("40");
}

#[test]
fn the_root_namespace_lets_clients_in_that_bring_a_payload() {
    assert_connects(r#"40{"token":"123"}"#);
}

#[test]
fn an_unknown_namespace_lets_nobody_in() {
    let server = TestServer::start(&[]);
    let mut socket = open(&server);
    for connect in ["40/random", "40/random,", r#"40/random,{"token":"abc"}"#] {
        socket.send(connect);
        assert_eq!(
            socket.read().as_deref(),
            Some(r#"44/random,{"message":"Invalid namespace"}"#),
            "{connect}"
        );
    }
}

#[test]
fn a_handshake_that_is_none_closes_the_connection() {
    let server = TestServer::start(&[]);
    for handshake in [
        "4abc",
        "40[]",
        "40null",
        "40{",
        "41",
        "42[\"leaveLive\",{}]",
        "44{}",
    ] {
        let mut socket = open(&server);
        socket.send(handshake);
        assert_closed(&mut socket, handshake);
    }
}

#[test]
fn a_client_that_never_connects_is_closed() {
    let server = TestServer::start(&[("LIVEROOM__ENGINEIO__CONNECT_TIMEOUT_MS", "300")]);
    assert_closed(&mut open(&server), "no handshake");
}

#[test]
fn a_client_that_leaves_the_root_namespace_keeps_its_transport() {
    let server = TestServer::start(EAGER);
    let mut socket = connected_websocket(&server, Eio::V4);
    socket.send("41");
    assert_eq!(socket.read().as_deref(), Some("2"));
    socket.send("3");
    socket.send("40");
    loop {
        let packet = socket.read().expect("it may connect again");
        if packet != "2" {
            break assert!(packet.starts_with("40{"), "{packet}");
        }
    }
}

#[test]
fn a_client_that_is_refused_elsewhere_goes_on_in_the_root_namespace() {
    let server = TestServer::start(&[]);
    let mut socket = connected_websocket(&server, Eio::V4);
    socket.send("40/custom");
    assert_eq!(
        socket.read().as_deref(),
        Some(r#"44/custom,{"message":"Invalid namespace"}"#)
    );
    socket.send(&command(1));
    read_answer(&mut socket, 1);
}

#[test]
fn a_packet_is_taken_with_any_arguments() {
    let server = TestServer::start(&[]);
    let mut socket = connected_websocket(&server, Eio::V4);
    socket.send(r#"42["message",1,"2",{"3":[true]}]"#);
    socket.send(&command(1));
    read_answer(&mut socket, 1);
}

#[test]
fn a_packet_with_an_ack_is_answered_with_its_id() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let mut socket = connected_websocket(&server, eio);
        socket.send(r#"42456["message-with-ack",1,"2",{"3":[false]}]"#);
        let answer = socket.read().expect("an answer");
        let answer: Value =
            serde_json::from_str(answer.strip_prefix("43456").expect("an ack")).expect("JSON");
        assert_eq!(answer[0]["code"], json!("bad_request"), "{answer}");
    }
}

#[test]
fn a_packet_with_binary_attachments_is_taken_when_they_are_here() {
    let server = TestServer::start(&[]);
    for (eio, attachment) in [(Eio::V3, &[4, 1, 2, 3][..]), (Eio::V4, &[1, 2, 3])] {
        let mut socket = connected_websocket(&server, eio);
        socket.send(
            r#"452-9["leaveLive",{"_placeholder":true,"num":0},{"_placeholder":true,"num":1}]"#,
        );
        socket.send_binary(attachment);
        socket.send_binary(attachment);
        read_answer(&mut socket, 9);
    }
}

#[test]
fn packets_of_an_invalid_format_close_the_connection_and_their_client_comes_back() {
    let server = TestServer::start(&[]);
    let invalid = [
        ("unknown packet type", "4abc"),
        ("payload that is no array", "42{}"),
        ("payload without a name", "42[]"),
        ("payload that is null", "42null"),
        ("name that is null", "42[null]"),
        ("name of the library's own", "42[\"disconnect\"]"),
        ("half a payload", "42[\"leaveLive\""),
        ("ack id that is none", "42abc[\"leaveLive\",1]"),
        ("number that JSON has not", "42[\"leaveLive\",NaN]"),
        ("trailing bytes", "42[\"leaveLive\"]x"),
        ("two payloads", "42[\"leaveLive\"][]"),
        ("good-bye with a payload", "41{}"),
        ("ack that is no array", "431{}"),
        ("no attachments", "450-[\"leaveLive\"]"),
        ("attachments of no array", "451-{}"),
        ("attachments without number", "45[\"leaveLive\"]"),
        ("packet between attachments", "451-[\"leaveLive\"]"),
    ];
    for eio in BOTH {
        for (name, packet) in invalid {
            let mut socket = connected_websocket(&server, eio);
            socket.send(packet);
            // Nobody reads this any more, but where an attachment was announced it is what is
            // wrong.
            socket.try_send("42[\"leaveLive\",{}]");
            assert_closed(&mut socket, name);

            let poller = Poller::connect(&server, eio);
            assert_eq!(
                poller.post(&[packet, "42[\"leaveLive\",{}]"]).text(),
                "ok",
                "{name}"
            );
            assert!(poller.is_over(), "{name}");
        }
    }
}

#[test]
fn json_that_is_merely_odd_is_answered_and_the_connection_stays() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let mut socket = connected_websocket(&server, eio);
        for payload in [
            r#"["leaveLive"]"#,
            r#"["leaveLive",null]"#,
            r#"["leaveLive",[[]],{}]"#,
            r#"["leaveLive",{"live_id":1e999}]"#,
            r#"["leaveLive",{"token":"\ud83d"}]"#,
            r#" [ "leaveLive" , 7.0 ] "#,
            r#"["no such event"]"#,
            r#"[1]"#,
        ] {
            socket.send(&format!("423{}", payload.trim_start()));
            read_answer(&mut socket, 3);
        }
    }
}
