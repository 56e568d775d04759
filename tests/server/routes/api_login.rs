//! POST /api/login

use actix_web::test::TestRequest;
use liveroom::config::Network;
use serde_json::{Value, json};

use super::harness::TestApi;

async fn register(api: &TestApi, username: &str) {
    let body = json!({"username": username, "password": "secret", "repassword": "secret"});
    assert_eq!(api.post("/api/reg", body).await.status, 200);
}

fn credentials(username: &str, password: &str) -> Value {
    json!({"username": username, "password": password})
}

#[actix_web::test]
async fn login_answers_with_the_user_and_a_token_that_works() {
    let api = TestApi::start().await;
    register(&api, "alice").await;
    let reply = api.post("/api/login", credentials("alice", "secret")).await;
    let token = reply.json()["data"]["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    assert_eq!(
        reply.body,
        format!(
            r#"{{"msg":"ok","data":{{"id":1,"username":"alice","nickname":null,"avatar":null,"coin":0,"status":1,"created_time":"2026-11-21 08:05:09","updated_time":"2026-11-21T08:05:09.120Z","token":"{token}"}}}}"#
        )
    );
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    assert_eq!(api.get_as(&token, "/api/user/info").await.status, 200);
}

#[actix_web::test]
async fn later_login_replaces_the_token() {
    let api = TestApi::start().await;
    register(&api, "alice").await;
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let reply = api.post("/api/login", credentials("alice", "secret")).await;
        tokens.push(
            reply.json()["data"]["token"]
                .as_str()
                .expect("a token")
                .to_owned(),
        );
    }
    api.get_as(&tokens[0], "/api/user/info")
        .await
        .assert_fail(400, "Token 令牌不合法!");
    assert_eq!(api.get_as(&tokens[1], "/api/user/info").await.status, 200);
}

#[actix_web::test]
async fn wrong_name_and_wrong_password_are_told_apart() {
    let api = TestApi::start().await;
    register(&api, "alice").await;
    api.post("/api/login", credentials("nobody", "secret"))
        .await
        .assert_fail(400, "该用户不存在");
    api.post("/api/login", credentials("alice", "Secret"))
        .await
        .assert_fail(400, "密码错误");
    api.post("/api/login", json!({"password": "secret"}))
        .await
        .assert_fail(422, "用户名不能为空");
    api.post("/api/login", json!({"username": "alice"}))
        .await
        .assert_fail(422, "密码不能为空");
}

#[actix_web::test]
async fn disabled_user_gets_no_token() {
    let api = TestApi::start().await;
    register(&api, "alice").await;
    api.admin_post("/admin/users/1", json!({"status": 0})).await;
    api.post("/api/login", credentials("alice", "wrong!"))
        .await
        .assert_fail(400, "密码错误");
    api.post("/api/login", credentials("alice", "secret"))
        .await
        .assert_fail(400, "你已被禁用");
}

#[actix_web::test]
async fn sixth_failure_within_a_minute_waits() {
    let api = TestApi::start().await;
    for _ in 0..5 {
        api.post("/api/login", credentials("alice", "guess"))
            .await
            .assert_fail(400, "该用户不存在");
    }
    let reply = api.post("/api/login", credentials("alice", "guess")).await;
    reply.assert_fail(429, "登录过于频繁，请稍后再试");
    assert_eq!(reply.header("retry-after"), Some("12"));
    api.clock.advance_ms(12_000);
    api.post("/api/login", credentials("alice", "guess"))
        .await
        .assert_fail(400, "该用户不存在");
}

#[actix_web::test]
async fn address_behind_a_trusted_proxy_is_the_clients() {
    let api = TestApi::start_with(|config| {
        config.limits.logins_per_min = 1;
        config.server.trusted_proxies = vec![Network::parse("127.0.0.1").unwrap()];
    })
    .await;
    let attempt = |username: &'static str, client: &'static str| {
        let request = TestRequest::post()
            .uri("/api/login")
            .peer_addr("127.0.0.1:4000".parse().unwrap());
        api.call(
            request
                .insert_header(("x-forwarded-for", client))
                .set_json(credentials(username, "guess")),
        )
    };
    attempt("user1", "192.0.2.1")
        .await
        .assert_fail(400, "该用户不存在");
    attempt("user2", "192.0.2.1")
        .await
        .assert_fail(400, "该用户不存在");
    attempt("user3", "192.0.2.1")
        .await
        .assert_fail(429, "登录过于频繁，请稍后再试");
    attempt("user3", "192.0.2.2")
        .await
        .assert_fail(400, "该用户不存在");
}

/// Tries to log in from `address`.
async fn attempt_from(api: &TestApi, address: &str, username: &str, password: &str) -> u16 {
    let request = TestRequest::post()
        .uri("/api/login")
        .peer_addr(format!("{address}:4000").parse().unwrap());
    api.call(request.set_json(credentials(username, password)))
        .await
        .status
}

#[actix_web::test]
async fn an_address_that_logged_in_has_a_bucket_of_its_own_for_that_account() {
    let api = TestApi::start().await;
    register(&api, "alice").await;
    register(&api, "bobby").await;
    assert_eq!(
        attempt_from(&api, "192.0.2.1", "alice", "secret").await,
        200
    );
    for n in 0..5 {
        assert_eq!(
            attempt_from(&api, &format!("198.51.100.{n}"), "alice", "guess!").await,
            400
        );
    }
    assert_eq!(
        attempt_from(&api, "198.51.100.9", "alice", "secret").await,
        429,
        "strangers are counted together"
    );
    for _ in 0..10 {
        assert_eq!(
            attempt_from(&api, "192.0.2.1", "alice", "secret").await,
            200,
            "only failures are counted"
        );
    }
    for _ in 0..5 {
        assert_eq!(
            attempt_from(&api, "192.0.2.1", "alice", "guess!").await,
            400
        );
    }
    assert_eq!(
        attempt_from(&api, "192.0.2.1", "alice", "secret").await,
        429,
        "five a minute"
    );
    api.clock.advance_ms(60_000);
    for n in 0..5 {
        assert_eq!(
            attempt_from(&api, &format!("198.51.100.{}", n + 20), "bobby", "guess!").await,
            400
        );
    }
    assert_eq!(
        attempt_from(&api, "192.0.2.1", "bobby", "secret").await,
        429,
        "known to alice is not known to bobby"
    );
}

#[actix_web::test]
async fn a_login_that_failed_makes_no_address_known() {
    let api = TestApi::start().await;
    register(&api, "alice").await;
    for _ in 0..5 {
        assert_eq!(
            attempt_from(&api, "192.0.2.1", "alice", "guess!").await,
            400
        );
    }
    assert_eq!(
        attempt_from(&api, "192.0.2.1", "alice", "secret").await,
        429
    );
}

#[actix_web::test]
async fn an_address_is_forgotten_after_ninety_days() {
    let api = TestApi::start().await;
    register(&api, "alice").await;
    assert_eq!(
        attempt_from(&api, "192.0.2.1", "alice", "secret").await,
        200
    );
    let day_ms = 86_400_000;
    for (days, known) in [(89, true), (90, false)] {
        api.clock.advance_ms(days * day_ms);
        for n in 0..5 {
            assert_eq!(
                attempt_from(&api, &format!("198.51.100.{n}"), "alice", "guess!").await,
                400
            );
        }
        let expected = if known { 200 } else { 429 };
        assert_eq!(
            attempt_from(&api, "192.0.2.1", "alice", "secret").await,
            expected,
            "{days} days later"
        );
    }
}

#[actix_web::test]
async fn ipv6_clients_are_known_by_their_network() {
    let api = TestApi::start().await;
    register(&api, "alice").await;
    assert_eq!(
        attempt_from(&api, "[2001:db8:1:1::1]", "alice", "secret").await,
        200
    );
    for n in 1..=5 {
        assert_eq!(
            attempt_from(&api, &format!("[2001:db8:2:{n}::1]"), "alice", "guess!").await,
            400
        );
    }
    assert_eq!(
        attempt_from(&api, "[2001:db8:1:2::1]", "alice", "secret").await,
        429,
        "another network is a stranger"
    );
    assert_eq!(
        attempt_from(&api, "[2001:db8:1:1:ffff::9]", "alice", "secret").await,
        200
    );
}

#[actix_web::test]
async fn a_name_logs_in_in_every_form_and_all_forms_are_one_account_to_the_limits() {
    let api = TestApi::start().await;
    register(&api, "Zo\u{e9}lie").await;
    for form in ["Zo\u{e9}lie", "Zoe\u{301}lie", "Ｚｏ\u{e9}ｌｉｅ"] {
        let reply = api.post("/api/login", credentials(form, "secret")).await;
        assert_eq!(
            (reply.status, reply.json()["data"]["id"].as_i64()),
            (200, Some(1)),
            "{form}"
        );
    }
    let forms = [
        "Zoe\u{301}lie",
        "Ｚｏ\u{e9}lie",
        "Zｏ\u{e9}lie",
        "Zo\u{e9}ｌie",
        "Zo\u{e9}lｉe",
        "Zo\u{e9}liｅ",
    ];
    let mut statuses = Vec::new();
    for form in forms {
        statuses.push(
            api.post("/api/login", credentials(form, "a guess"))
                .await
                .status,
        );
    }
    assert!(statuses.contains(&429), "{statuses:?}");
}
