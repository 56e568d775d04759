//! The part of a batch that holds comments.

use diesel::dsl::{count_star, sql};
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::Conn;
use crate::domain::{Comment, CommentId, HeldComment, HoldRule, RequestId};
use crate::storage::StoreError;
use crate::storage::batch::{HoldKeys, HoldRows, StoredComment};
use crate::storage::schema::{comments, held_comments};

/// Reads what the holds of a batch depend on.
pub fn read(conn: &mut SqliteConnection, keys: &HoldKeys) -> QueryResult<HoldRows> {
    let mut rows = HoldRows::default();
    for live_id in &keys.lives {
        let groups = (
            held_comments::live_id,
            held_comments::user_id,
            held_comments::rule,
        );
        let waiting: Vec<((i64, i64, String), i64)> = held_comments::table
            // A literal, because SQLite does not match a bound value with the condition of the
            // index.
            .filter(sql::<Bool>("held_comments.state = 'waiting'"))
            .filter(held_comments::live_id.eq(live_id))
            .group_by(groups)
            .select((groups, count_star()))
            .load(conn)?;
        for ((live_id, user_id, rule), count) in waiting {
            let count = usize::try_from(count).unwrap_or(usize::MAX);
            let is_delayed = rule == HoldRule::Delay.name();
            rows.count_waiting(live_id, user_id, is_delayed, count);
        }
    }
    for &id in &keys.ids {
        let columns = (
            held_comments::live_id,
            held_comments::user_id,
            held_comments::content,
        );
        let stored: Option<StoredComment> = held_comments::table
            .find(id)
            .select(columns)
            .get_result(conn)
            .optional()?;
        rows.by_id.extend(stored.map(|stored| (id, stored)));
    }
    for (key @ (live_id, user_id, request_id), since) in &keys.requests {
        let known: Option<(i64, String)> = held_comments::table
            .filter(held_comments::live_id.eq(live_id))
            .filter(held_comments::user_id.eq(user_id))
            .filter(held_comments::request_id.eq(request_id.as_str()))
            .filter(held_comments::created_at.ge(since.0))
            .select((held_comments::comment_id, held_comments::content))
            .get_result(conn)
            .optional()?;
        rows.by_request
            .extend(known.map(|known| (key.clone(), known)));
    }
    Ok(rows)
}

pub fn write(conn: &mut SqliteConnection, held: &HeldComment) -> QueryResult<()> {
    let comment = &held.comment;
    diesel::insert_into(held_comments::table)
        .values((
            held_comments::comment_id.eq(comment.id.get()),
            held_comments::live_id.eq(comment.live_id.get()),
            held_comments::user_id.eq(comment.author.id.get()),
            held_comments::content.eq(comment.text.as_str()),
            held_comments::request_id.eq(comment.request_id.as_ref().map(RequestId::as_str)),
            held_comments::rule.eq(held.rule.name()),
            held_comments::created_at.eq(comment.at.0),
            held_comments::due_at.eq(held.due.0),
        ))
        .execute(conn)?;
    Ok(())
}

/// Inserts comments that are shown now, each with its key in the history.
pub async fn insert_shown(
    conn: &mut Conn,
    shown: Vec<(Comment, CommentId)>,
) -> Result<(), StoreError> {
    conn.spawn_blocking(move |conn| {
        for (comment, key) in shown {
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
                .execute(conn)?;
        }
        Ok(())
    })
    .await?;
    Ok(())
}
