//! The part of a batch that holds comments: read under the locks of their lives.

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, Text};
use diesel_async::RunQueryDsl;
use futures_util::future::join3;

use super::Conn;
use super::statement::{Bind, Statement};
use crate::domain::{Comment, CommentId, HeldComment, RequestId};
use crate::storage::StoreError;
use crate::storage::batch::{HoldKeys, HoldRows, Plan, StoredComment};

/// Reads what the holds of a batch depend on. A batch without any sends nothing.
pub async fn read(conn: &Conn, keys: &HoldKeys) -> QueryResult<HoldRows> {
    let mut rows = HoldRows::default();
    if keys.lives.is_empty() {
        return Ok(rows);
    }
    let (waiting, stored, requests) = join3(
        read_waiting(conn, keys),
        read_stored(conn, keys),
        read_requests(conn, keys),
    )
    .await;
    for (live_id, user_id, is_delayed, count) in waiting? {
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        rows.count_waiting(live_id, user_id, is_delayed, count);
    }
    for (id, live_id, user_id, content) in stored? {
        let comment = StoredComment {
            live_id,
            user_id,
            content,
        };
        rows.by_id.insert(id, comment);
    }
    for (live_id, user_id, request_id, id, content) in requests? {
        // It was asked for, so it is well-formed.
        if let Some(request_id) = RequestId::parse(&request_id) {
            let key = (live_id, user_id, request_id);
            rows.by_request.insert(key, (id, content));
        }
    }
    Ok(rows)
}

async fn read_waiting(mut conn: &Conn, keys: &HoldKeys) -> QueryResult<Vec<(i64, i64, bool, i64)>> {
    Statement::<(BigInt, BigInt, Bool, BigInt)>::new(
        "SELECT live_id, user_id, rule = 'delay', count(*) FROM held_comments \
         WHERE state = 'waiting' AND live_id = ANY(?) GROUP BY 1, 2, 3",
        vec![Bind::Numbers(keys.lives.iter().copied().collect())],
    )
    .load(&mut conn)
    .await
}

async fn read_stored(
    mut conn: &Conn,
    keys: &HoldKeys,
) -> QueryResult<Vec<(i64, i64, i64, String)>> {
    Statement::<(BigInt, BigInt, BigInt, Text)>::new(
        "SELECT comment_id, live_id, user_id, content FROM held_comments WHERE comment_id = ANY(?)",
        vec![Bind::Numbers(keys.ids.iter().copied().collect())],
    )
    .load(&mut conn)
    .await
}

type RequestRow = (i64, i64, String, i64, String);

async fn read_requests(mut conn: &Conn, keys: &HoldKeys) -> QueryResult<Vec<RequestRow>> {
    if keys.requests.is_empty() {
        return Ok(Vec::new());
    }
    let column = |number: fn(&(i64, i64, RequestId)) -> i64| {
        Bind::Numbers(keys.requests.iter().map(|(key, _)| number(key)).collect())
    };
    let names = keys.requests.iter().map(|((_, _, name), _)| name.as_str());
    Statement::<(BigInt, BigInt, Text, BigInt, Text)>::new(
        "SELECT h.live_id, h.user_id, h.request_id, h.comment_id, h.content \
         FROM unnest(?, ?, ?, ?) AS w (live_id, user_id, request_id, since) \
         JOIN held_comments h ON h.live_id = w.live_id AND h.user_id = w.user_id \
         AND h.request_id = w.request_id AND h.created_at >= w.since",
        vec![
            column(|(live_id, _, _)| *live_id),
            column(|(_, user_id, _)| *user_id),
            Bind::Texts(names.collect()),
            Bind::Numbers(keys.requests.iter().map(|(_, since)| since.0).collect()),
        ],
    )
    .load(&mut conn)
    .await
}

pub async fn write(mut conn: &Conn, plan: &Plan) -> QueryResult<usize> {
    if plan.holds.is_empty() {
        return Ok(0);
    }
    let column = |number: fn(&HeldComment) -> i64| {
        Bind::Numbers(plan.holds.iter().map(|held| number(held)).collect())
    };
    let holds = plan.holds.iter();
    let texts = holds.clone().map(|held| held.comment.text.as_str());
    let request_ids = holds
        .clone()
        .map(|held| held.comment.request_id.as_ref().map(RequestId::as_str));
    Statement::<()>::new(
        "INSERT INTO held_comments \
         (comment_id, live_id, user_id, content, request_id, rule, created_at, due_at) \
         SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?)",
        vec![
            column(|held| held.comment.id.get()),
            column(|held| held.comment.live_id.get()),
            column(|held| held.comment.author.id.get()),
            Bind::Texts(texts.collect()),
            Bind::OptionalTexts(request_ids.collect()),
            Bind::Texts(holds.map(|held| held.rule.name()).collect()),
            column(|held| held.comment.at.0),
            column(|held| held.due.0),
        ],
    )
    .execute(&mut conn)
    .await
}

/// Inserts comments that are shown now, each with its key in the history.
pub async fn insert_shown(
    conn: &mut Conn,
    shown: Vec<(Comment, CommentId)>,
) -> Result<(), StoreError> {
    let column = |number: fn(&(Comment, CommentId)) -> i64| {
        Bind::Numbers(shown.iter().map(number).collect())
    };
    let texts = shown.iter().map(|(comment, _)| comment.text.as_str());
    let request_ids = shown
        .iter()
        .map(|(comment, _)| comment.request_id.as_ref().map(RequestId::as_str));
    Statement::<()>::new(
        "INSERT INTO comments (id, live_id, user_id, content, request_id, created_at, sort_key) \
         SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?)",
        vec![
            column(|(comment, _)| comment.id.get()),
            column(|(comment, _)| comment.live_id.get()),
            column(|(comment, _)| comment.author.id.get()),
            Bind::Texts(texts.collect()),
            Bind::OptionalTexts(request_ids.collect()),
            column(|(comment, _)| comment.at.0),
            column(|(_, key)| key.get()),
        ],
    )
    .execute(conn)
    .await?;
    Ok(())
}
