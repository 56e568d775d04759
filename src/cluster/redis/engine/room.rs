//! One room of this node: the replica of its log, the replica of its presence, and the way from
//! them to the room's actor.
//!
//! | state | subscribed | log answered | announced to n nodes | a snapshot arrived | tick |
//! |---|---|---|---|---|---|
//! | opening | announces itself, reads its log | has its past | waits for n - 1 snapshots | one less | open: with its past, after 250 ms also without all snapshots; alone, after the timeout |
//! | open | as above, and publishes and asks for users | delivers | - | delivers | resync, announcement, users when due; alone, if events wait for the timeout |
//!
//! Invariants: nothing is delivered to the room before it is open, and nothing is lost: it waits.
//! One question and one delta are under way at a time. A question is asked while the room is
//! subscribed, so that no entry falls between an answer and the messages after it. A room is due
//! for each of its periodic duties until it has done it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use log::warn;
use redis::{RedisError, RedisResult};
use tokio::sync::oneshot;

use crate::cluster::FromLog;
use crate::domain::{
    ActionEntry, NodeId, Position, PresenceChange, RoomEvent, Sequenced, Timestamp,
};

use super::super::append::RoomQuestion;
use super::super::entries::{Answer, Batch};
use super::super::log_replica::{LogReplica, Question};
use super::super::opening::{Opened, RoomGauge, RoomKey};
use super::super::presence_replica::{PresenceMessage, PresenceOutcome, PresenceReplica};
use super::out::{Moment, Out};
use super::request::{Channel, PresenceKind, Publication, RedisRequest};

/// Delivered events that a room has not acknowledged. Beyond, none is delivered until it has, and
/// the room resyncs then.
const UNACKED_MAX: usize = 16_384;
/// Time between two batches of a room. A calm room does not notice; a loud one needs one call of
/// the script and one message to each node for all events that gathered.
pub const BATCH_SPACING: Duration = Duration::from_millis(5);
/// After a question that found no answer.
pub const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Time until a resync without a reason, in case a message got lost, after the one before or after
/// the answer to a batch, which shows that as well.
const RESYNC_EVERY: Duration = Duration::from_secs(10);
/// How long a room that opens waits for the presence snapshots of other nodes.
const SNAPSHOTS_WAIT: Duration = Duration::from_millis(250);
/// Time between two announcements of a room to other nodes, in case a message got lost.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(30);
/// Time between two requests for the users online, so that what other services read does not
/// expire, and is there again if it was deleted.
const USERS_EVERY: Duration = Duration::from_secs(20);

/// An input for one opening of a room.
pub enum RoomInput {
    Listen(Box<dyn Fn(FromLog) + Send + Sync>),
    Append(RoomEvent),
    AppendAction(ActionEntry),
    PublishPresence(Vec<PresenceChange>),
    PublishUsers(String),
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

/// One room of this node.
pub struct EngineRoom {
    pub key: RoomKey,
    log: LogReplica,
    presence: PresenceReplica,
    gauge: Arc<RoomGauge>,
    /// Set until the room is open: the receiver, and since when it waits.
    opening: Option<(oneshot::Sender<Opened>, Instant)>,
    is_subscribed: bool,
    /// When to subscribe once more, after a failure.
    subscribe_at: Option<Instant>,
    is_delta_in_flight: bool,
    /// The position that the room opens at and the events up to it, when the log has answered. What
    /// the log delivers from then on is delivered to the room when it is open.
    past: Option<(Position, Vec<(Sequenced, Timestamp)>)>,
    /// How many other nodes have the room, once Redis has answered that.
    others: Option<usize>,
    listener: Option<Box<dyn Fn(FromLog) + Send + Sync>>,
    /// Items from before [`EngineRoom::listen`].
    undelivered: VecDeque<FromLog>,
    /// No request is sent before.
    next_question: Instant,
    /// Whether the last request failed.
    has_failed: bool,
    next_resync: Instant,
    next_announcement: Instant,
    next_users: Instant,
}

impl EngineRoom {
    pub fn new(
        key: RoomKey,
        node: NodeId,
        gauge: Arc<RoomGauge>,
        reply: oneshot::Sender<Opened>,
        at: Timestamp,
        now: Instant,
    ) -> Self {
        let RoomKey { live_id, origin } = key;
        Self {
            key,
            log: LogReplica::new(origin, at),
            presence: PresenceReplica::new(live_id, node, origin),
            gauge,
            opening: Some((reply, now)),
            is_subscribed: false,
            subscribe_at: None,
            is_delta_in_flight: false,
            past: None,
            others: None,
            listener: None,
            undelivered: VecDeque::new(),
            next_question: now,
            has_failed: false,
            // Spreads the resyncs of rooms that were opened together.
            next_resync: now + RESYNC_EVERY.mul_f64(rand::random()),
            next_announcement: now + ANNOUNCE_EVERY.mul_f64(rand::random()),
            next_users: now + USERS_EVERY.mul_f64(rand::random()),
        }
    }

    fn listen(&mut self, room: Box<dyn Fn(FromLog) + Send + Sync>) {
        for from_log in self.undelivered.drain(..) {
            room(from_log);
        }
        self.listener = Some(room);
    }

    /// Delivers an item to the room.
    fn deliver(&mut self, from_log: FromLog) {
        if let FromLog::Ordered(events) = &from_log {
            self.gauge
                .unacked
                .fetch_add(events.len(), Ordering::Relaxed);
        }
        match &self.listener {
            Some(room) => room(from_log),
            None => self.undelivered.push_back(from_log),
        }
    }

    /// Delivers the items that the log has released. `queued`: appended events that the
    /// engine has taken.
    fn release(&mut self, queued: usize) {
        for from_log in self.log.take_out() {
            self.deliver(from_log);
        }
        self.gauge.waiting.fetch_sub(queued, Ordering::Relaxed);
    }

    /// Whether the room may receive more events.
    fn can_receive(&self) -> bool {
        self.gauge.unacked.load(Ordering::Relaxed) < UNACKED_MAX
    }

    /// The next question, if its time has come.
    fn question(&mut self, now: Instant) -> Option<Question> {
        if now < self.next_question || !self.can_receive() {
            return None;
        }
        let question = self.log.ask()?;
        let batch_window =
            Duration::from_millis(self.gauge.batch_window_ms.load(Ordering::Relaxed) as u64);
        self.next_question = now + batch_window.max(BATCH_SPACING);
        Some(question)
    }

    fn answered(
        &mut self,
        number: u64,
        answer: Result<Answer, RedisError>,
        history_max: usize,
        now: Instant,
    ) {
        self.has_failed = answer.is_err();
        match answer {
            Ok(answer) => {
                if !answer.places.is_empty() {
                    self.next_resync = now + RESYNC_EVERY;
                }
                if let Some(mut recent) = self.log.answered(number, answer) {
                    recent.drain(..recent.len().saturating_sub(history_max));
                    self.past = self.log.position().map(|position| (position, recent));
                    self.open_if_ready(now);
                }
            }
            Err(_) => {
                self.log.failed(number);
                self.next_question = now + ASK_AGAIN;
            }
        }
    }

    /// Opens the room if it waits for more than `timeout`; partitioned, if the log has not answered.
    pub fn open_partitioned(&mut self, timeout: Duration, now: Instant) {
        if self
            .opening
            .as_ref()
            .is_some_and(|(_, since)| now.saturating_duration_since(*since) >= timeout)
        {
            if self.past.is_none() {
                self.log.enter_partitioned();
                self.past = self.log.position().map(|position| (position, Vec::new()));
            }
            self.opened();
        }
    }

    /// Redis delivered the announcement to so many nodes, this one included.
    fn announced(&mut self, nodes_count: usize, now: Instant) {
        self.others = Some(nodes_count.saturating_sub(1));
        self.open_if_ready(now);
    }

    /// Opens the room when its past and the users on other nodes are known, which the first member
    /// that joins here is shown. It does not wait long for the users.
    fn open_if_ready(&mut self, now: Instant) {
        let Some((_, since)) = &self.opening else {
            return;
        };
        let all_answered = self
            .others
            .is_some_and(|others| self.presence.synced_count() >= others);
        if self.past.is_some()
            && (all_answered || now.saturating_duration_since(*since) >= SNAPSHOTS_WAIT)
        {
            self.opened();
        }
    }

    fn opened(&mut self) {
        let mut peers = Vec::new();
        self.undelivered.retain_mut(|from_log| match from_log {
            FromLog::Peers(changes) => {
                peers.append(changes);
                false
            }
            _ => true,
        });
        if let (Some((reply, _)), Some((position, recent))) =
            (self.opening.take(), self.past.take())
        {
            // The receiver may be gone; then the room is closed next.
            let _ = reply.send(Opened {
                position,
                recent,
                peers,
            });
        }
    }

    /// Whether [`EngineRoom::tick`] has more to do than to subscribe.
    fn is_due(&self, now: Instant) -> bool {
        !self.log.is_at_rest()
            || self.opening.is_some()
            || now
                >= self
                    .next_resync
                    .min(self.next_announcement)
                    .min(self.next_users)
            || self.presence.is_waiting()
    }

    /// The announcement to other nodes, if it is due. Called while Redis is reached: until then it
    /// stays due.
    fn due_announcement(&mut self, now: Instant) -> Option<PresenceMessage> {
        if now < self.next_announcement {
            return None;
        }
        self.next_announcement = now + ANNOUNCE_EVERY;
        Some(self.presence.announce())
    }

    /// Asks the room for the users online, if that is due. Called while Redis is reached.
    fn request_due_users(&mut self, now: Instant) {
        if now >= self.next_users && self.opening.is_none() {
            self.next_users = now + USERS_EVERY;
            self.deliver(FromLog::UsersWanted);
        }
    }

    /// Makes an announcement due by then. Several that are due together are one.
    pub fn announce_by(&mut self, at: Instant) {
        self.next_announcement = self.next_announcement.min(at);
    }

    /// The list of users that other services read may be missing: has the room publish it by then.
    pub fn publish_users_by(&mut self, at: Instant) {
        self.next_users = self.next_users.min(at);
    }

    /// Messages of other nodes may have been missed: events are in the log, and presence is asked
    /// for.
    pub fn look_again(&mut self, now: Instant) {
        self.log.resync();
        self.presence.doubt(now);
        self.announce_by(now);
    }

    pub fn is_partitioned(&self) -> bool {
        self.log.is_partitioned()
    }

    /// Subscribes to the room's channel. The room asks nothing of its log before that succeeded.
    pub fn subscribe(&mut self) -> Out {
        (self.is_subscribed, self.subscribe_at) = (false, None);
        RedisRequest::Subscribe(self.key).into()
    }

    /// In a Redis Cluster the room's channel moved to another server together with its keys.
    pub fn channel_moved(&mut self) -> Option<Out> {
        self.is_subscribed.then(|| self.subscribe())
    }

    pub fn connection_lost(&mut self) {
        self.is_subscribed = false;
    }

    /// Others are to remove this node's users from the room, which is closed.
    pub fn gone(&self) -> Out {
        RedisRequest::PublishGone(self.key.live_id, self.presence.gone()).into()
    }

    /// `history_max`: most events that the room opens with.
    pub fn handle(&mut self, input: RoomInput, history_max: usize, moment: Moment) -> Option<Out> {
        let now = moment.now;
        match input {
            RoomInput::Listen(listener) => self.listen(listener),
            RoomInput::Append(event) => {
                self.log.append(event, moment.at, now);
                self.appended(moment);
            }
            RoomInput::AppendAction(entry) => {
                self.log.append_action(entry, moment.at, now);
                self.appended(moment);
            }
            RoomInput::PublishPresence(changes) => self.presence.set_local(changes),
            RoomInput::PublishUsers(users) => {
                return Some(RedisRequest::SetUsers(self.key, users).into());
            }
            RoomInput::UsersNotSet => self.publish_users_by(now + ASK_AGAIN),
            RoomInput::Subscribed => return Some(self.subscribed(now)),
            RoomInput::NotSubscribed => self.subscribe_at = Some(now + ASK_AGAIN),
            RoomInput::Answered { number, answer } => {
                self.answered(number, answer, history_max, now);
                self.release(0);
            }
            RoomInput::PresencePublished { kind, nodes_count } => {
                self.presence_published(kind, nodes_count, now);
            }
        }
        None
    }

    /// An entry was appended.
    fn appended(&mut self, moment: Moment) {
        if moment.redis.is_away && !self.log.is_partitioned() {
            self.log.enter_partitioned();
        }
        self.release(1);
    }

    /// The room receives messages from now on. What was published before, it asks for; to a room
    /// that opens, the others send their snapshots unasked. Announces to the others that this node
    /// has the room.
    fn subscribed(&mut self, now: Instant) -> Out {
        self.is_subscribed = true;
        self.is_delta_in_flight = false;
        if self.opening.is_some() {
            self.log.resync();
        } else {
            self.look_again(now);
            self.publish_users_by(now);
        }
        let announce = self.presence.announce();
        self.to_room(announce, PresenceKind::Announcement)
    }

    fn presence_published(&mut self, kind: PresenceKind, nodes_count: Option<usize>, now: Instant) {
        if kind == PresenceKind::Delta {
            self.is_delta_in_flight = false;
        }
        match nodes_count {
            Some(count) if kind == PresenceKind::Announcement => self.announced(count, now),
            Some(_) => {}
            // The others may have missed it.
            None => self.announce_by(now + ASK_AGAIN),
        }
    }

    /// A batch that a node appended to the room's log; `None` if it is of another version.
    pub fn batch(&mut self, batch: Option<Batch>) {
        match batch {
            Some(batch) if self.can_receive() => self.log.published(batch),
            Some(_) => self.log.resync(),
            None => {
                let live_id = self.key.live_id;
                warn!("message of another version not understood: live_id={live_id}");
            }
        }
        self.release(0);
    }

    /// A presence message of another node.
    pub fn receive(&mut self, message: PresenceMessage, now: Instant) -> Vec<Out> {
        let outcomes = self.presence.receive(message, now);
        self.perform(outcomes, now)
    }

    /// Another node has left or is dead: its users leave the room.
    pub fn node_removed(&mut self, node: NodeId, now: Instant) {
        let change = self.presence.forget(node).map(PresenceOutcome::Peers);
        self.perform(change.into_iter().collect(), now);
    }

    fn perform(&mut self, outcomes: Vec<PresenceOutcome>, now: Instant) -> Vec<Out> {
        let (mut changes, mut outs) = (Vec::new(), Vec::new());
        for outcome in outcomes {
            match outcome {
                PresenceOutcome::Peers(change) => changes.push(change),
                PresenceOutcome::Send(node, message) => {
                    let (to, kind) = (Channel::Node(node), PresenceKind::Direct);
                    outs.push(Publication::presence(to, message, self.key, kind).into());
                }
                PresenceOutcome::Announce => self.announce_by(now),
            }
        }
        if !changes.is_empty() {
            self.deliver(FromLog::Peers(changes));
        }
        self.open_if_ready(now);
        outs
    }

    fn to_room(&self, message: PresenceMessage, kind: PresenceKind) -> Out {
        Publication::presence(Channel::Room(self.key.live_id), message, self.key, kind).into()
    }

    /// The next delta of this node's users, one at a time. Called while Redis is connected.
    pub fn next_delta(&mut self) -> Option<Out> {
        if self.is_delta_in_flight {
            return None;
        }
        let delta = self.presence.next_delta()?;
        self.is_delta_in_flight = true;
        Some(self.to_room(delta, PresenceKind::Delta))
    }

    /// From when on the room may ask its log, if it has something to ask.
    pub fn ask_at(&self) -> Option<Instant> {
        (self.is_subscribed && !self.log.is_at_rest()).then_some(self.next_question)
    }

    /// The next question to the room's log, if its time has come.
    pub fn room_question(&mut self, now: Instant) -> Option<RoomQuestion> {
        if !self.is_subscribed {
            return None;
        }
        let RoomKey { live_id, origin } = self.key;
        Some(RoomQuestion {
            live_id,
            origin,
            is_repeated: self.has_failed,
            question: self.question(now)?,
        })
    }

    /// Does what is due. `timeout`: how long events may wait before the room goes on alone.
    pub fn tick(&mut self, timeout: Duration, moment: Moment) -> Vec<Out> {
        let (now, redis) = (moment.now, moment.redis);
        let mut outs = Vec::new();
        if redis.is_connected && self.subscribe_at.is_some_and(|at| at <= now) {
            outs.push(self.subscribe());
        }
        // Of thousands of rooms most are at rest.
        if !self.is_due(now) {
            return outs;
        }
        if now >= self.next_resync {
            self.next_resync = now + RESYNC_EVERY;
            self.log.resync();
        }
        let waits_for = self.log.waits_for(now);
        let is_alone = if redis.is_away {
            !waits_for.is_zero()
        } else {
            waits_for >= timeout
        };
        if is_alone && !self.log.is_partitioned() {
            let (live_id, events) = (self.key.live_id, self.log.waiting_count());
            warn!("room goes on alone: live_id={live_id} events={events}");
            self.log.enter_partitioned();
            self.release(0);
        }
        if redis.is_away {
            self.open_partitioned(Duration::ZERO, now);
            return outs;
        }
        self.open_if_ready(now);
        self.open_partitioned(timeout, now);
        if redis.is_connected && self.is_subscribed {
            self.request_due_users(now);
            let requests = self.presence.repeat_requests(now);
            if let Some(announce) = self.due_announcement(now) {
                outs.push(self.to_room(announce, PresenceKind::Announcement));
            }
            outs.append(&mut self.perform(requests, now));
        }
        outs
    }
}

#[cfg(test)]
mod tests;
