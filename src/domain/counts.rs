//! What a room counts for operators.

/// Counts of one room on one node since it opened there. They only grow; rates are made of them by
/// whoever reads them regularly.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RoomCounts {
    /// Sessions that became members.
    pub joins: u64,
    /// Comments that members posted here, those refused by a limit included.
    pub comments_in: u64,
    /// Comments that members posted here and all members received.
    pub comments_shown: u64,
    /// Comments that only their senders see because the room is above its cap.
    pub comments_sampled: u64,
    /// Comments that were held.
    pub comments_held: u64,
    /// Gifts that were committed through this node.
    pub gifts: u64,
    /// Their coins.
    pub coins: u64,
}
