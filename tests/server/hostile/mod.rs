//! Attacks on a running server. Each test does harm as well as it can, and then asserts what the
//! attacker was told and that nobody else noticed.

mod accounts;
mod bodies;
mod bystanders;
mod commands;
mod connections;
mod exports;
mod half_done;
mod http;
mod rooms;
mod sessions;
mod store;
mod tokens;

use std::sync::atomic::{AtomicBool, Ordering};

/// Ends an attack, also when an assertion fails meanwhile: a scope waits for its threads, and those
/// of an attack go on until they are told to stop.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
