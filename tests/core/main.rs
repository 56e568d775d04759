//! What needs no server and no database: rooms stepped by scripts and at random, codecs beside
//! recordings, the configuration, and rules about the repository.

mod codecs;
mod config;
mod room_properties;
mod room_scripts;
mod tidy;
#[path = "../transcripts/mod.rs"]
mod transcripts;
