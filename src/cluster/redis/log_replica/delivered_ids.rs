//! What a room has delivered, so that it delivers nothing twice.

use crate::cluster::redis::entries::EventId;
use crate::domain::{BoundedMap, GiftRecordId, RoomEvent};

use super::{RESYNC_EVENTS_MAX, UNREPLICATED_MAX};

/// Ids of delivered events that are kept: twice what a resync returns, because it may return events
/// that were delivered before others.
const DELIVERED_MAX: usize = 2 * RESYNC_EVENTS_MAX;
/// Ids of delivered controls that are kept: more than the log keeps.
const CONTROLS_MAX: usize = 256;
/// Ids of delivered previews that are kept. The log publishes each once, so this is for those that
/// this node delivered before the log took them.
const PREVIEWS_MAX: usize = 1_024;
/// Gifts that are kept: as many as can be delivered before the log has them.
const GIFTS_MAX: usize = UNREPLICATED_MAX;

/// Ids of the newest delivered events, and the gifts delivered while partitioned, which another
/// node may have announced too.
#[derive(Debug)]
pub(super) struct DeliveredIds {
    ids: BoundedMap<EventId, ()>,
    controls: BoundedMap<EventId, ()>,
    previews: BoundedMap<EventId, ()>,
    gifts: BoundedMap<GiftRecordId, ()>,
}

impl Default for DeliveredIds {
    fn default() -> Self {
        Self {
            ids: BoundedMap::new(DELIVERED_MAX),
            controls: BoundedMap::new(CONTROLS_MAX),
            previews: BoundedMap::new(PREVIEWS_MAX),
            gifts: BoundedMap::new(GIFTS_MAX),
        }
    }
}

impl DeliveredIds {
    pub(super) fn contains(&self, id: EventId) -> bool {
        self.ids.contains_key(&id)
    }

    /// False if it was delivered before.
    pub(super) fn insert(&mut self, id: EventId) -> bool {
        if self.contains(id) {
            return false;
        }
        self.ids.insert(id, ());
        true
    }

    /// False for a control that was delivered before.
    pub(super) fn insert_control(&mut self, id: EventId) -> bool {
        if self.controls.contains_key(&id) {
            return false;
        }
        self.controls.insert(id, ());
        true
    }

    /// False for a preview that was delivered before.
    pub(super) fn insert_preview(&mut self, id: EventId) -> bool {
        if self.previews.contains_key(&id) {
            return false;
        }
        self.previews.insert(id, ());
        true
    }

    /// False for a gift that was delivered before.
    pub(super) fn insert_gift(&mut self, event: &RoomEvent) -> bool {
        let RoomEvent::Gift { receipt, .. } = event else {
            return true;
        };
        if self.gifts.contains_key(&receipt.record_id) {
            return false;
        }
        self.gifts.insert(receipt.record_id, ());
        true
    }
}
