//! The modes of a replica, and every way from one to another.

use std::collections::VecDeque;

use crate::cluster::redis::entries::Answer;
use crate::domain::{Position, Sequenced, Timestamp};

use super::delivery::Delivery;
use super::following::Following;
use super::opening::{self, Meanwhile, Opening};
use super::partition::{Healing, Partition};
use super::question::Question;

/// How a replica stands towards the log.
#[derive(Debug)]
pub(super) enum Mode {
    /// The log was not read yet. Nothing is delivered.
    Opening(Opening),
    /// Events are delivered as the log orders them.
    Following(Following),
    /// Events are delivered as the room appends them, in an epoch of this node's own.
    Partitioned(Partition),
    /// As partitioned, with the request under way that ends it: entries wait for its answer.
    Healing(Healing),
}

impl Default for Mode {
    /// What a transition leaves behind while it is made.
    fn default() -> Self {
        Self::Opening(Opening::new(Timestamp(0)))
    }
}

impl Mode {
    /// Opening or healing → following, with the answer that both wait for. An opening room also
    /// gets its history. Any other answer is late, and ignored.
    pub(super) fn read(
        self,
        origin: u64,
        answer: Answer,
        delivery: &mut Delivery,
    ) -> (Self, Option<Vec<(Sequenced, Timestamp)>>) {
        let (cursor, waiting, meanwhile, history) = match self {
            Self::Opening(Opening {
                request: Some(meanwhile),
                waiting,
                ..
            }) => {
                let (cursor, history) = opening::open(answer, delivery);
                (cursor, waiting, meanwhile, Some(history))
            }
            Self::Healing(Healing {
                partition,
                waiting,
                meanwhile,
            }) => (partition.heal(answer, delivery), waiting, meanwhile, None),
            mode @ (Self::Opening(_) | Self::Following(_) | Self::Partitioned(_)) => {
                return (mode, None);
            }
        };
        let resync_due = meanwhile.requires_resync(&cursor);
        let following = Following::new(origin, cursor, waiting, resync_due);
        (Self::Following(following), history)
    }

    /// Opening, following or healing → partitioned. The answer to a request under way will be
    /// ignored: healing finds out what was appended.
    pub(super) fn partition(self, origin: u64, delivery: &mut Delivery) -> Self {
        let (mut partition, entries) = match self {
            Self::Opening(Opening {
                opened_at, waiting, ..
            }) => (Partition::of_opening(origin, opened_at), waiting),
            Self::Following(following) => {
                let (cursor, entries) = following.into_parts();
                (Partition::of_follower(origin, cursor), entries)
            }
            Self::Healing(Healing {
                partition, waiting, ..
            }) => (partition, waiting),
            partitioned @ Self::Partitioned(_) => return partitioned,
        };
        for entry in entries {
            partition.append(entry, delivery);
        }
        Self::Partitioned(partition)
    }

    /// Partitioned → healing, with the question that heals.
    pub(super) fn begin_healing(self, number: u64) -> (Self, Option<Question>) {
        let Self::Partitioned(partition) = self else {
            return (self, None);
        };
        let question = partition.ask(number);
        let healing = Healing {
            partition,
            waiting: VecDeque::new(),
            meanwhile: Meanwhile::default(),
        };
        (Self::Healing(healing), Some(question))
    }

    pub(super) fn position(&self) -> Option<Position> {
        match self {
            Self::Opening(_) => None,
            Self::Following(Following { cursor, .. }) => Some(Position {
                epoch: cursor.epoch.clone(),
                offset: cursor.position.offset,
            }),
            Self::Partitioned(partition) | Self::Healing(Healing { partition, .. }) => {
                Some(partition.position())
            }
        }
    }
}
