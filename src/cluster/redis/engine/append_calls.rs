//! When the rooms of this node ask their logs, and which questions share a call of `append.lua`. It
//! decides, without a connection or a clock.
//!
//! Whatever a call carries, it costs Redis a read, a reply, a write to its file and a message to
//! each node that follows the rooms: as much as four batches or more. So rooms that get something
//! to append soon after a call share the next one. How soon goes by the call before: one that
//! carried a single room is followed after [`CALL_SPACING`], as that room's own batches are, so a
//! room that is alone does not notice. Each further room adds [`ROOM_SPACING`], up to
//! [`CALL_SPACING_MAX`]: the more rooms append, the more of them share a call, and a node with few
//! busy rooms delays them little.
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
/// What each further room in it adds.
const ROOM_SPACING: Duration = Duration::from_micros(2_500);
/// Most time after a call. More saves Redis work, and delays comments by as much.
const CALL_SPACING_MAX: Duration = Duration::from_millis(20);
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

    /// When the next rooms may ask.
    pub fn next_at(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| self.next_call.max(*at))
    }

    /// A room may have a question, which it may ask from `at` on: [`AppendCalls::take_due`] returns
    /// it then.
    pub fn add(&mut self, live_id: LiveId, at: Instant) {
        // A room that is added again and again while it waits is due once.
        self.due.insert((at.max(self.next_call), live_id));
    }

    /// The rooms that may ask now.
    pub fn take_due(&mut self, now: Instant) -> BTreeSet<LiveId> {
        let mut rooms = BTreeSet::new();
        if now < self.next_call {
            return rooms;
        }
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
        if let Some(further) = shared.len().checked_sub(1) {
            self.next_call = now + spacing_after(further);
        }
        let mut calls = share(shared);
        calls.extend(own.into_iter().map(|room| vec![room]));
        calls
    }
}

/// Time after a call that carried so many rooms beside the first.
fn spacing_after(further: usize) -> Duration {
    let further = u32::try_from(further).unwrap_or(u32::MAX);
    let spacing = ROOM_SPACING
        .saturating_mul(further)
        .saturating_add(CALL_SPACING);
    spacing.min(CALL_SPACING_MAX)
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

    fn due(calls: &mut AppendCalls, now: Instant) -> Vec<i64> {
        calls.take_due(now).into_iter().map(LiveId::get).collect()
    }

    #[test]
    fn a_room_that_is_alone_asks_at_once_and_as_often_as_it_may() {
        let mut now = Instant::now();
        let mut calls = AppendCalls::new(false, now);
        for _ in 0..3 {
            calls.add(live(1), now);
            assert_eq!(due(&mut calls, now), [1]);
            assert_eq!(rooms(&calls.calls(vec![append(1, 1)], now)), [[1]]);
            now += CALL_SPACING;
        }
        assert_eq!(calls.next_at(), None);
    }

    #[test]
    fn rooms_that_ask_soon_after_a_call_share_the_next_one() {
        let now = Instant::now();
        let mut calls = AppendCalls::new(false, now);
        // It may ask later than the others.
        calls.add(live(4), now + CALL_SPACING + MS);
        calls.calls(vec![append(1, 1)], now);
        for id in [2, 3, 2] {
            calls.add(live(id), now + MS);
        }
        let next = now + CALL_SPACING;
        assert!(due(&mut calls, next - MS).is_empty());
        assert_eq!(calls.next_at(), Some(next));
        assert_eq!(due(&mut calls, next), [2, 3], "each once");
        let questions = vec![append(2, 1), append(3, 1)];
        assert_eq!(rooms(&calls.calls(questions, next)), [[2, 3]]);

        let after = next + CALL_SPACING + ROOM_SPACING;
        assert_eq!(calls.next_at(), Some(after), "room 4 waits as all do");
        assert!(due(&mut calls, after - MS).is_empty());
        assert_eq!(due(&mut calls, after), [4]);
    }

    #[test]
    fn a_call_is_followed_the_later_the_more_rooms_shared_it_up_to_a_bound() {
        let now = Instant::now();
        for (count, spacing) in [
            (1, CALL_SPACING),
            (2, CALL_SPACING + ROOM_SPACING),
            (4, CALL_SPACING + 3 * ROOM_SPACING),
            (7, CALL_SPACING_MAX),
            (100, CALL_SPACING_MAX),
        ] {
            let mut calls = AppendCalls::new(false, now);
            calls.calls((1..=count).map(|id| append(id, 1)).collect(), now);
            calls.add(live(3), now);
            assert_eq!(calls.next_at(), Some(now + spacing), "{count} rooms");
        }
    }

    #[test]
    fn after_a_call_of_a_single_room_the_next_one_is_soon_again() {
        let now = Instant::now();
        let mut calls = AppendCalls::new(false, now);
        calls.calls(vec![append(1, 1), append(2, 1)], now);
        let next = now + CALL_SPACING + ROOM_SPACING;
        calls.calls(vec![append(3, 1)], next);
        calls.add(live(3), next);
        assert_eq!(calls.next_at(), Some(next + CALL_SPACING));
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
        calls.add(live(1), now);
        assert_eq!(due(&mut calls, now), [1], "they delay no other room");
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
        calls.add(live(3), now);
        assert_eq!(due(&mut calls, now), [3]);
    }
}
