//! Writes whose rows somebody else holds, set aside so that nobody else waits for them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::messages::Submit;
use crate::storage::{Row, Sequence, Write};

/// One lot of writes for each held row, and whose turn it is. The persister's queue bounds it.
#[derive(Default)]
pub(super) struct Aside {
    /// A lot stays while its writes are being tried, even if that is all of them.
    lots: HashMap<Row, VecDeque<Submit>>,
    /// Each lot's row once.
    turns: VecDeque<Row>,
    /// Sequences that have writes here, all in one lot: in which, and how many.
    behind: HashMap<Sequence, (Row, usize)>,
}

impl Aside {
    pub fn is_empty(&self) -> bool {
        self.lots.is_empty()
    }

    /// The lot that a write has to join: that of the writes before it in its sequence, or that of a
    /// row it needs.
    pub fn row_for(&self, write: &Write) -> Option<Row> {
        if self.is_empty() {
            return None;
        }
        let earlier = write.sequence().and_then(|sequence| self.behind.get(&sequence));
        earlier.map(|(row, _)| *row).or_else(|| write.rows().find(|row| self.lots.contains_key(row)))
    }

    pub fn push(&mut self, row: Row, submit: Submit) {
        if let Some(sequence) = submit.write.sequence() {
            let (lot, writes) = self.behind.entry(sequence).or_insert((row, 0));
            (*lot, *writes) = (row, *writes + 1);
        }
        let turns = &mut self.turns;
        let lot = self.lots.entry(row).or_insert_with(|| {
            turns.push_back(row);
            VecDeque::new()
        });
        lot.push_back(submit);
    }

    /// The next lot in turn, and up to `max` of its writes.
    pub fn take_turn(&mut self, max: usize) -> Option<(Row, Vec<Submit>)> {
        let row = self.turns.pop_front()?;
        self.turns.push_back(row);
        let lot = self.lots.get_mut(&row)?;
        Some((row, lot.drain(..lot.len().min(max)).collect()))
    }

    /// A write that was taken is done with.
    pub fn leave(&mut self, write: &Write) {
        let Some(sequence) = write.sequence() else { return };
        if let Some((_, writes)) = self.behind.get_mut(&sequence) {
            *writes -= 1;
            if *writes == 0 {
                self.behind.remove(&sequence);
            }
        }
    }

    /// Takes back what was taken from `row`'s lot and could not be done, each with the row it waits
    /// for now, and ends the lot if nothing is left in it.
    pub fn put_back(&mut self, row: Row, held: Vec<(Row, Submit)>) {
        let (mut stay, mut go) = (VecDeque::new(), Vec::new());
        let mut moved: HashMap<Sequence, Row> = HashMap::new();
        for (now, submit) in held {
            if now == row {
                stay.push_back(submit);
            } else {
                moved.extend(submit.write.sequence().map(|sequence| (sequence, now)));
                go.push((now, submit));
            }
        }
        // What came meanwhile, after those that move, goes with them.
        for submit in self.lots.remove(&row).unwrap_or_default() {
            match submit.write.sequence().and_then(|sequence| moved.get(&sequence)) {
                Some(now) => go.push((*now, submit)),
                None => stay.push_back(submit),
            }
        }
        if stay.is_empty() {
            self.turns.retain(|turn| *turn != row);
        } else {
            self.lots.insert(row, stay);
        }
        for (now, submit) in go {
            self.leave(&submit.write);
            self.push(now, submit);
        }
    }

    /// Gifts that have waited for longer than `patience`.
    pub fn out_of_patience(&mut self, patience: Duration) -> Vec<Submit> {
        let mut gifts = Vec::new();
        for lot in self.lots.values_mut() {
            let (late, kept): (VecDeque<_>, VecDeque<_>) =
                std::mem::take(lot).into_iter().partition(|submit| submit.is_late_gift(patience));
            *lot = kept;
            gifts.extend(late);
        }
        for gift in &gifts {
            self.leave(&gift.write);
        }
        gifts
    }
}
