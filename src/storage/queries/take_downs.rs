//! Comments of a live that are taken down, and shown again.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use serde_json::json;

use super::left_behind::{removed_ids, taken_down};
use super::{Conn, accounts, comments, held_comments};
use crate::domain::{CommentId, LiveId, Outcome, RESTORE_MS, Reject, Timestamp, UserId};
use crate::storage::actions::Changed;
use crate::storage::schema::audit;
use crate::storage::{ActionRecord, Change, StoreError};

/// Takes a comment down, or denies it while it waits.
pub async fn one(
    conn: &mut Conn,
    record: &ActionRecord,
    live_id: LiveId,
    id: CommentId,
) -> Result<Result<Changed, Reject>, StoreError> {
    let at = record.at;
    let mut removed = comments::remove(conn, live_id, id, at).await?;
    if removed.is_none() {
        match held_comments::deny(conn, record, live_id, id).await? {
            // Perhaps it was shown a moment ago.
            Err(Reject::AlreadyReviewed) => {
                removed = comments::remove(conn, live_id, id, at).await?;
            }
            denied => return Ok(denied),
        }
    }
    let Some((removed_before, removed_at)) = removed else {
        // It was denied before: taking it down again changes nothing.
        let denied = held_comments::earlier(conn, live_id, id).await?;
        return Ok(denied.map_or(Err(Reject::CommentNotFound), |change| {
            Ok(Changed {
                before: None,
                after: Some(json!({"state": "denied"})),
                change,
            })
        }));
    };
    let state = |at: Option<Timestamp>| Some(json!({"removed_at": at.map(|at| at.0)}));
    let (before, after) = (state(removed_before), state(Some(removed_at)));
    Ok(Ok(Changed {
        before,
        after,
        change: Change::CommentRemoved(removed_at),
    }))
}

/// Takes the newest comments of a user down, and denies those that wait.
pub async fn last_of_user(
    conn: &mut Conn,
    live_id: LiveId,
    user: UserId,
    count: u32,
    at: Timestamp,
) -> Result<Result<Changed, Reject>, StoreError> {
    if accounts::by_id(conn, user).await?.is_none() {
        return Ok(Err(Reject::UserNotFound));
    }
    // First: it waits for those who show one of them at this moment, which is taken down then.
    let waiting = held_comments::WaitingIn::Live(live_id);
    let denied = held_comments::deny_all_of(conn, user, waiting, at).await?;
    let all = Timestamp(i64::MIN);
    let removed = comments::remove_last(conn, live_id, user, all, count, at).await?;
    Ok(Ok(Changed {
        before: None,
        after: Some(taken_down(&removed, denied)),
        change: Change::Comments {
            outcome: Outcome::TakenDown(removed.len() + denied),
            removed,
        },
    }))
}

/// Shows the comments again that the last action took down which took several of this user down.
pub async fn restore(
    conn: &mut Conn,
    live_id: LiveId,
    user: UserId,
    at: Timestamp,
) -> Result<Result<Changed, Reject>, StoreError> {
    if accounts::by_id(conn, user).await?.is_none() {
        return Ok(Err(Reject::UserNotFound));
    }
    // The condition of an index, which SQLite does not match with bound values.
    let purges = "audit.action IN ('ban', 'take_down_last') AND audit.result = 'ok'";
    let last: Option<(i64, Option<String>)> = audit::table
        .filter(sql::<Bool>(purges))
        .filter(audit::scope.eq("live"))
        .filter(audit::scope_id.eq(live_id.get()))
        .filter(audit::target_id.eq(user.get()))
        .filter(audit::at.gt(at.plus_ms(-RESTORE_MS).0))
        .order(audit::id.desc())
        .limit(1)
        .select((audit::at, audit::after))
        .get_result(conn)
        .await
        .optional()?;
    let Some((removed_at, after)) = last else {
        return Ok(Err(Reject::CommentNotFound));
    };
    let ids = removed_ids(after.as_deref());
    let restored = comments::restore(conn, live_id, &ids, Timestamp(removed_at)).await?;
    Ok(Ok(Changed {
        before: Some(json!({"removed_at": removed_at})),
        after: Some(json!({"restored": restored})),
        change: Change::Comments {
            outcome: Outcome::Restored(restored),
            removed: Vec::new(),
        },
    }))
}
