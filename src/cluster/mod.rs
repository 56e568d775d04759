//! What a node shares with others: the order of a room's events, and which token is current.
//!
//! Each port has one implementation in this process; Redis is to be the second, so rooms are
//! written against an order that may be decided elsewhere and later.

mod memory;
mod token_store;

use crate::domain::{LiveId, Position, RoomEvent, Sequenced};

pub use memory::MemoryBroker;
pub use token_store::{StoreTokens, TokenStore};

/// Gives every event of a room its place, and hands it to every node that has the room.
pub trait Broker: Send + Sync {
    /// Starts taking part in the order of one room. `delivered` is called, from any thread, with
    /// events that got their place later or elsewhere.
    fn open(&self, live_id: LiveId, delivered: Box<dyn Fn(Vec<Sequenced>) + Send + Sync>) -> Box<dyn RoomLog>;
}

/// The order of one room, as one node sees it. Closed by dropping it.
pub trait RoomLog: Send {
    /// Where the room stands.
    fn position(&self) -> Position;
    /// Appends an event: its place at once, or `None` when it will come through `delivered`.
    fn append(&mut self, event: RoomEvent) -> Option<Sequenced>;
}
