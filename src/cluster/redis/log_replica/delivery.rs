//! What a replica hands to its room, each item once, whatever its mode.

use log::warn;

use crate::cluster::FromLog;
use crate::cluster::redis::controls::read_control;
use crate::cluster::redis::entries::{ControlEntry, EventId};
use crate::domain::{Control, EntryKey, GiftRecordId, RoomEvent, Sequenced};

use super::delivered_ids::DeliveredIds;

/// The items for the room, and what is known to have been delivered.
#[derive(Debug, Default)]
pub(super) struct Delivery {
    delivered: DeliveredIds,
    /// The newest generation with a gap before it that members know of.
    known_gap: u64,
    out: Vec<FromLog>,
}

impl Delivery {
    /// The items since the last call.
    pub(super) fn take_out(&mut self) -> Vec<FromLog> {
        std::mem::take(&mut self.out)
    }

    pub(super) fn is_delivered(&self, id: EventId) -> bool {
        self.delivered.contains(id)
    }

    pub(super) fn is_action_delivered(&self, key: EntryKey) -> bool {
        self.is_delivered(key.into())
    }

    /// Counts an event as delivered. False if it was before.
    pub(super) fn mark(&mut self, id: EventId) -> bool {
        self.delivered.insert(id)
    }

    /// Counts a gift as delivered, which several nodes may have appended while partitioned. False
    /// if it was before; true for an event that is no gift.
    pub(super) fn mark_gift(&mut self, event: &RoomEvent) -> bool {
        self.delivered.insert_gift(event)
    }

    /// Counts a control as delivered.
    pub(super) fn mark_control(&mut self, id: EventId) {
        self.delivered.insert_control(id);
    }

    /// Delivers an event. The caller has marked it.
    pub(super) fn event(&mut self, sequenced: Sequenced) {
        match self.out.last_mut() {
            Some(FromLog::Ordered(events)) => events.push(sequenced),
            _ => self.out.push(FromLog::Ordered(vec![sequenced])),
        }
    }

    /// Delivers a control, unless it was delivered before. `None`: one that only later versions
    /// know.
    pub(super) fn control(&mut self, id: EventId, control: Option<Control>) {
        if self.delivered.insert_control(id) {
            self.deliver_control(id, control);
        }
    }

    /// As [`Delivery::control`], for one that the log does not keep.
    pub(super) fn preview(&mut self, id: EventId, control: Option<Control>) {
        if self.delivered.insert_preview(id) {
            self.deliver_control(id, control);
        }
    }

    fn deliver_control(&mut self, id: EventId, control: Option<Control>) {
        match control {
            Some(control) => self.out.push(FromLog::Control(control)),
            None => warn!("control of a later version ignored: id={id}"),
        }
    }

    /// Delivers the controls among these that were not delivered before.
    pub(super) fn controls(&mut self, controls: impl IntoIterator<Item = ControlEntry>) {
        for control in controls {
            self.control(control.id, read_control(&control.line));
        }
    }

    /// Reports a gift of this node that another node announced first.
    pub(super) fn gift_known(&mut self, record_id: GiftRecordId) {
        self.out.push(FromLog::GiftKnown(record_id, None));
    }

    /// Reports that events are missing which the log does not have.
    pub(super) fn events_missed(&mut self) {
        self.out.push(FromLog::EventsMissed);
    }

    /// Reports controls that are missing, after an answer that shows so many of the log's: it has
    /// had more since `known_count` of them than it keeps.
    pub(super) fn check_controls(&mut self, known_count: u64, shown: usize, count: u64) {
        if count.saturating_sub(known_count) > shown as u64 {
            warn!("more controls were missed than the log keeps: known={known_count} now={count}");
            self.out.push(FromLog::ControlsMissed);
        }
    }

    /// Notes the newest generation before which events were dropped. Members that do not know of it
    /// are missing those events.
    pub(super) fn note_gap(&mut self, gap: u64) {
        if gap > self.known_gap {
            self.known_gap = gap;
            self.events_missed();
        }
    }

    /// As [`Delivery::note_gap`], for a gap that no member here is affected by.
    pub(super) fn skip_gap(&mut self, gap: u64) {
        self.known_gap = self.known_gap.max(gap);
    }
}
