//! Actions as they are stored: the change and its row of the audit, in one transaction.

use std::net::IpAddr;
use std::sync::Arc;

use crate::domain::{
    Action, ActionEntry, ActionId, Actor, Aftermath, ChangedModes, Comment, CommentId,
    HeldDecision, LiveId, Outcome, Reject, ReportsChange, RequestId, Role, Scope, Standing,
    Timestamp, UserId,
};

use serde_json::Value;

use super::{GiftRow, LiveRow, User};

/// An action that its actor may do, to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ActionRecord {
    pub actor: Actor,
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
    /// The key in the history that a comment gets which it shows; of approvals alone.
    pub key: Option<CommentId>,
    pub at: Timestamp,
}

impl ActionRecord {
    /// An action with neither address, reason nor `request_id`.
    pub fn new(actor: Actor, role: Role, scope: Scope, action: Action, at: Timestamp) -> Self {
        Self {
            actor,
            role,
            address: None,
            scope,
            action,
            reason: None,
            request_id: None,
            key: None,
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
        pending: Vec<ActionEntry>,
    },
    /// Nothing changed and nothing was stored: `CommentNotFound`, `LiveNotFound`, `LiveEnded`,
    /// `UserNotFound`, `AlreadyBanned`, `ModerationFull`, `AlreadyReviewed`, `AuthorBarred`,
    /// `ReportsFull`, `GiftNotFound`, `NotAllowed` for a report of a comment of the actor's own, or
    /// `DuplicateConflict` when the `request_id` was used before with other content.
    Refused(Reject),
}

/// The change that an action made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// No change: only the row of the audit.
    Nothing,
    /// The comment is removed since then: an earlier removal stays as it was.
    CommentRemoved(Timestamp),
    /// The queue of reports changed, in a way that is worth a notice.
    Reports(ReportsChange),
    /// What is pinned since.
    Pinned(Option<Arc<Comment>>),
    Live(Box<LiveRow>),
    User(Box<User>),
    Gift(Box<GiftRow>),
    Standing(Box<ChangedStanding>),
    Modes(ChangedModes),
    /// Comments of a user were taken down together, or are shown again.
    Comments {
        outcome: Outcome,
        removed: Vec<CommentId>,
    },
    /// A held comment is shown, or denied, since then.
    Decided {
        /// `None`: the store does not know it any more; a repeated action was answered by the audit.
        decision: Option<Box<HeldDecision>>,
        outcome: Outcome,
        at: Timestamp,
    },
}

/// A change that was made in this transaction.
pub(super) struct Changed {
    pub(super) before: Option<Value>,
    pub(super) after: Option<Value>,
    pub(super) change: Change,
}

/// A user's standing in a live, after an action on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangedStanding {
    pub outcome: Outcome,
    /// The owner of the live.
    pub streamer: UserId,
    /// The number of the change, among those of the streamer.
    pub version: u64,
    /// As it is now. Sanctions of the site are not part of it.
    pub standing: Standing,
    /// Earlier comments that a ban took down.
    pub removed: Vec<CommentId>,
}

impl Change {
    /// What entries of a log say about it.
    pub fn aftermath(&self) -> Aftermath<'_> {
        let mut aftermath = Aftermath::default();
        match self {
            Self::Live(row) => aftermath.live = Some(&row.live),
            Self::Standing(changed) => {
                aftermath.standing = Some((changed.version, &changed.standing));
                aftermath.removed = &changed.removed;
            }
            Self::Reports(change) => aftermath.reports = Some(*change),
            Self::Comments { removed, .. } => aftermath.removed = removed,
            Self::Decided { decision, .. } => aftermath.decision = decision.as_deref(),
            Self::Modes(changed) => aftermath.modes = Some(changed),
            Self::Nothing
            | Self::CommentRemoved(_)
            | Self::Pinned(_)
            | Self::User(_)
            | Self::Gift(_) => {}
        }
        aftermath
    }
}

/// An action whose entries are not known to be in the log of its room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingAction {
    pub id: ActionId,
    pub live_id: LiveId,
    pub entries: Vec<ActionEntry>,
}
