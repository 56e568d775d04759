//! Transports of a running server, spoken to in raw bytes: what real clients do, and what they
//! would never do.

mod actions;
mod bad_acts;
pub mod client;
mod crowd;
mod engine;
mod held;
mod hostile;
mod joins;
mod modes;
mod origins;
mod owners;
mod pins;
mod polling;
mod recovery;
mod reports;
mod sanctions;
mod slow;
mod strangers;
mod streamed_live;
mod upgrade;
