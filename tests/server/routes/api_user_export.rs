//! GET /api/user/export

use std::sync::Arc;

use liveroom::domain::*;
use liveroom::storage::Write;
use serde_json::{Value, json};

use super::harness::{NOW, TestApi};

fn lines(body: &str) -> Vec<Value> {
    body.lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

async fn sanction(api: &TestApi, live: LiveId, user: UserId, kind: SanctionKind) {
    let order = SanctionOrder::new(user, kind, Term::Seconds(60), Some(SanctionScope::Streamer));
    let order = order.expect("it does not end with a live");
    api.act(Scope::Live(live), Action::Sanction(order)).await;
}

fn comment(live_id: LiveId, author: UserId, id: i64, text: &str) -> Write {
    Write::Comment(Arc::new(Comment {
        id: CommentId::new(id).unwrap(),
        live_id,
        author: Arc::new(Profile {
            id: author,
            name: "somebody".into(),
            avatar: None,
        }),
        text: CommentText::parse(text, 200).unwrap(),
        request_id: None,
        at: NOW,
    }))
}

#[actix_web::test]
async fn users_get_what_is_stored_of_them_and_nothing_of_others() {
    let api = TestApi::start().await;
    let (alice, token) = api.user("alice").await;
    let (bob, bobs_token) = api.user("bobby").await;
    let live = api.live(bob, LiveStatus::OnAir).await.live.id;
    let grant = json!({"delta": 5, "request_id": "g-1"});
    api.admin_post("/admin/users/1/coins", grant).await;
    let follow = json!({"user_id": bob.get(), "follow": true});
    api.post_as(&token, "/api/user/follow", follow).await;
    sanction(&api, live, alice, SanctionKind::Mute).await;
    sanction(&api, live, alice, SanctionKind::Shadow).await;
    let batch = vec![
        comment(live, alice, 7, "hello"),
        comment(live, bob, 8, "mine"),
    ];
    api.state.store.commit_skip_locked(batch).await.unwrap();

    let reply = api.get_as(&token, "/api/user/export").await;
    assert_eq!(
        reply.header("content-disposition"),
        Some("attachment; filename=\"account.jsonl\"")
    );
    let at = NOW.0;
    let until = NOW.plus_ms(60_000).0;
    assert_eq!(
        lines(&reply.body),
        [
            json!({"kind": "account", "at_ms": at, "data": {
                "id": 1, "username": "alice", "nickname": null, "avatar": null, "coin": 5}}),
            json!({"kind": "follow", "at_ms": at, "data": {"user_id": 2, "username": "bobby"}}),
            json!({"kind": "coins", "at_ms": at, "data": {"coins": 5, "coin": 5, "gift": null}}),
            json!({"kind": "sanction", "at_ms": at, "data": {
                "kind": "mute", "scope": "streamer", "live_id": null, "until_ms": until, "reason": null}}),
            json!({"kind": "comment", "at_ms": at, "data": {
                "id": "7", "live_id": 1, "content": "hello", "removed_at_ms": null}}),
        ]
    );
    let bobs = api.get_as(&bobs_token, "/api/user/export").await;
    let kinds: Vec<Value> = lines(&bobs.body)
        .into_iter()
        .map(|line| line["kind"].clone())
        .collect();
    assert_eq!(kinds, ["account", "comment"]);
}

#[actix_web::test]
async fn two_exports_an_hour_are_enough_and_strangers_get_none() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    for _ in 0..2 {
        assert_eq!(api.get_as(&token, "/api/user/export").await.status, 200);
    }
    let refused = api.get_as(&token, "/api/user/export").await;
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (429, Some("1800"))
    );
    api.clock.advance_ms(1_800_000);
    assert_eq!(api.get_as(&token, "/api/user/export").await.status, 200);
    assert_eq!(api.get("/api/user/export").await.status, 400);
}
