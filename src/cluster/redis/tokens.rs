//! Current tokens as Redis keys, which the system that liveroom replaces reads and writes too.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use log::{debug, info, warn};

use crate::cluster::token_store::digest;
use crate::cluster::{Nodes, StoreTokens, TokenStore};
use crate::domain::{Timestamp, UserId};
use crate::storage::{Store, StoreError};

use super::RedisCluster;
use super::keys;

/// Most logins and logouts that wait to be written to Redis; beyond, they are refused. About 300 bytes each.
const PENDING_MAX: usize = 10_000;
/// Largest clock difference between nodes.
const CLOCK_SKEW_MS_MAX: i64 = 10_000;
/// Time between two attempts to write them.
const REPLAY_EVERY: Duration = Duration::from_millis(500);

/// Tokens in Redis, each also in the store as a digest. Redis is authoritative. The store decides while
/// Redis is away, and for tokens older than Redis's data set: a Redis that lost its data must not log
/// everybody out.
pub struct RedisTokens {
    cluster: RedisCluster,
    store: Arc<dyn Store>,
    stored: StoreTokens,
    pending: Arc<PendingWrites>,
}

/// Writes made while Redis was away, replayed when it is back: the user's token, or none.
#[derive(Default)]
struct PendingWrites(Mutex<HashMap<UserId, Option<String>>>);

impl PendingWrites {
    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Option<String>>> {
        // Each change is a single insert or remove: nothing is half done after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RedisTokens {
    pub fn new(cluster: RedisCluster, store: Arc<dyn Store>) -> Self {
        let pending = Arc::new(PendingWrites::default());
        cluster.runtime.spawn(replay_pending(cluster.clone(), store.clone(), pending.clone()));
        Self { cluster, stored: StoreTokens::new(store.clone()), store, pending }
    }

    async fn get(&self, key: String) -> Result<Option<String>, StoreError> {
        let link = self.cluster.link.clone();
        let mut cmd = redis::cmd("GET");
        cmd.arg(key);
        let got = async move {
            match link.command(&cmd).await {
                // A value of another type is not a token.
                Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
                result => result,
            }
        };
        self.cluster.run(got).await
    }

    /// Called when Redis has no token of this user, which is a logout or lost data. If the token is older than
    /// Redis's data set it was lost: writes it again and returns true.
    async fn restore_if_lost(&self, user: UserId, token: &str) -> Result<bool, StoreError> {
        let Some(stored) = self.store.token(user).await? else { return Ok(false) };
        if stored.digest != Some(digest(token)) {
            return Ok(false);
        }
        let dataset_key = keys::dataset_key(user, self.cluster.sharded);
        let created_at = match self.get(dataset_key.clone()).await? {
            Some(created_at) => created_at.parse().unwrap_or(i64::MIN),
            // Without the key the data set is new, so every token is older.
            None => {
                self.cluster.record_dataset_creation(dataset_key, self.cluster.clock.now()).await?;
                i64::MAX
            }
        };
        if stored.at.0 >= created_at {
            return Ok(false);
        }
        if write(&self.cluster, user, Some(token), true).await? {
            info!("token put back into redis: user_id={user}");
            return Ok(true);
        }
        // Another node wrote first: this token, or that of a new login.
        Ok(self.get(keys::token(user)).await?.as_deref() == Some(&quoted(token)))
    }

    /// Writes or deletes a token. While Redis is away, the write is kept pending.
    async fn set(&self, user: UserId, token: Option<String>) -> Result<(), StoreError> {
        let error = match write(&self.cluster, user, token.as_deref(), false).await {
            Ok(_) => {
                self.pending.lock().remove(&user);
                return Ok(());
            }
            Err(error) => error,
        };
        let mut pending = self.pending.lock();
        if pending.len() >= PENDING_MAX && !pending.contains_key(&user) {
            return Err(error);
        }
        debug!("token owed to redis: user_id={user} error={error}");
        pending.insert(user, token);
        Ok(())
    }
}

/// As the replaced system writes it: a JSON string.
fn quoted(token: &str) -> String {
    serde_json::Value::from(token).to_string()
}

/// Sets or deletes a user's token in Redis. With `is_new`, false if the key exists already.
async fn write(cluster: &RedisCluster, user: UserId, token: Option<&str>, is_new: bool) -> Result<bool, StoreError> {
    let mut cmd = redis::cmd(if token.is_some() { "SET" } else { "DEL" });
    cmd.arg(keys::token(user));
    if let Some(token) = token {
        cmd.arg(quoted(token));
    }
    if is_new {
        cmd.arg("NX");
    }
    let link = cluster.link.clone();
    let written: redis::Value = cluster.run(async move { link.command(&cmd).await }).await?;
    Ok(written != redis::Value::Nil)
}

/// Replays writes that Redis missed, and invalidates tokens after it rolled back.
async fn replay_pending(cluster: RedisCluster, store: Arc<dyn Store>, pending: Arc<PendingWrites>) {
    loop {
        tokio::time::sleep(REPLAY_EVERY).await;
        let rolled_back_to = cluster.shared.rolled_back_to.load(Ordering::Relaxed);
        if rolled_back_to != 0 {
            match invalidate_changed_since(&cluster, &*store, Timestamp(rolled_back_to - CLOCK_SKEW_MS_MAX)).await {
                Ok(users_count) => {
                    warn!("logins and logouts that redis forgot are asked of the store: users={users_count}");
                    cluster.shared.rolled_back_to.store(0, Ordering::Relaxed);
                    cluster.shared.tokens_trusted.store(true, Ordering::Relaxed);
                }
                Err(error) => debug!("what redis forgot is not made up for yet: error={error}"),
            }
        }
        let due: Vec<(UserId, Option<String>)> =
            pending.lock().iter().map(|(user, token)| (*user, token.clone())).collect();
        let due_count = due.len();
        for (user, token) in due {
            if write(&cluster, user, token.as_deref(), false).await.is_err() {
                if cluster.alone_since().is_some() {
                    break;
                }
                // In a Redis Cluster the servers of other users may be there.
                continue;
            }
            let mut pending = pending.lock();
            // Unless there was another login or logout meanwhile.
            if pending.get(&user) == Some(&token) {
                pending.remove(&user);
            }
        }
        if due_count > 0 && pending.lock().is_empty() {
            warn!("logins and logouts of the time without redis are written: users={due_count}");
        }
    }
}

/// Redis rolled back to its state at `since`. Deletes the token of each user whose token changed after that,
/// and marks the data set as new, so that the store decides about them. Returns their number.
async fn invalidate_changed_since(
    cluster: &RedisCluster,
    store: &dyn Store,
    since: Timestamp,
) -> Result<usize, StoreError> {
    let users = store.tokens_since(since).await?;
    let mut dataset_keys: BTreeSet<String> =
        users.iter().map(|user| keys::dataset_key(*user, cluster.sharded)).collect();
    dataset_keys.insert(keys::DATASET_CREATED_AT.to_owned());
    for user in &users {
        write(cluster, *user, None, false).await?;
    }
    for dataset_key in dataset_keys {
        let (link, mut cmd) = (cluster.link.clone(), redis::cmd("SET"));
        cmd.arg(dataset_key).arg(cluster.clock.now().0);
        cluster.run(async move { link.command::<redis::Value>(&cmd).await }).await?;
    }
    Ok(users.len())
}

impl TokenStore for RedisTokens {
    fn invalidation_epoch(&self) -> Option<u64> {
        let epoch = self.cluster.shared.invalidation_epoch.load(Ordering::Relaxed);
        (epoch != 0).then_some(epoch)
    }

    fn replace(&self, user: UserId, token: &str, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        let token = token.to_owned();
        async move {
            if self.cluster.sharded {
                // Before the token: a token without it would count as lost after a logout. If the server is
                // away this fails like the token's write, which is then pending.
                let _ = self.cluster.record_dataset_creation(keys::dataset_key(user, true), at).await;
            }
            self.set(user, Some(token.clone())).await?;
            self.stored.replace(user, &token, at).await
        }
        .boxed()
    }

    fn clear(&self, user: UserId, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            // The store first: otherwise a token deleted from Redis could be restored from the store.
            self.stored.clear(user, at).await?;
            self.set(user, None).await
        }
        .boxed()
    }

    fn is_current(&self, user: UserId, token: &str) -> BoxFuture<'_, Result<bool, StoreError>> {
        let token = token.to_owned();
        async move {
            let pending = self.pending.lock().get(&user).cloned();
            if let Some(pending) = pending {
                return Ok(pending.as_deref() == Some(token.as_str()));
            }
            let found = match self.cluster.shared.tokens_trusted.load(Ordering::Relaxed) {
                true => self.get(keys::token(user)).await,
                false => Err(StoreError::Unavailable("redis: not known yet what it has forgotten".into())),
            };
            match found {
                Ok(Some(current)) => Ok(current == quoted(&token)),
                Ok(None) => self.restore_if_lost(user, &token).await,
                Err(error) => {
                    debug!("redis does not say whose token is current, the store does: user_id={user} error={error}");
                    if self.stored.is_current(user, &token).await? {
                        return Ok(true);
                    }
                    // It may be a token of another account service, which only Redis has.
                    Err(error)
                }
            }
        }
        .boxed()
    }
}
