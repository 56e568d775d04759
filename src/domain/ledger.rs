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
        Self { opening, posted: Coins::ZERO, total: opening, entries_count: 0, recent: VecDeque::new() }
    }

    /// Posts a committed gift. `live_coin` is the live's total that the commit reported; commits of
    /// one live may be reported out of order, so the total never goes back.
    pub fn post(&mut self, entry: LedgerEntry, live_coin: Coins) {
        assert!(entry.amount > Coins::ZERO, "a gift moves at least one coin");
        self.posted = self.posted.checked_add(entry.amount).expect("the database bounds a live's total to 64 bits");
        self.total = self.total.max(live_coin);
        self.entries_count += 1;
        debug_assert!(
            self.opening.checked_add(self.posted).is_some_and(|own| own <= self.total),
            "the live's total contains what this room posted"
        );
        if self.recent.len() == Self::RECENT_MAX {
            self.recent.pop_front();
        }
        self.recent.push_back(entry);
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
