//! The pool of connections to Redis for commands, and the script that appends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bb8_redis::bb8::{ManageConnection, Pool};
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, RedisResult, Script};

use super::address::Address;
use super::connection::{RedisConnection, timed_out};

/// A connection of the pool. One that failed is not reused: a restart of Redis costs each
/// connection one failure, and no command needs a ping before it.
struct Pooled {
    connection: RedisConnection,
    failed: Arc<AtomicBool>,
}

struct RedisConnector {
    address: Arc<Address>,
    timeout: Duration,
}

impl ManageConnection for RedisConnector {
    type Connection = Pooled;
    type Error = RedisError;

    async fn connect(&self) -> Result<Pooled, RedisError> {
        Ok(Pooled {
            connection: self.address.connect(self.timeout).await?,
            failed: Arc::default(),
        })
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

/// The pool of connections for commands. Used on the cluster's own runtime only: connections live
/// there.
#[derive(Clone)]
pub struct Link {
    pool: Pool<RedisConnector>,
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
            .build_unchecked(RedisConnector { address, timeout });
        Self {
            pool,
            connections_max,
            timeout,
            append: Arc::new(Script::new(APPEND_SOURCE)),
        }
    }

    /// How long Redis may be silent.
    pub fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Sends an idempotent request. After a restart of Redis every connection of the pool is dead
    /// and only use reveals it, so a lost connection is replaced at once, each at most once.
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
        let pooled = self.pool.get().await.map_err(|error| {
            RedisError::from((
                ErrorKind::UnexpectedReturnType,
                "no connection",
                error.to_string(),
            ))
        })?;
        let (mut connection, failed) = (pooled.connection.clone(), pooled.failed.clone());
        // A connection to a cluster multiplexes commands to several servers and reconnects by
        // itself, so one that waits for a server does not block the others.
        let is_shared = matches!(connection, RedisConnection::Cluster(_));
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
        let Ok(result) = answer else {
            return Err(timed_out());
        };
        // An error answered by Redis leaves the connection usable, except that the server has
        // become read-only.
        let is_failure = |error: &RedisError| {
            error.is_io_error()
                || error.is_unrecoverable_error()
                || error.code() == Some("READONLY")
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
    pub async fn append<T: FromRedisValue>(
        &self,
        keys: &[String],
        args: &[Vec<u8>],
    ) -> RedisResult<T> {
        let by = |command: &str, script: &str| {
            let mut cmd = redis::cmd(command);
            cmd.arg(script).arg(keys.len()).arg(keys).arg(args);
            cmd
        };
        match self.command(&by("EVALSHA", self.append.get_hash())).await {
            Err(error) if error.code() == Some("NOSCRIPT") => {
                self.command(&by("EVAL", APPEND_SOURCE)).await
            }
            result => result,
        }
    }
}

const APPEND_SOURCE: &str = include_str!("append.lua");
