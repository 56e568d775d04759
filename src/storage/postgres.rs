//! The store to grow into: PostgreSQL, for several nodes on one set of books.

mod batch;
mod tasks;

#[expect(clippy::duplicate_mod, reason = "the same source for each database is the point of it")]
#[path = "queries/mod.rs"]
mod queries;

use std::time::Duration;

use diesel::connection::{Connection, SimpleConnection};
use diesel::prelude::*;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::pooled_connection::bb8::{Pool, RunError};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig};
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, SimpleAsyncConnection, TransactionManager};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::oneshot;

use self::batch::commit_batch;
use self::tasks::Tasks;
use super::error::migration_error;
use super::schema::users;
use super::{StoreError, StoreOptions, Stored};
use crate::domain::UserId;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgresql");

/// A transaction with an id of its own writes its commit to the log, and waits for the disk.
const WRITE_NOTHING_NEW: &str = "SELECT pg_current_xact_id()";

/// The advisory lock under which migrations run: "liveroom" in ASCII.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"liveroom");

/// How long to wait for another node's migrations, and for one of our own statements in them.
const MIGRATION_MS: u32 = 60_000;

/// An audit reads everything; it must not hold back the removal of old row versions for ever.
const AUDIT_MS: u32 = 600_000;

type Backend = PostgresStore;
type Conn = AsyncPgConnection;

/// How a query uses its connection.
#[derive(Clone, Copy)]
enum Access {
    /// One statement, or statements that need not agree.
    Read,
    /// A transaction that reads the books as they were at its start.
    Snapshot,
    /// A transaction. READ COMMITTED: a statement after a lock sees what the lock waited for.
    Write,
}

impl Access {
    fn begin(self) -> Option<String> {
        match self {
            Self::Read => None,
            Self::Snapshot => Some(format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {AUDIT_MS}"
            )),
            Self::Write => Some("BEGIN".into()),
        }
    }
}

/// A store in a PostgreSQL database.
pub struct PostgresStore {
    pool: Pool<Conn>,
    tasks: Tasks,
}

impl PostgresStore {
    /// Connects, without TLS, and runs the migrations the database lacks. Of several nodes that
    /// start at once, one does and the others wait.
    pub async fn connect(url: &str, options: StoreOptions) -> Result<Self, StoreError> {
        let (migrated_tx, migrated) = oneshot::channel();
        let migrate_url = url.to_owned();
        // A thread of its own, because migrations block, and bring a runtime along to block on.
        std::thread::Builder::new()
            .name("store-migrate".into())
            .spawn(move || {
                // Nobody left to tell: then nobody wants the store either.
                let _ = migrated_tx.send(migrate(&migrate_url));
            })
            .map_err(|error| StoreError::Unavailable(format!("no thread: {error}")))?;
        migrated.await.map_err(|_| StoreError::Fault("migrating the store panicked".into()))??;

        let tasks = Tasks::start(options.queue_max)?;
        let url = url.to_owned();
        let pool = tasks.run(async move { make_pool(url, &options).await }).await?;
        Ok(Self { pool, tasks })
    }

    fn perform<T, F>(&self, access: Access, query: F) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let pool = self.pool.clone();
        self.tasks.run(async move {
            let mut conn = pool.get().await.map_err(no_connection)?;
            perform(&mut conn, access, query).await
        })
    }

    fn read<T, F>(&self, query: F) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.perform(Access::Read, query)
    }

    fn snapshot<T, F>(&self, query: F) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.perform(Access::Snapshot, query)
    }

    fn write<T, F>(&self, query: F) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.perform(Access::Write, query)
    }

    /// A write that everybody else's writes make way for. The pool serves in order, so here it only
    /// waits its turn.
    fn write_first<T, F>(&self, query: F) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.write(query)
    }
}

fn no_connection(error: RunError) -> StoreError {
    StoreError::Unavailable(format!("no connection: {error}"))
}

/// The pool tests a connection before it lends it: without that it would not notice that the
/// database was restarted.
async fn make_pool(url: String, options: &StoreOptions) -> Result<Pool<Conn>, StoreError> {
    let settings = format!(
        "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}",
        options.statement_ms, options.wait_ms, options.statement_ms
    );
    let mut config = ManagerConfig::default();
    config.custom_setup = Box::new(move |url| {
        let (url, settings) = (url.to_owned(), settings.clone());
        async move {
            let mut conn = AsyncPgConnection::establish(&url).await?;
            conn.batch_execute(&settings).await.map_err(diesel::ConnectionError::CouldntSetupConfiguration)?;
            Ok(conn)
        }
        .boxed()
    });
    Pool::builder()
        .max_size(options.connections_max.max(1))
        .connection_timeout(Duration::from_millis(options.wait_ms.into()))
        .build(AsyncDieselConnectionManager::new_with_config(url, config))
        .await
        .map_err(|error| StoreError::Unavailable(format!("no connection: {error}")))
}

fn migrate(url: &str) -> Result<(), StoreError> {
    let mut conn = <AsyncConnectionWrapper<AsyncPgConnection> as Connection>::establish(url)?;
    // The lock is the session's: it ends with the connection, however that ends.
    let lock = format!(
        "SET lock_timeout = {MIGRATION_MS}; SET statement_timeout = {MIGRATION_MS}; \
         SELECT pg_advisory_lock({MIGRATION_LOCK})"
    );
    SimpleConnection::batch_execute(&mut conn, &lock)?;
    conn.run_pending_migrations(MIGRATIONS).map_err(|error| migration_error(&*error))?;
    Ok(())
}

async fn perform<T, F>(conn: &mut Conn, access: Access, query: F) -> Result<T, StoreError>
where
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>>,
{
    type Transaction = <Conn as AsyncConnection>::TransactionManager;

    let Some(begin) = access.begin() else { return query(conn).await };
    Transaction::begin_transaction_sql(conn, &begin).await?;
    match query(conn).await {
        Ok(value) => {
            Transaction::commit_transaction(conn).await?;
            Ok(value)
        }
        Err(error) => {
            // The first error is the one to tell. If this one fails too, the connection counts as
            // broken and the pool drops it.
            let _ = Transaction::rollback_transaction(conn).await;
            Err(error)
        }
    }
}

/// The balance of a user, which nobody else changes before this transaction ends.
async fn lock_user_coin(conn: &mut Conn, user: UserId) -> Result<Option<i64>, StoreError> {
    Ok(users::table.find(user.get()).select(users::coin).for_no_key_update().get_result(conn).await.optional()?)
}
