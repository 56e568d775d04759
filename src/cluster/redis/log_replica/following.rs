//! A room whose members share the log's epoch with those of other nodes.

use std::collections::VecDeque;

use log::warn;

use crate::cluster::redis::controls::read_control;
use crate::cluster::redis::entries::{
    Answer, Batch, ControlEntry, Cursor, EventId, LogPosition, LoggedEvent,
};
use crate::domain::{Epoch, RoomEvent, Sequenced};
use crate::protocol::read_event;

use super::delivery::Delivery;
use super::question::Question;
use super::waiting::WaitingEntry;
use super::{APPEND_MISSED_MAX, BATCH_MAX, RESYNC_EVENTS_MAX};

/// See [`super::Mode::Following`].
#[derive(Debug)]
pub(super) struct Following {
    origin: u64,
    pub(super) cursor: Cursor,
    /// Entries that no batch has taken, oldest first.
    pub(super) waiting: VecDeque<WaitingEntry>,
    pub(super) own: OwnBatch,
    pub(super) request: Option<RequestKind>,
    /// Messages may have been missed: the log is read before any later event is delivered.
    pub(super) resync_due: bool,
}

/// The entries of this node that the last batch took. The next batch is taken when they are
/// delivered.
#[derive(Debug, Default)]
pub(super) enum OwnBatch {
    #[default]
    Delivered,
    /// Sent, but not answered: it is repeated unchanged, unless the answer is under way.
    Unanswered(Vec<WaitingEntry>),
    /// In the log, after events of others that have not arrived and were too many for the answer. A
    /// resync is due or under way.
    Unordered(Vec<WaitingEntry>),
}

/// The request under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestKind {
    Append,
    Resync,
}

/// The next event cannot be delivered in the shared epoch, or it is unknown which one is next: the
/// room has to be partitioned, and heal.
#[derive(Debug)]
pub(super) struct OrderBroken;

impl OwnBatch {
    fn unordered(entries: Vec<WaitingEntry>) -> Self {
        if entries.is_empty() {
            Self::Delivered
        } else {
            Self::Unordered(entries)
        }
    }

    pub(super) fn entries(&self) -> &[WaitingEntry] {
        match self {
            Self::Delivered => &[],
            Self::Unanswered(entries) | Self::Unordered(entries) => entries,
        }
    }

    fn into_entries(self) -> Vec<WaitingEntry> {
        match self {
            Self::Delivered => Vec::new(),
            Self::Unanswered(entries) | Self::Unordered(entries) => entries,
        }
    }
}

impl Following {
    pub(super) fn new(
        origin: u64,
        cursor: Cursor,
        waiting: VecDeque<WaitingEntry>,
        resync_due: bool,
    ) -> Self {
        Self {
            origin,
            cursor,
            waiting,
            own: OwnBatch::Delivered,
            request: None,
            resync_due,
        }
    }

    /// The cursor, and the entries of this node that were not delivered, oldest first.
    pub(super) fn into_parts(mut self) -> (Cursor, VecDeque<WaitingEntry>) {
        let mut entries = VecDeque::from(self.own.into_entries());
        entries.append(&mut self.waiting);
        (self.cursor, entries)
    }

    pub(super) fn is_at_rest(&self) -> bool {
        self.request.is_none()
            && !self.resync_due
            && self.waiting.is_empty()
            && matches!(self.own, OwnBatch::Delivered)
    }

    /// The oldest entry of this node that was not delivered.
    pub(super) fn oldest_waiting(&self) -> Option<&WaitingEntry> {
        self.own.entries().first().or(self.waiting.front())
    }

    pub(super) fn ask(&mut self, number: u64) -> Option<Question> {
        if self.request.is_some() {
            return None;
        }
        if self.resync_due {
            self.resync_due = false;
            self.request = Some(RequestKind::Resync);
            return Some(Question::resync(number, &self.cursor));
        }
        if matches!(self.own, OwnBatch::Delivered) && !self.waiting.is_empty() {
            let count = self.waiting.len().min(BATCH_MAX);
            self.own = OwnBatch::Unanswered(self.waiting.drain(..count).collect());
        }
        let OwnBatch::Unanswered(batch) = &self.own else {
            return None;
        };
        self.request = Some(RequestKind::Append);
        Some(Question::append(number, &self.cursor, batch))
    }

    pub(super) fn failed(&mut self) {
        match self.request.take() {
            // The outcome is unknown. The batch is repeated.
            Some(RequestKind::Append) | None => {}
            Some(RequestKind::Resync) => self.resync_due = true,
        }
    }

    /// Handles a published batch: delivers it if it is next.
    pub(super) fn published(
        &mut self,
        batch: Batch,
        delivery: &mut Delivery,
    ) -> Result<(), OrderBroken> {
        for preview in &batch.previews {
            delivery.preview(preview.id, read_control(&preview.line));
        }
        if self.resync_due {
            // The resync will return it.
            return Ok(());
        }
        let at = self.cursor.position;
        let is_same_generation = batch.end.generation == at.generation;
        let is_other_log = is_same_generation && batch.epoch != self.cursor.epoch;
        let controls_before = batch
            .controls_count
            .saturating_sub(batch.controls.len() as u64);
        let are_controls_missing = controls_before > self.cursor.controls_count;
        if batch.before == at && !is_other_log && !are_controls_missing {
            self.follow(batch.entries, batch.controls, delivery)?;
            delivery.note_gap(batch.gap);
            self.advance(batch.epoch, batch.end);
            self.count_controls(batch.controls_count);
        } else if batch.end > at || is_other_log || are_controls_missing {
            self.resync_due = true;
        } else {
            // A late message, whose events were delivered; or the log was replaced unnoticed. Its
            // controls may be new: older versions do not count theirs, and so the answer to a batch
            // of this node does not contain them.
            let has_events = !is_same_generation && batch.end.offset > 0;
            self.resync_due |= has_events
                && batch
                    .entries
                    .iter()
                    .any(|entry| !delivery.is_delivered(entry.id));
            delivery.controls(batch.controls);
        }
        Ok(())
    }

    /// Handles the answer to the request under way.
    pub(super) fn answered(
        &mut self,
        answer: Answer,
        delivery: &mut Delivery,
    ) -> Result<(), OrderBroken> {
        let Some(request) = self.request.take() else {
            return Ok(());
        };
        if !answer.same {
            // The log may contain some of the delivered events, anywhere.
            warn!(
                "log of a room was lost or rolled back, a new epoch begins: epoch={}",
                answer.epoch
            );
            return Err(OrderBroken);
        }
        let gap = answer.gap;
        match request {
            RequestKind::Append => self.appended(answer, delivery)?,
            RequestKind::Resync => self.catch_up(answer, delivery)?,
        }
        delivery.note_gap(gap);
        Ok(())
    }

    /// The batch is in the log: delivers the events and controls before it that the answer contains,
    /// and then the batch, if all before it were delivered.
    fn appended(&mut self, answer: Answer, delivery: &mut Delivery) -> Result<(), OrderBroken> {
        // The answer to a batch that was applied before contains none.
        let has_events = answer.missed.len() < APPEND_MISSED_MAX
            && answer.missed.last().map(|last| last.position) == Some(answer.before);
        let has_controls = !answer.controls.is_empty();
        let cursor = self.cursor.position;
        if has_events || (has_controls && cursor == answer.before) {
            let missed = answer.missed.into_iter();
            let missed = missed.filter(|entry| entry.position > cursor);
            let shown = answer.controls.len();
            self.follow(missed, answer.controls, delivery)?;
            if has_controls {
                let known_count = self.cursor.controls_count;
                delivery.check_controls(known_count, shown, answer.controls_count);
                self.count_controls(answer.controls_count);
            }
        }
        let batch = std::mem::take(&mut self.own).into_entries();
        report_known_gifts(&batch, &answer.places, delivery);
        let is_next = self.cursor.position == answer.before
            && self.cursor.controls_count >= answer.controls_count;
        let (mut unordered, mut order) = (Vec::new(), Ok(()));
        for (entry, place) in batch.into_iter().zip(&answer.places) {
            match u64::try_from(*place) {
                // The log had its key.
                Ok(0) => {}
                Ok(offset) if is_next && order.is_ok() => {
                    let position = LogPosition {
                        offset,
                        ..answer.end
                    };
                    let (epoch, id) = (answer.epoch.clone(), entry.id(self.origin));
                    let event = Some(entry.event);
                    order = self.deliver_next(position, epoch, id, |_| event, delivery);
                }
                // Events of others precede it and are on their way; or it was applied before, and
                // the answer does not contain its position.
                _ => unordered.push(entry),
            }
        }
        self.keep_unordered(unordered, delivery);
        order?;
        if is_next {
            self.advance(answer.epoch, answer.end);
        }
        self.resync_due |= matches!(self.own, OwnBatch::Unordered(_));
        Ok(())
    }

    /// Delivers missed events.
    fn catch_up(&mut self, answer: Answer, delivery: &mut Delivery) -> Result<(), OrderBroken> {
        let is_incomplete = answer.missed.len() >= RESYNC_EVENTS_MAX;
        // A batch that was published meanwhile may have arrived before the answer.
        let cursor = self.cursor.position;
        let missed = answer.missed.into_iter();
        let missed = missed.filter(|entry| entry.position > cursor);
        let (known_count, shown) = (self.cursor.controls_count, answer.controls.len());
        let order = self.follow(missed, answer.controls, delivery);
        delivery.check_controls(known_count, shown, answer.controls_count);
        if is_incomplete {
            warn!("more events were missed than the log keeps");
            delivery.events_missed();
        }
        order?;
        if let OwnBatch::Unordered(entries) = &mut self.own {
            let entries = std::mem::take(entries);
            self.keep_unordered(entries, delivery);
            if matches!(self.own, OwnBatch::Unordered(_)) {
                // The log does not contain events of this node that it ordered: it was replaced.
                return Err(OrderBroken);
            }
        }
        if self.cursor.position <= answer.end {
            self.advance(answer.epoch, answer.end);
            self.cursor.controls_count = answer.controls_count;
        }
        Ok(())
    }

    /// Keeps the entries that were not delivered yet: published ones may have been, before their
    /// answer arrived.
    fn keep_unordered(&mut self, mut entries: Vec<WaitingEntry>, delivery: &Delivery) {
        entries.retain(|entry| !delivery.is_delivered(entry.id(self.origin)));
        self.own = OwnBatch::unordered(entries);
    }

    /// Delivers events of the log in their order, and each control after the event it follows.
    /// Stops before an event that cannot be delivered, and with the cursor there.
    fn follow(
        &mut self,
        entries: impl IntoIterator<Item = LoggedEvent>,
        controls: Vec<ControlEntry>,
        delivery: &mut Delivery,
    ) -> Result<(), OrderBroken> {
        let mut controls = controls.into_iter().peekable();
        for entry in entries {
            while let Some(control) = controls.next_if(|control| control.after < entry.position) {
                delivery.control(control.id, read_control(&control.line));
            }
            let LoggedEvent {
                position,
                epoch,
                id,
                line,
            } = entry;
            let event = |following: &Self| {
                let own = following.own_event(id);
                own.or_else(|| read_event(&line).map(|(event, _)| event))
            };
            self.deliver_next(position, epoch, id, event, delivery)?;
        }
        delivery.controls(controls);
        Ok(())
    }

    /// Delivers the next event of the log and moves the cursor to it.
    fn deliver_next(
        &mut self,
        position: LogPosition,
        epoch: Epoch,
        id: EventId,
        event: impl FnOnce(&Self) -> Option<RoomEvent>,
        delivery: &mut Delivery,
    ) -> Result<(), OrderBroken> {
        if !delivery.mark(id) {
            // A replaced log may repeat one. Without it, members would meet a gap.
            return Err(OrderBroken);
        }
        let Some(event) = event(self) else {
            warn!("event of another version not understood: id={id}");
            return Err(OrderBroken);
        };
        delivery.event(Sequenced {
            epoch: epoch.clone(),
            offset: position.offset,
            event,
        });
        self.cursor = Cursor {
            epoch,
            position,
            id: Some(id),
            ..self.cursor
        };
        Ok(())
    }

    /// An event of this node that was published before its answer arrived: it need not be parsed.
    fn own_event(&self, id: EventId) -> Option<RoomEvent> {
        let own = self.own.entries();
        let entry = if id.origin == self.origin {
            let at = own.binary_search_by_key(&id.sequence, |entry| entry.sequence);
            &own[at.ok()?]
        } else if id.is_key() {
            own.iter()
                .find(|entry| entry.action.map(EventId::from) == Some(id))?
        } else {
            return None;
        };
        Some(entry.event.clone())
    }

    /// Moves the cursor to the end of what was read. It may be the beginning of an epoch without
    /// events.
    fn advance(&mut self, epoch: Epoch, position: LogPosition) {
        if self.cursor.position != position {
            self.cursor = Cursor {
                epoch,
                position,
                id: None,
                ..self.cursor
            };
        }
    }

    /// All controls were delivered of which the log had so many.
    fn count_controls(&mut self, controls_count: u64) {
        self.cursor.controls_count = self.cursor.controls_count.max(controls_count);
    }
}

/// Reports gifts that another node announced first.
fn report_known_gifts(batch: &[WaitingEntry], places: &[i64], delivery: &mut Delivery) {
    for (entry, place) in batch.iter().zip(places) {
        if let (0, Some(record_id)) = (place, entry.record()) {
            delivery.gift_known(record_id);
        }
    }
}
