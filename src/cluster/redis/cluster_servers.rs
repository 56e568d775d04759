//! The servers of a Redis Cluster, as an address names them.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, IntoConnectionInfo, ProtocolVersion,
    RedisConnectionInfo, RedisError, RedisResult, TlsCertificates,
};

use super::lost_slots::LostSlots;

/// Timeout of a TCP connect.
pub const CONNECT_MAX: Duration = Duration::from_secs(2);

/// Servers of a Redis Cluster to begin with, how to log in, and which slots are lost.
pub struct ClusterServers {
    pub lost: LostSlots,
    pub urls: Vec<String>,
    pub user: Option<String>,
    pub password: Option<String>,
    /// For connections with TLS.
    pub certificates: Option<TlsCertificates>,
}

impl ClusterServers {
    /// For connections to all of them.
    pub fn client(&self, timeout: Duration) -> ClusterClientBuilder {
        let mut builder = ClusterClient::builder(self.urls.iter().map(String::as_str))
            .use_protocol(ProtocolVersion::RESP3)
            .connection_timeout(timeout.min(CONNECT_MAX))
            .response_timeout(timeout)
            // Callers retry by themselves, with time limits of their own.
            .retries(1);
        if let Some(user) = &self.user {
            builder = builder.username(user.clone());
        }
        if let Some(password) = &self.password {
            builder = builder.password(password.clone());
        }
        if let Some(certificates) = &self.certificates {
            builder = builder.certs(certificates.clone());
        }
        builder
    }

    /// A connection to one server alone.
    pub async fn connect_to(
        &self,
        (host, port): (String, u16),
        timeout: Duration,
    ) -> RedisResult<MultiplexedConnection> {
        let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3);
        if let Some(user) = &self.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &self.password {
            settings = settings.set_password(password);
        }
        let info = |addr: ConnectionAddr| {
            Ok::<_, RedisError>(addr.into_connection_info()?.set_redis_settings(settings))
        };
        let client = match self.certificates.clone() {
            Some(certificates) => {
                let addr = ConnectionAddr::TcpTls {
                    host,
                    port,
                    insecure: false,
                    tls_params: None,
                };
                Client::build_with_tls(info(addr)?, certificates)?
            }
            None => Client::open(info(ConnectionAddr::Tcp(host, port))?)?,
        };
        let config = connection_config(timeout);
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }
}

/// Connects within `timeout`; each command fails after it.
pub fn connection_config(timeout: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeout.min(CONNECT_MAX)))
        .set_response_timeout(Some(timeout))
}
