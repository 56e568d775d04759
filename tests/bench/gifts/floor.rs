//! The floor: one transaction per gift, in plain prepared statements, each a round trip.

use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use diesel::prelude::*;
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncPgConnection, RunQueryDsl, TransactionManager,
};
use liveroom::domain::GiftOrder;
use tokio::sync::{Mutex, mpsc};

use crate::load::{Answered, Sink};

mod tables {
    diesel::table! { users (id) { id -> BigInt, coin -> BigInt, status -> SmallInt, updated_at -> BigInt, } }
    diesel::table! { lives (id) { id -> BigInt, coin -> BigInt, status -> SmallInt, } }
    diesel::table! {
        ledger_transfers (id) {
            id -> BigInt, kind -> Text, user_id -> BigInt, request_id -> Text, user_coin_after -> BigInt,
            created_at -> BigInt,
        }
    }
    diesel::table! {
        ledger_entries (id) { id -> BigInt, transfer_id -> BigInt, account -> Text, account_id -> BigInt, amount -> BigInt, }
    }
    diesel::table! {
        gift_records (id) {
            id -> BigInt, transfer_id -> BigInt, live_id -> BigInt, user_id -> BigInt, gift_id -> BigInt,
            num -> BigInt, price -> BigInt, total -> BigInt, live_coin_after -> BigInt, created_at -> BigInt,
        }
    }
}
use tables::{gift_records, ledger_entries, ledger_transfers, lives, users};

type Queue = Arc<Mutex<mpsc::UnboundedReceiver<(u64, Arc<GiftOrder>)>>>;

pub struct Floor {
    queue: Option<mpsc::UnboundedSender<(u64, Arc<GiftOrder>)>>,
    thread: Option<JoinHandle<()>>,
}

impl Floor {
    pub fn connect(url: &str, connections: usize, answers: Sender<Answered>) -> Self {
        let (queue, orders) = mpsc::unbounded_channel();
        let (url, orders) = (url.to_owned(), Arc::new(Mutex::new(orders)));
        let thread = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime");
            runtime.block_on(async {
                let givers =
                    (0..connections).map(|_| serve(url.clone(), orders.clone(), answers.clone()));
                futures_util::future::join_all(givers).await;
            });
        });
        Self {
            queue: Some(queue),
            thread: Some(thread),
        }
    }
}

impl Sink for Floor {
    fn give(&mut self, number: u64, order: Arc<GiftOrder>) {
        let queue = self.queue.as_ref().expect("open until it is dropped");
        queue.send((number, order)).expect("the connections serve");
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            thread.join().expect("no gift failed");
        }
    }
}

/// One connection: takes gifts one by one for as long as there may be more.
async fn serve(url: String, orders: Queue, answers: Sender<Answered>) {
    let mut conn = AsyncPgConnection::establish(&url)
        .await
        .expect("a connection");
    loop {
        let next = orders.lock().await.recv().await;
        let Some((number, order)) = next else { return };
        AnsiTransactionManager::begin_transaction(&mut conn)
            .await
            .expect("a transaction begins");
        give(&mut conn, &order).await.expect("a gift is written");
        AnsiTransactionManager::commit_transaction(&mut conn)
            .await
            .expect("a gift is committed");
        // Whoever measures may have seen enough.
        let _ = answers.send(Answered {
            gifts: vec![number],
            at: Instant::now(),
        });
    }
}

async fn give(conn: &mut AsyncPgConnection, order: &GiftOrder) -> QueryResult<()> {
    let (giver, live, at) = (order.giver.id.get(), order.live_id.get(), order.at.0);
    let (price, count) = (order.gift.price.get(), order.count.get());
    let total = price * count;
    let payer = users::table
        .find(giver)
        .filter(users::coin.ge(total))
        .filter(users::status.eq(1));
    let giver_coin: i64 = diesel::update(payer)
        .set((
            users::coin.eq(users::coin - total),
            users::updated_at.eq(at),
        ))
        .returning(users::coin)
        .get_result(conn)
        .await?;
    let open = lives::table.find(live).filter(lives::status.eq(1));
    let live_coin: i64 = diesel::update(open)
        .set(lives::coin.eq(lives::coin + total))
        .returning(lives::coin)
        .get_result(conn)
        .await?;
    let transfer: i64 = diesel::insert_into(ledger_transfers::table)
        .values((
            ledger_transfers::kind.eq("gift"),
            ledger_transfers::user_id.eq(giver),
            ledger_transfers::request_id.eq(order.request_id.as_str()),
            ledger_transfers::user_coin_after.eq(giver_coin),
            ledger_transfers::created_at.eq(at),
        ))
        .returning(ledger_transfers::id)
        .get_result(conn)
        .await?;
    for (account, account_id, amount) in [("user", giver, -total), ("live", live, total)] {
        diesel::insert_into(ledger_entries::table)
            .values((
                ledger_entries::transfer_id.eq(transfer),
                ledger_entries::account.eq(account),
                ledger_entries::account_id.eq(account_id),
                ledger_entries::amount.eq(amount),
            ))
            .execute(conn)
            .await?;
    }
    diesel::insert_into(gift_records::table)
        .values((
            gift_records::transfer_id.eq(transfer),
            gift_records::live_id.eq(live),
            gift_records::user_id.eq(giver),
            gift_records::gift_id.eq(order.gift.id.get()),
            gift_records::num.eq(count),
            gift_records::price.eq(price),
            gift_records::total.eq(total),
            gift_records::live_coin_after.eq(live_coin),
            gift_records::created_at.eq(at),
        ))
        .execute(conn)
        .await?;
    Ok(())
}
