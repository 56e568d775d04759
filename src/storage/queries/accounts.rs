//! Users and their current tokens.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::domain::{Timestamp, UserId};
use crate::storage::error::{is_storable, require_storable};
use crate::storage::rows::{USER_DISABLED, USER_ENABLED, UserRecord};
use crate::storage::schema::{session_tokens, users};
use crate::storage::{Credentials, StoreError, StoredToken, User};

pub async fn create(
    conn: &mut Conn,
    username: String,
    nickname: Option<String>,
    password_hash: String,
    at: Timestamp,
) -> Result<Option<User>, StoreError> {
    require_storable(&[&username, nickname.as_deref().unwrap_or_default(), &password_hash])?;
    let row = diesel::insert_into(users::table)
        .values((
            users::username.eq(username),
            users::nickname.eq(nickname),
            users::password_hash.eq(password_hash),
            users::created_at.eq(at.0),
            users::updated_at.eq(at.0),
        ))
        .on_conflict_do_nothing()
        .returning(UserRecord::as_returning())
        .get_result(conn)
        .await
        .optional()?;
    row.map(User::try_from).transpose()
}

pub async fn by_id(conn: &mut Conn, id: UserId) -> Result<Option<User>, StoreError> {
    let row = users::table.find(id.get()).select(UserRecord::as_select()).get_result(conn).await.optional()?;
    row.map(User::try_from).transpose()
}

pub async fn credentials(conn: &mut Conn, username: String) -> Result<Option<Credentials>, StoreError> {
    if !is_storable(&username) {
        return Ok(None);
    }
    let row = users::table
        .filter(users::username.eq(username))
        .select(UserRecord::as_select())
        .get_result(conn)
        .await
        .optional()?;
    row.map(Credentials::try_from).transpose()
}

pub async fn set_enabled(
    conn: &mut Conn,
    id: UserId,
    enabled: bool,
    at: Timestamp,
) -> Result<Option<User>, StoreError> {
    let status = if enabled { USER_ENABLED } else { USER_DISABLED };
    let row = diesel::update(users::table.find(id.get()))
        .set((users::status.eq(status), users::updated_at.eq(at.0)))
        .returning(UserRecord::as_returning())
        .get_result(conn)
        .await
        .optional()?;
    row.map(User::try_from).transpose()
}

pub async fn set_token(conn: &mut Conn, user: UserId, digest: Option<String>, at: Timestamp) -> Result<(), StoreError> {
    // A logout is remembered, so that a store of tokens that forgot it can be told.
    let digest = digest.unwrap_or_default();
    require_storable(&[&digest])?;
    diesel::insert_into(session_tokens::table)
        .values((
            session_tokens::user_id.eq(user.get()),
            session_tokens::digest.eq(&digest),
            session_tokens::created_at.eq(at.0),
        ))
        .on_conflict(session_tokens::user_id)
        .do_update()
        .set((session_tokens::digest.eq(&digest), session_tokens::created_at.eq(at.0)))
        .execute(conn)
        .await?;
    Ok(())
}

pub async fn tokens_since(conn: &mut Conn, since: Timestamp) -> Result<Vec<UserId>, StoreError> {
    let changed = session_tokens::table.filter(session_tokens::created_at.ge(since.0)).select(session_tokens::user_id);
    let users: Vec<i64> = changed.load(conn).await?;
    Ok(users.into_iter().filter_map(UserId::new).collect())
}

pub async fn token(conn: &mut Conn, user: UserId) -> Result<Option<StoredToken>, StoreError> {
    let columns = (session_tokens::digest, session_tokens::created_at);
    let row: Option<(String, i64)> =
        session_tokens::table.find(user.get()).select(columns).get_result(conn).await.optional()?;
    Ok(row.map(|(digest, at)| StoredToken { digest: (!digest.is_empty()).then_some(digest), at: Timestamp(at) }))
}
