//! One member's connection: sockets, WebSocket frames and the dialects of the client kinds.

pub mod connection;
pub mod frames;
pub mod speech;

pub use connection::{Connection, Pump, Source};
pub use speech::{Heard, Kind};
