//! Comments that are held, and what becomes of them. Each is decided once: by the update of its row
//! while it waits. A comment that was decided to be shown and is taken down before the log of its
//! room has it is denied after all ([`overtake`]).
//!
//! A comment whose author was shadowed while it waited for the end of the delay is denied in the
//! store alone: its author, who was answered `held`, sees it neither shown nor denied, as when the
//! connection was away at that moment. A moderator who approves one is refused with
//! `author_barred`, and it waits on.

use std::sync::Arc;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use log::debug;
use serde_json::json;

use super::{Conn, comments};
use crate::domain::{
    Action, Comment, CommentId, Denial, HeldComment, HeldDecision, HoldRule, LiveId, Outcome,
    Reject, Timestamp, UserId,
};
use crate::storage::actions::Changed;
use crate::storage::error::require_storable;
use crate::storage::rows::CommentRecord;
use crate::storage::schema::{held_comments, lives as live_rows, users};
use crate::storage::{ActionRecord, Change, HeldEntry, LoggedHeldEntry, StoreError};

use barring::{Authors, Barring};

/// The state of a comment that nobody has decided about.
const WAITING: &str = "waiting";
const SHOWN: &str = "shown";
const DENIED: &str = "denied";
const EXPIRED: &str = "expired";

/// The columns that a [`HeldRecord`] is read from.
const COLUMNS: (
    CommentColumns,
    held_comments::rule,
    held_comments::due_at,
    held_comments::state,
    held_comments::decided_at,
    held_comments::reason,
) = (
    COMMENT_COLUMNS,
    held_comments::rule,
    held_comments::due_at,
    held_comments::state,
    held_comments::decided_at,
    held_comments::reason,
);

type CommentColumns = (
    held_comments::comment_id,
    held_comments::live_id,
    held_comments::content,
    held_comments::request_id,
    held_comments::created_at,
    users::id,
    users::username,
    users::nickname,
    users::avatar,
);

const COMMENT_COLUMNS: CommentColumns = (
    held_comments::comment_id,
    held_comments::live_id,
    held_comments::content,
    held_comments::request_id,
    held_comments::created_at,
    users::id,
    users::username,
    users::nickname,
    users::avatar,
);

/// Held comments with their authors.
macro_rules! with_authors {
    () => {
        held_comments::table.inner_join(users::table.on(users::id.eq(held_comments::user_id)))
    };
}

/// Whether a comment waits. The condition of indexes, which SQLite does not match with bound
/// values.
macro_rules! is_waiting {
    () => {
        sql::<Bool>("held_comments.state = 'waiting'")
    };
}

mod barring;
mod due;

pub use due::{decide_due, due};

/// A held comment as it is stored.
#[derive(Queryable)]
struct HeldRecord {
    comment: CommentRecord,
    rule: String,
    due_at: i64,
    state: String,
    decided_at: Option<i64>,
    reason: Option<String>,
}

impl HeldRecord {
    fn held(self) -> Result<HeldComment, StoreError> {
        let id = self.comment.id();
        let rule = HoldRule::from_name(&self.rule)
            .ok_or_else(|| StoreError::Fault(format!("held_comments {id}: rule is unknown")))?;
        Ok(HeldComment {
            comment: Arc::new(Comment::try_from(self.comment)?),
            rule,
            due: Timestamp(self.due_at),
        })
    }

    /// What was decided, and when; `None`: it waits.
    fn decision(self) -> Result<Option<(HeldDecision, Timestamp)>, StoreError> {
        let Some(at) = self.decided_at.map(Timestamp) else {
            return Ok(None);
        };
        let comment = Comment::try_from(self.comment)?;
        let decision = if self.state == SHOWN {
            HeldDecision::Shown(Arc::new(Comment { at, ..comment }))
        } else {
            HeldDecision::Denied(Denial {
                comment_id: comment.id,
                author: comment.author.id,
                reason: self.reason.map(Into::into),
                is_expired: self.state == EXPIRED,
            })
        };
        Ok(Some((decision, at)))
    }

    /// What it adds to the log of its room in its present state.
    fn entry(self) -> Result<HeldEntry, StoreError> {
        if self.decided_at.is_none() {
            return Ok(HeldEntry::of_held(Arc::new(self.held()?)));
        }
        let live_id = LiveId::new(self.comment.live_id()).ok_or_else(undecided)?;
        let (decision, _) = self.decision()?.ok_or_else(undecided)?;
        Ok(HeldEntry::of_decision(live_id, &decision))
    }
}

/// Rows as they are read. Those of a later version, which this one cannot read, are that version's
/// to see to, and keep nobody from the others.
fn readable<T>(
    rows: impl IntoIterator<Item = HeldRecord>,
    read: fn(HeldRecord) -> Result<T, StoreError>,
) -> impl Iterator<Item = T> {
    rows.into_iter().filter_map(move |row| {
        let read = read(row);
        if let Err(error) = &read {
            debug!("held comment passed over: error={error}");
        }
        read.ok()
    })
}

fn undecided() -> StoreError {
    StoreError::Fault("a held comment has a time of a decision and no decision".into())
}

async fn by_id(
    conn: &mut Conn,
    live_id: LiveId,
    id: CommentId,
) -> Result<Option<HeldRecord>, StoreError> {
    Ok(with_authors!()
        .filter(held_comments::comment_id.eq(id.get()))
        .filter(held_comments::live_id.eq(live_id.get()))
        .select(COLUMNS)
        .get_result(conn)
        .await
        .optional()?)
}

/// Comments of a live that wait for review, oldest first.
pub async fn for_review(
    conn: &mut Conn,
    live_id: LiveId,
    max: u32,
) -> Result<Vec<HeldComment>, StoreError> {
    let rows: Vec<HeldRecord> = with_authors!()
        .filter(is_waiting!())
        .filter(held_comments::live_id.eq(live_id.get()))
        .filter(held_comments::rule.ne(HoldRule::Delay.name()))
        .order(held_comments::comment_id)
        .limit(max.into())
        .select(COLUMNS)
        .load(conn)
        .await?;
    Ok(readable(rows, HeldRecord::held).collect())
}

/// Comments of all lives that wait for review: those that are due first.
pub async fn for_review_anywhere(
    conn: &mut Conn,
    max: u32,
) -> Result<Vec<HeldComment>, StoreError> {
    let rows: Vec<HeldRecord> = with_authors!()
        .filter(is_waiting!())
        .filter(held_comments::rule.ne(HoldRule::Delay.name()))
        .order((held_comments::due_at, held_comments::comment_id))
        .limit(max.into())
        .select(COLUMNS)
        .load(conn)
        .await?;
    Ok(readable(rows, HeldRecord::held).collect())
}

/// The newest comments of a live with a `request_id` that were held since then, oldest first.
pub async fn recent(
    conn: &mut Conn,
    live_id: LiveId,
    since: Timestamp,
    max: u32,
) -> Result<Vec<HeldComment>, StoreError> {
    let rows: Vec<HeldRecord> = with_authors!()
        .filter(held_comments::live_id.eq(live_id.get()))
        .filter(held_comments::created_at.ge(since.0))
        .filter(held_comments::request_id.is_not_null())
        .order(held_comments::created_at.desc())
        .limit(max.into())
        .select(COLUMNS)
        .load(conn)
        .await?;
    Ok(readable(rows.into_iter().rev(), HeldRecord::held).collect())
}

/// The author of a held comment of this live, and when it was posted.
pub async fn author(
    conn: &mut Conn,
    live_id: LiveId,
    id: CommentId,
) -> Result<Option<(UserId, Timestamp)>, StoreError> {
    let found: Option<(i64, i64)> = held_comments::table
        .find(id.get())
        .filter(held_comments::live_id.eq(live_id.get()))
        .select((held_comments::user_id, held_comments::created_at))
        .get_result(conn)
        .await
        .optional()?;
    Ok(found.and_then(|(user, at)| Some((UserId::new(user)?, Timestamp(at)))))
}

/// Locks a held comment: of two decisions at once the second sees what the first wrote.
pub async fn lock(conn: &mut Conn, id: CommentId) -> Result<(), StoreError> {
    diesel::update(held_comments::table.find(id.get()))
        .set(held_comments::state.eq(held_comments::state))
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether the log of its room may lack the decision on a comment.
const DECISION_MAY_BE_UNLOGGED: &str = "(NOT held_comments.is_logged OR EXISTS (\
    SELECT 1 FROM pending_actions JOIN audit ON audit.id = pending_actions.action_id \
    WHERE audit.action = 'review' AND audit.target_id = held_comments.comment_id))";

/// Denies those of these comments that were decided to be shown and that logs may lack, because
/// they were taken down. The one of the two decisions that comes to the log first is the one that
/// counts there: a comment that comes after its removal is not shown.
pub async fn overtake(
    conn: &mut Conn,
    live_id: LiveId,
    taken_down: &[CommentId],
    at: Timestamp,
) -> Result<Vec<Denial>, StoreError> {
    if taken_down.is_empty() {
        return Ok(Vec::new());
    }
    let ids = taken_down.iter().map(|id| id.get());
    let shown = held_comments::table
        .filter(held_comments::comment_id.eq_any(ids))
        .filter(held_comments::live_id.eq(live_id.get()))
        .filter(held_comments::state.eq(SHOWN))
        .filter(sql::<Bool>(DECISION_MAY_BE_UNLOGGED));
    let rows: Vec<(i64, i64, Option<String>)> = diesel::update(shown)
        .set((
            held_comments::state.eq(DENIED),
            held_comments::decided_at.eq(at.0),
            held_comments::is_logged.eq(false),
        ))
        .returning(DENIAL_COLUMNS)
        .get_results(conn)
        .await?;
    Ok(read_denials(rows))
}

/// The denials of these comments, as far as anything is known of them.
pub async fn denials(conn: &mut Conn, ids: &[CommentId]) -> Result<Vec<Denial>, StoreError> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let rows = held_comments::table
        .filter(held_comments::comment_id.eq_any(ids.iter().map(|id| id.get())))
        .filter(held_comments::state.eq(DENIED))
        .select(DENIAL_COLUMNS)
        .load(conn)
        .await?;
    Ok(read_denials(rows))
}

const DENIAL_COLUMNS: (
    held_comments::comment_id,
    held_comments::user_id,
    held_comments::reason,
) = (
    held_comments::comment_id,
    held_comments::user_id,
    held_comments::reason,
);

/// In the order of their ids.
fn read_denials(mut rows: Vec<(i64, i64, Option<String>)>) -> Vec<Denial> {
    rows.sort_unstable_by_key(|(id, ..)| *id);
    let denial = |(id, author, reason): (i64, i64, Option<String>)| {
        Some(Denial {
            comment_id: CommentId::new(id)?,
            author: UserId::new(author)?,
            reason: reason.map(Into::into),
            is_expired: false,
        })
    };
    rows.into_iter().filter_map(denial).collect()
}

/// Notes what becomes of a comment that waits. False: it waits no more. `is_logged`: another table
/// says that the log of its room does not have it.
async fn decide(
    conn: &mut Conn,
    id: CommentId,
    state: &str,
    reason: Option<&str>,
    at: Timestamp,
    is_logged: bool,
) -> Result<bool, StoreError> {
    require_storable(&[reason.unwrap_or_default()])?;
    let waiting = held_comments::table
        .find(id.get())
        .filter(held_comments::state.eq(WAITING));
    let decided = diesel::update(waiting)
        .set((
            held_comments::state.eq(state),
            held_comments::decided_at.eq(at.0),
            held_comments::reason.eq(reason),
            held_comments::is_logged.eq(is_logged),
        ))
        .execute(conn)
        .await?;
    Ok(decided > 0)
}

/// Decides about a comment of a live that waits for review. Runs under [`lock`].
pub async fn review(
    conn: &mut Conn,
    record: &ActionRecord,
    live_id: LiveId,
    id: CommentId,
    approve: bool,
) -> Result<Result<Changed, Reject>, StoreError> {
    let Some(row) = by_id(conn, live_id, id).await? else {
        return Ok(Err(Reject::CommentNotFound));
    };
    if row.state != WAITING {
        return Ok(Err(Reject::AlreadyReviewed));
    }
    if !approve {
        return deny(conn, record, live_id, id).await;
    }
    let comment = Comment::try_from(row.comment)?;
    let author = comment.author.id;
    let authors = Authors::read(conn, live_id, vec![author], record.at).await?;
    match authors.barring(author, record.at) {
        Some(Barring::Open(reject)) => return Ok(Err(reject)),
        Some(Barring::Shadow) => return Ok(Err(Reject::AuthorBarred)),
        None => {}
    }
    let key = record
        .key
        .ok_or_else(|| StoreError::Fault("an approved comment has no key in the history".into()))?;
    decide(conn, id, SHOWN, None, record.at, true).await?;
    let comment = Comment {
        at: record.at,
        ..comment
    };
    comments::insert(conn, &comment, key).await?;
    Ok(Ok(decided(
        HeldDecision::Shown(Arc::new(comment)),
        record.at,
    )))
}

/// Denies a comment of a live that waits, because a moderator says so or it is taken down.
pub async fn deny(
    conn: &mut Conn,
    record: &ActionRecord,
    live_id: LiveId,
    id: CommentId,
) -> Result<Result<Changed, Reject>, StoreError> {
    let Some((user, _)) = author(conn, live_id, id).await? else {
        return Ok(Err(Reject::CommentNotFound));
    };
    let reason = record.reason.as_deref();
    let is_pending_action = matches!(record.action, Action::Review { .. });
    if !decide(conn, id, DENIED, reason, record.at, is_pending_action).await? {
        return Ok(Err(Reject::AlreadyReviewed));
    }
    let denial = Denial {
        comment_id: id,
        author: user,
        reason: reason.map(Into::into),
        is_expired: false,
    };
    Ok(Ok(decided(HeldDecision::Denied(denial), record.at)))
}

fn decided(decision: HeldDecision, at: Timestamp) -> Changed {
    let state = match &decision {
        HeldDecision::Shown(_) => SHOWN,
        HeldDecision::Denied(_) => DENIED,
    };
    Changed {
        before: Some(json!({"state": WAITING})),
        after: Some(json!({"state": state})),
        change: change(decision, at),
    }
}

fn change(decision: HeldDecision, at: Timestamp) -> Change {
    let outcome = Outcome::Reviewed {
        comment_id: decision.comment_id(),
        approved: matches!(decision, HeldDecision::Shown(_)),
    };
    Change::Decided {
        decision: Some(Box::new(decision)),
        outcome,
        at,
    }
}

/// The change that an earlier action made; `None`: what it is about is gone.
pub async fn earlier(
    conn: &mut Conn,
    live_id: LiveId,
    id: CommentId,
) -> Result<Option<Change>, StoreError> {
    let Some(row) = by_id(conn, live_id, id).await? else {
        return Ok(None);
    };
    let decision = row.decision()?;
    Ok(decision.map(|(decision, at)| change(decision, at)))
}

/// Where comments of a user wait that are denied together.
#[derive(Debug, Clone, Copy)]
pub enum WaitingIn {
    Live(LiveId),
    /// All lives of a streamer.
    LivesOf(UserId),
    Site,
}

/// Denies what waits of a user. Returns how many comments.
pub async fn deny_all_of(
    conn: &mut Conn,
    user: UserId,
    waiting: WaitingIn,
    at: Timestamp,
) -> Result<usize, StoreError> {
    let mut of_user = held_comments::table
        .filter(is_waiting!())
        .filter(held_comments::user_id.eq(user.get()))
        .select(held_comments::comment_id)
        .order(held_comments::comment_id)
        .into_boxed();
    match waiting {
        WaitingIn::Live(live_id) => {
            of_user = of_user.filter(held_comments::live_id.eq(live_id.get()));
        }
        WaitingIn::LivesOf(streamer) => {
            let lives = live_rows::table
                .filter(live_rows::user_id.eq(streamer.get()))
                .select(live_rows::id);
            of_user = of_user.filter(held_comments::live_id.eq_any(lives));
        }
        WaitingIn::Site => {}
    }
    let ids: Vec<i64> = of_user.load(conn).await?;
    let mut denied = 0;
    for id in ids.into_iter().filter_map(CommentId::new) {
        denied += usize::from(decide(conn, id, DENIED, None, at, false).await?);
    }
    Ok(denied)
}

/// What logs are not known to have, of comments after that one that are held and decided at `until`
/// or before.
pub async fn unlogged(
    conn: &mut Conn,
    after: Option<CommentId>,
    until: Timestamp,
    max: u32,
) -> Result<Vec<HeldEntry>, StoreError> {
    let (max, mut after) = (max as usize, after.map_or(0, CommentId::get));
    let mut entries = Vec::new();
    loop {
        let rows: Vec<HeldRecord> = with_authors!()
            .filter(sql::<Bool>("NOT held_comments.is_logged"))
            .filter(held_comments::comment_id.gt(after))
            .filter(held_comments::created_at.le(until.0))
            .filter(
                held_comments::decided_at
                    .is_null()
                    .or(held_comments::decided_at.le(until.0)),
            )
            .order(held_comments::comment_id)
            .limit(i64::try_from(max - entries.len()).unwrap_or(i64::MAX))
            .select(COLUMNS)
            .load(conn)
            .await?;
        let is_last = rows.len() < max - entries.len();
        after = rows.last().map_or(after, |row| row.comment.id());
        entries.extend(readable(rows, HeldRecord::entry));
        // Fewer than asked for would say that there are no more.
        if is_last || entries.len() == max {
            return Ok(entries);
        }
    }
}

/// Notes that logs have these entries. One that was decided meanwhile has another entry.
pub async fn logged(conn: &mut Conn, entries: Vec<LoggedHeldEntry>) -> Result<(), StoreError> {
    for is_decision in [false, true] {
        let mut ids: Vec<i64> = entries
            .iter()
            .filter(|entry| entry.is_decision == is_decision)
            .map(|entry| entry.comment_id.get())
            .collect();
        ids.sort_unstable();
        if ids.is_empty() {
            continue;
        }
        let rows = held_comments::table
            .filter(held_comments::comment_id.eq_any(ids))
            .filter(held_comments::decided_at.is_not_null().eq(is_decision));
        diesel::update(rows)
            .set(held_comments::is_logged.eq(true))
            .execute(conn)
            .await?;
    }
    Ok(())
}

/// Removes comments that were decided before then. Returns how many.
pub async fn remove_decided(
    conn: &mut Conn,
    before: Timestamp,
    max: u32,
) -> Result<usize, StoreError> {
    let ids: Vec<i64> = held_comments::table
        .filter(held_comments::decided_at.is_not_null())
        .filter(held_comments::decided_at.lt(before.0))
        .filter(held_comments::is_logged.eq(true))
        .order(held_comments::decided_at)
        .limit(max.into())
        .select(held_comments::comment_id)
        .load(conn)
        .await?;
    let removed = held_comments::table.filter(held_comments::comment_id.eq_any(ids));
    Ok(diesel::delete(removed).execute(conn).await?)
}
