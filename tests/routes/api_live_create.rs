//! POST /api/live/create

use serde_json::json;

use super::harness::TestApi;

#[actix_web::test]
async fn new_live_is_not_started_and_has_a_sign() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    let reply = api.post_as(&token, "/api/live/create", json!({"title": "晚会", "cover": "/c.png"})).await;
    assert_eq!(reply.status, 200);
    let body = reply.json();
    let key = body["data"]["data"]["key"].as_str().expect("a key");
    assert!(key.len() == 20 && key.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{key}");
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
        (json!({"title": "", "cover": "/c.png"}), "直播间标题不能为空"),
        (json!({"title": "晚会"}), "直播间封面不能为空"),
        (json!({"title": "界".repeat(101), "cover": "/c.png"}), "直播间标题 的长度 必须 在 1 和 100 之间"),
        (json!({"title": "晚会", "cover": "c".repeat(501)}), "直播间封面 的长度 必须 在 1 和 500 之间"),
        (json!({"title": ["晚会"], "cover": "/c.png"}), "直播间标题 格式不正确"),
    ];
    for (body, text) in cases {
        api.post_as(&token, "/api/live/create", body).await.assert_fail(422, text);
    }
    let fits = json!({"title": "界".repeat(100), "cover": "c".repeat(500)});
    assert_eq!(api.post_as(&token, "/api/live/create", fits).await.status, 200);
}
