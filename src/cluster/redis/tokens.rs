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

/// Logins and logouts that may wait for Redis; beyond, they are refused. About 300 bytes each.
const OWED_MAX: usize = 10_000;
/// How much the clocks of nodes may differ.
const CLOCKS_MS: i64 = 10_000;
/// Between two attempts to write them.
const OWED_EVERY: Duration = Duration::from_millis(500);

/// Tokens in Redis, each also in the store as a digest. Redis decides. The store is asked while Redis
/// is away, and for tokens older than Redis's data: a Redis that lost its data must not log everybody
/// out.
pub struct RedisTokens {
    cluster: RedisCluster,
    store: Arc<dyn Store>,
    stored: StoreTokens,
    owed: Arc<Owed>,
}

/// What was decided while Redis was away, to be written when it is back: the user's token, or none.
#[derive(Default)]
struct Owed(Mutex<HashMap<UserId, Option<String>>>);

impl Owed {
    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Option<String>>> {
        // Each change is a single insert or remove: nothing is half done after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RedisTokens {
    pub fn new(cluster: RedisCluster, store: Arc<dyn Store>) -> Self {
        let owed = Arc::new(Owed::default());
        cluster.runtime.spawn(make_up(cluster.clone(), store.clone(), owed.clone()));
        Self { cluster, stored: StoreTokens::new(store.clone()), store, owed }
    }

    async fn get(&self, key: String) -> Result<Option<String>, StoreError> {
        let link = self.cluster.link.clone();
        let mut cmd = redis::cmd("GET");
        cmd.arg(key);
        let got = async move {
            match link.command(&cmd).await {
                // Something that is no token is nobody's.
                Err(error) if error.code() == Some("WRONGTYPE") => Ok(None),
                result => result,
            }
        };
        self.cluster.run(got).await
    }

    /// Redis knows no token of this user. Whether that is a logout, or lost data that can be made up for.
    async fn was_lost(&self, user: UserId, token: &str) -> Result<bool, StoreError> {
        let Some(stored) = self.store.token(user).await? else { return Ok(false) };
        if stored.digest != Some(digest(token)) {
            return Ok(false);
        }
        let born = keys::born(user, self.cluster.sharded);
        let born_at = match self.get(born.clone()).await? {
            Some(born_at) => born_at.parse().unwrap_or(i64::MIN),
            // So its data is newer than anything here.
            None => {
                self.cluster.note_birth(born, self.cluster.clock.now()).await?;
                i64::MAX
            }
        };
        if stored.at.0 >= born_at {
            return Ok(false);
        }
        if write(&self.cluster, user, Some(token), true).await? {
            info!("token put back into redis: user_id={user}");
            return Ok(true);
        }
        // Somebody else was faster: with this token, or with a new login.
        Ok(self.get(keys::token(user)).await?.as_deref() == Some(&quoted(token)))
    }

    /// Writes a token, or that there is none; while Redis is away, owes it.
    async fn set(&self, user: UserId, token: Option<String>) -> Result<(), StoreError> {
        let error = match write(&self.cluster, user, token.as_deref(), false).await {
            Ok(_) => {
                self.owed.lock().remove(&user);
                return Ok(());
            }
            Err(error) => error,
        };
        let mut owed = self.owed.lock();
        if owed.len() >= OWED_MAX && !owed.contains_key(&user) {
            return Err(error);
        }
        debug!("token owed to redis: user_id={user} error={error}");
        owed.insert(user, token);
        Ok(())
    }
}

/// As the replaced system writes it: a JSON string.
fn quoted(token: &str) -> String {
    serde_json::Value::from(token).to_string()
}

/// Sets or deletes a user's token in Redis. False if it was to be new and is not.
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

/// Makes up for what Redis missed and for what it forgot.
async fn make_up(cluster: RedisCluster, store: Arc<dyn Store>, owed: Arc<Owed>) {
    loop {
        tokio::time::sleep(OWED_EVERY).await;
        let fell_back_to = cluster.shared.fell_back_to.load(Ordering::Relaxed);
        if fell_back_to != 0 {
            match forget_since(&cluster, &*store, Timestamp(fell_back_to - CLOCKS_MS)).await {
                Ok(users_count) => {
                    warn!("logins and logouts that redis forgot are asked of the store: users={users_count}");
                    cluster.shared.fell_back_to.store(0, Ordering::Relaxed);
                    cluster.shared.trusted.store(true, Ordering::Relaxed);
                }
                Err(error) => debug!("what redis forgot is not made up for yet: error={error}"),
            }
        }
        let due: Vec<(UserId, Option<String>)> =
            owed.lock().iter().map(|(user, token)| (*user, token.clone())).collect();
        let due_count = due.len();
        for (user, token) in due {
            if write(&cluster, user, token.as_deref(), false).await.is_err() {
                if cluster.alone_since().is_some() {
                    break;
                }
                // In a Redis Cluster the servers of other users may be there.
                continue;
            }
            let mut owed = owed.lock();
            // Unless there was another login or logout meanwhile.
            if owed.get(&user) == Some(&token) {
                owed.remove(&user);
            }
        }
        if due_count > 0 && owed.lock().is_empty() {
            warn!("logins and logouts of the time without redis are written: users={due_count}");
        }
    }
}

/// Redis fell back to what it knew then. Whose token changed since has none there any more, and the data
/// counts as new: so each of them is looked up in the store, which knows.
async fn forget_since(cluster: &RedisCluster, store: &dyn Store, since: Timestamp) -> Result<usize, StoreError> {
    let users = store.tokens_since(since).await?;
    let mut births: BTreeSet<String> = users.iter().map(|user| keys::born(*user, cluster.sharded)).collect();
    births.insert(keys::BORN.to_owned());
    for user in &users {
        write(cluster, *user, None, false).await?;
    }
    for born in births {
        let (link, mut cmd) = (cluster.link.clone(), redis::cmd("SET"));
        cmd.arg(born).arg(cluster.clock.now().0);
        cluster.run(async move { link.command::<redis::Value>(&cmd).await }).await?;
    }
    Ok(users.len())
}

impl TokenStore for RedisTokens {
    fn watch(&self) -> Option<u64> {
        let watch = self.cluster.shared.watch.load(Ordering::Relaxed);
        (watch != 0).then_some(watch)
    }

    fn replace(&self, user: UserId, token: &str, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        let token = token.to_owned();
        async move {
            if self.cluster.sharded {
                // Before the token: one that is there without it would count as lost when it goes.
                // Fails with the server, and then the token is owed.
                let _ = self.cluster.note_birth(keys::born(user, true), at).await;
            }
            self.set(user, Some(token.clone())).await?;
            self.stored.replace(user, &token, at).await
        }
        .boxed()
    }

    fn clear(&self, user: UserId, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            // The store first: else a token that is gone from Redis could be put back from there.
            self.stored.clear(user, at).await?;
            self.set(user, None).await
        }
        .boxed()
    }

    fn is_current(&self, user: UserId, token: &str) -> BoxFuture<'_, Result<bool, StoreError>> {
        let token = token.to_owned();
        async move {
            let owed = self.owed.lock().get(&user).cloned();
            if let Some(owed) = owed {
                return Ok(owed.as_deref() == Some(token.as_str()));
            }
            let found = match self.cluster.shared.trusted.load(Ordering::Relaxed) {
                true => self.get(keys::token(user)).await,
                false => Err(StoreError::Unavailable("redis: not known yet what it has forgotten".into())),
            };
            match found {
                Ok(Some(current)) => Ok(current == quoted(&token)),
                Ok(None) => self.was_lost(user, &token).await,
                Err(error) => {
                    debug!("redis does not say whose token is current, the store does: user_id={user} error={error}");
                    if self.stored.is_current(user, &token).await? {
                        return Ok(true);
                    }
                    // Perhaps one of another account service, which only Redis knows.
                    Err(error)
                }
            }
        }
        .boxed()
    }
}
