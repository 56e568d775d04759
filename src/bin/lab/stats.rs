//! Latencies and rates, per second and in total.

use hdrhistogram::Histogram;

use crate::outcome::{Percentiles, Point};

/// Longest latency told apart, in microseconds: a minute.
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

/// What is counted while a run runs.
#[derive(Debug, Default)]
pub struct Stats {
    pub connections: u64,
    pub connect_failures: u64,
    pub joins: u64,
    pub comments_sent: u64,
    pub gifts_sent: u64,
    /// Events with an offset, received by anybody.
    pub deliveries: u64,
    /// Any frames, presence included.
    pub frames: u64,
    pub bytes: u64,
    pub latency: Latencies,
    pub ack_latency: Latencies,
    pub series: Vec<Point>,
    /// Latencies of the second under way.
    pub second: Latencies,
    deliveries_before: u64,
    sent_before: u64,
    at_before_s: f64,
}

impl Stats {
    /// Ends a second (or what took its place) and returns its point.
    pub fn tick(&mut self, at_s: f64, phase: &str, members: usize) -> &Point {
        let length = (at_s - self.at_before_s).max(1e-9);
        let latency = self.second.percentiles();
        self.latency.absorb(&mut self.second);
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
        (self.deliveries_before, self.sent_before, self.at_before_s) = (self.deliveries, sent, at_s);
        &self.series[self.series.len() - 1]
    }
}
