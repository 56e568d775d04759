//! From polling to WebSocket.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::client::{BOTH, Eio, Poller};
use crate::support::{PATIENCE, TestServer, Ws, eventually};

/// Limits that a stream of comments does not meet.
const FAST: &[(&str, &str)] = &[
    ("LIVEROOM__LIMITS__COMMAND_BURST", "100000"),
    ("LIVEROOM__LIMITS__COMMANDS_PER_S", "100000"),
    ("LIVEROOM__OUTBOX__PACKETS_MAX", "65536"),
    ("LIVEROOM__OUTBOX__BYTES_MAX", "16777216"),
];

/// The number in a comment's text.
fn number(packet: &str) -> Option<usize> {
    let event: Value = serde_json::from_str(packet.strip_prefix("42")?).expect("an event");
    (event[0] == json!("comment")).then(|| {
        event[1]["content"]
            .as_str()
            .expect("a text")
            .parse()
            .expect("a number")
    })
}

#[test]
fn a_session_goes_over_to_the_socket() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        poller.join(&alice, live_id);
        let mut socket = poller.upgrade();
        let comment = json!(["comment", {"live_id": live_id, "token": alice.token, "data": "over the socket"}]);
        socket.send(&format!("42{comment}"));
        loop {
            let packet = socket.read().expect("the comment");
            if packet.starts_with("42[\"comment\"") {
                break;
            }
        }
        let late = poller.get();
        assert_eq!(
            (late.status, late.text().as_str()),
            (400, r#"{"code":3,"message":"Bad request"}"#)
        );
        assert_eq!(poller.post(&["6"]).status, 400);
        assert_eq!(poller.websocket().read(), None, "a second socket is closed");
        socket.send("3");
        socket.send("420[\"leaveLive\",{}]");
        loop {
            let packet = socket.read().expect("the first goes on");
            if packet.starts_with("430") {
                break;
            }
        }
        socket.send("1");
        while socket.read().is_some() {}
        eventually("the sid is forgotten", || {
            (poller.get().text().contains("Session ID unknown")).then_some(())
        });
    }
}

#[test]
fn nothing_is_lost_doubled_or_reordered_on_the_way_over() {
    const COMMENTS: usize = 2_000;
    let server = TestServer::start(FAST);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    let members: Vec<_> = (0..8)
        .map(|n| {
            let poller = Poller::connect(&server, BOTH[n % 2]);
            poller.join(&alice, live_id);
            std::thread::spawn(move || {
                listen_through_upgrade(&poller, Duration::from_millis(15 * n as u64), COMMENTS)
            })
        })
        .collect();
    let mut streamer = Ws::connect(&server, &alice);
    streamer.join(live_id);
    for n in 0..COMMENTS {
        streamer.send(
            "comment",
            json!({"live_id": live_id, "data": n.to_string()}),
        );
        if n % 20 == 0 {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
    for member in members {
        let (heard, over_polls) = member.join().expect("the member heard all");
        assert_eq!(heard, (0..COMMENTS).collect::<Vec<_>>());
        assert!(over_polls < COMMENTS, "some came over the socket");
    }
}

/// Polls, upgrades after `wait` while the stream goes on, and listens until all is heard. Returns
/// the numbers heard, and how many of them came over polls.
fn listen_through_upgrade(poller: &Poller, wait: Duration, count: usize) -> (Vec<usize>, usize) {
    let began = Instant::now();
    let mut heard = Vec::new();
    while began.elapsed() < wait {
        heard.extend(poller.poll().iter().filter_map(|packet| number(packet)));
    }
    let mut socket = poller.websocket();
    // As clients do: polls go on beside the probe, until the probe is answered and the last poll
    // is.
    let polls = {
        let poller = poller.clone();
        std::thread::spawn(move || poller.poll())
    };
    socket.send("2probe");
    assert_eq!(socket.read().as_deref(), Some("3probe"));
    heard.extend(
        polls
            .join()
            .expect("a poll")
            .iter()
            .filter_map(|packet| number(packet)),
    );
    let over_polls = heard.len();
    socket.send("5");
    while heard.len() < count {
        assert!(
            began.elapsed() < PATIENCE,
            "heard {} of {count}",
            heard.len()
        );
        let packet = socket.read().expect("the stream goes on");
        if packet == "2" {
            socket.send("3");
        }
        heard.extend(number(&packet));
    }
    (heard, over_polls)
}

#[test]
fn a_client_in_a_hurry_loses_nothing_either() {
    let server = TestServer::start(FAST);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        poller.join(&alice, live_id);
        let hanging = poller.hang();
        let mut socket = poller.websocket();
        socket.send("2probe");
        socket.send("5");
        let comment = json!(["comment", {"live_id": live_id, "token": alice.token, "data": "7"}]);
        socket.send(&format!("42{comment}"));
        assert_eq!(socket.read().as_deref(), Some("3probe"), "in this order");
        assert_eq!(hanging.packets(), ["6"], "the poll is let go");
        assert_eq!(socket.read().as_deref().and_then(number), Some(7));
        socket.close();
    }
}

#[test]
fn a_probe_that_leads_nowhere_leaves_the_session_to_polling() {
    let server = TestServer::start(&[("LIVEROOM__ENGINEIO__UPGRADE_TIMEOUT_MS", "300")]);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        for packets in [
            &[][..],
            &["2probe"],
            &["2"],
            &["5"],
            &["2probe", "2probe"],
            &["2probe", "4x"],
            &["x"],
            &["1"],
        ] {
            let mut socket = poller.websocket();
            for packet in packets {
                socket.send(packet);
            }
            while socket.read().is_some() {}
            assert_eq!(poller.post(&["6"]).text(), "ok", "{packets:?}");
        }
        let mut socket = poller.websocket();
        socket.send_binary(b"\x022probe");
        assert_eq!(socket.read(), None, "a probe is text");
        let mut socket = poller.websocket();
        assert_eq!(poller.websocket().read(), None, "one probe at a time");
        socket.send("2probe");
        assert_eq!(socket.read().as_deref(), Some("3probe"));
        assert_eq!(poller.poll(), ["6"]);
        drop(socket);
        eventually("the session can try again", || {
            let mut socket = poller.websocket();
            socket
                .try_send("2probe")
                .then(|| socket.read())
                .flatten()
                .filter(|packet| packet == "3probe")
        });
    }
}

#[test]
fn polls_deliver_while_a_socket_probes() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    let poller = Poller::connect(&server, Eio::V4);
    poller.join(&alice, live_id);
    let mut socket = poller.websocket();
    socket.send("2probe");
    assert_eq!(socket.read().as_deref(), Some("3probe"));
    let comment = json!(["comment", {"live_id": live_id, "token": alice.token, "data": "1"}]);
    assert_eq!(poller.post(&[&format!("42{comment}")]).text(), "ok");
    let heard = eventually("the comment", || {
        poller.poll().iter().find_map(|packet| number(packet))
    });
    assert_eq!(heard, 1);
}
