//! Modes of a room by socket and by HTTP, on one node: who may set them, what they refuse, and what
//! outlives a restart.

use serde_json::{Value, json};

use super::client::EngineSocket;
use super::streamed_live::{StreamedLive, code};
use crate::support::Ws;

fn assert_ok(answer: &Value) {
    assert_eq!(answer["ok"], json!(true), "{answer}");
}

#[test]
fn modes_are_one_event_for_all_hold_at_once_and_outlive_a_restart() {
    let mut stage = StreamedLive::start(&[]);
    let (alice, mut ws) = stage.member("alice");
    let set = stage.act("setModes", json!({"slow_s": 60, "gifts_paused": true}));
    assert_ok(&set);
    let event = ws.event("modes");
    assert_eq!(
        (&event["slow_s"], &event["gifts_paused"], &event["by"]),
        (&json!(60), &json!(true), &json!(stage.streamer.id)),
        "{event}"
    );
    assert_eq!(event["version"], set["version"], "{event}");
    assert_ok(&stage.says(&mut ws, "one"));
    let refused = stage.says(&mut ws, "two");
    assert_eq!(
        (code(&refused), &refused["message"]),
        ("slow_mode", &json!("发言太快，请稍后再试"))
    );
    let left_ms = refused["retry_after_ms"].as_i64().expect("a time");
    assert!((1..=60_000).contains(&left_ms), "{refused}");

    let frozen = stage.operator("modes", &json!({"frozen": true}));
    assert_eq!(frozen["modes"]["slow_s"], json!(60), "{frozen}");
    assert_eq!(ws.event("modes")["by"], json!("operator"));
    let refused = stage.says(&mut ws, "three");
    assert_eq!(
        (code(&refused), &refused["message"]),
        ("frozen", &json!("主播已开启全员禁言"))
    );

    let later = stage.server.live(&stage.streamer);
    stage.server.kill();
    stage.server.restart();
    let mut ws = Ws::connect(&stage.server, &alice);
    for live in [stage.live, later] {
        let joined = ws.ask("joinLive", json!({"live_id": live}));
        assert_eq!(joined["modes"], frozen["modes"], "{joined}");
        let refused = ws.ask("comment", json!({"live_id": live, "data": "hi"}));
        assert_eq!(code(&refused), "frozen");
    }
}

#[test]
fn a_mode_that_is_not_one_and_a_viewer_that_sets_one_are_refused_and_change_nothing() {
    let stage = StreamedLive::start(&[]);
    let (_, mut viewer) = stage.member("alice");
    for bad in [
        json!({}),
        json!({"slow": 30}),
        json!({"slow_s": 121}),
        json!({"slow_s": true}),
        json!({"frozen": 1}),
        json!({"mod_delay_s": 3}),
        json!({"frozen": true, "followers_min": -2}),
    ] {
        let refused = stage.act("setModes", bad.clone());
        assert_eq!(code(&refused), "bad_request", "{bad}");
        let path = format!("/admin/rooms/{}/modes", stage.live);
        assert_eq!(stage.server.admin_post(&path, &bad).status, 422, "{bad}");
    }
    let refused = viewer.ask("setModes", stage.about(json!({"frozen": true})));
    assert_eq!(code(&refused), "not_allowed");
    let named = |seconds| json!({"slow_s": seconds, "request_id": "m-1"});
    let first = stage.act("setModes", named(5));
    let again = stage.act("setModes", named(5));
    assert_eq!(again["version"], first["version"], "{again}");
    assert_eq!(code(&stage.act("setModes", named(6))), "duplicate_conflict");
    let path = format!("/admin/rooms/{}/modes", stage.live);
    let modes = stage.server.admin_get(&path).ok();
    assert_eq!(
        (&modes["modes"]["slow_s"], &modes["modes"]["frozen"]),
        (&json!(5), &json!(false)),
        "{modes}"
    );
    assert_ok(&stage.says(&mut viewer, "hi"));
}

#[test]
fn who_follows_or_gives_speaks_from_then_on() {
    let stage = StreamedLive::start(&[]);
    let alice = stage.server.rich_user("alice", 100);
    let mut ws = stage.joined(&alice);
    let gift = stage.server.gift("rose", 7);
    assert_ok(&stage.act("setModes", json!({"followers_min": 0})));
    let refused = stage.says(&mut ws, "one");
    assert_eq!(
        (code(&refused), &refused["message"]),
        ("followers_only", &json!("关注主播后才能发言"))
    );
    let me = format!("/api/live/{}/me", stage.live);
    let checks = stage.server.get_as(&alice, &me).ok()["checks"].clone();
    let refusing = checks.as_array().into_iter().flatten();
    let refusing: Vec<&Value> = refusing
        .filter(|check| check["passed"] == json!(false))
        .map(|check| &check["check"])
        .collect();
    assert_eq!(refusing, [&json!("followers")]);
    let follow = json!({"user_id": stage.streamer.id, "follow": true});
    stage
        .server
        .post_as(&alice, "/api/user/follow", &follow)
        .ok();
    assert_ok(&stage.says(&mut ws, "two"));

    assert_ok(&stage.act("setModes", json!({"gifters_coins": 7})));
    ws.event_where("modes", |modes| modes["gifters_coins"] == json!(7));
    let refused = stage.says(&mut ws, "three");
    assert_eq!(
        (code(&refused), &refused["message"]),
        ("gifters_only", &json!("送礼后才能发言"))
    );
    assert_ok(&ws.ask("gift", stage.about(json!({"gift_id": gift}))));
    assert_ok(&stage.says(&mut ws, "four"));
}

#[test]
fn clients_of_both_revisions_set_modes_and_hear_refusals_as_they_always_did() {
    let stage = StreamedLive::start(&[]);
    let alice = stage.server.user("alice");
    for (eio, seconds) in [(3, 10), (4, 20)] {
        let path = format!("/socket.io/?EIO={eio}&transport=websocket");
        let mut socket = EngineSocket::connect(stage.server.port(), &path).expect("a handshake");
        if eio == 4 {
            socket.send("40");
        }
        let until = |socket: &mut EngineSocket, start: &str| loop {
            let packet = socket.read().expect("it comes");
            if packet.starts_with(start) {
                return packet;
            }
        };
        let set =
            stage.about(json!({"frozen": true, "slow_s": seconds, "token": stage.streamer.token}));
        socket.send(&format!("427{}", json!(["setModes", set])));
        let answer = until(&mut socket, "437");
        assert!(
            answer.contains(&format!("\"slow_s\":{seconds}")),
            "{answer}"
        );
        let join = stage.about(json!({"token": alice.token}));
        socket.send(&format!("428{}", json!(["joinLive", join])));
        let joined = until(&mut socket, "438");
        assert!(joined.contains("\"modes\":{"), "{joined}");
        let comment = stage.about(json!({"data": "hi", "token": alice.token}));
        socket.send(&format!("42{}", json!(["comment", comment])));
        let refusal = loop {
            let packet = until(&mut socket, "42[");
            if packet.contains("\"action\":\"error\"") {
                break packet;
            }
        };
        assert!(refusal.contains("主播已开启全员禁言"), "{refusal}");
        let melt = stage.about(json!({"frozen": false, "token": stage.streamer.token}));
        socket.send(&format!("429{}", json!(["setModes", melt])));
        until(&mut socket, "439");
    }
}

#[test]
fn whoever_may_not_give_any_more_is_answered_for_a_gift_that_was_committed_before() {
    let stage = StreamedLive::start(&[]);
    let gift = stage.server.gift("rose", 7);
    let alice = stage.server.rich_user("alice", 100);
    let mut ws = stage.joined(&alice);
    let mut give = |request_id: &str| {
        let order = stage.about(json!({"gift_id": gift, "request_id": request_id}));
        let mut answer = ws.ask("gift", order);
        answer.as_object_mut().expect("an answer").remove("id");
        answer
    };
    let first = give("g-1");
    assert_ok(&first);
    let barring = [
        ("setModes", json!({"gifts_paused": true}), "gifts_paused"),
        (
            "mute",
            json!({"user_id": alice.id, "seconds": 60, "gifts": false}),
            "muted",
        ),
        ("ban", json!({"user_id": alice.id, "seconds": 60}), "banned"),
    ];
    for (act, data, refusal) in barring {
        assert_ok(&stage.act(act, data));
        assert_eq!(code(&give("g-2")), refusal);
        assert_eq!(give("g-1"), first, "{refusal}");
    }
    assert_eq!(stage.server.balance(&alice), 93);
}
