//! POST /api/live/changestatus

use liveroom::domain::LiveStatus;
use serde_json::{Value, json};

use super::harness::TestApi;

const URL: &str = "/api/live/changestatus";

#[actix_web::test]
async fn owner_starts_pauses_and_ends() {
    let api = TestApi::start().await;
    let (owner, token) = api.user("alice").await;
    let id = api.live(owner, LiveStatus::Scheduled).await.live.id;
    let steps = [
        ("play", LiveStatus::OnAir),
        ("pause", LiveStatus::Paused),
        ("play", LiveStatus::OnAir),
        ("stop", LiveStatus::Ended),
    ];
    for (kind, status) in steps {
        api.post_as(&token, URL, json!({"id": id.get(), "type": kind}))
            .await
            .assert_ok(json!("ok"));
        assert_eq!(api.row(id).await.live.status, status);
    }
    api.post_as(&token, URL, json!({"id": id.get(), "type": "play"}))
        .await
        .assert_fail(400, "该直播间已结束");
}

#[actix_web::test]
async fn id_may_be_digits() {
    let api = TestApi::start().await;
    let (owner, token) = api.user("alice").await;
    let id = api.live(owner, LiveStatus::Scheduled).await.live.id;
    api.post_as(&token, URL, json!({"id": id.to_string(), "type": "play"}))
        .await
        .assert_ok(json!("ok"));
}

#[actix_web::test]
async fn lives_of_others_are_as_unknown_as_those_that_are_not() {
    let api = TestApi::start().await;
    let (owner, _) = api.user("alice").await;
    let (_, token) = api.user("mallory").await;
    let id = api.live(owner, LiveStatus::OnAir).await.live.id;
    for id in [id.get(), 999, i64::MAX] {
        api.post_as(&token, URL, json!({"id": id, "type": "stop"}))
            .await
            .assert_fail(400, "该直播间不存在");
    }
    assert_eq!(api.row(id).await.live.status, LiveStatus::OnAir);
}

#[actix_web::test]
async fn fields_are_needed_and_checked() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    let cases = [
        (json!({"type": "play"}), "直播间ID不能为空"),
        (json!({"id": "7abc", "type": "play"}), "直播间ID 格式不正确"),
        (json!({"id": [7, 8], "type": "play"}), "直播间ID 格式不正确"),
        (json!({"id": 0, "type": "play"}), "直播间ID 格式不正确"),
        (json!({"id": 1.5, "type": "play"}), "直播间ID 格式不正确"),
        (json!({"id": 1}), "直播间状态不能为空"),
        (json!({"id": 1, "type": "rewind"}), "直播间状态 格式不正确"),
    ];
    for (body, text) in cases {
        api.post_as(&token, URL, body).await.assert_fail(422, text);
    }
    api.post(URL, json!({"id": 1, "type": "play"}))
        .await
        .assert_fail(400, "您没有权限访问该接口");
}

#[actix_web::test]
async fn one_user_changes_the_status_of_its_lives_so_often_a_minute() {
    let api = TestApi::start_with(|config| config.limits.status_changes_per_min = 3).await;
    let (alice, alices) = api.user("alice").await;
    let (bob, bobs) = api.user("bobby").await;
    for owner in [alice, alice, bob] {
        api.live(owner, LiveStatus::OnAir).await;
    }
    let change = |token: String, id: i64, kind: &'static str| {
        let body = json!({"id": id, "type": kind});
        let api = &api;
        async move { api.post_as(&token, URL, body).await }
    };
    for (id, kind) in [(1, "pause"), (2, "pause"), (1, "play")] {
        change(alices.clone(), id, kind)
            .await
            .assert_ok(json!("ok"));
    }
    let refused = change(alices.clone(), 2, "play").await;
    refused.assert_fail(429, "操作过于频繁，请稍后再试");
    assert_eq!(refused.header("retry-after"), Some("20"));
    change(bobs, 3, "pause").await.assert_ok(json!("ok"));
    api.clock.advance_ms(20_000);
    change(alices, 2, "play").await.assert_ok(json!("ok"));
}

#[actix_web::test]
async fn a_change_that_is_repeated_under_its_request_id_is_made_once() {
    let api = TestApi::start().await;
    let (owner, token) = api.user("alice").await;
    let id = api.live(owner, LiveStatus::OnAir).await.live.id;
    let change = async |kind: &str, request_id: Value| {
        api.post_as(
            &token,
            URL,
            json!({"id": id.get(), "type": kind, "request_id": request_id}),
        )
        .await
    };
    change("pause", json!("r-1")).await.assert_ok(json!("ok"));
    change("play", json!("r-2")).await.assert_ok(json!("ok"));
    change("pause", json!("r-1")).await.assert_ok(json!("ok"));
    assert_eq!(
        api.row(id).await.live.status,
        LiveStatus::OnAir,
        "it was not paused again"
    );
    change("stop", json!("r-2"))
        .await
        .assert_fail(409, "request_id was used before with other content");
    change("stop", json!(3))
        .await
        .assert_fail(422, "请求编号 格式不正确");
    change("stop", json!("r-3")).await.assert_ok(json!("ok"));
    // As a retry whose first answer got lost.
    change("stop", json!("r-3")).await.assert_ok(json!("ok"));
}
