//! Accounts: register, log in and out, look at oneself.

use std::borrow::Cow;

use actix_web::http::header::HeaderName;
use actix_web::{HttpRequest, web};

use crate::auth::{AuthError, PASSWORD_BYTES_MAX};
use crate::domain::Disconnect;

use super::ApiState;
use super::error::{Answer, ApiError, ok};
use super::fields::Body;
use super::signed_in::SignedIn;
use super::views::{SessionView, UserView};
use crate::client_address::{NO_ADDRESS, client_address};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// POST /api/reg
pub async fn register(state: web::Data<ApiState>, body: Body) -> Answer {
    let fields = body.fields()?;
    let username = fields.text("username", "用户名")?;
    if !(5..=20).contains(&username.chars().count()) {
        return Err(ApiError::Invalid(Cow::Borrowed("用户名 的长度 必须 在 5 和 20 之间")));
    }
    let password = fields.text("password", "密码")?;
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(ApiError::Invalid(Cow::Owned(format!("密码 不能 超过 {PASSWORD_BYTES_MAX} 字节"))));
    }
    if fields.text("repassword", "确认密码").ok() != Some(password) {
        return Err(ApiError::Invalid(Cow::Borrowed("密码和确认密码不一致")));
    }
    let password_hash = state.passwords.hash(password.to_owned()).await?;
    let created = state.store.create_user(username.to_owned(), None, password_hash, state.clock.now()).await?;
    let user = created.ok_or(ApiError::Refused("该用户名已存在"))?;
    ok(UserView::from(user))
}

/// POST /api/login
///
/// The new token replaces the one before, so whoever is connected with that one is sent away.
pub async fn login(state: web::Data<ApiState>, request: HttpRequest, body: Body) -> Answer {
    let fields = body.fields()?;
    let username = fields.text("username", "用户名")?;
    let password = fields.text("password", "密码")?;
    state
        .login_limiter
        .take(username, address_of(&request, &state), state.clock.now())
        .map_err(|retry_after_ms| ApiError::TooManyLogins { retry_after_ms })?;
    let credentials = state.store.credentials(username.to_owned()).await?;
    // Compared even if there is nothing to compare with: an unknown name takes as long as a wrong
    // password.
    let stored_hash = credentials.as_ref().map(|credentials| credentials.password_hash.clone());
    let matches = state.passwords.verify(password.to_owned(), stored_hash).await?;
    let user = credentials.ok_or(ApiError::Refused("该用户不存在"))?.user;
    if !matches {
        return Err(ApiError::Refused("密码错误"));
    }
    if !user.enabled {
        return Err(AuthError::Disabled.into());
    }
    let token = state.auth.start_session(&user).await?;
    state.everywhere.revoke(user.id, Disconnect::Unauthorized);
    ok(SessionView { user: user.into(), token })
}

/// POST /api/logout
pub async fn logout(state: web::Data<ApiState>, SignedIn(identity): SignedIn) -> Answer {
    state.auth.end_session(identity.profile.id).await?;
    state.everywhere.revoke(identity.profile.id, Disconnect::Unauthorized);
    ok("ok")
}

/// GET /api/user/info
pub async fn info(state: web::Data<ApiState>, SignedIn(identity): SignedIn) -> Answer {
    let user = state.store.user(identity.profile.id).await?.ok_or(AuthError::UserGone)?;
    ok(UserView::from(user))
}

fn address_of(request: &HttpRequest, state: &ApiState) -> std::net::IpAddr {
    let peer = request.peer_addr().map_or(NO_ADDRESS, |peer| peer.ip());
    // One that is no text ends the search, as an odd hop does.
    let values: Vec<&str> =
        request.headers().get_all(FORWARDED_FOR).map(|value| value.to_str().unwrap_or_default()).collect();
    client_address(peer, values.into_iter(), &state.settings.trusted_proxies)
}
