//! Time comes in from outside, so that tests can own it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::Timestamp;

/// The source of the current time. Cheap: called for every command.
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;
}

/// The machine's clock. It may jump; whoever measures a length with it bounds the damage.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since_epoch = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The time of the store, which all nodes share, in milliseconds. What one node writes down and
/// another one does when it is time goes by it: a node whose clock is minutes off does it neither
/// early nor late.
///
/// It is this node's clock, corrected by what the last measurement said. Differences of up to
/// [`SKEW_IGNORED_MS`] are left as they are, so two nodes may differ by twice that.
pub struct StoreClock {
    clock: Arc<dyn Clock>,
    /// By how much the store is ahead of this node.
    ahead_ms: AtomicI64,
}

/// Smaller differences are those of the measurement, in milliseconds.
pub const SKEW_IGNORED_MS: i64 = 250;
/// A measurement that took longer says nothing, in milliseconds.
const MEASUREMENT_MS_MAX: i64 = 1_000;

impl StoreClock {
    /// The store's clock is this one, as far as is known.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            ahead_ms: AtomicI64::new(0),
        }
    }

    /// The store's time now.
    pub fn now(&self) -> Timestamp {
        self.clock.now().plus_ms(self.ahead_ms())
    }

    /// By how many milliseconds the store's clock is ahead of this node's.
    pub fn ahead_ms(&self) -> i64 {
        self.ahead_ms.load(Ordering::Relaxed)
    }

    /// This node's own clock.
    pub fn of_node(&self) -> &dyn Clock {
        &*self.clock
    }

    /// The store said that its time was `time`, between these two times of this node. Returns the
    /// difference if it is another one than before.
    pub fn measured(&self, asked: Timestamp, time: Timestamp, answered: Timestamp) -> Option<i64> {
        // Not `since`, for which no time is before another one.
        let took_ms = answered.0.saturating_sub(asked.0);
        if !(0..=MEASUREMENT_MS_MAX).contains(&took_ms) {
            return None;
        }
        let ahead_ms = time.0.saturating_sub(asked.plus_ms(took_ms / 2).0);
        let before_ms = self.ahead_ms();
        let is_same = ahead_ms.abs_diff(before_ms) <= SKEW_IGNORED_MS.unsigned_abs();
        if is_same {
            return None;
        }
        let ahead_ms = match ahead_ms.abs() <= SKEW_IGNORED_MS {
            true => 0,
            false => ahead_ms,
        };
        self.ahead_ms.store(ahead_ms, Ordering::Relaxed);
        Some(ahead_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct At(i64);

    impl Clock for At {
        fn now(&self) -> Timestamp {
            Timestamp(self.0)
        }
    }

    #[test]
    fn the_stores_time_is_this_nodes_corrected_by_more_than_a_measurement_is_off_by() {
        let clock = StoreClock::new(Arc::new(At(600_000)));
        assert_eq!(clock.now(), Timestamp(600_000));
        // Five minutes ahead of the store, as far as a round trip of 20 ms says.
        let measured = |asked, time, answered| {
            clock.measured(Timestamp(asked), Timestamp(time), Timestamp(answered))
        };
        assert_eq!(measured(600_000, 300_010, 600_020), Some(-300_000));
        assert_eq!(clock.now(), Timestamp(300_000));
        // It differs by less than measurements do, it took too long, or the clock was put back.
        assert_eq!(measured(600_000, 300_200, 600_020), None);
        assert_eq!(measured(600_000, 900_000, 601_001), None);
        assert_eq!(measured(600_000, 900_000, 599_999), None);
        assert_eq!(clock.now(), Timestamp(300_000));
        // It is right again.
        assert_eq!(measured(600_000, 600_100, 600_020), Some(0));
        assert_eq!(clock.now(), Timestamp(600_000));
    }
}
