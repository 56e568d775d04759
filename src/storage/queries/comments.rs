//! What was said in a live, and what of it is still shown.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::domain::{Comment, CommentId, LiveId, Timestamp};
use crate::storage::StoreError;
use crate::storage::rows::CommentRecord;
use crate::storage::schema::{comments, users};

/// What a [`CommentRecord`] is read from.
const COLUMNS: (
    comments::id,
    comments::live_id,
    comments::content,
    comments::request_id,
    comments::created_at,
    users::id,
    users::username,
    users::nickname,
    users::avatar,
) = (
    comments::id,
    comments::live_id,
    comments::content,
    comments::request_id,
    comments::created_at,
    users::id,
    users::username,
    users::nickname,
    users::avatar,
);

/// Removed ones too: they use up their `request_id` all the same.
pub async fn recent(conn: &mut Conn, live_id: LiveId, since: Timestamp, max: u32) -> Result<Vec<Comment>, StoreError> {
    let mut rows: Vec<CommentRecord> = comments::table
        .inner_join(users::table)
        .filter(comments::live_id.eq(live_id.get()))
        .filter(comments::created_at.ge(since.0))
        .filter(comments::request_id.is_not_null())
        .order((comments::created_at.desc(), comments::id.desc()))
        .limit(i64::from(max))
        .select(COLUMNS)
        .load(conn)
        .await?;
    rows.reverse();
    rows.into_iter().map(Comment::try_from).collect()
}

pub async fn newest(conn: &mut Conn) -> Result<Option<CommentId>, StoreError> {
    let id: Option<i64> = comments::table.select(diesel::dsl::max(comments::id)).get_result(conn).await?;
    Ok(id.and_then(CommentId::new))
}

pub async fn page(
    conn: &mut Conn,
    live_id: LiveId,
    before: Option<CommentId>,
    max: u32,
) -> Result<Vec<Comment>, StoreError> {
    // One statement with one plan for both cases. No id is the largest: they lie in the future.
    let before = before.map_or(i64::MAX, CommentId::get);
    let rows: Vec<CommentRecord> = comments::table
        .inner_join(users::table)
        .filter(comments::live_id.eq(live_id.get()))
        .filter(comments::id.lt(before))
        .filter(comments::removed_at.is_null())
        .order(comments::id.desc())
        .limit(i64::from(max))
        .select(COLUMNS)
        .load(conn)
        .await?;
    rows.into_iter().map(Comment::try_from).collect()
}

/// Takes a comment of this live down, for good. Returns since when it had been down before, and since when it is
/// now; `None` if it is unknown.
pub async fn remove(
    conn: &mut Conn,
    live_id: LiveId,
    id: CommentId,
    at: Timestamp,
) -> Result<Option<(Option<Timestamp>, Timestamp)>, StoreError> {
    let comment = comments::table.filter(comments::id.eq(id.get()).and(comments::live_id.eq(live_id.get())));
    let removed = diesel::update(comment.filter(comments::removed_at.is_null()))
        .set(comments::removed_at.eq(at.0))
        .execute(conn)
        .await?;
    if removed > 0 {
        return Ok(Some((None, at)));
    }
    let earlier: Option<Option<i64>> = comment.select(comments::removed_at).get_result(conn).await.optional()?;
    Ok(earlier.flatten().map(|at| (Some(Timestamp(at)), Timestamp(at))))
}
