//! Measures the shown and the total rate of comments while the crowd is sampled.

use crate::domain::Timestamp;

/// The interval of announcements, in milliseconds.
const SECOND_MS: i64 = 1_000;

/// Viewers' comments per second. The two are equal when nothing was sampled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrowdRate {
    pub shown: u32,
    pub total: u32,
}

/// Counts from the first round that sampled something out until a second passes without sampling.
#[derive(Debug, Default)]
pub(super) struct Meter {
    /// Start of the current second; `None` while nothing is sampled.
    since: Option<Timestamp>,
    shown: u32,
    sampled_out: u32,
}

impl Meter {
    /// Counts from `at` on, unless it does so already.
    pub fn start(&mut self, at: Timestamp) {
        if self.since.is_none() {
            self.since = Some(at);
        }
    }

    /// Adds decisions, if counting has started.
    pub fn count(&mut self, shown: usize, sampled_out: usize) {
        if self.since.is_none() {
            return;
        }
        self.shown = self
            .shown
            .saturating_add(u32::try_from(shown).unwrap_or(u32::MAX));
        self.sampled_out = self
            .sampled_out
            .saturating_add(u32::try_from(sampled_out).unwrap_or(u32::MAX));
    }

    pub fn due_at(&self) -> Option<Timestamp> {
        self.since.map(|since| since.plus_ms(SECOND_MS))
    }

    /// The rate of a second, once it has passed. A second without sampling is the last to be
    /// announced.
    pub fn measure(&mut self, now: Timestamp) -> Option<CrowdRate> {
        let since = self.since?;
        let elapsed_ms = now.since(since);
        // A clock that was set back must not silence the meter until it catches up.
        if elapsed_ms < SECOND_MS && now >= since {
            return None;
        }
        let (shown, sampled_out) = (self.shown, self.sampled_out);
        *self = Self {
            since: (sampled_out > 0).then_some(now),
            shown: 0,
            sampled_out: 0,
        };
        // The call may be late. Rounded apart, so that the two are equal only if nothing was
        // sampled out.
        let elapsed_ms = elapsed_ms.max(SECOND_MS).unsigned_abs();
        let total = u64::from(shown) + u64::from(sampled_out);
        let total_per_s = (total * 1_000).div_ceil(elapsed_ms);
        let shown_per_s = if sampled_out == 0 {
            total_per_s
        } else {
            u64::from(shown) * 1_000 / elapsed_ms
        };
        let per_s = |count| u32::try_from(count).unwrap_or(u32::MAX);
        Some(CrowdRate {
            shown: per_s(shown_per_s),
            total: per_s(total_per_s),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_is_announced_and_the_first_calm_one_is_the_last() {
        let mut meter = Meter::default();
        meter.count(5, 0);
        assert_eq!(
            (meter.due_at(), meter.measure(Timestamp(5_000))),
            (None, None)
        );

        meter.start(Timestamp(10_000));
        meter.count(40, 272);
        meter.start(Timestamp(10_250));
        assert_eq!(meter.due_at(), Some(Timestamp(11_000)));
        assert_eq!(meter.measure(Timestamp(10_999)), None);
        assert_eq!(
            meter.measure(Timestamp(11_000)),
            Some(CrowdRate {
                shown: 40,
                total: 312
            })
        );
        meter.count(7, 0);
        assert_eq!(
            meter.measure(Timestamp(12_000)),
            Some(CrowdRate { shown: 7, total: 7 })
        );
        assert_eq!(
            (meter.due_at(), meter.measure(Timestamp(13_000))),
            (None, None)
        );
    }

    #[test]
    fn a_late_call_is_measured_as_one_interval() {
        let mut meter = Meter::default();
        meter.start(Timestamp(0));
        meter.count(82, 1);
        assert_eq!(
            meter.measure(Timestamp(2_000)),
            Some(CrowdRate {
                shown: 41,
                total: 42
            })
        );
        meter.count(3, 0);
        assert_eq!(
            meter.measure(Timestamp(4_000)),
            Some(CrowdRate { shown: 2, total: 2 })
        );
    }

    #[test]
    fn a_clock_that_jumps_back_does_not_silence_it() {
        let mut meter = Meter::default();
        meter.start(Timestamp(1_000_000));
        meter.count(1, 1);
        assert_eq!(
            meter.measure(Timestamp(5)),
            Some(CrowdRate { shown: 1, total: 2 })
        );
    }
}
