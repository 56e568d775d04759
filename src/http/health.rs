//! Whether the process lives, and whether it can do its work.

use std::time::{Duration, Instant};

use actix_web::{HttpResponse, web};
use log::{info, warn};
use serde_json::json;

use super::ApiState;

/// How long a part may take to answer before it counts as failing.
const PART_WAIT: Duration = Duration::from_secs(2);

/// GET /healthz: the process answers, and says of which version it is. Restart it if it does not.
pub async fn alive() -> HttpResponse {
    HttpResponse::Ok().json(json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")}))
}

/// How long a verdict is good. The question costs a write, so how often it is asked must not be
/// for those to choose who send requests.
const VERDICT_AGE_MAX: Duration = Duration::from_secs(1);

/// The latest verdict on the parts of this node.
#[derive(Default)]
pub struct Readiness(tokio::sync::Mutex<ReadinessVerdict>);

#[derive(Default)]
struct ReadinessVerdict {
    /// The parts that did not work.
    failing: Vec<&'static str>,
    /// `None`: never.
    reached: Option<Instant>,
}

/// GET /readyz: the store takes transactions and the rooms answer. Send no clients here if not.
pub async fn ready(state: web::Data<ApiState>) -> HttpResponse {
    // Requests that come while the parts are checked wait for the result.
    let mut verdict = state.readiness.0.lock().await;
    if verdict
        .reached
        .is_none_or(|at| at.elapsed() >= VERDICT_AGE_MAX)
    {
        verdict.failing = check_parts(&state, &verdict.failing).await;
        verdict.reached = Some(Instant::now());
    }
    if verdict.failing.is_empty() {
        // A node that is alone serves its own members: others would not be served better elsewhere.
        match state.cluster_control.alone_since() {
            Some(_) => HttpResponse::Ok().json(json!({"status": "ready", "alone": true})),
            None => HttpResponse::Ok().json(json!({"status": "ready"})),
        }
    } else {
        HttpResponse::ServiceUnavailable()
            .json(json!({"status": "unavailable", "failing": verdict.failing}))
    }
}

/// Names of the parts that do not work. Logs the cause when one begins to fail, and when it works
/// again.
async fn check_parts(state: &ApiState, failing_before: &[&'static str]) -> Vec<&'static str> {
    let store = async {
        let pinged = tokio::time::timeout(PART_WAIT, state.store.ping()).await;
        pinged
            .map_err(|_| "no answer in time".to_owned())?
            .map_err(|error| error.to_string())
    };
    let rooms = async {
        let pinged = tokio::time::timeout(PART_WAIT, state.rooms.ping()).await;
        pinged
            .map_err(|_| "no answer in time".to_owned())?
            .map_err(|error| error.to_string())
    };
    let (store, rooms) = futures_util::future::join(store, rooms).await;
    let mut failing = Vec::new();
    for (part, result) in [("store", store), ("rooms", rooms)] {
        let failed_before = failing_before.contains(&part);
        match result {
            Ok(()) if failed_before => info!("ready again: part={part}"),
            Ok(()) => {}
            Err(error) => {
                if !failed_before {
                    warn!("not ready: part={part} error={error}");
                }
                failing.push(part);
            }
        }
    }
    failing
}
