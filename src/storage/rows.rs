//! Rows as diesel reads them, and what they are to the rest of the program.

use std::sync::Arc;

use diesel::prelude::*;

use super::schema::{gifts, lives, users};
use super::{Credentials, GiftRow, LiveRow, StoreError, User};
use crate::domain::{
    Actor, Coins, Comment, CommentId, CommentText, Gift, GiftId, Live, LiveId, LiveStatus,
    ManagerId, OperatorId, Principal, Profile, RequestId, Timestamp, TokenId, UserId,
};

/// `users.status` of an account that may act; 0 is a disabled one.
pub(super) const USER_ENABLED: i16 = 1;
pub(super) const USER_DISABLED: i16 = 0;

/// `lives.status` of lives that take gifts: on air and paused.
pub(super) const LIVE_OPEN: [i16; 2] = [LiveStatus::OnAir.code(), LiveStatus::Paused.code()];

/// The actor that a row of the audit names by these columns; `None`: no version of this program
/// wrote them.
pub(super) fn actor_of(kind: &str, id: i64) -> Option<Actor> {
    Some(match kind {
        "operator" => Actor::CONFIG,
        "manager" => Actor::Operator(OperatorId::Manager(ManagerId::new(id)?)),
        "token" => Actor::Operator(OperatorId::Token(TokenId::new(id)?)),
        "user" => Actor::User(UserId::new(id)?),
        _ => return None,
    })
}

/// `actor_kind` and `actor_id` of a row that rooms read: to them all operators are one.
pub(super) fn principal_columns(principal: Principal) -> (&'static str, i64) {
    match principal {
        Principal::Operator => ("operator", 0),
        Principal::User(user) => ("user", user.get()),
    }
}

/// What a row names by the columns of [`principal_columns`].
pub(super) fn principal_of(kind: &str, id: i64) -> Option<Principal> {
    match kind {
        "operator" => Some(Principal::Operator),
        _ => UserId::new(id).map(Principal::User),
    }
}

/// A value that only another program, or a hand, can have written.
fn impossible(table: &str, id: i64, what: &str) -> StoreError {
    StoreError::Fault(format!("{table} {id}: {what}"))
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = users)]
pub(super) struct UserRecord {
    id: i64,
    username: String,
    nickname: Option<String>,
    avatar: Option<String>,
    password_hash: String,
    coin: i64,
    status: i16,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<UserRecord> for Credentials {
    type Error = StoreError;

    fn try_from(row: UserRecord) -> Result<Self, StoreError> {
        let user = User {
            id: UserId::new(row.id)
                .ok_or_else(|| impossible("users", row.id, "id is not positive"))?,
            username: row.username,
            nickname: row.nickname,
            avatar: row.avatar,
            coin: Coins::new(row.coin),
            enabled: row.status == USER_ENABLED,
            is_sanctioned: false,
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
        };
        Ok(Self {
            user,
            password_hash: row.password_hash,
        })
    }
}

impl TryFrom<UserRecord> for User {
    type Error = StoreError;

    fn try_from(row: UserRecord) -> Result<Self, StoreError> {
        Credentials::try_from(row).map(|credentials| credentials.user)
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = lives)]
pub(super) struct LiveRecord {
    id: i64,
    user_id: i64,
    title: String,
    cover: String,
    key: String,
    status: i16,
    coin: i64,
    look_count: i64,
    created_at: i64,
    updated_at: i64,
}

impl TryFrom<LiveRecord> for LiveRow {
    type Error = StoreError;

    fn try_from(row: LiveRecord) -> Result<Self, StoreError> {
        let impossible = |what| impossible("lives", row.id, what);
        let live = Live {
            id: LiveId::new(row.id).ok_or_else(|| impossible("id is not positive"))?,
            owner: UserId::new(row.user_id).ok_or_else(|| impossible("user_id is not positive"))?,
            status: LiveStatus::from_code(row.status)
                .ok_or_else(|| impossible("status is unknown"))?,
            title: row.title,
            coin: Coins::new(row.coin),
            look_count: row.look_count,
        };
        Ok(Self {
            live,
            cover: row.cover,
            key: row.key,
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = gifts)]
pub(super) struct GiftRecord {
    id: i64,
    name: String,
    image: String,
    coin: i64,
    created_at: i64,
    updated_at: i64,
    on_sale: bool,
}

impl TryFrom<GiftRecord> for GiftRow {
    type Error = StoreError;

    fn try_from(row: GiftRecord) -> Result<Self, StoreError> {
        let id =
            GiftId::new(row.id).ok_or_else(|| impossible("gifts", row.id, "id is not positive"))?;
        Ok(Self {
            gift: Gift {
                id,
                name: row.name,
                image: row.image,
                price: Coins::new(row.coin),
            },
            on_sale: row.on_sale,
            created_at: Timestamp(row.created_at),
            updated_at: Timestamp(row.updated_at),
        })
    }
}

/// A comment joined with the profile of its author.
#[derive(Queryable)]
pub(super) struct CommentRecord {
    id: i64,
    live_id: i64,
    content: String,
    request_id: Option<String>,
    created_at: i64,
    user_id: i64,
    username: String,
    nickname: Option<String>,
    avatar: Option<String>,
}

impl CommentRecord {
    pub(super) fn id(&self) -> i64 {
        self.id
    }

    pub(super) fn live_id(&self) -> i64 {
        self.live_id
    }
}

impl TryFrom<CommentRecord> for Comment {
    type Error = StoreError;

    fn try_from(row: CommentRecord) -> Result<Self, StoreError> {
        let impossible = |what| impossible("comments", row.id, what);
        let request_id = match &row.request_id {
            Some(text) => {
                Some(RequestId::parse(text).ok_or_else(|| impossible("request_id is malformed"))?)
            }
            None => None,
        };
        let author = Profile {
            id: UserId::new(row.user_id).ok_or_else(|| impossible("user_id is not positive"))?,
            name: row.nickname.unwrap_or(row.username),
            avatar: row.avatar,
        };
        Ok(Self {
            id: CommentId::new(row.id).ok_or_else(|| impossible("id is not positive"))?,
            live_id: LiveId::new(row.live_id)
                .ok_or_else(|| impossible("live_id is not positive"))?,
            author: Arc::new(author),
            // The limit was checked when it was posted and may have been another one then.
            text: CommentText::parse(&row.content, usize::MAX)
                .map_err(|_| impossible("content is empty"))?,
            request_id,
            at: Timestamp(row.created_at),
        })
    }
}
