//! The limits of all sessions of one user on this node together: many sockets do not evade the
//! limit of one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::domain::{Bucket, BucketRate, REPORT_RATE, Timestamp, UserId};

/// Limiters kept before those that nobody needs are looked for.
const LIMITERS_BEFORE_SWEEP: usize = 1_024;

/// The limiter that the sessions of one user share.
#[derive(Debug, Default)]
pub(super) struct UserLimiter {
    commands: Mutex<Bucket>,
    reports: Mutex<Bucket>,
}

impl UserLimiter {
    /// Takes one command, or says in how many milliseconds one may be sent.
    pub(super) fn take(&self, rate: BucketRate, now: Timestamp) -> Result<(), u64> {
        lock(&self.commands).take(rate, now)
    }

    /// The same for a report of a comment.
    pub(super) fn take_report(&self, now: Timestamp) -> Result<(), u64> {
        lock(&self.reports).take(REPORT_RATE, now)
    }

    fn is_full(&self, now: Timestamp) -> bool {
        lock(&self.commands).is_full(now) && lock(&self.reports).is_full(now)
    }
}

/// A bucket is one number, so a poisoned lock guards a whole one.
fn lock(bucket: &Mutex<Bucket>) -> MutexGuard<'_, Bucket> {
    bucket.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The limiters of this node: one for each user that has a session here, and for those that had one
/// until a moment ago, so that coming back does not fill a bucket. A session asks once for each
/// user that it speaks for, and never for a command.
#[derive(Debug, Default)]
pub(super) struct UserLimiters(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    by_user: HashMap<UserId, Arc<UserLimiter>>,
    kept_by_sweep: usize,
}

impl UserLimiters {
    pub(super) fn of(&self, user: UserId, now: Timestamp) -> Arc<UserLimiter> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Inner {
            by_user,
            kept_by_sweep,
        } = &mut *inner;
        if by_user.len() >= LIMITERS_BEFORE_SWEEP.max(2 * *kept_by_sweep) {
            by_user.retain(|_, limiter| Arc::strong_count(limiter) > 1 || !limiter.is_full(now));
            *kept_by_sweep = by_user.len();
        }
        by_user.entry(user).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: BucketRate = BucketRate {
        burst: 2,
        refill: 1,
        per_ms: 1_000,
    };
    const NOW: Timestamp = Timestamp(1_000_000);

    fn user(number: i64) -> UserId {
        UserId::new(number).expect("positive")
    }

    #[test]
    fn sessions_of_one_user_share_a_limiter_and_those_of_others_do_not() {
        let limiters = UserLimiters::default();
        let (one, other) = (limiters.of(user(1), NOW), limiters.of(user(1), NOW));
        assert_eq!(
            [one.take(RATE, NOW), other.take(RATE, NOW)],
            [Ok(()), Ok(())]
        );
        assert_eq!(
            [one.take(RATE, NOW), other.take(RATE, NOW)],
            [Err(1_000), Err(1_000)]
        );
        assert_eq!(limiters.of(user(2), NOW).take(RATE, NOW), Ok(()));
    }

    #[test]
    fn a_user_that_comes_back_has_taken_what_it_took() {
        let limiters = UserLimiters::default();
        for _ in 0..2 {
            assert_eq!(limiters.of(user(1), NOW).take(RATE, NOW), Ok(()));
        }
        (2..5_000).for_each(|number| drop(limiters.of(user(number), NOW)));
        assert_eq!(limiters.of(user(1), NOW).take(RATE, NOW), Err(1_000));
    }

    #[test]
    fn limiters_are_kept_for_those_who_are_here_and_for_what_is_taken() {
        let limiters = UserLimiters::default();
        let here: Vec<_> = (1..=100)
            .map(|number| limiters.of(user(number), NOW))
            .collect();
        (101..100_000).for_each(|number| drop(limiters.of(user(number), NOW)));
        let kept = limiters.0.lock().expect("nothing panicked").by_user.len();
        assert!(
            (here.len()..=LIMITERS_BEFORE_SWEEP).contains(&kept),
            "{kept}"
        );
    }
}
