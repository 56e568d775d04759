//! liveroom: a realtime live-room server.

pub mod clock;
pub mod cluster;
pub mod domain;
pub mod storage;
