//! The network between one node and Redis is cut, while members of both nodes go on.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::evening::{Evening, REDIS_TIMEOUT, talk_through};
use crate::support::cluster::{Cluster, Plan, Stage};
use crate::support::proxy::Proxy;
use crate::support::redis::Keeps;

/// The node that is cut off.
const CUT_OFF: usize = 1;

fn cut_and_heal(cut: fn(&Proxy), heal: fn(&Proxy)) {
    let Some(mut evening) = Evening::begin(Keeps::Saved, true) else {
        return;
    };
    let epoch = evening.assert_together();
    cut(&evening.stage.cluster.ways(CUT_OFF).redis);
    // From the first moment: some of it is on its way when the node gives Redis up.
    evening.talk_at(&[CUT_OFF]);
    evening.stage.cluster.wait_until_alone(CUT_OFF);
    assert!(
        !evening.stage.cluster.is_alone(0),
        "the other has its Redis"
    );
    evening.talk();
    evening.talk();
    heal(&evening.stage.cluster.ways(CUT_OFF).redis);
    evening.stage.cluster.wait_until_together();
    evening.catch_up();
    assert_ne!(
        evening.assert_together(),
        epoch,
        "what was told alone begins a new epoch for all"
    );
    evening.end();
}

#[test]
fn a_redis_that_answers_slowly_all_the_time_is_not_away() {
    // Far above what an answer takes here, as the default is.
    let timeout = [("LIVEROOM__CLUSTER__REDIS_TIMEOUT_MS", "2000")];
    let Some(mut evening) = Evening::begin_with(Keeps::Saved, true, &timeout) else {
        return;
    };
    let epoch = evening.assert_together();
    for node in [0, 1] {
        evening
            .stage
            .cluster
            .ways(node)
            .redis
            .slow_down(Duration::from_millis(400));
    }
    for _ in 0..3 {
        evening.talk();
    }
    evening.catch_up();
    assert_eq!(evening.assert_together(), epoch);
    // Nor for one that starts meanwhile.
    let bystander = evening.stage.user("bystander");
    evening.stage.cluster.stop(1);
    evening.stage.cluster.restart(1);
    evening.stage.cluster.wait_until_together();
    let joined = evening
        .stage
        .cluster
        .ws(1, &bystander)
        .ask("joinLive", json!({"live_id": evening.stage.live}));
    for node in [0, 1] {
        assert_eq!(evening.stage.cluster[node].logged("redis is away"), [""; 0]);
    }
    assert_eq!(joined["epoch"], json!(epoch), "{joined}");
}

#[test]
fn a_node_that_was_cut_off_brings_what_it_told_and_hears_what_it_missed() {
    cut_and_heal(Proxy::cut, Proxy::heal_after_loss);
}

#[test]
fn what_was_on_its_way_when_the_cut_came_and_arrives_late_is_not_told_twice() {
    cut_and_heal(Proxy::cut, Proxy::heal);
}

#[test]
fn what_redis_did_without_its_answer_getting_through_is_not_told_twice() {
    cut_and_heal(Proxy::cut_answers, Proxy::heal_after_loss);
}

#[test]
fn answers_of_redis_that_come_late_are_not_taken_for_new_ones() {
    cut_and_heal(Proxy::cut_answers, Proxy::heal);
}

#[test]
fn a_way_that_breaks_again_and_again_while_both_sides_talk_loses_and_repeats_nothing() {
    let plan = Plan {
        nodes: 2,
        env: &[REDIS_TIMEOUT],
        keeps: Keeps::Saved,
        can_be_cut: true,
    };
    let Some(cluster) = Cluster::plan(&plan) else {
        return;
    };
    let mut stage = Stage::over(cluster);
    talk_through(&mut stage, |cluster| {
        let way = &cluster.ways(CUT_OFF).redis;
        // Each kind of cut with each kind of end; longer and shorter than the node's patience.
        for (are_requests_cut, is_way_lost, cut_ms) in [
            (true, true, 1_200),
            (false, false, 900),
            (true, false, 200),
            (false, true, 600),
        ] {
            thread::sleep(Duration::from_millis(500));
            if are_requests_cut {
                way.cut()
            } else {
                way.cut_answers()
            }
            thread::sleep(Duration::from_millis(cut_ms));
            if is_way_lost {
                way.heal_after_loss()
            } else {
                way.heal()
            }
        }
    });
}

#[test]
fn a_node_that_is_cut_off_is_missed_and_comes_back_with_its_members() {
    let short = [("LIVEROOM__CLUSTER__NODE_TIMEOUT_MS", "1500")];
    let Some(mut evening) = Evening::begin_with(Keeps::Saved, true, &short) else {
        return;
    };
    evening.assert_together();
    evening.stage.cluster.ways(CUT_OFF).redis.cut();
    for node in [0, 1] {
        let member = &mut evening.listeners[node];
        member.listen_until("each side counts its own", |member| {
            member.online["count"] == json!(2)
        });
    }
    evening.stage.cluster.ways(CUT_OFF).redis.heal_after_loss();
    for node in [0, 1] {
        let member = &mut evening.listeners[node];
        member.listen_until("all are counted", |member| {
            member.online["count"] == json!(4)
        });
    }
    evening.end();
}

/// The number of the node that gave a comment its id.
fn node_number(cluster: &Cluster, node: usize, live_id: i64) -> i64 {
    let name = format!("number{node}{}", rand::random::<u32>());
    let mut ws = cluster.joined(node, &cluster[node].user(&name), live_id);
    let answer = ws.ask(
        "comment",
        json!({"live_id": live_id, "data": "whose id is this"}),
    );
    let id: i64 = answer["comment_id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .unwrap_or_else(|| panic!("{answer}"));
    (id >> 12) & 0x3FF
}

#[test]
fn nodes_keep_different_numbers_when_redis_lost_its_data_and_one_of_them_reconnects() {
    let plan = Plan {
        nodes: 2,
        env: &[REDIS_TIMEOUT],
        keeps: Keeps::Saved,
        can_be_cut: true,
    };
    let Some(cluster) = Cluster::plan(&plan) else {
        return;
    };
    let Stage { cluster, live, .. } = &Stage::over(cluster);
    let live = *live;
    let numbers = [0, 1].map(|node| node_number(cluster, node, live));
    assert_ne!(numbers[0], numbers[1]);
    cluster.redis.command(&["FLUSHALL"]);
    for _ in 0..3 {
        cluster.ways(CUT_OFF).redis.cut();
        cluster.wait_until_alone(CUT_OFF);
        cluster.ways(CUT_OFF).redis.heal_after_loss();
        cluster.wait_until_together();
        assert_eq!([0, 1].map(|node| node_number(cluster, node, live)), numbers);
    }
}

#[test]
fn a_logout_that_a_node_could_not_hear_of_holds_when_it_is_back() {
    let Some(mut evening) = Evening::begin(Keeps::Saved, true) else {
        return;
    };
    evening.assert_together();
    let alice = evening.stage.user("alice");
    let mut ws = evening
        .stage
        .cluster
        .joined(CUT_OFF, &alice, evening.stage.live);
    let cluster = &evening.stage.cluster;
    cluster.ways(CUT_OFF).redis.cut();
    cluster.wait_until_alone(CUT_OFF);
    cluster[0].post_as(&alice, "/api/logout", &json!({})).ok();
    cluster.ways(CUT_OFF).redis.heal_after_loss();
    let fail = ws.wait_for("the last words", |frame| frame["msg"] == json!("fail"));
    assert_eq!(
        (fail["data"].as_str(), ws.wait_for_close().0),
        (Some("Token 令牌不合法!"), 3000)
    );
    cluster.wait_until_together();
    for node in [0, 1] {
        assert_eq!(
            cluster[node].get_as(&alice, "/api/user/info").status,
            400,
            "node {node}"
        );
    }
    assert_eq!(cluster.redis.get(&format!("user_{}", alice.id)), None);
    evening.end();
}
