//! What a room reads again that missed entries of its log.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::action_columns::scope_columns;
use super::{Conn, held_comments, pins, reports};
use crate::domain::{LiveId, MissedEntries, REVIEWS_MAX, Scope, Timestamp, UserId};
use crate::storage::StoreError;
use crate::storage::schema::audit;

/// The newest actions among which kicks are looked for: a range of the primary key.
const ACTIONS_LOOKED_AT: i64 = 10_000;

pub async fn read(
    conn: &mut Conn,
    live_id: LiveId,
    kicks_since: Timestamp,
) -> Result<MissedEntries, StoreError> {
    Ok(MissedEntries {
        kicks: kicks(conn, live_id, kicks_since).await?,
        held: held_comments::for_review(conn, live_id, REVIEWS_MAX as u32).await?,
        pin: pins::of_live(conn, live_id).await?,
        open_reports: reports::open_count(conn, live_id).await?,
    })
}

async fn kicks(
    conn: &mut Conn,
    live_id: LiveId,
    since: Timestamp,
) -> Result<Vec<(UserId, Timestamp)>, StoreError> {
    let newest: Option<i64> = audit::table
        .select(diesel::dsl::max(audit::id))
        .get_result(conn)
        .await?;
    let (scope, scope_id) = scope_columns(Scope::Live(live_id));
    let kicks: Vec<(Option<i64>, i64)> = audit::table
        .filter(audit::id.gt(newest.unwrap_or_default() - ACTIONS_LOOKED_AT))
        .filter(audit::action.eq("kick"))
        .filter(audit::result.eq("ok"))
        .filter(audit::scope.eq(scope))
        .filter(audit::scope_id.eq(scope_id))
        .filter(audit::at.ge(since.0))
        .order(audit::id)
        .select((audit::target_id, audit::at))
        .load(conn)
        .await?;
    let kick = |(user, at): (Option<i64>, i64)| Some((UserId::new(user?)?, Timestamp(at)));
    Ok(kicks.into_iter().filter_map(kick).collect())
}
