//! GET /api/user/info, and with it every way a token can be bad.

use liveroom::domain::{Action, Scope};
use serde_json::{Value, json};

use super::harness::{JWT_SECRET, NOW, TestApi};
use crate::support::jwt::{Algorithm, sign};

fn token(algorithm: Algorithm, secret: &str, claims: Value) -> String {
    sign(algorithm, secret, &claims)
}

#[actix_web::test]
async fn token_may_come_in_the_header_or_in_the_query() {
    let api = TestApi::start().await;
    let (id, token) = api.user("alice").await;
    let user = json!({
        "id": id.get(), "username": "alice", "nickname": null, "avatar": null, "coin": 0, "status": 1,
        "created_time": "2026-11-21 08:05:09", "updated_time": "2026-11-21T08:05:09.120Z",
    });
    api.get_as(&token, "/api/user/info")
        .await
        .assert_ok(user.clone());
    api.get(&format!("/api/user/info?token={token}"))
        .await
        .assert_ok(user);
}

#[actix_web::test]
async fn no_token_is_no_permission() {
    let api = TestApi::start().await;
    for path in [
        "/api/user/info",
        "/api/user/info?token=",
        "/api/user/info?other=1",
    ] {
        api.get(path).await.assert_fail(400, "您没有权限访问该接口");
    }
    api.get_as("", "/api/user/info")
        .await
        .assert_fail(400, "您没有权限访问该接口");
}

#[actix_web::test]
async fn tokens_that_are_not_ours_are_invalid() {
    let api = TestApi::start().await;
    let (id, current) = api.user("alice").await;
    let id = id.get();
    let unsigned = format!(
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.",
        current.split('.').nth(1).unwrap()
    );
    let bad = [
        "garbage".to_owned(),
        "a.b.c".to_owned(),
        unsigned,
        format!("{current}x"),
        "x".repeat(5_000),
        token(Algorithm::Hs256, "another secret", json!({"id": id})),
        token(Algorithm::Hs512, JWT_SECRET, json!({"id": id})),
        token(Algorithm::Hs256, JWT_SECRET, json!({"id": id.to_string()})),
        token(Algorithm::Hs256, JWT_SECRET, json!({"id": 0})),
        token(Algorithm::Hs256, JWT_SECRET, json!({})),
        token(
            Algorithm::Hs256,
            JWT_SECRET,
            json!({"id": id, "exp": "soon"}),
        ),
        // Good in itself, but not the current one.
        token(Algorithm::Hs256, JWT_SECRET, json!({"id": id})),
        token(Algorithm::Hs256, JWT_SECRET, json!({"id": 999})),
    ];
    for bad in bad {
        api.get_as(&bad, "/api/user/info")
            .await
            .assert_fail(400, "Token 令牌不合法!");
    }
    assert_eq!(api.get_as(&current, "/api/user/info").await.status, 200);
}

#[actix_web::test]
async fn token_expires_to_the_second_and_says_so() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    // Issued at 09.120, so it expires at 09.000 an hour later.
    api.clock.advance_ms(3_600_000 - 121);
    assert_eq!(api.get_as(&token, "/api/user/info").await.status, 200);
    api.clock.advance_ms(1);
    api.get_as(&token, "/api/user/info")
        .await
        .assert_fail(400, "token 已过期! 请重新获取令牌");
}

#[actix_web::test]
async fn expiry_is_told_only_of_tokens_that_are_signed() {
    let api = TestApi::start().await;
    let past = NOW.0 / 1_000 - 1;
    let forged = token(
        Algorithm::Hs256,
        "another secret",
        json!({"id": 1, "exp": past}),
    );
    api.get_as(&forged, "/api/user/info")
        .await
        .assert_fail(400, "Token 令牌不合法!");
    let expired = token(Algorithm::Hs256, JWT_SECRET, json!({"id": 1, "exp": past}));
    api.get_as(&expired, "/api/user/info")
        .await
        .assert_fail(400, "token 已过期! 请重新获取令牌");
}

#[actix_web::test]
async fn token_of_an_existing_service_needs_no_exp() {
    let api = TestApi::start().await;
    let (id, _) = api.user("alice").await;
    let foreign = token(
        Algorithm::Hs256,
        JWT_SECRET,
        json!({"id": id.get(), "iat": 1, "aud": "x", "password": "h"}),
    );
    api.tokens.replace(id, &foreign, NOW).await.unwrap();
    assert_eq!(api.get_as(&foreign, "/api/user/info").await.status, 200);
    let not_yet = token(
        Algorithm::Hs256,
        JWT_SECRET,
        json!({"id": id.get(), "nbf": NOW.0 / 1_000 + 60}),
    );
    api.tokens.replace(id, &not_yet, NOW).await.unwrap();
    api.get_as(&not_yet, "/api/user/info")
        .await
        .assert_fail(400, "Token 令牌不合法!");
}

#[actix_web::test]
async fn disabled_user_is_told() {
    let api = TestApi::start().await;
    let (id, token) = api.user("alice").await;
    api.act(Scope::Site, Action::DisableUser(id)).await;
    api.get_as(&token, "/api/user/info")
        .await
        .assert_fail(400, "你已被禁用");
}
