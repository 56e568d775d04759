//! The outcome of a run: filled by the driver, judged by `verify`, shown by `report`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Everything about one run; the JSON file is exactly this.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Outcome {
    pub lab_version: String,
    /// The command line that made it.
    pub command: Vec<String>,
    pub script_path: String,
    /// The script as read, so that the file explains itself.
    pub script_text: String,
    pub seed: u64,
    /// RFC 3339, UTC.
    pub started_at: String,
    pub machine: Machine,
    pub server: ServerFacts,
    /// Seconds from the first connect to the last receipt.
    pub duration_s: f64,
    pub totals: Totals,
    /// Send to receipt of comments by other members, sampled; corrected for coordinated omission.
    pub latency: Percentiles,
    /// Send to the answer of one's own command.
    pub ack_latency: Percentiles,
    /// The script's phases in order, and last the time it took everything to arrive, `settle`.
    #[serde(default)]
    pub phases: Vec<PhaseOutcome>,
    /// One point a second.
    pub series: Vec<Point>,
    pub rooms: Vec<RoomOutcome>,
    /// The promises, each with its verdict.
    pub checks: Vec<Check>,
    /// The script's own objectives, each with its verdict.
    pub objectives: Vec<Check>,
    /// Refusals and closes that were counted, by code.
    pub refusals: BTreeMap<String, u64>,
    /// The physical limit of this machine, when the run measured it too.
    pub floor: Option<Floor>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Machine {
    pub cpu: String,
    pub cores: usize,
    pub memory_bytes: u64,
    pub kernel: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ServerFacts {
    pub url: String,
    pub pid: Option<u32>,
    pub version: Option<String>,
    /// CPU seconds used during the measured phases.
    pub cpu_s: Option<f64>,
    pub cpu_us_per_delivery: Option<f64>,
    pub rss_start_bytes: Option<u64>,
    pub rss_peak_bytes: Option<u64>,
    pub rss_bytes_per_connection: Option<f64>,
    pub context_switches: Option<u64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Totals {
    pub connections: u64,
    pub connect_failures: u64,
    pub joins: u64,
    pub comments_sent: u64,
    pub comments_acked: u64,
    /// Accepted, but shown to their senders only. Files of earlier versions lack it.
    #[serde(default)]
    pub comments_sampled_out: u64,
    pub gifts_sent: u64,
    pub gifts_acked: u64,
    /// Event frames received by all members.
    pub deliveries: u64,
    pub deliveries_per_s: f64,
    pub bytes_received: u64,
    pub expected_deliveries: u64,
    pub lost_deliveries: u64,
    /// Of the expected and lost ones, by lane.
    #[serde(default)]
    pub lanes: BTreeMap<String, LaneTotals>,
    /// Crowd events that slow and stopped readers missed, as they may; not among the lost.
    #[serde(default)]
    pub missed_by_slow: u64,
}

/// The deliveries of one lane that were due, and those that are missing.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LaneTotals {
    pub expected: u64,
    pub lost: u64,
}

impl LaneTotals {
    /// The lost share.
    pub fn loss(&self) -> f64 {
        self.lost as f64 / self.expected.max(1) as f64
    }
}

/// Milliseconds.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Percentiles {
    pub count: u64,
    pub min: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub p999: f64,
    pub max: f64,
}

/// The counts of one phase, so that a ramp can be separated from what is measured after it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct PhaseOutcome {
    pub name: String,
    pub from_s: f64,
    pub to_s: f64,
    pub connections: u64,
    pub joins: u64,
    pub comments_sent: u64,
    pub deliveries: u64,
    pub deliveries_per_s: f64,
    pub bytes_received: u64,
    pub latency: Percentiles,
    /// Between samples one second apart the server's CPU time is taken to grow evenly.
    pub server_cpu_s: Option<f64>,
    pub server_cpu_us_per_delivery: Option<f64>,
}

/// The counts of one second.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Point {
    pub at_s: f64,
    pub phase: String,
    pub members: u64,
    pub deliveries_per_s: f64,
    pub sent_per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub max_ms: f64,
    pub server_cpu_percent: Option<f64>,
    pub server_rss_bytes: Option<u64>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RoomOutcome {
    pub name: String,
    pub live_id: i64,
    pub members_peak: u64,
    pub comments: u64,
    pub gifts: u64,
    pub coins: i64,
    pub first_offset: u64,
    pub last_offset: u64,
    pub deliveries: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Check {
    /// A stable snake_case word, such as `no_acked_comment_lost`.
    pub name: String,
    pub passed: bool,
    /// The counts, in words, with the first offenders if it failed.
    pub detail: String,
}

/// A bare epoll writer on the same machine in the same run.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Floor {
    pub sockets: u64,
    pub frame_bytes: u64,
    pub points: Vec<FloorPoint>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct FloorPoint {
    /// Comments per send.
    pub comments_per_send: u64,
    pub deliveries_per_s: f64,
    pub cpu_us_per_delivery: f64,
    pub p99_ms: f64,
}
