//! The store to grow into: PostgreSQL, for several nodes on one set of books.
//!
//! A database that lives ends by itself what takes too long ([`StoreOptions`]). One that stands
//! still or is cut off does not even say that, and its connections look well; so each call has a
//! time limit on this side too ([`limits`]).

mod audit_seals;
mod batch;
mod changes;
mod connect;
mod holds;
mod limits;
mod node_numbers;
mod pool;
mod statement;
mod tasks;

#[expect(
    clippy::duplicate_mod,
    reason = "the same source for each database is the point of it"
)]
#[path = "queries/mod.rs"]
mod queries;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncConnection, AsyncPgConnection, RunQueryDsl, TransactionManager};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use self::batch::{commit_batch, commit_skip_locked};
use self::connect::Connector;
use self::holds::insert_shown;
use self::limits::Limits;
use self::pool::{ConnPool, PoolPurpose};
use self::statement::Statement;
use self::tasks::Tasks;
use super::error::{is_lock_timeout, migration_error};
use super::row_locks::Attempt;
use super::schema::{gifts, held_comments, lives, users};
use super::{StoreError, StoreOptions, Stored, Write};
use crate::domain::{GiftId, LiveId, Timestamp, UserId};
use crate::tls::Authorities;

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgresql");

/// A transaction with an id of its own writes its commit to the log, and waits for the disk. A
/// read-only database gives such ids too; it refuses the update.
const WRITE_NOTHING_NEW: &str =
    "WITH unchanged AS (UPDATE users SET id = id WHERE false) SELECT pg_current_xact_id()";

/// What names are searched and ordered by, as the index `users_by_name` has it: by bytes, whatever
/// the collation of the database is.
const NAME_ORDER: &str = "lower(users.username) COLLATE \"C\"";

/// Rows are locked one by one.
const CONCURRENT_COMMITS: bool = true;

/// The advisory lock under which migrations run: "liveroom" in ASCII.
const MIGRATION_LOCK: i64 = i64::from_be_bytes(*b"liveroom");

/// How long to wait for another node's migrations, and for one of our own statements in them.
const MIGRATION_MS: u32 = 60_000;

/// An audit reads everything; it must not hold back the removal of old row versions for ever.
const AUDIT_MS: u32 = 600_000;

/// Connections that commit batches and do nothing else: one for each of two lanes of writes, and
/// one for blocked writes. So other work, an audit for instance, does not delay a commit.
const COMMITS_AT_ONCE: u32 = 3;

/// How long a batch waits for locked rows before it goes on without them. Other nodes lock rows for
/// the time of a commit; only a transaction that takes far longer is not waited for.
const BRIEFLY_MS: u32 = 200;

/// Every statement of a batch finds rows by their keys, in tables of any size. Planned once, and by
/// index: statistics from before the first gifts would have it read whole tables.
const BY_KEY: &str = "SET plan_cache_mode = force_generic_plan; SET jit = off; SET enable_seqscan = off; \
                      SET enable_hashjoin = off; SET enable_mergejoin = off";

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
    /// The same, that does not wait for locks beyond [`BRIEFLY_MS`].
    Brief,
}

impl Access {
    fn begin(self) -> Option<String> {
        match self {
            Self::Read => None,
            Self::Snapshot => Some(format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = {AUDIT_MS}"
            )),
            Self::Write => Some("BEGIN".into()),
            Self::Brief => Some(format!("BEGIN; SET LOCAL lock_timeout = {BRIEFLY_MS}")),
        }
    }
}

/// A store in a PostgreSQL database.
pub struct PostgresStore {
    pool: ConnPool,
    /// For batches alone.
    commits: ConnPool,
    /// For the change feed alone: news must not wait for whatever else is asked.
    feed: ConnPool,
    tasks: Tasks,
    limits: Limits,
}

impl PostgresStore {
    /// Whether this is an address of a database. `Err`: what is expected instead, without the
    /// address.
    pub fn check_url(url: &str) -> Result<(), String> {
        match Connector::parse(url, &Authorities::default()) {
            Ok(_) => Ok(()),
            Err(StoreError::Fault(fault) | StoreError::Unavailable(fault)) => {
                Err(format!("an address of a PostgreSQL ({fault})"))
            }
        }
    }

    /// Whether connections to this address use TLS.
    pub(super) fn is_encrypted(url: &str) -> bool {
        Connector::parse(url, &Authorities::default())
            .is_ok_and(|connector| connector.is_encrypted())
    }

    /// Connects and runs the migrations the database lacks. Of several nodes that
    /// start at once, one does and the others wait.
    pub async fn connect(url: &str, options: StoreOptions) -> Result<Self, StoreError> {
        let authorities = Authorities::read(&options.ca_file).map_err(StoreError::Fault)?;
        let (connector, limits) = (Connector::parse(url, &authorities)?, Limits::of(&options));
        let tasks = Tasks::start(options.queue_max)?;
        let make_pools = async move {
            let conn = connector.connect(limits.connect).await?;
            // Migrations block.
            let migrated = spawn_blocking(move || migrate(conn)).await;
            migrated.map_err(|_| StoreError::Fault("migrating the store panicked".into()))??;

            let is_writable = Arc::new(AtomicBool::new(true));
            let build = |kind, more| {
                ConnPool::build(
                    &connector,
                    &options,
                    limits,
                    kind,
                    is_writable.clone(),
                    more,
                )
            };
            let commits = build((PoolPurpose::Commits, COMMITS_AT_ONCE), BY_KEY).await?;
            let pool = build((PoolPurpose::Requests, options.connections_max.max(1)), "").await?;
            let feed = build((PoolPurpose::Requests, 1), "").await?;
            Ok((pool, commits, feed))
        };
        let (pool, commits, feed) = tasks.run(make_pools).await?;
        let store = Self {
            pool,
            commits,
            feed,
            tasks,
            limits,
        };
        store.fill_skeletons().await?;
        Ok(store)
    }

    fn perform<T, F>(&self, access: Access, query: F) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.perform_in(&self.pool, access, query)
    }

    fn perform_in<T, F>(&self, pool: &ConnPool, access: Access, query: F) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (pool, limits) = (pool.clone(), self.limits);
        self.tasks.run(async move {
            let mut conn = pool.get().await?;
            perform_within(limits, &mut conn, access, query).await
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

    /// Has connections of its own: everybody else's writes make way for it.
    fn commit_batch_skip_locked(&self, batch: Vec<Write>) -> Stored<'static, Vec<Attempt>> {
        let (pool, limits) = (self.commits.clone(), self.limits);
        self.tasks.run(async move {
            let mut conn = pool.get().await?;
            let whole = batch.clone();
            let done = perform_within(limits, &mut conn, Access::Brief, |conn| {
                commit_batch(conn, whole).boxed()
            })
            .await;
            match done {
                Err(error) if is_lock_timeout(&error) => {
                    perform_within(limits, &mut conn, Access::Write, |conn| {
                        commit_skip_locked(conn, batch).boxed()
                    })
                    .await
                }
                outcomes => Ok(outcomes?.into_iter().map(Attempt::Done).collect()),
            }
        })
    }
}

fn migrate(conn: Conn) -> Result<(), StoreError> {
    let mut conn = AsyncConnectionWrapper::<Conn>::from(conn);
    // The lock is the session's: it ends with the connection, however that ends.
    let lock = format!(
        "SET lock_timeout = {MIGRATION_MS}; SET statement_timeout = {MIGRATION_MS}; \
         SELECT pg_advisory_lock({MIGRATION_LOCK})"
    );
    SimpleConnection::batch_execute(&mut conn, &lock)?;
    conn.run_pending_migrations(MIGRATIONS)
        .map_err(|error| migration_error(&*error))?;
    Ok(())
}

/// Performs a call that fails when the database is silent for too long. A connection that turned
/// out useless is not lent again.
async fn perform_within<T, F>(
    limits: Limits,
    conn: &mut Conn,
    access: Access,
    query: F,
) -> Result<T, StoreError>
where
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>>,
{
    let limit = limits.call(access);
    let result = match timeout(limit, perform(conn, access, query)).await {
        Ok(result) => result,
        // The statements that were sent may still run, and their answers may still come, perhaps in
        // the middle of a transaction.
        Err(_) => Err(StoreError::Unavailable(format!(
            "no answer for {} s",
            limit.as_secs()
        ))),
    };
    // The server is going down, became a standby or full, or a pooler put another one behind the
    // connection: a new one may reach a server that works. A lock that somebody holds says nothing
    // about the connection.
    if let Err(error @ StoreError::Unavailable(_)) = &result
        && !is_lock_timeout(error)
    {
        <Conn as AsyncConnection>::TransactionManager::transaction_manager_status_mut(conn)
            .set_in_error();
    }
    result
}

async fn perform<T, F>(conn: &mut Conn, access: Access, query: F) -> Result<T, StoreError>
where
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>>,
{
    type Transaction = <Conn as AsyncConnection>::TransactionManager;

    let Some(begin) = access.begin() else {
        return query(conn).await;
    };
    Transaction::begin_transaction_sql(conn, &begin).await?;
    match query(conn).await {
        Ok(value) => {
            Transaction::commit_transaction(conn).await?;
            Ok(value)
        }
        Err(error) => {
            // The first error is the one to report. If this one fails too, the connection counts as
            // broken and the pool drops it.
            let _ = Transaction::rollback_transaction(conn).await;
            Err(error)
        }
    }
}

/// The balance of a user, which nobody else changes before this transaction ends.
async fn lock_user_coin(conn: &mut Conn, user: UserId) -> Result<Option<i64>, StoreError> {
    Ok(users::table
        .find(user.get())
        .select(users::coin)
        .for_no_key_update()
        .get_result(conn)
        .await
        .optional()?)
}

/// The status of a live, which nobody else changes before this transaction ends.
async fn lock_live_status(conn: &mut Conn, live_id: LiveId) -> Result<Option<i16>, StoreError> {
    Ok(lives::table
        .find(live_id.get())
        .select(lives::status)
        .for_no_key_update()
        .get_result(conn)
        .await
        .optional()?)
}

/// Those of these held comments of a live that wait, and that no other transaction is deciding; none begins to
/// before this one ends.
async fn lock_waiting(
    conn: &mut Conn,
    live_id: LiveId,
    ids: Vec<i64>,
) -> Result<Vec<i64>, StoreError> {
    Ok(held_comments::table
        .filter(held_comments::comment_id.eq_any(ids))
        .filter(held_comments::live_id.eq(live_id.get()))
        .filter(held_comments::state.eq("waiting"))
        .order(held_comments::comment_id)
        .select(held_comments::comment_id)
        .for_update()
        .skip_locked()
        .load(conn)
        .await?)
}

/// Nobody else changes the gift before this transaction ends. Gifts are given meanwhile.
async fn lock_gift(conn: &mut Conn, gift: GiftId) -> Result<(), StoreError> {
    let _: Option<i64> = gifts::table
        .find(gift.get())
        .select(gifts::id)
        .for_no_key_update()
        .get_result(conn)
        .await
        .optional()?;
    Ok(())
}

/// The status of an account, which nobody else changes before this transaction ends.
async fn lock_user_status(conn: &mut Conn, user: UserId) -> Result<Option<i16>, StoreError> {
    Ok(users::table
        .find(user.get())
        .select(users::status)
        .for_no_key_update()
        .get_result(conn)
        .await
        .optional()?)
}

/// The store's time, which is the same for all nodes.
async fn time(conn: &mut Conn) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT CAST(floor(extract(epoch FROM clock_timestamp()) * 1000) AS BIGINT)";
    let ms: Vec<i64> = Statement::<BigInt>::new(sql, Vec::new()).load(conn).await?;
    Ok(ms.into_iter().next().map(Timestamp))
}
