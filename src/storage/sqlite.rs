//! The embedded store: one SQLite file.
//!
//! SQLite has one writer at a time, whatever one does; several writing connections only make it
//! wait and starve. So one thread owns the one connection that writes, and a few more threads own
//! one reading connection each, which in WAL mode no writer delays.

mod audit_seals;
mod backup;
mod batch;
mod holds;
mod worker;

#[expect(
    clippy::duplicate_mod,
    reason = "the same source for each database is the point of it"
)]
#[path = "queries/mod.rs"]
mod queries;

use std::fs::{self, DirBuilder, OpenOptions};
use std::future::ready;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use diesel::connection::{AnsiTransactionManager, SimpleConnection};
use diesel::prelude::*;
use diesel_async::sync_connection_wrapper::{SpawnBlocking, SyncConnectionWrapper};
use diesel_async::{AsyncConnection, RunQueryDsl, TransactionManager};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use log::warn;
use tokio::sync::oneshot;

pub use self::backup::backup;
use self::batch::commit_batch;
use self::holds::insert_shown;
use self::worker::{JobPriority, Worker};
use super::error::migration_error;
use super::row_locks::Attempt;
use super::schema::{held_comments, lives, users};
use super::{FeedPage, FeedPosition, StoreError, StoreOptions, Stored, Write};
use crate::domain::{GiftId, LiveId, Timestamp, UserId};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");

/// Writes a page of the file without changing anything that anybody reads.
const WRITE_NOTHING_NEW: &str = "PRAGMA user_version = 0";

/// What names are searched and ordered by, as the index `users_by_name` has it.
const NAME_ORDER: &str = "lower(users.username)";

/// One writer at a time.
const CONCURRENT_COMMITS: bool = false;

/// How long to wait before the file is tried again while another process converts it to WAL.
const OPEN_RETRY: Duration = Duration::from_millis(20);

type Backend = SqliteStore;
type Conn = SyncConnectionWrapper<SqliteConnection, InPlace>;

/// Runs SQLite on the calling thread: a [`Worker`]'s, which is there to be blocked.
struct InPlace;

impl SpawnBlocking for InPlace {
    fn spawn_blocking<'a, R>(
        &mut self,
        task: impl FnOnce() -> R + Send + 'static,
    ) -> BoxFuture<'a, Result<R, Box<dyn std::error::Error + Send + Sync + 'static>>>
    where
        R: Send + 'static,
    {
        ready(Ok(task())).boxed()
    }

    fn get_runtime() -> Self {
        Self
    }
}

/// How a query uses its connection.
#[derive(Clone, Copy)]
enum Access {
    /// One statement, or statements that need not agree.
    Read,
    /// A transaction that reads the books as they were at its start.
    Snapshot,
    /// A transaction that holds the write lock from its start, so that it never has to give up
    /// half way.
    Write,
}

impl Access {
    const fn begin(self) -> Option<&'static str> {
        match self {
            Self::Read => None,
            Self::Snapshot => Some("BEGIN"),
            Self::Write => Some("BEGIN IMMEDIATE"),
        }
    }
}

/// A store in one file on this machine.
pub struct SqliteStore {
    // Dropped before the writer, so that the last to close the file is the one that may write to it
    // and folds the WAL in.
    readers: Worker,
    writer: Worker,
}

impl SqliteStore {
    /// Opens or creates the file, and its folder, and runs the migrations it lacks. Another process
    /// may have it open: its transactions are waited for. What it creates only the owner may read.
    pub async fn open(path: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let (opened_tx, opened) = oneshot::channel();
        let path = path.to_owned();
        std::thread::Builder::new()
            .name("store-open".into())
            .spawn(move || {
                // A receiver that is gone does not need the store either.
                let _ = opened_tx.send(Self::open_blocking(&path, &options));
            })
            .map_err(|error| StoreError::Unavailable(format!("no thread: {error}")))?;
        let store = opened
            .await
            .map_err(|_| StoreError::Fault("opening the store panicked".into()))??;
        store.fill_skeletons().await?;
        Ok(store)
    }

    fn open_blocking(path: &Path, options: &StoreOptions) -> Result<Self, StoreError> {
        create_private(path)?;
        let url = file_url(path)?;
        let wait_ms = options.wait_ms;
        migrate(&url, wait_ms)?;

        let writer_url = url.clone();
        let writer = Worker::start("store-writer", 1, options.queue_max, move || {
            connect(&writer_url, wait_ms, false)
        })?;
        let readers_count = options.connections_max.max(1);
        let readers = Worker::start(
            "store-reader",
            readers_count,
            options.queue_max,
            move || connect(&url, wait_ms, true),
        )?;
        Ok(Self { readers, writer })
    }

    fn read<T, F>(&self, query: F) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.readers.run(JobPriority::InOrder, Access::Read, query)
    }

    fn snapshot<T, F>(&self, query: F) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.readers
            .run(JobPriority::InOrder, Access::Snapshot, query)
    }

    fn write<T, F>(&self, query: F) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.writer.run(JobPriority::InOrder, Access::Write, query)
    }

    /// A write that everybody else's writes make way for.
    fn write_first<T, F>(&self, query: F) -> Stored<'static, T>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        self.writer.run(JobPriority::First, Access::Write, query)
    }

    fn read_changes(&self, _since: Option<FeedPosition>) -> Stored<'static, Option<FeedPage>> {
        ready(Ok(None)).boxed()
    }

    fn take_number(&self, _holder: String) -> Stored<'static, Option<i64>> {
        ready(Ok(None)).boxed()
    }

    fn keep_number(&self, _number: i64, _holder: String) -> Stored<'static, bool> {
        ready(Ok(true)).boxed()
    }

    fn delete_old_changes(&self) -> Stored<'static, ()> {
        ready(Ok(())).boxed()
    }

    /// SQLite has no row locks: a writer locks the whole file.
    fn commit_batch_skip_locked(&self, batch: Vec<Write>) -> Stored<'static, Vec<Attempt>> {
        let outcomes = self.write_first(move |conn| commit_batch(conn, batch).boxed());
        async move { Ok(outcomes.await?.into_iter().map(Attempt::Done).collect()) }.boxed()
    }
}

/// diesel takes a text; a leading `./` keeps a name such as `file:x` a name.
fn file_url(path: &Path) -> Result<String, StoreError> {
    let path = if path.is_absolute() {
        path.to_owned()
    } else {
        PathBuf::from(".").join(path)
    };
    path.into_os_string()
        .into_string()
        .map_err(|_| StoreError::Fault("the path of the database is not UTF-8".into()))
}

/// Converts a new file to WAL and runs the migrations, each process in its turn.
fn migrate(url: &str, wait_ms: u32) -> Result<(), StoreError> {
    let mut conn = establish(url, wait_ms)?;
    conn.immediate_transaction(|conn| {
        conn.run_pending_migrations(MIGRATIONS)
            .map_err(|error| migration_error(&*error))?;
        Ok(())
    })
}

/// A connection with our settings. The conversion to WAL fails at once, without waiting, while
/// another process does it; so it is tried again.
fn establish(url: &str, wait_ms: u32) -> Result<SqliteConnection, StoreError> {
    let deadline = Instant::now() + Duration::from_millis(wait_ms.into());
    loop {
        let mut conn = SqliteConnection::establish(url)?;
        conn.batch_execute(&format!("PRAGMA busy_timeout = {wait_ms}"))?;
        // FULL: what was acknowledged survives a power cut. The size limit keeps the WAL of one
        // long read from staying on disk for ever.
        let settings = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; \
                        PRAGMA journal_size_limit = 67108864; PRAGMA recursive_triggers = ON";
        match conn.batch_execute(settings).map_err(StoreError::from) {
            Ok(()) => return Ok(conn),
            Err(StoreError::Unavailable(_)) if Instant::now() < deadline => {
                std::thread::sleep(OPEN_RETRY)
            }
            Err(error) => return Err(error),
        }
    }
}

fn connect(url: &str, wait_ms: u32, read_only: bool) -> Result<Conn, StoreError> {
    let mut conn = establish(url, wait_ms)?;
    if read_only {
        conn.batch_execute("PRAGMA query_only = ON")?;
    }
    Ok(SyncConnectionWrapper::with_runtime(conn, InPlace))
}

async fn perform<T, F>(conn: &mut Conn, access: Access, query: F) -> Result<T, StoreError>
where
    F: for<'c> FnOnce(&'c mut Conn) -> BoxFuture<'c, Result<T, StoreError>>,
{
    type Transaction = <Conn as AsyncConnection>::TransactionManager;

    let Some(begin) = access.begin() else {
        return query(conn).await;
    };
    conn.spawn_blocking(move |conn| AnsiTransactionManager::begin_transaction_sql(conn, begin))
        .await?;
    match query(conn).await {
        Ok(value) => {
            Transaction::commit_transaction(conn).await?;
            Ok(value)
        }
        Err(error) => {
            // The first error is the one to report. If this one fails too, the connection counts as
            // broken and its worker replaces it.
            let _ = Transaction::rollback_transaction(conn).await;
            Err(error)
        }
    }
}

/// Creates what is missing of the folder and the file, for their owner alone. SQLite gives the
/// files beside it (`-wal`, `-shm`) the mode of the file itself. What exists keeps its mode, since
/// an operator may have chosen it: a group that makes backups, say. A file that others may read is
/// worth a warning.
fn create_private(path: &Path) -> Result<(), StoreError> {
    let cannot = |what: &Path, error: io::Error| {
        StoreError::Unavailable(format!("cannot create {}: {error}", what.display()))
    };
    if let Some(folder) = path.parent() {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| cannot(folder, error))?;
    }
    match OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
    {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(cannot(path, error)),
    }
    let mode = fs::metadata(path).map_or(0, |file| file.permissions().mode() & 0o777);
    if mode & 0o077 != 0 {
        warn!(
            "database open to other accounts of this machine: file={} mode={mode:o}",
            path.display()
        );
    }
    Ok(())
}

/// The balance of a user. There is nothing to lock: the transaction holds the write lock.
async fn lock_user_coin(conn: &mut Conn, user: UserId) -> Result<Option<i64>, StoreError> {
    Ok(users::table
        .find(user.get())
        .select(users::coin)
        .get_result(conn)
        .await
        .optional()?)
}

/// The status of a live, which nobody else changes before this transaction ends.
async fn lock_live_status(conn: &mut Conn, live_id: LiveId) -> Result<Option<i16>, StoreError> {
    Ok(lives::table
        .find(live_id.get())
        .select(lives::status)
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
        .load(conn)
        .await?)
}

/// Nobody else changes the gift before this transaction ends, which holds the write lock.
async fn lock_gift(_conn: &mut Conn, _gift: GiftId) -> Result<(), StoreError> {
    Ok(())
}

/// The status of an account, which nobody else changes before this transaction ends.
async fn lock_user_status(conn: &mut Conn, user: UserId) -> Result<Option<i16>, StoreError> {
    Ok(users::table
        .find(user.get())
        .select(users::status)
        .get_result(conn)
        .await
        .optional()?)
}

#[cfg(test)]
mod migration_tests;
/// The store's time. `None`: it has no clock but that of the one node that uses it.
async fn time(_: &mut Conn) -> Result<Option<Timestamp>, StoreError> {
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;
    use crate::storage::{Store, User};

    async fn open_in(dir: &tempfile::TempDir) -> SqliteStore {
        SqliteStore::open(&dir.path().join("liveroom.db"), StoreOptions::default())
            .await
            .unwrap()
    }

    async fn add_user(store: &SqliteStore, number: usize) -> Result<Option<User>, StoreError> {
        store
            .create_user(
                format!("user{number}"),
                Some("n".repeat(10_000)),
                "hash".into(),
                Timestamp(0),
            )
            .await
    }

    async fn set_pages_max(store: &SqliteStore, pages_max: u32) {
        let pragma = format!("PRAGMA max_page_count = {pages_max}");
        let set = store
            .writer
            .run(JobPriority::InOrder, Access::Read, move |conn| {
                async move {
                    Ok(conn
                        .spawn_blocking(move |conn| conn.batch_execute(&pragma))
                        .await?)
                }
                .boxed()
            });
        set.await.unwrap();
    }

    #[tokio::test]
    async fn a_full_disk_refuses_writes_until_there_is_room_and_loses_nothing() {
        let dir = tempfile::TempDir::new().unwrap();
        let store = open_in(&dir).await;
        // SQLite takes a limit below the present size as the present size.
        set_pages_max(&store, 1).await;
        let mut stored = 0;
        let refused = loop {
            match add_user(&store, stored).await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, StoreError::Unavailable(_)), "{refused}");
        set_pages_max(&store, 1_000_000).await;
        assert!(add_user(&store, stored).await.unwrap().is_some());
        for number in 0..=stored {
            assert!(
                store
                    .credentials(format!("user{number}"))
                    .await
                    .unwrap()
                    .is_some(),
                "user{number}"
            );
        }
    }

    fn mode_of(path: &Path) -> u32 {
        fs::metadata(path)
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
            .permissions()
            .mode()
            & 0o777
    }

    #[tokio::test]
    async fn only_the_owner_reads_what_is_created_and_what_exists_keeps_its_mode() {
        let dir = tempfile::TempDir::new().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (outer, inner) = (dir.path().join("outer"), dir.path().join("outer/inner"));
        let file = inner.join("liveroom.db");
        let store = SqliteStore::open(&file, StoreOptions::default())
            .await
            .unwrap();
        add_user(&store, 1).await.unwrap();
        assert_eq!(
            [&outer, &inner].map(|folder| mode_of(folder)),
            [0o700, 0o700]
        );
        let files: Vec<_> = fs::read_dir(&inner)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert!(
            files.iter().any(|file| file.ends_with("liveroom.db-wal")),
            "{files:?}"
        );
        for file in &files {
            assert_eq!(mode_of(file), 0o600, "{}", file.display());
        }
        assert_eq!(mode_of(dir.path()), 0o755);
        drop(store);

        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        let store = SqliteStore::open(&file, StoreOptions::default())
            .await
            .unwrap();
        assert!(store.credentials("user1".into()).await.unwrap().is_some());
        assert_eq!(mode_of(&file), 0o640);
    }

    #[tokio::test]
    async fn a_query_that_panics_fails_alone() {
        let dir = tempfile::TempDir::new().unwrap();
        let store = open_in(&dir).await;
        let failed = store
            .write::<(), _>(|conn| {
                async move {
                    diesel::delete(users::table).execute(conn).await?;
                    panic!("on purpose")
                }
                .boxed()
            })
            .await;
        assert!(matches!(failed, Err(StoreError::Fault(_))), "{failed:?}");
        assert!(add_user(&store, 1).await.unwrap().is_some());
    }
}
