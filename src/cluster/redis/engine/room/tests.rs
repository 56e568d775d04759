//! How a room opens while other nodes go on in it.

use std::sync::Mutex;

use super::super::super::entries::{Batch, Cursor, EventId, LogPosition, LoggedEvent};
use super::super::TICK;
use super::super::out::Reach;
use super::*;
use crate::domain::{Epoch, LiveId, RoomEvent};
use crate::protocol::write_event;

const EPOCH: &str = "e";
/// More than a room of these tests has in its log.
const HISTORY_MAX: usize = 100;

fn position(offset: u64) -> LogPosition {
    LogPosition {
        generation: 1,
        offset,
    }
}

/// Events of another node at these offsets.
fn entries(offsets: impl Iterator<Item = u64>) -> Vec<LoggedEvent> {
    let entry = |offset| {
        let notice = RoomEvent::Notice {
            live_id: LiveId::FIRST,
            text: format!("event {offset}").into(),
        };
        LoggedEvent {
            position: position(offset),
            epoch: EPOCH.into(),
            id: EventId {
                origin: 7,
                sequence: offset,
            },
            line: write_event(&notice, Timestamp(0)),
        }
    };
    offsets.map(entry).collect()
}

/// The answer of a log that ends with the last of these.
fn answer(missed: std::ops::RangeInclusive<u64>) -> Answer {
    Answer {
        epoch: EPOCH.into(),
        end: position(*missed.end()),
        before: position(*missed.end()),
        places: Vec::new(),
        missed: entries(missed),
        gap: 0,
        controls: Vec::new(),
        controls_count: 0,
        same: true,
    }
}

fn published(offset: u64) -> Batch {
    Batch {
        before: position(offset - 1),
        epoch: EPOCH.into(),
        end: position(offset),
        entries: entries(offset..=offset),
        gap: 0,
        controls: Vec::new(),
        previews: Vec::new(),
        controls_count: 0,
    }
}

/// A room that opens, and the receiver of what it opens with.
fn opening_room(now: Instant) -> (EngineRoom, oneshot::Receiver<Opened>) {
    let (reply, opened) = oneshot::channel();
    let key = RoomKey {
        live_id: LiveId::FIRST,
        origin: 2,
    };
    let room = EngineRoom::new(key, NodeId(1), Arc::default(), reply, Timestamp(0), now);
    (room, opened)
}

/// Puts the room's next question. Returns its number and cursor.
fn ask(room: &mut EngineRoom) -> (u64, Option<Cursor>) {
    let now = room.next_question;
    let question = room.question(now).expect("a question is due");
    (question.number, question.cursor)
}

/// The position, the offsets of the history, and those that are delivered afterwards.
fn offsets(room: &mut EngineRoom, opened: Opened) -> (Position, Vec<u64>, Vec<u64>) {
    let recent = opened.recent.iter().map(|(event, _)| event.offset);
    let delivered = Arc::new(Mutex::new(Vec::new()));
    let listener = delivered.clone();
    room.listen(Box::new(move |from_log| {
        if let FromLog::Ordered(events) = from_log {
            let offsets = events.iter().map(|event| event.offset);
            listener.lock().unwrap().extend(offsets);
        }
    }));
    let delivered = delivered.lock().unwrap().clone();
    (opened.position, recent.collect(), delivered)
}

fn at(offset: u64) -> Position {
    Position {
        epoch: Epoch::from(EPOCH),
        offset,
    }
}

#[test]
fn a_room_opens_at_the_end_of_its_history_and_is_delivered_what_came_while_it_waited() {
    let now = Instant::now();
    let (mut room, mut opened) = opening_room(now);
    let (number, _) = ask(&mut room);
    room.answered(number, Ok(answer(1..=3)), HISTORY_MAX, now);
    assert!(opened.try_recv().is_err(), "it waits for snapshots");
    room.log.published(published(4));
    room.release(0);
    // A message may have been lost: the log is read once more.
    room.log.resync();
    let (number, cursor) = ask(&mut room);
    assert_eq!(cursor.map(|cursor| cursor.position), Some(position(4)));
    room.answered(number, Ok(answer(5..=5)), HISTORY_MAX, now);
    room.release(0);
    room.announced(1, now);
    let opened = opened.try_recv().expect("there is no other node");
    assert_eq!(
        offsets(&mut room, opened),
        (at(3), vec![1, 2, 3], vec![4, 5])
    );
}

#[test]
fn a_room_that_has_read_its_log_when_redis_goes_away_opens_with_its_history() {
    let now = Instant::now();
    let (mut room, mut opened) = opening_room(now);
    let (number, _) = ask(&mut room);
    room.answered(number, Ok(answer(1..=3)), HISTORY_MAX, now);
    room.open_partitioned(Duration::ZERO, now);
    let opened = opened.try_recv().expect("it does not wait any longer");
    assert_eq!(offsets(&mut room, opened), (at(3), vec![1, 2, 3], vec![]));
}

#[test]
fn a_room_that_has_not_read_its_log_when_redis_goes_away_opens_partitioned() {
    let now = Instant::now();
    let (mut room, mut opened) = opening_room(now);
    let (number, _) = ask(&mut room);
    room.open_partitioned(Duration::ZERO, now);
    let opened = opened.try_recv().expect("it does not wait any longer");
    assert_eq!(opened.position.offset, 0);
    assert!(room.log.is_partitioned());
    room.answered(number, Ok(answer(1..=3)), HISTORY_MAX, now);
    let (_, recent, delivered) = offsets(&mut room, opened);
    assert!(recent.is_empty() && delivered.is_empty(), "it is late");
}

#[test]
fn a_room_whose_batches_are_answered_does_not_resync_until_it_has_been_silent_for_a_while() {
    let mut now = Instant::now();
    let (mut room, _opened) = opening_room(now);
    let (number, _) = ask(&mut room);
    room.answered(number, Ok(answer(1..=3)), HISTORY_MAX, now);
    let redis = Reach {
        is_connected: true,
        is_reached: true,
        is_away: false,
    };
    let moment = |now| Moment {
        now,
        at: Timestamp(0),
        redis,
    };
    for offset in 4..8 {
        now += RESYNC_EVERY - TICK;
        let notice = RoomEvent::Notice {
            live_id: LiveId::FIRST,
            text: "hi".into(),
        };
        room.next_resync = now + TICK;
        room.handle(RoomInput::Append(notice), HISTORY_MAX, moment(now));
        let (number, _) = ask(&mut room);
        let answer = Answer {
            before: position(offset - 1),
            end: position(offset),
            places: vec![i64::try_from(offset).unwrap()],
            missed: Vec::new(),
            ..answer(1..=1)
        };
        room.answered(number, Ok(answer), HISTORY_MAX, now);
        room.tick(Duration::MAX, moment(now + RESYNC_EVERY - TICK));
        assert!(room.log.is_at_rest(), "nothing is due");
    }
    room.tick(Duration::MAX, moment(now + RESYNC_EVERY));
    assert!(!room.log.is_at_rest(), "messages of others may be lost");
}
