//! One member's connection: sockets, WebSocket frames and the dialects of the client kinds.

pub mod connection;
pub mod dialect;
pub mod frames;
pub mod payload;
mod polling;
mod socket;

pub use connection::Connection;
pub use dialect::{Carrier, Incoming, Kind};
pub use polling::{Line, Polling, Side};
pub use socket::{Dial, Pump};
