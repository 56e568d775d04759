//! GET /api/live/read/{id}

use liveroom::domain::LiveStatus;
use serde_json::{Value, json};

use super::harness::{Reply, TestApi};

#[actix_web::test]
async fn live_comes_with_its_owner_and_a_sign() {
    let api = TestApi::start().await;
    let (owner, _) = api.user("alice").await;
    let key = api.live(owner, LiveStatus::OnAir).await.key;
    let reply = api.get("/api/live/read/1").await;
    let body = reply.json();
    let sign = body["data"]["sign"].as_str().expect("a sign");
    assert!(sign.starts_with("1795348309-"), "{sign}");
    assert_eq!(
        reply.body,
        format!(
            r#"{{"msg":"ok","data":{{"data":{{"id":1,"title":"title","cover":"/c.png","user_id":1,"userId":1,"look_count":0,"coin":0,"key":"{key}","status":1,"created_time":"2026-11-21 08:05:09","updated_time":"2026-11-21T08:05:09.120Z","user":{{"id":1,"username":"alice","avatar":null}},"followers":0}},"sign":"{sign}"}}}}"#
        )
    );
}

#[actix_web::test]
async fn ended_live_has_no_sign() {
    let api = TestApi::start().await;
    let (owner, _) = api.user("alice").await;
    api.live(owner, LiveStatus::Ended).await;
    let body = api.get("/api/live/read/1").await.json();
    assert_eq!(
        (&body["data"]["data"]["status"], &body["data"]["sign"]),
        (&Value::from(3), &Value::Null)
    );
}

#[actix_web::test]
async fn key_and_sign_of_a_live_that_is_not_on_air_go_to_its_owner_alone() {
    let api = TestApi::start().await;
    let (owner, owner_token) = api.user("alice").await;
    let (_, other_token) = api.user("mallory").await;
    let key = api.live(owner, LiveStatus::Scheduled).await.key;
    let shown = |reply: Reply| {
        let data = reply.json()["data"].clone();
        (data["data"]["key"].clone(), data["sign"].is_string())
    };

    assert_eq!(
        shown(api.get("/api/live/read/1").await),
        (Value::Null, false)
    );
    for token in [other_token.as_str(), "no.jwt.at-all"] {
        assert_eq!(
            shown(api.get_as(token, "/api/live/read/1").await),
            (Value::Null, false),
            "{token}"
        );
    }
    assert_eq!(
        shown(api.get_as(&owner_token, "/api/live/read/1").await),
        (key.clone().into(), true)
    );
    for (status, public, own) in [
        (
            "play",
            (Value::from(key.clone()), true),
            (Value::from(key.clone()), true),
        ),
        (
            "pause",
            (key.clone().into(), true),
            (key.clone().into(), true),
        ),
        ("stop", (Value::Null, false), (key.into(), false)),
    ] {
        let change = json!({"id": 1, "type": status});
        assert_eq!(
            api.post_as(&owner_token, "/api/live/changestatus", change)
                .await
                .status,
            200
        );
        assert_eq!(
            shown(api.get_as(&other_token, "/api/live/read/1").await),
            public,
            "{status}"
        );
        assert_eq!(
            shown(api.get_as(&owner_token, "/api/live/read/1").await),
            own,
            "{status}"
        );
    }
}

#[actix_web::test]
async fn unknown_live_is_refused_and_a_wrong_id_is_invalid() {
    let api = TestApi::start().await;
    for id in ["1", "99999999999999999999"] {
        api.get(&format!("/api/live/read/{id}"))
            .await
            .assert_fail(400, "该直播间不存在");
    }
    for id in ["0", "7abc", "-1"] {
        api.get(&format!("/api/live/read/{id}"))
            .await
            .assert_fail(422, "直播间ID 格式不正确");
    }
}
