//! What every route does: bodies, methods, unknown URLs, other origins.

use actix_web::http::Method;
use actix_web::test::TestRequest;
use serde_json::json;

use super::harness::TestApi;

#[actix_web::test]
async fn unknown_url_is_told_in_the_envelope() {
    let api = TestApi::start().await;
    for path in [
        "/api",
        "/api/nothing",
        "/nothing",
        "/api/live/read",
        "/api/user/info/1",
    ] {
        api.get(path).await.assert_fail(404, "接口不存在");
    }
}

#[actix_web::test]
async fn wrong_method_is_told_with_the_right_one() {
    let api = TestApi::start().await;
    let reply = api.get("/api/login").await;
    reply.assert_fail(405, "请求方法不支持");
    assert_eq!(reply.header("allow"), Some("POST"));
    let reply = api.post("/api/gift/list", json!({})).await;
    reply.assert_fail(405, "请求方法不支持");
    assert_eq!(reply.header("allow"), Some("GET, HEAD"));
}

#[actix_web::test]
async fn body_above_64_kib_is_too_large() {
    let api = TestApi::start().await;
    let fits = json!({"username": "x".repeat(65_000), "password": "y"});
    api.post("/api/login", fits)
        .await
        .assert_fail(400, "该用户不存在");
    let large = json!({"username": "x".repeat(66_000), "password": "y"});
    api.post("/api/login", large)
        .await
        .assert_fail(413, "请求内容过大");
}

#[actix_web::test]
async fn body_that_is_no_object_is_malformed() {
    let api = TestApi::start().await;
    let deep = "[".repeat(60_000);
    for body in [
        "{",
        "[]",
        "null",
        "\"text\"",
        "{\"username\":\"a\"",
        deep.as_str(),
    ] {
        let request = TestRequest::post()
            .uri("/api/login")
            .insert_header(("content-type", "application/json"));
        api.call(request.set_payload(body.to_owned()))
            .await
            .assert_fail(400, "请求格式错误");
    }
    let request = TestRequest::post()
        .uri("/api/login")
        .insert_header(("content-type", "application/json"));
    api.call(request.set_payload(b"{\"username\":\"\xff\"}".to_vec()))
        .await
        .assert_fail(400, "请求格式错误");
    let request = TestRequest::post()
        .uri("/api/login")
        .insert_header(("content-type", "text/plain"));
    api.call(request.set_payload("username=alice"))
        .await
        .assert_fail(400, "请求格式错误");
}

#[actix_web::test]
async fn bad_token_is_told_before_a_bad_body() {
    let api = TestApi::start().await;
    let request = TestRequest::post()
        .uri("/api/live/create")
        .insert_header(("content-type", "application/json"));
    api.call(request.set_payload("{"))
        .await
        .assert_fail(400, "您没有权限访问该接口");
}

#[actix_web::test]
async fn forms_do_as_well_as_json() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    let form = [("title", "晚 会"), ("cover", "/c.png")];
    let request = TestRequest::post()
        .uri("/api/live/create")
        .insert_header(("token", token))
        .set_form(form);
    let reply = api.call(request).await;
    assert_eq!(
        (reply.status, &reply.json()["data"]["data"]["title"]),
        (200, &json!("晚 会"))
    );
}

#[actix_web::test]
async fn preflight_of_any_origin_is_allowed_by_default() {
    let api = TestApi::start().await;
    let request = TestRequest::default()
        .method(Method::OPTIONS)
        .uri("/api/login")
        .insert_header(("origin", "https://page.example"))
        .insert_header(("access-control-request-method", "POST"))
        .insert_header(("access-control-request-headers", "token"));
    let reply = api.call(request).await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!(reply.header("access-control-allow-origin"), Some("*"));
    assert_eq!(
        reply.header("access-control-allow-methods"),
        Some("GET, POST")
    );
    assert_eq!(
        reply.header("access-control-allow-headers"),
        Some("content-type, token")
    );
}

#[actix_web::test]
async fn only_listed_origins_may_read_answers() {
    let api = TestApi::start_with(|config| {
        config.server.allowed_origins = vec!["https://page.example".to_owned()]
    })
    .await;
    let from = |origin: &'static str| {
        TestRequest::get()
            .uri("/api/user/info")
            .insert_header(("origin", origin))
    };
    let listed = api.call(from("https://page.example")).await;
    assert_eq!(
        listed.header("access-control-allow-origin"),
        Some("https://page.example")
    );
    assert_eq!(listed.header("vary"), Some("origin"));
    let other = api.call(from("https://other.example")).await;
    assert_eq!(other.header("access-control-allow-origin"), None);
    other.assert_fail(400, "您没有权限访问该接口");
}

#[actix_web::test]
async fn a_slash_at_the_end_makes_no_difference() {
    let api = TestApi::start().await;
    let (_, token) = api.user("alice").await;
    let live = json!({"title": "title", "cover": "/c.png"});
    assert_eq!(
        api.post_as(&token, "/api/live/create/", live).await.status,
        200
    );
    api.post_as(
        &token,
        "/api/live/changestatus/",
        json!({"id": 1, "type": "play"}),
    )
    .await
    .assert_ok(json!("ok"));
    for path in [
        "/live/list/1",
        "/live/read/1",
        "/live/1/history",
        "/gift/list",
        "/user/info",
    ] {
        let (without, with) = (format!("/api{path}?x=1"), format!("/api{path}/?x=1"));
        let (without, with) = (
            api.get_as(&token, &without).await,
            api.get_as(&token, &with).await,
        );
        assert_eq!((without.status, &without.body), (200, &with.body), "{path}");
    }
    api.get("/api/live/list/x/")
        .await
        .assert_fail(422, "页码 格式不正确");
    api.get("/api/login/")
        .await
        .assert_fail(405, "请求方法不支持");
    api.post("/api/reg/", json!({}))
        .await
        .assert_fail(422, "用户名不能为空");
    api.post_as(&token, "/api/logout/", json!({}))
        .await
        .assert_ok(json!("ok"));
    api.admin_get("/admin/rooms/").await.assert_ok(json!([]));
    api.admin_get("/admin/rooms/1/")
        .await
        .assert_fail(404, "room not open");
    assert_eq!(api.get("/healthz/").await.status, 200);
    for path in [
        "/api/",
        "/api/gift/list//",
        "/api//gift/list",
        "//api/gift/list",
        "/api/live/read/",
        "/api/live/read//",
    ] {
        api.get(path).await.assert_fail(404, "接口不存在");
    }
}
