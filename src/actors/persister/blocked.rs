//! Writes blocked by a row lock of another transaction, kept apart so that no other write waits for
//! them.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use super::messages::Submit;
use crate::storage::{RowLock, Sequence, Write};

/// Blocked writes by the locked row, served round robin. The persister's queue bounds their number.
#[derive(Default)]
pub(super) struct BlockedWrites {
    /// A row keeps its entry while its writes are being retried, even if the entry is empty.
    by_row: HashMap<RowLock, VecDeque<Submit>>,
    /// Each key of `by_row` once.
    round_robin: VecDeque<RowLock>,
    /// For each sequence with blocked writes: the row that all of them wait for, and their number.
    per_sequence: HashMap<Sequence, (RowLock, usize)>,
}

impl BlockedWrites {
    pub fn is_empty(&self) -> bool {
        self.by_row.is_empty()
    }

    /// The row whose blocked writes a new write has to queue behind: the row that earlier writes of
    /// its sequence wait for, else a locked row that it needs. `None`: it may be committed.
    pub fn row_for(&self, write: &Write) -> Option<RowLock> {
        if self.is_empty() {
            return None;
        }
        let earlier = write
            .sequence()
            .and_then(|sequence| self.per_sequence.get(&sequence));
        earlier
            .map(|(row, _)| *row)
            .or_else(|| write.rows().find(|row| self.by_row.contains_key(row)))
    }

    pub fn push(&mut self, row: RowLock, submit: Submit) {
        if let Some(sequence) = submit.write.sequence() {
            let (in_row, count) = self.per_sequence.entry(sequence).or_insert((row, 0));
            (*in_row, *count) = (row, *count + 1);
        }
        let round_robin = &mut self.round_robin;
        let writes = self.by_row.entry(row).or_insert_with(|| {
            round_robin.push_back(row);
            VecDeque::new()
        });
        writes.push_back(submit);
    }

    /// The next row in turn, and up to `max` of its writes.
    pub fn next_batch(&mut self, max: usize) -> Option<(RowLock, Vec<Submit>)> {
        let row = self.round_robin.pop_front()?;
        self.round_robin.push_back(row);
        let writes = self.by_row.get_mut(&row)?;
        Some((row, writes.drain(..writes.len().min(max)).collect()))
    }

    /// Forgets a write that was taken by [`Self::next_batch`] and is answered.
    pub fn finish(&mut self, write: &Write) {
        let Some(sequence) = write.sequence() else {
            return;
        };
        if let Some((_, writes)) = self.per_sequence.get_mut(&sequence) {
            *writes -= 1;
            if *writes == 0 {
                self.per_sequence.remove(&sequence);
            }
        }
    }

    /// Takes back writes that were taken for `row` and are still blocked, each with the row that
    /// blocks it now. Removes `row` if no write waits for it.
    pub fn requeue(&mut self, row: RowLock, blocked: Vec<(RowLock, Submit)>) {
        let (mut kept, mut moving) = (VecDeque::new(), Vec::new());
        let mut moved_to: HashMap<Sequence, RowLock> = HashMap::new();
        for (now, submit) in blocked {
            if now == row {
                kept.push_back(submit);
            } else {
                moved_to.extend(submit.write.sequence().map(|sequence| (sequence, now)));
                moving.push((now, submit));
            }
        }
        // Later writes of a sequence that moves to another row move with it.
        for submit in self.by_row.remove(&row).unwrap_or_default() {
            match submit
                .write
                .sequence()
                .and_then(|sequence| moved_to.get(&sequence))
            {
                Some(now) => moving.push((*now, submit)),
                None => kept.push_back(submit),
            }
        }
        if kept.is_empty() {
            self.round_robin.retain(|turn| *turn != row);
        } else {
            self.by_row.insert(row, kept);
        }
        for (now, submit) in moving {
            self.finish(&submit.write);
            self.push(now, submit);
        }
    }

    /// Removes and returns the gifts that have waited for longer than `timeout`.
    pub fn take_expired_gifts(&mut self, timeout: Duration) -> Vec<Submit> {
        let mut gifts = Vec::new();
        for writes in self.by_row.values_mut() {
            let (late, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(writes)
                .into_iter()
                .partition(|submit| submit.is_expired_gift(timeout));
            *writes = kept;
            gifts.extend(late);
        }
        for gift in &gifts {
            self.finish(&gift.write);
        }
        gifts
    }
}
