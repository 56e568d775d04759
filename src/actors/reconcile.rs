//! Finds changes in the store of which this node got no signal: gifts that were added, lists of terms
//! that were replaced and, over a
//! store without a change feed, accounts that were disabled by a process that died then, or by
//! hand. (Rooms are compared by the registry, which has them.)

use std::sync::Arc;
use std::time::Duration;

use log::{debug, info, warn};

use crate::config::Config;
use crate::domain::UserId;
use crate::storage::{Store, StoreError};
use crate::word_filters::WordFilters;

use super::{ClusterControl, Operations};

/// Accounts of one query.
const CHUNK: usize = 500;

/// Time between two looks at the versions of lists of terms, one query by primary key. Longer lets
/// a term that an operator adds in a raid wait on other nodes.
const TERMS_EVERY: Duration = Duration::from_secs(1);

/// Begins to look, on the calling thread and until its system ends.
pub fn start(cluster_control: &Arc<ClusterControl>, operations: Arc<Operations>, config: &Config) {
    let pending_every = config.rooms.reconcile_ms.duration();
    actix_rt::spawn(async move {
        let mut log = FailureLog::new("pending actions");
        loop {
            tokio::time::sleep(pending_every).await;
            log.note(operations.deliver_pending().await);
        }
    });
    let catalogue_every = config.rooms.reconcile_ms.duration();
    let catalogue = cluster_control.catalogue.clone();
    actix_rt::spawn(async move {
        let mut log = FailureLog::new("gift catalogue");
        loop {
            tokio::time::sleep(catalogue_every).await;
            log.note(catalogue.refresh().await);
        }
    });
}

/// Begins to look for lists of terms that another node, or another program, has replaced.
pub fn start_word_filters(filters: Arc<WordFilters>) {
    actix_rt::spawn(async move {
        let mut log = FailureLog::new("terms");
        loop {
            tokio::time::sleep(TERMS_EVERY).await;
            log.note(filters.refresh().await);
        }
    });
}

/// Begins to compare accounts with their rows. For a store without a change feed, which says it
/// sooner.
pub fn start_accounts(
    cluster_control: &Arc<ClusterControl>,
    store: Arc<dyn Store>,
    config: &Config,
) {
    let (node, every) = (cluster_control.clone(), config.auth.recheck_ms.duration());
    actix_rt::spawn(async move {
        let mut log = FailureLog::new("accounts");
        loop {
            tokio::time::sleep(every).await;
            log.note(recheck_disabled(&node, &*store).await);
        }
    });
}

/// Has the sessions of disabled users prove again who they are. Their own look decides: between the
/// query and that look the account may have been enabled again. One query by primary key for each
/// 500 users connected, one after the other.
async fn recheck_disabled(node: &ClusterControl, store: &dyn Store) -> Result<(), StoreError> {
    let users: Vec<UserId> = node.sessions.users();
    for chunk in users.chunks(CHUNK) {
        for user in store.disabled_users(chunk.to_vec()).await? {
            debug!("sessions of a disabled user: user_id={user}");
            node.sessions.recheck(user);
        }
    }
    Ok(())
}

/// Logs a store that stays away once, and that it is back.
#[derive(Debug)]
pub(super) struct FailureLog {
    what: &'static str,
    failed: bool,
}

impl FailureLog {
    pub(super) fn new(what: &'static str) -> Self {
        Self {
            what,
            failed: false,
        }
    }

    pub(super) fn note(&mut self, result: Result<(), StoreError>) {
        let (what, failed) = (self.what, result.is_err());
        match result {
            Err(error) if !self.failed => warn!("{what} not read from the store: error={error}"),
            Ok(()) if self.failed => info!("{what} read from the store again"),
            _ => {}
        }
        self.failed = failed;
    }
}
