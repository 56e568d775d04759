//! Sessions carried by polls.

use std::time::{Duration, Instant};

use serde_json::json;

use super::client::{BOTH, Eio, Poller, SID_UNKNOWN};
use crate::support::{TestServer, Ws, eventually};

#[test]
fn a_room_is_heard_over_polls() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        poller.join(&alice, live_id);
        let hanging = poller.hang();
        let comment =
            json!(["comment", {"live_id": live_id, "token": alice.token, "data": "hello 世界 👍"}]);
        assert_eq!(poller.post(&[&format!("42{comment}")]).text(), "ok");
        let mut packets = hanging.packets();
        let heard = loop {
            if let Some(heard) = packets
                .iter()
                .find(|packet| packet.starts_with(r#"42["comment""#))
            {
                break heard.clone();
            }
            packets = poller.poll();
        };
        assert!(
            heard.starts_with(r#"42["comment",{"user":{"id":1,"name":"alice""#),
            "{heard}"
        );
        assert!(heard.contains(r#""content":"hello 世界 👍""#), "{heard}");
        assert_eq!(poller.post(&["41"]).text(), "ok");
    }
}

#[test]
fn what_was_said_between_polls_comes_with_the_next_in_order() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    let poller = Poller::connect(&server, Eio::V4);
    poller.join(&alice, live_id);
    let comments: Vec<String> = (0..20)
        .map(|n| {
            format!("42{n}{}", json!(["comment", {"live_id": live_id, "token": alice.token, "data": n.to_string()}]))
        })
        .collect();
    assert_eq!(
        poller
            .post(&comments.iter().map(String::as_str).collect::<Vec<_>>())
            .text(),
        "ok"
    );
    let mut heard = Vec::new();
    while heard.len() < 40 {
        heard.extend(
            poller
                .poll()
                .into_iter()
                .filter(|packet| !packet.starts_with("42[\"online")),
        );
    }
    let contents: Vec<&String> = heard
        .iter()
        .filter(|packet| packet.starts_with("42[\"comment"))
        .collect();
    for (n, packet) in contents.iter().enumerate() {
        assert!(packet.contains(&format!(r#""content":"{n}""#)), "{packet}");
    }
}

#[test]
fn the_client_of_revision_3_keeps_itself_alive_by_posts() {
    let heartbeat = [
        ("LIVEROOM__ENGINEIO__PING_INTERVAL_MS", "300"),
        ("LIVEROOM__ENGINEIO__PING_TIMEOUT_MS", "300"),
    ];
    let server = TestServer::start(&heartbeat);
    let poller = Poller::connect(&server, Eio::V3);
    for _ in 0..6 {
        assert_eq!(poller.post(&["2"]).text(), "ok");
        assert_eq!(poller.poll(), ["3"]);
        std::thread::sleep(Duration::from_millis(200));
    }
    // It falls silent; the hanging poll is how it hears of its end, and that it may come back.
    assert_eq!(poller.get().text(), SID_UNKNOWN);
}

#[test]
fn polls_alone_keep_nobody_alive() {
    let heartbeat = [
        ("LIVEROOM__ENGINEIO__PING_INTERVAL_MS", "200"),
        ("LIVEROOM__ENGINEIO__PING_TIMEOUT_MS", "200"),
    ];
    let server = TestServer::start(&heartbeat);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        let began = Instant::now();
        while poller.get().text() != SID_UNKNOWN {
            assert!(
                began.elapsed() < Duration::from_secs(5),
                "a silent session lives on"
            );
        }
    }
}

#[test]
fn a_second_poll_or_post_at_once_ends_the_session() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        let hanging = poller.hang();
        let second = poller.get();
        assert_eq!(
            (second.status, second.text().as_str()),
            (400, r#"{"code":3,"message":"Bad request"}"#)
        );
        assert_eq!(
            hanging.packets(),
            ["1"],
            "the close packet alone, after which clients come back"
        );
        assert_eq!(
            (poller.get().text().as_str(), poller.is_over()),
            (SID_UNKNOWN, true)
        );
    }
}

#[test]
fn a_poll_whose_client_goes_away_ends_the_session() {
    let server = TestServer::start(&[]);
    let poller = Poller::connect(&server, Eio::V4);
    drop(poller.hang());
    eventually("the session is over", || poller.is_over().then_some(()));
    assert_eq!(poller.get().text(), SID_UNKNOWN);
}

#[test]
fn a_session_that_we_ended_keeps_its_good_bye_until_a_poll_took_it() {
    let server = TestServer::start(&[]);
    for eio in BOTH {
        let user = server.user(&format!("viewer-{eio:?}"));
        let live_id = server.live(&user);
        let poller = Poller::connect(&server, eio);
        poller.join(&user, live_id);
        let away = server.user(&format!("away-{eio:?}"));
        let mut witness = Ws::connect(&server, &away);
        witness.join(live_id);
        server
            .admin_post(&format!("/admin/users/{}", user.id), &json!({"status": 0}))
            .ok();
        witness.event_where("online", |online| online["action"] == json!("leave"));
        // It is over, and nobody polled yet. What its client still sends is taken and has no
        // effect.
        assert_eq!(poller.post(&["6"]).text(), "ok");
        poller.wait_for_end();
        assert_eq!(
            (poller.get().text().as_str(), poller.is_over()),
            (SID_UNKNOWN, true),
            "it was told once"
        );
    }
}

#[test]
fn bodies_have_a_limit() {
    let server = TestServer::start(&[("LIVEROOM__ENGINEIO__MAX_PAYLOAD_BYTES", "65536")]);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        let large = "x".repeat(70_000);
        assert_eq!(poller.post(&[&format!("4{large}")]).status, 413);
        assert!(poller.is_over(), "as engine.io has it");
    }
}

#[test]
fn broken_payloads_end_the_session() {
    let server = TestServer::start(&[]);
    for (eio, body) in [
        (Eio::V3, b"4:4" as &[u8]),
        (Eio::V3, b"x:4"),
        (Eio::V3, b"99999999999999999999:4"),
        (Eio::V3, b"\xff\xfe"),
        (Eio::V3, b""),
        (Eio::V4, b""),
        (Eio::V4, b"9"),
        (Eio::V4, b"6\x1e\x1e6"),
        (Eio::V4, b"4\xff"),
        (Eio::V4, b"2"),
    ] {
        let poller = Poller::connect(&server, eio);
        let answer = poller.post_bytes(body);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (400, r#"{"code":3,"message":"Bad request"}"#),
            "{body:?}"
        );
        assert_eq!(
            (poller.get().text().as_str(), poller.is_over()),
            (SID_UNKNOWN, true),
            "{body:?}"
        );
    }
}

#[test]
fn ten_thousand_events_in_one_post_cost_their_sender_the_session() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    let bystander = Poller::connect(&server, Eio::V4);
    bystander.join(&alice, live_id);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        let packet = r#"42["comment",{"live_id":1,"data":"x"}]"#;
        let packets = vec![packet; 10_000];
        let began = Instant::now();
        assert_eq!(poller.post(&packets).text(), "ok");
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "took {:?}",
            began.elapsed()
        );
        poller.wait_for_end();
    }
    bystander.join(&alice, live_id);
}

#[test]
fn half_a_million_heartbeats_in_one_post_are_one() {
    let server = TestServer::start(&[]);
    let poller = Poller::connect(&server, Eio::V4);
    let began = Instant::now();
    assert_eq!(
        poller
            .post_bytes(
                "3\u{1e}"
                    .repeat(499_000)
                    .trim_end_matches('\u{1e}')
                    .as_bytes()
            )
            .text(),
        "ok"
    );
    assert!(
        began.elapsed() < Duration::from_secs(5),
        "took {:?}",
        began.elapsed()
    );
    assert_eq!(poller.post(&["3"]).text(), "ok");
}

#[test]
fn sessions_of_others_are_out_of_reach() {
    let server = TestServer::start(&[]);
    let poller = Poller::connect(&server, Eio::V4);
    let mut stranger = poller.clone();
    stranger.sid = poller.sid.chars().rev().collect();
    assert_eq!(stranger.get().status, 400);
    assert_eq!(stranger.post(&["1"]).status, 400);
    assert_eq!(poller.post(&["6"]).text(), "ok");
}
