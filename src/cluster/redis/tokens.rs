//! Current tokens as Redis keys, which the system that liveroom replaces reads and writes too.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use log::{debug, info};

use crate::cluster::token_store::digest;
use crate::cluster::{StoreTokens, TokenStore};
use crate::domain::{Timestamp, UserId};
use crate::storage::{Store, StoreError};

use super::RedisCluster;
use super::keys;

/// Tokens in Redis, each also in the store as a digest. Redis decides. The store is asked while Redis
/// is away, and for tokens older than Redis's data: who lost its data must not log everybody out.
pub struct RedisTokens {
    cluster: RedisCluster,
    store: Arc<dyn Store>,
    stored: StoreTokens,
}

impl RedisTokens {
    pub fn new(cluster: RedisCluster, store: Arc<dyn Store>) -> Self {
        Self { cluster, stored: StoreTokens::new(store.clone()), store }
    }

    async fn get(&self, user: UserId) -> Result<Option<String>, StoreError> {
        let link = self.cluster.link.clone();
        let mut cmd = redis::cmd("GET");
        cmd.arg(keys::token(user));
        self.cluster.run(async move { link.command(&cmd).await }).await
    }

    /// Redis knows no token of this user. Whether that is a logout, or lost data that can be made up for.
    async fn was_lost(&self, user: UserId, token: &str) -> Result<bool, StoreError> {
        let born_at = self.cluster.shared.born_at.load(Ordering::Relaxed);
        let Some(stored) = self.store.token(user).await? else { return Ok(false) };
        if stored.digest != digest(token) {
            return Ok(false);
        }
        if born_at == 0 {
            return Err(StoreError::Unavailable("redis: not known yet since when it has its data".into()));
        }
        if stored.at.0 >= born_at {
            return Ok(false);
        }
        let link = self.cluster.link.clone();
        let mut cmd = redis::cmd("SET");
        cmd.arg(keys::token(user)).arg(quoted(token)).arg("NX");
        let restored: Option<String> = self.cluster.run(async move { link.command(&cmd).await }).await?;
        if restored.is_some() {
            info!("token put back into redis: user_id={user}");
            return Ok(true);
        }
        // Somebody else was faster: with this token, or with a new login.
        Ok(self.get(user).await?.as_deref() == Some(&quoted(token)))
    }
}

/// As the replaced system writes it: a JSON string.
fn quoted(token: &str) -> String {
    serde_json::Value::from(token).to_string()
}

impl TokenStore for RedisTokens {
    fn replace(&self, user: UserId, token: &str, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        let token = token.to_owned();
        async move {
            let link = self.cluster.link.clone();
            let mut cmd = redis::cmd("SET");
            cmd.arg(keys::token(user)).arg(quoted(&token));
            self.cluster.run(async move { link.command::<()>(&cmd).await }).await?;
            self.stored.replace(user, &token, at).await
        }
        .boxed()
    }

    fn clear(&self, user: UserId, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            // The store first: else a token that is gone from Redis could be put back from there.
            self.stored.clear(user, at).await?;
            let link = self.cluster.link.clone();
            let mut cmd = redis::cmd("DEL");
            cmd.arg(keys::token(user));
            self.cluster.run(async move { link.command::<()>(&cmd).await }).await
        }
        .boxed()
    }

    fn is_current(&self, user: UserId, token: &str) -> BoxFuture<'_, Result<bool, StoreError>> {
        let token = token.to_owned();
        async move {
            match self.get(user).await {
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
