//! Several nodes over one PostgreSQL and one Redis are one server to their clients.

#[path = "support/cluster.rs"]
mod nodes;
mod support;

mod cluster {
    mod accounts;
    mod comments;
    mod gifts;
    mod moderation;
    mod operators;
    mod order;
    mod presence;
    mod presence_keys;
    mod reconcile;
}
