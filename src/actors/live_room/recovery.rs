//! Members that come back: what was told while they were away is told to them again.
//!
//! All or nothing: a member that hears `recovered: true` hears every event it missed, in order and
//! once, then what is new. The replay goes the way of everything else, through the member's hub in
//! the room's order, so nothing is lost or doubled where it meets the live events.

use std::sync::Arc;

use crate::actors::hub::Encoded;
use crate::actors::session::SessionPort;
use crate::domain::{
    History, HistoryLimits, Offset, Position, Priority, PriorityOf, RoomEvent, Sequenced, Timestamp, UserId,
};
use crate::outbox::{Packet, Run};
use crate::protocol::Dialect;

use super::LiveRoom;

/// What a room can tell again.
pub(super) struct Recovery {
    history: History<Arc<Encoded>>,
    /// All of the history in one piece, in each wire form that was asked for since it changed. A
    /// replay is its end, so a storm of returns shares these bytes, whatever each of them missed.
    whole: [Option<Run>; Dialect::COUNT],
}

impl Recovery {
    pub(super) fn new(limits: HistoryLimits, position: Position) -> Self {
        Self { history: History::new(limits, position), whole: Default::default() }
    }

    /// The recovery of a room that stands at `position` and was told before, on other nodes, what
    /// leads up to there.
    pub(super) fn open(
        limits: HistoryLimits,
        position: &Position,
        told: &[(Sequenced, Timestamp)],
        owner: UserId,
    ) -> Self {
        let before = told.len() as Offset;
        let start = Position { epoch: position.epoch.clone(), offset: position.offset.saturating_sub(before) };
        let mut recovery = Self::new(limits, start);
        for (sequenced, at) in told {
            let priority = sequenced.event.priority(owner);
            recovery.keep(sequenced, Arc::new(Encoded::event(sequenced.clone(), priority)), *at);
        }
        recovery
    }

    /// Keeps an event that all are told; a removal also takes the place of what it removes.
    pub(super) fn keep(&mut self, sequenced: &Sequenced, encoded: Arc<Encoded>, now: Timestamp) {
        if let RoomEvent::Removed { comment_id, .. } = sequenced.event {
            self.history.take_down(comment_id, |offset| {
                Arc::new(Encoded::event(Sequenced { offset, ..sequenced.clone() }, Priority::Critical))
            });
        }
        self.history.push(sequenced, encoded, now);
        self.whole = Default::default();
    }

    /// Forgets what is too old. Called every now and then: while nothing happens, nothing else does.
    pub(super) fn trim(&mut self, now: Timestamp) {
        self.history.trim(now);
        self.whole = Default::default();
    }

    pub(super) fn history(&self) -> &History<Arc<Encoded>> {
        &self.history
    }

    /// The offset after which a session that saw everything up to `since` is replayed to, if all it missed is still
    /// here and fits its outbox beside what waits there.
    pub(super) fn recover_after(&mut self, since: &Position, port: &SessionPort, now: Timestamp) -> Option<Offset> {
        if !self.history.reaches(since, now) {
            return None;
        }
        let missed = self.after(since.offset, port.outlet.codec.dialect());
        let fits = missed.is_none_or(|run| port.outlet.outbox.has_room(run.bytes().len()));
        fits.then_some(since.offset)
    }

    /// The events after `offset` that are still here; `None` if there are none.
    fn after(&mut self, offset: Offset, dialect: Dialect) -> Option<Run> {
        let missed = self.history.after(offset).len();
        let whole = &mut self.whole[dialect.index()];
        if whole.is_none() {
            // Comments too are not dropped from a replay: it was promised whole.
            let again = |encoded: &Arc<Encoded>| encoded.packet(dialect).with_priority(Priority::Normal);
            let packets: Vec<Packet> = self.history.iter().map(again).collect();
            *whole = Run::of(&packets);
        }
        let whole = whole.as_ref().filter(|_| missed > 0)?;
        Some(whole.slice(whole.len() - missed..whole.len()))
    }
}

impl LiveRoom {
    pub(super) fn replay(&mut self, port: &SessionPort, after: Offset) {
        if let Some(run) = self.recovery.after(after, port.outlet.codec.dialect()) {
            self.fan_out.again(port, run);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{CommentId, LiveId};

    const LIMITS: HistoryLimits = HistoryLimits { events_max: 3, age_ms: 1_000 };

    fn start() -> Position {
        Position { epoch: "e".into(), offset: 0 }
    }

    fn keep(recovery: &mut Recovery, offset: Offset) {
        let event = RoomEvent::Notice { live_id: LiveId::FIRST, text: format!("notice {offset}").into() };
        let sequenced = Sequenced { epoch: "e".into(), offset, event };
        let encoded = Arc::new(Encoded::event(sequenced.clone(), Priority::Droppable));
        recovery.keep(&sequenced, encoded, Timestamp(0));
    }

    #[test]
    fn who_missed_less_shares_the_bytes_of_who_missed_more() {
        let mut recovery = Recovery::new(LIMITS, start());
        assert!(recovery.after(0, Dialect::PlainJson).is_none());
        (1..=4).for_each(|offset| keep(&mut recovery, offset));

        let all = recovery.after(1, Dialect::PlainJson).unwrap();
        let last = recovery.after(3, Dialect::PlainJson).unwrap();

        assert_eq!((all.len(), last.len()), (3, 1));
        assert_eq!(all.bytes().as_ptr_range().end, last.bytes().as_ptr_range().end);
        assert_eq!(last.packet(0).drop_policy(), Priority::Normal.into(), "what was promised is not dropped");
        assert!(recovery.after(4, Dialect::PlainJson).is_none());
        assert_ne!(recovery.after(3, Dialect::SocketIo).unwrap().bytes(), last.bytes());
    }

    #[test]
    fn what_is_new_and_what_is_removed_is_in_the_next_replay() {
        let mut recovery = Recovery::new(LIMITS, start());
        keep(&mut recovery, 1);
        assert_eq!(recovery.after(0, Dialect::PlainJson).unwrap().len(), 1);
        let comment_id = CommentId::FIRST;
        let removed = Sequenced {
            epoch: "e".into(),
            offset: 2,
            event: RoomEvent::Removed { live_id: LiveId::FIRST, comment_id },
        };
        recovery.keep(&removed, Arc::new(Encoded::event(removed.clone(), Priority::Critical)), Timestamp(0));
        assert_eq!(recovery.after(0, Dialect::PlainJson).unwrap().len(), 2);
        recovery.trim(Timestamp(1_001));
        assert!(recovery.after(0, Dialect::PlainJson).is_none());
    }
}
