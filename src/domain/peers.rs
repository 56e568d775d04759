//! The presence of other nodes in a room.

use std::sync::Arc;

use super::{NodeId, Profile, SocketId, Timestamp, UserId};

/// A user online in a room on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerUser {
    pub profile: Arc<Profile>,
    /// Of its members there; none while it is in its grace.
    pub sockets: Vec<SocketId>,
    pub arrived_at: Timestamp,
}

/// A presence change of a user on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceChange {
    /// The user is online; new or changed.
    Online(PeerUser),
    /// The user is not online any more.
    Offline(UserId),
}

/// A presence change of another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerChange {
    /// The user is online there; new or changed.
    Present { node: NodeId, user: PeerUser },
    /// The user is not online there any more.
    Absent { node: NodeId, user: UserId },
    /// Exactly these users are online there; none if the node left or died.
    All { node: NodeId, users: Vec<PeerUser> },
}
