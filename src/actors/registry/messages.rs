//! All the registry accepts.

use std::sync::Arc;

use actix::{Addr, Message};
use tokio::sync::oneshot;

use crate::actors::live_room::{LiveRoom, VersionedLive};
use crate::domain::{ActionEntry, Control, LiveId, Reject, UserId};

/// The way to a room. Shared and not cloned: the bound of a mailbox holds back an address that has
/// filled it, and a fresh clone has filled nothing yet.
pub type RoomAddr = Arc<Addr<LiveRoom>>;

/// The answer to [`Locate`].
pub type Located = Result<RoomAddr, Reject>;

/// From a session: which actor is this room? Opens it if need be. Full mailbox: the session answers
/// `busy`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Locate {
    pub live_id: LiveId,
    pub reply: oneshot::Sender<Located>,
}

/// From a room: it has had no member for a while. Full mailbox: the room stays and asks later.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RoomIdle {
    pub live_id: LiveId,
    pub generation: u64,
}

/// From a room, in answer to `StopRoom`: forget it. Sent with `do_send`, which ignores the mailbox
/// capacity: one per `StopRoom`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RoomRetired {
    pub live_id: LiveId,
    pub generation: u64,
}

/// From a room, in answer to `StopRoom`: a member came meanwhile. Sent with `do_send`, which
/// ignores the mailbox capacity: one per `StopRoom`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RoomResumed {
    pub live_id: LiveId,
    pub generation: u64,
}

/// From a room that has ended, dead or retired. Sent with `do_send`, which ignores the mailbox
/// capacity: once per room.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct RoomStopped {
    pub live_id: LiveId,
    pub generation: u64,
}

/// From operations, here or on another node: apply an action in the room of a live if it is open
/// here, or about to be. Sent with `do_send`, which ignores the mailbox capacity: streamers and
/// operators are few.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ApplyInRoom {
    pub live_id: LiveId,
    pub entry: ActionEntry,
    pub reply: oneshot::Sender<Applied>,
}

/// The place of the room to which an action was to be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Here: the room has it.
    InRoom,
    /// Loading here: the room applies it first of all. Should its row have the change already, it
    /// has nothing to publish.
    Deferred,
    /// Not here.
    Nowhere,
}

/// From an operator, by way of a signal to all nodes: a control for the room of a live, if it is
/// open here. Sent with `do_send`, which ignores the mailbox capacity: operators are few.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct ControlRoom {
    pub live_id: LiveId,
    pub control: Control,
}

/// From the change feed: compare these rooms with their rows, those that are open here. Full
/// mailbox: they are compared with all others, within `rooms.reconcile_ms`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CompareRooms(pub Vec<LiveId>);

/// From the change feed and from operations: standings of users in the lives of these streamers
/// changed; compare their rooms with the store. Full mailbox: they are compared with all others,
/// within `rooms.reconcile_ms`.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CompareRoomsOf(pub Vec<UserId>);

/// From HTTP: this user follows this streamer, or does not any more. Full mailbox: rooms find out when
/// they read that again.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FollowChangedOf {
    pub streamer: UserId,
    pub follower: UserId,
}

/// From HTTP: the room of one live, if it is open now; it is not opened. Full mailbox: the caller
/// gets an error.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FindRoom {
    pub live_id: LiveId,
    pub reply: oneshot::Sender<Option<RoomAddr>>,
}

/// From consoles: what the rooms that are open now publish, in id order. Full mailbox: the caller
/// gets an error.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OpenLives(pub oneshot::Sender<Vec<(LiveId, Arc<VersionedLive>)>>);

/// From HTTP: the rooms that are open now, in id order. Full mailbox: the caller gets an error.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct OpenRooms(pub oneshot::Sender<Vec<(LiveId, RoomAddr)>>);
