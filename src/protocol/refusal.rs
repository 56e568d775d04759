//! Words and numbers for refusals and for the end of a session.

use std::borrow::Cow;

use serde::Serialize;

use crate::domain::{CommentFault, Disconnect, KickReason, Reject};

/// A [`Reject`] as a client receives it: the same fields in every dialect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// A stable snake_case word for programs.
    pub code: &'static str,
    /// For people. Those of the replaced system are verbatim, its ASCII `!` and full-width `，`
    /// included: old clients compare them.
    pub message: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Until when that is so, in milliseconds since the Unix epoch; `null`: it does not end by
    /// itself. Of sanctions alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<Option<i64>>,
    /// Where a sanction holds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<&'static str>,
}

impl Refusal {
    /// What the sender of a comment that is held for review is pushed if it waits for no answer:
    /// clients of the replaced system show such a text, and have nothing else to show.
    pub(super) const fn held() -> Self {
        Self {
            code: "held",
            message: Cow::Borrowed("评论已提交审核"),
            retry_after_ms: None,
            until_ms: None,
            scope: None,
        }
    }
}

impl From<Reject> for Refusal {
    fn from(reject: Reject) -> Self {
        let (code, message): (_, Cow<'static, str>) = match reject {
            Reject::Unauthorized => ("unauthorized", "您没有权限访问该接口!".into()),
            Reject::TokenInvalid => ("token_invalid", TOKEN_INVALID.into()),
            Reject::TokenExpired => ("token_expired", TOKEN_EXPIRED.into()),
            Reject::UserDisabled => ("user_disabled", "用户不存在或已被禁用".into()),
            Reject::LiveNotFound => ("live_not_found", "直播间不存在".into()),
            Reject::CommentNotFound => ("comment_not_found", "该评论不存在".into()),
            Reject::UserNotFound => ("user_not_found", USER_UNKNOWN.into()),
            Reject::RoomNotOpen => ("room_not_open", "直播间内没有观众".into()),
            Reject::LiveNotStarted => ("live_not_started", "未开播".into()),
            Reject::LiveEnded => ("live_ended", "直播已结束".into()),
            Reject::GiftNotFound => ("gift_not_found", "该礼物不存在".into()),
            Reject::GiftWithdrawn => ("gift_withdrawn", "该礼物已下架".into()),
            Reject::GiftPriceChanged => {
                ("gift_price_changed", "礼物价格已变动，请刷新后再试".into())
            }
            Reject::CoinsInsufficient => ("coins_insufficient", "金币不足，请先充值".into()),
            Reject::LiveCoinsFull => ("bad_request", "该直播间收到的金币已达上限".into()),
            Reject::NotInRoom => ("not_in_room", "请先进入直播间".into()),
            Reject::NotAllowed => ("not_allowed", "没有权限".into()),
            Reject::Muted { .. } => ("muted", "你已被禁言".into()),
            Reject::Banned { .. } => ("banned", "你已被移出直播间".into()),
            Reject::Kicked { .. } => ("kicked", "你已被移出直播间".into()),
            Reject::AlreadyBanned => ("already_banned", "该用户已被封禁".into()),
            Reject::ModerationFull => ("moderation_full", "名单已满".into()),
            Reject::Frozen => ("frozen", "主播已开启全员禁言".into()),
            Reject::FollowersOnly { .. } => ("followers_only", "关注主播后才能发言".into()),
            Reject::GiftersOnly => ("gifters_only", "送礼后才能发言".into()),
            Reject::SlowMode { .. } => ("slow_mode", "发言太快，请稍后再试".into()),
            Reject::GiftsPaused => ("gifts_paused", "礼物已暂停".into()),
            Reject::CommentDuplicate => ("comment_duplicate", "请勿重复发言".into()),
            Reject::ReportsFull => ("reports_full", "举报过多，请稍后再试".into()),
            Reject::RateLimited { .. } => ("rate_limited", "操作过于频繁，请稍后再试".into()),
            Reject::CommentTooLong { chars_max } => (
                "comment_too_long",
                format!("评论内容不能超过 {chars_max} 个字").into(),
            ),
            Reject::CommentRefused { fault } => ("comment_refused", comment_fault(fault).into()),
            Reject::CommentFiltered => ("comment_filtered", "评论包含敏感内容".into()),
            Reject::AlreadyReviewed => ("already_reviewed", "该评论已被处理".into()),
            Reject::AuthorBarred => ("author_barred", "该用户已被禁言".into()),
            Reject::DuplicateConflict => ("duplicate_conflict", "请求编号已被其他内容使用".into()),
            Reject::Busy { .. } => ("busy", "系统繁忙，请稍后再试".into()),
            Reject::BadRequest { what } => {
                ("bad_request", format!("请求格式错误（{what}）").into())
            }
        };
        let retry_after_ms = match reject {
            Reject::RateLimited { retry_after_ms }
            | Reject::SlowMode { retry_after_ms }
            | Reject::Busy { retry_after_ms }
            | Reject::Kicked { retry_after_ms } => Some(retry_after_ms),
            Reject::Muted { retry_after_ms, .. } | Reject::FollowersOnly { retry_after_ms } => {
                retry_after_ms
            }
            _ => None,
        };
        let (until, scope) = match reject {
            Reject::Muted { until, scope, .. } => (Some(until), Some(scope.name())),
            Reject::Banned { until } => (Some(until), None),
            _ => (None, None),
        };
        Self {
            code,
            message,
            retry_after_ms,
            until_ms: until.map(|until| until.map(|until| until.0)),
            scope,
        }
    }
}

const fn comment_fault(fault: CommentFault) -> &'static str {
    match fault {
        CommentFault::Empty => "评论内容不能为空",
        CommentFault::Nul => "评论内容不能包含空字符（U+0000）",
        CommentFault::NotStored => "评论未能保存",
    }
}

/// The code of a `kicked` event.
pub const fn kick_code(reason: &KickReason) -> &'static str {
    match reason {
        KickReason::Operator { .. } => "kicked",
        KickReason::Banned { .. } => "banned",
        KickReason::IdentityChanged => "identity_changed",
        KickReason::RoomRestarted => "room_restarted",
    }
}

/// Last words on `/ws`, for [`super::fail_text`]. They differ from those of commands where the
/// replaced system's do.
pub const TOKEN_INVALID: &str = "Token 令牌不合法!";
pub const TOKEN_EXPIRED: &str = "token 已过期! 请重新获取令牌";
pub const USER_UNKNOWN: &str = "用户不存在";
pub const USER_DISABLED: &str = "你已被禁用";
pub const OTHER_DEVICE: &str = "你的账号在其他设备登录";

/// How long a client is asked to wait when the node has no room for it: longer than a burst of
/// connects lasts, shorter than a person waits.
pub const OVERLOADED_RETRY_AFTER_MS: u64 = 5_000;

/// The WebSocket close code and reason of a [`Disconnect`].
///
/// Codes up to 1011 are RFC 6455's; 3000 and up are ours, after the HTTP status where there is one.
///
/// | code | when | reconnect |
/// |---|---|---|
/// | 1000 | the client closed the connection | |
/// | 1001 | the node drains | after `retry_after_ms` in the reason, to another node if there is one |
/// | 1007 | text that is not UTF-8 | no |
/// | 1008 | too many commands, packets that are not the protocol | no |
/// | 1009 | a frame above the limit | no |
/// | 1011 | a fault of ours | yes |
/// | 3000 | the token is not good any more, or the account is disabled | with a new token |
/// | 3008 | its outbox stayed full | yes |
/// | 3009 | an operator removed it | no |
/// | 3010 | the user connected elsewhere | no |
/// | 3408 | silent for too long, or no CONNECT in time | yes |
/// | 3503 | no room for another session, or for one that stays and does nothing | after `retry_after_ms` in the reason |
///
/// The hint of a node that drains differs from client to client: see [`shutdown_reason`].
///
/// A reason is at most 123 bytes, which is what a close frame holds.
pub const fn close_frame(disconnect: Disconnect) -> (u16, &'static str) {
    match disconnect {
        Disconnect::ByClient => (1000, ""),
        Disconnect::Shutdown => (1001, "shutting down"),
        Disconnect::InvalidText => (1007, "text is not utf-8"),
        Disconnect::Policy | Disconnect::Malformed => (1008, "policy violation"),
        Disconnect::TooBig => (1009, "frame too big"),
        Disconnect::Fault => (1011, "internal error"),
        Disconnect::Unauthorized => (3000, "unauthorized"),
        Disconnect::Disabled => (3000, "user disabled"),
        Disconnect::Slow => (3008, "too slow"),
        Disconnect::Kicked => (3009, "kicked"),
        Disconnect::OtherDevice => (3010, "connected from another device"),
        Disconnect::PingTimeout => (3408, "ping timeout"),
        Disconnect::ConnectTimeout => (3408, "connect timeout"),
        Disconnect::Overloaded => (3503, "overloaded retry_after_ms=5000"),
    }
}

/// The close reason of a node that drains: the client is to come back elsewhere after so long.
pub fn shutdown_reason(retry_after_ms: u64) -> String {
    format!(
        "{} retry_after_ms={retry_after_ms}",
        close_frame(Disconnect::Shutdown).1
    )
}

/// All clients of a node that drains would come back at the same moment; over so long they are
/// spread. Long enough for a node's worth of connections to be let in by the others
/// (`limits.connections_per_s`), short enough that nobody reloads the page.
pub const SHUTDOWN_SPREAD_MS: u64 = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overloaded_says_when_to_come_back() {
        let (_, reason) = close_frame(Disconnect::Overloaded);
        assert!(
            reason.ends_with(&format!("retry_after_ms={OVERLOADED_RETRY_AFTER_MS}")),
            "{reason}"
        );
    }

    #[test]
    fn only_refusals_that_pass_by_themselves_say_when() {
        assert_eq!(Refusal::from(Reject::BUSY).retry_after_ms, Some(1_000));
        assert_eq!(
            Refusal::from(Reject::RateLimited { retry_after_ms: 7 }).retry_after_ms,
            Some(7)
        );
        assert_eq!(Refusal::from(Reject::NotInRoom).retry_after_ms, None);
    }

    #[test]
    fn a_refused_comment_says_what_is_wrong_with_it() {
        let texts = [
            CommentFault::Empty,
            CommentFault::Nul,
            CommentFault::NotStored,
        ]
        .map(|fault| {
            let refusal = Refusal::from(Reject::CommentRefused { fault });
            assert_eq!(refusal.code, "comment_refused");
            refusal.message
        });
        assert_eq!(
            texts,
            [
                "评论内容不能为空",
                "评论内容不能包含空字符（U+0000）",
                "评论未能保存"
            ]
        );
    }

    #[test]
    fn a_bad_request_names_the_field() {
        let refusal = Refusal::from(Reject::BadRequest {
            what: "num: an integer from 1 to 999",
        });
        assert_eq!(
            refusal.message,
            "请求格式错误（num: an integer from 1 to 999）"
        );
    }
}
