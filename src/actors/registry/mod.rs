//! The registry: one room per live, opened at the first join, stopped when idle, replaced when it
//! died. It is asked once per join and is never on the path of a comment.
//!
//! An entry goes `Loading → Open → Stopping → (forgotten)`. Only the registry stops a room, and
//! only after the room agreed that it is idle, so a join cannot meet a dying room; and a room that
//! died is known by its generation, so late messages of it cannot affect its successor.

mod full;
mod messages;
mod reconcile;
mod rooms;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;
use log::{error, warn};
use tokio::sync::oneshot;

use crate::actors::live_room::{
    Apply, ApplyControl, FollowChanged, LiveRoom, LoadedRoom, RoomServices, VersionedLive,
};
use crate::actors::reconcile::FailureLog;
use crate::cluster::OpenedLog;
use crate::domain::{ActionEntry, CommentId, LiveId, Reject, RoomEvent};
use crate::storage::{Store, StoreError};

pub use messages::{
    Applied, ApplyInRoom, CompareRooms, CompareRoomsOf, ControlRoom, FindRoom, FollowChangedOf,
    Locate, Located, OpenLives, OpenRooms, RoomAddr, RoomIdle, RoomResumed, RoomRetired,
    RoomStopped,
};
pub use rooms::{Overview, Rooms};

/// Requests that may wait for the registry. Full: `busy`.
pub const REGISTRY_MAILBOX: usize = 8_192;
/// Rooms that may be loading at once; beyond, `busy`.
const LOADING_MAX: usize = 256;
/// Sessions that may wait for one room to open; beyond, `busy`.
const WAITING_MAX: usize = 4_096;
/// Changes of states that may wait for one room to open; beyond, the room finds them in its log or
/// its rows.
const ACTIONS_DEFERRED_MAX: usize = 64;

type Waiters = Vec<oneshot::Sender<Located>>;

enum RoomEntry {
    /// The store is being asked.
    Loading {
        waiters: Waiters,
        /// Changes of states meanwhile, which the load may have missed: the room applies them first.
        actions: Vec<ActionEntry>,
    },
    Open {
        room: RoomAddr,
        generation: u64,
        live: Arc<VersionedLive>,
    },
    /// The room was asked to stop and has not answered.
    Stopping {
        room: RoomAddr,
        generation: u64,
        live: Arc<VersionedLive>,
        waiters: Waiters,
    },
}

impl RoomEntry {
    /// The room, unless it is still loading.
    fn room(&self) -> Option<&RoomAddr> {
        match self {
            RoomEntry::Open { room, .. } | RoomEntry::Stopping { room, .. } => Some(room),
            RoomEntry::Loading { .. } => None,
        }
    }
}

/// Live rooms by id, and the threads they run on.
pub struct Registry {
    rooms: BTreeMap<LiveId, RoomEntry>,
    loading_count: usize,
    next_generation: u64,
    arbiters: Vec<ArbiterHandle>,
    store: Arc<dyn Store>,
    services: RoomServices,
    deaths_count: u64,
    reconcile_log: FailureLog,
    sweep: full::Sweep,
}

impl Registry {
    /// Starts the registry on the calling thread; rooms go to `arbiters`, at least one.
    pub fn start_here(
        arbiters: Vec<ArbiterHandle>,
        store: Arc<dyn Store>,
        services: RoomServices,
    ) -> Addr<Self> {
        assert!(!arbiters.is_empty(), "rooms need a thread to run on");
        Self::create(|ctx| {
            ctx.set_mailbox_capacity(REGISTRY_MAILBOX);
            Self {
                rooms: BTreeMap::new(),
                loading_count: 0,
                next_generation: 1,
                arbiters,
                store,
                services,
                deaths_count: 0,
                reconcile_log: FailureLog::new("rows of open rooms"),
                sweep: full::Sweep::default(),
            }
        })
    }

    fn load(&mut self, live_id: LiveId, waiters: Waiters, ctx: &mut Context<Self>) {
        if self.loading_count >= LOADING_MAX {
            answer_all(waiters, &Err(Reject::BUSY));
            return;
        }
        self.loading_count += 1;
        self.rooms.insert(
            live_id,
            RoomEntry::Loading {
                waiters,
                actions: Vec::new(),
            },
        );
        let (store, broker) = (self.store.clone(), self.services.broker.clone());
        let filters = self.services.word_filters.clone();
        let settings = self.services.settings;
        let clock = self.services.clock.clone();
        let since = clock.now().plus_ms(-settings.dedupe_ms);
        let recent_max = u32::try_from(settings.dedupe_max).unwrap_or(u32::MAX);
        let load = async move {
            let Some(row) = store.live(live_id).await? else {
                return Ok(None);
            };
            // A room that is not open takes no comments, so no repeated one has to be recognised.
            let (recent, held) = match row.live.status.require_open() {
                Ok(()) => (
                    store.recent_comments(live_id, since, recent_max).await?,
                    store
                        .recent_held_comments(live_id, since, recent_max)
                        .await?,
                ),
                Err(_) => Default::default(),
            };
            let filter = filters.of_streamer(row.live.owner).await?;
            let mut log = broker.open(live_id).await;
            take_down_removed(&*store, &mut log).await?;
            // After the log is open: it delivers what changes from here on.
            let standings = store.standings(live_id, clock.now()).await?;
            let standings = standings.unwrap_or_default();
            let pin = store.pin(live_id).await?;
            let modes = store.modes(live_id).await?.unwrap_or_default();
            Ok(Some(LoadedRoom {
                live: row.live,
                recent,
                held,
                standings,
                pin,
                modes,
                filter,
                log,
            }))
        };
        let loaded = load.into_actor(self).map(move |result, registry, ctx| {
            registry.loaded(live_id, result, ctx);
        });
        ctx.spawn(loaded);
    }

    fn loaded(
        &mut self,
        live_id: LiveId,
        result: Result<Option<LoadedRoom>, StoreError>,
        ctx: &mut Context<Self>,
    ) {
        self.loading_count -= 1;
        let Some(RoomEntry::Loading { waiters, actions }) = self.rooms.remove(&live_id) else {
            return;
        };
        let located = match result {
            Ok(Some(loaded)) => {
                let room = self.open(loaded, ctx);
                actions.into_iter().for_each(|entry| apply_in(&room, entry));
                Ok(room)
            }
            Ok(None) => Err(Reject::LiveNotFound),
            Err(fault) => {
                error!("room not loaded: live_id={live_id} error={fault}");
                Err(Reject::BUSY)
            }
        };
        answer_all(waiters, &located);
    }

    fn open(&mut self, loaded: LoadedRoom, ctx: &mut Context<Self>) -> RoomAddr {
        let live_id = loaded.live.id;
        let generation = self.next_generation;
        self.next_generation += 1;
        let thread = live_id.get().unsigned_abs() as usize % self.arbiters.len();
        let arbiter = &self.arbiters[thread];
        let (room, live) = LiveRoom::start_in(
            arbiter,
            loaded,
            generation,
            self.services.clone(),
            ctx.address(),
        );
        let room = Arc::new(room);
        self.rooms.insert(
            live_id,
            RoomEntry::Open {
                room: room.clone(),
                generation,
                live,
            },
        );
        room
    }

    /// Ends the entry of one generation of a room; sessions that wait get the next one.
    fn forget(&mut self, live_id: LiveId, generation: u64, ctx: &mut Context<Self>) -> bool {
        let known = match self.rooms.get(&live_id) {
            Some(RoomEntry::Open { generation, .. } | RoomEntry::Stopping { generation, .. }) => {
                *generation
            }
            Some(RoomEntry::Loading { .. }) | None => return false,
        };
        if known != generation {
            return false;
        }
        if let Some(RoomEntry::Stopping { waiters, .. }) = self.rooms.remove(&live_id)
            && !waiters.is_empty()
        {
            self.load(live_id, waiters, ctx);
        }
        true
    }
}

/// Puts removals in the places of earlier comments that are taken down, and where they were pinned:
/// those that were removed at their place are in the log as they were posted.
async fn take_down_removed(store: &dyn Store, opened: &mut OpenedLog) -> Result<(), StoreError> {
    let comment_id = |event: &RoomEvent| match event {
        RoomEvent::Comment(comment) => Some((comment.live_id, comment.id)),
        RoomEvent::Pinned { pin, .. } => pin
            .comment
            .as_ref()
            .map(|comment| (comment.live_id, comment.id)),
        _ => None,
    };
    let earlier = opened.recent.iter().map(|(sequenced, _)| &sequenced.event);
    let ids: Vec<CommentId> = earlier
        .filter_map(comment_id)
        .map(|(_, comment_id)| comment_id)
        .collect();
    if ids.is_empty() {
        return Ok(());
    }
    let removed = store.removed_comments(ids).await?;
    for (sequenced, _) in &mut opened.recent {
        if let Some((live_id, comment_id)) = comment_id(&sequenced.event)
            && removed.contains(&comment_id)
        {
            sequenced.event = RoomEvent::Removed {
                live_id,
                comment_id,
            };
        }
    }
    Ok(())
}

fn apply_in(room: &RoomAddr, entry: ActionEntry) {
    #[expect(
        clippy::disallowed_methods,
        reason = "streamers and operators are few, and it must arrive"
    )]
    room.do_send(Apply(entry));
}

fn answer_all(waiters: Waiters, located: &Located) {
    for reply in waiters {
        // The receiver may be gone.
        let _ = reply.send(located.clone());
    }
}

impl Actor for Registry {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        self.arm_reconcile(ctx);
    }
}

impl Handler<Locate> for Registry {
    type Result = ();

    fn handle(&mut self, locate: Locate, ctx: &mut Context<Self>) {
        let Locate { live_id, reply } = locate;
        let is_full = self.is_full();
        match self.rooms.get_mut(&live_id) {
            // A room whose thread is gone does not report that it stopped.
            Some(RoomEntry::Open { room, .. }) if room.connected() => {
                let _ = reply.send(Ok(room.clone()));
            }
            Some(RoomEntry::Loading { waiters, .. } | RoomEntry::Stopping { waiters, .. }) => {
                if waiters.len() < WAITING_MAX {
                    waiters.push(reply);
                } else {
                    let _ = reply.send(Err(Reject::BUSY));
                }
            }
            None if is_full => {
                let _ = reply.send(Err(Reject::BUSY));
                self.stop_idle_rooms();
            }
            Some(RoomEntry::Open { .. }) | None => self.load(live_id, vec![reply], ctx),
        }
    }
}

impl Handler<RoomIdle> for Registry {
    type Result = ();

    fn handle(&mut self, idle: RoomIdle, _: &mut Context<Self>) {
        let is_current = |entry: &RoomEntry| matches!(entry, RoomEntry::Open { generation, .. } if *generation == idle.generation);
        if self.rooms.get(&idle.live_id).is_some_and(is_current) {
            self.ask_to_stop(idle.live_id);
        }
    }
}

impl Handler<RoomRetired> for Registry {
    type Result = ();

    fn handle(&mut self, retired: RoomRetired, ctx: &mut Context<Self>) {
        self.forget(retired.live_id, retired.generation, ctx);
    }
}

impl Handler<RoomResumed> for Registry {
    type Result = ();

    fn handle(&mut self, resumed: RoomResumed, _: &mut Context<Self>) {
        let Some(RoomEntry::Stopping { generation, .. }) = self.rooms.get(&resumed.live_id) else {
            return;
        };
        if *generation != resumed.generation {
            return;
        }
        if let Some(RoomEntry::Stopping {
            room,
            generation,
            live,
            waiters,
        }) = self.rooms.remove(&resumed.live_id)
        {
            answer_all(waiters, &Ok(room.clone()));
            self.rooms.insert(
                resumed.live_id,
                RoomEntry::Open {
                    room,
                    generation,
                    live,
                },
            );
        }
    }
}

impl Handler<RoomStopped> for Registry {
    type Result = ();

    fn handle(&mut self, stopped: RoomStopped, ctx: &mut Context<Self>) {
        // A retired room was forgotten when it agreed to stop; what is still known here died.
        if self.forget(stopped.live_id, stopped.generation, ctx) {
            self.deaths_count += 1;
            warn!(
                "room lost: live_id={} deaths={}",
                stopped.live_id, self.deaths_count
            );
        }
    }
}

impl Handler<ControlRoom> for Registry {
    type Result = ();

    fn handle(&mut self, ControlRoom { live_id, control }: ControlRoom, _: &mut Context<Self>) {
        if let Some(room) = self.rooms.get(&live_id).and_then(RoomEntry::room) {
            #[expect(
                clippy::disallowed_methods,
                reason = "operators are few, and it must arrive"
            )]
            room.do_send(ApplyControl(control));
        }
    }
}

impl Handler<ApplyInRoom> for Registry {
    type Result = ();

    fn handle(&mut self, apply: ApplyInRoom, _: &mut Context<Self>) {
        let ApplyInRoom {
            live_id,
            entry,
            reply,
        } = apply;
        let applied = match self.rooms.get_mut(&live_id) {
            Some(RoomEntry::Open { room, .. } | RoomEntry::Stopping { room, .. }) => {
                apply_in(room, entry);
                Applied::InRoom
            }
            // The load may have missed a state. All else it finds in the store and in the room's
            // log.
            Some(RoomEntry::Loading { actions, .. })
                if entry.is_state() && actions.len() < ACTIONS_DEFERRED_MAX =>
            {
                actions.push(entry);
                Applied::Deferred
            }
            Some(RoomEntry::Loading { .. }) | None => Applied::Nowhere,
        };
        // The receiver may have stopped waiting.
        let _ = reply.send(applied);
    }
}

impl Handler<FollowChangedOf> for Registry {
    type Result = ();

    fn handle(&mut self, changed: FollowChangedOf, _: &mut Context<Self>) {
        let FollowChangedOf { streamer, follower } = changed;
        for entry in self.rooms.values() {
            if let RoomEntry::Open { room, live, .. } = entry
                && live.owner() == streamer
            {
                // A full room finds out when it reads that again.
                let _ = room.try_send(FollowChanged { follower });
            }
        }
    }
}

impl Handler<FindRoom> for Registry {
    type Result = ();

    fn handle(&mut self, find: FindRoom, _: &mut Context<Self>) {
        let room = self
            .rooms
            .get(&find.live_id)
            .and_then(RoomEntry::room)
            .cloned();
        // The caller may have stopped waiting.
        let _ = find.reply.send(room);
    }
}

impl Handler<OpenLives> for Registry {
    type Result = ();

    fn handle(&mut self, ask: OpenLives, _: &mut Context<Self>) {
        let lives = self
            .rooms
            .iter()
            .filter_map(|(live_id, entry)| match entry {
                RoomEntry::Open { live, .. } | RoomEntry::Stopping { live, .. } => {
                    Some((*live_id, live.clone()))
                }
                RoomEntry::Loading { .. } => None,
            });
        // The receiver may have stopped waiting.
        let _ = ask.0.send(lives.collect());
    }
}

impl Handler<OpenRooms> for Registry {
    type Result = ();

    fn handle(&mut self, ask: OpenRooms, _: &mut Context<Self>) {
        let open = self
            .rooms
            .iter()
            .filter_map(|(live_id, entry)| Some((*live_id, entry.room()?.clone())));
        // The receiver may have stopped waiting.
        let _ = ask.0.send(open.collect());
    }
}
