//! Open rooms are compared with the rows of their lives every few seconds: a room learns of a change
//! even if the node that made it died between its commit and the telling, if the telling got lost, or if
//! somebody changed the row by hand.
//!
//! Never on the path of a command: the registry's part is to list its rooms, which it does without
//! waiting, and rooms hear of differences alone. 10,000 rooms are 20 queries by primary key, one after
//! the other.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use log::info;

use crate::actors::live_room::{HeldLive, LiveChanged};
use crate::domain::LiveId;
use crate::storage::{LiveState, Store, StoreError};

use super::{CompareRooms, Entry, Registry, RoomAddr};

/// Lives of one query.
const CHUNK: usize = 500;

/// A difference counts when it is still there after this. A change on its way to the room arrives within
/// it as a rule, and is not told twice.
const CONFIRM_AFTER: Duration = Duration::from_millis(500);

/// An open room, and what it held before the store was asked.
struct OpenRoom {
    live_id: LiveId,
    room: RoomAddr,
    held: Arc<HeldLive>,
    version: u64,
}

impl Registry {
    /// Compares again when it is time; one comparison follows the other.
    pub(super) fn arm_reconcile(&self, ctx: &mut Context<Self>) {
        ctx.run_later(self.services.config.rooms.reconcile_ms.duration(), |registry, ctx| {
            let compared = reconcile(registry.store.clone(), registry.comparable());
            ctx.spawn(compared.into_actor(registry).map(|compared, registry, ctx| {
                registry.reconcile_log.note(compared);
                registry.arm_reconcile(ctx);
            }));
        });
    }

    fn comparable(&self) -> Vec<OpenRoom> {
        self.rooms.iter().filter_map(|(live_id, entry)| OpenRoom::of(*live_id, entry)).collect()
    }
}

impl Handler<CompareRooms> for Registry {
    type Result = ();

    fn handle(&mut self, CompareRooms(live_ids): CompareRooms, ctx: &mut Context<Self>) {
        let open = |live_id: &LiveId| OpenRoom::of(*live_id, self.rooms.get(live_id)?);
        let rooms: Vec<OpenRoom> = live_ids.iter().filter_map(open).collect();
        if rooms.is_empty() {
            return;
        }
        let compared = reconcile(self.store.clone(), rooms);
        ctx.spawn(compared.into_actor(self).map(|compared, registry, _| registry.reconcile_log.note(compared)));
    }
}

impl OpenRoom {
    fn of(live_id: LiveId, entry: &Entry) -> Option<Self> {
        match entry {
            Entry::Open { room, held, .. } => {
                Some(Self { live_id, room: room.clone(), held: held.clone(), version: held.version()? })
            }
            // These read the row again, or have no members.
            Entry::Loading { .. } | Entry::Stopping { .. } => None,
        }
    }
}

async fn reconcile(store: Arc<dyn Store>, rooms: Vec<OpenRoom>) -> Result<(), StoreError> {
    let differing: Vec<OpenRoom> = differing(&*store, rooms).await?.into_iter().map(|(room, _)| room).collect();
    if differing.is_empty() {
        return Ok(());
    }
    tokio::time::sleep(CONFIRM_AFTER).await;
    for (OpenRoom { live_id, room, version, .. }, row) in self::differing(&*store, differing).await? {
        info!("room differs from its row: live_id={live_id} status={}", row.status.code());
        let changed = LiveChanged { status: row.status, title: row.title, held_version: version };
        // One that is full is told next time.
        let _ = room.try_send(changed);
    }
    Ok(())
}

/// The rooms that still hold what they held before, and whose rows say something else.
async fn differing(store: &dyn Store, mut rooms: Vec<OpenRoom>) -> Result<Vec<(OpenRoom, LiveState)>, StoreError> {
    let mut differing = Vec::new();
    while !rooms.is_empty() {
        let chunk = rooms.split_off(rooms.len().saturating_sub(CHUNK));
        let rows = store.live_states(chunk.iter().map(|room| room.live_id).collect()).await?;
        let mut rows: HashMap<LiveId, LiveState> = rows.into_iter().map(|row| (row.id, row)).collect();
        let with_row = chunk.into_iter().filter_map(|room| rows.remove(&room.live_id).map(|row| (room, row)));
        differing.extend(with_row.filter(|(room, row)| room.held.differs(room.version, row)));
    }
    Ok(differing)
}
