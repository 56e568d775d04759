//! GET /api/live/{id}/history

use std::sync::Arc;

use liveroom::domain::{Comment, CommentId, CommentText, LiveId, LiveStatus, Profile, UserId};
use liveroom::storage::Write;
use serde_json::{Value, json};

use super::harness::{NOW, TestApi};

/// Stores comments 1 to `count` of `author`.
pub async fn store_comments(api: &TestApi, live_id: LiveId, author: UserId, count: i64) {
    let author = Arc::new(Profile {
        id: author,
        name: "alice".into(),
        avatar: None,
    });
    let comment = |id| Comment {
        id: CommentId::new(id).unwrap(),
        live_id,
        author: author.clone(),
        text: CommentText::parse(&format!("comment {id}"), 200).unwrap(),
        request_id: None,
        at: NOW.plus_ms(id),
    };
    let batch = (1..=count)
        .map(|id| Write::Comment(Arc::new(comment(id))))
        .collect();
    api.state.store.commit_skip_locked(batch).await.unwrap();
}

async fn api_with_comments(count: i64) -> TestApi {
    let api = TestApi::start().await;
    let (owner, _) = api.user("alice").await;
    let live_id = api.live(owner, LiveStatus::Ended).await.live.id;
    store_comments(&api, live_id, owner, count).await;
    api
}

fn ids(data: &Value) -> Vec<i64> {
    let comments = data["data"].as_array().expect("a list");
    comments
        .iter()
        .map(|comment| {
            comment["id"]
                .as_str()
                .and_then(|id| id.parse().ok())
                .expect("an id")
        })
        .collect()
}

#[actix_web::test]
async fn a_comment_looks_as_its_event_did() {
    let api = api_with_comments(1).await;
    let reply = api.get("/api/live/1/history").await;
    assert_eq!(
        reply.body,
        r#"{"msg":"ok","data":[{"user":{"id":1,"name":"alice","avatar":null},"content":"comment 1","id":"1","at":1795248309121,"live_id":1}]}"#
    );
    assert_eq!(reply.header("cache-control"), Some("no-store"));
}

#[actix_web::test]
async fn pages_go_back_from_the_newest_to_the_first() {
    let api = api_with_comments(120).await;
    let newest = ids(&api.get("/api/live/1/history").await.json());
    assert_eq!(newest, (71..=120).rev().collect::<Vec<_>>());
    let next = ids(&api
        .get("/api/live/1/history?before=71&limit=100")
        .await
        .json());
    assert_eq!(next, (1..=70).rev().collect::<Vec<_>>());
    api.get("/api/live/1/history?before=1")
        .await
        .assert_ok(json!([]));
    assert_eq!(
        ids(&api.get("/api/live/1/history?before=&limit=1").await.json()),
        [120]
    );
    assert_eq!(
        ids(&api
            .get("/api/live/1/history?before=99999999999999999999&limit=1")
            .await
            .json()),
        [120]
    );
}

#[actix_web::test]
async fn what_was_taken_down_is_not_there() {
    let api = api_with_comments(3).await;
    api.admin_delete("/admin/rooms/1/comments/2").await.json();
    assert_eq!(ids(&api.get("/api/live/1/history").await.json()), [3, 1]);
}

#[actix_web::test]
async fn wrong_pages_are_invalid_and_unknown_lives_refused() {
    let api = api_with_comments(0).await;
    for (query, text) in [
        ("limit=0", "每页数量 格式不正确"),
        ("limit=-1", "每页数量 格式不正确"),
        ("limit=ten", "每页数量 格式不正确"),
        ("limit=101", "每页数量 必须 在 1 和 100 之间"),
        (
            "limit=99999999999999999999",
            "每页数量 必须 在 1 和 100 之间",
        ),
        ("before=0", "评论ID 格式不正确"),
        ("before=1.5", "评论ID 格式不正确"),
    ] {
        api.get(&format!("/api/live/1/history?{query}"))
            .await
            .assert_fail(422, text);
    }
    for id in ["0", "7abc", "-1"] {
        api.get(&format!("/api/live/{id}/history"))
            .await
            .assert_fail(422, "直播间ID 格式不正确");
    }
    for id in ["2", "99999999999999999999"] {
        api.get(&format!("/api/live/{id}/history"))
            .await
            .assert_fail(400, "该直播间不存在");
    }
    api.post("/api/live/1/history", json!({}))
        .await
        .assert_fail(405, "请求方法不支持");
}
