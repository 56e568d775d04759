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
    ActionEntry, Control, GiftRecordId, LiveId, NodeId, Offset, PeerChange, Position, PresenceChange, RoomEvent,
    Sequenced, Timestamp, UserId,
};

pub use memory::{MemoryBroker, SingleNode};
pub use report::{
    LaterFields, NodeReport, NodeReports, ROOMS_PAGE_MAX, RoomReport, RoomTotals, RoomsAsked, RoomsPage, SilentNode,
};
pub use token_store::{ReadTokenOrigin, StoreTokens, TokenOrigin, TokenStore};

/// Gives every event of a room its place, and hands it to every node that has the room.
pub trait Broker: Send + Sync {
    /// Starts taking part in one room. Never fails: a node that reaches no other goes on alone.
    fn open(&self, live_id: LiveId) -> BoxFuture<'static, OpenedLog>;

    /// Whether logs are shared with other nodes.
    fn is_shared(&self) -> bool;

    /// Whether another node has the room; `None` if that cannot be known now.
    fn is_open_elsewhere(&self, live_id: LiveId) -> BoxFuture<'static, Option<bool>>;

    /// Appends what an action adds to the log of a room, whether that is open here, elsewhere or nowhere. Repeating it
    /// has no effect: the log knows its key.
    fn append(&self, live_id: LiveId, entry: ActionEntry) -> BoxFuture<'static, Appended>;
}

/// What became of an entry that was to be appended to the log of a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// It is in the log, and every node that has the room receives it, this one too.
    InLog,
    /// No other node can have the room, and its log is kept by the room itself.
    NoSharedLog,
    /// The log is out of reach, or did not answer. Appending it again is safe.
    Unreachable,
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

    /// Appends what an action adds, unless its key was appended before. Returns what the room applies now; `None` when
    /// that comes as [`FromLog`], or came before. A control may be applied here alone: [`Broker::append`] puts it in
    /// the log.
    fn append_action(&mut self, entry: ActionEntry) -> Option<LogEntry>;

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

/// An entry of a room's log that the room applies.
#[derive(Debug)]
pub enum LogEntry {
    Event(Sequenced),
    Control(Control),
}

/// What comes out of a room's log.
#[derive(Debug)]
pub enum FromLog {
    /// Events in their order.
    Ordered(Vec<Sequenced>),
    /// An instruction of the log. It has no offset, and members do not see it.
    Control(Control),
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
    /// Between this version and the one before, which reads no controls: this version finds its kicks in the log.
    Kick { live_id: LiveId, user: UserId },
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

    /// Asks all nodes whose heartbeats have not timed out for a report. `own` is that of this node.
    fn reports(&self, own: NodeReport, asked: RoomsAsked) -> BoxFuture<'static, NodeReports>;

    /// Since when this node goes on alone although it has others; `None`: it does not.
    fn alone_since(&self) -> Option<Timestamp>;

    /// Tells the others that this node stops, and what it shows will be shown elsewhere.
    fn leave(&self) -> BoxFuture<'static, ()>;
}
