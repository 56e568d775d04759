//! Comments that are held: accepted, and not shown yet.
//!
//! | held for | because | decided by | when nobody decides |
//! |---|---|---|---|
//! | review | of a term, a link or a young account | a moderator, within [`REVIEW_MS`] | it is denied |
//! | moderators to see it first | the room has a moderator delay | the end of the delay | it is shown |
//!
//! The store decides each once, whoever asks: a moderator who approves or denies, the author or a
//! moderator who takes it down, a ban of its author, or the time. What was decided is an entry of
//! the room's log, so that every node applies it once.
//!
//! A comment keeps its id. When it is shown its time is that of the decision, and history is
//! ordered by a key given then.
//!
//! Approving is an act of a moderator: such a comment takes no turn in the crowd's lane, as those
//! of moderators take none. A delayed comment has had its turn before it is held.

use std::sync::Arc;

use super::dedupe::CommandKey;
use super::{BoundedMap, Comment, CommentId, CommentText, Reject, Timestamp, UserId};

/// How long a comment waits for a moderator, in milliseconds.
pub const REVIEW_MS: i64 = 300_000;
/// Comments that may wait for review in a room; one more is answered `busy`.
pub const REVIEWS_MAX: usize = 200;
/// Of these, comments of one user: nobody fills the queue alone.
pub const REVIEWS_OF_USER_MAX: usize = 10;
/// Comments that may wait for the end of the delay in a room; one more is answered `busy`. Four
/// times what the crowd's lane lets pass in the longest delay at its default.
pub const DELAYED_MAX: usize = 1_000;
/// For how long a `request_id` is known to the store as that of a held comment, in milliseconds:
/// as long as the comment may wait.
pub const HELD_REQUEST_MS: i64 = REVIEW_MS;

/// Why a comment is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldRule {
    /// A term of the word filter says so.
    Term,
    /// The room is shielded, and the comment has a link.
    Link,
    /// The room is shielded, and the account is young.
    YoungAccount,
    /// Moderators of the room see every comment first.
    Delay,
}

impl HoldRule {
    pub const ALL: [Self; 4] = [Self::Term, Self::Link, Self::YoungAccount, Self::Delay];

    /// The word for it. Stored and sent: never change one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Term => "term",
            Self::Link => "link",
            Self::YoungAccount => "young_account",
            Self::Delay => "delay",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// Whether the comment waits for a decision of a moderator.
    pub const fn is_for_review(self) -> bool {
        !matches!(self, Self::Delay)
    }
}

/// A comment that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldComment {
    /// As it was posted, with the text that members will see.
    pub comment: Arc<Comment>,
    pub rule: HoldRule,
    /// When it is decided if nobody has decided it.
    pub due: Timestamp,
}

impl HeldComment {
    pub fn for_review(comment: Arc<Comment>, rule: HoldRule) -> Self {
        let due = comment.at.plus_ms(REVIEW_MS);
        Self { comment, rule, due }
    }

    /// The same comment by a clock that is so many milliseconds ahead of the one that it was held by.
    pub fn by_clock_ahead(self: Arc<Self>, ahead_ms: i64) -> Arc<Self> {
        if ahead_ms == 0 {
            return self;
        }
        let comment = Comment {
            at: self.comment.at.plus_ms(ahead_ms),
            ..(*self.comment).clone()
        };
        Arc::new(Self {
            comment: Arc::new(comment),
            rule: self.rule,
            due: self.due.plus_ms(ahead_ms),
        })
    }

    /// For how long its sender is asked to wait, if that is known: a delay ends by itself.
    pub fn delay_ms(&self) -> Option<i64> {
        (!self.rule.is_for_review()).then(|| self.due.since(self.comment.at))
    }
}

/// What became of a held comment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldDecision {
    /// With the time of the decision.
    Shown(Arc<Comment>),
    Denied(Denial),
}

impl HeldDecision {
    pub fn comment_id(&self) -> CommentId {
        match self {
            Self::Shown(comment) => comment.id,
            Self::Denied(denial) => denial.comment_id,
        }
    }
}

/// A held comment will not be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    pub comment_id: CommentId,
    pub author: UserId,
    /// In the words of who denied it.
    pub reason: Option<Arc<str>>,
    /// Nobody decided in time.
    pub is_expired: bool,
}

/// Why the store does not hold a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldRefusal {
    /// As many wait as may, or the id is taken.
    Busy,
    /// Its author or its live is gone: trying again is useless.
    Refused,
    LiveEnded,
    /// Its `request_id` is that of another held comment.
    Conflict,
}

impl From<HoldRefusal> for Reject {
    fn from(refusal: HoldRefusal) -> Self {
        match refusal {
            HoldRefusal::Busy => Self::BUSY,
            HoldRefusal::Refused => Self::CommentRefused {
                fault: super::CommentFault::NotStored,
            },
            HoldRefusal::LiveEnded => Self::LiveEnded,
            HoldRefusal::Conflict => Self::DuplicateConflict,
        }
    }
}

/// A command whose comment was held.
#[derive(Debug, Clone)]
pub(super) struct HeldRequest {
    pub comment_id: CommentId,
    pub text: CommentText,
    /// As in [`HeldComment::delay_ms`].
    pub delay_ms: Option<i64>,
    at: Timestamp,
}

/// Commands whose comments were held, on whatever node, so that a retry is recognised.
#[derive(Debug)]
pub(super) struct HeldRequests {
    /// How long one is kept, in milliseconds.
    window_ms: i64,
    requests: BoundedMap<CommandKey, HeldRequest>,
}

impl HeldRequests {
    /// Keeps at most `entries_max`, each for `window_ms`; beyond, the oldest is dropped early.
    pub fn new(window_ms: i64, entries_max: usize) -> Self {
        Self {
            window_ms,
            requests: BoundedMap::new(entries_max),
        }
    }

    pub fn get(&self, key: &CommandKey) -> Option<&HeldRequest> {
        self.requests.get(key)
    }

    /// Remembers a comment under the command that posted it, unless that has one already. `sent`:
    /// its text as it was sent, as far as that is known.
    pub fn record(&mut self, held: &HeldComment, sent: CommentText) {
        let comment = &held.comment;
        let Some(request_id) = comment.request_id.clone() else {
            return;
        };
        let key = (comment.author.id, request_id);
        if self.requests.contains_key(&key) {
            return;
        }
        let request = HeldRequest {
            comment_id: comment.id,
            text: sent,
            delay_ms: held.delay_ms(),
            at: comment.at,
        };
        self.requests.insert(key, request);
    }

    /// The store had another comment under this command.
    pub fn correct(&mut self, key: &CommandKey, comment_id: CommentId) {
        if let Some(known) = self.requests.get_mut(key) {
            known.comment_id = comment_id;
        }
    }

    /// Drops a key, unless it belongs to another comment by now.
    pub fn forget(&mut self, key: &CommandKey, comment_id: CommentId) {
        let known = self.requests.get(key);
        if known.is_some_and(|known| known.comment_id == comment_id) {
            self.requests.remove(key);
        }
    }

    /// Drops those that are older than the window, but for the first one that is pending.
    pub fn forget_expired(&mut self, now: Timestamp, is_pending: impl Fn(CommentId) -> bool) {
        while let Some((_, known)) = self.requests.oldest() {
            if now.since(known.at) < self.window_ms || is_pending(known.comment_id) {
                return;
            }
            self.requests.pop_oldest();
        }
    }
}
