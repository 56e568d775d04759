//! How often something may be tried, counted by whoever tries it.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};
use std::mem;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use crate::client_address::{SITE_FACTOR, limit_key, site_key};
use crate::config::LimitsConfig;
use crate::domain::{Bucket, BucketRate, Timestamp, UserId};

use super::error::ApiError;

/// Keys of one kind that are remembered for certain, at some 32 bytes each: those used last. With
/// more of them at once an attack is spread, and what holds it is the cost of a try.
const KEYS_REMEMBERED: usize = 10_000;

/// A bucket for each key. At most twice [`KEYS_REMEMBERED`], the least recently used forgotten
/// first.
pub struct KeyedBuckets {
    rate: BucketRate,
    hasher: RandomState,
    generations: Mutex<Generations>,
}

/// Keys that were used lately, and those that were used before.
#[derive(Default)]
struct Generations {
    young: HashMap<u64, Bucket>,
    old: HashMap<u64, Bucket>,
}

impl KeyedBuckets {
    pub fn new(rate: BucketRate) -> Self {
        Self {
            rate,
            hasher: RandomState::new(),
            generations: Mutex::default(),
        }
    }

    /// Counts a try, or says in how many milliseconds the next one may be made.
    pub fn take(&self, key: impl Hash, now: Timestamp) -> Result<(), u64> {
        // A key may be as long as a body; its hash, under a secret key, is not.
        let key = self.hasher.hash_one(key);
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        generations.bucket(key).take(self.rate, now)
    }

    /// Counts a try no more that was taken. A key that was forgotten meanwhile has a full bucket.
    pub fn give_back(&self, key: impl Hash) {
        let key = self.hasher.hash_one(key);
        let mut generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(bucket) = generations.get_mut(key) {
            bucket.give_back(self.rate);
        }
    }

    /// Whether a try would be refused now. Counts nothing.
    pub fn is_spent(&self, key: impl Hash, now: Timestamp) -> bool {
        let key = self.hasher.hash_one(key);
        let generations = self
            .generations
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        generations
            .get(key)
            .is_some_and(|mut copy| copy.take(self.rate, now).is_err())
    }

    #[cfg(test)]
    fn keys_count(&self) -> usize {
        let generations = self.generations.lock().unwrap();
        generations.young.len() + generations.old.len()
    }
}

impl Generations {
    fn bucket(&mut self, key: u64) -> &mut Bucket {
        if !self.young.contains_key(&key) && self.young.len() >= KEYS_REMEMBERED {
            self.old = mem::take(&mut self.young);
        }
        let Self { young, old } = self;
        young
            .entry(key)
            .or_insert_with(|| old.remove(&key).unwrap_or_default())
    }

    fn get_mut(&mut self, key: u64) -> Option<&mut Bucket> {
        let Self { young, old } = self;
        young.get_mut(&key).or_else(|| old.get_mut(&key))
    }

    /// A copy, if there is one.
    fn get(&self, key: u64) -> Option<Bucket> {
        self.young.get(&key).or_else(|| self.old.get(&key)).copied()
    }
}

/// A bucket for each address, and in IPv6 one for the site around it: who has a /48 has 65,536
/// addresses of the kind that one client has.
pub struct AddressBuckets {
    clients: KeyedBuckets,
    sites: KeyedBuckets,
}

impl AddressBuckets {
    /// `rate` is that of one IPv4 address or one /64; a /48 has [`SITE_FACTOR`] times as much.
    pub fn new(rate: BucketRate) -> Self {
        Self {
            clients: KeyedBuckets::new(rate),
            sites: KeyedBuckets::new(rate.times(SITE_FACTOR)),
        }
    }

    /// For the accounts that one address may register.
    pub fn for_registrations(limits: &LimitsConfig) -> Self {
        let per_hour = limits.registrations_per_hour;
        Self::new(BucketRate {
            burst: per_hour,
            refill: per_hour,
            per_ms: 3_600_000,
        })
    }

    /// Counts a try, or says in how many milliseconds the next one may be made.
    pub fn take(&self, address: IpAddr, now: Timestamp) -> Result<(), u64> {
        // The site is asked last, so that who is refused anyway does not slow its neighbours down.
        self.clients.take(limit_key(address), now)?;
        site_key(address).map_or(Ok(()), |site| self.sites.take(site, now))
    }

    /// Counts a try no more that was taken.
    pub fn give_back(&self, address: IpAddr) {
        self.clients.give_back(limit_key(address));
        if let Some(site) = site_key(address) {
            self.sites.give_back(site);
        }
    }

    /// Whether a try would be refused now. Counts nothing.
    pub fn is_spent(&self, address: IpAddr, now: Timestamp) -> bool {
        self.clients.is_spent(limit_key(address), now)
            || site_key(address).is_some_and(|site| self.sites.is_spent(site, now))
    }
}

/// Counts a request of a user that it may make so often. Errors: `TooManyChanges`.
pub fn take_of_user(buckets: &KeyedBuckets, user: UserId, now: Timestamp) -> Result<(), ApiError> {
    buckets
        .take(user.get(), now)
        .map_err(|retry_after_ms| ApiError::TooManyChanges { retry_after_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: BucketRate = BucketRate {
        burst: 2,
        refill: 2,
        per_ms: 60_000,
    };
    const NOW: Timestamp = Timestamp(1_000_000);

    fn ipv6(site: u16, network: u16, host: u16) -> IpAddr {
        IpAddr::from([0x2001, 0xdb8, site, network, 0, 0, 0, host])
    }

    #[test]
    fn memory_is_bounded_and_the_key_not_used_for_longest_is_forgotten() {
        let buckets = KeyedBuckets::new(RATE);
        assert_eq!(buckets.take("seldom", NOW), Ok(()));
        for n in 0..5 * KEYS_REMEMBERED {
            assert_eq!(buckets.take(n, NOW), Ok(()));
            if n % (KEYS_REMEMBERED / 2) == 0 {
                let _ = buckets.take("often", NOW);
            }
            assert!(buckets.keys_count() <= 2 * KEYS_REMEMBERED);
        }
        assert!(
            buckets.take("often", NOW).is_err(),
            "a key under attack is remembered"
        );
        assert_eq!(
            [buckets.take("seldom", NOW), buckets.take("seldom", NOW)],
            [Ok(()), Ok(())]
        );
    }

    #[test]
    fn ipv4_addresses_are_counted_one_by_one() {
        let buckets = AddressBuckets::new(RATE);
        let address = |last: u8| IpAddr::from([192, 0, 2, last]);
        for last in 0..=255 {
            assert_eq!(buckets.take(address(last), NOW), Ok(()));
        }
        assert!(!buckets.is_spent(address(1), NOW), "asking counts nothing");
        assert_eq!(buckets.take(address(1), NOW), Ok(()));
        assert!(buckets.is_spent(address(1), NOW) && !buckets.is_spent(address(2), NOW));
        assert_eq!(buckets.take(address(1), NOW), Err(30_000));
        assert_eq!(buckets.take(address(1), NOW.plus_ms(30_000)), Ok(()));
    }

    #[test]
    fn a_try_that_is_given_back_can_be_made_again_and_no_more_than_that() {
        let buckets = AddressBuckets::new(RATE);
        for address in [ipv6(1, 0, 1), IpAddr::from([192, 0, 2, 1])] {
            for _ in 0..100 {
                assert_eq!(buckets.take(address, NOW), Ok(()));
                buckets.give_back(address);
            }
            let taken = (0..10).filter(|_| buckets.take(address, NOW).is_ok());
            assert_eq!(taken.count(), 2, "{address}");
        }
    }

    #[test]
    fn a_site_with_many_networks_runs_out_and_its_neighbours_do_not() {
        let buckets = AddressBuckets::new(RATE);
        assert_eq!(
            [1, 2].map(|host| buckets.take(ipv6(1, 0, host), NOW)),
            [Ok(()), Ok(())]
        );
        assert!(
            buckets.take(ipv6(1, 0, 3), NOW).is_err(),
            "one /64 is one client"
        );
        let taken = (1..1_000)
            .filter(|network| buckets.take(ipv6(1, *network, 1), NOW).is_ok())
            .count();
        assert_eq!(taken, 2 * SITE_FACTOR as usize - 2, "one /48 is one site");
        assert!(
            buckets.is_spent(ipv6(1, 5_000, 1), NOW) && !buckets.is_spent(ipv6(2, 5_000, 1), NOW)
        );
        assert_eq!(buckets.take(ipv6(2, 0, 1), NOW), Ok(()));
    }
}
