//! When the rooms of this node ask their logs, and which questions share a call of `append.lua`. It
//! decides, without a connection or a clock.
//!
//! Whatever a call carries, it costs Redis a read, a reply, a write to its file and a message to
//! each node that follows the rooms: as much as some four batches. So rooms that get something to
//! append soon after a call share the next one. How soon goes by the call before: one that carried
//! a single room is followed after [`CALL_SPACING`], as that room's own batches are, so a room that
//! is alone does not notice. One that was shared is followed after [`SHARED_CALL_SPACING`].
//!
//! | question | call |
//! |---|---|
//! | append, first attempt | shared, by at most [`CALL_ROOMS_MAX`] rooms and [`CALL_ENTRIES_MAX`] entries |
//! | append, repeated | its own: a room that makes a call fail fails alone |
//! | resync, opening, heal | its own: it may carry or return thousands of events |
//! | any, in a Redis Cluster | its own, and at once: rooms belong to different slots |
//!
//! Invariants: a question is in one call; the calls of a room are apart by its own spacing; no
//! shared call begins sooner after the one before than its spacing says.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::room::BATCH_SPACING;
use crate::cluster::redis::append::RoomQuestion;
use crate::cluster::redis::log_replica::BATCH_MAX;
use crate::domain::LiveId;

/// Time after a call with the batch of one room.
const CALL_SPACING: Duration = BATCH_SPACING;
/// Time after a call that rooms shared. More saves Redis work, and delays comments by as much.
const SHARED_CALL_SPACING: Duration = Duration::from_millis(10);
/// Most rooms in a call. Redis serves nobody else meanwhile: 64 rooms with one entry each take it
/// some 1.2 ms, and with 8 each 3.2 ms.
const CALL_ROOMS_MAX: usize = 64;
/// Most entries in a call, which is what one room may append: some 2.6 ms.
const CALL_ENTRIES_MAX: usize = BATCH_MAX;

/// The calls of `append.lua` that are due.
#[derive(Debug)]
pub struct AppendCalls {
    is_cluster: bool,
    /// Rooms that may have a question, by the time when they may ask it.
    due: BTreeSet<(Instant, LiveId)>,
    /// No question is put before.
    next_call: Instant,
}

impl AppendCalls {
    pub fn new(is_cluster: bool, now: Instant) -> Self {
        Self {
            is_cluster,
            due: BTreeSet::new(),
            next_call: now,
        }
    }

    /// When the next room is due.
    pub fn next_at(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    /// A room may have a question, which it may ask from `at` on: returns whether it may ask now.
    /// Otherwise [`AppendCalls::take_due`] returns it later.
    pub fn may_ask(&mut self, live_id: LiveId, at: Instant, now: Instant) -> bool {
        let at = at.max(self.next_call);
        if at > now {
            self.due.insert((at, live_id));
        }
        at <= now
    }

    /// The rooms that may ask now.
    pub fn take_due(&mut self, now: Instant) -> BTreeSet<LiveId> {
        let mut rooms = BTreeSet::new();
        while let Some(&(at, live_id)) = self.due.first()
            && at <= now
        {
            self.due.pop_first();
            rooms.insert(live_id);
        }
        rooms
    }

    /// The calls that put these questions, which are sent now.
    pub fn calls(&mut self, questions: Vec<RoomQuestion>, now: Instant) -> Vec<Vec<RoomQuestion>> {
        let (shared, own): (Vec<_>, Vec<_>) = questions
            .into_iter()
            .partition(|room| !self.is_cluster && room.may_share());
        match shared.len() {
            0 => {}
            1 => self.next_call = now + CALL_SPACING,
            _ => self.next_call = now + SHARED_CALL_SPACING,
        }
        let mut calls = share(shared);
        calls.extend(own.into_iter().map(|room| vec![room]));
        calls
    }
}

/// Puts questions into as few calls as the limits permit, in their order.
fn share(questions: Vec<RoomQuestion>) -> Vec<Vec<RoomQuestion>> {
    let mut calls: Vec<Vec<RoomQuestion>> = Vec::new();
    let mut entries = 0;
    for room in questions {
        let size = room.question.batch.len();
        match calls.last_mut() {
            Some(call) if call.len() < CALL_ROOMS_MAX && entries + size <= CALL_ENTRIES_MAX => {
                entries += size;
                call.push(room);
            }
            _ => {
                entries = size;
                calls.push(vec![room]);
            }
        }
    }
    calls
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::redis::log_replica::{AppendArgument, Question};

    const MS: Duration = Duration::from_millis(1);

    fn live(id: i64) -> LiveId {
        LiveId::new(id).unwrap()
    }

    /// A room that appends so many entries.
    fn append(id: i64, entries: u64) -> RoomQuestion {
        let entry = |sequence| AppendArgument {
            sequence,
            key: String::new(),
            line: "line".to_owned(),
        };
        RoomQuestion {
            live_id: live(id),
            origin: 1,
            is_repeated: false,
            question: Question {
                number: 1,
                cursor: None,
                renew: false,
                fill: 64,
                is_incomplete: false,
                batch: (1..=entries).map(entry).collect(),
            },
        }
    }

    fn rooms(calls: &[Vec<RoomQuestion>]) -> Vec<Vec<i64>> {
        let ids = |call: &Vec<RoomQuestion>| call.iter().map(|room| room.live_id.get()).collect();
        calls.iter().map(ids).collect()
    }

    #[test]
    fn a_room_that_is_alone_asks_at_once_and_as_often_as_it_may() {
        let mut now = Instant::now();
        let mut calls = AppendCalls::new(false, now);
        for _ in 0..3 {
            assert!(calls.may_ask(live(1), now, now));
            assert_eq!(rooms(&calls.calls(vec![append(1, 1)], now)), [[1]]);
            now += CALL_SPACING;
        }
        assert_eq!(calls.next_at(), None);
    }

    #[test]
    fn rooms_that_ask_soon_after_a_call_share_the_next_one() {
        let now = Instant::now();
        let mut calls = AppendCalls::new(false, now);
        calls.calls(vec![append(1, 1)], now);
        for id in [2, 3, 2] {
            let at = now + MS * u32::try_from(id).unwrap();
            assert!(!calls.may_ask(live(id), at, at));
        }
        // It may ask later than the others.
        let later = now + 3 * CALL_SPACING;
        assert!(!calls.may_ask(live(4), later, now));

        assert!(calls.take_due(now + CALL_SPACING - MS).is_empty());
        let next = calls.next_at().unwrap();
        assert_eq!(next, now + CALL_SPACING);
        let due: Vec<_> = calls.take_due(next).into_iter().collect();
        assert_eq!(due, [live(2), live(3)]);
        let questions = vec![append(2, 1), append(3, 1)];
        assert_eq!(rooms(&calls.calls(questions, next)), [[2, 3]]);
        assert_eq!(calls.next_at(), Some(later));
    }

    #[test]
    fn a_call_that_rooms_shared_is_followed_later_than_one_of_a_single_room() {
        let now = Instant::now();
        let mut calls = AppendCalls::new(false, now);
        calls.calls(vec![append(1, 1), append(2, 1)], now);
        assert!(!calls.may_ask(live(3), now, now + CALL_SPACING));
        let next = now + SHARED_CALL_SPACING;
        assert_eq!(calls.next_at(), Some(next));
        calls.calls(vec![append(3, 1)], next);
        assert!(calls.may_ask(live(3), next, next + CALL_SPACING));
    }

    #[test]
    fn a_call_carries_no_more_rooms_and_entries_than_its_limits() {
        let now = Instant::now();
        let mut calls = AppendCalls::new(false, now);
        let rooms_max = i64::try_from(CALL_ROOMS_MAX).unwrap();
        let small = (1..=rooms_max + 1).map(|id| append(id, 1)).collect();
        let sizes = calls
            .calls(small, now)
            .iter()
            .map(Vec::len)
            .collect::<Vec<_>>();
        assert_eq!(sizes, [CALL_ROOMS_MAX, 1]);

        let most = u64::try_from(CALL_ENTRIES_MAX).unwrap();
        let large = vec![
            append(1, most - 1),
            append(2, 1),
            append(3, 1),
            append(4, most),
        ];
        assert_eq!(
            rooms(&calls.calls(large, now)),
            [vec![1, 2], vec![3], vec![4]]
        );
    }

    #[test]
    fn a_heal_a_resync_and_a_repeated_batch_go_in_calls_of_their_own() {
        let now = Instant::now();
        let mut calls = AppendCalls::new(false, now);
        let (mut heal, mut resync, mut repeated) = (append(2, 9), append(3, 0), append(4, 1));
        heal.question.renew = true;
        resync.question.fill = 10;
        repeated.is_repeated = true;
        let own = vec![heal, resync, repeated];
        assert_eq!(rooms(&calls.calls(own, now)), [[2], [3], [4]]);
        assert!(calls.may_ask(live(1), now, now), "they delay no other room");
        let mut heal = append(2, 9);
        heal.question.renew = true;
        let questions = vec![append(1, 1), heal, append(3, 1)];
        assert_eq!(rooms(&calls.calls(questions, now)), [vec![1, 3], vec![2]]);
    }

    #[test]
    fn in_a_redis_cluster_every_room_asks_alone_and_waits_for_no_other() {
        let now = Instant::now();
        let mut calls = AppendCalls::new(true, now);
        let questions = vec![append(1, 1), append(2, 1)];
        assert_eq!(rooms(&calls.calls(questions, now)), [[1], [2]]);
        assert!(calls.may_ask(live(3), now, now));
    }
}
