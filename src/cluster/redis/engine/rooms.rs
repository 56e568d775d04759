//! The rooms of this node: each has a log replica and a presence replica, whose inputs and outputs
//! pass here.
//!
//! | a room | opened | subscribed | not subscribed | log answered | presence published | closed |
//! |---|---|---|---|---|---|---|
//! | opening | - | announces itself, reads its log | subscribed again later | open once the others' users are known too | counts the others | gone from other nodes |
//! | open | another opening replaces it | as above, and the others' users are asked for | as above | delivered, next question | next delta; announced again if it failed | as above |
//!
//! | all rooms | connected | lost | node removed | messages missed | keys deleted | tick |
//! |---|---|---|---|---|---|---|
//! | | subscribe | not subscribed | its users leave | read the log, ask for users | publish users | what is due; alone after the timeout |
//!
//! Invariants: an input for another opening of a room has no effect. A room asks its log only while
//! it is subscribed and Redis works, one question at a time. While Redis is away each room with
//! something to append goes on alone, and none waits to open.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::warn;
use redis::RedisResult;
use tokio::sync::oneshot;

use crate::cluster::FromLog;
use crate::config::Config;
use crate::domain::{ActionEntry, LiveId, NodeId, PresenceChange, RoomEvent};

use super::super::append::RoomQuestion;
use super::super::entries::{Answer, Batch};
use super::super::messages::NodeMessage;
use super::super::presence_replica::{PresenceMessage, PresenceOutcome};
use super::super::rooms::{ASK_AGAIN, EngineRoom, Opened, RoomGauge, RoomKey};
use super::TICK;
use super::append_calls::AppendCalls;
use super::connection::ping_spacing;
use super::out::{Moment, Out};
use super::request::{Channel, PresenceKind, Publication, Purpose, RedisRequest};

/// An input for one opening of a room.
pub enum RoomInput {
    Listen(Box<dyn Fn(FromLog) + Send + Sync>),
    Append(RoomEvent),
    AppendAction(ActionEntry),
    PublishPresence(Vec<PresenceChange>),
    PublishUsers(String),
    Close,
    Subscribed,
    NotSubscribed,
    Answered {
        number: u64,
        answer: RedisResult<Answer>,
    },
    /// Published to so many nodes, this one included, or not.
    PresencePublished {
        kind: PresenceKind,
        nodes_count: Option<usize>,
    },
    UsersNotSet,
}

pub struct EngineRooms {
    node: NodeId,
    history_max: usize,
    /// How long the events of one room may wait before that room goes on alone.
    timeout: Duration,
    by_id: HashMap<LiveId, EngineRoom>,
    append_calls: AppendCalls,
}

impl EngineRooms {
    pub fn new(config: &Config, is_cluster: bool, node: NodeId, now: Instant) -> Self {
        let redis_timeout = config.cluster.redis_timeout_ms.duration();
        Self {
            node,
            history_max: config.rooms.history_events_max,
            timeout: room_timeout(redis_timeout, is_cluster),
            by_id: HashMap::new(),
            append_calls: AppendCalls::new(is_cluster, now),
        }
    }

    /// Whether any room goes on alone.
    pub fn is_any_partitioned(&self) -> bool {
        self.by_id.values().any(|room| room.log.is_partitioned())
    }

    /// When the next rooms may ask their logs.
    pub fn next_call_at(&self) -> Option<Instant> {
        self.append_calls.next_at()
    }

    pub fn open(
        &mut self,
        key: RoomKey,
        gauge: Arc<RoomGauge>,
        reply: oneshot::Sender<Opened>,
        moment: Moment,
    ) -> Vec<Out> {
        let mut room = EngineRoom::new(key, self.node, gauge, reply, moment.at, moment.now);
        if moment.redis.is_away {
            room.open_partitioned(Duration::ZERO, moment.now);
        }
        let subscribe = moment.redis.is_connected.then(|| subscribe(&mut room));
        self.by_id.insert(key.live_id, room);
        Vec::from_iter(subscribe)
    }

    pub fn handle(&mut self, key: RoomKey, input: RoomInput, moment: Moment) -> Vec<Out> {
        let now = moment.now;
        let is_it = |room: &&mut EngineRoom| room.key == key;
        let Some(room) = self.by_id.get_mut(&key.live_id).filter(is_it) else {
            return Vec::new();
        };
        let mut outs = Vec::new();
        match input {
            RoomInput::Listen(listener) => room.listen(listener),
            RoomInput::Append(event) => {
                room.log.append(event, moment.at, now);
                appended(room, moment);
            }
            RoomInput::AppendAction(entry) => {
                room.log.append_action(entry, moment.at, now);
                appended(room, moment);
            }
            RoomInput::PublishPresence(changes) => room.presence.set_local(changes),
            RoomInput::PublishUsers(users) => outs.push(RedisRequest::SetUsers(key, users).into()),
            RoomInput::UsersNotSet => room.publish_users_by(now + ASK_AGAIN),
            RoomInput::Close => return self.close(key.live_id),
            RoomInput::NotSubscribed => room.subscribe_at = Some(now + ASK_AGAIN),
            RoomInput::Subscribed => outs.push(subscribed(room, now)),
            RoomInput::Answered { number, answer } => {
                room.answered(number, answer, self.history_max, now);
                room.release(0);
            }
            RoomInput::PresencePublished { kind, nodes_count } => {
                published(room, kind, nodes_count, now);
            }
        }
        proceed(room, &mut self.append_calls, moment, &mut outs);
        outs
    }

    fn close(&mut self, live_id: LiveId) -> Vec<Out> {
        let mut outs = vec![RedisRequest::Unsubscribe(live_id).into()];
        if let Some(room) = self.by_id.remove(&live_id) {
            outs.push(RedisRequest::PublishGone(live_id, room.presence.gone()).into());
        }
        outs
    }

    /// A batch that a node appended to the log of a room; `None` if it is of another version.
    pub fn batch(&mut self, live_id: LiveId, batch: Option<Batch>, moment: Moment) -> Vec<Out> {
        let mut outs = Vec::new();
        if let Some(room) = self.by_id.get_mut(&live_id) {
            match batch {
                Some(batch) if room.can_receive() => room.log.published(batch),
                Some(_) => room.log.resync(),
                None => warn!("message of another version not understood: live_id={live_id}"),
            }
            room.release(0);
            proceed(room, &mut self.append_calls, moment, &mut outs);
        }
        outs
    }

    /// A presence message of another node about a room.
    pub fn presence(
        &mut self,
        live_id: LiveId,
        message: PresenceMessage,
        now: Instant,
    ) -> Vec<Out> {
        let mut outs = Vec::new();
        match (self.by_id.get_mut(&live_id), message) {
            (Some(room), message) => {
                let outcomes = room.presence.receive(message, now);
                perform(room, outcomes, now, &mut outs);
            }
            (None, PresenceMessage::SnapshotRequest { node, .. }) => {
                let no_room = PresenceMessage::no_room(live_id, self.node);
                let key = RoomKey { live_id, origin: 0 };
                let to = Channel::Node(NodeId(node));
                outs.push(presence_to(to, no_room, key, PresenceKind::Direct));
            }
            (None, _) => {}
        }
        outs
    }

    /// There is a new connection.
    pub fn connected(&mut self) -> Vec<Out> {
        self.by_id.values_mut().map(subscribe).collect()
    }

    /// There is no connection any more.
    pub fn connection_lost(&mut self) {
        self.by_id
            .values_mut()
            .for_each(|room| room.subscribed = false);
    }

    /// In a Redis Cluster the channel of a room moves to another server together with its keys.
    pub fn channel_moved(&mut self, live_id: LiveId) -> Vec<Out> {
        let room = self.by_id.get_mut(&live_id).filter(|room| room.subscribed);
        room.map(subscribe).into_iter().collect()
    }

    /// Messages were dropped.
    pub fn look_again(&mut self, now: Instant) {
        self.by_id
            .values_mut()
            .for_each(|room| room.look_again(now));
    }

    /// Another node has removed the users of this one, or does not know them yet.
    pub fn announce_all(&mut self, now: Instant) {
        self.by_id
            .values_mut()
            .for_each(|room| room.announce_by(now));
    }

    /// What other services read of presence may be missing.
    pub fn publish_users(&mut self, now: Instant) {
        self.by_id
            .values_mut()
            .for_each(|room| room.publish_users_by(now));
    }

    /// If this node had counted the other as dead, it removed the users of that node: asks it for its
    /// announcements.
    pub fn node_joined(&self, node: NodeId) -> Vec<Out> {
        if self.by_id.is_empty() {
            return Vec::new();
        }
        let ask = NodeMessage::AskAnnouncements { node: self.node.0 };
        vec![Publication::to_node(node, ask, Purpose::AskAnnouncements(node)).into()]
    }

    pub fn node_removed(&mut self, node: NodeId, now: Instant) {
        for room in self.by_id.values_mut() {
            let change = room.presence.forget(node).map(PresenceOutcome::Peers);
            perform(room, change.into_iter().collect(), now, &mut Vec::new());
        }
    }

    /// Asks the logs of rooms that wanted to and may by now.
    pub fn ask_due(&mut self, moment: Moment) -> Vec<Out> {
        let due = self.append_calls.take_due(moment.now);
        if !moment.redis.is_reached {
            return Vec::new();
        }
        let rooms = &mut self.by_id;
        let questions = due
            .into_iter()
            .filter_map(|live_id| question(rooms.get_mut(&live_id)?, moment.now));
        let questions = questions.collect();
        calls(&mut self.append_calls, questions, moment.now)
    }

    pub fn tick(&mut self, moment: Moment) -> Vec<Out> {
        let mut outs = Vec::new();
        for room in self.by_id.values_mut() {
            if moment.redis.is_connected && room.subscribe_at.is_some_and(|at| at <= moment.now) {
                outs.push(subscribe(room));
            }
            // Of thousands of rooms most are at rest.
            if room.is_due(moment.now) {
                tick(room, self.timeout, moment, &mut outs);
                if !moment.redis.is_away {
                    ask(room, &mut self.append_calls, moment, &mut outs);
                }
            }
        }
        outs
    }
}

fn tick(room: &mut EngineRoom, timeout: Duration, moment: Moment, outs: &mut Vec<Out>) {
    let (now, redis) = (moment.now, moment.redis);
    room.tick(now);
    let waits_for = room.log.waits_for(now);
    let is_alone = if redis.is_away {
        !waits_for.is_zero()
    } else {
        waits_for >= timeout
    };
    if is_alone && !room.log.is_partitioned() {
        warn!(
            "room goes on alone: live_id={} events={}",
            room.key.live_id,
            room.log.waiting_count()
        );
        room.log.enter_partitioned();
        room.release(0);
    }
    if redis.is_away {
        return room.open_partitioned(Duration::ZERO, now);
    }
    room.open_if_ready(now);
    room.open_partitioned(timeout, now);
    if redis.is_connected && room.subscribed {
        room.request_due_users(now);
        let requests = room.presence.repeat_requests(now);
        if let Some(announce) = room.due_announcement(now) {
            outs.push(to_room(room, announce, PresenceKind::Announcement));
        }
        perform(room, requests, now, outs);
    }
}

/// How long the events of one room may wait before that room goes on alone. If Redis is silent to
/// all rooms, the node notices first, at the latest after the next ping, so that the node and its
/// rooms go on alone in the same moment; a server of a Redis Cluster may be silent to some rooms
/// only.
fn room_timeout(redis_timeout: Duration, is_cluster: bool) -> Duration {
    if is_cluster {
        redis_timeout
    } else {
        redis_timeout + ping_spacing(redis_timeout) + 2 * TICK
    }
}

/// An entry was appended.
fn appended(room: &mut EngineRoom, moment: Moment) {
    if moment.redis.is_away && !room.log.is_partitioned() {
        room.log.enter_partitioned();
    }
    room.release(1);
}

/// Subscribes to the room's channel. The room asks nothing of its log before that succeeded.
fn subscribe(room: &mut EngineRoom) -> Out {
    (room.subscribed, room.subscribe_at) = (false, None);
    RedisRequest::Subscribe(room.key).into()
}

/// The room receives messages from now on. What was published before, it asks for; to a room that
/// opens, the others send their snapshots unasked. Announces to the others that this node has the
/// room.
fn subscribed(room: &mut EngineRoom, now: Instant) -> Out {
    room.subscribed = true;
    room.presence_in_flight = false;
    if room.opening.is_some() {
        room.log.resync();
    } else {
        room.look_again(now);
        room.publish_users_by(now);
    }
    let announce = room.presence.announce();
    to_room(room, announce, PresenceKind::Announcement)
}

fn published(room: &mut EngineRoom, kind: PresenceKind, nodes_count: Option<usize>, now: Instant) {
    if kind == PresenceKind::Delta {
        room.presence_in_flight = false;
    }
    match nodes_count {
        Some(count) if kind == PresenceKind::Announcement => room.announced(count, now),
        Some(_) => {}
        // The others may have missed it.
        None => room.announce_by(now + ASK_AGAIN),
    }
}

/// Publishes the next delta of the room, one at a time, and asks its log, if it may.
fn proceed(
    room: &mut EngineRoom,
    append_calls: &mut AppendCalls,
    moment: Moment,
    outs: &mut Vec<Out>,
) {
    if moment.redis.is_connected
        && !room.presence_in_flight
        && let Some(delta) = room.presence.next_delta()
    {
        room.presence_in_flight = true;
        outs.push(to_room(room, delta, PresenceKind::Delta));
    }
    ask(room, append_calls, moment, outs);
}

/// Asks the room's log, if there is something to ask and it may now; otherwise it is due later.
fn ask(room: &mut EngineRoom, append_calls: &mut AppendCalls, moment: Moment, outs: &mut Vec<Out>) {
    if moment.redis.is_reached
        && room.subscribed
        && !room.log.is_at_rest()
        && append_calls.may_ask(room.key.live_id, room.next_question, moment.now)
    {
        let questions = question(room, moment.now).into_iter().collect();
        outs.append(&mut calls(append_calls, questions, moment.now));
    }
}

fn question(room: &mut EngineRoom, now: Instant) -> Option<RoomQuestion> {
    if !room.subscribed {
        return None;
    }
    let RoomKey { live_id, origin } = room.key;
    Some(RoomQuestion {
        live_id,
        origin,
        is_repeated: room.has_failed,
        question: room.question(now)?,
    })
}

fn calls(append_calls: &mut AppendCalls, questions: Vec<RoomQuestion>, now: Instant) -> Vec<Out> {
    let calls = append_calls.calls(questions, now);
    calls
        .into_iter()
        .map(|call| RedisRequest::AskLogs(call).into())
        .collect()
}

fn to_room(room: &EngineRoom, message: PresenceMessage, kind: PresenceKind) -> Out {
    presence_to(Channel::Room(room.key.live_id), message, room.key, kind)
}

fn presence_to(to: Channel, message: PresenceMessage, key: RoomKey, kind: PresenceKind) -> Out {
    Publication::presence(to, message, key, kind).into()
}

/// Performs what follows from presence messages.
fn perform(
    room: &mut EngineRoom,
    outcomes: Vec<PresenceOutcome>,
    now: Instant,
    outs: &mut Vec<Out>,
) {
    let mut changes = Vec::new();
    for outcome in outcomes {
        match outcome {
            PresenceOutcome::Peers(change) => changes.push(change),
            PresenceOutcome::Send(node, message) => {
                let to = Channel::Node(node);
                outs.push(presence_to(to, message, room.key, PresenceKind::Direct));
            }
            PresenceOutcome::Announce => room.announce_by(now),
        }
    }
    if !changes.is_empty() {
        room.deliver(FromLog::Peers(changes));
    }
    room.open_if_ready(now);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::redis::engine::out::Reach;
    use crate::cluster::redis::engine::request::PublishedMessage;
    use crate::domain::Timestamp;

    const KEY: RoomKey = RoomKey {
        live_id: LiveId::FIRST,
        origin: 7,
    };
    const WORKS: Reach = Reach {
        is_connected: true,
        is_reached: true,
        is_away: false,
    };
    const AWAY: Reach = Reach {
        is_connected: false,
        is_reached: false,
        is_away: true,
    };

    /// EngineRooms, and the one room that they have, opened over Redis as it is then.
    struct Play {
        rooms: EngineRooms,
        moment: Moment,
        opened: oneshot::Receiver<Opened>,
    }

    impl Play {
        fn open(redis: Reach) -> (Self, String) {
            let moment = Moment {
                now: Instant::now(),
                at: Timestamp(0),
                redis,
            };
            let mut rooms = EngineRooms::new(&Config::default(), false, NodeId(1), moment.now);
            let (reply, opened) = oneshot::channel();
            let outs = rooms.open(KEY, Arc::default(), reply, moment);
            let play = Self {
                rooms,
                moment,
                opened,
            };
            (play, words(&outs))
        }

        fn input(&mut self, input: RoomInput) -> String {
            words(&self.rooms.handle(KEY, input, self.moment))
        }

        fn wait(&mut self, time: Duration) {
            self.moment.now += time;
        }

        fn tick(&mut self) -> String {
            words(&self.rooms.tick(self.moment))
        }
    }

    fn words(outs: &[Out]) -> String {
        let word = |out: &Out| match out {
            Out::Request(RedisRequest::Subscribe(KEY)) => "subscribe",
            Out::Request(RedisRequest::Unsubscribe(LiveId::FIRST)) => "unsubscribe",
            Out::Request(RedisRequest::AskLogs(rooms)) if rooms.len() == 1 => "ask",
            Out::Request(RedisRequest::PublishGone(..)) => "gone",
            Out::Request(RedisRequest::Publish(publication)) => match &publication.message {
                PublishedMessage::Presence(PresenceMessage::Announce { .. }) => "announce",
                PublishedMessage::Presence(PresenceMessage::Delta { .. }) => "delta",
                PublishedMessage::Presence(PresenceMessage::Snapshot { .. }) => "snapshot",
                _ => "?",
            },
            _ => "?",
        };
        outs.iter().map(word).collect::<Vec<_>>().join(" ")
    }

    fn failed() -> RoomInput {
        RoomInput::Answered {
            number: 1,
            answer: Err((redis::ErrorKind::Io, "refused").into()),
        }
    }

    #[test]
    fn a_room_subscribes_before_it_announces_itself_and_asks_its_log() {
        let (mut play, outs) = Play::open(WORKS);
        assert_eq!(outs, "subscribe");
        assert_eq!(play.tick(), "");
        assert_eq!(play.input(RoomInput::Subscribed), "announce ask");
        assert_eq!(
            play.input(RoomInput::Subscribed),
            "announce",
            "one question at a time"
        );
    }

    #[test]
    fn an_input_for_another_opening_of_the_room_has_no_effect() {
        let (mut play, _) = Play::open(WORKS);
        let other = RoomKey { origin: 8, ..KEY };
        let outs = play.rooms.handle(other, RoomInput::Subscribed, play.moment);
        assert_eq!(words(&outs), "");
        assert_eq!(
            words(&play.rooms.handle(other, RoomInput::Close, play.moment)),
            ""
        );
        assert_eq!(play.input(RoomInput::Close), "unsubscribe gone");
        assert_eq!(play.input(RoomInput::Close), "");
    }

    #[test]
    fn a_question_that_failed_is_asked_again_a_little_later_and_only_while_commands_work() {
        let (mut play, _) = Play::open(WORKS);
        play.input(RoomInput::Subscribed);
        assert_eq!(play.input(failed()), "");
        let due = play.rooms.next_call_at().expect("it may ask later");
        assert!(due > play.moment.now);
        play.moment.now = due;
        play.moment.redis.is_reached = false;
        assert_eq!(words(&play.rooms.ask_due(play.moment)), "");
        play.moment.redis.is_reached = true;
        assert_eq!(play.tick(), "ask");
    }

    #[test]
    fn a_room_that_could_not_be_subscribed_is_subscribed_again() {
        let (mut play, _) = Play::open(WORKS);
        assert_eq!(play.input(RoomInput::NotSubscribed), "");
        play.wait(ASK_AGAIN);
        assert_eq!(play.tick(), "subscribe");
        assert_eq!(play.tick(), "");
    }

    #[test]
    fn a_room_opens_at_once_and_alone_while_redis_is_away() {
        let (mut play, outs) = Play::open(AWAY);
        assert_eq!(outs, "");
        assert!(play.opened.try_recv().is_ok() && play.rooms.is_any_partitioned());
    }

    #[test]
    fn a_room_whose_log_does_not_answer_opens_alone_after_the_timeout() {
        let (mut play, _) = Play::open(WORKS);
        play.input(RoomInput::Subscribed);
        play.wait(play.rooms.timeout - TICK);
        play.tick();
        assert!(play.opened.try_recv().is_err() && !play.rooms.is_any_partitioned());
        play.wait(TICK);
        play.tick();
        assert!(play.opened.try_recv().is_ok() && play.rooms.is_any_partitioned());
    }

    #[test]
    fn a_node_notices_a_silent_redis_before_any_of_its_rooms_does() {
        for redis_timeout in [100, 2_000, 60_000].map(Duration::from_millis) {
            let node = redis_timeout + ping_spacing(redis_timeout) + TICK;
            assert!(room_timeout(redis_timeout, false) > node);
            // There one server may be silent alone.
            assert_eq!(room_timeout(redis_timeout, true), redis_timeout);
        }
    }

    #[test]
    fn an_announcement_that_got_lost_is_made_again_with_the_next_tick_after_a_while() {
        let (mut play, _) = Play::open(WORKS);
        play.input(RoomInput::Subscribed);
        let lost = RoomInput::PresencePublished {
            kind: PresenceKind::Announcement,
            nodes_count: None,
        };
        assert_eq!(play.input(lost), "");
        play.wait(ASK_AGAIN);
        assert_eq!(play.tick(), "announce");
        assert_eq!(play.tick(), "");
    }

    #[test]
    fn a_node_without_the_room_answers_a_request_for_its_users_with_none() {
        let mut rooms = EngineRooms::new(&Config::default(), false, NodeId(1), Instant::now());
        let ask = PresenceMessage::SnapshotRequest { live: 1, node: 2 };
        let outs = rooms.presence(LiveId::FIRST, ask, Instant::now());
        assert_eq!(words(&outs), "snapshot");
        assert!(
            rooms.node_joined(NodeId(2)).is_empty(),
            "it has no room that others may be in"
        );
    }

    #[test]
    fn a_new_connection_subscribes_every_room_and_a_lost_one_none() {
        let (mut play, _) = Play::open(WORKS);
        play.input(RoomInput::Subscribed);
        play.rooms.connection_lost();
        play.moment.redis.is_connected = false;
        assert_eq!(
            words(&play.rooms.channel_moved(LiveId::FIRST)),
            "",
            "it is not subscribed"
        );
        assert_eq!(play.tick(), "");
        play.moment.redis = WORKS;
        assert_eq!(words(&play.rooms.connected()), "subscribe");
        assert_eq!(play.input(RoomInput::Subscribed), "announce");
        assert_eq!(words(&play.rooms.channel_moved(LiveId::FIRST)), "subscribe");
    }
}
