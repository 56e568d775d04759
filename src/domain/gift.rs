//! Gifts: what is ordered, and what the books say of it afterwards.

use std::sync::Arc;

use super::{Coins, GiftId, GiftRecordId, LiveId, Profile, Reject, RequestId, Timestamp};

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

impl Gift {
    /// The same gift at another price.
    pub fn at_price(self: Arc<Self>, price: Coins) -> Arc<Self> {
        if self.price == price {
            return self;
        }
        Arc::new(Self {
            price,
            ..Self::clone(&self)
        })
    }
}

/// A change of a gift of the catalogue; `None`: that stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GiftChange {
    pub gift: GiftId,
    /// Coins for one, at least 1.
    pub price: Option<Coins>,
    pub on_sale: Option<bool>,
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
    /// With the price that the giver was shown, as far as its client says that: the books charge this
    /// price or refuse the order.
    pub gift: Arc<Gift>,
    pub count: GiftCount,
    /// The client's, or one made for it: every order is idempotent.
    pub request_id: RequestId,
    pub at: Timestamp,
}

impl GiftOrder {
    /// The order as the books have it, which charged `total` for it: the retry of a gift that was
    /// committed before may name another price.
    pub fn at_total(self: Arc<Self>, total: Coins) -> Arc<Self> {
        let price = Coins::new(total.get() / self.count.get());
        if self.gift.price == price {
            return self;
        }
        Arc::new(Self {
            gift: self.gift.clone().at_price(price),
            ..Self::clone(&self)
        })
    }
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
    /// The catalogue does not have it.
    GiftNotFound,
    /// It is not on sale any more.
    GiftWithdrawn,
    /// The catalogue has another price than the order.
    PriceChanged,
    /// The store could not take it now; whether it did is found out by retrying with the same
    /// `request_id`.
    Busy,
    /// Its giver may not give now, for this reason, and it was not committed before.
    Barred(Reject),
}
