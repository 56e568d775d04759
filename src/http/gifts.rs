//! The gift catalogue.

use actix_web::web;

use super::ApiState;
use super::error::{Answer, ok};
use super::views::GiftView;

/// GET /api/gift/list
pub async fn list(state: web::Data<ApiState>) -> Answer {
    ok(state.catalogue.rows().into_iter().map(GiftView::from).collect::<Vec<_>>())
}
