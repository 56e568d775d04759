//! Reports of comments, and the queue of those that nobody has settled.

use std::collections::HashMap;

use diesel::dsl::exists;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::json;

use super::{Conn, comments};
use crate::domain::{
    CommentId, LiveId, Principal, REPORTED_COMMENTS_MAX, REPORTS_OF_COMMENT_MAX,
    REPORTS_OF_USER_MAX, REPORTS_OF_USER_MS, Reject, ReportedComment, ReportsChange, Timestamp,
    UserId, is_news,
};
use crate::storage::actions::Changed;
use crate::storage::error::require_storable;
use crate::storage::rows::principal_columns;
use crate::storage::schema::{comments as comments_table, reported_comments, reports, users};
use crate::storage::{ActionRecord, Change, ReportedRow, Reporter, StoreError};

/// The comments in the queue of a live, or of all of them: reported, neither settled nor taken down.
macro_rules! queue {
    () => {
        reported_comments::table
            .inner_join(
                comments_table::table.on(comments_table::id.eq(reported_comments::comment_id)),
            )
            .filter(reported_comments::settled_at.is_null())
            .filter(comments_table::removed_at.is_null())
    };
    ($live_id:expr) => {
        queue!().filter(reported_comments::live_id.eq($live_id.get()))
    };
}

/// One page of a queue: the newest `max` comments that are older than `before`.
macro_rules! page_of {
    ($queue:expr, $before:expr, $max:expr) => {
        $queue
            .filter(reported_comments::comment_id.lt($before.map_or(i64::MAX, CommentId::get)))
            .order(reported_comments::comment_id.desc())
            .limit($max.into())
            .select((
                reported_comments::comment_id,
                reported_comments::reports,
                reported_comments::created_at,
                reported_comments::updated_at,
            ))
    };
}

/// A report of a comment by the actor.
pub async fn report(
    conn: &mut Conn,
    record: &ActionRecord,
    live_id: LiveId,
    comment_id: CommentId,
) -> Result<Result<Changed, Reject>, StoreError> {
    let Principal::User(reporter) = record.actor.principal() else {
        return Ok(Err(Reject::NotAllowed));
    };
    let Some(comment) = comments::shown(conn, live_id, comment_id).await? else {
        return Ok(Err(Reject::CommentNotFound));
    };
    if comment.author.id == reporter {
        return Ok(Err(Reject::NotAllowed));
    }
    let known: Option<(i64, Option<i64>)> = reported_comments::table
        .find(comment_id.get())
        .select((reported_comments::reports, reported_comments::settled_at))
        .get_result(conn)
        .await
        .optional()?;
    match known {
        Some((_, Some(_))) => return Ok(Ok(unchanged())),
        Some((counted, None)) if counted >= REPORTS_OF_COMMENT_MAX => return Ok(Ok(unchanged())),
        Some(_) => {}
        None if open_count(conn, live_id).await? >= REPORTED_COMMENTS_MAX => {
            return Ok(Err(Reject::ReportsFull));
        }
        None => {}
    }
    let is_repeated: bool = diesel::select(exists(
        reports::table.find((comment_id.get(), reporter.get())),
    ))
    .get_result(conn)
    .await?;
    if is_repeated {
        return Ok(Ok(unchanged()));
    }
    let since = record.at.plus_ms(-REPORTS_OF_USER_MS);
    let of_user: i64 = reports::table
        .filter(reports::user_id.eq(reporter.get()))
        .filter(reports::created_at.gt(since.0))
        .count()
        .get_result(conn)
        .await?;
    if of_user >= REPORTS_OF_USER_MAX {
        return Ok(Err(Reject::ReportsFull));
    }
    count(conn, record, live_id, comment_id, reporter).await
}

/// Counts a report, unless another request of the same moment has.
async fn count(
    conn: &mut Conn,
    record: &ActionRecord,
    live_id: LiveId,
    comment_id: CommentId,
    reporter: UserId,
) -> Result<Result<Changed, Reject>, StoreError> {
    let reason = record.reason.as_deref().unwrap_or_default();
    require_storable(&[reason])?;
    let inserted = diesel::insert_into(reports::table)
        .values((
            reports::comment_id.eq(comment_id.get()),
            reports::user_id.eq(reporter.get()),
            reports::reason.eq(reason),
            reports::created_at.eq(record.at.0),
        ))
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    if inserted == 0 {
        return Ok(Ok(unchanged()));
    }
    let counted: i64 = diesel::insert_into(reported_comments::table)
        .values((
            reported_comments::comment_id.eq(comment_id.get()),
            reported_comments::live_id.eq(live_id.get()),
            reported_comments::reports.eq(1),
            reported_comments::created_at.eq(record.at.0),
            reported_comments::updated_at.eq(record.at.0),
        ))
        .on_conflict(reported_comments::comment_id)
        .do_update()
        .set((
            reported_comments::reports.eq(reported_comments::reports + 1),
            reported_comments::updated_at.eq(record.at.0),
        ))
        .returning(reported_comments::reports)
        .get_result(conn)
        .await?;
    if !is_news(counted) {
        return Ok(Ok(unchanged()));
    }
    changed(conn, live_id, comment_id, counted).await.map(Ok)
}

/// Settles a reported comment that stays: its reports count for nothing, nor do later ones.
pub async fn dismiss(
    conn: &mut Conn,
    record: &ActionRecord,
    live_id: LiveId,
    comment_id: CommentId,
) -> Result<Result<Changed, Reject>, StoreError> {
    let (actor_kind, actor_id) = principal_columns(record.actor.principal());
    let reported = reported_comments::table
        .find(comment_id.get())
        .filter(reported_comments::live_id.eq(live_id.get()));
    let is_reported: bool = diesel::select(exists(reported)).get_result(conn).await?;
    if !is_reported {
        return Ok(Err(Reject::CommentNotFound));
    }
    let settled = diesel::update(reported.filter(reported_comments::settled_at.is_null()))
        .set((
            reported_comments::settled_at.eq(record.at.0),
            reported_comments::actor_kind.eq(actor_kind),
            reported_comments::actor_id.eq(actor_id),
        ))
        .execute(conn)
        .await?;
    if settled == 0 {
        return Ok(Ok(unchanged()));
    }
    changed(conn, live_id, comment_id, 0).await.map(Ok)
}

fn unchanged() -> Changed {
    Changed {
        before: None,
        after: None,
        change: Change::Nothing,
    }
}

async fn changed(
    conn: &mut Conn,
    live_id: LiveId,
    comment_id: CommentId,
    reports: i64,
) -> Result<Changed, StoreError> {
    let open = open_count(conn, live_id).await?;
    let comment = ReportedComment {
        comment_id,
        reports,
    };
    Ok(Changed {
        before: None,
        after: Some(json!({"reports": reports, "open": open})),
        change: Change::Reports(ReportsChange { comment, open }),
    })
}

/// Comments in the queue of a live.
pub async fn open_count(conn: &mut Conn, live_id: LiveId) -> Result<i64, StoreError> {
    Ok(queue!(live_id).count().get_result(conn).await?)
}

pub async fn page(
    conn: &mut Conn,
    live_id: LiveId,
    before: Option<CommentId>,
    max: u32,
) -> Result<Vec<ReportedRow>, StoreError> {
    let queued = page_of!(queue!(live_id), before, max).load(conn).await?;
    rows(conn, queued).await
}

/// The same over the queues of all lives.
pub async fn page_anywhere(
    conn: &mut Conn,
    before: Option<CommentId>,
    max: u32,
) -> Result<Vec<ReportedRow>, StoreError> {
    let queued = page_of!(queue!(), before, max).load(conn).await?;
    rows(conn, queued).await
}

/// Comments in a queue as they are read: id, reports, and the times of the first and the last.
type Queued = (i64, i64, i64, i64);

async fn rows(conn: &mut Conn, queued: Vec<Queued>) -> Result<Vec<ReportedRow>, StoreError> {
    let ids: Vec<i64> = queued.iter().map(|(id, ..)| *id).collect();
    let mut shown = comments::shown_among(conn, &ids).await?;
    let mut reporters = reporters(conn, &ids).await?;
    let row = |(id, reports, first_at, last_at)| {
        Some(ReportedRow {
            comment: shown.remove(&id)?,
            reports,
            first_at: Timestamp(first_at),
            last_at: Timestamp(last_at),
            reporters: reporters.remove(&id).unwrap_or_default(),
        })
    };
    Ok(queued.into_iter().filter_map(row).collect())
}

/// Who reported each of these comments, in the order of their reports.
async fn reporters(
    conn: &mut Conn,
    comment_ids: &[i64],
) -> Result<HashMap<i64, Vec<Reporter>>, StoreError> {
    let rows: Vec<(i64, i64, String, String, i64)> = reports::table
        .inner_join(users::table.on(users::id.eq(reports::user_id)))
        .filter(reports::comment_id.eq_any(comment_ids.iter().copied()))
        .order((reports::created_at, reports::user_id))
        .select((
            reports::comment_id,
            users::id,
            users::username,
            reports::reason,
            reports::created_at,
        ))
        .load(conn)
        .await?;
    let mut reporters: HashMap<i64, Vec<Reporter>> = HashMap::new();
    for (comment_id, user, username, reason, at) in rows {
        let Some(user) = UserId::new(user) else {
            continue;
        };
        reporters.entry(comment_id).or_default().push(Reporter {
            user,
            username,
            reason,
            at: Timestamp(at),
        });
    }
    Ok(reporters)
}
