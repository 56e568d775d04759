//! Held comments whose time is over.

use std::collections::HashMap;
use std::sync::Arc;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

use super::super::super::{insert_shown, lock_waiting};
use super::super::Conn;
use super::{Authors, Barring, COLUMNS, DENIED, EXPIRED, HeldRecord, SHOWN};
use crate::domain::{Comment, CommentId, Denial, HeldComment, HeldDecision, LiveId, Timestamp};
use crate::storage::schema::{held_comments, users};
use crate::storage::{DueComment, DueHeldComments, HeldEntry, StoreError};

/// Comments that wait and are due, in the order in which they were, without these.
pub async fn due(
    conn: &mut Conn,
    now: Timestamp,
    max: u32,
    except: Vec<CommentId>,
) -> Result<DueHeldComments, StoreError> {
    let mut waiting = held_comments::table
        .filter(is_waiting!())
        .order((held_comments::due_at, held_comments::comment_id))
        // One more than asked for: when it is due is when this has to be asked again.
        .limit(i64::from(max) + 1)
        .select((
            held_comments::live_id,
            held_comments::comment_id,
            held_comments::due_at,
        ))
        .into_boxed();
    if !except.is_empty() {
        let except: Vec<i64> = except.into_iter().map(CommentId::get).collect();
        waiting = waiting.filter(held_comments::comment_id.ne_all(except));
    }
    let rows: Vec<(i64, i64, i64)> = waiting.load(conn).await?;
    let due_count = rows.iter().take_while(|(.., due)| *due <= now.0).count();
    let due_count = due_count.min(max as usize);
    let next_at = rows.get(due_count).map(|(.., due)| Timestamp(*due));
    let ids = rows.into_iter().take(due_count);
    let named = |(live_id, id, _)| Some((LiveId::new(live_id)?, CommentId::new(id)?));
    Ok(DueHeldComments {
        ids: ids.filter_map(named).collect(),
        next_at,
    })
}

/// What becomes of comments that are due.
#[derive(Default)]
struct Decided {
    shown: Vec<(Comment, CommentId)>,
    denied: Vec<i64>,
    expired: Vec<i64>,
    /// Denied, and nobody is notified.
    unnoticed: Vec<i64>,
}

/// Decides comments of one room whose time is over and that still wait: of the delay they are shown,
/// of a review they are denied, and so are those whose author may not speak any more. Some ten
/// statements, however many comments there are.
pub async fn decide_due(
    conn: &mut Conn,
    live_id: LiveId,
    due: Vec<DueComment>,
    at: Timestamp,
) -> Result<Vec<HeldEntry>, StoreError> {
    let keys: HashMap<i64, CommentId> = due.iter().map(|it| (it.id.get(), it.key)).collect();
    // What another node decides at this moment is left to it.
    let mine = lock_waiting(conn, live_id, keys.keys().copied().collect()).await?;
    let rows: Vec<HeldRecord> = with_authors!()
        .filter(held_comments::comment_id.eq_any(&mine))
        .order(held_comments::comment_id)
        .select(COLUMNS)
        .load(conn)
        .await?;
    let held: Vec<HeldComment> = rows
        .into_iter()
        .map(HeldRecord::held)
        .collect::<Result<_, _>>()?;
    let delayed = held.iter().filter(|held| !held.rule.is_for_review());
    let delayed: Vec<_> = delayed.map(|held| held.comment.author.id).collect();
    let authors = match delayed.is_empty() {
        true => None,
        false => Some(Authors::read(conn, live_id, delayed, at).await?),
    };
    let mut decided = Decided::default();
    // Of the others the authors are gone: nobody is left to show them for, or to notify. They would
    // be the first of all that are due for ever.
    let is_orphan = |id: &i64| held.iter().all(|held| held.comment.id.get() != *id);
    decided.unnoticed.extend(mine.into_iter().filter(is_orphan));
    let mut entries = Vec::with_capacity(held.len());
    for HeldComment { comment, rule, .. } in held {
        let (id, author) = (comment.id, comment.author.id);
        let barring = authors.as_ref().filter(|_| !rule.is_for_review());
        let is_expired = barring.is_none();
        match barring.map(|authors| authors.barring(author, at)) {
            Some(None) => {
                let comment = Comment {
                    at,
                    ..(*comment).clone()
                };
                let shown = HeldDecision::Shown(Arc::new(comment.clone()));
                entries.push(HeldEntry::of_decision(live_id, &shown));
                let key = keys.get(&id.get()).copied().unwrap_or(id);
                decided.shown.push((comment, key));
                continue;
            }
            Some(Some(Barring::Shadow)) => {
                decided.unnoticed.push(id.get());
                continue;
            }
            Some(Some(Barring::Open(_))) => decided.denied.push(id.get()),
            None => decided.expired.push(id.get()),
        }
        let denied = HeldDecision::Denied(Denial {
            comment_id: id,
            author,
            reason: None,
            is_expired,
        });
        entries.push(HeldEntry::of_decision(live_id, &denied));
    }
    decided.write(conn, at).await?;
    Ok(entries)
}

impl Decided {
    async fn write(self, conn: &mut Conn, at: Timestamp) -> Result<(), StoreError> {
        let shown = self.shown.iter().map(|(comment, _)| comment.id.get());
        for (ids, state, is_logged) in [
            (shown.collect(), SHOWN, false),
            (self.denied, DENIED, false),
            (self.expired, EXPIRED, false),
            (self.unnoticed, DENIED, true),
        ] {
            if ids.is_empty() {
                continue;
            }
            // They wait, and are locked.
            diesel::update(held_comments::table.filter(held_comments::comment_id.eq_any(ids)))
                .set((
                    held_comments::state.eq(state),
                    held_comments::decided_at.eq(at.0),
                    held_comments::is_logged.eq(is_logged),
                ))
                .execute(conn)
                .await?;
        }
        if self.shown.is_empty() {
            return Ok(());
        }
        insert_shown(conn, self.shown).await
    }
}
