//! Identifiers and quantities that cannot be mixed up.

use std::fmt;
use std::sync::Arc;

macro_rules! numeric_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(i64);

        impl $name {
            /// The lowest id there is.
            pub const FIRST: $name = $name(1);

            /// `None` unless `raw` is positive: ids are handed out by the database from 1.
            pub const fn new(raw: i64) -> Option<Self> {
                if raw > 0 { Some(Self(raw)) } else { None }
            }

            /// The number as stored and as sent.
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

numeric_id!(
    /// One broadcast and its row.
    LiveId
);
numeric_id!(
    /// An account.
    UserId
);
numeric_id!(
    /// An item of the gift catalogue.
    GiftId
);
numeric_id!(
    /// One committed sending of a gift.
    GiftRecordId
);
numeric_id!(
    /// One action and its row in the audit.
    ActionId
);
numeric_id!(
    /// One sanction and its row.
    SanctionId
);
numeric_id!(
    /// An operator's account.
    ManagerId
);
numeric_id!(
    /// An API token of operators.
    TokenId
);
numeric_id!(
    /// One comment. Made by the room (milliseconds and a counter), so it sorts by time and exists
    /// before the row does.
    CommentId
);

/// One session on this node. Never reused while the process lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One process of the cluster, from its start to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u64);

impl fmt::Display for NodeId {
    /// As it is written in keys, channels and logs: sixteen hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl CommentId {
    /// Ids count milliseconds from here (2025-01-01 UTC), so that 41 bits of them last until 2094.
    pub const EPOCH_MS: i64 = 1_735_689_600_000;
    /// The low bits of an id, which say which one of its millisecond it is.
    pub const SERIAL_BITS: u32 = 22;

    /// When the id was made, by the clock of its node. One that was made in the same millisecond as
    /// many others, or after the clock went back, may have a later time.
    pub const fn made_at(self) -> Timestamp {
        Timestamp(Self::EPOCH_MS + (self.0 >> Self::SERIAL_BITS))
    }
}

/// The name of a session that other members see in `clients`, and on which a Socket.IO client
/// receives its errors.
pub type SocketId = Arc<str>;

/// An amount of coins. Never negative where it is a balance or a price; signed because a ledger
/// entry has a direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Coins(i64);

impl Coins {
    pub const ZERO: Coins = Coins(0);

    /// The largest balance, price and total there may be, 2^53 - 1: the last integer that a
    /// JavaScript number holds exactly. Clients read amounts as such numbers and would show a
    /// larger one wrong.
    pub const MAX: Coins = Coins((1 << 53) - 1);

    pub const fn new(raw: i64) -> Self {
        Self(raw)
    }

    pub const fn get(self) -> i64 {
        self.0
    }

    /// `None` beyond [`Coins::MAX`] in either direction: such an amount is refused, never wrapped
    /// or rounded.
    pub const fn checked_add(self, other: Coins) -> Option<Coins> {
        Self::in_range(self.0.checked_add(other.0))
    }

    /// `None` beyond [`Coins::MAX`] in either direction.
    pub const fn checked_mul(self, times: i64) -> Option<Coins> {
        Self::in_range(self.0.checked_mul(times))
    }

    const fn in_range(amount: Option<i64>) -> Option<Coins> {
        match amount {
            Some(amount) if amount >= -Self::MAX.0 && amount <= Self::MAX.0 => Some(Coins(amount)),
            _ => None,
        }
    }
}

impl fmt::Display for Coins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Milliseconds since the Unix epoch, as the caller's clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Timestamp(pub i64);

impl Timestamp {
    pub const fn plus_ms(self, ms: i64) -> Timestamp {
        Timestamp(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to here; 0 when the clock went backwards.
    pub const fn since(self, earlier: Timestamp) -> i64 {
        let ms = self.0.saturating_sub(earlier.0);
        if ms < 0 { 0 } else { ms }
    }
}

/// A client's name for one command, so that a retry is recognised: 1 to 64 of `[A-Za-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(Arc<str>);

impl RequestId {
    pub const CHARS_MAX: usize = 64;

    /// `None` unless the text is 1 to 64 of `[A-Za-z0-9_-]`.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = (1..=Self::CHARS_MAX).contains(&text.len());
        let plain = text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
        (fits && plain).then(|| Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the client named the answer it waits for: a Socket.IO ack number, or the `id` of a plain
/// JSON command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AckId {
    /// Nobody waits: success is silent, a refusal is pushed as an error event.
    None,
    Number(i64),
    Text(Arc<str>),
}

/// The receiver of an answer. `H` is the way to reach a session; the domain never looks inside.
#[derive(Debug, Clone)]
pub struct ReplyTo<H> {
    pub handle: H,
    pub ack: AckId,
}

/// One unbroken count of a room's events. A room that lost its count starts a new epoch.
pub type Epoch = Arc<str>;

/// Position of a recoverable event inside an [`Epoch`], from 1 without a gap. 0 means "before the
/// first".
pub type Offset = u64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_end_where_javascript_stops_counting() {
        let one = Coins::new(1);
        let below = Coins::new(Coins::MAX.get() - 1);
        assert_eq!(Coins::MAX.get(), 9_007_199_254_740_991);
        assert_eq!(
            (below.checked_add(one), Coins::MAX.checked_add(one)),
            (Some(Coins::MAX), None)
        );
        assert_eq!(
            (Coins::MAX.checked_mul(1), Coins::MAX.checked_mul(2)),
            (Some(Coins::MAX), None)
        );
        assert_eq!(Coins::new(i64::MAX).checked_mul(2), None);
        let lowest = Coins::new(-Coins::MAX.get());
        assert_eq!(
            (
                lowest.checked_add(Coins::ZERO),
                lowest.checked_add(Coins::new(-1))
            ),
            (Some(lowest), None)
        );
    }
}
