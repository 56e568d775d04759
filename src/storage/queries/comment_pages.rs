//! Comments with those that were taken down, and by whom: what operators look at, and export.

use std::collections::{HashMap, HashSet};

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::comments::{COLUMNS, key_of, order_key};
use crate::domain::{Comment, CommentId, LiveId, Timestamp, UserId};
use crate::storage::rows::CommentRecord;
use crate::storage::schema::{audit, comments, users};
use crate::storage::{
    COMMENTS_LOOKED_AT_MAX, CommentRange, RowActor, ShownComment, StoreError, UserComments,
};

/// Its key, when it was taken down, and the comment.
type Row = (i64, Option<i64>, CommentRecord);

/// Up to `max` comments of a range.
pub async fn range(
    conn: &mut Conn,
    range: CommentRange,
    max: u32,
) -> Result<Vec<ShownComment>, StoreError> {
    let mut rows = indexed(conn, range, false, max).await?;
    if range.removed {
        // Each of the two has its index. One that is taken down between the two statements is read
        // twice rather than not at all.
        let known: HashSet<i64> = rows.iter().map(|(.., row)| row.id()).collect();
        let removed = indexed(conn, range, true, max).await?;
        rows.extend(
            removed
                .into_iter()
                .filter(|(.., row)| !known.contains(&row.id())),
        );
        rows.sort_unstable_by_key(|(key, ..)| *key);
        if range.newest_first {
            rows.reverse();
        }
        rows.truncate(max as usize);
    }
    rows.into_iter().map(shown).collect()
}

/// Comments of a range that are taken down, or those that are not.
async fn indexed(
    conn: &mut Conn,
    range: CommentRange,
    removed: bool,
    max: u32,
) -> Result<Vec<Row>, StoreError> {
    let (after, before) = (range.after, range.before);
    let query = comments::table
        .inner_join(users::table.on(users::id.eq(comments::user_id)))
        .filter(comments::live_id.eq(range.live_id.get()))
        .filter(order_key().gt(after.map_or(0, CommentId::get)))
        .filter(order_key().lt(before.map_or(i64::MAX, CommentId::get)))
        .limit(max.into())
        .select((order_key(), comments::removed_at, COLUMNS))
        .into_boxed();
    let query = if removed {
        query.filter(comments::removed_at.is_not_null())
    } else {
        query.filter(comments::removed_at.is_null())
    };
    let query = if range.newest_first {
        query.order(order_key().desc())
    } else {
        query.order(order_key())
    };
    Ok(query.load(conn).await?)
}

fn shown((key, removed_at, row): Row) -> Result<ShownComment, StoreError> {
    let id = row.id();
    Ok(ShownComment {
        comment: Comment::try_from(row)?,
        key: CommentId::new(key)
            .ok_or_else(|| StoreError::Fault(format!("comments {id}: sort_key is not positive")))?,
        removed_at: removed_at.map(Timestamp),
        removed_by: None,
    })
}

/// A page of the history of a live with removed ones, newest first, and who removed them. `before`:
/// the id of a comment.
pub async fn with_removed(
    conn: &mut Conn,
    live_id: LiveId,
    before: Option<CommentId>,
    removed: bool,
    max: u32,
) -> Result<Vec<ShownComment>, StoreError> {
    let before = match before {
        // An id that no comment of this live has is a place in the order all the same.
        Some(id) => key_of(conn, live_id, id)
            .await?
            .and_then(CommentId::new)
            .or(Some(id)),
        None => None,
    };
    let asked = CommentRange {
        live_id,
        after: None,
        before,
        removed,
        newest_first: true,
    };
    let mut found = range(conn, asked, max).await?;
    name_removers(conn, &mut found).await?;
    Ok(found)
}

/// Comments of a user, newest first, out of the newest [`COMMENTS_LOOKED_AT_MAX`] of the site before
/// this id.
pub async fn of_user(
    conn: &mut Conn,
    user: UserId,
    before: Option<CommentId>,
    max: u32,
) -> Result<UserComments, StoreError> {
    let before = before.map_or(i64::MAX, CommentId::get);
    let oldest: Option<(i64, i64)> = comments::table
        .filter(comments::id.lt(before))
        .order(comments::id.desc())
        .offset(i64::from(COMMENTS_LOOKED_AT_MAX) - 1)
        .limit(1)
        .select((comments::id, comments::created_at))
        .get_result(conn)
        .await
        .optional()?;
    let rows: Vec<Row> = comments::table
        .inner_join(users::table.on(users::id.eq(comments::user_id)))
        .filter(comments::user_id.eq(user.get()))
        .filter(comments::id.lt(before))
        .filter(comments::id.ge(oldest.map_or(0, |(id, _)| id)))
        .order(comments::id.desc())
        .limit(max.into())
        .select((order_key(), comments::removed_at, COLUMNS))
        .load(conn)
        .await?;
    let is_full = rows.len() == max as usize;
    let mut found = rows.into_iter().map(shown).collect::<Result<Vec<_>, _>>()?;
    name_removers(conn, &mut found).await?;
    let next = match found.last() {
        Some(last) if is_full => Some((last.comment.id, last.comment.at)),
        _ => oldest.and_then(|(id, at)| Some((CommentId::new(id)?, Timestamp(at)))),
    };
    Ok(UserComments {
        comments: found,
        next,
    })
}

/// Who acted, and when.
struct Act {
    actor_kind: String,
    actor_id: i64,
    at: i64,
}

/// Fills in who took comments down, by the audit: one by one, or together with others of their
/// author.
async fn name_removers(conn: &mut Conn, found: &mut [ShownComment]) -> Result<(), StoreError> {
    let removed = found.iter().filter(|shown| shown.removed_at.is_some());
    let (ids, (authors, lives)): (Vec<i64>, (Vec<i64>, Vec<i64>)) = removed
        .map(|shown| {
            let Comment {
                id,
                author,
                live_id,
                ..
            } = &shown.comment;
            (id.get(), (author.id.get(), live_id.get()))
        })
        .unzip();
    if ids.is_empty() {
        return Ok(());
    }
    let single = single_acts(conn, ids).await?;
    let together = acts_on_users(conn, lives, authors).await?;
    let mut named: HashMap<i64, Option<String>> = HashMap::new();
    let acts = single.values().chain(together.values());
    let users_acting = acts.filter(|act| act.actor_kind == "user");
    let rows: Vec<(i64, String)> = users::table
        .filter(users::id.eq_any(users_acting.map(|act| act.actor_id)))
        .select((users::id, users::username))
        .load(conn)
        .await?;
    named.extend(rows.into_iter().map(|(id, name)| (id, Some(name))));
    for shown in found.iter_mut() {
        let Some(at) = shown.removed_at else {
            continue;
        };
        let comment = &shown.comment;
        let place = (comment.live_id.get(), comment.author.id.get(), at.0);
        let act = single
            .get(&comment.id.get())
            .filter(|act| act.at == at.0)
            .or_else(|| together.get(&place));
        shown.removed_by = act.map(|act| RowActor {
            name: match act.actor_kind.as_str() {
                "user" => named.get(&act.actor_id).cloned().flatten(),
                _ => None,
            },
            kind: act.actor_kind.clone(),
            id: act.actor_id,
        });
    }
    Ok(())
}

/// Acts that took one comment down, by its id. The first counts: others found it down.
async fn single_acts(conn: &mut Conn, ids: Vec<i64>) -> Result<HashMap<i64, Act>, StoreError> {
    let rows: Vec<(Option<i64>, String, i64, i64)> = audit::table
        // The condition of the index, which SQLite does not match with bound values.
        .filter(sql::<Bool>(
            "audit.action = 'take_down' AND audit.result = 'ok'",
        ))
        .filter(audit::target_id.eq_any(ids))
        .order(audit::id.desc())
        .select((
            audit::target_id,
            audit::actor_kind,
            audit::actor_id,
            audit::at,
        ))
        .load(conn)
        .await?;
    let act = |(target, actor_kind, actor_id, at): (Option<i64>, _, _, _)| {
        let act = Act {
            actor_kind,
            actor_id,
            at,
        };
        Some((target?, act))
    };
    Ok(rows.into_iter().filter_map(act).collect())
}

/// Acts that took comments of a user down together, by live, user and time.
async fn acts_on_users(
    conn: &mut Conn,
    lives: Vec<i64>,
    authors: Vec<i64>,
) -> Result<HashMap<(i64, i64, i64), Act>, StoreError> {
    /// Live, user, actor and time of an act.
    type ActColumns = (Option<i64>, Option<i64>, String, i64, i64);

    let rows: Vec<ActColumns> = audit::table
        .filter(sql::<Bool>(
            "audit.action IN ('ban', 'take_down_last') AND audit.result = 'ok'",
        ))
        .filter(audit::scope_id.eq_any(lives))
        .filter(audit::target_id.eq_any(authors))
        .select((
            audit::scope_id,
            audit::target_id,
            audit::actor_kind,
            audit::actor_id,
            audit::at,
        ))
        .load(conn)
        .await?;
    let act = |(live, user, actor_kind, actor_id, at): ActColumns| {
        let act = Act {
            actor_kind,
            actor_id,
            at,
        };
        Some(((live?, user?, at), act))
    };
    Ok(rows.into_iter().filter_map(act).collect())
}
