//! Ids of comments, made before their rows exist.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::domain::{CommentId, Timestamp};

const EPOCH_MS: i64 = CommentId::EPOCH_MS;
/// Ids of one millisecond before the next one is borrowed from.
const SEQUENCE_BITS: u32 = 12;
/// Room for the node's number beside the sequence.
const NODE_BITS: u32 = CommentId::SERIAL_BITS - SEQUENCE_BITS;

/// Makes ids that rise with time and are unique on this node: milliseconds, node, sequence.
#[derive(Debug)]
pub struct CommentIds {
    node: AtomicU64,
    /// Milliseconds and sequence of the latest id.
    latest: AtomicU64,
}

impl CommentIds {
    /// `node` makes the ids of several nodes differ; only its low ten bits count.
    pub fn new(node: u64) -> Self {
        let ids = Self {
            node: AtomicU64::new(0),
            latest: AtomicU64::new(0),
        };
        ids.renumber(node);
        ids
    }

    /// Gives this node another number, from the next id on.
    pub fn renumber(&self, node: u64) {
        self.node
            .store(node & ((1 << NODE_BITS) - 1), Ordering::Relaxed);
    }

    /// Goes on after `newest`, the newest id there is: a clock that went back while nobody looked,
    /// in a restart, must not put what is said now before what was said then.
    pub fn after(self, newest: Option<CommentId>) -> Self {
        if let Some(newest) = newest {
            let ms = newest.get().unsigned_abs() >> (NODE_BITS + SEQUENCE_BITS);
            self.latest.fetch_max(
                (ms << SEQUENCE_BITS) | ((1 << SEQUENCE_BITS) - 1),
                Ordering::Relaxed,
            );
        }
        self
    }

    /// The next id: after all before it, even if the clock went back.
    pub fn next(&self, now: Timestamp) -> CommentId {
        let floor = (now.0 - EPOCH_MS).max(1).unsigned_abs() << SEQUENCE_BITS;
        let after = |latest: u64| floor.max(latest + 1);
        let latest = self
            .latest
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |latest| {
                Some(after(latest))
            });
        let id = after(latest.unwrap_or_else(|latest| latest));
        let (ms, sequence) = (id >> SEQUENCE_BITS, id & ((1 << SEQUENCE_BITS) - 1));
        let node = self.node.load(Ordering::Relaxed);
        let packed = (ms << (NODE_BITS + SEQUENCE_BITS)) | (node << SEQUENCE_BITS) | sequence;
        // 41 bits of milliseconds keep the sign bit clear until 2094; the mask keeps it clear for
        // ever.
        CommentId::new((packed & (i64::MAX as u64)) as i64).unwrap_or(CommentId::FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_rise_even_when_the_clock_stands_or_goes_back() {
        let ids = CommentIds::new(3);
        let times = [
            EPOCH_MS + 5_000,
            EPOCH_MS + 5_000,
            EPOCH_MS + 4_000,
            EPOCH_MS + 6_000,
        ];
        let made: Vec<i64> = times
            .iter()
            .map(|ms| ids.next(Timestamp(*ms)).get())
            .collect();
        assert!(made.is_sorted_by(|a, b| a < b), "{made:?}");
        assert_eq!(made[0] >> 22, 5_000);
        assert_eq!((made[0] >> 12) & 0x3FF, 3);
    }

    #[test]
    fn ids_rise_across_a_restart_in_which_the_clock_went_back() {
        let before = CommentIds::new(1_023).next(Timestamp(EPOCH_MS + 5_000));
        let ids = CommentIds::new(0).after(Some(before));
        assert_eq!(ids.next(Timestamp(EPOCH_MS + 1)).get() >> 22, 5_001);
        assert_eq!(ids.next(Timestamp(EPOCH_MS + 9_000)).get() >> 22, 9_000);
        assert_eq!(
            CommentIds::new(0)
                .after(None)
                .next(Timestamp(EPOCH_MS + 7))
                .get()
                >> 22,
            7
        );
    }

    #[test]
    fn ids_are_unique_within_a_millisecond_and_beyond_its_share() {
        let ids = CommentIds::new(0);
        let made: std::collections::HashSet<_> = (0..10_000)
            .map(|_| ids.next(Timestamp(EPOCH_MS + 1)))
            .collect();
        assert_eq!(made.len(), 10_000);
    }
}
