//! Storms into one room, over the domain and the encodings alone.

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::sync::Arc;

use liveroom::actors::live_room::room_settings;
use liveroom::config::Config;
use liveroom::domain::{
    AckId, BucketRate, Caller, Coins, CommandEnv, CommentId, Effect, Gift, GiftId, Live, LiveId,
    LiveStatus, Offset, Position, Presence, Profile, Reply, ReplyTo, RequestId, Room, RoomCommand,
    RoomSettings, SessionId, Timestamp, UserId,
};
use liveroom::protocol::{Dialect, presence_text};

const PLENTY: BucketRate = BucketRate {
    burst: 100_000,
    refill: 100_000,
    per_ms: 1_000,
};

/// How long announcements are merged, with the defaults of the configuration.
fn merge_ms() -> i64 {
    i64::from(Config::default().presence.merge_ms.get())
}

/// A room and what its presence has cost so far.
struct Storm {
    room: Room<u64>,
    now: Timestamp,
    comers_count: u64,
    /// The sessions that are in the room, by their number.
    callers: HashMap<u64, Caller<u64>>,
    /// Bytes announced since the measuring began.
    announced_bytes: usize,
    /// By member: the bytes that had been announced before it came, and those it was shown.
    entered: BTreeMap<u64, (usize, usize)>,
    is_measuring: bool,
    announced: Vec<Arc<Presence>>,
    /// Each value once, however many it was shown to.
    shown: Vec<Arc<Presence>>,
    /// The presence that was encoded last, and its length.
    encoded: Option<(Arc<Presence>, usize)>,
}

/// Joins without a position and leaves need nothing that is outside the room.
struct NothingElse;

impl CommandEnv<u64> for NothingElse {
    fn recover_after(&mut self, _: &Position, _: &u64, _: Timestamp) -> Option<Offset> {
        None
    }

    fn next_comment_id(&mut self, _: Timestamp) -> CommentId {
        panic!("no one comments")
    }

    fn new_request_id(&mut self) -> RequestId {
        panic!("no one gives")
    }

    fn gift(&self, _: GiftId) -> Option<Arc<Gift>> {
        None
    }
}

impl Storm {
    /// A calm room with so many users.
    fn with_users(count: u64) -> Self {
        let now = Timestamp(1_795_294_582_778);
        let (id, owner, title) = (LiveId::FIRST, UserId::FIRST, "show".to_owned());
        let live = Live {
            id,
            owner,
            title,
            status: LiveStatus::OnAir,
            coin: Coins::ZERO,
            look_count: 0,
        };
        let settings = RoomSettings {
            comment_rate: PLENTY,
            streamer_comment_rate: PLENTY,
            crowd_events_per_s: 0,
            join_rate: PLENTY,
            ..room_settings(&Config::default())
        };
        let mut storm = Self {
            room: Room::open(
                live,
                Position {
                    epoch: "e".into(),
                    offset: 0,
                },
                Vec::new(),
                settings,
                now,
            ),
            now,
            comers_count: 0,
            callers: HashMap::new(),
            announced_bytes: 0,
            entered: BTreeMap::new(),
            is_measuring: false,
            announced: Vec::new(),
            shown: Vec::new(),
            encoded: None,
        };
        for _ in 0..count {
            storm.join();
        }
        storm.wait(10_000);
        storm.announced.clear();
        storm.shown.clear();
        storm.is_measuring = true;
        storm
    }

    /// The next user comes: a name and a socket id of usual length.
    fn join(&mut self) {
        self.comers_count += 1;
        let number = self.comers_count;
        let id = UserId::new(100_000 + number as i64).expect("positive");
        let profile = Arc::new(Profile {
            id,
            name: format!("viewer{number}"),
            avatar: Some(String::new()),
        });
        let socket_id = format!("93hUWfxJSj6t{number:08}").into();
        let to = ReplyTo {
            handle: number,
            ack: AckId::None,
        };
        let session = SessionId(number);
        self.callers.insert(
            number,
            Caller {
                session,
                profile,
                socket_id,
                site_sanctions: Default::default(),
                account_since: Timestamp(0),
                address: Ipv4Addr::LOCALHOST.into(),
                to,
            },
        );
        self.entered.insert(number, (self.announced_bytes, 0));
        let effects = self.handle(number, RoomCommand::Join { since: Ok(None) });
        let count = effects.iter().find_map(|effect| match effect {
            Effect::Reply {
                result: Ok(Reply::Joined { count, .. }),
                ..
            } => Some(*count),
            _ => None,
        });
        assert_eq!(
            count,
            Some(self.room.members().users_count()),
            "the answer's count is exact"
        );
        self.perform(effects);
    }

    /// The one that came as the `number`th leaves.
    fn leave(&mut self, number: u64) {
        let effects = self.handle(number, RoomCommand::Leave);
        self.callers.remove(&number);
        self.entered.remove(&number);
        self.perform(effects);
    }

    fn handle(&mut self, number: u64, command: RoomCommand) -> Vec<Effect<u64>> {
        let caller = self.callers[&number].clone();
        let decision = self
            .room
            .handle(caller, command, &mut NothingElse, self.now);
        decision.expect("the live has started, and there is plenty of room")
    }

    /// Time passes, and the room is woken when it asked to be.
    fn wait(&mut self, ms: i64) {
        let until = self.now.plus_ms(ms);
        while let Some(at) = self.room.next_deadline()
            && at <= until
        {
            self.now = at.max(self.now);
            let effects = self.room.tick(self.now);
            self.perform(effects);
        }
        self.now = until;
    }

    fn perform(&mut self, effects: Vec<Effect<u64>>) {
        for effect in effects {
            match effect {
                Effect::Announce(presence) => {
                    self.announced_bytes += self.bytes(&presence);
                    self.announced.push(presence);
                }
                Effect::Show { handle, presence } => {
                    let bytes = self.bytes(&presence);
                    self.entered.get_mut(&handle).expect("it has just come").1 = bytes;
                    if self
                        .shown
                        .last()
                        .is_none_or(|last| !Arc::ptr_eq(last, &presence))
                    {
                        self.shown.push(presence);
                    }
                }
                _ => {}
            }
        }
    }

    /// In the dialect that needs more.
    fn bytes(&mut self, presence: &Arc<Presence>) -> usize {
        if let Some((known, bytes)) = &self.encoded
            && Arc::ptr_eq(known, presence)
        {
            return *bytes;
        }
        let bytes = if self.is_measuring {
            presence_text(Dialect::PlainJson, presence).len()
        } else {
            0
        };
        self.encoded = Some((presence.clone(), bytes));
        bytes
    }

    /// What presence cost the member that paid most, its own first view included.
    fn bytes_worst(&self) -> usize {
        let costs = self
            .entered
            .values()
            .map(|(before, shown)| self.announced_bytes - before + shown);
        costs.max().unwrap_or_default()
    }
}

#[test]
fn ten_thousand_joins_in_ten_seconds_cost_a_tenth_of_one_small_event_each() {
    for users_before in [0, 60, 180, 199, 950, 3_000] {
        let mut storm = Storm::with_users(users_before);
        for _ in 0..10_000 {
            storm.join();
            storm.wait(1);
        }
        storm.wait(merge_ms());
        let worst = storm.bytes_worst();
        assert!(
            worst <= 10_000 * 150 / 10,
            "{worst} bytes for one member of a room that had {users_before} users"
        );
        let last = storm.announced.last().expect("a storm is told of");
        assert_eq!(last.count as u64, 10_000 + users_before);
        assert_eq!(storm.room.next_deadline(), None);
    }
}

#[test]
fn all_who_come_between_two_announcements_are_shown_one_and_the_same_value() {
    let mut storm = Storm::with_users(500);
    for _ in 0..3_000 {
        storm.join();
        storm.wait(1);
    }
    assert!(
        storm.shown.len() <= storm.announced.len(),
        "{} for {}",
        storm.shown.len(),
        storm.announced.len()
    );
    assert!(
        storm.announced.len() <= 3,
        "{} announcements in 3 s",
        storm.announced.len()
    );
}

#[test]
fn a_room_at_a_threshold_does_not_flicker() {
    let mut storm = Storm::with_users(200);
    let listed = |storm: &mut Storm| {
        std::mem::take(&mut storm.announced)
            .iter()
            .any(|it| !it.clients.is_empty())
    };
    for _ in 0..50 {
        storm.join();
        storm.wait(2_000);
        storm.leave(storm.comers_count);
        storm.wait(2_000);
    }
    assert!(
        !listed(&mut storm),
        "once above 200 the sockets are not told again at 200"
    );
    for number in 1..=20 {
        storm.leave(number);
        storm.wait(2_000);
    }
    assert!(!listed(&mut storm), "nor at 180");
    storm.leave(21);
    let full = storm.announced.last().expect("the full list comes at once");
    assert_eq!(
        (
            full.clients.len(),
            full.users.as_ref().map(Vec::len),
            full.count
        ),
        (179, Some(179), 179)
    );
    storm.announced.clear();
    for number in 22..=40 {
        storm.leave(number);
        storm.join();
        storm.wait(2_000);
    }
    assert!(
        storm
            .announced
            .iter()
            .all(|it| it.net_changes.is_none() && !it.clients.is_empty()),
        "full again, up to 200"
    );
}

#[test]
fn a_storm_that_leaves_as_fast_as_it_came_ends_with_the_truth() {
    let mut storm = Storm::with_users(30);
    for _ in 0..2_000 {
        storm.join();
        storm.wait(1);
    }
    for number in 31..=2_030 {
        storm.leave(number);
        storm.wait(1);
    }
    storm.wait(merge_ms());
    let last = storm.announced.last().expect("a storm is told of");
    let named = last.users.as_ref().map(|users| {
        users
            .iter()
            .map(|user| user.id.get() - 100_000)
            .collect::<Vec<_>>()
    });
    assert_eq!(named, Some((1..=30).rev().collect()));
    assert_eq!((last.count, last.clients.len()), (30, 30));
}
