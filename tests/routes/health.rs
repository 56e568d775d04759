//! GET /healthz and GET /readyz

use super::harness::TestApi;

#[actix_web::test]
async fn healthy_node_says_so() {
    let api = TestApi::start().await;
    let (alive, ready) = (api.get("/healthz").await, api.get("/readyz").await);
    assert_eq!((alive.status, alive.body.as_str()), (200, r#"{"status":"ok"}"#));
    assert_eq!((ready.status, ready.body.as_str()), (200, r#"{"status":"ready"}"#));
}
