//! Rows of the audit for their seals, and the seals.

use diesel::dsl::{count_star, max};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::domain::Timestamp;
use crate::storage::audit_chain::{ChainFault, ChainReport, SEAL_ROWS_MAX, Seal, SealHead};
use crate::storage::schema::{audit, audit_seals};
use crate::storage::{AuditEntry, StoreError};

/// Seals that are checked with one read of them; each may have 40 KiB.
const SEALS_PAGE: i64 = 16;

pub async fn last(conn: &mut Conn) -> Result<Option<Seal>, StoreError> {
    let newest: Option<i64> = audit_seals::table
        .select(max(audit_seals::id))
        .get_result(conn)
        .await?;
    let Some(newest) = newest else {
        return Ok(None);
    };
    Ok(audit_seals::table
        .find(newest)
        .select(Seal::as_select())
        .get_result(conn)
        .await
        .optional()?)
}

pub async fn head(conn: &mut Conn, id: Option<i64>) -> Result<Option<SealHead>, StoreError> {
    let seal = match id {
        None => last(conn).await?,
        Some(id) => audit_seals::table
            .find(id)
            .select(Seal::as_select())
            .get_result(conn)
            .await
            .optional()?,
    };
    Ok(seal.map(|seal| seal.head()))
}

/// The rows that a seal after `last` covers, [`SEAL_ROWS_MAX`] at most.
pub async fn unsealed(
    conn: &mut Conn,
    last: Option<&Seal>,
    to_id: i64,
) -> Result<Vec<AuditEntry>, StoreError> {
    rows(conn, Seal::next_id(last), to_id, SEAL_ROWS_MAX.into()).await
}

async fn rows(
    conn: &mut Conn,
    from_id: i64,
    to_id: i64,
    max: i64,
) -> Result<Vec<AuditEntry>, StoreError> {
    Ok(audit::table
        .filter(audit::id.between(from_id, to_id))
        .order(audit::id)
        .limit(max)
        .select(AuditEntry::as_select())
        .load(conn)
        .await?)
}

/// Adds a seal. False: another process has added that one.
pub async fn add(conn: &mut Conn, seal: Seal) -> Result<bool, StoreError> {
    let added = diesel::insert_into(audit_seals::table)
        .values(seal)
        .on_conflict_do_nothing()
        .execute(conn)
        .await?;
    Ok(added == 1)
}

/// Recomputes all seals, and compares each with the rows of its range. In one transaction, or a seal
/// that is added meanwhile would look like a fault.
pub async fn check(conn: &mut Conn) -> Result<ChainReport, StoreError> {
    let mut report = ChainReport::default();
    let mut last: Option<Seal> = None;
    loop {
        let after = last.as_ref().map_or(i64::MIN, |last| last.id);
        let page: Vec<Seal> = audit_seals::table
            .filter(audit_seals::id.gt(after))
            .order(audit_seals::id)
            .limit(SEALS_PAGE)
            .select(Seal::as_select())
            .load(conn)
            .await?;
        if page.is_empty() {
            break;
        }
        for seal in page {
            check_seal(conn, &seal, last.as_ref(), &mut report).await?;
            last = Some(seal);
        }
    }
    report.head = last.as_ref().map(Seal::head);
    before_the_first(conn, &mut report).await?;
    let (count, since): (i64, Option<i64>) = audit::table
        .filter(audit::id.ge(Seal::next_id(last.as_ref())))
        .select((count_star(), diesel::dsl::min(audit::at)))
        .get_result(conn)
        .await?;
    (report.unsealed_rows, report.unsealed_since) = (count, since.map(Timestamp));
    Ok(report)
}

async fn check_seal(
    conn: &mut Conn,
    seal: &Seal,
    last: Option<&Seal>,
    report: &mut ChainReport,
) -> Result<(), StoreError> {
    let expected_id = last.map_or(1, |last| last.id + 1);
    if seal.id != expected_id {
        report.add(ChainFault::SealMissing(expected_id));
    } else if !seal.is_after(last) {
        report.add(ChainFault::SealChanged(seal.id));
    }
    report.seals_count += 1;
    report.sealed_rows += i64::try_from(seal.rows_count()).unwrap_or(i64::MAX);
    if report.is_full() {
        return Ok(());
    }
    // A range may have more rows now than were sealed. So many more are faults enough.
    let max = i64::from(SEAL_ROWS_MAX) + i64::try_from(ChainReport::FAULTS_MAX).unwrap_or(0);
    let rows = rows(conn, seal.from_id, seal.to_id, max).await?;
    seal.compare(&rows, report);
    Ok(())
}

/// Ids begin with 1. What is before that was not given by the database.
async fn before_the_first(conn: &mut Conn, report: &mut ChainReport) -> Result<(), StoreError> {
    let max = i64::try_from(ChainReport::FAULTS_MAX).unwrap_or(0);
    for row in rows(conn, i64::MIN, 0, max).await? {
        report.add(ChainFault::RowAdded(row.id));
    }
    Ok(())
}
