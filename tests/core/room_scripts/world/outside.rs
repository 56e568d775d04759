//! What stands around the room: the store, the books, other nodes, and what the actor gives it to
//! decide with.

use std::sync::Arc;

use liveroom::domain::word_filter::{
    CompiledTerms, FilterVerdict, SITE_TERMS_MAX, WordFilter, import,
};
use liveroom::domain::{
    Coins, CommandEnv, Comment, CommentId, CommentWriteError, Gift, GiftId, GiftReceipt,
    GiftRecordId, GiftRefusal, History, NodeId, Offset, PeerChange, PeerUser, Position,
    PresenceChange, RequestId, RoomEvent, Sequenced, SocketId, Timestamp,
};

use super::{START, World};
use crate::room_scripts::words::{self, CATALOGUE, Words};

impl World {
    pub(super) fn store(&mut self, words: &mut Words) -> Result<(), String> {
        let result = match words.next("an answer")?.as_str() {
            "ok" => Ok(()),
            "busy" => Err(CommentWriteError::Busy),
            "refused" => Err(CommentWriteError::Refused),
            state @ ("full" | "free") => {
                self.store_full = state == "full";
                return Ok(());
            }
            "held" => return self.store_held(words),
            other => return Err(format!("the store never says {other}")),
        };
        let id = CommentId::new(words.label('c')?).ok_or("comments count from c1")?;
        self.step(|room, _| room.comment_stored(id, result));
        Ok(())
    }

    pub(super) fn books(&mut self, words: &mut Words) -> Result<(), String> {
        let answer = words.next("an answer")?;
        let ticket = words.label('t')? as u64;
        let result = match answer.as_str() {
            "ok" => Ok(self.settle_gift(ticket, words)?),
            "coins_insufficient" => Err(GiftRefusal::CoinsInsufficient),
            "live_coins_full" => Err(GiftRefusal::LiveCoinsFull),
            "conflict" => Err(GiftRefusal::Conflict),
            "user_disabled" => Err(GiftRefusal::UserDisabled),
            "live_ended" => Err(GiftRefusal::LiveEnded),
            "gift_not_found" => Err(GiftRefusal::GiftNotFound),
            "gift_withdrawn" => Err(GiftRefusal::GiftWithdrawn),
            "price_changed" => Err(GiftRefusal::PriceChanged),
            "busy" => Err(GiftRefusal::Busy),
            "nothing" => {
                let barred = self
                    .barred
                    .remove(&ticket)
                    .ok_or("nothing was looked for")?;
                Err(GiftRefusal::Barred(barred))
            }
            other => return Err(format!("the books never say {other}")),
        };
        self.step(|room, _| room.gift_settled(ticket, result));
        Ok(())
    }

    /// Defaults: the record is the ticket's number, the giver is left with 100 coins, the live's
    /// total grows by the gift (`total=`: at another price), and it was committed when it was ordered. With `duplicate` the
    /// record's first receipt is repeated, if there was one; `at=` counts seconds from the opening.
    fn settle_gift(&mut self, ticket: u64, words: &mut Words) -> Result<GiftReceipt, String> {
        let order = self.orders.get(&ticket).ok_or("no such ticket")?.clone();
        let record: i64 = words.number("record")?.unwrap_or(ticket as i64);
        let duplicate = words.flag("duplicate");
        let total = match words.number("total")? {
            Some(total) => Coins::new(total),
            None => order
                .gift
                .price
                .checked_mul(order.count.get())
                .ok_or("the gift is worth too much")?,
        };
        let mut receipt = match self.receipts.get(&record).filter(|_| duplicate) {
            Some(first) => *first,
            None => GiftReceipt {
                record_id: GiftRecordId::new(record).ok_or("records count from 1")?,
                total,
                giver_coin: Coins::new(100),
                live_coin: self
                    .books_total
                    .checked_add(total)
                    .ok_or("the live's total is too much")?,
                at: order.at,
                duplicate: false,
            },
        };
        receipt.duplicate = duplicate;
        receipt.giver_coin = words.number("coin")?.map_or(receipt.giver_coin, Coins::new);
        receipt.live_coin = words.number("live")?.map_or(receipt.live_coin, Coins::new);
        receipt.at = words
            .number("at")?
            .map_or(receipt.at, |s: i64| START.plus_ms(s * 1_000));
        self.books_total = self.books_total.max(receipt.live_coin);
        self.receipts.insert(record, receipt);
        Ok(receipt)
    }

    pub(super) fn post_elsewhere(&mut self, words: &mut Words) -> Result<(), String> {
        let text = words.next("a text")?;
        let author = words.key("by").unwrap_or_else(|| "someone".into());
        let request_id = words.request_id()?;
        let ago = words.key("ago").unwrap_or_else(|| "0s".into());
        let ago_ms = words::duration_ms(&ago)?;
        let comment = self.new_comment(&author, &text, request_id)?;
        let comment = Comment {
            at: comment.at.plus_ms(-ago_ms),
            ..comment
        };
        self.room();
        self.place(RoomEvent::Comment(Arc::new(comment)));
        Ok(())
    }

    /// What another node tells of its members: `node 2 shows bob clients=b1,b2`, `node 2 hides
    /// bob`, `node 2 all bob carol`.
    pub(super) fn hear_node(&mut self, words: &mut Words) -> Result<(), String> {
        let node = NodeId(words::number(&words.next("a number")?)?);
        let verb = words.next("what it tells")?;
        let sockets = words.key("clients").unwrap_or_default();
        let sockets: Vec<SocketId> = sockets
            .split(',')
            .filter(|id| !id.is_empty())
            .map(SocketId::from)
            .collect();
        let mut users = Vec::new();
        while let Some(user) = words.optional() {
            users.push(PeerUser {
                profile: self.profile(&user),
                sockets: sockets.clone(),
                arrived_at: self.now,
            });
        }
        let changes = match verb.as_str() {
            "shows" => users
                .into_iter()
                .map(|user| PeerChange::Present { node, user })
                .collect(),
            "hides" => users
                .into_iter()
                .map(|user| PeerChange::Absent {
                    node,
                    user: user.profile.id,
                })
                .collect(),
            "all" => vec![PeerChange::All { node, users }],
            other => return Err(format!("no node ever tells {other}")),
        };
        self.step(|room, now| room.apply_remote_presence(changes, now));
        Ok(())
    }

    /// What this node tells others of its members now.
    pub(super) fn tell_own(&mut self) {
        for change in self.room().take_local_changes() {
            let line = match change {
                PresenceChange::Online(user) => {
                    format!(
                        "nodes <- {} clients={}",
                        user.profile.name,
                        words::or_dash(&user.sockets)
                    )
                }
                PresenceChange::Offline(user) => {
                    format!("nodes <- {} is gone", self.users[user.get() as usize - 1])
                }
            };
            self.trace.push(line);
        }
    }
}

/// What the actor gives a room to decide with.
pub(super) struct Env<'a> {
    pub history: &'a History<Sequenced>,
    /// The number of the comment that is posted now.
    pub comments_count: i64,
    pub filter: &'a WordFilter,
}

/// Terms of the site: `observe`, `mask` and so on before each.
pub(super) fn terms(words: &mut Words) -> Result<WordFilter, String> {
    let mut lines = String::new();
    while let Ok(action) = words.next("an action") {
        let text = words.next("a term")?;
        lines += &format!("{text}\t{action}\n");
    }
    let list = import(lines.as_bytes(), SITE_TERMS_MAX).map_err(|faults| faults.to_string())?;
    let terms = CompiledTerms::compile(list, None);
    Ok(WordFilter::new(Some(Arc::new(terms)), None))
}

impl CommandEnv<String> for Env<'_> {
    fn recover_after(&mut self, since: &Position, _: &String, now: Timestamp) -> Option<Offset> {
        self.history.reaches(since, now).then_some(since.offset)
    }

    fn next_comment_id(&mut self, _: Timestamp) -> CommentId {
        CommentId::new(self.comments_count).expect("comments count from 1")
    }

    fn new_request_id(&mut self) -> RequestId {
        RequestId::parse("made-up").expect("plain")
    }

    fn check_text(&self, text: &str) -> FilterVerdict {
        self.filter.check(text)
    }

    fn gift(&self, id: GiftId) -> Option<Arc<Gift>> {
        let (name, price) = *CATALOGUE.get(usize::try_from(id.get()).ok()?.checked_sub(1)?)?;
        Some(Arc::new(Gift {
            id,
            name: name.into(),
            image: String::new(),
            price: Coins::new(price),
        }))
    }
}

pub(super) fn gift_id(name: &str) -> Option<GiftId> {
    let place = CATALOGUE.iter().position(|(gift, _)| *gift == name)?;
    GiftId::new(place as i64 + 1)
}
