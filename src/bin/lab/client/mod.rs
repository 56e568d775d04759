//! One member's connection: sockets, WebSocket frames and the dialects of the client kinds.

pub mod connection;
pub mod frames;
pub mod payload;
mod polling;
mod socket;
pub mod speech;

pub use connection::Connection;
pub use polling::{Line, Polling, Side};
pub use socket::{Dial, Pump};
pub use speech::{Carrier, Heard, Kind};
