//! Rows as the API shows them: names, order and formats of the system this replaces.

use serde::Serialize;
use time::OffsetDateTime;

use crate::domain::{Comment, Timestamp, UserId};
use crate::storage::{GiftRow, LiveRow, User};

/// `2026-11-21 08:05:09`, UTC.
fn created_time(at: Timestamp) -> String {
    let (date, time, _) = calendar(at);
    format!("{date} {time}")
}

/// `2026-11-21T08:05:09.120Z`
pub(super) fn updated_time(at: Timestamp) -> String {
    let (date, time, ms) = calendar(at);
    format!("{date}T{time}.{ms:03}Z")
}

/// Date, time of day to the second, and milliseconds. A time beyond the year 9999 is shown as the
/// epoch.
fn calendar(at: Timestamp) -> (String, String, u16) {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(at.0) * 1_000_000);
    let at = at.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let date = format!(
        "{:04}-{:02}-{:02}",
        at.year(),
        u8::from(at.month()),
        at.day()
    );
    let time = format!("{:02}:{:02}:{:02}", at.hour(), at.minute(), at.second());
    (date, time, at.millisecond())
}

#[derive(Serialize)]
pub struct UserView {
    id: i64,
    username: String,
    nickname: Option<String>,
    avatar: Option<String>,
    coin: i64,
    status: u8,
    created_time: String,
    updated_time: String,
}

impl From<User> for UserView {
    fn from(user: User) -> Self {
        Self {
            id: user.id.get(),
            username: user.username,
            nickname: user.nickname,
            avatar: user.avatar,
            coin: user.coin.get(),
            status: u8::from(user.enabled),
            created_time: created_time(user.created_at),
            updated_time: updated_time(user.updated_at),
        }
    }
}

/// The answer to a login.
#[derive(Serialize)]
pub struct SessionView {
    #[serde(flatten)]
    pub user: UserView,
    pub token: String,
}

#[derive(Serialize)]
pub struct LiveView {
    id: i64,
    title: String,
    cover: String,
    user_id: i64,
    /// The replaced system's ORM listed the owner twice, and clients read either.
    #[serde(rename = "userId")]
    user_id_again: i64,
    look_count: i64,
    coin: i64,
    /// Publishes into the live; `None` for those who may not know it.
    key: Option<String>,
    status: i16,
    created_time: String,
    updated_time: String,
}

impl LiveView {
    /// The live as `asker` may see it.
    pub fn of(row: LiveRow, asker: Option<UserId>) -> Self {
        let key = row.live.shows_key_to(asker).then_some(row.key);
        Self {
            id: row.live.id.get(),
            title: row.live.title,
            cover: row.cover,
            user_id: row.live.owner.get(),
            user_id_again: row.live.owner.get(),
            look_count: row.live.look_count,
            coin: row.live.coin.get(),
            key,
            status: row.live.status.code(),
            created_time: created_time(row.created_at),
            updated_time: updated_time(row.updated_at),
        }
    }
}

/// A live and the sign to push or play it.
#[derive(Serialize)]
pub struct SignedView<T> {
    pub data: T,
    /// `None` once the live has ended, and for those who may not know its key.
    pub sign: Option<String>,
}

#[derive(Serialize)]
pub struct LiveWithOwnerView {
    #[serde(flatten)]
    pub live: LiveView,
    pub user: Option<OwnerView>,
    /// How many follow its owner.
    pub followers: i64,
}

#[derive(Serialize)]
pub struct OwnerView {
    id: i64,
    username: String,
    avatar: Option<String>,
}

impl From<User> for OwnerView {
    fn from(user: User) -> Self {
        Self {
            id: user.id.get(),
            username: user.username,
            avatar: user.avatar,
        }
    }
}

/// A stored comment, with the fields of the `comment` event.
#[derive(Serialize)]
pub struct CommentView {
    user: AuthorView,
    content: String,
    /// Text, because it may exceed what a JavaScript number holds exactly.
    id: String,
    at: i64,
    live_id: i64,
}

#[derive(Serialize)]
struct AuthorView {
    id: i64,
    name: String,
    avatar: Option<String>,
}

impl From<&Comment> for CommentView {
    fn from(comment: &Comment) -> Self {
        let author = &comment.author;
        Self {
            user: AuthorView {
                id: author.id.get(),
                name: author.name.clone(),
                avatar: author.avatar.clone(),
            },
            content: comment.text.as_str().to_owned(),
            id: comment.id.get().to_string(),
            at: comment.at.0,
            live_id: comment.live_id.get(),
        }
    }
}

#[derive(Serialize)]
pub struct GiftView {
    id: i64,
    name: String,
    image: String,
    coin: i64,
    created_time: String,
    updated_time: String,
}

impl From<GiftRow> for GiftView {
    fn from(row: GiftRow) -> Self {
        Self {
            id: row.gift.id.get(),
            name: row.gift.name,
            image: row.gift.image,
            coin: row.gift.price.get(),
            created_time: created_time(row.created_at),
            updated_time: updated_time(row.updated_at),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_utc_in_two_formats() {
        let at = Timestamp(1_795_248_309_120);
        assert_eq!(created_time(at), "2026-11-21 08:05:09");
        assert_eq!(updated_time(at), "2026-11-21T08:05:09.120Z");
    }
}
