//! What nodes tell each other of themselves, for operators.

use serde::{Deserialize, Serialize};

/// One node at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Sixteen hexadecimal digits, new at each start.
    pub node: String,
    /// Where it listens.
    pub address: String,
    pub version: String,
    /// Milliseconds since the Unix epoch, as is `alone_since`.
    pub started_at: i64,
    /// Since when it reaches no other node.
    pub alone_since: Option<i64>,
    pub sessions: usize,
    /// Writes that wait for the store.
    pub writes_queued: usize,
    pub rooms: Vec<RoomReport>,
}

/// One room as one node has it. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoomReport {
    pub live_id: i64,
    pub title: String,
    pub owner_id: i64,
    pub status: i16,
    /// Sessions on this node.
    pub members: usize,
    /// Users online, over all nodes that this one hears.
    pub users: usize,
    pub comments_per_s: f64,
    pub gifts_per_s: f64,
    pub sampled_out: u64,
    /// The live's total, ever.
    pub coin: i64,
    /// Given through this node since the room opened on it.
    pub coins_posted: i64,
    pub look_count: i64,
    pub history_length: usize,
    pub epoch: String,
    pub offset: u64,
    pub in_flight: usize,
    pub opened_at: i64,
}
