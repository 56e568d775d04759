//! Scrolling back: what was said in a live before one came.

use std::borrow::Cow;
use std::collections::HashMap;

use actix_web::{HttpRequest, web};

use crate::domain::CommentId;

use super::ApiState;
use super::error::{ApiError, ApiResult, ok};
use super::fields::positive_digits;
use super::lives::{LIVE_NOT_FOUND, path_live_id};
use super::views::CommentView;

const LIMIT_DEFAULT: u32 = 50;
const LIMIT_MAX: u32 = 100;

/// GET /api/live/{id}/history?before={comment id}&limit={1 to 100}: stored comments, newest first.
/// The id of the last one is the `before` of the next page; a page shorter than `limit` is the
/// last.
pub async fn page(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let live_id = path_live_id(&request)?;
    let Page { before, limit } = Page::of(&request)?;
    state.store.live(live_id).await?.ok_or(LIVE_NOT_FOUND)?;
    let comments = state.store.comments(live_id, before, limit).await?;
    ok(comments.iter().map(CommentView::from).collect::<Vec<_>>())
}

/// Which comments are asked for.
struct Page {
    before: Option<CommentId>,
    limit: u32,
}

impl Page {
    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let malformed = |label: &str| ApiError::Invalid(Cow::Owned(format!("{label} 格式不正确")));
        let query = web::Query::<HashMap<String, String>>::from_query(request.query_string())
            .map_err(|_| malformed("查询参数"))?;
        let number = |name: &str, label: &str| match query.get(name).map(String::as_str) {
            None | Some("") => Ok(None),
            Some(text) => positive_digits(text)
                .map(Some)
                .ok_or_else(|| malformed(label)),
        };
        let limit = match number("limit", "每页数量")? {
            None => LIMIT_DEFAULT,
            Some(limit) => u32::try_from(limit)
                .ok()
                .filter(|limit| *limit <= LIMIT_MAX)
                .ok_or_else(|| {
                    ApiError::Invalid(Cow::Owned(format!(
                        "每页数量 必须 在 1 和 {LIMIT_MAX} 之间"
                    )))
                })?,
        };
        Ok(Self {
            before: number("before", "评论ID")?.and_then(CommentId::new),
            limit,
        })
    }
}
