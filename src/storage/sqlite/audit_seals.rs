//! Sealing the audit in SQLite.

use futures_util::FutureExt;

use super::SqliteStore;
use super::queries::audit_chain;
use crate::domain::Timestamp;
use crate::storage::Stored;
use crate::storage::audit_chain::{SEAL_ROWS_MAX, Seal, SealHorizon, SealStep};

impl SqliteStore {
    /// Transactions that write run one after the other, so rows are committed in the order of their
    /// ids and what is there can be sealed. The rows are read and hashed beside the writer, which
    /// only adds the seal; if another process has added that one meanwhile, nothing is added.
    pub(super) fn seal(
        &self,
        _horizon: Option<SealHorizon>,
        at: Timestamp,
    ) -> Stored<'_, SealStep> {
        async move {
            let read = self.snapshot(move |conn| {
                async move {
                    let last = audit_chain::last(conn).await?;
                    let rows = audit_chain::unsealed(conn, last.as_ref(), i64::MAX).await?;
                    let newest = rows.last().map(|row| row.id);
                    let seal = newest.map(|to_id| Seal::after(last.as_ref(), &rows, to_id, at));
                    Ok(seal)
                }
                .boxed()
            });
            let Some(seal) = read.await? else {
                return Ok(SealStep::default());
            };
            let rows = seal.rows_count();
            let is_added = self
                .write(move |conn| audit_chain::add(conn, seal).boxed())
                .await?;
            Ok(SealStep {
                rows: if is_added { rows } else { 0 },
                horizon: None,
                has_more: rows == SEAL_ROWS_MAX as usize,
            })
        }
        .boxed()
    }
}
