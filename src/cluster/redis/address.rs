//! Addresses of Redis: one server, a set of Sentinels, or a Redis Cluster.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, IntoConnectionInfo, ProtocolVersion,
    PushInfo, RedisError, RedisResult, TlsCertificates, TlsMode,
};
use tokio::sync::Mutex;

use super::cluster_servers::{CONNECT_MAX, ClusterServers, connection_config};
use super::connection::{ClusterLink, RedisConnection};
use super::lost_slots::LostSlots;
use crate::tls::{Authorities, use_ring};

const SENTINEL_PORT: u16 = 26_379;
const SERVER_PORT: u16 = 6_379;

/// A parsed address. Its `Display` is hosts and ports, without user and password.
pub struct Address {
    target: Target,
    hosts: String,
}

/// What an address names, with the client for it.
enum Target {
    /// `redis://[user:password@]host[:port][/db]`; this and the following with `rediss` for TLS.
    Server(Box<Client>),
    /// `redis-sentinel://[user:password@]host[:port],host[:port]…/name[/db]`: user and password are
    /// those of the server; the Sentinels have none.
    Sentinels(Box<Mutex<SentinelClient>>),
    /// `redis-cluster://[user:password@]host[:port],host[:port]…`
    Cluster(Arc<ClusterServers>),
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
        let hosts: Vec<_> = self
            .hosts
            .iter()
            .map(|(host, port)| format!("{host}:{port}"))
            .collect();
        hosts.join(",")
    }

    fn parse(text: &'a str, default_port: u16) -> Option<Self> {
        let (credentials, hosts) = text
            .rsplit_once('@')
            .map_or((None, text), |(before, after)| (Some(before), after));
        let (user, password) = match credentials.map(|credentials| credentials.split_once(':')) {
            Some(Some((user, password))) => ((!user.is_empty()).then_some(user), Some(password)),
            Some(None) => return None,
            None => (None, None),
        };
        let hosts: Option<Vec<_>> = hosts
            .split(',')
            // An IPv6 address in brackets ends with one.
            .map(
                |host| match host.rsplit_once(':').filter(|_| !host.ends_with(']')) {
                    Some((host, port)) => port.parse().ok().map(|port| (host, port)),
                    None => Some((host, default_port)),
                },
            )
            .collect();
        hosts
            .filter(|hosts| hosts.iter().all(|(host, _)| !host.is_empty()))
            .map(|hosts| Self {
                user,
                password,
                hosts,
            })
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
    /// `authorities` is for addresses with TLS: those whose scheme begins with `rediss`.
    pub fn parse(url: &str, authorities: &Authorities) -> RedisResult<Self> {
        let (scheme, rest) = url.split_once("://").ok_or_else(malformed)?;
        let certificates = scheme.starts_with("rediss").then(|| {
            use_ring();
            TlsCertificates {
                client_tls: None,
                root_cert: authorities.pem().map(<[u8]>::to_vec),
            }
        });
        match scheme {
            "redis-sentinel" | "rediss-sentinel" => Self::sentinels(rest, certificates),
            "redis-cluster" | "rediss-cluster" => Self::cluster(rest, certificates),
            _ => Self::server(url, certificates),
        }
    }

    fn server(url: &str, certificates: Option<TlsCertificates>) -> RedisResult<Self> {
        let info = url.into_connection_info()?;
        // `#insecure` asks the library not to verify certificates.
        if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
            return Err(malformed());
        }
        // The newer protocol is what pushes messages and invalidations over one connection.
        let settings = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3);
        let hosts = info.addr().to_string();
        let info = info.set_redis_settings(settings);
        let client = match certificates {
            Some(certificates) => Client::build_with_tls(info, certificates)?,
            None => Client::open(info)?,
        };
        Ok(Self {
            target: Target::Server(Box::new(client)),
            hosts,
        })
    }

    fn cluster(rest: &str, certificates: Option<TlsCertificates>) -> RedisResult<Self> {
        let authority =
            Authority::parse(rest.trim_end_matches('/'), SERVER_PORT).ok_or_else(malformed)?;
        let scheme = if certificates.is_some() {
            "rediss"
        } else {
            "redis"
        };
        let servers = ClusterServers {
            lost: LostSlots::default(),
            urls: authority
                .hosts
                .iter()
                .map(|(host, port)| format!("{scheme}://{host}:{port}"))
                .collect(),
            user: authority.user.map(str::to_owned),
            password: authority.password.map(str::to_owned),
            certificates,
        };
        Ok(Self {
            target: Target::Cluster(Arc::new(servers)),
            hosts: authority.shown(),
        })
    }

    fn sentinels(rest: &str, certificates: Option<TlsCertificates>) -> RedisResult<Self> {
        let mut parts = rest.splitn(3, '/');
        let authority = parts
            .next()
            .and_then(|hosts| Authority::parse(hosts, SENTINEL_PORT))
            .ok_or_else(malformed)?;
        let name = parts
            .next()
            .filter(|name| !name.is_empty())
            .ok_or_else(malformed)?;
        let db: i64 = parts
            .next()
            .map_or(Some(0), |db| db.parse().ok())
            .ok_or_else(malformed)?;
        let is_encrypted = certificates.is_some();
        let hosts = authority.hosts.iter().map(|(host, port)| {
            let (host, port) = ((*host).to_owned(), *port);
            if is_encrypted {
                ConnectionAddr::TcpTls {
                    host,
                    port,
                    insecure: false,
                    tls_params: None,
                }
            } else {
                ConnectionAddr::Tcp(host, port)
            }
        });
        let mut builder = SentinelClientBuilder::new(hosts, name, SentinelServerType::Master)?
            .set_client_to_redis_protocol(ProtocolVersion::RESP3)
            .set_client_to_redis_db(db);
        if let Some(certificates) = certificates {
            builder = builder
                .set_client_to_sentinel_tls_mode(TlsMode::Secure)
                .set_client_to_sentinel_certificates(certificates.clone())
                .set_client_to_redis_tls_mode(TlsMode::Secure)
                .set_client_to_redis_certificates(certificates);
        }
        if let Some(user) = authority.user {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = authority.password {
            builder = builder.set_client_to_redis_password(password);
        }
        let target = Target::Sentinels(Box::new(Mutex::new(builder.build()?)));
        Ok(Self {
            target,
            hosts: format!("{}/{name}", authority.shown()),
        })
    }

    /// Whether it is a Redis Cluster: channels of rooms are sharded there.
    pub fn is_cluster(&self) -> bool {
        matches!(self.target, Target::Cluster(_))
    }

    /// A connection for commands; each of them fails after `timeout`.
    pub async fn connect(&self, timeout: Duration) -> RedisResult<RedisConnection> {
        let config = connection_config(timeout);
        self.connect_with(&config, |builder| builder, timeout).await
    }

    /// A connection whose pushed messages go to `on_push`.
    pub async fn listen(
        &self,
        timeout: Duration,
        on_push: impl Fn(PushInfo) -> Result<(), ()> + Send + Sync + Clone + 'static,
    ) -> RedisResult<RedisConnection> {
        let config = connection_config(timeout).set_push_sender(on_push.clone());
        self.connect_with(&config, |builder| builder.push_sender(on_push), timeout)
            .await
    }

    async fn connect_with(
        &self,
        config: &AsyncConnectionConfig,
        of_cluster: impl FnOnce(ClusterClientBuilder) -> ClusterClientBuilder,
        timeout: Duration,
    ) -> RedisResult<RedisConnection> {
        match &self.target {
            Target::Server(client) => Ok(one(client
                .get_multiplexed_async_connection_with_config(config)
                .await?)),
            Target::Sentinels(client) => {
                // The library has no time limit of its own for asking the Sentinels.
                let mut client = client.lock().await;
                let found =
                    tokio::time::timeout(timeout.max(CONNECT_MAX), client.async_get_client());
                let client = found
                    .await
                    .map_err(|_| RedisError::from((ErrorKind::Io, "sentinels do not answer")))??;
                Ok(one(client
                    .get_multiplexed_async_connection_with_config(config)
                    .await?))
            }
            Target::Cluster(servers) => {
                let client = of_cluster(servers.client(timeout)).build()?;
                Ok(RedisConnection::Cluster(ClusterLink {
                    connection: client.get_async_connection().await?,
                    servers: servers.clone(),
                }))
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

    fn parse(url: &str) -> RedisResult<Address> {
        Address::parse(url, &Authorities::default())
    }

    #[test]
    fn each_kind_of_address_is_known_by_its_scheme() {
        let target = |url: &str| parse(url).map(|address| address.target);
        assert!(matches!(
            target("redis://user:secret@host:6380/2"),
            Ok(Target::Server(_))
        ));
        assert!(matches!(
            target("redis-sentinel://a,b:26380/main"),
            Ok(Target::Sentinels(_))
        ));
        let Ok(Target::Cluster(servers)) = target("redis-cluster://:pw@a:7000,b,[::1],[::2]:7001")
        else {
            panic!("a cluster");
        };
        assert_eq!(
            servers.urls,
            [
                "redis://a:7000",
                "redis://b:6379",
                "redis://[::1]:6379",
                "redis://[::2]:7001"
            ]
        );
        assert_eq!(
            (servers.user.as_deref(), servers.password.as_deref()),
            (None, Some("pw"))
        );
        assert!(servers.certificates.is_none());
    }

    #[test]
    fn an_address_with_tls_verifies_every_server() {
        let target = |url: &str| parse(url).map(|address| address.target);
        let Ok(Target::Server(client)) = target("rediss://user:secret@host:6380/2") else {
            panic!("a server")
        };
        let addr = client.get_connection_info().addr();
        assert!(matches!(
            addr,
            ConnectionAddr::TcpTls {
                insecure: false,
                tls_params: Some(_),
                ..
            }
        ));
        assert!(matches!(
            target("rediss-sentinel://a,b:26380/main"),
            Ok(Target::Sentinels(_))
        ));
        let Ok(Target::Cluster(servers)) = target("rediss-cluster://a:7000,b") else {
            panic!("a cluster")
        };
        assert_eq!(servers.urls, ["rediss://a:7000", "rediss://b:6379"]);
        assert!(servers.certificates.is_some());
        assert!(target("rediss://host:6380/#insecure").is_err());
    }

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (url, shown) in [
            ("redis://user:secret@host/2", "host:6379"),
            (
                "redis-sentinel://:secret@a,b:26380/main",
                "a:26379,b:26380/main",
            ),
            ("redis-cluster://:secret@a:7000,b", "a:7000,b:6379"),
        ] {
            assert_eq!(parse(url).expect(url).to_string(), shown);
        }
    }

    #[test]
    fn a_malformed_address_is_refused_without_repeating_it() {
        for url in [
            "",
            "http://x",
            "redis-sentinel://a",
            "redis-sentinel://a/",
            "redis-cluster://",
            "redis-cluster://a:x",
        ] {
            let Err(error) = parse(url) else {
                panic!("{url} is no address")
            };
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }
}
