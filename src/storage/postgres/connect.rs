//! Opening a connection to PostgreSQL, and the reason when there is none.

use std::error::Error;
use std::fmt::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use diesel::sql_types::Text;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use tokio::time::timeout;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Conn;
use crate::storage::StoreError;
use crate::tls::Authorities;

/// The address of a database, parsed once.
#[derive(Clone)]
pub(super) struct Connector {
    config: Arc<Config>,
    /// Hosts, ports and database, for messages: without user and password.
    address: Arc<str>,
    /// For connections with TLS.
    tls: Option<MakeRustlsConnect>,
}

/// There is no connection.
#[derive(Debug)]
pub(super) struct ConnectError {
    message: String,
    /// Whether trying again is useless: the password is wrong, or there is no such database.
    is_final: bool,
}

impl fmt::Display for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ConnectError> for StoreError {
    fn from(error: ConnectError) -> Self {
        if error.is_final {
            Self::Fault(error.message)
        } else {
            Self::Unavailable(error.message)
        }
    }
}

impl Connector {
    /// Reads a URL as PostgreSQL knows them; of the modes of TLS, only the one that verifies all.
    /// Of several hosts the one that takes writes is used.
    pub fn parse(url: &str, authorities: &Authorities) -> Result<Self, StoreError> {
        let (url, mode) = take_ssl_mode(url);
        // The library names the part that is wrong, and not its value.
        let mut config: Config = url
            .parse()
            .map_err(|error| StoreError::Fault(with_causes(&error)))?;
        let tls = match mode {
            // As before there was TLS, `prefer`, which is also PostgreSQL's default, means none.
            None | Some("disable" | "prefer") => {
                config.ssl_mode(SslMode::Disable);
                None
            }
            Some("verify-full") => {
                config.ssl_mode(SslMode::Require);
                Some(MakeRustlsConnect::new(
                    authorities.client_config().map_err(StoreError::Fault)?,
                ))
            }
            Some(_) => {
                return Err(StoreError::Fault(
                    "sslmode is neither disable nor verify-full".to_owned(),
                ));
            }
        };
        if config.get_hosts().len() > 1 {
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        let address = address_of(&config).into();
        Ok(Self {
            config: Arc::new(config),
            address,
            tls,
        })
    }

    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// Connects within `limit`, the exchange of passwords included.
    pub async fn connect(&self, limit: Duration) -> Result<Conn, ConnectError> {
        match timeout(limit, self.establish()).await {
            Ok(result) => result,
            Err(_) => Err(self.error(&format!("no answer for {} s", limit.as_secs_f32()), false)),
        }
    }

    async fn establish(&self) -> Result<Conn, ConnectError> {
        let refused = |error: tokio_postgres::Error| {
            let is_final = error.code().is_some_and(|code| {
                let never = [
                    SqlState::INVALID_PASSWORD,
                    SqlState::INVALID_AUTHORIZATION_SPECIFICATION,
                    SqlState::INVALID_CATALOG_NAME,
                ];
                never.contains(code)
            });
            self.error(&with_causes(&error), is_final)
        };
        let conn = match &self.tls {
            Some(tls) => {
                let (client, connection) =
                    self.config.connect(tls.clone()).await.map_err(refused)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
            None => {
                let (client, connection) = self.config.connect(NoTls).await.map_err(refused)?;
                AsyncPgConnection::try_from_client_and_connection(client, connection).await
            }
        };
        conn.map_err(|error| self.error(&error.to_string(), false))
    }

    /// An error that names the address.
    pub fn error(&self, cause: &str, is_final: bool) -> ConnectError {
        ConnectError {
            message: format!("no connection to {}: {cause}", self.address),
            is_final,
        }
    }
}

diesel::define_sql_function! {
    fn current_setting(name: Text) -> Text;
}

/// Whether a transaction that begins now could write. Not on a standby, nor where the server, the
/// database or the role is set to `default_transaction_read_only`.
pub(super) async fn is_read_only(conn: &mut Conn) -> diesel::QueryResult<bool> {
    let setting: String = diesel::select(current_setting("transaction_read_only"))
        .get_result(conn)
        .await?;
    Ok(setting == "on")
}

/// Takes `sslmode` out of the parameters, because the library knows no mode that verifies
/// certificates.
fn take_ssl_mode(url: &str) -> (String, Option<&str>) {
    // A password may hold any character.
    let host_at = url.find('@').unwrap_or(0);
    let Some((address, query)) = url[host_at..].split_once('?') else {
        return (url.to_owned(), None);
    };
    let address = &url[..host_at + address.len()];
    let mode = query
        .split('&')
        .rev()
        .find_map(|parameter| parameter.strip_prefix("sslmode="));
    let others: Vec<_> = query
        .split('&')
        .filter(|parameter| !parameter.starts_with("sslmode="))
        .collect();
    let url = if others.is_empty() {
        address.to_owned()
    } else {
        format!("{address}?{}", others.join("&"))
    };
    (url, mode)
}

fn address_of(config: &Config) -> String {
    let mut address = String::new();
    for (index, host) in config.get_hosts().iter().enumerate() {
        let port = config
            .get_ports()
            .get(index)
            .or(config.get_ports().first())
            .copied()
            .unwrap_or(5432);
        let comma = if index == 0 { "" } else { "," };
        let written = match host {
            Host::Tcp(name) => write!(address, "{comma}{name}:{port}"),
            Host::Unix(path) => write!(address, "{comma}{}:{port}", path.display()),
        };
        written.expect("a String takes all text");
    }
    if let Some(database) = config.get_dbname() {
        address.push('/');
        address.push_str(database);
    }
    address
}

/// An error and what it came from: the library's own words leave out whether a connection was
/// refused or a password was wrong.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Result<Connector, StoreError> {
        Connector::parse(url, &Authorities::default())
    }

    #[test]
    fn tls_is_used_if_and_only_if_it_verifies_everything() {
        for (query, encrypted) in [
            ("", false),
            ("?sslmode=disable", false),
            ("?sslmode=prefer&connect_timeout=2", false),
            ("?sslmode=verify-full", true),
            (
                "?connect_timeout=2&sslmode=verify-full&application_name=live",
                true,
            ),
        ] {
            let connector = parse(&format!("postgres://live:a?b@db/live{query}")).expect(query);
            assert_eq!(connector.is_encrypted(), encrypted, "{query}");
            assert_eq!(connector.address.as_ref(), "db:5432/live");
        }
        for mode in ["allow", "require", "verify-ca", "verify_full", ""] {
            let refused = parse(&format!("postgres://db/live?sslmode={mode}"));
            assert!(
                matches!(refused, Err(StoreError::Fault(_))),
                "{mode} would not verify the host"
            );
        }
    }

    #[test]
    fn messages_name_the_address_without_user_and_password() {
        let url = "postgres://live:hunter2@db1.example,db2.example:6432/live?password=hunter3";
        let connector = parse(&url.replace("db1.example", "db1.example:5433")).expect("an address");
        let error = connector.error("timeout", false).to_string();
        assert_eq!(
            error,
            "no connection to db1.example:5433,db2.example:6432/live: timeout"
        );
    }

    #[test]
    fn a_url_that_is_none_is_refused_without_repeating_its_password() {
        for (rest, named) in [
            ("db:99999/live", "port"),
            ("db/live?sslmode=hunter2", "sslmode"),
            ("db/live?pool=9", "pool"),
        ] {
            let url = format!("postgres://live:hunter2@{rest}");
            let Err(StoreError::Fault(message)) = parse(&url) else {
                panic!("{url} is no address")
            };
            assert!(
                message.contains(named) && !message.contains("hunter2"),
                "{message}"
            );
        }
    }
}
