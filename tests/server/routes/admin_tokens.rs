//! /admin/tokens, and what a token may ask for.

use actix_web::test::TestRequest;
use serde_json::{Value, json};

use super::harness::{Reply, TestApi, bearer};

async fn ask(api: &TestApi, token: &str, request: TestRequest) -> Reply {
    api.call(request.insert_header(bearer(token))).await
}

async fn get(api: &TestApi, token: &str, path: &str) -> Reply {
    ask(api, token, TestRequest::get().uri(path)).await
}

async fn post(api: &TestApi, token: &str, path: &str, body: Value) -> Reply {
    ask(api, token, TestRequest::post().uri(path).set_json(body)).await
}

/// The data of a good answer.
fn data(reply: Reply) -> Value {
    assert_eq!(reply.status, 200, "{}", reply.body);
    reply.json()["data"].take()
}

/// A token with these scopes, and its id.
async fn create(api: &TestApi, scopes: &[&str]) -> (String, i64) {
    let body = json!({"name": "script", "scopes": scopes});
    let created = data(api.admin_post("/admin/tokens", body).await);
    let token = created["token"].as_str().expect("a token").to_owned();
    (token, created["id"].as_i64().expect("an id"))
}

#[actix_web::test]
async fn a_token_is_shown_once_and_listed_without_itself() {
    let api = TestApi::start().await;
    let body = json!({"name": "books 账", "scopes": ["finance", "look"], "expires_in_s": 3600});
    let created = data(api.admin_post("/admin/tokens", body).await);
    let token = created["token"].as_str().expect("a token");
    assert_eq!((token.len(), &token[..4]), (68, "lrt_"));
    let mut expected = json!({
        "id": 1, "name": "books 账", "scopes": ["look", "finance"], "created_by": "config",
        "created_at_ms": created["created_at_ms"], "expired": false, "last_used_at_ms": null,
        "expires_at_ms": created["created_at_ms"].as_i64().expect("a time") + 3_600_000,
    });
    let list = async || data(api.admin_get("/admin/tokens").await)["tokens"].take();
    assert_eq!(list().await, json!([expected]));

    data(get(&api, token, "/admin/rooms").await);
    expected["last_used_at_ms"] = expected["created_at_ms"].clone();
    assert_eq!(list().await, json!([expected]));

    api.clock.advance_ms(3_600_000);
    get(&api, token, "/admin/rooms")
        .await
        .assert_fail(401, "operator token missing or wrong");
    expected["expired"] = json!(true);
    assert_eq!(list().await, json!([expected]));
}

#[actix_web::test]
async fn a_token_may_do_what_its_scopes_say_and_no_more() {
    let api = TestApi::start().await;
    let (token, _) = create(&api, &["look"]).await;
    data(get(&api, &token, "/admin/rooms").await);
    for path in [
        "/admin/ledger/proof",
        "/admin/ledger/proof/",
        "/admin/filter/export",
        "/admin/tokens",
    ] {
        assert_eq!(get(&api, &token, path).await.status, 403, "{path}");
    }
    let (alice, _) = api.user("alice").await;
    let coins = format!("/admin/users/{alice}/coins");
    let grant = json!({"delta": 5, "request_id": "r"});
    assert_eq!(post(&api, &token, &coins, grant.clone()).await.status, 403);
    let (treasurer, _) = create(&api, &["finance"]).await;
    data(post(&api, &treasurer, &coins, grant).await);
    assert_eq!(get(&api, &treasurer, "/admin/rooms").await.status, 403);
}

#[actix_web::test]
async fn nobody_makes_a_token_that_may_do_more_than_its_creator() {
    let api = TestApi::start().await;
    let (admin, _) = create(&api, &["look", "administer"]).await;
    let made = |scopes: Value| json!({"name": "child", "scopes": scopes});
    for scopes in [json!(["finance"]), json!(["look", "operate"])] {
        let reply = post(&api, &admin, "/admin/tokens", made(scopes)).await;
        assert_eq!(reply.status, 403);
    }
    let child = data(post(&api, &admin, "/admin/tokens", made(json!(["look"]))).await);
    assert_eq!(child["created_by"], json!("script"));
}

#[actix_web::test]
async fn a_revoked_token_is_refused_at_once() {
    let api = TestApi::start().await;
    let ((token, id), (other, _)) = (create(&api, &["look"]).await, create(&api, &["look"]).await);
    data(get(&api, &token, "/admin/rooms").await);
    data(api.admin_delete(&format!("/admin/tokens/{id}")).await);
    get(&api, &token, "/admin/rooms")
        .await
        .assert_fail(401, "operator token missing or wrong");
    data(get(&api, &other, "/admin/rooms").await);
    for gone in [
        id.to_string(),
        "99".to_owned(),
        "x".to_owned(),
        "0".to_owned(),
    ] {
        api.admin_delete(&format!("/admin/tokens/{gone}"))
            .await
            .assert_fail(404, "token not found");
    }
}

#[actix_web::test]
async fn what_is_almost_a_token_is_wrong() {
    let api = TestApi::start().await;
    let (token, _) = create(&api, &["look"]).await;
    for wrong in [
        token[..67].to_owned(),
        format!("{token}0"),
        token.replace("lrt_", "LRT_"),
        token[4..].to_owned(),
        format!("lrt_{}", "0".repeat(64)),
    ] {
        get(&api, &wrong, "/admin/rooms")
            .await
            .assert_fail(401, "operator token missing or wrong");
    }
}

#[actix_web::test]
async fn a_token_that_is_asked_for_wrongly_is_not_made() {
    let api = TestApi::start().await;
    let scopes_text =
        "scopes must be some of look, comments, moderate, operate, finance, administer";
    let expiry_text = "expires_in_s must be 60 to 158112000, or absent";
    let name_text = "name must be 1 to 50 characters that can be seen";
    for (body, text) in [
        (json!({"name": "", "scopes": ["look"]}), name_text),
        (
            json!({"name": "x".repeat(51), "scopes": ["look"]}),
            name_text,
        ),
        (json!({"name": "line\nfeed", "scopes": ["look"]}), name_text),
        (json!({"name": "x", "scopes": ["look", "all"]}), scopes_text),
        (
            json!({"name": "x", "scopes": []}),
            "scopes must name one at least",
        ),
        (
            json!({"name": "x", "scopes": ["look"], "expires_in_s": 59}),
            expiry_text,
        ),
        (
            json!({"name": "x", "scopes": ["look"], "expires_in_s": 158_112_001}),
            expiry_text,
        ),
        (
            json!({"name": "x", "scopes": ["look"], "expires_in_s": i64::MIN}),
            expiry_text,
        ),
    ] {
        api.admin_post("/admin/tokens", body)
            .await
            .assert_fail(422, text);
    }
    for body in [
        json!({"name": "x"}),
        json!({"name": "x", "scopes": "look"}),
        json!([]),
    ] {
        let status = api.admin_post("/admin/tokens", body).await.status;
        assert!(matches!(status, 400 | 422), "{status}");
    }
    let list = data(api.admin_get("/admin/tokens").await);
    assert_eq!(list["tokens"], json!([]));
}
