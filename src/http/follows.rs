//! Follows: of which streamers a user wants to know, and how many follow one.

use std::borrow::Cow;
use std::collections::HashMap;

use actix_web::{HttpRequest, web};
use serde::Serialize;

use crate::config::LimitsConfig;
use crate::domain::{BucketRate, Timestamp, UserId};
use crate::storage::{FollowOutcome, FollowedStreamer};

use super::ApiState;
use super::error::{ApiError, ApiResult, ok};
use super::fields::{RequestBody, positive_digits};
use super::signed_in::SignedIn;
use super::tries::{KeyedBuckets, take_of_user};

/// Follows of one page.
const PER_PAGE: u32 = 50;

const UNKNOWN_USER: ApiError = ApiError::Refused("该用户不存在");

/// The limits of one user on its follows. The rate is counted by each node for itself.
pub struct FollowLimits {
    max: u32,
    changes: KeyedBuckets,
}

impl FollowLimits {
    /// The limits that the configuration gives each user. It may use those of a minute at once.
    pub fn new(limits: &LimitsConfig) -> Self {
        let per_min = limits.follow_changes_per_min;
        let rate = BucketRate {
            burst: per_min,
            refill: per_min,
            per_ms: 60_000,
        };
        Self {
            max: limits.follows_per_user,
            changes: KeyedBuckets::new(rate),
        }
    }

    fn take(&self, user: UserId, now: Timestamp) -> Result<(), ApiError> {
        take_of_user(&self.changes, user, now)
    }
}

#[derive(Serialize)]
struct FollowView {
    user_id: i64,
    follow: bool,
    since_ms: Option<i64>,
    /// How many follow that user now.
    followers: i64,
}

/// POST /api/user/follow: follows a user, or no longer. Safe to repeat: who follows already does so
/// since then.
pub async fn set(
    state: web::Data<ApiState>,
    SignedIn(identity): SignedIn,
    body: RequestBody,
) -> ApiResult {
    let fields = body.fields()?;
    let streamer = UserId::new(fields.positive("user_id", "用户ID")?).ok_or(UNKNOWN_USER)?;
    let follow = fields.flag("follow", "关注")?;
    let (follower, now) = (identity.profile.id, state.clock.now());
    if streamer == follower {
        return Err(ApiError::Refused("不能关注自己"));
    }
    state.follow_limits.take(follower, now)?;
    let since = if follow {
        let max = state.follow_limits.max;
        match state.store.follow(follower, streamer, max, now).await? {
            FollowOutcome::Following { since } => Some(since.0),
            FollowOutcome::UserNotFound => return Err(UNKNOWN_USER),
            FollowOutcome::TooMany => return Err(ApiError::Refused("关注的人数已达上限")),
        }
    } else {
        state.store.unfollow(follower, streamer).await?;
        None
    };
    state.rooms.follow_changed(streamer, follower);
    ok(FollowView {
        user_id: streamer.get(),
        follow,
        since_ms: since,
        followers: state.store.followers_count(streamer).await?,
    })
}

#[derive(Serialize)]
struct FollowsView {
    follows: Vec<FollowedView>,
    /// The `cursor` of the next page, if there is one.
    next: Option<String>,
}

#[derive(Serialize)]
struct FollowedView {
    user_id: i64,
    username: String,
    avatar: Option<String>,
    since_ms: i64,
}

impl From<FollowedStreamer> for FollowedView {
    fn from(followed: FollowedStreamer) -> Self {
        Self {
            user_id: followed.streamer.get(),
            username: followed.username,
            avatar: followed.avatar,
            since_ms: followed.since.0,
        }
    }
}

/// GET /api/user/follows?cursor={next}: whom the user follows, the newest first.
pub async fn page(
    state: web::Data<ApiState>,
    request: HttpRequest,
    SignedIn(identity): SignedIn,
) -> ApiResult {
    let before = cursor(&request)?;
    let rows = state
        .store
        .follows(identity.profile.id, before, PER_PAGE)
        .await?;
    let is_full = rows.len() == PER_PAGE as usize;
    let next = rows.last().filter(|_| is_full);
    ok(FollowsView {
        next: next.map(|last| format!("{}_{}", last.since.0, last.streamer)),
        follows: rows.into_iter().map(Into::into).collect(),
    })
}

/// Where the page before ended: since when its last streamer is followed, and its id.
fn cursor(request: &HttpRequest) -> Result<Option<(Timestamp, UserId)>, ApiError> {
    let malformed = || ApiError::Invalid(Cow::Borrowed("cursor 格式不正确"));
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string())
        .map_err(|_| malformed())?;
    let Some(cursor) = query.get("cursor").filter(|cursor| !cursor.is_empty()) else {
        return Ok(None);
    };
    let (since, streamer) = cursor.split_once('_').ok_or_else(malformed)?;
    let since = positive_digits(since).ok_or_else(malformed)?;
    let streamer = positive_digits(streamer)
        .and_then(UserId::new)
        .ok_or_else(malformed)?;
    Ok(Some((Timestamp(since), streamer)))
}
