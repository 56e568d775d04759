//! Comments that wait for review: the lists of them for moderators and operators, and the decision
//! of an operator.

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};

use crate::domain::{Action, HeldComment, LiveId, REVIEWS_MAX};

use super::ApiState;
use super::admin::path_id;
use super::error::{ApiResult, LIVE_NOT_FOUND, ok};
use super::fields::{CommentIdField, RequestBody};
use super::lives::{path_live_id, require_moderator};
use super::moderation::{Terms, with_outcome};
use super::signed_in::SignedIn;
use super::views::CommentView;

/// Comments of the list over all lives. One that is decided makes room for the next.
const ANYWHERE_MAX: u32 = 100;

#[derive(Serialize)]
struct HeldListView {
    held: Vec<HeldView>,
}

impl HeldListView {
    fn of(held: &[HeldComment]) -> Self {
        Self {
            held: held.iter().map(HeldView::from).collect(),
        }
    }
}

/// One that waits.
#[derive(Serialize)]
struct HeldView {
    comment: CommentView,
    rule: &'static str,
    expires_ms: i64,
}

impl From<&HeldComment> for HeldView {
    fn from(held: &HeldComment) -> Self {
        Self {
            comment: CommentView::from(&*held.comment),
            rule: held.rule.name(),
            expires_ms: held.due.0,
        }
    }
}

/// GET /api/live/{id}/held: what waits for review in a live, oldest first: all of it. For its
/// streamer and moderators.
pub async fn list(
    state: web::Data<ApiState>,
    request: HttpRequest,
    SignedIn(identity): SignedIn,
) -> ApiResult {
    let live_id = path_live_id(&request)?;
    require_moderator(&state, live_id, &identity).await?;
    held(&state, live_id).await
}

/// GET /admin/rooms/{live_id}/held
pub async fn list_for_operators(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    state.store.live(live_id).await?.ok_or(LIVE_NOT_FOUND)?;
    held(&state, live_id).await
}

async fn held(state: &ApiState, live_id: LiveId) -> ApiResult {
    let max = u32::try_from(REVIEWS_MAX).unwrap_or(u32::MAX);
    let held = state.store.held_comments(live_id, max).await?;
    ok(HeldListView::of(&held))
}

/// GET /admin/held: what waits for review in all lives, the first 100 to be decided without a
/// moderator.
pub async fn list_anywhere(state: web::Data<ApiState>) -> ApiResult {
    let held = state.store.held_comments_anywhere(ANYWHERE_MAX).await?;
    ok(HeldListView::of(&held))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReviewBody {
    comment_id: CommentIdField,
    approve: bool,
    request_id: Option<String>,
    reason: Option<String>,
}

/// POST /admin/rooms/{live_id}/review: shows a comment that is held, or denies it.
pub async fn review(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let ReviewBody {
        comment_id: CommentIdField(comment_id),
        approve,
        request_id,
        reason,
    } = body.json()?;
    let action = Action::Review {
        comment_id,
        approve,
    };
    let terms = Terms { request_id, reason };
    with_outcome(&state, &request, live_id, action, terms).await
}
