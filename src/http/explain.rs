//! Why a user may or may not speak in a live: the list of checks of a comment with their results,
//! for operators and for the user itself; and the sanctions that hold there, for its moderators.
//!
//! The room makes the list with the function that decides about comments. Where it is not open, the
//! same function reads what the room would have opened with.

use std::collections::HashMap;

use actix_web::{HttpRequest, web};
use serde::Serialize;

use crate::actors::room_settings;
use crate::domain::{
    Account, Bucket, Check, CheckResult, CommentContext, ExplainedCheck, LiveId, Role, Sanction,
    SanctionId, Timestamp, UserFacts, UserId,
};
use crate::protocol::{Refusal, SanctionBody};
use crate::storage::User;

use super::ApiState;
use super::error::{ApiError, ApiResult, LIVE_NOT_FOUND, USER_NOT_FOUND, ok};
use super::fields::{positive_digits, query_id};
use super::lives::{self, path_live_id, require_moderator};
use super::signed_in::SignedIn;

/// Sanctions of one page.
const PER_PAGE: u32 = 50;

#[derive(Serialize)]
struct ExplanationView<'a> {
    live_id: i64,
    user_id: i64,
    role: &'static str,
    /// Whether the account is enabled. Nothing else matters if it is not.
    account: bool,
    /// Whether the room is open on this node. Otherwise nobody is a member, as far as it knows.
    open_here: bool,
    /// Since when the user follows the streamer; `null` if it does not.
    follows_since_ms: Option<i64>,
    checks: Vec<CheckView<'a>>,
}

/// One check. What it is not refused with is left out.
#[derive(Serialize)]
struct CheckView<'a> {
    check: &'static str,
    passed: bool,
    #[serde(flatten)]
    refusal: Option<Refusal>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sanction: Option<SanctionBody<'a>>,
    /// Why there is a sanction, as the user itself gets it: without the rest of `sanction`.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

impl<'a> CheckView<'a> {
    fn of(explained: &'a ExplainedCheck) -> Self {
        Self {
            check: explained.check.name(),
            passed: explained.result == CheckResult::Passed,
            refusal: match explained.result {
                CheckResult::Refused(reject) => Some(reject.into()),
                CheckResult::Passed | CheckResult::Hidden | CheckResult::Held(_) => None,
            },
            sanction: explained.sanction.as_ref().map(SanctionBody::from),
            reason: None,
        }
    }

    /// As the user itself gets it: without the actors, and without what is kept from it.
    fn for_user(explained: &'a ExplainedCheck) -> Option<Self> {
        let sanction = explained.sanction.as_ref();
        let view = Self {
            sanction: None,
            reason: sanction.and_then(|sanction| sanction.reason.as_deref()),
            ..Self::of(explained)
        };
        (explained.check != Check::Shadow).then_some(view)
    }
}

struct Explanation {
    role: Role,
    open_here: bool,
    follows_since: Option<Timestamp>,
    checks: Vec<ExplainedCheck>,
}

/// GET /admin/explain?user={id}&live={id}
pub async fn for_operators(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string())
        .map_err(|_| ApiError::BadParameter("malformed query"))?;
    let number = |name: &str| query.get(name).and_then(|text| positive_digits(text));
    let user_id = number("user")
        .and_then(UserId::new)
        .ok_or(ApiError::BadParameter("user must be the id of a user"))?;
    let live_id = number("live")
        .and_then(LiveId::new)
        .ok_or(ApiError::BadParameter("live must be the id of a live"))?;
    let user = state.store.user(user_id).await?.ok_or(USER_NOT_FOUND)?;
    let explanation = explain(&state, live_id, &user)
        .await?
        .ok_or(LIVE_NOT_FOUND)?;
    ok(ExplanationView {
        live_id: live_id.get(),
        user_id: user_id.get(),
        role: explanation.role.name(),
        account: user.enabled,
        open_here: explanation.open_here,
        follows_since_ms: explanation.follows_since.map(|at| at.0),
        checks: explanation.checks.iter().map(CheckView::of).collect(),
    })
}

/// GET /api/live/{id}/me: the same for the user who asks, without the actors and without a shadow.
pub async fn for_user(
    state: web::Data<ApiState>,
    request: HttpRequest,
    SignedIn(identity): SignedIn,
) -> ApiResult {
    let live_id = path_live_id(&request)?;
    let user_id = identity.profile.id;
    let user = state.store.user(user_id).await?.ok_or(USER_NOT_FOUND)?;
    let explanation = explain(&state, live_id, &user)
        .await?
        .ok_or(lives::LIVE_NOT_FOUND)?;
    let checks = explanation.checks.iter().filter_map(CheckView::for_user);
    ok(ExplanationView {
        live_id: live_id.get(),
        user_id: user_id.get(),
        role: explanation.role.name(),
        account: user.enabled,
        open_here: explanation.open_here,
        follows_since_ms: explanation.follows_since.map(|at| at.0),
        checks: checks.collect(),
    })
}

/// `None`: the live is unknown.
async fn explain(
    state: &ApiState,
    live_id: LiveId,
    user: &User,
) -> Result<Option<Explanation>, ApiError> {
    let now = state.clock.now();
    let Some((_, roles)) = state.store.roles(live_id, vec![user.id]).await? else {
        return Ok(None);
    };
    let role = roles.first().copied().unwrap_or(Role::Viewer);
    let site_sanctions = if user.is_sanctioned {
        state.store.site_sanctions(user.id, now).await?
    } else {
        Vec::new()
    };
    let facts = state.store.user_facts(live_id, vec![user.id]).await?;
    let facts = facts
        .first()
        .map_or_else(UserFacts::default, |(_, facts)| *facts);
    let in_room = state
        .rooms
        .explain(
            live_id,
            user.id,
            site_sanctions.clone(),
            user.created_at,
            facts,
        )
        .await?;
    let open_here = in_room.is_some();
    let checks = match in_room {
        Some(checks) => checks,
        None => explain_closed(state, live_id, user, role, &site_sanctions, facts).await?,
    };
    Ok(Some(Explanation {
        role,
        open_here,
        follows_since: facts.follows_since,
        checks,
    }))
}

/// What the room would answer if it were open and the user were not in it.
async fn explain_closed(
    state: &ApiState,
    live_id: LiveId,
    user: &User,
    role: Role,
    site_sanctions: &[Sanction],
    facts: UserFacts,
) -> Result<Vec<ExplainedCheck>, ApiError> {
    let now = state.clock.now();
    let row = state.store.live(live_id).await?.ok_or(LIVE_NOT_FOUND)?;
    let standings = state.store.standings(live_id, now).await?;
    let standing = standings
        .unwrap_or_default()
        .users
        .into_iter()
        .find(|(known, _)| *known == user.id)
        .map(|(_, standing)| standing)
        .unwrap_or_default();
    let modes = state.store.modes(live_id).await?.unwrap_or_default();
    let settings = room_settings(&state.config);
    let context = CommentContext {
        status: row.live.status,
        role,
        account: Account {
            site_sanctions,
            since: user.created_at,
        },
        room_sanctions: &standing.sanctions,
        is_member: false,
        modes: modes.modes.in_force(),
        facts: Some(facts),
        last_comment_at: None,
        is_repeated: false,
        limiter: Bucket::default(),
        rate: settings.comment_rate_of(role),
        filtered: None,
        has_link: false,
        now,
    };
    Ok(context.explain())
}

#[derive(Serialize)]
struct SanctionsView<'a> {
    sanctions: Vec<SanctionView<'a>>,
    /// The `cursor` of the next page, if there is one.
    next: Option<i64>,
}

#[derive(Serialize)]
struct SanctionView<'a> {
    user_id: i64,
    #[serde(flatten)]
    sanction: SanctionBody<'a>,
}

/// GET /api/live/{id}/sanctions?cursor={sanction id}&user={id}: what holds in a live, newest first,
/// but for sanctions of the whole site; of all users or of one. For its streamer and moderators.
pub async fn sanctions(
    state: web::Data<ApiState>,
    request: HttpRequest,
    SignedIn(identity): SignedIn,
) -> ApiResult {
    let live_id = path_live_id(&request)?;
    require_moderator(&state, live_id, &identity).await?;
    sanctions_page(&state, &request, live_id).await
}

/// The page of the sanctions in a live that a query asks for.
pub(super) async fn sanctions_page(
    state: &ApiState,
    request: &HttpRequest,
    live_id: LiveId,
) -> ApiResult {
    let before = query_id(request, "cursor", "cursor must be the id of a sanction")?;
    let of = query_id(request, "user", "user must be the id of a user")?;
    let (before, of) = (before.and_then(SanctionId::new), of.and_then(UserId::new));
    let now = state.clock.now();
    let page = state
        .store
        .sanctions(live_id, of, before, PER_PAGE, now)
        .await?;
    let is_full = page.len() == PER_PAGE as usize;
    let last = page.last().map(|(_, sanction)| sanction.id.get());
    let sanctions = page.iter().map(|(user, sanction)| SanctionView {
        user_id: user.get(),
        sanction: sanction.into(),
    });
    ok(SanctionsView {
        sanctions: sanctions.collect(),
        next: last.filter(|_| is_full),
    })
}
