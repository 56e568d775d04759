//! Redis comes back without its data, or with data of an earlier time.

use std::thread;
use std::time::Duration;

use serde_json::json;

use super::evening::{Evening, REDIS_TIMEOUT, talk_through};
use crate::support::cluster::Stage;
use crate::support::eventually;
use crate::support::redis::Keeps;

#[test]
fn a_redis_that_lost_its_data_costs_a_new_epoch_and_nothing_else() {
    let Some(mut evening) = Evening::begin(Keeps::Saved, false) else {
        return;
    };
    let epoch = evening.assert_together();
    let before = evening.listeners[0].position();
    let users = evening.tokens_of();
    // As fast as a supervisor would, so that nodes may not even have noticed.
    evening.stage.cluster.redis.kill();
    evening.stage.cluster.redis.restart_empty();
    evening.talk();
    evening.stage.cluster.wait_until_together();
    evening.catch_up();
    assert_ne!(evening.assert_together(), epoch);
    assert!(
        !evening.recovers(0, &before) && !evening.recovers(1, &before),
        "the old epoch is gone"
    );

    for user in &users {
        eventually("the tokens of connected users are put back", || {
            let token = evening
                .stage
                .cluster
                .redis
                .get(&format!("user_{}", user.id));
            (token == Some(json!(user.token).to_string())).then_some(())
        });
        for node in [0, 1] {
            evening.stage.cluster[node]
                .get_as(user, "/api/user/info")
                .ok();
        }
    }
    evening.end();
}

#[test]
fn a_redis_that_lost_its_data_while_nodes_were_alone_gets_all_they_told() {
    let Some(mut evening) = Evening::begin(Keeps::Saved, false) else {
        return;
    };
    let epoch = evening.assert_together();
    evening.stage.cluster.redis.kill();
    for node in [0, 1] {
        evening.stage.cluster.wait_until_alone(node);
    }
    evening.talk();
    evening.stage.cluster.redis.restart_empty();
    evening.stage.cluster.wait_until_together();
    evening.catch_up();
    assert_ne!(evening.assert_together(), epoch);
    evening.end();
}

#[test]
fn a_redis_that_fell_back_to_an_earlier_time_numbers_no_place_twice() {
    let Some(mut evening) = Evening::begin(Keeps::Saved, false) else {
        return;
    };
    let epoch = evening.assert_together();
    evening.stage.cluster.redis.command(&["SAVE"]);
    // These have places that the saved data does not know of.
    evening.talk();
    evening.catch_up();
    evening.stage.cluster.redis.kill();
    evening.stage.cluster.redis.restart();
    evening.talk();
    evening.stage.cluster.wait_until_together();
    evening.catch_up();
    assert_ne!(evening.assert_together(), epoch);
    evening.end();
}

/// As Redis's own defaults have it: a snapshot now and then, and what came after is lost in a
/// crash.
#[test]
fn logins_and_logouts_since_the_last_snapshot_hold_when_redis_falls_back_to_it() {
    let Some(mut evening) = Evening::begin(Keeps::Saved, false) else {
        return;
    };
    let cluster = &mut evening.stage.cluster;
    let [alice, bob] = ["alice", "bobby"].map(|name| cluster[0].user(name));
    cluster.redis.command(&["SAVE"]);
    let again = cluster[0].login("alice");
    cluster[1].post_as(&bob, "/api/logout", &json!({})).ok();
    let carol = cluster[1].user("carol");
    // Nodes see by their own heartbeats, one a second, that the data is older than it was.
    thread::sleep(Duration::from_millis(2_500));
    cluster.redis.kill();
    cluster.redis.restart();
    cluster.wait_until_together();
    for node in [0, 1] {
        for (user, expected) in [(&again, 200), (&carol, 200), (&alice, 400), (&bob, 400)] {
            eventually("what was decided since the snapshot holds", || {
                (cluster[node].get_as(user, "/api/user/info").status == expected).then_some(())
            });
        }
    }
    evening.end();
}

#[test]
fn a_flush_by_somebody_else_costs_a_new_epoch_and_nothing_else() {
    let Some(mut evening) = Evening::begin(Keeps::Saved, false) else {
        return;
    };
    let epoch = evening.assert_together();
    evening.stage.cluster.redis.command(&["FLUSHALL"]);
    evening.talk();
    evening.catch_up();
    assert_ne!(evening.assert_together(), epoch);
    // Nobody told the nodes, so they find out when somebody does something.
    for user in evening.tokens_of() {
        eventually("the tokens of users that go on are put back", || {
            evening.stage.cluster[0]
                .get_as(&user, "/api/user/info")
                .ok();
            let token = evening
                .stage
                .cluster
                .redis
                .get(&format!("user_{}", user.id));
            (token == Some(json!(user.token).to_string())).then_some(())
        });
    }
    evening.end();
}

#[test]
fn a_redis_that_dies_again_and_again_while_everybody_talks_loses_and_repeats_nothing() {
    let Some(mut stage) = Stage::set(2, &[REDIS_TIMEOUT]) else {
        return;
    };
    talk_through(&mut stage, |cluster| {
        // What it comes back with: an earlier time, nothing, nothing after a longer while.
        let pause = |ms| thread::sleep(Duration::from_millis(ms));
        pause(500);
        cluster.redis.command(&["SAVE"]);
        pause(500);
        cluster.redis.kill();
        cluster.redis.restart();
        pause(1_000);
        cluster.redis.kill();
        cluster.redis.restart_empty();
        pause(1_000);
        cluster.redis.kill();
        pause(1_000);
        cluster.redis.restart_empty();
        pause(500);
    });
}
