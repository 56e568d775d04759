//! The change feed: which rows changed, whoever changed them.
//!
//! PostgreSQL notes each change of a token, of an account's status, of a live's status or title and
//! of what is forbidden to users in the table `changes`, by triggers: also those of a node of the
//! version before, and those made by hand. Nodes poll it. A position is a snapshot of the database,
//! and what comes after it is what it did not see: transactions commit in another order than that in
//! which they began or took ids, so no number could be a position.
//!
//! SQLite has one node, which makes all changes itself, and no feed.

use std::time::Duration;

use crate::domain::{LiveId, UserId};

/// How long a change can be read. A node that did not poll for longer has missed changes.
pub const CHANGES_KEPT: Duration = Duration::from_secs(600);

/// Changes in one answer at most; beyond, the answer is that there were too many.
pub const CHANGES_MAX: usize = 10_000;

/// Up to where a node has read the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPosition(pub(super) String);

/// A row of which something changed that nodes keep in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowChange {
    /// The user's current token.
    Token(UserId),
    /// Whether the account is enabled, or what it may not do on the whole site.
    Account(UserId),
    /// What users are and may not do in the lives of this streamer.
    Moderation(UserId),
    /// The status or the title of the live.
    Live(LiveId),
}

/// An answer of the feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedPage {
    pub position: FeedPosition,
    /// Each changed row once, in no order. `None`: more than [`CHANGES_MAX`] rows changed.
    pub changed: Option<Vec<RowChange>>,
}
