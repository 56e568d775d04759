//! /admin: who gets in.

use actix_web::test::TestRequest;
use serde_json::json;

use super::harness::{ADMIN_TOKEN, Setup, TestApi, bearer};

const URLS: [&str; 5] =
    ["/admin/rooms", "/admin/rooms/1", "/admin/rooms/1/comments/1", "/admin/ledger/proof", "/admin/nothing"];

#[actix_web::test]
async fn without_a_configured_token_there_is_no_admin_api() {
    let api = TestApi::start_with(Setup { admin_token: None, ..Setup::default() }).await;
    for url in URLS {
        for token in ["", ADMIN_TOKEN] {
            api.call(TestRequest::get().uri(url).insert_header(bearer(token))).await.assert_fail(404, "接口不存在");
        }
    }
    api.post("/admin/gifts", json!({"name": "a", "image": "b", "coin": 1})).await.assert_fail(404, "接口不存在");
}

#[actix_web::test]
async fn only_the_operators_token_opens_it() {
    let api = TestApi::start().await;
    let (_, user_token) = api.user("alice").await;
    let almost = &ADMIN_TOKEN[..ADMIN_TOKEN.len() - 1];
    for url in URLS {
        for value in
            ["", "Bearer", "Bearer ", ADMIN_TOKEN, &format!("Bearer {almost}"), &format!("Bearer {user_token}")]
        {
            let reply = api.call(TestRequest::get().uri(url).insert_header(("authorization", value))).await;
            reply.assert_fail(401, "operator token missing or wrong");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
        api.get_as(ADMIN_TOKEN, url).await.assert_fail(401, "operator token missing or wrong");
    }
    api.admin_get("/admin/nothing").await.assert_fail(404, "接口不存在");
    api.admin_get("/admin/gifts").await.assert_fail(405, "请求方法不支持");
}
