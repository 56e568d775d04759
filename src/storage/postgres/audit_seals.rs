//! Sealing the audit in PostgreSQL.
//!
//! All nodes try; the one that gets the lock does it. Rows get their ids before their transactions
//! commit, so a row may appear below others. The rule: read how far ids have been given, then take
//! the number of a transaction. A transaction that has one of those ids had its own number first
//! (the default of `audit.id` sees to it), so its number is lower. Once no transaction with a lower
//! number is running, every row up to that id is committed or will never be. A transaction that
//! stays open for long, in any database of the server, delays the seals and never makes them wrong.

use diesel::sql_types::{BigInt, Bool, Text};
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;

use super::queries::audit_chain;
use super::statement::{Bind, Statement};
use super::{Conn, PostgresStore};
use crate::domain::Timestamp;
use crate::storage::audit_chain::{SEAL_ROWS_MAX, Seal, SealHorizon, SealStep};
use crate::storage::{StoreError, Stored};

/// The advisory lock of the node that seals: "lr-audit" in ASCII. It ends with its transaction.
const SEAL_LOCK: i64 = i64::from_be_bytes(*b"lr-audit");

const TRY_LOCK: &str = "SELECT pg_try_advisory_xact_lock(?)";

/// A sequence that was never used says what it would give.
const LAST_ID: &str =
    "SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END FROM audit_ids";

const TAKE_NUMBER: &str = "SELECT pg_current_xact_id()::text";

const IS_REACHED: &str = "SELECT pg_snapshot_xmin(pg_current_snapshot()) >= ?::xid8";

impl PostgresStore {
    pub(super) fn seal(
        &self,
        horizon: Option<SealHorizon>,
        at: Timestamp,
    ) -> Stored<'static, SealStep> {
        self.write(move |conn| seal(conn, horizon, at).boxed())
    }
}

async fn seal(
    conn: &mut Conn,
    horizon: Option<SealHorizon>,
    at: Timestamp,
) -> Result<SealStep, StoreError> {
    let lock = Statement::<Bool>::new(TRY_LOCK, vec![Bind::Number(SEAL_LOCK)]);
    let is_ours: bool = lock.get_result(conn).await?;
    if !is_ours {
        return Ok(SealStep {
            horizon,
            ..SealStep::default()
        });
    }
    let last = audit_chain::last(conn).await?;
    let sealed_to = Seal::next_id(last.as_ref()) - 1;
    let horizon = horizon.filter(|horizon| horizon.last_id > sealed_to);
    let Some(horizon) = horizon else {
        return Ok(SealStep {
            horizon: new_horizon(conn, sealed_to).await?,
            ..SealStep::default()
        });
    };
    let is_reached = Statement::<Bool>::new(IS_REACHED, vec![Bind::Text(&horizon.xact)]);
    if !is_reached.get_result::<bool>(conn).await? {
        return Ok(SealStep {
            horizon: Some(horizon),
            ..SealStep::default()
        });
    }
    // Before anything is written: this transaction must not have its number yet.
    let next = new_horizon(conn, horizon.last_id).await?;
    let rows = audit_chain::unsealed(conn, last.as_ref(), horizon.last_id).await?;
    let has_more = rows.len() == SEAL_ROWS_MAX as usize;
    let to_id = match rows.last() {
        Some(row) if has_more => row.id,
        // Ids that no row has any more are sealed as such.
        _ => horizon.last_id,
    };
    let seal = Seal::after(last.as_ref(), &rows, to_id, at);
    if !audit_chain::add(conn, seal).await? {
        return Err(StoreError::Fault(
            "a seal was added without the lock".into(),
        ));
    }
    Ok(SealStep {
        rows: rows.len(),
        horizon: if has_more { Some(horizon) } else { next },
        has_more,
    })
}

/// Where ids are now, unless that is sealed.
async fn new_horizon(conn: &mut Conn, sealed_to: i64) -> Result<Option<SealHorizon>, StoreError> {
    let last_id: i64 = Statement::<BigInt>::new(LAST_ID, Vec::new())
        .get_result(conn)
        .await?;
    if last_id <= sealed_to {
        return Ok(None);
    }
    let xact: String = Statement::<Text>::new(TAKE_NUMBER, Vec::new())
        .get_result(conn)
        .await?;
    Ok(Some(SealHorizon { last_id, xact }))
}
