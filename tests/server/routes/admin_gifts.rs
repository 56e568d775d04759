//! POST /admin/gifts, POST /admin/gifts/{id}, GET /admin/gifts

use serde_json::json;

use super::harness::{NOW, TestApi};

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

#[actix_web::test]
async fn a_gift_changes_its_price_and_leaves_the_list_of_viewers_and_comes_back() {
    let api = TestApi::start().await;
    let body = json!({"name": "小花", "image": "/g.png", "coin": 7});
    api.admin_post("/admin/gifts", body).await;
    api.clock.advance_ms(1_000);
    let shown = |coin, on_sale, updated_at_ms| {
        json!({
            "id": 1, "name": "小花", "image": "/g.png", "coin": coin, "on_sale": on_sale,
            "created_at_ms": NOW.0, "updated_at_ms": updated_at_ms,
        })
    };
    let later = NOW.0 + 1_000;
    let reply = api.admin_post("/admin/gifts/1", json!({"coin": 9})).await;
    reply.assert_ok(shown(9, true, later));
    let listed = api.get("/api/gift/list").await.json();
    assert_eq!(listed["data"][0]["coin"], json!(9));

    let withdrawal = json!({"on_sale": false, "request_id": "w1", "reason": "out of stock"});
    let withdrawn = shown(9, false, later + 1);
    let reply = api.admin_post("/admin/gifts/1", withdrawal.clone()).await;
    reply.assert_ok(withdrawn.clone());
    api.admin_post("/admin/gifts/1", withdrawal)
        .await
        .assert_ok(withdrawn.clone());
    api.get("/api/gift/list").await.assert_ok(json!([]));
    api.admin_get("/admin/gifts")
        .await
        .assert_ok(json!({"gifts": [withdrawn]}));

    let reply = api
        .admin_post("/admin/gifts/1", json!({"on_sale": true, "coin": 8}))
        .await;
    reply.assert_ok(shown(8, true, later + 2));
    let listed = api.get("/api/gift/list").await.json();
    assert_eq!(listed["data"][0]["coin"], json!(8));
}

#[actix_web::test]
async fn a_change_that_is_none_or_out_of_range_changes_nothing() {
    let api = TestApi::start().await;
    let body = json!({"name": "rose", "image": "/g.png", "coin": 7});
    api.admin_post("/admin/gifts", body).await;
    let nothing = "coin or on_sale must be given";
    let range = "coin must be 1 to 9007199254740991";
    for (body, text) in [
        (json!({}), nothing),
        (json!({"coin": null}), nothing),
        (json!({"coin": 0}), range),
        (json!({"coin": -7, "on_sale": false}), range),
        (json!({"coin": 9_007_199_254_740_992_i64}), range),
        (
            json!({"coin": 8, "reason": ""}),
            "reason must be 1 to 500 characters, none of them U+0000",
        ),
    ] {
        api.admin_post("/admin/gifts/1", body)
            .await
            .assert_fail(422, text);
    }
    for body in [
        json!({"coin": "8"}),
        json!({"coin": 8.5}),
        json!({"on_sale": 1}),
        json!({"name": "tulip", "coin": 8}),
        json!([]),
    ] {
        assert_eq!(api.admin_post("/admin/gifts/1", body).await.status, 422);
    }
    for path in ["/admin/gifts/2", "/admin/gifts/0", "/admin/gifts/x"] {
        let reply = api.admin_post(path, json!({"coin": 8})).await;
        reply.assert_fail(404, "gift not found");
    }
    let listed = api.get("/api/gift/list").await.json();
    assert_eq!(listed["data"][0]["coin"], json!(7));
}
