//! Latencies and rates, per second and in total.

use hdrhistogram::Histogram;

use crate::lane::Lane;
use crate::outcome::{Percentiles, PhaseOutcome, Point};

/// Longest latency that is distinguished, in microseconds: a minute.
const LATENCY_US_MAX: u64 = 60_000_000;

/// Three digits: a 10 ms latency is known to 10 µs.
const DIGITS: u8 = 3;

/// Latencies in microseconds.
#[derive(Debug, Clone)]
pub struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Self {
        Self(Histogram::new_with_bounds(1, LATENCY_US_MAX, DIGITS).expect("the bounds are valid"))
    }
}

impl Latencies {
    #[inline]
    pub fn record_ns(&mut self, ns: u64) {
        self.0.saturating_record((ns / 1_000).max(1));
    }

    fn absorb(&mut self, other: &mut Self) {
        // Both have the same bounds, so nothing can fall outside.
        let _ = self.0.add(&other.0);
        other.0.reset();
    }

    /// The counts of `self` without those of `part`, which it contains.
    fn without(&self, part: &Self) -> Self {
        let mut rest = self.clone();
        // A part is never more than the whole.
        let _ = rest.0.subtract(&part.0);
        rest
    }

    pub fn percentiles(&self) -> Percentiles {
        if self.0.is_empty() {
            return Percentiles::default();
        }
        let ms = |us: u64| us as f64 / 1_000.0;
        let at = |quantile: f64| ms(self.0.value_at_quantile(quantile));
        Percentiles {
            count: self.0.len(),
            min: ms(self.0.min()),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(self.0.max()),
        }
    }
}

/// The counters of a run.
#[derive(Debug, Default)]
pub struct Stats {
    pub connections: u64,
    pub connect_failures: u64,
    pub joins: u64,
    pub comments_sent: u64,
    pub gifts_sent: u64,
    /// Events with an offset, received by anybody.
    pub deliveries: u64,
    /// Those of them from before their receiver joined.
    pub replayed: u64,
    /// Those of them that the promises are about, by lane: all but the crowd's to slow readers.
    pub promised: [u64; Lane::ALL.len()],
    /// Any frames, presence included.
    pub frames: u64,
    pub bytes: u64,
    pub latency: Latencies,
    pub ack_latency: Latencies,
    pub series: Vec<Point>,
    pub phases: Vec<PhaseOutcome>,
    /// Latencies of the second under way.
    pub second: Latencies,
    /// The part of `second` that is in the phases already.
    second_counted: Latencies,
    /// Latencies of the phase under way.
    phase: Latencies,
    deliveries_before: u64,
    sent_before: u64,
    at_before_s: f64,
}

impl Stats {
    /// Ends a second (or what took its place) and returns its point.
    pub fn tick(&mut self, at_s: f64, phase: &str, members: usize) -> &Point {
        let length = (at_s - self.at_before_s).max(1e-9);
        let latency = self.second.percentiles();
        self.count_second();
        self.second = Latencies::default();
        self.second_counted = Latencies::default();
        let sent = self.comments_sent + self.gifts_sent;
        self.series.push(Point {
            at_s,
            phase: phase.to_owned(),
            members: members as u64,
            deliveries_per_s: (self.deliveries - self.deliveries_before) as f64 / length,
            sent_per_s: (sent - self.sent_before) as f64 / length,
            p50_ms: latency.p50,
            p99_ms: latency.p99,
            max_ms: latency.max,
            server_cpu_percent: None,
            server_rss_bytes: None,
        });
        (self.deliveries_before, self.sent_before, self.at_before_s) =
            (self.deliveries, sent, at_s);
        &self.series[self.series.len() - 1]
    }

    /// Ends the phase under way.
    pub fn end_phase(&mut self, name: &str, to_s: f64) {
        self.count_second();
        let before = |value: fn(&PhaseOutcome) -> u64| self.phases.iter().map(value).sum::<u64>();
        let from_s = self.phases.last().map_or(0.0, |phase| phase.to_s);
        let deliveries = self.deliveries - before(|phase| phase.deliveries);
        let phase = PhaseOutcome {
            name: name.to_owned(),
            from_s,
            to_s,
            connections: self.connections - before(|phase| phase.connections),
            joins: self.joins - before(|phase| phase.joins),
            comments_sent: self.comments_sent - before(|phase| phase.comments_sent),
            deliveries,
            deliveries_per_s: deliveries as f64 / (to_s - from_s).max(1e-9),
            // The kept part of a frame that has not come whole may be counted in the next phase.
            bytes_received: self
                .bytes
                .saturating_sub(before(|phase| phase.bytes_received)),
            latency: self.phase.percentiles(),
            server_cpu_s: None,
            server_cpu_us_per_delivery: None,
        };
        self.phases.push(phase);
        self.latency.absorb(&mut self.phase);
    }

    /// Adds what the second under way has so far to the phase.
    fn count_second(&mut self) {
        self.phase
            .absorb(&mut self.second.without(&self.second_counted));
        self.second_counted = self.second.clone();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_across_the_end_of_a_phase_counts_in_both_for_its_part() {
        let mut stats = Stats::default();
        let record = |stats: &mut Stats, ms: u64| {
            stats.second.record_ns(ms * 1_000_000);
            stats.deliveries += 1;
        };
        record(&mut stats, 1);
        stats.tick(1.0, "calm", 1);
        record(&mut stats, 2);
        stats.end_phase("calm", 1.5);
        record(&mut stats, 100);
        stats.tick(2.0, "loud", 1);
        stats.end_phase("loud", 2.5);
        let found: Vec<_> = stats
            .phases
            .iter()
            .map(|phase| {
                (
                    phase.latency.count,
                    phase.deliveries,
                    phase.latency.max.round(),
                )
            })
            .collect();
        assert_eq!(found, [(2, 2, 2.0), (1, 1, 100.0)]);
        assert_eq!(
            (
                stats.latency.percentiles().count,
                stats.series[1].max_ms.round()
            ),
            (3, 100.0)
        );
        assert_eq!(
            (stats.phases[1].from_s, stats.phases[1].deliveries_per_s),
            (1.5, 1.0)
        );
    }
}
