//! Programs of others against the running server: the client libraries, a browser, balancers,
//! socket.io beside it.

mod balancer;
mod benchmarks;
mod browser;
mod differential;
mod driver;
mod matrix;
#[path = "../support/mod.rs"]
mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Waits until no other test here runs that calls this. Each has many processes: two at once would
/// make a machine of two cores miss heartbeats that are meant to be met, and a port that is free
/// for one may be taken by another.
fn take_turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    // A test that failed leaves nothing behind that the next could trip over.
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}
