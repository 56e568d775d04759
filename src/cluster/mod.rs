//! The state that nodes share: the order of a room's events, the users in a room, the current token
//! of each user, and signals to all nodes.
//!
//! Each port has one implementation in this process and one over Redis ([`redis`]). Rooms are
//! written against an order that is decided elsewhere and later; with one node it is decided here
//! and at once.

mod memory;
mod overview;
mod question;
pub mod redis;
mod report;
mod token_store;
mod wire;

use std::time::Duration;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::domain::{
    ActionEntry, Control, GiftRecordId, LiveId, NodeId, Offset, PeerChange, Position,
    PresenceChange, RoomEvent, Sequenced, Timestamp, UserId,
};

pub use memory::{MemoryBroker, SingleNode};
pub use overview::{
    ChartPoint, Charts, DropCounts, LEADERS_BEYOND_MAX, Leaders, NodeFigures, OVERVIEW_PAGE_MAX,
    OverviewAsked, OverviewPart, Rates, RoomRow, RoomSort, RoomsView,
};
pub use question::{
    MEMBER_SESSIONS_MAX, MEMBERS_PAGE_MAX, MemberFound, MemberSession, MembersAsked, MembersFound,
    NodeAnswer, NodeQuestion, SessionFound, TraceAsked, TraceFound, TraceLine, TraceSpec,
    USER_SESSIONS_MAX,
};
pub use report::{
    LaterFields, NodeReport, NodeReports, ROOMS_PAGE_MAX, ReportAsked, ReportWait, RoomReport,
    RoomTotals, RoomsAsked, RoomsPage, SilentNode,
};
pub use token_store::{ReadTokenOrigin, StoreTokens, TokenOrigin, TokenStore};

/// Orders the events of rooms, and delivers each to every node that has the room.
pub trait Broker: Send + Sync {
    /// Opens the log of one room. Never fails: without the others, the node is partitioned.
    fn open(&self, live_id: LiveId) -> BoxFuture<'static, OpenedLog>;

    /// Whether logs are shared with other nodes.
    fn is_shared(&self) -> bool;

    /// Whether another node has the room; `None` if that cannot be known now.
    fn is_open_elsewhere(&self, live_id: LiveId) -> BoxFuture<'static, Option<bool>>;

    /// Appends the entry of an action to the log of a room, whether that is open here, elsewhere or
    /// nowhere. Repeating it has no effect: the log knows its key.
    fn append(&self, live_id: LiveId, entry: ActionEntry) -> BoxFuture<'static, Appended>;
}

/// The outcome of appending an entry to the log of a room.
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
    /// The position of the room: entries of the log come after it.
    pub position: Position,
    /// Earlier events with their times, oldest first, without a gap up to `position`.
    pub recent: Vec<(Sequenced, Timestamp)>,
    /// The users in the room on other nodes.
    pub peers: Vec<PeerChange>,
}

/// The order of one room, as one node sees it, and the way to the other nodes that have the room.
/// Closed by dropping it.
pub trait RoomLog: Send {
    /// Sets the receiver of the log, which is called from any thread with entries that come later
    /// or from other nodes. Entries since the log was opened are delivered at once.
    fn listen(&mut self, room: Box<dyn Fn(FromLog) + Send + Sync>);

    /// Appends an event. Returns it sequenced, or `None` when it will come as [`FromLog`].
    fn append(&mut self, event: RoomEvent) -> Option<Sequenced>;

    /// Appends the entry of an action, unless its key was appended before. Returns the entry that
    /// the room applies now; `None` when it comes as [`FromLog`], or came before. A control may be
    /// applied here alone: [`Broker::append`] puts it in the log.
    fn append_action(&mut self, entry: ActionEntry) -> Option<LogEntry>;

    /// Whether a comment may be appended. False while too many events wait to be ordered.
    fn can_append(&self) -> bool;

    /// Acknowledges events that the log delivered. The number of delivered events that are not
    /// acknowledged is bounded.
    fn ack(&mut self, events_count: usize);

    /// Sets how long events may gather before they are appended together: as long as the room
    /// gathers events before it delivers them.
    fn set_batch_window(&mut self, window: Duration);

    /// Publishes presence changes of this node to the others.
    fn publish_presence(&mut self, changes: Vec<PresenceChange>);

    /// Publishes the users online, newest first, for other services to read: JSON.
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

/// An item that a room's log delivers.
#[derive(Debug)]
pub enum FromLog {
    /// Events, in their order.
    Ordered(Vec<Sequenced>),
    /// An instruction of the log. It has no offset, and members do not see it.
    Control(Control),
    /// Events are missing that the log does not have: members have to join again.
    EventsMissed,
    /// Controls are missing that the log does not have any more.
    ControlsMissed,
    /// A gift that was appended has been announced already, by another node.
    GiftKnown(GiftRecordId, Option<Offset>),
    /// Presence changes of other nodes.
    Peers(Vec<PeerChange>),
    /// The users online are to be published once more: what other services read may be missing, or
    /// expires.
    UsersWanted,
}

/// The place of a `/ws` connection among those of its user. A later connection has a higher ticket,
/// and no two tickets are equal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct DeviceTicket {
    /// When the connection opened, in milliseconds since the Unix epoch, or later: higher than any
    /// ticket that its node knew.
    pub at: i64,
    pub node: u64,
}

/// A signal to all nodes, best effort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// The tokens or the account of this user changed: its sessions must authenticate again.
    Recheck(UserId),
    /// This user has a `/ws` connection, and only one device is allowed: the one with the highest
    /// ticket. Nodes of the version before give none.
    OtherDevice(UserId, Option<DeviceTicket>),
    /// Between this version and the one before, which reads no controls: this version finds its
    /// kicks in the log.
    Kick { live_id: LiveId, user: UserId },
    /// The catalogue has a new gift, or may have: this node was partitioned for a while.
    CatalogueChanged,
}

/// The other nodes.
pub trait Nodes: Send + Sync {
    /// Signals all other nodes. Best effort: a node that is cut off now does not receive it, and
    /// finds the change when it compares again.
    fn signal(&self, signal: Signal);

    /// Notes that a user has a `/ws` connection here, or one less.
    fn device_opened(&self, user: UserId);
    fn device_closed(&self, user: UserId);

    /// Asks all nodes whose heartbeats have not timed out for a report. `own` is that of this node.
    fn reports(
        &self,
        own: NodeReport,
        asked: ReportAsked,
        wait: ReportWait,
    ) -> BoxFuture<'static, NodeReports>;

    /// Since when this node is partitioned from the others; `None`: it is not.
    fn alone_since(&self) -> Option<Timestamp>;

    /// Notifies the others that this node stops: its users are removed there unless they come back
    /// elsewhere.
    fn leave(&self) -> BoxFuture<'static, ()>;
}
