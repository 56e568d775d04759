//! What operators look at: the overview of all nodes and rooms, its charts, and the live feed of a
//! room.
//!
//! | part | what it does while nobody looks |
//! |---|---|
//! | [`NodeMonitor`] | adds one point to the charts every five seconds |
//! | [`ClusterSnapshot`] | nothing: it is taken when somebody asks |
//! | [`Consoles`] | sleeps |
//! | [`RoomTap`] | does not exist; a room looks whether it has one when it hands over a batch |

mod feed;
mod monitor;
mod process;
mod room_tap;
pub mod snapshot;

pub use feed::{
    ConsoleGrants, ConsoleSeat, ConsoleWire, Consoles, ConsolesFull, Feed, FeedView, Recheck,
    RoomUpdate,
};
pub use monitor::{NodeMonitor, start_charts};
pub use room_tap::{AttachedTap, BatchProbe, EventCost, RoomTap, TappedEvent};
pub use snapshot::{
    ClusterRoom, ClusterSnapshot, OverviewPage, PublishedLive, cluster_charts, sum_of,
};
