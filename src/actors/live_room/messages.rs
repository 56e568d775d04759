//! All a live room accepts.

use std::sync::Arc;

use actix::Message;
use tokio::sync::oneshot;

use crate::actors::consoles::RoomTap;
use crate::actors::session::SessionPort;
use crate::cluster::{FromLog, MembersAsked, MembersFound};
use crate::domain::{
    AckId, ActionEntry, Control, ExplainedCheck, LiveModes, LiveStatus, Profile, RoomCommand,
    Sanction, SessionId, Standings, Timestamp, UserFacts, UserId,
};

use super::{RoomDetail, RoomStats};

/// From a session: a command to the room. Full mailbox: the session answers `busy`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct SessionCommand {
    pub port: Arc<SessionPort>,
    /// The user the command was verified for.
    pub profile: Arc<Profile>,
    /// What holds against that user on the whole site.
    pub site_sanctions: Arc<[Sanction]>,
    /// Since when that user has its account.
    pub account_since: Timestamp,
    pub ack: AckId,
    /// The session's count of its commands, echoed in `MembershipLost`.
    pub stamp: u64,
    pub command: RoomCommand,
}

/// From a session that ended, or that is another user's now. Sent with `do_send`, which ignores the
/// mailbox capacity: there is one per membership.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MemberGone {
    pub session: SessionId,
    pub departure: Departure,
}

/// How a session stopped being a member without a leave command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Departure {
    /// Its connection is gone. Its user stays online for the grace.
    Lost,
    /// The node ended it for good (disabled, kicked): presence ends now.
    Ended,
    /// It has authenticated as another user: presence ends now, and it receives the reason.
    IdentityChanged,
}

/// From the registry: the row of the live differs from the live of the room. Full mailbox: it is
/// found again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct LiveChanged {
    pub status: LiveStatus,
    pub title: String,
    /// The row was read some time ago: worth nothing if the room's live has changed since this
    /// version of [`VersionedLive`](super::VersionedLive).
    pub live_version: u64,
}

/// From the registry: an action on this live. Sent with `do_send`, which ignores the mailbox
/// capacity: streamers and operators are few.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Apply(pub ActionEntry);

/// From the registry: a control that some node has signalled. Sent with `do_send`, which ignores
/// the mailbox capacity: operators are few.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ApplyControl(pub Control);

/// From consoles: report what is delivered here, for as long as a console looks. Full mailbox: it is
/// sent again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Watch(pub Arc<RoomTap>);

/// From HTTP: what a comment of this user would be checked for now. Full mailbox: the request is
/// answered with that.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Explain {
    pub user: UserId,
    /// What holds against the user on the whole site.
    pub site_sanctions: Vec<Sanction>,
    /// Since when the user has its account.
    pub account_since: Timestamp,
    pub facts: UserFacts,
    pub reply: oneshot::Sender<Vec<ExplainedCheck>>,
}

/// From the registry: this user follows the streamer of the room, or does not any more. Full
/// mailbox: the room finds out when it reads that again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FollowChanged {
    pub follower: UserId,
}

/// From the registry: the standings of users as the store has them now. Sent with `do_send`, which
/// ignores the mailbox capacity: the registry reads them once at a time, and they must arrive.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StandingsRead(pub Standings);

/// From the registry: the modes of the live as the store has them now. Sent with `do_send`, which
/// ignores the mailbox capacity: the registry reads them once at a time, and they must arrive.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ModesRead(pub LiveModes);

/// From the room's log: events that were sequenced later or on another node, and presence of other
/// nodes. Sent with `do_send`, which ignores the mailbox capacity: the log bounds the events that
/// the room has not acknowledged.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Delivered(pub FromLog);

/// From the registry, in answer to `RoomIdle`: stop if you are still idle. Sent with `do_send`,
/// which ignores the mailbox capacity: one per `RoomIdle`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct StopRoom;

/// From HTTP: show the statistics of the room. Full mailbox: the request is answered with that.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Observe(pub oneshot::Sender<RoomStats>);

/// From HTTP: show all state of the room. Full mailbox: the request is answered with that.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ObserveDetail(pub oneshot::Sender<RoomDetail>);

/// From HTTP, or from another node: show a page of the users with sessions in the room. Full
/// mailbox: the node counts as silent.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ObserveMembers {
    pub asked: MembersAsked,
    pub reply: oneshot::Sender<MembersFound>,
}
