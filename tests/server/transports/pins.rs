//! The pinned comment over every transport: who pins, who sees it, and when it goes.

use serde_json::{Value, json};

use super::client::{Eio, EngineSocket, Poller};
use super::streamed_live::{StreamedLive, code};
use crate::support::{User, Ws};

/// A comment of this member, and its id.
fn comment(stage: &StreamedLive, ws: &mut Ws, text: &str) -> Value {
    let answer = stage.says(ws, text);
    assert_eq!(answer["ok"], json!(true), "{answer}");
    answer["comment_id"].clone()
}

fn pinned(answer: &Value) -> &Value {
    assert_eq!(answer["ok"], json!(true), "{answer}");
    &answer["pinned"]
}

#[test]
fn a_pinned_comment_is_seen_by_all_and_by_who_joins_until_it_is_taken_down() {
    let mut stage = StreamedLive::start(&[]);
    let (alice, mut ws) = stage.member("alice");
    let (bobby, mut other) = stage.member("bobby");
    let id = comment(&stage, &mut ws, "read this");
    assert_eq!(
        stage.act("pin", json!({"comment_id": id}))["ok"],
        json!(true)
    );
    for ws in [&mut ws, &mut other] {
        let event = ws.event("pinned");
        assert_eq!(
            (&event["comment"]["id"], &event["comment"]["content"]),
            (&id, &json!("read this")),
            "{event}"
        );
        assert_eq!(event["by"], json!(stage.streamer.id));
        assert!(event["offset"].is_u64(), "it has a place: {event}");
    }
    let mut late = Ws::connect(&stage.server, &bobby);
    let joined = late.ask("joinLive", json!({"live_id": stage.live}));
    assert_eq!(pinned(&joined)["content"], json!("read this"));

    stage.server.kill();
    stage.server.restart();
    let mut late = Ws::connect(&stage.server, &bobby);
    let joined = late.ask("joinLive", json!({"live_id": stage.live}));
    assert_eq!(pinned(&joined)["user"]["id"], json!(alice.id), "{joined}");

    stage.act("deleteComment", json!({"comment_id": id}));
    let event = late.event("pinned");
    assert_eq!(event["comment"], Value::Null, "{event}");
    let joined = late.ask("joinLive", json!({"live_id": stage.live}));
    assert_eq!(pinned(&joined), &Value::Null);
    assert_eq!(
        code(&stage.act("pin", json!({"comment_id": id}))),
        "comment_not_found"
    );
}

#[test]
fn a_ban_with_a_purge_takes_the_pin_of_its_user_down() {
    let stage = StreamedLive::start(&[]);
    let (alice, mut ws) = stage.member("alice");
    let (_, mut bystander) = stage.member("bobby");
    let id = comment(&stage, &mut ws, "spam");
    stage.operator("pin", &json!({"comment_id": id}));
    assert_eq!(bystander.event("pinned")["by"], json!("operator"));
    stage.act("ban", json!({"user_id": alice.id, "seconds": -1}));
    assert_eq!(bystander.event("removed")["ids"], json!([id]));
    assert_eq!(bystander.event("pinned")["comment"], Value::Null);
}

#[test]
fn moderators_pin_and_viewers_do_not_and_faults_leave_what_is_pinned() {
    let stage = StreamedLive::start(&[]);
    let (alice, mut moderator) = stage.member("alice");
    let (_, mut viewer) = stage.member("bobby");
    stage.act(
        "setModerator",
        json!({"user_id": alice.id, "moderator": true}),
    );
    moderator.event("role");
    let id = comment(&stage, &mut viewer, "hello");
    let other_live = stage.server.live(&stage.streamer);
    let ask = |ws: &mut Ws, data: Value| ws.ask("pin", stage.about(data));
    assert_eq!(
        code(&ask(&mut viewer, json!({"comment_id": id}))),
        "not_allowed"
    );
    let done = ask(
        &mut moderator,
        json!({"comment_id": id, "request_id": "p-1"}),
    );
    assert_eq!(done["ok"], json!(true), "{done}");
    for (data, expected) in [
        (json!({}), "bad_request"),
        (json!({"comment_id": "c1"}), "bad_request"),
        (json!({"comment_id": 99}), "comment_not_found"),
        (
            json!({"comment_id": null, "request_id": "p-1"}),
            "duplicate_conflict",
        ),
    ] {
        assert_eq!(code(&ask(&mut moderator, data.clone())), expected, "{data}");
    }
    let elsewhere = json!({"live_id": other_live, "comment_id": id});
    assert_eq!(
        code(&Ws::connect(&stage.server, &stage.streamer).ask("pin", elsewhere)),
        "comment_not_found",
        "of another live"
    );
    let joined = viewer.ask("joinLive", json!({"live_id": stage.live}));
    assert_eq!(pinned(&joined)["id"], id);
    let path = format!("/admin/rooms/{}/pin", stage.live);
    for (body, status) in [
        (json!({"comment_id": "x"}), 422),
        (json!({"comment_id": 1.5}), 422),
        (json!({}), 422),
        (json!({"comment_id": null, "else": 1}), 422),
        (json!({"comment_id": 99}), 404),
    ] {
        let answer = stage.server.admin_post(&path, &body);
        assert_eq!(answer.status, status, "{body} {}", answer.text());
    }
    let nothing = stage.operator("pin", &json!({"comment_id": null}));
    assert_eq!(nothing, json!({"live_id": stage.live, "comment_id": null}));
    let event = viewer.event_where("pinned", |event| event["comment"].is_null());
    assert_eq!(event["by"], json!("operator"));
}

/// The next packet that has this text.
fn until(mut next: impl FnMut() -> Vec<String>, text: &str) -> String {
    loop {
        let packets = next();
        assert!(!packets.is_empty(), "the session goes on");
        if let Some(packet) = packets.into_iter().find(|packet| packet.contains(text)) {
            return packet;
        }
    }
}

fn packet(prefix: &str, event: &str, user: &User, mut data: Value) -> String {
    data["token"] = json!(user.token);
    format!("{prefix}{}", json!([event, data]))
}

#[test]
fn socket_io_clients_pin_and_see_what_is_pinned() {
    let stage = StreamedLive::start(&[]);
    let (alice, mut ws) = stage.member("alice");
    let id = comment(&stage, &mut ws, "read this");
    let mut socket =
        EngineSocket::connect(stage.server.port(), "/socket.io/?EIO=4&transport=websocket")
            .expect("the handshake succeeds");
    let next = |socket: &mut EngineSocket| socket.read().into_iter().collect();
    socket.send("40");
    let pin = stage.about(json!({"comment_id": id}));
    socket.send(&packet("427", "pin", &stage.streamer, pin));
    let answer = until(|| next(&mut socket), "437");
    assert_eq!(answer, r#"437[{"ok":true}]"#);
    let join = json!({"live_id": stage.live});
    socket.send(&packet("428", "joinLive", &alice, join.clone()));
    let answer = until(|| next(&mut socket), "438");
    assert!(answer.contains(r#""pinned":{"user""#), "{answer}");

    // Socket.IO 2, by polling.
    let polling = Poller::connect(&stage.server, Eio::V3);
    polling.join(&alice, stage.live);
    let unpin = stage.about(json!({"comment_id": null}));
    socket.send(&packet("429", "pin", &stage.streamer, unpin));
    let event = until(|| polling.poll(), r#"["pinned""#);
    assert!(event.contains(r#""comment":null"#), "{event}");
}
