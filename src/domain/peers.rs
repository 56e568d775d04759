//! What other nodes show in a room.

use std::sync::Arc;

use super::{NodeId, Profile, SocketId, Timestamp, UserId};

/// A user as one node shows it in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerUser {
    pub profile: Arc<Profile>,
    /// Of its members there; none while it is in its grace.
    pub sockets: Vec<SocketId>,
    pub arrived_at: Timestamp,
}

/// What another node shows now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PeerChange {
    /// This user, new or different from before.
    Present { node: NodeId, user: PeerUser },
    /// This user no more.
    Absent { node: NodeId, user: UserId },
    /// These users and nobody else; nobody, when the node left or died.
    All { node: NodeId, users: Vec<PeerUser> },
}
