//! Lists of terms of the word filter.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::domain::{Timestamp, UserId};
use crate::storage::error::require_storable;
use crate::storage::schema::term_lists;
use crate::storage::{StoreError, TermListRow};

/// `term_lists.streamer_id` of the list of the site.
const SITE: i64 = 0;

fn key(streamer: Option<UserId>) -> i64 {
    streamer.map_or(SITE, UserId::get)
}

pub async fn of(
    conn: &mut Conn,
    streamer: Option<UserId>,
) -> Result<Option<TermListRow>, StoreError> {
    let columns: Option<(String, i64, i64)> = term_lists::table
        .find(key(streamer))
        .select((
            term_lists::lines,
            term_lists::version,
            term_lists::updated_at,
        ))
        .get_result(conn)
        .await
        .optional()?;
    Ok(columns.map(|(lines, version, updated_at)| TermListRow {
        lines,
        version,
        updated_at: Timestamp(updated_at),
    }))
}

pub async fn versions(
    conn: &mut Conn,
    streamers: Vec<Option<UserId>>,
) -> Result<Vec<(Option<UserId>, i64)>, StoreError> {
    let keys: Vec<i64> = streamers.into_iter().map(key).collect();
    let rows: Vec<(i64, i64)> = term_lists::table
        .filter(term_lists::streamer_id.eq_any(keys))
        .select((term_lists::streamer_id, term_lists::version))
        .load(conn)
        .await?;
    let versions = rows.into_iter();
    Ok(versions
        .map(|(streamer, version)| (UserId::new(streamer), version))
        .collect())
}

/// Replaces a list; returns its version.
pub async fn set(
    conn: &mut Conn,
    streamer: Option<UserId>,
    lines: &str,
    at: Timestamp,
) -> Result<i64, StoreError> {
    require_storable(&[lines])?;
    Ok(diesel::insert_into(term_lists::table)
        .values((
            term_lists::streamer_id.eq(key(streamer)),
            term_lists::lines.eq(lines),
            term_lists::version.eq(1),
            term_lists::updated_at.eq(at.0),
        ))
        .on_conflict(term_lists::streamer_id)
        .do_update()
        .set((
            term_lists::lines.eq(lines),
            term_lists::version.eq(term_lists::version + 1),
            term_lists::updated_at.eq(at.0),
        ))
        .returning(term_lists::version)
        .get_result(conn)
        .await?)
}
