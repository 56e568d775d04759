//! The books: what they refuse, and what their audit finds. One suite, on SQLite and on PostgreSQL.

#[macro_use]
#[path = "support/database.rs"]
mod database;

use database::{Database, order};
use liveroom::domain::*;
use liveroom::storage::{AuditReport, GrantOutcome};

contract! {
    coins_never_leave_64_bits,
    the_ledger_refuses_changes_and_removals,
    the_audit_finds_each_kind_of_tampering,
    the_audit_lists_no_more_faults_than_it_promises,
}

async fn coins_never_leave_64_bits(db: Database) {
    let (alice, bob) = (db.user("alice", i64::MAX).await.id, db.user("bob", i64::MAX).await.id);
    assert_eq!(db.grant(alice, 1, "more").await, GrantOutcome::CoinsInsufficient);
    assert_eq!(db.grant(alice, i64::MIN, "less").await, GrantOutcome::CoinsInsufficient);
    let (live, dear) = (db.live(alice, "k").await, db.gift(i64::MAX).await);
    let too_many = order(live, alice, &dear, 2, "g");
    assert_eq!(db.give(too_many).await, Err(GiftRefusal::CoinsInsufficient));
    assert_eq!(db.give(order(live, alice, &dear, 1, "g")).await.unwrap().live_coin, Coins::new(i64::MAX));
    let one = db.gift(1).await;
    assert_eq!(db.give(order(live, bob, &one, 1, "g")).await, Err(GiftRefusal::CoinsInsufficient));
    let report = db.store.audit().await.unwrap();
    assert!(report.balanced(), "{:?}", report.faults);
    assert_eq!((report.users_coin, report.granted_coin), (i64::MAX, i64::MAX));
}

async fn the_ledger_refuses_changes_and_removals(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 9).await.id);
    let (live, rose) = (db.live(alice, "k").await, db.gift(7).await);
    db.give(order(live, bob, &rose, 1, "g")).await.unwrap();
    for sql in [
        "UPDATE ledger_transfers SET user_id = 1",
        "DELETE FROM ledger_transfers",
        "UPDATE ledger_entries SET amount = 1",
        "DELETE FROM ledger_entries",
        "UPDATE gift_records SET total = 1",
        "DELETE FROM gift_records",
    ] {
        let refusal = db.execute(sql).expect_err(sql);
        assert!(refusal.contains("append-only"), "{sql}: {refusal}");
    }
    assert!(db.execute("UPDATE users SET coin = -1").is_err());
    db.assert_books_balance().await;
}

/// A change of one row that breaks one rule, and the change that mends it.
struct Tampering {
    row: &'static str,
    broken: &'static str,
    mended: &'static str,
    rule: &'static str,
    found_in: &'static str,
}

const fn tampering(
    row: &'static str,
    broken: &'static str,
    mended: &'static str,
    rule: &'static str,
    found_in: &'static str,
) -> Tampering {
    Tampering { row, broken, mended, rule, found_in }
}

/// Transfer 1 is bob's grant of 100, entries 1 (mint) and 2 (user); transfer 2 is his gift of 7,
/// entries 3 (user) and 4 (live), gift record 1. Alice is user 1, bob user 2.
const TAMPERINGS: [Tampering; 16] = [
    tampering("users 2", "coin = 94", "coin = 93", "user_balance", "user 2"),
    tampering("users 1", "coin = -1", "coin = 0", "negative_balance", "user 1"),
    tampering("lives 1", "coin = 8", "coin = 7", "live_balance", "live 1"),
    tampering("lives 1", "coin = 6", "coin = 7", "live_gifts", "live 1"),
    tampering("ledger_entries 4", "amount = 8", "amount = 7", "transfer_sum", "transfer 2"),
    tampering("ledger_entries 4", "amount = 8", "amount = 7", "ledger_sum", "ledger"),
    tampering("ledger_entries 4", "amount = 8", "amount = 7", "gift_credit", "gift record 1"),
    tampering("ledger_entries 3", "amount = -8", "amount = -7", "gift_debit", "gift record 1"),
    tampering("ledger_entries 4", "account_id = 9", "account_id = 1", "entry_account", "entry 4"),
    tampering("ledger_entries 4", "transfer_id = 9", "transfer_id = 2", "entry_transfer", "entry 4"),
    tampering("ledger_entries 4", "transfer_id = 1", "transfer_id = 2", "transfer_entries", "transfer 2"),
    tampering("ledger_entries 1", "account = 'live'", "account = 'mint'", "grant_mint", "transfer 1"),
    tampering("ledger_transfers 1", "user_id = 1", "user_id = 2", "grant_user", "transfer 1"),
    tampering("ledger_transfers 2", "user_id = 1", "user_id = 2", "gift_transfer", "gift record 1"),
    tampering("gift_records 1", "transfer_id = 9", "transfer_id = 2", "transfer_gift", "transfer 2"),
    tampering("gift_records 1", "price = 6", "price = 7", "gift_total", "gift record 1"),
];

/// Takes away what the database itself would refuse tampering with, as a determined hand would.
fn disarm(db: &Database) {
    db.execute(if db.is_sqlite() {
        "DROP TRIGGER ledger_transfers_no_update; DROP TRIGGER ledger_transfers_no_delete; \
         DROP TRIGGER ledger_entries_no_update; DROP TRIGGER ledger_entries_no_delete; \
         DROP TRIGGER gift_records_no_update; DROP TRIGGER gift_records_no_delete"
    } else {
        "DROP FUNCTION refuse_ledger_change CASCADE; \
         ALTER TABLE ledger_entries DROP CONSTRAINT ledger_entries_transfer_id_fkey; \
         ALTER TABLE gift_records DROP CONSTRAINT gift_records_transfer_id_fkey; \
         ALTER TABLE users DROP CONSTRAINT users_coin_check"
    })
    .unwrap();
}

async fn the_audit_finds_each_kind_of_tampering(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 100).await.id);
    let (live, rose) = (db.live(alice, "k").await, db.gift(7).await);
    db.give(order(live, bob, &rose, 1, "g")).await.unwrap();
    disarm(&db);
    let unchecked = if db.is_sqlite() { "PRAGMA ignore_check_constraints = ON; " } else { "" };
    for Tampering { row, broken, mended, rule, found_in } in TAMPERINGS {
        let (table, id) = row.split_once(' ').unwrap();
        db.execute(&format!("{unchecked}UPDATE {table} SET {broken} WHERE id = {id}")).unwrap();
        let faults = db.store.audit().await.unwrap().faults;
        let fault = faults.iter().find(|fault| fault.rule == rule && fault.row == found_in);
        let fault = fault.unwrap_or_else(|| panic!("{row}: {broken}: no {rule} in {faults:#?}"));
        assert_ne!(fault.expected, fault.found, "{fault}");
        db.execute(&format!("UPDATE {table} SET {mended} WHERE id = {id}")).unwrap();
        db.assert_books_balance().await;
    }
}

async fn the_audit_lists_no_more_faults_than_it_promises(db: Database) {
    let users = "INSERT INTO users (username, password_hash, coin, created_at, updated_at) \
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100) \
                 SELECT 'user' || i, 'h', 1, 0, 0 FROM n";
    db.execute(users).unwrap();
    let report = db.store.audit().await.unwrap();
    assert_eq!((report.faults.len(), report.users_coin), (AuditReport::FAULTS_MAX, 1_100));
}
