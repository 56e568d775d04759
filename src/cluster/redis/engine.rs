//! The cluster's thread: one loop that owns each room's log and presence, the subscription, and
//! the state of other nodes. Requests to Redis run beside it and their answers come back as
//! [`Input`]s, one at a time for each room.

mod append_calls;
mod devices;
mod health;
mod input;
mod nodes;
mod settings;
mod subscription;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{error, warn};
use redis::RedisError;
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use crate::clock::Clock;
use crate::cluster::{FromLog, NodeReport, Signal};
use crate::config::Config;
use crate::domain::{LiveId, NodeId, Timestamp};

use super::NodeHandlers;
use super::address::Address;
use super::append::{self, RoomQuestion};
use super::entries::Batch;
use super::keys;
use super::link::Link;
use super::log_replica::LogReplica;
use super::messages::NodeMessage;
use super::presence_replica::{PresenceMessage, PresenceOutcome};
use super::rooms::{ASK_AGAIN, EngineRoom};

pub use append_calls::AppendCalls;
use devices::Devices;
use health::Health;
pub use health::RedisHealth;
pub use input::{Command, Input, TokenListener, TokenNews};
use nodes::KnownNodes;
pub use nodes::OtherNodes;
use subscription::Subscription;

/// How often the engine checks its deadlines.
const TICK: Duration = Duration::from_millis(100);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Time between two attempts to publish that a room was closed.
const GONE_AGAIN: Duration = Duration::from_secs(1);
/// How long the users online in a room can be read when no node writes them any more.
const USERS_EX_S: u64 = 180;

pub struct Engine {
    address: Arc<Address>,
    link: Link,
    config: Arc<Config>,
    node: NodeId,
    clock: Arc<dyn Clock>,
    inputs: mpsc::UnboundedSender<Input>,
    rooms: HashMap<LiveId, EngineRoom>,
    append_calls: AppendCalls,
    subscription: Subscription,
    health: Health,
    nodes: KnownNodes,
    /// The faults of the settings of Redis that were logged.
    setting_faults: BTreeSet<String>,
    devices: Devices,
    handlers: Option<NodeHandlers>,
    next_heartbeat: Instant,
    token_listener: Option<TokenListener>,
    reports: HashMap<u64, mpsc::Sender<NodeReport>>,
    reports_count: u64,
    leaving: bool,
}

impl Engine {
    pub fn new(
        address: Arc<Address>,
        link: Link,
        config: Arc<Config>,
        node: NodeId,
        clock: Arc<dyn Clock>,
        inputs: mpsc::UnboundedSender<Input>,
    ) -> Self {
        let now = Instant::now();
        let health = Health::new(address.clone(), config.cluster.redis_timeout_ms.duration());
        Self {
            append_calls: AppendCalls::new(address.is_cluster(), now),
            address,
            link,
            config,
            node,
            inputs,
            rooms: HashMap::new(),
            subscription: Subscription::new(now),
            health,
            nodes: KnownNodes::default(),
            setting_faults: BTreeSet::new(),
            devices: Devices::new(now),
            handlers: None,
            next_heartbeat: now,
            token_listener: None,
            clock,
            reports: HashMap::new(),
            reports_count: 0,
            leaving: false,
        }
    }

    /// Runs until the process ends.
    pub async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) {
        self.connect();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = self
                .append_calls
                .next_at()
                .unwrap_or_else(|| Instant::now() + TICK);
            tokio::select! {
                input = inputs.recv() => match input {
                    Some(input) => self.handle_input(input),
                    None => break,
                },
                _ = ticks.tick() => self.tick(),
                () = sleep_until(due.into()) => self.send_due_requests(),
            }
        }
        error!("cluster thread ends");
    }

    /// The health of Redis, for readers on any thread.
    pub fn health(&self) -> watch::Receiver<RedisHealth> {
        self.health.subscribe()
    }

    /// A command that was sent at this time has worked or failed.
    fn command_done(&mut self, sent_at: Instant, error: Option<&RedisError>) {
        if let Some(since) = self.health.command_done(sent_at, error) {
            let now = Instant::now();
            self.devices.refresh_by(now);
            self.report_reached(now.saturating_duration_since(since));
        }
    }

    fn handle_input(&mut self, input: Input) {
        match input {
            Input::Command(command) => self.handle_command(command),
            Input::Connected(number, result) => self.connected(number, result),
            Input::Pushed(number, info, _slot) => self.pushed(number, info),
            Input::Subscribed {
                connection,
                live_id,
                origin,
                result,
            } => {
                self.subscribed(connection, live_id, origin, result);
            }
            Input::Pinged(number, result) => self.pinged(number, result),
            Input::Answered {
                live_id,
                origin,
                number,
                sent_at,
                answer,
            } => {
                self.command_done(sent_at, answer.as_ref().err());
                let history_max = self.config.rooms.history_events_max;
                if let Some(room) = self.room(live_id, origin) {
                    room.answered(number, answer, history_max, Instant::now());
                    room.release(0);
                    self.send_next_request(live_id);
                }
            }
            Input::PresencePublished {
                live_id,
                origin,
                is_delta,
                is_published,
            } => {
                let Some(room) = self.room(live_id, origin) else {
                    return;
                };
                if !is_published {
                    // The others may have missed it.
                    room.announce_by(Instant::now() + ASK_AGAIN);
                }
                if is_delta {
                    room.presence_in_flight = false;
                    self.publish_presence_delta(live_id);
                }
            }
            Input::UsersNotPublished(live_id) => {
                if let Some(room) = self.rooms.get_mut(&live_id) {
                    room.publish_users_by(Instant::now() + ASK_AGAIN);
                }
            }
            Input::HeartbeatPublished(sent_at, result) => {
                self.command_done(sent_at, result.err().as_ref())
            }
            Input::DeviceNotPublished => self.devices.refresh_by(Instant::now() + ASK_AGAIN),
            Input::DeviceKeysWritten(users, exist) => self.device_keys_written(users, exist),
            Input::NotAsked(node) => self.not_asked(node),
            Input::SettingsRead(faults) => self.settings_read(faults),
            Input::Announced {
                live_id,
                origin,
                nodes_count,
            } => {
                if let Some(room) = self.room(live_id, origin) {
                    room.announced(nodes_count, Instant::now());
                }
            }
        }
    }

    fn handle_command(&mut self, command: Command) {
        match command {
            Command::Open {
                live_id,
                gauge,
                reply,
            } => {
                let now = Instant::now();
                let room = EngineRoom::new(live_id, self.node, gauge, reply, self.clock.now(), now);
                self.rooms.insert(live_id, room);
                self.subscribe(live_id);
                self.open_partitioned(live_id);
            }
            Command::Listen {
                live_id,
                origin,
                room: listener,
            } => {
                if let Some(room) = self.room(live_id, origin) {
                    room.listen(listener);
                    self.publish_presence_delta(live_id);
                    self.send_next_request(live_id);
                }
            }
            Command::Append {
                live_id,
                origin,
                event,
            } => {
                self.append(live_id, origin, |log, at, now| log.append(event, at, now));
            }
            Command::AppendAction {
                live_id,
                origin,
                entry,
            } => {
                self.append(live_id, origin, |log, at, now| {
                    log.append_action(entry, at, now)
                });
            }
            Command::PublishPresence {
                live_id,
                origin,
                changes,
            } => {
                if let Some(room) = self.room(live_id, origin) {
                    room.presence.set_local(changes);
                    self.publish_presence_delta(live_id);
                }
            }
            Command::PublishUsers { live_id, users } => {
                let mut cmd = redis::cmd("SET");
                cmd.arg(keys::users(live_id))
                    .arg(users)
                    .arg("EX")
                    .arg(USERS_EX_S);
                let (link, inputs) = (self.link.clone(), self.inputs.clone());
                tokio::spawn(async move {
                    if link.command::<()>(&cmd).await.is_err() {
                        let _ = inputs.send(Input::UsersNotPublished(live_id));
                    }
                });
            }
            Command::Close { live_id, origin } => {
                if let Some(room) = self.room(live_id, origin) {
                    let gone = room.presence.gone();
                    self.rooms.remove(&live_id);
                    self.publish_gone(live_id, &gone);
                    self.unsubscribe(live_id);
                }
            }
            Command::Serve(handlers) => {
                self.handlers = Some(handlers);
                self.send_heartbeat();
            }
            Command::ListenToTokens(listener) => {
                self.token_listener = Some(listener);
                if self.subscription.is_connected() {
                    self.report_reached(self.subscription.unreached_for());
                }
            }
            Command::Recheck(user) => {
                if let Some(handlers) = &self.handlers {
                    (handlers.on_signal)(Signal::Recheck(user));
                }
            }
            Command::Signal(signal) => {
                let node = self.node.0;
                let message = NodeMessage::Signal {
                    node,
                    signal: signal.into(),
                };
                match signal {
                    Signal::OtherDevice(..) => self.publish_device(&message),
                    _ => self.publish_to_nodes(&message),
                }
            }
            Command::Device { user, opened } => self.device(user, opened),
            Command::AskReports {
                asked,
                found,
                reply,
            } => self.request_reports(asked, found, reply),
            Command::Leave(reply) => self.leave(reply),
        }
    }

    fn append(
        &mut self,
        live_id: LiveId,
        origin: u64,
        append: impl FnOnce(&mut LogReplica, Timestamp, Instant),
    ) {
        let (at, now, is_away) = (self.clock.now(), Instant::now(), self.health.is_away());
        if let Some(room) = self.room(live_id, origin) {
            append(&mut room.log, at, now);
            if is_away && !room.log.is_partitioned() {
                room.log.enter_partitioned();
            }
            room.release(1);
            self.send_next_request(live_id);
        }
    }

    /// A room, if it is still that opening of it.
    fn room(&mut self, live_id: LiveId, origin: u64) -> Option<&mut EngineRoom> {
        self.rooms
            .get_mut(&live_id)
            .filter(|room| room.origin == origin)
    }

    /// Sends the next request of a room to Redis, or schedules it.
    fn send_next_request(&mut self, live_id: LiveId) {
        let now = Instant::now();
        if !self.health.is_reached() {
            return;
        }
        let Some(room) = self
            .rooms
            .get(&live_id)
            .filter(|room| room.subscribed && !room.log.is_at_rest())
        else {
            return;
        };
        if self.append_calls.may_ask(live_id, room.next_question, now) {
            self.send_requests([live_id], now);
        }
    }

    fn send_due_requests(&mut self) {
        let now = Instant::now();
        let rooms = self.append_calls.take_due(now);
        self.send_requests(rooms, now);
    }

    /// Sends the next requests of rooms to Redis. Each gets an answer of its own.
    fn send_requests(&mut self, rooms: impl IntoIterator<Item = LiveId>, now: Instant) {
        if !self.health.is_reached() {
            return;
        }
        let mut questions = Vec::new();
        for live_id in rooms {
            if let Some(room) = self.rooms.get_mut(&live_id).filter(|room| room.subscribed)
                && let Some(question) = room.question(now)
            {
                questions.push(RoomQuestion {
                    live_id,
                    origin: room.origin,
                    is_repeated: room.has_failed,
                    question,
                });
            }
        }
        for call in self.append_calls.calls(questions, now) {
            let (link, inputs) = (self.link.clone(), self.inputs.clone());
            let sharded = self.address.is_cluster();
            tokio::spawn(async move {
                let rooms: Vec<_> = call
                    .iter()
                    .map(|room| (room.live_id, room.origin, room.question.number))
                    .collect();
                let answers = append::ask(&link, sharded, call).await;
                for ((live_id, origin, number), answer) in rooms.into_iter().zip(answers) {
                    // The engine lives as long as the process.
                    let _ = inputs.send(Input::Answered {
                        live_id,
                        origin,
                        number,
                        sent_at: now,
                        answer,
                    });
                }
            });
        }
    }

    /// Publishes the next delta of this node's users in a room, one message at a time.
    fn publish_presence_delta(&mut self, live_id: LiveId) {
        if !self.subscription.is_connected() {
            return;
        }
        let Some(room) = self
            .rooms
            .get_mut(&live_id)
            .filter(|room| !room.presence_in_flight)
        else {
            return;
        };
        if let Some(delta) = room.presence.next_delta() {
            room.presence_in_flight = true;
            self.publish_presence(live_id, &delta);
        }
    }

    fn publish_presence(&self, live_id: LiveId, message: &PresenceMessage) {
        let origin = self.rooms.get(&live_id).map_or(0, |room| room.origin);
        let cmd = self.on_room_channel(live_id, message);
        let (link, inputs) = (self.link.clone(), self.inputs.clone());
        let is_delta = matches!(message, PresenceMessage::Delta { .. });
        tokio::spawn(async move {
            // A node that misses it notices at the next delta or announcement.
            let is_published = link.command::<()>(&cmd).await.is_ok();
            let _ = inputs.send(Input::PresencePublished {
                live_id,
                origin,
                is_delta,
                is_published,
            });
        });
    }

    /// Sends a presence message to one node. If that fails, an announcement shows the other what it
    /// misses.
    fn send_presence(&self, live_id: LiveId, cmd: redis::Cmd) {
        let origin = self.rooms.get(&live_id).map_or(0, |room| room.origin);
        let (link, inputs) = (self.link.clone(), self.inputs.clone());
        tokio::spawn(async move {
            if link.command::<()>(&cmd).await.is_err() {
                let lost = Input::PresencePublished {
                    live_id,
                    origin,
                    is_delta: false,
                    is_published: false,
                };
                let _ = inputs.send(lost);
            }
        });
    }

    /// Publishes that this node closed a room, until that succeeds or the others count this node as
    /// dead.
    fn publish_gone(&self, live_id: LiveId, gone: &PresenceMessage) {
        let cmd = self.on_room_channel(live_id, gone);
        let (link, timeout) = (
            self.link.clone(),
            self.config.cluster.node_timeout_ms.duration(),
        );
        tokio::spawn(tokio::time::timeout(timeout, async move {
            while link.command::<()>(&cmd).await.is_err() {
                tokio::time::sleep(GONE_AGAIN).await;
            }
        }));
    }

    fn on_room_channel(&self, live_id: LiveId, message: &PresenceMessage) -> redis::Cmd {
        let mut cmd = redis::cmd(keys::publish_command(self.address.is_cluster()));
        cmd.arg(keys::room_channel(live_id)).arg(json(message));
        cmd
    }

    /// Sends a command whose outcome changes nothing here.
    fn spawn_command(&self, cmd: redis::Cmd) {
        let link = self.link.clone();
        tokio::spawn(async move {
            let _ = link.command::<redis::Value>(&cmd).await;
        });
    }

    /// A message on a room's channel.
    fn on_room_message(&mut self, live_id: LiveId, payload: &str) {
        let Some(room) = self.rooms.get_mut(&live_id) else {
            return;
        };
        if let Some(batch) = payload.strip_prefix('E') {
            match Batch::parse(batch) {
                Some(batch) if room.can_receive() => room.log.published(batch),
                Some(_) => room.log.resync(),
                None => warn!("message of another version not understood: live_id={live_id}"),
            }
            room.release(0);
            self.send_next_request(live_id);
        } else if let Ok(message) = serde_json::from_str::<PresenceMessage>(payload) {
            self.receive_presence(live_id, message);
        }
    }

    fn receive_presence(&mut self, live_id: LiveId, message: PresenceMessage) {
        let now = Instant::now();
        // A node with a replica must be a known node: its users are removed when the node dies.
        self.mark_seen(message.node(), now);
        let outcomes = match (self.rooms.get_mut(&live_id), message) {
            (Some(room), message) => room.presence.receive(message, now),
            (None, PresenceMessage::SnapshotRequest { node, .. }) => {
                let no_room = PresenceMessage::no_room(live_id, self.node);
                vec![PresenceOutcome::Send(NodeId(node), no_room)]
            }
            (None, _) => return,
        };
        self.perform(live_id, outcomes);
    }

    fn perform(&mut self, live_id: LiveId, outcomes: Vec<PresenceOutcome>) {
        let mut changes = Vec::new();
        for outcome in outcomes {
            match outcome {
                PresenceOutcome::Peers(change) => changes.push(change),
                PresenceOutcome::Send(node, message) => {
                    let mut cmd = redis::cmd("PUBLISH");
                    cmd.arg(keys::inbox_channel(node)).arg(json(&message));
                    self.send_presence(live_id, cmd);
                }
                PresenceOutcome::Announce => {
                    if let Some(room) = self.rooms.get_mut(&live_id) {
                        room.announce_by(Instant::now());
                    }
                }
            }
        }
        if let Some(room) = self.rooms.get_mut(&live_id) {
            if !changes.is_empty() {
                room.deliver(FromLog::Peers(changes));
            }
            room.open_if_ready(Instant::now());
        }
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.maintain_subscription(now);
        let is_any_room_apart = self.health.is_partitioned()
            && self.rooms.values().any(|room| room.log.is_partitioned());
        self.health.tick(
            self.subscription.silent_since(),
            is_any_room_apart,
            now,
            self.clock.now(),
        );
        let (is_away, room_timeout) = (self.health.is_away(), self.room_timeout());
        let is_connected = self.subscription.is_connected();
        // Of thousands of rooms most are at rest.
        let due: Vec<LiveId> = self
            .rooms
            .iter()
            .filter(|(_, room)| room.is_due(now))
            .map(|(id, _)| *id)
            .collect();
        for live_id in due {
            let Some(room) = self.rooms.get_mut(&live_id) else {
                continue;
            };
            room.tick(now);
            let waits_for = room.log.waits_for(now);
            let is_due = if is_away {
                !waits_for.is_zero()
            } else {
                waits_for >= room_timeout
            };
            if is_due && !room.log.is_partitioned() {
                warn!(
                    "room goes on alone: live_id={live_id} events={}",
                    room.log.waiting_count()
                );
                room.log.enter_partitioned();
                room.release(0);
            }
            if is_away {
                self.open_partitioned(live_id);
                continue;
            }
            room.open_if_ready(now);
            room.open_partitioned(room_timeout, now);
            if is_connected && room.subscribed {
                room.request_due_users(now);
                let requests = room.presence.repeat_requests(now);
                if let Some(announce) = room.due_announcement(now) {
                    self.publish_presence(live_id, &announce);
                }
                self.perform(live_id, requests);
            }
            self.send_next_request(live_id);
        }
        self.retry_subscriptions(now);
        self.remove_dead_nodes(now);
        self.refresh_devices(now);
        if now >= self.next_heartbeat {
            self.next_heartbeat = now + HEARTBEAT;
            self.send_heartbeat();
        }
    }

    fn open_partitioned(&mut self, live_id: LiveId) {
        if self.health.is_away()
            && let Some(room) = self.rooms.get_mut(&live_id)
        {
            room.open_partitioned(Duration::ZERO, Instant::now());
        }
    }
}

fn json(message: &impl serde::Serialize) -> String {
    serde_json::to_string(message).expect("strings and numbers are JSON")
}
