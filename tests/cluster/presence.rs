//! Who is online, over all nodes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::nodes::Stage;
use crate::support::{User, Ws};

const GRACE_MS: u64 = 1_000;

fn ids(online: &Value) -> Vec<i64> {
    let users = online["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    users.iter().filter_map(|user| user["id"].as_i64()).collect()
}

fn clients(online: &Value) -> BTreeSet<String> {
    let clients = online["clients"].as_array().map(Vec::as_slice).unwrap_or_default();
    clients.iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Waits until `ws` is told that `user` did `action`.
fn told(ws: &mut Ws, action: &str, user: &User) -> Value {
    let what = format!("{action} of {}", user.name);
    let frame = ws.wait_for(&what, |frame| {
        let online = &frame["data"];
        frame["event"] == json!("online") && online["action"] == json!(action) && online["user"]["id"] == json!(user.id)
    });
    frame["data"].clone()
}

/// What `ws` was told of `user` so far.
fn told_of(ws: &mut Ws, user: &User) -> Vec<Value> {
    let is_about = |frame: &Value| frame["event"] == json!("online") && frame["data"]["user"]["id"] == json!(user.id);
    ws.so_far().into_iter().filter(is_about).collect()
}

#[test]
fn joins_and_leaves_are_told_on_every_node_with_who_is_there_over_all() {
    let Some(stage) = Stage::set(3, &[]) else { return };
    let users: Vec<User> = (0..3).map(|n| stage.user(&format!("viewer{n}"))).collect();
    let mut members: Vec<Ws> = Vec::new();
    for (node, user) in users.iter().enumerate() {
        members.push(stage.cluster.joined(node, user, stage.live));
        let seen: Vec<Value> = members.iter_mut().map(|ws| told(ws, "join", user)).collect();
        for online in &seen {
            let newest_first: Vec<i64> = users[..=node].iter().rev().map(|user| user.id).collect();
            assert_eq!((ids(online), &online["count"]), (newest_first, &json!(node + 1)), "{online}");
            assert_eq!(clients(online).len(), node + 1, "{online}");
            assert_eq!(clients(online), clients(&seen[0]), "{online}");
        }
    }
    // Once a node knows the others' members, the answer to a join does too.
    let late = stage.user("viewer3");
    let joined = stage.cluster.ws(1, &late).join(stage.live);
    assert_eq!(joined["count"], json!(4), "{joined}");
    for ws in &mut members {
        told(ws, "leave", &late);
    }

    members[2].ask("leaveLive", json!({"live_id": stage.live}));
    let mut left = members.pop().expect("the third");
    for ws in &mut members {
        let online = told(ws, "leave", &users[2]);
        assert_eq!((&online["count"], online.get("data"), clients(&online).len()), (&json!(2), None, 2), "{online}");
    }
    left.join(stage.live);
    for ws in &mut members {
        let online = told(ws, "join", &users[2]);
        assert_eq!((ids(&online)[0], &online["count"]), (users[2].id, &json!(3)), "{online}");
    }
}

#[test]
fn one_user_on_two_nodes_is_one_presence() {
    let Some(stage) = Stage::set(2, &[]) else { return };
    let (_, mut watcher) = stage.joined(0, "watcher");
    let alice = stage.user("alice");
    let mut first = stage.cluster.joined(0, &alice, stage.live);
    assert_eq!(told(&mut watcher, "join", &alice)["count"], json!(2));
    let mut second = stage.cluster.joined(1, &alice, stage.live);
    // Whatever is told of the second says that there are as many users and one socket more.
    let online = watcher.event_where("online", |online| clients(online).len() == 3);
    assert_eq!((&online["count"], ids(&online).len()), (&json!(2), 2), "{online}");

    first.ask("leaveLive", json!({"live_id": stage.live}));
    let end = stage.user("bobby");
    let mut bob = stage.cluster.joined(1, &end, stage.live);
    let online = told(&mut watcher, "join", &end);
    assert_eq!((&online["count"], clients(&online).len()), (&json!(3), 3), "alice is there by her second: {online}");
    let leaves = |frames: Vec<Value>| frames.iter().filter(|it| it["data"]["action"] == json!("leave")).count();
    assert_eq!(leaves(told_of(&mut watcher, &alice)), 0);

    second.ask("leaveLive", json!({"live_id": stage.live}));
    for ws in [&mut watcher, &mut bob] {
        assert_eq!(told(ws, "leave", &alice)["count"], json!(2));
    }
}

#[test]
fn a_lost_connection_is_told_on_other_nodes_when_its_grace_has_passed() {
    let Some(stage) = Stage::set(2, &[]) else { return };
    let (_, mut watcher) = stage.joined(0, "watcher");
    let (alice, ws) = stage.joined(1, "alice");
    told(&mut watcher, "join", &alice);
    let lost = Instant::now();
    drop(ws);
    let online = told(&mut watcher, "leave", &alice);
    assert!(lost.elapsed() >= Duration::from_millis(GRACE_MS), "{:?}", lost.elapsed());
    assert_eq!(online["count"], json!(1), "{online}");
}

#[test]
fn who_comes_back_on_another_node_within_the_grace_never_left() {
    let Some(stage) = Stage::set(2, &[("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", "2000")]) else { return };
    let (_, mut watcher) = stage.joined(0, "watcher");
    let (alice, ws) = stage.joined(1, "alice");
    told(&mut watcher, "join", &alice);
    drop(ws);
    let mut back = stage.cluster.joined(0, &alice, stage.live);
    // A grace later there would be a leave, if there was to be one.
    std::thread::sleep(Duration::from_millis(2_500));
    let frames = told_of(&mut watcher, &alice);
    assert!(frames.iter().all(|frame| frame["data"]["action"] != json!("leave")), "{frames:?}");
    assert!(frames.iter().all(|frame| frame["data"]["count"] == json!(2)), "{frames:?}");
    back.ask("leaveLive", json!({"live_id": stage.live}));
    assert_eq!(told(&mut watcher, "leave", &alice)["count"], json!(1));
}

#[test]
fn members_of_a_node_that_was_killed_leave_when_it_was_not_heard_of_for_its_timeout() {
    const NODE_TIMEOUT_MS: u64 = 2_000;
    let Some(mut stage) = Stage::set(2, &[("LIVEROOM__CLUSTER__NODE_TIMEOUT_MS", "2000")]) else { return };
    let (watcher_user, mut watcher) = stage.joined(0, "watcher");
    let (alice, _alice) = stage.joined(1, "alice");
    let (bob, _bob) = stage.joined(1, "bobby");
    let mut both = stage.cluster.joined(1, &watcher_user, stage.live);
    both.event_where("online", |online| online["count"] == json!(3) && clients(online).len() == 4);

    let killed = Instant::now();
    stage.cluster.kill(1);
    let mut last = Value::Null;
    for user in [&alice, &bob] {
        let online = told(&mut watcher, "leave", user);
        last = if online["count"].as_u64() < last["count"].as_u64() || last.is_null() { online } else { last };
    }
    // A beat was up to one interval old when the node died, so it may be missed a little earlier.
    let took = killed.elapsed();
    assert!(took >= Duration::from_millis(NODE_TIMEOUT_MS / 2), "too early: {took:?}");
    assert!(took <= Duration::from_millis(3 * NODE_TIMEOUT_MS), "too late: {took:?}");
    assert_eq!((&last["count"], clients(&last).len()), (&json!(1), 1), "{last}");

    // It comes back as another node, and its members with it.
    stage.cluster.restart(1);
    let _alice = stage.cluster.joined(1, &alice, stage.live);
    assert_eq!(told(&mut watcher, "join", &alice)["count"], json!(2));
}

#[test]
fn members_of_a_node_that_drains_leave_after_the_grace_unless_they_are_back_on_another() {
    let Some(mut stage) = Stage::set(2, &[("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", "3000")]) else { return };
    let (_, mut watcher) = stage.joined(0, "watcher");
    let (alice, mut alice_ws) = stage.joined(1, "alice");
    let (bob, mut bob_ws) = stage.joined(1, "bobby");
    told(&mut watcher, "join", &bob);

    let told_to_go = Instant::now();
    stage.cluster.stop(1);
    assert_eq!((alice_ws.wait_for_close().0, bob_ws.wait_for_close().0), (1001, 1001));
    let mut back = stage.cluster.joined(0, &alice, stage.live);
    let online = told(&mut watcher, "leave", &bob);
    let took = told_to_go.elapsed();
    assert!(took >= Duration::from_millis(2_500), "not before the grace: {took:?}");
    assert_eq!((&online["count"], clients(&online).len()), (&json!(2), 2), "{online}");
    let frames = told_of(&mut watcher, &alice);
    assert!(frames.iter().all(|frame| frame["data"]["action"] != json!("leave")), "{frames:?}");
    back.ask("leaveLive", json!({"live_id": stage.live}));
    told(&mut watcher, "leave", &alice);
}

#[test]
fn a_full_room_of_two_nodes_counts_them_all() {
    let thresholds = [
        ("LIVEROOM__PRESENCE__FULL_USERS_MAX", "2"),
        ("LIVEROOM__PRESENCE__MERGED_USERS_MAX", "4"),
        ("LIVEROOM__PRESENCE__NOTABLE_USERS_MAX", "2"),
        ("LIVEROOM__PRESENCE__MERGE_MS", "200"),
    ];
    let Some(stage) = Stage::set(2, &thresholds) else { return };
    let mut members = vec![stage.cluster.joined(0, &stage.streamer, stage.live)];
    let mut users = Vec::new();
    for n in 0..5 {
        let (user, ws) = stage.joined(n % 2, &format!("viewer{n}"));
        users.push(user.id);
        members.push(ws);
    }
    for ws in &mut members {
        let online = ws.event_where("online", |online| online["count"] == json!(6));
        assert_eq!(online["clients"], json!([]), "{online}");
        let expected = vec![stage.streamer.id, users[4], users[3]];
        assert_eq!(ids(&online), expected, "the streamer and the newest, on both nodes: {online}");
    }
}
