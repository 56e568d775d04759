//! GET /admin/ledger/proof

use serde_json::json;

use super::harness::TestApi;

#[actix_web::test]
async fn books_balance_after_grants() {
    let api = TestApi::start().await;
    api.user("alice").await;
    api.admin_post(
        "/admin/users/1/coins",
        json!({"delta": 100, "request_id": "g-1"}),
    )
    .await;
    api.admin_post(
        "/admin/users/1/coins",
        json!({"delta": -30, "request_id": "g-2"}),
    )
    .await;
    let reply = api.admin_get("/admin/ledger/proof").await;
    assert_eq!(
        reply.body,
        r#"{"msg":"ok","data":{"balanced":true,"transfers":2,"entries":4,"gifts":0,"users_coin":70,"lives_coin":0,"granted_coin":70,"faults":[]}}"#
    );
}
