//! The comments of a live, and those of them that are still shown.

use std::collections::{HashMap, HashSet};

use diesel::define_sql_function;
use diesel::dsl::max;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Nullable};
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::Conn;
use crate::domain::{Comment, CommentId, LiveId, RequestId, Timestamp, UserId};
use crate::storage::StoreError;
use crate::storage::rows::CommentRecord;
use crate::storage::schema::{comments, held_comments, users};

/// The columns that a [`CommentRecord`] is read from.
pub(super) const COLUMNS: (
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

define_sql_function! {
    fn coalesce(key: Nullable<BigInt>, otherwise: BigInt) -> BigInt;
}

/// The key that orders history, as the index `comments_history` has it: a key given when the
/// comment was shown, which for one that was shown when it was posted is its id.
pub(super) type OrderKey = coalesce<comments::sort_key, comments::id>;

pub(super) fn order_key() -> OrderKey {
    coalesce(comments::sort_key, comments::id)
}

/// Removed ones too: they use up their `request_id` all the same.
pub async fn recent(
    conn: &mut Conn,
    live_id: LiveId,
    since: Timestamp,
    max: u32,
) -> Result<Vec<Comment>, StoreError> {
    // Shown ones first: one that is removed meanwhile is read twice rather than not at all.
    let mut found = recent_shown(conn, live_id, since, max).await?;
    let shown: HashSet<i64> = found.iter().map(|(_, row)| row.id()).collect();
    let removed = recent_removed(conn, live_id, since, max).await?;
    found.extend(
        removed
            .into_iter()
            .filter(|(_, row)| !shown.contains(&row.id())),
    );
    found.sort_unstable_by_key(|(key, _)| *key);
    let surplus = found.len().saturating_sub(max as usize);
    found
        .into_iter()
        .skip(surplus)
        .map(|(_, row)| Comment::try_from(row))
        .collect()
}

/// Keys rise with time, so the rows of that time end where the first older one is found.
async fn recent_shown(
    conn: &mut Conn,
    live_id: LiveId,
    since: Timestamp,
    max: u32,
) -> QueryResult<Vec<(i64, CommentRecord)>> {
    let shown = comments::table
        .filter(comments::live_id.eq(live_id.get()))
        .filter(comments::removed_at.is_null());
    let older: Option<i64> = shown
        .filter(comments::created_at.lt(since.0))
        .order(order_key().desc())
        .limit(1)
        .select(order_key())
        .get_result(conn)
        .await
        .optional()?;
    shown
        .inner_join(users::table.on(users::id.eq(comments::user_id)))
        .filter(order_key().gt(older.unwrap_or(0)))
        .filter(comments::created_at.ge(since.0))
        .filter(comments::request_id.is_not_null())
        .order(order_key().desc())
        .limit(i64::from(max))
        .select((order_key(), COLUMNS))
        .load(conn)
        .await
}

/// A comment that was posted at that time was not removed earlier.
async fn recent_removed(
    conn: &mut Conn,
    live_id: LiveId,
    since: Timestamp,
    max: u32,
) -> QueryResult<Vec<(i64, CommentRecord)>> {
    comments::table
        .inner_join(users::table.on(users::id.eq(comments::user_id)))
        .filter(comments::live_id.eq(live_id.get()))
        .filter(comments::removed_at.ge(since.0))
        .filter(comments::created_at.ge(since.0))
        .filter(comments::request_id.is_not_null())
        .order(comments::removed_at.desc())
        .limit(i64::from(max))
        .select((order_key(), COLUMNS))
        .load(conn)
        .await
}

/// Ids and keys are given out by one clock, so that the next of either comes after all of both.
pub async fn newest(conn: &mut Conn) -> Result<Option<CommentId>, StoreError> {
    let id: Option<i64> = comments::table
        .select(max(comments::id))
        .get_result(conn)
        .await?;
    let key: Option<i64> = comments::table
        .filter(comments::sort_key.is_not_null())
        .select(max(comments::sort_key))
        .get_result(conn)
        .await?;
    let held: Option<i64> = held_comments::table
        .select(max(held_comments::comment_id))
        .get_result(conn)
        .await?;
    Ok(id.max(key).max(held).and_then(CommentId::new))
}

pub async fn page(
    conn: &mut Conn,
    live_id: LiveId,
    before: Option<CommentId>,
    max: u32,
) -> Result<Vec<Comment>, StoreError> {
    let before = match before {
        // Keys lie in the past: none is the largest.
        None => i64::MAX,
        // An id that no comment of this live has is a place in the order all the same.
        Some(id) => key_of(conn, live_id, id).await?.unwrap_or_else(|| id.get()),
    };
    let rows: Vec<CommentRecord> = comments::table
        .inner_join(users::table.on(users::id.eq(comments::user_id)))
        .filter(comments::live_id.eq(live_id.get()))
        .filter(order_key().lt(before))
        .filter(comments::removed_at.is_null())
        .order(order_key().desc())
        .limit(i64::from(max))
        .select(COLUMNS)
        .load(conn)
        .await?;
    rows.into_iter().map(Comment::try_from).collect()
}

pub(super) async fn key_of(
    conn: &mut Conn,
    live_id: LiveId,
    id: CommentId,
) -> QueryResult<Option<i64>> {
    let comment = comments::table.filter(
        comments::id
            .eq(id.get())
            .and(comments::live_id.eq(live_id.get())),
    );
    comment
        .select(order_key())
        .get_result(conn)
        .await
        .optional()
}

/// Takes a comment of this live down, for good. Returns since when it had been down before, and
/// since when it is now; `None` if it is unknown.
pub async fn remove(
    conn: &mut Conn,
    live_id: LiveId,
    id: CommentId,
    at: Timestamp,
) -> Result<Option<(Option<Timestamp>, Timestamp)>, StoreError> {
    let comment = comments::table.filter(
        comments::id
            .eq(id.get())
            .and(comments::live_id.eq(live_id.get())),
    );
    let removed = diesel::update(comment.filter(comments::removed_at.is_null()))
        .set(comments::removed_at.eq(at.0))
        .execute(conn)
        .await?;
    if removed > 0 {
        return Ok(Some((None, at)));
    }
    let earlier: Option<Option<i64>> = comment
        .select(comments::removed_at)
        .get_result(conn)
        .await
        .optional()?;
    Ok(earlier
        .flatten()
        .map(|at| (Some(Timestamp(at)), Timestamp(at))))
}

/// How many of the newest comments of a live are looked at for those of one user: no index leads to
/// them, because each comment would pay for it.
const LOOKED_AT_MAX: i64 = 20_000;

/// Takes the newest `max` comments of a user in a live down that were posted at `since` or later.
/// Returns their ids, oldest first.
pub async fn remove_last(
    conn: &mut Conn,
    live_id: LiveId,
    user: UserId,
    since: Timestamp,
    max: u32,
    at: Timestamp,
) -> Result<Vec<CommentId>, StoreError> {
    let newest = diesel::alias!(comments as newest_comments);
    let looked_at = newest
        .filter(newest.field(comments::live_id).eq(live_id.get()))
        .filter(newest.field(comments::removed_at).is_null())
        .order(coalesce(newest.field(comments::sort_key), newest.field(comments::id)).desc())
        .limit(LOOKED_AT_MAX)
        .select(newest.field(comments::id));
    let ids: Vec<i64> = comments::table
        .filter(comments::id.eq_any(looked_at))
        .filter(comments::user_id.eq(user.get()))
        .filter(comments::created_at.ge(since.0))
        .order(order_key().desc())
        .limit(max.into())
        .select(comments::id)
        .load(conn)
        .await?;
    let shown = comments::table
        .filter(comments::id.eq_any(ids))
        .filter(comments::removed_at.is_null());
    // One that is taken down at the same moment by another is its removal.
    let mut removed: Vec<i64> = diesel::update(shown)
        .set(comments::removed_at.eq(at.0))
        .returning(comments::id)
        .get_results(conn)
        .await?;
    removed.sort_unstable();
    Ok(removed.into_iter().filter_map(CommentId::new).collect())
}

/// Shows comments of a live again that were taken down together then. Returns how many.
pub async fn restore(
    conn: &mut Conn,
    live_id: LiveId,
    ids: &[CommentId],
    removed_at: Timestamp,
) -> Result<usize, StoreError> {
    let removed = comments::table
        .filter(comments::id.eq_any(ids.iter().map(|id| id.get())))
        .filter(comments::live_id.eq(live_id.get()))
        .filter(comments::removed_at.eq(removed_at.0));
    Ok(diesel::update(removed)
        .set(comments::removed_at.eq(None::<i64>))
        .execute(conn)
        .await?)
}

/// Those of these comments that are taken down.
pub async fn removed(conn: &mut Conn, among: Vec<CommentId>) -> Result<Vec<CommentId>, StoreError> {
    let among = among.into_iter().map(CommentId::get);
    let ids: Vec<i64> = comments::table
        .filter(comments::id.eq_any(among))
        .filter(comments::removed_at.is_not_null())
        .select(comments::id)
        .load(conn)
        .await?;
    Ok(ids.into_iter().filter_map(CommentId::new).collect())
}

/// The author of a comment of this live that was shown, and since when it is.
pub async fn author(
    conn: &mut Conn,
    live_id: LiveId,
    id: CommentId,
) -> Result<Option<(UserId, Timestamp)>, StoreError> {
    let found: Option<(i64, i64)> = comments::table
        .find(id.get())
        .filter(comments::live_id.eq(live_id.get()))
        .select((comments::user_id, comments::created_at))
        .get_result(conn)
        .await
        .optional()?;
    Ok(found.and_then(|(user, at)| Some((UserId::new(user)?, Timestamp(at)))))
}

/// A comment of this live that is not taken down.
pub async fn shown(
    conn: &mut Conn,
    live_id: LiveId,
    id: CommentId,
) -> Result<Option<Comment>, StoreError> {
    let row: Option<CommentRecord> = comments::table
        .inner_join(users::table.on(users::id.eq(comments::user_id)))
        .filter(comments::id.eq(id.get()))
        .filter(comments::live_id.eq(live_id.get()))
        .filter(comments::removed_at.is_null())
        .select(COLUMNS)
        .get_result(conn)
        .await
        .optional()?;
    row.map(Comment::try_from).transpose()
}

/// Those of these comments that are not taken down, by id.
pub async fn shown_among(
    conn: &mut Conn,
    ids: &[i64],
) -> Result<HashMap<i64, Comment>, StoreError> {
    let rows: Vec<CommentRecord> = comments::table
        .inner_join(users::table.on(users::id.eq(comments::user_id)))
        .filter(comments::id.eq_any(ids.iter().copied()))
        .filter(comments::removed_at.is_null())
        .select(COLUMNS)
        .load(conn)
        .await?;
    let named = |row: CommentRecord| Ok((row.id(), row.try_into()?));
    rows.into_iter().map(named).collect()
}

/// As [`shown`]; nobody takes it down before this transaction ends.
pub async fn lock_shown(
    conn: &mut Conn,
    live_id: LiveId,
    id: CommentId,
) -> Result<Option<Comment>, StoreError> {
    // Both databases have this lock: a write that changes nothing.
    diesel::update(comments::table.find(id.get()))
        .filter(comments::removed_at.is_null())
        .set(comments::removed_at.eq(None::<i64>))
        .execute(conn)
        .await?;
    shown(conn, live_id, id).await
}

/// Adds a comment that was held and is shown now. `key`: its place in the history.
pub async fn insert(conn: &mut Conn, comment: &Comment, key: CommentId) -> Result<(), StoreError> {
    diesel::insert_into(comments::table)
        .values((
            comments::id.eq(comment.id.get()),
            comments::live_id.eq(comment.live_id.get()),
            comments::user_id.eq(comment.author.id.get()),
            comments::content.eq(comment.text.as_str()),
            comments::request_id.eq(comment.request_id.as_ref().map(RequestId::as_str)),
            comments::created_at.eq(comment.at.0),
            comments::sort_key.eq(key.get()),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Ids of comments as the audit keeps them.
pub fn ids_json(ids: &[CommentId]) -> Value {
    ids.iter().map(|id| id.get()).collect()
}

pub fn ids_of_json(ids: &Value) -> Vec<CommentId> {
    let ids = ids.as_array().into_iter().flatten();
    ids.filter_map(Value::as_i64)
        .filter_map(CommentId::new)
        .collect()
}
