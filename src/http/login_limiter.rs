//! How often a login may be tried, by users and by managers.
//!
//! Each node counts by itself: with N nodes strangers have N times the tries, which a password or a
//! code of six digits bears.

use std::net::IpAddr;

use crate::client_address::limit_key;
use crate::domain::{BucketRate, Timestamp};

use super::tries::{AddressBuckets, KeyedBuckets};

/// Logins to accounts that know an address, as a multiple of what it may try at other accounts. All
/// that share an address, such as a school, log in within minutes; each has a bucket of its own as
/// well.
const KNOWN_FACTOR: u32 = 30;

/// One try to log in, or to show a code that a login needs.
#[derive(Debug, Clone, Copy)]
pub struct LoginAttempt<'a> {
    /// The account's name in the form in which names are compared.
    pub username: &'a str,
    pub address: IpAddr,
    /// Whether this account was logged in to from this address before.
    pub is_known: bool,
}

/// Counts failures: an attempt is counted when it begins, so that many at once are not more than
/// there may be, and no more once it succeeded. Addresses that never logged in to an account share
/// one bucket for it, so many of them cannot guess more than one could. Its user is not among them:
/// an address that did log in has a bucket of its own, which strangers cannot empty. Another bucket,
/// of each address over all accounts, stops guessing at many.
pub struct LoginLimiter {
    strangers: KeyedBuckets,
    known: KeyedBuckets,
    addresses: AddressBuckets,
    known_addresses: AddressBuckets,
}

impl LoginLimiter {
    /// `logins_per_min` failures a minute for one account by strangers and by each known address,
    /// and twice as many in ten minutes by one stranger over all accounts.
    pub fn new(logins_per_min: u32) -> Self {
        let account_rate = BucketRate {
            burst: logins_per_min,
            refill: logins_per_min,
            per_ms: 60_000,
        };
        let in_ten_minutes = |count| BucketRate {
            burst: count,
            refill: count,
            per_ms: 600_000,
        };
        let per_address = logins_per_min.saturating_mul(2);
        Self {
            strangers: KeyedBuckets::new(account_rate),
            known: KeyedBuckets::new(account_rate),
            addresses: AddressBuckets::new(in_ten_minutes(per_address)),
            known_addresses: AddressBuckets::new(in_ten_minutes(
                per_address.saturating_mul(KNOWN_FACTOR),
            )),
        }
    }

    /// Counts an attempt as failed, or says in how many milliseconds the next one may be made.
    pub fn take(&self, attempt: LoginAttempt<'_>, now: Timestamp) -> Result<(), u64> {
        let LoginAttempt {
            username,
            address,
            is_known,
        } = attempt;
        // Shared limits are checked last, so that a login which is refused anyway takes nothing
        // from others.
        if is_known {
            self.known.take((username, limit_key(address)), now)?;
            return self.known_addresses.take(address, now);
        }
        self.addresses.take(address, now)?;
        self.strangers
            .take(username, now)
            .inspect_err(|_| self.addresses.give_back(address))
    }

    /// An attempt that was taken did not fail. What one address costs over all its accounts stays
    /// counted: each password check takes tens of milliseconds.
    pub fn give_back(&self, attempt: LoginAttempt<'_>) {
        let LoginAttempt {
            username,
            address,
            is_known,
        } = attempt;
        if is_known {
            self.known.give_back((username, limit_key(address)));
        } else {
            self.addresses.give_back(address);
            self.strangers.give_back(username);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    fn address(last: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + last))
    }

    fn stranger(username: &str, last: u32) -> LoginAttempt<'_> {
        LoginAttempt {
            username,
            address: address(last),
            is_known: false,
        }
    }

    fn known(username: &str, last: u32) -> LoginAttempt<'_> {
        LoginAttempt {
            is_known: true,
            ..stranger(username, last)
        }
    }

    #[test]
    fn one_account_is_tried_five_times_a_minute_by_all_strangers_together() {
        let limiter = LoginLimiter::new(5);
        for attempt in 0..5 {
            assert_eq!(limiter.take(stranger("alice", attempt), NOW), Ok(()));
        }
        assert_eq!(limiter.take(stranger("alice", 9), NOW), Err(12_000));
        assert_eq!(limiter.take(stranger("bobby", 9), NOW), Ok(()));
        assert_eq!(
            limiter.take(stranger("alice", 10), NOW.plus_ms(12_000)),
            Ok(())
        );
    }

    #[test]
    fn one_address_tries_ten_times_in_ten_minutes() {
        let limiter = LoginLimiter::new(5);
        for attempt in 0..10 {
            assert_eq!(
                limiter.take(stranger(&format!("user{attempt}"), 1), NOW),
                Ok(())
            );
        }
        assert_eq!(limiter.take(stranger("user10", 1), NOW), Err(60_000));
        assert_eq!(limiter.take(stranger("user10", 2), NOW), Ok(()));
    }

    #[test]
    fn strangers_do_not_lock_a_known_address_out_nor_the_other_way_round() {
        let limiter = LoginLimiter::new(5);
        while limiter.take(stranger("alice", 1), NOW).is_ok() {}
        for _ in 0..5 {
            assert_eq!(
                limiter.take(known("alice", 1), NOW),
                Ok(()),
                "even from the address of a guesser"
            );
        }
        assert_eq!(
            limiter.take(known("alice", 1), NOW),
            Err(12_000),
            "it may not guess for ever either"
        );
        assert_eq!(
            limiter.take(known("alice", 2), NOW),
            Ok(()),
            "another of its addresses"
        );
        assert_eq!(limiter.take(stranger("bobby", 3), NOW), Ok(()));
    }

    #[test]
    fn logins_that_succeed_are_not_counted_and_take_no_failures_back() {
        let limiter = LoginLimiter::new(5);
        for attempt in [stranger("alice", 1), known("alice", 2)] {
            for _ in 0..4 {
                assert_eq!(limiter.take(attempt, NOW), Ok(()));
            }
            for _ in 0..50 {
                assert_eq!(limiter.take(attempt, NOW), Ok(()));
                limiter.give_back(attempt);
            }
            assert_eq!(limiter.take(attempt, NOW), Ok(()), "the fifth failure");
            assert_eq!(limiter.take(attempt, NOW), Err(12_000));
        }
    }

    #[test]
    fn as_many_attempts_run_at_once_as_may_fail() {
        let limiter = LoginLimiter::new(5);
        let begun = (0..20).filter(|n| limiter.take(stranger("alice", *n), NOW).is_ok());
        assert_eq!(begun.count(), 5);
        limiter.give_back(stranger("alice", 0));
        assert_eq!(limiter.take(stranger("alice", 21), NOW), Ok(()));
        assert_eq!(limiter.take(stranger("alice", 22), NOW), Err(12_000));
    }

    #[test]
    fn accounts_of_ones_own_do_not_buy_password_checks_without_end() {
        let limiter = LoginLimiter::new(5);
        let taken = (0..1_000)
            .filter(|n| limiter.take(known(&format!("user{n}"), 1), NOW).is_ok())
            .count();
        assert_eq!(taken, 300);
    }
}
