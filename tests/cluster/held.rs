//! Held comments over two nodes: notified on both, decided on either, and once, whatever dies or is
//! away in between.

use serde_json::{Value, json};

use crate::support::cluster::{Cluster, Plan, Stage};
use crate::support::redis::Keeps;
use crate::support::{User, Ws, eventually};

/// A stage where a term holds, and a moderator on each node.
struct Scene {
    stage: Stage,
    moderator: User,
    moderating: [Ws; 2],
}

impl Scene {
    fn set(can_be_cut: bool) -> Option<Self> {
        let cluster = Cluster::plan(&Plan {
            nodes: 2,
            env: &[("LIVEROOM__ROOMS__RECONCILE_MS", "200")],
            keeps: Keeps::Everything,
            can_be_cut,
        })?;
        let stage = Stage::over(cluster);
        for node in [0, 1] {
            // The second import is the same list: each node has it at once then.
            stage.cluster[node]
                .admin_post_text("/admin/filter/import", "链接\thold")
                .ok();
        }
        let moderator = stage.user("moderator");
        let named = stage.cluster.ws(0, &stage.streamer).ask(
            "setModerator",
            json!({"live_id": stage.live, "user_id": moderator.id, "moderator": true}),
        );
        assert_eq!(named["ok"], json!(true), "{named}");
        let moderating = [0, 1].map(|node| stage.cluster.joined(node, &moderator, stage.live));
        Some(Self {
            stage,
            moderator,
            moderating,
        })
    }

    fn say(&self, ws: &mut Ws, text: &str, request_id: &str) -> Value {
        let data = json!({"live_id": self.stage.live, "data": text, "request_id": request_id});
        ws.ask("comment", data)
    }

    fn review(&self, id: &Value, approve: bool) -> Value {
        json!({"live_id": self.stage.live, "comment_id": id, "approve": approve})
    }

    /// A row as a node leaves it behind that dies right after its commit.
    fn insert(&self, author: &User, id: i64, rule: &str, due_at: i64) {
        self.stage.cluster.query(&format!(
            "INSERT INTO held_comments \
             (comment_id, live_id, user_id, content, rule, created_at, due_at) \
             VALUES ({id}, {}, {}, 'held {id}', '{rule}', 1, {due_at})",
            self.stage.live, author.id
        ));
    }

    /// Every moderator hears that it is held.
    fn assert_reported(&mut self, id: &Value) {
        for ws in &mut self.moderating {
            let held = ws.event_where("held", |held| held["comment"]["id"] == *id);
            assert_eq!(held["rule"], json!("term"), "{held}");
        }
    }
}

/// Waits for a comment, and for another one that is said after it: the first came once.
fn assert_shown_once(scene: &Scene, members: &mut [Ws], id: &Value, last: &str) {
    for ws in &mut *members {
        let shown = ws.event_where("comment", |comment| comment["id"] == *id);
        assert_eq!(shown["live_id"], json!(scene.stage.live));
    }
    let said = scene.say(&mut members[0], last, last);
    assert_eq!(said["status"], json!("delivered"), "{said}");
    for ws in members {
        ws.event_where("comment", |comment| comment["content"] == json!(last));
        let again =
            |frame: &&Value| frame["event"] == json!("comment") && frame["data"]["id"] == *id;
        assert_eq!(ws.kept().find(again), None, "once");
    }
}

#[test]
fn what_one_node_holds_moderators_of_both_hear_and_either_shows_it_to_all() {
    let Some(mut scene) = Scene::set(false) else {
        return;
    };
    let (alice, sender) = scene.stage.joined(0, "alice");
    let (_, bystander) = scene.stage.joined(1, "bobby");
    let mut members = [sender, bystander];
    let held = scene.say(&mut members[0], "链接", "r-1");
    assert_eq!(held["status"], json!("held"), "{held}");
    let id = held["comment_id"].clone();
    scene.assert_reported(&id);
    // The other node knows the request.
    let mut elsewhere = scene.stage.cluster.joined(1, &alice, scene.stage.live);
    let retried = scene.say(&mut elsewhere, "链接", "r-1");
    assert_eq!(
        (&retried["status"], &retried["comment_id"]),
        (&json!("held"), &id),
        "{retried}"
    );
    let approved = {
        let review = scene.review(&id, true);
        scene.moderating[1].ask("review", review)
    };
    assert_eq!(approved["approved"], json!(true), "{approved}");
    assert_shown_once(&scene, &mut members, &id, "calm");
    let refused = {
        let review = scene.review(&id, false);
        scene.moderating[0].ask("review", review)
    };
    assert_eq!(refused["code"], json!("already_reviewed"), "{refused}");

    let denied = scene.say(&mut members[1], "又一个链接", "r-2")["comment_id"].clone();
    scene.assert_reported(&denied);
    let review = scene.review(&denied, false);
    assert_eq!(scene.moderating[0].ask("review", review)["ok"], json!(true));
    members[1].event_where("comment_denied", |it| it["comment_id"] == denied);
    for ws in &mut scene.moderating {
        ws.event_where("comment_denied", |it| it["comment_id"] == denied);
    }
}

#[test]
fn both_nodes_asked_at_once_decide_once() {
    let Some(mut scene) = Scene::set(false) else {
        return;
    };
    let (_, sender) = scene.stage.joined(0, "alice");
    let (_, bystander) = scene.stage.joined(1, "bobby");
    let mut members = [sender, bystander];
    for n in 0..5 {
        let id = scene.say(&mut members[0], "链接", &format!("r-{n}"))["comment_id"].clone();
        scene.assert_reported(&id);
        let review = scene.review(&id, true);
        let asked = scene
            .moderating
            .each_mut()
            .map(|ws| ws.send("review", review.clone()));
        let mut answers = [0, 1].map(|node| scene.moderating[node].answer(asked[node]));
        answers.sort_by_key(|answer| answer["ok"] == json!(true));
        assert_eq!(answers[0]["code"], json!("already_reviewed"), "{answers:?}");
        assert_eq!(answers[1]["approved"], json!(true), "{answers:?}");
        assert_shown_once(&scene, &mut members, &id, &format!("calm-{n}"));
    }
}

#[test]
fn what_a_dead_node_left_undone_about_held_comments_others_do_once() {
    let Some(mut scene) = Scene::set(false) else {
        return;
    };
    let (alice, sender) = scene.stage.joined(0, "alice");
    let (_, bystander) = scene.stage.joined(1, "bobby");
    let mut members = [sender, bystander];
    // It was stored, and reported to nobody.
    let far = 9_000_000_000_000;
    scene.insert(&alice, 101, "term", far);
    scene.assert_reported(&json!("101"));
    // It was shown in the store, and in no log.
    scene.insert(&alice, 102, "term", far);
    scene.assert_reported(&json!("102"));
    scene.stage.cluster.query(
        "UPDATE held_comments SET state = 'shown', decided_at = 2, is_logged = false WHERE comment_id = 102",
    );
    assert_shown_once(&scene, &mut members, &json!("102"), "calm-1");
    // The end of a delay, which no node waits for any more.
    scene.insert(&alice, 103, "delay", 2);
    assert_shown_once(&scene, &mut members, &json!("103"), "calm-2");
    let preview = |frame: &&Value| frame["event"] == json!("preview");
    for ws in &members {
        assert_eq!(
            ws.kept().find(preview),
            None,
            "moderators alone see it before"
        );
    }
    // Nobody decided in time.
    scene.insert(&alice, 104, "term", 2);
    members[0].event_where("comment_denied", |it| {
        it["comment_id"] == json!("104") && it["expired"] == json!(true)
    });
    let path = format!("/api/live/{}/held", scene.stage.live);
    let list = scene.stage.cluster[1].get_as(&scene.moderator, &path).ok();
    assert_eq!(list["held"][0]["comment"]["id"], json!("101"), "{list}");
    assert_eq!(list["held"][1], Value::Null, "{list}");
    let page = format!("/api/live/{}/history", scene.stage.live);
    let page = scene.stage.cluster[0].get(&page).text();
    assert!(
        page.contains("held 103") && !page.contains("held 104"),
        "{page}"
    );
}

#[test]
fn a_node_that_dies_after_it_held_and_answered_leaves_the_comment_to_the_other() {
    let Some(mut scene) = Scene::set(false) else {
        return;
    };
    let (alice, mut sender) = scene.stage.joined(0, "alice");
    let (_, bystander) = scene.stage.joined(1, "bobby");
    let id = scene.say(&mut sender, "链接", "r-1")["comment_id"].clone();
    scene.stage.cluster.kill(0);
    let mut sender = scene.stage.cluster.joined(1, &alice, scene.stage.live);
    let held = scene.moderating[1].event_where("held", |held| held["comment"]["id"] == id);
    assert_eq!(held["comment"]["content"], json!("链接"));
    let retried = scene.say(&mut sender, "链接", "r-1");
    assert_eq!(
        (&retried["status"], &retried["comment_id"]),
        (&json!("held"), &id),
        "{retried}"
    );
    let review = scene.review(&id, true);
    let approved = scene.moderating[1].ask("review", review);
    assert_eq!(approved["approved"], json!(true), "{approved}");
    assert_shown_once(&scene, &mut [sender, bystander], &id, "calm");
}

#[test]
fn without_redis_a_comment_is_held_and_shown_here_at_once_and_elsewhere_later_and_once() {
    let Some(mut scene) = Scene::set(false) else {
        return;
    };
    let (_, sender) = scene.stage.joined(0, "alice");
    let (_, bystander) = scene.stage.joined(1, "bobby");
    let mut members = [sender, bystander];
    scene.stage.cluster.redis.kill();
    for node in [0, 1] {
        scene.stage.cluster.wait_until_alone(node);
    }
    let id = scene.say(&mut members[0], "链接", "r-1")["comment_id"].clone();
    scene.moderating[0].event_where("held", |held| held["comment"]["id"] == id);
    let review = scene.review(&id, true);
    let approved = scene.moderating[0].ask("review", review);
    assert_eq!(approved["approved"], json!(true), "{approved}");
    members[0].event_where("comment", |comment| comment["id"] == id);
    let waiting = scene.say(&mut members[0], "又一个链接", "r-2")["comment_id"].clone();
    scene.stage.cluster.redis.restart();
    scene.stage.cluster.wait_until_together();
    members[1].event_where("comment", |comment| comment["id"] == id);
    scene.assert_reported(&waiting);
    let review = scene.review(&waiting, true);
    let approved = scene.moderating[1].ask("review", review);
    assert_eq!(approved["approved"], json!(true), "{approved}");
    assert_shown_once(&scene, &mut members, &waiting, "calm");
    for ws in &members {
        let again =
            |frame: &&Value| frame["data"]["id"] == id && frame["event"] == json!("comment");
        assert_eq!(ws.kept().find(again), None, "once");
    }
}

#[test]
fn without_the_database_a_held_comment_and_a_review_wait_or_are_refused_and_have_one_effect() {
    let Some(mut scene) = Scene::set(true) else {
        return;
    };
    let (_, sender) = scene.stage.joined(0, "alice");
    let (_, bystander) = scene.stage.joined(1, "bobby");
    let mut members = [sender, bystander];
    let first = scene.say(&mut members[0], "链接", "r-1")["comment_id"].clone();
    scene.assert_reported(&first);
    scene.stage.cluster.ways(0).database.cut();
    let data = json!({"live_id": scene.stage.live, "data": "又一个链接", "request_id": "r-2"});
    let asked = members[0].send("comment", data);
    let mut review = scene.review(&first, true);
    review["request_id"] = json!("approve");
    let refused = scene.moderating[0].ask("review", review.clone());
    assert_eq!(refused["code"], json!("busy"), "{refused}");
    scene.stage.cluster.ways(0).database.heal_after_loss();
    let held = members[0].answer(asked);
    assert_eq!(held["status"], json!("held"), "{held}");
    scene.assert_reported(&held["comment_id"]);
    let approved = eventually("the review is answered", || {
        let answer = scene.moderating[0].ask("review", review.clone());
        (answer["code"] != json!("busy")).then_some(answer)
    });
    assert_eq!(approved["approved"], json!(true), "{approved}");
    assert_shown_once(&scene, &mut members, &first, "calm");
}

#[test]
fn moderators_of_both_nodes_see_a_delayed_comment_first_and_it_outlives_its_node() {
    let Some(mut scene) = Scene::set(false) else {
        return;
    };
    let (_, mut sender) = scene.stage.joined(0, "alice");
    let (_, mut bystander) = scene.stage.joined(1, "bobby");
    let delayed = json!({"live_id": scene.stage.live, "mod_delay_s": 6});
    let set = scene.moderating[1].ask("setModes", delayed);
    assert_eq!(set["ok"], json!(true), "{set}");
    sender.event_where("modes", |modes| modes["mod_delay_s"] == json!(6));

    let ids = ["one", "two"].map(|text| {
        let held = scene.say(&mut sender, text, text);
        assert_eq!(
            (&held["status"], &held["delay_ms"]),
            (&json!("held"), &json!(6_000)),
            "{held}"
        );
        held["comment_id"].clone()
    });
    // The moderators take their time.
    let set_due = |scene: &Scene, at: &str| {
        let sql = format!("UPDATE held_comments SET due_at = {at} WHERE state = 'waiting'");
        scene.stage.cluster.query(&sql);
    };
    set_due(&scene, "due_at + 600000");
    for ws in &mut scene.moderating {
        for id in &ids {
            ws.event_where("preview", |preview| preview["comment"]["id"] == *id);
        }
    }
    let gone = json!({"live_id": scene.stage.live, "comment_id": ids[0]});
    let deleted = scene.moderating[1].ask("deleteComment", gone);
    assert_eq!(deleted["ok"], json!(true), "{deleted}");
    scene.stage.cluster.kill(0);
    set_due(&scene, "1");
    bystander.event_where("comment", |comment| comment["id"] == ids[1]);
    let heard =
        |frame: &&Value| frame["event"] == json!("comment") || frame["event"] == json!("preview");
    assert_eq!(
        bystander.kept().find(heard),
        None,
        "nothing but the other one"
    );
}
