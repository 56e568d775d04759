//! Events per second, as a mean over the last ten seconds.

use super::Timestamp;

const SECONDS: usize = 10;

/// Counts into one slot a second; a slot is emptied when its second comes round again.
#[derive(Debug, Default)]
pub(super) struct RateMeter {
    slots: [(i64, u32); SECONDS],
}

impl RateMeter {
    pub fn count(&mut self, now: Timestamp) {
        let second = now.0.div_euclid(1_000);
        let slot = &mut self.slots[second.rem_euclid(SECONDS as i64) as usize];
        if slot.0 != second {
            *slot = (second, 0);
        }
        slot.1 += 1;
    }

    pub fn per_s(&self, now: Timestamp) -> f64 {
        let second = now.0.div_euclid(1_000);
        let recent = self
            .slots
            .iter()
            .filter(|(at, _)| second - at < SECONDS as i64);
        f64::from(recent.map(|(_, count)| *count).sum::<u32>()) / SECONDS as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_covers_the_last_ten_seconds_only() {
        let mut meter = RateMeter::default();
        for ms in [0, 10, 20, 5_000, 9_999] {
            meter.count(Timestamp(1_000_000 + ms));
        }
        assert_eq!(meter.per_s(Timestamp(1_009_999)), 0.5);
        assert_eq!(meter.per_s(Timestamp(1_010_000)), 0.2);
        assert_eq!(meter.per_s(Timestamp(1_030_000)), 0.0);
    }
}
