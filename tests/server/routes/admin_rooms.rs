//! GET /admin/rooms and GET /admin/rooms/{live_id}. Rooms with members are looked at where clients
//! join them; here a room is opened without any.

use std::time::Duration;

use liveroom::domain::LiveStatus;
use serde_json::{Value, json};

use super::harness::{NOW, TestApi};

/// An open room of alice's live, and her token.
async fn open_room(api: &TestApi) -> String {
    let (owner, token) = api.user("alice").await;
    let live_id = api.live(owner, LiveStatus::OnAir).await.live.id;
    assert!(api.state.rooms.locate(live_id).await.is_ok());
    token
}

fn stats(epoch: &Value, status: i64, offset: u64) -> Value {
    json!({
        "live_id": 1, "title": "title", "owner_id": 1, "status": status, "members": 0, "users": 0,
        "comments_per_s": 0.0, "gifts_per_s": 0.0,
        "sampled_out": 0, "coin": 0, "coins_posted": 0, "look_count": 0,
        "history_length": offset, "epoch": epoch, "offset": offset, "in_flight": 0, "opened_at": NOW.0,
    })
}

#[actix_web::test]
async fn no_room_is_open_before_somebody_joins() {
    let api = TestApi::start().await;
    let (owner, _) = api.user("alice").await;
    api.live(owner, LiveStatus::OnAir).await;
    api.admin_get("/admin/rooms").await.assert_ok(json!([]));
    for id in ["1", "0", "abc"] {
        api.admin_get(&format!("/admin/rooms/{id}"))
            .await
            .assert_fail(404, "room not open");
    }
}

#[actix_web::test]
async fn open_rooms_are_listed() {
    let api = TestApi::start().await;
    open_room(&api).await;
    let reply = api.admin_get("/admin/rooms").await;
    let epoch = reply.json()["data"][0]["epoch"].clone();
    assert!(epoch.as_str().is_some_and(|epoch| !epoch.is_empty()));
    let mut room = stats(&epoch, 1, 0);
    room["nodes"] = json!([{"node": "one", "members": 0, "epoch": epoch, "offset": 0}]);
    reply.assert_ok(json!([room]));
}

#[actix_web::test]
async fn open_rooms_are_listed_in_pages_by_live() {
    let api = TestApi::start().await;
    let (owner, _) = api.user("alice").await;
    for _ in 0..101 {
        let live_id = api.live(owner, LiveStatus::OnAir).await.live.id;
        assert!(api.state.rooms.locate(live_id).await.is_ok());
    }
    let mut path = "/admin/rooms?limit=40".to_owned();
    let mut pages = Vec::new();
    loop {
        let reply = api.admin_get(&path).await;
        let body = reply.json();
        let rooms = body["data"].as_array().expect("a bare array");
        pages.push(
            rooms
                .iter()
                .map(|room| room["live_id"].as_i64().expect("an id"))
                .collect::<Vec<_>>(),
        );
        let Some(link) = reply.header("link") else {
            break;
        };
        assert_eq!(
            link,
            format!(
                "</admin/rooms?after={}&limit=40>; rel=\"next\"",
                40 * pages.len()
            )
        );
        path = link[1..].split_once('>').expect("a target").0.to_owned();
    }
    assert_eq!(
        pages,
        [
            Vec::from_iter(1..=40),
            Vec::from_iter(41..=80),
            Vec::from_iter(81..=101)
        ]
    );

    let unlimited = api.admin_get("/admin/rooms").await;
    assert_eq!(unlimited.json()["data"].as_array().map(Vec::len), Some(100));
    assert_eq!(
        unlimited.header("link"),
        Some("</admin/rooms?after=100&limit=100>; rel=\"next\"")
    );
    for last in ["/admin/rooms?after=1", "/admin/rooms?after=96&limit=5"] {
        assert_eq!(
            api.admin_get(last).await.header("link"),
            None,
            "nothing follows {last}"
        );
    }
    api.admin_get("/admin/rooms?after=99999999999999999999")
        .await
        .assert_ok(json!([]));
    assert_eq!(
        api.admin_get("/admin/nodes").await.json()["data"][0]["rooms"],
        json!(101),
        "all are counted"
    );
}

#[actix_web::test]
async fn pages_of_rooms_with_bad_bounds_are_refused() {
    let api = TestApi::start().await;
    for limit in ["", "0", "101", "-1", "1.0", "all"] {
        api.admin_get(&format!("/admin/rooms?limit={limit}"))
            .await
            .assert_fail(400, "limit must be 1 to 100");
    }
    for after in ["", "0", "-1", "x"] {
        let path = format!("/admin/rooms?after={after}&limit=2");
        api.admin_get(&path)
            .await
            .assert_fail(400, "after must be the id of a live");
    }
}

#[actix_web::test]
async fn the_only_node_there_is_is_listed() {
    let api = TestApi::start().await;
    open_room(&api).await;
    api.admin_get("/admin/nodes").await.assert_ok(json!([{
        "node": "one", "address": "127.0.0.1:7001", "version": env!("CARGO_PKG_VERSION"), "started_at": NOW.0,
        "alone": false, "alone_since": null, "sessions": 0, "rooms": 1, "members": 0, "writes_queued": 0, "silent": false,
        "self": true,
    }]));
}

#[actix_web::test]
async fn change_of_status_is_an_event_of_the_open_room() {
    let api = TestApi::start().await;
    let token = open_room(&api).await;
    api.post_as(
        &token,
        "/api/live/changestatus",
        json!({"id": 1, "type": "pause"}),
    )
    .await
    .assert_ok(json!("ok"));
    // The room hears of it a moment after the streamer was answered.
    let mut reply = api.admin_get("/admin/rooms/1").await;
    for _ in 0..500 {
        if reply.json()["data"]["offset"] == 1 {
            break;
        }
        actix_web::rt::time::sleep(Duration::from_millis(10)).await;
        reply = api.admin_get("/admin/rooms/1").await;
    }
    let epoch = reply.json()["data"]["epoch"].clone();
    let mut expected = stats(&epoch, 2, 1);
    expected["members_list"] = json!([]);
    expected["events"] = json!([{"epoch": epoch, "offset": 1, "event": "live", "live_id": 1, "status": 2, "title": "title"}]);
    expected["ledger"] = json!({"coins": 0, "gifts": 0, "room_coins": 0, "recent": []});
    reply.assert_ok(expected);
}
