//! Reading the audit: which rows, and in which order.

use std::net::IpAddr;

use diesel::prelude::*;

use super::schema::audit;
use crate::domain::{LiveId, Timestamp};

/// Rows that are read for one page at most. Filters that find few rows among many end a page there,
/// short or empty, with the position where the next one goes on.
pub const AUDIT_SCANNED_MAX: u32 = 20_000;

/// Which rows of the audit are asked for. What is `None` does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditFilter {
    /// `operator`, `manager`, `token` or `user`.
    pub actor_kind: Option<String>,
    /// Goes with `actor_kind`.
    pub actor_id: Option<i64>,
    pub role: Option<String>,
    pub address: Option<IpAddr>,
    pub action: Option<String>,
    pub target_id: Option<i64>,
    pub live_id: Option<LiveId>,
    pub request_id: Option<String>,
    /// `ok`, or the code of a refusal.
    pub result: Option<String>,
    /// The first moment.
    pub from: Option<Timestamp>,
    /// The moment after the last.
    pub until: Option<Timestamp>,
}

/// One thing that rows are filtered by. The first that a filter has, in this order, finds the rows
/// by an index; the others are compared with each row that it finds. So these are in the order of
/// how few rows they find as a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuditKey {
    RequestId,
    Target,
    Address,
    Live,
    Actor,
    /// Of a refusal: nearly all rows are `ok`.
    Refusal,
    Action,
}

impl AuditFilter {
    pub(super) fn key(&self) -> Option<AuditKey> {
        let is_refusal = self.result.as_ref().is_some_and(|result| result != OK);
        [
            (AuditKey::RequestId, self.request_id.is_some()),
            (AuditKey::Target, self.target_id.is_some()),
            (AuditKey::Address, self.address.is_some()),
            (AuditKey::Live, self.live_id.is_some()),
            (
                AuditKey::Actor,
                self.actor_kind.is_some() && self.actor_id.is_some(),
            ),
            (AuditKey::Refusal, is_refusal),
            (AuditKey::Action, self.action.is_some()),
        ]
        .into_iter()
        .find_map(|(key, is_given)| is_given.then_some(key))
    }

    /// Whether a row is asked for, whatever its time.
    pub(super) fn matches(&self, row: &AuditEntry) -> bool {
        let is = |wanted: &Option<String>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted == found)
        };
        let live = |live_id: LiveId| row.scope == LIVE && row.scope_id == Some(live_id.get());
        is(&self.actor_kind, &row.actor_kind)
            && self.actor_id.is_none_or(|id| id == row.actor_id)
            && is(&self.role, &row.role)
            && is(&self.action, &row.action)
            && is(&self.result, &row.result)
            && (self.target_id.is_none() || self.target_id == row.target_id)
            && self.live_id.is_none_or(live)
            && (self.request_id.is_none() || self.request_id == row.request_id)
            && self
                .address
                .is_none_or(|address| row.address.as_deref() == Some(&address.to_string()))
    }
}

/// `audit.result` of what was done.
pub(super) const OK: &str = "ok";
/// `audit.scope` of what was done to one live.
pub(super) const LIVE: &str = "live";

/// A place in the audit, whose order is that of time; rows of one millisecond are in that of their
/// ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct AuditPosition {
    pub at: i64,
    pub id: i64,
}

/// A row of the audit as it is stored, in the order of its columns. Texts that are JSON are kept as
/// they were written.
#[derive(Debug, Clone, PartialEq, Eq, Queryable, Selectable)]
#[diesel(table_name = audit)]
pub struct AuditEntry {
    pub id: i64,
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    /// `operator` (the configured token), `manager`, `token` or `user`.
    pub actor_kind: String,
    /// 0 for the configured token, and for a manager who is not known: somebody who failed to log
    /// in.
    pub actor_id: i64,
    pub role: String,
    pub address: Option<String>,
    pub scope: String,
    /// A live in the scope `live`, a streamer in the scope `streamer`.
    pub scope_id: Option<i64>,
    pub action: String,
    pub target_id: Option<i64>,
    /// JSON, as `before` and `after`.
    pub arguments: String,
    pub before: Option<String>,
    pub after: Option<String>,
    pub reason: Option<String>,
    pub request_id: Option<String>,
    pub result: String,
}

impl AuditEntry {
    pub fn live_id(&self) -> Option<i64> {
        self.scope_id.filter(|_| self.scope == LIVE)
    }
}

/// Rows of the audit, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditPage {
    pub entries: Vec<AuditEntry>,
    /// Where the next page begins; `None`: there are no more.
    pub next: Option<AuditPosition>,
}
