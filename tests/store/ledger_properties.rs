//! Whatever happens in whatever order, the store answers like a simple model of it and the books
//! balance: gifts in batches of any size, retries, two tabs, top-ups, changed prices, users and
//! lives that come and go, restarts.

use std::collections::HashMap;
use std::sync::Arc;

use crate::support::database::{Database, on_postgres, on_sqlite, open, order};
use liveroom::domain::*;
use liveroom::storage::{GrantOutcome, Performed, Write, WriteOutcome};
use proptest::prelude::*;

const USERS: usize = 3;
const LIVES: usize = 2;
const PRICES: [i64; 2] = [3, 7];

/// Few users, gifts and requests, so that they meet often.
#[derive(Debug, Clone)]
struct GiveStep {
    user: usize,
    live: usize,
    gift: usize,
    count: i64,
    /// The price that its giver was shown, in coins above the first one.
    dearer: i64,
    request: u8,
}

#[derive(Debug, Clone)]
enum Step {
    Give(Vec<GiveStep>),
    Grant {
        user: usize,
        delta: i64,
        request: u8,
    },
    Enable {
        user: usize,
        enabled: bool,
    },
    EndLive {
        live: usize,
    },
    /// An operator changes the catalogue.
    ChangeGift {
        gift: usize,
        dearer: Option<i64>,
        on_sale: Option<bool>,
    },
    /// The process ends and another opens the same database.
    Restart,
}

fn give_step() -> impl Strategy<Value = GiveStep> {
    (
        0..USERS,
        0..LIVES,
        0..PRICES.len(),
        1..3_i64,
        0..2_i64,
        0..12_u8,
    )
        .prop_map(|(user, live, gift, count, dearer, request)| GiveStep {
            user,
            live,
            gift,
            count,
            dearer,
            request,
        })
}

/// Half of the batches repeat one gift, as two tabs or an impatient client do.
fn batch() -> impl Strategy<Value = Vec<GiveStep>> {
    (prop::collection::vec(give_step(), 1..7), any::<bool>()).prop_map(|(mut gifts, repeat)| {
        if repeat {
            gifts.push(gifts[0].clone());
        }
        gifts
    })
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => batch().prop_map(Step::Give),
        4 => (0..USERS, -20..60_i64, 0..8_u8)
            .prop_filter("a grant moves coins", |(_, delta, _)| *delta != 0)
            .prop_map(|(user, delta, request)| Step::Grant { user, delta, request }),
        1 => (0..USERS, any::<bool>()).prop_map(|(user, enabled)| Step::Enable { user, enabled }),
        1 => (0..LIVES).prop_map(|live| Step::EndLive { live }),
        3 => (0..PRICES.len(), prop::option::of(0..2_i64), prop::option::weighted(0.3, any::<bool>()))
            .prop_map(|(gift, dearer, on_sale)| Step::ChangeGift { gift, dearer, on_sale }),
        2 => Just(Step::Restart),
    ];
    prop::collection::vec(step, 1..20)
}

/// A gift the model has seen committed: what was asked, and what was answered.
struct Given {
    asked: (usize, usize, i64),
    total: i64,
    giver_coin: i64,
    live_coin: i64,
}

/// What the books should say.
#[derive(Default)]
struct Model {
    coins: [i64; USERS],
    disabled: [bool; USERS],
    live_coins: [i64; LIVES],
    ended: [bool; LIVES],
    dearer: [i64; PRICES.len()],
    withdrawn: [bool; PRICES.len()],
    given: HashMap<(usize, u8), Given>,
    grants: HashMap<u8, (usize, i64, i64)>,
}

impl Model {
    /// Total, the two balances after it, and whether it had been given before.
    fn give(&mut self, step: &GiveStep) -> Result<(i64, i64, i64, bool), GiftRefusal> {
        let asked = (step.live, step.gift, step.count);
        if let Some(given) = self.given.get(&(step.user, step.request)) {
            let same = given.asked == asked;
            return same
                .then_some((given.total, given.giver_coin, given.live_coin, true))
                .ok_or(GiftRefusal::Conflict);
        }
        let total = (PRICES[step.gift] + step.dearer) * step.count;
        if self.disabled[step.user] {
            return Err(GiftRefusal::UserDisabled);
        }
        if self.ended[step.live] {
            return Err(GiftRefusal::LiveEnded);
        }
        if self.withdrawn[step.gift] {
            return Err(GiftRefusal::GiftWithdrawn);
        }
        if self.dearer[step.gift] != step.dearer {
            return Err(GiftRefusal::PriceChanged);
        }
        if self.coins[step.user] < total {
            return Err(GiftRefusal::CoinsInsufficient);
        }
        self.coins[step.user] -= total;
        self.live_coins[step.live] += total;
        let (giver_coin, live_coin) = (self.coins[step.user], self.live_coins[step.live]);
        self.given.insert(
            (step.user, step.request),
            Given {
                asked,
                total,
                giver_coin,
                live_coin,
            },
        );
        Ok((total, giver_coin, live_coin, false))
    }

    fn grant(&mut self, user: usize, delta: i64, request: u8) -> GrantOutcome {
        if let Some(&(to, granted, coin)) = self.grants.get(&request) {
            let same = (to, granted) == (user, delta);
            let again = GrantOutcome::Granted {
                coin: Coins::new(coin),
                duplicate: true,
            };
            return if same { again } else { GrantOutcome::Conflict };
        }
        if self.coins[user] + delta < 0 {
            return GrantOutcome::CoinsInsufficient;
        }
        self.coins[user] += delta;
        self.grants.insert(request, (user, delta, self.coins[user]));
        GrantOutcome::Granted {
            coin: Coins::new(self.coins[user]),
            duplicate: false,
        }
    }
}

async fn behaves_like_the_model(mut db: Database, steps: Vec<Step>) {
    let mut model = Model::default();
    let mut users = Vec::new();
    for number in 0..USERS {
        users.push(db.user(&format!("user{number}"), 0).await.id);
    }
    let owner = users[0];
    let lives = [db.live(owner, "k0").await, db.live(owner, "k1").await];
    let gifts = [db.gift(PRICES[0]).await, db.gift(PRICES[1]).await];

    for step in steps {
        match &step {
            Step::Give(batch) => {
                let writes = batch.iter().map(|give| {
                    let price = Coins::new(PRICES[give.gift] + give.dearer);
                    let gift = Arc::new(Gift {
                        price,
                        ..(*gifts[give.gift]).clone()
                    });
                    let request = format!("gift-{}", give.request);
                    Write::Gift(Arc::new(order(
                        lives[give.live],
                        users[give.user],
                        &gift,
                        give.count,
                        &request,
                    )))
                });
                let outcomes = db.commit(writes.collect()).await;
                let told: Vec<_> = outcomes
                    .into_iter()
                    .map(|outcome| match outcome {
                        WriteOutcome::Gift(result) => result.map(|told| {
                            (
                                told.total.get(),
                                told.giver_coin.get(),
                                told.live_coin.get(),
                                told.duplicate,
                            )
                        }),
                        other => panic!("not the outcome of a gift: {other:?}"),
                    })
                    .collect();
                let expected: Vec<_> = batch.iter().map(|give| model.give(give)).collect();
                assert_eq!(told, expected, "{step:?}");
            }
            Step::Grant {
                user,
                delta,
                request,
            } => {
                let told = db
                    .grant(users[*user], *delta, &format!("grant-{request}"))
                    .await;
                assert_eq!(told, model.grant(*user, *delta, *request), "{step:?}");
            }
            Step::Enable { user, enabled } => {
                db.set_enabled(users[*user], *enabled).await;
                model.disabled[*user] = !enabled;
            }
            Step::EndLive { live } => {
                let ended = db.set_status(lives[*live], LiveStatus::Ended).await;
                assert_eq!(
                    ended == Performed::Refused(Reject::LiveEnded),
                    model.ended[*live]
                );
                model.ended[*live] = true;
            }
            Step::ChangeGift {
                gift,
                dearer,
                on_sale,
            } => {
                let price = dearer.map(|dearer| PRICES[*gift] + dearer);
                let row = db.change_gift(gifts[*gift].id, price, *on_sale).await;
                model.dearer[*gift] = dearer.unwrap_or(model.dearer[*gift]);
                model.withdrawn[*gift] = !on_sale.unwrap_or(!model.withdrawn[*gift]);
                let expected = (PRICES[*gift] + model.dearer[*gift], !model.withdrawn[*gift]);
                assert_eq!((row.gift.price.get(), row.on_sale), expected, "{step:?}");
            }
            Step::Restart => db.store = open(&db.url).await.unwrap(),
        }
        for (user, coin) in users.iter().zip(model.coins) {
            assert_eq!(db.coin(*user).await, coin, "after {step:?}");
        }
        for (live, coin) in lives.iter().zip(model.live_coins) {
            assert_eq!(
                db.store.live_ledger(*live).await.unwrap().coins.get(),
                coin,
                "after {step:?}"
            );
        }
        let report = db.store.audit().await.unwrap();
        assert!(report.balanced(), "after {step:?}: {:#?}", report.faults);
        let gifts_count = model.given.len() as i64;
        assert_eq!(
            (report.gifts_count, report.transfers_count),
            (gifts_count, gifts_count + model.grants.len() as i64)
        );
    }
}

/// One in so many of the usual number of cases, since each waits for a disk; `PROPTEST_CASES` (256)
/// asks for more.
fn one_in(divisor: u32) -> ProptestConfig {
    let usual = ProptestConfig::default();
    let cases = (usual.cases / divisor).max(1);
    ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 100,
        ..usual
    }
}

proptest! {
    #![proptest_config(one_in(16))]

    #[test]
    fn sqlite_books_balance_after_every_step(steps in steps()) {
        on_sqlite(|db| behaves_like_the_model(db, steps));
    }
}

proptest! {
    #![proptest_config(one_in(64))]

    #[test]
    fn postgresql_books_balance_after_every_step(steps in steps()) {
        on_postgres(|db| behaves_like_the_model(db, steps));
    }
}

/// Not a test of speed, which a busy machine would fail, but it prints what speed there was.
#[test]
fn a_batch_commits_many_gifts_at_the_price_of_one_transaction() {
    on_sqlite(|db| async move {
        let (alice, bob) = (
            db.user("alice", 0).await.id,
            db.user("bob", 1_000_000).await.id,
        );
        let (live, rose) = (db.live(alice, "k").await, db.gift(1).await);
        let mut number = 0;
        for (batch, rounds) in [(1, 100), (256, 8)] {
            let started = std::time::Instant::now();
            for _ in 0..rounds {
                let gifts = (0..batch).map(|_| {
                    number += 1;
                    Write::Gift(Arc::new(order(live, bob, &rose, 1, &format!("g{number}"))))
                });
                let outcomes = db.commit(gifts.collect()).await;
                assert!(
                    outcomes
                        .iter()
                        .all(|outcome| matches!(outcome, WriteOutcome::Gift(Ok(_))))
                );
            }
            let per_second = f64::from(batch * rounds) / started.elapsed().as_secs_f64();
            println!("{batch} gifts a commit: {per_second:.0} gifts/s");
        }
        assert_eq!(db.coin(bob).await, 1_000_000 - i64::from(number));
        db.assert_books_balance().await;
    });
}
