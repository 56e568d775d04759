//! POST /api/user/profile, POST /api/user/password

use serde_json::{Value, json};

use super::harness::TestApi;

async fn change(api: &TestApi, token: &str, body: Value) -> super::harness::Reply {
    api.post_as(token, "/api/user/profile", body).await
}

#[actix_web::test]
async fn a_profile_changes_as_far_as_it_is_said_and_is_shown() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    api.clock.advance_ms(1_000);
    let body = json!({"nickname": "小 花", "avatar": "https://example.com/a.png?s=1"});
    assert_eq!(
        change(&api, &token, body).await.body,
        r#"{"msg":"ok","data":{"id":1,"username":"alice","nickname":"小 花","avatar":"https://example.com/a.png?s=1","coin":0,"status":1,"created_time":"2026-11-21 08:05:09","updated_time":"2026-11-21T08:05:10.120Z"}}"#
    );
    for (body, nickname, avatar) in [
        (json!({"avatar": "/a.png"}), json!("小 花"), json!("/a.png")),
        (json!({"nickname": "ａｌｉ"}), json!("ali"), json!("/a.png")),
        (
            json!({"nickname": "", "avatar": null}),
            Value::Null,
            Value::Null,
        ),
        // Nobody else has that name.
        (json!({"nickname": "Alice"}), json!("Alice"), Value::Null),
        (json!({}), json!("Alice"), Value::Null),
    ] {
        assert_eq!(
            change(&api, &token, body.clone()).await.status,
            200,
            "{body}"
        );
        let info = api.get_as(&token, "/api/user/info").await.json();
        assert_eq!(
            (&info["data"]["nickname"], &info["data"]["avatar"]),
            (&nickname, &avatar),
            "{body}"
        );
    }
}

#[actix_web::test]
async fn a_profile_that_deceives_or_cannot_be_shown_is_refused() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    api.user("streamer").await;
    api.admin_post_text("/admin/filter/import", "badword\tmask\n")
        .await;
    for (body, status, text) in [
        (
            json!({"nickname": "小".repeat(21)}),
            422,
            "昵称 的长度 必须 在 1 和 20 之间",
        ),
        (
            json!({"nickname": "a\u{202e}b"}),
            422,
            "昵称 不能包含看不见的字符",
        ),
        (json!({"nickname": " "}), 422, "昵称 不能包含看不见的字符"),
        (json!({"nickname": 5}), 422, "昵称 格式不正确"),
        (
            json!({"nickname": "a\u{0}"}),
            422,
            "昵称 不能包含空字符（U+0000）",
        ),
        (
            json!({"nickname": "streаmer"}),
            400,
            "该昵称与他人的用户名相似",
        ),
        (json!({"nickname": "BadWord"}), 400, "昵称含有不允许的内容"),
        (
            json!({"avatar": "http://example.com/a.png"}),
            422,
            "头像 格式不正确",
        ),
        (
            json!({"avatar": "javascript:alert(1)"}),
            422,
            "头像 格式不正确",
        ),
        (
            json!({"avatar": "//example.com/a.png"}),
            422,
            "头像 格式不正确",
        ),
        (
            json!({"avatar": "/\\example.com/a.png"}),
            422,
            "头像 格式不正确",
        ),
        (json!({"avatar": "/a b.png"}), 422, "头像 格式不正确"),
        (
            json!({"avatar": format!("/{}", "a".repeat(500))}),
            422,
            "头像 的长度 必须 在 1 和 500 之间",
        ),
        // Half of it is good: none of it is done.
        (
            json!({"nickname": "ali", "avatar": "a"}),
            422,
            "头像 格式不正确",
        ),
    ] {
        change(&api, &token, body.clone())
            .await
            .assert_fail(status, text);
    }
    let info = api.get_as(&token, "/api/user/info").await.json();
    assert_eq!(info["data"]["nickname"], Value::Null);
    let stranger = api
        .post("/api/user/profile", json!({"nickname": "ali"}))
        .await;
    assert_eq!(stranger.status, 400);
}

#[actix_web::test]
async fn ten_changes_of_a_profile_an_hour_are_enough() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    let (_, other) = api.user("bobby").await;
    for n in 0..10 {
        let body = json!({"nickname": format!("ali{n}")});
        assert_eq!(change(&api, &token, body).await.status, 200);
    }
    let refused = change(&api, &token, json!({"nickname": "ali"})).await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("360"))
    );
    assert_eq!(
        change(&api, &other, json!({"nickname": "bob"}))
            .await
            .status,
        200
    );
    api.clock.advance_ms(360_000);
    assert_eq!(
        change(&api, &token, json!({"nickname": "ali"}))
            .await
            .status,
        200
    );
}

fn passwords(old: &str, new: &str) -> Value {
    json!({"oldpassword": old, "password": new, "repassword": new})
}

async fn registered(api: &TestApi) -> String {
    let body = json!({"username": "alice", "password": "secret", "repassword": "secret"});
    assert_eq!(api.post("/api/reg", body).await.status, 200);
    log_in(api, "secret").await
}

async fn log_in(api: &TestApi, password: &str) -> String {
    let body = json!({"username": "alice", "password": password});
    let reply = api.post("/api/login", body).await.json();
    reply["data"]["token"].as_str().expect("a token").to_owned()
}

#[actix_web::test]
async fn a_changed_password_replaces_the_old_one_and_all_that_it_logged_in() {
    let api = TestApi::start().await;
    let token = registered(&api).await;
    let reply = api
        .post_as(&token, "/api/user/password", passwords("secret", "geheim"))
        .await;
    let fresh = reply.json()["data"]["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    api.get_as(&token, "/api/user/info")
        .await
        .assert_fail(400, "Token 令牌不合法!");
    assert_eq!(api.get_as(&fresh, "/api/user/info").await.status, 200);
    api.post(
        "/api/login",
        json!({"username": "alice", "password": "secret"}),
    )
    .await
    .assert_fail(400, "密码错误");
    log_in(&api, "geheim").await;
}

#[actix_web::test]
async fn whoever_has_only_a_token_does_not_get_the_account() {
    let api = TestApi::start_with(|config| config.limits.logins_per_min = 5).await;
    let token = registered(&api).await;
    for (body, status, text) in [
        (passwords("", "geheim"), 422, "原密码不能为空"),
        (passwords("secret", "short"), 422, "密码 不能 少于 6 个字符"),
        (
            json!({"oldpassword": "secret", "password": "geheim", "repassword": "geheim!"}),
            422,
            "密码和确认密码不一致",
        ),
    ] {
        let reply = api.post_as(&token, "/api/user/password", body).await;
        reply.assert_fail(status, text);
    }
    let mut tries = 0;
    let refused = loop {
        let guess = passwords(&format!("guess{tries}"), "geheim");
        let reply = api.post_as(&token, "/api/user/password", guess).await;
        if reply.status == 429 {
            break reply;
        }
        reply.assert_fail(400, "密码错误");
        tries += 1;
    };
    assert!(refused.header("retry-after").is_some());
    assert_eq!(
        tries, 5,
        "as many as at logins from an address that is known"
    );
    assert_eq!(api.get_as(&token, "/api/user/info").await.status, 200);
}
