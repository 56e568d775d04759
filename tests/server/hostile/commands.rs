//! Commands that no client of ours would send.

use serde_json::{Value, json};

use super::bystanders::Bystanders;
use crate::support::{TestServer, Ws};

/// Limits that a stream of commands does not meet.
const FAST: &[(&str, &str)] = &[
    ("LIVEROOM__LIMITS__COMMAND_BURST", "100000"),
    ("LIVEROOM__LIMITS__COMMANDS_PER_S", "100000"),
    ("LIVEROOM__LIMITS__COMMENT_BURST", "100000"),
];

/// Values that are wrong almost everywhere.
fn odd_values() -> Vec<Value> {
    vec![
        json!(null),
        json!(true),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(1e308),
        json!(u64::MAX),
        json!(i64::MIN),
        json!(""),
        json!(" 1"),
        json!("7abc"),
        json!("１"),
        json!("\u{0}"),
        json!("x".repeat(7_000)),
        json!([]),
        json!([7, 8]),
        json!({}),
        json!({"_placeholder": true, "num": 0}),
    ]
}

#[test]
fn every_wrong_type_in_every_field_is_answered_once_and_by_its_name() {
    const CODES: &[&str] = &[
        "unauthorized",
        "token_invalid",
        "live_not_found",
        "gift_not_found",
        "not_in_room",
        "comment_too_long",
        "comment_refused",
        "coins_insufficient",
        "duplicate_conflict",
        "bad_request",
    ];
    let server = TestServer::start(FAST);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    let mut bystanders = Bystanders::meet(&server, &alice);
    let mut ws = Ws::connect(&server, &alice);
    for event in [
        "joinLive",
        "comment",
        "gift",
        "auth",
        "unheardOf",
        "leaveLive",
    ] {
        for field in [
            "live_id",
            "token",
            "data",
            "gift_id",
            "num",
            "request_id",
            "since",
        ] {
            for value in odd_values() {
                ws.join(live_id);
                let mut data = json!({"live_id": live_id, "data": "hello", "gift_id": 1});
                data[field] = value.clone();
                let answer = ws.ask(event, data);
                let known = answer["ok"] == json!(true)
                    || CODES.iter().any(|code| answer["code"] == json!(code));
                assert!(known, "{event} {field} {value}: {answer}");
            }
        }
        for payload in [json!(null), json!(1), json!("x"), json!([]), json!(true)] {
            let answer = ws.ask(event, payload.clone());
            assert_eq!(answer["ok"], json!(false), "{event} {payload}: {answer}");
        }
    }
    bystanders.assert_unharmed(&server, "wrong types");
    server.assert_books_balance();
}

#[test]
fn texts_that_are_not_quite_json_are_answered_and_end_nothing() {
    let server = TestServer::start(FAST);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    let mut ws = Ws::connect(&server, &alice);
    let comment = |data: &str| {
        format!(r#"{{"id":"it","event":"comment","data":{{"live_id":{live_id},"data":{data}}}}}"#)
    };
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    let not_json = [
        String::new(),
        "null".to_owned(),
        "[]".to_owned(),
        "{".to_owned(),
        "\u{feff}{}".to_owned(),
        r#"{"id":1e999,"event":"x"}"#.to_owned(),
        r#"{"id":1,"id":2,"event":"comment"}"#.to_owned(),
        "[".repeat(60_000),
        r#"{"a":"#.repeat(10_000),
    ];
    for text in &not_json {
        ws.send_text(text);
        let frame = ws.wait_for(&text[..text.len().min(40)], |frame| {
            frame["event"] == json!("error")
        });
        assert_eq!(frame["data"]["code"], json!("bad_request"), "{frame}");
    }
    // What still shows which command it was is answered under its id.
    for data in [
        "NaN",
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        &deep(17),
        &deep(20_000),
        &format!("{:?}", "x".repeat(60_000)),
    ] {
        ws.send_text(&comment(data));
        let answer = ws.wait_for(&data[..data.len().min(40)], |frame| {
            frame["id"] == json!("it") || frame["event"] == json!("error")
        });
        let code = if answer["id"].is_null() {
            &answer["data"]["code"]
        } else {
            &answer["code"]
        };
        assert_eq!(*code, json!("bad_request"), "{answer}");
    }
    assert_eq!(ws.join(live_id)["ok"], json!(true), "the session goes on");
}

#[test]
fn any_unicode_passes_unchanged_but_nul() {
    let server = TestServer::start(FAST);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    let mut ws = Ws::connect(&server, &alice);
    ws.join(live_id);
    for text in [
        "\u{202e}evil\u{202c}",
        "\u{200b}",
        "\u{feff}x",
        "\u{1b}[31m\r\n\u{7f}",
        "👩‍👩‍👧‍👦",
        "<script>",
        "\u{10ffff}",
    ] {
        let answer = ws.ask("comment", json!({"live_id": live_id, "data": text}));
        assert_eq!(answer["ok"], json!(true), "{text:?}: {answer}");
        assert_eq!(ws.event("comment")["content"], json!(text));
    }
    let answer = ws.ask("comment", json!({"live_id": live_id, "data": "a\u{0}b"}));
    assert_eq!(answer["code"], json!("comment_refused"), "{answer}");
}

#[test]
fn a_session_has_eight_rooms_and_no_ninth_until_it_leaves_one() {
    let server = TestServer::start(FAST);
    let alice = server.user("alice");
    let lives: Vec<i64> = (0..9).map(|_| server.live(&alice)).collect();
    let mut ws = Ws::connect(&server, &alice);
    for live_id in &lives[..8] {
        ws.join(*live_id);
    }
    let refused = ws.ask("joinLive", json!({"live_id": lives[8]}));
    assert_eq!(refused["code"], json!("bad_request"), "{refused}");
    ws.join(lives[0]);
    assert_eq!(
        ws.ask("leaveLive", json!({"live_id": lives[0]}))["ok"],
        json!(true)
    );
    ws.join(lives[8]);
}

#[test]
fn unknown_lives_cost_nobody_anything() {
    let server = TestServer::start(FAST);
    let alice = server.user("alice");
    let mut bystanders = Bystanders::meet(&server, &alice);
    let mut ws = Ws::connect(&server, &alice);
    for batch in 0..20 {
        let asked: Vec<i64> = (0..50)
            .map(|n| ws.send("joinLive", json!({"live_id": 1_000_000 + batch * 50 + n})))
            .collect();
        for id in asked {
            let answer = ws.answer(id);
            assert_eq!(answer["code"], json!("live_not_found"), "{answer}");
        }
    }
    bystanders.assert_unharmed(&server, "a thousand unknown lives");
    let rooms = server.admin_get("/admin/rooms").ok();
    assert_eq!(
        rooms.as_array().map(Vec::len),
        Some(1),
        "nothing is kept of them: {rooms}"
    );
}
