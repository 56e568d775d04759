//! What moderation costs a room's decisions: microseconds from a comment to its answer, without
//! sockets and store, by what the room has to look up.
//!
//!     cargo bench --bench moderation
//!
//! Every room has 1,000 members, and has its turn in each round, so that what else the machine does
//! falls on all. A figure is that of the fastest round, the median is beside it. The checks take from
//! the room what they take in a server, and the filter is that of `cargo bench --bench word_filter`.

#[path = "../word_filter/made_up.rs"]
mod made_up;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use liveroom::domain::word_filter::{CompiledTerms, FilterVerdict, WordFilter, import};
use liveroom::domain::{
    AckId, BucketRate, Caller, Coins, CommandEnv, CommentId, CommentText, Effect, Gift, GiftId,
    Live, LiveId, LiveStatus, Offset, Position, PresenceSettings, Principal, Profile, ReplyTo,
    RequestId, Room, RoomCommand, RoomEvent, RoomSettings, Sanction, SanctionId, SanctionKind,
    SanctionScope, Sequenced, SessionId, Standing, Standings, Timestamp, UserId,
};

use made_up::{Random, terms};

const MEMBERS: u64 = 1_000;
const SANCTIONS: u64 = 1_000;
const TERMS: usize = 10_000;
const COMMENTS: usize = 2_000;
const ROUNDS: usize = 41;

const NO_LIMIT: BucketRate = BucketRate {
    burst: 1_000_000_000,
    refill: 1_000_000_000,
    per_ms: 1,
};
const SETTINGS: RoomSettings = RoomSettings {
    comment_rate: NO_LIMIT,
    streamer_comment_rate: NO_LIMIT,
    crowd_events_per_s: 0,
    join_rate: NO_LIMIT,
    presence: PresenceSettings {
        full_users_max: 100,
        merged_users_max: 200,
        notable_users_max: 20,
        merge_ms: 1_500,
        list_rate: NO_LIMIT,
    },
    leave_grace_ms: 30_000,
    dedupe_ms: 300_000,
    dedupe_max: 10_000,
    gifts_in_flight_max: 64,
    order_knows_gifts: false,
};
const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// What a room decides with.
struct Env {
    filter: WordFilter,
    comments: i64,
}

impl CommandEnv<u64> for Env {
    fn recover_after(&mut self, _: &Position, _: &u64, _: Timestamp) -> Option<Offset> {
        None
    }

    fn next_comment_id(&mut self, _: Timestamp) -> CommentId {
        self.comments += 1;
        CommentId::new(self.comments).expect("positive")
    }

    fn new_request_id(&mut self) -> RequestId {
        panic!("nobody gives")
    }

    fn check_text(&self, text: &str) -> FilterVerdict {
        self.filter.check(text)
    }

    fn gift(&self, _: GiftId) -> Option<Arc<Gift>> {
        None
    }
}

fn user(number: u64) -> UserId {
    UserId::new(number as i64 + 1).expect("positive")
}

fn caller(number: u64) -> Caller<u64> {
    Caller {
        session: SessionId(number),
        profile: Arc::new(Profile {
            id: user(number),
            name: format!("user {number}"),
            avatar: None,
        }),
        socket_id: "s".into(),
        account_since: Timestamp(0),
        site_sanctions: Default::default(),
        address: Ipv4Addr::from_bits(number as u32).into(),
        to: ReplyTo {
            handle: number,
            ack: AckId::Number(1),
        },
    }
}

/// Mutes of users that are elsewhere.
fn sanctions(count: u64) -> Standings {
    let sanction = |number: u64| Sanction {
        id: SanctionId::new(number as i64 + 1).expect("positive"),
        kind: SanctionKind::Mute,
        scope: SanctionScope::Streamer,
        until: None,
        gifts: true,
        reason: Some("spam".into()),
        by: Principal::Operator,
        since: NOW,
    };
    let standing = |number| {
        let standing = Standing {
            is_moderator: false,
            sanctions: vec![sanction(number)],
        };
        (user(MEMBERS + number), standing)
    };
    Standings {
        version: count,
        users: (0..count).map(standing).collect(),
        named: Vec::new(),
    }
}

struct Measured {
    name: &'static str,
    room: Room<u64>,
    env: Env,
    offset: Offset,
    /// By round, for each comment.
    rounds: Vec<Duration>,
}

impl Measured {
    fn new(name: &'static str, sanctions_count: u64, terms: Option<&Arc<CompiledTerms>>) -> Self {
        let live = Live {
            id: LiveId::FIRST,
            owner: user(MEMBERS + SANCTIONS),
            title: "show".to_owned(),
            status: LiveStatus::OnAir,
            coin: Coins::ZERO,
            look_count: 0,
        };
        let origin = Position {
            epoch: "e".into(),
            offset: 0,
        };
        let mut room = Room::open(live, origin, Vec::new(), SETTINGS, NOW);
        room.open_standings(sanctions(sanctions_count));
        let mut env = Env {
            filter: WordFilter::new(terms.cloned(), None),
            comments: 0,
        };
        for number in 0..MEMBERS {
            let join = RoomCommand::Join { since: Ok(None) };
            room.handle(caller(number), join, &mut env, NOW)
                .expect("everybody may join");
        }
        Self {
            name,
            room,
            env,
            offset: 0,
            rounds: Vec::new(),
        }
    }

    /// One comment from the command to its answer, as the actor has the room do it.
    fn comment(&mut self, caller: Caller<u64>, text: CommentText) {
        let command = RoomCommand::Comment {
            text: Ok(text),
            request_id: Ok(None),
        };
        let effects = self
            .room
            .handle(caller, command, &mut self.env, NOW)
            .expect("it is accepted");
        for effect in effects {
            let Effect::PostComment(comment) = effect else {
                continue;
            };
            self.offset += 1;
            let id = comment.id;
            let sequenced = Sequenced {
                epoch: "e".into(),
                offset: self.offset,
                event: RoomEvent::Comment(comment),
            };
            let (sequenced, _) = self.room.judge(sequenced, NOW);
            self.room.on_event_ordered(&sequenced, NOW);
            self.room.comment_stored(id, Ok(()));
        }
    }

    fn round(&mut self, texts: &[CommentText]) {
        let commands: Vec<_> = texts
            .iter()
            .enumerate()
            .map(|(at, text)| (caller(at as u64 % MEMBERS), text.clone()))
            .collect();
        let began = Instant::now();
        for (caller, text) in commands {
            self.comment(caller, text);
        }
        let length = began.elapsed() / u32::try_from(texts.len()).expect("few texts");
        self.rounds.push(length);
    }
}

/// Texts that nothing is found in that refuses them.
fn texts(length: usize, filter: &WordFilter) -> Vec<CommentText> {
    let mut random = Random(3);
    let mut texts = Vec::new();
    while texts.len() < COMMENTS {
        let text: String = random.chinese(length as u32);
        if filter.check(&text).hits().is_empty() {
            texts.push(CommentText::parse(&text, 1_000).expect("short"));
        }
    }
    texts
}

fn main() {
    // `cargo bench` says so; anything else only builds it.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let lines = terms(TERMS);
    let list = import(lines.as_bytes(), TERMS).expect("terms are good");
    let terms = Arc::new(CompiledTerms::compile(list, None));
    let filter = WordFilter::new(Some(terms.clone()), None);
    for length in [20, 200] {
        let texts = texts(length, &filter);
        let mut rooms = [
            Measured::new("nothing to look up", 0, None),
            Measured::new("1,000 sanctions", SANCTIONS, None),
            Measured::new("10,000 terms", 0, Some(&terms)),
            Measured::new("1,000 sanctions and 10,000 terms", SANCTIONS, Some(&terms)),
        ];
        for _ in 0..ROUNDS {
            rooms.iter_mut().for_each(|room| room.round(&texts));
        }
        println!("comments of {length} code points in a room with {MEMBERS} members:");
        let mut base = None;
        for room in &mut rooms {
            room.rounds.sort();
            let (fastest, median) = (room.rounds[0], room.rounds[ROUNDS / 2]);
            let more = fastest.saturating_sub(*base.get_or_insert(fastest));
            println!(
                "  {}: {fastest:.2?} (median {median:.2?}), {more:.2?} more",
                room.name
            );
        }
    }
}
