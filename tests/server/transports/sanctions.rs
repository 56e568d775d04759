//! Mutes, bans, shadows and moderators by socket and by HTTP, on one node: who may, what each
//! forbids, who is notified, and what outlives a restart.

use serde_json::{Value, json};

use super::client::EngineSocket;
use super::streamed_live::{StreamedLive, code};
use crate::support::{Answer, PASSWORD, User, Ws, eventually};

fn start() -> StreamedLive {
    StreamedLive::start(&[("LIVEROOM__ROOMS__RECONCILE_MS", "200")])
}

fn assert_ok(answer: &Value) {
    assert_eq!(answer["ok"], json!(true), "{answer}");
}

/// What a request that failed so is answered with.
fn failed(answer: &Answer, status: u16) -> Value {
    assert_eq!(answer.status, status, "{}", answer.text());
    answer.json()["data"].clone()
}

#[test]
fn a_muted_user_hears_until_when_and_why_and_speaks_again_when_it_is_lifted() {
    let stage = start();
    let (alice, mut ws) = stage.member("alice");
    let (_, mut bystander) = stage.member("bobby");
    let muted = stage.act(
        "mute",
        json!({"user_id": alice.id, "seconds": 600, "reason": "spam"}),
    );
    assert_ok(&muted);
    assert_eq!(
        (&muted["kind"], &muted["scope"], &muted["reason"]),
        (&json!("mute"), &json!("streamer"), &json!("spam")),
        "{muted}"
    );
    let until_ms = &muted["until_ms"];
    assert!(until_ms.is_i64(), "{muted}");
    let event = ws.event("muted");
    assert_eq!(
        event,
        json!({"live_id": stage.live, "until_ms": until_ms, "reason": "spam"})
    );

    let refused = stage.says(&mut ws, "hi");
    assert_eq!(code(&refused), "muted");
    assert_eq!(
        (&refused["message"], &refused["until_ms"], &refused["scope"]),
        (&json!("你已被禁言"), until_ms, &json!("streamer")),
        "{refused}"
    );
    let left_ms = refused["retry_after_ms"]
        .as_i64()
        .expect("it ends by itself");
    assert!((1..=600_000).contains(&left_ms), "{refused}");
    assert_ok(&stage.says(&mut bystander, "hello"));
    assert_eq!(ws.event("comment")["content"], json!("hello"));

    let unmuted = stage.act("unmute", json!({"user_id": alice.id}));
    assert_eq!(unmuted["remaining"], json!([]), "{unmuted}");
    assert_eq!(ws.event("unmuted"), json!({"live_id": stage.live}));
    assert_ok(&stage.says(&mut ws, "thanks"));
    let seen: Vec<Value> = bystander.so_far();
    let strange = seen
        .iter()
        .find(|frame| ["muted", "unmuted"].contains(&frame["event"].as_str().unwrap_or("")));
    assert_eq!(strange, None, "the room at large hears nothing of it");
}

#[test]
fn a_banned_user_is_out_stays_out_after_a_restart_and_comes_back_when_it_is_lifted() {
    let mut stage = start();
    let (alice, mut ws) = stage.member("alice");
    let (_, mut bystander) = stage.member("bobby");
    let banned = stage.act(
        "ban",
        json!({"user_id": alice.id, "seconds": -1, "reason": "rude"}),
    );
    assert_ok(&banned);
    let kicked = json!({"live_id": stage.live, "code": "banned", "until": null, "reason": "rude"});
    assert_eq!(ws.event("kicked"), kicked);
    assert_eq!(code(&stage.says(&mut ws, "why?")), "banned");
    let refused = ws.ask("joinLive", json!({"live_id": stage.live}));
    assert_eq!(
        (code(&refused), &refused["message"], &refused["until_ms"]),
        ("banned", &json!("你已被移出直播间"), &Value::Null),
        "{refused}"
    );
    assert_eq!(
        code(&stage.act("mute", json!({"user_id": alice.id, "seconds": 60}))),
        "already_banned"
    );
    assert_ok(&stage.says(&mut bystander, "calm"));

    // In all lives of the streamer, also those that begin later.
    let later = stage.server.live(&stage.streamer);
    let refused = ws.ask("joinLive", json!({"live_id": later}));
    assert_eq!(code(&refused), "banned");
    stage.server.kill();
    stage.server.restart();
    let mut ws = Ws::connect(&stage.server, &alice);
    let refused = ws.ask("joinLive", json!({"live_id": stage.live}));
    assert_eq!(code(&refused), "banned", "{refused}");
    assert_ok(&stage.act("unban", json!({"user_id": alice.id})));
    assert_ok(&ws.ask("joinLive", json!({"live_id": stage.live})));
}

#[test]
fn a_sanction_of_one_live_holds_there_alone_and_one_of_the_streamer_in_all_open_rooms() {
    let stage = start();
    let (alice, mut ws) = stage.member("alice");
    let other = stage.server.live(&stage.streamer);
    ws.join(other);
    let in_other = |ws: &mut Ws| ws.ask("comment", json!({"live_id": other, "data": "hi"}));
    let here = json!({"user_id": alice.id, "seconds": 0});
    assert_ok(&stage.act("mute", here));
    assert_eq!(code(&stage.says(&mut ws, "hi")), "muted");
    assert_ok(&in_other(&mut ws));

    assert_ok(&stage.act("mute", json!({"user_id": alice.id, "seconds": 60})));
    let news = ws.event_where("muted", |news| news["live_id"] == json!(other));
    assert!(news["until_ms"].is_i64(), "{news}");
    assert_eq!(code(&in_other(&mut ws)), "muted");
    // Another streamer's room is none of its business.
    let elsewhere = stage.server.live(&stage.server.user("another"));
    ws.join(elsewhere);
    assert_ok(&ws.ask("comment", json!({"live_id": elsewhere, "data": "hi"})));
}

#[test]
fn moderators_keep_order_among_viewers_alone_and_only_while_they_are_named() {
    let stage = start();
    let (bobby, mut moderator) = stage.member("bobby");
    let (carol, mut other) = stage.member("carol");
    let (alice, mut ws) = stage.member("alice");
    let mute = |user: &User| stage.about(json!({"user_id": user.id, "seconds": 60}));
    assert_eq!(code(&moderator.ask("mute", mute(&alice))), "not_allowed");
    for user in [&bobby, &carol] {
        let named = stage.act(
            "setModerator",
            json!({"user_id": user.id, "moderator": true}),
        );
        assert_eq!(named["moderator"], json!(true), "{named}");
    }
    let role = json!({"live_id": stage.live, "user": bobby.id, "role": "moderator"});
    assert_eq!(moderator.event("role"), role);
    let joined = moderator.ask("joinLive", json!({"live_id": stage.live}));
    assert_eq!(joined["role"], json!("moderator"), "{joined}");
    let moderators = json!([bobby.id, carol.id]);
    assert_eq!(joined["moderators"], moderators, "{joined}");
    let seen = ws.ask("joinLive", json!({"live_id": stage.live}));
    assert_eq!(
        seen["moderators"], moderators,
        "every member learns of them"
    );

    for target in [&carol, &stage.streamer, &bobby] {
        assert_eq!(code(&moderator.ask("mute", mute(target))), "not_allowed");
    }
    for (event, data) in [
        ("shadow", json!({"user_id": alice.id, "seconds": 60})),
        (
            "setModerator",
            json!({"user_id": alice.id, "moderator": true}),
        ),
        ("setTitle", json!({"title": "mine"})),
    ] {
        assert_eq!(
            code(&moderator.ask(event, stage.about(data))),
            "not_allowed",
            "{event}"
        );
    }
    assert_ok(&moderator.ask("mute", mute(&alice)));
    assert_eq!(code(&stage.says(&mut ws, "hi")), "muted");
    assert_ok(&moderator.ask("kick", stage.about(json!({"user_id": alice.id}))));
    ws.event("kicked");

    assert_ok(&stage.act(
        "setModerator",
        json!({"user_id": bobby.id, "moderator": false}),
    ));
    let dismissed = moderator.event_where("role", |news| news["role"] == json!("viewer"));
    assert_eq!(dismissed["user"], json!(bobby.id));
    assert_eq!(
        other.event_where("role", |news| news["role"] == json!("viewer"))["user"],
        json!(bobby.id),
        "the others hear of it as well"
    );
    let unmute = stage.about(json!({"user_id": alice.id}));
    assert_eq!(code(&moderator.ask("unmute", unmute)), "not_allowed");
}

#[test]
fn who_was_kicked_is_told_for_how_long_it_stays_out() {
    let stage = start();
    let (alice, mut ws) = stage.member("alice");
    assert_ok(&stage.act("kick", json!({"user_id": alice.id})));
    let kicked = ws.event("kicked");
    assert_eq!(kicked["code"], json!("kicked"));
    assert!(kicked["until"].is_i64(), "{kicked}");
    let refused = ws.ask("joinLive", json!({"live_id": stage.live}));
    assert_eq!(code(&refused), "kicked");
    let left_ms = refused["retry_after_ms"].as_i64().expect("a time");
    assert!((1..=10_000).contains(&left_ms), "{refused}");
}

#[test]
fn only_the_sender_sees_what_a_shadowed_user_says_and_its_gifts_are_real() {
    let stage = start();
    let alice = stage.server.rich_user("alice", 100);
    let mut ws = stage.joined(&alice);
    let (_, mut bystander) = stage.member("bobby");
    assert_ok(&stage.act("shadow", json!({"user_id": alice.id, "seconds": -1})));
    let answer = stage.says(&mut ws, "can you see me?");
    assert_eq!(answer["status"], json!("sampled_out"), "{answer}");
    assert_eq!(ws.event("comment")["content"], json!("can you see me?"));
    let gift = stage.server.gift("rose", 7);
    assert_ok(&ws.ask("gift", stage.about(json!({"gift_id": gift}))));
    assert_eq!(bystander.event("gift")["username"], json!("alice"));
    let history = format!("/api/live/{}/history", stage.live);
    assert_eq!(stage.server.get(&history).ok(), json!([]));
    assert!(
        bystander
            .kept()
            .all(|frame| frame["event"] != json!("comment")),
        "nobody else saw it"
    );
    stage.server.assert_books_balance();
}

#[test]
fn operators_act_in_any_scope_and_lift_what_others_may_not() {
    let stage = start();
    let (alice, mut ws) = stage.member("alice");
    let elsewhere = stage.server.live(&stage.server.user("another"));
    ws.join(elsewhere);
    let site = json!({"user_id": alice.id, "seconds": 600, "scope": "site", "reason": "spam"});
    let muted = stage.operator("mute", &site);
    assert_eq!(
        (&muted["scope"], &muted["by"]),
        (&json!("site"), &json!("operator")),
        "{muted}"
    );
    let in_other = |ws: &mut Ws| ws.ask("comment", json!({"live_id": elsewhere, "data": "hi"}));
    let refused = eventually("the session knows", || {
        let answer = in_other(&mut ws);
        (answer["ok"] == json!(false)).then_some(answer)
    });
    assert_eq!(
        (code(&refused), &refused["scope"]),
        ("muted", &json!("site")),
        "{refused}"
    );
    let remaining = stage.act("unmute", json!({"user_id": alice.id}));
    assert_eq!(
        remaining["remaining"][0]["scope"],
        json!("site"),
        "the streamer may not lift it: {remaining}"
    );
    let lifted = stage.operator("unmute", &json!({"user_id": alice.id}));
    assert_eq!(lifted, json!({"remaining": []}));
    eventually("the session knows", || {
        (in_other(&mut ws)["ok"] == json!(true)).then_some(())
    });
}

#[test]
fn a_ban_from_the_site_ends_all_sessions_and_refuses_logins() {
    let stage = start();
    let (alice, mut ws) = stage.member("alice");
    let ban = json!({"user_id": alice.id, "seconds": -1, "scope": "site"});
    stage.operator("ban", &ban);
    assert_eq!(ws.wait_for_close().0, 3000);
    let login = json!({"username": "alice", "password": PASSWORD});
    let right = stage.server.post("/api/login", &login);
    let wrong = json!({"username": "alice", "password": "wrong horse"});
    assert_eq!(
        failed(&stage.server.post("/api/login", &wrong), 400),
        json!("密码错误"),
        "the password is checked first"
    );
    assert_eq!(failed(&right, 400), json!("你已被禁用"));
    let info = stage.server.get_as(&alice, "/api/user/info");
    assert_eq!(failed(&info, 400), json!("你已被禁用"));
    stage.operator("unban", &json!({"user_id": alice.id}));
    stage.joined(&stage.server.login("alice"));
}

#[test]
fn faults_of_an_act_are_named_and_change_nothing() {
    let stage = start();
    let (alice, mut ws) = stage.member("alice");
    for (event, data, expected) in [
        ("mute", json!({"seconds": 60}), "bad_request"),
        ("mute", json!({"user_id": alice.id}), "bad_request"),
        (
            "mute",
            json!({"user_id": alice.id, "seconds": 1_209_601}),
            "bad_request",
        ),
        (
            "mute",
            json!({"user_id": alice.id, "seconds": -2}),
            "bad_request",
        ),
        (
            "mute",
            json!({"user_id": alice.id, "seconds": 1.5}),
            "bad_request",
        ),
        (
            "mute",
            json!({"user_id": alice.id, "seconds": 60, "gifts": "no"}),
            "bad_request",
        ),
        (
            "ban",
            json!({"user_id": alice.id, "seconds": 60, "purge": "all"}),
            "bad_request",
        ),
        (
            "mute",
            json!({"user_id": alice.id, "seconds": 60, "reason": "界".repeat(501)}),
            "bad_request",
        ),
        (
            "mute",
            json!({"user_id": 999_999, "seconds": 60}),
            "user_not_found",
        ),
        (
            "mute",
            json!({"user_id": stage.streamer.id, "seconds": 60}),
            "not_allowed",
        ),
        ("setModerator", json!({"user_id": alice.id}), "bad_request"),
    ] {
        assert_eq!(
            code(&stage.act(event, data.clone())),
            expected,
            "{event} {data}"
        );
    }
    for (act, data, expected) in [
        ("mute", json!({"user_id": 0, "seconds": 60}), 422),
        (
            "mute",
            json!({"user_id": alice.id, "seconds": 0, "scope": "site"}),
            422,
        ),
        (
            "mute",
            json!({"user_id": alice.id, "seconds": 60, "purge": "live"}),
            422,
        ),
        (
            "ban",
            json!({"user_id": alice.id, "seconds": 60, "gifts": false}),
            422,
        ),
        (
            "ban",
            json!({"user_id": alice.id, "seconds": 60, "scope": "world"}),
            422,
        ),
        ("mute", json!({"user_id": 999_999, "seconds": 60}), 404),
        ("pause", json!({"user_id": alice.id, "seconds": 60}), 404),
    ] {
        let path = format!("/admin/rooms/{}/{act}", stage.live);
        failed(&stage.server.admin_post(&path, &data), expected);
    }
    assert_ok(&stage.says(&mut ws, "still here"));
}

#[test]
fn a_repeated_act_has_one_effect_and_the_same_answer() {
    let stage = start();
    let (alice, mut ws) = stage.member("alice");
    let mute = |seconds: i64| json!({"user_id": alice.id, "seconds": seconds, "request_id": "m-1"});
    let without_id = |mut answer: Value| {
        answer.as_object_mut().expect("an object").remove("id");
        answer
    };
    let first = without_id(stage.act("mute", mute(600)));
    assert_ok(&first);
    assert_ok(&stage.act("unmute", json!({"user_id": alice.id})));
    ws.event("unmuted");
    assert_eq!(without_id(stage.act("mute", mute(600))), first);
    assert_ok(&stage.says(&mut ws, "still free"));
    assert_eq!(code(&stage.act("mute", mute(60))), "duplicate_conflict");
}

#[test]
fn a_ban_takes_recent_comments_down_for_everybody_and_they_can_be_shown_again() {
    let stage = start();
    let (alice, mut ws) = stage.member("alice");
    let (_, mut bystander) = stage.member("bobby");
    let before = bystander.ask("joinLive", json!({"live_id": stage.live}));
    let mut said = Vec::new();
    for text in ["one", "two", "three"] {
        said.push(stage.says(&mut ws, text)["comment_id"].clone());
    }
    assert_ok(&stage.says(&mut bystander, "calm"));
    assert_ok(&stage.act("ban", json!({"user_id": alice.id, "seconds": 60})));
    let removed = bystander.event("removed");
    assert_eq!(
        (&removed["id"], &removed["ids"]),
        (&said[0], &json!(said)),
        "{removed}"
    );
    let history = || -> Vec<Value> {
        let page = stage
            .server
            .get(&format!("/api/live/{}/history", stage.live))
            .ok();
        let texts = page.as_array().expect("a page").iter();
        texts.map(|comment| comment["content"].clone()).collect()
    };
    assert_eq!(history(), [json!("calm")]);
    let since = json!({"epoch": before["epoch"], "offset": before["offset"]});
    let mut late = Ws::connect(&stage.server, &stage.server.user("carol"));
    let joined = late.ask("joinLive", json!({"live_id": stage.live, "since": since}));
    assert_eq!(joined["recovered"], json!(true), "{joined}");
    for id in &said {
        let in_its_place = late.event("removed");
        assert_eq!(&in_its_place["id"], id, "{in_its_place}");
    }
    assert_eq!(late.event("comment")["content"], json!("calm"));

    let restored = stage.act("restore", json!({"user_id": alice.id}));
    assert_eq!(restored["restored"], json!(3), "{restored}");
    assert_eq!(history().len(), 4);
    let path = "delete_comments";
    let deleted = stage.operator(path, &json!({"user_id": alice.id, "count": 2}));
    assert_eq!(deleted, json!({"removed": 2}));
    assert_eq!(bystander.event("removed")["ids"], json!(said[1..]));
    let restored = stage.operator("restore_comments", &json!({"user_id": alice.id}));
    assert_eq!(restored, json!({"restored": 2}));
}

#[test]
fn comments_are_deleted_by_those_above_their_authors_and_by_these_themselves() {
    let stage = start();
    let (bobby, mut moderator) = stage.member("bobby");
    let (_, mut ws) = stage.member("alice");
    let mut streamer = stage.joined(&stage.streamer);
    assert_ok(&stage.act(
        "setModerator",
        json!({"user_id": bobby.id, "moderator": true}),
    ));
    let says = |ws: &mut Ws, text: &str| stage.says(ws, text)["comment_id"].clone();
    let (own, other) = (says(&mut ws, "mine"), says(&mut ws, "rude"));
    let of_streamer = says(&mut streamer, "hello");
    let of_moderator = says(&mut moderator, "be kind");
    let delete = |id: &Value| stage.about(json!({"comment_id": id}));
    for id in [&of_streamer, &of_moderator] {
        assert_eq!(code(&ws.ask("deleteComment", delete(id))), "not_allowed");
    }
    assert_eq!(
        code(&moderator.ask("deleteComment", delete(&of_streamer))),
        "not_allowed"
    );
    assert_ok(&ws.ask("deleteComment", delete(&own)));
    assert_ok(&moderator.ask("deleteComment", delete(&other)));
    assert_ok(&moderator.ask("deleteComment", delete(&of_moderator)));
    for id in [&own, &other, &of_moderator] {
        assert_eq!(&ws.event("removed")["id"], id);
    }
    for count in [0, 501] {
        let data = json!({"user_id": bobby.id, "count": count});
        assert_eq!(code(&stage.act("deleteComments", data)), "bad_request");
    }
    let none = stage.act("deleteComments", json!({"user_id": bobby.id, "count": 500}));
    assert_eq!(none["removed"], json!(0), "{none}");
}

#[test]
fn old_clients_hear_sanctions_where_they_hear_all_refusals() {
    for eio in [3, 4] {
        let stage = start();
        let alice = stage.server.user("alice");
        let path = format!("/socket.io/?EIO={eio}&transport=websocket");
        let mut socket = EngineSocket::connect(stage.server.port(), &path).expect("a handshake");
        if eio == 4 {
            socket.send("40");
        }
        let send = |socket: &mut EngineSocket, event: &str, mut fields: Value| {
            fields["live_id"] = json!(stage.live);
            fields["token"] = json!(alice.token);
            socket.send(&format!("42{}", json!([event, fields])));
        };
        send(&mut socket, "joinLive", json!({}));
        socket.until(r#"42["online""#);
        assert_ok(&stage.act("mute", json!({"user_id": alice.id, "seconds": 600})));
        socket.until(r#"42["muted""#);
        send(&mut socket, "comment", json!({"data": "hi"}));
        let refusal = socket.until("42[");
        assert!(
            refusal.contains(r#""data":{"action":"error","payload":"你已被禁言"}"#),
            "{refusal}"
        );
        assert_ok(&stage.act("ban", json!({"user_id": alice.id, "seconds": 600})));
        socket.until(r#"42["kicked""#);
        send(&mut socket, "joinLive", json!({}));
        let refusal = socket.until("42[");
        assert!(
            refusal.contains(r#""data":{"action":"error","payload":"你已被移出直播间"}"#),
            "{refusal}"
        );
    }
}

/// Of each check whether it passes, and with which code it does not.
fn checks(explanation: &Value) -> Vec<(String, Value)> {
    let checks = explanation["checks"].as_array().expect("a list");
    let line = |check: &Value| {
        let name = check["check"].as_str().expect("a name").to_owned();
        let passed = check["passed"] == json!(true);
        let code = if passed {
            json!(true)
        } else {
            check["code"].clone()
        };
        (name, code)
    };
    checks.iter().map(line).collect()
}

#[test]
fn an_explanation_names_what_decides_and_the_user_itself_gets_it_without_actors() {
    let stage = start();
    let (alice, mut ws) = stage.member("alice");
    let explain = || {
        let path = format!("/admin/explain?user={}&live={}", alice.id, stage.live);
        stage.server.admin_get(&path).ok()
    };
    let own = || {
        let path = format!("/api/live/{}/me", stage.live);
        stage.server.get_as(&alice, &path).ok()
    };
    let all = |of: &[(&str, Value)]| -> Vec<(String, Value)> {
        of.iter()
            .map(|(name, code)| ((*name).to_owned(), code.clone()))
            .collect()
    };
    let free = explain();
    assert_eq!(
        checks(&free),
        all(&[
            ("status", json!(true)),
            ("site_sanction", json!(true)),
            ("room_sanction", json!(true)),
            ("membership", json!(true)),
            ("frozen", json!(true)),
            ("followers", json!(true)),
            ("gifters", json!(true)),
            ("slow", json!(true)),
            ("rate", json!(true)),
            ("unique", json!(true)),
            ("filter", json!(true)),
            ("shield", json!(true)),
            ("shadow", json!(true)),
        ])
    );
    assert_eq!(
        (&free["role"], &free["account"], &free["open_here"]),
        (&json!("viewer"), &json!(true), &json!(true))
    );

    let mute = json!({"user_id": alice.id, "seconds": 600, "reason": "spam"});
    assert_ok(&stage.act("mute", mute));
    assert_ok(&stage.act("shadow", json!({"user_id": alice.id, "seconds": -1})));
    let refused = stage.says(&mut ws, "hi");
    let muted = explain();
    let found = checks(&muted);
    let first = found.iter().find(|(_, code)| *code != json!(true));
    assert_eq!(
        first,
        Some(&("room_sanction".to_owned(), refused["code"].clone())),
        "the same as the decision"
    );
    let sanction_at = |at: usize| &muted["checks"][at]["sanction"];
    let by = sanction_at(2);
    assert_eq!(
        (&by["reason"], &by["by"]),
        (&json!("spam"), &json!(stage.streamer.id)),
        "{muted}"
    );
    let last = found.len() - 1;
    assert_eq!(sanction_at(last)["kind"], json!("shadow"), "{muted}");

    let mine = own();
    assert_eq!(
        checks(&mine)[2],
        ("room_sanction".to_owned(), json!("muted"))
    );
    assert_eq!(mine["checks"][2]["reason"], json!("spam"), "{mine}");
    let text = mine.to_string();
    assert!(
        !text.contains("shadow") && !text.contains("sanction_id"),
        "{text}"
    );

    for path in [
        "/admin/explain",
        "/admin/explain?user=1",
        "/admin/explain?user=x&live=1",
    ] {
        failed(&stage.server.admin_get(path), 400);
    }
    for path in [
        "/admin/explain?user=999999&live=1",
        "/admin/explain?user=1&live=999999",
    ] {
        failed(&stage.server.admin_get(path), 404);
    }
}

#[test]
fn those_who_keep_order_read_the_sanctions_of_a_live_in_pages() {
    let stage = start();
    let (bobby, _moderator) = stage.member("bobby");
    let (alice, _) = stage.member("alice");
    let path = format!("/api/live/{}/sanctions", stage.live);
    let mute = json!({"user_id": alice.id, "seconds": 600, "reason": "spam"});
    assert_ok(&stage.act("mute", mute));
    assert_eq!(
        failed(&stage.server.get_as(&bobby, &path), 400),
        json!("没有权限")
    );
    assert_ok(&stage.act(
        "setModerator",
        json!({"user_id": bobby.id, "moderator": true}),
    ));
    let listed = stage.server.get_as(&bobby, &path).ok();
    let first = &listed["sanctions"][0];
    assert_eq!(
        (&first["user_id"], &first["kind"], &first["reason"]),
        (&json!(alice.id), &json!("mute"), &json!("spam")),
        "{listed}"
    );
    assert_eq!(listed["next"], Value::Null);
    let of = |user: &User| {
        let path = format!("{path}?user={}", user.id);
        stage.server.get_as(&bobby, &path).ok()["sanctions"].clone()
    };
    assert_eq!(of(&alice), listed["sanctions"]);
    assert_eq!(of(&bobby), json!([]));
    let before = format!("{path}?cursor={}", first["sanction_id"]);
    let rest = stage.server.get_as(&stage.streamer, &before).ok();
    assert_eq!(rest["sanctions"], json!([]));
    failed(
        &stage.server.get_as(&bobby, &format!("{path}?cursor=x")),
        400,
    );
    failed(
        &stage.server.get_as(&bobby, &format!("{path}?user=0x1")),
        400,
    );
}

#[test]
fn a_streamer_sees_and_lifts_what_holds_when_no_live_of_its_own_goes_on() {
    let stage = start();
    let (alice, mut ws) = stage.member("alice");
    assert_ok(&stage.act("ban", json!({"user_id": alice.id, "seconds": -1})));
    ws.event("kicked");
    stage
        .server
        .change_status(&stage.streamer, stage.live, "stop");
    let path = format!("/api/live/{}/sanctions", stage.live);
    let held = stage.server.get_as(&stage.streamer, &path).ok();
    assert_eq!(held["sanctions"][0]["user_id"], json!(alice.id), "{held}");
    let lifted = stage.act("unban", json!({"user_id": alice.id}));
    assert_eq!(lifted["remaining"], json!([]), "{lifted}");
    let held = stage.server.get_as(&stage.streamer, &path).ok();
    assert_eq!(held["sanctions"], json!([]));
    let next = stage.server.live(&stage.streamer);
    assert_ok(&ws.ask("joinLive", json!({"live_id": next})));
}
