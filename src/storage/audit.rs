//! The result of proving the books.

use std::fmt;

/// The result of recomputing the books.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditReport {
    pub transfers_count: i64,
    pub entries_count: i64,
    pub gifts_count: i64,
    /// Coins in all users' balances.
    pub users_coin: i64,
    /// Coins in all lives' totals.
    pub lives_coin: i64,
    /// Coins ever granted, less those taken back.
    pub granted_coin: i64,
    /// The offending rows, at most [`AuditReport::FAULTS_MAX`]; empty when the books balance.
    pub faults: Vec<AuditFault>,
}

impl AuditReport {
    /// Rows listed at most; a report this long is a disaster, not a list to work through.
    pub const FAULTS_MAX: usize = 1_000;

    pub fn balanced(&self) -> bool {
        self.faults.is_empty()
    }
}

/// One row that disagrees with the entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditFault {
    /// The broken rule, a stable snake_case word such as `user_balance`.
    pub rule: &'static str,
    /// The row, for example `user 7`.
    pub row: String,
    pub expected: i64,
    pub found: i64,
}

impl fmt::Display for AuditFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {}: expected {}, found {}",
            self.rule, self.row, self.expected, self.found
        )
    }
}
