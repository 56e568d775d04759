//! What stands around the room: the books, and what the actor gives it to decide with.

use std::collections::HashMap;
use std::sync::Arc;

use liveroom::domain::{
    Coins, CommandEnv, CommentId, Gift, GiftId, GiftOrder, GiftReceipt, GiftRecordId, GiftRefusal,
    History, Offset, Position, RequestId, Sequenced, Timestamp, UserId,
};

use super::OPENING;

/// The books, as the store keeps them: one record for each giver and request id.
#[derive(Default)]
pub struct Books {
    pub records: HashMap<(UserId, RequestId), (GiftReceipt, GiftId)>,
    pub given: Coins,
}

impl Books {
    pub fn commit(&mut self, order: &GiftOrder) -> Result<GiftReceipt, GiftRefusal> {
        let key = (order.giver.id, order.request_id.clone());
        if let Some((receipt, gift)) = self.records.get(&key) {
            let receipt = GiftReceipt {
                duplicate: true,
                ..*receipt
            };
            return if *gift == order.gift.id {
                Ok(receipt)
            } else {
                Err(GiftRefusal::Conflict)
            };
        }
        self.given = self
            .given
            .checked_add(order.gift.price)
            .expect("small numbers");
        let receipt = GiftReceipt {
            record_id: GiftRecordId::new(self.records.len() as i64 + 1).expect("positive"),
            total: order.gift.price,
            giver_coin: Coins::new(50),
            live_coin: OPENING.checked_add(self.given).expect("small numbers"),
            at: order.at,
            duplicate: false,
        };
        self.records.insert(key, (receipt, order.gift.id));
        Ok(receipt)
    }
}

/// What the actor gives a room to decide with.
pub struct Env<'a> {
    pub history: &'a History<Sequenced>,
    /// The number of the comment that is posted now.
    pub comments_count: i64,
}

impl CommandEnv<u64> for Env<'_> {
    fn recover_after(&mut self, since: &Position, _: &u64, now: Timestamp) -> Option<Offset> {
        self.history.reaches(since, now).then_some(since.offset)
    }

    fn next_comment_id(&mut self, _: Timestamp) -> CommentId {
        CommentId::new(self.comments_count).expect("positive")
    }

    fn new_request_id(&mut self) -> RequestId {
        panic!("each gift has a name of its client")
    }

    /// The third gift is not in the catalogue.
    fn gift(&self, id: GiftId) -> Option<Arc<Gift>> {
        let price = Coins::new(6 + id.get());
        (id.get() < 3).then(|| {
            Arc::new(Gift {
                id,
                name: "rose".into(),
                image: String::new(),
                price,
            })
        })
    }
}
