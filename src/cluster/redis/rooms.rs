//! The engine's side of one room.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use redis::RedisError;
use tokio::sync::oneshot;

use super::Count;
use super::entries::Answer;
use super::log_replica::{LogReplica, Question};
use super::presence_replica::{PresenceMessage, PresenceReplica};
use crate::cluster::FromLog;
use crate::domain::{LiveId, NodeId, PeerChange, Position, Sequenced, Timestamp};

/// Delivered events that a room has not acknowledged. Beyond, none is delivered until it has, and
/// the room resyncs then.
const UNACKED_MAX: usize = 16_384;
/// Time between two batches of a room. A calm room does not notice; a loud one needs one call of
/// the script and one message to each node for all events that gathered.
pub const BATCH_SPACING: Duration = Duration::from_millis(5);
/// After a question that found no answer.
pub const ASK_AGAIN: Duration = Duration::from_millis(250);
/// Time between two resyncs without a reason, in case a message got lost.
const RESYNC_EVERY: Duration = Duration::from_secs(10);
/// How long a room that opens waits for the presence snapshots of other nodes.
const SNAPSHOTS_WAIT: Duration = Duration::from_millis(250);
/// Time between two announcements of a room to other nodes, in case a message got lost.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(30);
/// Time between two requests for the users online, so that what other services read does not
/// expire, and is there again if it was deleted.
const USERS_EVERY: Duration = Duration::from_secs(20);

/// The counters that a room and the engine share.
#[derive(Debug, Default)]
pub struct RoomGauge {
    /// Appended events that the engine has not taken yet.
    pub waiting: Count,
    /// Delivered events that the room has not acknowledged.
    pub unacked: Count,
    /// How long batches gather at most.
    pub batch_window_ms: Count,
}

/// One opening of a room on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoomKey {
    pub live_id: LiveId,
    pub origin: u64,
}

/// A room as it was opened.
pub struct Opened {
    pub position: Position,
    pub recent: Vec<(Sequenced, Timestamp)>,
    pub peers: Vec<PeerChange>,
}

/// One room of this node.
pub struct EngineRoom {
    pub key: RoomKey,
    pub log: LogReplica,
    pub presence: PresenceReplica,
    pub gauge: Arc<RoomGauge>,
    /// Set until the room is open: the receiver, and since when it waits.
    pub opening: Option<(oneshot::Sender<Opened>, Instant)>,
    pub subscribed: bool,
    /// When to subscribe once more, after a failure.
    pub subscribe_at: Option<Instant>,
    pub presence_in_flight: bool,
    /// The position that the room opens at and the events up to it, when the log has answered. What
    /// the log delivers from then on is delivered to the room when it is open.
    past: Option<(Position, Vec<(Sequenced, Timestamp)>)>,
    /// How many other nodes have the room, once Redis has answered that.
    others: Option<usize>,
    listener: Option<Box<dyn Fn(FromLog) + Send + Sync>>,
    /// Items from before [`EngineRoom::listen`].
    undelivered: VecDeque<FromLog>,
    /// No request is sent before.
    pub next_question: Instant,
    /// Whether the last request failed.
    pub has_failed: bool,
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
            subscribed: false,
            subscribe_at: None,
            presence_in_flight: false,
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

    pub fn listen(&mut self, room: Box<dyn Fn(FromLog) + Send + Sync>) {
        for from_log in self.undelivered.drain(..) {
            room(from_log);
        }
        self.listener = Some(room);
    }

    /// Delivers an item to the room.
    pub fn deliver(&mut self, from_log: FromLog) {
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
    pub fn release(&mut self, queued: usize) {
        for from_log in self.log.take_out() {
            self.deliver(from_log);
        }
        self.gauge.waiting.fetch_sub(queued, Ordering::Relaxed);
    }

    /// Whether the room may receive more events.
    pub fn can_receive(&self) -> bool {
        self.gauge.unacked.load(Ordering::Relaxed) < UNACKED_MAX
    }

    /// The next question, if its time has come.
    pub fn question(&mut self, now: Instant) -> Option<Question> {
        if now < self.next_question || !self.can_receive() {
            return None;
        }
        let question = self.log.ask()?;
        let batch_window =
            Duration::from_millis(self.gauge.batch_window_ms.load(Ordering::Relaxed) as u64);
        self.next_question = now + batch_window.max(BATCH_SPACING);
        Some(question)
    }

    pub fn answered(
        &mut self,
        number: u64,
        answer: Result<Answer, RedisError>,
        history_max: usize,
        now: Instant,
    ) {
        self.has_failed = answer.is_err();
        match answer {
            Ok(answer) => {
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
    pub fn announced(&mut self, nodes_count: usize, now: Instant) {
        self.others = Some(nodes_count.saturating_sub(1));
        self.open_if_ready(now);
    }

    /// Opens the room when its past and the users on other nodes are known, which the first member
    /// that joins here is shown. It does not wait long for the users.
    pub fn open_if_ready(&mut self, now: Instant) {
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

    /// Whether [`EngineRoom::tick`] has something to do.
    pub fn is_due(&self, now: Instant) -> bool {
        !self.log.is_at_rest()
            || self.opening.is_some()
            || now
                >= self
                    .next_resync
                    .min(self.next_announcement)
                    .min(self.next_users)
            || self.presence.is_waiting()
    }

    /// Does periodic work on the log.
    pub fn tick(&mut self, now: Instant) {
        if now >= self.next_resync {
            self.next_resync = now + RESYNC_EVERY;
            self.log.resync();
        }
    }

    /// The announcement to other nodes, if it is due. Called while Redis is reached: until then it
    /// stays due.
    pub fn due_announcement(&mut self, now: Instant) -> Option<PresenceMessage> {
        if now < self.next_announcement {
            return None;
        }
        self.next_announcement = now + ANNOUNCE_EVERY;
        Some(self.presence.announce())
    }

    /// Asks the room for the users online, if that is due. Called while Redis is reached.
    pub fn request_due_users(&mut self, now: Instant) {
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
}

#[cfg(test)]
mod tests;
