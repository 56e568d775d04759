//! The statistics of a room for operators, tests and metrics.

use std::sync::Arc;

use crate::domain::{
    Coins, LedgerEntry, Live, Position, Profile, Sequenced, SessionId, SocketId, Timestamp,
};

/// One room at a glance, made when somebody asks.
#[derive(Debug, Clone)]
pub struct RoomStats {
    pub live: Live,
    /// Sessions in the room on this node.
    pub members_count: usize,
    /// Users online in the room, those in their leave grace included.
    pub users_count: usize,
    /// Mean over the last ten seconds.
    pub comments_per_s: f64,
    /// Mean over the last ten seconds.
    pub gifts_per_s: f64,
    /// Coins given since the room opened on this node.
    pub coins_posted: Coins,
    /// Recoverable events kept for members that come back.
    pub history_count: usize,
    pub position: Position,
    /// Viewers' comments sampled out since the room opened on this node.
    pub sampled_out_count: u64,
    /// Commands accepted and not yet answered.
    pub in_flight_count: usize,
    pub opened_at: Timestamp,
}

/// One member, for the operator.
#[derive(Debug, Clone)]
pub struct MemberView {
    pub session_id: SessionId,
    pub socket_id: SocketId,
    pub user: Arc<Profile>,
    pub joined_at: Timestamp,
    /// Packets waiting in its outbox.
    pub queued_packets: usize,
    pub queued_bytes: usize,
}

/// One room in full, for the operator.
#[derive(Debug, Clone)]
pub struct RoomDetail {
    pub stats: RoomStats,
    /// At most [`RoomDetail::MEMBERS_MAX`], in the order they joined.
    pub members: Vec<MemberView>,
    /// The newest events, oldest first, at most [`RoomDetail::EVENTS_MAX`].
    pub events: Vec<Sequenced>,
    /// The newest coin entries of this node, oldest first.
    pub ledger: Vec<LedgerEntry>,
}

impl RoomDetail {
    pub const MEMBERS_MAX: usize = 1_000;
    pub const EVENTS_MAX: usize = 50;
}
