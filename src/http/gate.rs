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
/// [`Operator`] with it. Without a configured token there is no operators' side at all: it answers
/// as if its URLs did not exist.
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
    if state.config.admin.token.is_empty() || !is_plainly_written(request.uri().path()) {
        return Err(ApiError::UnknownRoute);
    }
    // Only operators learn which of the other URLs do not exist.
    let requires = requires_of(table, request);
    if requires == Some(Requires::Nobody) {
        return Ok(None);
    }
    let address = address_of(request.request(), state);
    let operator = identify(state, request.headers(), address).await?;
    if let Some(Requires::Operator(permission)) = requires
        && let Err(refusal) = operator.require(permission)
    {
        record_refusal(state, request.request(), &operator, &refusal).await;
        return Err(refusal);
    }
    Ok(Some(operator))
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
    if state.config.admin.token.is_empty() {
        return Err(ApiError::UnknownRoute);
    }
    let operator = identify(state, headers, address).await?;
    operator.require(Permission::Look)?;
    Ok(operator)
}

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

/// Finds out which operator asks. The right token passes, however many wrong ones came before it.
pub async fn identify(
    state: &ApiState,
    headers: &HeaderMap,
    address: IpAddr,
) -> Result<Operator, ApiError> {
    let found = bearer_of(headers).ok_or(ApiError::NoOperator)?;
    state
        .wrong_tokens
        .slow_down(address, state.clock.now())
        .await;
    if is_same_secret(found, state.config.admin.token.expose()) {
        return Ok(Operator {
            id: OperatorId::Config,
            name: "config".into(),
            permissions: Permissions::ALL,
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
