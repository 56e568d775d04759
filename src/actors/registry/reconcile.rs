//! Open rooms are compared with the rows of their lives every few seconds, and when the change feed
//! names them: a room learns of a
//! change even if the node that made it died before it published it, if the message got lost, or if
//! an operator changed the row by hand.
//!
//! Never on the path of a command: the registry's part is to list its rooms, which it does without
//! waiting, and notifies rooms of differences alone. 10,000 rooms are 20 queries by primary key,
//! one after the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use log::{debug, info};

use crate::actors::live_room::{LiveChanged, LiveRoom, ModesRead, StandingsRead, VersionedLive};
use crate::clock::Clock;
use crate::domain::LiveId;
use crate::storage::{LiveState, Store, StoreError};

use super::{CompareRooms, CompareRoomsOf, Registry, RoomAddr, RoomEntry};

/// Lives of one query.
const CHUNK: usize = 500;

/// A difference counts when it is still there after this. A change on its way to the room arrives
/// within it as a rule, and is not applied twice.
const CONFIRM_AFTER: Duration = Duration::from_millis(500);

/// An open room, and the version of its live before the store was asked.
struct OpenRoom {
    live_id: LiveId,
    room: RoomAddr,
    live: Arc<VersionedLive>,
    version: u64,
}

impl Registry {
    /// Compares again when it is time; one comparison follows the other.
    pub(super) fn arm_reconcile(&self, ctx: &mut Context<Self>) {
        ctx.run_later(
            self.services.config.rooms.reconcile_ms.duration(),
            |registry, ctx| {
                let clock = registry.services.clock.clone();
                let compared = reconcile(registry.store.clone(), clock, registry.comparable());
                ctx.spawn(
                    compared
                        .into_actor(registry)
                        .map(|compared, registry, ctx| {
                            registry.reconcile_log.note(compared);
                            registry.arm_reconcile(ctx);
                        }),
                );
            },
        );
    }

    fn comparable(&self) -> Vec<OpenRoom> {
        self.rooms
            .iter()
            .filter_map(|(live_id, entry)| OpenRoom::of(*live_id, entry))
            .collect()
    }
}

impl Handler<CompareRooms> for Registry {
    type Result = ();

    fn handle(&mut self, CompareRooms(live_ids): CompareRooms, ctx: &mut Context<Self>) {
        let open = |live_id: &LiveId| OpenRoom::of(*live_id, self.rooms.get(live_id)?);
        let rooms: Vec<OpenRoom> = live_ids.iter().filter_map(open).collect();
        self.compare(rooms, ctx);
    }
}

impl Handler<CompareRoomsOf> for Registry {
    type Result = ();

    fn handle(&mut self, CompareRoomsOf(streamers): CompareRoomsOf, ctx: &mut Context<Self>) {
        let mut rooms = self.comparable();
        rooms.retain(|room| streamers.contains(&room.live.owner()));
        self.compare(rooms, ctx);
    }
}

impl Registry {
    fn compare(&self, rooms: Vec<OpenRoom>, ctx: &mut Context<Self>) {
        if rooms.is_empty() {
            return;
        }
        let compared = reconcile(self.store.clone(), self.services.clock.clone(), rooms);
        ctx.spawn(
            compared
                .into_actor(self)
                .map(|compared, registry, _| registry.reconcile_log.note(compared)),
        );
    }
}

impl OpenRoom {
    fn of(live_id: LiveId, entry: &RoomEntry) -> Option<Self> {
        match entry {
            RoomEntry::Open { room, live, .. } => Some(Self {
                live_id,
                room: room.clone(),
                live: live.clone(),
                version: live.version()?,
            }),
            // These read the row again, or have no members.
            RoomEntry::Loading { .. } | RoomEntry::Stopping { .. } => None,
        }
    }
}

async fn reconcile(
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    rooms: Vec<OpenRoom>,
) -> Result<(), StoreError> {
    let differing: Vec<OpenRoom> = differing(&*store, &*clock, rooms)
        .await?
        .into_iter()
        .map(|(room, _)| room)
        .collect();
    if differing.is_empty() {
        return Ok(());
    }
    tokio::time::sleep(CONFIRM_AFTER).await;
    for (
        OpenRoom {
            live_id,
            room,
            version,
            ..
        },
        row,
    ) in self::differing(&*store, &*clock, differing).await?
    {
        info!(
            "room differs from its row: live_id={live_id} status={}",
            row.status.code()
        );
        let changed = LiveChanged {
            status: row.status,
            title: row.title,
            live_version: version,
        };
        // A room whose mailbox is full is notified next time.
        let _ = room.try_send(changed);
    }
    Ok(())
}

/// The rooms whose lives are unchanged since then, and whose rows differ from them. Rooms that lack
/// changes of standings or modes get them on the way: what has a number need not be confirmed.
async fn differing(
    store: &dyn Store,
    clock: &dyn Clock,
    mut rooms: Vec<OpenRoom>,
) -> Result<Vec<(OpenRoom, LiveState)>, StoreError> {
    let mut differing = Vec::new();
    while !rooms.is_empty() {
        let chunk = rooms.split_off(rooms.len().saturating_sub(CHUNK));
        let rows = store
            .live_states(chunk.iter().map(|room| room.live_id).collect())
            .await?;
        let mut rows: HashMap<LiveId, LiveState> =
            rows.into_iter().map(|row| (row.id, row)).collect();
        for room in chunk {
            let Some(row) = rows.remove(&room.live_id) else {
                continue;
            };
            if room.live.lacks_standings(&row)
                && let Some(read) = store.standings(room.live_id, clock.now()).await?
            {
                hand_over(&room, "standings", read.version, StandingsRead(read));
            }
            if room.live.lacks_modes(&row)
                && let Some(read) = store.modes(room.live_id).await?
            {
                hand_over(&room, "modes", read.version, ModesRead(read));
            }
            if room.live.differs(room.version, &row) {
                differing.push((room, row));
            }
        }
    }
    Ok(differing)
}

/// Gives a room what was read of the store.
fn hand_over<M>(OpenRoom { live_id, room, .. }: &OpenRoom, what: &str, version: u64, read: M)
where
    M: Message<Result = ()> + Send + 'static,
    LiveRoom: Handler<M>,
{
    debug!("{what} read again: live_id={live_id} version={version}");
    #[expect(
        clippy::disallowed_methods,
        reason = "one comparison follows the other, and it must arrive"
    )]
    room.do_send(read);
}
