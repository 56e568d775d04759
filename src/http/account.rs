//! What users change about their own accounts.

use std::borrow::Cow;

use actix_web::{HttpRequest, web};

use crate::auth::AuthError;
use crate::domain::{BucketRate, NICKNAME_CHARS, Nickname, Timestamp, UserId};
use crate::storage::{ProfileChange, ProfileOutcome};

use super::ApiState;
use super::error::{ApiError, ApiResult, ok};
use super::fields::{RequestBody, at_most_chars};
use super::signed_in::SignedIn;
use super::tries::{KeyedBuckets, take_of_user};
use super::users::{authenticate, bad_name, begin_session, new_password};
use super::views::UserView;

/// Longest address of an avatar, in characters.
const AVATAR_CHARS_MAX: usize = 500;

/// Changes of one user: a name that changes all the time hides who talks.
const CHANGES_PER_HOUR: u32 = 10;

/// Exports of one user's own data: each may read for long.
const EXPORTS_PER_HOUR: u32 = 2;

/// How often users may change their names and avatars, and export what is stored of them. All of an
/// hour may be done at once. Counted by each node for itself.
pub struct AccountLimits {
    changes: KeyedBuckets,
    exports: KeyedBuckets,
}

impl Default for AccountLimits {
    fn default() -> Self {
        let per_hour = |count| {
            KeyedBuckets::new(BucketRate {
                burst: count,
                refill: count,
                per_ms: 3_600_000,
            })
        };
        Self {
            changes: per_hour(CHANGES_PER_HOUR),
            exports: per_hour(EXPORTS_PER_HOUR),
        }
    }
}

impl AccountLimits {
    fn take_change(&self, user: UserId, now: Timestamp) -> Result<(), ApiError> {
        take_of_user(&self.changes, user, now)
    }

    pub(super) fn take_export(&self, user: UserId, now: Timestamp) -> Result<(), ApiError> {
        take_of_user(&self.exports, user, now)
    }
}

/// POST /api/user/profile: another nickname, another avatar, or both; what is missing stays, and an
/// empty text takes it away. Comments and gifts show it from the next one on, on every node.
pub async fn change_profile(
    state: web::Data<ApiState>,
    SignedIn(identity): SignedIn,
    body: RequestBody,
) -> ApiResult {
    let fields = body.fields()?;
    let nickname = match fields.optional_text("nickname", "昵称")? {
        None => None,
        Some("") => Some(None),
        Some(text) => Some(Some(nickname(&state, text)?)),
    };
    let avatar = match fields.optional_text("avatar", "头像")? {
        None => None,
        Some("") => Some(None),
        Some(text) => Some(Some(avatar(text)?.to_owned())),
    };
    let (user, now) = (identity.profile.id, state.clock.now());
    state.account_limits.take_change(user, now)?;
    let change = ProfileChange { nickname, avatar };
    match state.store.change_profile(user, change, now).await? {
        ProfileOutcome::Changed(changed) => {
            state.cluster_control.recheck(user);
            ok(UserView::from(*changed))
        }
        ProfileOutcome::LooksLikeUsername => Err(ApiError::Refused("该昵称与他人的用户名相似")),
        ProfileOutcome::UserNotFound => Err(AuthError::UserGone.into()),
    }
}

fn nickname(state: &ApiState, text: &str) -> Result<String, ApiError> {
    let nickname =
        Nickname::parse(text).map_err(|fault| bad_name(fault, "昵称", &NICKNAME_CHARS))?;
    let verdict = state.word_filters.of_site().check(nickname.as_str());
    if verdict.action().is_some() {
        return Err(ApiError::Refused("昵称含有不允许的内容"));
    }
    Ok(nickname.as_str().to_owned())
}

/// An address that a page may load as it is: of this site, or over TLS. Browsers read `\` as `/`.
fn avatar(text: &str) -> Result<&str, ApiError> {
    at_most_chars(text, AVATAR_CHARS_MAX, "头像")?;
    let is_plain = text.chars().all(|c| c.is_ascii_graphic() && c != '\\');
    let is_local = text.starts_with('/') && !text.starts_with("//");
    if is_plain && (is_local || text.starts_with("https://")) {
        Ok(text)
    } else {
        Err(ApiError::Invalid(Cow::Borrowed("头像 格式不正确")))
    }
}

/// POST /api/user/password: another password, which the present one has to be said for. All that
/// was logged in before is not any more; the answer has the token that is good now.
pub async fn change_password(
    state: web::Data<ApiState>,
    request: HttpRequest,
    SignedIn(identity): SignedIn,
    body: RequestBody,
) -> ApiResult {
    let fields = body.fields()?;
    let present = fields.text("oldpassword", "原密码")?;
    let wanted = new_password(&fields)?;
    let user = state.store.user(identity.profile.id).await?;
    let username = user.ok_or(AuthError::UserGone)?.username;
    // It is a try like any other: whoever found a token must not find the password with it.
    let (credentials, origin) = authenticate(&state, &request, &username, present).await?;
    let user = credentials.user;
    let hash = state.passwords.hash(wanted.to_owned()).await?;
    let now = state.clock.now();
    let is_changed = state
        .store
        .change_password(user.id, credentials.password_hash, hash, now)
        .await?;
    if !is_changed {
        // By another request, since it was compared.
        return Err(ApiError::Refused("密码错误"));
    }
    begin_session(&state, user, origin).await
}
