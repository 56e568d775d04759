//! A batch in PostgreSQL: one statement a table, whatever the size of the batch, in two volleys.
//!
//! Locks are taken users first, then lives, each in id order, and always before the books are read:
//! two batches cannot wait for each other, and the second reads what the first wrote.
//!
//! The statements of a volley are sent without waiting for each other's answers, and the server
//! runs them in the order in which they were sent: a batch holds its rows for two round trips and a
//! commit.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use diesel::prelude::*;
use diesel::sql_types::{BigInt, Bool, SmallInt, Text};
use diesel_async::RunQueryDsl;
use futures_util::future::{join, join3, join5};

use super::statement::{Bind, Statement};
use super::{Conn, holds};
use crate::domain::{Comment, CommentId, GiftId, LiveId, RequestId, UserId};
use crate::storage::batch::{
    BatchGift, BatchKeys, BatchLive, BatchRows, BatchUser, EarlierGift, NewGift, Plan,
    StoredComment, Written, require_all,
};
use crate::storage::row_locks::{Attempt, RowLock, blocking_rows};
use crate::storage::rows::{LIVE_OPEN, USER_ENABLED};
use crate::storage::schema::comments;
use crate::storage::{StoreError, Write, WriteOutcome};

/// How to treat rows that another transaction has locked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Locks {
    /// Wait for them, as long as `lock_timeout` says. Rows that must only stay there are not locked
    /// here: the foreign keys of what is written lock them.
    Wait,
    /// Go on without them.
    Skip,
}

/// The rows of a batch, and ids reserved for its gifts, read before anything is written.
struct BatchInput {
    rows: BatchRows,
    /// For a transfer and a record each.
    ids: Vec<(i64, i64)>,
}

pub async fn commit_batch(
    conn: &mut Conn,
    batch: Vec<Write>,
) -> Result<Vec<WriteOutcome>, StoreError> {
    let input = read(conn, &BatchKeys::of(&batch), Locks::Wait).await?;
    write(conn, &batch, input).await
}

/// Commits the writes that need no row locked by another transaction.
pub async fn commit_skip_locked(
    conn: &mut Conn,
    batch: Vec<Write>,
) -> Result<Vec<Attempt>, StoreError> {
    let keys = BatchKeys::of(&batch);
    let input = read(conn, &keys, Locks::Skip).await?;
    let locked = locked_rows(conn, &keys, &input.rows).await?;
    let blocking_rows = blocking_rows(&batch, &locked);
    let free: Vec<Write> = batch
        .into_iter()
        .zip(&blocking_rows)
        .filter(|(_, row)| row.is_none())
        .map(|(write, _)| write)
        .collect();
    let mut outcomes = write(conn, &free, input).await?.into_iter();
    let attempt = |row: Option<RowLock>| match row {
        Some(row) => Some(Attempt::Blocked(row)),
        None => outcomes.next().map(Attempt::Done),
    };
    blocking_rows
        .into_iter()
        .map(attempt)
        .collect::<Option<_>>()
        .ok_or_else(|| StoreError::Fault("a write has no answer".into()))
}

async fn read(conn: &Conn, keys: &BatchKeys, locks: Locks) -> Result<BatchInput, StoreError> {
    let (users, lives, gifts, (requests, ids), ((views, authors, commented_lives), holds)) = join5(
        read_users(conn, keys, locks),
        read_lives(conn, keys, locks),
        read_gifts(conn, keys, locks),
        join(
            read_requests(conn, keys),
            take_ids(conn, keys.requests.len()),
        ),
        join(
            join3(
                read_views(conn, keys),
                numbers(conn, USERS_THERE, keys.authors.iter().copied().collect()),
                numbers(
                    conn,
                    LIVES_THERE,
                    keys.commented_lives.iter().copied().collect(),
                ),
            ),
            holds::read(conn, &keys.holds),
        ),
    )
    .await;
    let mut rows = BatchRows::default();
    let user = |(id, coin, status)| {
        (
            id,
            BatchUser {
                coin,
                enabled: status == USER_ENABLED,
            },
        )
    };
    rows.users = users?.into_iter().map(user).collect();
    let live = |(id, coin, look_count, status)| {
        (
            id,
            BatchLive {
                coin,
                look_count,
                open: LIVE_OPEN.contains(&status),
            },
        )
    };
    rows.lives = lives?.into_iter().map(live).collect();
    let gift = |(id, price, on_sale)| (id, BatchGift { price, on_sale });
    rows.gifts = gifts?.into_iter().map(gift).collect();
    for (giver, request_id, gift) in requests? {
        // It was asked for, so it is well-formed.
        rows.requests
            .extend(RequestId::parse(&request_id).map(|request_id| ((giver, request_id), gift)));
    }
    let ids = ids?;
    rows.views = views?.into_iter().collect();
    rows.authors = authors?.into_iter().collect();
    rows.commented_lives = commented_lives?.into_iter().collect();
    rows.holds = holds?;
    Ok(BatchInput { rows, ids })
}

const USERS_THERE: &str = "SELECT id FROM users WHERE id = ANY(?)";
const LIVES_THERE: &str = "SELECT id FROM lives WHERE id = ANY(?)";

/// The rows of `keys` that exist, though reading did not get them: other transactions have locked
/// them.
async fn locked_rows(
    conn: &Conn,
    keys: &BatchKeys,
    rows: &BatchRows,
) -> Result<HashSet<RowLock>, StoreError> {
    let missing = |ids: &mut dyn Iterator<Item = &i64>,
                   is_read: &dyn Fn(i64) -> bool|
     -> Vec<i64> { ids.copied().filter(|id| !is_read(*id)).collect() };
    let is_user = |id: i64| rows.users.contains_key(&id);
    let is_live = |id: i64| rows.lives.contains_key(&id);
    let users = missing(&mut keys.givers.iter().chain(&keys.viewers), &is_user);
    let lives = missing(&mut keys.locked_lives.iter(), &is_live);
    let gifts = missing(&mut keys.gifts.iter(), &|id| rows.gifts.contains_key(&id));
    let (users, lives, gifts) = join3(
        numbers(conn, USERS_THERE, users),
        numbers(conn, LIVES_THERE, lives),
        numbers(conn, "SELECT id FROM gifts WHERE id = ANY(?)", gifts),
    )
    .await;
    let mut locked = HashSet::new();
    for id in users?.into_iter().filter_map(UserId::new) {
        locked.extend([RowLock::Balance(id), RowLock::User(id)]);
    }
    locked.extend(
        lives?
            .into_iter()
            .filter_map(LiveId::new)
            .map(RowLock::Total),
    );
    locked.extend(
        gifts?
            .into_iter()
            .filter_map(GiftId::new)
            .map(RowLock::Gift),
    );
    Ok(locked)
}

async fn numbers(mut conn: &Conn, sql: &'static str, ids: Vec<i64>) -> QueryResult<Vec<i64>> {
    if ids.is_empty() {
        return Ok(ids);
    }
    Statement::<BigInt>::new(sql, vec![Bind::Numbers(ids)])
        .load(&mut conn)
        .await
}

type UserColumns = (BigInt, BigInt, SmallInt);

async fn read_users(
    conn: &Conn,
    keys: &BatchKeys,
    locks: Locks,
) -> QueryResult<Vec<(i64, i64, i16)>> {
    let read =
        async |ids: &BTreeSet<i64>, sql: &'static str| -> QueryResult<Vec<(i64, i64, i16)>> {
            if ids.is_empty() {
                return Ok(Vec::new());
            }
            let ids = vec![Bind::Numbers(ids.iter().copied().collect())];
            Statement::<UserColumns>::new(sql, ids)
                .load(&mut &*conn)
                .await
        };
    let (givers, viewers) = match locks {
        Locks::Wait => (
            "SELECT id, coin, status FROM users WHERE id = ANY(?) ORDER BY id FOR NO KEY UPDATE",
            "SELECT id, coin, status FROM users WHERE id = ANY(?)",
        ),
        Locks::Skip => (
            "SELECT id, coin, status FROM users WHERE id = ANY(?) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
            "SELECT id, coin, status FROM users WHERE id = ANY(?) FOR KEY SHARE SKIP LOCKED",
        ),
    };
    let (givers, viewers) = join(read(&keys.givers, givers), read(&keys.viewers, viewers)).await;
    let mut rows = givers?;
    rows.extend(viewers?);
    Ok(rows)
}

type LiveColumns = (BigInt, BigInt, BigInt, SmallInt);

async fn read_lives(
    mut conn: &Conn,
    keys: &BatchKeys,
    locks: Locks,
) -> QueryResult<Vec<(i64, i64, i64, i16)>> {
    if keys.locked_lives.is_empty() {
        return Ok(Vec::new());
    }
    let sql = match locks {
        Locks::Wait => {
            "SELECT id, coin, look_count, status FROM lives WHERE id = ANY(?) ORDER BY id FOR NO KEY UPDATE"
        }
        Locks::Skip => {
            "SELECT id, coin, look_count, status FROM lives WHERE id = ANY(?) ORDER BY id \
             FOR NO KEY UPDATE SKIP LOCKED"
        }
    };
    let ids = vec![Bind::Numbers(keys.locked_lives.iter().copied().collect())];
    Statement::<LiveColumns>::new(sql, ids)
        .load(&mut conn)
        .await
}

/// A gift whose price changes meanwhile is sold as it was when it was read here: this batch comes
/// before the change, which does not wait for it.
async fn read_gifts(
    mut conn: &Conn,
    keys: &BatchKeys,
    locks: Locks,
) -> QueryResult<Vec<(i64, i64, bool)>> {
    if keys.gifts.is_empty() {
        return Ok(Vec::new());
    }
    let sql = match locks {
        Locks::Wait => "SELECT id, coin, on_sale FROM gifts WHERE id = ANY(?)",
        Locks::Skip => {
            "SELECT id, coin, on_sale FROM gifts WHERE id = ANY(?) FOR KEY SHARE SKIP LOCKED"
        }
    };
    let ids = vec![Bind::Numbers(keys.gifts.iter().copied().collect())];
    Statement::<(BigInt, BigInt, Bool)>::new(sql, ids)
        .load(&mut conn)
        .await
}

type GiftColumns = (
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
);

/// Each request is looked up by itself, because of LIMIT: as a plain join, and with statistics from
/// before the first gifts, the planner reads all gifts there are.
async fn read_requests(
    mut conn: &Conn,
    keys: &BatchKeys,
) -> QueryResult<Vec<(i64, String, EarlierGift)>> {
    if keys.requests.is_empty() {
        return Ok(Vec::new());
    }
    let (givers, requests) = keys
        .requests
        .iter()
        .map(|(giver, request_id)| (*giver, request_id.as_str()))
        .unzip();
    Statement::<(BigInt, Text, GiftColumns)>::new(
        "SELECT w.user_id, w.request_id, \
         g.record_id, g.live_id, g.gift_id, g.num, g.total, g.user_coin_after, g.live_coin_after, g.created_at \
         FROM unnest(?, ?) AS w (user_id, request_id) CROSS JOIN LATERAL ( \
         SELECT r.id AS record_id, r.live_id, r.gift_id, r.num, r.total, t.user_coin_after, r.live_coin_after, \
         r.created_at FROM ledger_transfers t JOIN gift_records r ON r.transfer_id = t.id \
         WHERE t.kind = 'gift' AND t.user_id = w.user_id AND t.request_id = w.request_id LIMIT 1) AS g",
        vec![Bind::Numbers(givers), Bind::Texts(requests)],
    )
    .load(&mut conn)
    .await
}

/// Takes ids for as many gifts, before it is known how many will be given: what is left over is
/// never used. So the three tables of a gift are filled by one statement each, in one volley.
async fn take_ids(mut conn: &Conn, gifts: usize) -> QueryResult<Vec<(i64, i64)>> {
    if gifts == 0 {
        return Ok(Vec::new());
    }
    Statement::<(BigInt, BigInt)>::new(
        "SELECT nextval('ledger_transfers_id_seq'), nextval('gift_records_id_seq') FROM generate_series(1, ?)",
        vec![Bind::Number(i64::try_from(gifts).unwrap_or(i64::MAX))],
    )
    .load(&mut conn)
    .await
}

async fn read_views(mut conn: &Conn, keys: &BatchKeys) -> QueryResult<Vec<(i64, i64)>> {
    if keys.views.is_empty() {
        return Ok(Vec::new());
    }
    let (live_ids, user_ids) = keys.views.iter().copied().unzip();
    Statement::<(BigInt, BigInt)>::new(
        "SELECT v.live_id, v.user_id FROM unnest(?, ?) AS w (live_id, user_id) \
         JOIN live_views v ON v.live_id = w.live_id AND v.user_id = w.user_id",
        vec![Bind::Numbers(live_ids), Bind::Numbers(user_ids)],
    )
    .load(&mut conn)
    .await
}

async fn write(
    conn: &Conn,
    batch: &[Write],
    mut input: BatchInput,
) -> Result<Vec<WriteOutcome>, StoreError> {
    let plan = Plan::decide(batch, &mut input.rows);
    let record_ids: Vec<i64> = input
        .ids
        .iter()
        .take(plan.gifts.len())
        .map(|(_, record)| *record)
        .collect();
    let transfer_ids: Vec<i64> = input
        .ids
        .iter()
        .take(plan.gifts.len())
        .map(|(transfer, _)| *transfer)
        .collect();
    let ((comments, holds), views, spends, gains, (transfers, entries, records)) = join5(
        join(write_comments(conn, &plan), holds::write(conn, &plan)),
        write_views(conn, &plan),
        write_spends(conn, &plan),
        write_gains(conn, &plan),
        join3(
            write_transfers(conn, &plan, &transfer_ids),
            write_entries(conn, &plan, &transfer_ids),
            write_records(conn, &plan, &transfer_ids, &record_ids),
        ),
    )
    .await;
    // In the order of the statements: those after one that failed say only that it did.
    let taken_ids = if comments? < plan.comments.len() {
        taken_ids(conn, &plan).await?
    } else {
        HashSet::new()
    };
    write_removals(conn, &plan).await?;
    holds?;
    views?;
    require_all(spends?, plan.spends.len())?;
    require_all(gains?, plan.gains.len())?;
    transfers?;
    entries?;
    records?;
    plan.outcomes(&Written {
        record_ids,
        taken_ids,
    })
}

/// Some of the comments were there already, as when one whose commit was not answered is sent
/// again, here or on another node. Returns the ids whose rows are other comments.
async fn taken_ids(mut conn: &Conn, plan: &Plan) -> QueryResult<HashSet<CommentId>> {
    let ids = plan.comments.iter().map(|comment| comment.id.get());
    let columns = (
        comments::id,
        (comments::live_id, comments::user_id, comments::content),
    );
    let stored: HashMap<i64, StoredComment> = comments::table
        .filter(comments::id.eq_any(ids))
        .select(columns)
        .load::<(i64, StoredComment)>(&mut conn)
        .await?
        .into_iter()
        .collect();
    let is_other = |comment: &&Arc<Comment>| {
        !stored
            .get(&comment.id.get())
            .is_some_and(|row| row.is(comment))
    };
    Ok(plan
        .comments
        .iter()
        .filter(is_other)
        .map(|comment| comment.id)
        .collect())
}

async fn write_comments(mut conn: &Conn, plan: &Plan) -> QueryResult<usize> {
    if plan.comments.is_empty() {
        return Ok(0);
    }
    let column = |number: fn(&Comment) -> i64| {
        Bind::Numbers(plan.comments.iter().map(|it| number(it)).collect())
    };
    let contents = plan
        .comments
        .iter()
        .map(|comment| comment.text.as_str())
        .collect();
    let request_ids = plan
        .comments
        .iter()
        .map(|comment| comment.request_id.as_ref().map(RequestId::as_str))
        .collect();
    Statement::<()>::new(
        "INSERT INTO comments (id, live_id, user_id, content, request_id, created_at) \
         SELECT * FROM unnest(?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
        vec![
            column(|comment| comment.id.get()),
            column(|comment| comment.live_id.get()),
            column(|comment| comment.author.id.get()),
            Bind::Texts(contents),
            Bind::OptionalTexts(request_ids),
            column(|comment| comment.at.0),
        ],
    )
    .execute(&mut conn)
    .await
}

/// Takes down comments that were removed at their places, which is rare.
async fn write_removals(mut conn: &Conn, plan: &Plan) -> QueryResult<()> {
    for (comment_id, at) in &plan.removals {
        let shown = comments::table
            .find(comment_id.get())
            .filter(comments::removed_at.is_null());
        diesel::update(shown)
            .set(comments::removed_at.eq(at.0))
            .execute(&mut conn)
            .await?;
    }
    Ok(())
}

async fn write_views(mut conn: &Conn, plan: &Plan) -> QueryResult<usize> {
    if plan.views.is_empty() {
        return Ok(0);
    }
    let (live_ids, user_ids) = plan
        .views
        .iter()
        .map(|(live_id, user_id)| (live_id.get(), user_id.get()))
        .unzip();
    Statement::<()>::new(
        "INSERT INTO live_views (live_id, user_id) SELECT * FROM unnest(?, ?)",
        vec![Bind::Numbers(live_ids), Bind::Numbers(user_ids)],
    )
    .execute(&mut conn)
    .await
}

async fn write_spends(mut conn: &Conn, plan: &Plan) -> QueryResult<usize> {
    if plan.spends.is_empty() {
        return Ok(0);
    }
    Statement::<()>::new(
        "UPDATE users SET coin = users.coin - s.coin, updated_at = s.at \
         FROM unnest(?, ?, ?) AS s (id, coin, at) \
         WHERE users.id = s.id AND users.coin >= s.coin AND users.status = 1",
        vec![
            Bind::Numbers(plan.spends.keys().copied().collect()),
            Bind::Numbers(plan.spends.values().map(|spend| spend.coin).collect()),
            Bind::Numbers(plan.spends.values().map(|spend| spend.at).collect()),
        ],
    )
    .execute(&mut conn)
    .await
}

async fn write_gains(mut conn: &Conn, plan: &Plan) -> QueryResult<usize> {
    if plan.gains.is_empty() {
        return Ok(0);
    }
    Statement::<()>::new(
        "UPDATE lives SET coin = lives.coin + g.coin, look_count = lives.look_count + g.views \
         FROM unnest(?, ?, ?) AS g (id, coin, views) WHERE lives.id = g.id",
        vec![
            Bind::Numbers(plan.gains.keys().copied().collect()),
            Bind::Numbers(plan.gains.values().map(|gain| gain.coin).collect()),
            Bind::Numbers(plan.gains.values().map(|gain| gain.views).collect()),
        ],
    )
    .execute(&mut conn)
    .await
}

fn column(plan: &Plan, number: fn(&NewGift) -> i64) -> Bind<'static> {
    Bind::Numbers(plan.gifts.iter().map(number).collect())
}

async fn write_transfers(mut conn: &Conn, plan: &Plan, transfer_ids: &[i64]) -> QueryResult<usize> {
    if plan.gifts.is_empty() {
        return Ok(0);
    }
    Statement::<()>::new(
        "INSERT INTO ledger_transfers (kind, id, user_id, request_id, user_coin_after, created_at) \
         SELECT 'gift', g.* FROM unnest(?, ?, ?, ?, ?) AS g",
        vec![
            Bind::Numbers(transfer_ids.to_vec()),
            column(plan, |gift| gift.order.giver.id.get()),
            Bind::Texts(
                plan.gifts
                    .iter()
                    .map(|gift| gift.order.request_id.as_str())
                    .collect(),
            ),
            column(plan, |gift| gift.giver_coin),
            column(plan, |gift| gift.order.at.0),
        ],
    )
    .execute(&mut conn)
    .await
}

async fn write_entries(mut conn: &Conn, plan: &Plan, transfer_ids: &[i64]) -> QueryResult<usize> {
    if plan.gifts.is_empty() {
        return Ok(0);
    }
    Statement::<()>::new(
        "INSERT INTO ledger_entries (transfer_id, account, account_id, amount) \
         SELECT g.transfer_id, e.account, e.account_id, e.amount \
         FROM unnest(?, ?, ?, ?) AS g (transfer_id, user_id, live_id, total) \
         CROSS JOIN LATERAL (VALUES ('user', g.user_id, -g.total), ('live', g.live_id, g.total)) \
         AS e (account, account_id, amount)",
        vec![
            Bind::Numbers(transfer_ids.to_vec()),
            column(plan, |gift| gift.order.giver.id.get()),
            column(plan, |gift| gift.order.live_id.get()),
            column(plan, |gift| gift.total),
        ],
    )
    .execute(&mut conn)
    .await
}

async fn write_records(
    mut conn: &Conn,
    plan: &Plan,
    transfer_ids: &[i64],
    record_ids: &[i64],
) -> QueryResult<usize> {
    if plan.gifts.is_empty() {
        return Ok(0);
    }
    Statement::<()>::new(
        "INSERT INTO gift_records \
         (id, transfer_id, live_id, user_id, gift_id, num, price, total, live_coin_after, created_at) \
         SELECT * FROM unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        vec![
            Bind::Numbers(record_ids.to_vec()),
            Bind::Numbers(transfer_ids.to_vec()),
            column(plan, |gift| gift.order.live_id.get()),
            column(plan, |gift| gift.order.giver.id.get()),
            column(plan, |gift| gift.order.gift.id.get()),
            column(plan, |gift| gift.order.count.get()),
            column(plan, |gift| gift.order.gift.price.get()),
            column(plan, |gift| gift.total),
            column(plan, |gift| gift.live_coin),
            column(plan, |gift| gift.order.at.0),
        ],
    )
    .execute(&mut conn)
    .await
}
