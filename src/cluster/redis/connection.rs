//! One connection to Redis, to a single server or to a Redis Cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::future::{Future, ready};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{
    MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo, SingleNodeRoutingInfo,
};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ToRedisArgs, Value};

use super::cluster_servers::ClusterServers;
use super::keys;
use super::lost_slots::SlotRange;

/// A server that holds keys: its host and port in a Redis Cluster, else `None`.
pub type Server = Option<(String, u16)>;

/// A connection of either kind; clones share it.
#[derive(Clone)]
pub enum RedisConnection {
    Server(MultiplexedConnection),
    Cluster(ClusterLink),
}

/// A connection to a Redis Cluster, which refuses commands for keys of servers that do not answer.
#[derive(Clone)]
pub struct ClusterLink {
    pub connection: ClusterConnection,
    pub servers: Arc<ClusterServers>,
}

/// A server with keys, of a Redis Cluster, and its slots.
struct Master {
    address: (String, u16),
    ranges: Vec<SlotRange>,
}

impl RedisConnection {
    /// Subscribes to a channel of one room, or of all nodes. Completes when Redis has confirmed it.
    pub async fn subscribe(&mut self, channel: impl ToRedisArgs, of_room: bool) -> RedisResult<()> {
        match self {
            Self::Server(connection) => connection.subscribe(channel).await,
            Self::Cluster(cluster) if of_room => {
                let channel = channel.to_redis_args();
                channel
                    .iter()
                    .try_for_each(|name| cluster.servers.lost.check(name))?;
                cluster.connection.ssubscribe(channel).await
            }
            Self::Cluster(cluster) => cluster.connection.subscribe(channel).await,
        }
    }

    pub async fn unsubscribe_room(&mut self, channel: impl ToRedisArgs) -> RedisResult<()> {
        match self {
            Self::Server(connection) => connection.unsubscribe(channel).await,
            Self::Cluster(cluster) => {
                let channel = channel.to_redis_args();
                channel
                    .iter()
                    .try_for_each(|name| cluster.servers.lost.check(name))?;
                cluster.connection.sunsubscribe(channel).await
            }
        }
    }

    /// The servers with keys that answer within `timeout`. In a Redis Cluster some may be away
    /// while others work; `on_answer` is called as soon as any has answered, and commands for keys
    /// of those that do not answer fail until they do. `connected`: the servers that this
    /// connection is known to reach. `Err` if none answers.
    pub async fn responsive_servers(
        &mut self,
        connected: &BTreeSet<Server>,
        timeout: Duration,
        on_answer: impl FnOnce(),
    ) -> RedisResult<BTreeSet<Server>> {
        match self {
            Self::Server(connection) => {
                within(timeout, redis::cmd("PING").query_async::<()>(connection)).await?;
                Ok(BTreeSet::from([None]))
            }
            Self::Cluster(cluster) => {
                let masters = within(timeout, cluster.masters()).await?;
                on_answer();
                cluster
                    .responsive_masters(masters, connected, timeout)
                    .await
            }
        }
    }

    /// Enables invalidation messages for token keys on each of these servers.
    pub async fn track_tokens(
        &self,
        servers: &BTreeSet<Server>,
        timeout: Duration,
    ) -> RedisResult<()> {
        for server in servers {
            let mut cmd = redis::cmd("CLIENT");
            cmd.arg("TRACKING")
                .arg("ON")
                .arg("BCAST")
                .arg("PREFIX")
                .arg(keys::TOKEN_PREFIX);
            self.send_to_server(server, cmd, timeout).await?;
        }
        Ok(())
    }

    /// What a server says of itself, a line for each field.
    pub async fn info(&self, server: &Server, timeout: Duration) -> RedisResult<String> {
        Ok(redis::from_redis_value(
            self.send_to_server(server, redis::cmd("INFO"), timeout)
                .await?,
        )?)
    }

    async fn send_to_server(
        &self,
        server: &Server,
        cmd: Cmd,
        timeout: Duration,
    ) -> RedisResult<Value> {
        let sent = async {
            match (self.clone(), server.clone()) {
                (Self::Cluster(mut cluster), Some((host, port))) => {
                    let server = SingleNodeRoutingInfo::ByAddress { host, port };
                    cluster
                        .connection
                        .route_command(cmd, RoutingInfo::SingleNode(server))
                        .await?
                        .extract_error()
                }
                (mut connection, _) => cmd.query_async(&mut connection).await,
            }
        };
        within(timeout, sent).await
    }
}

impl ClusterLink {
    /// The servers with keys, as the first server says that answers: any of them may be frozen.
    async fn masters(&self) -> RedisResult<Vec<Master>> {
        let mut cmd = redis::cmd("CLUSTER");
        cmd.arg("SLOTS");
        let any = (
            MultipleNodeRoutingInfo::AllMasters,
            Some(ResponsePolicy::OneSucceeded),
        );
        let mut connection = self.connection.clone();
        let ranges = connection
            .route_command(cmd, RoutingInfo::MultiNode(any))
            .await?;
        let mut masters: BTreeMap<(String, u16), Vec<SlotRange>> = BTreeMap::new();
        if let Value::Array(ranges) = ranges {
            for (address, range) in ranges.iter().filter_map(master_of_range) {
                masters.entry(address).or_default().push(range);
            }
        }
        let masters = masters.into_iter();
        Ok(masters
            .map(|(address, ranges)| Master { address, ranges })
            .collect())
    }

    /// Asks each for a key of its own, which it answers once it serves its slots. One that this
    /// connection does not reach is asked over another, so that the library does not look for it.
    async fn responsive_masters(
        &self,
        masters: Vec<Master>,
        connected: &BTreeSet<Server>,
        timeout: Duration,
    ) -> RedisResult<BTreeSet<Server>> {
        let asked = masters.iter().map(|master| {
            let is_lost = self.servers.lost.contains(master.ranges[0].0);
            let is_connected = !is_lost && connected.contains(&Some(master.address.clone()));
            within(timeout, self.probe(master, is_connected, timeout))
        });
        let (mut responsive, mut lost) = (BTreeSet::new(), Vec::new());
        let mut error = RedisError::from((ErrorKind::Io, "no server has keys"));
        let results = futures_util::future::join_all(asked).await;
        for (result, master) in results.into_iter().zip(masters) {
            match result {
                Ok(()) => _ = responsive.insert(Some(master.address)),
                Err(why) => {
                    error = why;
                    lost.extend(master.ranges);
                }
            }
        }
        if responsive.is_empty() {
            return Err(error);
        }
        self.servers.lost.set(lost);
        Ok(responsive)
    }

    async fn probe(
        &self,
        master: &Master,
        is_connected: bool,
        timeout: Duration,
    ) -> RedisResult<()> {
        let is_there = |key: &String| {
            let slot = keys::slot(key.as_bytes());
            let mut ranges = master.ranges.iter();
            ranges.any(|(first, last)| (*first..=*last).contains(&slot))
        };
        let key = (0..)
            .map(|number| format!("liveroom:server:{number}"))
            .find(is_there);
        let mut cmd = redis::cmd("EXISTS");
        cmd.arg(key);
        if is_connected {
            cmd.query_async(&mut self.connection.clone()).await
        } else {
            let address = master.address.clone();
            let mut connection = self.servers.connect_to(address, timeout).await?;
            cmd.query_async(&mut connection).await
        }
    }
}

async fn within<T>(
    timeout: Duration,
    answer: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    tokio::time::timeout(timeout, answer)
        .await
        .unwrap_or_else(|_| Err(timed_out()))
}

/// Parses an entry of `CLUSTER SLOTS`: first slot, last slot, master, replicas.
fn master_of_range(range: &Value) -> Option<((String, u16), SlotRange)> {
    let Value::Array(range) = range else {
        return None;
    };
    let [first, last, Value::Array(master), ..] = &range[..] else {
        return None;
    };
    let read = redis::from_redis_value_ref::<u16>;
    let server = (
        redis::from_redis_value_ref(master.first()?).ok()?,
        read(master.get(1)?).ok()?,
    );
    Some((server, (read(first).ok()?, read(last).ok()?)))
}

/// What a log says of a step that was not answered in time.
pub const NO_ANSWER: &str = "no answer in time";

/// The error of a command that was not answered in time: a timeout, as those of the library are.
pub fn timed_out() -> RedisError {
    io::Error::new(io::ErrorKind::TimedOut, NO_ANSWER).into()
}

/// What a log says of an error: a timeout reads the same, whoever measured it.
pub fn cause_of(error: &RedisError) -> String {
    if error.is_timeout() {
        NO_ANSWER.to_owned()
    } else {
        error.to_string()
    }
}

impl ConnectionLike for RedisConnection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(cmd),
            Self::Cluster(cluster) => match cluster.servers.lost.check_command(cmd) {
                Ok(()) => cluster.connection.req_packed_command(cmd),
                Err(error) => ready(Err(error)).boxed(),
            },
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Server(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(cluster) => match cluster.servers.lost.check_pipeline(pipeline) {
                Ok(()) => cluster
                    .connection
                    .req_packed_commands(pipeline, offset, count),
                Err(error) => ready(Err(error)).boxed(),
            },
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Cluster(cluster) => cluster.connection.get_db(),
        }
    }
}
