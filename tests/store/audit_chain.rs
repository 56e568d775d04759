//! The seals of the audit: what they cover, and what they find. One suite, on SQLite and on
//! PostgreSQL.

use std::sync::Arc;
use std::time::Duration;

use crate::support::database::{Database, NOW, contract, on_postgres, open};
use futures_util::future::join;
use liveroom::storage::{ChainFault, ChainReport, SealHorizon, Store};

contract! {
    every_row_is_sealed_once_and_the_chain_holds,
    more_rows_than_one_seal_takes_are_sealed_one_after_the_other,
    each_row_that_is_tampered_with_behind_the_triggers_is_named,
    a_seal_that_is_tampered_with_is_named,
    seals_are_append_only,
    two_processes_that_seal_at_once_make_one_chain,
}

/// Tries at most. Tests on other databases of the same PostgreSQL delay seals with their
/// transactions.
const TRIES_MAX: usize = 10_000;

/// Adds rows to the audit as another program would.
fn insert(count: usize) -> String {
    let numbers = format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})"
    );
    format!(
        "{numbers} INSERT INTO audit (at, actor_kind, actor_id, role, scope, action, arguments, result)
         SELECT 1, 'operator', 0, 'operator', 'site', 'kick', '{{}}', 'ok' FROM numbers"
    )
}

/// Seals all rows, and says how many were left.
async fn seal_all(store: &dyn Store) -> usize {
    let (mut rows, mut horizon) = (0, None);
    for _ in 0..TRIES_MAX {
        if store.check_audit_chain().await.unwrap().unsealed_rows == 0 {
            return rows;
        }
        let step = store.seal_audit(horizon, NOW).await.unwrap();
        rows += step.rows;
        horizon = step.horizon;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("rows stay unsealed");
}

/// Tries to seal, and says how many rows were.
async fn try_to_seal(store: &dyn Store, mut horizon: Option<SealHorizon>) -> usize {
    let mut rows = 0;
    for _ in 0..10 {
        let step = store.seal_audit(horizon, NOW).await.unwrap();
        rows += step.rows;
        horizon = step.horizon;
    }
    rows
}

async fn check(db: &Database) -> ChainReport {
    db.store.check_audit_chain().await.unwrap()
}

/// Removes what keeps the rows of a table from being changed.
fn without_triggers(db: &Database, table: &str) -> String {
    if db.is_sqlite() {
        format!("DROP TRIGGER {table}_no_update; DROP TRIGGER {table}_no_delete")
    } else {
        format!("ALTER TABLE {table} DISABLE TRIGGER ALL")
    }
}

async fn every_row_is_sealed_once_and_the_chain_holds(db: Database) {
    assert_eq!(check(&db).await, ChainReport::default(), "an empty audit");
    assert_eq!(seal_all(&*db.store).await, 0);
    db.execute(&insert(3)).unwrap();
    let before = check(&db).await;
    assert_eq!((before.unsealed_rows, before.sealed_rows), (3, 0));
    assert_eq!(before.unsealed_since.map(|at| at.0), Some(1));

    assert_eq!(seal_all(&*db.store).await, 3);
    db.execute(&insert(2)).unwrap();
    assert_eq!(seal_all(&*db.store).await, 2);
    assert_eq!(seal_all(&*db.store).await, 0, "nothing is sealed twice");
    let report = check(&db).await;
    assert!(report.holds(), "{:?}", report.faults);
    assert_eq!(
        (report.seals_count, report.sealed_rows, report.unsealed_rows),
        (2, 5, 0)
    );
    assert_eq!(report.head, db.store.audit_seal(None).await.unwrap());
    let first = db
        .store
        .audit_seal(Some(1))
        .await
        .unwrap()
        .expect("the first seal");
    assert!(Some(first) != report.head);
    assert_eq!(db.store.audit_seal(Some(3)).await.unwrap(), None);
}

async fn more_rows_than_one_seal_takes_are_sealed_one_after_the_other(db: Database) {
    db.execute(&insert(2_500)).unwrap();
    assert_eq!(seal_all(&*db.store).await, 2_500);
    let report = check(&db).await;
    assert!(report.holds(), "{:?}", report.faults);
    assert_eq!((report.seals_count, report.sealed_rows), (3, 2_500));
}

async fn each_row_that_is_tampered_with_behind_the_triggers_is_named(db: Database) {
    db.execute(&insert(6)).unwrap();
    seal_all(&*db.store).await;
    db.execute(&insert(4)).unwrap();
    seal_all(&*db.store).await;
    db.execute(&insert(1)).unwrap();
    for sql in [
        "UPDATE audit SET reason = 'x' WHERE id = 2",
        "DELETE FROM audit WHERE id = 3",
    ] {
        let refused = db.execute(sql).expect_err(sql);
        assert!(refused.contains("append-only"), "{sql}: {refused}");
    }
    db.execute(&without_triggers(&db, "audit")).unwrap();
    let copy =
        "INSERT INTO audit (id, at, actor_kind, actor_id, role, scope, action, arguments, result)
        VALUES (8, 1, 'operator', 0, 'operator', 'site', 'ban', '{}', 'ok'),
               (-1, 1, 'operator', 0, 'operator', 'site', 'ban', '{}', 'ok')";
    for sql in [
        "UPDATE audit SET reason = 'x' WHERE id = 2",
        "DELETE FROM audit WHERE id IN (3, 8)",
        copy,
        "UPDATE audit SET result = 'not_allowed' WHERE id = 11",
    ] {
        db.execute(sql).unwrap();
    }
    let report = check(&db).await;
    assert_eq!(
        report.faults,
        [
            ChainFault::RowChanged(2),
            ChainFault::RowMissing(3),
            ChainFault::RowChanged(8),
            ChainFault::RowAdded(-1)
        ],
        "of a row that is not sealed yet the chain says nothing"
    );
    assert_eq!(report.unsealed_rows, 1);

    db.execute("DELETE FROM audit WHERE id = 6").unwrap();
    seal_all(&*db.store).await;
    let faults = check(&db).await.faults;
    assert!(faults.contains(&ChainFault::RowMissing(6)), "{faults:?}");
    assert_eq!(faults.len(), 5, "sealing goes on and hides nothing");
}

async fn a_seal_that_is_tampered_with_is_named(db: Database) {
    for _ in 0..4 {
        db.execute(&insert(2)).unwrap();
        seal_all(&*db.store).await;
    }
    let logged = db.store.audit_seal(None).await.unwrap();
    db.execute(&without_triggers(&db, "audit_seals")).unwrap();
    db.execute("UPDATE audit_seals SET at = at + 1 WHERE id = 2")
        .unwrap();
    assert_eq!(check(&db).await.faults, [ChainFault::SealChanged(2)]);
    db.execute("DELETE FROM audit_seals WHERE id = 2").unwrap();
    let faults = check(&db).await.faults;
    assert_eq!(faults, [ChainFault::SealMissing(2)]);

    // Without its last seals a chain holds; a head that was logged shows that they are missing.
    db.execute("DELETE FROM audit_seals WHERE id > 1").unwrap();
    let report = check(&db).await;
    assert!(report.holds(), "{:?}", report.faults);
    assert_eq!(report.unsealed_rows, 6);
    assert_eq!(
        db.store
            .audit_seal(logged.map(|head| head.id))
            .await
            .unwrap(),
        None
    );
    seal_all(&*db.store).await;
    assert!(check(&db).await.holds());
    let anew = db
        .store
        .audit_seal(logged.map(|head| head.id))
        .await
        .unwrap();
    assert!(anew != logged, "a chain that is made anew has other heads");
}

async fn seals_are_append_only(db: Database) {
    db.execute(&insert(1)).unwrap();
    seal_all(&*db.store).await;
    for sql in ["UPDATE audit_seals SET at = 0", "DELETE FROM audit_seals"] {
        let refused = db.execute(sql).expect_err(sql);
        assert!(refused.contains("append-only"), "{sql}: {refused}");
    }
}

async fn two_processes_that_seal_at_once_make_one_chain(db: Database) {
    let other = open(&db.url).await.unwrap();
    let (mut rows, mut horizons) = (0, (None, None));
    for round in 0..20 {
        db.execute(&insert(1 + round % 3)).unwrap();
        let (one, two) = join(
            db.store.seal_audit(horizons.0.take(), NOW),
            other.seal_audit(horizons.1.take(), NOW),
        )
        .await;
        let (one, two) = (one.unwrap(), two.unwrap());
        rows += one.rows + two.rows;
        horizons = (one.horizon, two.horizon);
    }
    rows += seal_all(&*other).await;
    assert_eq!(rows, 39);
    let report = check(&db).await;
    assert!(report.holds(), "{:?}", report.faults);
    assert_eq!((report.sealed_rows, report.unsealed_rows), (39, 0));
}

/// Its id is below those of rows that are committed and visible long before it.
#[test]
fn a_row_that_commits_late_is_not_skipped() {
    on_postgres(|db| async move {
        let late = db.hold(&insert(1)).await;
        db.execute(&insert(3)).unwrap();
        let sealed = try_to_seal(&*db.store, None).await;
        assert_eq!(sealed, 0, "an older transaction is running");
        assert_eq!(check(&db).await.unsealed_rows, 3);
        late.commit().await;
        assert_eq!(seal_all(&*db.store).await, 4);

        let never = db.hold(&insert(1)).await;
        db.execute(&insert(2)).unwrap();
        assert_eq!(try_to_seal(&*db.store, None).await, 0);
        never.release().await;
        assert_eq!(
            seal_all(&*db.store).await,
            2,
            "an id that no row has holds nothing up"
        );
        let report = check(&db).await;
        assert!(report.holds(), "{:?}", report.faults);
        assert_eq!((report.sealed_rows, report.unsealed_rows), (6, 0));
    });
}

/// What is running when a horizon is taken holds it up, and what begins later does not.
#[test]
fn later_transactions_do_not_hold_a_seal_up() {
    on_postgres(|db| async move {
        db.execute(&insert(1)).unwrap();
        let horizon = db.store.seal_audit(None, NOW).await.unwrap().horizon;
        let later = db.hold(&insert(1)).await;
        let mut step = db.store.seal_audit(horizon, NOW).await.unwrap();
        for _ in 0..TRIES_MAX {
            if step.rows > 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            step = db.store.seal_audit(step.horizon, NOW).await.unwrap();
        }
        assert_eq!(step.rows, 1);
        let other: Arc<dyn Store> = open(&db.url).await.unwrap();
        assert_eq!(try_to_seal(&*other, None).await, 0);
        later.commit().await;
        assert_eq!(seal_all(&*other).await, 1);
        assert!(check(&db).await.holds());
    });
}
