//! The decisions of a room about gifts, from the command to the answer.

use std::sync::Arc;

use super::Room;
use crate::domain::{
    Caller, Coins, CommandEnv, Effect, GiftCount, GiftId, GiftOrder, GiftReceipt, GiftRecordId,
    GiftRefusal, LedgerEntry, LiveStatus, Offset, Profile, Reject, Reply, RequestId, RoomEvent,
    Timestamp,
};

/// For how long the order of events certainly knows that a gift was announced, in milliseconds.
const GIFTS_KNOWN_MS: i64 = 600_000;

/// The fields of a gift command.
pub(super) struct AskedGift {
    pub gift_id: Option<GiftId>,
    pub count: Result<GiftCount, Reject>,
    pub shown_price: Result<Option<Coins>, Reject>,
    pub request_id: Result<Option<RequestId>, Reject>,
}

impl<H: Clone> Room<H> {
    /// Decides whether a gift may go to the books. It is delivered to nobody before it comes back
    /// from there ([`Room::gift_settled`]).
    pub(super) fn send_gift(
        &mut self,
        caller: Caller<H>,
        asked: AskedGift,
        env: &mut impl CommandEnv<H>,
        now: Timestamp,
    ) -> Result<Vec<Effect<H>>, Reject> {
        let giver = self.admit_gift(&caller, now)?;
        self.gifts_rate.count(now);
        let (count, shown_price) = (asked.count?, asked.shown_price?);
        let request_id = asked.request_id?.unwrap_or_else(|| env.new_request_id());
        let gift = asked
            .gift_id
            .and_then(|id| env.gift(id))
            .ok_or(match self.live.status {
                LiveStatus::Ended => Reject::LiveEnded,
                LiveStatus::Scheduled | LiveStatus::OnAir | LiveStatus::Paused => {
                    Reject::GiftNotFound
                }
            })?;
        if self.committing.len() >= self.settings.gifts_in_flight_max {
            return Err(Reject::BUSY);
        }
        // Only the books know the price now, and whether this is the retry of a gift that was given
        // before a change.
        let gift = match shown_price {
            Some(price) => gift.at_price(price),
            None => gift,
        };
        let order = Arc::new(GiftOrder {
            live_id: self.live.id,
            giver,
            gift,
            count,
            request_id,
            at: now,
        });
        self.next_ticket += 1;
        self.committing
            .insert(self.next_ticket, (order.clone(), caller.to));
        Ok(vec![Effect::CommitGift {
            ticket: self.next_ticket,
            order,
        }])
    }

    /// The giver, if `caller` may give here now. An ended live lets gifts pass: one of them may be
    /// the retry of a gift that was committed before the end, and only the books know. They refuse
    /// a new one.
    fn admit_gift(&self, caller: &Caller<H>, now: Timestamp) -> Result<Arc<Profile>, Reject> {
        match self.live.status {
            LiveStatus::Scheduled => Err(Reject::LiveNotStarted),
            LiveStatus::OnAir | LiveStatus::Paused => {
                self.admit_giver(caller.profile.id, &caller.site_sanctions, now)?;
                let giver = self.author(caller)?;
                self.admit_gift_by_modes(giver.id)?;
                Ok(giver)
            }
            LiveStatus::Ended => self.author(caller).map_err(|_| Reject::LiveEnded),
        }
    }

    /// The books answered for a gift.
    ///
    /// A duplicate is announced only if this room should have done so and did not: when a commit's
    /// answer was lost and the order was committed again under the same `request_id`.
    pub fn gift_settled(
        &mut self,
        ticket: u64,
        result: Result<GiftReceipt, GiftRefusal>,
    ) -> Vec<Effect<H>> {
        let Some((order, to)) = self.committing.remove(&ticket) else {
            return Vec::new();
        };
        let receipt = match result {
            Ok(receipt) => receipt,
            Err(refusal) => {
                return vec![Effect::Reply {
                    to,
                    result: Err(refusal.into()),
                }];
            }
        };
        if let Some((_, waiters)) = self.announcing.get_mut(&receipt.record_id) {
            waiters.push(to);
            return Vec::new();
        }
        // A receipt with the time of this order is of this order, however the clock moved since the
        // room opened.
        let before_us = receipt.at < self.opened_at && receipt.at != order.at;
        // A node that died may have committed it without publishing it.
        let is_recent = order.at.since(receipt.at) < GIFTS_KNOWN_MS;
        let may_be_unannounced = self.settings.order_knows_gifts && is_recent;
        let announced_before = self.announced_gifts.was_announced(receipt.record_id)
            || (before_us && !may_be_unannounced);
        if receipt.duplicate && announced_before {
            let offset = self.announced_gifts.offset(receipt.record_id);
            let reply = Reply::Gifted {
                record_id: receipt.record_id,
                offset,
                coin: receipt.giver_coin,
            };
            return vec![Effect::Reply {
                to,
                result: Ok(reply),
            }];
        }
        // A gift from before the room opened is part of the state it opened with.
        if !before_us {
            let (giver, amount) = (order.giver.id, receipt.total);
            self.ledger.post(
                LedgerEntry {
                    record_id: receipt.record_id,
                    giver,
                    amount,
                    at: receipt.at,
                },
                receipt.live_coin,
            );
        }
        self.live.coin = self.ledger.total();
        let order = order.at_total(receipt.total);
        self.announcing
            .insert(receipt.record_id, (receipt.giver_coin, vec![to]));
        vec![Effect::Publish(RoomEvent::Gift { order, receipt })]
    }

    /// A gift that this room wanted to announce has been announced, here or by another node.
    pub fn gift_announced(
        &mut self,
        record_id: GiftRecordId,
        offset: Option<Offset>,
    ) -> Vec<Effect<H>> {
        let Some((coin, waiters)) = self.announcing.remove(&record_id) else {
            return Vec::new();
        };
        let reply = Reply::Gifted {
            record_id,
            offset,
            coin,
        };
        waiters
            .into_iter()
            .map(|to| Effect::Reply {
                to,
                result: Ok(reply.clone()),
            })
            .collect()
    }
}

impl From<GiftRefusal> for Reject {
    fn from(refusal: GiftRefusal) -> Self {
        match refusal {
            GiftRefusal::CoinsInsufficient => Reject::CoinsInsufficient,
            GiftRefusal::LiveCoinsFull => Reject::LiveCoinsFull,
            GiftRefusal::Conflict => Reject::DuplicateConflict,
            GiftRefusal::UserDisabled => Reject::UserDisabled,
            GiftRefusal::LiveEnded => Reject::LiveEnded,
            GiftRefusal::GiftNotFound => Reject::GiftNotFound,
            GiftRefusal::GiftWithdrawn => Reject::GiftWithdrawn,
            GiftRefusal::PriceChanged => Reject::GiftPriceChanged,
            GiftRefusal::Busy => Reject::BUSY,
        }
    }
}
