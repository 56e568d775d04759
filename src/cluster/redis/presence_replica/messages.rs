//! What nodes send each other about the presence of one room.

use serde::{Deserialize, Serialize};

use crate::cluster::wire::WirePeer;
use crate::domain::{LiveId, NodeId};

/// The origin in a snapshot of a node that does not have the room.
pub(super) const NO_ORIGIN: u64 = 0;

/// A message between nodes about the presence of one room. The names on the wire are older than
/// those here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "share", rename_all = "snake_case")]
pub enum PresenceMessage {
    /// On the room's channel: this node has the room and has sent `count` deltas. If it asks, the
    /// others announce themselves too; nodes of an older version neither write nor read that.
    #[serde(rename = "hello")]
    Announce {
        node: u64,
        origin: u64,
        count: u64,
        #[serde(default)]
        asks: bool,
    },
    /// On the room's channel: the next delta.
    Delta {
        node: u64,
        origin: u64,
        count: u64,
        users: Vec<WirePeer>,
    },
    /// On the room's channel: this node has closed the room.
    #[serde(rename = "bye")]
    Gone { node: u64, origin: u64 },
    /// To one node: send a snapshot.
    #[serde(rename = "ask")]
    SnapshotRequest { live: i64, node: u64 },
    /// To one node: all users of the sender, up to delta `count`, in `parts` parts numbered from 0.
    #[serde(rename = "all")]
    Snapshot {
        live: i64,
        node: u64,
        origin: u64,
        count: u64,
        part: usize,
        parts: usize,
        users: Vec<WirePeer>,
    },
}

impl PresenceMessage {
    /// The sender.
    pub fn node(&self) -> NodeId {
        match self {
            Self::Announce { node, .. }
            | Self::Delta { node, .. }
            | Self::Gone { node, .. }
            | Self::SnapshotRequest { node, .. }
            | Self::Snapshot { node, .. } => NodeId(*node),
        }
    }

    /// The snapshot of a node that does not have the room: its users left, and others did not
    /// notice.
    pub fn no_room(live_id: LiveId, node: NodeId) -> Self {
        let (live, node) = (live_id.get(), node.0);
        Self::Snapshot {
            live,
            node,
            origin: NO_ORIGIN,
            count: 0,
            part: 0,
            parts: 1,
            users: Vec::new(),
        }
    }
}
