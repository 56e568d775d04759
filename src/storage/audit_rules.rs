//! The invariants of the books, as SQL that both databases understand.
//!
//! A sum of 64-bit amounts may need more than 64 bits, on which SQLite fails and PostgreSQL changes
//! type. So every number is summed as two halves, `x >> 32` and `x & 4294967295`, which stay small,
//! and put together by [`wide`].

/// One side of a rule.
pub(super) enum Side {
    /// A number that is the same for the whole group.
    Of(&'static str),
    /// A number summed over the group (0 if nothing joined), each term taken so many times.
    Sum(&'static str, &'static str),
}

impl Side {
    fn halves(&self) -> (String, String) {
        match self {
            // PostgreSQL would shift a literal as 32 bits.
            Self::Of(number) => (
                format!("CAST({number} AS BIGINT) >> 32"),
                format!("CAST({number} AS BIGINT) & 4294967295"),
            ),
            Self::Sum(number, times) => (
                format!("COALESCE(SUM((({number}) >> 32) * ({times})), 0)"),
                format!("COALESCE(SUM((({number}) & 4294967295) * ({times})), 0)"),
            ),
        }
    }

    /// The whole number, for comparing: beyond 64 bits it is a float in SQLite, and unequal.
    fn whole(&self) -> String {
        match self {
            Self::Of(number) => format!("({number})"),
            Self::Sum(..) => {
                let (high, low) = self.halves();
                format!("({high} * 4294967296 + {low})")
            }
        }
    }
}

/// Two numbers that must be equal in every group of rows.
pub(super) struct Rule {
    /// The stable word an operator reads.
    pub name: &'static str,
    /// Names the group.
    row: &'static str,
    expected: Side,
    found: Side,
    /// Tables and conditions.
    from: &'static str,
    /// Empty: everything is one group.
    group_by: &'static str,
}

impl Rule {
    /// The groups that break the rule, at most `rows_max`.
    pub fn sql(&self, rows_max: usize) -> String {
        let Self {
            row,
            from,
            group_by,
            ..
        } = self;
        let (expected_high, expected_low) = self.expected.halves();
        let (found_high, found_low) = self.found.halves();
        let (expected, found) = (self.expected.whole(), self.found.whole());
        let group_by = if group_by.is_empty() {
            String::new()
        } else {
            format!("GROUP BY {group_by}")
        };
        format!(
            "SELECT {row} AS row_name, \
             CAST({expected_high} AS BIGINT) AS expected_high, CAST({expected_low} AS BIGINT) AS expected_low, \
             CAST({found_high} AS BIGINT) AS found_high, CAST({found_low} AS BIGINT) AS found_low \
             FROM {from} {group_by} HAVING {expected} <> {found} LIMIT {rows_max}"
        )
    }
}

/// Puts the halves of a sum together; beyond 64 bits it is the nearest number that fits.
pub(super) fn wide(high: i64, low: i64) -> i64 {
    let sum = i128::from(high) * (1 << 32) + i128::from(low);
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

pub(super) const TOTALS: &str = "SELECT \
    (SELECT COUNT(*) FROM ledger_transfers) AS transfers_count, \
    (SELECT COUNT(*) FROM ledger_entries) AS entries_count, \
    (SELECT COUNT(*) FROM gift_records) AS gifts_count, \
    (SELECT CAST(COALESCE(SUM(coin >> 32), 0) AS BIGINT) FROM users) AS users_high, \
    (SELECT CAST(COALESCE(SUM(coin & 4294967295), 0) AS BIGINT) FROM users) AS users_low, \
    (SELECT CAST(COALESCE(SUM(coin >> 32), 0) AS BIGINT) FROM lives) AS lives_high, \
    (SELECT CAST(COALESCE(SUM(coin & 4294967295), 0) AS BIGINT) FROM lives) AS lives_low, \
    (SELECT CAST(COALESCE(SUM(amount >> 32), 0) AS BIGINT) FROM ledger_entries WHERE account = 'mint') AS mint_high, \
    (SELECT CAST(COALESCE(SUM(amount & 4294967295), 0) AS BIGINT) FROM ledger_entries WHERE account = 'mint') AS mint_low";

pub(super) const RULES: [Rule; 16] = [
    Rule {
        name: "ledger_sum",
        row: "'ledger'",
        expected: Side::Of("0"),
        found: Side::Sum("amount", "1"),
        from: "ledger_entries",
        group_by: "",
    },
    Rule {
        name: "transfer_sum",
        row: "'transfer ' || t.id",
        expected: Side::Of("0"),
        found: Side::Sum("e.amount", "1"),
        from: "ledger_transfers t LEFT JOIN ledger_entries e ON e.transfer_id = t.id",
        group_by: "t.id",
    },
    Rule {
        name: "transfer_entries",
        row: "'transfer ' || t.id",
        expected: Side::Of("2"),
        found: Side::Of("COUNT(e.id)"),
        from: "ledger_transfers t LEFT JOIN ledger_entries e ON e.transfer_id = t.id",
        group_by: "t.id",
    },
    Rule {
        name: "grant_mint",
        row: "'transfer ' || t.id",
        expected: Side::Of("1"),
        found: Side::Of("COUNT(e.id)"),
        from: "ledger_transfers t LEFT JOIN ledger_entries e ON e.transfer_id = t.id AND e.account = 'mint' \
               WHERE t.kind = 'grant'",
        group_by: "t.id",
    },
    Rule {
        name: "grant_user",
        row: "'transfer ' || t.id",
        expected: Side::Of("1"),
        found: Side::Of("COUNT(e.id)"),
        from: "ledger_transfers t LEFT JOIN ledger_entries e ON e.transfer_id = t.id AND e.account = 'user' \
               AND e.account_id = t.user_id WHERE t.kind = 'grant'",
        group_by: "t.id",
    },
    Rule {
        name: "transfer_gift",
        row: "'transfer ' || t.id",
        expected: Side::Of("1"),
        found: Side::Of("COUNT(r.id)"),
        from: "ledger_transfers t LEFT JOIN gift_records r ON r.transfer_id = t.id WHERE t.kind = 'gift'",
        group_by: "t.id",
    },
    Rule {
        name: "entry_transfer",
        row: "'entry ' || e.id",
        expected: Side::Of("1"),
        found: Side::Of("COUNT(t.id)"),
        from: "ledger_entries e LEFT JOIN ledger_transfers t ON t.id = e.transfer_id",
        group_by: "e.id",
    },
    Rule {
        name: "entry_account",
        row: "'entry ' || e.id",
        expected: Side::Of("1"),
        found: Side::Of("COUNT(u.id) + COUNT(l.id)"),
        from: "ledger_entries e LEFT JOIN users u ON e.account = 'user' AND u.id = e.account_id \
               LEFT JOIN lives l ON e.account = 'live' AND l.id = e.account_id WHERE e.account <> 'mint'",
        group_by: "e.id",
    },
    Rule {
        name: "user_balance",
        row: "'user ' || u.id",
        expected: Side::Sum("e.amount", "1"),
        found: Side::Of("u.coin"),
        from: "users u LEFT JOIN ledger_entries e ON e.account = 'user' AND e.account_id = u.id",
        group_by: "u.id, u.coin",
    },
    Rule {
        name: "live_balance",
        row: "'live ' || l.id",
        expected: Side::Sum("e.amount", "1"),
        found: Side::Of("l.coin"),
        from: "lives l LEFT JOIN ledger_entries e ON e.account = 'live' AND e.account_id = l.id",
        group_by: "l.id, l.coin",
    },
    Rule {
        name: "live_gifts",
        row: "'live ' || l.id",
        expected: Side::Sum("r.total", "1"),
        found: Side::Of("l.coin"),
        from: "lives l LEFT JOIN gift_records r ON r.live_id = l.id",
        group_by: "l.id, l.coin",
    },
    Rule {
        name: "gift_total",
        row: "'gift record ' || r.id",
        expected: Side::Sum("r.price", "r.num"),
        found: Side::Of("r.total"),
        from: "gift_records r",
        group_by: "r.id, r.total",
    },
    Rule {
        name: "gift_transfer",
        row: "'gift record ' || r.id",
        expected: Side::Of("1"),
        found: Side::Of("COUNT(t.id)"),
        from: "gift_records r LEFT JOIN ledger_transfers t ON t.id = r.transfer_id AND t.kind = 'gift' \
               AND t.user_id = r.user_id AND t.created_at = r.created_at",
        group_by: "r.id",
    },
    Rule {
        name: "gift_debit",
        row: "'gift record ' || r.id",
        expected: Side::Sum("e.amount", "1"),
        found: Side::Of("-r.total"),
        from: "gift_records r LEFT JOIN ledger_entries e ON e.transfer_id = r.transfer_id \
               AND e.account = 'user' AND e.account_id = r.user_id",
        group_by: "r.id, r.total",
    },
    Rule {
        name: "gift_credit",
        row: "'gift record ' || r.id",
        expected: Side::Sum("e.amount", "1"),
        found: Side::Of("r.total"),
        from: "gift_records r LEFT JOIN ledger_entries e ON e.transfer_id = r.transfer_id \
               AND e.account = 'live' AND e.account_id = r.live_id",
        group_by: "r.id, r.total",
    },
    Rule {
        name: "negative_balance",
        row: "b.owner || ' ' || b.id",
        expected: Side::Of("0"),
        found: Side::Of("b.coin"),
        from: "(SELECT 'user' AS owner, id, coin FROM users WHERE coin < 0 \
               UNION ALL SELECT 'live', id, coin FROM lives WHERE coin < 0) b",
        group_by: "b.owner, b.id, b.coin",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_beyond_64_bits_is_the_nearest_that_fits() {
        assert_eq!(wide(-1, 4_294_967_295), -1);
        assert_eq!(wide(3 << 31, 7), i64::MAX);
        assert_eq!(wide(-(3 << 31), 7), i64::MIN);
    }
}
