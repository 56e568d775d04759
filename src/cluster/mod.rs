//! What a node shares with others: the order of a room's events, who is in a room, which token is
//! current, and what has to happen everywhere at once.
//!
//! Each port has one implementation in this process and one over Redis ([`redis`]). Rooms are written
//! against an order that is decided elsewhere and later; with one node it is decided here and at once.

mod memory;
pub mod redis;
mod report;
mod token_store;
mod wire;

use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::domain::{
    GiftRecordId, LiveId, NodeId, Offset, PeerChange, Position, PresenceChange, RoomEvent, Sequenced, Timestamp, UserId,
};

pub use memory::{MemoryBroker, SingleNode};
pub use report::{LaterFields, NodeReport, ROOMS_PAGE_MAX, RoomReport, RoomTotals, RoomsAsked, RoomsPage};
pub use token_store::{ReadTokenOrigin, StoreTokens, TokenOrigin, TokenStore};

/// Gives every event of a room its place, and hands it to every node that has the room.
pub trait Broker: Send + Sync {
    /// Starts taking part in one room. Never fails: a node that reaches no other goes on alone.
    fn open(&self, live_id: LiveId) -> BoxFuture<'static, OpenedLog>;

    /// Whether any node has the room. False if this node reaches no other.
    fn is_open(&self, live_id: LiveId) -> BoxFuture<'static, bool>;

    /// Has an event placed in a room that is not open here. True if some node has the room.
    fn tell(&self, live_id: LiveId, event: RoomEvent) -> BoxFuture<'static, bool>;
}

/// A room's log as it was opened.
pub struct OpenedLog {
    pub log: Box<dyn RoomLog>,
    /// Where the room stands: what comes through the log comes after it.
    pub position: Position,
    /// What was told before, oldest first, without a gap up to `position`, and when.
    pub recent: Vec<(Sequenced, Timestamp)>,
    /// Who is in the room on other nodes.
    pub peers: Vec<PeerChange>,
}

/// The order of one room, as one node sees it, and the way to the other nodes that have the room.
/// Closed by dropping it.
pub trait RoomLog: Send {
    /// Names who listens: called, from any thread, with what comes later or from elsewhere. What came
    /// since the log was opened is handed over at once.
    fn listen(&mut self, room: Box<dyn Fn(FromLog) + Send + Sync>);

    /// Appends an event: its place at once, or `None` when it will come as [`FromLog`].
    fn append(&mut self, event: RoomEvent) -> Option<Sequenced>;

    /// Whether a comment may be appended. False while too many events wait for their place.
    fn has_room(&self) -> bool;

    /// The room has taken so many of the events it was told. Until it does, it is told no more than a
    /// bound.
    fn taken(&mut self, events_count: usize);

    /// How long events may gather before they are appended together: as long as the room gathers what
    /// it tells.
    fn pace(&mut self, window: Duration);

    /// Tells other nodes what this one shows of its users now.
    fn show(&mut self, changes: Vec<PresenceChange>);

    /// Publishes who is online, newest first, for other services to read: JSON.
    fn publish_users(&mut self, users: String);

    /// This node, if there are others.
    fn node(&self) -> Option<NodeId>;
}

/// What comes out of a room's log.
#[derive(Debug)]
pub enum FromLog {
    /// Events in their order.
    Ordered(Vec<Sequenced>),
    /// A gift that was appended has been announced already, by another node.
    GiftKnown(GiftRecordId, Option<Offset>),
    /// Other nodes show other users.
    Peers(Vec<PeerChange>),
}

/// What has to happen on every node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The tokens or the account of this user changed: its sessions must authenticate again.
    Recheck(UserId),
    /// This user opened a `/ws` connection, and only one device is allowed.
    OtherDevice(UserId),
    Kick {
        live_id: LiveId,
        user: UserId,
    },
    /// The catalogue has a new gift, or may have: this node was alone for a while.
    CatalogueChanged,
}

/// The other nodes.
pub trait Nodes: Send + Sync {
    /// Tells all other nodes. Best effort: whoever is cut off now does not hear it, and finds out when
    /// it looks the next time.
    fn signal(&self, signal: Signal);

    /// Notes that a user has a `/ws` connection here, or one less.
    fn device_opened(&self, user: UserId);
    fn device_closed(&self, user: UserId);

    /// All nodes that were heard of lately, this one first, each with what was asked about its rooms.
    fn reports(&self, own: NodeReport, asked: RoomsAsked) -> BoxFuture<'static, Vec<NodeReport>>;

    /// Since when this node goes on alone although it has others; `None`: it does not.
    fn alone_since(&self) -> Option<Timestamp>;

    /// Tells the others that this node stops, and what it shows will be shown elsewhere.
    fn leave(&self) -> BoxFuture<'static, ()>;
}
