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
    /// Milliseconds that one take costs, at least 1.
    fn cost_ms(self) -> i64 {
        (i64::from(self.per_ms) / i64::from(self.refill.max(1))).max(1)
    }

    fn full_ms(self) -> i64 {
        self.cost_ms() * i64::from(self.burst.max(1))
    }
}

/// A rate limiter of one instant: `empty_until` moves into the future by the cost of each take and
/// may run ahead of now by no more than the burst (the generic cell rate algorithm).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Bucket {
    paid_until: Timestamp,
}

impl Bucket {
    /// Takes one, or says in how many milliseconds (at least 1) one will be there.
    pub fn take(&mut self, rate: BucketRate, now: Timestamp) -> Result<(), u64> {
        // A clock that jumped back must not lock anyone out for longer than an empty bucket would.
        let paid_until = self.paid_until.max(now).min(now.plus_ms(rate.full_ms()));
        let after = paid_until.plus_ms(rate.cost_ms());
        let ahead = after.since(now);
        if ahead > rate.full_ms() {
            self.paid_until = paid_until;
            return Err((ahead - rate.full_ms()).unsigned_abs().max(1));
        }
        self.paid_until = after;
        Ok(())
    }

    /// Whether the bucket is full again, that is, forgetting it changes nothing.
    pub fn is_full(&self, now: Timestamp) -> bool {
        self.paid_until <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: BucketRate = BucketRate { burst: 3, refill: 2, per_ms: 1_000 };

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
    fn a_clock_that_jumps_back_costs_at_most_one_refill() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(RATE, Timestamp(1_000_000)), Ok(()));
        assert_eq!(bucket.take(RATE, Timestamp(5)), Err(500));
        assert_eq!(bucket.take(RATE, Timestamp(505)), Ok(()));
    }
}
