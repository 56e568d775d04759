//! The connection over which Redis pushes messages: of its own, made anew when it is lost, with
//! everything subscribed again before anything is asked.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use log::{info, warn};
use redis::{PushInfo, PushKind, RedisResult, Value};

use crate::cluster::Signal;
use crate::domain::{LiveId, NodeId, Timestamp};

use super::super::keys;
use super::super::link::{Connection, Link, Server};
use super::super::messages::NodeMessage;
use super::super::presence_sync::PresenceMessage;
use super::super::rooms::ASK_AGAIN;
use super::{Engine, EngineRoom, Input, json, note_birth};

/// Between two attempts to connect.
const CONNECT_EVERY: Duration = Duration::from_millis(250);
/// Between two questions whether the connection still works.
const PING_EVERY: Duration = Duration::from_millis(500);
/// How often a Redis that was connected to is asked what it knows.
const REMEMBER_TRIES: usize = 40;
/// Numbers of what is watched, for each connection. They only have to differ.
const WATCHES: u64 = 1 << 20;
/// Messages in the backlog of one connection. Beyond, they are passed over, and rooms look into their logs.
const BACKLOG_MAX: usize = 65_536;

/// The place of one pushed message in the backlog of its connection. Dropping it frees that place, also when the
/// message is void because another connection took over: each connection has a count of its own.
pub struct BacklogSlot(Arc<AtomicUsize>);

impl BacklogSlot {
    /// Takes a place; `None` if the backlog is full.
    fn take(backlog: &Arc<AtomicUsize>) -> Option<Self> {
        let slot = Self(backlog.clone());
        (backlog.fetch_add(1, Ordering::Relaxed) < BACKLOG_MAX).then_some(slot)
    }
}

impl Drop for BacklogSlot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The subscription and what it is doing.
pub struct Subscription {
    /// Of the connection that stands: what comes from another is void. 0: none does.
    number: u64,
    /// Counts connections.
    attempts_count: u64,
    connection: Option<Connection>,
    /// The servers that it reached when it was made.
    servers: BTreeSet<Server>,
    connecting: bool,
    away_since: Option<Instant>,
    next_attempt: Instant,
    next_ping: Instant,
    pinging: bool,
    /// Passed over, and not made up for.
    overflowed: Arc<AtomicUsize>,
}

impl Subscription {
    pub fn new(now: Instant) -> Self {
        Self {
            number: 0,
            attempts_count: 0,
            connection: None,
            servers: BTreeSet::new(),
            connecting: false,
            away_since: Some(now),
            next_attempt: now,
            next_ping: now,
            pinging: false,
            overflowed: Arc::default(),
        }
    }

    /// Whether messages arrive.
    pub fn stands(&self) -> bool {
        self.connection.is_some()
    }

    pub fn away_since(&self) -> Option<Instant> {
        self.away_since
    }
}

/// What a Redis that was connected to knows.
pub struct Memory {
    /// Whether it had no data.
    is_new: bool,
    /// This node's latest heartbeat: its count, and when that was.
    beat: Option<(u64, Timestamp)>,
    /// This node's number from now on.
    number: u64,
}

impl Memory {
    async fn of(link: &Link, node: NodeId, now: Timestamp) -> RedisResult<Self> {
        let (mut born, mut beat, mut number) = (redis::cmd("EXISTS"), redis::cmd("GET"), redis::cmd("INCR"));
        let is_new = !link.command::<bool>(born.arg(keys::BORN)).await?;
        let beat: Option<String> = link.command(beat.arg(keys::beat(node))).await?;
        note_birth(link, keys::BORN, now).await?;
        let number = link.command(number.arg(keys::NUMBERS)).await?;
        let beat = beat.as_deref().and_then(|beat| beat.split_once(' '));
        let beat = beat.and_then(|(count, at)| Some((count.parse().ok()?, Timestamp(at.parse().ok()?))));
        Ok(Self { is_new, beat, number })
    }
}

impl Engine {
    pub(super) fn connect(&mut self) {
        let subscription = &mut self.subscription;
        subscription.attempts_count += 1;
        subscription.connecting = true;
        let (number, node) = (subscription.attempts_count, self.shared.node);
        let (backlog, overflowed) = (Arc::new(AtomicUsize::new(0)), subscription.overflowed.clone());
        let (address, inputs, timeout) = (self.address.clone(), self.inputs.clone(), self.settings.patience);
        let pushed = self.inputs.clone();
        tokio::spawn(async move {
            let connecting = async {
                let mut connection = address
                    .listen(timeout, move |info: PushInfo| {
                        let Some(slot) = BacklogSlot::take(&backlog) else {
                            overflowed.fetch_add(1, Ordering::Relaxed);
                            return Ok(());
                        };
                        pushed.send(Input::Pushed(number, info, slot)).map_err(|_| ())
                    })
                    .await?;
                connection.subscribe(keys::NODES_CHANNEL, false).await?;
                connection.subscribe(keys::inbox_channel(node), false).await?;
                let servers = connection.answering(timeout).await?;
                connection.track_tokens(&servers, timeout).await?;
                Ok((connection, servers))
            };
            // Some steps of connecting have no time limit of their own. In a Redis Cluster more than one step
            // may wait for a frozen server, while the connection before serves the others.
            let patience = if address.is_cluster() { timeout * 4 } else { timeout * 2 };
            let result = tokio::time::timeout(patience, connecting).await;
            let result = result.unwrap_or_else(|_| Err((redis::ErrorKind::Io, "no answer in time").into()));
            let _ = inputs.send(Input::Connected(number, result));
        });
    }

    pub(super) fn connected(&mut self, number: u64, result: RedisResult<(Connection, BTreeSet<Server>)>) {
        if number != self.subscription.attempts_count {
            return;
        }
        let now = Instant::now();
        self.subscription.connecting = false;
        match result {
            Err(error) => {
                log::debug!("redis not reached: error={error}");
                self.subscription.next_attempt = now + CONNECT_EVERY;
            }
            Ok((connection, servers)) => {
                self.subscription.number = number;
                self.subscription.connection = Some(connection);
                self.shared.watch.store(number * WATCHES, Ordering::Relaxed);
                self.subscription.servers = servers;
                self.subscription.pinging = false;
                self.subscription.away_since = None;
                self.subscription.next_ping = now + PING_EVERY;
                // What Redis can do now is found out by doing it.
                self.failing_since = None;
                let (link, node, now) = (self.link.clone(), self.shared.node, self.clock.now());
                let inputs = self.inputs.clone();
                tokio::spawn(async move {
                    // Until it is known the store decides about tokens.
                    for _ in 0..REMEMBER_TRIES {
                        if let Ok(memory) = Memory::of(&link, node, now).await {
                            let _ = inputs.send(Input::Remembered { connection: number, memory });
                            return;
                        }
                        tokio::time::sleep(CONNECT_EVERY).await;
                    }
                });
                if let Some(handlers) = &self.handlers {
                    (handlers.obey)(Signal::CatalogueChanged);
                }
                let live_ids: Vec<LiveId> = self.rooms.keys().copied().collect();
                for live_id in live_ids {
                    self.subscribe(live_id);
                }
            }
        }
    }

    /// Finds out whether this is the Redis that was left. One without any data is new: that its tokens are
    /// gone follows from its birth.
    pub(super) fn remembered(&mut self, connection: u64, memory: &Memory) {
        if connection != self.subscription.number {
            return;
        }
        self.number = Some(memory.number);
        self.pass_number();
        let (beats_count, beat_at) = memory.beat.unwrap_or((0, self.started_at));
        if memory.is_new || beats_count >= self.beats_kept {
            self.shared.trusted.store(true, Ordering::Relaxed);
        } else {
            warn!("redis fell back to an earlier state: heartbeats={}", self.beats_kept - beats_count);
            self.shared.fell_back_to.store(beat_at.0.max(1), Ordering::Relaxed);
        }
        // What it forgot need not be found out again.
        self.beats_kept = 0;
        self.beat();
    }

    /// Subscribes to a room's channel; the room asks nothing before that stands.
    pub(super) fn subscribe(&mut self, live_id: LiveId) {
        let number = self.subscription.number;
        let (Some(connection), Some(room)) = (&self.subscription.connection, self.rooms.get_mut(&live_id)) else {
            return;
        };
        (room.subscribed, room.subscribe_at) = (false, None);
        let (mut connection, origin, inputs) = (connection.clone(), room.origin, self.inputs.clone());
        tokio::spawn(async move {
            let result = connection.subscribe(keys::room_channel(live_id), true).await;
            let _ = inputs.send(Input::Subscribed { connection: number, live_id, origin, result });
        });
    }

    pub(super) fn unsubscribe(&self, live_id: LiveId) {
        if let Some(mut connection) = self.subscription.connection.clone() {
            tokio::spawn(async move {
                // Messages of a room that is not here are passed over.
                let _ = connection.unsubscribe_room(keys::room_channel(live_id)).await;
            });
        }
    }

    pub(super) fn subscribed(&mut self, number: u64, live_id: LiveId, origin: u64, result: RedisResult<()>) {
        if number != self.subscription.number {
            return;
        }
        let is_cluster = self.address.is_cluster();
        match result {
            // Its server is away, and those of other rooms need not be.
            Err(error) if is_cluster => {
                log::debug!("room not subscribed: live_id={live_id} error={error}");
                if let Some(room) = self.room(live_id, origin) {
                    room.subscribe_at = Some(Instant::now() + ASK_AGAIN);
                }
                return;
            }
            Err(error) => return self.lose_subscription(&error.to_string()),
            Ok(()) => {}
        }
        let Some(room) = self.room(live_id, origin) else { return };
        room.subscribed = true;
        room.presence_in_flight = false;
        // Whatever was said before is in the log.
        room.order.look();
        self.announce_room(live_id);
        self.publish_presence_delta(live_id);
        self.drive(live_id);
    }

    /// Announces to the other nodes that have the room that this one has it, and counts them.
    fn announce_room(&self, live_id: LiveId) {
        let Some(room) = self.rooms.get(&live_id) else { return };
        let mut cmd = redis::cmd(keys::publish_command(self.address.is_cluster()));
        cmd.arg(keys::room_channel(live_id)).arg(json(&room.presence.announce()));
        let (link, inputs, origin) = (self.link.clone(), self.inputs.clone(), room.origin);
        tokio::spawn(async move {
            if let Ok(nodes_count) = link.command::<usize>(&cmd).await {
                let _ = inputs.send(Input::Announced { live_id, origin, nodes_count });
            }
        });
    }

    fn lose_subscription(&mut self, why: &str) {
        if self.subscription.connection.take().is_none() {
            return;
        }
        warn!("subscription lost: error={why}");
        let now = Instant::now();
        self.shared.watch.store(0, Ordering::Relaxed);
        self.shared.trusted.store(false, Ordering::Relaxed);
        // Void what still comes of it.
        self.subscription.number = 0;
        self.subscription.away_since = Some(now);
        self.subscription.next_attempt = now;
        self.subscription.pinging = false;
        for room in self.rooms.values_mut() {
            room.subscribed = false;
        }
    }

    pub(super) fn look_after_subscription(&mut self, now: Instant) {
        if self.subscription.overflowed.swap(0, Ordering::Relaxed) > 0 {
            warn!("messages passed over, rooms look into their logs");
            self.rooms.values_mut().for_each(|room| room.order.look());
        }
        let subscription = &mut self.subscription;
        match &subscription.connection {
            None if !subscription.connecting && now >= subscription.next_attempt => self.connect(),
            Some(connection) if !subscription.pinging && now >= subscription.next_ping => {
                subscription.pinging = true;
                subscription.next_ping = now + PING_EVERY;
                let (mut connection, number, inputs) = (connection.clone(), subscription.number, self.inputs.clone());
                let timeout = self.settings.patience;
                tokio::spawn(async move {
                    let result = connection.answering(timeout).await;
                    let _ = inputs.send(Input::Pinged(number, result));
                });
            }
            _ => {}
        }
    }

    pub(super) fn pinged(&mut self, number: u64, result: RedisResult<BTreeSet<Server>>) {
        if number != self.subscription.number {
            return;
        }
        self.subscription.pinging = false;
        match result {
            Err(error) => self.lose_subscription(&error.to_string()),
            Ok(servers) if servers != self.subscription.servers => self.renew_subscription(),
            Ok(_) => {}
        }
    }

    /// In a Redis Cluster one of several servers is gone, or is back. A new connection subscribes to
    /// everything that can be; the rooms of other servers hear over the old one until it stands.
    fn renew_subscription(&mut self) {
        if !self.subscription.connecting {
            info!("servers of the redis cluster come and go, subscribing anew");
            self.connect();
        }
    }

    /// Subscribes to rooms for which that failed.
    pub(super) fn subscribe_again(&mut self, now: Instant) {
        let is_due = |room: &EngineRoom| room.subscribe_at.is_some_and(|at| at <= now);
        let due: Vec<LiveId> = self.rooms.iter().filter(|(_, room)| is_due(room)).map(|(id, _)| *id).collect();
        for live_id in due {
            self.subscribe(live_id);
        }
    }

    pub(super) fn pushed(&mut self, number: u64, info: PushInfo) {
        if number != self.subscription.number {
            return;
        }
        match info.kind {
            PushKind::Message | PushKind::SMessage => {
                if let [Value::BulkString(channel), Value::BulkString(payload)] = &info.data[..]
                    && let (Ok(channel), Ok(payload)) = (str::from_utf8(channel), str::from_utf8(payload))
                {
                    self.on_message(channel, payload);
                }
            }
            PushKind::Invalidate => self.tokens_changed(&info.data),
            PushKind::Disconnection if self.address.is_cluster() => self.renew_subscription(),
            PushKind::SUnsubscribe => self.channel_moved(&info.data),
            PushKind::Disconnection => self.lose_subscription("connection closed"),
            _ => {}
        }
    }

    /// In a Redis Cluster a channel moves to another server together with its keys.
    fn channel_moved(&mut self, data: &[Value]) {
        if let Some(Value::BulkString(channel)) = data.first()
            && let Some(live_id) = str::from_utf8(channel).ok().and_then(keys::live_of_channel)
            && self.rooms.get(&live_id).is_some_and(|room| room.subscribed)
        {
            self.subscribe(live_id);
        }
    }

    fn on_message(&mut self, channel: &str, payload: &str) {
        if let Some(live_id) = keys::live_of_channel(channel) {
            self.on_room_message(live_id, payload);
        } else if let Ok(message) = serde_json::from_str::<NodeMessage>(payload) {
            self.on_node_message(message);
        } else if let Ok(message) = serde_json::from_str::<PresenceMessage>(payload) {
            self.on_presence_message(message);
        }
    }

    /// A presence message addressed to this node alone.
    fn on_presence_message(&mut self, message: PresenceMessage) {
        let (PresenceMessage::SnapshotRequest { live, .. } | PresenceMessage::Snapshot { live, .. }) = &message else {
            return;
        };
        let Some(live_id) = LiveId::new(*live) else { return };
        self.receive_presence(live_id, message);
    }

    /// Redis says that tokens were set or deleted; without names: all of them may have been.
    fn tokens_changed(&self, data: &[Value]) {
        let Some(handlers) = &self.handlers else { return };
        let Some(Value::Array(keys)) = data.first() else {
            // Everything was deleted. Each session finds out when its timer looks the next time.
            self.shared.watch.fetch_add(1, Ordering::Relaxed);
            return;
        };
        for key in keys {
            if let Value::BulkString(key) = key
                && let Some(user) = str::from_utf8(key).ok().and_then(keys::user_of_token)
            {
                (handlers.obey)(Signal::Recheck(user));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backlog_holds_so_many_messages_and_takes_more_when_one_was_looked_at() {
        let backlog = Arc::new(AtomicUsize::new(0));
        let mut slots: Vec<_> = (0..BACKLOG_MAX).filter_map(|_| BacklogSlot::take(&backlog)).collect();
        assert_eq!(slots.len(), BACKLOG_MAX);
        assert!(BacklogSlot::take(&backlog).is_none());
        slots.pop();
        assert!(BacklogSlot::take(&backlog).is_some());
        drop(slots);
        assert_eq!(backlog.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_message_of_the_connection_before_frees_its_own_place_and_none_of_the_next() {
        let (before, next) = (Arc::default(), Arc::default());
        let late = BacklogSlot::take(&before).expect("it is empty");
        let _first = BacklogSlot::take(&next).expect("it is empty");
        drop(late);
        assert_eq!((before.load(Ordering::Relaxed), next.load(Ordering::Relaxed)), (0, 1));
    }
}
