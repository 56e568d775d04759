//! The presence ladder: what a storm of joins costs each member in real encodings, when a room
//! climbs and comes down, and what clients of a real server see of it.

#[path = "presence/sockets.rs"]
mod sockets;
#[path = "presence/storm.rs"]
mod storm;
#[path = "support/mod.rs"]
mod support;
