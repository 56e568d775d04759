//! liveroom: a realtime live-room server.

pub mod auth;
pub mod catalogue;
pub mod cli;
pub mod client_address;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod domain;
pub mod limits;
pub mod storage;
