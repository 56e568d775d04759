//! Connections, kept open and lent to one call at a time.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use diesel::QueryResult;
use diesel::result::{ConnectionError, DatabaseErrorKind, Error};
use diesel_async::SimpleAsyncConnection;
use diesel_async::pooled_connection::bb8::{Pool, PooledConnection, RunError};
use diesel_async::pooled_connection::{
    AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
};
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Conn;
use super::connect::{ConnectError, Connector, is_read_only};
use super::limits::Limits;
use crate::storage::{StoreError, StoreOptions};

/// The purpose of the connections of a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PoolPurpose {
    /// Batches: a connection that cannot write is useless.
    Commits,
    /// All other calls. Without a server that takes writes, reads continue.
    Requests,
}

/// The pool. It tests a connection before it lends it: without that it would not notice that the
/// database was restarted, or that a connection takes no writes any more.
#[derive(Clone)]
pub(super) struct ConnPool {
    pool: Pool<Conn>,
    /// Why the latest connection could not be made.
    refused: watch::Receiver<String>,
}

impl ConnPool {
    /// Each connection of `size` gets the statements of `more` beside the time limits.
    /// `is_writable` is shared by the pools of one database: whether a new connection to it takes
    /// writes.
    pub async fn build(
        connector: &Connector,
        options: &StoreOptions,
        limits: Limits,
        (purpose, size): (PoolPurpose, u32),
        is_writable: Arc<AtomicBool>,
        more: &str,
    ) -> Result<Self, StoreError> {
        let settings = format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; {more}",
            options.statement_ms, options.wait_ms, options.statement_ms
        );
        let (refusals, refused) = watch::channel(String::new());
        let maker = Arc::new(Maker {
            connector: connector.clone(),
            limits,
            purpose,
            settings,
            is_writable,
        });
        let (checker, refusals) = (maker.clone(), Arc::new(refusals));
        let mut config = ManagerConfig::default();
        config.custom_setup = Box::new(move |_| {
            let (maker, refusals) = (maker.clone(), refusals.clone());
            async move {
                // Seen only when the pool has noticed it too, for all of this runs on one thread.
                maker.make().await.map_err(|error| {
                    refusals.send_replace(error.to_string());
                    ConnectionError::BadConnection(error.to_string())
                })
            }
            .boxed()
        });
        config.recycling_method = RecyclingMethod::CustomFunction(Box::new(move |conn| {
            let checker = checker.clone();
            async move { checker.check(conn).await }.boxed()
        }));
        let pool = Pool::builder()
            .max_size(size)
            .connection_timeout(limits.connect)
            // Each call that finds no connection tries to make one, and fails at once if it cannot.
            .retry_connection(false)
            .build(AsyncDieselConnectionManager::new_with_config("", config))
            .await
            .map_err(|error| StoreError::Unavailable(format!("no connection: {error}")))?;
        Ok(Self { pool, refused })
    }

    /// A connection to use alone. Waits for one while others use all there may be; while there are
    /// none because the database refuses us, says so as soon as it did.
    pub async fn get(&self) -> Result<PooledConnection<'_, Conn>, StoreError> {
        let mut refused = self.refused.clone();
        refused.mark_unchanged();
        let mut lent = pin!(self.pool.get());
        loop {
            tokio::select! {
                conn = &mut lent => return conn.map_err(no_connection),
                Ok(()) = refused.changed() => {
                    if self.pool.state().connections == 0 {
                        let error = refused.borrow_and_update().clone();
                        return Err(StoreError::Unavailable(error));
                    }
                }
            }
        }
    }
}

fn no_connection(error: RunError) -> StoreError {
    StoreError::Unavailable(match error {
        RunError::User(error) => format!("no connection: {error}"),
        RunError::TimedOut => "no connection: none was free or answered in time".into(),
    })
}

/// Makes and checks the connections of one pool.
struct Maker {
    connector: Connector,
    limits: Limits,
    purpose: PoolPurpose,
    /// Statements for each new connection.
    settings: String,
    is_writable: Arc<AtomicBool>,
}

impl Maker {
    async fn make(&self) -> Result<Conn, ConnectError> {
        let (connector, limit) = (&self.connector, self.limits.connect);
        let mut conn = connector.connect(limit).await?;
        let prepared = timeout(limit, async {
            conn.batch_execute(&self.settings).await?;
            is_read_only(&mut conn).await
        });
        let is_read_only = match prepared.await {
            Ok(result) => result.map_err(|error| connector.error(&error.to_string(), false))?,
            Err(_) => return Err(connector.error("no answer in time", false)),
        };
        self.is_writable.store(!is_read_only, Ordering::Relaxed);
        if is_read_only && self.purpose == PoolPurpose::Commits {
            return Err(connector.error("the database is read-only", false));
        }
        Ok(conn)
    }

    /// `Err`: the connection is to be closed. A read-only one is kept for reads while a new one
    /// would be no better.
    async fn check(&self, conn: &mut Conn) -> QueryResult<()> {
        let silent = || {
            Error::DatabaseError(
                DatabaseErrorKind::ClosedConnection,
                Box::new("silent".to_owned()),
            )
        };
        let is_read_only = timeout(self.limits.check, is_read_only(conn))
            .await
            .unwrap_or_else(|_| Err(silent()))?;
        if !is_read_only {
            self.is_writable.store(true, Ordering::Relaxed);
        } else if self.purpose == PoolPurpose::Commits || self.is_writable.load(Ordering::Relaxed) {
            let message = Box::new("the connection is read-only".to_owned());
            return Err(Error::DatabaseError(
                DatabaseErrorKind::ReadOnlyTransaction,
                message,
            ));
        }
        Ok(())
    }
}
