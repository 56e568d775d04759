//! One connection to Redis, to a single server or to a Redis Cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{
    MultipleNodeRoutingInfo, ResponsePolicy, RoutingInfo, SingleNodeRoutingInfo,
};
use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ToRedisArgs, Value};

use super::keys;

/// A server that holds keys: its host and port in a Redis Cluster, else `None`.
pub type Server = Option<(String, u16)>;

/// A connection of either kind; clones share it.
#[derive(Clone)]
pub enum RedisConnection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl RedisConnection {
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

    /// The servers with keys that answer within `timeout`. In a Redis Cluster some may be away
    /// while others work. `Err` if none answers.
    pub async fn responsive_servers(&mut self, timeout: Duration) -> RedisResult<BTreeSet<Server>> {
        let mut responsive = BTreeSet::new();
        let mut error = RedisError::from((ErrorKind::Io, "no server has keys"));
        let probes = self
            .probes(timeout)
            .await?
            .into_iter()
            .map(|(server, probe)| {
                let mut connection = self.clone();
                async move {
                    let asked = probe.query_async::<Value>(&mut connection);
                    (
                        tokio::time::timeout(timeout, asked)
                            .await
                            .unwrap_or_else(|_| Err(timed_out())),
                        server,
                    )
                }
            });
        for (result, server) in futures_util::future::join_all(probes).await {
            match result {
                Ok(_) => _ = responsive.insert(server),
                Err(why) => error = why,
            }
        }
        if responsive.is_empty() {
            Err(error)
        } else {
            Ok(responsive)
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

    /// The servers with keys, and a command for each that shows whether it answers. In a Redis
    /// Cluster the command names a key of the server, so that the library reconnects to a server
    /// that was away.
    async fn probes(&mut self, timeout: Duration) -> RedisResult<Vec<(Server, Cmd)>> {
        let Self::Cluster(connection) = self else {
            return Ok(vec![(None, redis::cmd("PING"))]);
        };
        let mut cmd = redis::cmd("CLUSTER");
        cmd.arg("SLOTS");
        // The first answer counts: any server may be frozen.
        let any = (
            MultipleNodeRoutingInfo::AllMasters,
            Some(ResponsePolicy::OneSucceeded),
        );
        let asked = connection.route_command(cmd, RoutingInfo::MultiNode(any));
        let ranges = tokio::time::timeout(timeout, asked)
            .await
            .unwrap_or_else(|_| Err(timed_out()))?;
        let Value::Array(ranges) = ranges else {
            return Ok(Vec::new());
        };
        let ranges: BTreeMap<Server, (u16, u16)> =
            ranges.iter().filter_map(master_of_range).collect();
        let probe = |(server, (first, last)): (Server, (u16, u16))| {
            let is_there = |key: &String| (first..=last).contains(&keys::slot(key));
            let key = (0..)
                .map(|number| format!("liveroom:server:{number}"))
                .find(is_there)?;
            let mut cmd = redis::cmd("EXISTS");
            cmd.arg(key);
            Some((server, cmd))
        };
        Ok(ranges.into_iter().filter_map(probe).collect())
    }

    async fn send_to_server(
        &self,
        server: &Server,
        cmd: Cmd,
        timeout: Duration,
    ) -> RedisResult<Value> {
        let sent = async {
            match (self.clone(), server.clone()) {
                (Self::Cluster(mut connection), Some((host, port))) => {
                    let server = SingleNodeRoutingInfo::ByAddress { host, port };
                    connection
                        .route_command(cmd, RoutingInfo::SingleNode(server))
                        .await?
                        .extract_error()
                }
                (mut connection, _) => cmd.query_async(&mut connection).await,
            }
        };
        tokio::time::timeout(timeout, sent)
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }
}

/// Parses an entry of `CLUSTER SLOTS`: first slot, last slot, master, replicas.
fn master_of_range(range: &Value) -> Option<(Server, (u16, u16))> {
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
    Some((Some(server), (read(first).ok()?, read(last).ok()?)))
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
