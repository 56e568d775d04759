//! liveroom: a realtime live-room server.

pub mod domain;
pub mod protocol;
