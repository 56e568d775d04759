//! Random interleavings of everything that can happen to a room, and what must hold whatever they
//! are. Around the room stand a store, books and a broker that answer late, in any order, with
//! failures, or so that the answer is lost.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::net::Ipv4Addr;
use std::sync::Arc;

use liveroom::domain::{
    AckId, BucketRate, CROWD_ROUND_MS, Caller, Coins, CommentId, CommentText, CommentWriteError,
    CrowdRate, Effect, GiftCount, GiftId, GiftOrder, GiftRecordId, GiftRefusal, History,
    HistoryLimits, Live, LiveId, LiveStatus, Offset, Position, PresenceSettings, Profile, Reject,
    ReplyTo, RequestId, Room, RoomCommand, RoomEvent, RoomSettings, Sequenced, SessionId,
    Timestamp, UserId,
};
use proptest::prelude::*;
use proptest::sample::Index;

mod checks;
mod clients;
mod effects;
mod held;
mod moderated;
mod outside;
mod step;
mod views;

use clients::Clients;
use outside::{Books, Env};
use step::{Settling, Step};
use views::Views;

const OPENING: Coins = Coins::new(1_000);
const SETTINGS: RoomSettings = RoomSettings {
    comment_rate: BucketRate {
        burst: 5,
        refill: 2,
        per_ms: 3_000,
    },
    streamer_comment_rate: BucketRate {
        burst: 20,
        refill: 8,
        per_ms: 3_000,
    },
    crowd_events_per_s: 4,
    join_rate: BucketRate {
        burst: 6,
        refill: 2,
        per_ms: 1_000,
    },
    presence: PresenceSettings {
        full_users_max: 1,
        merged_users_max: 2,
        notable_users_max: 1,
        merge_ms: 1_500,
        list_rate: BucketRate {
            burst: 6,
            refill: 1,
            per_ms: 1_000,
        },
    },
    leave_grace_ms: 30_000,
    dedupe_ms: 300_000,
    dedupe_max: 1_000,
    gifts_in_flight_max: 3,
    order_knows_gifts: false,
};

/// Smaller than the steps between a loss and a return often are.
const HISTORY: HistoryLimits = HistoryLimits {
    events_max: 6,
    age_ms: 60_000,
};

/// The room, what surrounds it, and a model of what must be so.
struct World {
    room: Room<u64>,
    now: Timestamp,
    broker_elsewhere: bool,
    store_full: bool,
    books: Books,
    storing: Vec<CommentId>,
    settling: BTreeMap<u64, Arc<GiftOrder>>,
    unplaced: VecDeque<RoomEvent>,

    last_offset: Offset,
    /// As the actor keeps it.
    history: History<Sequenced>,
    clients: Clients,
    comments_count: i64,
    asked_count: i64,
    answered: HashSet<i64>,
    submitted: HashSet<CommentId>,
    stored: HashSet<CommentId>,
    /// Comments with a request id, and when they were posted.
    posted: HashMap<CommentId, (UserId, RequestId, Timestamp)>,
    sampled_out: HashSet<CommentId>,
    echoed: HashSet<CommentId>,
    /// When the newest comment under a request id that was sampled out was posted.
    left_out: HashMap<(UserId, RequestId), Timestamp>,
    /// The last rate that was told.
    rate: Option<CrowdRate>,
    told_comments: HashMap<CommentId, Offset>,
    told_gifts: HashMap<GiftRecordId, Offset>,
    told_coins: i64,
    /// The newest comment under each request id that did not fail, and when it was posted.
    kept: HashMap<(UserId, RequestId), (CommentId, Timestamp)>,
    sessions: BTreeMap<u64, UserId>,
    lingering: BTreeMap<UserId, Timestamp>,
    attached: BTreeSet<u64>,
    views: Views,
}

impl World {
    fn new(broker_elsewhere: bool) -> Self {
        let now = Timestamp(1_000_000);
        let (id, owner, title) = (LiveId::FIRST, user_id(0), "show".to_owned());
        let origin = Position {
            epoch: "e".into(),
            offset: 0,
        };
        let live = Live {
            id,
            owner,
            title,
            status: LiveStatus::OnAir,
            coin: OPENING,
            look_count: 0,
        };
        Self {
            room: Room::open(live, origin.clone(), Vec::new(), SETTINGS, now),
            now,
            broker_elsewhere,
            store_full: false,
            books: Books::default(),
            storing: Vec::new(),
            settling: BTreeMap::new(),
            unplaced: VecDeque::new(),
            last_offset: 0,
            history: History::new(HISTORY, origin.clone()),
            clients: Clients::default(),
            comments_count: 0,
            asked_count: 0,
            answered: HashSet::new(),
            submitted: HashSet::new(),
            stored: HashSet::new(),
            posted: HashMap::new(),
            sampled_out: HashSet::new(),
            echoed: HashSet::new(),
            left_out: HashMap::new(),
            rate: None,
            told_comments: HashMap::new(),
            told_gifts: HashMap::new(),
            told_coins: 0,
            kept: HashMap::new(),
            sessions: BTreeMap::new(),
            lingering: BTreeMap::new(),
            attached: BTreeSet::new(),
            views: Views::default(),
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Join { session, user } => self.join(session, user_id(user)),
            Step::Leave { session } => {
                let to = self.ask(session);
                self.forget(session);
                // The room asks nothing of the user of a session that leaves.
                let decision = self.handle(&to, user_id(0), RoomCommand::Leave);
                assert!(decision.is_ok(), "the live has started");
                self.decide(&to, decision);
            }
            Step::Lose { session } => {
                if let Some(user) = self.sessions.remove(&session)
                    && !self.sessions.values().any(|other| *other == user)
                {
                    self.lingering
                        .insert(user, self.now.plus_ms(SETTINGS.leave_grace_ms));
                }
                let effects = self.room.connection_lost(SessionId(session), self.now);
                self.perform(effects);
            }
            Step::Expel { session } => {
                self.forget(session);
                let effects = self.room.remove(SessionId(session), self.now);
                self.perform(effects);
            }
            Step::Comment {
                session,
                user,
                text,
                request,
            } => self.comment(session, user_id(user), text, request),
            Step::Gift {
                session,
                user,
                price,
                request,
            } => self.gift(session, user_id(user), price, request),
            Step::Store { which, answer } if !self.storing.is_empty() => {
                let id = self.storing.remove(which.index(self.storing.len()));
                self.store_answers(id, answer);
            }
            Step::StoreFull(full) => self.store_full = full,
            Step::Books { which, answer } if !self.settling.is_empty() => {
                let ticket = *which.get(&self.settling.keys().collect::<Vec<_>>());
                self.books_answer(*ticket, answer);
            }
            Step::Place => self.place_next(),
            Step::Wait { ms } => self.wait(ms),
            Step::WaitOut => self.wait(SETTINGS.dedupe_ms),
            Step::Remove { which } if !self.told_comments.is_empty() => self.remove_comment(which),
            Step::Status(status) => {
                let effects = self.room.live_changed(status, "show", self.now);
                self.perform(effects);
            }
            Step::Store { .. } | Step::Books { .. } | Step::Remove { .. } => {}
        }
        self.check();
    }

    /// A command with an answer of its own.
    fn ask(&mut self, session: u64) -> ReplyTo<u64> {
        self.asked_count += 1;
        ReplyTo {
            handle: session,
            ack: AckId::Number(self.asked_count),
        }
    }

    fn handle(
        &mut self,
        to: &ReplyTo<u64>,
        user: UserId,
        command: RoomCommand,
    ) -> Result<Vec<Effect<u64>>, Reject> {
        let caller = Caller {
            session: SessionId(to.handle),
            profile: profile(user),
            socket_id: format!("s{}", to.handle).into(),
            site_sanctions: Default::default(),
            account_since: Timestamp(0),
            address: Ipv4Addr::from_bits(to.handle as u32 % 3).into(),
            to: to.clone(),
        };
        let mut env = Env {
            history: &self.history,
            comments_count: self.comments_count,
        };
        self.room.handle(caller, command, &mut env, self.now)
    }

    fn decide(&mut self, to: &ReplyTo<u64>, decision: Result<Vec<Effect<u64>>, Reject>) {
        match decision {
            Ok(effects) => self.perform(effects),
            Err(reject) => self.hear_answer(to, &Err(reject)),
        }
    }

    fn join(&mut self, session: u64, user: UserId) {
        let to = self.ask(session);
        let since = self
            .clients
            .seen(session)
            .filter(|seen| self.history.reaches(seen, self.now))
            .cloned();
        let was_online = self.online().contains(&user);
        let decision = self.handle(&to, user, RoomCommand::Join { since: Ok(since) });
        assert!(
            decision.is_ok() || !was_online,
            "who is online comes in at any time"
        );
        if decision.is_ok() {
            self.sessions.insert(session, user);
            self.lingering.remove(&user);
        }
        self.decide(&to, decision);
    }

    fn forget(&mut self, session: u64) {
        self.sessions.remove(&session);
    }

    fn comment(&mut self, session: u64, user: UserId, text: u8, request: Option<u8>) {
        let to = self.ask(session);
        self.comments_count += 1;
        let id = CommentId::new(self.comments_count).expect("positive");
        let text = CommentText::parse(["one", "two"][usize::from(text)], 200).expect("short");
        if let Some(request) = request {
            self.posted
                .insert(id, (user, request_id(request), self.now));
        }
        let request_id = Ok(request.map(request_id));
        let decision = self.handle(
            &to,
            user,
            RoomCommand::Comment {
                text: Ok(text),
                request_id,
            },
        );
        if let Err(Reject::RateLimited { retry_after_ms }) = decision {
            let rate = if user == self.room.live().owner {
                SETTINGS.streamer_comment_rate
            } else {
                SETTINGS.comment_rate
            };
            assert!(
                (1..=u64::from(rate.per_ms / rate.refill)).contains(&retry_after_ms),
                "{retry_after_ms}"
            );
        }
        if self.sessions.get(&session) != Some(&user) {
            assert!(
                matches!(decision, Err(Reject::NotInRoom)),
                "a stranger spoke"
            );
        }
        self.decide(&to, decision);
    }

    fn gift(&mut self, session: u64, user: UserId, price: u8, request: u8) {
        let to = self.ask(session);
        let gift_id = GiftId::new(i64::from(price) + 1);
        let decision = self.handle(&to, user, gift_command(gift_id, request_id(request)));
        self.decide(&to, decision);
    }

    fn store_answers(&mut self, id: CommentId, answer: Result<(), CommentWriteError>) {
        match answer {
            Ok(()) => drop(self.stored.insert(id)),
            Err(_) => self.kept.retain(|_, (kept, _)| *kept != id),
        }
        let effects = self.room.comment_stored(id, answer);
        self.perform(effects);
    }

    fn books_answer(&mut self, ticket: u64, answer: Settling) {
        let Some(order) = self.settling.remove(&ticket) else {
            return;
        };
        let result = match answer {
            Settling::Honest => self.books.commit(&order),
            Settling::Lost => self.books.commit(&order).and(Err(GiftRefusal::Busy)),
            Settling::Refused(refusal) => Err(refusal),
        };
        let effects = self.room.gift_settled(ticket, result);
        self.perform(effects);
    }

    fn place_next(&mut self) {
        if let Some(event) = self.unplaced.pop_front() {
            self.place(event);
        }
    }

    fn remove_comment(&mut self, which: Index) {
        let mut told: Vec<_> = self.told_comments.keys().copied().collect();
        told.sort_unstable();
        let comment_id = *which.get(&told);
        let removal = RoomEvent::Removed {
            live_id: self.room.live().id,
            comment_id,
        };
        self.publish(removal);
    }

    fn wait(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
        self.lingering.retain(|_, at| *at > self.now);
        let effects = self.room.tick(self.now);
        self.perform(effects);
    }

    /// Everybody who owes an answer gives it.
    fn settle(&mut self) {
        self.wait(CROWD_ROUND_MS);
        while let Some(id) = self.storing.pop() {
            self.store_answers(id, Ok(()));
        }
        while let Some(ticket) = self.settling.keys().next().copied() {
            self.books_answer(ticket, Settling::Honest);
        }
        while !self.unplaced.is_empty() {
            self.place_next();
        }
    }

    fn online(&self) -> BTreeSet<UserId> {
        self.sessions
            .values()
            .chain(self.lingering.keys())
            .copied()
            .collect()
    }
}

fn user_id(user: u8) -> UserId {
    UserId::new(i64::from(user) + 1).expect("positive")
}

fn request_id(request: u8) -> RequestId {
    RequestId::parse(&format!("r{request}")).expect("plain")
}

fn gift_command(gift_id: Option<GiftId>, request_id: RequestId) -> RoomCommand {
    RoomCommand::Gift {
        gift_id,
        count: Ok(GiftCount::ONE),
        shown_price: Ok(None),
        request_id: Ok(Some(request_id)),
    }
}

fn profile(id: UserId) -> Arc<Profile> {
    Arc::new(Profile {
        id,
        name: format!("user {id}"),
        avatar: None,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn promises_hold_whatever_happens(elsewhere in any::<bool>(), steps in prop::collection::vec(step::step(), 1..120)) {
        let mut world = World::new(elsewhere);
        for step in steps {
            world.run(step);
        }
        world.check_settled();
        world.check_retried();
    }
}

/// The room has no way to show its maps; its debug form lists them all.
#[test]
fn what_a_room_keeps_does_not_grow_with_those_who_came_and_went() {
    let mut world = World::new(false);
    let mut size_after = |rounds: std::ops::Range<i64>| {
        for round in rounds {
            let user = UserId::new(round + 1).expect("positive");
            world.join(0, user);
            let request = Some((round % 200) as u8);
            world.comment(0, user, 0, request);
            world.gift(0, user, 0, (round % 200) as u8);
            world.settle();
            world.run(Step::Leave { session: 0 });
            world.wait(1_000);
            // As the actor does, which tells it to other nodes.
            world.room.take_local_changes();
        }
        format!("{:?}", world.room).len()
    };
    let size = size_after(0..2_000);
    let later = size_after(2_000..6_000);
    // Numbers get longer; nothing else may.
    assert!(
        later < size + size / 10,
        "{size} bytes after 2,000 members, {later} after 6,000"
    );
}
