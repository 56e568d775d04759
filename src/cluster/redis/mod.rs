//! Many nodes over Redis.
//!
//! Everything that speaks to Redis runs on one thread with a runtime of its own ([`engine`]): rooms
//! hand it events and never wait. Redis holds, for each room, a log of its newest events, which one
//! script appends to, numbers and publishes ([`log_replica`] is the node's side of it); presence goes
//! from node to node as messages ([`presence_replica`]); tokens are written for other programs, and
//! read where these issued them ([`tokens`]).
//!
//! A published message may get lost without a report: the log is authoritative and a message only
//! brings its entries sooner. Every batch carries the position before it. A room reads the log when
//! a batch is missing, from time to time, and after each reconnection.

mod address;
mod append;
mod cluster_servers;
mod connection;
mod controls;
mod engine;
mod entries;
mod keys;
mod link;
mod log_replica;
mod lost_slots;
mod messages;
mod opening;
mod presence_replica;
#[cfg(test)]
mod scripts;
mod token_rules;
mod tokens;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use log::{error, warn};
use tokio::runtime;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::Clock;
use crate::config::Config;
use crate::domain::{ActionEntry, LiveId, NodeId, PresenceChange, RoomEvent, Timestamp, UserId};
use crate::storage::{Store, StoreError};
use crate::tls::Authorities;

use super::{
    Appended, Broker, DeviceTicket, FromLog, LogEntry, NodeReport, NodeReports, Nodes, OpenedLog,
    ReadTokenOrigin, ReportAsked, ReportWait, RoomLog, Signal, TokenStore,
};
use address::Address;
use engine::{DeviceInput, Engine, Input, OtherNodes, RedisHealth, ReportRequest, RoomInput};
use link::Link;
use opening::{RoomGauge, RoomKey};
use tokens::RedisTokens;

/// Events of one room that may wait to be ordered before comments are refused with `busy`.
const WAITING_MAX: usize = 8_192;

/// The callbacks for messages of other nodes. Called on the cluster's thread: must not block.
pub struct NodeHandlers {
    /// The address at which this node listens.
    pub address: String,
    pub on_signal: Box<dyn Fn(Signal) + Send>,
    pub report: Box<dyn Fn(ReportAsked) -> BoxFuture<'static, NodeReport> + Send>,
    /// The one device of each user of this node, with its ticket.
    pub devices: Box<dyn Fn() -> Vec<(UserId, DeviceTicket)> + Send>,
}

/// This node's part in a cluster. Clones are the same part.
#[derive(Clone)]
pub struct RedisCluster {
    inputs: mpsc::UnboundedSender<Input>,
    runtime: runtime::Handle,
    link: Link,
    node: NodeId,
    health: watch::Receiver<RedisHealth>,
    sharded: bool,
    clock: Arc<dyn Clock>,
}

impl RedisCluster {
    /// Starts the node's part. Does not wait for Redis: a node that does not reach it is
    /// partitioned. `Err`: the address is invalid, or there is no thread. The keys that count are
    /// those of `cluster`, and the leave grace and the history of rooms.
    pub fn start(config: Arc<Config>, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let url = config.cluster.redis_url.expose();
        let authorities =
            Authorities::read(&config.cluster.redis_ca_file).map_err(StoreError::Fault)?;
        let address = Address::parse(url, &authorities)
            .map_err(|error| StoreError::Fault(error.to_string()))?;
        let address = Arc::new(address);
        let no_runtime = |error| StoreError::Unavailable(format!("no runtime: {error}"));
        let runtime = runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(no_runtime)?;
        let node = NodeId(rand::random());
        // Not bounded by itself: each room's events are bounded by its gauge, everything else by
        // the number of rooms, users and operators.
        let (inputs, input) = mpsc::unbounded_channel();
        let handle = runtime.handle().clone();
        let link = {
            // Connections belong to the runtime that is current when the pool is made.
            let _guard = handle.enter();
            Link::new(
                address.clone(),
                config.cluster.redis_pool_size,
                config.cluster.redis_timeout_ms.duration(),
            )
        };
        let sharded = address.is_cluster();
        let engine = Engine::new(
            address,
            link.clone(),
            &config,
            node,
            clock.clone(),
            inputs.clone(),
        );
        let cluster = Self {
            inputs,
            runtime: handle,
            link,
            node,
            health: engine.health(),
            sharded,
            clock,
        };
        std::thread::Builder::new()
            .name("cluster".into())
            .spawn(move || runtime.block_on(engine.run(input)))
            .map_err(no_runtime)?;
        Ok(cluster)
    }

    /// Whether this is empty or an address of Redis. `Err`: what is expected instead, without the
    /// address.
    pub fn check_url(url: &str) -> Result<(), String> {
        if url.is_empty() {
            return Ok(());
        }
        Address::parse(url, &Authorities::default())
            .map(|_| ())
            .map_err(|error| format!("an address of a Redis ({error})"))
    }

    /// Whether connections to this address use TLS.
    pub fn is_encrypted(url: &str) -> bool {
        url.starts_with("rediss")
    }

    /// This node, as others know it.
    pub fn node(&self) -> NodeId {
        self.node
    }

    /// Begins to handle messages of other nodes.
    pub fn serve(&self, handlers: NodeHandlers) {
        self.send(Input::Serve(handlers));
    }

    /// Tokens in the store, which other programs read and replace in Redis.
    pub fn tokens(
        &self,
        store: Arc<dyn Store>,
        read_origin: ReadTokenOrigin,
    ) -> Arc<dyn TokenStore> {
        Arc::new(RedisTokens::new(self.clone(), store, read_origin))
    }

    fn send(&self, input: Input) {
        // Without its thread the node is partitioned for ever, which was logged when the thread
        // ended.
        let _ = self.inputs.send(input);
    }

    /// How many nodes subscribe to a room's channel. Published, because the answer to that is the
    /// same for one server and for a Redis Cluster; every node ignores a message that is neither a
    /// batch nor presence.
    async fn subscribers_count(&self, live_id: LiveId) -> Result<i64, StoreError> {
        let mut cmd = redis::cmd(keys::publish_command(self.sharded));
        cmd.arg(keys::room_channel(live_id)).arg("?");
        let link = self.link.clone();
        self.run(async move { link.command(&cmd).await }).await
    }

    /// Runs a task on the runtime of the connections to Redis.
    async fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = Result<T, redis::RedisError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.runtime.spawn(task).await {
            Ok(result) => {
                result.map_err(|error| StoreError::Unavailable(format!("redis: {error}")))
            }
            Err(error) => Err(StoreError::Unavailable(format!("redis: {error}"))),
        }
    }
}

impl Broker for RedisCluster {
    fn open(&self, live_id: LiveId) -> BoxFuture<'static, OpenedLog> {
        let (reply, opened) = oneshot::channel();
        let gauge = Arc::new(RoomGauge::default());
        let key = RoomKey {
            live_id,
            origin: rand::random(),
        };
        self.send(Input::OpenRoom(key, gauge.clone(), reply));
        let (inputs, node) = (self.inputs.clone(), self.node);
        async move {
            match opened.await {
                Ok(opened) => OpenedLog {
                    log: Box::new(RedisLog {
                        key,
                        node,
                        gauge,
                        inputs,
                    }),
                    position: opened.position,
                    recent: opened.recent,
                    peers: opened.peers,
                },
                Err(_) => {
                    error!(
                        "cluster thread is gone, room opens for this node alone: live_id={live_id}"
                    );
                    super::MemoryBroker.open(live_id).await
                }
            }
        }
        .boxed()
    }

    fn is_shared(&self) -> bool {
        true
    }

    fn is_open_elsewhere(&self, live_id: LiveId) -> BoxFuture<'static, Option<bool>> {
        let cluster = self.clone();
        async move {
            match cluster.subscribers_count(live_id).await {
                Ok(count) => Some(count > 0),
                Err(error) => {
                    warn!("other nodes not asked for a room: live_id={live_id} error={error}");
                    None
                }
            }
        }
        .boxed()
    }

    fn append(&self, live_id: LiveId, entry: ActionEntry) -> BoxFuture<'static, Appended> {
        if self.alone_since().is_some() {
            return ready(Appended::Unreachable).boxed();
        }
        let cluster = self.clone();
        async move {
            let key = entry.key();
            let appended = append::append_action(cluster.link.clone(), cluster.sharded, live_id, entry, cluster.clock.now());
            match cluster.run(appended).await {
                Ok(()) => Appended::InLog,
                Err(error) => {
                    warn!("action not appended to the log of its room yet: key={key:?} live_id={live_id} error={error}");
                    Appended::Unreachable
                }
            }
        }
        .boxed()
    }
}

/// The log of a room, by way of the engine.
struct RedisLog {
    key: RoomKey,
    node: NodeId,
    gauge: Arc<RoomGauge>,
    inputs: mpsc::UnboundedSender<Input>,
}

impl RedisLog {
    fn send(&self, input: RoomInput) {
        // Without its thread nothing is delivered any more, and comments are soon refused as
        // `busy`.
        let _ = self.inputs.send(Input::Room(self.key, input));
    }
}

impl RoomLog for RedisLog {
    fn listen(&mut self, room: Box<dyn Fn(FromLog) + Send + Sync>) {
        self.send(RoomInput::Listen(room));
    }

    fn append(&mut self, event: RoomEvent) -> Option<crate::domain::Sequenced> {
        self.gauge.waiting.fetch_add(1, Ordering::Relaxed);
        self.send(RoomInput::Append(event));
        None
    }

    fn append_action(&mut self, entry: ActionEntry) -> Option<LogEntry> {
        self.gauge.waiting.fetch_add(1, Ordering::Relaxed);
        self.send(RoomInput::AppendAction(entry));
        None
    }

    fn can_append(&self) -> bool {
        self.gauge.waiting.load(Ordering::Relaxed) < WAITING_MAX
    }

    fn ack(&mut self, events_count: usize) {
        self.gauge
            .unacked
            .fetch_sub(events_count, Ordering::Relaxed);
    }

    fn set_batch_window(&mut self, window: Duration) {
        let ms = usize::try_from(window.as_millis()).unwrap_or(usize::MAX);
        self.gauge.batch_window_ms.store(ms, Ordering::Relaxed);
    }

    fn publish_presence(&mut self, changes: Vec<PresenceChange>) {
        if !changes.is_empty() {
            self.send(RoomInput::PublishPresence(changes));
        }
    }

    fn publish_users(&mut self, users: String) {
        self.send(RoomInput::PublishUsers(users));
    }

    fn node(&self) -> Option<NodeId> {
        Some(self.node)
    }
}

impl Drop for RedisLog {
    fn drop(&mut self) {
        // Without its thread there is no room to close.
        let _ = self.inputs.send(Input::CloseRoom(self.key));
    }
}

impl Nodes for RedisCluster {
    fn signal(&self, signal: Signal) {
        self.send(Input::Signal(signal));
    }

    fn device_opened(&self, user: UserId) {
        self.send(Input::Device(DeviceInput::Opened(user)));
    }

    fn device_closed(&self, user: UserId) {
        self.send(Input::Device(DeviceInput::Closed(user)));
    }

    fn reports(
        &self,
        own: NodeReport,
        asked: ReportAsked,
        wait: ReportWait,
    ) -> BoxFuture<'static, NodeReports> {
        let (found, mut reports) = mpsc::channel(1_024);
        let (reply, others) = oneshot::channel();
        self.send(Input::RequestReports(ReportRequest {
            asked,
            found,
            reply,
        }));
        async move {
            let mut answered = vec![own];
            let Ok(OtherNodes {
                asked_count,
                mut known,
            }) = others.await
            else {
                return NodeReports {
                    answered,
                    silent: Vec::new(),
                };
            };
            let gather = async {
                while answered.len() <= asked_count.min(wait.answers_max)
                    && let Some(report) = reports.recv().await
                {
                    // A message to all nodes may arrive twice while a Redis Cluster changes.
                    if answered
                        .iter()
                        .all(|before: &NodeReport| before.node != report.node)
                    {
                        answered.push(report);
                    }
                }
            };
            // A node that does not answer in time is silent.
            let _ = tokio::time::timeout(wait.time_max, gather).await;
            known.retain(|silent| answered.iter().all(|report| report.node != silent.node));
            NodeReports {
                answered,
                silent: known,
            }
        }
        .boxed()
    }

    fn alone_since(&self) -> Option<Timestamp> {
        self.health.borrow().partitioned_since()
    }

    fn leave(&self) -> BoxFuture<'static, ()> {
        let (reply, left) = oneshot::channel();
        self.send(Input::Leave(reply));
        // Without its thread the others are not notified.
        left.map(|_| ()).boxed()
    }
}

/// Counts what is under way; bounds are where it is read.
type Count = AtomicUsize;
