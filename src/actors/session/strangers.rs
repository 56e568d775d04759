//! Strangers: sessions that are connected and have sent no valid command yet.
//!
//! They cost a seat and nothing else, so they may stay while seats are free. When seats become
//! scarce, those that have been silent for the longest time are closed first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::domain::SessionId;

/// A session that sent something so recently stays: a client that has just connected is about to
/// join.
const SILENCE_MIN: Duration = Duration::from_secs(5);

/// A session's place among the strangers, in the order of their last messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct StrangerPlace(u64);

/// The strangers of a node in the order of their last messages. Every step costs the logarithm of
/// their number.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    next: u64,
    by_place: BTreeMap<StrangerPlace, (SessionId, Instant)>,
    /// Asked to leave, and not gone yet.
    leaving_count: usize,
}

impl Strangers {
    /// Adds a session that sent something `now`.
    pub(super) fn enter(&mut self, session: SessionId, now: Instant) -> StrangerPlace {
        self.next += 1;
        let place = StrangerPlace(self.next);
        self.by_place.insert(place, (session, now));
        place
    }

    /// The session sent something again. Returns its new place, or the old one if it was asked to
    /// leave.
    pub(super) fn sent(&mut self, place: StrangerPlace, now: Instant) -> StrangerPlace {
        match self.by_place.remove(&place) {
            Some((session, _)) => self.enter(session, now),
            None => place,
        }
    }

    /// The session sent a valid command, or it ended.
    pub(super) fn leave(&mut self, place: StrangerPlace) {
        if self.by_place.remove(&place).is_none() {
            self.leaving_count -= 1;
        }
    }

    /// Picks those that are to leave, the longest silent first, so that `wanted` seats become free
    /// with those of the sessions that are leaving already; at most `picked_max` of them.
    pub(super) fn pick(
        &mut self,
        wanted: usize,
        picked_max: usize,
        now: Instant,
    ) -> Vec<SessionId> {
        let mut picked = Vec::new();
        while self.leaving_count < wanted
            && picked.len() < picked_max
            && let Some(longest_silent) = self.by_place.first_entry()
            && now.saturating_duration_since(longest_silent.get().1) >= SILENCE_MIN
        {
            picked.push(longest_silent.remove().0);
            self.leaving_count += 1;
        }
        picked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(sessions: &[u64]) -> Vec<SessionId> {
        sessions.iter().copied().map(SessionId).collect()
    }

    #[test]
    fn the_longest_silent_goes_first_and_none_before_its_time() {
        let mut strangers = Strangers::default();
        let began = Instant::now();
        let at = |ms| began + Duration::from_millis(ms);
        let first = strangers.enter(SessionId(1), at(0));
        strangers.enter(SessionId(2), at(1_000));
        strangers.enter(SessionId(3), at(2_000));
        strangers.sent(first, at(3_000));
        assert_eq!(strangers.pick(9, 9, at(5_999)), []);
        assert_eq!(strangers.pick(9, 9, at(7_000)), ids(&[2, 3]));
        assert_eq!(strangers.pick(9, 9, at(8_000)), ids(&[1]));
    }

    #[test]
    fn no_more_are_picked_than_seats_are_wanted_however_often_it_is_asked() {
        let mut strangers = Strangers::default();
        let began = Instant::now();
        let places: Vec<StrangerPlace> = (0..10)
            .map(|id| strangers.enter(SessionId(id), began))
            .collect();
        let later = began + SILENCE_MIN;
        assert_eq!(strangers.pick(3, 2, later), ids(&[0, 1]));
        assert_eq!(strangers.pick(3, 2, later), ids(&[2]));
        assert_eq!(
            strangers.pick(3, 2, later),
            [],
            "three are on their way out"
        );
        strangers.leave(places[0]);
        assert_eq!(
            strangers.pick(3, 2, later),
            ids(&[3]),
            "a seat that became free was taken again"
        );
    }

    #[test]
    fn known_sessions_are_not_picked_and_nothing_is_kept_of_them() {
        let mut strangers = Strangers::default();
        let began = Instant::now();
        let known = strangers.enter(SessionId(1), began);
        let picked = strangers.enter(SessionId(2), began);
        strangers.leave(known);
        assert_eq!(strangers.pick(9, 9, began + SILENCE_MIN), ids(&[2]));
        assert_eq!(
            strangers.sent(picked, began + SILENCE_MIN),
            picked,
            "it was asked to go"
        );
        strangers.leave(picked);
        assert!(strangers.by_place.is_empty() && strangers.leaving_count == 0);
    }
}
