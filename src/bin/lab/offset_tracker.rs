//! The offsets that one member received: order, gaps and repeats.

use crate::online::Online;

/// Gaps remembered per member; beyond, the member is so far behind that single ones say nothing.
const GAPS_MAX: usize = 10_000;

/// The classification of a received offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    InOrder,
    /// Offsets from this one up to the one that came were skipped.
    Skipped {
        from: u64,
    },
    /// It was skipped before and came after a later one.
    Late,
    /// It was received before.
    Again,
    /// The member is not in the room.
    Outside,
}

/// The events that one member received between joining and leaving.
#[derive(Debug, Default)]
pub struct OffsetTracker {
    /// The offset expected next; `None` outside a room.
    next: Option<u64>,
    /// Skipped offsets: first, and the one after the last.
    gaps: Vec<(u64, u64)>,
    /// The users online according to the presence that the member received.
    pub online: Online,
}

impl OffsetTracker {
    /// In the room: the events after `offset` are to come.
    pub fn join(&mut self, offset: u64) {
        self.next = Some(offset + 1);
        self.online = Online::default();
    }

    pub fn leave(&mut self) {
        self.next = None;
    }

    /// The newest offset received or skipped; `None` outside a room.
    pub fn position(&self) -> Option<u64> {
        self.next.map(|next| next - 1)
    }

    #[inline]
    pub fn arrive(&mut self, offset: u64) -> Arrival {
        let Some(next) = self.next else {
            return Arrival::Outside;
        };
        if offset == next {
            self.next = Some(offset + 1);
            return Arrival::InOrder;
        }
        if offset > next {
            self.skip_to(offset);
            self.next = Some(offset + 1);
            return Arrival::Skipped { from: next };
        }
        match self
            .gaps
            .iter()
            .position(|(from, to)| (*from..*to).contains(&offset))
        {
            None => Arrival::Again,
            Some(at) => {
                let (from, to) = self.gaps.swap_remove(at);
                self.gaps.extend(
                    [(from, offset), (offset + 1, to)]
                        .iter()
                        .filter(|(from, to)| from < to),
                );
                Arrival::Late
            }
        }
    }

    /// Events that are missing up to `last`, too, will not come any more.
    pub fn give_up_until(&mut self, last: u64) {
        if self.next.is_some_and(|next| next <= last) {
            self.skip_to(last + 1);
            self.next = Some(last + 1);
        }
    }

    fn skip_to(&mut self, offset: u64) {
        let Some(next) = self.next else { return };
        if self.gaps.len() < GAPS_MAX {
            self.gaps.push((next, offset));
        } else if let Some(last) = self.gaps.last_mut() {
            last.1 = offset;
        }
    }

    pub fn gaps(&self) -> &[(u64, u64)] {
        &self.gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined_at(offset: u64) -> OffsetTracker {
        let mut offsets = OffsetTracker::default();
        offsets.join(offset);
        offsets
    }

    #[test]
    fn a_gap_that_is_filled_late_is_disorder_and_not_loss() {
        let mut offsets = joined_at(3);
        assert_eq!(offsets.arrive(4), Arrival::InOrder);
        assert_eq!(offsets.arrive(7), Arrival::Skipped { from: 5 });
        assert_eq!(offsets.arrive(5), Arrival::Late);
        assert_eq!(offsets.gaps(), [(6, 7)]);
        assert_eq!(offsets.arrive(6), Arrival::Late);
        assert_eq!(offsets.gaps(), []);
    }

    #[test]
    fn what_came_before_is_a_duplicate() {
        let mut offsets = joined_at(0);
        assert_eq!(offsets.arrive(1), Arrival::InOrder);
        assert_eq!(offsets.arrive(1), Arrival::Again);
    }

    #[test]
    fn what_never_came_is_a_gap_at_the_end() {
        let mut offsets = joined_at(0);
        offsets.give_up_until(2);
        assert_eq!(offsets.gaps(), [(1, 3)]);
        offsets.leave();
        assert_eq!(offsets.arrive(3), Arrival::Outside);
    }
}
