//! An empty database of either kind, as tests of the store see it.

use std::future::Future;
use std::sync::Arc;

use diesel::connection::SimpleConnection;
use diesel::sqlite::SqliteConnection;
use diesel::{Connection, RunQueryDsl};
use diesel_async::{AsyncConnection, AsyncPgConnection, SimpleAsyncConnection};
use liveroom::domain::*;
use liveroom::storage::{
    self, ActAuthor, ActionRecord, Attempt, Change, CoinGrant, GiftRow, GrantOutcome, Performed,
    Store, StoreError, StoreOptions, User, Write, WriteOutcome,
};
use tempfile::TempDir;

use super::postgres::Postgres;

/// More than any test needs. Each waits for the locked rows for a moment.
const COMMIT_TRIES_MAX: usize = 1_000;

/// What keeps the database there.
enum Kind {
    Sqlite { _dir: TempDir },
    Postgres(Arc<Postgres>),
}

/// Makes each test of the list one test on each database.
macro_rules! contract {
    ($($name:ident,)*) => {
        mod sqlite {
            $(#[test] fn $name() { $crate::support::database::on_sqlite(super::$name); })*
        }
        mod postgresql {
            $(#[test] fn $name() { $crate::support::database::on_postgres(super::$name); })*
        }
    };
}
pub(crate) use contract;

/// A database with a store open on it.
pub struct Database {
    pub store: Arc<dyn Store>,
    pub url: String,
    kind: Kind,
}

#[derive(diesel::QueryableByName)]
struct PlanStep {
    #[diesel(sql_type = diesel::sql_types::Text)]
    detail: String,
}

pub const NOW: Timestamp = Timestamp(1_795_294_582_778);

/// Runs a test on a new SQLite file.
pub fn on_sqlite<F: Future<Output = ()>>(test: impl FnOnce(Database) -> F) {
    block_on(async {
        let dir = TempDir::new().unwrap();
        let url = format!("sqlite://{}/new/folder/liveroom.db", dir.path().display());
        let store = open(&url).await.unwrap();
        test(Database {
            store,
            url,
            kind: Kind::Sqlite { _dir: dir },
        })
        .await;
    });
}

/// Runs a test on a new PostgreSQL database, or says why not.
pub fn on_postgres<F: Future<Output = ()>>(test: impl FnOnce(Database) -> F) {
    block_on(async {
        if let Some(database) = new_postgres().await {
            test(database).await;
        }
    });
}

/// A new PostgreSQL database; `None` after saying why not.
pub async fn new_postgres() -> Option<Database> {
    let server = Postgres::shared()
        .inspect_err(|reason| println!("skipped: {reason}"))
        .ok()?;
    let url = server.create_database();
    let store = open(&url).await.unwrap();
    Some(Database {
        store,
        url,
        kind: Kind::Postgres(server),
    })
}

/// A transaction of somebody else's in PostgreSQL, open until it is released.
pub struct Holder(AsyncPgConnection);

impl Holder {
    pub async fn release(mut self) {
        self.0.batch_execute("ROLLBACK").await.unwrap();
    }

    pub async fn commit(mut self) {
        self.0.batch_execute("COMMIT").await.unwrap();
    }
}

fn block_on<F: Future<Output = ()>>(test: F) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

/// Waits longer than any test makes it wait, on a machine however busy.
pub async fn open(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    storage::open(
        url,
        StoreOptions {
            wait_ms: 30_000,
            ..StoreOptions::default()
        },
    )
    .await
}

/// Commits a batch as the persister does: writes blocked by a row that somebody else has locked are
/// tried again, in their order.
pub async fn commit(store: &dyn Store, batch: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
    let mut outcomes = vec![None; batch.len()];
    for _ in 0..COMMIT_TRIES_MAX {
        let left: Vec<usize> = (0..batch.len())
            .filter(|at| outcomes[*at].is_none())
            .collect();
        let attempts = store
            .commit_skip_locked(left.iter().map(|at| batch[*at].clone()).collect())
            .await?;
        assert_eq!(attempts.len(), left.len());
        for (at, attempt) in left.into_iter().zip(attempts) {
            if let Attempt::Done(outcome) = attempt {
                outcomes[at] = Some(outcome);
            }
        }
        if outcomes.iter().all(Option::is_some) {
            return Ok(outcomes.into_iter().flatten().collect());
        }
    }
    panic!("writes are blocked for ever: {outcomes:?}");
}

impl Database {
    pub fn is_sqlite(&self) -> bool {
        matches!(self.kind, Kind::Sqlite { .. })
    }

    /// Runs statements behind the store's back, without foreign keys in the way.
    pub fn execute(&self, sql: &str) -> Result<(), String> {
        match &self.kind {
            Kind::Sqlite { .. } => {
                let path = self.url.trim_start_matches("sqlite://");
                let mut conn =
                    SqliteConnection::establish(path).map_err(|error| error.to_string())?;
                conn.batch_execute("PRAGMA busy_timeout = 2000; PRAGMA foreign_keys = OFF")
                    .map_err(|error| error.to_string())?;
                conn.batch_execute(sql).map_err(|error| error.to_string())
            }
            Kind::Postgres(server) => server.execute(&self.url, sql),
        }
    }

    /// Reads rows behind the store's back.
    pub async fn rows<T>(&self, sql: &str) -> Vec<T>
    where
        T: diesel::deserialize::QueryableByName<diesel::sqlite::Sqlite>
            + diesel::deserialize::QueryableByName<diesel::pg::Pg>
            + Send
            + 'static,
    {
        match &self.kind {
            Kind::Sqlite { .. } => {
                let mut conn =
                    SqliteConnection::establish(self.url.trim_start_matches("sqlite://")).unwrap();
                diesel::sql_query(sql).load(&mut conn).unwrap()
            }
            Kind::Postgres(_) => {
                let mut conn = AsyncPgConnection::establish(&self.url).await.unwrap();
                diesel_async::RunQueryDsl::load(diesel::sql_query(sql), &mut conn)
                    .await
                    .unwrap()
            }
        }
    }

    /// Begins a transaction and runs `sql` in it, which locks rows.
    pub async fn hold(&self, sql: &str) -> Holder {
        let mut conn = AsyncPgConnection::establish(&self.url).await.unwrap();
        conn.batch_execute(&format!("BEGIN; {sql}")).await.unwrap();
        Holder(conn)
    }

    /// How the database would run a query over its present rows.
    pub fn plan(&self, sql: &str) -> String {
        match &self.kind {
            Kind::Sqlite { .. } => {
                let mut conn =
                    SqliteConnection::establish(self.url.trim_start_matches("sqlite://")).unwrap();
                let steps: Vec<PlanStep> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {sql}"))
                    .load(&mut conn)
                    .unwrap();
                steps.into_iter().map(|step| step.detail + "\n").collect()
            }
            Kind::Postgres(server) => {
                server.execute(&self.url, "ANALYZE").unwrap();
                server.query(&self.url, &format!("EXPLAIN {sql}"))
            }
        }
    }

    pub async fn user(&self, username: &str, coin: i64) -> User {
        let created = self
            .store
            .create_user(username.into(), None, "$argon2id$".into(), NOW)
            .await
            .unwrap();
        let user = created.expect("a new username");
        if coin > 0 {
            let granted = self
                .grant(user.id, coin, &format!("start-{username}"))
                .await;
            assert_eq!(
                granted,
                GrantOutcome::Granted {
                    coin: Coins::new(coin),
                    duplicate: false
                }
            );
        }
        self.store.user(user.id).await.unwrap().unwrap()
    }

    pub async fn grant(&self, user_id: UserId, delta: i64, request_id: &str) -> GrantOutcome {
        let grant = CoinGrant {
            user_id,
            delta: Coins::new(delta),
            request_id: request(request_id),
            at: NOW,
            by: ActAuthor::default(),
        };
        self.store.grant(grant).await.unwrap()
    }

    pub async fn live(&self, owner: UserId, key: &str) -> LiveId {
        let row = self
            .store
            .create_live(owner, "title".into(), "cover.png".into(), key.into(), NOW)
            .await
            .unwrap();
        self.set_status(row.live.id, LiveStatus::OnAir).await;
        row.live.id
    }

    /// Does an action as operators do; who may is not the store's question.
    pub async fn act(&self, scope: Scope, action: Action, at: Timestamp) -> Performed {
        let record = ActionRecord::new(Actor::CONFIG, Role::Operator, scope, action, at);
        self.store.perform(record).await.unwrap()
    }

    pub async fn set_status(&self, live: LiveId, status: LiveStatus) -> Performed {
        self.act(Scope::Live(live), Action::SetStatus(status), NOW)
            .await
    }

    pub async fn set_enabled(&self, user: UserId, enabled: bool) -> Performed {
        let action = if enabled {
            Action::EnableUser(user)
        } else {
            Action::DisableUser(user)
        };
        self.act(Scope::Site, action, NOW).await
    }

    pub async fn gift(&self, price: i64) -> Arc<Gift> {
        let row = self
            .store
            .create_gift(
                "rose".into(),
                "/rose.png".into(),
                Coins::new(price),
                NOW,
                ActAuthor::default(),
            )
            .await
            .unwrap();
        Arc::new(row.gift)
    }

    pub async fn coin(&self, user: UserId) -> i64 {
        self.store.user(user).await.unwrap().unwrap().coin.get()
    }

    /// Commits a batch, see [`commit`].
    pub async fn commit(&self, batch: Vec<Write>) -> Vec<WriteOutcome> {
        commit(&*self.store, batch).await.unwrap()
    }

    pub async fn commit_one(&self, write: Write) -> WriteOutcome {
        let mut outcomes = self.commit(vec![write]).await;
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0)
    }

    /// An operator changes a gift of the catalogue.
    pub async fn change_gift(
        &self,
        gift: GiftId,
        price: Option<i64>,
        on_sale: Option<bool>,
    ) -> GiftRow {
        let action = Action::ChangeGift(GiftChange {
            gift,
            price: price.map(Coins::new),
            on_sale,
        });
        let record = ActionRecord::new(Actor::CONFIG, Role::Operator, Scope::Site, action, NOW);
        match self.store.perform(record).await.unwrap() {
            Performed::Done {
                change: Change::Gift(row),
                ..
            } => *row,
            other => panic!("not the outcome of a gift's change: {other:?}"),
        }
    }

    pub async fn give(&self, order: GiftOrder) -> Result<GiftReceipt, GiftRefusal> {
        match self.commit_one(Write::Gift(Arc::new(order))).await {
            WriteOutcome::Gift(result) => result,
            other => panic!("not the outcome of a gift: {other:?}"),
        }
    }

    pub async fn assert_books_balance(&self) {
        let report = self.store.audit().await.unwrap();
        assert!(report.balanced(), "{:#?}", report.faults);
    }
}

pub fn request(id: &str) -> RequestId {
    RequestId::parse(id).unwrap()
}

pub fn profile(id: UserId) -> Arc<Profile> {
    Arc::new(Profile {
        id,
        name: "name".into(),
        avatar: None,
    })
}

pub fn order(
    live_id: LiveId,
    giver: UserId,
    gift: &Arc<Gift>,
    count: i64,
    request_id: &str,
) -> GiftOrder {
    GiftOrder {
        live_id,
        giver: profile(giver),
        gift: gift.clone(),
        count: GiftCount::new(count).unwrap(),
        request_id: request(request_id),
        at: NOW,
    }
}
