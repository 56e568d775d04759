//! Rows that are read in pages: what operators look at of users, lives and the books, reported
//! comments, and whom a user follows.

use crate::domain::{
    Coins, Comment, CommentId, GiftId, GiftRecordId, LiveId, Sanction, Timestamp, UserId,
};

/// Comments of the whole site that [`Store::comments_of_user`](super::Store::comments_of_user) looks
/// at for one page: no index leads to those of a user, because each comment would pay for it. Some
/// 50 ms.
pub const COMMENTS_LOOKED_AT_MAX: u32 = 100_000;

/// An actor as a row names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowActor {
    /// `user`, `operator` (the configured token), or the kind of a later table.
    pub kind: String,
    pub id: i64,
    /// Of a user.
    pub name: Option<String>,
}

/// A comment that was shown, taken down since or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownComment {
    pub comment: Comment,
    /// Its place in the history of its live.
    pub key: CommentId,
    pub removed_at: Option<Timestamp>,
    /// Who took it down; `None` also for one that its room removed at its place, because its author
    /// had been muted or banned before that.
    pub removed_by: Option<RowActor>,
}

/// Which comments of a live a page has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommentRange {
    pub live_id: LiveId,
    /// Exclusive, by the keys of the history; `None`: from the first.
    pub after: Option<CommentId>,
    /// Exclusive; `None`: to the newest.
    pub before: Option<CommentId>,
    /// Removed ones too.
    pub removed: bool,
    /// The newest of them, newest first; otherwise the oldest, oldest first.
    pub newest_first: bool,
}

/// Comments of a user, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserComments {
    pub comments: Vec<ShownComment>,
    /// Where the next page begins, unless there are no older comments on the site, and since when
    /// comments were looked at.
    pub next: Option<(CommentId, Timestamp)>,
}

/// What a user has given in a live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Giver {
    pub user: UserId,
    pub username: String,
    pub coins: Coins,
    pub gifts: i64,
}

/// An account in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BookAccount {
    User(UserId),
    Live(LiveId),
}

/// One movement of coins, as an account has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountEntry {
    pub id: i64,
    /// Negative: the account paid.
    pub coins: Coins,
    /// Of the account, right after it.
    pub balance: Coins,
    /// The user who paid for a gift, or to whom coins were granted.
    pub user: UserId,
    pub username: String,
    pub request_id: String,
    pub at: Timestamp,
    /// `None`: operators granted or took the coins.
    pub gift: Option<GiftEntry>,
}

/// The gift for which coins moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiftEntry {
    pub record_id: GiftRecordId,
    pub live_id: LiveId,
    pub gift_id: GiftId,
    /// As the catalogue has it now.
    pub name: String,
    pub count: i64,
    /// Of one, as it was charged.
    pub price: Coins,
    pub live_coin: Coins,
}

/// What holds against a user somewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserSanction {
    pub sanction: Sanction,
    /// In the scope live.
    pub live_id: Option<LiveId>,
    /// The owner of the lives it is about; `None` in the scope site.
    pub streamer: Option<UserId>,
}

/// A reported comment that nobody has settled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReportedRow {
    pub comment: Comment,
    pub reports: i64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// All of them, in the order of their reports.
    pub reporters: Vec<Reporter>,
}

/// Somebody who reported a comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reporter {
    pub user: UserId,
    pub username: String,
    pub reason: String,
    pub at: Timestamp,
}

/// The outcome of [`Store::follow`](super::Store::follow).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FollowOutcome {
    /// It follows since then: a repeated follow changes nothing.
    Following { since: Timestamp },
    /// There is no such streamer.
    UserNotFound,
    /// It follows as many as it may.
    TooMany,
}

/// A streamer whom a user follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowedStreamer {
    pub streamer: UserId,
    pub username: String,
    pub avatar: Option<String>,
    pub since: Timestamp,
}
