//! Current tokens as Redis keys, which the system that liveroom replaces reads and writes too.
//!
//! The database decides about tokens that liveroom issued; to verify one, Redis is not asked. Redis
//! is written for other programs, and read for the tokens that they issued. That another program
//! has set or deleted a token is found out by *looks*, which run beside everything else: Redis
//! reports each change of a token key and the change feed each of a row, a verified token is looked
//! at when the database was asked for it, and after each connection to Redis so are the tokens that
//! changed meanwhile. A look compares both stores ([`token_rules`]) and corrects the one that is
//! behind. Nothing is queued for Redis in memory: what it missed is in the database, where every
//! node finds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use log::{debug, info};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{sleep, timeout};

use crate::cluster::token_store::digest;
use crate::cluster::{Nodes, ReadTokenOrigin, StoreTokens, TokenStore};
use crate::domain::{Timestamp, UserId};
use crate::storage::{Store, StoreError, StoredToken};

use super::engine::{Input, RedisHealth, TokenNews};
use super::token_rules::{RedisToken, Verdict, compare, is_void, stamp};
use super::{RedisCluster, keys};

/// Most looks that wait, about 300 bytes each. Beyond, one is dropped, and sessions verify their
/// tokens again.
const LOOKS_MAX: usize = 10_000;
/// Looks at once: they must leave connections of the pool to rooms.
const LOOKS_AT_ONCE: usize = 2;
/// How long a login or logout waits for Redis, which is written for others. It counts all the same.
const WRITE_TIMEOUT: Duration = Duration::from_millis(1_000);
/// How much longer than the connection was away changed tokens are looked at: clocks of nodes
/// differ.
const CLOCK_SKEW_MS_MAX: i64 = 10_000;
/// A token that changes in one of the stores while it is compared is compared again, so often.
const COMPARE_TRIES: usize = 3;
/// How often a look is tried while Redis or the database fails. The tries span twice the time that
/// Redis may be silent: if it fails for longer, this node goes on alone, and the looks after that
/// make up for this one.
const LOOK_TRIES: u32 = 5;

/// Sets the token and its stamp, or deletes the token, if both are as they were read. Nothing is an
/// empty string.
const CORRECT: &str = r"
local found = redis.call('MGET', KEYS[1], KEYS[2])
if (found[1] or '') ~= ARGV[1] or (found[2] or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('DEL', KEYS[1]) else redis.call('SET', KEYS[1], ARGV[3]) end
if ARGV[4] ~= '' then redis.call('SET', KEYS[2], ARGV[4]) end
return 1";

/// Why a token is looked at.
#[derive(Debug)]
enum Cause {
    Changed,
    /// This token was verified by the database.
    Verified(String),
    /// It changed while this node did not reach Redis.
    Missed,
}

#[derive(Debug)]
struct Look {
    user: UserId,
    cause: Cause,
    /// How often it has failed.
    failures: u32,
}

impl Look {
    fn new(user: UserId, cause: Cause) -> Self {
        Self {
            user,
            cause,
            failures: 0,
        }
    }
}

/// Tokens in the store and in Redis. Clones are the same.
#[derive(Clone)]
pub struct RedisTokens {
    cluster: RedisCluster,
    store: Arc<dyn Store>,
    stored: Arc<StoreTokens>,
    read_origin: ReadTokenOrigin,
    looks: mpsc::Sender<Look>,
    /// How often all tokens may have changed, or a look was dropped.
    invalidations_count: Arc<AtomicU64>,
}

impl RedisTokens {
    pub fn new(cluster: RedisCluster, store: Arc<dyn Store>, read_origin: ReadTokenOrigin) -> Self {
        let (looks, due) = mpsc::channel(LOOKS_MAX);
        let stored = Arc::new(StoreTokens::new(store.clone()));
        let tokens = Self {
            cluster,
            store,
            stored,
            read_origin,
            looks,
            invalidations_count: Arc::default(),
        };
        tokens.cluster.runtime.spawn(tokens.clone().look_at(due));
        let listener = tokens.clone();
        let on_news = Box::new(move |news| listener.on_news(news));
        tokens.cluster.send(Input::ListenToTokens(on_news));
        tokens
    }

    /// Called on the cluster's thread: must not block.
    fn on_news(&self, news: TokenNews) {
        match news {
            TokenNews::Changed(user) => {
                self.stored.invalidate(user);
                self.request_look(user, Cause::Changed);
            }
            TokenNews::AllChanged => self.invalidate_all(),
            TokenNews::Reached { since } => {
                self.stored.invalidate_all();
                tokio::spawn(
                    self.clone()
                        .look_at_missed(since.plus_ms(-CLOCK_SKEW_MS_MAX)),
                );
            }
        }
    }

    fn request_look(&self, user: UserId, cause: Cause) {
        if self.cluster.alone_since().is_some() {
            // The next connection is followed by looks.
            return;
        }
        if self.looks.try_send(Look::new(user, cause)).is_err() {
            self.drop_look(user);
        }
    }

    fn drop_look(&self, user: UserId) {
        debug!("token not looked at, too many are waiting: user_id={user}");
        self.advance_invalidation_epoch();
    }

    fn advance_invalidation_epoch(&self) {
        self.invalidations_count.fetch_add(1, Ordering::Relaxed);
    }

    async fn look_at_missed(self, since: Timestamp) {
        match self.store.tokens_since(since).await {
            Ok(users) => {
                for user in users {
                    // As long as this task, the receiver is there.
                    let _ = self.looks.send(Look::new(user, Cause::Missed)).await;
                }
            }
            Err(error) => {
                debug!("tokens that changed while redis was away not looked at: error={error}")
            }
        }
    }

    async fn look_at(self, mut due: mpsc::Receiver<Look>) {
        let places = Arc::new(Semaphore::new(LOOKS_AT_ONCE));
        while let Some(look) = due.recv().await {
            let place = places
                .clone()
                .acquire_owned()
                .await
                .expect("the semaphore is never closed");
            let tokens = self.clone();
            tokio::spawn(async move {
                let result = tokens.look(&look).await;
                drop(place);
                if let Err(error) = result {
                    debug!("token not looked at: user_id={} error={error}", look.user);
                    tokens.look_later(look).await;
                }
            });
        }
    }

    /// Looks again after a failure, unless there were too many.
    async fn look_later(&self, mut look: Look) {
        look.failures += 1;
        if look.failures >= LOOK_TRIES {
            return;
        }
        // It takes its place in the queue now, so that those that pause are bounded too.
        let Ok(place) = self.looks.clone().try_reserve_owned() else {
            return self.drop_look(look.user);
        };
        sleep(self.cluster.link.timeout() / 2).await;
        place.send(look);
    }

    async fn look(&self, Look { user, cause, .. }: &Look) -> Result<(), StoreError> {
        let user = *user;
        for _ in 0..COMPARE_TRIES {
            // Redis before the row: if the stamp is that of the row, then what Redis holds came
            // after the row.
            let redis = self.read(user).await?;
            if matches!(cause, Cause::Changed) && redis.is_of_one_write() {
                return Ok(());
            }
            let row = self.stored.read(user).await?;
            let is_settled = match (compare(row.as_ref(), &redis, &*self.read_origin), row) {
                (Verdict::Outdated, Some(row)) => {
                    let verified = match cause {
                        Cause::Verified(token) => Some(token.clone()),
                        Cause::Changed | Cause::Missed => None,
                    };
                    self.correct(user, &redis, &row, verified).await?
                }
                (Verdict::ChangedElsewhere, Some(row)) => self.yield_to_redis(user, row).await?,
                _ => {
                    if matches!(cause, Cause::Changed) {
                        // Another node was faster.
                        self.cluster.send(Input::Recheck(user));
                    }
                    true
                }
            };
            if is_settled {
                return Ok(());
            }
        }
        Err(changes_again_and_again())
    }

    /// Another program has set or deleted the token after the login or logout of `row`, which is
    /// void now. False: there was another login or logout meanwhile.
    async fn yield_to_redis(&self, user: UserId, row: StoredToken) -> Result<bool, StoreError> {
        let is_removed = self.stored.remove(user, row).await?;
        if is_removed {
            info!("another program has changed the token: user_id={user}");
        }
        self.cluster.send(Input::Recheck(user));
        Ok(is_removed)
    }

    /// Brings Redis up to date. The token itself can be written only by who has it: the store keeps
    /// a digest. False: Redis has changed since it was read.
    async fn correct(
        &self,
        user: UserId,
        redis: &RedisToken,
        row: &StoredToken,
        verified: Option<String>,
    ) -> Result<bool, StoreError> {
        let in_hand = verified
            .or_else(|| redis.token())
            .filter(|token| row.digest == Some(digest(token)));
        let (token, stamp) = match in_hand {
            Some(token) => (quoted(&token), stamp(row)),
            None if row.digest.is_none() => (String::new(), stamp(row)),
            // An old token must not look good to other programs. Without the stamp of its login,
            // the one that is missing is not taken for deleted.
            None if redis.raw.is_some() => (String::new(), String::new()),
            None => return Ok(true),
        };
        let mut cmd = redis::cmd("EVAL");
        cmd.arg(CORRECT)
            .arg(2)
            .arg(keys::token(user))
            .arg(keys::token_stamp(user));
        cmd.arg(redis.raw.as_deref().unwrap_or_default())
            .arg(redis.stamp.as_deref().unwrap_or_default());
        cmd.arg(token).arg(stamp);
        let link = self.cluster.link.clone();
        let is_done: bool = self
            .cluster
            .run(async move { link.command(&cmd).await })
            .await?;
        debug!("token in redis corrected: user_id={user} is_done={is_done}");
        Ok(is_done)
    }

    async fn read(&self, user: UserId) -> Result<RedisToken, StoreError> {
        let link = self.cluster.link.clone();
        // A value of another type counts as none.
        let mut cmd = redis::cmd("MGET");
        cmd.arg(keys::token(user)).arg(keys::token_stamp(user));
        let (raw, stamp) = self
            .cluster
            .run(async move { link.command(&cmd).await })
            .await?;
        Ok(RedisToken { raw, stamp })
    }

    /// For a session that waits: without Redis it learns so at once, and from a silent one before
    /// it counts as away.
    async fn read_in_time(&self, user: UserId) -> Result<RedisToken, StoreError> {
        if self.cluster.alone_since().is_some() {
            return Err(StoreError::Unavailable("redis is away".into()));
        }
        let silent = || Err(StoreError::Unavailable("redis does not answer".into()));
        timeout(self.cluster.link.timeout() / 2, self.read(user))
            .await
            .unwrap_or_else(|_| silent())
    }

    /// Writes a login or logout for other programs. One that fails is made up for by a look.
    async fn publish(&self, user: UserId, token: Option<&str>, row: &StoredToken) {
        let (key, stamp_key, stamp) = (keys::token(user), keys::token_stamp(user), stamp(row));
        let mut writes = redis::pipe();
        writes.atomic();
        match token {
            Some(token) => writes
                .cmd("MSET")
                .arg(key)
                .arg(quoted(token))
                .arg(stamp_key)
                .arg(stamp)
                .ignore(),
            None => writes.del(key).ignore().set(stamp_key, stamp).ignore(),
        };
        let link = self.cluster.link.clone();
        let writing = self.cluster.runtime.spawn(async move {
            if let Err(error) = link.pipeline::<()>(&writes).await {
                debug!("token not written to redis: user_id={user} error={error}");
            }
        });
        if self.cluster.alone_since().is_none() {
            // It goes on when this gives up.
            let _ = timeout(WRITE_TIMEOUT, writing).await;
        }
    }

    /// Whether a token that is not in the store, as `row` says, is the user's current one by Redis.
    async fn is_current_by_redis(
        &self,
        user: UserId,
        token: &str,
        mut row: Option<StoredToken>,
    ) -> Result<bool, StoreError> {
        let origin = (self.read_origin)(token);
        if origin.is_some_and(|origin| origin.is_issued_here) {
            return Ok(false);
        }
        for _ in 0..COMPARE_TRIES {
            let redis = match self.read_in_time(user).await {
                Ok(redis) => redis,
                // A later login or logout here has ended it, whatever Redis holds.
                Err(_)
                    if row
                        .as_ref()
                        .zip(origin)
                        .is_some_and(|(row, origin)| is_void(row, origin)) =>
                {
                    return Ok(false);
                }
                Err(error) => return Err(error),
            };
            if redis.token().as_deref() != Some(token) {
                return Ok(false);
            }
            if row.is_some() {
                // As in a look: Redis before the row.
                row = self.stored.read(user).await?;
            }
            let Some(found) = row.clone() else {
                return Ok(true);
            };
            match compare(Some(&found), &redis, &*self.read_origin) {
                Verdict::Consistent => return Ok(true),
                Verdict::ChangedElsewhere if self.yield_to_redis(user, found).await? => {
                    return Ok(true);
                }
                Verdict::ChangedElsewhere => {}
                Verdict::Outdated => {
                    self.request_look(user, Cause::Missed);
                    return Ok(false);
                }
            }
        }
        Err(changes_again_and_again())
    }
}

fn changes_again_and_again() -> StoreError {
    StoreError::Unavailable("the token changes again and again".into())
}

/// As the replaced system writes it: a JSON string.
fn quoted(token: &str) -> String {
    serde_json::Value::from(token).to_string()
}

impl TokenStore for RedisTokens {
    fn invalidation_epoch(&self) -> Option<u64> {
        // Neither number ever decreases, so an equal sum means that both are as they were.
        let RedisHealth::Up { epoch } = *self.cluster.health.borrow() else {
            return None;
        };
        Some(epoch + self.invalidations_count.load(Ordering::Relaxed))
    }

    fn invalidate(&self, user: UserId) {
        self.stored.invalidate(user);
        // A node that reached the store may not have reached Redis, and one of the version before
        // writes no stamps.
        self.request_look(user, Cause::Changed);
    }

    fn invalidate_all(&self) {
        self.stored.invalidate_all();
        self.advance_invalidation_epoch();
    }

    fn replace(
        &self,
        user: UserId,
        token: &str,
        at: Timestamp,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let token = token.to_owned();
        async move {
            let row = self.stored.set(user, Some(&token), at).await?;
            self.publish(user, Some(&token), &row).await;
            Ok(())
        }
        .boxed()
    }

    fn clear(&self, user: UserId, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let row = self.stored.set(user, None, at).await?;
            self.publish(user, None, &row).await;
            Ok(())
        }
        .boxed()
    }

    fn is_current(&self, user: UserId, token: &str) -> BoxFuture<'_, Result<bool, StoreError>> {
        let token = token.to_owned();
        async move {
            let digest = digest(&token);
            let known = self.stored.known(user, &digest).await?;
            if known
                .token
                .as_ref()
                .is_none_or(|current| current.digest.as_ref() != Some(&digest))
            {
                return self.is_current_by_redis(user, &token, known.token).await;
            }
            if known.is_fresh {
                self.request_look(user, Cause::Verified(token));
            }
            Ok(true)
        }
        .boxed()
    }
}
