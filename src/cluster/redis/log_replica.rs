//! One room's events on one node, from the room into the shared log and from the log to the room's
//! members: a state machine without a connection or a clock.
//!
//! **Following.** Events that the room appends are sent to Redis in batches, one at a time, and
//! delivered when they are ordered. Each batch carries the position before it, so a gap is noticed,
//! and read from the log before any later event is delivered.
//!
//! **Partitioned.** When Redis has been away for too long, waiting events are delivered at once, in
//! an epoch of this node's own, and kept as unreplicated. When Redis is back the room *heals*: one
//! call of the script appends the unreplicated events to the log, at the start of a new shared
//! epoch, and returns the events of others since, which are delivered in this node's own epoch.
//! Then the room follows again. So no member receives an event twice or meets a gap inside an
//! epoch, and members on other nodes receive all unreplicated events. A log that was lost, or
//! rolled back to an older state, is healed in the same way.
//!
//! Whatever the network does, each event is appended once: the script checks the sequence numbers
//! of each origin, and the keys of gifts and actions, which several nodes may append. And each is
//! delivered once here: the ids of delivered events are kept.
//!
//! **Controls** are entries without an offset. A room does not append them:
//! [`Broker::append`](crate::cluster::Broker) does, apart from its batches, until the log has them.
//! They arrive like events, and a resync returns the newest. One that the log could not take is
//! delivered to this node's members at once.

mod delivered_ids;
mod waiting;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use log::warn;

use super::entries::{
    Answer, Batch, ControlEntry, Cursor, EventId, LogPosition, LoggedEvent, read_control,
};
use crate::cluster::FromLog;
use crate::cluster::memory::new_epoch;
use crate::domain::{
    ActionEntry, Control, EntryContent, EntryKey, Epoch, Position, RoomEvent, Sequenced, Timestamp,
};
use crate::protocol::read_event;

use delivered_ids::DeliveredIds;
use waiting::WaitingEntry;

pub use waiting::AppendArgument;

/// Most events in one batch.
pub const BATCH_MAX: usize = 512;
/// Most unreplicated events of a partitioned room: what the busiest rooms say in some three
/// minutes. Beyond, the oldest comment is dropped first, and the other nodes learn that events are
/// missing. A heal appends all of them in one call of the script, which takes some 10 us for each.
const UNREPLICATED_MAX: usize = 8_192;
/// Most events that a resync returns: all that the log keeps. That is more than a heal appends: as
/// many as this may be only a part of those that were missed.
pub const RESYNC_EVENTS_MAX: usize = UNREPLICATED_MAX + BATCH_MAX;
/// Most events that the opening of a room returns: more than any history keeps.
const OPENING_EVENTS_MAX: usize = 2_048;

/// The next request to Redis. One at a time.
#[derive(Debug)]
pub struct Question {
    /// Returned with the answer, so that a late answer is ignored.
    pub number: u64,
    pub cursor: Option<Cursor>,
    pub renew: bool,
    /// Most missed events to return.
    pub fill: usize,
    /// Events were dropped that other nodes do not have.
    pub is_incomplete: bool,
    pub batch: Vec<AppendArgument>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RequestKind {
    Append,
    Resync,
    Heal,
}

/// One room's part of the shared log, on one node.
#[derive(Debug)]
pub struct LogReplica {
    origin: u64,
    sequence: u64,
    cursor: Option<Cursor>,
    waiting: VecDeque<WaitingEntry>,
    /// The batch that is being appended, or whose outcome is unknown: it is repeated unchanged.
    in_flight: Vec<WaitingEntry>,
    /// Appended after events of others that have not arrived, and delivered after those.
    awaiting_order: Vec<WaitingEntry>,
    request: Option<RequestKind>,
    questions_count: u64,
    must_resync: bool,
    /// The highest published position that could not be followed.
    highest_published: LogPosition,
    opened_at: Timestamp,
    /// This node's own epoch and offset, while the room is partitioned.
    partition: Option<(Epoch, u64)>,
    unreplicated: VecDeque<WaitingEntry>,
    /// Whether events were dropped from the unreplicated ones.
    is_incomplete: bool,
    /// The newest generation with a gap before it that members know of.
    known_gap: u64,
    delivered: DeliveredIds,
    out: Vec<FromLog>,
}

impl LogReplica {
    /// A room that has not read its log yet.
    pub fn new(origin: u64, opened_at: Timestamp) -> Self {
        Self {
            origin,
            sequence: 0,
            cursor: None,
            waiting: VecDeque::new(),
            in_flight: Vec::new(),
            awaiting_order: Vec::new(),
            request: None,
            questions_count: 0,
            must_resync: false,
            highest_published: LogPosition::default(),
            opened_at,
            partition: None,
            unreplicated: VecDeque::new(),
            is_incomplete: false,
            known_gap: 0,
            delivered: DeliveredIds::default(),
            out: Vec::new(),
        }
    }

    /// The position of the last delivered event. `None` before the log was read.
    pub fn position(&self) -> Option<Position> {
        match (&self.partition, &self.cursor) {
            (Some((epoch, offset)), _) => Some(Position {
                epoch: epoch.clone(),
                offset: *offset,
            }),
            (None, Some(cursor)) => Some(Position {
                epoch: cursor.epoch.clone(),
                offset: cursor.position.offset,
            }),
            (None, None) => None,
        }
    }

    pub fn is_partitioned(&self) -> bool {
        self.partition.is_some()
    }

    /// Events and changes for the room since the last call.
    pub fn take_out(&mut self) -> Vec<FromLog> {
        std::mem::take(&mut self.out)
    }

    /// Appends an event of this node.
    pub fn append(&mut self, event: RoomEvent, at: Timestamp, now: Instant) {
        self.enqueue(event, None, at, now);
    }

    /// Appends the entry of an action, unless it was delivered before. A control is delivered at
    /// once.
    pub fn append_action(&mut self, entry: ActionEntry, at: Timestamp, now: Instant) {
        let key = entry.key();
        match entry.content {
            EntryContent::Event(_) if self.delivered.contains(key.into()) => {}
            EntryContent::Event(event) => self.enqueue(event, Some(key), at, now),
            EntryContent::Control(control) => self.deliver_control(key.into(), Some(control)),
        }
    }

    fn enqueue(&mut self, event: RoomEvent, action: Option<EntryKey>, at: Timestamp, now: Instant) {
        self.sequence += 1;
        let waiting = WaitingEntry {
            sequence: self.sequence,
            event,
            action,
            at,
            since: now,
        };
        // While the room heals, new events wait for the outcome: they belong to the new epoch.
        if self.partition.is_some() && self.request != Some(RequestKind::Heal) {
            self.deliver_partitioned(waiting);
        } else {
            self.waiting.push_back(waiting);
        }
    }

    /// Whether no request is due or under way.
    pub fn is_at_rest(&self) -> bool {
        self.cursor.is_some()
            && self.request.is_none()
            && !self.must_resync
            && self.partition.is_none()
            && self.waiting.is_empty()
            && self.in_flight.is_empty()
    }

    /// Events that are not ordered yet.
    pub fn waiting_count(&self) -> usize {
        self.waiting.len() + self.in_flight.len()
    }

    /// How long the oldest of them waits.
    pub fn waits_for(&self, now: Instant) -> Duration {
        let oldest = self.in_flight.first().or(self.waiting.front());
        oldest.map_or(Duration::ZERO, |oldest| {
            now.saturating_duration_since(oldest.since)
        })
    }

    /// Events may have been missed: reads the log next.
    pub fn resync(&mut self) {
        self.must_resync = true;
    }

    /// Continues without Redis, in an own epoch, until the room heals.
    pub fn enter_partitioned(&mut self) {
        if self.partition.is_none() {
            self.partition = Some((new_epoch(), 0));
        }
        // A late answer is ignored: healing finds out what was appended.
        self.request = None;
        let left = self
            .awaiting_order
            .drain(..)
            .chain(self.in_flight.drain(..))
            .chain(self.waiting.drain(..));
        for waiting in left.collect::<Vec<_>>() {
            self.deliver_partitioned(waiting);
        }
    }

    fn deliver_partitioned(&mut self, waiting: WaitingEntry) {
        if !self.delivered.insert(waiting.id(self.origin)) {
            // It was published and delivered then; only the answer did not arrive.
            return;
        }
        self.delivered.insert_gift(&waiting.event);
        self.deliver_in_own_epoch(waiting.event.clone());
        if self.unreplicated.len() == UNREPLICATED_MAX {
            let comment = self.unreplicated.iter().position(WaitingEntry::is_comment);
            self.unreplicated.remove(comment.unwrap_or(0));
            self.is_incomplete = true;
        }
        self.unreplicated.push_back(waiting);
    }

    fn deliver_in_own_epoch(&mut self, event: RoomEvent) {
        let Some((epoch, offset)) = &mut self.partition else {
            return;
        };
        *offset += 1;
        let sequenced = Sequenced {
            epoch: epoch.clone(),
            offset: *offset,
            event,
        };
        self.deliver(sequenced);
    }

    fn deliver(&mut self, sequenced: Sequenced) {
        match self.out.last_mut() {
            Some(FromLog::Ordered(events)) => events.push(sequenced),
            _ => self.out.push(FromLog::Ordered(vec![sequenced])),
        }
    }

    /// The next request, if one is due and none is under way. Its outcome goes to
    /// [`LogReplica::answered`] or [`LogReplica::failed`].
    pub fn ask(&mut self) -> Option<Question> {
        if self.request.is_some() {
            return None;
        }
        self.questions_count += 1;
        let cursor = self.cursor.clone();
        let question = |renew, fill, batch| Question {
            number: self.questions_count,
            cursor: cursor.clone(),
            renew,
            fill,
            is_incomplete: self.is_incomplete,
            batch,
        };
        if self.partition.is_some() {
            self.request = Some(RequestKind::Heal);
            let batch = self
                .unreplicated
                .iter()
                .map(WaitingEntry::argument)
                .collect();
            return Some(question(true, RESYNC_EVENTS_MAX, batch));
        }
        if self.must_resync || cursor.is_none() {
            self.must_resync = false;
            self.request = Some(RequestKind::Resync);
            let fill = if cursor.is_none() {
                OPENING_EVENTS_MAX
            } else {
                RESYNC_EVENTS_MAX
            };
            return Some(question(false, fill, Vec::new()));
        }
        if self.in_flight.is_empty() {
            self.in_flight = self
                .waiting
                .drain(..self.waiting.len().min(BATCH_MAX))
                .collect();
        }
        if self.in_flight.is_empty() {
            return None;
        }
        self.request = Some(RequestKind::Append);
        let batch = self.in_flight.iter().map(WaitingEntry::argument).collect();
        Some(question(false, 0, batch))
    }

    /// The request failed.
    pub fn failed(&mut self, number: u64) {
        if number != self.questions_count {
            return;
        }
        match self.request.take() {
            // Its outcome is unknown. It is repeated, or resolved by healing.
            Some(RequestKind::Append) | None => {}
            Some(RequestKind::Resync) => self.must_resync = true,
            Some(RequestKind::Heal) => self.enter_partitioned(),
        }
    }

    /// Handles a published batch.
    pub fn published(&mut self, batch: Batch) {
        let is_lost = self.must_resync || self.partition.is_some();
        let Some(cursor) = self.cursor.as_ref().filter(|_| !is_lost) else {
            // The resync under way may or may not contain it.
            self.highest_published = self.highest_published.max(batch.end);
            return;
        };
        if batch.before == cursor.position {
            self.follow_all(batch.entries, batch.controls);
            self.note_gap(batch.gap);
            let id = self
                .cursor
                .as_ref()
                .filter(|cursor| cursor.position == batch.end)
                .and_then(|cursor| cursor.id);
            self.cursor = Some(Cursor {
                epoch: batch.epoch,
                position: batch.end,
                id,
            });
        } else if batch.end > cursor.position
            || (batch.end.generation == cursor.position.generation && batch.epoch != cursor.epoch)
        {
            self.must_resync = true;
        } else if batch.end.generation < cursor.position.generation && batch.end.offset > 0 {
            // A late message of an earlier epoch, or the log was replaced unnoticed.
            self.must_resync |= batch
                .entries
                .iter()
                .any(|entry| !self.delivered.contains(entry.id));
            self.deliver_controls(batch.controls);
        } else {
            // The answer to a batch of this node was faster than the control before it.
            self.deliver_controls(batch.controls);
        }
    }

    /// Delivers the events of the shared log in their order, and each control after the event it
    /// follows.
    fn follow_all(&mut self, entries: Vec<LoggedEvent>, controls: Vec<ControlEntry>) {
        let mut controls = controls.into_iter().peekable();
        for entry in entries {
            while let Some(control) = controls.next_if(|control| control.after < entry.position) {
                self.deliver_control(control.id, read_control(&control.line));
            }
            self.follow(entry, None);
        }
        self.deliver_controls(controls);
    }

    fn deliver_controls(&mut self, controls: impl IntoIterator<Item = ControlEntry>) {
        for control in controls {
            self.deliver_control(control.id, read_control(&control.line));
        }
    }

    /// Delivers a control, unless it was delivered before. `None`: one that only later versions
    /// know.
    fn deliver_control(&mut self, id: EventId, control: Option<Control>) {
        if !self.delivered.insert_control(id) {
            return;
        }
        match control {
            Some(control) => self.out.push(FromLog::Control(control)),
            None => warn!("control of a later version ignored: id={id}"),
        }
    }

    /// Handles the answer to the last request.
    pub fn answered(&mut self, number: u64, answer: Answer) {
        if number != self.questions_count {
            return;
        }
        let Some(request) = self.request.take() else {
            return;
        };
        self.apply_answer(request, answer);
        self.resync_if_behind_published();
    }

    /// Resyncs once more if a batch was published while the answer was on its way.
    fn resync_if_behind_published(&mut self) {
        let highest_published = std::mem::take(&mut self.highest_published);
        self.must_resync |= self
            .cursor
            .as_ref()
            .is_some_and(|cursor| cursor.position < highest_published);
    }

    /// Reports that events were dropped that this node's members have not received.
    fn note_gap(&mut self, gap: u64) {
        if gap > self.known_gap {
            self.known_gap = gap;
            self.out.push(FromLog::EventsMissed);
        }
    }

    fn apply_answer(&mut self, request: RequestKind, answer: Answer) {
        let gap = answer.gap;
        match request {
            RequestKind::Heal => self.healed(answer),
            _ if !answer.same => {
                // The log may contain some of the delivered events, anywhere. So the room heals as
                // after a partition: it delivers new events in an epoch of its own, and begins a
                // shared one.
                warn!(
                    "log of a room was lost or rolled back, a new epoch begins: epoch={}",
                    answer.epoch
                );
                self.enter_partitioned();
            }
            RequestKind::Resync => {
                self.catch_up(answer.missed, answer.controls);
                self.drop_delivered();
                if self.awaiting_order.is_empty() {
                    // A batch published after the resync may have arrived before its answer.
                    if self
                        .cursor
                        .as_ref()
                        .is_none_or(|cursor| cursor.position <= answer.end)
                    {
                        self.set_cursor(answer.epoch, answer.end, None);
                    }
                } else {
                    // Ordered events of this node are missing: the log was replaced.
                    self.enter_partitioned();
                }
            }
            RequestKind::Append => self.appended(answer),
        }
        if self.partition.is_none() {
            self.note_gap(gap);
        }
    }

    fn appended(&mut self, answer: Answer) {
        let own = std::mem::take(&mut self.in_flight);
        self.report_known_gifts(&own, &answer.places);
        let is_next = self
            .cursor
            .as_ref()
            .is_some_and(|cursor| cursor.position == answer.before);
        let mut last = None;
        for (waiting, position) in own.into_iter().zip(&answer.places) {
            match u64::try_from(*position) {
                Ok(0) => {}
                Ok(offset) if is_next => {
                    let id = waiting.id(self.origin);
                    let position = LogPosition {
                        offset,
                        ..answer.end
                    };
                    let entry = LoggedEvent {
                        position,
                        epoch: answer.epoch.clone(),
                        id,
                        line: String::new(),
                    };
                    self.follow(entry, Some(waiting.event));
                    last = Some(id);
                }
                // Events of others precede it and are on their way; or it was applied before, and
                // the answer does not contain its position.
                _ => self.awaiting_order.push(waiting),
            }
        }
        if is_next {
            self.set_cursor(answer.epoch, answer.end, last);
        }
        self.drop_delivered();
        self.must_resync |= !self.awaiting_order.is_empty();
    }

    /// Drops events that were published, and delivered, before their answer arrived.
    fn drop_delivered(&mut self) {
        let (origin, delivered) = (self.origin, &self.delivered);
        self.awaiting_order
            .retain(|own| !delivered.contains(own.id(origin)));
    }

    /// Reports gifts that another node announced first.
    fn report_known_gifts(&mut self, own: &[WaitingEntry], places: &[i64]) {
        for (waiting, position) in own.iter().zip(places) {
            if let (0, Some(record_id)) = (position, waiting.record()) {
                self.out.push(FromLog::GiftKnown(record_id, None));
            }
        }
    }

    fn healed(&mut self, answer: Answer) {
        let last = std::mem::take(&mut self.unreplicated)
            .back()
            .map(|last| last.id(self.origin));
        // A room that was opened while partitioned does not deliver earlier events.
        let since = if self.cursor.is_some() {
            Timestamp(i64::MIN)
        } else {
            self.opened_at
        };
        for entry in &answer.missed {
            if self.delivered.insert(entry.id)
                && let Some((event, at)) = read_event(&entry.line)
                && at >= since
                && self.delivered.insert_gift(&event)
            {
                self.deliver_in_own_epoch(event);
            }
        }
        self.deliver_controls(answer.controls);
        if self.has_lost(&answer.missed) {
            self.out.push(FromLog::EventsMissed);
        }
        if std::mem::take(&mut self.is_incomplete) && answer.gap == answer.end.generation {
            // Members here have received what was dropped.
            self.known_gap = answer.gap;
        }
        self.partition = None;
        let placed_last = answer.places.last().is_some_and(|position| *position > 0);
        let id = last.filter(|_| placed_last);
        self.cursor = Some(Cursor {
            epoch: answer.epoch,
            position: answer.end,
            id,
        });
    }

    /// Delivers missed events.
    fn catch_up(&mut self, missed: Vec<LoggedEvent>, controls: Vec<ControlEntry>) {
        let cursor = self.cursor.as_ref().map(|cursor| cursor.position);
        let is_lost = self.has_lost(&missed);
        let missed = missed
            .into_iter()
            .filter(|entry| cursor.is_none_or(|cursor| entry.position > cursor));
        self.follow_all(missed.collect(), controls);
        if is_lost {
            warn!("more events were missed than the log keeps");
            self.out.push(FromLog::EventsMissed);
        }
    }

    /// Whether the log may have kept fewer events than this node missed.
    fn has_lost(&self, missed: &[LoggedEvent]) -> bool {
        self.cursor.is_some() && missed.len() >= RESYNC_EVENTS_MAX
    }

    /// Delivers an event of the shared log, unless it was delivered before: a replaced log may
    /// repeat one. Members would meet a gap then, so the room is partitioned until it heals.
    fn follow(&mut self, entry: LoggedEvent, own: Option<RoomEvent>) {
        if self.delivered.insert(entry.id) {
            let own = own.or_else(|| self.in_flight_event(entry.id));
            match own.or_else(|| read_event(&entry.line).map(|(event, _)| event)) {
                Some(event) if self.partition.is_some() => self.deliver_in_own_epoch(event),
                Some(event) => {
                    self.deliver(Sequenced {
                        epoch: entry.epoch.clone(),
                        offset: entry.position.offset,
                        event,
                    });
                }
                None => {
                    warn!("event of another version not understood: id={}", entry.id);
                    self.enter_partitioned();
                }
            }
        } else {
            self.enter_partitioned();
        }
        self.cursor = Some(Cursor {
            epoch: entry.epoch,
            position: entry.position,
            id: Some(entry.id),
        });
    }

    /// An event of this node that was published before its answer arrived: it need not be parsed.
    fn in_flight_event(&self, id: EventId) -> Option<RoomEvent> {
        let at = if id.origin == self.origin {
            self.in_flight
                .binary_search_by_key(&id.sequence, |waiting| waiting.sequence)
                .ok()?
        } else if id.is_key() {
            self.in_flight
                .iter()
                .position(|waiting| waiting.action.map(EventId::from) == Some(id))?
        } else {
            return None;
        };
        Some(self.in_flight[at].event.clone())
    }

    /// Sets the cursor, with the id of the event there if it is known.
    fn set_cursor(&mut self, epoch: Epoch, position: LogPosition, last: Option<EventId>) {
        let before = self.cursor.take();
        let id = last.or_else(|| {
            before
                .filter(|cursor| cursor.position == position)
                .and_then(|cursor| cursor.id)
        });
        self.cursor = Some(Cursor {
            epoch,
            position,
            id,
        });
    }

    /// Opens the room with the first answer: the newest events count as delivered. Returns them as
    /// the room's history, oldest first and without a gap up to its position.
    pub fn open(&mut self, answer: Answer) -> Vec<(Sequenced, Timestamp)> {
        self.request = None;
        let mut past: Vec<(Sequenced, Timestamp)> = Vec::new();
        let mut expected = answer.end.offset;
        for entry in answer.missed.iter().rev() {
            self.delivered.insert(entry.id);
            if entry.epoch == answer.epoch
                && entry.position.offset == expected
                && let Some((event, at)) = read_event(&entry.line)
            {
                past.push((
                    Sequenced {
                        epoch: entry.epoch.clone(),
                        offset: entry.position.offset,
                        event,
                    },
                    at,
                ));
                expected -= 1;
            }
        }
        past.reverse();
        // The room had no members here when they were appended.
        for control in answer.controls {
            self.delivered.insert_control(control.id);
        }
        self.known_gap = answer.gap;
        let id = answer
            .missed
            .last()
            .filter(|last| last.position == answer.end)
            .map(|last| last.id);
        self.cursor = Some(Cursor {
            epoch: answer.epoch,
            position: answer.end,
            id,
        });
        self.resync_if_behind_published();
        past
    }
}

#[cfg(test)]
mod tests;
