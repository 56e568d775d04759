//! Rows that somebody else holds, and which writes have to wait for them.
//!
//! In PostgreSQL a row may be locked by another node for as long as a commit takes, or by an operator
//! for as long as a terminal stays open. Only what needs that row waits for it.

use std::collections::{HashMap, HashSet};

use super::{Write, WriteOutcome};
use crate::domain::{GiftId, LiveId, UserId};

/// A row and what is wanted of it: a live whose total cannot be changed now still takes comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Row {
    /// A user whose balance may move.
    Balance(UserId),
    /// A live whose coins or views may move.
    Total(LiveId),
    /// A user that must stay there.
    User(UserId),
    /// An item of the catalogue that must stay there.
    Gift(GiftId),
}

/// Gifts of one giver, which take effect in the order in which they were submitted. Views have no order, and
/// comments never wait for a row, so nothing can overtake them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sequence(UserId);

/// What became of a write that does not wait for rows that others hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Attempt {
    Done(WriteOutcome),
    /// Nothing: it needs this row, or follows a write that does.
    Held(Row),
}

impl Write {
    /// The rows it needs.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        let rows = match self {
            // Its row refers to no other by a foreign key.
            Self::Comment(_) => [None, None, None],
            Self::Gift(order) => {
                [Some(Row::Balance(order.giver.id)), Some(Row::Total(order.live_id)), Some(Row::Gift(order.gift.id))]
            }
            Self::View { live_id, user_id } => [Some(Row::User(*user_id)), Some(Row::Total(*live_id)), None],
        };
        rows.into_iter().flatten()
    }

    /// The sequence it belongs to.
    pub fn sequence(&self) -> Option<Sequence> {
        match self {
            Self::Gift(order) => Some(Sequence(order.giver.id)),
            Self::Comment(_) | Self::View { .. } => None,
        }
    }
}

/// For each write of a batch the row it has to wait for, if any is held: a row of its own, or that of
/// an earlier write of its sequence.
pub(super) fn waits(batch: &[Write], held: &HashSet<Row>) -> Vec<Option<Row>> {
    let mut behind: HashMap<Sequence, Row> = HashMap::new();
    let wait = |write: &Write| {
        let sequence = write.sequence();
        let earlier = sequence.and_then(|sequence| behind.get(&sequence).copied());
        let row = earlier.or_else(|| write.rows().find(|row| held.contains(row)))?;
        behind.extend(sequence.map(|sequence| (sequence, row)));
        Some(row)
    };
    batch.iter().map(wait).collect()
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
        let gift = Gift { id: GiftId::FIRST, name: "rose".into(), image: "/r".into(), price: Coins::new(1) };
        Write::Gift(Arc::new(GiftOrder {
            live_id: live(into),
            giver: Arc::new(Profile { id: user(giver), name: "name".into(), avatar: None }),
            gift: Arc::new(gift),
            count: GiftCount::ONE,
            request_id: RequestId::parse("request").unwrap(),
            at: Timestamp(1),
        }))
    }

    #[test]
    fn only_what_needs_a_held_row_waits_and_what_its_giver_gives_after_it() {
        let view = Write::View { live_id: live(1), user_id: user(1) };
        let batch = [gift(1, 2), gift(1, 1), gift(2, 2), gift(1, 2), view, gift(3, 3)];
        let held = HashSet::from([Row::Total(live(1)), Row::Balance(user(3))]);
        let (one, three) = (Some(Row::Total(live(1))), Some(Row::Balance(user(3))));
        assert_eq!(waits(&batch, &held), [None, one, None, one, one, three]);
        assert_eq!(waits(&batch, &HashSet::new()), [None; 6]);
    }
}
