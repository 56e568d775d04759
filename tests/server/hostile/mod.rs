//! Attacks on a running server. Each test does harm as well as it can, and then asserts what the
//! attacker was told and that nobody else noticed.

mod accounts;
mod bodies;
mod bystanders;
mod commands;
mod connections;
mod half_done;
mod http;
mod rooms;
mod sessions;
mod store;
mod tokens;
