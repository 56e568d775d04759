//! The cluster's thread: one loop over parts that own their state. A part takes an input and the
//! time and returns what follows from it ([`Out`]). None reaches into another, and none uses a
//! connection, a task or a clock. The loop routes inputs to parts and what they return to the
//! [`Performer`], and decides nothing. Requests to Redis run beside it, and their answers are inputs.
//!
//! ```text
//!   program, Redis -- Input --> Engine -- input, time --> PushConnection  is there a connection
//!        ^                        |                       Health          does Redis work
//!        |                        |                       Membership      which other nodes are there
//!        +-- Performer <-- Out ---+                       EngineRooms     replicas of logs and presence
//!                                                         Devices, Reports, SettingFaults
//! ```

pub mod append_calls;
mod backlog;
mod connection;
mod devices;
mod health;
mod input;
mod membership;
mod out;
mod performer;
mod program;
mod push;
mod reports;
mod request;
mod room;
mod rooms;
mod settings;
mod stall;

use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{error, warn};
use redis::{RedisError, RedisResult};
use tokio::sync::{mpsc, watch};
use tokio::time::sleep_until;

use crate::clock::Clock;
use crate::cluster::{ReportAsked, Signal};
use crate::config::Config;
use crate::domain::{NodeId, UserId};

use super::address::Address;
use super::link::Link;
use super::messages::NodeMessage;

use connection::PushConnection;
use devices::Devices;
use health::Health;
use membership::Membership;
use out::{Moment, Out, Tick};
use performer::Performer;
use program::Program;
use push::Push;
use reports::Reports;
use request::Purpose;
use room::ASK_AGAIN;
use rooms::EngineRooms;
use settings::SettingFaults;
use stall::StallMeter;

pub use devices::DeviceInput;
pub use health::RedisHealth;
pub use input::Input;
pub use out::TokenNews;
pub use reports::{OtherNodes, ReportRequest};
pub use room::RoomInput;

/// How often the engine checks its deadlines.
const TICK: Duration = Duration::from_millis(100);
/// Most inputs that are handled in a row before the rooms that they are for ask their logs.
const INPUTS_MAX: usize = 256;

pub struct Engine {
    node: NodeId,
    clock: Arc<dyn Clock>,
    connection: PushConnection,
    health: Health,
    membership: Membership,
    rooms: EngineRooms,
    devices: Devices,
    reports: Reports,
    settings: SettingFaults,
    stall_meter: StallMeter,
    performer: Performer,
    program: Program,
}

impl Engine {
    pub fn new(
        address: Arc<Address>,
        link: Link,
        config: &Config,
        node: NodeId,
        clock: Arc<dyn Clock>,
        inputs: mpsc::UnboundedSender<Input>,
    ) -> Self {
        let (now, is_cluster) = (Instant::now(), address.is_cluster());
        let redis_timeout = config.cluster.redis_timeout_ms.duration();
        let node_timeout = config.cluster.node_timeout_ms.duration();
        Self {
            node,
            clock,
            connection: PushConnection::new(is_cluster, redis_timeout, now),
            health: Health::new(address.clone(), redis_timeout),
            membership: Membership::new(config, node, now),
            rooms: EngineRooms::new(config, is_cluster, node, now),
            devices: Devices::new(node, config.auth.single_device, now),
            reports: Reports::new(node),
            settings: SettingFaults::new(address.clone()),
            stall_meter: StallMeter::default(),
            performer: Performer::new(node, address, link, inputs, node_timeout),
            program: Program::default(),
        }
    }

    /// The health of Redis, for readers on any thread.
    pub fn health(&self) -> watch::Receiver<RedisHealth> {
        self.health.subscribe()
    }

    /// Runs until the process ends.
    pub async fn run(mut self, mut inputs: mpsc::UnboundedReceiver<Input>) {
        let mut ready = Vec::with_capacity(INPUTS_MAX);
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let due = self.rooms.next_call_at();
            let due = due.unwrap_or_else(|| Instant::now() + TICK);
            tokio::select! {
                count = inputs.recv_many(&mut ready, INPUTS_MAX) => match count {
                    0 => break,
                    _ => ready.drain(..).for_each(|input| self.handle(input)),
                },
                _ = ticks.tick() => self.tick(),
                () = sleep_until(due.into()) => {}
            }
            self.ask_due();
        }
        error!("cluster thread ends");
    }

    /// Has the rooms ask their logs that may by now. Not after each input: rooms that several inputs
    /// are for share a call.
    fn ask_due(&mut self) {
        let moment = self.moment();
        if self.rooms.next_call_at().is_some_and(|at| at <= moment.now) {
            let outs = self.rooms.ask_due(moment);
            self.perform(outs);
        }
    }

    fn moment(&self) -> Moment {
        Moment {
            now: Instant::now(),
            at: self.clock.now(),
            redis: self.health.reach(),
        }
    }

    fn tick(&mut self) {
        let Moment { now, at, .. } = self.moment();
        let stalled = self.stall_meter.tick(now);
        let tick = Tick { now, at, stalled };
        if self.performer.take_overflow() {
            warn!("messages passed over, rooms look into their logs");
            self.rooms.look_again(now);
        }
        let outs = self.connection.tick(tick);
        self.perform(outs);
        let is_any_apart = self.health.is_partitioned() && self.rooms.is_any_partitioned();
        let silent_since = self.connection.silent_since();
        self.health.tick(silent_since, is_any_apart, tick);
        let redis = self.health.reach();
        let mut outs = self.rooms.tick(stalled, Moment { now, at, redis });
        outs.append(&mut self.membership.tick(tick));
        outs.append(&mut self.devices.tick(redis.is_connected, now));
        self.perform(outs);
    }

    fn handle(&mut self, input: Input) {
        let now = Instant::now();
        let outs = match input {
            Input::OpenRoom(key, gauge, reply) => self.rooms.open(key, gauge, reply, self.moment()),
            Input::CloseRoom(key) => self.rooms.close(key),
            Input::Room(key, input) => self.rooms.handle(key, input, self.moment()),
            Input::Device(input) => self.devices.handle(input),
            Input::Serve(handlers) => {
                let outs = self.membership.serve(handlers.address.clone());
                self.program.handlers = Some(handlers);
                outs
            }
            Input::ListenToTokens(listener) => {
                self.program.token_listener = Some(listener);
                if let Some(unreached_for) = self.connection.unreached_for() {
                    self.program.redis_reached(unreached_for, self.clock.now());
                }
                return;
            }
            Input::Recheck(user) => return self.program.signal(Signal::Recheck(user)),
            Input::Signal(signal) => self.membership.signal(signal),
            Input::RequestReports(request) => {
                let moment = self.moment();
                let known = self.membership.others(now, moment.at);
                self.reports.request(request, known, moment.redis.is_away)
            }
            Input::Leave(reply) => self.membership.leave(reply),
            Input::Opened(number, result) => {
                let mut connection = None;
                let servers = result.map(|(opened, servers)| {
                    connection = Some((number, opened));
                    servers
                });
                let outs = self.connection.opened(number, servers, now);
                if self.connection.is_current(number) {
                    self.performer.set_connection(connection);
                }
                outs
            }
            Input::Pushed(number, info, _slot) if self.connection.is_current(number) => {
                Push::read(info).map_or_else(Vec::new, |push| self.pushed(number, push))
            }
            Input::Pushed(..) => return,
            Input::Subscribed(connection, key, result) => {
                if !self.connection.is_current(connection) {
                    return;
                }
                let (input, mut outs) = match result {
                    Ok(()) => (RoomInput::Subscribed, Vec::new()),
                    Err(cause) => (
                        RoomInput::NotSubscribed,
                        self.connection.not_subscribed(connection, cause, now),
                    ),
                };
                outs.append(&mut self.rooms.handle(key, input, self.moment()));
                outs
            }
            Input::PingAnswered(number) => self.connection.ping_answered(number),
            Input::Pinged(number, result) => self.connection.pinged(number, result, now),
            Input::Answered(key, number, sent_at, answer) => {
                self.command_done(sent_at, answer.as_ref().err());
                let input = RoomInput::Answered { number, answer };
                self.rooms.handle(key, input, self.moment())
            }
            Input::Published(purpose, sent_at, result) => self.published(purpose, sent_at, result),
            Input::SettingsRead(faults) => return self.settings.read(faults),
        };
        self.perform(outs);
    }

    /// Redis has pushed something over the current connection.
    fn pushed(&mut self, number: u64, push: Push) -> Vec<Out> {
        let moment = self.moment();
        match push {
            Push::Batch(live_id, batch) => return self.rooms.batch(live_id, batch, moment),
            Push::Presence(live_id, message) => {
                // Its users are removed when the node dies: it must be a known one.
                let mut outs = self.membership.seen(message.node(), moment.now);
                outs.append(&mut self.rooms.presence(live_id, message, moment.now));
                return outs;
            }
            Push::Node(message) => return self.node_message(message, moment),
            Push::TokensChanged(users) => self.program.tokens_changed(users),
            Push::AllChanged => {
                // Each session finds out at its next periodic check.
                self.program.report_tokens(TokenNews::AllChanged);
                self.rooms.publish_users(moment.now);
                self.devices.refresh_by(moment.now);
            }
            Push::ChannelMoved(live_id) => return self.rooms.channel_moved(live_id),
            Push::Closed => return self.connection.closed(number, moment.now),
        }
        Vec::new()
    }

    /// Routes a message from another node, sent to all nodes or to this one.
    fn node_message(&mut self, message: NodeMessage, moment: Moment) -> Vec<Out> {
        let now = moment.now;
        if message.sender() == Some(self.node) {
            return Vec::new();
        }
        match message {
            NodeMessage::Heartbeat {
                node,
                address,
                secret_check,
            } => {
                let node = NodeId(node);
                return self
                    .membership
                    .heartbeat_of(node, address, secret_check, now);
            }
            NodeMessage::Leave { node, grace_ms } => {
                let grace = Duration::from_millis(grace_ms);
                self.membership.leaves(NodeId(node), grace, now);
            }
            NodeMessage::Signal { signal, .. } => {
                signal
                    .read()
                    .into_iter()
                    .for_each(|signal| self.program.signal(signal));
            }
            NodeMessage::DeviceClosed { user, .. } => {
                let closed = UserId::new(user).map(DeviceInput::ClosedElsewhere);
                return closed.map_or_else(Vec::new, |input| self.devices.handle(input));
            }
            NodeMessage::AskAnnouncements { .. } => self.rooms.announce_all(now),
            NodeMessage::Devices { devices, .. } => self.program.other_devices(devices),
            NodeMessage::AskReport {
                node,
                number,
                rooms,
                overview,
            } => {
                let overview = overview.map(|overview| *overview);
                let asked = ReportAsked { rooms, overview };
                if let Some(report) = self.program.report(asked) {
                    self.performer.report(NodeId(node), number, report);
                }
            }
            NodeMessage::Report { number, report } => self.reports.found(number, *report),
        }
        Vec::new()
    }

    /// Routes the outcome of a message that was published.
    fn published(
        &mut self,
        purpose: Purpose,
        sent_at: Instant,
        result: RedisResult<usize>,
    ) -> Vec<Out> {
        match purpose {
            Purpose::Heartbeat => self.command_done(sent_at, result.as_ref().err()),
            Purpose::Presence(key, kind) => {
                let nodes_count = result.ok();
                let input = RoomInput::PresencePublished { kind, nodes_count };
                return self.rooms.handle(key, input, self.moment());
            }
            Purpose::Device if result.is_err() => {
                self.devices.refresh_by(Instant::now() + ASK_AGAIN);
            }
            Purpose::AskAnnouncements(node) if result.is_err() => self.membership.not_asked(node),
            Purpose::Leave(reply) => _ = reply.send(()),
            Purpose::Notice | Purpose::Device | Purpose::AskAnnouncements(_) => {}
        }
        Vec::new()
    }

    /// A command that was sent at this time has worked or failed.
    fn command_done(&mut self, sent_at: Instant, error: Option<&RedisError>) {
        if let Some(since) = self.health.command_done(sent_at, error) {
            let now = Instant::now();
            self.devices.refresh_by(now);
            self.program
                .redis_reached(now.saturating_duration_since(since), self.clock.now());
        }
    }

    /// Carries out what parts have decided.
    fn perform(&mut self, outs: Vec<Out>) {
        for out in outs {
            match out {
                Out::Request(request) => self.performer.send(request),
                Out::Connected { unreached_for } => self.connected(unreached_for),
                Out::ConnectFailed(cause) => self.health.connect_failed(cause),
                Out::ConnectionLost(cause) => {
                    self.performer.set_connection(None);
                    self.health.connection_lost(cause);
                    self.rooms.connection_lost();
                }
                Out::NodeJoined(node) => {
                    let outs = self.rooms.node_joined(node);
                    self.perform(outs);
                }
                Out::NodeRemoved(node) => self.rooms.node_removed(node, Instant::now()),
                Out::CompareDevices => {
                    let outs = self.devices.publish(&self.program.devices());
                    self.perform(outs);
                }
            }
        }
    }

    /// There is a new connection: what may have been missed is made up for.
    fn connected(&mut self, unreached_for: Duration) {
        self.health.connected();
        self.program.redis_reached(unreached_for, self.clock.now());
        self.program.signal(Signal::CatalogueChanged);
        self.devices.refresh_by(Instant::now());
        let mut outs = self.membership.heartbeat();
        outs.append(&mut self.rooms.connected());
        self.perform(outs);
    }
}
