//! Sanctions, moderators, and the standings that follow from them.

use std::collections::BTreeMap;

use diesel::dsl::sql;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::domain::{
    LiveId, MODERATORS_MAX, Principal, RequestId, SANCTIONS_MAX, Sanction, SanctionId,
    SanctionKind, SanctionOrder, SanctionScope, Standing, Standings, Timestamp, UserId,
};
use crate::storage::error::require_storable;
use crate::storage::rows::{principal_columns, principal_of};
use crate::storage::schema::{lives, moderation_versions, moderators, sanctions};
use crate::storage::{StoreError, UserSanction};

/// The columns that a [`SanctionRecord`] is read from.
const COLUMNS: (
    sanctions::id,
    sanctions::scope,
    sanctions::user_id,
    sanctions::kind,
    sanctions::until_at,
    sanctions::gifts,
    sanctions::reason,
    sanctions::actor_kind,
    sanctions::actor_id,
    sanctions::created_at,
) = (
    sanctions::id,
    sanctions::scope,
    sanctions::user_id,
    sanctions::kind,
    sanctions::until_at,
    sanctions::gifts,
    sanctions::reason,
    sanctions::actor_kind,
    sanctions::actor_id,
    sanctions::created_at,
);

/// Sanctions in a streamer's lives that are not lifted. The conditions of the indexes are literals,
/// because SQLite does not match them with bound values.
macro_rules! of_streamer {
    ($streamer:expr) => {
        sanctions::table
            .filter(sql::<Bool>(
                "sanctions.lifted_at IS NULL AND sanctions.scope <> 'site'",
            ))
            .filter(sanctions::streamer_id.eq($streamer.get()))
    };
}

/// Those of them that concern one of the lives.
macro_rules! of_live {
    ($streamer:expr, $live_id:expr) => {
        of_streamer!($streamer).filter(
            sanctions::live_id
                .is_null()
                .or(sanctions::live_id.eq($live_id.get())),
        )
    };
}

#[derive(Queryable)]
struct SanctionRecord {
    id: i64,
    scope: String,
    user_id: i64,
    kind: String,
    until_at: Option<i64>,
    gifts: bool,
    reason: Option<String>,
    actor_kind: String,
    actor_id: i64,
    created_at: i64,
}

impl SanctionRecord {
    fn read(self) -> Result<(UserId, Sanction), StoreError> {
        let Self { id, .. } = self;
        let impossible = |what: &str| StoreError::Fault(format!("sanctions {id}: {what}"));
        let by = principal_of(&self.actor_kind, self.actor_id)
            .ok_or_else(|| impossible("actor_id is not positive"))?;
        let sanction = Sanction {
            id: SanctionId::new(id).ok_or_else(|| impossible("id is not positive"))?,
            kind: SanctionKind::from_name(&self.kind)
                .ok_or_else(|| impossible("kind is unknown"))?,
            scope: SanctionScope::from_name(&self.scope)
                .ok_or_else(|| impossible("scope is unknown"))?,
            until: self.until_at.map(Timestamp),
            gifts: self.gifts,
            reason: self.reason.map(Into::into),
            by,
            since: Timestamp(self.created_at),
        };
        let user =
            UserId::new(self.user_id).ok_or_else(|| impossible("user_id is not positive"))?;
        Ok((user, sanction))
    }
}

/// Begins a change of what holds in a streamer's lives: no other begins before this transaction
/// ends. Returns the number of the last change.
pub async fn lock(conn: &mut Conn, streamer: UserId) -> Result<u64, StoreError> {
    let version: i64 = diesel::insert_into(moderation_versions::table)
        .values((
            moderation_versions::streamer_id.eq(streamer.get()),
            moderation_versions::version.eq(0),
        ))
        .on_conflict(moderation_versions::streamer_id)
        .do_update()
        .set(moderation_versions::version.eq(moderation_versions::version))
        .returning(moderation_versions::version)
        .get_result(conn)
        .await?;
    Ok(version.unsigned_abs())
}

/// Counts a change that was made. Returns its number.
pub async fn count_change(conn: &mut Conn, streamer: UserId) -> Result<u64, StoreError> {
    let version: i64 = diesel::update(moderation_versions::table.find(streamer.get()))
        .set(moderation_versions::version.eq(moderation_versions::version + 1))
        .returning(moderation_versions::version)
        .get_result(conn)
        .await?;
    Ok(version.unsigned_abs())
}

/// The number of the last change that concerns a streamer's lives.
pub async fn version(conn: &mut Conn, streamer: UserId) -> Result<u64, StoreError> {
    let version: Option<i64> = moderation_versions::table
        .find(streamer.get())
        .select(moderation_versions::version)
        .get_result(conn)
        .await
        .optional()?;
    Ok(version.unwrap_or_default().unsigned_abs())
}

/// The standings of all users who are not like everybody else in a live; `None` if it is unknown.
pub async fn of_live(
    conn: &mut Conn,
    live_id: LiveId,
    now: Timestamp,
) -> Result<Option<Standings>, StoreError> {
    let Some(streamer) = streamer_of(conn, live_id).await? else {
        return Ok(None);
    };
    // Read first: what is read after it may be newer, and then its control changes nothing.
    let version = version(conn, streamer).await?;
    if version == 0 {
        return Ok(Some(Standings::default()));
    }
    let mut standings: BTreeMap<UserId, Standing> = BTreeMap::new();
    let rows: Vec<SanctionRecord> = of_live!(streamer, live_id)
        .filter(
            sanctions::until_at
                .is_null()
                .or(sanctions::until_at.gt(now.0)),
        )
        .select(COLUMNS)
        .load(conn)
        .await?;
    for row in rows {
        let (user, sanction) = row.read()?;
        standings.entry(user).or_default().sanctions.push(sanction);
    }
    let named = named(conn, streamer).await?;
    for (user, _) in &named {
        standings.entry(*user).or_default().is_moderator = true;
    }
    Ok(Some(Standings {
        version,
        users: standings.into_iter().collect(),
        named,
    }))
}

/// The standing of one user in a live of this streamer.
pub async fn of_user(
    conn: &mut Conn,
    streamer: UserId,
    live_id: LiveId,
    user: UserId,
    now: Timestamp,
) -> Result<Standing, StoreError> {
    let mut standings = of_users(conn, streamer, live_id, &[user], now).await?;
    Ok(standings.remove(&user).unwrap_or_default())
}

/// The standings of those of these users who are not like everybody else in a live of this
/// streamer.
pub async fn of_users(
    conn: &mut Conn,
    streamer: UserId,
    live_id: LiveId,
    users: &[UserId],
    now: Timestamp,
) -> Result<BTreeMap<UserId, Standing>, StoreError> {
    let ids: Vec<i64> = users.iter().map(|user| user.get()).collect();
    let rows: Vec<SanctionRecord> = of_live!(streamer, live_id)
        .filter(sanctions::user_id.eq_any(&ids))
        .order(sanctions::id)
        .select(COLUMNS)
        .load(conn)
        .await?;
    let named: Vec<i64> = moderators::table
        .filter(moderators::streamer_id.eq(streamer.get()))
        .filter(moderators::user_id.eq_any(&ids))
        .select(moderators::user_id)
        .load(conn)
        .await?;
    let mut standings: BTreeMap<UserId, Standing> = BTreeMap::new();
    for (user, sanctions) in holding(rows, now)? {
        standings.entry(user).or_default().sanctions = sanctions;
    }
    for user in named.into_iter().filter_map(UserId::new) {
        standings.entry(user).or_default().is_moderator = true;
    }
    Ok(standings)
}

/// What holds against a user on the whole site.
pub async fn of_site(
    conn: &mut Conn,
    user: UserId,
    now: Timestamp,
) -> Result<Vec<Sanction>, StoreError> {
    let mut held = of_site_users(conn, &[user], now).await?;
    Ok(held.remove(&user).unwrap_or_default())
}

/// What holds against these users on the whole site; those against whom nothing does are left out.
pub async fn of_site_users(
    conn: &mut Conn,
    users: &[UserId],
    now: Timestamp,
) -> Result<BTreeMap<UserId, Vec<Sanction>>, StoreError> {
    let rows: Vec<SanctionRecord> = sanctions::table
        .filter(sql::<Bool>(
            "sanctions.lifted_at IS NULL AND sanctions.scope = 'site'",
        ))
        .filter(sanctions::user_id.eq_any(users.iter().map(|user| user.get())))
        .order(sanctions::id)
        .select(COLUMNS)
        .load(conn)
        .await?;
    holding(rows, now)
}

/// Those that hold now, by user.
fn holding(
    rows: Vec<SanctionRecord>,
    now: Timestamp,
) -> Result<BTreeMap<UserId, Vec<Sanction>>, StoreError> {
    let mut found: BTreeMap<UserId, Vec<Sanction>> = BTreeMap::new();
    for row in rows {
        let (user, sanction) = row.read()?;
        if sanction.holds(now) {
            found.entry(user).or_default().push(sanction);
        }
    }
    Ok(found)
}

pub async fn streamer_of(conn: &mut Conn, live_id: LiveId) -> Result<Option<UserId>, StoreError> {
    let owner: Option<i64> = lives::table
        .find(live_id.get())
        .select(lives::user_id)
        .get_result(conn)
        .await
        .optional()?;
    Ok(owner.and_then(UserId::new))
}

/// The moderators of a streamer, in no order.
pub async fn moderators(conn: &mut Conn, streamer: UserId) -> Result<Vec<UserId>, StoreError> {
    let named = named(conn, streamer).await?;
    Ok(named.into_iter().map(|(user, _)| user).collect())
}

/// The moderators of a streamer and when each was named, in no order.
async fn named(conn: &mut Conn, streamer: UserId) -> Result<Vec<(UserId, Timestamp)>, StoreError> {
    let rows: Vec<(i64, i64)> = moderators::table
        .filter(moderators::streamer_id.eq(streamer.get()))
        .select((moderators::user_id, moderators::created_at))
        .load(conn)
        .await?;
    let read = |(user, at)| Some((UserId::new(user)?, Timestamp(at)));
    Ok(rows.into_iter().filter_map(read).collect())
}

/// Whether one more sanction may hold in a streamer's lives.
pub async fn has_room(
    conn: &mut Conn,
    streamer: UserId,
    now: Timestamp,
) -> Result<bool, StoreError> {
    expire(conn, streamer, now).await?;
    let held: i64 = of_streamer!(streamer).count().get_result(conn).await?;
    Ok(held < SANCTIONS_MAX as i64)
}

/// Notes that sanctions have expired, so that those that hold are found at once.
async fn expire(conn: &mut Conn, streamer: UserId, now: Timestamp) -> Result<(), StoreError> {
    diesel::update(of_streamer!(streamer).filter(sanctions::until_at.le(now.0)))
        .set(sanctions::lifted_at.eq(sanctions::until_at))
        .execute(conn)
        .await?;
    Ok(())
}

/// Who adds a sanction, and how it is known to them.
pub struct Given<'a> {
    pub actor: Principal,
    pub reason: Option<&'a str>,
    pub request_id: Option<&'a RequestId>,
    pub at: Timestamp,
}

/// Adds a sanction. That of the same user, kind and scope is to be lifted first.
pub async fn add(
    conn: &mut Conn,
    streamer: UserId,
    live_id: LiveId,
    order: &SanctionOrder,
    given: Given<'_>,
) -> Result<Sanction, StoreError> {
    let Given {
        actor,
        reason,
        request_id,
        at,
    } = given;
    require_storable(&[reason.unwrap_or_default()])?;
    let (actor_kind, actor_id) = principal_columns(actor);
    let (streamer, live_id) = match order.scope {
        SanctionScope::Site => (None, None),
        SanctionScope::Streamer => (Some(streamer.get()), None),
        SanctionScope::Live => (Some(streamer.get()), Some(live_id.get())),
    };
    let row: SanctionRecord = diesel::insert_into(sanctions::table)
        .values((
            sanctions::scope.eq(order.scope.name()),
            sanctions::streamer_id.eq(streamer),
            sanctions::live_id.eq(live_id),
            sanctions::user_id.eq(order.user.get()),
            sanctions::kind.eq(order.kind.name()),
            sanctions::until_at.eq(order.term.until(at).map(|until| until.0)),
            sanctions::gifts.eq(order.gifts),
            sanctions::purge.eq(order.purge.name()),
            sanctions::reason.eq(reason),
            sanctions::actor_kind.eq(actor_kind),
            sanctions::actor_id.eq(actor_id),
            sanctions::request_id.eq(request_id.map(RequestId::as_str)),
            sanctions::created_at.eq(at.0),
        ))
        .returning(COLUMNS)
        .get_result(conn)
        .await?;
    row.read().map(|(_, sanction)| sanction)
}

/// The sanction of this id.
pub async fn by_id(conn: &mut Conn, id: i64) -> Result<Option<Sanction>, StoreError> {
    let row: Option<SanctionRecord> = sanctions::table
        .find(id)
        .select(COLUMNS)
        .get_result(conn)
        .await
        .optional()?;
    row.map(|row| row.read().map(|(_, sanction)| sanction))
        .transpose()
}

pub async fn lift(
    conn: &mut Conn,
    ids: &[SanctionId],
    by: Principal,
    at: Timestamp,
) -> Result<(), StoreError> {
    let ids = ids.iter().map(|id| id.get());
    let (_, actor_id) = principal_columns(by);
    diesel::update(sanctions::table.filter(sanctions::id.eq_any(ids)))
        .set((
            sanctions::lifted_at.eq(at.0),
            sanctions::lifted_by.eq(actor_id),
        ))
        .execute(conn)
        .await?;
    Ok(())
}

/// Names a moderator. False: there are as many as there may be.
pub async fn add_moderator(
    conn: &mut Conn,
    streamer: UserId,
    user: UserId,
    at: Timestamp,
) -> Result<bool, StoreError> {
    let known = moderators(conn, streamer).await?;
    if known.contains(&user) {
        return Ok(true);
    }
    if known.len() >= MODERATORS_MAX {
        return Ok(false);
    }
    diesel::insert_into(moderators::table)
        .values((
            moderators::streamer_id.eq(streamer.get()),
            moderators::user_id.eq(user.get()),
            moderators::created_at.eq(at.0),
        ))
        .execute(conn)
        .await?;
    Ok(true)
}

pub async fn remove_moderator(
    conn: &mut Conn,
    streamer: UserId,
    user: UserId,
) -> Result<(), StoreError> {
    diesel::delete(moderators::table.find((streamer.get(), user.get())))
        .execute(conn)
        .await?;
    Ok(())
}

/// One page of what holds in a live, newest first, from before the sanction `before`; of all
/// users or of one.
pub async fn page(
    conn: &mut Conn,
    live_id: LiveId,
    of: Option<UserId>,
    before: Option<SanctionId>,
    max: u32,
    now: Timestamp,
) -> Result<Vec<(UserId, Sanction)>, StoreError> {
    let Some(streamer) = streamer_of(conn, live_id).await? else {
        return Ok(Vec::new());
    };
    let mut page = of_live!(streamer, live_id)
        .filter(
            sanctions::until_at
                .is_null()
                .or(sanctions::until_at.gt(now.0)),
        )
        .filter(sanctions::id.lt(before.map_or(i64::MAX, SanctionId::get)))
        .order(sanctions::id.desc())
        .limit(max.into())
        .select(COLUMNS)
        .into_boxed();
    if let Some(user) = of {
        page = page.filter(sanctions::user_id.eq(user.get()));
    }
    let rows: Vec<SanctionRecord> = page.load(conn).await?;
    rows.into_iter().map(SanctionRecord::read).collect()
}

/// What holds against a user anywhere, newest first.
pub async fn page_of_user(
    conn: &mut Conn,
    user: UserId,
    before: Option<SanctionId>,
    max: u32,
    now: Timestamp,
) -> Result<Vec<UserSanction>, StoreError> {
    let rows: Vec<(SanctionRecord, Option<i64>, Option<i64>)> = sanctions::table
        .filter(sanctions::lifted_at.is_null())
        .filter(sanctions::user_id.eq(user.get()))
        .filter(
            sanctions::until_at
                .is_null()
                .or(sanctions::until_at.gt(now.0)),
        )
        .filter(sanctions::id.lt(before.map_or(i64::MAX, SanctionId::get)))
        .order(sanctions::id.desc())
        .limit(max.into())
        .select((COLUMNS, sanctions::live_id, sanctions::streamer_id))
        .load(conn)
        .await?;
    let sanction = |(row, live, streamer): (SanctionRecord, Option<i64>, Option<i64>)| {
        Ok(UserSanction {
            sanction: row.read()?.1,
            live_id: live.and_then(LiveId::new),
            streamer: streamer.and_then(UserId::new),
        })
    };
    rows.into_iter().map(sanction).collect()
}
