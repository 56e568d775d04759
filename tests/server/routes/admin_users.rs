//! POST /admin/users/{id} and POST /admin/users/{id}/coins

use serde_json::{Value, json};

use super::harness::TestApi;

const COINS: &str = "/admin/users/1/coins";

fn grant(delta: i64, request_id: &str) -> Value {
    json!({"delta": delta, "request_id": request_id})
}

#[actix_web::test]
async fn coins_are_granted_once_per_request_id() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    let granted =
        |coin: i64, duplicate: bool| json!({"user_id": 1, "coin": coin, "duplicate": duplicate});
    api.admin_post(COINS, grant(100, "g-1"))
        .await
        .assert_ok(granted(100, false));
    api.admin_post(COINS, grant(-40, "g-2"))
        .await
        .assert_ok(granted(60, false));
    api.admin_post(COINS, grant(100, "g-1"))
        .await
        .assert_ok(granted(100, true));
    assert_eq!(
        api.get_as(&token, "/api/user/info").await.json()["data"]["coin"],
        60
    );
}

#[actix_web::test]
async fn grants_that_make_no_sense_move_nothing() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    api.admin_post(COINS, grant(100, "g-1")).await;
    api.admin_post(COINS, grant(99, "g-1"))
        .await
        .assert_fail(409, "request_id was used before with another user or delta");
    api.admin_post(COINS, grant(-101, "g-2"))
        .await
        .assert_fail(400, "the balance would leave its range");
    api.admin_post(COINS, grant(i64::MAX, "g-3"))
        .await
        .assert_fail(400, "the balance would leave its range");
    let too_many = (1 << 53) - 100;
    api.admin_post(COINS, grant(too_many, "g-3"))
        .await
        .assert_fail(400, "the balance would leave its range");
    api.admin_post(COINS, grant(i64::MIN, "g-4"))
        .await
        .assert_fail(400, "the balance would leave its range");
    api.admin_post(COINS, grant(0, "g-5"))
        .await
        .assert_fail(422, "delta must not be 0");
    api.admin_post(COINS, grant(1, ""))
        .await
        .assert_fail(422, "request_id must be 1 to 64 of [A-Za-z0-9_-]");
    for body in [
        json!({"delta": 1}),
        json!({"delta": "1", "request_id": "g"}),
        json!({"delta": 1.5, "request_id": "g"}),
    ] {
        assert_eq!(api.admin_post(COINS, body).await.status, 422);
    }
    for user in ["2", "0", "abc", "99999999999999999999"] {
        api.admin_post(&format!("/admin/users/{user}/coins"), grant(1, "g-6"))
            .await
            .assert_fail(404, "user not found");
    }
    assert_eq!(
        api.get_as(&token, "/api/user/info").await.json()["data"]["coin"],
        100
    );
}

#[actix_web::test]
async fn a_disabled_user_is_refused_with_the_reason_until_it_is_enabled() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    let user = |status: u8| {
        json!({
            "id": 1, "username": "alice", "nickname": null, "avatar": null, "coin": 0, "status": status,
            "created_time": "2026-11-21 08:05:09", "updated_time": "2026-11-21T08:05:10.120Z",
        })
    };
    api.clock.advance_ms(1_000);
    api.admin_post("/admin/users/1", json!({"status": 0}))
        .await
        .assert_ok(user(0));
    api.get_as(&token, "/api/user/info")
        .await
        .assert_fail(400, "你已被禁用");
    api.post_as(&token, "/api/logout", json!({}))
        .await
        .assert_fail(400, "你已被禁用");
    api.admin_post("/admin/users/1", json!({"status": 1}))
        .await
        .assert_ok(user(1));
    api.get_as(&token, "/api/user/info")
        .await
        .assert_ok(user(1));
}

#[actix_web::test]
async fn a_login_while_the_token_before_is_that_of_a_disabled_user_is_refused_too() {
    let api = TestApi::start().await;
    let registered =
        json!({"username": "alice", "password": "correct horse", "repassword": "correct horse"});
    api.post("/api/reg", registered).await;
    let login = json!({"username": "alice", "password": "correct horse"});
    let first = api.post("/api/login", login.clone()).await.json()["data"]["token"]
        .as_str()
        .unwrap()
        .to_owned();
    api.admin_post("/admin/users/1", json!({"status": 0})).await;
    api.post("/api/login", login.clone())
        .await
        .assert_fail(400, "你已被禁用");
    api.admin_post("/admin/users/1", json!({"status": 1})).await;
    assert_eq!(
        api.get_as(&first, "/api/user/info").await.status,
        200,
        "the refused login ended no token"
    );
    assert_eq!(api.post("/api/login", login).await.status, 200);
    api.get_as(&first, "/api/user/info")
        .await
        .assert_fail(400, "Token 令牌不合法!");
}

#[actix_web::test]
async fn status_is_0_or_1_of_a_user_that_exists() {
    let api = TestApi::start().await;
    api.user("alice").await;
    api.admin_post("/admin/users/1", json!({"status": 2}))
        .await
        .assert_fail(422, "status must be 0 or 1");
    for body in [
        json!({}),
        json!({"status": "0"}),
        json!({"status": -1}),
        json!({"status": 0, "coin": 5}),
    ] {
        assert_eq!(api.admin_post("/admin/users/1", body).await.status, 422);
    }
    api.admin_post("/admin/users/9", json!({"status": 0}))
        .await
        .assert_fail(404, "user not found");
}
