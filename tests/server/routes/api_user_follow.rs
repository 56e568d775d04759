//! POST /api/user/follow, GET /api/user/follows, and what a live shows of them.

use liveroom::domain::LiveStatus;
use serde_json::{Value, json};

use super::harness::{NOW, TestApi};

#[actix_web::test]
async fn a_follow_lasts_and_a_repeated_one_keeps_its_time() {
    let api = TestApi::start().await;
    let (alice, _) = api.user("alice").await;
    let (_, bob) = api.user("bobby").await;
    api.live(alice, LiveStatus::OnAir).await;
    let body = |follow: bool| json!({"user_id": alice.get(), "follow": follow});
    let follow = |since: Value, followers: i64| json!({"user_id": 1, "follow": !since.is_null(), "since_ms": since, "followers": followers});

    for _ in 0..2 {
        let reply = api.post_as(&bob, "/api/user/follow", body(true)).await;
        reply.assert_ok(follow(NOW.0.into(), 1));
        api.clock.advance_ms(1_000);
    }
    let shown = api.get("/api/live/read/1").await.json();
    assert_eq!(shown["data"]["data"]["followers"], 1);
    let me = api.get_as(&bob, "/api/live/1/me").await.json();
    assert_eq!(me["data"]["follows_since_ms"], NOW.0);
    for _ in 0..2 {
        let reply = api.post_as(&bob, "/api/user/follow", body(false)).await;
        reply.assert_ok(follow(Value::Null, 0));
    }
    let me = api.get_as(&bob, "/api/live/1/me").await.json();
    assert_eq!(me["data"]["follows_since_ms"], Value::Null);
}

#[actix_web::test]
async fn follows_are_listed_in_pages_newest_first() {
    let api = TestApi::start_with(|config| config.limits.follow_changes_per_min = 100).await;
    let (_, token) = api.user("alice").await;
    for number in 0..51 {
        let (streamer, _) = api.user(&format!("streamer{number}")).await;
        api.clock.advance_ms(1);
        let body = json!({"user_id": streamer.get(), "follow": true});
        assert_eq!(
            api.post_as(&token, "/api/user/follow", body).await.status,
            200
        );
    }
    let first = api.get_as(&token, "/api/user/follows").await.json();
    let follows = first["data"]["follows"].as_array().unwrap();
    assert_eq!(follows.len(), 50);
    assert_eq!(
        follows[0],
        json!({"user_id": 52, "username": "streamer50", "avatar": null, "since_ms": NOW.0 + 51})
    );
    let next = first["data"]["next"].as_str().expect("a further page");
    let path = format!("/api/user/follows?cursor={next}");
    let second = api.get_as(&token, &path).await.json();
    assert_eq!(second["data"]["follows"][0]["username"], "streamer0");
    assert_eq!(second["data"]["follows"].as_array().unwrap().len(), 1);
    assert_eq!(second["data"]["next"], Value::Null);
}

#[actix_web::test]
async fn what_cannot_be_followed_is_refused_in_words_and_changes_nothing() {
    let api = TestApi::start_with(|config| config.limits.follows_per_user = 1).await;
    let (_, token) = api.user("alice").await;
    for name in ["bobby", "carol"] {
        api.user(name).await;
    }
    let bob = json!({"user_id": 2, "follow": true});
    assert_eq!(
        api.post_as(&token, "/api/user/follow", bob).await.status,
        200
    );
    for (body, status, text) in [
        (json!({"user_id": 1, "follow": true}), 400, "不能关注自己"),
        (json!({"user_id": 1, "follow": false}), 400, "不能关注自己"),
        (json!({"user_id": 99, "follow": true}), 400, "该用户不存在"),
        (
            json!({"user_id": 3, "follow": true}),
            400,
            "关注的人数已达上限",
        ),
        (
            json!({"user_id": "x", "follow": true}),
            422,
            "用户ID 格式不正确",
        ),
        (json!({"follow": true}), 422, "用户ID不能为空"),
        (json!({"user_id": 3}), 422, "关注不能为空"),
        (
            json!({"user_id": 3, "follow": "maybe"}),
            422,
            "关注 格式不正确",
        ),
        (json!({"user_id": 3, "follow": 1}), 422, "关注 格式不正确"),
    ] {
        let reply = api.post_as(&token, "/api/user/follow", body).await;
        reply.assert_fail(status, text);
    }
    let stranger = json!({"user_id": 2, "follow": true});
    let reply = api.post("/api/user/follow", stranger).await;
    reply.assert_fail(400, "您没有权限访问该接口");
    for cursor in ["x", "1", "1_", "_1", "-1_2", "1_0"] {
        let path = format!("/api/user/follows?cursor={cursor}");
        let reply = api.get_as(&token, &path).await;
        reply.assert_fail(422, "cursor 格式不正确");
    }
    let listed = api.get_as(&token, "/api/user/follows").await.json();
    assert_eq!(listed["data"]["follows"].as_array().unwrap().len(), 1);
}

#[actix_web::test]
async fn follows_of_one_user_have_a_rate_and_those_of_others_do_not_count() {
    let api = TestApi::start_with(|config| config.limits.follow_changes_per_min = 2).await;
    let (_, alice) = api.user("alice").await;
    let (_, bob) = api.user("bobby").await;
    api.user("carol").await;
    let body = |follow: bool| json!({"user_id": 3, "follow": follow});
    for follow in [true, false] {
        let reply = api.post_as(&alice, "/api/user/follow", body(follow)).await;
        assert_eq!(reply.status, 200);
    }
    let refused = api.post_as(&alice, "/api/user/follow", body(true)).await;
    refused.assert_fail(429, "操作过于频繁，请稍后再试");
    assert_eq!(refused.header("retry-after"), Some("30"));
    let reply = api.post_as(&bob, "/api/user/follow", body(true)).await;
    assert_eq!(reply.status, 200);
    api.clock.advance_ms(30_000);
    let reply = api.post_as(&alice, "/api/user/follow", body(true)).await;
    assert_eq!(reply.status, 200);
}
