//! The changes that a batch makes in the books, decided without a database.
//!
//! Both databases read the rows of a batch ([`BatchKeys`] into [`BatchRows`]) under locks that last
//! until the commit, decide here, write after write, and then apply the sums in a few statements.
//! So a batch costs a handful of statements, its writes still take effect one after the other, and
//! both databases agree by construction. A write that is refused becomes an outcome here and never
//! an error that would fail the rest of the batch.
//!
//! Comments are inserted without looking up their ids first: they are nearly always new. The rows
//! that the insert skipped are read afterwards, and decide the outcome ([`Written`]).

mod holds;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use diesel::Queryable;

use super::{StoreError, Write, WriteOutcome};
use crate::domain::{
    Coins, Comment, CommentId, CommentWriteError, GiftOrder, GiftReceipt, GiftRecordId,
    GiftRefusal, HeldComment, LiveId, RequestId, Timestamp, UserId,
};

pub(super) use holds::{HoldKeys, HoldRows};

/// The keys of the rows that a batch depends on. Ordered, because locks are taken in this order.
#[derive(Default)]
pub(super) struct BatchKeys {
    /// Users whose balance may move: locked.
    pub givers: BTreeSet<i64>,
    /// Users that must not be deleted before the commit, because the row of a view refers to them.
    pub viewers: BTreeSet<i64>,
    /// Lives whose totals may move: locked, after the givers.
    pub locked_lives: BTreeSet<i64>,
    pub gifts: BTreeSet<i64>,
    /// Gifts are recognised by giver and request.
    pub requests: BTreeSet<(i64, RequestId)>,
    pub views: BTreeSet<(i64, i64)>,
    /// Authors of comments and the lives they comment in: they must exist now, and are never
    /// locked.
    pub authors: BTreeSet<i64>,
    pub commented_lives: BTreeSet<i64>,
    pub holds: HoldKeys,
}

impl BatchKeys {
    pub fn of(batch: &[Write]) -> Self {
        let mut keys = Self::default();
        for write in batch {
            match write {
                Write::Comment(comment) => {
                    keys.authors.insert(comment.author.id.get());
                    keys.commented_lives.insert(comment.live_id.get());
                }
                Write::Gift(order) => {
                    keys.givers.insert(order.giver.id.get());
                    keys.locked_lives.insert(order.live_id.get());
                    keys.gifts.insert(order.gift.id.get());
                    keys.requests
                        .insert((order.giver.id.get(), order.request_id.clone()));
                }
                // Under the giver's lock: a gift that is being committed elsewhere is found.
                Write::FindGift { order, .. } => {
                    keys.givers.insert(order.giver.id.get());
                    keys.requests
                        .insert((order.giver.id.get(), order.request_id.clone()));
                }
                Write::View { live_id, user_id } => {
                    keys.viewers.insert(user_id.get());
                    keys.locked_lives.insert(live_id.get());
                    keys.views.insert((live_id.get(), user_id.get()));
                }
                Write::Hold(held) => keys.add_hold(held),
                Write::TakeDown { .. } => {}
            }
        }
        keys.viewers.retain(|user| !keys.givers.contains(user));
        keys
    }
}

#[derive(Clone, Copy)]
pub(super) struct BatchUser {
    pub coin: i64,
    pub enabled: bool,
}

#[derive(Clone, Copy)]
pub(super) struct BatchLive {
    pub coin: i64,
    pub look_count: i64,
    /// On air or paused.
    pub open: bool,
}

/// A gift of the catalogue as it is now.
#[derive(Clone, Copy)]
pub(super) struct BatchGift {
    pub price: i64,
    pub on_sale: bool,
}

/// A gift committed before, by an earlier batch.
#[derive(Queryable, Clone, Copy)]
pub(super) struct EarlierGift {
    pub record_id: i64,
    pub live_id: i64,
    pub gift_id: i64,
    pub count: i64,
    pub total: i64,
    pub giver_coin: i64,
    pub live_coin: i64,
    pub at: i64,
}

/// The columns of a stored comment that decide whether another one is the same.
#[derive(Queryable)]
pub(super) struct StoredComment {
    pub live_id: i64,
    pub user_id: i64,
    pub content: String,
}

impl StoredComment {
    pub fn is(&self, comment: &Comment) -> bool {
        self.live_id == comment.live_id.get()
            && self.user_id == comment.author.id.get()
            && self.content == comment.text.as_str()
    }
}

/// The rows that [`BatchKeys`] name, as read; a row that is missing here does not exist.
#[derive(Default)]
pub(super) struct BatchRows {
    pub users: HashMap<i64, BatchUser>,
    pub lives: HashMap<i64, BatchLive>,
    pub gifts: HashMap<i64, BatchGift>,
    pub requests: HashMap<(i64, RequestId), EarlierGift>,
    pub views: HashSet<(i64, i64)>,
    pub authors: HashSet<i64>,
    pub commented_lives: HashSet<i64>,
    pub holds: HoldRows,
}

/// A gift to be written.
pub(super) struct NewGift {
    pub order: Arc<GiftOrder>,
    pub total: i64,
    pub giver_coin: i64,
    pub live_coin: i64,
}

/// The sums that a batch adds to one live's row.
#[derive(Default, Clone, Copy)]
pub(super) struct LiveGain {
    pub coin: i64,
    pub views: i64,
}

/// The sums that a batch takes from one user's row.
#[derive(Default, Clone, Copy)]
pub(super) struct UserSpend {
    pub coin: i64,
    /// The latest gift.
    pub at: i64,
}

/// The results of writing a plan.
#[derive(Default)]
pub(super) struct Written {
    /// Ids of the new gift records, in the order of [`Plan::gifts`].
    pub record_ids: Vec<i64>,
    /// Ids of planned comments that other comments in the table have already.
    pub taken_ids: HashSet<CommentId>,
}

enum PlannedOutcome {
    Ready(WriteOutcome),
    /// A comment of [`Plan::comments`], or the same comment again.
    Comment(CommentId),
    /// The gift at this index of [`Plan::gifts`], whose record has no id yet.
    Gift {
        place: usize,
        duplicate: bool,
    },
}

/// The rows to write for a batch, in this order, and the outcomes once they are written.
#[derive(Default)]
pub(super) struct Plan {
    pub comments: Vec<Arc<Comment>>,
    /// Comments to take down, after those of the same batch are inserted.
    pub removals: Vec<(CommentId, Timestamp)>,
    pub holds: Vec<Arc<HeldComment>>,
    pub views: Vec<(LiveId, UserId)>,
    pub gifts: Vec<NewGift>,
    /// In id order, as the locks were taken.
    pub spends: BTreeMap<i64, UserSpend>,
    pub gains: BTreeMap<i64, LiveGain>,
    outcomes: Vec<PlannedOutcome>,
    requests: HashMap<(i64, RequestId), usize>,
    comment_places: HashMap<CommentId, usize>,
}

impl Plan {
    pub fn decide(batch: &[Write], rows: &mut BatchRows) -> Self {
        let mut plan = Self::default();
        for write in batch {
            let answer = match write {
                Write::Comment(comment) => plan.comment(comment, rows),
                Write::Gift(order) => plan.gift(order, rows),
                Write::FindGift { order, otherwise } => plan
                    .earlier_gift(order, rows)
                    .unwrap_or_else(|| refused(GiftRefusal::Barred(*otherwise))),
                Write::View { live_id, user_id } => plan.view(*live_id, *user_id, rows),
                Write::Hold(held) => {
                    PlannedOutcome::Ready(WriteOutcome::Held(plan.take_hold(held, rows)))
                }
                Write::TakeDown { comment_id, at } => {
                    plan.removals.push((*comment_id, *at));
                    PlannedOutcome::Ready(WriteOutcome::TakenDown)
                }
            };
            plan.outcomes.push(answer);
        }
        plan
    }

    /// The outcomes of the batch, in its order, once the plan is written.
    pub fn outcomes(self, written: &Written) -> Result<Vec<WriteOutcome>, StoreError> {
        let gifts = self.gifts;
        self.outcomes
            .into_iter()
            .map(|answer| match answer {
                PlannedOutcome::Ready(outcome) => Ok(outcome),
                PlannedOutcome::Comment(id) => Ok(WriteOutcome::Comment(
                    match written.taken_ids.contains(&id) {
                        true => Err(ID_TAKEN),
                        false => Ok(()),
                    },
                )),
                PlannedOutcome::Gift { place, duplicate } => {
                    let gift = &gifts[place];
                    let record_id = written
                        .record_ids
                        .get(place)
                        .and_then(|id| GiftRecordId::new(*id))
                        .ok_or_else(|| StoreError::Fault("a gift record got no id".into()))?;
                    Ok(WriteOutcome::Gift(Ok(GiftReceipt {
                        record_id,
                        total: Coins::new(gift.total),
                        giver_coin: Coins::new(gift.giver_coin),
                        live_coin: Coins::new(gift.live_coin),
                        at: gift.order.at,
                        duplicate,
                    })))
                }
            })
            .collect()
    }

    fn comment(&mut self, comment: &Arc<Comment>, rows: &BatchRows) -> PlannedOutcome {
        let refused = |reason| PlannedOutcome::Ready(WriteOutcome::Comment(Err(reason)));
        let author_exists = rows.authors.contains(&comment.author.id.get());
        if !author_exists || !rows.commented_lives.contains(&comment.live_id.get()) {
            return refused(CommentWriteError::Refused);
        }
        if let Some(&place) = self.comment_places.get(&comment.id) {
            let earlier = &self.comments[place];
            let same = earlier.live_id == comment.live_id
                && earlier.author.id == comment.author.id
                && earlier.text == comment.text;
            return if same {
                PlannedOutcome::Comment(comment.id)
            } else {
                refused(ID_TAKEN)
            };
        }
        self.comment_places.insert(comment.id, self.comments.len());
        self.comments.push(comment.clone());
        PlannedOutcome::Comment(comment.id)
    }

    fn view(&mut self, live_id: LiveId, user_id: UserId, rows: &mut BatchRows) -> PlannedOutcome {
        PlannedOutcome::Ready(WriteOutcome::View(self.take_view(live_id, user_id, rows)))
    }

    fn take_view(&mut self, live_id: LiveId, user_id: UserId, rows: &mut BatchRows) -> Option<i64> {
        let live = rows.lives.get_mut(&live_id.get())?;
        if !rows.users.contains_key(&user_id.get())
            || !rows.views.insert((live_id.get(), user_id.get()))
        {
            return None;
        }
        live.look_count = live.look_count.saturating_add(1);
        self.views.push((live_id, user_id));
        self.gains.entry(live_id.get()).or_default().views += 1;
        Some(live.look_count)
    }

    fn gift(&mut self, order: &Arc<GiftOrder>, rows: &mut BatchRows) -> PlannedOutcome {
        if let Some(earlier) = self.earlier_gift(order, rows) {
            return earlier;
        }
        match self.take_gift(order, rows) {
            Ok(place) => {
                let key = (order.giver.id.get(), order.request_id.clone());
                self.requests.insert(key, place);
                PlannedOutcome::Gift {
                    place,
                    duplicate: false,
                }
            }
            Err(refusal) => refused(refusal),
        }
    }

    /// The outcome of a gift whose `request_id` names one of this batch or of an earlier one.
    fn earlier_gift(&self, order: &GiftOrder, rows: &BatchRows) -> Option<PlannedOutcome> {
        let key = (order.giver.id.get(), order.request_id.clone());
        if let Some(&place) = self.requests.get(&key) {
            let same = is_same_gift(order, &self.gifts[place].order);
            return Some(if same {
                PlannedOutcome::Gift {
                    place,
                    duplicate: true,
                }
            } else {
                refused(GiftRefusal::Conflict)
            });
        }
        let record = rows.requests.get(&key)?;
        let receipt = earlier_receipt(order, record);
        Some(PlannedOutcome::Ready(WriteOutcome::Gift(receipt)))
    }

    /// Moves the coins; returns the gift's place in [`Plan::gifts`]. The refusals are in the order
    /// in which the wire contract reports them.
    fn take_gift(
        &mut self,
        order: &Arc<GiftOrder>,
        rows: &mut BatchRows,
    ) -> Result<usize, GiftRefusal> {
        let giver = rows
            .users
            .get_mut(&order.giver.id.get())
            .filter(|giver| giver.enabled);
        let giver = giver.ok_or(GiftRefusal::UserDisabled)?;
        let live = rows
            .lives
            .get_mut(&order.live_id.get())
            .filter(|live| live.open);
        let live = live.ok_or(GiftRefusal::LiveEnded)?;
        let gift = rows.gifts.get(&order.gift.id.get());
        let gift = gift
            .filter(|_| order.gift.price > Coins::ZERO)
            .ok_or(GiftRefusal::GiftNotFound)?;
        if !gift.on_sale {
            return Err(GiftRefusal::GiftWithdrawn);
        }
        // The order has the price that its giver was shown. The books never charge another.
        if gift.price != order.gift.price.get() {
            return Err(GiftRefusal::PriceChanged);
        }
        // A price beyond all balances is as impossible to pay as one beyond this balance.
        let total = order
            .gift
            .price
            .checked_mul(order.count.get())
            .ok_or(GiftRefusal::CoinsInsufficient)?
            .get();
        if giver.coin < total {
            return Err(GiftRefusal::CoinsInsufficient);
        }
        let live_coin = Coins::new(live.coin)
            .checked_add(Coins::new(total))
            .ok_or(GiftRefusal::LiveCoinsFull)?
            .get();
        giver.coin -= total;
        live.coin = live_coin;

        let spend = self.spends.entry(order.giver.id.get()).or_default();
        spend.coin += total;
        spend.at = spend.at.max(order.at.0);
        let gain = self.gains.entry(order.live_id.get()).or_default();
        gain.coin += total;
        self.gifts.push(NewGift {
            order: order.clone(),
            total,
            giver_coin: giver.coin,
            live_coin,
        });
        Ok(self.gifts.len() - 1)
    }
}

/// Every planned change of a balance found its row as it was when the plan was made. Anything else
/// means that the locks do not hold what they promise: nothing of the batch is kept then.
pub(super) fn require_all(changed: usize, planned: usize) -> Result<(), StoreError> {
    if changed == planned {
        return Ok(());
    }
    Err(StoreError::Fault(format!(
        "a batch changed {changed} balances instead of {planned}"
    )))
}

/// Two nodes made the same id in the same millisecond: the sender tries again and gets a new one.
const ID_TAKEN: CommentWriteError = CommentWriteError::Busy;

fn refused(refusal: GiftRefusal) -> PlannedOutcome {
    PlannedOutcome::Ready(WriteOutcome::Gift(Err(refusal)))
}

/// The price is left out: a retry may come after the catalogue changed it.
fn is_same_gift(one: &GiftOrder, other: &GiftOrder) -> bool {
    one.live_id == other.live_id && one.gift.id == other.gift.id && one.count == other.count
}

fn earlier_receipt(order: &GiftOrder, record: &EarlierGift) -> Result<GiftReceipt, GiftRefusal> {
    let same = record.live_id == order.live_id.get()
        && record.gift_id == order.gift.id.get()
        && record.count == order.count.get();
    let record_id = GiftRecordId::new(record.record_id)
        .filter(|_| same)
        .ok_or(GiftRefusal::Conflict)?;
    Ok(GiftReceipt {
        record_id,
        total: Coins::new(record.total),
        giver_coin: Coins::new(record.giver_coin),
        live_coin: Coins::new(record.live_coin),
        at: Timestamp(record.at),
        duplicate: true,
    })
}
