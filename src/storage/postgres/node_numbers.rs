//! Numbers of nodes in PostgreSQL.

use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;

use super::statement::{Bind, Statement};
use super::{Access, PostgresStore};
use crate::storage::{StoreError, Stored};

/// One node at a time: a row that another start has just changed would still be found by the order
/// it had before.
const LOCK: &str = "LOCK TABLE node_numbers IN SHARE ROW EXCLUSIVE MODE";

/// From the highest down: nodes of the version before count from 1 on, and are there in a rolling
/// upgrade.
const TAKE: &str = "
    UPDATE node_numbers SET holder = ?, seen_at = clock_timestamp()
    WHERE number = (SELECT number FROM node_numbers ORDER BY seen_at, number DESC LIMIT 1)
    RETURNING number";

const KEEP: &str = "UPDATE node_numbers SET seen_at = clock_timestamp() WHERE number = ? AND holder = ? RETURNING number";

impl PostgresStore {
    pub(super) fn take_number(&self, holder: String) -> Stored<'static, Option<i64>> {
        self.perform(Access::Write, move |conn| {
            async move {
                diesel::sql_query(LOCK).execute(conn).await?;
                let statement = Statement::<(BigInt,)>::new(TAKE, vec![Bind::Text(&holder)]);
                let numbers: Vec<(i64,)> = statement.load(conn).await?;
                let Some((number,)) = numbers.as_slice().first() else {
                    return Err(StoreError::Fault(
                        "no numbers of nodes in the database".into(),
                    ));
                };
                Ok(Some(*number))
            }
            .boxed()
        })
    }

    pub(super) fn keep_number(&self, number: i64, holder: String) -> Stored<'static, bool> {
        self.perform(Access::Write, move |conn| {
            async move {
                let statement = Statement::<(BigInt,)>::new(
                    KEEP,
                    vec![Bind::Number(number), Bind::Text(&holder)],
                );
                let numbers: Vec<(i64,)> = statement.load(conn).await?;
                Ok(!numbers.is_empty())
            }
            .boxed()
        })
    }
}
