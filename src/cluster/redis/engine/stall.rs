//! For how long this node itself could not run, because its machine was suspended or overloaded.
//! Answers and messages may be there then and not be read yet, so that time is nobody's silence.

use std::time::{Duration, Instant};

use super::TICK;

/// Measures how much later than expected ticks come.
#[derive(Default)]
pub struct StallMeter {
    ticked_at: Option<Instant>,
}

impl StallMeter {
    /// How long the node was stalled before this tick; zero if the tick is about in time.
    pub fn tick(&mut self, now: Instant) -> Duration {
        let ticked_at = self.ticked_at.replace(now).unwrap_or(now);
        let late = now
            .saturating_duration_since(ticked_at)
            .saturating_sub(TICK);
        if late < TICK { Duration::ZERO } else { late }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_that_is_late_by_another_one_or_more_shows_a_stall() {
        let mut meter = StallMeter::default();
        let mut now = Instant::now();
        assert_eq!(meter.tick(now), Duration::ZERO, "the first");
        for (gap, stalled) in [(1.0, 0.0), (1.9, 0.0), (2.0, 1.0), (31.0, 30.0), (0.1, 0.0)] {
            now += TICK.mul_f64(gap);
            let expected = TICK.mul_f64(stalled);
            assert_eq!(meter.tick(now), expected, "after {gap} ticks");
        }
    }
}
