//! What nodes tell each other of themselves, for operators.

use serde::{Deserialize, Serialize};

/// Rooms that one page may list.
pub const ROOMS_PAGE_MAX: u32 = 100;

/// What a report should say about rooms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomsAsked {
    /// All rooms. Nodes of an older version ask for a report without saying which rooms, and expect all.
    #[default]
    All,
    /// How many there are, and none of them.
    Totals,
    /// One page of them.
    Page(RoomsPage),
}

/// Part of the list of rooms that is ordered by live id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomsPage {
    /// The page begins behind this live id; 0 for the first page.
    pub after: i64,
    /// Rooms, 1 to [`ROOMS_PAGE_MAX`].
    pub limit: u32,
}

/// Rooms and members of one node, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomTotals {
    pub rooms: usize,
    /// Sessions in rooms.
    pub members: usize,
}

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
    /// The rooms that were asked for, by live id. A node of an older version always lists all its rooms.
    pub rooms: Vec<RoomReport>,
    /// Set if the node has rooms behind this page: the last live id that the page covers. A room that did not answer
    /// is covered though it is not listed.
    #[serde(default)]
    pub next_after: Option<i64>,
    /// Set if [`RoomsAsked::Totals`] was asked for, but not by a node of an older version.
    #[serde(default)]
    pub totals: Option<RoomTotals>,
}

impl NodeReport {
    /// The counts of a report for which [`RoomsAsked::Totals`] was asked.
    pub fn room_totals(&self) -> RoomTotals {
        self.totals.unwrap_or_else(|| RoomTotals {
            rooms: self.rooms.len(),
            members: self.rooms.iter().map(|room| room.members).sum(),
        })
    }
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
