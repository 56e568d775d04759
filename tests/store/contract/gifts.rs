//! Gifts and grants: coins move once, exactly, or not at all.

use std::sync::Arc;

use futures_util::future::join_all;
use liveroom::domain::*;
use liveroom::storage::{
    ActAuthor, ActionRecord, Change, CoinGrant, GrantOutcome, LiveLedger, Performed, StoreError,
    Write, WriteOutcome,
};

use crate::support::database::{Database, NOW, commit, open, order, request};

pub async fn the_catalogue_reads_back_as_written(db: Database) {
    let (rose, car) = (db.gift(7).await, db.gift(1_000).await);
    let rows = db.store.gifts().await.unwrap();
    assert_eq!(
        rows.iter().map(|row| &row.gift).collect::<Vec<_>>(),
        [&*rose, &*car]
    );
    assert!(
        db.store
            .create_gift(
                "free".into(),
                "".into(),
                Coins::ZERO,
                NOW,
                ActAuthor::default()
            )
            .await
            .is_err()
    );
}

pub async fn a_gift_moves_its_price_from_giver_to_live(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 50).await.id);
    let (live, rose) = (db.live(alice, "k").await, db.gift(7).await);
    let receipt = db.give(order(live, bob, &rose, 3, "g1")).await.unwrap();
    assert_eq!(
        (receipt.total, receipt.giver_coin, receipt.live_coin),
        (Coins::new(21), Coins::new(29), Coins::new(21))
    );
    assert_eq!((receipt.at, receipt.duplicate), (NOW, false));
    let second = db.give(order(live, bob, &rose, 1, "g2")).await.unwrap();
    assert!(second.record_id > receipt.record_id);
    assert_eq!(db.coin(bob).await, 22);
    assert_eq!(
        db.store.live(live).await.unwrap().unwrap().live.coin,
        Coins::new(28)
    );
    assert_eq!(
        db.store.live_ledger(live).await.unwrap(),
        LiveLedger {
            gifts_count: 2,
            coins: Coins::new(28)
        }
    );
    let report = db.store.audit().await.unwrap();
    assert!(report.balanced(), "{:?}", report.faults);
    assert_eq!(
        (
            report.transfers_count,
            report.entries_count,
            report.gifts_count
        ),
        (3, 6, 2)
    );
    assert_eq!(
        (report.users_coin, report.lives_coin, report.granted_coin),
        (22, 28, 50)
    );
}

pub async fn a_refused_gift_moves_nothing_and_keeps_its_request_id_usable(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 6).await.id);
    let (live, rose) = (db.live(alice, "k").await, db.gift(7).await);
    let scheduled = db
        .store
        .create_live(alice, "t".into(), "c".into(), "s".into(), NOW)
        .await
        .unwrap()
        .live
        .id;
    let unknown_gift = Arc::new(Gift {
        id: GiftId::new(99).unwrap(),
        ..(*rose).clone()
    });
    let free = Arc::new(Gift {
        price: Coins::ZERO,
        ..(*rose).clone()
    });
    let nobody = UserId::new(99).unwrap();
    let no_live = LiveId::new(99).unwrap();
    for (refusal, order) in [
        (
            GiftRefusal::CoinsInsufficient,
            order(live, bob, &rose, 1, "g"),
        ),
        (GiftRefusal::LiveEnded, order(scheduled, bob, &rose, 1, "g")),
        (GiftRefusal::LiveEnded, order(no_live, bob, &rose, 1, "g")),
        (
            GiftRefusal::GiftNotFound,
            order(live, bob, &unknown_gift, 1, "g"),
        ),
        (GiftRefusal::GiftNotFound, order(live, bob, &free, 1, "g")),
        (
            GiftRefusal::UserDisabled,
            order(live, nobody, &rose, 1, "g"),
        ),
    ] {
        assert_eq!(db.give(order).await, Err(refusal));
    }
    db.grant(bob, 8, "top-up").await;
    db.set_enabled(bob, false).await;
    assert_eq!(
        db.give(order(live, bob, &rose, 1, "g")).await,
        Err(GiftRefusal::UserDisabled)
    );
    db.set_enabled(bob, true).await;
    assert_eq!(db.coin(bob).await, 14);
    assert!(
        !db.give(order(live, bob, &rose, 1, "g"))
            .await
            .unwrap()
            .duplicate
    );
    db.set_status(live, LiveStatus::Paused).await;
    assert!(db.give(order(live, bob, &rose, 1, "paused")).await.is_ok());
    db.set_status(live, LiveStatus::Ended).await;
    assert_eq!(
        db.give(order(live, bob, &rose, 1, "late")).await,
        Err(GiftRefusal::LiveEnded)
    );
    assert_eq!(db.coin(bob).await, 0);
    db.assert_books_balance().await;
}

pub async fn a_gift_costs_what_its_giver_was_shown_or_is_refused(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 100).await.id);
    let (live, rose) = (db.live(alice, "k").await, db.gift(7).await);
    db.give(order(live, bob, &rose, 2, "before")).await.unwrap();
    let row = db.change_gift(rose.id, Some(9), None).await;
    assert_eq!((row.gift.price, row.on_sale), (Coins::new(9), true));
    assert!(row.updated_at > row.created_at);
    let shown_before = order(live, bob, &rose, 1, "stale");
    assert_eq!(db.give(shown_before).await, Err(GiftRefusal::PriceChanged));
    let dearer = rose.clone().at_price(Coins::new(9));
    let receipt = db
        .give(order(live, bob, &dearer, 1, "stale"))
        .await
        .unwrap();
    assert_eq!((receipt.total.get(), receipt.giver_coin.get()), (9, 77));

    let row = db.change_gift(rose.id, None, Some(false)).await;
    assert_eq!((row.gift.price, row.on_sale), (Coins::new(9), false));
    assert_eq!(
        db.give(order(live, bob, &dearer, 1, "late")).await,
        Err(GiftRefusal::GiftWithdrawn)
    );
    let retry = db
        .give(order(live, bob, &dearer, 2, "before"))
        .await
        .unwrap();
    assert_eq!((retry.duplicate, retry.total), (true, Coins::new(14)));
    assert_eq!(db.store.gifts().await.unwrap(), [row]);
    db.change_gift(rose.id, Some(7), Some(true)).await;
    assert!(db.give(order(live, bob, &rose, 1, "late")).await.is_ok());
    assert_eq!(db.coin(bob).await, 70);
    db.assert_books_balance().await;
}

pub async fn a_change_of_a_gift_happens_once_per_request_id_and_is_in_the_audit(db: Database) {
    let rose = db.gift(7).await;
    let change = |price| GiftChange {
        gift: rose.id,
        price: Some(Coins::new(price)),
        on_sale: None,
    };
    let record = |change| ActionRecord {
        request_id: Some(request("c1")),
        ..ActionRecord::new(
            Actor::CONFIG,
            Role::Operator,
            Scope::Site,
            Action::ChangeGift(change),
            NOW,
        )
    };
    let mut answers = Vec::new();
    for price in [8, 9, 8] {
        answers.push(db.store.perform(record(change(price))).await.unwrap());
        db.change_gift(rose.id, None, Some(price == 9)).await;
    }
    let told = |performed: &Performed| match performed {
        Performed::Done {
            change: Change::Gift(row),
            is_repeated,
            ..
        } => Ok((row.gift.price.get(), row.on_sale, *is_repeated)),
        Performed::Refused(reject) => Err(*reject),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        answers.iter().map(told).collect::<Vec<_>>(),
        [
            Ok((8, true, false)),
            Err(Reject::DuplicateConflict),
            Ok((8, true, true))
        ]
    );
    let unknown = GiftChange {
        gift: GiftId::new(99).unwrap(),
        ..change(8)
    };
    let refused = db.store.perform(ActionRecord {
        request_id: None,
        ..record(unknown)
    });
    assert_eq!(
        refused.await.unwrap(),
        Performed::Refused(Reject::GiftNotFound)
    );
    let rows: Vec<AuditedChange> = db
        .rows("SELECT target_id, before, after FROM audit WHERE action = 'change_gift' ORDER BY id LIMIT 1")
        .await;
    assert_eq!(
        (rows[0].target_id, &*rows[0].before, &*rows[0].after),
        (
            rose.id.get(),
            r#"{"coin":7,"on_sale":true}"#,
            r#"{"coin":8,"on_sale":true}"#
        )
    );
}

#[derive(diesel::QueryableByName)]
struct AuditedChange {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    target_id: i64,
    #[diesel(sql_type = diesel::sql_types::Text)]
    before: String,
    #[diesel(sql_type = diesel::sql_types::Text)]
    after: String,
}

pub async fn a_retried_gift_has_one_effect_and_the_first_receipt(db: Database) {
    let (alice, bob) = (db.user("alice", 30).await.id, db.user("bob", 30).await.id);
    let (live, rose, car) = (
        db.live(alice, "k").await,
        db.gift(7).await,
        db.gift(9).await,
    );
    let other_live = db.live(alice, "k2").await;
    // Two tabs in one batch.
    let twice = vec![Write::Gift(Arc::new(order(live, bob, &rose, 1, "g"))); 2];
    let outcomes = db.commit(twice).await;
    let [
        WriteOutcome::Gift(Ok(first)),
        WriteOutcome::Gift(Ok(second)),
    ] = outcomes[..]
    else {
        panic!("{outcomes:?}")
    };
    assert!(!first.duplicate);
    assert_eq!(
        second,
        GiftReceipt {
            duplicate: true,
            ..first
        }
    );

    db.give(order(live, bob, &rose, 1, "between"))
        .await
        .unwrap();
    let dearer = rose.clone().at_price(Coins::new(8));
    db.change_gift(rose.id, None, Some(false)).await;
    db.set_status(live, LiveStatus::Ended).await;
    db.set_enabled(bob, false).await;
    let late = GiftOrder {
        at: NOW.plus_ms(9),
        ..order(live, bob, &dearer, 1, "g")
    };
    assert_eq!(
        db.give(late).await,
        Ok(GiftReceipt {
            duplicate: true,
            ..first
        })
    );
    for other in [
        order(live, bob, &rose, 2, "g"),
        order(live, bob, &car, 1, "g"),
        order(other_live, bob, &rose, 1, "g"),
    ] {
        assert_eq!(db.give(other).await, Err(GiftRefusal::Conflict));
    }
    db.change_gift(rose.id, None, Some(true)).await;
    // Another giver's request of the same name is another request.
    assert!(
        !db.give(order(other_live, alice, &rose, 1, "g"))
            .await
            .unwrap()
            .duplicate
    );
    assert_eq!((db.coin(bob).await, db.coin(alice).await), (16, 23));
    db.assert_books_balance().await;
}

pub async fn the_gift_of_a_giver_who_is_barred_is_found_if_it_was_committed_before(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 50).await.id);
    let (live, rose) = (db.live(alice, "k").await, db.gift(7).await);
    let find = |order| Write::FindGift {
        order: Arc::new(order),
        otherwise: Reject::GiftsPaused,
    };
    let barred = WriteOutcome::Gift(Err(GiftRefusal::Barred(Reject::GiftsPaused)));
    let new = find(order(live, bob, &rose, 1, "g"));
    assert_eq!(db.commit_one(new.clone()).await, barred);
    assert_eq!(db.coin(bob).await, 50, "nothing moved");
    // The name stays free, and one that is taken in the same batch is found there.
    let outcomes = db
        .commit(vec![
            Write::Gift(Arc::new(order(live, bob, &rose, 1, "g"))),
            new.clone(),
        ])
        .await;
    let WriteOutcome::Gift(Ok(first)) = outcomes[0] else {
        panic!("{outcomes:?}")
    };
    let found = WriteOutcome::Gift(Ok(GiftReceipt {
        duplicate: true,
        ..first
    }));
    assert_eq!(outcomes[1], found);
    assert_eq!(db.commit_one(new).await, found);
    let other = find(order(live, bob, &rose, 2, "g"));
    let conflict = WriteOutcome::Gift(Err(GiftRefusal::Conflict));
    assert_eq!(db.commit_one(other).await, conflict);
    assert_eq!(db.coin(bob).await, 43);
    db.assert_books_balance().await;
}

pub async fn a_grant_happens_once_per_request_id(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let granted = |coin, duplicate| GrantOutcome::Granted {
        coin: Coins::new(coin),
        duplicate,
    };
    assert_eq!(db.grant(alice, 10, "a").await, granted(10, false));
    assert_eq!(db.grant(alice, -4, "b").await, granted(6, false));
    assert_eq!(db.grant(alice, 10, "a").await, granted(10, true));
    assert_eq!(db.grant(alice, 11, "a").await, GrantOutcome::Conflict);
    assert_eq!(db.grant(bob, 10, "a").await, GrantOutcome::Conflict);
    assert_eq!(
        db.grant(alice, -7, "c").await,
        GrantOutcome::CoinsInsufficient
    );
    assert_eq!(db.grant(alice, -6, "c").await, granted(0, false));
    assert_eq!(
        db.grant(UserId::new(99).unwrap(), 1, "d").await,
        GrantOutcome::UserNotFound
    );
    let nothing = CoinGrant {
        user_id: alice,
        delta: Coins::ZERO,
        request_id: request("e"),
        at: NOW,
        by: ActAuthor::default(),
    };
    assert!(matches!(
        db.store.grant(nothing).await,
        Err(StoreError::Fault(_))
    ));
    db.set_enabled(bob, false).await;
    assert_eq!(db.grant(bob, 5, "f").await, granted(5, false));
    db.assert_books_balance().await;
}

pub async fn two_stores_on_one_database_keep_the_books_exact(db: Database) {
    const CALLS: i64 = 30;
    let alice = db.user("alice", 10_000).await.id;
    let bob = db.user("bob", 10_000).await.id;
    let (first, second, rose) = (
        db.live(alice, "k").await,
        db.live(alice, "k2").await,
        db.gift(1).await,
    );
    let stores = [db.store.clone(), open(&db.url).await.unwrap()];
    let mut commits = Vec::new();
    let mut grants = Vec::new();
    for call in 0..CALLS {
        for (number, store) in stores.iter().enumerate() {
            // Opposite orders of users and lives, to provoke a deadlock; and every second batch
            // holds a gift that the other store sends as well.
            let mut batch = vec![
                Write::Gift(Arc::new(order(
                    first,
                    alice,
                    &rose,
                    1,
                    &format!("a{number}-{call}"),
                ))),
                Write::Gift(Arc::new(order(
                    second,
                    bob,
                    &rose,
                    1,
                    &format!("both-{call}"),
                ))),
            ];
            if number == 1 {
                batch.reverse();
            }
            commits.push(commit(&**store, batch));
            let at = NOW;
            let request_id = request(&format!("both-{call}"));
            grants.push(store.grant(CoinGrant {
                user_id: bob,
                delta: Coins::new(2),
                request_id,
                at,
                by: ActAuthor::default(),
            }));
        }
    }
    let (committed, granted) = tokio::join!(join_all(commits), join_all(grants));
    for outcomes in committed {
        assert!(
            outcomes
                .unwrap()
                .iter()
                .all(|outcome| matches!(outcome, WriteOutcome::Gift(Ok(_))))
        );
    }
    for outcome in granted {
        assert!(matches!(outcome.unwrap(), GrantOutcome::Granted { .. }));
    }
    assert_eq!(db.coin(alice).await, 10_000 - 2 * CALLS);
    assert_eq!(db.coin(bob).await, 10_000 - CALLS + 2 * CALLS);
    let coins = [
        db.store.live_ledger(first).await.unwrap(),
        db.store.live_ledger(second).await.unwrap(),
    ];
    assert_eq!(
        coins.map(|ledger| (ledger.gifts_count, ledger.coins.get())),
        [(2 * CALLS, 2 * CALLS), (CALLS, CALLS)]
    );
    db.assert_books_balance().await;
}
