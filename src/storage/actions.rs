//! Actions as they are stored: the change and its row of the audit, in one transaction.

use std::net::IpAddr;

use crate::domain::{
    Action, ActionEntry, ActionId, LiveId, Principal, Reject, RequestId, Role, Scope, Timestamp,
};

use super::{LiveRow, User};

/// An action that its actor may do, to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRecord {
    pub actor: Principal,
    /// The role of the actor in the scope when it acted.
    pub role: Role,
    /// The client's, if it is known.
    pub address: Option<IpAddr>,
    pub scope: Scope,
    pub action: Action,
    /// Why, in the actor's words.
    pub reason: Option<String>,
    /// The actor's name for it, by which a retry is recognised; each actor has names of its own for
    /// each kind of action.
    pub request_id: Option<RequestId>,
    pub at: Timestamp,
}

impl ActionRecord {
    /// An action with neither address, reason nor `request_id`.
    pub fn new(actor: Principal, role: Role, scope: Scope, action: Action, at: Timestamp) -> Self {
        Self {
            actor,
            role,
            address: None,
            scope,
            action,
            reason: None,
            request_id: None,
            at,
        }
    }
}

/// The outcome of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Performed {
    Done {
        id: ActionId,
        change: Change,
        /// It had been done before under this `request_id`: nothing changed now.
        is_repeated: bool,
        /// What it adds to the log of its room, unless the log is known to have that.
        pending: Option<ActionEntry>,
    },
    /// Nothing changed and nothing was stored: `CommentNotFound`, `LiveNotFound`, `LiveEnded`,
    /// `UserNotFound`, or `DuplicateConflict` when the `request_id` was used before with other
    /// content.
    Refused(Reject),
}

/// The change that an action made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// No change: only the row of the audit.
    Nothing,
    /// The comment is removed since then: an earlier removal stays as it was.
    CommentRemoved(Timestamp),
    Live(Box<LiveRow>),
    User(Box<User>),
}

/// An action whose entry is not known to be in the log of its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingAction {
    pub live_id: LiveId,
    pub entry: ActionEntry,
}
