//! POST /admin/gifts

use serde_json::json;

use super::harness::TestApi;

#[actix_web::test]
async fn new_gift_is_on_offer_at_once() {
    let api = TestApi::start().await;
    let gift = json!({
        "id": 1, "name": "小花", "image": "/g.png", "coin": 7,
        "created_time": "2026-11-21 08:05:09", "updated_time": "2026-11-21T08:05:09.120Z",
    });
    let reply = api
        .admin_post(
            "/admin/gifts",
            json!({"name": "小花", "image": "/g.png", "coin": 7}),
        )
        .await;
    reply.assert_ok(gift.clone());
    api.get("/api/gift/list").await.assert_ok(json!([gift]));
}

#[actix_web::test]
async fn nonsense_is_told_by_field() {
    let api = TestApi::start().await;
    let cases = [
        (
            json!({"name": "", "image": "/g.png", "coin": 7}),
            "name must be 1 to 50 characters, none of them U+0000",
        ),
        (
            json!({"name": "a\u{0}", "image": "/g.png", "coin": 7}),
            "name must be 1 to 50 characters, none of them U+0000",
        ),
        (
            json!({"name": "a".repeat(51), "image": "/g.png", "coin": 7}),
            "name must be 1 to 50 characters, none of them U+0000",
        ),
        (
            json!({"name": "a", "image": "", "coin": 7}),
            "image must be 1 to 500 characters, none of them U+0000",
        ),
        (
            json!({"name": "a", "image": "/g.png", "coin": 0}),
            "coin must be at least 1",
        ),
        (
            json!({"name": "a", "image": "/g.png", "coin": -7}),
            "coin must be at least 1",
        ),
        (
            json!({"name": "a", "image": "/g.png", "coin": 1_i64 << 53}),
            "coin must be at most 9007199254740991",
        ),
        (
            json!({"name": "a", "image": "/g.png", "coin": i64::MAX}),
            "coin must be at most 9007199254740991",
        ),
    ];
    for (body, text) in cases {
        api.admin_post("/admin/gifts", body)
            .await
            .assert_fail(422, text);
    }
    for body in [
        json!({}),
        json!({"name": 1, "image": "b", "coin": 1}),
        json!({"name": "a", "image": "b", "price": 1}),
    ] {
        assert_eq!(api.admin_post("/admin/gifts", body).await.status, 422);
    }
    api.get("/api/gift/list").await.assert_ok(json!([]));
}
