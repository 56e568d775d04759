//! Whose token is good is one question for all nodes, and for other programs that share the Redis.

use std::time::SystemTime;

use serde_json::{Value, json};

use crate::support::cluster::{Cluster, LOOKS_SELDOM, Stage};
use crate::support::jwt::{Algorithm, sign, sign_message};
use crate::support::ws::Next;
use crate::support::{JWT_SECRET, PATIENCE, User, Ws, eventually};

fn key(user: &User) -> String {
    format!("user_{}", user.id)
}

/// A token as the account service of the replaced system issues it: without an end.
fn foreign_token(user: &User, n: u64) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970")
        .as_secs();
    let claims = json!({"id": user.id, "iat": now - n, "username": user.name});
    sign(Algorithm::Hs256, JWT_SECRET, &claims)
}

/// Waits until a session is ended, and checks how and with which words.
#[track_caller]
fn assert_ended(ws: &mut Ws, words: &str) {
    let fail = ws.wait_for("the last words", |frame| frame["msg"] == json!("fail"));
    let (code, _) = ws.wait_for_close();
    assert_eq!((fail["data"].as_str(), code), (Some(words), 3000));
}

fn assert_lives(ws: &mut Ws) {
    let answer = ws.ask("leaveLive", json!({"live_id": 404}));
    assert_eq!(answer["code"], json!("live_not_found"), "{answer}");
}

#[track_caller]
fn assert_refused(cluster: &Cluster, user: &User) {
    for node in 0..cluster.len() {
        let mut ws = cluster.ws(node, user);
        let words = match ws.next_within(PATIENCE) {
            Next::Frame(frame) => frame,
            other => panic!("node {node}: no last words but {other:?}"),
        };
        assert_eq!(words["msg"], json!("fail"), "node {node}");
        assert_eq!(ws.wait_for_close().0, 3000, "node {node}");
        assert_eq!(
            cluster[node].get_as(user, "/api/user/info").status,
            400,
            "node {node}"
        );
    }
}

#[track_caller]
fn assert_good(cluster: &Cluster, user: &User) {
    for node in 0..cluster.len() {
        assert_lives(&mut cluster.ws(node, user));
        assert_eq!(
            cluster[node].get_as(user, "/api/user/info").ok()["id"],
            json!(user.id),
            "node {node}"
        );
    }
}

const REPLACED: &str = "Token 令牌不合法!";

#[test]
fn a_token_is_good_on_every_node_and_stands_in_redis_as_before() {
    let Some(cluster) = Cluster::start(2, &LOOKS_SELDOM) else {
        return;
    };
    let alice = cluster[1].user("alice");
    assert_good(&cluster, &alice);
    // A login does not wait for a slow Redis for long.
    eventually("the token is there, a JSON string", || {
        (cluster.redis.get(&key(&alice)) == Some(json!(alice.token).to_string())).then_some(())
    });
    cluster[0].post_as(&alice, "/api/logout", &json!({})).ok();
    eventually("it is gone", || {
        cluster.redis.get(&key(&alice)).is_none().then_some(())
    });
    assert_refused(&cluster, &alice);
}

#[test]
fn a_new_name_stands_on_the_next_comment_wherever_its_user_is() {
    let Some(cluster) = Cluster::start(2, &LOOKS_SELDOM) else {
        return;
    };
    let live = cluster[0].live(&cluster[0].user("streamer"));
    let (alice, bob) = (cluster[0].user("alice"), cluster[0].user("bobby"));
    let mut listener = cluster.ws(0, &bob);
    listener.join(live);
    let mut speaker = cluster.ws(1, &alice);
    speaker.join(live);
    let body = json!({"nickname": "小花"});
    cluster[0].post_as(&alice, "/api/user/profile", &body).ok();
    let mut said = 0;
    eventually("the new name is heard", || {
        said += 1;
        let answer = speaker.ask(
            "comment",
            json!({"live_id": live, "data": format!("hello {said}")}),
        );
        assert_eq!(answer["ok"], json!(true), "the session goes on: {answer}");
        let heard = listener.event_where("comment", |data| {
            data["content"] == json!(format!("hello {said}"))
        });
        (heard["user"]["name"] == json!("小花")).then_some(())
    });
}

#[test]
fn a_login_on_one_node_ends_the_sessions_of_the_token_before_on_all() {
    let Some(cluster) = Cluster::start(2, &LOOKS_SELDOM) else {
        return;
    };
    let alice = cluster[0].user("alice");
    let mut sessions = [0, 1].map(|node| cluster.ws(node, &alice));
    let again = cluster[0].login("alice");
    for ws in &mut sessions {
        assert_ended(ws, REPLACED);
    }
    assert_refused(&cluster, &alice);
    assert_good(&cluster, &again);
}

#[test]
fn a_logout_on_one_node_ends_the_sessions_on_all() {
    let Some(cluster) = Cluster::start(2, &LOOKS_SELDOM) else {
        return;
    };
    let (alice, bob) = (cluster[0].user("alice"), cluster[0].user("bobby"));
    let mut bystanders = [0, 1].map(|node| cluster.ws(node, &bob));
    let mut sessions = [0, 1].map(|node| cluster.ws(node, &alice));
    cluster[1].post_as(&alice, "/api/logout", &json!({})).ok();
    for ws in &mut sessions {
        assert_ended(ws, REPLACED);
    }
    assert_refused(&cluster, &alice);
    bystanders.iter_mut().for_each(assert_lives);
}

#[test]
fn disabling_a_user_on_one_node_ends_its_sessions_on_all_and_keeps_it_out() {
    let Some(stage) = Stage::set(2, &LOOKS_SELDOM) else {
        return;
    };
    let (_, mut watcher) = stage.joined(0, "watcher");
    let (alice, mut ws) = stage.joined(1, "alice");
    let cluster = &stage.cluster;
    cluster[0]
        .admin_post(&format!("/admin/users/{}", alice.id), &json!({"status": 0}))
        .ok();
    let fail = ws.wait_for("the last words", |frame| frame["msg"] == json!("fail"));
    assert_eq!(ws.wait_for_close().0, 3000);
    assert_eq!(fail["data"], json!("你已被禁用"));
    let left = watcher.event_where("online", |online| online["action"] == json!("leave"));
    assert_eq!(
        left["user"]["id"],
        json!(alice.id),
        "without a grace: {left}"
    );
    for node in [0, 1] {
        assert_eq!(
            cluster.ws(node, &alice).wait_for_close().0,
            3000,
            "node {node}"
        );
    }
    cluster[1]
        .admin_post(&format!("/admin/users/{}", alice.id), &json!({"status": 1}))
        .ok();
    let again = cluster[1].login("alice");
    assert_good(cluster, &again);
}

#[test]
fn another_program_that_deletes_the_token_logs_the_user_out() {
    let Some(cluster) = Cluster::start(2, &LOOKS_SELDOM) else {
        return;
    };
    let (alice, bob) = (cluster[0].user("alice"), cluster[0].user("bobby"));
    let mut bystander = cluster.ws(0, &bob);
    let mut sessions = [0, 1].map(|node| cluster.ws(node, &alice));
    sessions.iter_mut().for_each(assert_lives);
    cluster.redis.del(&key(&alice));
    for ws in &mut sessions {
        assert_ended(ws, REPLACED);
    }
    assert_refused(&cluster, &alice);
    assert_lives(&mut bystander);
}

#[test]
fn a_token_of_another_service_works_and_ends_the_one_before() {
    let Some(cluster) = Cluster::start(2, &LOOKS_SELDOM) else {
        return;
    };
    let alice = cluster[0].user("alice");
    let mut sessions = [0, 1].map(|node| cluster.ws(node, &alice));
    let foreign = User {
        token: foreign_token(&alice, 1),
        ..alice.clone()
    };
    assert_refused(&cluster, &foreign);
    cluster
        .redis
        .set(&key(&alice), &json!(foreign.token).to_string());
    for ws in &mut sessions {
        assert_ended(ws, REPLACED);
    }
    assert_good(&cluster, &foreign);
    assert_refused(&cluster, &alice);

    // And one of that service after another.
    let mut ws = cluster.ws(1, &foreign);
    assert_lives(&mut ws);
    let later = User {
        token: foreign_token(&alice, 0),
        ..alice.clone()
    };
    cluster
        .redis
        .set(&key(&alice), &json!(later.token).to_string());
    assert_ended(&mut ws, REPLACED);
    assert_good(&cluster, &later);
}

#[test]
fn what_stands_in_redis_and_is_no_token_logs_nobody_in() {
    let Some(cluster) = Cluster::start(2, &LOOKS_SELDOM) else {
        return;
    };
    let alice = cluster[0].user("alice");
    let unquoted = User {
        token: foreign_token(&alice, 5),
        ..alice.clone()
    };
    let garbage = ["", "\"\"", "null", "{}", "[1]", "\"garbage\"", "\u{1}"];
    for value in garbage {
        cluster.redis.set(&key(&alice), value);
        eventually("the token is not good any more", || {
            (cluster[0].get_as(&alice, "/api/user/info").status == 400).then_some(())
        });
        assert_refused(&cluster, &alice);
        assert_refused(&cluster, &unquoted);
    }
    let again = cluster[1].login("alice");
    assert_good(&cluster, &again);
}

#[test]
fn a_token_of_the_command_line_replaces_the_current_one_on_every_node() {
    let Some(cluster) = Cluster::start(2, &LOOKS_SELDOM) else {
        return;
    };
    let alice = cluster[0].user("alice");
    let mut sessions = [0, 1].map(|node| cluster.ws(node, &alice));
    sessions.iter_mut().for_each(assert_lives);
    let printed = cluster[0].run(&["token", &alice.id.to_string()]);
    assert!(
        printed.status.success(),
        "{}",
        String::from_utf8_lossy(&printed.stderr)
    );
    let token = String::from_utf8(printed.stdout)
        .expect("a token is text")
        .trim()
        .to_owned();
    for ws in &mut sessions {
        assert_ended(ws, REPLACED);
    }
    assert_good(&cluster, &User { token, ..alice });
}

#[test]
fn a_single_device_is_one_over_all_nodes() {
    let Some(cluster) = Cluster::start(2, &[("LIVEROOM__AUTH__SINGLE_DEVICE", "true")]) else {
        return;
    };
    let alice = cluster[0].user("alice");
    let mut first = cluster.ws(0, &alice);
    assert_lives(&mut first);
    let mut second = cluster.ws(1, &alice);
    assert_lives(&mut second);
    let fail = first.wait_for("the last words", |frame| frame["msg"] == json!("fail"));
    assert_eq!(
        (fail["data"].as_str(), first.wait_for_close().0),
        (Some("你的账号在其他设备登录"), 3010)
    );
    assert_lives(&mut second);
}

#[test]
fn a_token_that_another_service_gives_an_end_expires_on_every_node() {
    let Some(cluster) = Cluster::start(2, &LOOKS_SELDOM) else {
        return;
    };
    let alice = cluster[0].user("alice");
    let claims = json!({"id": alice.id, "iat": 1_000, "exp": 2_000});
    let token = sign(Algorithm::Hs256, JWT_SECRET, &claims);
    cluster.redis.set(&key(&alice), &json!(token).to_string());
    for node in [0, 1] {
        let mut ws = Ws::connect_with(&cluster[node], &token);
        let words: Value = ws.read().expect("last words");
        assert_eq!(
            words,
            json!({"msg": "fail", "data": "token 已过期! 请重新获取令牌"}),
            "node {node}"
        );
    }
}

#[test]
fn a_secret_is_changed_node_by_node_and_nobody_is_logged_out() {
    const NEW: &str = "new-secret-new-secret-new-secret-new-0123";
    const KEY: &str = "LIVEROOM__AUTH__JWT_SECRET";
    let list = |secrets: [&str; 2]| json!(secrets).to_string();
    let Some(mut cluster) = Cluster::start(2, &[(KEY, &list([JWT_SECRET, NEW]))]) else {
        return;
    };
    let before = cluster[0].user("alice");
    assert_good(&cluster, &before);

    // Half of the nodes sign with the new secret, half with the old one.
    cluster.stop(0);
    cluster.set(0, KEY, &list([NEW, JWT_SECRET]));
    cluster.restart(0);
    cluster.wait_until_together();
    let (by_new, by_old) = (cluster[0].user("bobby"), cluster[1].user("carol"));
    for user in [&before, &by_new, &by_old] {
        assert_good(&cluster, user);
    }
    assert!(is_signed_by(&by_new.token, NEW) && is_signed_by(&by_old.token, JWT_SECRET));

    cluster.stop(1);
    cluster.set(1, KEY, &list([NEW, JWT_SECRET]));
    cluster.restart(1);
    cluster.wait_until_together();
    for user in [&before, &by_new, &by_old] {
        assert_good(&cluster, user);
    }
    let dave = cluster[1].user("daveh");
    assert!(is_signed_by(&dave.token, NEW));
    for node in 0..cluster.len() {
        let warnings = cluster[node].logged("another node signs with");
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    // Without the old secret its tokens are over.
    cluster.stop(0);
    cluster.set(0, KEY, NEW);
    cluster.restart(0);
    cluster.wait_until_together();
    assert_good(&cluster, &by_new);
    let refused = cluster[0].get_as(&before, "/api/user/info");
    assert_eq!(refused.json()["data"], json!(REPLACED));
    cluster[1].get_as(&before, "/api/user/info").ok();
}

/// Whether the last part of a JWT is what this secret makes of the others.
fn is_signed_by(token: &str, secret: &str) -> bool {
    let (message, _) = token.rsplit_once('.').expect("three parts");
    sign_message(Algorithm::Hs256, secret, message) == token
}
