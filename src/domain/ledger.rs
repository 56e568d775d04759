//! The room's own record of the coins given in it.

use std::collections::VecDeque;

use super::{Coins, GiftRecordId, Timestamp, UserId};

/// One gift, as the room saw it settle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LedgerEntry {
    pub record_id: GiftRecordId,
    pub giver: UserId,
    pub amount: Coins,
    pub at: Timestamp,
}

/// Append-only coin entries of one room since it opened on this node.
///
/// It is a witness, not the judge: a user's balance is shared by rooms and nodes, so only the
/// database decides, and [`RoomLedger::total`] follows the totals that commits report. What this
/// room posted itself must always be contained in that total, which [`RoomLedger::post`] asserts.
#[derive(Debug, Clone)]
pub struct RoomLedger {
    opening: Coins,
    posted: Coins,
    total: Coins,
    entries_count: u64,
    recent: VecDeque<LedgerEntry>,
}

impl RoomLedger {
    /// Entries kept for the operator; older ones are in the database.
    pub const RECENT_MAX: usize = 100;

    pub fn open(opening: Coins) -> Self {
        Self {
            opening,
            posted: Coins::ZERO,
            total: opening,
            entries_count: 0,
            recent: VecDeque::new(),
        }
    }

    /// Posts a committed gift. `live_coin` is the live's total that the commit reported; commits of
    /// one live may be reported out of order, so the total never goes back.
    pub fn post(&mut self, entry: LedgerEntry, live_coin: Coins) {
        assert!(entry.amount > Coins::ZERO, "a gift moves at least one coin");
        self.posted = self
            .posted
            .checked_add(entry.amount)
            .expect("the store keeps a live's total in range");
        self.total = self.total.max(live_coin);
        self.entries_count += 1;
        debug_assert!(
            self.opening
                .checked_add(self.posted)
                .is_some_and(|own| own <= self.total),
            "the live's total contains what this room posted"
        );
        if self.recent.len() == Self::RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(entry);
    }

    /// Takes in a total that another node's commit reported.
    pub fn apply_total(&mut self, live_coin: Coins) {
        self.total = self.total.max(live_coin);
    }

    /// The live's total, as the latest commit reported it.
    pub fn total(&self) -> Coins {
        self.total
    }

    /// Sum of what this room posted since it opened.
    pub fn posted(&self) -> Coins {
        self.posted
    }

    pub fn entries_count(&self) -> u64 {
        self.entries_count
    }

    /// The newest entries, oldest first, at most [`RoomLedger::RECENT_MAX`].
    pub fn recent(&self) -> impl Iterator<Item = &LedgerEntry> {
        self.recent.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(record: i64, amount: i64) -> LedgerEntry {
        LedgerEntry {
            record_id: GiftRecordId::new(record).unwrap(),
            giver: UserId::FIRST,
            amount: Coins::new(amount),
            at: Timestamp(0),
        }
    }

    #[test]
    fn total_follows_the_commits_and_never_goes_back() {
        let mut ledger = RoomLedger::open(Coins::new(100));
        ledger.post(entry(2, 5), Coins::new(112));
        ledger.post(entry(1, 7), Coins::new(107));
        assert_eq!(
            (ledger.total(), ledger.posted(), ledger.entries_count()),
            (Coins::new(112), Coins::new(12), 2)
        );
        // Another node gave 88 in between.
        ledger.post(entry(3, 1), Coins::new(201));
        assert_eq!(
            (ledger.total(), ledger.posted()),
            (Coins::new(201), Coins::new(13))
        );
    }

    #[test]
    fn only_the_newest_entries_are_kept_and_all_are_counted() {
        let mut ledger = RoomLedger::open(Coins::ZERO);
        let entries_count = RoomLedger::RECENT_MAX as i64 + 3;
        for record in 1..=entries_count {
            ledger.post(entry(record, 1), Coins::new(record));
        }
        let kept: Vec<_> = ledger.recent().map(|entry| entry.record_id.get()).collect();
        assert_eq!(kept, (4..=entries_count).collect::<Vec<_>>());
        assert_eq!(
            (ledger.entries_count(), ledger.posted()),
            (entries_count as u64, Coins::new(entries_count))
        );
    }

    #[test]
    fn a_total_up_to_the_last_coin_fits() {
        let mut ledger = RoomLedger::open(Coins::new(Coins::MAX.get() - 1));
        ledger.post(entry(1, 1), Coins::MAX);
        assert_eq!(ledger.total(), Coins::MAX);
    }

    #[test]
    #[should_panic(expected = "a gift moves at least one coin")]
    fn a_gift_of_nothing_is_a_fault_of_ours() {
        RoomLedger::open(Coins::ZERO).post(entry(1, 0), Coins::ZERO);
    }
}
