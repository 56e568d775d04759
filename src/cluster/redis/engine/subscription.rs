//! The connection over which Redis pushes messages. It is separate from the pool; after a loss it
//! is replaced, and each room is subscribed again before its log is read.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use log::{info, warn};
use redis::{PushInfo, PushKind, RedisResult, Value};

use crate::cluster::Signal;
use crate::domain::LiveId;

use super::super::connection::{RedisConnection, Server, cause_of, timed_out};
use super::super::keys;
use super::super::messages::NodeMessage;
use super::super::presence_replica::PresenceMessage;
use super::super::rooms::ASK_AGAIN;
use super::{Engine, EngineRoom, Input, TICK, TokenNews};

/// Time between two attempts to connect.
const CONNECT_EVERY: Duration = Duration::from_millis(250);
/// Longest time between two pings.
const PING_SPACING_MAX: Duration = Duration::from_millis(500);
/// How far back a node that has just started looks at tokens: another may have died without Redis.
const LOOK_BACK_AT_START: Duration = Duration::from_secs(600);
/// Most messages in the backlog of one connection. Beyond, they are dropped, and rooms read their
/// logs.
const BACKLOG_MAX: usize = 65_536;

/// The place of one pushed message in the backlog of its connection. Dropping it frees the place,
/// also when the message is ignored because another connection replaced it: each connection has a
/// count of its own.
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

/// The state of the subscription.
pub struct Subscription {
    /// The number of the current connection; inputs of others are ignored. 0: not connected.
    number: u64,
    /// Connection attempts so far.
    attempts_count: u64,
    connection: Option<RedisConnection>,
    /// The servers that it reached when it was opened.
    servers: BTreeSet<Server>,
    connecting: bool,
    away_since: Option<Instant>,
    /// Connections so far, and how long Redis had not been reached when the current one was made.
    reached_count: u64,
    unreached_for: Duration,
    next_attempt: Instant,
    next_ping: Instant,
    /// When the ping was sent that is not answered yet.
    pinged_at: Option<Instant>,
    ticked_at: Option<Instant>,
    /// Messages dropped since rooms last read their logs for it.
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
            reached_count: 0,
            unreached_for: Duration::ZERO,
            next_attempt: now,
            next_ping: now,
            pinged_at: None,
            ticked_at: None,
            overflowed: Arc::default(),
        }
    }

    /// Whether messages arrive.
    pub fn is_connected(&self) -> bool {
        self.connection.is_some()
    }

    /// How long Redis had not been reached when the current connection was made.
    pub fn unreached_for(&self) -> Duration {
        self.unreached_for
    }

    /// Since when Redis has said nothing: it is away, or a ping is under way.
    pub fn silent_since(&self) -> Option<Instant> {
        self.away_since.or(self.pinged_at)
    }

    /// Notes the time of a tick. If this node was suspended since the last one, or its machine is
    /// overloaded, an answer may be there and not be read yet: that time, which is returned, does not
    /// count.
    fn ticked(&mut self, now: Instant) -> Duration {
        let ticked_at = self.ticked_at.replace(now).unwrap_or(now);
        let stalled = now
            .saturating_duration_since(ticked_at)
            .saturating_sub(TICK);
        if stalled < TICK {
            return Duration::ZERO;
        }
        if let Some(at) = &mut self.pinged_at {
            *at += stalled;
        }
        stalled
    }
}

impl Engine {
    pub(super) fn connect(&mut self) {
        let subscription = &mut self.subscription;
        subscription.attempts_count += 1;
        subscription.connecting = true;
        let (number, node) = (subscription.attempts_count, self.node);
        let (backlog, overflowed) = (
            Arc::new(AtomicUsize::new(0)),
            subscription.overflowed.clone(),
        );
        let (address, inputs, timeout) = (
            self.address.clone(),
            self.inputs.clone(),
            self.redis_timeout(),
        );
        let pushed = self.inputs.clone();
        tokio::spawn(async move {
            let connecting = async {
                let connection = address
                    .listen(timeout, move |info: PushInfo| {
                        let Some(slot) = BacklogSlot::take(&backlog) else {
                            overflowed.fetch_add(1, Ordering::Relaxed);
                            return Ok(());
                        };
                        pushed
                            .send(Input::Pushed(number, info, slot))
                            .map_err(|_| ())
                    })
                    .await?;
                // At once: a Redis that takes its time for each answer would count as away before
                // the last.
                let (mut nodes, mut inbox, mut probed) =
                    (connection.clone(), connection.clone(), connection.clone());
                let (_, _, servers) = tokio::try_join!(
                    nodes.subscribe(keys::NODES_CHANNEL.to_owned(), false),
                    inbox.subscribe(keys::inbox_channel(node), false),
                    probed.responsive_servers(timeout),
                )?;
                connection.track_tokens(&servers, timeout).await?;
                Ok((connection, servers))
            };
            // Some steps of connecting have no time limit of their own. In a Redis Cluster more
            // than one step may wait for a frozen server, while the connection before serves the
            // others.
            let timeout = if address.is_cluster() {
                timeout * 4
            } else {
                timeout * 2
            };
            let result = tokio::time::timeout(timeout, connecting).await;
            let result = result.unwrap_or_else(|_| Err(timed_out()));
            let _ = inputs.send(Input::Connected(number, result));
        });
    }

    pub(super) fn connected(
        &mut self,
        number: u64,
        result: RedisResult<(RedisConnection, BTreeSet<Server>)>,
    ) {
        if number != self.subscription.attempts_count {
            return;
        }
        let now = Instant::now();
        self.subscription.connecting = false;
        match result {
            Err(error) => {
                self.health.connect_failed(cause_of(&error));
                self.subscription.next_attempt = now + CONNECT_EVERY;
            }
            Ok((connection, servers)) => {
                self.check_settings(connection.clone(), servers.clone());
                self.subscription.number = number;
                self.subscription.connection = Some(connection);
                self.subscription.servers = servers;
                self.subscription.pinged_at = None;
                let away_since = self.subscription.away_since.take().unwrap_or(now);
                let is_first = self.subscription.reached_count == 0;
                let look_back = if is_first {
                    LOOK_BACK_AT_START
                } else {
                    Duration::ZERO
                };
                self.subscription.unreached_for =
                    look_back + now.saturating_duration_since(away_since);
                self.subscription.reached_count += 1;
                self.report_reached(self.subscription.unreached_for);
                self.send_heartbeat();
                self.subscription.next_ping = now + self.ping_spacing();
                self.health.connected();
                self.devices.refresh_by(now);
                if let Some(handlers) = &self.handlers {
                    (handlers.on_signal)(Signal::CatalogueChanged);
                }
                let live_ids: Vec<LiveId> = self.rooms.keys().copied().collect();
                for live_id in live_ids {
                    self.subscribe(live_id);
                }
            }
        }
    }

    /// Reports to the tokens that Redis is reached, and for how long it was not.
    pub(super) fn report_reached(&self, unreached_for: Duration) {
        if let Some(listener) = &self.token_listener {
            let away_ms = i64::try_from(unreached_for.as_millis()).unwrap_or(i64::MAX);
            listener(TokenNews::Reached {
                since: self.clock.now().plus_ms(-away_ms),
            });
        }
    }

    /// Subscribes to a room's channel. The room sends no request to its log before that succeeded.
    pub(super) fn subscribe(&mut self, live_id: LiveId) {
        let number = self.subscription.number;
        let (Some(connection), Some(room)) =
            (&self.subscription.connection, self.rooms.get_mut(&live_id))
        else {
            return;
        };
        (room.subscribed, room.subscribe_at) = (false, None);
        let (mut connection, origin, inputs) =
            (connection.clone(), room.origin, self.inputs.clone());
        tokio::spawn(async move {
            let result = connection
                .subscribe(keys::room_channel(live_id), true)
                .await;
            let _ = inputs.send(Input::Subscribed {
                connection: number,
                live_id,
                origin,
                result,
            });
        });
    }

    pub(super) fn unsubscribe(&self, live_id: LiveId) {
        if let Some(mut connection) = self.subscription.connection.clone() {
            tokio::spawn(async move {
                // Messages of a room that is not open here are ignored.
                let _ = connection
                    .unsubscribe_room(keys::room_channel(live_id))
                    .await;
            });
        }
    }

    pub(super) fn subscribed(
        &mut self,
        number: u64,
        live_id: LiveId,
        origin: u64,
        result: RedisResult<()>,
    ) {
        if number != self.subscription.number {
            return;
        }
        let is_cluster = self.address.is_cluster();
        match result {
            // The server of this room is away; those of other rooms may be reachable.
            Err(error) if is_cluster => {
                log::debug!("room not subscribed: live_id={live_id} error={error}");
                if let Some(room) = self.room(live_id, origin) {
                    room.subscribe_at = Some(Instant::now() + ASK_AGAIN);
                }
                return;
            }
            Err(error) => return self.drop_subscription(&cause_of(&error)),
            Ok(()) => {}
        }
        let Some(room) = self.room(live_id, origin) else {
            return;
        };
        room.subscribed = true;
        room.presence_in_flight = false;
        // What was published before the subscription. To a room that opens, the others send their
        // snapshots unasked.
        let now = Instant::now();
        if room.opening.is_some() {
            room.log.resync();
        } else {
            room.look_again(now);
            room.publish_users_by(now);
        }
        self.announce_room(live_id);
        self.publish_presence_delta(live_id);
        self.send_next_request(live_id);
    }

    /// Announces to the other nodes that have the room that this one has it, and counts them.
    fn announce_room(&mut self, live_id: LiveId) {
        let Some(room) = self.rooms.get_mut(&live_id) else {
            return;
        };
        let (announce, origin) = (room.presence.announce(), room.origin);
        let cmd = self.on_room_channel(live_id, &announce);
        let (link, inputs) = (self.link.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let _ = inputs.send(match link.command::<usize>(&cmd).await {
                Ok(nodes_count) => Input::Announced {
                    live_id,
                    origin,
                    nodes_count,
                },
                Err(_) => Input::PresencePublished {
                    live_id,
                    origin,
                    is_delta: false,
                    is_published: false,
                },
            });
        });
    }

    fn drop_subscription(&mut self, why: &str) {
        if self.subscription.connection.take().is_none() {
            return;
        }
        warn!("subscription lost: address={} error={why}", self.address);
        self.health.connection_lost(why.to_owned());
        let now = Instant::now();
        // Inputs of the lost connection are ignored.
        self.subscription.number = 0;
        // A ping that was not answered was the first sign.
        self.subscription.away_since = Some(self.subscription.pinged_at.unwrap_or(now));
        self.subscription.next_attempt = now;
        self.subscription.pinged_at = None;
        for room in self.rooms.values_mut() {
            room.subscribed = false;
        }
    }

    /// Time between two pings: a fraction of the time that Redis may be silent, for it adds to
    /// that.
    pub(super) fn ping_spacing(&self) -> Duration {
        PING_SPACING_MAX.min(self.redis_timeout() / 4)
    }

    /// How long Redis may be silent before it counts as away.
    pub(super) fn redis_timeout(&self) -> Duration {
        self.config.cluster.redis_timeout_ms.duration()
    }

    /// How long the events of one room may wait before that room goes on alone. If Redis is silent
    /// to all rooms, the node notices first, at the latest after the next ping, so that the node
    /// and its rooms go on alone in the same moment; a server of a Redis Cluster may be silent to
    /// some rooms only.
    pub(super) fn room_timeout(&self) -> Duration {
        let timeout = self.redis_timeout();
        if self.address.is_cluster() {
            timeout
        } else {
            timeout + self.ping_spacing() + 2 * TICK
        }
    }

    pub(super) fn maintain_subscription(&mut self, now: Instant) {
        let stalled = self.subscription.ticked(now);
        self.health.extend_failure(stalled);
        if self.subscription.overflowed.swap(0, Ordering::Relaxed) > 0 {
            warn!("messages passed over, rooms look into their logs");
            self.rooms
                .values_mut()
                .for_each(|room| room.look_again(now));
        }
        let ping_spacing = self.ping_spacing();
        let subscription = &mut self.subscription;
        match &subscription.connection {
            None if !subscription.connecting && now >= subscription.next_attempt => self.connect(),
            Some(connection)
                if subscription.pinged_at.is_none() && now >= subscription.next_ping =>
            {
                subscription.pinged_at = Some(now);
                subscription.next_ping = now + ping_spacing;
                let (mut connection, number, inputs) =
                    (connection.clone(), subscription.number, self.inputs.clone());
                let timeout = self.redis_timeout();
                tokio::spawn(async move {
                    let result = connection.responsive_servers(timeout).await;
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
        self.subscription.pinged_at = None;
        match result {
            Err(error) => self.drop_subscription(&cause_of(&error)),
            Ok(servers) if servers != self.subscription.servers => self.renew_subscription(),
            Ok(_) => {}
        }
    }

    /// A server of the Redis Cluster was lost or came back. A new connection subscribes to all
    /// rooms whose servers are reachable; the old one delivers until it is ready.
    fn renew_subscription(&mut self) {
        if !self.subscription.connecting {
            info!("servers of the redis cluster come and go, subscribing anew");
            self.connect();
        }
    }

    /// Subscribes to rooms whose subscription failed.
    pub(super) fn retry_subscriptions(&mut self, now: Instant) {
        let is_due = |room: &EngineRoom| room.subscribe_at.is_some_and(|at| at <= now);
        let due: Vec<LiveId> = self
            .rooms
            .iter()
            .filter(|(_, room)| is_due(room))
            .map(|(id, _)| *id)
            .collect();
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
                    && let (Ok(channel), Ok(payload)) =
                        (str::from_utf8(channel), str::from_utf8(payload))
                {
                    self.on_message(channel, payload);
                }
            }
            PushKind::Invalidate => self.tokens_changed(&info.data),
            PushKind::Disconnection if self.address.is_cluster() => self.renew_subscription(),
            PushKind::SUnsubscribe => self.channel_moved(&info.data),
            PushKind::Disconnection => self.drop_subscription("connection closed"),
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
        let (PresenceMessage::SnapshotRequest { live, .. }
        | PresenceMessage::Snapshot { live, .. }) = &message
        else {
            return;
        };
        let Some(live_id) = LiveId::new(*live) else {
            return;
        };
        self.receive_presence(live_id, message);
    }

    /// Redis reports that tokens were set or deleted; without names: any of them.
    fn tokens_changed(&mut self, data: &[Value]) {
        if !matches!(data.first(), Some(Value::Array(_))) {
            // What other services read of presence is deleted as well.
            let now = Instant::now();
            self.rooms
                .values_mut()
                .for_each(|room| room.publish_users_by(now));
            self.devices.refresh_by(now);
        }
        let report = |news| {
            if let Some(listener) = &self.token_listener {
                listener(news);
            }
        };
        let Some(Value::Array(keys)) = data.first() else {
            // Everything was deleted. Each session finds out at its next periodic check.
            report(TokenNews::AllChanged);
            return;
        };
        for key in keys {
            if let Value::BulkString(key) = key
                && let Some(user) = str::from_utf8(key).ok().and_then(keys::user_of_token)
            {
                report(TokenNews::Changed(user));
                if let Some(handlers) = &self.handlers {
                    (handlers.on_signal)(Signal::Recheck(user));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_backlog_takes_a_message_once_one_was_handled() {
        let backlog = Arc::new(AtomicUsize::new(0));
        let mut slots: Vec<_> = (0..BACKLOG_MAX)
            .filter_map(|_| BacklogSlot::take(&backlog))
            .collect();
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
        assert_eq!(
            (before.load(Ordering::Relaxed), next.load(Ordering::Relaxed)),
            (0, 1)
        );
    }
}
