//! What may happen to a room, and how often it does.

use liveroom::domain::{CommentWriteError, GiftRefusal, LiveStatus};
use proptest::prelude::*;
use proptest::sample::Index;

const USERS: u8 = 4;
pub const SESSIONS: u64 = 7;

/// One thing that happens. Users and sessions are numbers from 0.
#[derive(Debug, Clone)]
pub enum Step {
    Join {
        session: u64,
        user: u8,
    },
    Leave {
        session: u64,
    },
    Lose {
        session: u64,
    },
    Expel {
        session: u64,
    },
    Comment {
        session: u64,
        user: u8,
        text: u8,
        request: Option<u8>,
    },
    Gift {
        session: u64,
        user: u8,
        price: u8,
        request: u8,
    },
    Store {
        which: Index,
        answer: Result<(), CommentWriteError>,
    },
    StoreFull(bool),
    Books {
        which: Index,
        answer: Settling,
    },
    Place,
    Wait {
        ms: i64,
    },
    /// As long as anything is remembered, whoever still waits for an answer.
    WaitOut,
    Status(LiveStatus),
    /// One of the comments told so far is taken down.
    Remove {
        which: Index,
    },
}

/// What the books make of a gift.
#[derive(Debug, Clone, Copy)]
pub enum Settling {
    Honest,
    /// Committed, but the room is told `busy`.
    Lost,
    Refused(GiftRefusal),
}

pub fn step() -> impl Strategy<Value = Step> {
    let session = 0..SESSIONS;
    // Mostly a session's own user, sometimes another one's token.
    let member =
        || (0..SESSIONS, 0..10u8).prop_map(|(session, user)| (session, own_or(session, user)));
    prop_oneof![
        6 => member().prop_map(|(session, user)| Step::Join { session, user }),
        2 => session.clone().prop_map(|session| Step::Leave { session }),
        2 => session.clone().prop_map(|session| Step::Lose { session }),
        1 => session.prop_map(|session| Step::Expel { session }),
        8 => (member(), 0..2u8, proptest::option::of(0..3u8)).prop_map(|((session, user), text, request)| {
            Step::Comment { session, user, text, request }
        }),
        8 => (member(), 0..3u8, 0..3u8).prop_map(|((session, user), price, request)| {
            Step::Gift { session, user, price, request }
        }),
        8 => (any::<Index>(), store_answer()).prop_map(|(which, answer)| Step::Store { which, answer }),
        1 => any::<bool>().prop_map(Step::StoreFull),
        8 => (any::<Index>(), settling()).prop_map(|(which, answer)| Step::Books { which, answer }),
        6 => Just(Step::Place),
        4 => (0..40_000i64).prop_map(|ms| Step::Wait { ms }),
        4 => (0..400i64).prop_map(|ms| Step::Wait { ms }),
        1 => Just(Step::WaitOut),
        2 => prop_oneof![3 => Just(LiveStatus::OnAir), 1 => Just(LiveStatus::Paused)].prop_map(Step::Status),
        2 => any::<Index>().prop_map(|which| Step::Remove { which }),
    ]
}

fn own_or(session: u64, user: u8) -> u8 {
    if user < USERS {
        user
    } else {
        session as u8 % USERS
    }
}

fn store_answer() -> impl Strategy<Value = Result<(), CommentWriteError>> {
    prop_oneof![4 => Just(Ok(())), 1 => Just(Err(CommentWriteError::Busy)), 1 => Just(Err(CommentWriteError::Refused))]
}

fn settling() -> impl Strategy<Value = Settling> {
    prop_oneof![
        5 => Just(Settling::Honest),
        2 => Just(Settling::Lost),
        1 => Just(Settling::Refused(GiftRefusal::CoinsInsufficient)),
        1 => Just(Settling::Refused(GiftRefusal::Busy)),
    ]
}
