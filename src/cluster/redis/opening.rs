//! What the rest of the program and the engine share of one opening of a room.

use super::Count;
use crate::domain::{LiveId, PeerChange, Position, Sequenced, Timestamp};

/// The counters that a room and the engine share.
#[derive(Debug, Default)]
pub struct RoomGauge {
    /// Appended events that the engine has not taken yet.
    pub waiting: Count,
    /// Delivered events that the room has not acknowledged.
    pub unacked: Count,
    /// How long batches gather at most.
    pub batch_window_ms: Count,
}

/// One opening of a room on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomKey {
    pub live_id: LiveId,
    pub origin: u64,
}

/// A room as it was opened.
pub struct Opened {
    pub position: Position,
    pub recent: Vec<(Sequenced, Timestamp)>,
    pub peers: Vec<PeerChange>,
}
