//! The change feed in PostgreSQL.

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel_async::{RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;

use super::statement::{Bind, Statement};
use super::{Access, Conn, PostgresStore};
use crate::domain::{LiveId, UserId};
use crate::storage::changes::{CHANGES_KEPT, CHANGES_MAX, FeedPage, FeedPosition, RowChange};
use crate::storage::{StoreError, Stored};

/// One row beside its snapshot, or the snapshot alone.
type Row = (Text, Nullable<Text>, Nullable<BigInt>);

/// Where the feed stands now. It follows that all later changes are read.
const BEGIN: &str = "SELECT pg_current_snapshot()::text, NULL::text, NULL::bigint";

/// What the snapshot did not see and this one does. One statement has one snapshot. The first
/// condition finds the rows by their index; the second leaves out those that were visible already
/// while older transactions were not.
const READ: &str = "
    SELECT now.snapshot::text, changed.kind, changed.subject_id
    FROM (SELECT pg_current_snapshot() AS snapshot, ?::pg_snapshot AS before) AS now
    LEFT JOIN LATERAL (
        SELECT DISTINCT kind, subject_id FROM changes
        WHERE xact >= pg_snapshot_xmin(now.before) AND NOT pg_visible_in_snapshot(xact, now.before)
        LIMIT ?
    ) AS changed ON true";

impl PostgresStore {
    pub(super) fn read_changes(
        &self,
        since: Option<FeedPosition>,
    ) -> Stored<'static, Option<FeedPage>> {
        self.perform_in(&self.feed, Access::Read, move |conn| {
            read(conn, since).boxed()
        })
    }

    pub(super) fn delete_old_changes(&self) -> Stored<'static, ()> {
        self.perform_in(&self.feed, Access::Read, |conn| {
            async move {
                let seconds = CHANGES_KEPT.as_secs();
                let delete =
                    format!("DELETE FROM changes WHERE at < now() - interval '{seconds} seconds'");
                Ok(conn.batch_execute(&delete).await?)
            }
            .boxed()
        })
    }
}

async fn read(
    conn: &mut Conn,
    since: Option<FeedPosition>,
) -> Result<Option<FeedPage>, StoreError> {
    let limit = i64::try_from(CHANGES_MAX + 1).unwrap_or(i64::MAX);
    let statement = match &since {
        None => Statement::<Row>::new(BEGIN, Vec::new()),
        Some(position) => {
            Statement::<Row>::new(READ, vec![Bind::Text(&position.0), Bind::Number(limit)])
        }
    };
    let rows: Vec<(String, Option<String>, Option<i64>)> = statement.load(conn).await?;
    let Some((snapshot, ..)) = rows.as_slice().first() else {
        return Err(StoreError::Fault("the change feed has no position".into()));
    };
    let position = FeedPosition(snapshot.clone());
    let is_whole = rows.len() <= CHANGES_MAX;
    let changed = rows
        .into_iter()
        .filter_map(|(_, kind, subject)| row_change(&kind?, subject?));
    Ok(Some(FeedPage {
        position,
        changed: is_whole.then(|| changed.collect()),
    }))
}

/// `None` for a kind of a later version, and for a row that is none of ours.
fn row_change(kind: &str, subject: i64) -> Option<RowChange> {
    match kind {
        "token" => UserId::new(subject).map(RowChange::Token),
        "account" => UserId::new(subject).map(RowChange::Account),
        "live" => LiveId::new(subject).map(RowChange::Live),
        "moderation" => UserId::new(subject).map(RowChange::Moderation),
        _ => None,
    }
}
