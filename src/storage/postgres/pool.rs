//! Connections, kept open and lent to one call at a time.

use std::pin::pin;
use std::sync::Arc;

use diesel::result::{ConnectionError, ConnectionResult, DatabaseErrorKind, Error};
use diesel_async::pooled_connection::bb8::{Pool, PooledConnection, RunError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection};
use futures_util::FutureExt;
use tokio::sync::watch;
use tokio::time::timeout;

use super::Conn;
use super::limits::Limits;
use crate::storage::{StoreError, StoreOptions};

/// The pool. It tests a connection before it lends it: without that it would not notice that the
/// database was restarted.
#[derive(Clone)]
pub(super) struct ConnPool {
    pool: Pool<Conn>,
    /// Why the latest connection could not be made.
    refused: watch::Receiver<String>,
}

impl ConnPool {
    /// `more`: SQL that each of the `size` connections runs at first, beside the time limits.
    pub async fn build(
        url: &str,
        options: &StoreOptions,
        limits: Limits,
        size: u32,
        more: &str,
    ) -> Result<Self, StoreError> {
        let settings = format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}; {more}",
            options.statement_ms, options.wait_ms, options.statement_ms
        );
        let (refusals, refused) = watch::channel(String::new());
        let (settings, refusals) = (Arc::new(settings), Arc::new(refusals));
        let mut config = ManagerConfig::default();
        config.custom_setup = Box::new(move |url| {
            let (url, settings, refusals) = (url.to_owned(), settings.clone(), refusals.clone());
            async move {
                let silent = || ConnectionError::BadConnection("no answer in time".into());
                let made = timeout(limits.connect, connect(&url, &settings)).await.unwrap_or_else(|_| Err(silent()));
                // Heard only when the pool has noted it too, for all of this runs on one thread.
                made.inspect_err(|error| {
                    refusals.send_replace(error.to_string());
                })
            }
            .boxed()
        });
        config.recycling_method = RecyclingMethod::CustomFunction(Box::new(move |conn| {
            async move {
                let silent =
                    || Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new("silent".to_owned()));
                let round_trip = diesel::sql_query("SELECT 1").execute(conn);
                timeout(limits.check, round_trip).await.unwrap_or_else(|_| Err(silent())).map(|_| ())
            }
            .boxed()
        }));
        let pool = Pool::builder()
            .max_size(size)
            .connection_timeout(limits.connect)
            // Each call that finds no connection tries to make one, and hears at once that it cannot.
            .retry_connection(false)
            .build(AsyncDieselConnectionManager::new_with_config(url, config))
            .await
            .map_err(|error| StoreError::Unavailable(format!("no connection: {error}")))?;
        Ok(Self { pool, refused })
    }

    /// A connection to use alone. Waits for one while others use all there may be; while there are none
    /// because the database refuses us, says so as soon as it did.
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
                        return Err(StoreError::Unavailable(format!("no connection: {error}")));
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

async fn connect(url: &str, settings: &str) -> ConnectionResult<Conn> {
    let mut conn = AsyncPgConnection::establish(url).await?;
    conn.batch_execute(settings).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(conn)
}
