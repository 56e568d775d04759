//! What was said and given in a live, as a file.
//!
//! Each page is a read of its own by the key that the rows are ordered by, so an export holds up
//! neither writers nor the removal of old row versions, however slowly its client reads. It has the
//! rows that were committed when it began: nothing newer is in it, and of what was being committed
//! just then parts may be missing. A comment that is taken down while it runs may be in it either
//! way.

use std::collections::HashMap;
use std::sync::Arc;

use actix_web::{HttpRequest, web};

use crate::domain::{CommentId, LiveId};
use crate::storage::{AccountEntry, BookAccount, CommentRange, ShownComment, Store};

use super::ApiState;
use super::error::{ApiError, ApiResult};
use super::export::{Cell, ExportFormat, ExportPage, ExportTable};
use super::room_pages::known_live;
use super::views::updated_time;

const COMMENT_COLUMNS: &[&str] = &[
    "id",
    "at_ms",
    "at",
    "user_id",
    "name",
    "text",
    "removed_at_ms",
];

const GIFT_COLUMNS: &[&str] = &[
    "id",
    "at_ms",
    "at",
    "user_id",
    "name",
    "gift_id",
    "gift",
    "count",
    "price",
    "coins",
    "live_coins_after",
    "request_id",
];

fn format_of(request: &HttpRequest) -> Result<ExportFormat, ApiError> {
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string())
        .map_err(|_| ApiError::BadParameter("malformed query"))?;
    ExportFormat::of(query.get("format").map(String::as_str))
}

/// GET /admin/lives/{live_id}/export/comments?format={csv|jsonl}: all comments of a live, oldest
/// first, also those that were taken down.
pub async fn comments(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let format = format_of(&request)?;
    let live_id = known_live(&state, &request).await?;
    let newest = state.store.newest_comment().await?;
    let store = state.store.clone();
    let table = ExportTable {
        format,
        name: "comments",
        live_id: Some(live_id.get()),
        columns: COMMENT_COLUMNS,
    };
    let next = move |after: Option<CommentId>| comments_page(store.clone(), live_id, after, newest);
    state.exports.send(table, next).await
}

async fn comments_page(
    store: Arc<dyn Store>,
    live_id: LiveId,
    after: Option<CommentId>,
    newest: Option<CommentId>,
) -> Result<ExportPage<CommentId>, ApiError> {
    let range = CommentRange {
        live_id,
        after,
        // Exclusive. Without a newest comment there is none.
        before: CommentId::new(newest.map_or(0, CommentId::get).saturating_add(1)),
        removed: true,
        newest_first: false,
    };
    let found = store.comment_range(range, ExportPage::ROWS_MAX).await?;
    let is_full = found.len() == ExportPage::ROWS_MAX as usize;
    Ok(ExportPage {
        next: found.last().map(|shown| shown.key).filter(|_| is_full),
        rows: found.into_iter().map(comment_row).collect(),
    })
}

fn comment_row(shown: ShownComment) -> Vec<Cell> {
    let comment = shown.comment;
    vec![
        // Text in JSON lines, because it may exceed what a JavaScript number holds exactly.
        Cell::Text(comment.id.to_string()),
        Cell::Number(comment.at.0),
        Cell::Text(updated_time(comment.at)),
        Cell::Number(comment.author.id.get()),
        Cell::Text(comment.author.name.clone()),
        Cell::Text(comment.text.as_str().to_owned()),
        shown.removed_at.map(|at| at.0).into(),
    ]
}

/// GET /admin/lives/{live_id}/export/gifts?format={csv|jsonl}: all gifts of a live, oldest first, as
/// the books have them.
pub async fn gifts(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let format = format_of(&request)?;
    let live_id = known_live(&state, &request).await?;
    let account = BookAccount::Live(live_id);
    let newest = state
        .store
        .account_entries(account, (0, i64::MAX), true, 1)
        .await?;
    let before = newest.first().map_or(0, |entry| entry.id).saturating_add(1);
    let store = state.store.clone();
    let table = ExportTable {
        format,
        name: "gifts",
        live_id: Some(live_id.get()),
        columns: GIFT_COLUMNS,
    };
    let next = move |after: Option<i64>| gifts_page(store.clone(), account, after, before);
    state.exports.send(table, next).await
}

async fn gifts_page(
    store: Arc<dyn Store>,
    account: BookAccount,
    after: Option<i64>,
    before: i64,
) -> Result<ExportPage<i64>, ApiError> {
    let between = (after.unwrap_or(0), before);
    let found = store
        .account_entries(account, between, false, ExportPage::ROWS_MAX)
        .await?;
    let is_full = found.len() == ExportPage::ROWS_MAX as usize;
    Ok(ExportPage {
        next: found.last().map(|entry| entry.id).filter(|_| is_full),
        rows: found.into_iter().filter_map(gift_row).collect(),
    })
}

/// `None` for an entry of a live that is no gift: there is none.
fn gift_row(entry: AccountEntry) -> Option<Vec<Cell>> {
    let gift = entry.gift?;
    Some(vec![
        Cell::Number(gift.record_id.get()),
        Cell::Number(entry.at.0),
        Cell::Text(updated_time(entry.at)),
        Cell::Number(entry.user.get()),
        Cell::Text(entry.username),
        Cell::Number(gift.gift_id.get()),
        Cell::Text(gift.name),
        Cell::Number(gift.count),
        Cell::Number(gift.price.get()),
        Cell::Number(entry.coins.get()),
        Cell::Number(gift.live_coin.get()),
        Cell::Text(entry.request_id),
    ])
}
