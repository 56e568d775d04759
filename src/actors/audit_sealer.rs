//! Seals the audit, and logs the head of its chain.
//!
//! Every node tries; the store lets one of them seal. A row is sealed by the second try after its
//! commit, about a second later. While the store is away nothing is sealed, and nothing is lost: the
//! rows are sealed when it is back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{info, warn};

use crate::auth::AuditKeys;
use crate::clock::Clock;
use crate::storage::{SealHead, SealHorizon, Store, StoreError};

use super::reconcile::FailureLog;

/// Time between two tries: one or two short queries of each node.
const SEAL_EVERY: Duration = Duration::from_millis(500);

/// Seals of one try at most, so 16,384 rows. The rest follows in the next.
const SEALS_MAX: usize = 16;

/// Time between two log lines that say how the chain stands.
const HEAD_EVERY: Duration = Duration::from_secs(3_600);

struct Sealer {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    horizon: Option<SealHorizon>,
}

/// Begins to seal, on the calling thread and until its system ends.
pub fn start(store: Arc<dyn Store>, keys: AuditKeys, clock: Arc<dyn Clock>) {
    let mut sealer = Sealer {
        store,
        clock,
        horizon: None,
    };
    actix_rt::spawn(async move {
        let mut log = FailureLog::new("audit to be sealed");
        let (mut head_logged, mut logged_at) = (None, None);
        loop {
            log.note(sealer.seal().await);
            if is_due(logged_at) {
                match sealer.store.audit_seal(None).await {
                    Ok(head) if head.is_some() => {
                        log_head(head, head_logged, &keys);
                        (head_logged, logged_at) = (head, Some(Instant::now()));
                    }
                    // Nothing is sealed yet, or the store is away, which is logged above.
                    Ok(_) | Err(_) => {}
                }
            }
            tokio::time::sleep(SEAL_EVERY).await;
        }
    });
}

fn is_due(logged_at: Option<Instant>) -> bool {
    logged_at.is_none_or(|at| at.elapsed() >= HEAD_EVERY)
}

/// The line to keep elsewhere: `liveroom audit --head` compares it with the chain.
fn log_head(head: Option<SealHead>, before: Option<SealHead>, keys: &AuditKeys) {
    let Some(head) = head else { return };
    if let Some(before) = before
        && before.id > head.id
    {
        warn!("audit lost seals: before={} now={}", before.id, head.id);
    }
    info!("audit sealed: head={}", keys.sign(&head));
}

impl Sealer {
    async fn seal(&mut self) -> Result<(), StoreError> {
        for _ in 0..SEALS_MAX {
            let horizon = self.horizon.take();
            let step = self.store.seal_audit(horizon, self.clock.now()).await?;
            self.horizon = step.horizon;
            if !step.has_more {
                break;
            }
        }
        Ok(())
    }
}
