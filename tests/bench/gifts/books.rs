//! The databases of the benchmark: made once, copied for each series, audited afterwards.

use liveroom::storage::{self, StoreOptions};

use crate::postgres::Postgres;

/// What each giver begins with: enough for any run.
const COINS: i64 = 1_000_000_000_000;
const GIVERS_MAX: i64 = 1_000;
const LIVES_MAX: i64 = 100;

/// Users 1 to [`GIVERS_MAX`], granted their coins by the book, lives on air and one gift of one
/// coin.
const FILL: &str = "
INSERT INTO users (username, password_hash, coin, created_at, updated_at)
    SELECT 'giver' || n, '', {coins}, 1, 1 FROM generate_series(1, {givers}) AS n;
INSERT INTO lives (user_id, title, cover, key, status, created_at, updated_at)
    SELECT 1, 'live', '/cover.png', 'key' || n, 1, 1, 1 FROM generate_series(1, {lives}) AS n;
INSERT INTO gifts (name, image, coin, created_at, updated_at) VALUES ('rose', '/rose.png', 1, 1, 1);
INSERT INTO ledger_transfers (kind, user_id, request_id, user_coin_after, created_at)
    SELECT 'grant', n, 'start-' || n, {coins}, 1 FROM generate_series(1, {givers}) AS n;
INSERT INTO ledger_entries (transfer_id, account, account_id, amount)
    SELECT t.id, e.account, e.account_id, e.amount FROM ledger_transfers t
    CROSS JOIN LATERAL (VALUES ('mint', 0, -{coins}), ('user', t.user_id, {coins})) AS e (account, account_id, amount);
";

/// The database that all others are copies of.
pub struct Template {
    url: String,
}

pub struct Database {
    url: String,
}

impl Template {
    pub fn make(server: &Postgres) -> Self {
        let url = server.create_database();
        run(async {
            storage::open(&url, StoreOptions::default())
                .await
                .map(drop)
                .expect("the database is migrated")
        });
        let numbers = [
            ("{coins}", COINS),
            ("{givers}", GIVERS_MAX),
            ("{lives}", LIVES_MAX),
        ];
        let fill = numbers.iter().fold(FILL.to_owned(), |sql, (name, number)| {
            sql.replace(name, &number.to_string())
        });
        server.execute(&url, &fill).expect("the rows are accepted");
        server.execute(&url, "VACUUM ANALYZE").expect("statistics");
        Self { url }
    }

    pub fn describe(&self, server: &Postgres, disk_ms: f64) -> String {
        let ask = |sql: &str| {
            let table = server.query(&self.url, &format!("COPY ({sql}) TO STDOUT"));
            table.trim().replace('\t', "=").replace('\n', ", ")
        };
        let settings = ask(
            "SELECT name, setting FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit', \
             'full_page_writes', 'wal_sync_method', 'commit_delay', 'shared_buffers', 'max_wal_size') ORDER BY name",
        );
        format!(
            "{}\n{settings}; {disk_ms} ms added to each sync",
            ask("SELECT version()")
        )
    }

    pub fn copy(&self, server: &Postgres, lives: i64, givers: i64) -> Database {
        assert!(
            lives <= LIVES_MAX && givers <= GIVERS_MAX,
            "the template has too few rows"
        );
        let url = server.copy_database(&self.url);
        // Whatever the series before left to do is done before this one begins.
        server.execute(&url, "CHECKPOINT").expect("a checkpoint");
        Database { url }
    }
}

impl Database {
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The books hold what was given, to the coin.
    pub fn audit(&self, server: &Postgres, given: u64) {
        // In so short a run the server's own statistics come too late, and an audit without is
        // slow.
        server.execute(&self.url, "ANALYZE").expect("statistics");
        run(async {
            let store = storage::open(&self.url, StoreOptions::default())
                .await
                .expect("the store opens");
            let report = store.audit().await.expect("an audit");
            assert!(
                report.balanced(),
                "the books do not balance: {:#?}",
                report.faults
            );
            let mut gifts = 0;
            for live in 1..=LIVES_MAX {
                let live = liveroom::domain::LiveId::new(live).expect("an id");
                gifts += store.live_ledger(live).await.expect("a ledger").gifts_count;
            }
            assert_eq!(
                gifts,
                i64::try_from(given).expect("few gifts"),
                "gifts in the books"
            );
        });
    }
}

fn run<F: Future>(work: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(work)
}
