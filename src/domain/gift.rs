//! Gifts: what is ordered, and what the books say of it afterwards.

use std::sync::Arc;

use super::{Coins, GiftId, GiftRecordId, LiveId, Profile, RequestId, Timestamp};

/// An item of the catalogue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gift {
    pub id: GiftId,
    pub name: String,
    /// Address of its picture, as clients get it.
    pub image: String,
    /// Coins for one; at least 1.
    pub price: Coins,
}

/// How many of one gift are sent at once: 1 to 999.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct GiftCount(u16);

impl GiftCount {
    pub const MAX: u16 = 999;
    pub const ONE: GiftCount = GiftCount(1);

    pub const fn new(raw: i64) -> Option<Self> {
        if raw >= 1 && raw <= Self::MAX as i64 {
            Some(Self(raw as u16))
        } else {
            None
        }
    }

    pub const fn get(self) -> i64 {
        self.0 as i64
    }
}

/// A gift a member asked to send, ready to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GiftOrder {
    pub live_id: LiveId,
    pub giver: Arc<Profile>,
    pub gift: Arc<Gift>,
    pub count: GiftCount,
    /// The client's, or one made for it: every order is idempotent.
    pub request_id: RequestId,
    pub at: Timestamp,
}

/// A committed gift in the books.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GiftReceipt {
    pub record_id: GiftRecordId,
    /// Price times count, as debited.
    pub total: Coins,
    /// The giver's balance right after the debit.
    pub giver_coin: Coins,
    /// The live's total right after the credit.
    pub live_coin: Coins,
    pub at: Timestamp,
    /// True when this order had been committed before: nothing moved now.
    pub duplicate: bool,
}

/// Why the books did not take a gift. Nothing moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GiftRefusal {
    CoinsInsufficient,
    /// The live's total would exceed [`Coins::MAX`].
    LiveCoinsFull,
    /// The `request_id` was used before for another gift, count or live.
    Conflict,
    /// The giver is gone or disabled.
    UserDisabled,
    /// The live ended before the commit.
    LiveEnded,
    /// The catalogue no longer has it.
    GiftNotFound,
    /// The store could not take it now; whether it did is found out by retrying with the same
    /// `request_id`.
    Busy,
}
