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
        let (giver, admitted) = self.admit_gift(&caller, now)?;
        self.gifts_rate.count(now);
        let AskedGift {
            gift_id,
            count,
            shown_price,
            request_id,
        } = asked;
        let request_id = request_id.and_then(|request_id| match (request_id, admitted) {
            (Some(request_id), _) => Ok(request_id),
            (None, Ok(())) => Ok(env.new_request_id()),
            // Nothing was committed under a name that is made now.
            (None, Err(barred)) => Err(barred),
        });
        let gift = gift_id.and_then(|id| env.gift(id));
        let gift = gift.ok_or(match self.live.status {
            LiveStatus::Ended => Reject::LiveEnded,
            LiveStatus::Scheduled | LiveStatus::OnAir | LiveStatus::Paused => Reject::GiftNotFound,
        });
        // Whoever may not give is answered that, before the faults of the fields.
        let fault = |fault| admitted.err().unwrap_or(fault);
        let (count, shown_price) = (count.map_err(fault)?, shown_price.map_err(fault)?);
        let (request_id, gift) = (request_id.map_err(fault)?, gift.map_err(fault)?);
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
        if self.committing.len() >= self.settings.gifts_in_flight_max {
            return Err(Reject::BUSY);
        }
        self.next_ticket += 1;
        let ticket = self.next_ticket;
        self.committing.insert(ticket, (order.clone(), caller.to));
        Ok(vec![match admitted {
            Ok(()) => Effect::CommitGift { ticket, order },
            Err(otherwise) => Effect::FindGift {
                ticket,
                order,
                otherwise,
            },
        }])
    }

    /// The giver, and whether it may give here now. If not, its gift may still be the retry of one
    /// that was committed before, and whoever paid must be able to learn that: only the books know.
    /// So does an ended live let gifts pass: the books refuse a new one.
    ///
    /// A user who is banned was removed from the room, and needs no membership for that answer.
    fn admit_gift(
        &self,
        caller: &Caller<H>,
        now: Timestamp,
    ) -> Result<(Arc<Profile>, Result<(), Reject>), Reject> {
        match self.live.status {
            LiveStatus::Scheduled => Err(Reject::LiveNotStarted),
            LiveStatus::OnAir | LiveStatus::Paused => {
                let user = caller.profile.id;
                if let Err(barred) = self.admit_giver(user, &caller.site_sanctions, now) {
                    let giver = self.author(caller);
                    return Ok((
                        giver.unwrap_or_else(|_| caller.profile.clone()),
                        Err(barred),
                    ));
                }
                Ok((self.author(caller)?, self.admit_gift_by_modes(user)))
            }
            LiveStatus::Ended => {
                let giver = self.author(caller).map_err(|_| Reject::LiveEnded)?;
                Ok((giver, Ok(())))
            }
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
            self.counts.gifts += 1;
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
            GiftRefusal::Barred(reject) => reject,
        }
    }
}
