//! DELETE /admin/rooms/{live_id}/comments/{comment_id} and POST /admin/rooms/{live_id}/notice. What
//! members hear of them is looked at where there are members.

use std::time::Duration;

use liveroom::domain::LiveStatus;
use serde_json::{Value, json};

use super::api_live_history::store_comments;
use super::harness::{NOW, TestApi};

/// Alice's live with comments 1 to 3, its room open or not.
async fn api(open: bool) -> TestApi {
    let api = TestApi::start().await;
    let (owner, _) = api.user("alice").await;
    let live_id = api.live(owner, LiveStatus::OnAir).await.live.id;
    store_comments(&api, live_id, owner, 3).await;
    assert!(!open || api.state.rooms.locate(live_id).await.is_ok());
    api
}

/// The room's events once there are `count`: it hears of things a moment after the operator was
/// answered.
async fn events(api: &TestApi, count: usize) -> Vec<Value> {
    for _ in 0..500 {
        let mut room = api.admin_get("/admin/rooms/1").await.json();
        if let Value::Array(events) = room["data"]["events"].take()
            && events.len() >= count
        {
            return events;
        }
        actix_web::rt::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("there are fewer than {count} events");
}

#[actix_web::test]
async fn a_comment_is_taken_down_once_however_often_it_is_asked_for() {
    let api = api(true).await;
    let removal = json!({"live_id": 1, "id": "2", "removed_at": NOW.0});
    api.admin_delete("/admin/rooms/1/comments/2")
        .await
        .assert_ok(removal.clone());
    api.clock.advance_ms(5);
    api.admin_delete("/admin/rooms/1/comments/2")
        .await
        .assert_ok(removal);
    api.admin_post("/admin/rooms/1/notice", json!({"text": "last"}))
        .await
        .assert_ok(json!({"live_id": 1}));
    let told: Vec<_> = events(&api, 2)
        .await
        .iter()
        .map(|event| event["event"].clone())
        .collect();
    assert_eq!(told, ["removed", "notice"]);
}

#[actix_web::test]
async fn what_was_told_is_shown_with_its_place() {
    let api = api(true).await;
    api.admin_delete("/admin/rooms/1/comments/3").await.json();
    api.admin_post("/admin/rooms/1/notice", json!({"text": "请文明发言"}))
        .await
        .json();
    let events = events(&api, 2).await;
    let epoch = &events[0]["epoch"];
    assert_eq!(
        events[0],
        json!({"epoch": epoch, "offset": 1, "event": "removed", "live_id": 1, "id": "3"})
    );
    assert_eq!(
        events[1],
        json!({"epoch": epoch, "offset": 2, "event": "notice", "live_id": 1, "text": "请文明发言"})
    );
}

#[actix_web::test]
async fn a_comment_of_a_room_that_is_not_open_is_taken_down_all_the_same() {
    let api = api(false).await;
    api.admin_delete("/admin/rooms/1/comments/1")
        .await
        .assert_ok(json!({"live_id": 1, "id": "1", "removed_at": NOW.0}));
}

#[actix_web::test]
async fn unknown_comments_and_closed_rooms_are_not_found() {
    let api = api(false).await;
    for path in [
        "1/comments/4",
        "2/comments/1",
        "1/comments/0",
        "x/comments/1",
        "1/comments/99999999999999999999",
    ] {
        api.admin_delete(&format!("/admin/rooms/{path}"))
            .await
            .assert_fail(404, "comment not found");
    }
    for live_id in ["1", "2", "x"] {
        let path = format!("/admin/rooms/{live_id}/notice");
        api.admin_post(&path, json!({"text": "hello"}))
            .await
            .assert_fail(404, "room not open");
    }
}

#[actix_web::test]
async fn a_notice_is_a_text_of_1_to_200_characters() {
    let api = api(true).await;
    for text in ["", "a\0b", &"界".repeat(201)] {
        let reply = api
            .admin_post("/admin/rooms/1/notice", json!({"text": text}))
            .await;
        reply.assert_fail(422, "text must be 1 to 200 characters, none of them U+0000");
    }
    assert_eq!(
        api.admin_post("/admin/rooms/1/notice", json!({"words": "hello"}))
            .await
            .status,
        422
    );
    api.admin_post("/admin/rooms/1/notice", json!({"text": "界".repeat(200)}))
        .await
        .assert_ok(json!({"live_id": 1}));
}

#[actix_web::test]
async fn each_url_has_its_method() {
    let api = api(true).await;
    api.admin_get("/admin/rooms/1/comments/1")
        .await
        .assert_fail(405, "请求方法不支持");
    api.admin_get("/admin/rooms/1/notice")
        .await
        .assert_fail(405, "请求方法不支持");
}

#[actix_web::test]
async fn an_action_that_is_repeated_under_its_request_id_is_done_once() {
    let api = api(true).await;
    let notice = json!({"text": "hello", "request_id": "n-1", "reason": "a test"});
    for _ in 0..2 {
        api.admin_post("/admin/rooms/1/notice", notice.clone())
            .await
            .assert_ok(json!({"live_id": 1}));
    }
    let (user, _) = api.user("kicked").await;
    let kick = |user_id: i64| json!({"user_id": user_id, "request_id": "n-1"});
    for _ in 0..2 {
        api.admin_post("/admin/rooms/1/kick", kick(user.get()))
            .await
            .assert_ok(json!({"live_id": 1, "user_id": user.get()}));
    }
    api.admin_post("/admin/rooms/1/kick", kick(999_999))
        .await
        .assert_fail(409, "request_id was used before with other content");
    api.admin_post("/admin/rooms/1/kick", json!({"user_id": 999_999}))
        .await
        .assert_fail(404, "user not found");
    let other = json!({"text": "another", "request_id": "n-1"});
    let conflict = "request_id was used before with other content";
    api.admin_post("/admin/rooms/1/notice", other)
        .await
        .assert_fail(409, conflict);
    api.admin_post("/admin/rooms/1/notice", json!({"text": "last"}))
        .await
        .assert_ok(json!({"live_id": 1}));
    let told: Vec<_> = events(&api, 2)
        .await
        .iter()
        .map(|event| event["text"].clone())
        .collect();
    assert_eq!(told, ["hello", "last"]);
}

#[actix_web::test]
async fn a_request_id_and_a_reason_are_checked() {
    let api = api(true).await;
    let name = "request_id must be 1 to 64 of [A-Za-z0-9_-]";
    let reason = "reason must be 1 to 500 characters, none of them U+0000";
    for (terms, text) in [
        (json!({"request_id": "a b"}), name),
        (json!({"request_id": ""}), name),
        (json!({"reason": ""}), reason),
        (json!({"reason": "界".repeat(501)}), reason),
    ] {
        let with_terms = |mut body: Value| {
            body.as_object_mut()
                .unwrap()
                .extend(terms.as_object().unwrap().clone());
            body
        };
        api.admin_post("/admin/rooms/1/close", with_terms(json!({})))
            .await
            .assert_fail(422, text);
        api.admin_post("/admin/rooms/1/kick", with_terms(json!({"user_id": 7})))
            .await
            .assert_fail(422, text);
        api.admin_post("/admin/rooms/1/notice", with_terms(json!({"text": "hi"})))
            .await
            .assert_fail(422, text);
        api.admin_post("/admin/users/1", with_terms(json!({"status": 1})))
            .await
            .assert_fail(422, text);
    }
    assert_eq!(
        api.row(liveroom::domain::LiveId::FIRST).await.live.status,
        LiveStatus::OnAir
    );
}
