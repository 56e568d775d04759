//! The store, on SQLite and on a PostgreSQL that the tests start for themselves.

#[path = "../support/mod.rs"]
mod support;

mod audit_chain;
mod audit_contract;
mod audit_load;
mod audit_log;
mod contract;
mod ledger_properties;
mod row_locks;
