//! A node with as many rooms as it may have open: rooms that nobody is in make way at once, and do
//! not wait until they have been idle for long.

use std::ops::Bound;
use std::time::{Duration, Instant};

use log::warn;

use crate::actors::live_room::StopRoom;
use crate::domain::LiveId;

use super::{Registry, RoomEntry};

/// Rooms that are asked at once whether they are idle. One that is not goes on, and joins of it
/// wait for its answer.
const ASKED_AT_ONCE: usize = 512;

/// Between two times that rooms are asked, however many joins are refused meanwhile.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// Which rooms were asked last, and when.
#[derive(Default)]
pub(super) struct Sweep {
    last_asked: Option<LiveId>,
    at: Option<Instant>,
}

impl Registry {
    pub(super) fn is_full(&self) -> bool {
        self.rooms.len() >= self.services.config.limits.rooms
    }

    /// Asks the next rooms, in id order and from the first again after the last, to stop if they
    /// are idle.
    pub(super) fn stop_idle_rooms(&mut self) {
        let now = Instant::now();
        if self
            .sweep
            .at
            .is_some_and(|at| now.saturating_duration_since(at) < ASK_EVERY)
        {
            return;
        }
        self.sweep.at = Some(now);
        let after = self
            .sweep
            .last_asked
            .map_or(Bound::Unbounded, Bound::Excluded);
        let in_turn = self
            .rooms
            .range((after, Bound::Unbounded))
            .chain(self.rooms.iter());
        let next: Vec<LiveId> = in_turn
            .take(ASKED_AT_ONCE)
            .map(|(live_id, _)| *live_id)
            .collect();
        warn!(
            "joins refused for too many open rooms: rooms={} asked_if_idle={}",
            self.rooms.len(),
            next.len()
        );
        self.sweep.last_asked = next.last().copied();
        for live_id in next {
            self.ask_to_stop(live_id);
        }
    }

    /// Asks an open room to stop if it is idle; one that was asked already is not asked again.
    pub(super) fn ask_to_stop(&mut self, live_id: LiveId) {
        let Some(entry) = self.rooms.get_mut(&live_id) else {
            return;
        };
        let RoomEntry::Open {
            room,
            generation,
            live,
        } = entry
        else {
            return;
        };
        let (room, generation, live) = (room.clone(), *generation, live.clone());
        #[expect(
            clippy::disallowed_methods,
            reason = "one at a time per room, and it must arrive"
        )]
        room.do_send(StopRoom);
        *entry = RoomEntry::Stopping {
            room,
            generation,
            live,
            waiters: Vec::new(),
        };
    }
}
