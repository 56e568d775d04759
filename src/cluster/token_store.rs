//! Which token of a user is the current one.

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

use crate::domain::{BoundedMap, Timestamp, UserId};
use crate::storage::{Store, StoreError, StoredToken};

/// Keeps one current token a user: a login replaces it, a logout clears it.
pub trait TokenStore: Send + Sync {
    fn replace(
        &self,
        user: UserId,
        token: &str,
        at: Timestamp,
    ) -> BoxFuture<'_, Result<(), StoreError>>;
    fn clear(&self, user: UserId, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>>;
    /// Whether this token is the user's current one. False for a user without a token.
    fn is_current(&self, user: UserId, token: &str) -> BoxFuture<'_, Result<bool, StoreError>>;
    /// The user's token changed: what this node remembers of it is void.
    fn invalidate(&self, user: UserId);
    /// Any token may have changed.
    fn invalidate_all(&self);
    /// `Some` while this node is notified when a token changes, whoever changes it. The number
    /// changes whenever a notification may have been missed.
    fn invalidation_epoch(&self) -> Option<u64> {
        None
    }
}

/// The issuer and time of a token, as it states them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenOrigin {
    /// False: another program issued it under the same secret.
    pub is_issued_here: bool,
    /// `None` if it does not say so.
    pub issued_at: Option<Timestamp>,
}

/// Reads the origin of a token; `None` if it is not one, or signed with another secret.
pub type ReadTokenOrigin = Arc<dyn Fn(&str) -> Option<TokenOrigin> + Send + Sync>;

/// Users remembered at most, about 150 bytes each. Beyond, the oldest answer goes, which expires
/// first, and the next check of that user asks the store again.
const CACHED_USERS_MAX: usize = 100_000;

/// How long an answer of the store is trusted where nothing notifies this node: the longest that a
/// token which another process replaced stays good. A token that differs from a remembered one is
/// asked for again at once.
const CACHED_FOR: Duration = Duration::from_secs(5);

/// Tokens in the store, as digests: a stolen copy of the database does not let its thief log in.
pub struct StoreTokens {
    store: Arc<dyn Store>,
    cache: Mutex<Cache>,
}

/// A user's token in the store, as this node knows it.
pub(super) struct KnownToken {
    pub token: Option<StoredToken>,
    /// False: remembered from an earlier question.
    pub is_fresh: bool,
}

impl StoreTokens {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            cache: Mutex::new(Cache::new(CACHED_USERS_MAX)),
        }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // Each change of the cache is a single insert or remove: nothing is half done after a
        // panic.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The user's token in the store. Asks the store unless the remembered answer is `digest`: only
    /// a token that is current may be judged by an answer of some seconds ago. So an answer is
    /// remembered for the token that it was asked for, and the first check of a current token is
    /// always a fresh one.
    pub(super) async fn known(&self, user: UserId, digest: &str) -> Result<KnownToken, StoreError> {
        let remembered = self.cache().known(user, Instant::now());
        if let Some(token) = remembered
            && token.digest.as_deref() == Some(digest)
        {
            return Ok(KnownToken {
                token: Some(token),
                is_fresh: false,
            });
        }
        let generation = self.cache().generation;
        let token = self.store.token(user).await?;
        self.cache()
            .remember(user, token.clone(), digest, generation, Instant::now());
        Ok(KnownToken {
            token,
            is_fresh: true,
        })
    }

    /// The user's token in the store now. It is not remembered: nobody has shown the token itself.
    pub(super) async fn read(&self, user: UserId) -> Result<Option<StoredToken>, StoreError> {
        self.store.token(user).await
    }

    /// Records a login, or a logout, and says what the store keeps from now on.
    pub(super) async fn set(
        &self,
        user: UserId,
        token: Option<&str>,
        at: Timestamp,
    ) -> Result<StoredToken, StoreError> {
        let token = StoredToken {
            digest: token.map(digest),
            at,
        };
        let result = self.store.set_token(user, token.digest.clone(), at).await;
        // Forgotten, not remembered: of two changes at once only the store knows which was the
        // later. And forgotten in any case: a call that failed may have been done all the same.
        self.invalidate(user);
        result.map(|()| token)
    }

    /// Removes what the store keeps of the user's token if that is still `expected`.
    pub(super) async fn remove(
        &self,
        user: UserId,
        expected: StoredToken,
    ) -> Result<bool, StoreError> {
        let result = self.store.remove_token(user, expected).await;
        self.invalidate(user);
        result
    }
}

impl TokenStore for StoreTokens {
    fn replace(
        &self,
        user: UserId,
        token: &str,
        at: Timestamp,
    ) -> BoxFuture<'_, Result<(), StoreError>> {
        let token = token.to_owned();
        async move { self.set(user, Some(&token), at).await.map(|_| ()) }.boxed()
    }

    fn clear(&self, user: UserId, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        async move { self.set(user, None, at).await.map(|_| ()) }.boxed()
    }

    fn is_current(&self, user: UserId, token: &str) -> BoxFuture<'_, Result<bool, StoreError>> {
        let digest = digest(token);
        async move {
            let known = self.known(user, &digest).await?;
            Ok(known
                .token
                .is_some_and(|token| token.digest == Some(digest)))
        }
        .boxed()
    }

    fn invalidate(&self, user: UserId) {
        self.cache().forget(user);
    }

    fn invalidate_all(&self) {
        self.cache().forget_all();
    }
}

/// SHA-256 in hex. Tokens are signed and random enough: no salt, no stretching.
pub(super) fn digest(token: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(token.as_bytes()) {
        // Writing to a String cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

struct Cached {
    token: StoredToken,
    expires_at: Instant,
}

struct Cache {
    users: BoundedMap<UserId, Cached>,
    users_max: usize,
    /// Counts changes made here. An answer that was asked for before a change is not remembered
    /// after it: it may be older than the change.
    generation: u64,
}

impl Cache {
    fn new(users_max: usize) -> Self {
        Self {
            users: BoundedMap::new(users_max),
            users_max,
            generation: 0,
        }
    }

    fn known(&self, user: UserId, now: Instant) -> Option<StoredToken> {
        self.users
            .get(&user)
            .filter(|cached| now < cached.expires_at)
            .map(|cached| cached.token.clone())
    }

    fn forget(&mut self, user: UserId) {
        self.generation += 1;
        self.users.remove(&user);
    }

    fn forget_all(&mut self) {
        self.generation += 1;
        self.users = BoundedMap::new(self.users_max);
    }

    /// Remembers the current token if it is the one that was shown, by its digest. Users without one
    /// are not remembered: nothing is judged by that.
    fn remember(
        &mut self,
        user: UserId,
        token: Option<StoredToken>,
        shown: &str,
        asked_in: u64,
        now: Instant,
    ) {
        if asked_in != self.generation {
            return;
        }
        match token {
            Some(token) if token.digest.as_deref() == Some(shown) => {
                _ = self.users.insert(
                    user,
                    Cached {
                        token,
                        expires_at: now + CACHED_FOR,
                    },
                )
            }
            // Another token was shown, and what is remembered still holds.
            Some(token)
                if self
                    .users
                    .get(&user)
                    .is_some_and(|cached| cached.token == token) => {}
            _ => _ = self.users.remove(&user),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    fn token(digest: &str) -> Option<StoredToken> {
        Some(StoredToken {
            digest: Some(digest.into()),
            at: Timestamp(1),
        })
    }

    #[test]
    fn an_answer_is_trusted_for_five_seconds() {
        let mut cache = Cache::new(10);
        let now = Instant::now();
        cache.remember(user(1), token("a"), "a", 0, now);
        assert_eq!(
            cache.known(user(1), now + Duration::from_millis(4_999)),
            token("a")
        );
        assert_eq!(cache.known(user(1), now + CACHED_FOR), None);
    }

    #[test]
    fn an_answer_asked_for_before_a_change_is_not_remembered_after_it() {
        let mut cache = Cache::new(10);
        cache.forget(user(1));
        cache.remember(user(1), token("old"), "old", 0, Instant::now());
        assert_eq!(cache.known(user(1), Instant::now()), None);
        cache.forget_all();
        cache.remember(user(1), token("old"), "old", 1, Instant::now());
        assert_eq!(cache.known(user(1), Instant::now()), None);
    }

    #[test]
    fn a_logout_that_the_store_answers_replaces_a_remembered_token() {
        let mut cache = Cache::new(10);
        let now = Instant::now();
        for nothing in [
            None,
            Some(StoredToken {
                digest: None,
                at: Timestamp(2),
            }),
        ] {
            cache.remember(user(1), token("a"), "a", 0, now);
            cache.remember(user(1), nothing, "a", 0, now);
            assert_eq!(cache.known(user(1), now), None);
        }
    }

    #[test]
    fn an_answer_is_remembered_only_for_the_token_that_was_shown() {
        let mut cache = Cache::new(10);
        let now = Instant::now();
        cache.remember(user(1), token("a"), "b", 0, now);
        assert_eq!(cache.known(user(1), now), None, "a was not shown");
        cache.remember(user(1), token("a"), "a", 0, now);
        cache.remember(user(1), token("a"), "b", 0, now);
        assert_eq!(cache.known(user(1), now), token("a"), "it still holds");
        cache.remember(user(1), token("c"), "b", 0, now);
        assert_eq!(cache.known(user(1), now), None, "a is outdated");
    }

    #[test]
    fn the_cache_never_holds_more_than_its_limit() {
        let mut cache = Cache::new(3);
        let now = Instant::now();
        for id in 1..=10 {
            cache.remember(user(id), token("a"), "a", 0, now);
            assert!(cache.users.len() <= 3);
            assert_eq!(cache.known(user(id), now), token("a"));
            assert_eq!(
                cache.known(user(2.max(id - 2)), now),
                token("a").filter(|_| id > 1),
                "the newest stay"
            );
        }
        cache.forget_all();
        assert_eq!(cache.users.len(), 0);
    }

    #[test]
    fn a_digest_is_sha_256_in_hex() {
        assert_eq!(
            digest("abc"),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }
}
