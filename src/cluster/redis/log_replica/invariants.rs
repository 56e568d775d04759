//! The invariants of a replica that can be seen from inside, for tests. Those of what members
//! receive are checked where it is received.

use super::following::{Following, OwnBatch, RequestKind};
use super::mode::Mode;
use super::partition::{Healing, Partition};
use super::waiting::WaitingEntry;
use super::{BATCH_MAX, LogReplica, UNREPLICATED_MAX};
use crate::cluster::redis::entries::LogPosition;

impl LogReplica {
    /// Up to where the log was read, if it was.
    pub(super) fn read_up_to(&self) -> Option<LogPosition> {
        let cursor = match &self.mode {
            Mode::Opening(_) => None,
            Mode::Following(following) => Some(&following.cursor),
            Mode::Partitioned(partition) | Mode::Healing(Healing { partition, .. }) => {
                partition.cursor.as_ref()
            }
        };
        cursor.map(|cursor| cursor.position)
    }

    /// Panics if an invariant does not hold. `before`: what [`LogReplica::read_up_to`] returned
    /// before the last step.
    pub(super) fn assert_invariants(&self, before: Option<LogPosition>) {
        assert!(
            self.read_up_to() >= before,
            "6: the cursor moved back: {self:?}"
        );
        match &self.mode {
            Mode::Opening(opening) => self.assert_ascending(opening.waiting.iter()),
            Mode::Following(following) => self.assert_following(following),
            Mode::Partitioned(partition) => self.assert_partition(partition, std::iter::empty()),
            Mode::Healing(healing) => {
                self.assert_partition(&healing.partition, healing.waiting.iter());
            }
        }
    }

    fn assert_following(&self, following: &Following) {
        let own = following.own.entries();
        assert!(own.len() <= BATCH_MAX, "8: a batch of {}", own.len());
        self.assert_ascending(own.iter().chain(&following.waiting));
        if let OwnBatch::Unordered(entries) = &following.own {
            let is_read = following.resync_due || following.request == Some(RequestKind::Resync);
            assert!(is_read && !entries.is_empty(), "7: {self:?}");
        }
        let is_sent = matches!(following.own, OwnBatch::Unanswered(_));
        assert!(
            is_sent || following.request != Some(RequestKind::Append),
            "a batch that does not exist is under way: {self:?}"
        );
    }

    fn assert_partition<'a>(
        &'a self,
        partition: &'a Partition,
        waiting: impl Iterator<Item = &'a WaitingEntry>,
    ) {
        let unreplicated = &partition.unreplicated;
        assert!(
            unreplicated.len() <= UNREPLICATED_MAX,
            "8: {} unreplicated",
            unreplicated.len()
        );
        self.assert_ascending(unreplicated.iter().chain(waiting));
        let undelivered = unreplicated
            .iter()
            .find(|entry| !self.delivery.is_delivered(entry.id(self.origin)));
        assert!(undelivered.is_none(), "5: not delivered: {undelivered:?}");
    }

    fn assert_ascending<'a>(&self, entries: impl Iterator<Item = &'a WaitingEntry>) {
        let mut last = 0;
        for entry in entries {
            assert!(last < entry.sequence, "4: {} after {last}", entry.sequence);
            last = entry.sequence;
        }
        assert!(last <= self.sequence, "4: {last} was not appended");
    }
}
