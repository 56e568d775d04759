//! Addresses of Redis: one server, a set of Sentinels, or a Redis Cluster.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion, PushInfo,
    RedisError, RedisResult,
};
use tokio::sync::Mutex;

use super::connection::RedisConnection;

/// Timeout of a TCP connect.
const CONNECT_MAX: Duration = Duration::from_secs(2);

const SENTINEL_PORT: u16 = 26_379;
const SERVER_PORT: u16 = 6_379;

/// A parsed address. Its `Display` is hosts and ports, without user and password.
pub struct Address {
    target: Target,
    hosts: String,
}

/// What an address names, with the client for it.
enum Target {
    /// `redis://[user:password@]host[:port][/db]`
    Server(Client),
    /// `redis-sentinel://[user:password@]host[:port],host[:port]…/name[/db]`: user and password are
    /// those of the server; the Sentinels have none.
    Sentinels(Box<Mutex<SentinelClient>>),
    /// `redis-cluster://[user:password@]host[:port],host[:port]…`
    Cluster { nodes: Vec<String>, user: Option<String>, password: Option<String> },
}

/// The part of an address between its scheme and its path.
struct Authority<'a> {
    user: Option<&'a str>,
    password: Option<&'a str>,
    hosts: Vec<(&'a str, u16)>,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hosts)
    }
}

impl<'a> Authority<'a> {
    /// Hosts and ports.
    fn shown(&self) -> String {
        let hosts: Vec<_> = self.hosts.iter().map(|(host, port)| format!("{host}:{port}")).collect();
        hosts.join(",")
    }

    fn parse(text: &'a str, default_port: u16) -> Option<Self> {
        let (credentials, hosts) = text.rsplit_once('@').map_or((None, text), |(before, after)| (Some(before), after));
        let (user, password) = match credentials.map(|credentials| credentials.split_once(':')) {
            Some(Some((user, password))) => ((!user.is_empty()).then_some(user), Some(password)),
            Some(None) => return None,
            None => (None, None),
        };
        let hosts: Option<Vec<_>> = hosts
            .split(',')
            .map(|host| match host.rsplit_once(':') {
                Some((host, port)) => port.parse().ok().map(|port| (host, port)),
                None => Some((host, default_port)),
            })
            .collect();
        hosts.filter(|hosts| hosts.iter().all(|(host, _)| !host.is_empty())).map(|hosts| Self { user, password, hosts })
    }
}

fn malformed() -> RedisError {
    // Not repeated in the message: it may hold a password.
    RedisError::from((
        ErrorKind::InvalidClientConfig,
        "no address of the forms redis:, redis-sentinel:, redis-cluster:",
    ))
}

impl Address {
    pub fn parse(url: &str) -> RedisResult<Self> {
        if let Some(rest) = url.strip_prefix("redis-sentinel://") {
            return Self::sentinels(rest);
        }
        if let Some(rest) = url.strip_prefix("redis-cluster://") {
            let authority = Authority::parse(rest.trim_end_matches('/'), SERVER_PORT).ok_or_else(malformed)?;
            let hosts = authority.shown();
            let target = Target::Cluster {
                nodes: authority.hosts.iter().map(|(host, port)| format!("redis://{host}:{port}")).collect(),
                user: authority.user.map(str::to_owned),
                password: authority.password.map(str::to_owned),
            };
            return Ok(Self { target, hosts });
        }
        let info = url.into_connection_info()?;
        // The newer protocol is what pushes messages and invalidations over one connection.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let hosts = info.addr().to_string();
        Ok(Self { target: Target::Server(Client::open(info.set_redis_settings(settings))?), hosts })
    }

    fn sentinels(rest: &str) -> RedisResult<Self> {
        let mut parts = rest.splitn(3, '/');
        let authority = parts.next().and_then(|hosts| Authority::parse(hosts, SENTINEL_PORT)).ok_or_else(malformed)?;
        let name = parts.next().filter(|name| !name.is_empty()).ok_or_else(malformed)?;
        let db: i64 = parts.next().map_or(Some(0), |db| db.parse().ok()).ok_or_else(malformed)?;
        let hosts = authority.hosts.iter().map(|(host, port)| ConnectionAddr::Tcp((*host).to_owned(), *port));
        let mut builder = SentinelClientBuilder::new(hosts, name, SentinelServerType::Master)?
            .set_client_to_redis_protocol(ProtocolVersion::RESP3)
            .set_client_to_redis_db(db);
        if let Some(user) = authority.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = authority.password {
            builder = builder.set_client_to_redis_password(password);
        }
        let target = Target::Sentinels(Box::new(Mutex::new(builder.build()?)));
        Ok(Self { target, hosts: format!("{}/{name}", authority.shown()) })
    }

    /// Whether it is a Redis Cluster: channels of rooms are sharded there.
    pub fn is_cluster(&self) -> bool {
        matches!(self.target, Target::Cluster { .. })
    }

    fn cluster_client(
        nodes: &[String],
        user: Option<&str>,
        password: Option<&str>,
        timeout: Duration,
    ) -> ClusterClientBuilder {
        let mut builder = ClusterClient::builder(nodes.iter().map(String::as_str))
            .use_protocol(ProtocolVersion::RESP3)
            .connection_timeout(timeout.min(CONNECT_MAX))
            .response_timeout(timeout)
            // Callers retry by themselves, with time limits of their own.
            .retries(1);
        if let Some(user) = user {
            builder = builder.username(user);
        }
        if let Some(password) = password {
            builder = builder.password(password);
        }
        builder
    }

    /// A connection for commands; each of them fails after `timeout`.
    pub async fn connect(&self, timeout: Duration) -> RedisResult<RedisConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout.min(CONNECT_MAX)))
            .set_response_timeout(Some(timeout));
        self.connect_with(&config, |builder| builder, timeout).await
    }

    /// A connection whose pushed messages go to `on_push`.
    pub async fn listen(
        &self,
        timeout: Duration,
        on_push: impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + Clone + 'static,
    ) -> RedisResult<RedisConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(timeout.min(CONNECT_MAX)))
            .set_response_timeout(Some(timeout))
            .set_push_sender(on_push.clone());
        self.connect_with(&config, |builder| builder.push_sender(on_push), timeout).await
    }

    async fn connect_with(
        &self,
        config: &AsyncConnectionConfig,
        of_cluster: impl FnOnce(ClusterClientBuilder) -> ClusterClientBuilder,
        timeout: Duration,
    ) -> RedisResult<RedisConnection> {
        match &self.target {
            Target::Server(client) => Ok(one(client.get_multiplexed_async_connection_with_config(config).await?)),
            Target::Sentinels(client) => {
                // The library has no time limit of its own for asking the Sentinels.
                let mut client = client.lock().await;
                let found = tokio::time::timeout(timeout.max(CONNECT_MAX), client.async_get_client());
                let client =
                    found.await.map_err(|_| RedisError::from((ErrorKind::Io, "sentinels do not answer")))??;
                Ok(one(client.get_multiplexed_async_connection_with_config(config).await?))
            }
            Target::Cluster { nodes, user, password } => {
                let builder = Self::cluster_client(nodes, user.as_deref(), password.as_deref(), timeout);
                Ok(RedisConnection::Cluster(of_cluster(builder).build()?.get_async_connection().await?))
            }
        }
    }
}

fn one(connection: MultiplexedConnection) -> RedisConnection {
    RedisConnection::Server(connection)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_of_address_is_known_by_its_scheme() {
        let target = |url: &str| Address::parse(url).map(|address| address.target);
        assert!(matches!(target("redis://user:secret@host:6380/2"), Ok(Target::Server(_))));
        assert!(matches!(target("redis-sentinel://a,b:26380/main"), Ok(Target::Sentinels(_))));
        let Ok(Target::Cluster { nodes, user, password }) = target("redis-cluster://:pw@a:7000,b") else {
            panic!("a cluster");
        };
        assert_eq!(nodes, ["redis://a:7000", "redis://b:6379"]);
        assert_eq!((user, password), (None, Some("pw".to_owned())));
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (url, shown) in [
            ("redis://user:secret@host/2", "host:6379"),
            ("redis-sentinel://:secret@a,b:26380/main", "a:26379,b:26380/main"),
            ("redis-cluster://:secret@a:7000,b", "a:7000,b:6379"),
        ] {
            assert_eq!(Address::parse(url).expect(url).to_string(), shown);
        }
    }

    #[test]
    fn a_malformed_address_is_refused_without_repeating_it() {
        for url in
            ["", "http://x", "redis-sentinel://a", "redis-sentinel://a/", "redis-cluster://", "redis-cluster://a:x"]
        {
            let Err(error) = Address::parse(url) else { panic!("{url} is no address") };
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
