//! The gifts that can be given.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use serde_json::{Value, json};

use super::{Conn, audit_rows};
use crate::domain::{Coins, Gift, GiftChange, GiftId, Reject, Timestamp};
use crate::storage::actions::Changed;
use crate::storage::error::require_storable;
use crate::storage::rows::GiftRecord;
use crate::storage::schema::gifts;
use crate::storage::{ActAuthor, AuditRow, Change, GiftRow, StoreError};

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
    by: ActAuthor,
) -> Result<GiftRow, StoreError> {
    require_storable(&[&name, &image])?;
    let after = json!({"name": &name, "image": &image, "coin": price.get()});
    let row: GiftRow = diesel::insert_into(gifts::table)
        .values((
            gifts::name.eq(name),
            gifts::image.eq(image),
            gifts::coin.eq(price.get()),
            gifts::created_at.eq(at.0),
            gifts::updated_at.eq(at.0),
        ))
        .returning(GiftRecord::as_returning())
        .get_result::<GiftRecord>(conn)
        .await?
        .try_into()?;
    let created = AuditRow {
        target_id: Some(row.gift.id.get()),
        after: Some(after),
        ..AuditRow::new(by, "create_gift", at)
    };
    audit_rows::add(conn, &created).await?;
    Ok(row)
}

pub async fn by_id(conn: &mut Conn, id: GiftId) -> Result<Option<GiftRow>, StoreError> {
    let row: Option<GiftRecord> = gifts::table
        .find(id.get())
        .select(GiftRecord::as_select())
        .get_result(conn)
        .await
        .optional()?;
    row.map(GiftRow::try_from).transpose()
}

/// Changes the row of a gift, which this transaction has locked.
pub async fn change(
    conn: &mut Conn,
    change: GiftChange,
    at: Timestamp,
) -> Result<Result<Changed, Reject>, StoreError> {
    let Some(before) = by_id(conn, change.gift).await? else {
        return Ok(Err(Reject::GiftNotFound));
    };
    let after = GiftRow {
        on_sale: change.on_sale.unwrap_or(before.on_sale),
        // Copies of the row that nodes keep are compared by it, whatever their clocks say.
        updated_at: at.max(before.updated_at.plus_ms(1)),
        created_at: before.created_at,
        gift: Gift {
            price: change.price.unwrap_or(before.gift.price),
            ..before.gift.clone()
        },
    };
    diesel::update(gifts::table.find(change.gift.get()))
        .set((
            gifts::coin.eq(after.gift.price.get()),
            gifts::on_sale.eq(after.on_sale),
            gifts::updated_at.eq(after.updated_at.0),
        ))
        .execute(conn)
        .await?;
    Ok(Ok(Changed {
        before: Some(shown(&before)),
        after: Some(shown(&after)),
        change: Change::Gift(Box::new(after)),
    }))
}

/// What the audit says about a gift.
fn shown(row: &GiftRow) -> Value {
    json!({"coin": row.gift.price.get(), "on_sale": row.on_sale})
}

/// A gift as an earlier change left it, by what the audit says.
pub fn earlier(row: GiftRow, after: Option<&str>) -> GiftRow {
    let after: Option<Value> = after.and_then(|after| serde_json::from_str(after).ok());
    let price = after.as_ref().and_then(|after| after["coin"].as_i64());
    let on_sale = after.as_ref().and_then(|after| after["on_sale"].as_bool());
    GiftRow {
        on_sale: on_sale.unwrap_or(row.on_sale),
        gift: Gift {
            price: price.map_or(row.gift.price, Coins::new),
            ..row.gift
        },
        ..row
    }
}
