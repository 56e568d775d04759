//! Lives, and what was given in them.

use diesel::dsl::count_star;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::domain::{Coins, LiveId, LiveStatus, Timestamp, UserId};
use crate::storage::error::require_storable;
use crate::storage::rows::LiveRecord;
use crate::storage::schema::{gift_records, live_modes, lives, moderation_versions};
use crate::storage::{LiveLedger, LiveRow, LiveState, StoreError};

pub async fn create(
    conn: &mut Conn,
    owner: UserId,
    title: String,
    cover: String,
    key: String,
    at: Timestamp,
) -> Result<LiveRow, StoreError> {
    require_storable(&[&title, &cover, &key])?;
    diesel::insert_into(lives::table)
        .values((
            lives::user_id.eq(owner.get()),
            lives::title.eq(title),
            lives::cover.eq(cover),
            lives::key.eq(key),
            lives::created_at.eq(at.0),
            lives::updated_at.eq(at.0),
        ))
        .returning(LiveRecord::as_returning())
        .get_result(conn)
        .await?
        .try_into()
}

pub async fn not_ended_count(conn: &mut Conn, owner: UserId) -> Result<i64, StoreError> {
    let of_owner = lives::table.filter(lives::user_id.eq(owner.get()));
    Ok(of_owner
        .filter(lives::status.ne(LiveStatus::Ended.code()))
        .count()
        .get_result(conn)
        .await?)
}

pub async fn by_id(conn: &mut Conn, id: LiveId) -> Result<Option<LiveRow>, StoreError> {
    let row = lives::table
        .find(id.get())
        .select(LiveRecord::as_select())
        .get_result(conn)
        .await
        .optional()?;
    row.map(LiveRow::try_from).transpose()
}

pub async fn states(conn: &mut Conn, ids: Vec<LiveId>) -> Result<Vec<LiveState>, StoreError> {
    let ids: Vec<i64> = ids.into_iter().map(LiveId::get).collect();
    let columns = (
        lives::id,
        lives::status,
        lives::title,
        moderation_versions::version.nullable(),
        live_modes::version.nullable(),
    );
    type Columns = (i64, i16, String, Option<i64>, Option<i64>);
    let rows: Vec<Columns> = lives::table
        .left_join(
            moderation_versions::table.on(moderation_versions::streamer_id.eq(lives::user_id)),
        )
        .left_join(live_modes::table)
        .filter(lives::id.eq_any(ids))
        .select(columns)
        .load(conn)
        .await?;
    let state = |(id, status, title, moderation, modes): Columns| {
        Some(LiveState {
            id: LiveId::new(id)?,
            status: LiveStatus::from_code(status)?,
            title,
            moderation_version: moderation.unwrap_or_default().unsigned_abs(),
            modes_version: modes.unwrap_or_default().unsigned_abs(),
        })
    };
    Ok(rows.into_iter().filter_map(state).collect())
}

pub async fn page(conn: &mut Conn, page: u32, per_page: u32) -> Result<Vec<LiveRow>, StoreError> {
    let before = i64::from(page.saturating_sub(1)) * i64::from(per_page);
    let rows = lives::table
        .order(lives::id)
        .offset(before)
        .limit(i64::from(per_page))
        .select(LiveRecord::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(LiveRow::try_from).collect()
}

/// Sets the status of a live that is there.
pub async fn set_status(
    conn: &mut Conn,
    id: LiveId,
    status: LiveStatus,
    at: Timestamp,
) -> Result<LiveRow, StoreError> {
    diesel::update(lives::table.find(id.get()))
        .set((lives::status.eq(status.code()), lives::updated_at.eq(at.0)))
        .returning(LiveRecord::as_returning())
        .get_result(conn)
        .await?
        .try_into()
}

pub async fn set_title(
    conn: &mut Conn,
    id: LiveId,
    title: &str,
    at: Timestamp,
) -> Result<LiveRow, StoreError> {
    require_storable(&[title])?;
    diesel::update(lives::table.find(id.get()))
        .set((lives::title.eq(title), lives::updated_at.eq(at.0)))
        .returning(LiveRecord::as_returning())
        .get_result(conn)
        .await?
        .try_into()
}

/// The sum is the live's own total, which the audit proves equal to that of its gifts.
pub async fn ledger(conn: &mut Conn, live_id: LiveId) -> Result<LiveLedger, StoreError> {
    let gifts_of_live = gift_records::table
        .filter(gift_records::live_id.eq(lives::id))
        .select(count_star())
        .single_value()
        .assume_not_null();
    let totals: Option<(i64, i64)> = lives::table
        .find(live_id.get())
        .select((gifts_of_live, lives::coin))
        .get_result(conn)
        .await
        .optional()?;
    Ok(
        totals.map_or_else(LiveLedger::default, |(gifts_count, coin)| LiveLedger {
            gifts_count,
            coins: Coins::new(coin),
        }),
    )
}
