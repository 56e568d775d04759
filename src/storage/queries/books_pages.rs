//! The entries of an account, and who gave most: what operators look at of the books.

use std::collections::HashMap;

use diesel::dsl::{count_star, sql};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::domain::{Coins, GiftId, GiftRecordId, LiveId, Timestamp, UserId};
use crate::storage::schema::{gift_records, gifts, ledger_entries, ledger_transfers, users};
use crate::storage::{AccountEntry, BookAccount, GiftEntry, Giver, StoreError};

/// A row of the ledger: entry, transfer and user.
type EntryColumns = (i64, i64, String, i64, i64, i64, String);
/// Record, live, gift, count, price, the live's coins after it, and the gift's name.
type GiftColumns = (
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<String>,
);

/// Entries of an account with ids between `after` and `before`, both exclusive: the newest `max`,
/// newest first, or else the oldest, oldest first.
pub async fn entries(
    conn: &mut Conn,
    account: BookAccount,
    (after, before): (i64, i64),
    newest_first: bool,
    max: u32,
) -> Result<Vec<AccountEntry>, StoreError> {
    let (name, id) = match account {
        BookAccount::User(user) => ("user", user.get()),
        BookAccount::Live(live_id) => ("live", live_id.get()),
    };
    let query = ledger_entries::table
        .inner_join(ledger_transfers::table)
        .inner_join(users::table.on(users::id.eq(ledger_transfers::user_id)))
        .left_join(
            gift_records::table.on(gift_records::transfer_id.eq(ledger_entries::transfer_id)),
        )
        .left_join(gifts::table.on(gifts::id.nullable().eq(gift_records::gift_id.nullable())))
        .filter(ledger_entries::account.eq(name))
        .filter(ledger_entries::account_id.eq(id))
        .filter(ledger_entries::id.gt(after))
        .filter(ledger_entries::id.lt(before))
        .limit(max.into())
        .select((
            (
                ledger_entries::id,
                ledger_entries::amount,
                ledger_transfers::request_id,
                ledger_transfers::user_coin_after,
                ledger_transfers::created_at,
                users::id,
                users::username,
            ),
            (
                gift_records::id.nullable(),
                gift_records::live_id.nullable(),
                gift_records::gift_id.nullable(),
                gift_records::num.nullable(),
                gift_records::price.nullable(),
                gift_records::live_coin_after.nullable(),
                gifts::name.nullable(),
            ),
        ))
        .into_boxed();
    let query = if newest_first {
        query.order(ledger_entries::id.desc())
    } else {
        query.order(ledger_entries::id)
    };
    let rows: Vec<(EntryColumns, GiftColumns)> = query.load(conn).await?;
    rows.into_iter()
        .map(|(entry, gift)| account_entry(account, entry, gift))
        .collect()
}

fn account_entry(
    account: BookAccount,
    (id, amount, request_id, user_coin, at, user, username): EntryColumns,
    gift: GiftColumns,
) -> Result<AccountEntry, StoreError> {
    let gift = gift_entry(gift);
    let balance = match (account, &gift) {
        (BookAccount::Live(_), Some(gift)) => gift.live_coin,
        _ => Coins::new(user_coin),
    };
    Ok(AccountEntry {
        id,
        coins: Coins::new(amount),
        balance,
        user: user_id(user)?,
        username,
        request_id,
        at: Timestamp(at),
        gift,
    })
}

/// `None` for a grant, which has no record of a gift.
fn gift_entry(
    (record, live, gift, count, price, live_coin, name): GiftColumns,
) -> Option<GiftEntry> {
    Some(GiftEntry {
        record_id: GiftRecordId::new(record?)?,
        live_id: LiveId::new(live?)?,
        gift_id: GiftId::new(gift?)?,
        name: name?,
        count: count?,
        price: Coins::new(price?),
        live_coin: Coins::new(live_coin?),
    })
}

fn user_id(id: i64) -> Result<UserId, StoreError> {
    UserId::new(id).ok_or_else(|| StoreError::Fault(format!("users {id}: id is not positive")))
}

/// Those who gave most in a live. Reads all of its gifts, out of the index alone: some 0.3 s for a
/// million.
pub async fn givers(conn: &mut Conn, live_id: LiveId, max: u32) -> Result<Vec<Giver>, StoreError> {
    // The total of a live fits, so that of a giver does.
    let coins = || sql::<BigInt>("CAST(SUM(gift_records.total) AS BIGINT)");
    let rows: Vec<(i64, i64, i64)> = gift_records::table
        .filter(gift_records::live_id.eq(live_id.get()))
        .group_by(gift_records::user_id)
        .order((coins().desc(), gift_records::user_id))
        .limit(max.into())
        .select((gift_records::user_id, coins(), count_star()))
        .load(conn)
        .await?;
    let named: Vec<(i64, String)> = users::table
        .filter(users::id.eq_any(rows.iter().map(|(user, ..)| *user)))
        .select((users::id, users::username))
        .load(conn)
        .await?;
    let mut names: HashMap<i64, String> = named.into_iter().collect();
    let giver = |(user, coins, gifts)| {
        Ok(Giver {
            user: user_id(user)?,
            username: names.remove(&user).unwrap_or_default(),
            coins: Coins::new(coins),
            gifts,
        })
    };
    rows.into_iter().map(giver).collect()
}
