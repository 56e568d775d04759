//! Connections to Redis for commands, and the script that appends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bb8_redis::bb8::{ManageConnection, Pool};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo, SingleNodeRoutingInfo};
use redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisFuture, RedisResult, Script, ToRedisArgs, Value,
};

use super::address::Address;
use super::keys;

/// A server that holds keys: its host and port in a Redis Cluster, else `None`.
pub type Server = Option<(String, u16)>;

/// A connection of either kind; clones share it.
#[derive(Clone)]
pub enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Subscribes to a channel of one room, or of all nodes. Completes when Redis has confirmed it.
    pub async fn subscribe(&mut self, channel: impl ToRedisArgs, of_room: bool) -> RedisResult<()> {
        match self {
            Self::Server(connection) => connection.subscribe(channel).await,
            Self::Cluster(connection) if of_room => connection.ssubscribe(channel).await,
            Self::Cluster(connection) => connection.subscribe(channel).await,
        }
    }

    pub async fn unsubscribe_room(&mut self, channel: impl ToRedisArgs) -> RedisResult<()> {
        match self {
            Self::Server(connection) => connection.unsubscribe(channel).await,
            Self::Cluster(connection) => connection.sunsubscribe(channel).await,
        }
    }

    /// The servers with keys that answer within `timeout`. In a Redis Cluster some may be away while others
    /// work. `Err` if none answers.
    pub async fn responsive_servers(&mut self, timeout: Duration) -> RedisResult<BTreeSet<Server>> {
        let mut responsive = BTreeSet::new();
        let mut error = RedisError::from((ErrorKind::Io, "no server has keys"));
        let probes = self.probes(timeout).await?.into_iter().map(|(server, probe)| {
            let mut connection = self.clone();
            async move {
                let asked = probe.query_async::<Value>(&mut connection);
                (tokio::time::timeout(timeout, asked).await.unwrap_or_else(|_| Err(timed_out())), server)
            }
        });
        for (result, server) in futures_util::future::join_all(probes).await {
            match result {
                Ok(_) => _ = responsive.insert(server),
                Err(why) => error = why,
            }
        }
        if responsive.is_empty() { Err(error) } else { Ok(responsive) }
    }

    /// Enables invalidation messages for token keys on each of these servers.
    pub async fn track_tokens(&self, servers: &BTreeSet<Server>, timeout: Duration) -> RedisResult<()> {
        for server in servers {
            let mut cmd = redis::cmd("CLIENT");
            cmd.arg("TRACKING").arg("ON").arg("BCAST").arg("PREFIX").arg(keys::TOKEN_PREFIX);
            self.send_to_server(server, cmd, timeout).await?;
        }
        Ok(())
    }

    /// The servers with keys, and a command for each that shows whether it answers. In a Redis Cluster the
    /// command names a key of the server, so that the library reconnects to a server that was away.
    async fn probes(&mut self, timeout: Duration) -> RedisResult<Vec<(Server, Cmd)>> {
        let Self::Cluster(connection) = self else { return Ok(vec![(None, redis::cmd("PING"))]) };
        let mut cmd = redis::cmd("CLUSTER");
        cmd.arg("SLOTS");
        // The first answer counts: any server may be frozen.
        let any = (MultipleNodeRoutingInfo::AllMasters, Some(ResponsePolicy::OneSucceeded));
        let asked = connection.route_command(cmd, RoutingInfo::MultiNode(any));
        let ranges = tokio::time::timeout(timeout, asked).await.unwrap_or_else(|_| Err(timed_out()))?;
        let Value::Array(ranges) = ranges else { return Ok(Vec::new()) };
        let ranges: BTreeMap<Server, (u16, u16)> = ranges.iter().filter_map(master_of_range).collect();
        let probe = |(server, (first, last)): (Server, (u16, u16))| {
            let is_there = |key: &String| (first..=last).contains(&keys::slot(key));
            let key = (0..).map(|number| format!("liveroom:server:{number}")).find(is_there)?;
            let mut cmd = redis::cmd("EXISTS");
            cmd.arg(key);
            Some((server, cmd))
        };
        Ok(ranges.into_iter().filter_map(probe).collect())
    }

    async fn send_to_server(&self, server: &Server, cmd: Cmd, timeout: Duration) -> RedisResult<()> {
        let sent = async {
            match (self.clone(), server.clone()) {
                (Self::Cluster(mut connection), Some((host, port))) => {
                    let server = SingleNodeRoutingInfo::ByAddress { host, port };
                    connection.route_command(cmd, RoutingInfo::SingleNode(server)).await?.extract_error().map(|_| ())
                }
                (mut connection, _) => cmd.query_async(&mut connection).await,
            }
        };
        tokio::time::timeout(timeout, sent).await.unwrap_or_else(|_| Err(timed_out()))
    }
}

/// Parses an entry of `CLUSTER SLOTS`: first slot, last slot, master, replicas.
fn master_of_range(range: &Value) -> Option<(Server, (u16, u16))> {
    let Value::Array(range) = range else { return None };
    let [first, last, Value::Array(master), ..] = &range[..] else { return None };
    let read = redis::from_redis_value_ref::<u16>;
    let server = (redis::from_redis_value_ref(master.first()?).ok()?, read(master.get(1)?).ok()?);
    Some((Some(server), (read(first).ok()?, read(last).ok()?)))
}

fn timed_out() -> RedisError {
    RedisError::from((ErrorKind::UnexpectedReturnType, "no answer in time"))
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Server(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
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
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Server(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// A connection of the pool. One that failed is not reused: a restart of Redis costs each connection one
/// failure, and no command needs a ping before it.
struct Pooled {
    connection: Connection,
    failed: Arc<AtomicBool>,
}

struct Connector {
    address: Arc<Address>,
    timeout: Duration,
}

impl ManageConnection for Connector {
    type Connection = Pooled;
    type Error = RedisError;

    async fn connect(&self) -> Result<Pooled, RedisError> {
        Ok(Pooled { connection: self.address.connect(self.timeout).await?, failed: Arc::default() })
    }

    async fn is_valid(&self, _: &mut Pooled) -> Result<(), RedisError> {
        Ok(())
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        pooled.failed.load(Ordering::Relaxed)
    }
}

/// One request to Redis.
#[derive(Clone, Copy)]
enum Request<'a> {
    Command(&'a Cmd),
    Pipeline(&'a Pipeline),
}

/// The pool of connections for commands. Used on the cluster's own runtime only: connections live there.
#[derive(Clone)]
pub struct Link {
    pool: Pool<Connector>,
    connections_max: u32,
    timeout: Duration,
    append: Arc<Script>,
}

impl Link {
    /// Connects at first use. Each command, the wait for a connection included, fails after
    /// twice `timeout`.
    pub fn new(address: Arc<Address>, connections_max: u32, timeout: Duration) -> Self {
        let pool = Pool::builder()
            .max_size(connections_max)
            .connection_timeout(timeout)
            .test_on_check_out(false)
            .build_unchecked(Connector { address, timeout });
        Self { pool, connections_max, timeout, append: Arc::new(Script::new(APPEND_SOURCE)) }
    }

    /// Sends an idempotent request. After a restart of Redis every connection of the pool is dead and only
    /// use reveals it, so a lost connection is replaced at once, each at most once.
    async fn send<T: FromRedisValue>(&self, request: Request<'_>) -> RedisResult<T> {
        for _ in 0..self.connections_max {
            match self.send_once(request).await {
                Err(error) if error.is_connection_dropped() && !error.is_connection_refusal() => {}
                result => return result,
            }
        }
        self.send_once(request).await
    }

    async fn send_once<T: FromRedisValue>(&self, request: Request<'_>) -> RedisResult<T> {
        let pooled =
            self.pool.get().await.map_err(|error| {
                RedisError::from((ErrorKind::UnexpectedReturnType, "no connection", error.to_string()))
            })?;
        let (mut connection, failed) = (pooled.connection.clone(), pooled.failed.clone());
        // A connection to a cluster multiplexes commands to several servers and reconnects by itself, so one
        // that waits for a server does not block the others.
        let is_shared = matches!(connection, Connection::Cluster(_));
        let lent = (!is_shared).then_some(pooled);
        // It counts as failed until it has answered, also if the caller is dropped meanwhile.
        failed.store(!is_shared, Ordering::Relaxed);
        let answer = async {
            match request {
                Request::Command(cmd) => cmd.query_async(&mut connection).await,
                Request::Pipeline(pipeline) => pipeline.query_async(&mut connection).await,
            }
        };
        let answer = tokio::time::timeout(self.timeout, answer).await;
        // A timeout is not a lost connection: sending again would wait as long.
        let Ok(result) = answer else { return Err(timed_out()) };
        // An error answered by Redis leaves the connection usable, except that the server has become
        // read-only.
        let is_failure = |error: &RedisError| {
            error.is_io_error() || error.is_unrecoverable_error() || error.code() == Some("READONLY")
        };
        if !is_shared {
            failed.store(result.as_ref().is_err_and(is_failure), Ordering::Relaxed);
        }
        drop(lent);
        result
    }

    pub async fn command<T: FromRedisValue>(&self, cmd: &Cmd) -> RedisResult<T> {
        self.send(Request::Command(cmd)).await
    }

    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> RedisResult<T> {
        self.send(Request::Pipeline(pipeline)).await
    }

    /// Runs `append.lua` by its digest, or with its source on a server that has not cached it.
    pub async fn append<T: FromRedisValue>(&self, keys: &[String], args: &[Vec<u8>]) -> RedisResult<T> {
        let by = |command: &str, script: &str| {
            let mut cmd = redis::cmd(command);
            cmd.arg(script).arg(keys.len()).arg(keys).arg(args);
            cmd
        };
        match self.command(&by("EVALSHA", self.append.get_hash())).await {
            Err(error) if error.code() == Some("NOSCRIPT") => self.command(&by("EVAL", APPEND_SOURCE)).await,
            result => result,
        }
    }
}

const APPEND_SOURCE: &str = include_str!("append.lua");
