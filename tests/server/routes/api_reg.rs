//! POST /api/reg

use actix_web::test::TestRequest;
use serde_json::json;

use super::harness::TestApi;

#[actix_web::test]
async fn new_user_is_shown_without_a_hash() {
    let api = TestApi::start().await;
    let body = json!({"username": "小花小花花", "password": "secret", "repassword": "secret"});
    let reply = api.post("/api/reg", body).await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.body,
        r#"{"msg":"ok","data":{"id":1,"username":"小花小花花","nickname":null,"avatar":null,"coin":0,"status":1,"created_time":"2026-11-21 08:05:09","updated_time":"2026-11-21T08:05:09.120Z"}}"#
    );
}

#[actix_web::test]
async fn taken_username_is_refused() {
    let api = TestApi::start().await;
    api.user("alice").await;
    let body = json!({"username": "alice", "password": "secret", "repassword": "secret"});
    api.post("/api/reg", body)
        .await
        .assert_fail(400, "该用户名已存在");
}

#[actix_web::test]
async fn first_fault_is_told() {
    let api = TestApi::start().await;
    let long = "x".repeat(129);
    let cases = [
        (json!({}), "用户名不能为空"),
        (
            json!({"username": "", "password": "a", "repassword": "a"}),
            "用户名不能为空",
        ),
        (
            json!({"username": 12345, "password": "a", "repassword": "a"}),
            "用户名 格式不正确",
        ),
        (
            json!({"username": "alice\u{0}", "password": "a", "repassword": "a"}),
            "用户名 不能包含空字符（U+0000）",
        ),
        (
            json!({"username": "abcd", "password": "a", "repassword": "a"}),
            "用户名 的长度 必须 在 5 和 20 之间",
        ),
        (
            json!({"username": "a".repeat(21), "password": "a", "repassword": "a"}),
            "用户名 的长度 必须 在 5 和 20 之间",
        ),
        (json!({"username": "alice"}), "密码不能为空"),
        (
            json!({"username": "alice", "password": null}),
            "密码不能为空",
        ),
        (
            json!({"username": "alice", "password": long, "repassword": long}),
            "密码 不能 超过 128 字节",
        ),
        (
            json!({"username": "alice", "password": "short", "repassword": "short"}),
            "密码 不能 少于 6 个字符",
        ),
        (
            json!({"username": "alice", "password": "五个汉字呢", "repassword": "五个汉字呢"}),
            "密码 不能 少于 6 个字符",
        ),
        (
            json!({"username": "alice", "password": "secret\u{0}", "repassword": "secret\u{0}"}),
            "密码 不能包含空字符（U+0000）",
        ),
        (
            json!({"username": "alice", "password": "secret"}),
            "密码和确认密码不一致",
        ),
        (
            json!({"username": "alice", "password": "secret", "repassword": "secre7"}),
            "密码和确认密码不一致",
        ),
        (
            json!({"username": "alice", "password": "secret", "repassword": ["secret"]}),
            "密码和确认密码不一致",
        ),
    ];
    for (body, text) in cases {
        api.post("/api/reg", body).await.assert_fail(422, text);
    }
}

#[actix_web::test]
async fn length_counts_code_points() {
    let api = TestApi::start().await;
    for username in ["五个汉字名", "二十个汉字二十个汉字二十个汉字二十个汉字"]
    {
        let body =
            json!({"username": username, "password": "六个汉字密码", "repassword": "六个汉字密码"});
        assert_eq!(api.post("/api/reg", body).await.status, 200, "{username}");
    }
}

#[actix_web::test]
async fn an_address_and_the_site_around_it_register_so_many_accounts_an_hour() {
    let api = TestApi::start_with(|config| config.limits.registrations_per_hour = 2).await;
    let mut count = 0;
    let mut register_from = |address: String| {
        count += 1;
        let body = json!({"username": format!("user{count}"), "password": "secret", "repassword": "secret"});
        let request = TestRequest::post()
            .uri("/api/reg")
            .peer_addr(format!("{address}:4000").parse().unwrap());
        api.call(request.set_json(body))
    };
    for status in [200, 200, 429] {
        assert_eq!(register_from("192.0.2.1".to_owned()).await.status, status);
    }
    let refused = register_from("192.0.2.1".to_owned()).await;
    refused.assert_fail(429, "注册过于频繁，请稍后再试");
    assert_eq!(refused.header("retry-after"), Some("1800"));
    assert_eq!(register_from("192.0.2.2".to_owned()).await.status, 200);
    // A /64 is one client, and a /48 is sixteen of them.
    let mut statuses = Vec::new();
    for network in 0..40 {
        statuses.push(
            register_from(format!("[2001:db8:1:{network}::1]"))
                .await
                .status,
        );
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 200).count(),
        32,
        "{statuses:?}"
    );
    assert_eq!(
        register_from("[2001:db8:2:1::1]".to_owned()).await.status,
        200
    );
    assert_eq!(
        register_from("[2001:db8:2:1:ffff::1]".to_owned())
            .await
            .status,
        200
    );
    assert_eq!(
        register_from("[2001:db8:2:1:eeee::1]".to_owned())
            .await
            .status,
        429
    );
    api.clock.advance_ms(1_800_000);
    assert_eq!(register_from("192.0.2.1".to_owned()).await.status, 200);
}

#[actix_web::test]
async fn a_registration_that_is_refused_for_its_fields_is_not_counted() {
    let api = TestApi::start_with(|config| config.limits.registrations_per_hour = 1).await;
    for _ in 0..3 {
        assert_eq!(
            api.post("/api/reg", json!({"username": "alice"}))
                .await
                .status,
            422
        );
    }
    let body = json!({"username": "alice", "password": "secret", "repassword": "secret"});
    assert_eq!(api.post("/api/reg", body).await.status, 200);
}

#[actix_web::test]
async fn names_that_cannot_be_seen_or_look_like_another_are_refused() {
    let api = TestApi::start().await;
    let register = |username: &str| {
        api.post(
            "/api/reg",
            json!({"username": username, "password": "secret", "repassword": "secret"}),
        )
    };
    assert_eq!(register("streamer").await.status, 200);
    for unseen in [
        "\u{200b}\u{200b}\u{200b}\u{200b}\u{200b}",
        "\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}",
        "stream\u{200d}er",
        "\u{202e}remaerts",
        "stream\u{2066}er",
        "stream\ner",
        "stream\u{7}er",
        " streamer",
        "streamer\u{ad}",
    ] {
        register(unseen)
            .await
            .assert_fail(422, "用户名 不能包含看不见的字符");
    }
    for alike in ["\u{455}treamer", "strearner", "ｓｔｒｅａｍｅｒ"] {
        register(alike).await.assert_fail(400, "该用户名已存在");
    }
    let reply = register("Ｚｏｅ\u{301}ｌｉｅ").await;
    assert_eq!(
        (reply.status, reply.json()["data"]["username"].as_str()),
        (200, Some("Zo\u{e9}lie"))
    );
}
