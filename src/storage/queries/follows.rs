//! Who follows which streamer.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::{Conn, accounts};
use crate::domain::{Timestamp, UserId};
use crate::storage::schema::{follower_counts, follows, users};
use crate::storage::{FollowOutcome, FollowedStreamer, StoreError};

pub async fn follow(
    conn: &mut Conn,
    follower: UserId,
    streamer: UserId,
    max: u32,
    at: Timestamp,
) -> Result<FollowOutcome, StoreError> {
    if let Some(since) = since(conn, follower, streamer).await? {
        return Ok(FollowOutcome::Following { since });
    }
    if accounts::by_id(conn, streamer).await?.is_none() {
        return Ok(FollowOutcome::UserNotFound);
    }
    let count: i64 = follows::table
        .filter(follows::follower_id.eq(follower.get()))
        .count()
        .get_result(conn)
        .await?;
    if count >= i64::from(max) {
        return Ok(FollowOutcome::TooMany);
    }
    let row = (
        follows::follower_id.eq(follower.get()),
        follows::streamer_id.eq(streamer.get()),
        follows::since.eq(at.0),
    );
    let inserted = diesel::insert_into(follows::table)
        .values(row)
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    if inserted == 0 {
        // Another request of the same moment was first, and has been committed.
        let since = since(conn, follower, streamer).await?.unwrap_or(at);
        return Ok(FollowOutcome::Following { since });
    }
    // After the row itself, as below: transactions on the same rows lock them in the same order.
    diesel::insert_into(follower_counts::table)
        .values((
            follower_counts::streamer_id.eq(streamer.get()),
            follower_counts::followers.eq(1),
        ))
        .on_conflict(follower_counts::streamer_id)
        .do_update()
        .set(follower_counts::followers.eq(follower_counts::followers + 1))
        .execute(conn)
        .await?;
    Ok(FollowOutcome::Following { since: at })
}

pub async fn unfollow(
    conn: &mut Conn,
    follower: UserId,
    streamer: UserId,
) -> Result<bool, StoreError> {
    let deleted = diesel::delete(follows::table.find((follower.get(), streamer.get())))
        .execute(conn)
        .await?;
    if deleted > 0 {
        diesel::update(follower_counts::table.find(streamer.get()))
            .set(follower_counts::followers.eq(follower_counts::followers - 1))
            .execute(conn)
            .await?;
    }
    Ok(deleted > 0)
}

pub async fn since_of(
    conn: &mut Conn,
    streamer: UserId,
    users: Vec<UserId>,
) -> Result<Vec<(UserId, Timestamp)>, StoreError> {
    let users = users.into_iter().map(UserId::get);
    let rows: Vec<(i64, i64)> = follows::table
        .filter(follows::streamer_id.eq(streamer.get()))
        .filter(follows::follower_id.eq_any(users))
        .select((follows::follower_id, follows::since))
        .load(conn)
        .await?;
    let since = |(user, at)| Some((UserId::new(user)?, Timestamp(at)));
    Ok(rows.into_iter().filter_map(since).collect())
}

async fn since(
    conn: &mut Conn,
    follower: UserId,
    streamer: UserId,
) -> Result<Option<Timestamp>, StoreError> {
    let since: Option<i64> = follows::table
        .find((follower.get(), streamer.get()))
        .select(follows::since)
        .get_result(conn)
        .await
        .optional()?;
    Ok(since.map(Timestamp))
}

pub async fn page(
    conn: &mut Conn,
    follower: UserId,
    before: Option<(Timestamp, UserId)>,
    max: u32,
) -> Result<Vec<FollowedStreamer>, StoreError> {
    let mut query = follows::table
        .inner_join(users::table.on(users::id.eq(follows::streamer_id)))
        .filter(follows::follower_id.eq(follower.get()))
        .order((follows::since.desc(), follows::streamer_id.desc()))
        .limit(max.into())
        .select((users::id, users::username, users::avatar, follows::since))
        .into_boxed();
    if let Some((since, streamer)) = before {
        let same_time = follows::since.eq(since.0);
        query = query.filter(
            follows::since
                .lt(since.0)
                .or(same_time.and(follows::streamer_id.lt(streamer.get()))),
        );
    }
    let rows: Vec<(i64, String, Option<String>, i64)> = query.load(conn).await?;
    let followed = |(id, username, avatar, since)| {
        Some(FollowedStreamer {
            streamer: UserId::new(id)?,
            username,
            avatar,
            since: Timestamp(since),
        })
    };
    Ok(rows.into_iter().filter_map(followed).collect())
}

pub async fn followers_count(conn: &mut Conn, streamer: UserId) -> Result<i64, StoreError> {
    let count = follower_counts::table
        .find(streamer.get())
        .select(follower_counts::followers)
        .get_result(conn)
        .await
        .optional()?;
    Ok(count.unwrap_or_default())
}
