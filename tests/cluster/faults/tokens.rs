//! The database decides whose token is good; Redis is written for other programs, and read for
//! those of others.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::evening::REDIS_TIMEOUT;
use crate::support::cluster::{Cluster, LOOKS_SELDOM, Plan, Stage};
use crate::support::eventually;
use crate::support::jwt::{Algorithm, sign};
use crate::support::redis::Keeps;
use crate::support::{JWT_SECRET, User, Ws};

fn key(user: &User) -> String {
    format!("user_{}", user.id)
}

/// A token of another service, issued so many seconds after 1970.
fn foreign_token(user: &User, issued_at_s: u64) -> User {
    let claims = json!({"id": user.id, "iat": issued_at_s, "username": user.name});
    User {
        token: sign(Algorithm::Hs256, JWT_SECRET, &claims),
        ..user.clone()
    }
}

fn now_s() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs()
}

fn status(cluster: &Cluster, node: usize, user: &User) -> u16 {
    cluster[node].get_as(user, "/api/user/info").status
}

/// What each node says to a user's request.
fn statuses(cluster: &Cluster, user: &User) -> Vec<u16> {
    (0..cluster.len())
        .map(|node| status(cluster, node, user))
        .collect()
}

fn cluster(nodes: usize, keeps: Keeps) -> Option<Cluster> {
    Cluster::plan(&Plan {
        nodes,
        env: &[REDIS_TIMEOUT],
        keeps,
        can_be_cut: false,
    })
}

#[test]
fn a_node_that_starts_throws_nobody_out_and_undoes_no_logout() {
    let Some(mut cluster) = cluster(3, Keeps::Saved) else {
        return;
    };
    for round in 0..6 {
        let names = ["alice", "bobby", "carol"].map(|name| format!("{name}{round}"));
        let [alice, bob, carol] = names.each_ref().map(|name| cluster[0].user(name));
        cluster.kill(2);
        cluster.restart(2);
        // While the other nodes learn of the new one.
        let again = cluster[0].login(&alice.name);
        cluster[1].post_as(&bob, "/api/logout", &json!({})).ok();
        cluster.redis.del(&key(&carol));
        cluster.wait_until_together();
        eventually("the logout by another program is noticed", || {
            (statuses(&cluster, &carol) == [400; 3]).then_some(())
        });
        assert_eq!(statuses(&cluster, &again), [200; 3], "round {round}");
        for out in [&alice, &bob] {
            assert_eq!(statuses(&cluster, out), [400; 3], "round {round}");
        }
    }
}

/// Users log in and out at a node that ends before Redis is back.
fn logins_and_logouts_outlive(end: fn(&mut Cluster, usize)) {
    let Some(mut cluster) = cluster(2, Keeps::Everything) else {
        return;
    };
    let [alice, bob, carol] = ["alice", "bobby", "carol"].map(|name| cluster[0].user(name));
    let carol_elsewhere = foreign_token(&carol, now_s() - 60);
    cluster
        .redis
        .set(&key(&carol), &json!(carol_elsewhere.token).to_string());
    eventually("the token of the other service is good", || {
        (statuses(&cluster, &carol_elsewhere) == [200; 2]).then_some(())
    });
    cluster.redis.kill();
    for node in [0, 1] {
        cluster.wait_until_alone(node);
    }
    let again = cluster[1].login("alice");
    cluster[1].post_as(&bob, "/api/logout", &json!({})).ok();
    let carol_again = cluster[1].login("carol");
    end(&mut cluster, 1);
    cluster.redis.restart();
    cluster.wait_until_with_others(0);
    cluster.restart(1);
    cluster.wait_until_together();
    for user in [&again, &carol_again] {
        assert_eq!(statuses(&cluster, user), [200; 2], "{}", user.name);
    }
    for out in [&alice, &bob, &carol, &carol_elsewhere] {
        assert_eq!(statuses(&cluster, out), [400; 2], "{}", out.name);
    }
    eventually("other programs read the new tokens, and no old one", || {
        // Only who has a token can write it: if that failed, its next use does.
        for user in [&again, &carol_again] {
            assert_eq!(statuses(&cluster, user), [200; 2], "{}", user.name);
        }
        let read = [&again, &bob, &carol_again].map(|user| cluster.redis.get(&key(user)));
        let expected = [Some(&again), None, Some(&carol_again)];
        (read == expected.map(|user| user.map(|user| json!(user.token).to_string()))).then_some(())
    });
}

#[test]
fn a_login_and_a_logout_answered_without_redis_survive_a_node_that_is_killed() {
    logins_and_logouts_outlive(|cluster, node| cluster.kill(node));
}

#[test]
fn a_login_and_a_logout_answered_without_redis_survive_a_node_that_stops() {
    logins_and_logouts_outlive(|cluster, node| cluster.stop(node));
}

#[test]
fn another_program_logs_a_user_out_however_old_the_login_is() {
    let Some(mut cluster) = cluster(2, Keeps::Everything) else {
        return;
    };
    let users = ["alice", "bobby"].map(|name| cluster[0].user(name));
    // The data are younger than the logins: everything was lost, and the tokens are put back.
    cluster.redis.command(&["FLUSHALL"]);
    for user in &users {
        eventually("the token is put back", || {
            assert_eq!(statuses(&cluster, user), [200; 2], "nobody is thrown out");
            cluster.redis.exists(&key(user)).then_some(())
        });
    }
    // Nor does a restart make them too old.
    cluster.redis.kill();
    cluster.redis.restart();
    cluster.wait_until_together();
    let [alice, bob] = &users;
    cluster.redis.del(&key(alice));
    eventually("the user is logged out", || {
        (statuses(&cluster, alice) == [400; 2]).then_some(())
    });
    assert_eq!(statuses(&cluster, bob), [200; 2]);
    assert_eq!(cluster.redis.get(&key(alice)), None, "it is not put back");
}

#[test]
fn another_program_logs_a_user_out_that_logged_in_at_a_node_of_the_version_before() {
    let Some(cluster) = cluster(2, Keeps::Saved) else {
        return;
    };
    let alice = cluster[0].user("alice");
    // That node writes the token and then the row, and neither an issuer nor a stamp.
    let claims = json!({"id": alice.id, "iat": now_s(), "exp": now_s() + 600, "username": alice.name, "jti": "1"});
    let again = User {
        token: sign(Algorithm::Hs256, JWT_SECRET, &claims),
        ..alice.clone()
    };
    let digest: String = Sha256::digest(&again.token)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    cluster
        .redis
        .set(&key(&again), &json!(again.token).to_string());
    cluster.query(&format!(
        "INSERT INTO session_tokens (user_id, digest, created_at) VALUES ({}, '{digest}', {}) \
         ON CONFLICT (user_id) DO UPDATE SET digest = excluded.digest, created_at = excluded.created_at",
        alice.id,
        now_s() * 1_000
    ));
    eventually("the login is noticed", || {
        let stamp = cluster
            .redis
            .get(&format!("liveroom:{{{}}}:stamp", key(&alice)));
        stamp
            .is_some_and(|stamp| stamp.ends_with(&digest[..16]))
            .then_some(())
    });
    assert_eq!(
        (statuses(&cluster, &again), statuses(&cluster, &alice)),
        (vec![200; 2], vec![400; 2])
    );
    cluster.redis.del(&key(&alice));
    eventually("the user is logged out", || {
        (statuses(&cluster, &again) == [400; 2]).then_some(())
    });
}

#[test]
fn after_lost_data_a_token_that_another_service_issued_later_replaces_the_one_before() {
    let Some(cluster) = cluster(2, Keeps::Saved) else {
        return;
    };
    let alice = cluster[0].user("alice");
    let [earlier, later] =
        [now_s() - 60, now_s() + 1].map(|issued_at| foreign_token(&alice, issued_at));
    cluster.redis.command(&["FLUSHALL"]);
    // Somebody restores an old copy.
    cluster
        .redis
        .set(&key(&alice), &json!(earlier.token).to_string());
    assert_eq!(
        (statuses(&cluster, &earlier), statuses(&cluster, &alice)),
        (vec![400; 2], vec![200; 2])
    );
    cluster
        .redis
        .set(&key(&alice), &json!(later.token).to_string());
    eventually("the later login counts", || {
        (statuses(&cluster, &later) == [200; 2] && statuses(&cluster, &alice) == [400; 2])
            .then_some(())
    });
}

/// The node that the change is not made at.
const OTHER: usize = 1;

/// Changes that node 0 makes take effect at the other one, which Redis cannot tell about them: the
/// change feed does.
fn changes_take_effect(lose_redis: impl Fn(&mut Cluster)) {
    let env: Vec<_> = LOOKS_SELDOM
        .iter()
        .chain(&[REDIS_TIMEOUT])
        .copied()
        .collect();
    let Some(cluster) = Cluster::plan(&Plan {
        nodes: 2,
        env: &env,
        keeps: Keeps::Saved,
        can_be_cut: true,
    }) else {
        return;
    };
    let mut stage = Stage::over(cluster);
    let (streamer, live, gift) = (stage.streamer.clone(), stage.live, stage.gift);
    let mut joined = |name: &str| stage.joined(OTHER, name);
    let [mut logged_out, mut logged_in, mut disabled, mut bystander] =
        ["logsout", "logsin", "disabled", "bystander"].map(&mut joined);
    // One whose token another service issued.
    let foreign = foreign_token(&stage.user("foreign"), now_s() - 60);
    let cluster = &mut stage.cluster;
    cluster
        .redis
        .set(&key(&foreign), &json!(foreign.token).to_string());
    eventually("the token of the other service is good", || {
        (statuses(cluster, &foreign) == [200; 2]).then_some(())
    });
    let mut foreign = (foreign.clone(), cluster.joined(OTHER, &foreign, live));

    lose_redis(cluster);
    cluster[0]
        .post_as(&logged_out.0, "/api/logout", &json!({}))
        .ok();
    cluster[0].login(&logged_in.0.name);
    cluster[0]
        .admin_post(
            &format!("/admin/users/{}", disabled.0.id),
            &json!({"status": 0}),
        )
        .ok();
    cluster[0].login("foreign");
    let unauthorized = "Token 令牌不合法!";
    for ((user, ws), words) in [
        (&mut logged_out, unauthorized),
        (&mut logged_in, unauthorized),
        (&mut disabled, "你已被禁用"),
        (&mut foreign, unauthorized),
    ] {
        let fail = ws.wait_for("the last words", |frame| frame["msg"] == json!("fail"));
        assert_eq!(
            (fail["data"].as_str(), ws.wait_for_close().0),
            (Some(words), 3000),
            "{}",
            user.name
        );
        assert_eq!(status(cluster, OTHER, user), 400, "{}", user.name);
        assert_eq!(
            Ws::connect(&cluster[OTHER], user).wait_for_close().0,
            3000,
            "{}",
            user.name
        );
    }
    let sent = bystander.1.ask(
        "gift",
        json!({"live_id": live, "gift_id": gift, "request_id": "g-1"}),
    );
    assert_eq!(sent["ok"], json!(true), "a bystander goes on: {sent}");
    cluster[0].change_status(&streamer, live, "stop");
    bystander
        .1
        .event_where("live", |live| live["status"] == json!(3));
}

#[test]
fn changes_take_effect_on_every_node_while_redis_is_away() {
    changes_take_effect(|cluster| {
        cluster.redis.kill();
        (0..cluster.len()).for_each(|node| cluster.wait_until_alone(node));
    });
}

#[test]
fn changes_take_effect_on_every_node_from_the_moment_that_redis_is_silent() {
    changes_take_effect(|cluster| cluster.redis.freeze());
}

#[test]
fn changes_take_effect_on_a_node_that_is_cut_off_from_redis() {
    changes_take_effect(|cluster| cluster.ways(OTHER).redis.cut());
}
