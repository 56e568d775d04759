//! Acts beside gifts, measured. Ignored by default: `cargo test --release --test store audit_load --
//! --ignored --nocapture --test-threads 1` prints what it found, and fails only if an act is lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::database::{Database, NOW, on_postgres, on_sqlite, order};
use futures_util::stream::{FuturesUnordered, StreamExt};
use liveroom::domain::*;
use liveroom::storage::{ActionRecord, Attempt, Performed, Store, Write, WriteOutcome};
use tokio::time::{interval, sleep};

const SECONDS: u64 = 10;
const ACTS_PER_S: usize = 1_000;
/// Acts at once. More wait, as they do for a seat of the HTTP API.
const UNDER_WAY_MAX: usize = 64;
/// Users that acts are done to, in turn.
const USERS: usize = 100;
/// Gifts of one batch, of ten givers.
const BATCH: usize = 100;

#[test]
#[ignore = "a measurement"]
fn acts_on_sqlite() {
    on_sqlite(measure);
}

#[test]
#[ignore = "a measurement"]
fn acts_on_postgresql() {
    on_postgres(measure);
}

async fn measure(db: Database) {
    let mut users = Vec::new();
    for number in 0..USERS {
        users.push(db.user(&format!("user{number}"), 10_000_000).await.id);
    }
    let live = db.live(users[0], "k").await;
    let rose = db.gift(1).await;
    let setup = sealed_and_unsealed(&*db.store).await;

    let gifts = |round: &'static str| give(&db, live, &users[..10], &rose, round);
    let alone = gifts("alone").await;
    let (beside, acts, _) = tokio::join!(
        gifts("beside"),
        act(db.store.clone(), &users[10..]),
        seal(&*db.store)
    );
    let (done, longest) = acts;
    println!(
        "sqlite={} gifts_per_s_alone={} gifts_per_s_beside={} acts_per_s={} longest_act_ms={}",
        db.is_sqlite(),
        alone / SECONDS as usize,
        beside / SECONDS as usize,
        done / SECONDS as usize,
        longest.as_millis()
    );
    let rows = sealed_and_unsealed(&*db.store).await - setup;
    assert_eq!(rows, done as i64, "each act is a row");
    db.assert_books_balance().await;
}

async fn sealed_and_unsealed(store: &dyn Store) -> i64 {
    let report = store.check_audit_chain().await.unwrap();
    assert!(report.holds(), "{:?}", report.faults);
    report.sealed_rows + report.unsealed_rows
}

/// Gives one batch after the other, as the persister does, and says how many gifts that were.
async fn give(
    db: &Database,
    live: LiveId,
    givers: &[UserId],
    rose: &Arc<Gift>,
    round: &str,
) -> usize {
    let (begin, mut given) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(SECONDS) {
        let batch = (given..given + BATCH).map(|number| {
            let giver = givers[number % givers.len()];
            Write::Gift(Arc::new(order(
                live,
                giver,
                rose,
                1,
                &format!("{round}-{number}"),
            )))
        });
        for attempt in db.store.commit_skip_locked(batch.collect()).await.unwrap() {
            assert!(
                matches!(attempt, Attempt::Done(WriteOutcome::Gift(Ok(_)))),
                "{attempt:?}"
            );
        }
        given += BATCH;
    }
    given
}

/// Acts at a steady rate, and says how many were done and how long the longest took.
async fn act(store: Arc<dyn Store>, users: &[UserId]) -> (usize, Duration) {
    const PER_TICK: usize = ACTS_PER_S / 100;
    let mut ticks = interval(Duration::from_millis(10));
    let mut under_way = FuturesUnordered::new();
    let (mut begun, mut done, mut longest) = (0, 0, Duration::ZERO);
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(SECONDS) {
        ticks.tick().await;
        for _ in 0..PER_TICK {
            while under_way.len() >= UNDER_WAY_MAX {
                longest = longest.max(under_way.next().await.expect("some are under way"));
                done += 1;
            }
            let user = users[begun % users.len()];
            let action = match begun / users.len() % 2 {
                0 => Action::DisableUser(user),
                _ => Action::EnableUser(user),
            };
            begun += 1;
            let record = ActionRecord::new(Actor::CONFIG, Role::Operator, Scope::Site, action, NOW);
            let acted = store.perform(record);
            under_way.push(async move {
                let begin = Instant::now();
                assert!(matches!(acted.await.unwrap(), Performed::Done { .. }));
                begin.elapsed()
            });
        }
    }
    while let Some(took) = under_way.next().await {
        longest = longest.max(took);
        done += 1;
    }
    (done, longest)
}

/// Seals as a node does.
async fn seal(store: &dyn Store) {
    let (begin, mut horizon) = (Instant::now(), None);
    while begin.elapsed() < Duration::from_secs(SECONDS) {
        let step = store.seal_audit(horizon, NOW).await.unwrap();
        horizon = step.horizon;
        if !step.has_more {
            sleep(Duration::from_millis(500)).await;
        }
    }
}
