//! Several nodes over one PostgreSQL and one Redis are one server to their clients.

mod accounts;
mod acts_by_socket;
mod audit;
mod broker_contract;
mod comments;
mod consoles;
mod devices;
mod faults;
mod gifts;
mod held;
mod moderation;
mod operator_pages;
mod operators;
mod order;
mod ports;
mod presence;
mod presence_keys;
mod reconcile;
#[path = "../support/mod.rs"]
mod support;
mod tls;
