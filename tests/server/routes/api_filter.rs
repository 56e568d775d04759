//! /api/filter: the terms of a streamer's own rooms, in and out.

use actix_web::test::TestRequest;
use liveroom::domain::LiveStatus;
use serde_json::json;

use super::harness::{Reply, TestApi};

async fn import(api: &TestApi, token: &str, query: &str, lines: impl Into<Vec<u8>>) -> Reply {
    let request = TestRequest::post()
        .uri(&format!("/api/filter/import{query}"))
        .insert_header(("token", token))
        .set_payload(lines.into());
    api.call(request).await
}

async fn exported(api: &TestApi, token: &str) -> String {
    let reply = api.get_as(token, "/api/filter/export").await;
    assert_eq!(reply.status, 200);
    reply.body
}

#[actix_web::test]
async fn a_streamer_has_a_list_of_its_own_that_holds_in_its_lives_alone() {
    let api = TestApi::start().await;
    let (alice, of_alice) = api.user("alice").await;
    let (bob, of_bob) = api.user("bobby").await;
    for owner in [alice, bob] {
        api.live(owner, LiveStatus::OnAir).await;
    }
    let reply = import(&api, &of_alice, "?request_id=t-1", "剧透\tblock\n").await;
    reply.assert_ok(json!({"terms": 1}));
    assert_eq!(
        exported(&api, &of_alice).await,
        "# text\taction\toptions\ttags\n剧透\tblock\n"
    );
    assert_eq!(
        exported(&api, &of_bob).await,
        "# text\taction\toptions\ttags\n"
    );
    for (live_id, action) in [(1, json!("block")), (2, json!(null))] {
        let body = json!({"text": "别剧透", "live_id": live_id});
        let tried = api.admin_post("/admin/filter/test", body).await.json();
        assert_eq!(tried["data"]["action"], action, "live {live_id}");
    }
    let of_operators = api.admin_get("/admin/filter/export?streamer=1").await;
    assert_eq!(of_operators.body, exported(&api, &of_alice).await);
}

#[actix_web::test]
async fn a_bad_list_of_a_streamer_changes_nothing() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    let reply = import(&api, &token, "?request_id=t-1", "剧透").await;
    assert_eq!(reply.status, 200);
    let before = exported(&api, &token).await;
    let too_many: String = (0..501).map(|n| format!("term{n}\n")).collect();
    for (query, lines, status) in [
        ("", "好的\nx\n".to_owned(), 422),
        ("", too_many, 422),
        ("", "a".repeat(256 * 1_024 + 1), 413),
        ("?streamer=2", "别的".to_owned(), 400),
        ("?request_id=t-1", "别的".to_owned(), 409),
        ("?request_id=a%20b", "别的".to_owned(), 422),
    ] {
        let reply = import(&api, &token, query, lines).await;
        assert_eq!(reply.status, status, "{query} {}", reply.body);
        assert_eq!(exported(&api, &token).await, before, "{query}");
    }
    let stranger = api.post("/api/filter/import", json!({})).await;
    stranger.assert_fail(400, "您没有权限访问该接口");
}

#[actix_web::test]
async fn a_streamer_changes_its_terms_ten_times_a_minute() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    for _ in 0..10 {
        assert_eq!(import(&api, &token, "", "剧透").await.status, 200);
    }
    let refused = import(&api, &token, "", "剧透").await;
    refused.assert_fail(429, "操作过于频繁，请稍后再试");
    assert_eq!(refused.header("retry-after"), Some("6"));
    assert_eq!(
        api.admin_post_text("/admin/filter/import?streamer=1", "别的")
            .await
            .status,
        200,
        "operators have no such limit"
    );
}
