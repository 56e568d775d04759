//! Several nodes' orders of one room over a real Redis, with everything going wrong that can:
//! messages and answers that get lost, actions that several nodes append, questions that are
//! carried out although nobody waits for them any more, nodes that go alone, data that is lost or
//! falls back to a snapshot.

mod expiry;
mod full_heals;
mod mixed_versions;
mod scripts;
mod shared_calls;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;

use super::super::address::Address;
use super::super::append::{self, RoomQuestion, append_action as append};
use super::super::connection::RedisConnection;
use super::super::controls::read_control;
use super::super::engine::append_calls::AppendCalls;
use super::super::entries::{LogPosition, StreamEntries};
use super::super::keys;
use super::super::link::Link;
use super::invariants::Checks;
use super::*;
use crate::domain::{ActionId, Control, Epoch, LiveId, UserId};
use crate::protocol::{read_event, write_event};
use crate::tls::Authorities;

#[allow(dead_code, reason = "the tests of several nodes use the rest of it")]
#[path = "../../../../tests/support/redis.rs"]
mod server;

const NODES: usize = 3;
const STEPS: usize = 120;
const RUNS: u64 = 60;
/// Nobody waits for a Redis on this machine for longer.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(20);

/// A Redis of the test's own; `None` when this machine has none, which is printed.
fn redis() -> Option<server::Redis> {
    server::Redis::start(server::Keeps::Saved)
        .inspect_err(|reason| println!("skipped: {reason}"))
        .ok()
}

/// Puts a question in a call of its own.
async fn ask(
    link: Link,
    sharded: bool,
    live_id: LiveId,
    origin: u64,
    question: Question,
) -> redis::RedisResult<Answer> {
    let room = RoomQuestion {
        live_id,
        origin,
        is_repeated: false,
        question,
    };
    let answers = append::ask(&link, sharded, vec![room]).await;
    answers.into_iter().next().expect("an answer for the room")
}

/// The events that a member of one node receives.
#[derive(Default)]
struct Member {
    delivered: Vec<(Epoch, u64, String)>,
    /// With the number of events that were delivered before.
    controls: Vec<(Control, usize)>,
}

impl Member {
    /// Receives events, and panics on one that comes twice or out of its order.
    fn receive(&mut self, events: Vec<Sequenced>, run: u64) {
        for Sequenced {
            epoch,
            offset,
            event,
        } in events
        {
            let text = text_of(&event);
            let before = self
                .delivered
                .iter()
                .rev()
                .find(|(other, ..)| *other == epoch)
                .map(|(_, offset, _)| *offset);
            if let Some(before) = before.filter(|_| {
                self.delivered
                    .last()
                    .is_some_and(|(last, ..)| *last == epoch)
            }) {
                assert_eq!(offset, before + 1, "run {run}: a gap in {epoch}");
            }
            assert!(
                before.is_none_or(|before| before < offset),
                "run {run}: {epoch} goes back"
            );
            assert!(
                self.delivered.iter().all(|(.., known)| *known != text),
                "run {run}: {text} is delivered twice"
            );
            self.delivered.push((epoch, offset, text));
        }
    }

    fn control(&mut self, control: Control, run: u64) {
        assert!(
            self.controls.iter().all(|(known, _)| *known != control),
            "run {run}: {control:?} is delivered twice"
        );
        self.controls.push((control, self.delivered.len()));
    }
}

/// An event of a kind that this version does not know.
fn unknown(text: &str) -> RoomEvent {
    let line =
        format!(r#"{{"at":1,"event":"poll","body":{{"text":"{text}"}},"private":{{"by":7}}}}"#);
    read_event(&line).expect("an event of a later version").0
}

fn text_of(event: &RoomEvent) -> String {
    match event {
        RoomEvent::Notice { text, .. } => text.to_string(),
        RoomEvent::Other(other) => {
            let text = other
                .body
                .strip_prefix(r#"{"text":""#)
                .and_then(|text| text.strip_suffix(r#""}"#));
            let text = text.expect("the body as it was written");
            assert_eq!(*event, unknown(text), "it comes as it was written");
            text.to_owned()
        }
        _ => panic!("only notices and unknown kinds are delivered here: {event:?}"),
    }
}

struct Node {
    order: LogReplica,
    origin: u64,
    member: Member,
    checks: Checks,
    pushed: mpsc::UnboundedReceiver<String>,
    _subscription: RedisConnection,
    /// Questions that were given up, and are carried out when nobody expects it.
    stray: Vec<Question>,
    appended: usize,
}

struct World {
    live_id: LiveId,
    /// How many nodes, the first ones, are of the version before.
    before_count: usize,
    run: u64,
    link: Link,
    nodes: Vec<Node>,
    /// The actions so far. Their ids are even for an event and odd for a control.
    actions_count: i64,
    /// Data as it was at some time.
    snapshot: Option<Vec<(String, Vec<u8>)>>,
    rng: StdRng,
    now: Instant,
}

impl World {
    async fn new(url: &str, run: u64) -> Self {
        Self::of_versions(url, run, 0).await
    }

    async fn of_versions(url: &str, run: u64, before_count: usize) -> Self {
        let address = Arc::new(Address::parse(url, &Authorities::default()).unwrap());
        let live_id = LiveId::new(i64::try_from(run).unwrap() + 1).unwrap();
        let link = Link::new(address.clone(), 4, LISTEN_TIMEOUT);
        let mut world = Self {
            live_id,
            before_count,
            run,
            link,
            nodes: Vec::new(),
            actions_count: 0,
            snapshot: None,
            rng: StdRng::seed_from_u64(run),
            now: Instant::now(),
        };
        for origin in 1..=NODES as u64 {
            let (push, pushed) = mpsc::unbounded_channel();
            let on_push = move |info: redis::PushInfo| {
                if let [
                    redis::Value::BulkString(_),
                    redis::Value::BulkString(payload),
                ] = &info.data[..]
                {
                    let _ = push.send(String::from_utf8(payload.clone()).unwrap());
                }
                Ok(())
            };
            let mut subscription = address.listen(LISTEN_TIMEOUT, on_push).await.unwrap();
            subscription
                .subscribe(keys::room_channel(live_id), true)
                .await
                .unwrap();
            let order = LogReplica::new(origin, Timestamp(0));
            world.nodes.push(Node {
                order,
                origin,
                member: Member::default(),
                checks: Checks::default(),
                pushed,
                _subscription: subscription,
                stray: Vec::new(),
                appended: 0,
            });
        }
        for index in 0..NODES {
            let question = world.nodes[index].order.ask().unwrap();
            let answer = world.put(index, question).await;
            let history = world.nodes[index].order.answered(1, answer);
            assert_eq!(history.map(|history| history.len()), Some(0));
            world.deliver(index);
        }
        world
    }

    fn append(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        node.appended += 1;
        let text = format!("n{}-{}", node.origin, node.appended);
        let event = if node.appended.is_multiple_of(3) {
            unknown(&text)
        } else {
            RoomEvent::Notice {
                live_id: self.live_id,
                text: text.into(),
            }
        };
        node.order.append(event, Timestamp(1), self.now);
        self.deliver(index);
    }

    /// Delivers the items that the order has released to the node's member.
    fn deliver(&mut self, index: usize) {
        let node = &mut self.nodes[index];
        let out = node.order.take_out();
        node.checks.receive(&node.order, &out);
        for delivered in out {
            match delivered {
                FromLog::Ordered(events) => node.member.receive(events, self.run),
                FromLog::Control(control) => node.member.control(control, self.run),
                other => panic!("neither events nor controls: {other:?}"),
            }
        }
    }

    fn action(&self, id: i64) -> ActionEntry {
        let content = match id % 2 {
            0 => EntryContent::Event(RoomEvent::Notice {
                live_id: self.live_id,
                text: format!("a{id}").into(),
            }),
            _ => EntryContent::Control(Control::Kick {
                user: UserId::new(id).unwrap(),
                at: Timestamp(1),
            }),
        };
        ActionEntry::of_action(ActionId::new(id).unwrap(), 0, content)
    }

    /// A node applies a new action or repeats one, in its own room alone or in the log.
    async fn act(&mut self, index: usize, by_room: bool) {
        if self.actions_count == 0 || self.rng.random_bool(0.5) {
            self.actions_count += 1;
        }
        let id = self
            .rng
            .random_range((self.actions_count - 2).max(1)..=self.actions_count);
        let entry = self.action(id);
        if by_room {
            self.nodes[index]
                .order
                .append_action(entry, Timestamp(1), self.now);
            self.deliver(index);
        } else {
            append(self.link.clone(), false, self.live_id, entry, Timestamp(1))
                .await
                .unwrap();
        }
    }

    /// Appends all actions to the log, as nodes do with those that are pending.
    async fn append_actions(&mut self) {
        for id in 1..=self.actions_count {
            append(
                self.link.clone(),
                false,
                self.live_id,
                self.action(id),
                Timestamp(1),
            )
            .await
            .unwrap();
        }
    }

    /// Puts a question as the node's version does.
    async fn put(&self, index: usize, question: Question) -> Answer {
        let (link, origin) = (self.link.clone(), self.nodes[index].origin);
        if index < self.before_count {
            return mixed_versions::ask(&link, self.live_id, origin, question).await;
        }
        ask(link, false, self.live_id, origin, question)
            .await
            .unwrap()
    }

    /// Puts the node's next question. It may be lost on its way, or its answer.
    async fn ask(&mut self, index: usize, fate: u32) {
        let Some(question) = self.nodes[index].order.ask() else {
            return;
        };
        let number = question.number;
        let stray = (fate == 1).then(|| question.clone());
        let answer = match fate {
            0 | 1 => None,
            _ => Some(self.put(index, question).await),
        };
        let node = &mut self.nodes[index];
        node.stray.extend(stray);
        match answer {
            Some(answer) if fate > 2 => {
                node.order.answered(number, answer);
            }
            _ => node.order.failed(number),
        }
        self.deliver(index);
    }

    /// What was pushed so far reaches the node, or gets lost.
    fn push(&mut self, index: usize, gets_lost: bool) {
        while let Ok(payload) = self.nodes[index].pushed.try_recv() {
            if !gets_lost {
                self.nodes[index]
                    .order
                    .published(Batch::parse(payload.strip_prefix('E').unwrap()).unwrap());
                self.deliver(index);
            }
        }
    }

    async fn keys(&self) -> Vec<String> {
        let mut cmd = redis::cmd("KEYS");
        cmd.arg(format!("liveroom:{{{}}}:*", self.live_id));
        self.link.command(&cmd).await.unwrap()
    }

    async fn lose_data(&self) {
        for key in self.keys().await {
            let mut cmd = redis::cmd("DEL");
            cmd.arg(key);
            self.link.command::<()>(&cmd).await.unwrap();
        }
    }

    async fn save(&mut self) {
        let mut snapshot = Vec::new();
        for key in self.keys().await {
            let mut cmd = redis::cmd("DUMP");
            cmd.arg(&key);
            snapshot.push((key, self.link.command::<Vec<u8>>(&cmd).await.unwrap()));
        }
        self.snapshot = Some(snapshot);
    }

    async fn fall_back(&mut self) {
        let Some(snapshot) = self.snapshot.take() else {
            return;
        };
        self.lose_data().await;
        for (key, value) in snapshot {
            let mut cmd = redis::cmd("RESTORE");
            cmd.arg(key).arg(0).arg(value).arg("REPLACE");
            self.link.command::<()>(&cmd).await.unwrap();
        }
    }

    async fn step(&mut self, loses_data: bool) {
        let index = self.rng.random_range(0..NODES);
        match self.rng.random_range(0..100) {
            0..30 => self.append(index),
            30..35 => self.act(index, true).await,
            35..40 => self.act(index, false).await,
            40..70 => {
                let fate = self.rng.random_range(0..10);
                self.ask(index, fate).await;
            }
            70..84 => self.push(index, false),
            84..88 => self.push(index, true),
            88..91 => {
                self.nodes[index].order.enter_partitioned();
                self.deliver(index);
            }
            91..94 => self.nodes[index].order.resync(),
            94..97 => {
                if let Some(stray) = self.nodes[index].stray.pop() {
                    self.put(index, stray).await;
                }
            }
            97 => self.save().await,
            98 if loses_data => self.lose_data().await,
            99 if loses_data => self.fall_back().await,
            _ => {}
        }
        self.inspect();
    }

    /// Checks the invariants of all replicas.
    fn inspect(&mut self) {
        for node in &mut self.nodes {
            node.checks.inspect(&node.order);
        }
    }

    /// Nothing goes wrong any more: all catch up with each other.
    async fn calm_down(&mut self) {
        for _ in 0..6 {
            for index in 0..NODES {
                self.nodes[index].order.resync();
                for _ in 0..4 {
                    self.ask(index, u32::MAX).await;
                }
                self.push(index, false);
            }
            self.inspect();
        }
    }
}

/// In each shared epoch every offset belongs to one event, on all nodes.
fn assert_one_order(world: &World) {
    let mut places: HashMap<(Epoch, u64), &str> = HashMap::new();
    for node in &world.nodes {
        for (epoch, offset, text) in &node.member.delivered {
            let known = places.entry((epoch.clone(), *offset)).or_insert(text);
            assert_eq!(
                known, text,
                "run {}: {epoch} {offset} is two events",
                world.run
            );
        }
    }
}

/// Every event and every control reached every node, and all are at one position.
fn assert_complete(world: &World) {
    assert_one_order(world);
    let run = world.run;
    let all: HashSet<String> = world
        .nodes
        .iter()
        .flat_map(|node| (1..=node.appended).map(move |count| format!("n{}-{count}", node.origin)))
        .chain(
            (1..=world.actions_count)
                .filter(|id| id % 2 == 0)
                .map(|id| format!("a{id}")),
        )
        .collect();
    let controls = (1..=world.actions_count).filter(|id| id % 2 == 1).count();
    for node in &world.nodes {
        let missing: Vec<_> = all
            .iter()
            .filter(|text| !delivered(node).contains(text.as_str()))
            .collect();
        assert!(
            missing.is_empty(),
            "run {run}: node {} never heard {missing:?}",
            node.origin
        );
        assert_eq!(
            node.member.controls.len(),
            controls,
            "run {run}: controls of node {}",
            node.origin
        );
        assert!(!node.order.is_partitioned());
    }
    let positions: HashSet<String> = world
        .nodes
        .iter()
        .map(|node| format!("{:?}", node.order.position()))
        .collect();
    assert_eq!(
        positions.len(),
        1,
        "run {run}: all stand at one place: {positions:?}"
    );
}

/// No node delivered an event of the log before a control that precedes it there.
async fn assert_controls_precede(world: &World) {
    let link = &world.link;
    let entries = async |key: String| {
        let mut cmd = redis::cmd("XRANGE");
        cmd.arg(key).arg("-").arg("+");
        link.command::<StreamEntries>(&cmd).await.unwrap()
    };
    let mut generations: HashMap<String, u64> = HashMap::new();
    for (place, fields) in entries(keys::events(world.live_id)).await {
        let position = LogPosition::parse(&place).unwrap();
        generations.insert(fields[3].clone(), position.generation);
    }
    let controls = entries(keys::controls(world.live_id)).await;
    assert!(!controls.is_empty());
    for (_, fields) in controls {
        let after = LogPosition::parse(&fields[3]).unwrap();
        let control = read_control(&fields[5]).unwrap();
        for node in &world.nodes {
            let mut known = node.member.controls.iter();
            let (_, count) = known.find(|(known, _)| *known == control).unwrap();
            for (epoch, offset, text) in &node.member.delivered[..*count] {
                // Epochs of one node's own are not in the log.
                let Some(&generation) = generations.get(epoch.as_ref()) else {
                    continue;
                };
                let position = LogPosition {
                    generation,
                    offset: *offset,
                };
                assert!(
                    position <= after,
                    "run {}: node {} delivers {text} of {position:?} before {control:?}",
                    world.run,
                    node.origin
                );
            }
        }
    }
}

fn delivered(node: &Node) -> HashSet<&str> {
    node.member
        .delivered
        .iter()
        .map(|(.., text)| text.as_str())
        .collect()
}

/// Once all have found each other again there is one order, and no node misses its own events.
async fn assert_united(world: &mut World) {
    let run = world.run;
    let mut since: BTreeMap<u64, usize> = BTreeMap::new();
    for node in &world.nodes {
        since.insert(node.origin, node.member.delivered.len());
    }
    for index in 0..NODES {
        world.append(index);
    }
    world.calm_down().await;
    let last: HashSet<Vec<String>> = world
        .nodes
        .iter()
        .map(|node| {
            let new = &node.member.delivered[since[&node.origin]..];
            new.iter()
                .map(|(epoch, offset, text)| format!("{epoch} {offset} {text}"))
                .collect()
        })
        .collect();
    assert_eq!(last.len(), 1, "run {run}: all hear the same: {last:?}");
    assert_eq!(last.iter().next().map(Vec::len), Some(NODES), "run {run}");
    for node in &world.nodes {
        let own = (1..=node.appended).map(|count| format!("n{}-{count}", node.origin));
        let missing: Vec<String> = own
            .filter(|text| !delivered(node).contains(text.as_str()))
            .collect();
        assert!(
            missing.is_empty(),
            "run {run}: node {} never heard its own {missing:?}",
            node.origin
        );
    }
}

#[tokio::test]
async fn members_receive_every_event_once_and_in_one_order_whatever_gets_lost_on_the_way() {
    let Some(redis) = redis() else { return };
    for run in 0..RUNS {
        let mut world = World::new(&redis.url(), run).await;
        for _ in 0..STEPS {
            world.step(false).await;
        }
        world.append_actions().await;
        world.calm_down().await;
        assert_complete(&world);
        assert_controls_precede(&world).await;
    }
}

#[tokio::test]
async fn a_redis_that_loses_its_data_costs_epochs_and_no_event_of_its_own_node() {
    let Some(redis) = redis() else { return };
    for run in 1_000..1_000 + RUNS {
        let mut world = World::new(&redis.url(), run).await;
        for _ in 0..STEPS {
            world.step(true).await;
        }
        world.calm_down().await;
        assert_united(&mut world).await;
    }
}
