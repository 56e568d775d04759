//! Follows the store's change feed, so that what another process changed takes effect on this node
//! within a second, whether Redis carries the news or not.
//!
//! A poll is one query by index; polls follow each other, so a slow store is not asked faster than
//! it answers. What the feed names is looked up again: sessions of a user prove again who they are,
//! rooms are compared with their rows. A position outlives failures, so nothing is missed while the
//! store is away, up to [`CHANGES_KEPT`].

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{debug, warn};

use crate::auth::Auth;
use crate::storage::{CHANGES_KEPT, FeedPage, FeedPosition, RowChange, Store, StoreError};

use super::ClusterControl;
use super::reconcile::FailureLog;

/// Time between an answer and the next poll. Shorter costs queries, longer delays a ban.
const POLL_EVERY: Duration = Duration::from_millis(250);
/// Time between two removals of old changes, by each node.
const REMOVE_EVERY: Duration = Duration::from_secs(60);
/// Without a poll for so long, changes may have been missed: well before they are removed.
const CONTINUOUS_FOR: Duration = CHANGES_KEPT.checked_div(2).expect("2 is not 0");

/// A feed and the position up to which this node has followed it.
pub struct ChangeFeed {
    store: Arc<dyn Store>,
    position: FeedPosition,
    read_at: Instant,
}

impl ChangeFeed {
    /// From now on. To be called before anything is read that the feed is to keep true. `None`: the
    /// store has none.
    pub async fn open(store: Arc<dyn Store>) -> Result<Option<Self>, StoreError> {
        let page = store.changes(None).await?;
        Ok(page.map(|page| Self {
            store,
            position: page.position,
            read_at: Instant::now(),
        }))
    }

    /// Begins to follow it, on the calling thread and until its system ends.
    pub fn follow(mut self, node: Arc<ClusterControl>, auth: Arc<Auth>) {
        actix_rt::spawn(async move {
            let mut log = FailureLog::new("change feed");
            let mut removed_at = Instant::now();
            loop {
                tokio::time::sleep(POLL_EVERY).await;
                let followed = self.next().await.map(|changed| match changed {
                    Some(changed) => apply(&node, &auth, changed),
                    None => {
                        warn!("changes were missed: all tokens are verified again");
                        auth.invalidate_all();
                    }
                });
                log.note(followed);
                if removed_at.elapsed() >= REMOVE_EVERY {
                    removed_at = Instant::now();
                    if let Err(error) = self.store.remove_old_changes().await {
                        debug!("old changes not removed: error={error}");
                    }
                }
            }
        });
    }

    /// What changed since the last call; `None`: that cannot be known.
    async fn next(&mut self) -> Result<Option<Vec<RowChange>>, StoreError> {
        let asked_at = Instant::now();
        let page = self.store.changes(Some(self.position.clone())).await?;
        let Some(FeedPage { position, changed }) = page else {
            return Ok(Some(Vec::new()));
        };
        let is_continuous = asked_at.saturating_duration_since(self.read_at) < CONTINUOUS_FOR;
        (self.position, self.read_at) = (position, asked_at);
        Ok(changed.filter(|_| is_continuous))
    }
}

fn apply(node: &ClusterControl, auth: &Auth, changed: Vec<RowChange>) {
    let (mut lives, mut streamers) = (Vec::new(), Vec::new());
    for change in changed {
        match change {
            RowChange::Token(user) => {
                auth.invalidate(user);
                node.sessions.recheck(user);
            }
            RowChange::Account(user) => node.sessions.recheck(user),
            RowChange::Live(live_id) => lives.push(live_id),
            RowChange::Moderation(streamer) => streamers.push(streamer),
        }
    }
    if !lives.is_empty() {
        node.rooms.compare(lives);
    }
    if !streamers.is_empty() {
        node.rooms.compare_of(streamers);
    }
}
