//! What members hear, each remembering what it saw last: across losses and returns nobody misses an
//! event or hears one twice, and nobody hears again what was taken down.

use std::collections::{BTreeMap, BTreeSet};

use liveroom::domain::{
    CommentId, HistoryLimits, Offset, Position, RoomEvent, Sequenced, Timestamp,
};

/// Sessions in the room and those that were, by number.
#[derive(Default)]
pub struct Clients {
    seen: BTreeMap<u64, Position>,
    removed: BTreeSet<CommentId>,
    /// When each event was told, the first one first.
    told_at: Vec<Timestamp>,
}

impl Clients {
    /// What a session would come back with.
    pub fn seen(&self, session: u64) -> Option<&Position> {
        self.seen.get(&session)
    }

    /// A join was answered: recovered exactly when all that was missed is in the window.
    pub fn joined(
        &mut self,
        session: u64,
        position: &Position,
        recovered: bool,
        window: HistoryLimits,
        now: Timestamp,
    ) {
        let expected = self.seen.get(&session).is_some_and(|seen| {
            let missed = &self.told_at[seen.offset as usize..];
            missed.len() <= window.events_max
                && missed
                    .first()
                    .is_none_or(|at| now.since(*at) <= window.age_ms)
        });
        assert_eq!(recovered, expected, "{session} came back to {position:?}");
        if !recovered {
            self.seen.insert(session, position.clone());
        }
    }

    /// All of these hear a new event.
    pub fn tell(&mut self, attached: &BTreeSet<u64>, event: &Sequenced, now: Timestamp) {
        self.told_at.push(now);
        if let RoomEvent::Removed { comment_id, .. } = event.event {
            self.removed.insert(comment_id);
        }
        for session in attached {
            self.hear(*session, event);
        }
    }

    /// One hears an event, new or again.
    pub fn hear(&mut self, session: u64, event: &Sequenced) {
        let seen = self
            .seen
            .get_mut(&session)
            .expect("nobody hears of a room before the answer to its join");
        assert_eq!(
            (&event.epoch, event.offset),
            (&seen.epoch, seen.offset + 1),
            "a gap, or heard before"
        );
        seen.offset = event.offset;
        if let RoomEvent::Comment(comment) = &event.event {
            assert!(
                !self.removed.contains(&comment.id),
                "c{} was taken down and told again",
                comment.id
            );
        }
    }

    pub fn check(&self, attached: &BTreeSet<u64>, last_offset: Offset) {
        for session in attached {
            assert_eq!(
                self.seen[session].offset, last_offset,
                "{session} was not told everything"
            );
        }
    }
}
