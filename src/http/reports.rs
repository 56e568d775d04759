//! The lists of reported comments, for moderators and operators.

use actix_web::{HttpRequest, web};
use serde::Serialize;

use crate::domain::{CommentId, LiveId};
use crate::storage::{ReportedRow, Reporter};

use super::ApiState;
use super::admin::path_id;
use super::error::{ApiError, ApiResult, LIVE_NOT_FOUND, ok};
use super::fields::query_id;
use super::lives::{path_live_id, require_moderator};
use super::signed_in::SignedIn;
use super::views::CommentView;

/// Comments of one page, each with all who reported it.
const PER_PAGE: u32 = 20;

#[derive(Serialize)]
struct QueueView {
    reports: Vec<ReportedView>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
}

#[derive(Serialize)]
struct ReportedView {
    comment: CommentView,
    reports: i64,
    first_at_ms: i64,
    last_at_ms: i64,
    reporters: Vec<ReporterView>,
}

#[derive(Serialize)]
struct ReporterView {
    user_id: i64,
    username: String,
    reason: String,
    at_ms: i64,
}

impl From<ReportedRow> for ReportedView {
    fn from(row: ReportedRow) -> Self {
        Self {
            comment: CommentView::from(&row.comment),
            reports: row.reports,
            first_at_ms: row.first_at.0,
            last_at_ms: row.last_at.0,
            reporters: row.reporters.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Reporter> for ReporterView {
    fn from(reporter: Reporter) -> Self {
        Self {
            user_id: reporter.user.get(),
            username: reporter.username,
            reason: reporter.reason,
            at_ms: reporter.at.0,
        }
    }
}

/// GET /api/live/{id}/reports?cursor={next}: the reported comments of a live that nobody has
/// settled, the newest first. For its streamer and moderators.
pub async fn for_moderators(
    state: web::Data<ApiState>,
    request: HttpRequest,
    SignedIn(identity): SignedIn,
) -> ApiResult {
    let live_id = path_live_id(&request)?;
    let before = cursor(&request)?;
    require_moderator(&state, live_id, &identity).await?;
    page(&state, live_id, before).await
}

/// GET /admin/rooms/{live_id}/reports?cursor={next}: the same.
pub async fn for_operators(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let before = cursor(&request)?;
    state.store.live(live_id).await?.ok_or(LIVE_NOT_FOUND)?;
    page(&state, live_id, before).await
}

/// GET /admin/reports?cursor={next}: the reported comments of all lives that nobody has settled, the
/// newest first.
pub async fn anywhere(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let before = cursor(&request)?;
    let reported = state.store.reported_comments_anywhere(before, PER_PAGE);
    queue(reported.await?)
}

async fn page(state: &ApiState, live_id: LiveId, before: Option<CommentId>) -> ApiResult {
    let reported = state.store.reported_comments(live_id, before, PER_PAGE);
    queue(reported.await?)
}

fn queue(rows: Vec<ReportedRow>) -> ApiResult {
    let is_full = rows.len() == PER_PAGE as usize;
    let last = rows.last().filter(|_| is_full);
    ok(QueueView {
        next: last.map(|row| row.comment.id.to_string()),
        reports: rows.into_iter().map(Into::into).collect(),
    })
}

fn cursor(request: &HttpRequest) -> Result<Option<CommentId>, ApiError> {
    let cursor = query_id(request, "cursor", "cursor must be the id of a comment")?;
    Ok(cursor.and_then(CommentId::new))
}
