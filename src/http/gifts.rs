//! The gift catalogue.

use actix_web::web;

use super::ApiState;
use super::error::{ApiResult, ok};
use super::views::GiftView;

/// GET /api/gift/list
pub async fn list(state: web::Data<ApiState>) -> ApiResult {
    ok(state
        .catalogue
        .rows()
        .into_iter()
        .map(GiftView::from)
        .collect::<Vec<_>>())
}
