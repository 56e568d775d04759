//! What streamers and operators do on one node is heard on all.

use serde_json::{Value, json};

use crate::support::cluster::{LOOKS_SELDOM, Stage};

#[test]
fn a_live_that_pauses_goes_on_and_ends_does_so_on_every_node() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let mut members = [stage.joined(0, "alice").1, stage.joined(1, "bobby").1];
    for (n, (kind, status)) in [("pause", 2), ("play", 1), ("stop", 3)]
        .into_iter()
        .enumerate()
    {
        stage.cluster[n % 2].change_status(&stage.streamer, stage.live, kind);
        let told: Vec<Value> = members.iter_mut().map(|ws| ws.event("live")).collect();
        assert_eq!(told[0], told[1], "{kind}");
        assert_eq!(
            (&told[0]["status"], &told[0]["live_id"]),
            (&json!(status), &json!(stage.live)),
            "{kind}"
        );
    }
    for ws in &mut members {
        let refused = ws.ask("comment", json!({"live_id": stage.live, "data": "hello?"}));
        assert_eq!(refused["code"], json!("live_ended"), "{refused}");
        assert_eq!(
            ws.ask("leaveLive", json!({"live_id": stage.live}))["ok"],
            json!(true)
        );
    }
}

#[test]
fn operators_close_a_live_on_every_node() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let mut members = [stage.joined(0, "alice").1, stage.joined(1, "bobby").1];
    stage.cluster[1]
        .admin_post(&format!("/admin/rooms/{}/close", stage.live), &json!({}))
        .ok();
    for (node, ws) in members.iter_mut().enumerate() {
        assert_eq!(ws.event("live")["status"], json!(3));
        let refused = ws.ask("comment", json!({"live_id": stage.live, "data": "hello?"}));
        assert_eq!(refused["code"], json!("live_ended"), "{refused}");
        let live = stage.cluster[node]
            .get(&format!("/api/live/read/{}", stage.live))
            .ok();
        assert_eq!(
            (&live["data"]["status"], &live["sign"]),
            (&json!(3), &Value::Null),
            "{live}"
        );
        let late = stage
            .cluster
            .ws(node, &stage.streamer)
            .ask("joinLive", json!({"live_id": stage.live}));
        assert_eq!(late["code"], json!("live_ended"), "{late}");
    }
}

#[test]
fn a_user_who_is_kicked_is_out_of_the_room_on_every_node() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let mut watcher = stage.member(0, "watcher");
    let alice = stage.user("alice");
    let mut sessions = [0, 1].map(|node| stage.cluster.joined(node, &alice, stage.live));
    let elsewhere = stage.cluster[0].live(&stage.user("another"));
    sessions[1].join(elsewhere);
    watcher.listen_until("alice is there", |member| {
        member.online["count"] == json!(2)
    });

    let path = format!("/admin/rooms/{}/kick", stage.live);
    stage.cluster[0]
        .admin_post(&path, &json!({"user_id": alice.id}))
        .ok();
    for ws in &mut sessions {
        let kicked = ws.event("kicked");
        assert_eq!(
            (&kicked["live_id"], &kicked["code"]),
            (&json!(stage.live), &json!("kicked")),
            "{kicked}"
        );
        let refused = ws.ask("comment", json!({"live_id": stage.live, "data": "why?"}));
        assert_eq!(refused["code"], json!("not_in_room"), "{refused}");
    }
    watcher.listen_until("alice is told to have left", |member| {
        member.online["action"] == json!("leave") && member.online["user"]["id"] == json!(alice.id)
    });
    assert_eq!(watcher.online["count"], json!(1));
    let said = sessions[1].ask(
        "comment",
        json!({"live_id": elsewhere, "data": "still here"}),
    );
    assert_eq!(said["ok"], json!(true), "of this room only: {said}");
    for ws in &mut sessions {
        let refused = ws.ask("joinLive", json!({"live_id": stage.live}));
        assert_eq!(refused["code"], json!("kicked"), "{refused}");
    }
}

#[test]
fn a_user_is_kicked_once_by_way_of_a_node_that_does_not_have_the_room() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let alice = stage.user("alice");
    let mut session = stage.cluster.joined(0, &alice, stage.live);
    let path = format!("/admin/rooms/{}/kick", stage.live);
    let kick = json!({"user_id": alice.id, "request_id": "k-1"});
    stage.cluster[1].admin_post(&path, &kick).ok();
    assert_eq!(session.event("kicked")["code"], json!("kicked"));
    session.join_when_let_in(stage.live);
    // Repeated on the node that has the room: the request is one for both.
    stage.cluster[0].admin_post(&path, &kick).ok();
    for node in [0, 1] {
        let notice = json!({"text": format!("by way of {node}")});
        stage.cluster[node]
            .admin_post(&format!("/admin/rooms/{}/notice", stage.live), &notice)
            .ok();
        session.event("notice");
    }
    let said = session.ask(
        "comment",
        json!({"live_id": stage.live, "data": "still here"}),
    );
    assert_eq!(said["ok"], json!(true), "{said}");
}

#[test]
fn an_action_whose_node_died_after_its_commit_reaches_the_room_once() {
    let Some(stage) = Stage::set(2, &[("LIVEROOM__ROOMS__RECONCILE_MS", "200")]) else {
        return;
    };
    let mut members = [stage.joined(0, "alice").1, stage.joined(1, "bobby").1];
    // All that such a node leaves behind.
    stage.cluster.query(&format!(
        "WITH action AS (INSERT INTO audit \
         (at, actor_kind, actor_id, role, scope, scope_id, action, arguments, result) VALUES \
         (1, 'operator', 0, 'operator', 'live', {}, 'notice', '{{\"text\":\"from a dead node\"}}', 'ok') RETURNING id) \
         INSERT INTO pending_actions SELECT id FROM action",
        stage.live
    ));
    for ws in &mut members {
        assert_eq!(ws.event("notice")["text"], json!("from a dead node"));
    }
    stage.cluster.wait_until_no_action_is_pending();
    // Both nodes deliver it, perhaps more than once.
    stage
        .cluster
        .query("INSERT INTO pending_actions SELECT max(id) FROM audit");
    stage.cluster.wait_until_no_action_is_pending();
    let path = format!("/admin/rooms/{}/notice", stage.live);
    stage.cluster[0]
        .admin_post(&path, &json!({"text": "the next"}))
        .ok();
    for ws in &mut members {
        assert_eq!(ws.event("notice")["text"], json!("the next"));
    }
}

#[test]
fn a_notice_is_heard_on_every_node_and_by_way_of_any() {
    let Some(stage) = Stage::set(3, &[]) else {
        return;
    };
    let mut members = [stage.joined(0, "alice").1, stage.joined(1, "bobby").1];
    // The third has not opened the room itself.
    for (node, text) in [
        (0, "from its own"),
        (1, "from the other"),
        (2, "from a node without members"),
    ] {
        let path = format!("/admin/rooms/{}/notice", stage.live);
        stage.cluster[node]
            .admin_post(&path, &json!({"text": text}))
            .ok();
        let told: Vec<Value> = members.iter_mut().map(|ws| ws.event("notice")).collect();
        assert_eq!(told[0]["text"], json!(text));
        assert_eq!(told[0], told[1]);
    }
}

#[test]
fn a_comment_taken_down_on_one_node_is_gone_on_all() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (_, mut here) = stage.joined(0, "alice");
    let (_, mut there) = stage.joined(1, "bobby");
    let came_in = there.join(stage.live);
    let (epoch, start) = (
        came_in["epoch"].clone(),
        came_in["offset"].as_u64().expect("a place"),
    );
    let rude =
        here.ask("comment", json!({"live_id": stage.live, "data": "rude"}))["comment_id"].clone();
    let rude_id = rude.as_str().expect("an id");
    there.event("comment");
    stage.cluster[1]
        .admin_delete(&format!("/admin/rooms/{}/comments/{rude_id}", stage.live))
        .ok();
    let removed = [&mut here, &mut there].map(|ws| ws.event("removed"));
    assert_eq!(
        (&removed[0]["id"], &removed[0]["live_id"]),
        (&rude, &json!(stage.live))
    );
    assert_eq!(removed[0], removed[1]);

    for node in [0, 1] {
        let shown = stage.cluster[node]
            .get(&format!("/api/live/{}/history", stage.live))
            .ok();
        assert_eq!(shown, json!([]), "node {node}");
        let mut late = stage.cluster.ws(node, &stage.streamer);
        let joined = late.ask(
            "joinLive",
            json!({"live_id": stage.live, "since": {"epoch": epoch, "offset": start}}),
        );
        assert_eq!(joined["recovered"], json!(true), "{joined}");
        for offset in [start + 1, start + 2] {
            let event = late.wait_for("an event with a place", |frame| {
                frame["data"]["offset"].is_u64()
            });
            assert_eq!(
                (&event["event"], &event["data"]["id"]),
                (&json!("removed"), &rude),
                "{event}"
            );
            assert_eq!(event["data"]["offset"], json!(offset), "{event}");
        }
    }
}

#[test]
fn a_mute_holds_on_every_node_and_its_user_hears_of_it_on_each() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let alice = stage.user("alice");
    let mut sessions = [0, 1].map(|node| stage.cluster.joined(node, &alice, stage.live));
    let mute =
        json!({"live_id": stage.live, "user_id": alice.id, "seconds": 600, "reason": "spam"});
    let muted = stage.cluster.ws(0, &stage.streamer).ask("mute", mute);
    assert_eq!(muted["ok"], json!(true), "{muted}");
    for ws in &mut sessions {
        let event = ws.event("muted");
        assert_eq!(event["until_ms"], muted["until_ms"], "{event}");
        let refused = ws.ask("comment", json!({"live_id": stage.live, "data": "hi"}));
        assert_eq!(refused["code"], json!("muted"), "{refused}");
    }
    let unmute = json!({"live_id": stage.live, "user_id": alice.id});
    stage.cluster.ws(1, &stage.streamer).ask("unmute", unmute);
    for ws in &mut sessions {
        ws.event("unmuted");
        let said = ws.ask("comment", json!({"live_id": stage.live, "data": "hi"}));
        assert_eq!(said["ok"], json!(true), "{said}");
    }
}

#[test]
fn a_comment_behind_a_mute_is_removed_on_every_node_also_where_the_mute_is_not_published_yet() {
    let Some(stage) = Stage::set(2, &LOOKS_SELDOM) else {
        return;
    };
    let (alice, mut sender) = stage.joined(1, "alice");
    let (_, mut here) = stage.joined(1, "bobby");
    let (_, mut there) = stage.joined(0, "carol");
    // The mute as a node appends it, but for the message, which may come after the answer to a
    // batch of the other.
    let key = |name: &str| format!("liveroom:{{{}}}:{name}", stage.live);
    let field = |name: &str| {
        let redis = &stage.cluster.redis;
        redis.command(&["HGET", &key("order"), name]).expect(name)
    };
    let after = format!("{}-{}", field("generation"), field("offset"));
    let sanction = json!({
        "id": 1, "kind": "mute", "scope": "streamer", "until": null, "gifts": false, "reason": "spam",
        "by": null, "since": 0,
    });
    let mute = json!({
        "control": "standing", "version": 1, "user": alice.id, "moderator": false, "sanctions": [sanction],
    });
    let (controls, order, mute) = (key("controls"), key("order"), mute.to_string());
    let id = "0000000000000000.1000";
    let entry = ["XADD", &controls, "*", "m", id, "a", &after, "p", &mute];
    stage.cluster.redis.command(&entry);
    let count = ["HINCRBY", &order, "controls", "1"];
    stage.cluster.redis.command(&count);

    let refused = sender.ask("comment", json!({"live_id": stage.live, "data": "hi"}));
    assert_eq!(refused["code"], json!("muted"), "{refused}");
    for ws in [&mut sender, &mut here, &mut there] {
        let event = ws.wait_for("an event with a place", |frame| {
            frame["data"]["offset"].is_u64()
        });
        assert_eq!(event["event"], json!("removed"), "{event}");
    }
}

#[test]
fn a_ban_reaches_every_open_room_of_the_streamer_on_every_node() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let alice = stage.user("alice");
    let elsewhere = stage.cluster[0].live(&stage.streamer);
    let mut here = stage.cluster.joined(0, &alice, stage.live);
    let mut there = stage.cluster.joined(1, &alice, elsewhere);
    let path = format!("/admin/rooms/{}/ban", stage.live);
    stage.cluster[0]
        .admin_post(&path, &json!({"user_id": alice.id, "seconds": 600}))
        .ok();
    for (ws, live) in [(&mut here, stage.live), (&mut there, elsewhere)] {
        let kicked = ws.event("kicked");
        assert_eq!(
            (&kicked["live_id"], &kicked["code"]),
            (&json!(live), &json!("banned")),
            "{kicked}"
        );
        let refused = ws.ask("joinLive", json!({"live_id": live}));
        assert_eq!(refused["code"], json!("banned"), "{refused}");
    }
}

#[test]
fn an_act_whose_node_died_after_its_commit_holds_on_the_others() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (alice, mut ws) = stage.joined(1, "alice");
    // All that such a node leaves behind, but for the rows of the audit.
    let streamer = stage.streamer.id;
    stage.cluster.query(&format!(
        "INSERT INTO sanctions (scope, streamer_id, user_id, kind, gifts, purge, actor_kind, actor_id, created_at) \
         VALUES ('streamer', {streamer}, {}, 'ban', true, 'none', 'operator', 0, 1)",
        alice.id
    ));
    stage.cluster.query(&format!(
        "INSERT INTO moderation_versions (streamer_id, version) VALUES ({streamer}, 0)"
    ));
    stage.cluster.query(&format!(
        "UPDATE moderation_versions SET version = 1 WHERE streamer_id = {streamer}"
    ));
    assert_eq!(ws.event("kicked")["code"], json!("banned"));
}

#[test]
fn pins_from_two_nodes_at_once_end_the_same_on_both_and_in_the_store() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let mut members = [stage.joined(0, "alice").1, stage.joined(1, "bobby").1];
    let mut comments = Vec::new();
    for text in ["one", "two"] {
        let said = members[0].ask("comment", json!({"live_id": stage.live, "data": text}));
        comments.push(said["comment_id"].clone());
    }
    let mut streamers = [0, 1].map(|node| stage.cluster.ws(node, &stage.streamer));
    for _ in 0..10 {
        let asked: Vec<i64> = streamers
            .iter_mut()
            .zip(&comments)
            .map(|(ws, id)| ws.send("pin", json!({"live_id": stage.live, "comment_id": id})))
            .collect();
        for (ws, id) in streamers.iter_mut().zip(asked) {
            assert_eq!(ws.answer(id)["ok"], json!(true));
        }
    }
    let stored = stage.cluster.query(&format!(
        "COPY (SELECT comment_id FROM pins WHERE live_id = {}) TO STDOUT",
        stage.live
    ));
    let wanted = json!(stored.trim());
    let mut seen = Vec::new();
    for (node, ws) in members.iter_mut().enumerate() {
        let pins: Vec<Value> = (0..20).map(|_| ws.event("pinned")).collect();
        // In the place of an earlier pin that comes last, the later one is delivered.
        assert_eq!(pins.last().map(|pin| &pin["comment"]["id"]), Some(&wanted));
        let mut late = stage.cluster.ws(node, &stage.streamer);
        let joined = late.ask("joinLive", json!({"live_id": stage.live}));
        assert_eq!(joined["pinned"]["id"], wanted, "node {node}");
        seen.push(pins);
    }
    assert_eq!(seen[0], seen[1], "the same events at the same places");
}

#[test]
fn moderators_hear_on_every_node_of_a_report_on_one() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (_, mut rude) = stage.joined(0, "alice");
    let (_, mut reporter) = stage.joined(1, "bobby");
    let mut streamer = stage.cluster.joined(0, &stage.streamer, stage.live);
    let said = rude.ask("comment", json!({"live_id": stage.live, "data": "rude"}));
    let report = json!({"live_id": stage.live, "comment_id": said["comment_id"], "reason": "rude"});
    assert_eq!(reporter.ask("report", report)["ok"], json!(true));
    let notice = streamer.event("reported");
    assert_eq!(
        notice["comments"],
        json!([{"id": said["comment_id"], "reports": 1}])
    );
    let path = format!("/api/live/{}/reports", stage.live);
    for node in [0, 1] {
        let queued = stage.cluster[node].get_as(&stage.streamer, &path).ok();
        assert_eq!(queued["reports"][0]["reports"], json!(1), "node {node}");
    }
}

#[test]
fn modes_hold_on_every_node_and_changes_at_once_end_the_same_on_both_and_in_the_store() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let mut members = [stage.joined(0, "alice").1, stage.joined(1, "bobby").1];
    let mut streamers = [0, 1].map(|node| stage.cluster.ws(node, &stage.streamer));
    let about = |slow_s: usize| json!({"live_id": stage.live, "slow_s": slow_s});
    for round in 0..10 {
        let asked: Vec<i64> = streamers
            .iter_mut()
            .enumerate()
            .map(|(node, ws)| ws.send("setModes", about(1 + 2 * round + node)))
            .collect();
        for (ws, id) in streamers.iter_mut().zip(asked) {
            assert_eq!(ws.answer(id)["ok"], json!(true));
        }
    }
    let stored = stage.cluster.query(&format!(
        "COPY (SELECT version FROM live_modes WHERE live_id = {}) TO STDOUT",
        stage.live
    ));
    let version: u64 = stored.trim().parse().expect("a version");
    let mut seen = Vec::new();
    for (node, ws) in members.iter_mut().enumerate() {
        let events: Vec<Value> = (0..20).map(|_| ws.event("modes")).collect();
        // In the place of an earlier change that comes last, the later one is delivered.
        let last = events.last().expect("20 of them");
        assert_eq!(last["version"], json!(version), "node {node}");
        let mut late = stage.cluster.ws(node, &stage.streamer);
        let joined = late.ask("joinLive", json!({"live_id": stage.live}));
        assert_eq!(joined["modes"]["slow_s"], last["slow_s"], "node {node}");
        seen.push(events);
    }
    assert_eq!(seen[0], seen[1], "the same events at the same places");

    let frozen = json!({"live_id": stage.live, "slow_s": 0, "frozen": true});
    assert_eq!(streamers[0].ask("setModes", frozen)["ok"], json!(true));
    for ws in &mut members {
        ws.event_where("modes", |modes| modes["frozen"] == json!(true));
        let refused = ws.ask("comment", json!({"live_id": stage.live, "data": "hello?"}));
        assert_eq!(refused["code"], json!("frozen"), "{refused}");
    }
}
