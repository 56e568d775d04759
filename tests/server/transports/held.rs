//! Comments held for review on one node: who is notified, who decides, what is shown where, and
//! what outlives a restart.

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use serde_json::{Value, json};

use super::client::EngineSocket;
use super::streamed_live::{StreamedLive, code};
use crate::support::{User, Ws, eventually};

/// A live where a link is held.
fn start() -> StreamedLive {
    let stage = StreamedLive::start(&[("LIVEROOM__ROOMS__RECONCILE_MS", "200")]);
    stage
        .server
        .admin_post_text("/admin/filter/import", "链接\thold\n傻冒\tblock")
        .ok();
    stage
}

impl StreamedLive {
    fn moderator(&self, name: &str) -> (User, Ws) {
        let (user, mut ws) = self.member(name);
        let named = self.act(
            "setModerator",
            json!({"user_id": user.id, "moderator": true}),
        );
        assert_eq!(named["moderator"], json!(true), "{named}");
        ws.event("role");
        (user, ws)
    }

    fn named(&self, ws: &mut Ws, text: &str, request_id: &str) -> Value {
        let data = json!({"data": text, "request_id": request_id});
        ws.ask("comment", self.about(data))
    }

    fn review(&self, comment_id: &Value, approve: bool) -> Value {
        json!({"live_id": self.live, "comment_id": comment_id, "approve": approve})
    }

    /// Ids and rules of what waits, as a user reads it.
    fn waiting(&self, user: &User) -> Vec<(Value, Value)> {
        let path = format!("/api/live/{}/held", self.live);
        let list = self.server.get_as(user, &path).ok();
        let held = list["held"].as_array().expect("a list").iter();
        held.map(|it| (it["comment"]["id"].clone(), it["rule"].clone()))
            .collect()
    }

    /// Texts of the history, newest first.
    fn history(&self) -> Vec<String> {
        let path = format!("/api/live/{}/history", self.live);
        let page = self.server.get(&path).ok();
        let comments = page.as_array().expect("a page").iter();
        comments
            .map(|comment| comment["content"].as_str().expect("a text").to_owned())
            .collect()
    }
}

/// Asserts that a session has received nothing about held comments, up to a text that it is about
/// to receive.
fn assert_heard_nothing_before(ws: &mut Ws, text: &str) {
    ws.event_where("comment", |comment| comment["content"] == json!(text));
    let news = ["held", "preview", "comment_denied"];
    let about_held = |frame: &&Value| {
        news.contains(&frame["event"].as_str().unwrap_or_default())
            || frame.to_string().contains("链接")
    };
    assert_eq!(ws.kept().find(about_held), None);
}

#[test]
fn a_held_comment_is_heard_by_moderators_alone_until_one_shows_it() {
    let stage = start();
    let (alice, mut sender) = stage.member("alice");
    let (_, mut bystander) = stage.member("bobby");
    let (moderator, mut moderating) = stage.moderator("carol");
    let held = stage.named(&mut sender, "看链接", "r-1");
    let id = held["comment_id"].clone();
    assert_eq!(
        (&held["ok"], &held["status"], held.get("delay_ms")),
        (&json!(true), &json!("held"), None),
        "{held}"
    );
    let news = moderating.event("held");
    assert_eq!(
        (
            &news["comment"]["id"],
            &news["comment"]["content"],
            &news["rule"]
        ),
        (&id, &json!("看链接"), &json!("term")),
        "{news}"
    );
    assert_eq!(news["comment"]["user"]["id"], json!(alice.id), "{news}");
    assert_eq!(stage.waiting(&moderator), [(id.clone(), json!("term"))]);
    assert_eq!(stage.waiting(&stage.streamer).len(), 1);
    assert_eq!(
        stage.says(&mut sender, "calm")["status"],
        json!("delivered")
    );
    assert_heard_nothing_before(&mut bystander, "calm");
    assert_eq!(stage.history(), ["calm"]);

    let retried = stage.named(&mut sender, "看链接", "r-1");
    assert_eq!(
        (&retried["status"], &retried["comment_id"]),
        (&json!("held"), &id),
        "{retried}"
    );
    let approved = moderating.ask("review", stage.review(&id, true));
    assert_eq!(
        (&approved["approved"], &approved["comment_id"]),
        (&json!(true), &id),
        "{approved}"
    );
    for ws in [&mut sender, &mut bystander, &mut moderating] {
        let shown = ws.event_where("comment", |comment| comment["id"] == id);
        assert_eq!(shown["content"], json!("看链接"));
        assert!(
            shown["at"].as_i64() > news["comment"]["at"].as_i64(),
            "the time of the approval: {shown}"
        );
    }
    assert_eq!(stage.history(), ["看链接", "calm"]);
    let delivered = stage.named(&mut sender, "看链接", "r-1");
    assert_eq!(
        (&delivered["status"], &delivered["comment_id"]),
        (&json!("delivered"), &id),
        "{delivered}"
    );
    let again = moderating.ask("review", stage.review(&id, false));
    assert_eq!(
        (code(&again), &again["message"]),
        ("already_reviewed", &json!("该评论已被处理"))
    );
    assert_eq!(stage.waiting(&moderator), []);
}

#[test]
fn a_denied_comment_is_never_shown_and_its_sender_is_notified_why() {
    let stage = start();
    let (_, mut sender) = stage.member("alice");
    let (_, mut bystander) = stage.member("bobby");
    let (_, mut moderating) = stage.moderator("carol");
    let deny = |moderating: &mut Ws, id: &Value| {
        let mut review = stage.review(id, false);
        review["reason"] = json!("no links");
        review["request_id"] = json!("deny-1");
        moderating.ask("review", review)
    };
    let id = stage.named(&mut sender, "链接 1", "r-1")["comment_id"].clone();
    let denied = deny(&mut moderating, &id);
    assert_eq!(denied["approved"], json!(false), "{denied}");
    let expected = json!({
        "live_id": stage.live, "comment_id": id, "reason": "no links", "expired": false
    });
    assert_eq!(sender.event("comment_denied"), expected);
    assert_eq!(moderating.event("comment_denied"), expected);
    let repeated = deny(&mut moderating, &id);
    assert_eq!(repeated["approved"], json!(false), "{repeated}");
    let retried = stage.named(&mut sender, "链接 1", "r-1");
    assert_eq!(retried["status"], json!("held"), "as at first: {retried}");

    // Who takes it down denies it, the author too.
    for (by_author, text) in [(true, "链接 2"), (false, "链接 3")] {
        let id = stage.says(&mut sender, text)["comment_id"].clone();
        let data = stage.about(json!({"comment_id": id}));
        let by = if by_author {
            &mut sender
        } else {
            &mut moderating
        };
        let answer = by.ask("deleteComment", data);
        assert_eq!(answer["ok"], json!(true), "{answer}");
        let denied = sender.event_where("comment_denied", |it| it["comment_id"] == id);
        assert_eq!(denied["reason"], Value::Null);
    }
    assert_eq!(
        stage.says(&mut sender, "calm")["status"],
        json!("delivered")
    );
    assert_heard_nothing_before(&mut bystander, "calm");
    let removed = |frame: &&Value| frame["event"] == json!("removed");
    assert_eq!(bystander.kept().find(removed), None);
    assert_eq!(stage.history(), ["calm"]);
}

#[test]
fn nobody_but_those_who_keep_order_reads_or_reviews_what_is_held() {
    let stage = start();
    let (alice, mut sender) = stage.member("alice");
    let (bobby, mut bystander) = stage.member("bobby");
    let (_, mut moderating) = stage.moderator("carol");
    let id = stage.says(&mut sender, "链接")["comment_id"].clone();
    for ws in [&mut sender, &mut bystander] {
        let refused = ws.ask("review", stage.review(&id, true));
        assert_eq!(
            (code(&refused), &refused["message"]),
            ("not_allowed", &json!("没有权限"))
        );
    }
    let path = format!("/api/live/{}/held", stage.live);
    for user in [&alice, &bobby] {
        let refused = stage.server.get_as(user, &path);
        assert_eq!(refused.status, 400, "{}", refused.text());
        assert_eq!(refused.json()["data"], json!("没有权限"));
    }
    assert_eq!(stage.server.get(&path).status, 400);
    let unknown = stage.server.get_as(&stage.streamer, "/api/live/999/held");
    assert_eq!(unknown.status, 400, "{}", unknown.text());

    let other_live = stage.server.live(&bobby);
    let other_ones = json!({"live_id": other_live, "comment_id": id, "approve": true});
    assert_eq!(
        code(&bystander.ask("review", other_ones)),
        "comment_not_found"
    );
    for (data, what) in [
        (json!({"approve": true}), "comment_id"),
        (json!({"comment_id": "x", "approve": true}), "comment_id"),
        (json!({"comment_id": id}), "approve"),
        (json!({"comment_id": id, "approve": "yes"}), "approve"),
        (
            json!({"comment_id": id, "approve": false, "reason": "x".repeat(501)}),
            "reason",
        ),
    ] {
        let refused = moderating.ask("review", stage.about(data));
        let message = refused["message"].as_str().unwrap_or_default();
        assert_eq!(code(&refused), "bad_request");
        assert!(message.contains(what), "{refused}");
    }
    let mut named = stage.review(&id, false);
    named["request_id"] = json!("one");
    assert_eq!(moderating.ask("review", named.clone())["ok"], json!(true));
    named["approve"] = json!(true);
    let other_content = moderating.ask("review", named);
    assert_eq!(code(&other_content), "duplicate_conflict");
}

#[test]
fn operators_read_and_review_by_http() {
    let stage = start();
    let (_, mut sender) = stage.member("alice");
    let ids = ["链接 1", "链接 2"].map(|text| stage.says(&mut sender, text)["comment_id"].clone());
    let path = |act: &str| format!("/admin/rooms/{}/{act}", stage.live);
    let list = stage.server.admin_get(&path("held")).ok();
    assert_eq!(
        list["held"][0]["comment"]["id"], ids[0],
        "oldest first: {list}"
    );
    assert_eq!(
        list["held"][1]["comment"]["content"],
        json!("链接 2"),
        "{list}"
    );
    assert!(list["held"][0]["expires_ms"].is_i64(), "{list}");
    let anywhere = stage.server.admin_get("/admin/held").ok();
    assert_eq!(anywhere["held"], list["held"], "the same over all lives");

    let review = json!({"comment_id": ids[0], "approve": true, "request_id": "a"});
    let shown = stage.operator("review", &review);
    assert_eq!(shown, json!({"comment_id": ids[0], "approved": true}));
    assert_eq!(stage.operator("review", &review), shown, "repeated");
    sender.event_where("comment", |comment| comment["id"] == ids[0]);
    let taken_down = format!("{}/{}", path("comments"), ids[1].as_str().expect("text"));
    let removal = stage.server.admin_delete(&taken_down).ok();
    assert_eq!(removal["id"], ids[1], "{removal}");
    sender.event_where("comment_denied", |denied| denied["comment_id"] == ids[1]);
    let again = stage.server.admin_delete(&taken_down);
    assert_eq!(again.status, 200, "repeated: {}", again.text());
    for (body, status) in [
        (json!({"comment_id": ids[1], "approve": true}), 409),
        (json!({"comment_id": "999", "approve": true}), 404),
        (json!({"comment_id": 0, "approve": true}), 422),
        (json!({"comment_id": ids[1]}), 422),
        (
            json!({"comment_id": ids[1], "approve": true, "other": 1}),
            422,
        ),
    ] {
        let answer = stage.server.admin_post(&path("review"), &body);
        assert_eq!(answer.status, status, "{body}: {}", answer.text());
    }
    let nowhere = stage.server.admin_get("/admin/rooms/999/held");
    assert_eq!(nowhere.status, 404);
}

#[test]
fn what_waits_and_what_is_known_of_it_outlive_a_restart() {
    let mut stage = start();
    let (alice, mut sender) = stage.member("alice");
    let waits = stage.named(&mut sender, "链接 1", "r-1")["comment_id"].clone();
    let denied = stage.named(&mut sender, "链接 2", "r-2")["comment_id"].clone();
    assert_eq!(
        stage.act("review", stage.review(&denied, false))["ok"],
        json!(true)
    );
    stage.server.kill();
    stage.server.restart();

    let mut sender = stage.joined(&alice);
    for (text, request_id, id) in [("链接 1", "r-1", &waits), ("链接 2", "r-2", &denied)] {
        let retried = stage.named(&mut sender, text, request_id);
        assert_eq!(
            (&retried["status"], &retried["comment_id"]),
            (&json!("held"), id),
            "{retried}"
        );
    }
    let conflict = stage.named(&mut sender, "别的链接", "r-1");
    assert_eq!(code(&conflict), "duplicate_conflict");
    assert_eq!(
        stage.waiting(&stage.streamer),
        [(waits.clone(), json!("term"))]
    );
    assert_eq!(
        stage.act("review", stage.review(&waits, true))["ok"],
        json!(true)
    );
    sender.event_where("comment", |comment| comment["id"] == waits);
    // Later ids come after all of them.
    let later = stage.says(&mut sender, "later")["comment_id"].clone();
    let number = |id: &Value| id.as_str().expect("text").parse::<i64>().expect("a number");
    assert!(number(&later) > number(&denied), "{later} {denied}");
    assert_eq!(stage.history(), ["later", "链接 1"]);
}

fn change_by_hand(stage: &StreamedLive, sql: &str) {
    let database = stage.server.database().display().to_string();
    let mut database = SqliteConnection::establish(&database).expect("a database");
    database
        .batch_execute(&format!("PRAGMA busy_timeout = 5000; {sql}"))
        .expect("a change by hand");
}

#[test]
fn what_nobody_decides_in_time_is_denied_once() {
    let stage = start();
    let (_, mut sender) = stage.member("alice");
    let (moderator, _moderating) = stage.moderator("carol");
    let id = stage.says(&mut sender, "链接")["comment_id"].clone();
    eventually("it waits", || {
        (stage.waiting(&moderator).len() == 1).then_some(())
    });
    // Five minutes later.
    change_by_hand(&stage, "UPDATE held_comments SET due_at = 1");
    assert_eq!(
        sender.event("comment_denied"),
        json!({"live_id": stage.live, "comment_id": id, "reason": null, "expired": true})
    );
    assert_eq!(stage.waiting(&moderator), []);
    let late = stage.act("review", stage.review(&id, true));
    assert_eq!(code(&late), "already_reviewed");
    assert_eq!(
        stage.says(&mut sender, "calm")["status"],
        json!("delivered")
    );
    sender.event_where("comment", |comment| comment["content"] == json!("calm"));
    let denied = |frame: &&Value| frame["event"] == json!("comment_denied");
    assert_eq!(sender.kept().find(denied), None, "once");
}

#[test]
fn who_floods_the_queue_fills_a_part_of_it_and_is_answered_busy() {
    let stage = StreamedLive::start(&[
        ("LIVEROOM__LIMITS__COMMENT_BURST", "100"),
        ("LIVEROOM__LIMITS__COMMAND_BURST", "200"),
    ]);
    stage
        .server
        .admin_post_text("/admin/filter/import", "链接\thold")
        .ok();
    let (_, mut flooding) = stage.member("alice");
    let (_, mut bystander) = stage.member("bobby");
    let (moderator, mut moderating) = stage.moderator("carol");
    let statuses: Vec<Value> = (0..20)
        .map(|n| stage.says(&mut flooding, &format!("链接 {n}")))
        .map(|answer| match answer["ok"] == json!(true) {
            true => answer["status"].clone(),
            false => answer["code"].clone(),
        })
        .collect();
    assert_eq!(statuses[..10], vec![json!("held"); 10]);
    assert_eq!(statuses[10..], vec![json!("busy"); 10]);
    let held = stage.says(&mut bystander, "一个链接");
    assert_eq!(held["status"], json!("held"), "others still may: {held}");
    assert_eq!(
        stage.says(&mut bystander, "calm")["status"],
        json!("delivered")
    );
    assert_eq!(stage.waiting(&moderator).len(), 11);

    // A ban with its purge denies all that waits of the user.
    let ban = json!({"user_id": stage.server.login("alice").id, "seconds": 600});
    assert_eq!(moderating.ask("ban", stage.about(ban))["ok"], json!(true));
    assert_eq!(stage.waiting(&moderator).len(), 1);
    for _ in 0..10 {
        moderating.event("comment_denied");
    }
}

#[test]
fn socket_io_clients_of_all_versions_hold_review_and_are_answered() {
    for eio in [3, 4] {
        let stage = start();
        let (alice, moderator) = (stage.server.user("alice"), stage.server.user("carol"));
        stage.act(
            "setModerator",
            json!({"user_id": moderator.id, "moderator": true}),
        );
        let path = format!("/socket.io/?EIO={eio}&transport=websocket");
        let send =
            |socket: &mut EngineSocket, user: &User, ack: &str, event: &str, mut fields: Value| {
                fields["live_id"] = json!(stage.live);
                fields["token"] = json!(user.token);
                socket.send(&format!("42{ack}{}", json!([event, fields])));
            };
        let connect = |user: &User| {
            let mut socket =
                EngineSocket::connect(stage.server.port(), &path).expect("a handshake");
            if eio == 4 {
                socket.send("40");
            }
            send(&mut socket, user, "", "joinLive", json!({}));
            socket.until(r#"42["online""#);
            socket
        };
        let (mut sending, mut moderating) = (connect(&alice), connect(&moderator));
        // Without an ack its sender hears of it where it hears refusals.
        send(
            &mut sending,
            &alice,
            "",
            "comment",
            json!({"data": "链接 1"}),
        );
        let told = loop {
            let packet = sending.until("42[");
            if packet.contains(r#""action":"error""#) {
                break packet;
            }
        };
        assert!(told.contains(r#""payload":"评论已提交审核""#), "{told}");
        send(
            &mut sending,
            &alice,
            "7",
            "comment",
            json!({"data": "链接 2"}),
        );
        let answer = sending.until("437[");
        assert!(answer.contains(r#""status":"held""#), "{answer}");

        let held = moderating.until(r#"42["held""#);
        let held: Value = serde_json::from_str(&held[2..]).expect("an event");
        assert_eq!(held[1]["comment"]["content"], json!("链接 1"), "{held}");
        let review = json!({"comment_id": held[1]["comment"]["id"], "approve": true});
        send(&mut moderating, &moderator, "8", "review", review.clone());
        let answer = moderating.until("438[");
        assert!(answer.contains(r#""approved":true"#), "{answer}");
        let shown = sending.until(r#"42["comment""#);
        assert!(shown.contains("链接 1"), "{shown}");
        send(&mut moderating, &moderator, "", "review", review);
        let refused = loop {
            let packet = moderating.until("42[");
            if packet.contains(r#""action":"error""#) {
                break packet;
            }
        };
        assert!(refused.contains("该评论已被处理"), "{refused}");
    }
}

#[test]
fn moderators_see_a_comment_before_all_others_and_may_take_it_down_in_the_delay() {
    let stage = start();
    let (_, mut sender) = stage.member("alice");
    let (_, mut bystander) = stage.member("bobby");
    let (_, mut moderating) = stage.moderator("carol");
    let set = |seconds: i64| {
        let set = stage.act("setModes", json!({"mod_delay_s": seconds}));
        assert_eq!(set["ok"], json!(true), "{set}");
    };
    set(6);
    let rude = stage.named(&mut sender, "rude", "r-1");
    assert_eq!(
        (&rude["status"], &rude["delay_ms"]),
        (&json!("held"), &json!(6_000)),
        "{rude}"
    );
    let preview = moderating.event("preview");
    assert_eq!(preview["comment"]["id"], rude["comment_id"], "{preview}");
    assert_eq!(preview.get("offset"), None, "it has no place: {preview}");
    let delete = stage.about(json!({"comment_id": rude["comment_id"]}));
    assert_eq!(moderating.ask("deleteComment", delete)["ok"], json!(true));
    let denied = sender.event("comment_denied");
    assert_eq!(denied["comment_id"], rude["comment_id"], "{denied}");
    let order = stage.says(&mut moderating, "order!");
    assert_eq!(
        order["status"],
        json!("delivered"),
        "moderators do not wait"
    );

    set(2);
    let delayed = stage.named(&mut sender, "hello", "r-2");
    assert_eq!(delayed["delay_ms"], json!(2_000), "{delayed}");
    assert_eq!(stage.waiting(&stage.streamer), [], "nobody has to decide");
    let id = &delayed["comment_id"];
    let preview = moderating.event_where("preview", |it| it["comment"]["id"] == *id);
    let shown = bystander.event_where("comment", |comment| comment["id"] == *id);
    let posted_at = preview["comment"]["at"].as_i64().expect("a time");
    let waited_ms = shown["at"].as_i64().expect("a time") - posted_at;
    assert!(waited_ms >= 2_000, "{waited_ms} ms");
    let before =
        |frame: &&Value| frame["event"] == json!("preview") || frame.to_string().contains("rude");
    assert_eq!(bystander.kept().find(before), None);
    sender.event_where("comment", |comment| comment["id"] == *id);
    let retried = stage.named(&mut sender, "hello", "r-2");
    assert_eq!(
        (&retried["status"], &retried["comment_id"]),
        (&json!("delivered"), id),
        "{retried}"
    );
    assert_eq!(stage.history(), ["hello", "order!"]);
}

#[test]
fn while_the_shield_is_up_a_young_account_is_held_and_is_told_so_by_its_explanation() {
    let stage = start();
    let (alice, mut sender) = stage.member("alice");
    let (_, mut moderating) = stage.moderator("carol");
    let follow = json!({"user_id": stage.streamer.id, "follow": true});
    stage
        .server
        .post_as(&alice, "/api/user/follow", &follow)
        .ok();
    // Ten minutes later, as the shield asks.
    change_by_hand(&stage, "UPDATE follows SET since = since - 600000");
    let raised = stage.act("setModes", json!({"shield": true}));
    assert_eq!(raised["ok"], json!(true), "{raised}");
    sender.event_where("modes", |modes| modes["shield"] == json!(true));
    let own = stage
        .server
        .get_as(&alice, &format!("/api/live/{}/me", stage.live))
        .ok();
    let checks = own["checks"].as_array().expect("a list");
    let shield = checks.iter().find(|line| line["check"] == json!("shield"));
    assert_eq!(shield.expect("a check")["passed"], json!(false), "{own}");
    let held = stage.says(&mut sender, "hello");
    assert_eq!(held["status"], json!("held"), "{held}");
    let news = moderating.event("held");
    assert_eq!(news["rule"], json!("young_account"), "{news}");
    // Moderators may be as young.
    let said = stage.says(&mut moderating, "see example.com");
    assert_eq!(said["status"], json!("delivered"), "{said}");
}
