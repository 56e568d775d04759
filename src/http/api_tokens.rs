//! API tokens, by which operators' scripts ask. Each has scopes, which its creator must have.

use actix_web::{HttpRequest, web};
use log::info;
use serde::{Deserialize, Serialize};

use super::admin::{invalid, path_id};
use super::error::{ApiError, ApiResult, ok};
use super::fields::RequestBody;
use super::operator::Operator;
use super::{ApiState, address_of};
use crate::auth::{random_secret, secret_digest};
use crate::domain::{OperatorId, Permission, Permissions, Timestamp, TokenId, is_text};
use crate::storage::{API_TOKEN_USE_MS, ApiToken, NewApiToken};

/// Each begins like this, so that scanners of repositories find those that were published.
const PREFIX: &str = "lrt_";
/// Of the prefix and 256 bits in hex.
const TOKEN_CHARS: usize = PREFIX.len() + 64;
const NAME_CHARS_MAX: usize = 50;
/// Seconds that a token is good for: a minute to five years.
const EXPIRES_IN_S: std::ops::RangeInclusive<i64> = 60..=5 * 366 * 86_400;

const TOKEN_NOT_FOUND: ApiError = ApiError::NotFound("token not found");

/// The operator of a good API token; `None`: it is unknown, revoked or has expired.
pub async fn identify(state: &ApiState, token: &str) -> Result<Option<Operator>, ApiError> {
    if token.len() != TOKEN_CHARS || !token.starts_with(PREFIX) {
        return Ok(None);
    }
    let now = state.clock.now();
    let found = state.store.api_token(secret_digest(token)).await?;
    let Some(token) = found.filter(|token| !token.has_expired(now)) else {
        return Ok(None);
    };
    let is_noted = |at: Timestamp| now < at.plus_ms(API_TOKEN_USE_MS);
    if !token.last_used_at.is_some_and(is_noted) {
        state.store.note_api_token_use(token.id, now).await?;
    }
    Ok(Some(Operator {
        id: OperatorId::Token(token.id),
        name: token.name.into(),
        permissions: token.scopes,
        session: None,
    }))
}

#[derive(Serialize)]
struct ApiTokenView {
    id: i64,
    name: String,
    scopes: Vec<&'static str>,
    created_by: String,
    created_at_ms: i64,
    expires_at_ms: Option<i64>,
    expired: bool,
    last_used_at_ms: Option<i64>,
}

impl ApiTokenView {
    fn new(token: ApiToken, now: Timestamp) -> Self {
        Self {
            id: token.id.get(),
            scopes: token.scopes.iter().map(Permission::name).collect(),
            created_at_ms: token.created_at.0,
            expires_at_ms: token.expires_at.map(|at| at.0),
            expired: token.has_expired(now),
            last_used_at_ms: token.last_used_at.map(|at| at.0),
            name: token.name,
            created_by: token.created_by_name,
        }
    }
}

#[derive(Serialize)]
struct ApiTokensView {
    tokens: Vec<ApiTokenView>,
}

/// GET /admin/tokens: all that are not revoked, the newest first, without the tokens themselves.
pub async fn list(state: web::Data<ApiState>) -> ApiResult {
    let now = state.clock.now();
    let tokens = state.store.api_tokens().await?;
    let view = |token| ApiTokenView::new(token, now);
    ok(ApiTokensView {
        tokens: tokens.into_iter().map(view).collect(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ApiTokenBody {
    name: String,
    scopes: Vec<String>,
    /// Absent: it never expires.
    expires_in_s: Option<i64>,
}

#[derive(Serialize)]
struct CreatedView {
    /// Shown this once: the store has its digest alone.
    token: String,
    #[serde(flatten)]
    view: ApiTokenView,
}

/// POST /admin/tokens
pub async fn create(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
    body: RequestBody,
) -> ApiResult {
    let ApiTokenBody {
        name,
        scopes,
        expires_in_s,
    } = body.json()?;
    if !is_text(&name, NAME_CHARS_MAX) || name.chars().any(char::is_control) {
        return Err(invalid("name must be 1 to 50 characters that can be seen"));
    }
    let scopes = read_scopes(&scopes)?;
    for scope in scopes.iter() {
        operator.require(scope)?;
    }
    if expires_in_s.is_some_and(|seconds| !EXPIRES_IN_S.contains(&seconds)) {
        return Err(invalid("expires_in_s must be 60 to 158112000, or absent"));
    }
    let (token, now) = (format!("{PREFIX}{}", random_secret()), state.clock.now());
    let by = operator.author(address_of(&request, &state), None);
    let new = NewApiToken {
        name,
        digest: secret_digest(&token),
        scopes,
        created_by: operator.id,
        created_by_name: operator.name.to_string(),
        at: now,
        expires_at: expires_in_s.map(|seconds| now.plus_ms(seconds * 1_000)),
    };
    let added = state.store.add_api_token(new, by).await?;
    let added = added.ok_or(ApiError::Conflict(
        "there are 100 tokens: revoke one that is not needed",
    ))?;
    info!(
        "api token created: token_id={} by={:?}",
        added.id, operator.name
    );
    ok(CreatedView {
        token,
        view: ApiTokenView::new(added, now),
    })
}

fn read_scopes(names: &[String]) -> Result<Permissions, ApiError> {
    let mut scopes = Permissions::NONE;
    for name in names {
        let scope = Permission::from_name(name).ok_or(invalid(
            "scopes must be some of look, comments, moderate, operate, finance, administer",
        ))?;
        scopes = scopes.with(scope);
    }
    if scopes == Permissions::NONE {
        return Err(invalid("scopes must name one at least"));
    }
    Ok(scopes)
}

/// DELETE /admin/tokens/{id}: the token is refused from now on, on all nodes.
pub async fn revoke(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
) -> ApiResult {
    let id = path_id(&request, "id", TokenId::new).ok_or(TOKEN_NOT_FOUND)?;
    let by = operator.author(address_of(&request, &state), None);
    let now = state.clock.now();
    if !state.store.revoke_api_token(id, now, by).await? {
        return Err(TOKEN_NOT_FOUND);
    }
    info!("api token revoked: token_id={id} by={:?}", operator.name);
    ok(())
}
