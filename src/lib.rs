//! liveroom: a realtime live-room server.

pub mod actors;
pub mod auth;
pub mod catalogue;
pub mod cli;
pub mod client_address;
pub mod clock;
pub mod cluster;
pub mod comment_ids;
pub mod config;
pub mod domain;
pub mod limits;
pub mod outbox;
pub mod protocol;
pub mod storage;
