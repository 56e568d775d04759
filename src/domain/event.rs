//! Events that members receive, and effects that the actor performs.

use std::sync::Arc;

use super::{
    ActionEntry, ChangedModes, Coins, Comment, CommentId, CommentText, CrowdRate, Denial, Epoch,
    GiftOrder, GiftReceipt, GiftRecordId, HeldComment, Live, LiveId, LiveStatus, Modes, Offset,
    Pin, Presence, Reject, ReplyTo, ReportedComment, Role, SessionId, Timestamp, UserId,
};

/// Where a member stands in a room's events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    pub epoch: Epoch,
    pub offset: Offset,
}

/// Comments that one event takes down: a purge of many uses up neither the events that a room keeps
/// for recovery nor the outbox of a slow member.
pub const PURGE_LOT_MAX: usize = 50;

/// Recoverable events: ordered, counted, the same for every member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoomEvent {
    Comment(Arc<Comment>),
    Gift {
        order: Arc<GiftOrder>,
        receipt: GiftReceipt,
    },
    /// The status or title of the live changed.
    Live {
        live_id: LiveId,
        status: LiveStatus,
        title: Arc<str>,
    },
    /// A comment was taken down.
    Removed {
        live_id: LiveId,
        comment_id: CommentId,
    },
    /// Several comments of one user were taken down at once: 1 to [`PURGE_LOT_MAX`].
    Purged {
        live_id: LiveId,
        comment_ids: Arc<[CommentId]>,
    },
    /// Operators have something to say.
    Notice {
        live_id: LiveId,
        text: Arc<str>,
    },
    /// A comment was pinned in place of the one before, or nothing is pinned any more.
    Pinned {
        live_id: LiveId,
        pin: Pin,
    },
    /// The modes of the room changed.
    Modes {
        live_id: LiveId,
        changed: ChangedModes,
    },
    /// Of a kind that this version does not know.
    Other(Arc<OtherEvent>),
}

/// An event that a node of a later version appended. It takes its place in the order, is kept for
/// recovery and is passed on as it came. Its texts are the protocol's, which bounds them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherEvent {
    pub name: Box<str>,
    /// The fields for clients, without epoch and offset.
    pub body: Box<str>,
    /// The line for nodes: all fields.
    pub line: Box<str>,
}

/// The order in which events are dropped from the queue of a slow member, lowest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Viewers' comments and presence: dropped first.
    Droppable,
    /// The streamer's comments, echoes and replays: not dropped for a live session.
    Normal,
    /// Gifts, room state, removals, answers, packets of the transport: never dropped for a live
    /// session.
    Critical,
}

/// The priority of an event; `owner` is the streamer of the room.
pub trait PriorityOf {
    fn priority(&self, owner: UserId) -> Priority;
}

impl PriorityOf for RoomEvent {
    fn priority(&self, owner: UserId) -> Priority {
        match self {
            RoomEvent::Comment(comment) if comment.author.id == owner => Priority::Normal,
            RoomEvent::Comment(_) => Priority::Droppable,
            RoomEvent::Gift { .. }
            | RoomEvent::Live { .. }
            | RoomEvent::Removed { .. }
            | RoomEvent::Purged { .. }
            | RoomEvent::Notice { .. }
            | RoomEvent::Pinned { .. }
            | RoomEvent::Modes { .. }
            // It may be as important as any of these.
            | RoomEvent::Other(_) => Priority::Critical,
        }
    }
}

/// A recoverable event with its place in the room's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequenced {
    pub epoch: Epoch,
    pub offset: Offset,
    pub event: RoomEvent,
}

/// The good answer to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    Joined {
        position: Position,
        recovered: bool,
        count: usize,
        live: Box<Live>,
        /// What the user is in this room.
        role: Role,
        /// Those of its streamer, by id.
        moderators: Arc<[UserId]>,
        pinned: Option<Arc<Comment>>,
        /// In force.
        modes: Modes,
    },
    Left {
        live_id: LiveId,
    },
    /// `offset` is `None` when the comment was announced in an earlier epoch (a retry after a
    /// restart).
    Commented {
        comment_id: CommentId,
        offset: Option<Offset>,
        /// The text as members see it, if that is not the one that was sent.
        shown: Option<CommentText>,
    },
    /// Accepted, but shown to nobody but its sender: the crowd was above the room's cap.
    SampledOut {
        comment_id: CommentId,
    },
    /// Accepted, and not shown yet. `delay_ms`: it is shown after that unless a moderator takes it
    /// down; `None`: a moderator decides.
    Held {
        comment_id: CommentId,
        delay_ms: Option<i64>,
    },
    /// `offset` is `None` when the gift was announced before this room opened, so its place is in
    /// an earlier epoch.
    Gifted {
        record_id: GiftRecordId,
        offset: Option<Offset>,
        coin: Coins,
    },
}

/// Why a session was removed from a room; its client receives the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KickReason {
    /// Somebody who may do so removed its user, who may come back then.
    Operator { until: Timestamp },
    /// Its user may not be here.
    Banned {
        /// `None`: that does not end by itself.
        until: Option<Timestamp>,
        reason: Option<Arc<str>>,
    },
    /// It shows the token of another user now.
    IdentityChanged,
    /// The room ended without warning. It may join again, which opens the room anew.
    RoomRestarted,
}

/// What a session is notified of about its user, or about another one in the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// Its user may not speak here.
    Muted {
        /// `None`: that does not end by itself.
        until: Option<Timestamp>,
        reason: Option<Arc<str>>,
    },
    /// Its user may speak again, before that was over by itself.
    Unmuted,
    /// The role of a user changed.
    Role { user: UserId, role: Role },
    /// Of moderators: a comment is held.
    Held(Arc<HeldComment>),
    /// Of the author and of moderators: a held comment will not be shown.
    CommentDenied(Denial),
    /// The queue of reported comments changed.
    Reported {
        /// Comments in it.
        open: i64,
        /// Those that changed, the newest last.
        comments: Arc<[ReportedComment]>,
    },
}

/// An effect of a decision, performed by the actor in the order given.
#[derive(Debug, Clone)]
pub enum Effect<H> {
    /// From here on `handle` receives the events for all members.
    Attach { session: SessionId, handle: H },
    /// From here on it does not.
    Detach { session: SessionId, handle: H },
    /// Notify a session that it was removed from the room, and why.
    Kick { handle: H, reason: KickReason },
    /// Notify a session of something that is not for the whole room.
    Notify { handle: H, news: News },
    /// Deliver to `handle` again, in order, every event after this offset.
    Replay { handle: H, after: Offset },
    /// Append the event to the log, then deliver it to all.
    Publish(RoomEvent),
    /// Append what an action adds to the room's log, once; then apply it.
    AppendAction(ActionEntry),
    /// Announce the users online to all: without an offset, since the latest replaces the one
    /// before.
    Announce(Arc<Presence>),
    /// Send one member the presence that was announced last, or an equivalent.
    Show { handle: H, presence: Arc<Presence> },
    /// Announce to all how many of the crowd's comments they see.
    AnnounceRate(CrowdRate),
    Reply {
        to: ReplyTo<H>,
        result: Result<Reply, Reject>,
    },
    /// Store a comment, which is answered by `Room::comment_stored`; and unless the store refuses
    /// it at once, append it to the log and deliver it to all.
    PostComment(Arc<Comment>),
    /// Store a comment that another node published already; answered by `Room::comment_stored`.
    StoreComment(Arc<Comment>),
    /// Store a comment that is not shown yet; answered by `Room::comment_held`.
    HoldComment(Arc<HeldComment>),
    /// Have every node know that a comment is held, which is stored.
    ReportHeld(Arc<HeldComment>),
    /// Take down the row of a comment that was removed at its place. It may not be stored yet, but is
    /// submitted.
    TakeDown(CommentId),
    /// Show a comment to its sender alone, without a place.
    Echo { handle: H, comment: Arc<Comment> },
    /// Commit a gift; answered by `Room::gift_settled` with the ticket.
    CommitGift { ticket: u64, order: Arc<GiftOrder> },
    /// Find a gift that was committed before under its `request_id`; answered by
    /// `Room::gift_settled` with the ticket: without one with [`GiftRefusal::Barred`]
    /// (`otherwise`).
    ///
    /// [`GiftRefusal::Barred`]: super::GiftRefusal::Barred
    FindGift {
        ticket: u64,
        order: Arc<GiftOrder>,
        otherwise: Reject,
    },
    /// Count this user once for the live, ever.
    RecordView(UserId),
}
