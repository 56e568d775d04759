//! The live feed of one room: which of its events consoles see, and what each of them cost.
//!
//! A room that nobody looks at pays one branch when it hands over a batch. One that is watched
//! samples the batch; the hubs measure what it costs them and count it in the batch, and whichever
//! lets go of it last reports it here.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::actors::hub::Encoded;
use crate::domain::{HeldComment, LiveId, Priority, Timestamp};
use crate::protocol::Dialect;

/// Events of one second that consoles see at most, and how many of them viewers may take: a crowd
/// does not hide gifts and removals.
pub const EVENTS_PER_S_MAX: u32 = 40;
const CROWD_EVENTS_PER_S_MAX: u32 = 30;

/// Events that wait for the consoles at most: two seconds' worth. Beyond, they count as skipped.
const WAITING_MAX: usize = 2 * EVENTS_PER_S_MAX as usize;

/// The feed of one room on this node, shared by all consoles that look at it.
#[derive(Debug)]
pub struct RoomTap {
    live_id: LiveId,
    /// Whether a console looks. A room looks at it once a second.
    is_watched: AtomicBool,
    /// Whether a room reports here.
    is_attached: AtomicBool,
    gathered: Mutex<Gathering>,
}

#[derive(Debug, Default)]
struct Gathering {
    budget: SecondBudget,
    events: Vec<TappedEvent>,
    skipped: u64,
}

/// What may still be shown of the current second.
#[derive(Debug, Default)]
struct SecondBudget {
    second: i64,
    shown: u32,
    crowd_shown: u32,
}

impl SecondBudget {
    fn take(&mut self, is_crowd: bool, now: Timestamp) -> bool {
        let second = now.0.div_euclid(1_000);
        if second != self.second {
            *self = Self {
                second,
                ..Self::default()
            };
        }
        let fits = self.shown < EVENTS_PER_S_MAX
            && (!is_crowd || self.crowd_shown < CROWD_EVENTS_PER_S_MAX);
        if fits {
            self.shown += 1;
            self.crowd_shown += u32::from(is_crowd);
        }
        fits
    }
}

/// One item of the feed.
#[derive(Debug, Clone)]
pub enum TappedEvent {
    /// All members received it.
    Delivered {
        at: Timestamp,
        encoded: Arc<Encoded>,
        cost: EventCost,
    },
    /// It waits for a moderator.
    Held {
        at: Timestamp,
        held: Arc<HeldComment>,
    },
}

impl TappedEvent {
    /// Where it comes in the feed: by time, and within one batch by offset.
    pub fn order(&self) -> (Timestamp, u64) {
        match self {
            Self::Delivered { at, encoded, .. } => {
                (*at, encoded.sequenced().map_or(0, |it| it.offset))
            }
            Self::Held { at, .. } => (*at, 0),
        }
    }
}

/// What an event cost this node. Times are those of its batch, divided by the events in it, and
/// over all worker threads.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct EventCost {
    pub encode: Duration,
    pub fan_out: Duration,
    /// Bytes of the largest form of it.
    pub bytes: usize,
    /// Members of this node that it was handed to.
    pub deliveries: u64,
    /// Bytes of all of them.
    pub delivered_bytes: u64,
    /// Events that were written together.
    pub batch: usize,
}

impl RoomTap {
    pub fn new(live_id: LiveId) -> Arc<Self> {
        Arc::new(Self {
            live_id,
            is_watched: AtomicBool::new(true),
            is_attached: AtomicBool::new(false),
            gathered: Mutex::default(),
        })
    }

    pub fn live_id(&self) -> LiveId {
        self.live_id
    }

    fn lock(&self) -> MutexGuard<'_, Gathering> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    /// No console looks any more.
    pub fn end(&self) {
        self.is_watched.store(false, Ordering::Relaxed);
    }

    pub fn is_attached(&self) -> bool {
        self.is_attached.load(Ordering::Relaxed)
    }

    /// What gathered since the last call, in its order, and how many events were skipped.
    pub fn take(&self) -> (Vec<TappedEvent>, u64) {
        let mut gathering = self.lock();
        let skipped = std::mem::take(&mut gathering.skipped);
        (std::mem::take(&mut gathering.events), skipped)
    }

    fn push(&self, event: TappedEvent) {
        let mut gathering = self.lock();
        if gathering.events.len() < WAITING_MAX {
            gathering.events.push(event);
        } else {
            gathering.skipped += 1;
        }
    }
}

/// A room's hold of its tap.
#[derive(Debug)]
pub struct AttachedTap(Arc<RoomTap>);

impl AttachedTap {
    pub fn new(tap: Arc<RoomTap>) -> Self {
        tap.is_attached.store(true, Ordering::Relaxed);
        Self(tap)
    }

    pub fn is_watched(&self) -> bool {
        self.0.is_watched()
    }

    /// A comment is held, on whatever node.
    pub fn held(&self, held: &Arc<HeldComment>, now: Timestamp) {
        let is_shown = self.0.lock().budget.take(false, now);
        if is_shown {
            let held = held.clone();
            self.0.push(TappedEvent::Held { at: now, held });
        } else {
            self.0.lock().skipped += 1;
        }
    }

    /// Samples a batch that is about to be handed to the hubs. `None`: nothing of it is shown, and
    /// nothing is measured.
    pub fn probe(&self, batch: &[Arc<Encoded>], now: Timestamp) -> Option<BatchProbe> {
        let mut gathering = self.0.lock();
        let mut events = Vec::new();
        for encoded in batch.iter().filter(|it| it.sequenced().is_some()) {
            let is_crowd = encoded.priority() == Priority::Droppable;
            if gathering.budget.take(is_crowd, now) {
                events.push(encoded.clone());
            } else {
                gathering.skipped += 1;
            }
        }
        (!events.is_empty()).then(|| BatchProbe {
            tap: self.0.clone(),
            at: now,
            events,
            batch: batch.len(),
            encode_ns: AtomicU64::new(0),
            fan_out_ns: AtomicU64::new(0),
            deliveries: Default::default(),
        })
    }
}

impl Drop for AttachedTap {
    fn drop(&mut self) {
        self.0.is_attached.store(false, Ordering::Relaxed);
    }
}

/// Measures what one batch costs. Reports when the last hub drops it.
#[derive(Debug)]
pub struct BatchProbe {
    tap: Arc<RoomTap>,
    at: Timestamp,
    events: Vec<Arc<Encoded>>,
    batch: usize,
    encode_ns: AtomicU64,
    fan_out_ns: AtomicU64,
    deliveries: [AtomicU64; Dialect::COUNT],
}

impl BatchProbe {
    /// Runs `encode` and counts its time.
    pub fn encoding<T>(&self, encode: impl FnOnce() -> T) -> T {
        timed(&self.encode_ns, encode)
    }

    /// Runs a hub's delivery and counts its time.
    pub fn fanning_out<T>(&self, deliver: impl FnOnce() -> T) -> T {
        timed(&self.fan_out_ns, deliver)
    }

    /// A hub delivers the batch to so many members of one dialect.
    pub fn count_deliveries(&self, dialect: Dialect, members_count: u64) {
        self.deliveries[dialect.index()].fetch_add(members_count, Ordering::Relaxed);
    }

    fn cost_of(&self, encoded: &Encoded) -> EventCost {
        let share = |ns: &AtomicU64| {
            Duration::from_nanos(ns.load(Ordering::Relaxed) / self.batch.max(1) as u64)
        };
        let mut cost = EventCost {
            encode: share(&self.encode_ns),
            fan_out: share(&self.fan_out_ns),
            batch: self.batch,
            ..EventCost::default()
        };
        for dialect in Dialect::ALL {
            let deliveries = self.deliveries[dialect.index()].load(Ordering::Relaxed);
            if deliveries > 0 {
                let bytes = encoded.packet(dialect).frame().len();
                cost.bytes = cost.bytes.max(bytes);
                cost.deliveries += deliveries;
                cost.delivered_bytes += deliveries * bytes as u64;
            }
        }
        cost
    }
}

fn timed<T>(ns: &AtomicU64, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let done = work();
    let took = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
    ns.fetch_add(took, Ordering::Relaxed);
    done
}

impl Drop for BatchProbe {
    fn drop(&mut self) {
        for encoded in std::mem::take(&mut self.events) {
            let cost = self.cost_of(&encoded);
            self.tap.push(TappedEvent::Delivered {
                at: self.at,
                encoded,
                cost,
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CommentId, Epoch, RoomEvent, Sequenced};

    fn event(offset: u64, priority: Priority) -> Arc<Encoded> {
        let sequenced = Sequenced {
            epoch: Epoch::from("e"),
            offset,
            event: RoomEvent::Removed {
                live_id: LiveId::FIRST,
                comment_id: CommentId::new(1).unwrap(),
            },
        };
        Arc::new(Encoded::event(sequenced, priority))
    }

    fn offsets(tap: &RoomTap) -> Vec<u64> {
        let (events, _) = tap.take();
        let offset = |event: TappedEvent| match event {
            TappedEvent::Delivered { encoded, .. } => encoded.sequenced().unwrap().offset,
            TappedEvent::Held { .. } => 0,
        };
        events.into_iter().map(offset).collect()
    }

    #[test]
    fn a_crowd_is_sampled_and_leaves_room_for_what_matters() {
        let tap = RoomTap::new(LiveId::FIRST);
        let room = AttachedTap::new(tap.clone());
        let now = Timestamp(5_000);
        let crowd: Vec<_> = (1..=100)
            .map(|offset| event(offset, Priority::Droppable))
            .collect();
        drop(room.probe(&crowd, now));
        drop(room.probe(&[event(101, Priority::Critical)], now));
        let (events, skipped) = tap.take();
        assert_eq!((events.len(), skipped), (31, 70));
        drop(room.probe(&crowd[..5], now));
        assert_eq!(offsets(&tap), [0; 0], "the second is used up");
        drop(room.probe(&crowd[..5], now.plus_ms(1_000)));
        assert_eq!(offsets(&tap), [1, 2, 3, 4, 5]);
        assert!(tap.is_attached());
        drop(room);
        assert!(!tap.is_attached());
    }

    #[test]
    fn events_that_no_console_takes_do_not_gather() {
        let tap = RoomTap::new(LiveId::FIRST);
        let room = AttachedTap::new(tap.clone());
        for second in 0..100 {
            let batch: Vec<_> = (0..20)
                .map(|offset| event(offset, Priority::Critical))
                .collect();
            drop(room.probe(&batch, Timestamp(second * 1_000)));
        }
        let (events, skipped) = tap.take();
        assert_eq!(
            (events.len(), skipped),
            (WAITING_MAX, 2_000 - WAITING_MAX as u64)
        );
    }

    #[test]
    fn a_batch_reports_when_the_last_hub_lets_it_go() {
        let tap = RoomTap::new(LiveId::FIRST);
        let room = AttachedTap::new(tap.clone());
        let batch = [event(1, Priority::Critical), event(2, Priority::Critical)];
        let probe = Arc::new(room.probe(&batch, Timestamp(0)).expect("it is watched"));
        let other = probe.clone();
        let dialect = Dialect::ALL[0];
        probe.encoding(|| batch[0].packet(dialect));
        probe.fanning_out(|| probe.count_deliveries(dialect, 3));
        drop(probe);
        assert!(tap.take().0.is_empty(), "another hub has it");
        other.count_deliveries(dialect, 4);
        drop(other);
        let (events, _) = tap.take();
        let TappedEvent::Delivered { cost, .. } = &events[0] else {
            panic!("it was delivered");
        };
        let bytes = batch[0].packet(dialect).frame().len();
        assert_eq!((cost.deliveries, cost.batch, cost.bytes), (7, 2, bytes));
        assert_eq!(cost.delivered_bytes, 7 * bytes as u64);
    }
}
