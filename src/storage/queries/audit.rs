//! The proof of the books, from their entries.

use diesel::sql_types::{BigInt, Text};
use diesel_async::RunQueryDsl;

use super::Conn;
use crate::storage::audit_rules::{RULES, TOTALS, wide};
use crate::storage::{AuditFault, AuditReport, StoreError};

#[derive(diesel::QueryableByName)]
struct TotalsRow {
    #[diesel(sql_type = BigInt)]
    transfers_count: i64,
    #[diesel(sql_type = BigInt)]
    entries_count: i64,
    #[diesel(sql_type = BigInt)]
    gifts_count: i64,
    #[diesel(sql_type = BigInt)]
    users_high: i64,
    #[diesel(sql_type = BigInt)]
    users_low: i64,
    #[diesel(sql_type = BigInt)]
    lives_high: i64,
    #[diesel(sql_type = BigInt)]
    lives_low: i64,
    #[diesel(sql_type = BigInt)]
    mint_high: i64,
    #[diesel(sql_type = BigInt)]
    mint_low: i64,
}

#[derive(diesel::QueryableByName)]
struct FaultRow {
    #[diesel(sql_type = Text)]
    row_name: String,
    #[diesel(sql_type = BigInt)]
    expected_high: i64,
    #[diesel(sql_type = BigInt)]
    expected_low: i64,
    #[diesel(sql_type = BigInt)]
    found_high: i64,
    #[diesel(sql_type = BigInt)]
    found_low: i64,
}

pub async fn audit(conn: &mut Conn) -> Result<AuditReport, StoreError> {
    let totals: TotalsRow = diesel::sql_query(TOTALS).get_result(conn).await?;
    let mut report = AuditReport {
        transfers_count: totals.transfers_count,
        entries_count: totals.entries_count,
        gifts_count: totals.gifts_count,
        users_coin: wide(totals.users_high, totals.users_low),
        lives_coin: wide(totals.lives_high, totals.lives_low),
        // The mint gives what the users get.
        granted_coin: wide(totals.mint_high, totals.mint_low).saturating_neg(),
        faults: Vec::new(),
    };
    for rule in &RULES {
        let room = AuditReport::FAULTS_MAX - report.faults.len();
        if room == 0 {
            break;
        }
        let rows: Vec<FaultRow> = diesel::sql_query(rule.sql(room)).load(conn).await?;
        report.faults.extend(rows.into_iter().map(|row| AuditFault {
            rule: rule.name,
            row: row.row_name,
            expected: wide(row.expected_high, row.expected_low),
            found: wide(row.found_high, row.found_low),
        }));
    }
    Ok(report)
}
