//! How often a login may be tried.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::domain::{Bucket, BucketRate, Timestamp};

use crate::client_address::limit_key;

/// Accounts, and addresses, remembered at most. The one remembered longest goes first: with this
/// many within ten minutes the attack is spread, and what holds it is the cost of a password check.
const ENTRIES_MAX: usize = 10_000;

/// Counts attempts, good or bad, per account and per address: the first stops guessing at one
/// account, the second guessing at many.
pub struct LoginLimiter {
    account_rate: BucketRate,
    address_rate: BucketRate,
    hasher: RandomState,
    buckets: Mutex<Buckets>,
}

#[derive(Default)]
struct Buckets {
    accounts: BoundedBuckets,
    addresses: BoundedBuckets,
}

impl LoginLimiter {
    /// `logins_per_min` attempts a minute for one account, and twice as many in ten minutes from one
    /// address.
    pub fn new(logins_per_min: u32) -> Self {
        let per_address = logins_per_min.saturating_mul(2);
        Self {
            account_rate: BucketRate { burst: logins_per_min, refill: logins_per_min, per_ms: 60_000 },
            address_rate: BucketRate { burst: per_address, refill: per_address, per_ms: 600_000 },
            hasher: RandomState::new(),
            buckets: Mutex::default(),
        }
    }

    /// Counts an attempt, or says in how many milliseconds the next one may be made.
    pub fn take(&self, username: &str, address: IpAddr, now: Timestamp) -> Result<(), u64> {
        // A username is as long as a body; its hash, under a secret key, is not.
        let account_key = self.hasher.hash_one(username);
        let address_key = self.hasher.hash_one(limit_key(address));
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.addresses.take(address_key, self.address_rate, now)?;
        buckets.accounts.take(account_key, self.account_rate, now)
    }
}

/// Buckets by key, at most [`ENTRIES_MAX`].
#[derive(Default)]
struct BoundedBuckets {
    by_key: HashMap<u64, Bucket>,
    /// The keys of `by_key`, oldest first.
    order: VecDeque<u64>,
}

impl BoundedBuckets {
    fn take(&mut self, key: u64, rate: BucketRate, now: Timestamp) -> Result<(), u64> {
        if !self.by_key.contains_key(&key) {
            if self.order.len() == ENTRIES_MAX
                && let Some(oldest) = self.order.pop_front()
            {
                self.by_key.remove(&oldest);
            }
            self.order.push_back(key);
        }
        self.by_key.entry(key).or_default().take(rate, now)
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn address(last: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + last))
    }

    #[test]
    fn one_account_is_tried_five_times_a_minute() {
        let limiter = LoginLimiter::new(5);
        let now = Timestamp(1_000_000);
        for attempt in 0..5 {
            assert_eq!(limiter.take("alice", address(attempt), now), Ok(()));
        }
        assert_eq!(limiter.take("alice", address(9), now), Err(12_000));
        assert_eq!(limiter.take("bob", address(9), now), Ok(()));
        assert_eq!(limiter.take("alice", address(10), now.plus_ms(12_000)), Ok(()));
    }

    #[test]
    fn one_address_tries_ten_times_in_ten_minutes() {
        let limiter = LoginLimiter::new(5);
        let now = Timestamp(1_000_000);
        for attempt in 0..10 {
            assert_eq!(limiter.take(&format!("user{attempt}"), address(1), now), Ok(()));
        }
        assert_eq!(limiter.take("user10", address(1), now), Err(60_000));
        assert_eq!(limiter.take("user10", address(2), now), Ok(()));
    }

    #[test]
    fn memory_is_bounded_and_the_oldest_is_forgotten() {
        let limiter = LoginLimiter::new(1);
        let now = Timestamp(1_000_000);
        for attempt in 0..=ENTRIES_MAX as u32 {
            assert_eq!(limiter.take(&format!("user{attempt}"), address(attempt), now), Ok(()));
        }
        assert!(limiter.take("user1", address(1_000_000), now).is_err());
        assert_eq!(limiter.take("user0", address(1_000_001), now), Ok(()));
        let buckets = limiter.buckets.lock().unwrap();
        assert_eq!(buckets.accounts.by_key.len(), ENTRIES_MAX);
        assert_eq!(buckets.accounts.order.len(), ENTRIES_MAX);
    }
}
