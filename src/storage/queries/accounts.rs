//! Users and their current tokens.

use std::collections::HashSet;

use diesel::define_sql_function;
use diesel::dsl::{exists, sql};
use diesel::expression::{ValidGrouping, is_aggregate};
use diesel::prelude::*;
use diesel::query_builder::{AstPass, QueryFragment, QueryId};
use diesel::sql_types::{Bool, Text};
use diesel_async::RunQueryDsl;

use super::super::NAME_ORDER;
use super::Conn;
use crate::domain::{Timestamp, UserId, canonical_name, name_skeleton};
use crate::storage::error::{is_storable, require_storable};
use crate::storage::rows::{USER_DISABLED, USER_ENABLED, UserRecord};
use crate::storage::schema::{login_networks, sanctions, session_tokens, users};
use crate::storage::{
    Credentials, LOGIN_NETWORKS_MAX, ProfileChange, ProfileOutcome, StoreError, StoredToken, User,
};

/// Bytes of a skeleton at most; PostgreSQL indexes up to 2,704. A new username's has 1,000 at
/// worst.
const SKELETON_BYTES_MAX: usize = 2_000;

define_sql_function! {
    fn lower(text: Text) -> Text;
}

/// Users in one answer about changed tokens.
const TOKENS_SINCE_MAX: i64 = 10_000;

/// Accounts whose skeletons are filled in by one transaction.
const FILL_ROWS: i64 = 500;

/// The condition of the index over sanctions of the site. SQLite does not match the index with bound
/// values; and a statement with `sql` is parsed anew each time, which each check of a token would pay
/// for.
#[derive(Debug, Clone, Copy, QueryId)]
struct HoldsOnSite;

impl Expression for HoldsOnSite {
    type SqlType = Bool;
}

impl<Source> AppearsOnTable<Source> for HoldsOnSite {}
impl<Source> SelectableExpression<Source> for HoldsOnSite {}

impl ValidGrouping<()> for HoldsOnSite {
    type IsAggregate = is_aggregate::Never;
}

impl<DB: diesel::backend::Backend> QueryFragment<DB> for HoldsOnSite {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("(sanctions.lifted_at IS NULL AND sanctions.scope = 'site')");
        Ok(())
    }
}

/// Whether a sanction of the site that is not lifted names the user of the row.
macro_rules! is_sanctioned {
    () => {
        exists(
            sanctions::table
                .filter(HoldsOnSite)
                .filter(sanctions::user_id.eq(users::id)),
        )
    };
}

pub async fn create(
    conn: &mut Conn,
    username: String,
    nickname: Option<String>,
    password_hash: String,
    at: Timestamp,
) -> Result<Option<User>, StoreError> {
    require_storable(&[
        &username,
        nickname.as_deref().unwrap_or_default(),
        &password_hash,
    ])?;
    let row = diesel::insert_into(users::table)
        .values((
            users::skeleton.eq(stored_skeleton(&username)),
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
    let row: Option<(UserRecord, bool)> = users::table
        .find(id.get())
        .select((UserRecord::as_select(), is_sanctioned!()))
        .get_result(conn)
        .await
        .optional()?;
    let user = |(row, is_sanctioned)| {
        Ok(User {
            is_sanctioned,
            ..User::try_from(row)?
        })
    };
    row.map(user).transpose()
}

/// Accounts whose username begins with a text in any case, by name, from behind the account `after`.
pub async fn by_name(
    conn: &mut Conn,
    beginning: String,
    after: Option<UserId>,
    max: u32,
) -> Result<Vec<User>, StoreError> {
    if !is_storable(&beginning) {
        return Ok(Vec::new());
    }
    let name = || sql::<Text>(NAME_ORDER);
    // The largest code point comes after every name that goes on.
    let end = format!("{beginning}\u{10ffff}");
    let mut query = users::table
        .filter(name().ge(lower(beginning)))
        .filter(name().lt(lower(end)))
        .order((name(), users::id))
        .limit(max.into())
        .select(UserRecord::as_select())
        .into_boxed();
    if let Some(after) = after {
        let last: Option<String> = users::table
            .find(after.get())
            .select(name())
            .get_result(conn)
            .await
            .optional()?;
        let Some(last) = last else {
            return Ok(Vec::new());
        };
        let same = name().eq(last.clone()).and(users::id.gt(after.get()));
        query = query.filter(name().ge(last.clone()));
        query = query.filter(name().gt(last).or(same));
    }
    let rows: Vec<UserRecord> = query.load(conn).await?;
    rows.into_iter().map(User::try_from).collect()
}

pub async fn credentials(
    conn: &mut Conn,
    username: String,
) -> Result<Option<Credentials>, StoreError> {
    if !is_storable(&username) {
        return Ok(None);
    }
    let canonical = canonical_name(&username);
    let rows: Vec<(UserRecord, bool)> = users::table
        .filter(users::username.eq_any([&username, &canonical]))
        .select((UserRecord::as_select(), is_sanctioned!()))
        .load(conn)
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for (row, is_sanctioned) in rows {
        let mut credentials = Credentials::try_from(row)?;
        credentials.user.is_sanctioned = is_sanctioned;
        found.push(credentials);
    }
    // Names from before there was one form are found as they are written, and go first.
    Ok(found
        .into_iter()
        .min_by_key(|credentials| credentials.user.username != username))
}

/// A nickname may be somebody else's nickname, and must not look like somebody else's username.
pub async fn change_profile(
    conn: &mut Conn,
    user: UserId,
    change: ProfileChange,
    at: Timestamp,
) -> Result<ProfileOutcome, StoreError> {
    let ProfileChange { nickname, avatar } = change;
    for text in [&nickname, &avatar].into_iter().flatten().flatten() {
        require_storable(&[text])?;
    }
    if let Some(skeleton) = nickname
        .iter()
        .flatten()
        .find_map(|name| stored_skeleton(name))
    {
        let others =
            users::table.filter(users::skeleton.eq(skeleton).and(users::id.ne(user.get())));
        let is_username: bool = diesel::select(exists(others)).get_result(conn).await?;
        if is_username {
            return Ok(ProfileOutcome::LooksLikeUsername);
        }
    }
    let row: Option<UserRecord> = diesel::update(users::table.find(user.get()))
        .set((
            nickname.map(|nickname| users::nickname.eq(nickname)),
            avatar.map(|avatar| users::avatar.eq(avatar)),
            users::updated_at.eq(at.0),
        ))
        .returning(UserRecord::as_returning())
        .get_result(conn)
        .await
        .optional()?;
    Ok(match row {
        Some(row) => ProfileOutcome::Changed(Box::new(row.try_into()?)),
        None => ProfileOutcome::UserNotFound,
    })
}

pub async fn change_password(
    conn: &mut Conn,
    user: UserId,
    expected: String,
    new: String,
    at: Timestamp,
) -> Result<bool, StoreError> {
    require_storable(&[&expected, &new])?;
    let unchanged = users::table
        .find(user.get())
        .filter(users::password_hash.eq(expected));
    let rows = diesel::update(unchanged)
        .set((users::password_hash.eq(new), users::updated_at.eq(at.0)))
        .execute(conn)
        .await?;
    Ok(rows > 0)
}

/// Fills in the skeletons of some accounts after the id `after` that have none, in id order, and
/// says how far it came; `None` if there are no more. Of names that look alike the oldest gets it.
pub async fn fill_skeletons(conn: &mut Conn, after: i64) -> Result<Option<i64>, StoreError> {
    let rows: Vec<(i64, String)> = users::table
        .filter(users::skeleton.is_null().and(users::id.gt(after)))
        .order(users::id)
        .limit(FILL_ROWS)
        .select((users::id, users::username))
        .load(conn)
        .await?;
    let last = rows.last().map(|(id, _)| *id);
    let rows: Vec<(i64, String)> = rows
        .into_iter()
        .filter_map(|(id, name)| Some((id, stored_skeleton(&name)?)))
        .collect();
    let wanted = rows.iter().map(|(_, skeleton)| skeleton);
    let taken = users::table
        .filter(users::skeleton.eq_any(wanted))
        .select(users::skeleton.assume_not_null());
    let mut taken: HashSet<String> = taken.load(conn).await?.into_iter().collect();
    for (id, skeleton) in rows {
        if taken.insert(skeleton.clone()) {
            let unfilled = users::table.filter(users::id.eq(id).and(users::skeleton.is_null()));
            diesel::update(unfilled)
                .set(users::skeleton.eq(skeleton))
                .execute(conn)
                .await?;
        }
    }
    Ok(last)
}

/// `None` for what only an older name can be: one of which nothing can be seen, or one too long to
/// be indexed.
fn stored_skeleton(username: &str) -> Option<String> {
    Some(name_skeleton(username))
        .filter(|skeleton| (1..=SKELETON_BYTES_MAX).contains(&skeleton.len()))
}

pub async fn disabled(conn: &mut Conn, among: Vec<UserId>) -> Result<Vec<UserId>, StoreError> {
    let among: Vec<i64> = among.into_iter().map(UserId::get).collect();
    let disabled = users::table.filter(users::id.eq_any(among).and(users::status.ne(USER_ENABLED)));
    let ids: Vec<i64> = disabled.select(users::id).load(conn).await?;
    Ok(ids.into_iter().filter_map(UserId::new).collect())
}

/// Enables or disables an account that is there.
pub async fn set_enabled(
    conn: &mut Conn,
    id: UserId,
    enabled: bool,
    at: Timestamp,
) -> Result<User, StoreError> {
    let status = if enabled { USER_ENABLED } else { USER_DISABLED };
    diesel::update(users::table.find(id.get()))
        .set((users::status.eq(status), users::updated_at.eq(at.0)))
        .returning(UserRecord::as_returning())
        .get_result(conn)
        .await?
        .try_into()
}

pub async fn set_token(
    conn: &mut Conn,
    user: UserId,
    digest: Option<String>,
    at: Timestamp,
) -> Result<(), StoreError> {
    // A logout is a row too: it says since when older tokens of the user are void, whoever issued
    // them.
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
        .set((
            session_tokens::digest.eq(&digest),
            session_tokens::created_at.eq(at.0),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

pub async fn remove_token(
    conn: &mut Conn,
    user: UserId,
    expected: StoredToken,
) -> Result<bool, StoreError> {
    let digest = expected.digest.unwrap_or_default();
    let unchanged = session_tokens::digest
        .eq(digest)
        .and(session_tokens::created_at.eq(expected.at.0));
    let rows = diesel::delete(session_tokens::table.find(user.get()).filter(unchanged))
        .execute(conn)
        .await?;
    Ok(rows > 0)
}

pub async fn tokens_since(conn: &mut Conn, since: Timestamp) -> Result<Vec<UserId>, StoreError> {
    let changed = session_tokens::table.filter(session_tokens::created_at.ge(since.0));
    let newest = changed
        .order(session_tokens::created_at.desc())
        .limit(TOKENS_SINCE_MAX);
    let users: Vec<i64> = newest.select(session_tokens::user_id).load(conn).await?;
    Ok(users.into_iter().filter_map(UserId::new).collect())
}

pub async fn token(conn: &mut Conn, user: UserId) -> Result<Option<StoredToken>, StoreError> {
    let columns = (session_tokens::digest, session_tokens::created_at);
    let row: Option<(String, i64)> = session_tokens::table
        .find(user.get())
        .select(columns)
        .get_result(conn)
        .await
        .optional()?;
    Ok(row.map(|(digest, at)| StoredToken {
        digest: (!digest.is_empty()).then_some(digest),
        at: Timestamp(at),
    }))
}

pub async fn last_login_from(
    conn: &mut Conn,
    user: UserId,
    network: String,
) -> Result<Option<Timestamp>, StoreError> {
    let row = login_networks::table.find((user.get(), network));
    let at: Option<i64> = row
        .select(login_networks::last_at)
        .get_result(conn)
        .await
        .optional()?;
    Ok(at.map(Timestamp))
}

pub async fn remember_login(
    conn: &mut Conn,
    user: UserId,
    network: String,
    at: Timestamp,
) -> Result<(), StoreError> {
    require_storable(&[&network])?;
    diesel::insert_into(login_networks::table)
        .values((
            login_networks::user_id.eq(user.get()),
            login_networks::network.eq(network),
            login_networks::last_at.eq(at.0),
        ))
        .on_conflict((login_networks::user_id, login_networks::network))
        .do_update()
        .set(login_networks::last_at.eq(at.0))
        .execute(conn)
        .await?;
    let of_user = login_networks::table.filter(login_networks::user_id.eq(user.get()));
    let networks: Vec<String> = of_user
        .order((login_networks::last_at.desc(), login_networks::network))
        .select(login_networks::network)
        .load(conn)
        .await?;
    if let Some(oldest) = networks
        .get(LOGIN_NETWORKS_MAX..)
        .filter(|oldest| !oldest.is_empty())
    {
        diesel::delete(of_user.filter(login_networks::network.eq_any(oldest)))
            .execute(conn)
            .await?;
    }
    Ok(())
}
