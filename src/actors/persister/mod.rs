//! Turns what rooms decide into batched transactions (group commit).
//!
//! While one commit is under way the next batch gathers, and a batch that is not full waits until
//! [`COMMIT_SPACING`] after the commit before: so there is no delay when it is calm, and the cost of
//! a commit is shared when it is not. Writes become durable in the order they were submitted, one
//! batch at a time.
//!
//! Where the store commits side by side (PostgreSQL), that holds for each of two lanes: comments,
//! which change no row that anybody else has, and coins with views, which do. And writes that need a
//! row which somebody holds for longer than a commit takes are set aside ([`Aside`]): they are tried
//! again until it is free, a lot at a time, while everybody else goes on. Of one user, comments stay in
//! order, and gifts stay in order.
//!
//! When the store is away, comments and views wait and are tried again until it is back; gifts are
//! refused at once, and those already under way after [`GIFT_PATIENCE`]: whether such a gift was
//! committed is found out by sending it again with the same `request_id`. A store that says nothing
//! for so long is away too.

mod aside;
mod messages;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use log::{error, info, warn};
use tokio::sync::oneshot;

use crate::actors::live_room::{Answers, WriteTicket, WritesDone};
use crate::actors::start_in_arbiter;
use crate::domain::{GiftRefusal, StoreFailed};
use crate::storage::{Attempt, Row, Sequence, Store, StoreError, Write, WriteOutcome};

use aside::Aside;
pub use messages::{Flush, Submit};

/// Between the ends and beginnings of two commits. A commit costs a transaction, a sync and several
/// changes of thread, whatever is in it: at 2,000 comments a second on one core that was half of all
/// that a comment costs in small rooms.
const COMMIT_SPACING: Duration = Duration::from_millis(5);

/// Between two tries of what is set aside, when one came to nothing. The tries themselves wait for a
/// while.
const ASIDE_SPACING: Duration = Duration::from_millis(20);

/// How long a gift whose commit failed, or whose row is held, is tried again before its giver is told
/// `busy`; and how long a commit may take before all gifts that wait hear so. Those of the commit itself
/// hear it when that ends.
const GIFT_PATIENCE: Duration = Duration::from_secs(5);
/// The first wait after a failed commit; doubled each time.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// How much a persister takes.
#[derive(Debug, Clone, Copy)]
pub struct PersisterLimits {
    /// Writes submitted and not yet answered; beyond, they are refused.
    pub queue_max: usize,
    /// Writes in one transaction.
    pub batch_max: usize,
}

/// What the persister and those who submit to it share.
#[derive(Debug)]
struct Gauge {
    queue_max: usize,
    /// Submitted and not yet answered.
    queued: AtomicUsize,
    /// False from a failed commit until one succeeds.
    healthy: AtomicBool,
}

/// The way to the persister for everybody but rooms.
#[derive(Clone)]
pub struct PersisterPort {
    persister: Addr<Persister>,
    gauge: Arc<Gauge>,
}

impl PersisterPort {
    /// A room's own way to the persister.
    pub fn for_room(&self, room: impl Into<Recipient<WritesDone>>) -> RoomPersister {
        RoomPersister { port: self.clone(), room: Arc::new(room.into()) }
    }

    /// Writes submitted and not yet answered.
    pub fn queued_count(&self) -> usize {
        self.gauge.queued.load(Ordering::Relaxed)
    }

    /// Waits until everything submitted so far is durable. The caller bounds the wait.
    pub async fn flush(&self) {
        let (reply, flushed) = oneshot::channel();
        #[expect(clippy::disallowed_methods, reason = "sent once, when the node drains")]
        self.persister.do_send(Flush(reply));
        // A persister that is gone has nothing left to flush.
        let _ = flushed.await;
    }
}

/// A room's way to the persister.
pub struct RoomPersister {
    port: PersisterPort,
    room: Arc<Recipient<WritesDone>>,
}

impl RoomPersister {
    /// Submits a write; the room hears of it as [`WritesDone`]. `Err` when the queue is full, or
    /// for a gift while the store is away: then nothing was taken.
    pub fn submit(&self, write: Write, ticket: WriteTicket) -> Result<(), GiftRefusal> {
        let gauge = &self.port.gauge;
        if matches!(write, Write::Gift(_)) && !gauge.healthy.load(Ordering::Relaxed) {
            return Err(GiftRefusal::Busy);
        }
        let room_left = |queued: usize| (queued < gauge.queue_max).then_some(queued + 1);
        if gauge.queued.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room_left).is_err() {
            return Err(GiftRefusal::Busy);
        }
        let submit = Submit { write, ticket, room: self.room.clone(), at: Instant::now() };
        if self.port.persister.try_send(submit).is_err() {
            gauge.queued.fetch_sub(1, Ordering::Relaxed);
            return Err(GiftRefusal::Busy);
        }
        Ok(())
    }
}

/// What is committed one batch after the other, beside what else is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lane {
    /// Comments, where the store commits side by side.
    Comments,
    /// All else.
    Coins,
    /// What is set aside for this row.
    Aside(Row),
}

/// How a lane is getting on.
struct Progress {
    queue: VecDeque<Submit>,
    /// From the choice of a batch until it is done or has failed for long enough.
    busy: bool,
    /// When the commit under way, or the latest, began.
    began: Instant,
    /// Looks at the commit under way when it should be done.
    watch: Option<SpawnHandle>,
    /// When the next batch may begin, should it not be full.
    spaced_until: Instant,
    retry_wait: Duration,
    /// Since when nothing was committed, if the store is away.
    failing_since: Option<Instant>,
}

impl Progress {
    fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            busy: false,
            began: Instant::now(),
            watch: None,
            spaced_until: Instant::now(),
            retry_wait: RETRY_FIRST,
            failing_since: None,
        }
    }
}

/// The actor in front of the store. There is one, on a thread of its own.
pub struct Persister {
    store: Arc<dyn Store>,
    limits: PersisterLimits,
    gauge: Arc<Gauge>,
    comments: Progress,
    coins: Progress,
    /// Its queue is [`Self::held`].
    aside: Progress,
    held: Aside,
    flushes: Vec<oneshot::Sender<()>>,
}

impl Persister {
    pub fn start_in(arbiter: &ArbiterHandle, store: Arc<dyn Store>, limits: PersisterLimits) -> PersisterPort {
        let gauge = Arc::new(Gauge {
            queue_max: limits.queue_max,
            queued: AtomicUsize::new(0),
            healthy: AtomicBool::new(true),
        });
        let shared = gauge.clone();
        // The gauge bounds what is under way; the mailbox only has to hold all of it.
        let persister = start_in_arbiter(arbiter, limits.queue_max, move |_| Self {
            store,
            limits,
            gauge: shared,
            comments: Progress::new(),
            coins: Progress::new(),
            aside: Progress::new(),
            held: Aside::default(),
            flushes: Vec::new(),
        });
        PersisterPort { persister, gauge }
    }

    fn progress(&mut self, lane: Lane) -> &mut Progress {
        match lane {
            Lane::Comments => &mut self.comments,
            Lane::Coins => &mut self.coins,
            Lane::Aside(_) => &mut self.aside,
        }
    }

    /// Whether nothing is under way and nothing waits.
    fn is_idle(&self) -> bool {
        let idle = |progress: &Progress| !progress.busy && progress.queue.is_empty();
        idle(&self.comments) && idle(&self.coins) && !self.aside.busy && self.held.is_empty()
    }

    fn commit_next(&mut self, lane: Lane, ctx: &mut Context<Self>) {
        let (batch_max, hurried) = (self.limits.batch_max, !self.flushes.is_empty());
        let progress = self.progress(lane);
        if progress.busy {
            return;
        }
        if progress.queue.is_empty() {
            return self.rest(ctx);
        }
        progress.busy = true;
        let wait = progress.spaced_until.saturating_duration_since(Instant::now());
        if !wait.is_zero() && progress.queue.len() < batch_max && !hurried {
            ctx.run_later(wait, move |persister, ctx| persister.commit_batch(lane, ctx));
        } else {
            self.commit_batch(lane, ctx);
        }
    }

    /// Nothing is left to do in one lane: perhaps in none.
    fn rest(&mut self, ctx: &mut Context<Self>) {
        if !self.is_idle() {
            return;
        }
        if !self.gauge.healthy.load(Ordering::Relaxed) {
            return self.probe(ctx);
        }
        for flushed in self.flushes.drain(..) {
            // Whoever drains may have run out of patience.
            let _ = flushed.send(());
        }
    }

    fn commit_batch(&mut self, lane: Lane, ctx: &mut Context<Self>) {
        let batch_max = self.limits.batch_max;
        let queue = &mut self.progress(lane).queue;
        let chosen: Vec<Submit> = queue.drain(..queue.len().min(batch_max)).collect();
        let mut batch = Vec::with_capacity(chosen.len());
        for submit in chosen {
            match self.held.row_for(&submit.write) {
                Some(row) => self.held.push(row, submit),
                None => batch.push(submit),
            }
        }
        self.commit(lane, batch, ctx);
        self.try_aside(ctx);
    }

    /// Tries the next lot of what is set aside.
    fn try_aside(&mut self, ctx: &mut Context<Self>) {
        if self.aside.busy {
            return;
        }
        let late = self.held.out_of_patience(GIFT_PATIENCE);
        self.answer_busy(late);
        while let Some((row, batch)) = self.held.take_turn(self.limits.batch_max) {
            if !batch.is_empty() {
                self.aside.busy = true;
                return self.commit(Lane::Aside(row), batch, ctx);
            }
            self.held.put_back(row, Vec::new());
        }
        self.rest(ctx);
    }

    fn commit(&mut self, lane: Lane, batch: Vec<Submit>, ctx: &mut Context<Self>) {
        if batch.is_empty() {
            return self.go_on(lane, ctx);
        }
        let writes = batch.iter().map(|submit| submit.write.clone()).collect();
        let store = self.store.clone();
        self.watch(lane, ctx);
        let commit = async move { store.commit_unheld(writes).await }.into_actor(self);
        ctx.spawn(commit.map(move |result, persister, ctx| persister.committed(lane, batch, result, ctx)));
    }

    /// Sees to it that a store that does not answer is not waited for in silence.
    fn watch(&mut self, lane: Lane, ctx: &mut Context<Self>) {
        let watch = ctx.run_later(GIFT_PATIENCE, move |persister, _| {
            persister.progress(lane).watch = None;
            persister.is_away(lane, &"no answer");
            persister.give_up_gifts();
        });
        let progress = self.progress(lane);
        progress.began = Instant::now();
        if let Some(before) = progress.watch.replace(watch) {
            ctx.cancel_future(before);
        }
    }

    /// Notes that the store is away, and says so once. Returns since when this lane waits for it.
    fn is_away(&mut self, lane: Lane, error: &dyn std::fmt::Display) -> Instant {
        if self.gauge.healthy.swap(false, Ordering::Relaxed) {
            error!("store is away, gifts are refused and comments wait: error={error}");
        }
        let progress = self.progress(lane);
        *progress.failing_since.get_or_insert(progress.began)
    }

    fn committed(
        &mut self,
        lane: Lane,
        batch: Vec<Submit>,
        result: Result<Vec<Attempt>, StoreError>,
        ctx: &mut Context<Self>,
    ) {
        if let Some(watch) = self.progress(lane).watch.take() {
            ctx.cancel_future(watch);
        }
        match result {
            Ok(attempts) => {
                if !self.gauge.healthy.swap(true, Ordering::Relaxed) {
                    info!("store is back: queued={}", self.gauge.queued.load(Ordering::Relaxed));
                }
                self.settle(lane, batch.into_iter().zip(attempts).collect(), ctx);
            }
            Err(StoreError::Fault(fault)) if !batch.is_empty() => {
                // Something in it is more than the store can swallow: find out what, one by one. Also
                // with one write alone, which else would be tried for ever and hold up all others.
                error!("batch refused, committing one by one: writes={} error={fault}", batch.len());
                self.commit_singly(lane, batch, ctx);
            }
            Err(fault) => self.retry(lane, batch, &fault, ctx),
        }
    }

    /// Answers what is done, sets aside what is held, and goes on.
    fn settle(&mut self, lane: Lane, attempts: Vec<(Submit, Attempt)>, ctx: &mut Context<Self>) {
        let (mut done, mut held) = (Vec::with_capacity(attempts.len()), Vec::new());
        for (submit, attempt) in attempts {
            match attempt {
                Attempt::Done(outcome) => done.push((submit, outcome)),
                Attempt::Held(row) => held.push((row, submit)),
            }
        }
        let mut spacing = COMMIT_SPACING;
        if let Lane::Aside(row) = lane {
            done.iter().for_each(|(submit, _)| self.held.leave(&submit.write));
            spacing = if held.is_empty() { Duration::ZERO } else { ASIDE_SPACING };
            self.held.put_back(row, held);
        } else {
            for (row, submit) in held {
                if self.held.is_empty() {
                    warn!("a row is held, what needs it waits: row={row:?}");
                }
                self.held.push(row, submit);
            }
        }
        self.answer(done);
        let progress = self.progress(lane);
        (progress.failing_since, progress.retry_wait) = (None, RETRY_FIRST);
        progress.spaced_until = Instant::now() + spacing;
        self.go_on(lane, ctx);
    }

    /// A lane has done what it was busy with.
    fn go_on(&mut self, lane: Lane, ctx: &mut Context<Self>) {
        if let Lane::Aside(_) = lane {
            let wait = self.aside.spaced_until.saturating_duration_since(Instant::now());
            ctx.run_later(wait, |persister, ctx| {
                persister.aside.busy = false;
                persister.try_aside(ctx);
            });
        } else {
            self.progress(lane).busy = false;
            self.commit_next(lane, ctx);
            self.try_aside(ctx);
        }
    }

    /// With nothing left to retry, finds out by itself when the store is back: gifts are refused
    /// until then, so nobody else would.
    fn probe(&mut self, ctx: &mut Context<Self>) {
        self.coins.busy = true;
        self.coins.began = Instant::now();
        let store = self.store.clone();
        let ping = async move { store.ping().await }.into_actor(self).map(|result, persister, ctx| {
            persister.committed(Lane::Coins, Vec::new(), result.map(|()| Vec::new()), ctx);
        });
        ctx.spawn(ping);
    }

    /// Commits writes one by one. A fault is the answer to the write that has it; if the store goes
    /// away meanwhile, the rest waits for it like any batch.
    fn commit_singly(&mut self, lane: Lane, batch: Vec<Submit>, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let singly = async move {
            let mut done: Vec<(Submit, Attempt)> = Vec::with_capacity(batch.len());
            let mut behind: HashMap<Sequence, Row> = HashMap::new();
            let mut left = VecDeque::from(batch);
            while let Some(submit) = left.pop_front() {
                let sequence = submit.write.sequence();
                if let Some(row) = sequence.and_then(|sequence| behind.get(&sequence)) {
                    done.push((submit, Attempt::Held(*row)));
                    continue;
                }
                let attempt = match store.commit_unheld(vec![submit.write.clone()]).await {
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
                if let (Some(sequence), Attempt::Held(row)) = (sequence, &attempt) {
                    behind.insert(sequence, *row);
                }
                done.push((submit, attempt));
            }
            (done, None)
        };
        ctx.spawn(singly.into_actor(self).map(move |(done, stopped), persister, ctx| match stopped {
            None => persister.settle(lane, done, ctx),
            Some((left, away)) => {
                // What was done is answered; what was held is tried again with the rest.
                let (held, done): (Vec<_>, Vec<_>) =
                    done.into_iter().partition(|(_, attempt)| matches!(attempt, Attempt::Held(_)));
                persister.answer_done(lane, done);
                let held = held.into_iter().map(|(submit, _)| submit);
                persister.retry(lane, held.chain(left).collect(), &away, ctx);
            }
        }));
    }

    fn answer_done(&mut self, lane: Lane, done: Vec<(Submit, Attempt)>) {
        let outcomes = done.into_iter().filter_map(|(submit, attempt)| match attempt {
            Attempt::Done(outcome) => Some((submit, outcome)),
            Attempt::Held(_) => None,
        });
        let outcomes: Vec<_> = outcomes.collect();
        if let Lane::Aside(_) = lane {
            outcomes.iter().for_each(|(submit, _)| self.held.leave(&submit.write));
        }
        self.answer(outcomes);
    }

    /// Puts a failed batch back in front, without gifts that have waited long enough, and comes
    /// back later.
    fn retry(&mut self, lane: Lane, batch: Vec<Submit>, fault: &StoreError, ctx: &mut Context<Self>) {
        let failing_since = self.is_away(lane, fault);
        let progress = self.progress(lane);
        let wait = progress.retry_wait;
        progress.retry_wait = (wait * 2).min(RETRY_MAX);
        progress.spaced_until = Instant::now() + wait;
        let out_of_patience = failing_since.elapsed() >= GIFT_PATIENCE;
        let (given_up, kept): (Vec<_>, Vec<_>) =
            batch.into_iter().partition(|submit| out_of_patience && matches!(submit.write, Write::Gift(_)));
        if let Lane::Aside(row) = lane {
            given_up.iter().for_each(|submit| self.held.leave(&submit.write));
            self.held.put_back(row, kept.into_iter().map(|submit| (row, submit)).collect());
        } else {
            for submit in kept.into_iter().rev() {
                self.progress(lane).queue.push_front(submit);
            }
        }
        self.answer_busy(given_up);
        if out_of_patience {
            self.give_up_gifts();
        }
        ctx.run_later(wait, move |persister, ctx| persister.go_on(lane, ctx));
    }

    fn answer_busy(&mut self, gifts: Vec<Submit>) {
        if !gifts.is_empty() {
            warn!("gifts answered busy: gifts={}", gifts.len());
        }
        self.answer(gifts.into_iter().map(|submit| (submit, WriteOutcome::Gift(Err(GiftRefusal::Busy)))));
    }

    /// Answers `busy` to all gifts that wait, however many writes wait before them.
    fn give_up_gifts(&mut self) {
        let queue = std::mem::take(&mut self.coins.queue);
        let (given_up, kept): (Vec<_>, Vec<_>) =
            queue.into_iter().partition(|submit| matches!(submit.write, Write::Gift(_)));
        self.coins.queue = kept.into();
        self.answer_busy(given_up);
    }

    /// Answers each room once for all its writes of a batch.
    fn answer(&mut self, done: impl IntoIterator<Item = (Submit, WriteOutcome)>) {
        let mut by_room: HashMap<Arc<Recipient<WritesDone>>, Answers> = HashMap::new();
        for (submit, outcome) in done {
            self.gauge.queued.fetch_sub(1, Ordering::Relaxed);
            by_room.entry(submit.room).or_default().push((submit.ticket, outcome));
        }
        for (room, answers) in by_room {
            #[expect(clippy::disallowed_methods, reason = "each answer was counted against the queue's bound")]
            room.do_send(WritesDone(answers));
        }
    }
}

/// The end of a write that the store cannot swallow.
fn refused(write: &Write) -> Attempt {
    Attempt::Done(match write {
        Write::Comment(_) => WriteOutcome::Comment(Err(StoreFailed::Refused)),
        Write::Gift(_) => WriteOutcome::Gift(Err(GiftRefusal::Busy)),
        Write::View { .. } => WriteOutcome::View(None),
    })
}

impl Actor for Persister {
    type Context = Context<Self>;
}

impl Handler<Submit> for Persister {
    type Result = ();

    fn handle(&mut self, submit: Submit, ctx: &mut Context<Self>) {
        let apart = self.store.commits_side_by_side() && matches!(submit.write, Write::Comment(_));
        let lane = if apart { Lane::Comments } else { Lane::Coins };
        self.progress(lane).queue.push_back(submit);
        self.commit_next(lane, ctx);
    }
}

impl Handler<Flush> for Persister {
    type Result = ();

    fn handle(&mut self, flush: Flush, ctx: &mut Context<Self>) {
        self.flushes.push(flush.0);
        self.commit_next(Lane::Comments, ctx);
        self.commit_next(Lane::Coins, ctx);
    }
}
