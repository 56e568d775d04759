//! A token bucket over an outside clock.

use super::Timestamp;

/// How fast a [`Bucket`] refills and how much it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BucketRate {
    /// Takes allowed at once from a full bucket. At least 1.
    pub burst: u32,
    /// Takes regained in `per_ms`.
    pub refill: u32,
    pub per_ms: u32,
}

impl BucketRate {
    /// Microseconds that one take costs, at least 1: in milliseconds 600 a second would be 1,000.
    pub(super) fn cost_us(self) -> i64 {
        (i64::from(self.per_ms) * 1_000 / i64::from(self.refill.max(1))).max(1)
    }

    /// The rate of `factor` as many takers.
    pub fn times(self, factor: u32) -> Self {
        Self {
            burst: self.burst.saturating_mul(factor),
            refill: self.refill.saturating_mul(factor),
            ..self
        }
    }

    fn full_us(self) -> i64 {
        self.cost_us().saturating_mul(i64::from(self.burst.max(1)))
    }
}

/// A rate limiter that stores one instant (the generic cell rate algorithm): each take moves
/// `paid_until_us` into the future by its cost, and it may be ahead of now by the burst at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    paid_until_us: i64,
}

impl Bucket {
    /// Takes one, or says in how many milliseconds (at least 1) one will be there.
    pub fn take(&mut self, rate: BucketRate, now: Timestamp) -> Result<(), u64> {
        self.take_many(rate, 1, now)
    }

    /// Puts back one that was taken and turned out to cost nothing.
    pub fn give_back(&mut self, rate: BucketRate) {
        self.paid_until_us = self.paid_until_us.saturating_sub(rate.cost_us());
    }

    /// Takes `count` or nothing, and then says in how many milliseconds they will be there. More
    /// than the bucket holds cost all that it holds, or they could never be taken.
    pub fn take_many(&mut self, rate: BucketRate, count: usize, now: Timestamp) -> Result<(), u64> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        self.take_us(
            rate,
            rate.cost_us().saturating_mul(count).min(rate.full_us()),
            0,
            now,
        )
    }

    /// Takes one if `kept` are left after it, or says in how many milliseconds that will be so.
    /// `kept` must be less than the burst.
    pub fn take_keeping(&mut self, rate: BucketRate, kept: u32, now: Timestamp) -> Result<(), u64> {
        let kept = i64::from(kept.min(rate.burst.saturating_sub(1)));
        self.take_us(
            rate,
            rate.cost_us(),
            rate.cost_us().saturating_mul(kept),
            now,
        )
    }

    fn take_us(
        &mut self,
        rate: BucketRate,
        cost_us: i64,
        kept_us: i64,
        now: Timestamp,
    ) -> Result<(), u64> {
        let now_us = in_us(now);
        // Only a clock that was set back leaves us further ahead than the burst. How much was taken
        // is not known any more then, and nobody is refused for it.
        let is_known = self.paid_until_us <= now_us.saturating_add(rate.full_us());
        let paid_until_us = if is_known {
            self.paid_until_us.max(now_us)
        } else {
            now_us
        };
        let after_us = paid_until_us.saturating_add(cost_us);
        let free_us = rate.full_us().saturating_sub(kept_us);
        let short_us = after_us.saturating_sub(now_us).saturating_sub(free_us);
        if short_us > 0 {
            self.paid_until_us = paid_until_us;
            return Err(short_us.unsigned_abs().div_ceil(1_000));
        }
        self.paid_until_us = after_us;
        Ok(())
    }

    /// Whether not one can be taken now.
    pub fn is_empty(&self, rate: BucketRate, now: Timestamp) -> bool {
        let mut tried = *self;
        tried.take(rate, now).is_err()
    }

    /// Whether the bucket is full again, that is, forgetting it changes nothing.
    pub fn is_full(&self, now: Timestamp) -> bool {
        self.paid_until_us <= in_us(now)
    }
}

pub(super) fn in_us(at: Timestamp) -> i64 {
    at.0.saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: BucketRate = BucketRate {
        burst: 3,
        refill: 2,
        per_ms: 1_000,
    };

    #[test]
    fn burst_is_spent_then_refills_at_the_rate() {
        let mut bucket = Bucket::default();
        let now = Timestamp(10_000);
        for _ in 0..3 {
            assert_eq!(bucket.take(RATE, now), Ok(()));
        }
        assert_eq!(bucket.take(RATE, now), Err(500));
        assert_eq!(bucket.take(RATE, now.plus_ms(499)), Err(1));
        assert_eq!(bucket.take(RATE, now.plus_ms(500)), Ok(()));
        assert!(!bucket.is_full(now.plus_ms(500)));
        assert!(bucket.is_full(now.plus_ms(2_000)));
    }

    #[test]
    fn many_are_taken_together_or_not_at_all() {
        let mut bucket = Bucket::default();
        let now = Timestamp(10_000);
        assert_eq!(bucket.take_many(RATE, 2, now), Ok(()));
        assert_eq!(bucket.take_many(RATE, 2, now), Err(500));
        assert_eq!(bucket.take(RATE, now), Ok(()), "nothing was taken");
        assert_eq!(
            bucket.take_many(RATE, 1_000, now),
            Err(1_500),
            "a full bucket pays for anything"
        );
        assert_eq!(bucket.take_many(RATE, 1_000, now.plus_ms(1_500)), Ok(()));
    }

    #[test]
    fn what_is_kept_is_left_for_others() {
        let mut bucket = Bucket::default();
        let now = Timestamp(10_000);
        assert_eq!(bucket.take_keeping(RATE, 2, now), Ok(()));
        assert_eq!(bucket.take_keeping(RATE, 2, now), Err(500));
        assert_eq!(bucket.take_keeping(RATE, 1, now), Ok(()));
        assert_eq!(bucket.take(RATE, now), Ok(()));
        assert_eq!(bucket.take_keeping(RATE, 2, now), Err(1_500));
        assert_eq!(
            bucket.take_keeping(RATE, 9, now.plus_ms(1_500)),
            Ok(()),
            "a full bucket lets one go"
        );
    }

    #[test]
    fn rates_that_no_millisecond_divides_are_kept() {
        let rate = BucketRate {
            burst: 1,
            refill: 600,
            per_ms: 1_000,
        };
        let mut bucket = Bucket::default();
        let taken = (0..10_000)
            .filter(|ms| bucket.take(rate, Timestamp(1_000_000 + ms)).is_ok())
            .count();
        // A caller that tries each millisecond can take every second one, and no more.
        assert_eq!(taken, 5_000);
    }

    #[test]
    fn a_rate_above_one_a_millisecond_is_kept() {
        let rate = BucketRate {
            burst: 1_000,
            refill: 3_000,
            per_ms: 1_000,
        };
        let mut bucket = Bucket::default();
        let taken = (0..50_000).filter(|tenth_ms| {
            bucket
                .take(rate, Timestamp(1_000_000 + tenth_ms / 10))
                .is_ok()
        });
        assert!(
            (16_000..=16_020).contains(&taken.count()),
            "1,000 at once and 3,000 a second for 5 s"
        );
    }

    #[test]
    fn a_clock_that_jumps_back_refuses_nobody_and_is_counted_on_from_there() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take_many(RATE, 3, Timestamp(1_000_000)), Ok(()));
        assert_eq!(bucket.take_many(RATE, 3, Timestamp(5)), Ok(()));
        assert_eq!(bucket.take(RATE, Timestamp(5)), Err(500));
    }
}
