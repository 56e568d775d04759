//! The gate of the operators' side: which operator a request comes from, and whether that one may
//! ask for this.

use std::net::IpAddr;

use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{AUTHORIZATION, HeaderMap};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, HttpRequest, ResponseError, web};

use super::error::ApiError;
use super::operator::Operator;
use super::page_origin::{is_from_page, is_same_origin};
use super::{ApiState, address_of, api_tokens};
use crate::auth::is_same_secret;
use crate::domain::{OperatorId, Permission, Permissions};

/// The author that a request must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Requires {
    /// Served to anybody.
    Nobody,
    /// A user with a good token: the handler's arguments see to that.
    User,
    /// An operator with this permission: the gate of `/admin` sees to that.
    Operator(Permission),
    /// Any operator.
    AnyOperator,
    /// A manager in a browser, of any role. Tokens have no session.
    Session,
}

/// How a URL is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET and HEAD, which change nothing.
    Get,
    Post,
    Delete,
}

impl Verb {
    /// The methods, as the header `Allow` lists them.
    pub const fn methods(self) -> &'static str {
        match self {
            Self::Get => "GET, HEAD",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }

    /// Whether it asks for a change.
    pub const fn is_change(self) -> bool {
        !matches!(self, Self::Get)
    }
}

/// The author that a URL requires of this method; `None`: there is no such URL.
pub type RequiresOf = fn(Verb, &str) -> Option<Requires>;

/// Lets a request through if its operator may ask for it, as the URL table has it, and leaves the
/// [`Operator`] with it. While there is neither a manager nor a configured token there is no
/// operators' side at all: it answers as if its URLs did not exist.
pub async fn admit_operators(
    table: RequiresOf,
    state: web::Data<ApiState>,
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    match admit(table, &state, &request).await {
        Ok(operator) => {
            let Some(operator) = operator else {
                return Ok(next.call(request).await?.map_into_boxed_body());
            };
            request.extensions_mut().insert(operator.clone());
            let response = next.call(request).await?.map_into_boxed_body();
            let error = response.response().error();
            if let Some(refusal) = error.and_then(|error| error.as_error::<ApiError>()) {
                record_refusal(&state, response.request(), &operator, refusal).await;
            }
            Ok(response)
        }
        Err(refusal) => Ok(request.into_response(refusal.error_response())),
    }
}

/// The operator of a request; `None`: its URL is served to anybody.
async fn admit(
    table: RequiresOf,
    state: &ApiState,
    request: &ServiceRequest,
) -> Result<Option<Operator>, ApiError> {
    if !is_plainly_written(request.uri().path()) || !has_operators(state).await? {
        return Err(ApiError::UnknownRoute);
    }
    // Only operators learn which of the other URLs do not exist.
    let requires = requires_of(table, request);
    if requires == Some(Requires::Nobody) {
        return Ok(None);
    }
    let headers = request.headers();
    let address = address_of(request.request(), state);
    let is_act = !headers.contains_key(POLL_HEADER);
    let operator = identify(state, headers, address, is_act).await?;
    if let Err(refusal) = check(requires, &operator, request) {
        record_refusal(state, request.request(), &operator, &refusal).await;
        return Err(refusal);
    }
    Ok(Some(operator))
}

/// Whether the operator may ask for this, and really asked.
fn check(
    requires: Option<Requires>,
    operator: &Operator,
    request: &ServiceRequest,
) -> Result<(), ApiError> {
    if operator.session.is_none() && is_from_page(request.headers()) {
        return Err(TOKEN_FROM_PAGE);
    }
    match requires {
        Some(Requires::Operator(permission)) => operator.require(permission)?,
        Some(Requires::Session) => {
            operator.session()?;
        }
        _ => {}
    }
    match *request.method() {
        Method::GET | Method::HEAD => Ok(()),
        _ => check_change(operator, request.headers()),
    }
}

/// Adds what an operator asked for in vain to the audit, unless it became an action and its refusal
/// is there.
async fn record_refusal(
    state: &ApiState,
    request: &HttpRequest,
    operator: &Operator,
    refusal: &ApiError,
) {
    let is_change = !matches!(*request.method(), Method::GET | Method::HEAD);
    let Some(code) = refusal.audit_code(is_change) else {
        return;
    };
    let url = request.match_pattern().unwrap_or_default();
    let method = request.method().as_str();
    let address = address_of(request, state);
    state
        .attempts
        .refused(operator, address, method, &url, code)
        .await;
}

/// The operator that opens a WebSocket, or has one: asked again and again, it says whether that one
/// may go on.
pub async fn admit_console(
    state: &ApiState,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<Operator, ApiError> {
    if !has_operators(state).await? {
        return Err(ApiError::UnknownRoute);
    }
    let operator = identify(state, headers, address, false).await?;
    operator.require(Permission::Look)?;
    Ok(operator)
}

/// Whether there is anybody who could get in.
async fn has_operators(state: &ApiState) -> Result<bool, ApiError> {
    let has_token = !state.config.admin.token.is_empty();
    Ok(has_token || state.manager_sessions.has_managers().await?)
}

/// Refuses a change that a page of another site may have caused. A cookie goes with such a request
/// as well; a token in a header does not.
fn check_change(operator: &Operator, headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(session) = &operator.session else {
        return Ok(());
    };
    if !is_same_origin(headers) {
        return Err(OTHER_ORIGIN);
    }
    let found = headers.get(CSRF_HEADER).and_then(|csrf| csrf.to_str().ok());
    if found.is_some_and(|found| is_same_secret(found, &session.csrf)) {
        Ok(())
    } else {
        Err(CSRF_MISSING)
    }
}

/// Carries [`OperatorSession::csrf`](super::operator::OperatorSession::csrf).
const CSRF_HEADER: &str = "x-csrf-token";

pub(super) const OTHER_ORIGIN: ApiError = ApiError::Forbidden {
    code: "csrf",
    text: "the request comes from a page of another origin; a proxy must pass Host on with its port",
};
const CSRF_MISSING: ApiError = ApiError::Forbidden {
    code: "csrf",
    text: "x-csrf-token is missing or of another session: read GET /admin/me again",
};
/// On a request that a timer of the console makes: nobody did anything.
const POLL_HEADER: &str = "x-liveroom-poll";

const TOKEN_FROM_PAGE: ApiError = ApiError::Forbidden {
    code: "token_from_page",
    text: "tokens are for scripts: a browser page logs in as a manager",
};

/// The author that the URL of this request requires.
fn requires_of(table: RequiresOf, request: &ServiceRequest) -> Option<Requires> {
    let verb = match *request.method() {
        Method::GET | Method::HEAD => Verb::Get,
        Method::POST => Verb::Post,
        Method::DELETE => Verb::Delete,
        _ => return None,
    };
    table(verb, &request.match_pattern()?)
}

/// Finds out which operator asks, by a token or the cookie of a session. The right token passes,
/// however many wrong ones came before it. `is_act`: the operator does something, which keeps its
/// session alive.
async fn identify(
    state: &ApiState,
    headers: &HeaderMap,
    address: IpAddr,
    is_act: bool,
) -> Result<Operator, ApiError> {
    if !headers.contains_key(AUTHORIZATION) {
        return state.manager_sessions.identify(headers, is_act).await;
    }
    let found = bearer_of(headers).ok_or(ApiError::NoOperator)?;
    state
        .wrong_tokens
        .slow_down(address, state.clock.now())
        .await;
    let expected = &state.config.admin.token;
    if !expected.is_empty() && is_same_secret(found, expected.expose()) {
        return Ok(Operator {
            id: OperatorId::Config,
            name: "config".into(),
            permissions: Permissions::ALL,
            session: None,
        });
    }
    if let Some(operator) = api_tokens::identify(state, found).await? {
        return Ok(operator);
    }
    state.attempts.token_refused(address);
    let counted = state.wrong_tokens.count(address, state.clock.now());
    Err(counted.map_or_else(
        |retry_after_ms| ApiError::TooManyWrongTokens { retry_after_ms },
        |()| ApiError::NoOperator,
    ))
}

/// Whether a path is written as the URL table has it. The router decodes `%61` before it looks a
/// path up, and a proxy that guards `/admin` may not: so each of these URLs has one spelling, and
/// any other leads nowhere.
fn is_plainly_written(path: &str) -> bool {
    !path.contains('%')
}

fn bearer_of(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
