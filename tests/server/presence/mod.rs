//! The presence ladder: what a storm of joins costs each member in real encodings, when a room
//! climbs and comes down, and what clients of a real server see of it.

mod sockets;
mod storm;
