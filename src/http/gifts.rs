//! The gift catalogue: what viewers may give, and what operators change of it.

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};

use crate::domain::{Action, Coins, GiftChange, GiftId, Scope};
use crate::storage::{Change, GiftRow};

use super::ApiState;
use super::admin::{invalid, path_id};
use super::error::{ApiResult, GIFT_NOT_FOUND, ok};
use super::fields::RequestBody;
use super::moderation::{Terms, mismatched, of_operator};
use super::views::GiftView;

/// GET /api/gift/list: the gifts on sale.
pub async fn list(state: web::Data<ApiState>) -> ApiResult {
    let rows = state.catalogue.rows().into_iter();
    let on_sale = rows.filter(|row| row.on_sale);
    ok(on_sale.map(GiftView::from).collect::<Vec<_>>())
}

/// A gift as operators see it. Times are milliseconds since the Unix epoch.
#[derive(Serialize)]
struct OfferView {
    id: i64,
    name: String,
    image: String,
    coin: i64,
    on_sale: bool,
    created_at_ms: i64,
    updated_at_ms: i64,
}

impl From<GiftRow> for OfferView {
    fn from(row: GiftRow) -> Self {
        Self {
            id: row.gift.id.get(),
            name: row.gift.name,
            image: row.gift.image,
            coin: row.gift.price.get(),
            on_sale: row.on_sale,
            created_at_ms: row.created_at.0,
            updated_at_ms: row.updated_at.0,
        }
    }
}

#[derive(Serialize)]
struct CatalogueView {
    gifts: Vec<OfferView>,
}

/// GET /admin/gifts: the whole catalogue in id order, withdrawn gifts too.
pub async fn list_for_operators(state: web::Data<ApiState>) -> ApiResult {
    let rows = state.store.gifts().await?;
    let gifts = rows.into_iter().map(OfferView::from).collect();
    ok(CatalogueView { gifts })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    coin: Option<i64>,
    on_sale: Option<bool>,
    request_id: Option<String>,
    reason: Option<String>,
}

/// POST /admin/gifts/{id}: changes the price of a gift, withdraws it from sale or puts it back. From
/// the commit on nobody pays another price, on any node; viewers see the change when they read the
/// list again. Errors: 400 for a price out of range or for nothing to change, 404.
pub async fn change(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let gift = path_id(&request, "id", GiftId::new).ok_or(GIFT_NOT_FOUND)?;
    let ChangeBody {
        coin,
        on_sale,
        request_id,
        reason,
    } = body.json()?;
    if coin.is_none() && on_sale.is_none() {
        return Err(invalid("coin or on_sale must be given"));
    }
    let price = coin.map(Coins::new);
    if price.is_some_and(|price| !(Coins::new(1)..=Coins::MAX).contains(&price)) {
        return Err(invalid("coin must be 1 to 9007199254740991"));
    }
    let action = Action::ChangeGift(GiftChange {
        gift,
        price,
        on_sale,
    });
    let terms = Terms { request_id, reason };
    let requested = of_operator(&request, &state, Scope::Site, action, terms)?;
    match state.operations.perform(requested).await? {
        Change::Gift(row) => ok(OfferView::from(*row)),
        other => Err(mismatched(&other)),
    }
}
