//! Rows of the audit, as whoever changes something adds them to its transaction.

use std::borrow::Cow;
use std::net::IpAddr;

use serde_json::Value;

use crate::domain::{Actor, RequestId, Role, Scope, Timestamp};

/// The author of a change that is no [`Action`](crate::domain::Action), for its row of the audit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActAuthor {
    pub actor: Actor,
    pub role: Role,
    /// The client's, if it is known.
    pub address: Option<IpAddr>,
    /// Why, in the actor's words.
    pub reason: Option<String>,
}

impl Default for ActAuthor {
    /// Whoever started this program: the configured token, from nowhere.
    fn default() -> Self {
        Self {
            actor: Actor::CONFIG,
            role: Role::Operator,
            address: None,
            reason: None,
        }
    }
}

/// A row of the audit that is to be added. Nothing in it is secret: operators read all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// `None`: somebody who failed to log in as a manager.
    pub actor: Option<Actor>,
    /// What the actor is where it acts.
    pub role: &'static str,
    /// The client's, if it is known.
    pub address: Option<IpAddr>,
    pub scope: Scope,
    /// A word, or for a request that was refused its method and URL.
    pub action: Cow<'static, str>,
    pub target_id: Option<i64>,
    /// What was asked for beside the target.
    pub arguments: Value,
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: Option<String>,
    /// Each actor names its own requests; what is done has a name of its own for each action.
    pub request_id: Option<RequestId>,
    /// `ok`, or the code of the refusal.
    pub result: &'static str,
    pub at: Timestamp,
}

impl AuditRow {
    /// `audit.result` of what was done.
    pub const OK: &'static str = "ok";

    /// What the author did on the site, with nothing but its name.
    pub fn new(author: ActAuthor, action: &'static str, at: Timestamp) -> Self {
        let ActAuthor {
            actor,
            role,
            address,
            reason,
        } = author;
        Self {
            actor: Some(actor),
            role: role.name(),
            address,
            reason,
            ..Self::of_nobody(action, at)
        }
    }

    /// What somebody who is not known did on the site.
    pub fn of_nobody(action: &'static str, at: Timestamp) -> Self {
        Self {
            actor: None,
            role: "nobody",
            address: None,
            scope: Scope::Site,
            action: Cow::Borrowed(action),
            target_id: None,
            arguments: Value::Object(serde_json::Map::new()),
            before: None,
            after: None,
            reason: None,
            request_id: None,
            result: Self::OK,
            at,
        }
    }
}
