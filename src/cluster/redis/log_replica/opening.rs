//! A room that has not read its log yet.

use std::collections::VecDeque;

use crate::cluster::redis::entries::{Answer, Batch, Cursor, LogPosition, LoggedEvent};
use crate::domain::{Sequenced, Timestamp};
use crate::protocol::read_event;

use super::delivery::Delivery;
use super::question::Question;
use super::waiting::WaitingEntry;

/// See [`super::Mode::Opening`].
#[derive(Debug)]
pub(super) struct Opening {
    pub(super) opened_at: Timestamp,
    /// Entries that the room appended, oldest first.
    pub(super) waiting: VecDeque<WaitingEntry>,
    /// Set while the first question is under way.
    pub(super) request: Option<Meanwhile>,
}

/// What happened while a request was under way whose answer counts as the whole log. It may have
/// been read before.
#[derive(Debug, Default)]
pub(super) struct Meanwhile {
    /// The highest position that was published, and how many controls there were.
    published: (LogPosition, u64),
    /// Messages may have been lost.
    messages_lost: bool,
}

impl Meanwhile {
    pub(super) fn note_published(&mut self, batch: &Batch) {
        let (end, controls_count) = self.published;
        self.published = (end.max(batch.end), controls_count.max(batch.controls_count));
    }

    pub(super) fn note_messages_lost(&mut self) {
        self.messages_lost = true;
    }

    /// Whether the log has to be read once more, after an answer that ended there.
    pub(super) fn requires_resync(&self, cursor: &Cursor) -> bool {
        let (end, controls_count) = self.published;
        self.messages_lost || cursor.position < end || cursor.controls_count < controls_count
    }
}

impl Opening {
    pub(super) fn new(opened_at: Timestamp) -> Self {
        Self {
            opened_at,
            waiting: VecDeque::new(),
            request: None,
        }
    }

    pub(super) fn ask(&mut self, number: u64) -> Option<Question> {
        if self.request.is_some() {
            return None;
        }
        self.request = Some(Meanwhile::default());
        Some(Question::opening(number))
    }
}

/// Opens the room with the answer to the first question. Returns the cursor, and the newest events
/// as the room's history, oldest first and without a gap up to the cursor. All that the log has
/// counts as delivered: the room had no members here when it was appended.
pub(super) fn open(
    answer: Answer,
    delivery: &mut Delivery,
) -> (Cursor, Vec<(Sequenced, Timestamp)>) {
    // Oldest first, as they are forgotten.
    for entry in &answer.missed {
        delivery.mark(entry.id);
    }
    for control in &answer.controls {
        delivery.mark_control(control.id);
    }
    delivery.skip_gap(answer.gap);
    let newest = answer.missed.last();
    let cursor = Cursor {
        epoch: answer.epoch,
        position: answer.end,
        id: newest
            .filter(|newest| newest.position == answer.end)
            .map(|newest| newest.id),
        controls_count: answer.controls_count,
    };
    let history = history(answer.missed, &cursor);
    (cursor, history)
}

/// The newest events of the log, as many as have no gap up to the cursor.
fn history(newest: Vec<LoggedEvent>, cursor: &Cursor) -> Vec<(Sequenced, Timestamp)> {
    let mut history = Vec::new();
    let mut expected = cursor.position.offset;
    for entry in newest.into_iter().rev() {
        if entry.epoch == cursor.epoch
            && entry.position.offset == expected
            && let Some((event, at)) = read_event(&entry.line)
        {
            let sequenced = Sequenced {
                epoch: entry.epoch,
                offset: expected,
                event,
            };
            history.push((sequenced, at));
            expected -= 1;
        }
    }
    history.reverse();
    history
}
