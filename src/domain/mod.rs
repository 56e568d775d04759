//! The decisions of a live room, free of I/O.
//!
//! Everything here is a value or a function of values: no actor, no database, no JSON, no clock and
//! no randomness. A room is stepped with commands and the current [`Timestamp`] and answers with
//! [`Effect`]s that `actors::live_room` performs in order. `tests/core/room_scripts` runs rooms as
//! transcripts on exactly this code.

mod action;
mod admission;
mod arrivals;
mod bounded_map;
mod bucket;
mod checks;
mod command;
mod comment;
mod counts;
mod crowd;
mod dedupe;
mod disconnect;
mod event;
mod gift;
mod held;
mod history;
mod ids;
mod ledger;
mod live;
mod member;
mod mode_state;
mod moderation;
mod modes;
mod names;
mod operator;
mod peers;
mod pin;
mod presence;
mod rate;
mod reject;
mod report;
mod room;
mod sanction;
mod user_facts;
pub mod word_filter;

pub use action::{
    Action, ActionEntry, Aftermath, Control, EntryContent, EntryKey, KICK_REACH_MS, KICKS_KNOWN_MS,
    NOTICE_CHARS_MAX, OWN_TAKE_DOWN_MS, Outcome, Principal, REASON_CHARS_MAX, RESTORE_MS, Role,
    Scope, Subject, TAKE_DOWN_MAX, TITLE_CHARS_MAX, is_text, may, may_lift,
};
pub use admission::{Admission, Claim};
pub use arrivals::RecentArrivals;
pub use bounded_map::BoundedMap;
pub use bucket::{Bucket, BucketRate};
pub use checks::{Account, Check, CheckResult, CommentContext, ExplainedCheck};
pub use command::{Caller, CommandEnv, RoomCommand};
pub use comment::{Comment, CommentText, CommentTextError};
pub use counts::RoomCounts;
pub use crowd::{CrowdRate, ROUND_MS as CROWD_ROUND_MS};
pub use disconnect::Disconnect;
pub use event::{
    Effect, KickReason, News, OtherEvent, PURGE_LOT_MAX, Position, Priority, PriorityOf, Reply,
    RoomEvent, Sequenced,
};
pub use gift::{Gift, GiftChange, GiftCount, GiftOrder, GiftReceipt, GiftRefusal};
pub use held::{
    DELAYED_MAX, Denial, HELD_REQUEST_MS, HeldComment, HeldDecision, HoldRefusal, HoldRule,
    REVIEW_MS, REVIEWS_MAX, REVIEWS_OF_USER_MAX,
};
pub use history::{History, HistoryLimits};
pub use ids::{
    AckId, ActionId, Coins, CommentId, Epoch, GiftId, GiftRecordId, LiveId, ManagerId, NodeId,
    Offset, ReplyTo, RequestId, SanctionId, SessionId, SocketId, Timestamp, TokenId, UserId,
};
pub use ledger::{LedgerEntry, RoomLedger};
pub use live::{Live, LiveStatus};
pub use member::{Arrival, Departed, Member, MemberList, OnlineChange, Profile};
pub use modes::{
    ChangedModes, FOLLOWERS_MIN_MAX, LiveModes, MOD_DELAYS_S, ModeValue, Modes, ModesChange,
    RoomMode, SHIELD_ACCOUNT_MS, SHIELD_FOLLOWERS_MIN, SHIELD_SLOW_S, SLOW_S_MAX, UNIQUE_S_MAX,
};
pub use names::{
    NICKNAME_CHARS, NameFault, Nickname, USERNAME_CHARS, Username, canonical_name, name_skeleton,
};
pub use operator::{Actor, ManagerRole, OperatorId, Permission, Permissions};
pub use peers::{PeerChange, PeerUser, PresenceChange};
pub use pin::Pin;
pub use presence::{NetChanges, Presence, PresenceAction, PresenceLadder, PresenceSettings};
pub use reject::{CommentFault, Reject};
pub use report::{
    REPORT_RATE, REPORTED_COMMENTS_MAX, REPORTS_OF_COMMENT_MAX, REPORTS_OF_USER_MAX,
    REPORTS_OF_USER_MS, ReportedComment, ReportsChange, is_news,
};
pub use room::{CommentWriteError, MissedEntries, Room, RoomSettings};
pub use sanction::{
    MODERATORS_MAX, PURGE_RECENT_MS, Purge, SANCTION_SECONDS_MAX, SANCTIONS_MAX, Sanction,
    SanctionKind, SanctionOrder, SanctionScope, Standing, Standings, Term, barring_comments,
    barring_gifts, holding,
};
pub use user_facts::UserFacts;
