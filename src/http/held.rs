//! Comments that wait for review: the list of them for those who keep order, and the decision of an
//! operator.

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};

use crate::domain::{Action, CommentId, HeldComment, LiveId, REVIEWS_MAX, Reject, Role};

use super::ApiState;
use super::admin::{invalid, path_id};
use super::error::{ApiError, ApiResult, LIVE_NOT_FOUND, ok};
use super::fields::{RequestBody, positive_digits};
use super::lives::{self, path_live_id};
use super::moderation::{Terms, with_outcome};
use super::signed_in::SignedIn;
use super::views::CommentView;

#[derive(Serialize)]
struct HeldListView {
    held: Vec<HeldView>,
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
    let roles = state
        .store
        .roles(live_id, vec![identity.profile.id])
        .await?;
    let (_, roles) = roles.ok_or(lives::LIVE_NOT_FOUND)?;
    if roles.iter().all(|role| *role < Role::Moderator) {
        return Err(ApiError::Action(Reject::NotAllowed));
    }
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
    ok(HeldListView {
        held: held.iter().map(HeldView::from).collect(),
    })
}

/// An id of a comment, as clients get it or as a number.
#[derive(Deserialize)]
#[serde(untagged)]
enum CommentIdField {
    Text(String),
    Number(i64),
}

impl CommentIdField {
    fn read(&self) -> Option<CommentId> {
        match self {
            Self::Text(text) => positive_digits(text).and_then(CommentId::new),
            Self::Number(number) => CommentId::new(*number),
        }
    }
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
        comment_id,
        approve,
        request_id,
        reason,
    } = body.json()?;
    let comment_id = comment_id
        .read()
        .ok_or_else(|| invalid("comment_id must be a positive integer or a text of its digits"))?;
    let action = Action::Review {
        comment_id,
        approve,
    };
    let terms = Terms { request_id, reason };
    with_outcome(&state, &request, live_id, action, terms).await
}
