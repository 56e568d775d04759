//! The rows that a write locks, and which writes of a batch are blocked when another transaction
//! has locked a row.
//!
//! In PostgreSQL another node locks a row for as long as a commit takes, an operator for as long as
//! a terminal stays open. Only the writes that need the row wait for it.

use std::collections::{HashMap, HashSet};

use super::{Write, WriteOutcome};
use crate::domain::{GiftId, LiveId, UserId};

/// A row and the purpose of its lock: a live whose total is locked still takes comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RowLock {
    /// A user whose balance may move.
    Balance(UserId),
    /// A live whose coins or views may move, or whose comments that wait are counted.
    Total(LiveId),
    /// A user that must not be deleted before the commit.
    User(UserId),
    /// An item of the catalogue that must not be deleted before the commit.
    Gift(GiftId),
}

/// Gifts of one giver, which take effect in the order in which they were submitted. Views have no
/// order, and comments never wait for a row, so nothing can overtake them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sequence(UserId);

/// The result of a write that does not wait for locked rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    Done(WriteOutcome),
    /// Not done: the write needs this row, which is locked, or follows a write of its sequence that
    /// does.
    Blocked(RowLock),
}

impl Write {
    /// The rows it locks.
    pub fn rows(&self) -> impl Iterator<Item = RowLock> {
        let rows = match self {
            // Its row refers to no other by a foreign key.
            Self::Comment(_) | Self::TakeDown { .. } => [None, None, None],
            Self::Hold(held) => [Some(RowLock::Total(held.comment.live_id)), None, None],
            Self::Gift(order) => [
                Some(RowLock::Balance(order.giver.id)),
                Some(RowLock::Total(order.live_id)),
                Some(RowLock::Gift(order.gift.id)),
            ],
            Self::FindGift { order, .. } => [Some(RowLock::Balance(order.giver.id)), None, None],
            Self::View { live_id, user_id } => [
                Some(RowLock::User(*user_id)),
                Some(RowLock::Total(*live_id)),
                None,
            ],
        };
        rows.into_iter().flatten()
    }

    /// Whether it is answered with what the books say about a gift.
    pub const fn is_gift(&self) -> bool {
        matches!(self, Self::Gift(_) | Self::FindGift { .. })
    }

    /// The sequence it belongs to.
    pub fn sequence(&self) -> Option<Sequence> {
        match self {
            Self::Gift(order) | Self::FindGift { order, .. } => Some(Sequence(order.giver.id)),
            Self::Comment(_) | Self::Hold(_) | Self::View { .. } | Self::TakeDown { .. } => None,
        }
    }
}

/// For each write of a batch the locked row that blocks it, if any: a row of its own, or the row
/// that blocks an earlier write of its sequence.
pub(super) fn blocking_rows(batch: &[Write], locked: &HashSet<RowLock>) -> Vec<Option<RowLock>> {
    let mut blocked_sequences: HashMap<Sequence, RowLock> = HashMap::new();
    let blocking_row = |write: &Write| {
        let sequence = write.sequence();
        let earlier = sequence.and_then(|sequence| blocked_sequences.get(&sequence).copied());
        let row = earlier.or_else(|| write.rows().find(|row| locked.contains(row)))?;
        blocked_sequences.extend(sequence.map(|sequence| (sequence, row)));
        Some(row)
    };
    batch.iter().map(blocking_row).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Coins, Gift, GiftCount, GiftOrder, Profile, RequestId, Timestamp};

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    fn live(id: i64) -> LiveId {
        LiveId::new(id).unwrap()
    }

    fn gift(giver: i64, into: i64) -> Write {
        let gift = Gift {
            id: GiftId::FIRST,
            name: "rose".into(),
            image: "/r".into(),
            price: Coins::new(1),
        };
        Write::Gift(Arc::new(GiftOrder {
            live_id: live(into),
            giver: Arc::new(Profile {
                id: user(giver),
                name: "name".into(),
                avatar: None,
            }),
            gift: Arc::new(gift),
            count: GiftCount::ONE,
            request_id: RequestId::parse("request").unwrap(),
            at: Timestamp(1),
        }))
    }

    #[test]
    fn only_writes_that_need_a_locked_row_are_blocked_and_later_gifts_of_their_giver() {
        let view = Write::View {
            live_id: live(1),
            user_id: user(1),
        };
        let batch = [
            gift(1, 2),
            gift(1, 1),
            gift(2, 2),
            gift(1, 2),
            view,
            gift(3, 3),
        ];
        let locked = HashSet::from([RowLock::Total(live(1)), RowLock::Balance(user(3))]);
        let (one, three) = (
            Some(RowLock::Total(live(1))),
            Some(RowLock::Balance(user(3))),
        );
        assert_eq!(
            blocking_rows(&batch, &locked),
            [None, one, None, one, one, three]
        );
        assert_eq!(blocking_rows(&batch, &HashSet::new()), [None; 6]);
    }
}
