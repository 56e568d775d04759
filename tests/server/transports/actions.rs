//! Actions of a streamer by socket: each wire form, who may, and what becomes of faults and
//! repeats.

use serde_json::{Value, json};

use super::client::EngineSocket;
use super::streamed_live::{StreamedLive, code};
use crate::support::Ws;

#[test]
fn a_streamer_removes_a_comment_and_a_user_and_speaks_to_all() {
    let stage = StreamedLive::start(&[]);
    let (alice, bobby) = (stage.server.user("alice"), stage.server.user("bobby"));
    let (mut rude, mut bystander) = (stage.joined(&alice), stage.joined(&bobby));
    // It need not be in the room itself.
    let mut streamer = Ws::connect(&stage.server, &stage.streamer);
    let comment =
        rude.ask("comment", json!({"live_id": stage.live, "data": "rude"}))["comment_id"].clone();

    let about = |data| stage.about(data);
    let done = json!({"ok": true});
    let answer = |mut answer: Value| {
        answer.as_object_mut().expect("an object").remove("id");
        answer
    };
    assert_eq!(
        answer(streamer.ask("deleteComment", about(json!({"comment_id": comment})))),
        done
    );
    assert_eq!(
        answer(streamer.ask(
            "kick",
            about(json!({"user_id": alice.id, "reason": "rude"}))
        )),
        done
    );
    assert_eq!(
        answer(streamer.ask("notice", about(json!({"text": "be kind"})))),
        done
    );
    for ws in [&mut rude, &mut bystander] {
        assert_eq!(ws.event("removed")["id"], comment);
    }
    assert_eq!(rude.event("kicked")["code"], json!("kicked"));
    assert_eq!(
        code(&rude.ask("comment", about(json!({"data": "why?"})))),
        "not_in_room"
    );
    assert_eq!(bystander.event("notice")["text"], json!("be kind"));
    assert_eq!(
        bystander.ask("comment", about(json!({"data": "calm"})))["ok"],
        json!(true)
    );
}

#[test]
fn a_live_is_renamed_by_its_streamer_and_by_operators_until_it_ends() {
    let stage = StreamedLive::start(&[]);
    let mut member = stage.joined(&stage.server.user("alice"));
    let mut streamer = Ws::connect(&stage.server, &stage.streamer);
    let rename = |title: &str| json!({"live_id": stage.live, "title": title});
    assert_eq!(
        streamer.ask("setTitle", rename("tonight"))["ok"],
        json!(true)
    );
    let event = member.event("live");
    assert_eq!(
        (&event["title"], &event["status"]),
        (&json!("tonight"), &json!(1)),
        "{event}"
    );
    let path = format!("/admin/rooms/{}/title", stage.live);
    let answer = stage
        .server
        .admin_post(&path, &json!({"title": "civil", "reason": "rude"}))
        .ok();
    assert_eq!(answer, json!({"live_id": stage.live, "title": "civil"}));
    assert_eq!(member.event("live")["title"], json!("civil"));
    let read = stage
        .server
        .get(&format!("/api/live/read/{}", stage.live))
        .ok();
    assert_eq!(read["data"]["title"], json!("civil"), "{read}");
    for title in ["", "a\0", &"界".repeat(101)] {
        assert_eq!(
            code(&streamer.ask("setTitle", rename(title))),
            "bad_request",
            "{title:?}"
        );
    }
    stage
        .server
        .change_status(&stage.streamer, stage.live, "stop");
    assert_eq!(
        code(&streamer.ask("setTitle", rename("too late"))),
        "live_ended"
    );
}

#[test]
fn viewers_act_on_nobody_and_a_streamer_in_its_own_lives_alone() {
    let stage = StreamedLive::start(&[]);
    let (alice, bobby) = (stage.server.user("alice"), stage.server.user("bobby"));
    let other_live = stage.server.live(&bobby);
    let mut bystander = stage.joined(&bobby);
    let mut alice = stage.joined(&alice);
    let mut streamer = stage.joined(&stage.streamer);
    for ws in [&mut alice, &mut streamer] {
        for (event, data) in [
            ("kick", json!({"live_id": other_live, "user_id": bobby.id})),
            ("notice", json!({"live_id": other_live, "text": "hello"})),
            (
                "deleteComment",
                json!({"live_id": other_live, "comment_id": "1"}),
            ),
        ] {
            assert_eq!(code(&ws.ask(event, data)), "not_allowed", "{event}");
        }
    }
    assert_eq!(
        code(&alice.ask("kick", json!({"live_id": stage.live, "user_id": bobby.id}))),
        "not_allowed"
    );
    let itself = json!({"live_id": stage.live, "user_id": stage.streamer.id});
    assert_eq!(code(&streamer.ask("kick", itself)), "not_allowed");
    assert_eq!(
        bystander.ask("comment", json!({"live_id": stage.live, "data": "here"}))["ok"],
        json!(true)
    );
}

#[test]
fn faults_are_answered_in_their_order_and_a_repeated_action_has_one_effect() {
    let stage = StreamedLive::start(&[]);
    let mut member = stage.joined(&stage.server.user("alice"));
    let mut streamer = Ws::connect(&stage.server, &stage.streamer);
    let mut ask = |event: &str, data: Value| streamer.ask(event, data);
    let live = stage.live;
    for (event, data, expected) in [
        ("notice", json!({"text": ""}), "live_not_found"),
        (
            "notice",
            json!({"live_id": 999_999, "text": "hello"}),
            "live_not_found",
        ),
        (
            "notice",
            json!({"live_id": live, "text": "界".repeat(201)}),
            "bad_request",
        ),
        (
            "notice",
            json!({"live_id": live, "text": "hello", "request_id": "a b"}),
            "bad_request",
        ),
        (
            "notice",
            json!({"live_id": live, "text": "hello", "reason": 5}),
            "bad_request",
        ),
        (
            "kick",
            json!({"live_id": live, "user_id": "nobody"}),
            "bad_request",
        ),
        (
            "deleteComment",
            json!({"live_id": live, "comment_id": 12}),
            "comment_not_found",
        ),
        ("deleteComment", json!({"live_id": live}), "bad_request"),
    ] {
        assert_eq!(code(&ask(event, data.clone())), expected, "{event} {data}");
    }
    let named = |text: &str| json!({"live_id": live, "text": text, "request_id": "n-1"});
    for _ in 0..3 {
        assert_eq!(ask("notice", named("once"))["ok"], json!(true));
    }
    assert_eq!(code(&ask("notice", named("another"))), "duplicate_conflict");
    assert_eq!(
        ask("notice", json!({"live_id": live, "text": "twice"}))["ok"],
        json!(true)
    );
    let notices =
        [member.event("notice"), member.event("notice")].map(|event| event["text"].clone());
    assert_eq!(notices, [json!("once"), json!("twice")]);
}

#[test]
fn a_socket_io_client_acts_with_its_token_and_hears_a_refusal_without_an_ack_under_its_id() {
    let stage = StreamedLive::start(&[]);
    let alice = stage.server.user("alice");
    let mut member = stage.joined(&alice);
    let mut socket =
        EngineSocket::connect(stage.server.port(), "/socket.io/?EIO=4&transport=websocket")
            .expect("the handshake succeeds");
    socket.send("40");
    let packet = |ack: &str, token: &str| {
        let fields = json!({"live_id": stage.live, "text": "hello", "token": token});
        format!("42{ack}{}", json!(["notice", fields]))
    };
    socket.send(&packet("7", &stage.streamer.token));
    assert_eq!(socket.until("437"), r#"437[{"ok":true}]"#);
    assert_eq!(member.event("notice")["text"], json!("hello"));
    socket.send(&packet("", &alice.token));
    let refusal = socket.until("42[");
    assert!(
        refusal.contains(r#""data":{"action":"error","payload":"没有权限"}"#),
        "{refusal}"
    );
}
