//! The answer to a request that fails.

use std::borrow::Cow;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CACHE_CONTROL, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpResponse, ResponseError};
use log::{error, warn};
use serde::Serialize;

use crate::actors::AskError;
use crate::actors::operations::OperationError;
use crate::auth::{AuthError, PasswordError};
use crate::domain::{Permission, Reject};
use crate::protocol::refusal::Refusal;
use crate::storage::StoreError;

/// To an operator; the streamers' API says so in its own words.
pub const COMMENT_NOT_FOUND: ApiError = ApiError::NotFound("comment not found");
pub const GIFT_NOT_FOUND: ApiError = ApiError::NotFound("gift not found");
pub const LIVE_NOT_FOUND: ApiError = ApiError::NotFound("live not found");
pub const ROOM_NOT_OPEN: ApiError = ApiError::NotFound("room not open");
pub const USER_NOT_FOUND: ApiError = ApiError::NotFound("user not found");

/// The result of every handler.
pub type ApiResult = Result<HttpResponse, ApiError>;

/// Why a request is not answered with what it asked for.
///
/// Everything becomes the envelope `{"msg":"fail","data":"<text>"}`. Refusals are answered in the
/// words of the replaced system and not logged; faults are logged here, once, and answered without
/// internals.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// 400: no token where one is needed.
    #[error("no token")]
    Unauthorized,
    /// 400, or 503 when the token could not be checked.
    #[error("{0}")]
    Token(AuthError),
    /// 400: well-formed, but not now or not for you.
    #[error("{0}")]
    Refused(&'static str),
    /// 422: a field is missing or outside its limits.
    #[error("{0}")]
    Invalid(Cow<'static, str>),
    /// 400: neither a JSON object nor a form, as the content type has it.
    #[error("malformed body")]
    MalformedBody,
    /// 413
    #[error("body too large")]
    BodyTooLarge,
    /// 408
    #[error("body too slow")]
    BodyTooSlow,
    /// 404: no such URL, or one that is turned off.
    #[error("unknown route")]
    UnknownRoute,
    /// 405
    #[error("method not allowed")]
    MethodNotAllowed { allow: Cow<'static, str> },
    /// 429
    #[error("too many logins")]
    TooManyLogins { retry_after_ms: u64 },
    /// 429
    #[error("too many registrations")]
    TooManyRegistrations { retry_after_ms: u64 },
    /// 429: lives created, changes of their status, or follows, of one user.
    #[error("too many changes")]
    TooManyChanges { retry_after_ms: u64 },
    /// 401: the operator's token is missing or wrong.
    #[error("no operator")]
    NoOperator,
    /// 403: an operator's request that is not let through.
    #[error("{text}")]
    Forbidden {
        /// For programs. Never change one.
        code: &'static str,
        text: &'static str,
    },
    /// 401: a manager's name or password.
    #[error("wrong name or password")]
    WrongLogin,
    /// 403: the operator lacks this permission.
    #[error("not permitted: {}", permission.name())]
    NotPermitted { permission: Permission },
    /// 429: the operator's token is wrong, once more after too often.
    #[error("too many wrong operator tokens")]
    TooManyWrongTokens { retry_after_ms: u64 },
    /// 400, to an operator: a parameter of the query is malformed or outside its limits.
    #[error("{0}")]
    BadParameter(&'static str),
    /// 404, to an operator: no such row.
    #[error("{0}")]
    NotFound(&'static str),
    /// 409
    #[error("{0}")]
    Conflict(&'static str),
    /// 400: an action that is refused, in the words that a socket command would be.
    #[error("{0:?}")]
    Action(Reject),
    /// 503: too much at once, or a part of ours did not answer in time.
    #[error("busy: {0}")]
    Busy(&'static str),
    /// 503 or 500
    #[error(transparent)]
    Store(#[from] StoreError),
    /// 500
    #[error("{0}")]
    Fault(String),
}

impl ApiError {
    /// The text that the client reads.
    fn text(&self) -> Cow<'static, str> {
        let text = match self {
            Self::Unauthorized => "您没有权限访问该接口",
            Self::Token(AuthError::Invalid) => "Token 令牌不合法!",
            Self::Token(AuthError::Expired) => "token 已过期! 请重新获取令牌",
            Self::Token(AuthError::UserGone) => "用户不存在",
            Self::Token(AuthError::Disabled) => "你已被禁用",
            Self::Refused(text)
            | Self::BadParameter(text)
            | Self::NotFound(text)
            | Self::Conflict(text)
            | Self::Forbidden { text, .. } => text,
            Self::WrongLogin => "name or password wrong",
            Self::Invalid(text) => return text.clone(),
            Self::Action(reject) => return Refusal::from(*reject).message,
            Self::MalformedBody => "请求格式错误",
            Self::BodyTooLarge => "请求内容过大",
            Self::BodyTooSlow => "请求超时",
            Self::UnknownRoute => "接口不存在",
            Self::MethodNotAllowed { .. } => "请求方法不支持",
            Self::TooManyLogins { .. } => "登录过于频繁，请稍后再试",
            Self::TooManyRegistrations { .. } => "注册过于频繁，请稍后再试",
            Self::TooManyChanges { .. } => "操作过于频繁，请稍后再试",
            Self::NoOperator => "operator token missing or wrong",
            Self::NotPermitted { permission } => {
                let permission = permission.name();
                return Cow::Owned(format!("this takes the permission {permission}"));
            }
            Self::TooManyWrongTokens { .. } => "operator token wrong too often, try later",
            Self::Token(AuthError::Unavailable)
            | Self::Busy(_)
            | Self::Store(StoreError::Unavailable(_)) => "系统繁忙，请稍后再试",
            Self::Store(StoreError::Fault(_)) | Self::Fault(_) => "服务器内部错误",
        };
        Cow::Borrowed(text)
    }

    /// The word for it in the audit, of a request of an operator that was refused before it became
    /// an action; `None` if it is no refusal, or is in the audit as that of the action.
    pub fn audit_code(&self, is_change: bool) -> Option<&'static str> {
        match self {
            Self::NotPermitted { .. } => Some("not_permitted"),
            Self::Forbidden { code, .. } if is_change => Some(code),
            Self::Invalid(_) | Self::MalformedBody | Self::BodyTooLarge | Self::BadParameter(_)
                if is_change =>
            {
                Some("bad_request")
            }
            _ => None,
        }
    }

    /// Seconds after which trying again makes sense, if it ever does.
    fn retry_after_s(&self) -> Option<u64> {
        match self {
            Self::TooManyLogins { retry_after_ms }
            | Self::TooManyRegistrations { retry_after_ms }
            | Self::TooManyChanges { retry_after_ms }
            | Self::TooManyWrongTokens { retry_after_ms } => Some(retry_after_ms.div_ceil(1_000)),
            _ if self.status_code() == StatusCode::SERVICE_UNAVAILABLE => Some(1),
            _ => None,
        }
    }

    /// The word by which a program distinguishes failures of one status, where it has to.
    const fn code(&self) -> Option<&'static str> {
        match self {
            Self::Forbidden { code, .. } => Some(code),
            Self::NotPermitted { .. } => Some("not_permitted"),
            _ => None,
        }
    }

    fn log(&self) {
        match self {
            // Logged by whoever met the fault.
            Self::Token(AuthError::Unavailable) => {}
            Self::Store(StoreError::Unavailable(_)) | Self::Busy(_) => {
                warn!("request not served: {self}")
            }
            Self::Store(StoreError::Fault(_)) | Self::Fault(_) => error!("request failed: {self}"),
            _ => {}
        }
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::Token(AuthError::Unavailable)
            | Self::Busy(_)
            | Self::Store(StoreError::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unauthorized
            | Self::Token(_)
            | Self::Refused(_)
            | Self::Action(_)
            | Self::MalformedBody
            | Self::BadParameter(_) => StatusCode::BAD_REQUEST,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
            Self::UnknownRoute | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyLogins { .. }
            | Self::TooManyRegistrations { .. }
            | Self::TooManyChanges { .. }
            | Self::TooManyWrongTokens { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::NoOperator | Self::WrongLogin => StatusCode::UNAUTHORIZED,
            Self::NotPermitted { .. } | Self::Forbidden { .. } => StatusCode::FORBIDDEN,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Store(StoreError::Fault(_)) | Self::Fault(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// Called once per failed request, which makes it the place to log.
    fn error_response(&self) -> HttpResponse {
        self.log();
        let mut response = HttpResponse::build(self.status_code());
        response.insert_header((CACHE_CONTROL, "no-store"));
        if let Some(seconds) = self.retry_after_s() {
            response.insert_header((RETRY_AFTER, seconds));
        }
        match self {
            Self::MethodNotAllowed { allow } => response.insert_header((ALLOW, allow.as_ref())),
            Self::NoOperator => response.insert_header((WWW_AUTHENTICATE, "Bearer")),
            _ => &mut response,
        };
        response.json(Failure {
            msg: "fail",
            data: self.text(),
            code: self.code(),
        })
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        Self::Token(error)
    }
}

impl From<OperationError> for ApiError {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Refused(reject) => match reject {
                Reject::CommentNotFound => COMMENT_NOT_FOUND,
                Reject::GiftNotFound => GIFT_NOT_FOUND,
                Reject::LiveNotFound => LIVE_NOT_FOUND,
                Reject::RoomNotOpen => ROOM_NOT_OPEN,
                Reject::UserNotFound => USER_NOT_FOUND,
                Reject::AlreadyReviewed => Self::Conflict("the comment waits no more"),
                Reject::AuthorBarred => {
                    Self::Conflict("the author of the comment may not speak here")
                }
                Reject::DuplicateConflict => {
                    Self::Conflict("request_id was used before with other content")
                }
                reject => Self::Action(reject),
            },
            OperationError::Store(error) => error.into(),
            OperationError::Rooms(error) => error.into(),
        }
    }
}

impl From<PasswordError> for ApiError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::Busy("too many password checks at once"),
            PasswordError::Fault(what) => Self::Fault(what),
        }
    }
}

impl From<AskError> for ApiError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Timeout => Self::Busy("a room did not answer in time"),
            AskError::Closed => Self::Busy("the rooms are closed"),
        }
    }
}

#[derive(Serialize)]
struct Envelope<T> {
    msg: &'static str,
    data: T,
}

#[derive(Serialize)]
struct Failure<'a> {
    msg: &'static str,
    data: Cow<'a, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
}

/// 200 with `{"msg":"ok","data":…}`. Nothing of the API may be cached: it holds tokens and
/// balances.
pub fn ok(data: impl Serialize) -> ApiResult {
    Ok(HttpResponse::Ok()
        .insert_header((CACHE_CONTROL, "no-store"))
        .json(Envelope { msg: "ok", data }))
}

#[cfg(test)]
mod tests {
    use actix_web::body::MessageBody;

    use super::*;

    /// Status, `Retry-After` and body.
    fn answer(error: ApiError) -> (u16, Option<String>, String) {
        let response = error.error_response();
        let retry_after = response
            .headers()
            .get(RETRY_AFTER)
            .map(|value| value.to_str().unwrap().to_owned());
        let body = response.into_body().try_into_bytes().unwrap();
        let status = error.status_code().as_u16();
        (
            status,
            retry_after,
            String::from_utf8(body.to_vec()).unwrap(),
        )
    }

    #[test]
    fn faults_are_answered_without_internals() {
        let busy = r#"{"msg":"fail","data":"系统繁忙，请稍后再试"}"#;
        let unavailable = || StoreError::Unavailable("disk full: /data/liveroom.db".to_owned());
        for error in [
            ApiError::from(unavailable()),
            ApiError::from(AuthError::Unavailable),
            ApiError::from(PasswordError::Busy),
            ApiError::from(AskError::Timeout),
            ApiError::from(AskError::Closed),
        ] {
            assert_eq!(answer(error), (503, Some("1".to_owned()), busy.to_owned()));
        }
        let fault = r#"{"msg":"fail","data":"服务器内部错误"}"#;
        for error in [
            ApiError::from(StoreError::Fault("no such column".to_owned())),
            ApiError::from(PasswordError::Fault("no hash".to_owned())),
        ] {
            assert_eq!(answer(error), (500, None, fault.to_owned()));
        }
    }

    #[test]
    fn retry_after_is_rounded_up() {
        let (status, retry_after, _) = answer(ApiError::TooManyLogins {
            retry_after_ms: 11_001,
        });
        assert_eq!((status, retry_after), (429, Some("12".to_owned())));
    }
}
