//! Managers log in and out, set their passwords and look at their sessions.

use actix_web::http::header::{HeaderValue, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, web};
use serde::{Deserialize, Serialize};

use super::admin::invalid;
use super::error::{ApiError, ApiResult, ok};
use super::fields::{RequestBody, positive_digits};
use super::gate::OTHER_ORIGIN;
use super::login_limiter::LoginAttempt;
use super::manager_sessions::{Login, removed_cookies};
use super::operator::{Operator, OperatorSession};
use super::page_origin::{PageScheme, is_same_origin};
use super::users::KNOWN_FOR_MS;
use super::{ApiState, address_of};
use crate::auth::{PASSWORD_BYTES_MAX, secret_digest};
use crate::client_address::limit_key;
use crate::domain::Permission;
use crate::storage::ManagerRow;

/// Characters of a manager's password at least.
const PASSWORD_CHARS_MIN: usize = 10;

/// Characters of what is sent as a link at most.
const LINK_CHARS_MAX: usize = 128;

const SESSION_NOT_FOUND: ApiError = ApiError::NotFound("session not found");

/// The operator who asks.
#[derive(Serialize)]
struct OwnView<'a> {
    /// Of a manager, as the next two.
    id: Option<i64>,
    name: &'a str,
    role: Option<&'static str>,
    is_admin: bool,
    permissions: Vec<&'static str>,
    /// For the header `x-csrf-token`; sessions alone have one, as the next three.
    csrf: Option<&'a str>,
    session_id: Option<i64>,
    ends_at_ms: Option<i64>,
    idle_ends_at_ms: Option<i64>,
}

impl<'a> From<&'a Operator> for OwnView<'a> {
    fn from(operator: &'a Operator) -> Self {
        let session = operator.session.as_deref();
        let of_session = |field: fn(&OperatorSession) -> i64| session.map(field);
        Self {
            id: of_session(|session| session.manager.id.get()),
            name: &operator.name,
            role: session.map(|session| session.manager.role.name()),
            is_admin: operator.permissions.contains(Permission::Administer),
            permissions: operator.permissions.iter().map(Permission::name).collect(),
            csrf: session.map(|session| session.csrf.as_str()),
            session_id: of_session(|session| session.id),
            ends_at_ms: of_session(|session| session.ends_at.0),
            idle_ends_at_ms: of_session(|session| session.idle_ends_at.0),
        }
    }
}

/// GET /admin/me
pub async fn me(operator: Operator) -> ApiResult {
    ok(OwnView::from(&operator))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    name: String,
    password: String,
}

/// POST /admin/login: begins a session and answers as `GET /admin/me` does, with the cookie.
pub async fn login(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let scheme = page_scheme(&request)?;
    let LoginBody { name, password } = body.json()?;
    let (manager, login) = authenticate(&state, &request, scheme, &name, password).await?;
    begin_session(&state, manager, login).await
}

/// How the page of a request was reached, if it is a page of ours that may be given a session.
fn page_scheme(request: &HttpRequest) -> Result<PageScheme, ApiError> {
    let scheme = PageScheme::of(request.headers()).map_err(|text| ApiError::Forbidden {
        code: "origin",
        text,
    })?;
    if is_same_origin(request.headers()) {
        Ok(scheme)
    } else {
        Err(OTHER_ORIGIN)
    }
}

/// Compares a password with that of a manager, as often as that may be tried from here.
async fn authenticate<'a>(
    state: &ApiState,
    request: &'a HttpRequest,
    scheme: PageScheme,
    name: &str,
    password: String,
) -> Result<(ManagerRow, Login<'a>), ApiError> {
    let name = name.to_ascii_lowercase();
    let address = address_of(request, state);
    let network = limit_key(address).to_string();
    let store = &state.store;
    let found = store
        .manager_credentials(name.clone(), network.clone())
        .await?;
    let now = state.clock.now();
    let last_at = found.as_ref().and_then(|found| found.last_login_from_there);
    // No username has a control character: managers and users have buckets of their own.
    let username = &format!("\0manager {name}");
    let attempt = LoginAttempt {
        username,
        address,
        is_known: last_at.is_some_and(|at| now < at.plus_ms(KNOWN_FOR_MS)),
    };
    state
        .login_limiter
        .take(attempt, now)
        .map_err(|retry_after_ms| ApiError::TooManyLogins { retry_after_ms })?;
    let stored_hash = found.as_ref().and_then(|found| found.password_hash.clone());
    let matches = state.passwords.verify(password, stored_hash).await;
    // One that was not compared is no guess either.
    if !matches!(matches, Ok(false)) {
        state.login_limiter.give_back(attempt);
    }
    let matches = matches?;
    match found {
        Some(found) if matches && !found.manager.disabled => {
            let password_hash = found.password_hash.ok_or(ApiError::WrongLogin)?;
            let login = Login {
                password_hash,
                address,
                network,
                scheme,
                headers: request.headers(),
            };
            Ok((found.manager, login))
        }
        _ => {
            state.attempts.login_failed(&name, address);
            Err(ApiError::WrongLogin)
        }
    }
}

async fn begin_session(state: &ApiState, manager: ManagerRow, login: Login<'_>) -> ApiResult {
    let opened = state.manager_sessions.open(manager, login).await?;
    let (operator, cookie) = opened.ok_or(ApiError::WrongLogin)?;
    let mut response = ok(OwnView::from(&operator))?;
    add_cookie(&mut response, &cookie)?;
    log::info!("manager logged in: name={}", operator.name);
    Ok(response)
}

fn add_cookie(response: &mut HttpResponse, cookie: &str) -> Result<(), ApiError> {
    let value = HeaderValue::from_str(cookie)
        .map_err(|error| ApiError::Fault(format!("a cookie is no header: {error}")))?;
    response.headers_mut().append(SET_COOKIE, value);
    Ok(())
}

/// POST /admin/logout: ends the session, on all nodes.
pub async fn logout(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
) -> ApiResult {
    let session = operator.session()?;
    let (manager, id) = (session.manager.id, session.id);
    let by = operator.author(address_of(&request, &state), None);
    state
        .store
        .end_manager_sessions(manager, Some(id), state.clock.now(), by)
        .await?;
    let mut response = ok(())?;
    for cookie in removed_cookies() {
        add_cookie(&mut response, &cookie)?;
    }
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetupBody {
    link: String,
    password: String,
}

#[derive(Serialize)]
struct NameView {
    name: String,
}

/// POST /admin/setup: sets the password of the manager that a link was made for, and ends its
/// sessions. A link works once.
pub async fn setup(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    page_scheme(&request)?;
    let SetupBody { link, password } = body.json()?;
    check_password(&password)?;
    if link.len() > LINK_CHARS_MAX {
        return Err(LINK_NOT_FOUND);
    }
    let address = address_of(&request, &state);
    // A link cannot be guessed; what is bounded is the work of hashing.
    state
        .registrations
        .take(address, state.clock.now())
        .map_err(|retry_after_ms| ApiError::TooManyLogins { retry_after_ms })?;
    let hash = state.passwords.hash(password).await?;
    let digest = secret_digest(&link);
    let now = state.clock.now();
    let redeemed = state
        .store
        .redeem_manager_link(digest, hash, now, Some(address));
    let manager = redeemed.await?.ok_or(LINK_NOT_FOUND)?;
    log::info!("manager set its password by a link: name={}", manager.name);
    ok(NameView { name: manager.name })
}

const LINK_NOT_FOUND: ApiError = ApiError::NotFound("the link was used, replaced or has expired");

fn check_password(password: &str) -> Result<(), ApiError> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(invalid("password must be at least 10 characters"));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(invalid("password must be at most 128 bytes"));
    }
    Ok(())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PasswordBody {
    old: String,
    new: String,
}

/// POST /admin/password: replaces the password. All sessions of the manager end, and the one that
/// asks is renewed.
pub async fn change_password(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
    body: RequestBody,
) -> ApiResult {
    let scheme = page_scheme(&request)?;
    let PasswordBody { old, new } = body.json()?;
    check_password(&new)?;
    let (manager, login) = authenticate(&state, &request, scheme, &operator.name, old).await?;
    let hash = state.passwords.hash(new).await?;
    let expected = login.password_hash.clone();
    let by = operator.author(login.address, None);
    let changed = state.store.change_manager_password(
        manager.id,
        expected,
        hash.clone(),
        state.clock.now(),
        by,
    );
    if !changed.await? {
        return Err(ApiError::WrongLogin);
    }
    let login = Login {
        password_hash: hash,
        ..login
    };
    begin_session(&state, manager, login).await
}

#[derive(Serialize)]
struct SessionsView {
    sessions: Vec<ManagerSessionView>,
}

#[derive(Serialize)]
struct ManagerSessionView {
    id: i64,
    created_at_ms: i64,
    last_used_at_ms: i64,
    ends_at_ms: i64,
    address: String,
    user_agent: String,
    current: bool,
}

/// GET /admin/sessions: the sessions of the manager who asks.
pub async fn sessions(state: web::Data<ApiState>, operator: Operator) -> ApiResult {
    let own = operator.session()?;
    let sessions = state
        .store
        .manager_sessions(own.manager.id, state.clock.now())
        .await?;
    let sessions = sessions.into_iter().map(|session| ManagerSessionView {
        id: session.id,
        created_at_ms: session.created_at.0,
        last_used_at_ms: session.used_at.0,
        ends_at_ms: session.ends_at.0,
        address: session.address,
        user_agent: session.user_agent,
        current: session.id == own.id,
    });
    ok(SessionsView {
        sessions: sessions.collect(),
    })
}

/// DELETE /admin/sessions/{id}: ends one of the sessions of the manager who asks.
pub async fn end_session(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
) -> ApiResult {
    let manager = operator.session()?.manager.id;
    let id = request.match_info().get("id").and_then(positive_digits);
    let id = id.ok_or(SESSION_NOT_FOUND)?;
    let by = operator.author(address_of(&request, &state), None);
    let ended = state
        .store
        .end_manager_sessions(manager, Some(id), state.clock.now(), by)
        .await?;
    if ended {
        ok(())
    } else {
        Err(SESSION_NOT_FOUND)
    }
}
