//! Turns what rooms decide into batched transactions (group commit).
//!
//! The next batch gathers while a commit is under way. A batch that is not full waits until
//! [`COMMIT_SPACING`] after the previous commit, so a calm node adds no delay and a busy node
//! shares the cost of a commit. Writes become durable in the order they were submitted, one batch
//! at a time.
//!
//! A store that supports concurrent commits (PostgreSQL) has two lanes with this order each:
//! comments, which change no shared row, and coins with views and held comments, which do. Writes
//! that need a row that another transaction locks for longer than a commit takes are blocked
//! ([`BlockedWrites`]): the persister retries them, one row at a time, until the lock is released,
//! and all other writes continue. Each user's comments stay in order, and each user's gifts stay in
//! order.
//!
//! While the store is away, comments and views stay queued and are retried. New gifts are refused
//! at once, and gifts under way are answered `busy` after [`GIFT_RETRY_TIMEOUT`]; the giver learns
//! whether such a gift was committed by sending it again with the same `request_id`. A store that
//! does not answer within that time counts as away.

mod blocked;
mod messages;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use log::{error, info, warn};
use tokio::sync::oneshot;

use crate::actors::start_in_arbiter;
use crate::config::LimitsConfig;
use crate::domain::{CommentWriteError, GiftRefusal, HoldRefusal};
use crate::storage::{Attempt, RowLock, Sequence, Store, StoreError, Write, WriteOutcome};

use blocked::BlockedWrites;
pub use messages::{Answers, Flush, Submit, WriteTicket, WritesDone};

/// Least time from the end of one commit to the start of the next. A commit costs a transaction, a
/// sync and several changes of thread, however small it is: at 2,000 comments a second on one core
/// that was half of the cost of a comment in small rooms.
const COMMIT_SPACING: Duration = Duration::from_millis(5);

/// Least time between two attempts at blocked writes, after an attempt that left some blocked. An
/// attempt also waits for the lock itself.
const BLOCKED_SPACING: Duration = Duration::from_millis(20);

/// How long a gift whose commit failed, or whose row is locked, is retried before its giver is
/// answered `busy`; and how long a commit may take before all queued gifts are answered so. Gifts
/// inside that commit are answered when it ends.
const GIFT_RETRY_TIMEOUT: Duration = Duration::from_secs(5);
/// The first wait after a failed commit; it doubles with each failure.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Causes that are logged while the store is away, each once. Beyond, only the first ones are.
const CAUSES_MAX: usize = 8;

/// Shared by the persister and everything that submits to it.
#[derive(Debug)]
struct QueueState {
    /// Writes submitted and not yet answered; beyond, they are refused.
    queue_max: usize,
    /// Submitted and not yet answered.
    queued: AtomicUsize,
    /// False from a failed commit until one succeeds.
    healthy: AtomicBool,
}

/// A handle to the persister for everything but rooms.
#[derive(Clone)]
pub struct PersisterPort {
    persister: Addr<Persister>,
    queue_state: Arc<QueueState>,
}

impl PersisterPort {
    /// A handle for one room, which receives the answers to its writes.
    pub fn for_room(&self, room: impl Into<Recipient<WritesDone>>) -> RoomPersister {
        RoomPersister {
            port: self.clone(),
            room: Arc::new(room.into()),
        }
    }

    /// Writes submitted and not yet answered.
    pub fn queued_count(&self) -> usize {
        self.queue_state.queued.load(Ordering::Relaxed)
    }

    /// Waits until everything submitted so far is durable. The caller bounds the wait.
    pub async fn flush(&self) {
        let (reply, flushed) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "sent once, when the node drains")]
        self.persister.do_send(Flush(reply));
        // A persister that has stopped has nothing left to flush.
        let _ = flushed.await;
    }
}

/// The write was not queued: the queue is full, or it is a gift and the store is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the queue of writes is full, or the store is away")]
pub struct SubmitError;

/// One room's handle to the persister.
pub struct RoomPersister {
    port: PersisterPort,
    room: Arc<Recipient<WritesDone>>,
}

impl RoomPersister {
    /// Submits a write; the room is answered with [`WritesDone`].
    pub fn submit(&self, write: Write, ticket: WriteTicket) -> Result<(), SubmitError> {
        let queue_state = &self.port.queue_state;
        if write.is_gift() && !queue_state.healthy.load(Ordering::Relaxed) {
            return Err(SubmitError);
        }
        let room_left = |queued: usize| (queued < queue_state.queue_max).then_some(queued + 1);
        if queue_state
            .queued
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, room_left)
            .is_err()
        {
            return Err(SubmitError);
        }
        let submit = Submit {
            write,
            ticket,
            room: self.room.clone(),
            at: Instant::now(),
        };
        if self.port.persister.try_send(submit).is_err() {
            queue_state.queued.fetch_sub(1, Ordering::Relaxed);
            return Err(SubmitError);
        }
        Ok(())
    }
}

/// Writes that are committed one batch after the other. Lanes commit concurrently.
#[derive(Clone, Copy, PartialEq, Eq)]
enum WriteLane {
    /// Comments, if the store supports concurrent commits.
    Comments,
    /// All other writes.
    Coins,
    /// Writes blocked by this row's lock.
    Blocked(RowLock),
}

/// The state of one lane.
struct Progress {
    queue: VecDeque<Submit>,
    /// True from the choice of a batch until it is committed, or has failed and its wait is over.
    busy: bool,
    /// Start of the current or latest commit.
    began: Instant,
    /// Fires when the commit under way takes too long.
    watchdog: Option<SpawnHandle>,
    /// Start of the next batch if it is not full.
    spaced_until: Instant,
    retry_wait: Duration,
    /// Start of the first failed commit while the store is away.
    failing_since: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            busy: false,
            began: Instant::now(),
            watchdog: None,
            spaced_until: Instant::now(),
            retry_wait: RETRY_FIRST,
            failing_since: None,
        }
    }
}

/// The actor in front of the store. There is one, on a thread of its own.
pub struct Persister {
    store: Arc<dyn Store>,
    /// Writes in one transaction.
    batch_max: usize,
    queue_state: Arc<QueueState>,
    comments: Progress,
    coins: Progress,
    /// Its own queue stays empty: blocked writes wait in `blocked`.
    blocked_progress: Progress,
    blocked: BlockedWrites,
    flushes: Vec<oneshot::Sender<()>>,
    /// Causes that were logged since the store is away.
    causes: Vec<String>,
}

impl Persister {
    pub fn start_in(
        arbiter: &ArbiterHandle,
        store: Arc<dyn Store>,
        limits: &LimitsConfig,
    ) -> PersisterPort {
        let queue_state = Arc::new(QueueState {
            queue_max: limits.persister_queue,
            queued: AtomicUsize::new(0),
            healthy: AtomicBool::new(true),
        });
        let (shared, batch_max) = (queue_state.clone(), limits.ledger_batch);
        // `queue_state` bounds the writes under way; the mailbox only has to hold all of them.
        let persister = start_in_arbiter(arbiter, limits.persister_queue, move |_| Self {
            store,
            batch_max,
            queue_state: shared,
            comments: Progress::new(),
            coins: Progress::new(),
            blocked_progress: Progress::new(),
            blocked: BlockedWrites::default(),
            flushes: Vec::new(),
            causes: Vec::new(),
        });
        PersisterPort {
            persister,
            queue_state,
        }
    }

    fn progress(&mut self, lane: WriteLane) -> &mut Progress {
        match lane {
            WriteLane::Comments => &mut self.comments,
            WriteLane::Coins => &mut self.coins,
            WriteLane::Blocked(_) => &mut self.blocked_progress,
        }
    }

    /// Whether no commit is under way and no write is queued.
    fn is_idle(&self) -> bool {
        let idle = |progress: &Progress| !progress.busy && progress.queue.is_empty();
        idle(&self.comments)
            && idle(&self.coins)
            && !self.blocked_progress.busy
            && self.blocked.is_empty()
    }

    fn commit_next(&mut self, lane: WriteLane, ctx: &mut Context<Self>) {
        let (batch_max, hurried) = (self.batch_max, !self.flushes.is_empty());
        let progress = self.progress(lane);
        if progress.busy {
            return;
        }
        if progress.queue.is_empty() {
            return self.lane_is_empty(ctx);
        }
        progress.busy = true;
        let wait = progress
            .spaced_until
            .saturating_duration_since(Instant::now());
        if !wait.is_zero() && progress.queue.len() < batch_max && !hurried {
            ctx.run_later(wait, move |persister, ctx| {
                persister.commit_batch(lane, ctx)
            });
        } else {
            self.commit_batch(lane, ctx);
        }
    }

    /// One lane is empty. If all are, answers flushes, or probes a store that is away.
    fn lane_is_empty(&mut self, ctx: &mut Context<Self>) {
        if !self.is_idle() {
            return;
        }
        if !self.queue_state.healthy.load(Ordering::Relaxed) {
            return self.probe(ctx);
        }
        for flushed in self.flushes.drain(..) {
            // The drain may have timed out.
            let _ = flushed.send(());
        }
    }

    fn commit_batch(&mut self, lane: WriteLane, ctx: &mut Context<Self>) {
        let batch_max = self.batch_max;
        let queue = &mut self.progress(lane).queue;
        let chosen: Vec<Submit> = queue.drain(..queue.len().min(batch_max)).collect();
        let mut batch = Vec::with_capacity(chosen.len());
        for submit in chosen {
            match self.blocked.row_for(&submit.write) {
                Some(row) => self.blocked.push(row, submit),
                None => batch.push(submit),
            }
        }
        self.commit(lane, batch, ctx);
        self.try_blocked(ctx);
    }

    /// Retries the writes of the next blocked row.
    fn try_blocked(&mut self, ctx: &mut Context<Self>) {
        if self.blocked_progress.busy {
            return;
        }
        let late = self.blocked.take_expired_gifts(GIFT_RETRY_TIMEOUT);
        self.answer_busy(late);
        while let Some((row, batch)) = self.blocked.next_batch(self.batch_max) {
            if !batch.is_empty() {
                self.blocked_progress.busy = true;
                return self.commit(WriteLane::Blocked(row), batch, ctx);
            }
            self.blocked.requeue(row, Vec::new());
        }
        self.lane_is_empty(ctx);
    }

    fn commit(&mut self, lane: WriteLane, batch: Vec<Submit>, ctx: &mut Context<Self>) {
        if batch.is_empty() {
            return self.continue_lane(lane, ctx);
        }
        let writes = batch.iter().map(|submit| submit.write.clone()).collect();
        let store = self.store.clone();
        self.start_watchdog(lane, ctx);
        let commit = async move { store.commit_skip_locked(writes).await }.into_actor(self);
        ctx.spawn(
            commit.map(move |result, persister, ctx| persister.committed(lane, batch, result, ctx)),
        );
    }

    /// Reports a store that does not answer in time, and answers queued gifts `busy`.
    fn start_watchdog(&mut self, lane: WriteLane, ctx: &mut Context<Self>) {
        let watchdog = ctx.run_later(GIFT_RETRY_TIMEOUT, move |persister, _| {
            persister.progress(lane).watchdog = None;
            persister.mark_store_away(lane, &"no answer");
            persister.answer_queued_gifts_busy();
        });
        let progress = self.progress(lane);
        progress.began = Instant::now();
        if let Some(before) = progress.watchdog.replace(watchdog) {
            ctx.cancel_future(before);
        }
    }

    /// Marks the store as away and logs each cause once: the first failure may be that of a
    /// connection that broke, and not the reason for which there is no other. Returns the start of
    /// this lane's first failed commit.
    fn mark_store_away(&mut self, lane: WriteLane, error: &dyn std::fmt::Display) -> Instant {
        let cause = error.to_string();
        if self.queue_state.healthy.swap(false, Ordering::Relaxed) {
            error!("store is away, gifts are refused and comments wait: error={cause}");
            self.causes = vec![cause];
        } else if self.causes.len() < CAUSES_MAX && !self.causes.contains(&cause) {
            error!("store is still away: error={cause}");
            self.causes.push(cause);
        }
        let progress = self.progress(lane);
        *progress.failing_since.get_or_insert(progress.began)
    }

    fn committed(
        &mut self,
        lane: WriteLane,
        batch: Vec<Submit>,
        result: Result<Vec<Attempt>, StoreError>,
        ctx: &mut Context<Self>,
    ) {
        if let Some(watchdog) = self.progress(lane).watchdog.take() {
            ctx.cancel_future(watchdog);
        }
        match result {
            Ok(attempts) => {
                if !self.queue_state.healthy.swap(true, Ordering::Relaxed) {
                    info!(
                        "store is back: queued={}",
                        self.queue_state.queued.load(Ordering::Relaxed)
                    );
                }
                self.finish_batch(lane, batch.into_iter().zip(attempts).collect(), ctx);
            }
            Err(StoreError::Fault(fault)) if !batch.is_empty() => {
                // The store refuses one of the writes: committing one by one finds it. Also for a
                // batch of one, which would otherwise be retried for ever and hold up all others.
                error!(
                    "batch refused, committing one by one: writes={} error={fault}",
                    batch.len()
                );
                self.commit_singly(lane, batch, ctx);
            }
            Err(fault) => self.retry(lane, batch, &fault, ctx),
        }
    }

    /// Answers committed writes, queues blocked ones by row, and continues with the lane.
    fn finish_batch(
        &mut self,
        lane: WriteLane,
        attempts: Vec<(Submit, Attempt)>,
        ctx: &mut Context<Self>,
    ) {
        let (mut done, mut blocked) = (Vec::with_capacity(attempts.len()), Vec::new());
        for (submit, attempt) in attempts {
            match attempt {
                Attempt::Done(outcome) => done.push((submit, outcome)),
                Attempt::Blocked(row) => blocked.push((row, submit)),
            }
        }
        let mut spacing = COMMIT_SPACING;
        if let WriteLane::Blocked(row) = lane {
            done.iter()
                .for_each(|(submit, _)| self.blocked.finish(&submit.write));
            spacing = if blocked.is_empty() {
                Duration::ZERO
            } else {
                BLOCKED_SPACING
            };
            self.blocked.requeue(row, blocked);
        } else {
            for (row, submit) in blocked {
                if self.blocked.is_empty() {
                    warn!("a row is locked, writes that need it wait: row={row:?}");
                }
                self.blocked.push(row, submit);
            }
        }
        self.answer(done);
        let progress = self.progress(lane);
        (progress.failing_since, progress.retry_wait) = (None, RETRY_FIRST);
        progress.spaced_until = Instant::now() + spacing;
        self.continue_lane(lane, ctx);
    }

    /// Starts the next batch of a lane.
    fn continue_lane(&mut self, lane: WriteLane, ctx: &mut Context<Self>) {
        if let WriteLane::Blocked(_) = lane {
            let wait = self
                .blocked_progress
                .spaced_until
                .saturating_duration_since(Instant::now());
            ctx.run_later(wait, |persister, ctx| {
                persister.blocked_progress.busy = false;
                persister.try_blocked(ctx);
            });
        } else {
            self.progress(lane).busy = false;
            self.commit_next(lane, ctx);
            self.try_blocked(ctx);
        }
    }

    /// Pings a store that is away while no write is queued: gifts are refused until the ping
    /// succeeds, so no write would find out that the store is back.
    fn probe(&mut self, ctx: &mut Context<Self>) {
        self.coins.busy = true;
        self.coins.began = Instant::now();
        let store = self.store.clone();
        let ping =
            async move { store.ping().await }
                .into_actor(self)
                .map(|result, persister, ctx| {
                    persister.committed(
                        WriteLane::Coins,
                        Vec::new(),
                        result.map(|()| Vec::new()),
                        ctx,
                    );
                });
        ctx.spawn(ping);
    }

    /// Commits writes one by one. A write that the store refuses is answered so; if the store goes
    /// away meanwhile, the remaining writes are retried like any batch.
    fn commit_singly(&mut self, lane: WriteLane, batch: Vec<Submit>, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let singly = async move {
            let mut done: Vec<(Submit, Attempt)> = Vec::with_capacity(batch.len());
            let mut per_sequence: HashMap<Sequence, RowLock> = HashMap::new();
            let mut left = VecDeque::from(batch);
            while let Some(submit) = left.pop_front() {
                let sequence = submit.write.sequence();
                if let Some(row) = sequence.and_then(|sequence| per_sequence.get(&sequence)) {
                    done.push((submit, Attempt::Blocked(*row)));
                    continue;
                }
                let attempt = match store.commit_skip_locked(vec![submit.write.clone()]).await {
                    Ok(mut attempts) => attempts.pop().unwrap_or_else(|| refused(&submit.write)),
                    Err(StoreError::Fault(fault)) => {
                        error!("write refused: ticket={:?} error={fault}", submit.ticket);
                        refused(&submit.write)
                    }
                    Err(away) => {
                        left.push_front(submit);
                        return (done, Some((Vec::from(left), away)));
                    }
                };
                if let (Some(sequence), Attempt::Blocked(row)) = (sequence, &attempt) {
                    per_sequence.insert(sequence, *row);
                }
                done.push((submit, attempt));
            }
            (done, None)
        };
        ctx.spawn(singly.into_actor(self).map(
            move |(done, stopped), persister, ctx| match stopped {
                None => persister.finish_batch(lane, done, ctx),
                Some((left, away)) => {
                    // Committed writes are answered; blocked ones are retried with the remaining
                    // ones.
                    let (blocked, done): (Vec<_>, Vec<_>) = done
                        .into_iter()
                        .partition(|(_, attempt)| matches!(attempt, Attempt::Blocked(_)));
                    persister.answer_done(lane, done);
                    let blocked = blocked.into_iter().map(|(submit, _)| submit);
                    persister.retry(lane, blocked.chain(left).collect(), &away, ctx);
                }
            },
        ));
    }

    fn answer_done(&mut self, lane: WriteLane, done: Vec<(Submit, Attempt)>) {
        let outcomes = done
            .into_iter()
            .filter_map(|(submit, attempt)| match attempt {
                Attempt::Done(outcome) => Some((submit, outcome)),
                Attempt::Blocked(_) => None,
            });
        let outcomes: Vec<_> = outcomes.collect();
        if let WriteLane::Blocked(_) = lane {
            outcomes
                .iter()
                .for_each(|(submit, _)| self.blocked.finish(&submit.write));
        }
        self.answer(outcomes);
    }

    /// Puts a failed batch back at the front of its queue, without gifts that have timed out, and
    /// retries it later.
    fn retry(
        &mut self,
        lane: WriteLane,
        batch: Vec<Submit>,
        fault: &StoreError,
        ctx: &mut Context<Self>,
    ) {
        let failing_since = self.mark_store_away(lane, fault);
        let progress = self.progress(lane);
        let wait = progress.retry_wait;
        progress.retry_wait = (wait * 2).min(RETRY_MAX);
        progress.spaced_until = Instant::now() + wait;
        let has_timed_out = failing_since.elapsed() >= GIFT_RETRY_TIMEOUT;
        let (given_up, kept): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .partition(|submit| has_timed_out && submit.write.is_gift());
        if let WriteLane::Blocked(row) = lane {
            given_up
                .iter()
                .for_each(|submit| self.blocked.finish(&submit.write));
            self.blocked
                .requeue(row, kept.into_iter().map(|submit| (row, submit)).collect());
        } else {
            for submit in kept.into_iter().rev() {
                self.progress(lane).queue.push_front(submit);
            }
        }
        self.answer_busy(given_up);
        if has_timed_out {
            self.answer_queued_gifts_busy();
        }
        ctx.run_later(wait, move |persister, ctx| {
            persister.continue_lane(lane, ctx)
        });
    }

    fn answer_busy(&mut self, gifts: Vec<Submit>) {
        if !gifts.is_empty() {
            warn!("gifts answered busy: gifts={}", gifts.len());
        }
        self.answer(
            gifts
                .into_iter()
                .map(|submit| (submit, WriteOutcome::Gift(Err(GiftRefusal::Busy)))),
        );
    }

    /// Answers `busy` to all queued gifts, wherever in the queue they are.
    fn answer_queued_gifts_busy(&mut self) {
        let queue = std::mem::take(&mut self.coins.queue);
        let (given_up, kept): (Vec<_>, Vec<_>) =
            queue.into_iter().partition(|submit| submit.write.is_gift());
        self.coins.queue = kept.into();
        self.answer_busy(given_up);
    }

    /// Answers each room once for all its writes in a batch.
    fn answer(&mut self, done: impl IntoIterator<Item = (Submit, WriteOutcome)>) {
        let mut by_room: HashMap<Arc<Recipient<WritesDone>>, Answers> = HashMap::new();
        for (submit, outcome) in done {
            self.queue_state.queued.fetch_sub(1, Ordering::Relaxed);
            by_room
                .entry(submit.room)
                .or_default()
                .push((submit.ticket, outcome));
        }
        for (room, answers) in by_room {
            #[expect(
                clippy::disallowed_methods,
                reason = "each answer was counted against the queue's bound"
            )]
            room.do_send(WritesDone(answers));
        }
    }
}

/// The answer to a write that the store refuses.
fn refused(write: &Write) -> Attempt {
    Attempt::Done(match write {
        Write::Comment(_) => WriteOutcome::Comment(Err(CommentWriteError::Refused)),
        Write::Hold(_) => WriteOutcome::Held(Err(HoldRefusal::Refused)),
        Write::Gift(_) | Write::FindGift { .. } => WriteOutcome::Gift(Err(GiftRefusal::Busy)),
        Write::View { .. } => WriteOutcome::View(None),
        Write::TakeDown { .. } => WriteOutcome::TakenDown,
    })
}

impl Actor for Persister {
    type Context = Context<Self>;
}

impl Handler<Submit> for Persister {
    type Result = ();

    fn handle(&mut self, submit: Submit, ctx: &mut Context<Self>) {
        let apart = self.store.supports_concurrent_commits()
            && matches!(submit.write, Write::Comment(_) | Write::TakeDown { .. });
        let lane = if apart {
            WriteLane::Comments
        } else {
            WriteLane::Coins
        };
        self.progress(lane).queue.push_back(submit);
        self.commit_next(lane, ctx);
    }
}

impl Handler<Flush> for Persister {
    type Result = ();

    fn handle(&mut self, flush: Flush, ctx: &mut Context<Self>) {
        self.flushes.push(flush.0);
        self.commit_next(WriteLane::Comments, ctx);
        self.commit_next(WriteLane::Coins, ctx);
    }
}
