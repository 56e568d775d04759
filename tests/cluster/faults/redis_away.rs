//! Redis stops answering, and comes back with what it had.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::json;

use super::evening::Evening;
use crate::support::redis::Keeps;
use crate::support::{User, eventually};

/// How long Redis is frozen. Longer than its timeout; raised by hand to see a long silence.
fn freeze() -> Duration {
    let seconds = std::env::var("LIVEROOM_TEST_FREEZE_S")
        .ok()
        .and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(3))
}

#[test]
fn without_redis_each_node_goes_on_alone_and_nothing_is_lost_when_it_is_back() {
    let Some(mut evening) = Evening::begin(Keeps::Everything, false) else {
        return;
    };
    let first_epoch = evening.assert_together();
    for _ in 0..2 {
        evening.stage.cluster.redis.kill();
        for node in [0, 1] {
            evening.stage.cluster.wait_until_alone(node);
        }
        evening.talk();
        evening.stage.cluster.redis.restart();
        evening.stage.cluster.wait_until_together();
        evening.catch_up();
        assert_ne!(
            evening.assert_together(),
            first_epoch,
            "what was told alone begins a new epoch"
        );
        let since = evening.listeners[0].position();
        assert!(evening.recovers(0, &since) && evening.recovers(1, &since));
    }
    evening.end();
}

#[test]
fn members_do_not_wait_for_a_redis_that_is_silent() {
    let Some(mut evening) = Evening::begin(Keeps::Saved, false) else {
        return;
    };
    evening.assert_together();
    let frozen = Instant::now();
    evening.stage.cluster.redis.freeze();
    // From the first moment: some of it is on its way to Redis when the nodes give it up, and Redis
    // will carry that out when it wakes.
    evening.talk();
    for node in [0, 1] {
        evening.stage.cluster.wait_until_alone(node);
    }
    evening.talk();
    std::thread::sleep(freeze().saturating_sub(frozen.elapsed()));
    evening.stage.cluster.redis.thaw();
    evening.stage.cluster.wait_until_together();
    evening.catch_up();
    evening.end();
}

#[test]
fn actions_without_redis_hold_here_at_once_and_elsewhere_soon_and_once() {
    let Some(mut evening) = Evening::begin(Keeps::Everything, false) else {
        return;
    };
    let (live, alice) = (evening.stage.live, evening.stage.user("kicked"));
    let cluster = &mut evening.stage.cluster;
    // A room that only the second node has.
    let elsewhere = cluster[0].live(&evening.stage.streamer);
    let mut guest = cluster.joined(1, &alice, elsewhere);
    let mut sessions = [0, 1].map(|node| cluster.joined(node, &alice, live));
    let loud = cluster[0].user("louder");
    let mut loud_sessions = [0, 1].map(|node| cluster.joined(node, &loud, live));
    let rude =
        sessions[0].ask("comment", json!({"live_id": live, "data": "rude"}))["comment_id"].clone();
    let rude = rude.as_str().expect("an id").to_owned();
    sessions[1].event("comment");
    cluster.redis.kill();
    for node in [0, 1] {
        cluster.wait_until_alone(node);
    }
    cluster[0]
        .admin_post(
            &format!("/admin/rooms/{elsewhere}/notice"),
            &json!({"text": "late"}),
        )
        .ok();
    cluster[0]
        .admin_delete(&format!("/admin/rooms/{live}/comments/{rude}"))
        .ok();
    cluster[0]
        .admin_post(
            &format!("/admin/rooms/{live}/kick"),
            &json!({"user_id": alice.id}),
        )
        .ok();
    cluster[0]
        .admin_post(
            &format!("/admin/rooms/{live}/mute"),
            &json!({"user_id": loud.id, "seconds": 600}),
        )
        .ok();
    for session in &mut loud_sessions {
        session.event("muted");
        let refused = session.ask("comment", json!({"live_id": live, "data": "loud"}));
        assert_eq!(refused["code"], json!("muted"), "{refused}");
    }
    assert_eq!(sessions[0].event("removed")["id"], json!(rude));
    assert_eq!(sessions[0].event("kicked")["code"], json!("kicked"));
    // By way of the store.
    assert_eq!(sessions[1].event("removed")["id"], json!(rude));
    assert_eq!(sessions[1].event("kicked")["code"], json!("kicked"));
    assert_eq!(guest.event("notice")["text"], json!("late"));
    cluster.redis.restart();
    cluster.wait_until_together();
    for session in &mut sessions {
        session.join_when_let_in(live);
    }
    evening.talk();
    evening.catch_up();
    for listener in &evening.listeners {
        let removals = listener
            .heard
            .events()
            .iter()
            .filter(|event| event.id == format!("removed {rude}"))
            .count();
        assert_eq!(removals, 1, "{:?}", listener.heard.events());
    }
    evening.stage.cluster.wait_until_no_action_is_pending();
    for session in &mut sessions {
        let said = session.ask("comment", json!({"live_id": live, "data": "back"}));
        assert_eq!(said["ok"], json!(true), "kicked once: {said}");
    }
}

#[test]
fn what_a_busy_room_says_in_a_long_silence_reaches_the_other_node_late_and_once() {
    let Some(mut evening) = Evening::begin(Keeps::Everything, false) else {
        return;
    };
    evening.assert_together();
    evening.stage.cluster.redis.kill();
    for node in [0, 1] {
        evening.stage.cluster.wait_until_alone(node);
    }
    for part in 0..17 {
        let mut said: [BTreeSet<String>; 2] = Default::default();
        for n in part * 100..(part + 1) * 100 {
            let speaker = &mut evening.speakers[n % 2];
            said[n % 2].insert(speaker.comment(&format!("number {n}"), &format!("long-{n}")));
        }
        // A member that reads nothing for long is closed.
        for (listener, said) in evening.listeners.iter_mut().zip(said) {
            listener.listen_for(&said);
            evening.acked.extend(said);
        }
    }
    evening.stage.cluster.redis.restart();
    evening.stage.cluster.wait_until_together();
    evening.catch_up();
    evening.end();
}

#[test]
fn a_silence_shorter_than_the_timeout_changes_nothing() {
    let long = [("LIVEROOM__CLUSTER__REDIS_TIMEOUT_MS", "10000")];
    let Some(mut evening) = Evening::begin_with(Keeps::Saved, false, &long) else {
        return;
    };
    let epoch = evening.assert_together();
    for _ in 0..3 {
        evening.stage.cluster.redis.freeze();
        std::thread::sleep(Duration::from_millis(300));
        assert!(!evening.stage.cluster.is_alone(0));
        evening.stage.cluster.redis.thaw();
        assert_eq!(evening.assert_together(), epoch);
    }
    evening.end();
}

#[test]
fn tokens_are_good_without_redis_and_replaced_ones_are_not() {
    let Some(mut evening) = Evening::begin(Keeps::Everything, false) else {
        return;
    };
    let cluster = &mut evening.stage.cluster;
    let before = cluster[0].user("alice");
    let alice = cluster[1].login("alice");
    cluster.redis.kill();
    for node in [0, 1] {
        cluster.wait_until_alone(node);
    }
    for node in [0, 1] {
        assert_eq!(
            cluster[node].get_as(&alice, "/api/user/info").ok()["id"],
            json!(alice.id),
            "node {node}"
        );
        assert_ne!(
            cluster[node].get_as(&before, "/api/user/info").status,
            200,
            "node {node}"
        );
        let mut ws = cluster.ws(node, &alice);
        ws.join(evening.stage.live);
    }
    cluster.redis.restart();
    cluster.wait_until_together();
    evening.end();
}

#[test]
fn logins_and_logouts_work_without_redis_and_hold_when_it_is_back() {
    let Some(mut evening) = Evening::begin(Keeps::Everything, false) else {
        return;
    };
    let cluster = &mut evening.stage.cluster;
    let [alice, bob, carol] = ["alice", "bobby", "carol"].map(|name| cluster[0].user(name));
    cluster.redis.kill();
    for node in [0, 1] {
        cluster.wait_until_alone(node);
    }
    let answers = |node: usize, user: &User| cluster[node].get_as(user, "/api/user/info").status;
    let again = cluster[0].login("alice");
    cluster[1].post_as(&bob, "/api/logout", &json!({})).ok();
    // A token that the database does not know may be another service's, so it is not called wrong.
    assert!(answers(0, &again) == 200 && answers(0, &alice) != 200 && answers(1, &bob) != 200);
    eventually("the other node knows by the database", || {
        (answers(1, &again) == 200 && answers(1, &alice) != 200 && answers(0, &bob) != 200)
            .then_some(())
    });

    cluster.redis.restart();
    cluster.wait_until_together();
    let answers = |node: usize, user: &User| cluster[node].get_as(user, "/api/user/info").status;
    eventually("what was decided meanwhile is written down", || {
        // Only who has a token can write it.
        assert_eq!(answers(0, &again), 200);
        let token = cluster.redis.get(&format!("user_{}", alice.id));
        let is_out = !cluster.redis.exists(&format!("user_{}", bob.id));
        (token == Some(json!(again.token).to_string()) && is_out).then_some(())
    });
    for node in [0, 1] {
        assert_eq!(
            (answers(node, &again), answers(node, &carol)),
            (200, 200),
            "node {node}"
        );
        assert_eq!(
            (answers(node, &alice), answers(node, &bob)),
            (400, 400),
            "node {node}"
        );
    }
    evening.end();
}

#[test]
fn a_node_that_starts_without_redis_serves_alone_and_joins_the_others_later() {
    let Some(mut evening) = Evening::begin(Keeps::Everything, false) else {
        return;
    };
    evening.assert_together();
    let late = evening.stage.user("late1");
    let stage = &mut evening.stage;
    stage.cluster.redis.kill();
    stage.cluster.wait_until_alone(0);
    // Its members are asked to come back, and do.
    stage.cluster.stop(1);
    stage.cluster.restart(1);
    stage.cluster.wait_until_alone(1);
    let mut member = stage.cluster.member(1, &late, stage.live);
    let mut acked = vec![
        member.comment("alone", "c-1"),
        member.give(stage.gift, "g-1"),
    ];
    member.listen_for(&acked.iter().cloned().collect());
    stage.cluster.redis.restart();
    stage.cluster.wait_until_together();
    acked.push(member.comment("together", "c-2"));
    let acked = acked.into_iter().collect();
    evening.listeners[0].listen_for(&acked);
    member.listen_for(&acked);
    for heard in [&member.heard, &evening.listeners[0].heard] {
        assert!(
            acked.iter().all(|id| heard
                .events()
                .iter()
                .filter(|event| event.id == *id)
                .count()
                == 1),
            "{heard:?}"
        );
    }
    evening.stage.cluster[1].assert_books_balance();
}

#[test]
fn presence_is_over_all_nodes_again_when_redis_is_back() {
    let short = [("LIVEROOM__CLUSTER__NODE_TIMEOUT_MS", "1500")];
    let Some(mut evening) = Evening::begin_with(Keeps::Everything, false, &short) else {
        return;
    };
    let count = |evening: &mut Evening, node: usize, expected: usize| {
        let member = &mut evening.listeners[node];
        member.listen_until(&format!("{expected} users"), |member| {
            member.online["count"] == json!(expected)
        });
    };
    for node in [0, 1] {
        count(&mut evening, node, 4);
    }
    evening.stage.cluster.redis.kill();
    for node in [0, 1] {
        evening.stage.cluster.wait_until_alone(node);
        // The others are not heard of any more; its own are there.
        count(&mut evening, node, 2);
    }
    evening.stage.cluster.redis.restart();
    for node in [0, 1] {
        count(&mut evening, node, 4);
    }
    let list = format!("userList_live_{}", evening.stage.live);
    eventually("the list for other services is whole again", || {
        let text = evening.stage.cluster.redis.get(&list)?;
        let users: serde_json::Value = serde_json::from_str(&text).expect("a JSON list");
        (users.as_array().map(Vec::len) == Some(4)).then_some(())
    });
    let ids: Vec<i64> = evening.tokens_of().iter().map(|user| user.id).collect();
    for id in ids {
        eventually("who is connected is online", || {
            evening
                .stage
                .cluster
                .redis
                .exists(&format!("online_{id}"))
                .then_some(())
        });
    }
    evening.end();
}
