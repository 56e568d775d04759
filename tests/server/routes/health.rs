//! GET /healthz and GET /readyz

use super::harness::TestApi;

#[actix_web::test]
async fn healthy_node_says_so() {
    let api = TestApi::start().await;
    let (alive, ready) = (api.get("/healthz").await, api.get("/readyz").await);
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        (alive.status, alive.body),
        (200, format!(r#"{{"status":"ok","version":"{version}"}}"#))
    );
    assert_eq!(
        (ready.status, ready.body.as_str()),
        (200, r#"{"status":"ready"}"#)
    );
}
