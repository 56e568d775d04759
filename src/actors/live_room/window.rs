//! How long a room gathers events before it delivers them: not at all while it is calm, longer
//! under load.
//!
//! Nearly the whole cost of a delivery is the system call that writes it, and one call writes many
//! events as cheaply as one. So a loud room waits a moment and writes once; a calm room has nothing
//! to gain, and its events are delivered at once.

use std::time::Duration;

use crate::config::FanoutConfig;
use crate::domain::Timestamp;

/// Members up to which a room is small.
const SMALL_ROOM: usize = 1_000;
/// Members from which on a room is big.
const BIG_ROOM: usize = 10_000;
/// The window is at its longest at this many times the calm load.
const LOUD: f64 = 4.0;
/// The time constant of the load average, in milliseconds.
const AVERAGE_MS: f64 = 250.0;

/// The load of one room, and the window that follows from it.
#[derive(Debug)]
pub struct FlushWindow {
    config: FanoutConfig,
    deliveries_per_s: f64,
    flushed_at: Timestamp,
}

impl FlushWindow {
    pub fn new(config: FanoutConfig, now: Timestamp) -> Self {
        Self {
            config,
            deliveries_per_s: 0.0,
            flushed_at: now,
        }
    }

    /// How long to wait with the gathered events; zero: flush now.
    pub fn wait(&self, members_count: usize, now: Timestamp) -> Duration {
        let since = Duration::from_millis(now.since(self.flushed_at).unsigned_abs());
        self.length(members_count, now).saturating_sub(since)
    }

    /// Records a flush of so many events.
    pub fn flushed(&mut self, events_count: usize, members_count: usize, now: Timestamp) {
        self.deliveries_per_s =
            self.load(now) + (events_count * members_count) as f64 * 1_000.0 / AVERAGE_MS;
        self.flushed_at = now;
    }

    /// Deliveries per second now, an exponential average.
    fn load(&self, now: Timestamp) -> f64 {
        let since = now.since(self.flushed_at).max(0) as f64;
        self.deliveries_per_s * (-since / AVERAGE_MS).exp()
    }

    /// The length of the window now.
    pub fn length(&self, members_count: usize, now: Timestamp) -> Duration {
        let calm = f64::from(self.config.calm_deliveries_per_s.max(1));
        let loudness = ((self.load(now) / calm - 1.0) / (LOUD - 1.0)).clamp(0.0, 1.0);
        let bigness = (members_count.saturating_sub(SMALL_ROOM) as f64
            / (BIG_ROOM - SMALL_ROOM) as f64)
            .min(1.0);
        let small = self.config.window_ms.duration().as_secs_f64();
        let big = self.config.big_room_window_ms.duration().as_secs_f64();
        Duration::from_secs_f64(loudness * (small + (big - small).max(0.0) * bigness))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Millis;

    const CONFIG: FanoutConfig = FanoutConfig {
        window_ms: Millis::new(50),
        big_room_window_ms: Millis::new(200),
        calm_deliveries_per_s: 10_000,
    };
    const SMALL_ROOM_MAX: Duration = CONFIG.window_ms.duration();
    const BIG_ROOM_MAX: Duration = CONFIG.big_room_window_ms.duration();

    /// The window of a room that delivered so many events a second for five seconds.
    fn window(members_count: usize, events_per_s: i64) -> Duration {
        let mut window = FlushWindow::new(CONFIG, Timestamp(0));
        let mut now = Timestamp(0);
        for event in 0..events_per_s * 5 {
            now = Timestamp(event * 1_000 / events_per_s);
            window.flushed(1, members_count, now);
        }
        window.length(members_count, now)
    }

    #[test]
    fn a_calm_room_does_not_wait() {
        assert_eq!(window(10, 100), Duration::ZERO);
        assert_eq!(window(1_000, 2), Duration::ZERO);
    }

    #[test]
    fn the_window_opens_with_the_load_and_is_bounded() {
        let some = window(1_000, 25);
        assert!(some > Duration::ZERO && some < SMALL_ROOM_MAX, "{some:?}");
        assert_eq!(window(1_000, 100), SMALL_ROOM_MAX);
        assert_eq!(window(10_000, 100), BIG_ROOM_MAX);
        assert_eq!(window(100_000, 1_000), BIG_ROOM_MAX);
        let between = window(5_500, 100);
        assert!(
            between > SMALL_ROOM_MAX && between < BIG_ROOM_MAX,
            "{between:?}"
        );
    }

    #[test]
    fn time_already_waited_counts_and_silence_closes_the_window() {
        let mut window = FlushWindow::new(CONFIG, Timestamp(0));
        window.flushed(100, 1_000, Timestamp(0));
        assert_eq!(window.wait(1_000, Timestamp(0)), Duration::from_millis(50));
        assert_eq!(window.wait(1_000, Timestamp(20)), Duration::from_millis(30));
        assert_eq!(window.wait(1_000, Timestamp(50)), Duration::ZERO);
        assert_eq!(window.length(1_000, Timestamp(5_000)), Duration::ZERO);
    }
}
