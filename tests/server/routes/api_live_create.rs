//! POST /api/live/create

use serde_json::json;

use super::harness::TestApi;

#[actix_web::test]
async fn new_live_is_not_started_and_has_a_sign() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    let reply = api
        .post_as(
            &token,
            "/api/live/create",
            json!({"title": "晚会", "cover": "/c.png"}),
        )
        .await;
    assert_eq!(reply.status, 200);
    let body = reply.json();
    let key = body["data"]["data"]["key"].as_str().expect("a key");
    assert!(
        key.len() == 20 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()),
        "{key}"
    );
    let sign = body["data"]["sign"].as_str().expect("a sign");
    let (expire, digest) = sign.split_once('-').expect("a time and a digest");
    assert_eq!((expire, digest.len()), ("1795348309", 32));
    assert_eq!(
        reply.body,
        format!(
            r#"{{"msg":"ok","data":{{"data":{{"id":1,"title":"晚会","cover":"/c.png","user_id":1,"userId":1,"look_count":0,"coin":0,"key":"{key}","status":0,"created_time":"2026-11-21 08:05:09","updated_time":"2026-11-21T08:05:09.120Z"}},"sign":"{sign}"}}}}"#
        )
    );
}

#[actix_web::test]
async fn title_and_cover_are_needed_and_bounded() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    let cases = [
        (json!({"cover": "/c.png"}), "直播间标题不能为空"),
        (
            json!({"title": "", "cover": "/c.png"}),
            "直播间标题不能为空",
        ),
        (json!({"title": "晚会"}), "直播间封面不能为空"),
        (
            json!({"title": "界".repeat(101), "cover": "/c.png"}),
            "直播间标题 的长度 必须 在 1 和 100 之间",
        ),
        (
            json!({"title": "晚会", "cover": "c".repeat(501)}),
            "直播间封面 的长度 必须 在 1 和 500 之间",
        ),
        (
            json!({"title": ["晚会"], "cover": "/c.png"}),
            "直播间标题 格式不正确",
        ),
    ];
    for (body, text) in cases {
        api.post_as(&token, "/api/live/create", body)
            .await
            .assert_fail(422, text);
    }
    let fits = json!({"title": "界".repeat(100), "cover": "c".repeat(500)});
    assert_eq!(
        api.post_as(&token, "/api/live/create", fits).await.status,
        200
    );
}

#[actix_web::test]
async fn one_user_has_so_many_lives_that_have_not_ended() {
    let api = TestApi::start_with(|config| config.limits.lives_per_user = 2).await;
    let (_, alice) = api.user("alice").await;
    let (_, bob) = api.user("bobby").await;
    let live = || json!({"title": "晚会", "cover": "/c.png"});
    for _ in 0..2 {
        assert_eq!(
            api.post_as(&alice, "/api/live/create", live()).await.status,
            200
        );
    }
    let refused = api.post_as(&alice, "/api/live/create", live()).await;
    refused.assert_fail(400, "未结束的直播间过多，请先结束一些");
    assert_eq!(
        api.post_as(&bob, "/api/live/create", live()).await.status,
        200,
        "another user's lives do not count"
    );
    api.post_as(
        &alice,
        "/api/live/changestatus",
        json!({"id": 1, "type": "stop"}),
    )
    .await
    .assert_ok(json!("ok"));
    assert_eq!(
        api.post_as(&alice, "/api/live/create", live()).await.status,
        200,
        "an ended live does not count"
    );
}

#[actix_web::test]
async fn one_user_creates_so_many_lives_a_minute() {
    let api = TestApi::start_with(|config| config.limits.lives_per_min = 2).await;
    let (_, alice) = api.user("alice").await;
    let (_, bob) = api.user("bobby").await;
    let live = || json!({"title": "晚会", "cover": "/c.png"});
    api.post_as(&alice, "/api/live/create", json!({"title": "晚会"}))
        .await
        .assert_fail(422, "直播间封面不能为空");
    for _ in 0..2 {
        assert_eq!(
            api.post_as(&alice, "/api/live/create", live()).await.status,
            200,
            "what is invalid is not counted"
        );
    }
    let refused = api.post_as(&alice, "/api/live/create", live()).await;
    refused.assert_fail(429, "操作过于频繁，请稍后再试");
    assert_eq!(refused.header("retry-after"), Some("30"));
    assert_eq!(
        api.post_as(&bob, "/api/live/create", live()).await.status,
        200
    );
    api.clock.advance_ms(30_000);
    assert_eq!(
        api.post_as(&alice, "/api/live/create", live()).await.status,
        200
    );
}
