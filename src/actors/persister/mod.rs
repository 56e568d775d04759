//! Turns what rooms decide into batched transactions (group commit).
//!
//! While one commit is under way the next batch gathers, and a batch that is not full waits until
//! [`COMMIT_SPACING`] after the commit before: so there is no delay when it is calm, and the cost of
//! a commit is shared when it is not. Writes become durable in the order they were submitted, one
//! batch at a time.
//!
//! When the store is away, comments and views wait and are tried again until it is back; gifts are
//! refused at once, and those already under way after [`GIFT_PATIENCE`]: whether such a gift was
//! committed is found out by sending it again with the same `request_id`. A store that says nothing
//! for so long is away too.

mod messages;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use actix::prelude::*;
use log::{error, info, warn};
use tokio::sync::oneshot;

use crate::actors::live_room::{Answers, LiveRoom, WriteTicket, WritesDone};
use crate::actors::start_in_arbiter;
use crate::domain::{GiftRefusal, StoreFailed};
use crate::storage::{Store, StoreError, Write, WriteOutcome};

pub use messages::{Flush, Submit};

/// Between the ends and beginnings of two commits. A commit costs a transaction, a sync and several
/// changes of thread, whatever is in it: at 2,000 comments a second on one core that was half of all
/// that a comment costs in small rooms.
const COMMIT_SPACING: Duration = Duration::from_millis(5);

/// How long a commit with gifts is tried, and how long one may take, before givers are told `busy`.
/// Those of a commit that is still under way hear it when that ends.
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
    pub fn for_room(&self, room: Addr<LiveRoom>) -> RoomPersister {
        RoomPersister { port: self.clone(), room }
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
    room: Addr<LiveRoom>,
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
        let submit = Submit { write, ticket, room: self.room.clone() };
        if self.port.persister.try_send(submit).is_err() {
            gauge.queued.fetch_sub(1, Ordering::Relaxed);
            return Err(GiftRefusal::Busy);
        }
        Ok(())
    }
}

/// The actor in front of the store. There is one, on a thread of its own.
pub struct Persister {
    store: Arc<dyn Store>,
    limits: PersisterLimits,
    gauge: Arc<Gauge>,
    queue: VecDeque<Submit>,
    committing: bool,
    /// Looks at the commit under way when it should be done.
    watch: Option<SpawnHandle>,
    /// When the next batch may begin, should it not be full.
    spaced_until: Instant,
    retry_wait: Duration,
    /// Since when nothing was committed, if the store is away.
    failing_since: Option<Instant>,
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
            queue: VecDeque::new(),
            committing: false,
            watch: None,
            spaced_until: Instant::now(),
            retry_wait: RETRY_FIRST,
            failing_since: None,
            flushes: Vec::new(),
        });
        PersisterPort { persister, gauge }
    }

    fn commit_next(&mut self, ctx: &mut Context<Self>) {
        if self.committing {
            return;
        }
        if self.queue.is_empty() {
            if !self.gauge.healthy.load(Ordering::Relaxed) {
                self.probe(ctx);
                return;
            }
            for flushed in self.flushes.drain(..) {
                // Whoever drains may have run out of patience.
                let _ = flushed.send(());
            }
            return;
        }
        self.committing = true;
        let wait = self.spaced_until.saturating_duration_since(Instant::now());
        if !wait.is_zero() && self.queue.len() < self.limits.batch_max && self.flushes.is_empty() {
            ctx.run_later(wait, |persister, ctx| persister.commit_batch(ctx));
        } else {
            self.commit_batch(ctx);
        }
    }

    fn commit_batch(&mut self, ctx: &mut Context<Self>) {
        let batch: Vec<Submit> = self.queue.drain(..self.queue.len().min(self.limits.batch_max)).collect();
        let writes = batch.iter().map(|submit| submit.write.clone()).collect();
        let store = self.store.clone();
        let began = self.watch(ctx);
        let commit = async move { store.commit(writes).await }.into_actor(self).map(move |result, persister, ctx| {
            persister.committed(batch, began, result, ctx);
        });
        ctx.spawn(commit);
    }

    /// Sees to it that a store that does not answer is not waited for in silence. Returns when the wait
    /// began.
    fn watch(&mut self, ctx: &mut Context<Self>) -> Instant {
        let began = Instant::now();
        let watch = ctx.run_later(GIFT_PATIENCE, move |persister, _| {
            persister.watch = None;
            persister.is_away(began, &"no answer");
            persister.give_up_gifts();
        });
        if let Some(before) = self.watch.replace(watch) {
            ctx.cancel_future(before);
        }
        began
    }

    /// Notes that the store is away, and says so once.
    fn is_away(&mut self, since: Instant, error: &dyn std::fmt::Display) -> Instant {
        self.gauge.healthy.store(false, Ordering::Relaxed);
        *self.failing_since.get_or_insert_with(|| {
            error!("store is away, gifts are refused and comments wait: error={error}");
            since
        })
    }

    fn committed(
        &mut self,
        batch: Vec<Submit>,
        began: Instant,
        result: Result<Vec<WriteOutcome>, StoreError>,
        ctx: &mut Context<Self>,
    ) {
        if let Some(watch) = self.watch.take() {
            ctx.cancel_future(watch);
        }
        match result {
            Ok(outcomes) => {
                if self.failing_since.take().is_some() {
                    info!("store is back: queued={}", self.gauge.queued.load(Ordering::Relaxed));
                }
                self.gauge.healthy.store(true, Ordering::Relaxed);
                self.retry_wait = RETRY_FIRST;
                self.spaced_until = Instant::now() + COMMIT_SPACING;
                self.answer(batch.into_iter().zip(outcomes));
                self.committing = false;
                self.commit_next(ctx);
            }
            Err(StoreError::Fault(fault)) if !batch.is_empty() => {
                // Something in it is more than the store can swallow: find out what, one by one. Also
                // with one write alone, which else would be tried for ever and hold up all others.
                error!("batch refused, committing one by one: writes={} error={fault}", batch.len());
                self.commit_singly(batch, ctx);
            }
            Err(fault) => self.retry(batch, began, &fault, ctx),
        }
    }

    /// With nothing left to retry, finds out by itself when the store is back: gifts are refused
    /// until then, so nobody else would.
    fn probe(&mut self, ctx: &mut Context<Self>) {
        self.committing = true;
        let store = self.store.clone();
        let began = Instant::now();
        let ping = async move { store.ping().await }.into_actor(self).map(move |result, persister, ctx| {
            persister.committed(Vec::new(), began, result.map(|()| Vec::new()), ctx);
        });
        ctx.spawn(ping);
    }

    /// Commits writes one by one. A fault is the answer to the write that has it; if the store goes
    /// away meanwhile, the rest waits for it like any batch.
    fn commit_singly(&mut self, batch: Vec<Submit>, ctx: &mut Context<Self>) {
        let store = self.store.clone();
        let singly = async move {
            let mut done = Vec::with_capacity(batch.len());
            let mut left = VecDeque::from(batch);
            while let Some(submit) = left.pop_front() {
                let outcome = match store.commit(vec![submit.write.clone()]).await {
                    Ok(mut outcomes) => outcomes.pop().unwrap_or_else(|| refused(&submit.write)),
                    Err(StoreError::Fault(fault)) => {
                        error!("write refused: ticket={:?} error={fault}", submit.ticket);
                        refused(&submit.write)
                    }
                    Err(away) => {
                        left.push_front(submit);
                        return (done, Some((Vec::from(left), away)));
                    }
                };
                done.push((submit, outcome));
            }
            (done, None)
        };
        ctx.spawn(singly.into_actor(self).map(|(done, stopped), persister, ctx| {
            persister.answer(done);
            if let Some((left, away)) = stopped {
                return persister.retry(left, Instant::now(), &away, ctx);
            }
            persister.committing = false;
            persister.commit_next(ctx);
        }));
    }

    /// Puts a failed batch back in front and comes back later. Gifts that have waited long enough are
    /// not tried again.
    fn retry(&mut self, batch: Vec<Submit>, began: Instant, fault: &StoreError, ctx: &mut Context<Self>) {
        let failing_since = self.is_away(began, fault);
        for submit in batch.into_iter().rev() {
            self.queue.push_front(submit);
        }
        if failing_since.elapsed() >= GIFT_PATIENCE {
            self.give_up_gifts();
        }
        ctx.run_later(self.retry_wait, |persister, ctx| {
            persister.committing = false;
            persister.commit_next(ctx);
        });
        self.retry_wait = (self.retry_wait * 2).min(RETRY_MAX);
    }

    /// Answers `busy` to all gifts that wait, however many writes wait before them.
    fn give_up_gifts(&mut self) {
        let queue = std::mem::take(&mut self.queue);
        let (given_up, kept): (Vec<_>, Vec<_>) =
            queue.into_iter().partition(|submit| matches!(submit.write, Write::Gift(_)));
        self.queue = kept.into();
        if !given_up.is_empty() {
            warn!("gifts answered busy: gifts={}", given_up.len());
        }
        self.answer(given_up.into_iter().map(|submit| (submit, WriteOutcome::Gift(Err(GiftRefusal::Busy)))));
    }

    /// Answers each room once for all its writes of a batch.
    fn answer(&mut self, done: impl IntoIterator<Item = (Submit, WriteOutcome)>) {
        #[expect(clippy::mutable_key_type, reason = "an address is compared and hashed by identity")]
        let mut by_room: HashMap<Addr<LiveRoom>, Answers> = HashMap::new();
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

/// The outcome of a write that the store cannot swallow.
fn refused(write: &Write) -> WriteOutcome {
    match write {
        Write::Comment(_) => WriteOutcome::Comment(Err(StoreFailed::Refused)),
        Write::Gift(_) => WriteOutcome::Gift(Err(GiftRefusal::Busy)),
        Write::View { .. } => WriteOutcome::View(None),
    }
}

impl Actor for Persister {
    type Context = Context<Self>;
}

impl Handler<Submit> for Persister {
    type Result = ();

    fn handle(&mut self, submit: Submit, ctx: &mut Context<Self>) {
        self.queue.push_back(submit);
        self.commit_next(ctx);
    }
}

impl Handler<Flush> for Persister {
    type Result = ();

    fn handle(&mut self, flush: Flush, ctx: &mut Context<Self>) {
        self.flushes.push(flush.0);
        self.commit_next(ctx);
    }
}
