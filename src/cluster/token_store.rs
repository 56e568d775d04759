//! Which token of a user is the current one.

use std::fmt::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

use crate::domain::{BoundedMap, Timestamp, UserId};
use crate::storage::{Store, StoreError};

/// Remembers one current token a user: a login replaces it, a logout clears it.
pub trait TokenStore: Send + Sync {
    fn replace(&self, user: UserId, token: &str, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>>;
    fn clear(&self, user: UserId, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>>;
    /// Whether this token is the user's current one. False for a user without a token.
    fn is_current(&self, user: UserId, token: &str) -> BoxFuture<'_, Result<bool, StoreError>>;
    /// `Some` while this node is notified of every token that changes. The number changes whenever a
    /// notification may have been missed: a verdict of another epoch may be out of date.
    fn invalidation_epoch(&self) -> Option<u64> {
        None
    }
}

/// Users remembered at most, about 150 bytes each. Beyond, the oldest answer goes, which expires first, and the
/// next check of that user asks the store again.
const CACHED_USERS_MAX: usize = 100_000;

/// How long an answer of the store is trusted. Another process's login or logout is seen within
/// this time; our own at once.
const CACHED_FOR: Duration = Duration::from_secs(5);

/// Tokens in the store, as digests: who reads the database cannot log in with what it finds.
pub struct StoreTokens {
    store: Arc<dyn Store>,
    cache: Mutex<Cache>,
}

impl StoreTokens {
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, cache: Mutex::new(Cache::new(CACHED_USERS_MAX)) }
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // Each change of the cache is a single insert or remove: nothing is half done after a panic.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, user: UserId, token_digest: Option<String>, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let result = self.store.set_token(user, token_digest, at).await;
            // Forgotten, not remembered: of two changes at once only the store knows which was the
            // later. And forgotten in any case: a call that failed may have been done all the same.
            self.cache().forget(user);
            result
        }
        .boxed()
    }
}

impl TokenStore for StoreTokens {
    fn replace(&self, user: UserId, token: &str, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        self.set(user, Some(digest(token)), at)
    }

    fn clear(&self, user: UserId, at: Timestamp) -> BoxFuture<'_, Result<(), StoreError>> {
        self.set(user, None, at)
    }

    fn is_current(&self, user: UserId, token: &str) -> BoxFuture<'_, Result<bool, StoreError>> {
        let asked = digest(token);
        async move {
            let (known, generation) = {
                let cache = self.cache();
                (cache.known(user, Instant::now()), cache.generation)
            };
            let current = match known {
                Some(current) => current,
                None => {
                    let current = self.store.token(user).await?.and_then(|stored| stored.digest);
                    self.cache().remember(user, current.clone(), generation, Instant::now());
                    current
                }
            };
            Ok(current.as_deref() == Some(asked.as_str()))
        }
        .boxed()
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
    digest: Option<String>,
    expires_at: Instant,
}

struct Cache {
    users: BoundedMap<UserId, Cached>,
    /// Counts changes made here. An answer that was asked for before a change is not remembered
    /// after it: it may be older than the change.
    generation: u64,
}

impl Cache {
    fn new(users_max: usize) -> Self {
        Self { users: BoundedMap::new(users_max), generation: 0 }
    }

    /// `Some(None)`: known to have no token.
    fn known(&self, user: UserId, now: Instant) -> Option<Option<String>> {
        self.users.get(&user).filter(|cached| now < cached.expires_at).map(|cached| cached.digest.clone())
    }

    fn forget(&mut self, user: UserId) {
        self.generation += 1;
        self.users.remove(&user);
    }

    fn remember(&mut self, user: UserId, digest: Option<String>, asked_in: u64, now: Instant) {
        if asked_in != self.generation {
            return;
        }
        self.users.insert(user, Cached { digest, expires_at: now + CACHED_FOR });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    #[test]
    fn an_answer_is_trusted_for_five_seconds() {
        let mut cache = Cache::new(10);
        let now = Instant::now();
        cache.remember(user(1), Some("a".into()), 0, now);
        assert_eq!(cache.known(user(1), now + Duration::from_millis(4_999)), Some(Some("a".into())));
        assert_eq!(cache.known(user(1), now + CACHED_FOR), None);
    }

    #[test]
    fn an_answer_asked_for_before_a_change_is_not_remembered_after_it() {
        let mut cache = Cache::new(10);
        cache.forget(user(1));
        cache.remember(user(1), Some("old".into()), 0, Instant::now());
        assert_eq!(cache.known(user(1), Instant::now()), None);
    }

    #[test]
    fn the_cache_never_holds_more_than_its_limit() {
        let mut cache = Cache::new(3);
        let now = Instant::now();
        for id in 1..=10 {
            cache.remember(user(id), None, 0, now);
            assert!(cache.users.len() <= 3);
            assert_eq!(cache.known(user(id), now), Some(None));
            assert_eq!(cache.known(user(2.max(id - 2)), now), (id > 1).then_some(None), "the newest stay");
        }
    }

    #[test]
    fn a_digest_is_sha_256_in_hex() {
        assert_eq!(digest("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
