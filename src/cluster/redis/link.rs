//! Connections to Redis for commands, and the script that appends.

use std::sync::Arc;
use std::time::Duration;

use bb8_redis::bb8::{ManageConnection, Pool};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::{
    Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisFuture, RedisResult, Script, ToRedisArgs, Value,
};

use super::address::Address;

/// A connection of either kind; cloned, it stays the same connection.
#[derive(Clone)]
pub enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Subscribes to a channel of one room, or of all nodes. Answered when the subscription stands.
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

/// A connection of the pool. One that failed is not lent again: so a restart of Redis costs each
/// connection one failure, and no command a question before it whether the connection still works.
struct Pooled {
    connection: Connection,
    failed: bool,
}

struct Connector {
    address: Arc<Address>,
    timeout: Duration,
}

impl ManageConnection for Connector {
    type Connection = Pooled;
    type Error = RedisError;

    async fn connect(&self) -> Result<Pooled, RedisError> {
        Ok(Pooled { connection: self.address.connect(self.timeout).await?, failed: false })
    }

    async fn is_valid(&self, _: &mut Pooled) -> Result<(), RedisError> {
        Ok(())
    }

    fn has_broken(&self, pooled: &mut Pooled) -> bool {
        pooled.failed
    }
}

/// What is sent at once.
#[derive(Clone, Copy)]
enum Request<'a> {
    Command(&'a Cmd),
    Pipeline(&'a Pipeline),
}

/// The way to Redis for commands. Used on the cluster's own runtime only: connections live there.
#[derive(Clone)]
pub struct Link {
    pool: Pool<Connector>,
    connections_max: u32,
    timeout: Duration,
    append: Arc<Script>,
}

impl Link {
    /// Connects when it is first used. Each command, the wait for a connection included, fails after
    /// twice `timeout`.
    pub fn new(address: Arc<Address>, connections_max: u32, timeout: Duration) -> Self {
        let pool = Pool::builder()
            .max_size(connections_max)
            .connection_timeout(timeout)
            .test_on_check_out(false)
            .build_unchecked(Connector { address, timeout });
        Self { pool, connections_max, timeout, append: Arc::new(Script::new(APPEND_SOURCE)) }
    }

    /// Sends what may be sent twice. After a restart of Redis every connection of the pool is dead and
    /// only use finds out, so a connection that is lost is replaced at once, each at most once.
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
        let mut pooled =
            self.pool.get().await.map_err(|error| {
                RedisError::from((ErrorKind::UnexpectedReturnType, "no connection", error.to_string()))
            })?;
        // Counts as failed until it is known to have answered: also if nobody waits for that any more.
        pooled.failed = true;
        let answer = async {
            match request {
                Request::Command(cmd) => cmd.query_async(&mut pooled.connection).await,
                Request::Pipeline(pipeline) => pipeline.query_async(&mut pooled.connection).await,
            }
        };
        let answer = tokio::time::timeout(self.timeout, answer).await;
        // Who did not answer in time will not either if asked once more: no lost connection.
        let late = || RedisError::from((ErrorKind::UnexpectedReturnType, "no answer in time"));
        let Ok(result) = answer else { return Err(late()) };
        // An error that Redis itself answered says nothing against the connection, except that this is
        // no server to write to any more.
        pooled.failed = result.as_ref().is_err_and(|error: &RedisError| {
            error.is_io_error() || error.is_unrecoverable_error() || error.code() == Some("READONLY")
        });
        result
    }

    pub async fn command<T: FromRedisValue>(&self, cmd: &Cmd) -> RedisResult<T> {
        self.send(Request::Command(cmd)).await
    }

    pub async fn pipeline<T: FromRedisValue>(&self, pipeline: &Pipeline) -> RedisResult<T> {
        self.send(Request::Pipeline(pipeline)).await
    }

    /// Runs `append.lua` by its digest, and with its text where the server has not seen it.
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
