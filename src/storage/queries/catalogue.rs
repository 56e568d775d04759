//! The gifts that can be given.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::domain::{Coins, Timestamp};
use crate::storage::error::require_storable;
use crate::storage::rows::GiftRecord;
use crate::storage::schema::gifts;
use crate::storage::{GiftRow, StoreError};

pub async fn all(conn: &mut Conn) -> Result<Vec<GiftRow>, StoreError> {
    let rows = gifts::table
        .order(gifts::id)
        .select(GiftRecord::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(GiftRow::try_from).collect()
}

pub async fn create(
    conn: &mut Conn,
    name: String,
    image: String,
    price: Coins,
    at: Timestamp,
) -> Result<GiftRow, StoreError> {
    require_storable(&[&name, &image])?;
    diesel::insert_into(gifts::table)
        .values((
            gifts::name.eq(name),
            gifts::image.eq(image),
            gifts::coin.eq(price.get()),
            gifts::created_at.eq(at.0),
            gifts::updated_at.eq(at.0),
        ))
        .returning(GiftRecord::as_returning())
        .get_result(conn)
        .await?
        .try_into()
}
