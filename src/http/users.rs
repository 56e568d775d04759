//! Accounts: register, log in and out, look at oneself.

use std::borrow::Cow;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use actix_web::{HttpRequest, web};

use crate::auth::{AuthError, PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN};
use crate::domain::{
    Disconnect, NameFault, Timestamp, USERNAME_CHARS, UserId, Username, canonical_name,
};
use crate::storage::{Credentials, StoreError, User};

use super::error::{ApiError, ApiResult, ok};
use super::fields::{Fields, RequestBody};
use super::login_limiter::LoginAttempt;
use super::signed_in::SignedIn;
use super::views::{SessionView, UserView};
use super::{ApiState, address_of};
use crate::client_address::limit_key;

/// How long an address stays known after a login. Providers give it to somebody else in time.
pub(super) const KNOWN_FOR_MS: i64 = 90 * DAY_MS;
/// How old a remembered login may become before the next one renews it: not each login writes.
const RENEWED_AFTER_MS: i64 = DAY_MS;
const DAY_MS: i64 = 86_400_000;

/// POST /api/reg
pub async fn register(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let fields = body.fields()?;
    let username = Username::parse(fields.text("username", "用户名")?)
        .map_err(|fault| bad_name(fault, "用户名", &USERNAME_CHARS))?;
    let password = new_password(&fields)?;
    state
        .registrations
        .take(address_of(&request, &state), state.clock.now())
        .map_err(|retry_after_ms| ApiError::TooManyRegistrations { retry_after_ms })?;
    let password_hash = state.passwords.hash(password.to_owned()).await?;
    let created = state
        .store
        .create_user(
            username.as_str().to_owned(),
            None,
            password_hash,
            state.clock.now(),
        )
        .await?;
    let user = created.ok_or(ApiError::Refused("该用户名已存在"))?;
    ok(UserView::from(user))
}

pub(super) fn bad_name(
    fault: NameFault,
    label: &'static str,
    chars: &RangeInclusive<usize>,
) -> ApiError {
    ApiError::Invalid(Cow::Owned(match fault {
        NameFault::Length => format!(
            "{label} 的长度 必须 在 {} 和 {} 之间",
            chars.start(),
            chars.end()
        ),
        NameFault::Unseen => format!("{label} 不能包含看不见的字符"),
    }))
}

/// A password that was written twice.
pub(super) fn new_password(fields: &Fields) -> Result<&str, ApiError> {
    let password = fields.text("password", "密码")?;
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(ApiError::Invalid(Cow::Owned(format!(
            "密码 不能 少于 {PASSWORD_CHARS_MIN} 个字符"
        ))));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(ApiError::Invalid(Cow::Owned(format!(
            "密码 不能 超过 {PASSWORD_BYTES_MAX} 字节"
        ))));
    }
    if fields.text("repassword", "确认密码").ok() != Some(password) {
        return Err(ApiError::Invalid(Cow::Borrowed("密码和确认密码不一致")));
    }
    Ok(password)
}

/// POST /api/login
///
/// The new token replaces the one before, so whoever is connected with that one is sent away.
pub async fn login(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let fields = body.fields()?;
    let username = fields.text("username", "用户名")?;
    let password = fields.text("password", "密码")?;
    let (Credentials { user, .. }, origin) =
        authenticate(&state, &request, username, password).await?;
    if !state.auth.is_usable(&user).await? {
        return Err(AuthError::Disabled.into());
    }
    begin_session(&state, user, origin).await
}

/// Begins the one session of a user whose password was compared, which ends the one before.
pub(super) async fn begin_session(state: &ApiState, user: User, origin: LoginOrigin) -> ApiResult {
    // First, since a login that was not remembered may be tried again, and a token that was
    // replaced is gone.
    origin.remember(state, user.id).await?;
    let started = state.auth.start_session(&user).await;
    // A call that failed may have been done all the same: then the sessions find out themselves.
    let token = started.inspect_err(|_| state.cluster_control.recheck(user.id))?;
    state
        .cluster_control
        .revoke(user.id, Disconnect::Unauthorized);
    ok(SessionView {
        user: user.into(),
        token,
    })
}

/// Compares a password with that of an account, as often as that may be tried from here.
pub(super) async fn authenticate(
    state: &ApiState,
    request: &HttpRequest,
    username: &str,
    password: &str,
) -> Result<(Credentials, LoginOrigin), ApiError> {
    let address = address_of(request, state);
    let credentials = state.store.credentials(username.to_owned()).await?;
    let origin = LoginOrigin::find(state, credentials.as_ref(), address).await?;
    // One account is one key, in whatever form its name is written.
    let canonical = canonical_name(username);
    let username = credentials
        .as_ref()
        .map_or(&canonical, |credentials| &credentials.user.username);
    let attempt = LoginAttempt {
        username,
        address,
        is_known: origin.is_known,
    };
    state
        .login_limiter
        .take(attempt, origin.now)
        .map_err(|retry_after_ms| ApiError::TooManyLogins { retry_after_ms })?;
    // Compared even if there is nothing to compare with: an unknown name takes as long as a wrong
    // password.
    let stored_hash = credentials
        .as_ref()
        .map(|credentials| credentials.password_hash.clone());
    let matches = state
        .passwords
        .verify(password.to_owned(), stored_hash)
        .await;
    // One that was not compared is no guess either.
    if matches.as_ref().map_or(true, |matches| *matches) {
        state.login_limiter.give_back(attempt);
    }
    let matches = matches?;
    let credentials = credentials.ok_or(ApiError::Refused("该用户不存在"))?;
    if !matches {
        return Err(ApiError::Refused("密码错误"));
    }
    Ok((credentials, origin))
}

/// POST /api/logout
pub async fn logout(state: web::Data<ApiState>, SignedIn(identity): SignedIn) -> ApiResult {
    let user = identity.profile.id;
    // As for a login.
    state
        .auth
        .end_session(user)
        .await
        .inspect_err(|_| state.cluster_control.recheck(user))?;
    state.cluster_control.revoke(user, Disconnect::Unauthorized);
    ok("ok")
}

/// GET /api/user/info
pub async fn info(state: web::Data<ApiState>, SignedIn(identity): SignedIn) -> ApiResult {
    let user = state
        .store
        .user(identity.profile.id)
        .await?
        .ok_or(AuthError::UserGone)?;
    ok(UserView::from(user))
}

/// From where a login is tried, and what the account remembers of it.
pub(super) struct LoginOrigin {
    network: String,
    now: Timestamp,
    is_known: bool,
    is_fresh: bool,
}

impl LoginOrigin {
    /// Memory lasts in the store and not in this process: an attack goes on through a restart, and
    /// reaches every node.
    async fn find(
        state: &ApiState,
        credentials: Option<&Credentials>,
        address: IpAddr,
    ) -> Result<Self, StoreError> {
        let network = limit_key(address).to_string();
        let last_at = match credentials {
            Some(credentials) => {
                state
                    .store
                    .last_login_from(credentials.user.id, network.clone())
                    .await?
            }
            None => None,
        };
        let now = state.clock.now();
        let is_within = |age_ms: i64| last_at.is_some_and(|at| now < at.plus_ms(age_ms));
        Ok(Self {
            network,
            now,
            is_known: is_within(KNOWN_FOR_MS),
            is_fresh: is_within(RENEWED_AFTER_MS),
        })
    }

    pub(super) async fn remember(self, state: &ApiState, user: UserId) -> Result<(), StoreError> {
        if self.is_fresh {
            return Ok(());
        }
        state
            .store
            .remember_login(user, self.network, self.now)
            .await
    }
}
