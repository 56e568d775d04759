//! GET /api/live/list/{page}

use liveroom::domain::LiveStatus;
use serde_json::{Value, json};

use super::harness::{Reply, TestApi};

#[actix_web::test]
async fn ten_lives_a_page_in_id_order() {
    let api = TestApi::start().await;
    let (owner, _) = api.user("alice").await;
    for _ in 0..12 {
        api.live(owner, LiveStatus::Scheduled).await;
    }
    let mut ids = Vec::new();
    for page in ["1", "2", "3", "99999999999999999999"] {
        let reply = api.get(&format!("/api/live/list/{page}")).await.json();
        let lives = reply["data"].as_array().expect("a list").clone();
        ids.push(
            lives
                .iter()
                .map(|live| live["id"].as_i64().expect("an id"))
                .collect::<Vec<_>>(),
        );
    }
    assert_eq!(ids, [(1..=10).collect(), vec![11, 12], vec![], vec![]]);
}

#[actix_web::test]
async fn live_in_a_list_is_shown_whole() {
    let api = TestApi::start().await;
    let (owner, _) = api.user("alice").await;
    let row = api.live(owner, LiveStatus::OnAir).await;
    api.get("/api/live/list/1").await.assert_ok(json!([{
        "id": 1, "title": "title", "cover": "/c.png", "user_id": 1, "userId": 1, "look_count": 0, "coin": 0,
        "key": row.key, "status": 1, "created_time": "2026-11-21 08:05:09",
        "updated_time": "2026-11-21T08:05:09.120Z",
    }]));
}

#[actix_web::test]
async fn page_is_a_positive_integer() {
    let api = TestApi::start().await;
    for page in ["0", "-1", "1.5", "abc", "1a", "%31%FF"] {
        api.get(&format!("/api/live/list/{page}"))
            .await
            .assert_fail(422, "页码 格式不正确");
    }
}

#[actix_web::test]
async fn key_of_a_live_that_is_not_on_air_goes_to_its_owner_alone() {
    let api = TestApi::start().await;
    let (owner, owner_token) = api.user("alice").await;
    let (_, other_token) = api.user("mallory").await;
    let statuses = [
        LiveStatus::Scheduled,
        LiveStatus::OnAir,
        LiveStatus::Paused,
        LiveStatus::Ended,
    ];
    let mut keys = Vec::new();
    for status in statuses {
        keys.push(json!(api.live(owner, status).await.key));
    }
    let shown = |reply: Reply| {
        let lives = reply.json()["data"].as_array().expect("a list").clone();
        lives
            .into_iter()
            .map(|live| live["key"].clone())
            .collect::<Vec<_>>()
    };
    let public = vec![Value::Null, keys[1].clone(), keys[2].clone(), Value::Null];

    assert_eq!(shown(api.get("/api/live/list/1").await), public);
    for token in [other_token.as_str(), "no.jwt.at-all", ""] {
        assert_eq!(
            shown(api.get_as(token, "/api/live/list/1").await),
            public,
            "{token}"
        );
        assert_eq!(
            shown(api.get(&format!("/api/live/list/1?token={token}")).await),
            public,
            "{token}"
        );
    }
    assert_eq!(
        shown(api.get_as(&owner_token, "/api/live/list/1").await),
        keys
    );
    assert_eq!(
        shown(
            api.get(&format!("/api/live/list/1?token={owner_token}"))
                .await
        ),
        keys
    );
    // A token that was replaced says nothing about who asks.
    api.post_as(&owner_token, "/api/logout", json!({}))
        .await
        .assert_ok(json!("ok"));
    assert_eq!(
        shown(api.get_as(&owner_token, "/api/live/list/1").await),
        public
    );
}
