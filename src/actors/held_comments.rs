//! Held comments of all rooms of this node, beside their rooms: has logs of rooms say that a
//! comment is held, decides what nobody decided in time, and makes up for what a node that died
//! left undone.
//!
//! | what | when | by whom |
//! |---|---|---|
//! | a comment is held: an entry of its room's log | when it is stored | the node that stored it |
//! | a comment is due: shown at the end of the delay, denied at the end of the review | at that time | every node tries; the store lets one |
//! | an entry that a log is not known to have | [`OVERDUE_MS`] later | any node |
//! | what was decided is forgotten | a day later | any node |
//!
//! The store says what waits, so nothing depends on which node has the room, or on any node that
//! has it. When a comment is due goes by the store's time ([`StoreClock`]), so nothing depends on
//! which node's clock is right either: each node writes down in that time what it holds, and decides
//! by that time what is due. A clock that jumps is off until the next measurement, for up to
//! [`MEASURE_EVERY`].
//!
//! A comment that cannot be decided, because the store refuses its row, holds back no other: it is
//! deferred for [`DEFERRED_FOR`] and tried again then ([`DeferredComments`]).

mod deferred;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use log::{info, warn};
use tokio::sync::mpsc;

use super::Rooms;
use super::reconcile::FailureLog;
use crate::clock::StoreClock;
use crate::comment_ids::CommentIds;
use crate::domain::{CommentId, HeldComment, LiveId};
use crate::storage::{DueComment, HeldEntry, LoggedHeldEntry, Store, StoreError};

use deferred::DeferredComments;

/// Reports that may wait to be appended, and as many decisions. Beyond, they are found in the store
/// a moment later.
const REPORTS_MAX: usize = 4_096;
/// Entries that are appended in one go.
const ENTRIES_MAX: u32 = 256;
/// Longest time between two looks for comments that are due. Shorter than the shortest delay, so
/// that one is known before it is due, whichever node holds it. One look is one query by an index.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Shortest time between two looks: comments that are due one after the other share a transaction.
const LOOK_SPACING: Duration = Duration::from_millis(50);
/// Time between two measurements of the store's clock, each one query.
const MEASURE_EVERY: Duration = Duration::from_secs(5);
/// A comment that could not be decided is tried again after this.
const DEFERRED_FOR: Duration = Duration::from_secs(60);
/// An entry that is not known to be in its log is appended again after this, in milliseconds.
const OVERDUE_MS: i64 = 1_000;
/// For how long it is known what became of a held comment, in milliseconds: a day.
const DECIDED_KEPT_MS: i64 = 86_400_000;
/// Time between two looks for those that are older.
const FORGET_EVERY: Duration = Duration::from_secs(60);
/// Removals of up to [`ENTRIES_MAX`] in one look. At 60 s between two looks, that is 1,092 comments a
/// second: 27 rooms at the busiest that a delay can make one (40 a second). A look ends when fewer
/// than [`ENTRIES_MAX`] were left.
const FORGET_BATCHES_MAX: u32 = 256;

/// The way of rooms to report what they hold.
#[derive(Clone)]
pub struct HeldReports(mpsc::Sender<HeldEntry>);

impl HeldReports {
    /// Has every node know that a comment is held, which is stored.
    pub fn report(&self, held: Arc<HeldComment>) {
        // A full queue costs moderators a moment: the entry is found in the store.
        let _ = self.0.try_send(HeldEntry::of_held(held));
    }
}

/// Reports that nobody has taken yet.
pub struct HeldInbox(mpsc::Receiver<HeldEntry>);

pub fn channel() -> (HeldReports, HeldInbox) {
    let (reports, inbox) = mpsc::channel(REPORTS_MAX);
    (HeldReports(reports), HeldInbox(inbox))
}

/// What the work on held comments needs.
#[derive(Clone)]
pub struct HeldComments {
    pub store: Arc<dyn Store>,
    pub rooms: Rooms,
    pub comment_ids: Arc<CommentIds>,
    pub clock: Arc<StoreClock>,
}

/// Measures how far the store's clock and this node's are apart. Errors: those of the store.
pub async fn measure(store: &dyn Store, clock: &StoreClock) -> Result<(), StoreError> {
    let asked = clock.of_node().now();
    let Some(time) = store.time().await? else {
        return Ok(());
    };
    if let Some(ahead_ms) = clock.measured(asked, time, clock.of_node().now()) {
        info!("clock of this node is not the store's: store_ahead_ms={ahead_ms}");
    }
    Ok(())
}

/// Begins the work, on the calling thread and until its system ends.
pub fn start(held: HeldComments, inbox: HeldInbox) {
    let HeldInbox(reported) = inbox;
    let (decisions, decided) = mpsc::channel(REPORTS_MAX);
    let append = |what, entries| actix_rt::spawn(held.clone().append_all(what, entries));
    append("held comments that were reported", reported);
    append("held comments that were decided", decided);
    actix_rt::spawn(held.clone().decide_due(decisions));
    actix_rt::spawn(held.clone().append_overdue());
    actix_rt::spawn(held.clone().measure_clock());
    actix_rt::spawn(held.forget_decided());
}

impl HeldComments {
    async fn append_all(self, what: &'static str, mut inbox: mpsc::Receiver<HeldEntry>) {
        let mut log = FailureLog::new(what);
        let mut entries = Vec::new();
        while inbox.recv_many(&mut entries, ENTRIES_MAX as usize).await > 0 {
            log.note(self.append(std::mem::take(&mut entries)).await);
        }
    }

    async fn measure_clock(self) {
        let mut log = FailureLog::new("clock of the store");
        loop {
            tokio::time::sleep(MEASURE_EVERY).await;
            log.note(measure(&*self.store, &self.clock).await);
        }
    }

    async fn decide_due(self, decisions: mpsc::Sender<HeldEntry>) {
        let mut log = FailureLog::new("held comments that are due");
        let mut deferred = DeferredComments::default();
        loop {
            let wait = match self.decide_next(&decisions, &mut deferred).await {
                Ok(wait) => {
                    log.note(Ok(()));
                    wait
                }
                Err(error) => {
                    log.note(Err(error));
                    LOOK_EVERY
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Decides what is due, one room after the other: what fails in one harms no other. Logs get the
    /// decisions by themselves, however long that takes. Returns after how long to look again.
    async fn decide_next(
        &self,
        decisions: &mpsc::Sender<HeldEntry>,
        deferred: &mut DeferredComments,
    ) -> Result<Duration, StoreError> {
        let now = self.clock.now();
        let except = deferred.ids(Instant::now());
        let due = self.store.due_held_comments(now, ENTRIES_MAX, except);
        let due = due.await?;
        let mut rooms: BTreeMap<LiveId, Vec<DueComment>> = BTreeMap::new();
        for (live_id, id) in due.ids {
            let key = self.comment_ids.next(self.clock.of_node().now());
            rooms
                .entry(live_id)
                .or_default()
                .push(DueComment { id, key });
        }
        let mut failed = None;
        for (live_id, due) in rooms {
            if let Err(error) = self.decide_in(live_id, due, decisions, deferred).await {
                warn!("held comments not decided: live_id={live_id} error={error}");
                failed = Some(error);
            }
        }
        if let Some(error) = failed {
            return Err(error);
        }
        let Some(next_at) = due.next_at else {
            return Ok(LOOK_EVERY);
        };
        let wait_ms = next_at.since(self.clock.now()).unsigned_abs();
        Ok(Duration::from_millis(wait_ms).clamp(LOOK_SPACING, LOOK_EVERY))
    }

    /// Decides what is due in one room, all at once. Of what fails so, halves are decided by
    /// themselves, until those are found that fail alone.
    async fn decide_in(
        &self,
        live_id: LiveId,
        due: Vec<DueComment>,
        decisions: &mpsc::Sender<HeldEntry>,
        deferred: &mut DeferredComments,
    ) -> Result<(), StoreError> {
        let mut parts = vec![due];
        while let Some(mut part) = parts.pop() {
            let now = self.clock.now();
            let decided = self.store.decide_held_comments(live_id, part.clone(), now);
            match (decided.await, &part[..]) {
                (Ok(entries), _) => {
                    for entry in entries {
                        // A full queue costs a moment: the entry is found in the store.
                        let _ = decisions.try_send(entry);
                    }
                }
                (Err(StoreError::Fault(fault)), [one]) => {
                    let id = one.id;
                    warn!("held comment deferred: live_id={live_id} comment_id={id} error={fault}");
                    deferred.add(id, Instant::now());
                }
                (Err(StoreError::Fault(_)), _) => {
                    let later = part.split_off(part.len() / 2);
                    // The earlier half is decided first.
                    parts.extend([later, part]);
                }
                // Smaller parts fail just so.
                (Err(error), _) => return Err(error),
            }
        }
        Ok(())
    }

    async fn append_overdue(self) {
        let mut log = FailureLog::new("held comments that logs may lack");
        let mut after = None;
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            match self.append_overdue_after(after).await {
                Ok(next) => {
                    after = next;
                    log.note(Ok(()));
                }
                Err(error) => log.note(Err(error)),
            }
        }
    }

    /// Returns after which comment to go on: those that no log takes now, because Redis is away,
    /// hold none of the others back. `None`: from the first one again.
    async fn append_overdue_after(
        &self,
        after: Option<CommentId>,
    ) -> Result<Option<CommentId>, StoreError> {
        let until = self.clock.now().plus_ms(-OVERDUE_MS);
        let unlogged = self.store.unlogged_held_comments(after, until, ENTRIES_MAX);
        let entries = unlogged.await?;
        let is_full = entries.len() == ENTRIES_MAX as usize;
        let last = entries.last().filter(|_| is_full);
        let next = last.map(|entry| entry.logged.comment_id);
        self.append(entries).await?;
        Ok(next)
    }

    async fn forget_decided(self) {
        let mut log = FailureLog::new("held comments of the day before");
        loop {
            tokio::time::sleep(FORGET_EVERY).await;
            log.note(self.forget_older().await);
        }
    }

    async fn forget_older(&self) -> Result<(), StoreError> {
        let before = self.clock.now().plus_ms(-DECIDED_KEPT_MS);
        for _ in 0..FORGET_BATCHES_MAX {
            let removed = self.store.remove_decided_held_comments(before, ENTRIES_MAX);
            if removed.await? < ENTRIES_MAX as usize {
                break;
            }
        }
        Ok(())
    }

    /// Appends entries to the logs of their rooms: those of a room in their order, and rooms beside
    /// each other.
    async fn append(&self, entries: Vec<HeldEntry>) -> Result<(), StoreError> {
        let mut by_room: BTreeMap<LiveId, Vec<HeldEntry>> = BTreeMap::new();
        for entry in entries {
            by_room.entry(entry.live_id).or_default().push(entry);
        }
        let rooms = by_room
            .into_iter()
            .map(|(live_id, entries)| self.append_in(live_id, entries));
        let logged: Vec<LoggedHeldEntry> = join_all(rooms).await.into_iter().flatten().collect();
        if logged.is_empty() {
            return Ok(());
        }
        self.store.held_comments_logged(logged).await
    }

    /// Returns those that are in the log of the room, or that no log needs to have.
    async fn append_in(&self, live_id: LiveId, entries: Vec<HeldEntry>) -> Vec<LoggedHeldEntry> {
        let mut logged = Vec::with_capacity(entries.len());
        for HeldEntry {
            entry, logged: id, ..
        } in entries
        {
            match self.rooms.deliver(live_id, entry).await {
                Ok(true) => logged.push(id),
                Ok(false) => {}
                Err(error) => {
                    warn!("rooms not reached for held comments: live_id={live_id} error={error}");
                    break;
                }
            }
        }
        logged
    }
}

#[cfg(test)]
mod tests;
