//! Why a command is refused. The session lives on.

use super::{CommentTextError, SanctionScope, Timestamp};

/// A refusal is a value: it is answered, never logged as an error. Words and codes are the
/// protocol's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reject {
    /// No token where one is needed.
    Unauthorized,
    TokenInvalid,
    TokenExpired,
    UserDisabled,
    LiveNotFound,
    CommentNotFound,
    UserNotFound,
    /// Nobody is in the room, on any node.
    RoomNotOpen,
    LiveNotStarted,
    LiveEnded,
    GiftNotFound,
    /// The gift is not on sale any more.
    GiftWithdrawn,
    /// The gift has another price than the giver was shown.
    GiftPriceChanged,
    CoinsInsufficient,
    /// The live's total of coins would exceed [`Coins::MAX`](super::Coins::MAX).
    LiveCoinsFull,
    NotInRoom,
    /// The actor's role does not permit it here, or not to this user.
    NotAllowed,
    /// The user may not speak, or not give, here.
    Muted {
        /// `None`: that does not end by itself.
        until: Option<Timestamp>,
        retry_after_ms: Option<u64>,
        scope: SanctionScope,
    },
    /// The user may not be here.
    Banned {
        /// `None`: that does not end by itself.
        until: Option<Timestamp>,
    },
    /// The user was removed from the room a moment ago.
    Kicked {
        retry_after_ms: u64,
    },
    /// The user whom it would mute is banned.
    AlreadyBanned,
    /// The streamer has as many sanctions, or moderators, as there may be.
    ModerationFull,
    /// Only the streamer and its moderators speak now.
    Frozen,
    /// Only those speak who have followed the streamer for so long.
    FollowersOnly {
        /// `None`: the user does not follow.
        retry_after_ms: Option<u64>,
    },
    /// Only those speak who have given so much in this live.
    GiftersOnly,
    /// The user has commented a moment ago.
    SlowMode {
        retry_after_ms: u64,
    },
    /// Nobody but the streamer gives now.
    GiftsPaused,
    /// Somebody has posted the same text a moment ago.
    CommentDuplicate,
    /// There are as many reports as there may be: of the user in a day, or of comments of the live.
    ReportsFull,
    RateLimited {
        retry_after_ms: u64,
    },
    CommentTooLong {
        chars_max: usize,
    },
    CommentRefused {
        fault: CommentFault,
    },
    /// The word filter does not let its text pass.
    CommentFiltered,
    /// The comment waits no more: somebody has decided about it, or the time has.
    AlreadyReviewed,
    /// The author of the comment may not speak here.
    AuthorBarred,
    /// The `request_id` was used before with other content.
    DuplicateConflict,
    Busy {
        retry_after_ms: u64,
    },
    /// `what` names the field and what was expected of it.
    BadRequest {
        what: &'static str,
    },
}

/// Why a comment can be kept neither now nor later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentFault {
    /// It is not a text, or nothing but white space.
    Empty,
    /// It contains U+0000, which not every store can keep.
    Nul,
    /// The store refused its row: its author is gone, say.
    NotStored,
}

impl Reject {
    /// The busy answer where nothing better is known about when to come back.
    pub const BUSY: Reject = Reject::Busy {
        retry_after_ms: 1_000,
    };
}

impl From<CommentTextError> for Reject {
    fn from(error: CommentTextError) -> Self {
        match error {
            CommentTextError::Empty => Reject::CommentRefused {
                fault: CommentFault::Empty,
            },
            CommentTextError::Nul => Reject::CommentRefused {
                fault: CommentFault::Nul,
            },
            CommentTextError::TooLong { chars_max } => Reject::CommentTooLong { chars_max },
        }
    }
}
