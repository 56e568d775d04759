//! Checks the invariants of a replica, for tests. The numbers are those in the module's doc.

use std::collections::HashSet;

use super::following::{Following, OwnBatch, RequestKind};
use super::mode::Mode;
use super::partition::{Healing, Partition};
use super::waiting::WaitingEntry;
use super::{BATCH_MAX, LogReplica, UNREPLICATED_MAX};
use crate::cluster::FromLog;
use crate::cluster::redis::entries::LogPosition;
use crate::domain::{Control, Position, Sequenced, Timestamp};
use crate::protocol::write_event;

/// What one replica has delivered, and where it stood after the last step.
#[derive(Debug, Default)]
pub(super) struct Checks {
    /// The lines of all events.
    delivered: HashSet<String>,
    controls: Vec<Control>,
    position: Option<Position>,
    read_up_to: Option<LogPosition>,
}

impl Checks {
    /// Checks what the replica delivered since the last call. Panics if a member receives an item
    /// twice or out of its order.
    pub(super) fn receive(&mut self, replica: &LogReplica, out: &[FromLog]) {
        let is_cut_short = out.iter().any(|item| matches!(item, FromLog::EventsMissed));
        for item in out {
            match item {
                FromLog::Ordered(events) => events
                    .iter()
                    .for_each(|event| self.receive_event(event, is_cut_short)),
                FromLog::Control(control) => {
                    let is_new = !self.controls.contains(control);
                    assert!(is_new, "1: {control:?} is delivered twice");
                    self.controls.push(control.clone());
                }
                _ => {}
            }
        }
        self.position = replica.position();
    }

    fn receive_event(&mut self, sequenced: &Sequenced, is_cut_short: bool) {
        let line = write_event(&sequenced.event, Timestamp(0));
        let (epoch, offset) = (&sequenced.epoch, sequenced.offset);
        let before = self.position.as_ref();
        let before = before.filter(|position| position.epoch == *epoch);
        let next = before.map_or(0, |before| before.offset) + 1;
        assert!(
            offset == next || (is_cut_short && offset > next),
            "2: {epoch}:{offset} {line} after {:?}",
            self.position
        );
        self.position = Some(Position {
            epoch: epoch.clone(),
            offset,
        });
        assert!(
            self.delivered.insert(line),
            "1: {epoch}:{offset} is delivered twice: {:?}",
            sequenced.event
        );
    }

    /// Checks the state after a step.
    pub(super) fn inspect(&mut self, replica: &LogReplica) {
        let before = std::mem::replace(&mut self.read_up_to, replica.read_up_to());
        assert!(
            self.read_up_to >= before,
            "6: the cursor moved back from {before:?}: {replica:?}"
        );
        match &replica.mode {
            Mode::Opening(opening) => replica.assert_ascending(opening.waiting.iter()),
            Mode::Following(following) => replica.assert_following(following),
            Mode::Partitioned(partition) => replica.assert_partition(partition, [].iter()),
            Mode::Healing(healing) => {
                replica.assert_partition(&healing.partition, healing.waiting.iter());
            }
        }
    }
}

impl LogReplica {
    fn read_up_to(&self) -> Option<LogPosition> {
        let cursor = match &self.mode {
            Mode::Opening(_) => None,
            Mode::Following(following) => Some(&following.cursor),
            Mode::Partitioned(partition) | Mode::Healing(Healing { partition, .. }) => {
                partition.cursor.as_ref()
            }
        };
        cursor.map(|cursor| cursor.position)
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
            "no batch is under way, but its request: {self:?}"
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
