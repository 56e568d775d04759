//! POST /api/logout

use actix_web::test::TestRequest;
use serde_json::json;

use super::harness::TestApi;

#[actix_web::test]
async fn token_is_worthless_after_logout() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    let reply = api
        .call(
            TestRequest::post()
                .uri("/api/logout")
                .insert_header(("token", token.as_str())),
        )
        .await;
    reply.assert_ok(json!("ok"));
    api.get_as(&token, "/api/user/info")
        .await
        .assert_fail(400, "Token 令牌不合法!");
    api.post_as(&token, "/api/logout", json!({}))
        .await
        .assert_fail(400, "Token 令牌不合法!");
}
