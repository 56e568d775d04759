//! What is pinned in a live.

use std::sync::Arc;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, comments, lives};
use crate::domain::{
    ActionId, Comment, CommentId, LiveId, LiveStatus, Pin, Principal, Reject, Timestamp,
};
use crate::storage::rows::{principal_columns, principal_of};
use crate::storage::schema::{comments as comments_table, pins};
use crate::storage::{ActionRecord, StoreError};

/// `pins.action_id` until the action has its row in the audit, in the same transaction.
const NO_ACTION: i64 = 0;

/// Pins a comment of a live that has not ended, or nothing. [`set_action`] has to follow.
pub async fn set(
    conn: &mut Conn,
    record: &ActionRecord,
    live_id: LiveId,
    comment_id: Option<CommentId>,
) -> Result<Result<Option<Arc<Comment>>, Reject>, StoreError> {
    let Some(row) = lives::by_id(conn, live_id).await? else {
        return Ok(Err(Reject::LiveNotFound));
    };
    if row.live.status == LiveStatus::Ended {
        return Ok(Err(Reject::LiveEnded));
    }
    let mut comment = None;
    if let Some(id) = comment_id {
        // Locked before the row of the pin, as by those who take it down.
        comment = comments::lock_shown(conn, live_id, id).await?.map(Arc::new);
        if comment.is_none() {
            return Ok(Err(Reject::CommentNotFound));
        }
    }
    let (actor_kind, actor_id) = principal_columns(record.actor.principal());
    let pinned = (
        pins::comment_id.eq(comment_id.map(CommentId::get)),
        pins::actor_kind.eq(actor_kind),
        pins::actor_id.eq(actor_id),
        pins::action_id.eq(NO_ACTION),
        pins::updated_at.eq(record.at.0),
    );
    diesel::insert_into(pins::table)
        .values((pins::live_id.eq(live_id.get()), pinned))
        .on_conflict(pins::live_id)
        .do_update()
        .set(pinned)
        .execute(conn)
        .await?;
    Ok(Ok(comment))
}

/// Pins nothing any more in a live whose pinned comment has been taken down in this transaction.
/// Returns whether it was; then [`set_action`] has to follow.
pub async fn take_down(
    conn: &mut Conn,
    live_id: LiveId,
    actor: Principal,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let (actor_kind, actor_id) = principal_columns(actor);
    let removed = comments_table::table
        .filter(comments_table::live_id.eq(live_id.get()))
        .filter(comments_table::removed_at.is_not_null())
        .filter(comments_table::id.nullable().eq(pins::comment_id))
        .select(comments_table::id.nullable());
    let unpinned = diesel::update(
        pins::table
            .filter(pins::live_id.eq(live_id.get()))
            .filter(pins::comment_id.eq_any(removed)),
    )
    .set((
        pins::comment_id.eq(None::<i64>),
        pins::actor_kind.eq(actor_kind),
        pins::actor_id.eq(actor_id),
        pins::action_id.eq(NO_ACTION),
        pins::updated_at.eq(at.0),
    ))
    .execute(conn)
    .await?;
    Ok(unpinned > 0)
}

/// Says by which action the pin of a live is as it is.
pub async fn set_action(
    conn: &mut Conn,
    live_id: LiveId,
    action: ActionId,
) -> Result<(), StoreError> {
    diesel::update(pins::table.find(live_id.get()))
        .set(pins::action_id.eq(action.get()))
        .execute(conn)
        .await?;
    Ok(())
}

pub async fn of_live(conn: &mut Conn, live_id: LiveId) -> Result<Option<Pin>, StoreError> {
    let row: Option<(Option<i64>, String, i64, i64)> = pins::table
        .find(live_id.get())
        .select((
            pins::comment_id,
            pins::actor_kind,
            pins::actor_id,
            pins::action_id,
        ))
        .get_result(conn)
        .await
        .optional()?;
    let Some((comment_id, actor_kind, actor_id, action)) = row else {
        return Ok(None);
    };
    let comment = match comment_id.and_then(CommentId::new) {
        Some(id) => comments::shown(conn, live_id, id).await?,
        None => None,
    };
    let pin = |(by, action)| Pin {
        comment: comment.map(Arc::new),
        by,
        action,
    };
    Ok(principal_of(&actor_kind, actor_id)
        .zip(ActionId::new(action))
        .map(pin))
}
