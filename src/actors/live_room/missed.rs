//! Has a room read again from the store what it missed in its log.

use std::time::Duration;

use actix::prelude::*;
use log::{debug, warn};

use crate::domain::KICKS_KNOWN_MS;

use super::LiveRoom;

/// Time until a reading that failed is tried again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// The reading of what was missed. There is one at a time.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum MissedReading {
    #[default]
    None,
    UnderWay,
    /// More was missed since it began.
    Outdated,
}

impl LiveRoom {
    /// Entries of the log are missing that it does not have any more.
    pub(super) fn read_missed(&mut self, ctx: &mut Context<Self>) {
        if self.missed_reading != MissedReading::None {
            self.missed_reading = MissedReading::Outdated;
            return;
        }
        self.missed_reading = MissedReading::UnderWay;
        let (store, live_id) = (self.services.store.clone(), self.live_id);
        let kicks_since = self.now().plus_ms(-KICKS_KNOWN_MS);
        let read = async move { store.missed_entries(live_id, kicks_since).await };
        ctx.spawn(read.into_actor(self).map(|read, room, ctx| {
            let reading = std::mem::take(&mut room.missed_reading);
            match read {
                Ok(missed) => {
                    debug!("missed entries read: live_id={}", room.live_id);
                    let effects = room.room.missed_read(missed, room.now());
                    room.perform(effects);
                    if reading == MissedReading::Outdated {
                        room.read_missed(ctx);
                    }
                }
                Err(error) => {
                    let live_id = room.live_id;
                    warn!("missed entries not read: live_id={live_id} error={error}");
                    ctx.run_later(AGAIN_AFTER, |room, ctx| room.read_missed(ctx));
                }
            }
            room.settle(ctx);
        }));
    }
}
