//! Actions of operators on lives and users. Each handler reads the request; the rest is
//! [`Operations`](crate::actors::Operations).

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::actors::Requested;
use crate::actors::operations::OperationError;
use crate::domain::{
    Action, CommentId, LiveId, LiveStatus, NOTICE_CHARS_MAX, Purge, REASON_CHARS_MAX, Reject,
    SanctionKind, SanctionOrder, SanctionScope, Scope, TAKE_DOWN_MAX, TITLE_CHARS_MAX, Term,
    UserId, is_text,
};
use crate::protocol::{ChangedModesBody, OutcomeBody, modes_change};
use crate::storage::Change;

use super::admin::{invalid, path_id, read_request_id};
use super::error::{
    ApiError, ApiResult, COMMENT_NOT_FOUND, LIVE_NOT_FOUND, ROOM_NOT_OPEN, USER_NOT_FOUND, ok,
};
use super::fields::{CommentIdField, RequestBody};
use super::operator::Operator;
use super::views::UserView;
use super::{ApiState, address_of};

/// The optional fields of every action.
#[derive(Default, Deserialize)]
pub(super) struct Terms {
    /// The operators' name for it: repeated, it has one effect and the same answer.
    pub request_id: Option<String>,
    /// Why, for the audit.
    pub reason: Option<String>,
}

/// An action of an operator, as it was asked for. Fails if its terms are not as they may be.
pub(super) fn of_operator(
    request: &HttpRequest,
    state: &ApiState,
    scope: Scope,
    action: Action,
    terms: Terms,
) -> Result<Requested, ApiError> {
    let Terms { request_id, reason } = terms;
    let is_refused = |reason: &String| !is_text(reason, REASON_CHARS_MAX);
    let request_id = request_id.as_deref().map(read_request_id).transpose()?;
    if reason.as_ref().is_some_and(is_refused) {
        return Err(invalid(
            "reason must be 1 to 500 characters, none of them U+0000",
        ));
    }
    let operator = Operator::behind(request)?;
    let requested = operator.requested(address_of(request, state), scope, action);
    Ok(Requested {
        request_id,
        reason,
        ..requested
    })
}

/// A comment that was taken down, and when.
#[derive(Serialize)]
struct RemovalView {
    live_id: i64,
    id: String,
    removed_at: i64,
}

/// DELETE /admin/rooms/{live_id}/comments/{comment_id}: takes a comment down for good. Safe to
/// repeat. A comment is known here when it is stored, which is a moment after members see it.
pub async fn take_down(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(COMMENT_NOT_FOUND)?;
    let comment_id = path_id(&request, "comment_id", CommentId::new).ok_or(COMMENT_NOT_FOUND)?;
    let terms: Terms = body.json_or_default()?;
    let action = Action::TakeDown(comment_id);
    let requested = of_operator(&request, &state, Scope::Live(live_id), action, terms)?;
    match state.operations.perform(requested).await? {
        Change::CommentRemoved(removed_at) | Change::Decided { at: removed_at, .. } => {
            let id = comment_id.get().to_string();
            ok(RemovalView {
                live_id: live_id.get(),
                id,
                removed_at: removed_at.0,
            })
        }
        other => Err(mismatched(&other)),
    }
}

/// The body of an action that says only to whom it is done.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TargetBody {
    user_id: i64,
    request_id: Option<String>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct KickView {
    live_id: i64,
    user_id: i64,
}

/// POST /admin/rooms/{live_id}/kick: removes a user's sessions from a room, on all nodes. They
/// receive `kicked`, and may join again after ten seconds.
pub async fn kick(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(ROOM_NOT_OPEN)?;
    let TargetBody {
        user_id,
        request_id,
        reason,
    } = body.json()?;
    let user = target_user(user_id)?;
    let terms = Terms { request_id, reason };
    let requested = of_operator(
        &request,
        &state,
        Scope::Live(live_id),
        Action::Kick(user),
        terms,
    )?;
    state.operations.perform(requested).await?;
    ok(KickView {
        live_id: live_id.get(),
        user_id: user.get(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PinBody {
    /// `null` pins nothing any more, and has to be said.
    #[serde(deserialize_with = "Option::deserialize")]
    comment_id: Option<CommentIdField>,
    request_id: Option<String>,
    reason: Option<String>,
}

/// The comment that an action was about; `None`: none.
#[derive(Serialize)]
struct AboutCommentView {
    live_id: i64,
    comment_id: Option<String>,
}

/// POST /admin/rooms/{live_id}/pin: pins a comment in a live that has not ended, in place of the one
/// before. Members receive `pinned`.
pub async fn pin(state: web::Data<ApiState>, request: HttpRequest, body: RequestBody) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let PinBody {
        comment_id,
        request_id,
        reason,
    } = body.json()?;
    let comment_id = comment_id.map(|CommentIdField(id)| id);
    let terms = Terms { request_id, reason };
    let action = Action::Pin(comment_id);
    let requested = of_operator(&request, &state, Scope::Live(live_id), action, terms)?;
    state.operations.perform(requested).await?;
    ok(AboutCommentView {
        live_id: live_id.get(),
        comment_id: comment_id.map(|id| id.to_string()),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DismissBody {
    comment_id: CommentIdField,
    request_id: Option<String>,
    reason: Option<String>,
}

/// POST /admin/rooms/{live_id}/dismiss_reports: settles a reported comment that stays.
pub async fn dismiss_reports(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let DismissBody {
        comment_id: CommentIdField(comment_id),
        request_id,
        reason,
    } = body.json()?;
    let terms = Terms { request_id, reason };
    let action = Action::DismissReports(comment_id);
    let requested = of_operator(&request, &state, Scope::Live(live_id), action, terms)?;
    state.operations.perform(requested).await?;
    ok(AboutCommentView {
        live_id: live_id.get(),
        comment_id: Some(comment_id.to_string()),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SanctionTerms {
    user_id: i64,
    seconds: i64,
    scope: Option<String>,
    gifts: Option<bool>,
    purge: Option<String>,
    request_id: Option<String>,
    reason: Option<String>,
}

/// POST /admin/rooms/{live_id}/mute, /ban, /shadow: forbids a user something: in the live if
/// `seconds` is 0, otherwise in all lives of its streamer, or where `scope` says.
pub async fn sanction(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let kind = path_kind(&request)?;
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let asked: SanctionTerms = body.json()?;
    let order = sanction_order(&asked, kind)?;
    let terms = Terms {
        request_id: asked.request_id,
        reason: asked.reason,
    };
    with_outcome(&state, &request, live_id, Action::Sanction(order), terms).await
}

fn sanction_order(asked: &SanctionTerms, kind: SanctionKind) -> Result<SanctionOrder, ApiError> {
    let user = target_user(asked.user_id)?;
    let term = Term::from_seconds(asked.seconds).ok_or_else(|| {
        invalid("seconds must be 1 to 1209600, 0 until the live ends, or -1 for ever")
    })?;
    let scope = match asked.scope.as_deref() {
        None => None,
        Some(name) => Some(
            SanctionScope::from_name(name)
                .ok_or_else(|| invalid("scope must be live, streamer or site"))?,
        ),
    };
    let mut order = SanctionOrder::new(user, kind, term, scope)
        .map_err(|_| invalid("seconds 0 goes with the scope live alone"))?;
    match (kind, asked.gifts) {
        (SanctionKind::Mute, gifts) => order.gifts = gifts.unwrap_or(true),
        (_, None) => {}
        (_, Some(_)) => return Err(invalid("gifts goes with a mute alone")),
    }
    match (kind, asked.purge.as_deref()) {
        (_, None) => {}
        (SanctionKind::Ban, Some(purge)) => {
            order.purge = Purge::from_name(purge)
                .ok_or_else(|| invalid("purge must be none, recent or live"))?;
        }
        (_, Some(_)) => return Err(invalid("purge goes with a ban alone")),
    }
    Ok(order)
}

/// The kind of sanction that the path names, as the URL table lets it.
fn path_kind(request: &HttpRequest) -> Result<SanctionKind, ApiError> {
    let name = request.match_info().get("kind");
    name.and_then(SanctionKind::from_name)
        .ok_or(ApiError::UnknownRoute)
}

fn target_user(user_id: i64) -> Result<UserId, ApiError> {
    UserId::new(user_id).ok_or_else(|| invalid("user_id must be a positive integer"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TakeDownLastBody {
    user_id: i64,
    count: u32,
    request_id: Option<String>,
    reason: Option<String>,
}

/// POST /admin/rooms/{live_id}/delete_comments: takes the newest comments of a user in a live down.
pub async fn take_down_last(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let TakeDownLastBody {
        user_id,
        count,
        request_id,
        reason,
    } = body.json()?;
    let user = target_user(user_id)?;
    if !(1..=TAKE_DOWN_MAX).contains(&count) {
        return Err(invalid("count must be 1 to 500"));
    }
    let terms = Terms { request_id, reason };
    let action = Action::TakeDownLast { user, count };
    with_outcome(&state, &request, live_id, action, terms).await
}

/// POST /admin/rooms/{live_id}/restore_comments: shows the comments of a user again that were taken
/// down together last, by a ban or by the request above, within a day.
pub async fn restore(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let TargetBody {
        user_id,
        request_id,
        reason,
    } = body.json()?;
    let user = target_user(user_id)?;
    let terms = Terms { request_id, reason };
    with_outcome(&state, &request, live_id, Action::Restore(user), terms).await
}

/// Has an action done on a user's standing or comments, and answers its result.
pub(super) async fn with_outcome(
    state: &ApiState,
    request: &HttpRequest,
    live_id: LiveId,
    action: Action,
    terms: Terms,
) -> ApiResult {
    let requested = of_operator(request, state, Scope::Live(live_id), action, terms)?;
    match state.operations.perform(requested).await? {
        Change::Standing(changed) => ok(OutcomeBody::from(&changed.outcome)),
        Change::Comments { outcome, .. } | Change::Decided { outcome, .. } => {
            ok(OutcomeBody::from(&outcome))
        }
        other => Err(mismatched(&other)),
    }
}

/// POST /admin/rooms/{live_id}/unmute, /unban, /unshadow: lifts all sanctions of a kind that hold
/// against a user in a live, those of the whole site included.
pub async fn lift(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let kind = path_kind(&request)?;
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let TargetBody {
        user_id,
        request_id,
        reason,
    } = body.json()?;
    let user = target_user(user_id)?;
    let terms = Terms { request_id, reason };
    let action = Action::Lift { user, kind };
    with_outcome(&state, &request, live_id, action, terms).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ModeratorBody {
    user_id: i64,
    moderator: bool,
    request_id: Option<String>,
    reason: Option<String>,
}

/// POST /admin/rooms/{live_id}/moderator: names a moderator of all lives of this live's streamer,
/// or dismisses one.
pub async fn set_moderator(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let ModeratorBody {
        user_id,
        moderator,
        request_id,
        reason,
    } = body.json()?;
    let user = target_user(user_id)?;
    let terms = Terms { request_id, reason };
    let action = Action::SetModerator { user, moderator };
    with_outcome(&state, &request, live_id, action, terms).await
}

#[derive(Serialize)]
struct ModesView {
    live_id: i64,
    #[serde(flatten)]
    changed: ChangedModesBody,
}

impl ModesView {
    fn of(live_id: LiveId, changed: ChangedModesBody) -> Self {
        let live_id = live_id.get();
        Self { live_id, changed }
    }
}

/// GET /admin/rooms/{live_id}/modes: the modes of a live in force, whether its room is open or not.
pub async fn modes(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let modes = state.store.modes(live_id).await?.ok_or(LIVE_NOT_FOUND)?;
    ok(ModesView::of(live_id, modes.into()))
}

#[derive(Deserialize)]
struct ModesTerms {
    request_id: Option<String>,
    reason: Option<String>,
    #[serde(flatten)]
    modes: Map<String, Value>,
}

/// POST /admin/rooms/{live_id}/modes: sets modes of a live that has not ended, and of the next lives
/// of its streamer. Members receive `modes`.
pub async fn set_modes(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let ModesTerms {
        request_id,
        reason,
        modes,
    } = body.json()?;
    let change = modes_change(&modes).map_err(|reject| match reject {
        Reject::BadRequest { what } => invalid(what),
        other => ApiError::Action(other),
    })?;
    let terms = Terms { request_id, reason };
    let action = Action::SetModes(change);
    let requested = of_operator(&request, &state, Scope::Live(live_id), action, terms)?;
    match state.operations.perform(requested).await? {
        Change::Modes(changed) => ok(ModesView::of(live_id, (&changed).into())),
        other => Err(mismatched(&other)),
    }
}

#[derive(Serialize)]
struct CloseView {
    live_id: i64,
    status: i16,
}

/// POST /admin/rooms/{live_id}/close: ends a live for good, whoever streams it. Safe to repeat,
/// which also closes a room that missed the end.
pub async fn close(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let terms: Terms = body.json_or_default()?;
    let action = Action::SetStatus(LiveStatus::Ended);
    let requested = of_operator(&request, &state, Scope::Live(live_id), action, terms)?;
    match state.operations.perform(requested).await {
        Ok(_) | Err(OperationError::Refused(Reject::LiveEnded)) => ok(CloseView {
            live_id: live_id.get(),
            status: LiveStatus::Ended.code(),
        }),
        Err(error) => Err(error.into()),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TitleBody {
    title: String,
    request_id: Option<String>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct TitleView {
    live_id: i64,
    title: String,
}

/// POST /admin/rooms/{live_id}/title: gives a live that has not ended another title. Members
/// receive `live`.
pub async fn set_title(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let TitleBody {
        title,
        request_id,
        reason,
    } = body.json()?;
    if !is_text(&title, TITLE_CHARS_MAX) {
        return Err(invalid(
            "title must be 1 to 100 characters, none of them U+0000",
        ));
    }
    let action = Action::SetTitle(title.as_str().into());
    let terms = Terms { request_id, reason };
    let requested = of_operator(&request, &state, Scope::Live(live_id), action, terms)?;
    state.operations.perform(requested).await?;
    ok(TitleView {
        live_id: live_id.get(),
        title,
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoticeBody {
    text: String,
    request_id: Option<String>,
    reason: Option<String>,
}

#[derive(Serialize)]
struct NoticeView {
    live_id: i64,
}

/// POST /admin/rooms/{live_id}/notice: sends a notice to all members of a room.
pub async fn notice(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(ROOM_NOT_OPEN)?;
    let NoticeBody {
        text,
        request_id,
        reason,
    } = body.json()?;
    if !is_text(&text, NOTICE_CHARS_MAX) {
        return Err(invalid(
            "text must be 1 to 200 characters, none of them U+0000",
        ));
    }
    let action = Action::Notice(text.into());
    let terms = Terms { request_id, reason };
    let requested = of_operator(&request, &state, Scope::Live(live_id), action, terms)?;
    state.operations.perform(requested).await?;
    ok(NoticeView {
        live_id: live_id.get(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UserStatusBody {
    status: u8,
    request_id: Option<String>,
    reason: Option<String>,
}

/// POST /admin/users/{id}: 0 disables a user and ends its sessions, 1 enables it again. Its token
/// stays the current one: while the account is disabled every check refuses it with the reason.
pub async fn set_user_status(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let user_id = path_id(&request, "id", UserId::new).ok_or(USER_NOT_FOUND)?;
    let UserStatusBody {
        status,
        request_id,
        reason,
    } = body.json()?;
    let action = match status {
        0 => Action::DisableUser(user_id),
        1 => Action::EnableUser(user_id),
        _ => return Err(invalid("status must be 0 or 1")),
    };
    let terms = Terms { request_id, reason };
    let requested = of_operator(&request, &state, Scope::Site, action, terms)?;
    match state.operations.perform(requested).await? {
        Change::User(user) => ok(UserView::from(*user)),
        other => Err(mismatched(&other)),
    }
}

/// The store says what the action changes; this would be a fault of ours.
pub(super) fn mismatched(change: &Change) -> ApiError {
    ApiError::Fault(format!("an action changed something else: {change:?}"))
}
