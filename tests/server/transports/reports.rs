//! Reports over every transport: who reports, who hears of it, and who settles them.

use serde_json::{Value, json};

use super::client::EngineSocket;
use super::streamed_live::{StreamedLive, code};
use crate::support::{User, Ws};

fn report(stage: &StreamedLive, ws: &mut Ws, id: &Value) -> Value {
    ws.ask(
        "report",
        stage.about(json!({"comment_id": id, "reason": "rude"})),
    )
}

fn queue(stage: &StreamedLive, user: &User) -> Value {
    let path = format!("/api/live/{}/reports", stage.live);
    stage.server.get_as(user, &path).ok()["reports"].clone()
}

#[test]
fn a_reported_comment_waits_for_those_who_keep_order_until_it_is_settled() {
    let stage = StreamedLive::start(&[]);
    let (moderator, mut moderator_ws) = stage.member("alice");
    let (bobby, mut rude) = stage.member("bobby");
    let (carol, mut ws) = stage.member("carol");
    stage.act(
        "setModerator",
        json!({"user_id": moderator.id, "moderator": true}),
    );
    moderator_ws.event("role");
    let ids = ["one", "two"].map(|text| stage.says(&mut rude, text)["comment_id"].clone());
    for id in [&ids[0], &ids[0], &ids[1]] {
        let answer = report(&stage, &mut ws, id);
        assert_eq!(answer["ok"], json!(true), "{answer}");
    }
    let notice = moderator_ws.event("reported");
    assert_eq!(
        notice,
        json!({"live_id": stage.live, "open": 1, "comments": [{"id": ids[0], "reports": 1}]})
    );
    let notice = moderator_ws.event("reported");
    assert_eq!(notice["open"], json!(2), "{notice}");

    let queued = queue(&stage, &moderator);
    assert_eq!(queued[1]["comment"]["content"], json!("one"), "{queued}");
    assert_eq!(queued[1]["reports"], json!(1));
    let reporter = &queued[1]["reporters"][0];
    assert_eq!(
        (&reporter["user_id"], &reporter["reason"]),
        (&json!(carol.id), &json!("rude")),
        "{queued}"
    );
    let path = format!("/api/live/{}/reports", stage.live);
    let refused = stage.server.get_as(&bobby, &path);
    assert_eq!(refused.status, 400, "{}", refused.text());
    assert_eq!(refused.json()["data"], json!("没有权限"));

    let dismiss = stage.about(json!({"comment_id": ids[0]}));
    assert_eq!(
        code(&ws.ask("dismissReports", dismiss.clone())),
        "not_allowed"
    );
    assert_eq!(
        moderator_ws.ask("dismissReports", dismiss)["ok"],
        json!(true)
    );
    stage.act("deleteComment", json!({"comment_id": ids[1]}));
    assert_eq!(queue(&stage, &moderator), json!([]));
    let heard = ws.so_far();
    assert!(
        heard
            .iter()
            .all(|frame| frame["event"] != json!("reported")),
        "viewers hear nothing of it"
    );
}

#[test]
fn faults_of_a_report_are_answered_and_five_a_minute_pass() {
    let stage = StreamedLive::start(&[]);
    let (_, mut author) = stage.member("alice");
    let (bobby, mut ws) = stage.member("bobby");
    let id = stage.says(&mut author, "rude")["comment_id"].clone();
    let outside = &mut Ws::connect(&stage.server, &stage.server.user("carol"));
    assert_eq!(code(&report(&stage, outside, &id)), "not_in_room");
    for data in [
        json!({"comment_id": id}),
        json!({"comment_id": id, "reason": ""}),
        json!({"comment_id": id, "reason": "界".repeat(501)}),
        json!({"reason": "rude"}),
    ] {
        assert_eq!(
            code(&ws.ask("report", stage.about(data.clone()))),
            "bad_request",
            "{data}"
        );
    }
    assert_eq!(code(&report(&stage, &mut author, &id)), "not_allowed");
    assert_eq!(
        code(&report(&stage, &mut ws, &json!(99))),
        "comment_not_found"
    );
    for _ in 0..4 {
        assert_eq!(report(&stage, &mut ws, &id)["ok"], json!(true));
    }
    // In another session of the same user, too.
    let mut second = stage.joined(&bobby);
    let refused = report(&stage, &mut second, &id);
    assert_eq!(code(&refused), "rate_limited");
    let retry_after_ms = refused["retry_after_ms"].as_u64().expect("when");
    assert!((1..=12_000).contains(&retry_after_ms), "{refused}");
    assert_eq!(stage.says(&mut second, "and talks on")["ok"], json!(true));
}

#[test]
fn socket_io_clients_report_and_operators_settle() {
    let stage = StreamedLive::start(&[]);
    let (alice, mut author) = stage.member("alice");
    let bobby = stage.server.user("bobby");
    let id = stage.says(&mut author, "rude")["comment_id"].clone();
    for eio in [3, 4] {
        let path = format!("/socket.io/?EIO={eio}&transport=websocket");
        let mut socket =
            EngineSocket::connect(stage.server.port(), &path).expect("the handshake succeeds");
        if eio == 4 {
            socket.send("40");
        }
        let mut ask = |ack: u8, event: &str, mut data: Value| {
            data["token"] = json!(bobby.token);
            socket.send(&format!("42{ack}{}", json!([event, stage.about(data)])));
            let start = format!("43{ack}");
            loop {
                let packet = socket.read().expect("the connection stays open");
                if let Some(answer) = packet.strip_prefix(&start) {
                    return answer.to_owned();
                }
            }
        };
        ask(1, "joinLive", json!({}));
        let reported = ask(2, "report", json!({"comment_id": id, "reason": "rude"}));
        assert_eq!(reported, r#"[{"ok":true}]"#, "revision {eio}");
    }
    let path = format!("/admin/rooms/{}/reports", stage.live);
    let queued = stage.server.admin_get(&path).ok();
    assert_eq!(
        queued["reports"][0]["comment"]["user"]["id"],
        json!(alice.id)
    );
    assert_eq!(queued["next"], Value::Null);
    let anywhere = stage.server.admin_get("/admin/reports").ok();
    assert_eq!(anywhere, queued, "the same over all lives");
    let malformed = stage.server.admin_get("/admin/reports?cursor=none");
    assert_eq!(malformed.status, 400, "{}", malformed.text());
    for (body, status) in [
        (json!({"comment_id": 99}), 404),
        (json!({"comment_id": null}), 422),
        (json!({}), 422),
    ] {
        let path = format!("/admin/rooms/{}/dismiss_reports", stage.live);
        let answer = stage.server.admin_post(&path, &body);
        assert_eq!(answer.status, status, "{body} {}", answer.text());
    }
    stage.operator("dismiss_reports", &json!({"comment_id": id}));
    assert_eq!(stage.server.admin_get(&path).ok()["reports"], json!([]));
}
