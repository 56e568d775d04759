//! Pages of the audit, the newest rows first.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool};
use diesel_async::{AsyncConnectionCore, RunQueryDsl};

use super::Conn;
use crate::storage::StoreError;
use crate::storage::audit_log::{
    AUDIT_SCANNED_MAX, AuditEntry, AuditFilter, AuditKey, AuditPage, AuditPosition, LIVE,
};
use crate::storage::schema::audit;

type Db = <Conn as AsyncConnectionCore>::Backend;

/// Rows that are read and compared together. Memory has no more of them.
const CHUNK: u32 = 2_000;

/// Up to `max` rows before a position. Each statement finds its rows by one index that has them in
/// their order, and there are at most [`AUDIT_SCANNED_MAX`] / [`CHUNK`] of them, so that a page
/// takes a bounded time in an audit of any length.
pub async fn page(
    conn: &mut Conn,
    filter: AuditFilter,
    before: Option<AuditPosition>,
    max: u32,
) -> Result<AuditPage, StoreError> {
    let mut page = AuditPage::default();
    let (mut before, mut scanned) = (before, 0);
    // One more than fits says whether there is a next page.
    let mut chunk = max + 1;
    while scanned < AUDIT_SCANNED_MAX {
        let rows = chunk_before(conn, &filter, before, chunk).await?;
        let is_last = rows.len() < chunk as usize;
        scanned += chunk;
        for row in rows {
            if page.entries.len() == max as usize {
                page.next = before;
                return Ok(page);
            }
            before = Some(AuditPosition {
                at: row.at,
                id: row.id,
            });
            if filter.matches(&row) {
                page.entries.push(row);
            }
        }
        if is_last {
            return Ok(page);
        }
        chunk = CHUNK;
    }
    page.next = before;
    Ok(page)
}

async fn chunk_before(
    conn: &mut Conn,
    filter: &AuditFilter,
    before: Option<AuditPosition>,
    max: u32,
) -> Result<Vec<AuditEntry>, StoreError> {
    let mut query = found_by(filter);
    if let Some(AuditPosition { at, id }) = before {
        query = query.filter(audit::at.lt(at).or(audit::id.lt(id)));
    }
    // The bounds of time are conditions that the index knows.
    let latest = before.map(|before| before.at);
    let until = filter.until.map(|until| until.0.saturating_sub(1));
    let latest = latest.into_iter().chain(until).min();
    let from = filter.from.map(|from| from.0);
    let is_found_by_key = filter.key().is_some();
    query = if is_found_by_key {
        if let Some(latest) = latest {
            query = query.filter(audit::at.le(latest));
        }
        if let Some(from) = from {
            query = query.filter(audit::at.ge(from));
        }
        query.order((audit::at.desc(), audit::id.desc()))
    } else {
        if let Some(latest) = latest {
            query = query.filter(sql::<Bool>("-audit.at >= ").bind::<BigInt, _>(-latest));
        }
        if let Some(from) = from {
            query = query.filter(sql::<Bool>("-audit.at <= ").bind::<BigInt, _>(-from));
        }
        query.order(sql::<BigInt>("-audit.at, -audit.id"))
    };
    Ok(query
        .limit(max.into())
        .select(AuditEntry::as_select())
        .load(conn)
        .await?)
}

/// The rows that the filter's key finds. The rest of the filter is compared later, so that no
/// database chooses another index for it.
fn found_by(filter: &AuditFilter) -> audit::BoxedQuery<'_, Db> {
    let all = audit::table.into_boxed();
    match filter.key() {
        None => all,
        Some(AuditKey::RequestId) => all.filter(audit::request_id.eq(filter.request_id.as_deref())),
        Some(AuditKey::Target) => all.filter(audit::target_id.eq(filter.target_id)),
        Some(AuditKey::Address) => {
            all.filter(audit::address.eq(filter.address.map(|address| address.to_string())))
        }
        Some(AuditKey::Live) => all
            .filter(audit::scope.eq(LIVE))
            .filter(audit::scope_id.eq(filter.live_id.map(|live_id| live_id.get()))),
        Some(AuditKey::Actor) => all
            .filter(audit::actor_kind.eq(filter.actor_kind.as_deref().unwrap_or_default()))
            .filter(audit::actor_id.eq(filter.actor_id.unwrap_or_default())),
        // A literal, because SQLite does not match a bound value with the condition of the index.
        Some(AuditKey::Refusal) => all
            .filter(sql::<Bool>("audit.result <> 'ok'"))
            .filter(audit::result.eq(filter.result.as_deref().unwrap_or_default())),
        Some(AuditKey::Action) => {
            all.filter(audit::action.eq(filter.action.as_deref().unwrap_or_default()))
        }
    }
}
