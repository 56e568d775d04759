//! One room's events on one node, from the room into the shared log and from the log to the room's
//! members: a state machine without a connection or a clock.
//!
//! **Opening.** The room reads the newest events of its log, which become its history.
//!
//! **Following.** Events that the room appends are sent to Redis in batches, one at a time, and
//! delivered when they are ordered. Each batch carries the position before it, so a gap is noticed,
//! and read from the log before any later event is delivered.
//!
//! **Partitioned.** When Redis has been away for too long, waiting events are delivered at once, in
//! an epoch of this node's own, and kept as unreplicated. A log that was lost, rolled back to an
//! older state or replaced leads here too: its events may not continue the epoch that members have.
//!
//! **Healing.** When Redis is back, one call of the script appends the unreplicated events to the
//! log, at the start of a new shared epoch, and returns the events of others since, which are
//! delivered in this node's own epoch. Then the room follows again. So members on other nodes
//! receive all unreplicated events, and members here those of the others.
//!
//! | mode | `append` | `published` | `answered` | `failed` | `resync` | `enter_partitioned` | `ask` |
//! |---|---|---|---|---|---|---|---|
//! | opening | waits | recorded if a request is under way | **following** | - | as `published` | **partitioned** | the newest events |
//! | following | waits | the next batch: delivered; a later one, or one behind controls that are missing: a resync is due; an earlier one: its controls are delivered | delivered; **partitioned** if that breaks the order | asked again | a resync is due | **partitioned** | a resync if it is due, else a batch |
//! | partitioned | delivered | ignored: healing reads it | ignored: it is late | ignored | ignored | - | heals: **healing** |
//! | healing | waits | recorded | **following** | **partitioned** | recorded | **partitioned** | - |
//!
//! Bold: the mode that follows. All these transitions are in `mode.rs`. Those that wait are
//! delivered on the way to *partitioned*. Whatever was recorded makes a resync due in *following*, if
//! the answer does not contain it. One request is under way at a time; `ask` returns nothing until
//! it was answered or failed.
//!
//! An example: `e:4` is offset 4 of epoch `e`, `n1.2` the second event of node 1.
//!
//! | at node 1 | members of node 1 receive | mode after it |
//! |---|---|---|
//! | it appends n1.1 and asks | | following e:4, a batch under way |
//! | published after e:4: n2.1 | e:5 n2.1 | following e:5 |
//! | answered: n1.1 is e:6 | e:6 n1.1 | following e:6 |
//! | published after e:7: n2.3 | nothing, e:7 is missing | following e:6, a resync due |
//! | Redis is away; it appends n1.2 | own:1 n1.2 | partitioned own:1, 1 unreplicated |
//! | Redis is back; it asks | | healing |
//! | answered: e:7 n2.2, e:8 n2.3, and n1.2 is f:1 | own:2 n2.2, own:3 n2.3 | following f:1 |
//! | published after f:1: n2.4 | f:2 n2.4 | following f:2 |
//!
//! `tests/order_scripts/*.txt` are more of these, in the same notation.
//!
//! Invariants:
//!
//! 1. An event is delivered at most once, and so is a control, whatever the network does and
//!    whatever data Redis loses. The script appends an event once, by its origin and sequence
//!    number or by the key of its gift or action; the replica keeps the ids of what it delivered.
//! 2. An event is delivered at the offset after [`LogReplica::position`], or at offset 1 of another
//!    epoch. Where a resync is cut short, [`FromLog::EventsMissed`] follows the gap.
//! 3. Events are delivered in the order of the log, except for the own ones of a partition.
//! 4. An own event that was not delivered is in one place: waiting, or in the batch. They are sent
//!    in the order in which they were appended: sequence numbers ascend from the batch to those that
//!    wait.
//! 5. Unreplicated events were delivered, in an own epoch, and precede those that wait.
//! 6. The cursor never moves back.
//! 7. While entries are unordered, a resync is due or under way.
//! 8. There are at most [`BATCH_MAX`] events in a batch and `UNREPLICATED_MAX` unreplicated ones.
//!
//! `invariants.rs` checks 4 to 8 after each step of the tests, which check the others on what a
//! member receives.
//!
//! **Controls** are entries without an offset. A room does not append them:
//! [`Broker::append`](crate::cluster::Broker) does, apart from its batches, until the log has them.
//! They arrive like events, and a resync returns the newest. One that the log could not take is
//! delivered to this node's members at once. The log counts its controls, and the cursor has the
//! number of those that were read, so that a control that precedes an event is delivered before it:
//! the answer to a batch contains the newest controls where the numbers differ, and a batch of
//! others that shows a higher number makes a resync due. Where the log had more since than it
//! keeps, [`FromLog::ControlsMissed`] follows those that it has. Previews are
//! controls that are published and neither kept nor counted
//! ([`Control::is_kept`](crate::domain::Control::is_kept)).

mod delivered_ids;
mod delivery;
mod following;
#[cfg(test)]
mod invariants;
mod mode;
mod opening;
mod partition;
mod question;
mod waiting;

use std::time::{Duration, Instant};

use super::entries::{Answer, Batch};
use crate::cluster::FromLog;
use crate::domain::{
    ActionEntry, EntryContent, EntryKey, Position, RoomEvent, Sequenced, Timestamp,
};

use delivery::Delivery;
use mode::Mode;
use opening::Opening;
use partition::Healing;
use waiting::WaitingEntry;

pub use question::Question;
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
/// Most missed events that the answer to a batch contains: what other nodes appended since a moment
/// ago. Where there are as many, a resync reads them.
const APPEND_MISSED_MAX: usize = 64;
/// Most events that the opening of a room returns: more than any history keeps.
const OPENING_EVENTS_MAX: usize = 2_048;

/// One room's part of the shared log, on one node.
#[derive(Debug)]
pub struct LogReplica {
    /// Identifies this opening of the room on this node.
    origin: u64,
    /// Of the newest entry that the room appended.
    sequence: u64,
    /// Questions asked so far, which is the number of the newest.
    questions_count: u64,
    mode: Mode,
    delivery: Delivery,
}

impl LogReplica {
    /// A room that has not read its log yet.
    pub fn new(origin: u64, opened_at: Timestamp) -> Self {
        Self {
            origin,
            sequence: 0,
            questions_count: 0,
            mode: Mode::Opening(Opening::new(opened_at)),
            delivery: Delivery::default(),
        }
    }

    /// The position after which members receive the next event. `None` before the log was read.
    pub fn position(&self) -> Option<Position> {
        self.mode.position()
    }

    /// Whether members receive events in an epoch of this node's own.
    pub fn is_partitioned(&self) -> bool {
        matches!(self.mode, Mode::Partitioned(_) | Mode::Healing(_))
    }

    /// Events and changes for the room since the last call.
    pub fn take_out(&mut self) -> Vec<FromLog> {
        self.delivery.take_out()
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
            EntryContent::Event(_) if self.delivery.is_action_delivered(key) => {}
            EntryContent::Event(event) => self.enqueue(event, Some(key), at, now),
            EntryContent::Control(control) if control.is_kept() => {
                self.delivery.control(key.into(), Some(control));
            }
            EntryContent::Control(control) => self.delivery.preview(key.into(), Some(control)),
        }
    }

    fn enqueue(&mut self, event: RoomEvent, action: Option<EntryKey>, at: Timestamp, now: Instant) {
        self.sequence += 1;
        let entry = WaitingEntry {
            sequence: self.sequence,
            event,
            action,
            at,
            since: now,
        };
        match &mut self.mode {
            Mode::Opening(opening) => opening.waiting.push_back(entry),
            Mode::Following(following) => following.waiting.push_back(entry),
            Mode::Partitioned(partition) => partition.append(entry, &mut self.delivery),
            Mode::Healing(healing) => healing.waiting.push_back(entry),
        }
    }

    /// Whether no request is due or under way.
    pub fn is_at_rest(&self) -> bool {
        matches!(&self.mode, Mode::Following(following) if following.is_at_rest())
    }

    /// Events of this node that were not delivered yet.
    pub fn waiting_count(&self) -> usize {
        match &self.mode {
            Mode::Opening(opening) => opening.waiting.len(),
            Mode::Following(following) => following.own.entries().len() + following.waiting.len(),
            Mode::Partitioned(_) => 0,
            Mode::Healing(healing) => healing.waiting.len(),
        }
    }

    /// How long the oldest of them waits.
    pub fn waits_for(&self, now: Instant) -> Duration {
        let oldest = match &self.mode {
            Mode::Opening(Opening { waiting, .. }) | Mode::Healing(Healing { waiting, .. }) => {
                waiting.front()
            }
            Mode::Following(following) => following.oldest_waiting(),
            Mode::Partitioned(_) => None,
        };
        oldest.map_or(Duration::ZERO, |oldest| {
            now.saturating_duration_since(oldest.since)
        })
    }

    /// Messages may have been missed: reads the log before any later event is delivered.
    pub fn resync(&mut self) {
        match &mut self.mode {
            Mode::Opening(Opening {
                request: Some(meanwhile),
                ..
            })
            | Mode::Healing(Healing { meanwhile, .. }) => meanwhile.note_messages_lost(),
            Mode::Following(following) => following.resync_due = true,
            // The next question reads all of it.
            Mode::Opening(_) | Mode::Partitioned(_) => {}
        }
    }

    /// Continues without Redis, in an own epoch, until the room heals.
    pub fn enter_partitioned(&mut self) {
        let mode = std::mem::take(&mut self.mode);
        self.mode = mode.partition(self.origin, &mut self.delivery);
    }

    /// The next request, if one is due and none is under way. Its outcome goes to
    /// [`LogReplica::answered`] or [`LogReplica::failed`].
    pub fn ask(&mut self) -> Option<Question> {
        let number = self.questions_count + 1;
        let question = match &mut self.mode {
            Mode::Opening(opening) => opening.ask(number)?,
            Mode::Following(following) => following.ask(number)?,
            Mode::Partitioned(_) => self.begin_healing(number)?,
            Mode::Healing(_) => return None,
        };
        self.questions_count = number;
        Some(question)
    }

    fn begin_healing(&mut self, number: u64) -> Option<Question> {
        let (mode, question) = std::mem::take(&mut self.mode).begin_healing(number);
        self.mode = mode;
        question
    }

    /// The request failed. Its outcome is unknown.
    pub fn failed(&mut self, number: u64) {
        if number != self.questions_count {
            return;
        }
        match &mut self.mode {
            Mode::Opening(opening) => opening.request = None,
            Mode::Following(following) => following.failed(),
            Mode::Healing(_) => self.enter_partitioned(),
            Mode::Partitioned(_) => {}
        }
    }

    /// Handles a published batch.
    pub fn published(&mut self, batch: Batch) {
        match &mut self.mode {
            Mode::Following(following) => {
                if following.published(batch, &mut self.delivery).is_err() {
                    self.enter_partitioned();
                }
            }
            Mode::Opening(Opening {
                request: Some(meanwhile),
                ..
            })
            | Mode::Healing(Healing { meanwhile, .. }) => meanwhile.note_published(&batch),
            // The next question reads all of it.
            Mode::Opening(_) | Mode::Partitioned(_) => {}
        }
    }

    /// Handles the answer to the last request. The first one opens the room: returns the newest
    /// events, which count as delivered, as its history, oldest first and without a gap up to its
    /// position.
    pub fn answered(&mut self, number: u64, answer: Answer) -> Option<Vec<(Sequenced, Timestamp)>> {
        if number != self.questions_count {
            return None;
        }
        if let Mode::Following(following) = &mut self.mode {
            if following.answered(answer, &mut self.delivery).is_err() {
                self.enter_partitioned();
            }
            return None;
        }
        let mode = std::mem::take(&mut self.mode);
        let (mode, history) = mode.read(self.origin, answer, &mut self.delivery);
        self.mode = mode;
        history
    }
}

#[cfg(test)]
mod tests;
