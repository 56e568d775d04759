//! One server: its HTTP API, its transports, its operators, attacks on it, faults below it, and its
//! end.

mod admin_listen;
mod audit;
mod backup;
mod consoles;
mod crash;
mod faults;
mod hostile;
#[cfg(feature = "lab")]
mod lab;
mod operators;
mod presence;
mod protocol_suites;
mod routes;
mod shutdown;
mod startup;
#[path = "../support/mod.rs"]
mod support;
mod transports;
mod word_filter;
