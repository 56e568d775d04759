//! The actors: they perform what the domain decides, and decide nothing themselves.
//!
//! The messages between actors: a `Session` asks the registry once for a room and then sends the
//! room its commands; a room hands each worker's hub its batches and the persister its writes; the
//! persister answers the room. No actor waits for another: an answer is a message of its own, or
//! travels as a packet through the hub. Every mailbox is bounded and filled with `try_send` on a
//! stored address; what happens when it is full stands beside each message.

pub mod ask;
pub mod audit_sealer;
pub mod change_feed;
pub mod cluster_control;
pub mod consoles;
pub mod held_comments;
pub mod hub;
pub mod live_room;
pub mod node_number;
pub mod operations;
pub mod persister;
pub mod reconcile;
pub mod registry;
pub mod session;
mod start;
#[cfg(test)]
mod testing;
pub mod traces;

pub use crate::cluster::{
    ChartPoint, Charts, LaterFields, MEMBER_SESSIONS_MAX, MemberFound, MemberSession, MembersAsked,
    MembersFound, NodeAnswer, NodeFigures, NodeQuestion, NodeReport, NodeReports,
    OVERVIEW_PAGE_MAX, ROOMS_PAGE_MAX, Rates, RoomReport, RoomRow, RoomSort, RoomsAsked, RoomsPage,
    RoomsView, SessionFound, SilentNode, TraceAsked, TraceFound, TraceLine, TraceSpec,
};
pub use ask::AskError;
pub use cluster_control::{ClusterControl, NodeAnswers, NodeIdentity};
pub use live_room::{MemberView, RoomDetail, RoomStats, room_settings};
pub use operations::{Operations, Requested};
pub use registry::{Overview, Rooms};
pub use session::{Session, SessionDirectory};
pub use traces::{TRACE_SECONDS_MAX, Traces, TracesFull};

use start::start_in_arbiter;
