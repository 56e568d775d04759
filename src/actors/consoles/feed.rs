//! The consoles that are connected to this node, and what each second brings them.
//!
//! One loop takes a snapshot a second while any console looks at something, has it encoded once
//! for each distinct view and pushes the bytes to all that look at it. Without such a console it
//! sleeps. A second loop passes on what happens in watched rooms.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::LocalBoxFuture;
use log::warn;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::room_tap::{RoomTap, TappedEvent};
use super::snapshot::{ClusterRoom, ClusterSnapshot, cluster_charts};
use crate::actors::ClusterControl;
use crate::actors::live_room::Watch;
use crate::cluster::{Charts, RoomsView};
use crate::domain::{Bucket, BucketRate, Disconnect, LiveId, Priority};
use crate::outbox::{DropPolicy, KeyedState, Outbox, OutboxLimits, Packet, StateKey, Superseded};

/// Time between two snapshots.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(1);

/// A console that asks for another view need not wait for the next second, but no console makes
/// snapshots come faster than this.
const SNAPSHOT_SPACING: Duration = Duration::from_millis(250);

/// Time between two looks at the events of watched rooms.
const ROOMS_EVERY: Duration = Duration::from_millis(250);

/// What may wait for one console: a page of a hundred rooms is 60 KiB, and of these only the latest
/// waits. A console that reads nothing holds no more.
const OUTBOX_LIMITS: OutboxLimits = OutboxLimits {
    packets_max: 64,
    bytes_max: 1 << 20,
};

/// Messages of one console: at once, and in a second.
const MESSAGES: BucketRate = BucketRate {
    burst: 50,
    refill: 20,
    per_ms: 1_000,
};

/// What a console looks at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum FeedView {
    /// Nothing: its tab is hidden.
    #[default]
    None,
    Overview(RoomsView),
    Room(LiveId),
}

/// What the operator behind a console may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConsoleGrants {
    /// Comments, and so the events of a room.
    pub comments: bool,
}

/// The texts that consoles send and receive.
pub trait ConsoleWire: Send + Sync {
    /// Reads what a console asks for; the error is what it is answered.
    fn read_view(&self, text: &str) -> Result<FeedView, String>;
    fn overview(&self, snapshot: &ClusterSnapshot, view: &RoomsView) -> String;
    fn charts(&self, charts: &Charts) -> String;
    fn room(&self, update: &RoomUpdate<'_>) -> String;
    fn error(&self, text: &str) -> String;
}

/// What happened in a watched room since the last look.
#[derive(Debug)]
pub struct RoomUpdate<'a> {
    pub live_id: LiveId,
    /// `None`: it is open nowhere.
    pub room: Option<&'a ClusterRoom>,
    pub events: &'a [TappedEvent],
    pub skipped: u64,
}

/// No more consoles fit on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many consoles on this node")]
pub struct ConsolesFull;

/// All consoles of this node.
pub struct Consoles {
    control: Arc<ClusterControl>,
    wire: Box<dyn ConsoleWire>,
    consoles_max: usize,
    state: Mutex<State>,
    /// A console has another view, or there is one console more or less.
    overview_changed: Notify,
    rooms_changed: Notify,
}

#[derive(Default)]
struct State {
    /// Set when the node drains.
    over: Option<Disconnect>,
    next_id: u64,
    consoles: HashMap<u64, Arc<Console>>,
    taps: HashMap<LiveId, Arc<RoomTap>>,
    /// The watched rooms of the latest snapshot.
    rooms: HashMap<i64, ClusterRoom>,
    /// Whether those are newer than what consoles have.
    rooms_are_new: bool,
}

#[derive(Debug)]
struct Console {
    outbox: Arc<Outbox>,
    view: Mutex<ConsoleView>,
}

#[derive(Debug)]
struct ConsoleView {
    view: FeedView,
    grants: ConsoleGrants,
    has_charts: bool,
}

impl Console {
    fn lock(&self) -> MutexGuard<'_, ConsoleView> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A snapshot that waits is replaced by the next one: a console that reads slowly misses some.
    fn push_snapshot(&self, packet: &Packet) {
        self.outbox.push(packet.clone());
    }
}

/// One connected console. It is gone when this is dropped.
pub struct ConsoleSeat {
    id: u64,
    console: Arc<Console>,
    consoles: Arc<Consoles>,
    messages: RefCell<Bucket>,
}

/// Says what the operator behind a console may see now; `None`: it may not look any more.
pub type Recheck = Box<dyn Fn() -> LocalBoxFuture<'static, Option<ConsoleGrants>>>;

/// A console that was let in, and how to find out whether it still may be.
pub struct Feed {
    pub seat: ConsoleSeat,
    pub recheck: Recheck,
}

impl Consoles {
    pub fn new(
        control: Arc<ClusterControl>,
        wire: Box<dyn ConsoleWire>,
        consoles_max: usize,
    ) -> Arc<Self> {
        Arc::new(Self {
            control,
            wire,
            consoles_max,
            state: Mutex::default(),
            overview_changed: Notify::new(),
            rooms_changed: Notify::new(),
        })
    }

    /// Begins to serve consoles, on the calling thread and until its system ends.
    pub fn start(self: &Arc<Self>) {
        let (snapshots, rooms) = (self.clone(), self.clone());
        actix_rt::spawn(async move { snapshots.run_snapshots().await });
        actix_rt::spawn(async move { rooms.run_rooms().await });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change under the lock is one of a map or a field.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a seat for a console.
    pub fn open(self: &Arc<Self>, grants: ConsoleGrants) -> Result<ConsoleSeat, ConsolesFull> {
        let console = Arc::new(Console {
            outbox: Outbox::new(OUTBOX_LIMITS),
            view: Mutex::new(ConsoleView {
                view: FeedView::None,
                grants,
                has_charts: false,
            }),
        });
        let mut state = self.lock();
        if state.consoles.len() >= self.consoles_max {
            return Err(ConsolesFull);
        }
        if let Some(reason) = state.over {
            console.outbox.close(reason);
        }
        state.next_id += 1;
        let id = state.next_id;
        state.consoles.insert(id, console.clone());
        self.control
            .monitor
            .set_consoles_count(state.consoles.len());
        Ok(ConsoleSeat {
            id,
            console,
            consoles: self.clone(),
            messages: RefCell::default(),
        })
    }

    /// Ends all consoles, and those that come from now on: the node drains.
    pub fn end_all(&self, reason: Disconnect) {
        let mut state = self.lock();
        state.over = Some(reason);
        for console in state.consoles.values() {
            console.outbox.close(reason);
        }
    }

    fn all(&self) -> Vec<Arc<Console>> {
        self.lock().consoles.values().cloned().collect()
    }

    fn leave(&self, id: u64) {
        let mut state = self.lock();
        state.consoles.remove(&id);
        self.control
            .monitor
            .set_consoles_count(state.consoles.len());
        drop(state);
        self.end_unwatched();
    }

    /// Has the rooms that no console looks at any more stop reporting.
    fn end_unwatched(&self) {
        let watched = self.watched();
        let mut state = self.lock();
        state.taps.retain(|live_id, tap| {
            let is_watched = watched.contains(live_id);
            if !is_watched {
                tap.end();
            }
            is_watched
        });
    }

    /// The rooms that consoles look at.
    fn watched(&self) -> HashSet<LiveId> {
        let of_console = |console: &Arc<Console>| match console.lock().view {
            FeedView::Room(live_id) => Some(live_id),
            FeedView::None | FeedView::Overview(_) => None,
        };
        self.all().iter().filter_map(of_console).collect()
    }

    /// The distinct views of the overview.
    fn views(&self) -> HashSet<RoomsView> {
        let of_console = |console: &Arc<Console>| match &console.lock().view {
            FeedView::Overview(view) => Some(view.clone()),
            FeedView::None | FeedView::Room(_) => None,
        };
        self.all().iter().filter_map(of_console).collect()
    }

    async fn run_snapshots(self: Arc<Self>) {
        loop {
            let (views, lives) = (self.views(), self.watched());
            if views.is_empty() && lives.is_empty() {
                self.overview_changed.notified().await;
                continue;
            }
            let started = Instant::now();
            self.bring_charts().await;
            self.bring_snapshot(views, lives).await;
            // A notice that comes early is not lost: it ends the next wait.
            let changed = self.overview_changed.notified();
            let _ = timeout_at(started + SNAPSHOT_EVERY, changed).await;
            sleep_until(started + SNAPSHOT_SPACING).await;
        }
    }

    /// Gives the charts of the last hour to consoles that look at the overview for the first time.
    async fn bring_charts(&self) {
        let lacks_them = |console: &Arc<Console>| {
            let console = console.lock();
            !console.has_charts && matches!(console.view, FeedView::Overview(_))
        };
        let waiting: Vec<_> = self.all().into_iter().filter(lacks_them).collect();
        if waiting.is_empty() {
            return;
        }
        let charts = cluster_charts(&self.control).await;
        let packet = Packet::text(&self.wire.charts(&charts), Priority::Normal);
        for console in waiting {
            console.lock().has_charts = true;
            console.outbox.push(packet.clone());
        }
    }

    async fn bring_snapshot(self: &Arc<Self>, views: HashSet<RoomsView>, lives: HashSet<LiveId>) {
        let views: Vec<RoomsView> = views.into_iter().collect();
        let lives: Vec<LiveId> = lives.into_iter().collect();
        let snapshot = match ClusterSnapshot::take(&self.control, views.clone(), &lives).await {
            Ok(snapshot) => snapshot,
            Err(error) => {
                warn!("no snapshot for consoles: error={error}");
                return;
            }
        };
        let rooms = lives.iter().filter_map(|live_id| {
            let room = snapshot.room(live_id.get())?;
            Some((live_id.get(), room.clone()))
        });
        let rooms = rooms.collect();
        {
            let mut state = self.lock();
            state.rooms = rooms;
            state.rooms_are_new = true;
        }
        let consoles = self.clone();
        // Encoding and a hundred writes are milliseconds, which this thread has better use for.
        let pushed = tokio::task::spawn_blocking(move || {
            for view in &views {
                consoles.push_overview(&snapshot, view);
            }
        });
        // It is not cancelled, and ends early only with the process.
        let _ = pushed.await;
    }

    fn push_overview(&self, snapshot: &ClusterSnapshot, view: &RoomsView) {
        let text = self.wire.overview(snapshot, view);
        let packet = Packet::text(&text, snapshot_policy());
        for console in self.all() {
            let looks = matches!(&console.lock().view, FeedView::Overview(of_it) if of_it == view);
            if looks {
                console.push_snapshot(&packet);
            }
        }
    }

    async fn run_rooms(self: Arc<Self>) {
        loop {
            let watched = self.watched();
            if watched.is_empty() {
                self.rooms_changed.notified().await;
                continue;
            }
            let next = Instant::now() + ROOMS_EVERY;
            for live_id in watched {
                self.attach(live_id).await;
                self.bring_room(live_id);
            }
            self.lock().rooms_are_new = false;
            sleep_until(next).await;
        }
    }

    /// Sees to it that the room of a live reports, if it is open on any node: events of other nodes
    /// come to this one by opening it here.
    async fn attach(&self, live_id: LiveId) {
        let tap = {
            let mut state = self.lock();
            if !state.rooms.contains_key(&live_id.get()) {
                return;
            }
            let tap = state.taps.entry(live_id);
            tap.or_insert_with(|| RoomTap::new(live_id)).clone()
        };
        if tap.is_attached() {
            return;
        }
        if let Ok(room) = self.control.rooms.locate(live_id).await {
            // A full room is asked again at the next look.
            let _ = room.try_send(Watch(tap));
        }
    }

    fn bring_room(&self, live_id: LiveId) {
        let (tap, room, is_new) = {
            let state = self.lock();
            let room = state.rooms.get(&live_id.get()).cloned();
            (state.taps.get(&live_id).cloned(), room, state.rooms_are_new)
        };
        let (mut events, skipped) = tap.map(|tap| tap.take()).unwrap_or_default();
        if events.is_empty() && !is_new {
            return;
        }
        // Hubs report their batches in any order.
        events.sort_by_key(TappedEvent::order);
        let update = RoomUpdate {
            live_id,
            room: room.as_ref(),
            events: &events,
            skipped,
        };
        let packet = Packet::text(&self.wire.room(&update), Priority::Droppable);
        for console in self.all() {
            let looks = console.lock().view == FeedView::Room(live_id);
            if looks {
                console.outbox.push(packet.clone());
            }
        }
    }
}

/// Of several snapshots that wait the latest is enough.
fn snapshot_policy() -> DropPolicy {
    DropPolicy {
        priority: Priority::Droppable,
        state: Some(KeyedState {
            key: StateKey(0),
            superseded: Superseded::Removed,
        }),
    }
}

impl ConsoleSeat {
    /// What is written to the console.
    pub fn outbox(&self) -> &Arc<Outbox> {
        &self.console.outbox
    }

    /// Counts a message of the console. Returns whether it is one of not too many.
    pub fn charge(&self) -> bool {
        let now = self.consoles.control.clock.now();
        self.messages.borrow_mut().take(MESSAGES, now).is_ok()
    }

    /// The console says what it looks at.
    pub fn receive(&self, text: &str) {
        match self.consoles.wire.read_view(text) {
            Ok(view) => self.look_at(view),
            Err(fault) => self.fail(&fault),
        }
    }

    fn look_at(&self, view: FeedView) {
        let mut console = self.console.lock();
        if matches!(view, FeedView::Room(_)) && !console.grants.comments {
            drop(console);
            return self.fail("your role may not read comments");
        }
        let is_same = console.view == view;
        console.view = view;
        drop(console);
        if !is_same {
            self.consoles.end_unwatched();
            self.consoles.overview_changed.notify_one();
            self.consoles.rooms_changed.notify_one();
        }
    }

    /// What the operator may see has been looked up again.
    pub fn set_grants(&self, grants: ConsoleGrants) {
        let mut console = self.console.lock();
        console.grants = grants;
        let is_over = !grants.comments && matches!(console.view, FeedView::Room(_));
        drop(console);
        if is_over {
            self.look_at(FeedView::None);
            self.fail("your role may not read comments any more");
        }
    }

    fn fail(&self, text: &str) {
        let text = self.consoles.wire.error(text);
        self.console
            .outbox
            .push(Packet::text(&text, Priority::Normal));
    }
}

impl Drop for ConsoleSeat {
    fn drop(&mut self) {
        self.consoles.leave(self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_console_that_reads_nothing_holds_one_snapshot_and_few_events() {
        let outbox = Outbox::new(OUTBOX_LIMITS);
        let page = "x".repeat(60_000);
        for second in 0..1_000 {
            outbox.push(Packet::text(&format!("{second}{page}"), snapshot_policy()));
        }
        let (packets, bytes) = outbox.queued();
        assert_eq!((packets, bytes / 60_000), (1, 1));
        for event in 0..1_000 {
            outbox.push(Packet::text(&format!("{event}"), Priority::Droppable));
        }
        let (packets, bytes) = outbox.queued();
        assert!(packets <= OUTBOX_LIMITS.packets_max && bytes <= OUTBOX_LIMITS.bytes_max);
        assert_eq!(outbox.closed(), None, "it is slow, and may stay");
    }
}
