//! A room that holds comments with a term, while its store answers late or not at all, moderators
//! come and go, and comments are decided: nobody but moderators receives a held comment before it
//! is shown, it is shown once if that is decided and never otherwise, and each command is answered
//! once.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use liveroom::domain::word_filter::{CompiledTerms, FilterVerdict, WordFilter, import};
use liveroom::domain::{
    AckId, ActionEntry, Caller, CommandEnv, Comment, CommentId, CommentText, Control, Denial,
    Effect, EntryContent, Gift, GiftId, HeldComment, HeldDecision, HoldRefusal, Live, LiveId,
    LiveStatus, News, Offset, Position, Reply, ReplyTo, RequestId, Room, RoomCommand, RoomEvent,
    Sequenced, SessionId, Standing, Timestamp,
};
use proptest::prelude::*;
use proptest::sample::Index;

use super::{OPENING, SETTINGS, profile, user_id};

const USERS: u8 = 5;

#[derive(Debug, Clone)]
enum Step {
    Comment {
        user: u8,
        held: bool,
        request: Option<u8>,
    },
    /// The store answers for a comment that is to be held.
    Answer {
        which: Index,
        result: Result<(), HoldRefusal>,
    },
    /// A report reaches the room, or one that it made before comes again.
    Report {
        which: Index,
    },
    Decide {
        which: Index,
        approve: bool,
    },
    Name {
        user: u8,
        moderator: bool,
    },
    Wait {
        ms: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let user = 0..USERS;
    let index = || any::<Index>();
    let result = prop_oneof![
        4 => Just(Ok(())),
        1 => Just(Err(HoldRefusal::Busy)),
        1 => Just(Err(HoldRefusal::LiveEnded)),
    ];
    prop_oneof![
        6 => (user.clone(), any::<bool>(), prop::option::of(0..3_u8))
            .prop_map(|(user, held, request)| Step::Comment { user, held, request }),
        4 => (index(), result).prop_map(|(which, result)| Step::Answer { which, result }),
        4 => index().prop_map(|which| Step::Report { which }),
        3 => (index(), any::<bool>()).prop_map(|(which, approve)| Step::Decide { which, approve }),
        1 => (1..USERS, any::<bool>()).prop_map(|(user, moderator)| Step::Name { user, moderator }),
        2 => (1..10_000_i64).prop_map(|ms| Step::Wait { ms }),
    ]
}

struct Env<'a> {
    filter: &'a WordFilter,
    next: i64,
}

impl CommandEnv<u8> for Env<'_> {
    fn recover_after(&mut self, _: &Position, _: &u8, _: Timestamp) -> Option<Offset> {
        None
    }

    fn next_comment_id(&mut self, _: Timestamp) -> CommentId {
        CommentId::new(self.next).expect("positive")
    }

    fn new_request_id(&mut self) -> RequestId {
        panic!("nobody gives here")
    }

    fn check_text(&self, text: &str) -> FilterVerdict {
        self.filter.check(text)
    }

    fn gift(&self, _: GiftId) -> Option<Arc<Gift>> {
        None
    }
}

/// A room whose sessions are its users, one each, and what must be so.
struct World {
    room: Room<u8>,
    filter: WordFilter,
    now: Timestamp,
    comments_count: i64,
    commands_count: i64,
    offset: Offset,
    version: u64,
    moderators: BTreeSet<u8>,
    /// Asked of the store and not answered.
    storing: Vec<Arc<HeldComment>>,
    /// Stored, and reported by the room.
    reported: Vec<Arc<HeldComment>>,
    waiting: BTreeMap<CommentId, Arc<HeldComment>>,
    held: HashSet<CommentId>,
    decided: HashMap<CommentId, bool>,
    shown: HashMap<CommentId, usize>,
    /// How often each command was answered.
    answers: HashMap<i64, usize>,
}

impl World {
    fn new() -> Self {
        let live = Live {
            id: LiveId::FIRST,
            owner: user_id(0),
            title: "show".into(),
            status: LiveStatus::OnAir,
            coin: OPENING,
            look_count: 0,
        };
        let origin = Position {
            epoch: "e".into(),
            offset: 0,
        };
        let list = import("held\thold\n".as_bytes(), 10).expect("a list");
        let terms = CompiledTerms::compile(list, None);
        let now = Timestamp(1_000_000);
        let mut world = Self {
            room: Room::open(live, origin, Vec::new(), SETTINGS, now),
            filter: WordFilter::new(Some(Arc::new(terms)), None),
            now,
            comments_count: 0,
            commands_count: 0,
            offset: 0,
            version: 0,
            moderators: BTreeSet::new(),
            storing: Vec::new(),
            reported: Vec::new(),
            waiting: BTreeMap::new(),
            held: HashSet::new(),
            decided: HashMap::new(),
            shown: HashMap::new(),
            answers: HashMap::new(),
        };
        for user in 0..USERS {
            world.command(user, RoomCommand::Join { since: Ok(None) });
        }
        world
    }

    fn command(&mut self, user: u8, command: RoomCommand) {
        self.commands_count += 1;
        let to = ReplyTo {
            handle: user,
            ack: AckId::Number(self.commands_count),
        };
        let caller = Caller {
            session: SessionId(user.into()),
            profile: profile(user_id(user)),
            socket_id: format!("s{user}").into(),
            site_sanctions: Arc::default(),
            account_since: Timestamp(0),
            address: Ipv4Addr::from_bits(u32::from(user) + 1).into(),
            to: to.clone(),
        };
        let mut env = Env {
            filter: &self.filter,
            next: self.comments_count,
        };
        match self.room.handle(caller, command, &mut env, self.now) {
            Ok(effects) => self.perform(effects),
            Err(_) => self.answered(&to),
        }
    }

    fn answered(&mut self, to: &ReplyTo<u8>) {
        let AckId::Number(command) = to.ack else {
            panic!("all commands are named")
        };
        *self.answers.entry(command).or_default() += 1;
    }

    fn perform(&mut self, effects: Vec<Effect<u8>>) {
        for effect in effects {
            match effect {
                Effect::HoldComment(held) => {
                    assert!(self.held.insert(held.comment.id), "held twice: {held:?}");
                    self.storing.push(held);
                }
                Effect::ReportHeld(held) => {
                    assert!(self.waiting.contains_key(&held.comment.id), "not stored");
                    self.reported.push(held);
                }
                Effect::Notify { handle, news } => self.notified(handle, &news),
                Effect::Echo { comment, .. } => {
                    assert!(!self.held.contains(&comment.id), "{comment:?}");
                }
                Effect::PostComment(comment) => {
                    assert!(!self.held.contains(&comment.id), "{comment:?}");
                    let id = comment.id;
                    self.place(RoomEvent::Comment(comment));
                    let effects = self.room.comment_stored(id, Ok(()));
                    self.perform(effects);
                }
                Effect::StoreComment(comment) => {
                    let effects = self.room.comment_stored(comment.id, Ok(()));
                    self.perform(effects);
                }
                Effect::AppendAction(entry) => match entry.content {
                    EntryContent::Event(event) => self.place(event),
                    EntryContent::Control(control) => self.control(control),
                },
                Effect::Publish(event) => self.place(event),
                Effect::Reply { to, result } => {
                    if let Ok(Reply::Held { comment_id, .. }) = &result {
                        assert!(self.held.contains(comment_id), "{result:?}");
                        let is_stored = self.waiting.contains_key(comment_id)
                            || self.decided.contains_key(comment_id);
                        assert!(is_stored, "answered before the commit: {result:?}");
                    }
                    self.answered(&to);
                }
                _ => {}
            }
        }
    }

    fn notified(&self, user: u8, news: &News) {
        let keeps_order = user == 0 || self.moderators.contains(&user);
        match news {
            News::Held(held) => assert!(keeps_order, "{user} receives {held:?}"),
            News::CommentDenied(denial) => {
                assert!(keeps_order || user_id(user) == denial.author);
                assert_eq!(self.decided.get(&denial.comment_id), Some(&false));
            }
            _ => {}
        }
    }

    fn place(&mut self, event: RoomEvent) {
        self.offset += 1;
        let sequenced = Sequenced {
            epoch: "e".into(),
            offset: self.offset,
            event,
        };
        let (sequenced, mut effects) = self.room.judge(sequenced, self.now);
        if let RoomEvent::Comment(comment) = &sequenced.event
            && self.held.contains(&comment.id)
        {
            assert_eq!(self.decided.get(&comment.id), Some(&true), "{comment:?}");
            *self.shown.entry(comment.id).or_default() += 1;
        }
        effects.extend(self.room.on_event_ordered(&sequenced, self.now));
        self.perform(effects);
    }

    fn control(&mut self, control: Control) {
        let effects = self.room.apply_control(control, self.now);
        self.perform(effects);
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Comment {
                user,
                held,
                request,
            } => {
                self.comments_count += 1;
                let text = if held { "this is held" } else { "this is not" };
                let request_id = request.and_then(|name| RequestId::parse(&format!("r{name}")));
                let command = RoomCommand::Comment {
                    text: Ok(CommentText::parse(text, 200).expect("a text")),
                    request_id: Ok(request_id),
                };
                self.command(user, command);
            }
            Step::Answer { which, result } => {
                if self.storing.is_empty() {
                    return;
                }
                let held = self.storing.remove(which.index(self.storing.len()));
                self.stored(held, result);
            }
            Step::Report { which } => {
                if !self.reported.is_empty() {
                    let held = self.reported[which.index(self.reported.len())].clone();
                    let effects = self.room.apply(ActionEntry::of_held(held), self.now);
                    self.perform(effects);
                }
            }
            Step::Decide { which, approve } => self.decide(which, approve),
            Step::Name { user, moderator } => {
                self.version += 1;
                match moderator {
                    true => self.moderators.insert(user),
                    false => self.moderators.remove(&user),
                };
                self.control(Control::Standing {
                    version: self.version,
                    user: user_id(user),
                    standing: Standing {
                        is_moderator: moderator,
                        sanctions: Vec::new(),
                    },
                });
            }
            Step::Wait { ms } => {
                self.now = self.now.plus_ms(ms);
                let effects = self.room.tick(self.now);
                self.perform(effects);
            }
        }
    }

    fn stored(&mut self, held: Arc<HeldComment>, result: Result<(), HoldRefusal>) {
        let id = held.comment.id;
        if result.is_ok() {
            self.waiting.insert(id, held);
        }
        let effects = self.room.comment_held(id, result.map(|()| id));
        self.perform(effects);
    }

    fn decide(&mut self, which: Index, approve: bool) {
        if self.waiting.is_empty() {
            return;
        }
        let nth = which.index(self.waiting.len());
        let id = *self.waiting.keys().nth(nth).expect("one of them");
        let held = self.waiting.remove(&id).expect("it waits");
        self.decided.insert(id, approve);
        let decision = match approve {
            true => HeldDecision::Shown(Arc::new(Comment {
                at: self.now,
                ..(*held.comment).clone()
            })),
            false => HeldDecision::Denied(Denial {
                comment_id: id,
                author: held.comment.author.id,
                reason: None,
                is_expired: false,
            }),
        };
        let entry = ActionEntry::of_decision(&decision);
        let effects = self.room.apply(entry, self.now);
        self.perform(effects);
    }

    /// The store answers what it owes, and all turns are over.
    fn end(mut self) {
        while let Some(held) = self.storing.pop() {
            self.stored(held, Ok(()));
        }
        self.step(Step::Wait { ms: 60_000 });
        for (id, approved) in &self.decided {
            let shown = self.shown.get(id).copied().unwrap_or_default();
            assert_eq!(shown, usize::from(*approved), "{id}");
        }
        for command in 1..=self.commands_count {
            assert_eq!(self.answers.get(&command), Some(&1), "command {command}");
        }
        assert_eq!(self.room.in_flight_count(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn nobody_but_moderators_receives_a_held_comment_before_it_is_shown(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.end();
    }
}
