//! /admin: who gets in.

use std::time::{Duration, Instant};

use actix_web::test::TestRequest;
use liveroom::config::Secret;
use serde_json::json;

use super::harness::{ADMIN_TOKEN, Reply, TestApi, bearer};

const URLS: [&str; 5] = [
    "/admin/rooms",
    "/admin/rooms/1",
    "/admin/rooms/1/comments/1",
    "/admin/ledger/proof",
    "/admin/nothing",
];

/// The console and its files, which are served to anybody.
const CONSOLE: [&str; 3] = ["/admin", "/admin/", "/admin/assets/app.js"];

#[actix_web::test]
async fn without_a_configured_token_there_is_no_admin_api() {
    let api = TestApi::start_with(|config| config.admin.token = Secret::new("")).await;
    for url in URLS.into_iter().chain(CONSOLE) {
        for token in ["", ADMIN_TOKEN] {
            api.call(TestRequest::get().uri(url).insert_header(bearer(token)))
                .await
                .assert_fail(404, "接口不存在");
        }
    }
    api.post(
        "/admin/gifts",
        json!({"name": "a", "image": "b", "coin": 1}),
    )
    .await
    .assert_fail(404, "接口不存在");
}

#[actix_web::test]
async fn the_console_is_served_to_anybody_and_says_nothing_else() {
    let api = TestApi::start().await;
    for (url, status) in CONSOLE.into_iter().zip([308, 200, 200]) {
        let reply = api.call(TestRequest::get().uri(url)).await;
        assert_eq!(reply.status, status, "{url}");
    }
    let unknown = api.call(TestRequest::get().uri("/admin/assets/none.js"));
    assert_eq!(unknown.await.status, 404);
    let posted = api.post("/admin/", json!({})).await;
    assert_eq!(posted.status, 401, "only operators learn what there is");
}

#[actix_web::test]
async fn only_the_operators_token_opens_it() {
    let api = TestApi::start().await;
    let (_, user_token) = api.user("alice").await;
    let almost = &ADMIN_TOKEN[..ADMIN_TOKEN.len() - 1];
    for url in URLS {
        for value in [
            "",
            "Bearer",
            "Bearer ",
            ADMIN_TOKEN,
            &format!("Bearer {almost}"),
            &format!("Bearer {user_token}"),
        ] {
            let reply = api
                .call(
                    TestRequest::get()
                        .uri(url)
                        .insert_header(("authorization", value)),
                )
                .await;
            reply.assert_fail(401, "operator token missing or wrong");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        }
        api.get_as(ADMIN_TOKEN, url)
            .await
            .assert_fail(401, "operator token missing or wrong");
    }
    api.admin_get("/admin/nothing")
        .await
        .assert_fail(404, "接口不存在");
    api.admin_get("/admin/filter/test")
        .await
        .assert_fail(405, "请求方法不支持");
}

async fn rooms_from(api: &TestApi, address: &str, token: &str) -> Reply {
    let request = TestRequest::get()
        .uri("/admin/rooms")
        .peer_addr(format!("{address}:4000").parse().unwrap());
    api.call(request.insert_header(bearer(token))).await
}

#[actix_web::test]
async fn an_address_that_showed_too_many_wrong_tokens_is_slowed_and_no_other_is() {
    let api = TestApi::start().await;
    for _ in 0..30 {
        rooms_from(&api, "192.0.2.1", "a wrong token")
            .await
            .assert_fail(401, "operator token missing or wrong");
    }
    let started = Instant::now();
    let refused = rooms_from(&api, "192.0.2.1", "a wrong token").await;
    refused.assert_fail(429, "operator token wrong too often, try later");
    assert_eq!(refused.header("retry-after"), Some("2"));
    assert!(started.elapsed() >= Duration::from_secs(1));
    assert_eq!(
        rooms_from(&api, "192.0.2.2", "a wrong token").await.status,
        401
    );

    // An operator behind the same proxy is let in, and the time it takes tells a guesser nothing.
    let started = Instant::now();
    assert_eq!(rooms_from(&api, "192.0.2.1", ADMIN_TOKEN).await.status, 200);
    assert!(started.elapsed() >= Duration::from_secs(1));

    api.clock.advance_ms(2_000);
    assert_eq!(
        rooms_from(&api, "192.0.2.1", "a wrong token").await.status,
        401
    );
}

#[actix_web::test]
async fn neither_the_right_token_nor_a_missing_one_counts_as_a_wrong_one() {
    let api = TestApi::start().await;
    for _ in 0..60 {
        assert_eq!(rooms_from(&api, "192.0.2.1", ADMIN_TOKEN).await.status, 200);
        let request = TestRequest::get()
            .uri("/admin/rooms")
            .peer_addr("192.0.2.1:4000".parse().unwrap());
        assert_eq!(api.call(request).await.status, 401);
    }
    assert_eq!(
        rooms_from(&api, "192.0.2.1", "a wrong token").await.status,
        401
    );
}
