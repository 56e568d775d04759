//! Recovery of members that come back: events they missed are replayed.
//!
//! All or nothing: a member that is answered `recovered: true` receives every event it missed, in
//! order and once, then new ones. The replay goes through the member's hub in the room's order like
//! all other events, so that none is lost or repeated between the replay and the live events.

use std::sync::Arc;

use crate::actors::hub::Encoded;
use crate::actors::session::SessionPort;
use crate::domain::{
    CommentId, History, HistoryLimits, LiveId, Offset, Position, Priority, PriorityOf, RoomEvent,
    Sequenced, Timestamp, UserId,
};
use crate::outbox::{Packet, Run};
use crate::protocol::Dialect;

use super::LiveRoom;

/// The events that a room can replay.
pub(super) struct Recovery {
    history: History<Arc<Encoded>>,
    /// The whole history encoded in one run per dialect, made on demand after each change. A replay
    /// is a suffix of it, so many returning members share these bytes, whatever each of them
    /// missed.
    encoded: [Option<Run>; Dialect::COUNT],
}

impl Recovery {
    pub(super) fn new(limits: HistoryLimits, position: Position) -> Self {
        Self {
            history: History::new(limits, position),
            encoded: Default::default(),
        }
    }

    /// The recovery of a room at `position`, with the `earlier` events that other nodes delivered,
    /// up to there.
    pub(super) fn open(
        limits: HistoryLimits,
        position: &Position,
        earlier: &[(Sequenced, Timestamp)],
        owner: UserId,
    ) -> Self {
        let before = earlier.len() as Offset;
        let start = Position {
            epoch: position.epoch.clone(),
            offset: position.offset.saturating_sub(before),
        };
        let mut recovery = Self::new(limits, start);
        for (sequenced, at) in earlier {
            let priority = sequenced.event.priority(owner);
            recovery.record(
                sequenced,
                Arc::new(Encoded::event(sequenced.clone(), priority)),
                *at,
            );
        }
        recovery
    }

    /// Records a delivered event. A removal also replaces the comment it removes.
    pub(super) fn record(&mut self, sequenced: &Sequenced, encoded: Arc<Encoded>, now: Timestamp) {
        match &sequenced.event {
            RoomEvent::Removed {
                live_id,
                comment_id,
            } => self.take_down(*live_id, *comment_id, sequenced),
            RoomEvent::Purged {
                live_id,
                comment_ids,
            } => {
                for comment_id in comment_ids.iter() {
                    self.take_down(*live_id, *comment_id, sequenced);
                }
            }
            _ => {}
        }
        self.history.push(sequenced, encoded, now);
        self.encoded = Default::default();
    }

    /// Puts a comment's removal in its place.
    fn take_down(&mut self, live_id: LiveId, comment_id: CommentId, removed_by: &Sequenced) {
        self.history.take_down(comment_id, |offset| {
            let removed = Sequenced {
                epoch: removed_by.epoch.clone(),
                offset,
                event: RoomEvent::Removed {
                    live_id,
                    comment_id,
                },
            };
            Arc::new(Encoded::event(removed, Priority::Critical))
        });
    }

    /// Drops events that are too old. Called periodically, since a room without events does not
    /// record any.
    pub(super) fn trim(&mut self, now: Timestamp) {
        self.history.trim(now);
        self.encoded = Default::default();
    }

    pub(super) fn history(&self) -> &History<Arc<Encoded>> {
        &self.history
    }

    /// The offset to replay from for a session that received everything up to `since`, if all
    /// missed events are still kept and fit its outbox beside the queued packets.
    pub(super) fn recover_after(
        &mut self,
        since: &Position,
        port: &SessionPort,
        now: Timestamp,
    ) -> Option<Offset> {
        if !self.history.reaches(since, now) {
            return None;
        }
        let missed = self.after(since.offset, port.outlet.codec.dialect());
        let fits = missed.is_none_or(|run| port.outlet.outbox.has_room(run.bytes().len()));
        fits.then_some(since.offset)
    }

    /// The kept events after `offset`; `None` if there are none.
    fn after(&mut self, offset: Offset, dialect: Dialect) -> Option<Run> {
        let missed = self.history.after(offset).len();
        let encoded = &mut self.encoded[dialect.index()];
        if encoded.is_none() {
            // Comments of a replay are not droppable either: the replay is promised complete.
            let packet_of =
                |encoded: &Arc<Encoded>| encoded.packet(dialect).with_priority(Priority::Normal);
            let packets: Vec<Packet> = self.history.iter().map(packet_of).collect();
            *encoded = Run::of(&packets);
        }
        let encoded = encoded.as_ref().filter(|_| missed > 0)?;
        Some(encoded.slice(encoded.len() - missed..encoded.len()))
    }
}

impl LiveRoom {
    pub(super) fn replay(&mut self, port: &SessionPort, after: Offset) {
        if let Some(run) = self.recovery.after(after, port.outlet.codec.dialect()) {
            self.fan_out.replay(port, run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HistoryLimits = HistoryLimits {
        events_max: 3,
        age_ms: 1_000,
    };

    fn start() -> Position {
        Position {
            epoch: "e".into(),
            offset: 0,
        }
    }

    fn record(recovery: &mut Recovery, offset: Offset) {
        let event = RoomEvent::Notice {
            live_id: LiveId::FIRST,
            text: format!("notice {offset}").into(),
        };
        let sequenced = Sequenced {
            epoch: "e".into(),
            offset,
            event,
        };
        let encoded = Arc::new(Encoded::event(sequenced.clone(), Priority::Droppable));
        recovery.record(&sequenced, encoded, Timestamp(0));
    }

    #[test]
    fn a_shorter_replay_shares_the_bytes_of_a_longer_one() {
        let mut recovery = Recovery::new(LIMITS, start());
        assert!(recovery.after(0, Dialect::PlainJson).is_none());
        (1..=4).for_each(|offset| record(&mut recovery, offset));

        let all = recovery.after(1, Dialect::PlainJson).unwrap();
        let last = recovery.after(3, Dialect::PlainJson).unwrap();

        assert_eq!((all.len(), last.len()), (3, 1));
        assert_eq!(
            all.bytes().as_ptr_range().end,
            last.bytes().as_ptr_range().end
        );
        assert_eq!(
            last.packet(0).drop_policy(),
            Priority::Normal.into(),
            "what was promised is not dropped"
        );
        assert!(recovery.after(4, Dialect::PlainJson).is_none());
        assert_ne!(
            recovery.after(3, Dialect::SocketIo).unwrap().bytes(),
            last.bytes()
        );
    }

    #[test]
    fn new_and_removed_events_are_in_the_next_replay() {
        let mut recovery = Recovery::new(LIMITS, start());
        record(&mut recovery, 1);
        assert_eq!(recovery.after(0, Dialect::PlainJson).unwrap().len(), 1);
        let comment_id = CommentId::FIRST;
        let removed = Sequenced {
            epoch: "e".into(),
            offset: 2,
            event: RoomEvent::Removed {
                live_id: LiveId::FIRST,
                comment_id,
            },
        };
        recovery.record(
            &removed,
            Arc::new(Encoded::event(removed.clone(), Priority::Critical)),
            Timestamp(0),
        );
        assert_eq!(recovery.after(0, Dialect::PlainJson).unwrap().len(), 2);
        recovery.trim(Timestamp(1_001));
        assert!(recovery.after(0, Dialect::PlainJson).is_none());
    }
}
