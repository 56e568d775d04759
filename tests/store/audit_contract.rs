//! The books: what they refuse, and what their audit finds. One suite, on SQLite and on PostgreSQL.

use std::sync::Arc;

use crate::support::database::{Database, contract, order};
use liveroom::domain::*;
use liveroom::storage::{AuditReport, GrantOutcome, Write, WriteOutcome};

contract! {
    coins_never_leave_what_javascript_can_read,
    a_batch_fills_a_live_up_to_the_last_coin,
    a_balance_above_the_range_can_be_spent_and_lowered_but_not_raised,
    the_audit_adds_up_more_than_64_bits,
    the_ledger_refuses_changes_and_removals,
    the_audit_finds_each_kind_of_tampering,
    the_audit_lists_no_more_faults_than_it_promises,
}

async fn coins_never_leave_what_javascript_can_read(db: Database) {
    const MAX: i64 = Coins::MAX.get();
    let (alice, bob) = (db.user("alice", MAX).await.id, db.user("bob", MAX).await.id);
    assert_eq!(
        db.grant(alice, 1, "more").await,
        GrantOutcome::CoinsInsufficient
    );
    assert_eq!(
        db.grant(alice, i64::MAX, "overflow").await,
        GrantOutcome::CoinsInsufficient
    );
    assert_eq!(
        db.grant(alice, i64::MIN, "less").await,
        GrantOutcome::CoinsInsufficient
    );
    let (live, dear) = (db.live(alice, "k").await, db.gift(MAX).await);
    let too_many = order(live, alice, &dear, 2, "g");
    assert_eq!(db.give(too_many).await, Err(GiftRefusal::CoinsInsufficient));
    assert_eq!(
        db.give(order(live, alice, &dear, 1, "g"))
            .await
            .unwrap()
            .live_coin,
        Coins::MAX
    );

    // The live is full: who gives more keeps the coins, and can give them elsewhere.
    let one = db.gift(1).await;
    assert_eq!(
        db.give(order(live, bob, &one, 1, "g")).await,
        Err(GiftRefusal::LiveCoinsFull)
    );
    assert_eq!(db.coin(bob).await, MAX);
    let elsewhere = db.live(alice, "k2").await;
    assert_eq!(
        db.give(order(elsewhere, bob, &one, 1, "g2"))
            .await
            .unwrap()
            .giver_coin,
        Coins::new(MAX - 1)
    );
    assert_eq!(
        db.grant(bob, 2, "two").await,
        GrantOutcome::CoinsInsufficient
    );
    assert_eq!(
        db.grant(bob, 1, "one").await,
        GrantOutcome::Granted {
            coin: Coins::MAX,
            duplicate: false
        }
    );

    let report = db.store.audit().await.unwrap();
    assert!(report.balanced(), "{:?}", report.faults);
    assert_eq!(
        (report.users_coin, report.lives_coin, report.granted_coin),
        (MAX, MAX + 1, 2 * MAX + 1)
    );
}

/// In one batch, too: what a gift is refused for includes the gifts before it.
async fn a_batch_fills_a_live_up_to_the_last_coin(db: Database) {
    let (alice, bob) = (
        db.user("alice", 0).await.id,
        db.user("bob", Coins::MAX.get()).await.id,
    );
    let (live, most) = (
        db.live(alice, "k").await,
        db.gift(Coins::MAX.get() - 1).await,
    );
    let carol = db.user("carol", 2).await.id;
    let one = db.gift(1).await;
    let gifts = [
        order(live, bob, &most, 1, "a"),
        order(live, carol, &one, 1, "b"),
        order(live, carol, &one, 1, "c"),
    ];
    let outcomes = db
        .commit(gifts.map(|gift| Write::Gift(Arc::new(gift))).into())
        .await;
    let live_coins = outcomes.into_iter().map(|outcome| match outcome {
        WriteOutcome::Gift(result) => result.map(|receipt| receipt.live_coin.get()),
        other => panic!("not the outcome of a gift: {other:?}"),
    });
    let most = Coins::MAX.get() - 1;
    assert_eq!(
        live_coins.collect::<Vec<_>>(),
        [Ok(most), Ok(most + 1), Err(GiftRefusal::LiveCoinsFull)]
    );
    db.assert_books_balance().await;
}

/// Balances of before there was a limit are neither wrong nor stuck.
async fn a_balance_above_the_range_can_be_spent_and_lowered_but_not_raised(db: Database) {
    const OLD: i64 = i64::MAX - 1;
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    db.execute(&format!(
        "INSERT INTO ledger_transfers (id, kind, user_id, request_id, user_coin_after, created_at) \
         VALUES (900, 'grant', {bob}, 'old', {OLD}, 0); \
         INSERT INTO ledger_entries (transfer_id, account, account_id, amount) \
         VALUES (900, 'mint', 0, -{OLD}), (900, 'user', {bob}, {OLD}); \
         UPDATE users SET coin = {OLD} WHERE id = {bob}"
    ))
    .unwrap();
    db.assert_books_balance().await;
    assert_eq!(
        db.grant(bob, 1, "more").await,
        GrantOutcome::CoinsInsufficient
    );
    let lowered = GrantOutcome::Granted {
        coin: Coins::new(OLD - 1),
        duplicate: false,
    };
    assert_eq!(db.grant(bob, -1, "less").await, lowered);
    let (live, rose) = (db.live(alice, "k").await, db.gift(7).await);
    assert_eq!(
        db.give(order(live, bob, &rose, 1, "g"))
            .await
            .unwrap()
            .giver_coin,
        Coins::new(OLD - 8)
    );
    db.assert_books_balance().await;
}

async fn the_audit_adds_up_more_than_64_bits(db: Database) {
    for (number, name) in [(901, "alice"), (902, "bob"), (903, "carol")] {
        let id = db.user(name, 0).await.id;
        db.execute(&format!(
            "INSERT INTO ledger_transfers (id, kind, user_id, request_id, user_coin_after, created_at) \
             VALUES ({number}, 'grant', {id}, 'old-{id}', {coin}, 0); \
             INSERT INTO ledger_entries (transfer_id, account, account_id, amount) \
             VALUES ({number}, 'mint', 0, -{coin}), ({number}, 'user', {id}, {coin}); \
             UPDATE users SET coin = {coin} WHERE id = {id}",
            coin = i64::MAX
        ))
        .unwrap();
    }
    let report = db.store.audit().await.unwrap();
    assert!(report.balanced(), "{:?}", report.faults);
    assert_eq!(
        (report.users_coin, report.granted_coin),
        (i64::MAX, i64::MAX)
    );
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
    Tampering {
        row,
        broken,
        mended,
        rule,
        found_in,
    }
}

/// Transfer 1 is bob's grant of 100, entries 1 (mint) and 2 (user); transfer 2 is his gift of 7,
/// entries 3 (user) and 4 (live), gift record 1. Alice is user 1, bob user 2.
const TAMPERINGS: [Tampering; 16] = [
    tampering(
        "users 2",
        "coin = 94",
        "coin = 93",
        "user_balance",
        "user 2",
    ),
    tampering(
        "users 1",
        "coin = -1",
        "coin = 0",
        "negative_balance",
        "user 1",
    ),
    tampering("lives 1", "coin = 8", "coin = 7", "live_balance", "live 1"),
    tampering("lives 1", "coin = 6", "coin = 7", "live_gifts", "live 1"),
    tampering(
        "ledger_entries 4",
        "amount = 8",
        "amount = 7",
        "transfer_sum",
        "transfer 2",
    ),
    tampering(
        "ledger_entries 4",
        "amount = 8",
        "amount = 7",
        "ledger_sum",
        "ledger",
    ),
    tampering(
        "ledger_entries 4",
        "amount = 8",
        "amount = 7",
        "gift_credit",
        "gift record 1",
    ),
    tampering(
        "ledger_entries 3",
        "amount = -8",
        "amount = -7",
        "gift_debit",
        "gift record 1",
    ),
    tampering(
        "ledger_entries 4",
        "account_id = 9",
        "account_id = 1",
        "entry_account",
        "entry 4",
    ),
    tampering(
        "ledger_entries 4",
        "transfer_id = 9",
        "transfer_id = 2",
        "entry_transfer",
        "entry 4",
    ),
    tampering(
        "ledger_entries 4",
        "transfer_id = 1",
        "transfer_id = 2",
        "transfer_entries",
        "transfer 2",
    ),
    tampering(
        "ledger_entries 1",
        "account = 'live'",
        "account = 'mint'",
        "grant_mint",
        "transfer 1",
    ),
    tampering(
        "ledger_transfers 1",
        "user_id = 1",
        "user_id = 2",
        "grant_user",
        "transfer 1",
    ),
    tampering(
        "ledger_transfers 2",
        "user_id = 1",
        "user_id = 2",
        "gift_transfer",
        "gift record 1",
    ),
    tampering(
        "gift_records 1",
        "transfer_id = 9",
        "transfer_id = 2",
        "transfer_gift",
        "transfer 2",
    ),
    tampering(
        "gift_records 1",
        "price = 6",
        "price = 7",
        "gift_total",
        "gift record 1",
    ),
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
    let unchecked = if db.is_sqlite() {
        "PRAGMA ignore_check_constraints = ON; "
    } else {
        ""
    };
    for Tampering {
        row,
        broken,
        mended,
        rule,
        found_in,
    } in TAMPERINGS
    {
        let (table, id) = row.split_once(' ').unwrap();
        db.execute(&format!(
            "{unchecked}UPDATE {table} SET {broken} WHERE id = {id}"
        ))
        .unwrap();
        let faults = db.store.audit().await.unwrap().faults;
        let fault = faults
            .iter()
            .find(|fault| fault.rule == rule && fault.row == found_in);
        let fault = fault.unwrap_or_else(|| panic!("{row}: {broken}: no {rule} in {faults:#?}"));
        assert_ne!(fault.expected, fault.found, "{fault}");
        db.execute(&format!("UPDATE {table} SET {mended} WHERE id = {id}"))
            .unwrap();
        db.assert_books_balance().await;
    }
}

async fn the_audit_lists_no_more_faults_than_it_promises(db: Database) {
    let users = "INSERT INTO users (username, password_hash, coin, created_at, updated_at) \
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1100) \
                 SELECT 'user' || i, 'h', 1, 0, 0 FROM n";
    db.execute(users).unwrap();
    let report = db.store.audit().await.unwrap();
    assert_eq!(
        (report.faults.len(), report.users_coin),
        (AuditReport::FAULTS_MAX, 1_100)
    );
}
