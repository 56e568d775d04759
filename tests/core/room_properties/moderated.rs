//! A room on two nodes that follow one log, while users are muted, banned, shadowed and named as
//! moderators: what an explanation says is what the decision is, nobody is shown a comment that got
//! its place behind the sender's mute or ban, and both nodes end equal, with the same events in the
//! same places and nothing removed among what they replay.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use liveroom::domain::{
    Account, AckId, Caller, Check, CheckResult, CommentId, CommentText, Control, Effect,
    ExplainedCheck, History, HistoryLimits, Live, LiveId, LiveStatus, Position, Principal, Reject,
    ReplyTo, Room, RoomCommand, RoomEvent, RoomSettings, Sanction, SanctionId, SanctionKind,
    SanctionScope, Sequenced, SessionId, Standing, Standings, Timestamp, UserFacts, UserId,
};
use proptest::prelude::*;
use proptest::sample::Index;

use super::outside::Env;
use super::{OPENING, SETTINGS, profile, request_id, user_id};

const NODES: usize = 2;
const USERS: u8 = 4;
/// Sessions of each node; a session is one user's.
const SESSIONS: u64 = 5;

/// More than a run has.
const HISTORY: HistoryLimits = HistoryLimits {
    events_max: 1_000,
    age_ms: 100_000_000,
};

#[derive(Debug, Clone)]
enum Step {
    Join {
        node: usize,
        session: u64,
    },
    Leave {
        node: usize,
        session: u64,
    },
    Comment {
        node: usize,
        session: u64,
        request: Option<u8>,
    },
    /// A mute, ban or shadow. Without `in_log` the act was on another live of the streamer: nodes
    /// know of it by reading the store.
    Sanction {
        user: u8,
        kind: SanctionKind,
        ms: Option<i64>,
        in_log: bool,
    },
    Lift {
        user: u8,
        kind: SanctionKind,
        in_log: bool,
    },
    Moderator {
        user: u8,
        named: bool,
    },
    /// The site's sanctions, which come with each command.
    Site {
        user: u8,
        kind: SanctionKind,
        ms: Option<i64>,
    },
    Status(LiveStatus),
    TakeDown {
        which: Index,
    },
    /// A node takes in the next entries of the log.
    Follow {
        node: usize,
        entries: usize,
    },
    /// A node reads the store.
    Read {
        node: usize,
    },
    /// The store answers for a comment that it keeps.
    Stored {
        node: usize,
    },
    Wait {
        ms: i64,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let place = || (0..NODES, 0..SESSIONS);
    let kind = || (0..SanctionKind::ALL.len()).prop_map(|at| SanctionKind::ALL[at]);
    let ms = || proptest::option::weighted(0.7, 1..20_000i64);
    prop_oneof![
        6 => place().prop_map(|(node, session)| Step::Join { node, session }),
        1 => place().prop_map(|(node, session)| Step::Leave { node, session }),
        14 => (place(), proptest::option::weighted(0.3, 0..3u8))
            .prop_map(|((node, session), request)| Step::Comment { node, session, request }),
        6 => (0..USERS, kind(), ms(), proptest::bool::weighted(0.8))
            .prop_map(|(user, kind, ms, in_log)| Step::Sanction { user, kind, ms, in_log }),
        3 => (0..USERS, kind(), any::<bool>())
            .prop_map(|(user, kind, in_log)| Step::Lift { user, kind, in_log }),
        2 => (0..USERS, any::<bool>()).prop_map(|(user, named)| Step::Moderator { user, named }),
        1 => (0..USERS, kind(), ms()).prop_map(|(user, kind, ms)| Step::Site { user, kind, ms }),
        1 => prop_oneof![3 => Just(LiveStatus::OnAir), 1 => Just(LiveStatus::Paused)]
            .prop_map(Step::Status),
        2 => any::<Index>().prop_map(|which| Step::TakeDown { which }),
        12 => (0..NODES, 1..4usize).prop_map(|(node, entries)| Step::Follow { node, entries }),
        2 => (0..NODES).prop_map(|node| Step::Read { node }),
        4 => (0..NODES).prop_map(|node| Step::Stored { node }),
        6 => (0..9_000i64).prop_map(|ms| Step::Wait { ms }),
    ]
}

#[derive(Debug, Clone)]
enum Entry {
    Event(RoomEvent),
    Control(Control),
}

/// The room on one node, and what surrounds it there.
struct Node {
    room: Room<u64>,
    /// How much of the log it has taken in.
    followed: usize,
    delivered: Vec<Sequenced>,
    history: History<Sequenced>,
    members: BTreeMap<u64, UserId>,
    storing: Vec<CommentId>,
    taken_down: BTreeSet<CommentId>,
    asked: i64,
    answers: HashMap<i64, Result<(), Reject>>,
}

struct World {
    nodes: Vec<Node>,
    log: Vec<Entry>,
    /// What the store has.
    version: u64,
    standings: BTreeMap<UserId, Standing>,
    site: HashMap<UserId, Vec<Sanction>>,
    shown: Vec<CommentId>,
    comments_count: i64,
    sanctions_count: i64,
    now: Timestamp,
}

impl World {
    fn new(crowd_events_per_s: u32) -> Self {
        let now = Timestamp(1_000_000);
        let settings = RoomSettings {
            crowd_events_per_s,
            ..SETTINGS
        };
        let origin = Position {
            epoch: "e".into(),
            offset: 0,
        };
        let live = Live {
            id: LiveId::FIRST,
            owner: user_id(0),
            title: "show".to_owned(),
            status: LiveStatus::OnAir,
            coin: OPENING,
            look_count: 0,
        };
        let node = || Node {
            room: Room::open(live.clone(), origin.clone(), Vec::new(), settings, now),
            followed: 0,
            delivered: Vec::new(),
            history: History::new(HISTORY, origin.clone()),
            members: BTreeMap::new(),
            storing: Vec::new(),
            taken_down: BTreeSet::new(),
            asked: 0,
            answers: HashMap::new(),
        };
        Self {
            nodes: (0..NODES).map(|_| node()).collect(),
            log: Vec::new(),
            version: 0,
            standings: BTreeMap::new(),
            site: HashMap::new(),
            shown: Vec::new(),
            comments_count: 0,
            sanctions_count: 0,
            now,
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Join { node, session } => self.join(node, session),
            Step::Leave { node, session } => {
                let decision = self.handle(node, session, RoomCommand::Leave);
                assert!(decision.is_ok(), "the live has started");
            }
            Step::Comment {
                node,
                session,
                request,
            } => self.comment(node, session, request),
            Step::Sanction {
                user,
                kind,
                ms,
                in_log,
            } => {
                let sanction = self.sanction(kind, SanctionScope::Streamer, ms);
                self.change(user, in_log, |standing| {
                    standing.sanctions.retain(|held| held.kind != kind);
                    standing.sanctions.push(sanction);
                });
            }
            Step::Lift { user, kind, in_log } => self.change(user, in_log, |standing| {
                standing.sanctions.retain(|held| held.kind != kind);
            }),
            Step::Moderator { user, named } => {
                self.change(user, true, |standing| standing.is_moderator = named);
            }
            Step::Site { user, kind, ms } => {
                let sanction = self.sanction(kind, SanctionScope::Site, ms);
                self.site.insert(user_id(user), vec![sanction]);
            }
            Step::Status(status) => self.log.push(Entry::Event(RoomEvent::Live {
                live_id: LiveId::FIRST,
                status,
                title: "show".into(),
            })),
            Step::TakeDown { which } if !self.shown.is_empty() => {
                self.log.push(Entry::Event(RoomEvent::Removed {
                    live_id: LiveId::FIRST,
                    comment_id: *which.get(&self.shown),
                }));
            }
            Step::TakeDown { .. } => {}
            Step::Follow { node, entries } => (0..entries).for_each(|_| self.follow(node)),
            Step::Read { node } => self.read(node),
            Step::Stored { node } => self.stored(node),
            Step::Wait { ms } => self.wait(ms),
        }
        (0..NODES).for_each(|node| self.check(node));
    }

    fn sanction(&mut self, kind: SanctionKind, scope: SanctionScope, ms: Option<i64>) -> Sanction {
        self.sanctions_count += 1;
        Sanction {
            id: SanctionId::new(self.sanctions_count).expect("positive"),
            kind,
            scope,
            until: ms.map(|ms| self.now.plus_ms(ms)),
            gifts: true,
            reason: None,
            by: Principal::Operator,
            since: self.now,
        }
    }

    /// A change of a user's standing is in the store at once, and in the log in its order.
    fn change(&mut self, user: u8, in_log: bool, change: impl FnOnce(&mut Standing)) {
        let user = user_id(user);
        let standing = self.standings.entry(user).or_default();
        change(standing);
        self.version += 1;
        if in_log {
            self.log.push(Entry::Control(Control::Standing {
                version: self.version,
                user,
                standing: standing.clone(),
            }));
        }
    }

    fn user_of(session: u64) -> UserId {
        user_id(session as u8 % USERS)
    }

    fn site_sanctions(&self, user: UserId) -> Arc<[Sanction]> {
        self.site.get(&user).cloned().unwrap_or_default().into()
    }

    fn explain(&self, node: usize, user: UserId) -> Vec<ExplainedCheck> {
        let account = Account {
            site_sanctions: &self.site_sanctions(user),
            since: Timestamp(0),
        };
        self.nodes[node]
            .room
            .explain(user, account, UserFacts::default(), self.now)
    }

    /// Has a node decide on a command of a session's user.
    fn handle(
        &mut self,
        node: usize,
        session: u64,
        command: RoomCommand,
    ) -> Result<Vec<Effect<u64>>, Reject> {
        let user = Self::user_of(session);
        let site_sanctions = self.site_sanctions(user);
        let here = &mut self.nodes[node];
        here.asked += 1;
        let to = ReplyTo {
            handle: session,
            ack: AckId::Number(here.asked),
        };
        let caller = Caller {
            session: SessionId(session),
            profile: profile(user),
            socket_id: format!("s{session}").into(),
            site_sanctions,
            account_since: Timestamp(0),
            address: Ipv4Addr::from_bits(session as u32).into(),
            to,
        };
        let asked = here.asked;
        let mut env = Env {
            history: &here.history,
            comments_count: self.comments_count,
        };
        let decision = here.room.handle(caller, command, &mut env, self.now);
        match &decision {
            Ok(effects) => self.perform(node, effects.clone()),
            Err(reject) => self.answer(node, asked, Err(*reject)),
        }
        decision
    }

    fn join(&mut self, node: usize, session: u64) {
        let user = Self::user_of(session);
        let decision = self.handle(node, session, RoomCommand::Join { since: Ok(None) });
        if decision.is_ok() {
            self.nodes[node].members.insert(session, user);
        }
        let is_banned = matches!(decision, Err(Reject::Banned { .. }));
        let site = self.site_sanctions(user);
        let on_site = site
            .iter()
            .any(|held| held.kind == SanctionKind::Ban && held.holds(self.now));
        let explained = self.explain(node, user);
        let here = line(&explained, Check::RoomSanction).result;
        let banned_here = matches!(here, CheckResult::Refused(Reject::Banned { .. }));
        assert_eq!(
            is_banned,
            on_site || banned_here,
            "{decision:?}, {explained:?}"
        );
    }

    /// What a comment would be checked for is explained first: the decision is the first check that
    /// does not pass.
    fn comment(&mut self, node: usize, session: u64, request: Option<u8>) {
        let user = Self::user_of(session);
        let is_member_elsewhere = self.nodes[node]
            .members
            .iter()
            .any(|(other, of)| *other != session && *of == user);
        let explained = self.explain(node, user);
        let failed = explained
            .iter()
            .find(|line| line.result != CheckResult::Passed);
        self.comments_count += 1;
        let id = CommentId::new(self.comments_count).expect("positive");
        let text = CommentText::parse("one", 200).expect("short");
        let command = RoomCommand::Comment {
            text: Ok(text),
            request_id: Ok(request.map(request_id)),
        };
        let is_member = self.nodes[node].members.contains_key(&session);
        let decision = self.handle(node, session, command);
        match failed.map(|line| (line.check, line.result)) {
            // The explanation is about the user, the decision about one of its sessions.
            _ if !is_member && is_member_elsewhere => {
                assert!(decision.is_err(), "a session that is not in the room spoke");
            }
            Some((check, CheckResult::Refused(reject)))
                if request.is_none() || Check::OF_USER.contains(&check) =>
            {
                assert_eq!(decision.err(), Some(reject), "{check:?}");
            }
            // It may be the repetition of one that was accepted.
            _ if request.is_some() => assert!(
                matches!(
                    decision,
                    Ok(_) | Err(Reject::RateLimited { .. } | Reject::Busy { .. })
                ),
                "{decision:?}, {explained:?}"
            ),
            Some((_, CheckResult::Hidden)) => {
                let effects = decision.expect("it is accepted");
                let is_shown = posted(&effects).any(|comment| comment == id);
                let echoes = effects
                    .iter()
                    .filter(|effect| matches!(effect, Effect::Echo { .. }))
                    .count();
                assert!(!is_shown && echoes == 1, "{explained:?}");
            }
            Some((check, result)) => panic!("{check:?}: {result:?}"),
            None => {
                let effects = decision.expect("nothing refuses it");
                let echoed = effects.iter().any(
                    |effect| matches!(effect, Effect::Echo { comment, .. } if comment.id == id),
                );
                assert!(!echoed, "only a shadow hides it at once");
            }
        }
    }

    fn perform(&mut self, node: usize, effects: Vec<Effect<u64>>) {
        for effect in effects {
            match effect {
                Effect::PostComment(comment) => {
                    self.nodes[node].storing.push(comment.id);
                    self.shown.push(comment.id);
                    self.log.push(Entry::Event(RoomEvent::Comment(comment)));
                }
                Effect::StoreComment(comment) => self.nodes[node].storing.push(comment.id),
                Effect::TakeDown(id) => drop(self.nodes[node].taken_down.insert(id)),
                Effect::Detach { session, .. } => {
                    self.nodes[node].members.remove(&session.0);
                }
                Effect::Reply { to, result } => {
                    let AckId::Number(ack) = to.ack else {
                        panic!("every command here has an ack")
                    };
                    self.answer(node, ack, result.map(drop));
                }
                _ => {}
            }
        }
    }

    fn answer(&mut self, node: usize, ack: i64, result: Result<(), Reject>) {
        let earlier = self.nodes[node].answers.insert(ack, result);
        assert_eq!(earlier, None, "command {ack} was answered twice");
    }

    /// A node takes in the next entry of the log, if there is one, as the actor does.
    fn follow(&mut self, node: usize) {
        let here = &mut self.nodes[node];
        let Some(entry) = self.log.get(here.followed).cloned() else {
            return;
        };
        here.followed += 1;
        let event = match entry {
            Entry::Control(control) => {
                let effects = here.room.apply_control(control, self.now);
                return self.perform(node, effects);
            }
            Entry::Event(event) => event,
        };
        let sequenced = Sequenced {
            epoch: "e".into(),
            offset: here.room.position().offset + 1,
            event,
        };
        let (sequenced, mut effects) = here.room.judge(sequenced, self.now);
        effects.extend(here.room.on_event_ordered(&sequenced, self.now));
        if let RoomEvent::Removed { comment_id, .. } = sequenced.event {
            here.history.take_down(comment_id, |offset| Sequenced {
                offset,
                ..sequenced.clone()
            });
        }
        here.history.push(&sequenced, sequenced.clone(), self.now);
        here.delivered.push(sequenced);
        self.perform(node, effects);
    }

    fn read(&mut self, node: usize) {
        let standings = Standings {
            version: self.version,
            users: self
                .standings
                .iter()
                .filter(|(_, standing)| !standing.is_plain(self.now))
                .map(|(user, standing)| (*user, standing.clone()))
                .collect(),
            named: Vec::new(),
        };
        let effects = self.nodes[node].room.standings_read(standings, self.now);
        self.perform(node, effects);
    }

    fn stored(&mut self, node: usize) {
        if let Some(id) = self.nodes[node].storing.pop() {
            let effects = self.nodes[node].room.comment_stored(id, Ok(()));
            self.perform(node, effects);
        }
    }

    fn wait(&mut self, ms: i64) {
        self.now = self.now.plus_ms(ms);
        for node in 0..NODES {
            let effects = self.nodes[node].room.tick(self.now);
            self.perform(node, effects);
        }
    }

    /// What holds on a node after every step: no user is in the room whose ban it knows and which
    /// holds.
    fn check(&self, node: usize) {
        for user in (0..USERS).map(user_id) {
            let explained = self.explain(node, user);
            let room = line(&explained, Check::RoomSanction).result;
            if matches!(room, CheckResult::Refused(Reject::Banned { .. })) {
                let membership = line(&explained, Check::Membership).result;
                assert_eq!(
                    membership,
                    CheckResult::Refused(Reject::NotInRoom),
                    "{user} is banned and in the room of node {node}"
                );
            }
        }
    }

    /// Everything that is under way arrives.
    fn settle(&mut self) {
        self.wait(2_000);
        for node in 0..NODES {
            while !self.nodes[node].storing.is_empty() {
                self.stored(node);
            }
            while self.nodes[node].followed < self.log.len() {
                self.follow(node);
            }
            self.read(node);
        }
    }

    fn check_settled(&mut self) {
        self.settle();
        let [here, there] = &self.nodes[..] else {
            panic!("two nodes")
        };
        assert_eq!(
            here.delivered, there.delivered,
            "the same events everywhere"
        );
        assert_eq!(here.taken_down, there.taken_down);
        assert_eq!(
            here.room.moderation_version(),
            there.room.moderation_version()
        );
        for user in (0..USERS).map(user_id) {
            let [here, there] = [0, 1].map(|node| {
                let mut lines = self.explain(node, user);
                // Of each node alone.
                lines.retain(|line| !matches!(line.check, Check::Membership | Check::Rate));
                lines
            });
            assert_eq!(here, there);
        }
        for node in &self.nodes {
            assert_eq!(
                node.answers.len() as i64,
                node.asked,
                "a command was not answered"
            );
            assert_eq!(node.room.in_flight_count(), 0);
        }
        self.check_order();
        self.check_replay();
    }

    /// By the log alone: no comment is shown behind the control that bars its sender from it.
    fn check_order(&self) {
        let mut barred: HashMap<UserId, (u64, Vec<Sanction>)> = HashMap::new();
        let mut delivered = self.nodes[0].delivered.iter();
        for entry in &self.log {
            match entry {
                Entry::Control(Control::Standing {
                    version,
                    user,
                    standing,
                }) => {
                    let known = barred.entry(*user).or_default();
                    if *version > known.0 {
                        *known = (*version, standing.sanctions.clone());
                    }
                }
                Entry::Control(
                    Control::Kick { .. }
                    | Control::Held(_)
                    | Control::Denied(_)
                    | Control::Reports(_),
                ) => {}
                Entry::Event(event) => {
                    let placed = &delivered.next().expect("each event has its place").event;
                    let RoomEvent::Comment(comment) = event else {
                        assert_eq!(placed, event);
                        continue;
                    };
                    let is_barred = barred.get(&comment.author.id).is_some_and(|(_, held)| {
                        held.iter().any(|sanction| {
                            sanction.kind != SanctionKind::Shadow && sanction.holds(comment.at)
                        })
                    });
                    let is_shown = placed == event;
                    assert_eq!(is_shown, !is_barred, "{comment:?} behind {barred:?}");
                }
            }
        }
    }

    /// A member that comes back receives nothing that was removed.
    fn check_replay(&self) {
        let removed: HashSet<CommentId> = self.nodes[0]
            .delivered
            .iter()
            .filter_map(|sequenced| match sequenced.event {
                RoomEvent::Removed { comment_id, .. } => Some(comment_id),
                _ => None,
            })
            .collect();
        let replays = self
            .nodes
            .iter()
            .map(|node| node.history.after(0).cloned().collect::<Vec<_>>());
        let [here, there] = &replays.collect::<Vec<_>>()[..] else {
            panic!("two nodes")
        };
        assert_eq!(here, there, "a replay is the same at each node");
        assert_eq!(here.len(), self.nodes[0].delivered.len(), "without a gap");
        for sequenced in here {
            if let RoomEvent::Comment(comment) = &sequenced.event {
                assert!(!removed.contains(&comment.id), "{comment:?} was removed");
            }
        }
    }
}

fn posted(effects: &[Effect<u64>]) -> impl Iterator<Item = CommentId> {
    effects.iter().filter_map(|effect| match effect {
        Effect::PostComment(comment) => Some(comment.id),
        _ => None,
    })
}

fn line(explained: &[ExplainedCheck], check: Check) -> &ExplainedCheck {
    explained
        .iter()
        .find(|line| line.check == check)
        .expect("every check is explained")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn sanctions_hold_and_both_nodes_agree_whatever_happens(
        crowd_events_per_s in prop_oneof![Just(0), Just(4)],
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(crowd_events_per_s);
        for step in steps {
            world.run(step);
        }
        world.check_settled();
    }
}
