//! The rooms of this node ([`EngineRoom`]), and which of them ask their logs when.
//!
//! | input | a room of that opening | another one, or none |
//! |---|---|---|
//! | opened | replaced | subscribed, once there is a connection; opened alone while Redis is away |
//! | of the room's actor, answers | the room's | - |
//! | message about a room | the room's | a request for its users is answered with none |
//! | closed | unsubscribed, gone for other nodes | - |
//! | connected, lost, node joined, node removed, messages missed, keys deleted, tick | each room's | |
//!
//! Invariants: an input for another opening of a room has no effect. A room asks its log only while
//! commands to Redis work, in a call of [`AppendCalls`]. While Redis is away each room with
//! something to append goes on alone, and none waits to open. A time in which this node was stalled
//! leaves no room alone.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::config::Config;
use crate::domain::{LiveId, NodeId};

use super::super::entries::Batch;
use super::super::messages::NodeMessage;
use super::super::opening::{Opened, RoomGauge, RoomKey};
use super::super::presence_replica::PresenceMessage;
use super::TICK;
use super::append_calls::AppendCalls;
use super::connection::ping_spacing;
use super::out::{Moment, Out};
use super::request::{Channel, PresenceKind, Publication, Purpose, RedisRequest};
use super::room::{EngineRoom, RoomInput};

pub struct EngineRooms {
    node: NodeId,
    history_max: usize,
    /// How long the events of one room may wait before that room goes on alone.
    timeout: Duration,
    /// When this node was stalled last, the end of that.
    resumed_at: Option<Instant>,
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
            resumed_at: None,
            by_id: HashMap::new(),
            append_calls: AppendCalls::new(is_cluster, now),
        }
    }

    /// Whether any room goes on alone.
    pub fn is_any_partitioned(&self) -> bool {
        self.by_id.values().any(EngineRoom::is_partitioned)
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
        let subscribe = moment.redis.is_connected.then(|| room.subscribe());
        self.by_id.insert(key.live_id, room);
        Vec::from_iter(subscribe)
    }

    pub fn close(&mut self, key: RoomKey) -> Vec<Out> {
        let is_it = |room: &EngineRoom| room.key == key;
        if !self.by_id.get(&key.live_id).is_some_and(is_it) {
            return Vec::new();
        }
        let room = self.by_id.remove(&key.live_id);
        let unsubscribe = RedisRequest::Unsubscribe(key.live_id).into();
        Vec::from_iter(
            room.map(|room| room.gone())
                .into_iter()
                .chain([unsubscribe]),
        )
    }

    pub fn handle(&mut self, key: RoomKey, input: RoomInput, moment: Moment) -> Vec<Out> {
        let is_it = |room: &&mut EngineRoom| room.key == key;
        let Some(room) = self.by_id.get_mut(&key.live_id).filter(is_it) else {
            return Vec::new();
        };
        let mut outs = Vec::from_iter(room.handle(input, self.history_max, moment));
        outs.extend(proceed(room, &mut self.append_calls, moment));
        outs
    }

    /// A batch that a node appended to the log of a room; `None` if it is of another version.
    pub fn batch(&mut self, live_id: LiveId, batch: Option<Batch>, moment: Moment) -> Vec<Out> {
        let Some(room) = self.by_id.get_mut(&live_id) else {
            return Vec::new();
        };
        room.batch(batch);
        Vec::from_iter(proceed(room, &mut self.append_calls, moment))
    }

    /// A presence message of another node about a room.
    pub fn presence(
        &mut self,
        live_id: LiveId,
        message: PresenceMessage,
        now: Instant,
    ) -> Vec<Out> {
        match (self.by_id.get_mut(&live_id), message) {
            (Some(room), message) => room.receive(message, now),
            (None, PresenceMessage::SnapshotRequest { node, .. }) => {
                let no_room = PresenceMessage::no_room(live_id, self.node);
                let (to, key) = (Channel::Node(NodeId(node)), RoomKey { live_id, origin: 0 });
                vec![Publication::presence(to, no_room, key, PresenceKind::Direct).into()]
            }
            (None, _) => Vec::new(),
        }
    }

    /// There is a new connection.
    pub fn connected(&mut self) -> Vec<Out> {
        self.by_id.values_mut().map(EngineRoom::subscribe).collect()
    }

    /// There is no connection any more.
    pub fn connection_lost(&mut self) {
        self.by_id
            .values_mut()
            .for_each(EngineRoom::connection_lost);
    }

    pub fn channel_moved(&mut self, live_id: LiveId) -> Vec<Out> {
        let room = self.by_id.get_mut(&live_id);
        Vec::from_iter(room.and_then(EngineRoom::channel_moved))
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
        self.by_id
            .values_mut()
            .for_each(|room| room.node_removed(node, now));
    }

    /// Asks the logs of rooms that want to and may by now.
    pub fn ask_due(&mut self, moment: Moment) -> Vec<Out> {
        let due = self.append_calls.take_due(moment.now);
        if !moment.redis.is_reached {
            return Vec::new();
        }
        let question = |live_id| self.by_id.get_mut(&live_id)?.room_question(moment.now);
        let questions = due.into_iter().filter_map(question).collect();
        let calls = self.append_calls.calls(questions, moment.now);
        calls
            .into_iter()
            .map(|call| RedisRequest::AskLogs(call).into())
            .collect()
    }

    /// `stalled`: for how long this node could not run before. Answers may be there and not be read
    /// yet, so no room goes on alone before it has waited for the timeout since.
    pub fn tick(&mut self, stalled: Duration, moment: Moment) -> Vec<Out> {
        if !stalled.is_zero() {
            self.resumed_at = Some(moment.now);
        }
        let has_waited = self
            .resumed_at
            .is_none_or(|at| moment.now.saturating_duration_since(at) >= self.timeout);
        let timeout = if has_waited {
            self.timeout
        } else {
            Duration::MAX
        };
        let mut outs = Vec::new();
        for room in self.by_id.values_mut() {
            outs.append(&mut room.tick(timeout, moment));
            if !moment.redis.is_away {
                want_call(room, &mut self.append_calls, moment);
            }
        }
        outs
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

/// Publishes the next delta of the room, and makes it due to ask its log.
fn proceed(room: &mut EngineRoom, append_calls: &mut AppendCalls, moment: Moment) -> Option<Out> {
    want_call(room, append_calls, moment);
    if moment.redis.is_connected {
        room.next_delta()
    } else {
        None
    }
}

/// Makes the room due to ask its log, if it may have something to ask.
fn want_call(room: &EngineRoom, append_calls: &mut AppendCalls, moment: Moment) {
    if moment.redis.is_reached
        && let Some(at) = room.ask_at()
    {
        append_calls.add(room.key.live_id, at);
    }
}

#[cfg(test)]
mod tests {
    use super::super::room::{ASK_AGAIN, BATCH_SPACING};
    use super::*;
    use crate::cluster::redis::engine::out::Reach;
    use crate::cluster::redis::engine::request::PublishedMessage;
    use crate::cluster::redis::entries::{Answer, LogPosition};
    use crate::domain::{RoomEvent, Timestamp};

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

        /// What came of it, and the calls that are due then.
        fn with_calls(&mut self, mut outs: Vec<Out>) -> String {
            outs.append(&mut self.rooms.ask_due(self.moment));
            words(&outs)
        }

        fn input(&mut self, input: RoomInput) -> String {
            let outs = self.rooms.handle(KEY, input, self.moment);
            self.with_calls(outs)
        }

        fn wait(&mut self, time: Duration) {
            self.moment.now += time;
        }

        fn tick(&mut self) -> String {
            let outs = self.rooms.tick(Duration::ZERO, self.moment);
            self.with_calls(outs)
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
    fn rooms_that_append_in_the_same_round_of_the_loop_share_a_call() {
        let (mut play, _) = Play::open(WORKS);
        let (reply, _opened) = oneshot::channel();
        let other = RoomKey {
            live_id: LiveId::new(2).expect("not 0"),
            origin: 8,
        };
        play.rooms.open(other, Arc::default(), reply, play.moment);
        for key in [KEY, other] {
            play.rooms.handle(key, RoomInput::Subscribed, play.moment);
            play.rooms.ask_due(play.moment);
            let answer = Answer {
                epoch: "e".into(),
                end: LogPosition::default(),
                before: LogPosition::default(),
                places: Vec::new(),
                missed: Vec::new(),
                gap: 0,
                controls: Vec::new(),
                controls_count: 0,
                same: true,
            };
            let opened = RoomInput::Answered {
                number: 1,
                answer: Ok(answer),
            };
            play.rooms.handle(key, opened, play.moment);
        }
        play.wait(TICK);
        for key in [KEY, other] {
            let notice = RoomEvent::Notice {
                live_id: key.live_id,
                text: "hi".into(),
            };
            let outs = play
                .rooms
                .handle(key, RoomInput::Append(notice), play.moment);
            assert_eq!(words(&outs), "", "it waits for the others");
        }
        assert_eq!(
            play.rooms.next_call_at(),
            Some(play.moment.now - TICK + BATCH_SPACING)
        );
        let outs = play.rooms.ask_due(play.moment);
        let [Out::Request(RedisRequest::AskLogs(questions))] = &outs[..] else {
            panic!("one call: {}", words(&outs));
        };
        assert_eq!(questions.len(), 2);
    }

    #[test]
    fn an_input_for_another_opening_of_the_room_has_no_effect() {
        let (mut play, _) = Play::open(WORKS);
        let other = RoomKey { origin: 8, ..KEY };
        let outs = play.rooms.handle(other, RoomInput::Subscribed, play.moment);
        assert_eq!(words(&outs), "");
        assert_eq!(words(&play.rooms.close(other)), "");
        assert_eq!(words(&play.rooms.close(KEY)), "gone unsubscribe");
        assert_eq!(words(&play.rooms.close(KEY)), "");
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
        // An announcement may be due as well: when is random.
        assert!(play.tick().ends_with("ask"));
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
    fn a_time_in_which_this_node_was_stalled_leaves_no_room_alone() {
        let (mut play, _) = Play::open(WORKS);
        play.input(RoomInput::Subscribed);
        let stalled = play.rooms.timeout * 3;
        play.wait(stalled);
        play.rooms.tick(stalled, play.moment);
        play.wait(play.rooms.timeout - TICK);
        play.tick();
        assert!(
            !play.rooms.is_any_partitioned(),
            "the answer may be read next"
        );
        play.wait(TICK);
        play.tick();
        assert!(play.rooms.is_any_partitioned(), "there is none");
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
