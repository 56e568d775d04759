//! A batch in PostgreSQL: one statement a table, whatever the size of the batch.
//!
//! Locks are taken users first, then lives, each in id order, and always before the books are read:
//! two batches cannot wait for each other, and the second reads what the first wrote.

use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::{Array, BigInt, Nullable, Text};
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::domain::{Comment, RequestId};
use crate::storage::batch::{Known, KnownComment, KnownGift, KnownLive, KnownUser, NewGift, Plan, Wanted, require_all};
use crate::storage::rows::{LIVE_OPEN, USER_ENABLED};
use crate::storage::schema::{comments, gifts, lives, users};
use crate::storage::{StoreError, Write, WriteOutcome};

pub async fn commit_batch(conn: &mut Conn, batch: Vec<Write>) -> Result<Vec<WriteOutcome>, StoreError> {
    let mut known = read(conn, &Wanted::by(&batch)).await?;
    let plan = Plan::decide(&batch, &mut known);
    write_comments(conn, &plan).await?;
    write_views(conn, &plan).await?;
    write_balances(conn, &plan).await?;
    let record_ids = write_gifts(conn, &plan).await?;
    plan.answers(&record_ids)
}

async fn read(conn: &mut Conn, wanted: &Wanted) -> Result<Known, StoreError> {
    let mut known = Known::default();
    read_users(conn, wanted, &mut known).await?;
    read_lives(conn, wanted, &mut known).await?;
    if !wanted.gifts.is_empty() {
        let ids: Vec<i64> = gifts::table.filter(gifts::id.eq_any(&wanted.gifts)).select(gifts::id).load(conn).await?;
        known.gifts.extend(ids);
        read_requests(conn, wanted, &mut known).await?;
    }
    if !wanted.comments.is_empty() {
        let columns = (comments::id, (comments::live_id, comments::user_id, comments::content));
        let rows: Vec<(i64, KnownComment)> =
            comments::table.filter(comments::id.eq_any(&wanted.comments)).select(columns).load(conn).await?;
        known.comments.extend(rows);
    }
    if !wanted.views.is_empty() {
        read_views(conn, wanted, &mut known).await?;
    }
    Ok(known)
}

async fn read_users(conn: &mut Conn, wanted: &Wanted, known: &mut Known) -> QueryResult<()> {
    let columns = (users::id, users::coin, users::status);
    let mut rows: Vec<(i64, i64, i16)> = Vec::new();
    if !wanted.givers.is_empty() {
        let givers = users::table.filter(users::id.eq_any(&wanted.givers)).order(users::id).select(columns);
        rows = givers.for_no_key_update().load(conn).await?;
    }
    if !wanted.people.is_empty() {
        let people = users::table.filter(users::id.eq_any(&wanted.people)).select(columns);
        rows.extend(people.load::<(i64, i64, i16)>(conn).await?);
    }
    known.users =
        rows.into_iter().map(|(id, coin, status)| (id, KnownUser { coin, enabled: status == USER_ENABLED })).collect();
    Ok(())
}

async fn read_lives(conn: &mut Conn, wanted: &Wanted, known: &mut Known) -> QueryResult<()> {
    let columns = (lives::id, lives::coin, lives::look_count, lives::status);
    let mut rows: Vec<(i64, i64, i64, i16)> = Vec::new();
    if !wanted.totals.is_empty() {
        let totals = lives::table.filter(lives::id.eq_any(&wanted.totals)).order(lives::id).select(columns);
        rows = totals.for_no_key_update().load(conn).await?;
    }
    if !wanted.lives.is_empty() {
        let others = lives::table.filter(lives::id.eq_any(&wanted.lives)).select(columns);
        rows.extend(others.load::<(i64, i64, i64, i16)>(conn).await?);
    }
    known.lives = rows
        .into_iter()
        .map(|(id, coin, look_count, status)| (id, KnownLive { coin, look_count, open: LIVE_OPEN.contains(&status) }))
        .collect();
    Ok(())
}

#[derive(QueryableByName)]
struct RequestRow {
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = Text)]
    request_id: String,
    #[diesel(sql_type = BigInt)]
    record_id: i64,
    #[diesel(sql_type = BigInt)]
    live_id: i64,
    #[diesel(sql_type = BigInt)]
    gift_id: i64,
    #[diesel(sql_type = BigInt)]
    count: i64,
    #[diesel(sql_type = BigInt)]
    total: i64,
    #[diesel(sql_type = BigInt)]
    giver_coin: i64,
    #[diesel(sql_type = BigInt)]
    live_coin: i64,
    #[diesel(sql_type = BigInt)]
    at: i64,
}

async fn read_requests(conn: &mut Conn, wanted: &Wanted, known: &mut Known) -> QueryResult<()> {
    let (givers, requests): (Vec<i64>, Vec<&str>) =
        wanted.requests.iter().map(|(giver, request_id)| (*giver, request_id.as_str())).unzip();
    let rows: Vec<RequestRow> = sql_query(
        "SELECT t.user_id, t.request_id, r.id AS record_id, r.live_id, r.gift_id, r.num AS count, r.total, \
         t.user_coin_after AS giver_coin, r.live_coin_after AS live_coin, r.created_at AS at \
         FROM unnest($1, $2) AS w (user_id, request_id) \
         JOIN ledger_transfers t ON t.kind = 'gift' AND t.user_id = w.user_id AND t.request_id = w.request_id \
         JOIN gift_records r ON r.transfer_id = t.id",
    )
    .bind::<Array<BigInt>, _>(givers)
    .bind::<Array<Text>, _>(requests)
    .load(conn)
    .await?;
    for row in rows {
        // It was asked for, so it is well-formed.
        let Some(request_id) = RequestId::parse(&row.request_id) else { continue };
        let gift = KnownGift {
            record_id: row.record_id,
            live_id: row.live_id,
            gift_id: row.gift_id,
            count: row.count,
            total: row.total,
            giver_coin: row.giver_coin,
            live_coin: row.live_coin,
            at: row.at,
        };
        known.requests.insert((row.user_id, request_id), gift);
    }
    Ok(())
}

#[derive(QueryableByName)]
struct ViewRow {
    #[diesel(sql_type = BigInt)]
    live_id: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
}

async fn read_views(conn: &mut Conn, wanted: &Wanted, known: &mut Known) -> QueryResult<()> {
    let (live_ids, user_ids): (Vec<i64>, Vec<i64>) = wanted.views.iter().copied().unzip();
    let rows: Vec<ViewRow> = sql_query(
        "SELECT v.live_id, v.user_id FROM unnest($1, $2) AS w (live_id, user_id) \
         JOIN live_views v ON v.live_id = w.live_id AND v.user_id = w.user_id",
    )
    .bind::<Array<BigInt>, _>(live_ids)
    .bind::<Array<BigInt>, _>(user_ids)
    .load(conn)
    .await?;
    known.views.extend(rows.into_iter().map(|row| (row.live_id, row.user_id)));
    Ok(())
}

async fn write_comments(conn: &mut Conn, plan: &Plan) -> Result<(), StoreError> {
    if plan.comments.is_empty() {
        return Ok(());
    }
    let column =
        |number: fn(&Comment) -> i64| -> Vec<i64> { plan.comments.iter().map(|comment| number(comment)).collect() };
    let contents: Vec<&str> = plan.comments.iter().map(|comment| comment.text.as_str()).collect();
    let request_ids: Vec<Option<&str>> =
        plan.comments.iter().map(|comment| comment.request_id.as_ref().map(RequestId::as_str)).collect();
    sql_query(
        "INSERT INTO comments (id, live_id, user_id, content, request_id, created_at) \
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6)",
    )
    .bind::<Array<BigInt>, _>(column(|comment| comment.id.get()))
    .bind::<Array<BigInt>, _>(column(|comment| comment.live_id.get()))
    .bind::<Array<BigInt>, _>(column(|comment| comment.author.id.get()))
    .bind::<Array<Text>, _>(contents)
    .bind::<Array<Nullable<Text>>, _>(request_ids)
    .bind::<Array<BigInt>, _>(column(|comment| comment.at.0))
    .execute(conn)
    .await?;
    Ok(())
}

async fn write_views(conn: &mut Conn, plan: &Plan) -> Result<(), StoreError> {
    if plan.views.is_empty() {
        return Ok(());
    }
    let (live_ids, user_ids): (Vec<i64>, Vec<i64>) =
        plan.views.iter().map(|(live_id, user_id)| (live_id.get(), user_id.get())).unzip();
    sql_query("INSERT INTO live_views (live_id, user_id) SELECT * FROM unnest($1, $2)")
        .bind::<Array<BigInt>, _>(live_ids)
        .bind::<Array<BigInt>, _>(user_ids)
        .execute(conn)
        .await?;
    Ok(())
}

async fn write_balances(conn: &mut Conn, plan: &Plan) -> Result<(), StoreError> {
    if !plan.spends.is_empty() {
        let paid = sql_query(
            "UPDATE users SET coin = users.coin - s.coin, updated_at = s.at \
             FROM unnest($1, $2, $3) AS s (id, coin, at) \
             WHERE users.id = s.id AND users.coin >= s.coin AND users.status = 1",
        )
        .bind::<Array<BigInt>, _>(plan.spends.keys().copied().collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(plan.spends.values().map(|spend| spend.coin).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(plan.spends.values().map(|spend| spend.at).collect::<Vec<_>>())
        .execute(conn)
        .await?;
        require_all(paid, plan.spends.len())?;
    }
    if !plan.gains.is_empty() {
        let gained = sql_query(
            "UPDATE lives SET coin = lives.coin + g.coin, look_count = lives.look_count + g.views \
             FROM unnest($1, $2, $3) AS g (id, coin, views) WHERE lives.id = g.id",
        )
        .bind::<Array<BigInt>, _>(plan.gains.keys().copied().collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(plan.gains.values().map(|gain| gain.coin).collect::<Vec<_>>())
        .bind::<Array<BigInt>, _>(plan.gains.values().map(|gain| gain.views).collect::<Vec<_>>())
        .execute(conn)
        .await?;
        require_all(gained, plan.gains.len())?;
    }
    Ok(())
}

#[derive(QueryableByName)]
struct NewIds {
    #[diesel(sql_type = BigInt)]
    transfer_id: i64,
    #[diesel(sql_type = BigInt)]
    record_id: i64,
}

/// Returns the ids of the new gift records. All ids are taken first, so that the three tables are
/// filled by one statement each.
async fn write_gifts(conn: &mut Conn, plan: &Plan) -> Result<Vec<i64>, StoreError> {
    if plan.gifts.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<NewIds> = sql_query(
        "SELECT nextval(pg_get_serial_sequence('ledger_transfers', 'id')) AS transfer_id, \
         nextval(pg_get_serial_sequence('gift_records', 'id')) AS record_id FROM generate_series(1, $1)",
    )
    .bind::<BigInt, _>(i64::try_from(plan.gifts.len()).unwrap_or(i64::MAX))
    .load(conn)
    .await?;
    let transfer_ids: Vec<i64> = ids.iter().map(|ids| ids.transfer_id).collect();
    let record_ids: Vec<i64> = ids.iter().map(|ids| ids.record_id).collect();
    let column = |number: fn(&NewGift) -> i64| -> Vec<i64> { plan.gifts.iter().map(number).collect() };
    let request_ids: Vec<&str> = plan.gifts.iter().map(|gift| gift.order.request_id.as_str()).collect();
    let user_ids = column(|gift| gift.order.giver.id.get());
    let live_ids = column(|gift| gift.order.live_id.get());
    let totals = column(|gift| gift.total);
    let ats = column(|gift| gift.order.at.0);

    sql_query(
        "INSERT INTO ledger_transfers (kind, id, user_id, request_id, user_coin_after, created_at) \
         SELECT 'gift', g.* FROM unnest($1, $2, $3, $4, $5) AS g",
    )
    .bind::<Array<BigInt>, _>(&transfer_ids)
    .bind::<Array<BigInt>, _>(&user_ids)
    .bind::<Array<Text>, _>(request_ids)
    .bind::<Array<BigInt>, _>(column(|gift| gift.giver_coin))
    .bind::<Array<BigInt>, _>(&ats)
    .execute(conn)
    .await?;
    sql_query(
        "INSERT INTO ledger_entries (transfer_id, account, account_id, amount) \
         SELECT g.transfer_id, e.account, e.account_id, e.amount \
         FROM unnest($1, $2, $3, $4) AS g (transfer_id, user_id, live_id, total) \
         CROSS JOIN LATERAL (VALUES ('user', g.user_id, -g.total), ('live', g.live_id, g.total)) \
         AS e (account, account_id, amount)",
    )
    .bind::<Array<BigInt>, _>(&transfer_ids)
    .bind::<Array<BigInt>, _>(&user_ids)
    .bind::<Array<BigInt>, _>(&live_ids)
    .bind::<Array<BigInt>, _>(&totals)
    .execute(conn)
    .await?;
    sql_query(
        "INSERT INTO gift_records \
         (id, transfer_id, live_id, user_id, gift_id, num, price, total, live_coin_after, created_at) \
         SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
    )
    .bind::<Array<BigInt>, _>(&record_ids)
    .bind::<Array<BigInt>, _>(&transfer_ids)
    .bind::<Array<BigInt>, _>(&live_ids)
    .bind::<Array<BigInt>, _>(&user_ids)
    .bind::<Array<BigInt>, _>(column(|gift| gift.order.gift.id.get()))
    .bind::<Array<BigInt>, _>(column(|gift| gift.order.count.get()))
    .bind::<Array<BigInt>, _>(column(|gift| gift.order.gift.price.get()))
    .bind::<Array<BigInt>, _>(&totals)
    .bind::<Array<BigInt>, _>(column(|gift| gift.live_coin))
    .bind::<Array<BigInt>, _>(&ats)
    .execute(conn)
    .await?;
    Ok(record_ids)
}
