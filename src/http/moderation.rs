//! Operators keep order in a live: take comments down, tell the room something, kick a user, end it.

use actix_web::{HttpRequest, web};
use log::info;
use serde::{Deserialize, Serialize};

use crate::domain::{CommentId, LiveId, LiveStatus, UserId};
use crate::storage::StatusChange;

use super::ApiState;
use super::admin::{ROOM_NOT_OPEN, invalid, is_text, path_id};
use super::error::{Answer, ApiError, ok};
use super::fields::Body;

const NOTICE_CHARS_MAX: usize = 200;

const LIVE_NOT_FOUND: ApiError = ApiError::NotFound("live not found");
const COMMENT_NOT_FOUND: ApiError = ApiError::NotFound("comment not found");

/// A comment that was taken down, and when.
#[derive(Serialize)]
struct RemovalView {
    live_id: i64,
    id: String,
    removed_at: i64,
}

/// DELETE /admin/rooms/{live_id}/comments/{comment_id}: takes a comment down for good. The store comes
/// first, so that nobody who reads it later finds it; then the room tells those who saw it. Safe to
/// repeat, which also makes up for a room that could not be told. A comment is known here when it
/// is stored, which is a moment after members see it.
pub async fn take_down(state: web::Data<ApiState>, request: HttpRequest) -> Answer {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(COMMENT_NOT_FOUND)?;
    let comment_id = path_id(&request, "comment_id", CommentId::new).ok_or(COMMENT_NOT_FOUND)?;
    let removed_at =
        state.store.remove_comment(live_id, comment_id, state.clock.now()).await?.ok_or(COMMENT_NOT_FOUND)?;
    info!("comment taken down: live_id={live_id} comment_id={comment_id} removed_at={}", removed_at.0);
    state.rooms.take_down(live_id, comment_id).await?;
    ok(RemovalView { live_id: live_id.get(), id: comment_id.get().to_string(), removed_at: removed_at.0 })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KickBody {
    user_id: i64,
}

#[derive(Serialize)]
struct KickView {
    live_id: i64,
    user_id: i64,
}

/// POST /admin/rooms/{live_id}/kick: removes a user's sessions from a room, on all nodes. They hear
/// `kicked`, and may join again.
pub async fn kick(state: web::Data<ApiState>, request: HttpRequest, body: Body) -> Answer {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(ROOM_NOT_OPEN)?;
    let KickBody { user_id } = body.json()?;
    let user = UserId::new(user_id).ok_or_else(|| invalid("user_id must be a positive integer"))?;
    state.everywhere.kick(live_id, user);
    info!("user kicked: live_id={live_id} user_id={user}");
    ok(KickView { live_id: live_id.get(), user_id: user.get() })
}

#[derive(Serialize)]
struct CloseView {
    live_id: i64,
    status: i16,
}

/// POST /admin/rooms/{live_id}/close: ends a live for good, whoever streams it. Safe to repeat, which
/// also closes a room that missed the end.
pub async fn close(state: web::Data<ApiState>, request: HttpRequest) -> Answer {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(LIVE_NOT_FOUND)?;
    let row = state.store.live(live_id).await?.ok_or(LIVE_NOT_FOUND)?;
    match state.store.set_live_status(live_id, row.live.owner, LiveStatus::Ended, state.clock.now()).await? {
        StatusChange::Changed(row) => {
            info!("live closed: live_id={live_id}");
            state.rooms.live_changed(row.live);
        }
        StatusChange::AlreadyEnded(row) => state.rooms.live_is(row.live),
        StatusChange::NotFound => return Err(LIVE_NOT_FOUND),
    }
    ok(CloseView { live_id: live_id.get(), status: LiveStatus::Ended.code() })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NoticeBody {
    text: String,
}

#[derive(Serialize)]
struct NoticeView {
    live_id: i64,
}

/// POST /admin/rooms/{live_id}/notice: tells everybody in a room something.
pub async fn notice(state: web::Data<ApiState>, request: HttpRequest, body: Body) -> Answer {
    let live_id = path_id(&request, "live_id", LiveId::new).ok_or(ROOM_NOT_OPEN)?;
    let NoticeBody { text } = body.json()?;
    if !is_text(&text, NOTICE_CHARS_MAX) {
        return Err(invalid("text must be 1 to 200 characters, none of them U+0000"));
    }
    if !state.rooms.notice(live_id, &text).await? {
        return Err(ROOM_NOT_OPEN);
    }
    info!("notice posted: live_id={live_id} chars={}", text.chars().count());
    ok(NoticeView { live_id: live_id.get() })
}
