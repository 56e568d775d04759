//! A batch in SQLite: row by row, since statements cost no round trip here, and prepared once.

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;

use super::{Conn, holds};
use crate::domain::Comment;
use crate::storage::batch::{
    BatchGift, BatchKeys, BatchLive, BatchRows, BatchUser, EarlierGift, NewGift, Plan,
    StoredComment, Written, require_all,
};
use crate::storage::rows::{LIVE_OPEN, USER_ENABLED};
use crate::storage::schema::{
    comments, gift_records, gifts, ledger_entries, ledger_transfers, live_views, lives, users,
};
use crate::storage::{StoreError, Write, WriteOutcome};

pub async fn commit_batch(
    conn: &mut Conn,
    batch: Vec<Write>,
) -> Result<Vec<WriteOutcome>, StoreError> {
    conn.spawn_blocking(move |conn| Ok(commit(conn, &batch)))
        .await?
}

/// Runs inside a transaction that holds the write lock.
fn commit(conn: &mut SqliteConnection, batch: &[Write]) -> Result<Vec<WriteOutcome>, StoreError> {
    let mut rows = read(conn, &BatchKeys::of(batch))?;
    let plan = Plan::decide(batch, &mut rows);
    let written = write(conn, &plan)?;
    plan.outcomes(&written)
}

fn read(conn: &mut SqliteConnection, keys: &BatchKeys) -> QueryResult<BatchRows> {
    let mut rows = BatchRows::default();
    for &id in keys.givers.iter().chain(&keys.viewers) {
        let row = users::table
            .find(id)
            .select((users::coin, users::status))
            .get_result::<(i64, i16)>(conn)
            .optional()?;
        rows.users.extend(row.map(|(coin, status)| {
            (
                id,
                BatchUser {
                    coin,
                    enabled: status == USER_ENABLED,
                },
            )
        }));
    }
    for &id in &keys.locked_lives {
        let columns = (lives::coin, lives::look_count, lives::status);
        let row = lives::table
            .find(id)
            .select(columns)
            .get_result::<(i64, i64, i16)>(conn)
            .optional()?;
        rows.lives.extend(row.map(|(coin, look_count, status)| {
            (
                id,
                BatchLive {
                    coin,
                    look_count,
                    open: LIVE_OPEN.contains(&status),
                },
            )
        }));
    }
    for &id in &keys.gifts {
        let row = gifts::table
            .find(id)
            .select((gifts::coin, gifts::on_sale))
            .get_result::<(i64, bool)>(conn)
            .optional()?;
        rows.gifts
            .extend(row.map(|(price, on_sale)| (id, BatchGift { price, on_sale })));
    }
    for (giver, request_id) in &keys.requests {
        let row = ledger_transfers::table
            .inner_join(gift_records::table)
            // A literal, because SQLite does not match a bound value with the condition of the
            // index.
            .filter(sql::<Bool>("ledger_transfers.kind = 'gift'"))
            .filter(ledger_transfers::user_id.eq(giver))
            .filter(ledger_transfers::request_id.eq(request_id.as_str()))
            .select((
                gift_records::id,
                gift_records::live_id,
                gift_records::gift_id,
                gift_records::num,
                gift_records::total,
                ledger_transfers::user_coin_after,
                gift_records::live_coin_after,
                gift_records::created_at,
            ))
            .get_result::<EarlierGift>(conn)
            .optional()?;
        rows.requests
            .extend(row.map(|gift| ((*giver, request_id.clone()), gift)));
    }
    for &view in &keys.views {
        let row = live_views::table
            .find(view)
            .get_result::<(i64, i64)>(conn)
            .optional()?;
        rows.views.extend(row);
    }
    for &id in &keys.authors {
        rows.authors.extend(
            users::table
                .find(id)
                .select(users::id)
                .get_result::<i64>(conn)
                .optional()?,
        );
    }
    for &id in &keys.commented_lives {
        rows.commented_lives.extend(
            lives::table
                .find(id)
                .select(lives::id)
                .get_result::<i64>(conn)
                .optional()?,
        );
    }
    rows.holds = holds::read(conn, &keys.holds)?;
    Ok(rows)
}

fn write(conn: &mut SqliteConnection, plan: &Plan) -> Result<Written, StoreError> {
    let mut written = Written::default();
    for comment in &plan.comments {
        let inserted = diesel::insert_into(comments::table)
            .values((
                comments::id.eq(comment.id.get()),
                comments::live_id.eq(comment.live_id.get()),
                comments::user_id.eq(comment.author.id.get()),
                comments::content.eq(comment.text.as_str()),
                comments::request_id.eq(comment.request_id.as_ref().map(|id| id.as_str())),
                comments::created_at.eq(comment.at.0),
            ))
            .on_conflict_do_nothing()
            .execute(conn)?;
        if inserted == 0 && !is_stored(conn, comment)? {
            written.taken_ids.insert(comment.id);
        }
    }
    for held in &plan.holds {
        holds::write(conn, held)?;
    }
    for (comment_id, at) in &plan.removals {
        let shown = comments::table
            .find(comment_id.get())
            .filter(comments::removed_at.is_null());
        diesel::update(shown)
            .set(comments::removed_at.eq(at.0))
            .execute(conn)?;
    }
    for (live_id, user_id) in &plan.views {
        diesel::insert_into(live_views::table)
            .values((
                live_views::live_id.eq(live_id.get()),
                live_views::user_id.eq(user_id.get()),
            ))
            .execute(conn)?;
    }
    for (&user_id, spend) in &plan.spends {
        let payer = users::table
            .find(user_id)
            .filter(users::coin.ge(spend.coin))
            .filter(users::status.eq(USER_ENABLED));
        let paid = diesel::update(payer)
            .set((
                users::coin.eq(users::coin - spend.coin),
                users::updated_at.eq(spend.at),
            ))
            .execute(conn)?;
        require_all(paid, 1)?;
    }
    for (&live_id, gain) in &plan.gains {
        let gained = diesel::update(lives::table.find(live_id))
            .set((
                lives::coin.eq(lives::coin + gain.coin),
                lives::look_count.eq(lives::look_count + gain.views),
            ))
            .execute(conn)?;
        require_all(gained, 1)?;
    }
    written.record_ids = plan
        .gifts
        .iter()
        .map(|gift| write_gift(conn, gift))
        .collect::<QueryResult<_>>()?;
    Ok(written)
}

/// Whether the row with the comment's id is that comment.
fn is_stored(conn: &mut SqliteConnection, comment: &Comment) -> QueryResult<bool> {
    let columns = (comments::live_id, comments::user_id, comments::content);
    let stored: StoredComment = comments::table
        .find(comment.id.get())
        .select(columns)
        .get_result(conn)?;
    Ok(stored.is(comment))
}

fn write_gift(conn: &mut SqliteConnection, gift: &NewGift) -> QueryResult<i64> {
    let order = &gift.order;
    let (user_id, live_id) = (order.giver.id.get(), order.live_id.get());
    let transfer_id: i64 = diesel::insert_into(ledger_transfers::table)
        .values((
            ledger_transfers::kind.eq("gift"),
            ledger_transfers::user_id.eq(user_id),
            ledger_transfers::request_id.eq(order.request_id.as_str()),
            ledger_transfers::user_coin_after.eq(gift.giver_coin),
            ledger_transfers::created_at.eq(order.at.0),
        ))
        .returning(ledger_transfers::id)
        .get_result(conn)?;
    for (account, account_id, amount) in [
        ("user", user_id, -gift.total),
        ("live", live_id, gift.total),
    ] {
        diesel::insert_into(ledger_entries::table)
            .values((
                ledger_entries::transfer_id.eq(transfer_id),
                ledger_entries::account.eq(account),
                ledger_entries::account_id.eq(account_id),
                ledger_entries::amount.eq(amount),
            ))
            .execute(conn)?;
    }
    diesel::insert_into(gift_records::table)
        .values((
            gift_records::transfer_id.eq(transfer_id),
            gift_records::live_id.eq(live_id),
            gift_records::user_id.eq(user_id),
            gift_records::gift_id.eq(order.gift.id.get()),
            gift_records::num.eq(order.count.get()),
            gift_records::price.eq(order.gift.price.get()),
            gift_records::total.eq(gift.total),
            gift_records::live_coin_after.eq(gift.live_coin),
            gift_records::created_at.eq(order.at.0),
        ))
        .returning(gift_records::id)
        .get_result(conn)
}
