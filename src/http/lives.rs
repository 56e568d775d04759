//! Lives: create, start, pause, end, list, read.

use std::borrow::Cow;

use actix_web::{HttpRequest, web};
use rand::RngExt;
use rand::distr::Alphanumeric;

use crate::actors::Requested;
use crate::actors::operations::OperationError;
use crate::auth::Identity;
use crate::domain::{Action, LiveId, LiveStatus, Reject, Role, Scope, TITLE_CHARS_MAX, UserId};
use crate::storage::LiveRow;

use super::error::{ApiError, ApiResult, ok};
use super::fields::{RequestBody, at_most_chars, positive_digits};
use super::media;
use super::signed_in::{SignedIn, asker};
use super::views::{LiveView, LiveWithOwnerView, SignedView};
use super::{ApiState, address_of};

const COVER_CHARS_MAX: usize = 500;
/// 20 of 62 characters: 119 bits, so no two lives ever get the same.
const KEY_CHARS: usize = 20;
const PER_PAGE: u32 = 10;

pub(super) const LIVE_NOT_FOUND: ApiError = ApiError::Refused("该直播间不存在");

/// POST /api/live/create
pub async fn create(
    state: web::Data<ApiState>,
    SignedIn(identity): SignedIn,
    body: RequestBody,
) -> ApiResult {
    let fields = body.fields()?;
    let title = at_most_chars(
        fields.text("title", "直播间标题")?,
        TITLE_CHARS_MAX,
        "直播间标题",
    )?;
    let cover = at_most_chars(
        fields.text("cover", "直播间封面")?,
        COVER_CHARS_MAX,
        "直播间封面",
    )?;
    let key: String = rand::rng()
        .sample_iter(Alphanumeric)
        .take(KEY_CHARS)
        .map(char::from)
        .collect();
    let (owner, now) = (identity.profile.id, state.clock.now());
    state.live_limits.take_creation(owner, now)?;
    state
        .live_limits
        .admit_one_more(state.store.not_ended_lives_count(owner).await?)?;
    let sign = media::sign(&key, state.config.media.secret.signing().expose(), now);
    let row = state
        .store
        .create_live(owner, title.to_owned(), cover.to_owned(), key, now)
        .await?;
    ok(SignedView {
        data: LiveView::of(row, Some(owner)),
        sign: Some(sign),
    })
}

/// POST /api/live/changestatus
pub async fn change_status(
    state: web::Data<ApiState>,
    request: HttpRequest,
    SignedIn(identity): SignedIn,
    body: RequestBody,
) -> ApiResult {
    let fields = body.fields()?;
    let id = LiveId::new(fields.positive("id", "直播间ID")?).ok_or(LIVE_NOT_FOUND)?;
    let status = match fields.text("type", "直播间状态")? {
        "play" => LiveStatus::OnAir,
        "pause" => LiveStatus::Paused,
        "stop" => LiveStatus::Ended,
        _ => return Err(ApiError::Invalid(Cow::Borrowed("直播间状态 格式不正确"))),
    };
    let request_id = fields.request_id("请求编号")?;
    let (owner, now) = (identity.profile.id, state.clock.now());
    state.live_limits.take_status_change(owner, now)?;
    let action = Action::SetStatus(status);
    let address = address_of(&request, &state);
    let mut requested = Requested::of_user(owner, address, Scope::Live(id), action);
    requested.request_id = request_id;
    match state.operations.perform(requested).await {
        Ok(_) => ok("ok"),
        // The answer does not reveal that the live is another user's.
        Err(OperationError::Refused(Reject::LiveNotFound | Reject::NotAllowed)) => {
            Err(LIVE_NOT_FOUND)
        }
        Err(OperationError::Refused(Reject::LiveEnded)) => Err(ApiError::Refused("该直播间已结束")),
        Err(error) => Err(error.into()),
    }
}

/// GET /api/live/list/{page}. Owners get the keys of their lives that are not on air.
pub async fn list(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let page =
        path_number(&request, "page").ok_or(ApiError::Invalid(Cow::Borrowed("页码 格式不正确")))?;
    let page = u32::try_from(page).unwrap_or(u32::MAX);
    let rows = state.store.lives(page, PER_PAGE).await?;
    let asker = asker_of(&request, &state, &rows).await?;
    ok(rows
        .into_iter()
        .map(|row| LiveView::of(row, asker))
        .collect::<Vec<_>>())
}

/// GET /api/live/read/{id}. Its owner gets the key and the sign of a live that is not on air.
pub async fn read(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let id = path_live_id(&request)?;
    let row = state.store.live(id).await?.ok_or(LIVE_NOT_FOUND)?;
    let owner = state.store.user(row.live.owner).await?;
    let followers = state.store.followers_count(row.live.owner).await?;
    let asker = asker_of(&request, &state, std::slice::from_ref(&row)).await?;
    let sign = (row.live.status != LiveStatus::Ended && row.live.shows_key_to(asker)).then(|| {
        media::sign(
            &row.key,
            state.config.media.secret.signing().expose(),
            state.clock.now(),
        )
    });
    let live = LiveView::of(row, asker);
    ok(SignedView {
        data: LiveWithOwnerView {
            live,
            user: owner.map(Into::into),
            followers,
        },
        sign,
    })
}

/// The user who asks, looked up only if it makes a difference to what is shown of `rows`: most
/// requests are about lives on air, and need no check of a token.
async fn asker_of(
    request: &HttpRequest,
    state: &ApiState,
    rows: &[LiveRow],
) -> Result<Option<UserId>, ApiError> {
    if rows.iter().all(|row| row.live.shows_key_to(None)) {
        return Ok(None);
    }
    asker(request, state).await
}

/// The live that the path names.
pub(super) fn path_live_id(request: &HttpRequest) -> Result<LiveId, ApiError> {
    let id = path_number(request, "id")
        .ok_or(ApiError::Invalid(Cow::Borrowed("直播间ID 格式不正确")))?;
    LiveId::new(id).ok_or(LIVE_NOT_FOUND)
}

/// Refuses a user who is neither the streamer of a live nor one of its moderators.
pub(super) async fn require_moderator(
    state: &ApiState,
    live_id: LiveId,
    identity: &Identity,
) -> Result<(), ApiError> {
    let user = identity.profile.id;
    let roles = state.store.roles(live_id, vec![user]).await?;
    let (_, roles) = roles.ok_or(LIVE_NOT_FOUND)?;
    if roles.iter().all(|role| *role < Role::Moderator) {
        return Err(ApiError::Action(Reject::NotAllowed));
    }
    Ok(())
}

/// A segment of the path that must be a positive integer.
fn path_number(request: &HttpRequest, segment: &str) -> Option<i64> {
    request.match_info().get(segment).and_then(positive_digits)
}
