//! A room without Redis, in an epoch of this node's own.

use std::collections::VecDeque;

use crate::cluster::memory::new_epoch;
use crate::cluster::redis::entries::{Answer, Cursor, LoggedEvent};
use crate::domain::{Epoch, Position, RoomEvent, Sequenced, Timestamp};
use crate::protocol::read_event;

use super::delivery::Delivery;
use super::opening::Meanwhile;
use super::question::Question;
use super::waiting::WaitingEntry;
use super::{RESYNC_EVENTS_MAX, UNREPLICATED_MAX};

/// See [`super::Mode::Partitioned`].
#[derive(Debug)]
pub(super) struct Partition {
    origin: u64,
    /// Up to where this node has read the log; `None`: the room was opened without it.
    pub(super) cursor: Option<Cursor>,
    /// Earlier events of others are not delivered.
    since: Timestamp,
    epoch: Epoch,
    /// Of the last event delivered in the own epoch.
    offset: u64,
    /// Delivered and not in the log, as far as is known; oldest first.
    pub(super) unreplicated: VecDeque<WaitingEntry>,
    /// Whether events were dropped from the unreplicated ones.
    pub(super) is_incomplete: bool,
}

/// See [`super::Mode::Healing`].
#[derive(Debug)]
pub(super) struct Healing {
    pub(super) partition: Partition,
    /// Entries that the room appended since, oldest first: they belong to the new epoch.
    pub(super) waiting: VecDeque<WaitingEntry>,
    pub(super) meanwhile: Meanwhile,
}

impl Partition {
    /// Of a room that has followed the log up to `cursor`.
    pub(super) fn of_follower(origin: u64, cursor: Cursor) -> Self {
        Self {
            origin,
            cursor: Some(cursor),
            since: Timestamp(i64::MIN),
            epoch: new_epoch(),
            offset: 0,
            unreplicated: VecDeque::new(),
            is_incomplete: false,
        }
    }

    /// Of a room that was opened without Redis.
    pub(super) fn of_opening(origin: u64, opened_at: Timestamp) -> Self {
        Self {
            origin,
            cursor: None,
            since: opened_at,
            epoch: new_epoch(),
            offset: 0,
            unreplicated: VecDeque::new(),
            is_incomplete: false,
        }
    }

    pub(super) fn position(&self) -> Position {
        Position {
            epoch: self.epoch.clone(),
            offset: self.offset,
        }
    }

    /// Delivers an entry of this node at once, and keeps it for the log.
    pub(super) fn append(&mut self, entry: WaitingEntry, delivery: &mut Delivery) {
        if !delivery.mark(entry.id(self.origin)) {
            // It was published and delivered then; only the answer did not arrive.
            return;
        }
        delivery.mark_gift(&entry.event);
        self.deliver(entry.event.clone(), delivery);
        if self.unreplicated.len() == UNREPLICATED_MAX {
            let comment = self.unreplicated.iter().position(WaitingEntry::is_comment);
            self.unreplicated.remove(comment.unwrap_or(0));
            self.is_incomplete = true;
        }
        self.unreplicated.push_back(entry);
    }

    fn deliver(&mut self, event: RoomEvent, delivery: &mut Delivery) {
        self.offset += 1;
        delivery.event(Sequenced {
            epoch: self.epoch.clone(),
            offset: self.offset,
            event,
        });
    }

    pub(super) fn ask(&self, number: u64) -> Question {
        let cursor = self.cursor.as_ref();
        Question::heal(number, cursor, &self.unreplicated, self.is_incomplete)
    }

    /// The log has the unreplicated events, at the start of a new epoch: delivers the events of
    /// others from before, in this node's own epoch. Returns the cursor.
    pub(super) fn heal(mut self, answer: Answer, delivery: &mut Delivery) -> Cursor {
        let is_gap_own = self.is_incomplete && !self.was_healed_elsewhere(&answer);
        // As many as the resync may return may be only a part of those that were missed.
        let is_incomplete = self.cursor.is_some() && answer.missed.len() >= RESYNC_EVENTS_MAX;
        for entry in answer.missed {
            self.deliver_missed(&entry, delivery);
        }
        let shown = answer.controls.len();
        delivery.controls(answer.controls);
        if let Some(cursor) = &self.cursor {
            delivery.check_controls(cursor.controls_count, shown, answer.controls_count);
        }
        if is_incomplete {
            delivery.events_missed();
        }
        if is_gap_own {
            // Members here have received what was dropped.
            delivery.skip_gap(answer.gap);
        }
        delivery.note_gap(answer.gap);
        let newest = self.unreplicated.back();
        let is_last = answer.places.last().is_some_and(|place| *place > 0);
        Cursor {
            epoch: answer.epoch,
            position: answer.end,
            id: newest
                .filter(|_| is_last)
                .map(|newest| newest.id(self.origin)),
            controls_count: answer.controls_count,
        }
    }

    /// Whether another node, or an earlier try of this one, began an epoch since. It may have
    /// dropped events too: the log keeps the newest gap alone, which is this node's own.
    fn was_healed_elsewhere(&self, answer: &Answer) -> bool {
        let generation = self
            .cursor
            .as_ref()
            .map(|cursor| cursor.position.generation);
        answer.before.generation > generation.unwrap_or_default()
    }

    fn deliver_missed(&mut self, entry: &LoggedEvent, delivery: &mut Delivery) {
        if delivery.mark(entry.id)
            && let Some((event, at)) = read_event(&entry.line)
            && at >= self.since
            && delivery.mark_gift(&event)
        {
            self.deliver(event, delivery);
        }
    }
}
