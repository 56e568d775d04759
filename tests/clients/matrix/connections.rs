//! Connections that end: by a good-bye, without one, by the heartbeat or with the server, and those
//! that come back.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Stage;
use crate::driver::Client;
use crate::support::{TestServer, Ws};

#[test]
fn who_says_good_bye_has_left_once_the_grace_is_over() {
    leaves_after_the_grace(&[], Client::disconnect);
}

#[test]
fn who_is_gone_without_a_good_bye_has_left_once_the_grace_is_over() {
    // One that is killed between two polls is missed at the next heartbeat.
    let heartbeat = [
        ("LIVEROOM__ENGINEIO__PING_INTERVAL_MS", "1000"),
        ("LIVEROOM__ENGINEIO__PING_TIMEOUT_MS", "2000"),
    ];
    leaves_after_the_grace(&heartbeat, |client| client.signal("KILL"));
}

fn leaves_after_the_grace(env: &[(&str, &str)], go: fn(&mut Client)) {
    const GRACE: Duration = Duration::from_millis(400);
    let grace_ms = GRACE.as_millis().to_string();
    let env: Vec<_> = env
        .iter()
        .copied()
        .chain([("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", &*grace_ms)])
        .collect();
    let mut stage = Stage::set(&env);
    let mut onlooker = Ws::connect(&stage.server, &stage.owner);
    onlooker.join(stage.live_id);
    stage.join_all();
    for client in &mut stage.clients {
        let id = client.user.id;
        let since = Instant::now();
        go(client);
        let left = onlooker.event_where("online", |online| {
            online["action"] == "leave" && online["user"]["id"] == id
        });
        assert!(
            since.elapsed() >= GRACE,
            "{}: announced after {:?}: {left}",
            client.cell,
            since.elapsed()
        );
    }
    stage.report("good-bye");
}

#[test]
fn the_heartbeat_keeps_who_answers_and_drops_who_does_not() {
    let mut stage = Stage::set(&[
        ("LIVEROOM__ENGINEIO__PING_INTERVAL_MS", "300"),
        ("LIVEROOM__ENGINEIO__PING_TIMEOUT_MS", "1500"),
        ("LIVEROOM__WEBSOCKET__PING_INTERVAL_MS", "300"),
        ("LIVEROOM__WEBSOCKET__IDLE_TIMEOUT_MS", "1800"),
        ("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", "100"),
    ]);
    let mut onlooker = Ws::connect(&stage.server, &stage.owner);
    onlooker.join(stage.live_id);
    stage.join_all();

    // Twice as long as a client that never answers would be kept.
    let quiet_until = Instant::now() + Duration::from_millis(3_600);
    while Instant::now() < quiet_until {
        // The onlooker answers pings only while it reads.
        let heard = onlooker.so_far();
        assert!(
            heard.iter().all(|frame| frame["data"]["action"] != "leave"),
            "{heard:?}"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    for client in &mut stage.clients {
        assert!(!client.has_lost_its_connection(), "{}", client.cell);
    }

    for client in &stage.clients {
        client.signal("STOP");
    }
    for client in &stage.clients {
        let id = client.user.id;
        onlooker.event_where("online", |online| {
            online["action"] == "leave" && online["user"]["id"] == id
        });
    }
    stage.report("heartbeat");
}

#[test]
fn clients_come_back_by_themselves_after_a_crash() {
    come_back_after(TestServer::kill);
}

#[test]
fn clients_come_back_by_themselves_after_an_orderly_restart() {
    come_back_after(|server| {
        server.signal("TERM");
        server.wait_for_exit();
    });
}

fn come_back_after(end: fn(&mut TestServer)) {
    let port = free_port().to_string();
    let mut stage = Stage::set(&[("LIVEROOM__SERVER__PORT", &port)]);
    // Nothing reconnects a plain WebSocket but the page that opened it.
    stage.clients.retain(|client| client.cell.is_socket_io());
    stage.join_all();
    let ids_before: Vec<_> = stage
        .clients
        .iter()
        .map(|client| client.socket_id.clone())
        .collect();
    end(&mut stage.server);
    stage.clients.iter_mut().for_each(Client::disconnected);
    stage.server.restart();
    for (client, before) in stage.clients.iter_mut().zip(ids_before) {
        client.connected();
        assert_ne!(client.socket_id, before, "{}", client.cell);
    }
    // The tokens are good still, and so is the live.
    stage.join_all();
    stage.clients[0].emit("comment", json!({"live_id": stage.live_id, "data": "back"}));
    for client in &mut stage.clients {
        assert_eq!(
            client.event("comment")["content"],
            "back",
            "{}",
            client.cell
        );
    }
    stage.report("restart");
}

#[test]
fn who_was_cut_off_is_told_what_it_missed_and_nothing_else() {
    let mut stage = Stage::set(&[]);
    stage.join_all();
    let live_id = stage.live_id;
    let mut streamer = Ws::connect(&stage.server, &stage.owner);
    streamer.join(live_id);
    let mut say = |text: &str| {
        streamer.ask("comment", json!({"live_id": live_id, "data": text}))["offset"].clone()
    };
    let seen = say("seen");
    let since: Vec<Value> = stage
        .clients
        .iter_mut()
        .map(|client| {
            let comment = client.event("comment");
            assert_eq!(comment["offset"], seen, "{}", client.cell);
            client.signal("KILL");
            json!({"epoch": comment["epoch"], "offset": comment["offset"]})
        })
        .collect();
    let missed = ["one", "two 世界", "three"].map(|text| (say(text), text));
    for (client, since) in stage.clients.iter_mut().zip(since) {
        let mut back = Client::start(client.cell, stage.server.port(), client.user.clone());
        back.connected();
        let joined = back.ask("joinLive", json!({"live_id": live_id, "since": since}));
        assert_eq!(
            (&joined["ok"], &joined["recovered"]),
            (&json!(true), &json!(true)),
            "{}: {joined}",
            back.cell
        );
        for (offset, text) in &missed {
            let comment = back.event("comment");
            assert_eq!(
                (&comment["offset"], &comment["content"]),
                (offset, &json!(text)),
                "{}",
                back.cell
            );
        }
        *client = back;
    }
    let next = say("next");
    for client in &mut stage.clients {
        assert_eq!(client.event("comment")["offset"], next, "{}", client.cell);
    }
    stage.report("recovery");
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener
        .local_addr()
        .expect("a bound listener has an address")
        .port()
}
