//! Comments to be held, as a batch decides about them.
//!
//! The rows of their lives are locked, as for gifts, so that two nodes never count the comments
//! that wait in a room at the same time.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use super::{BatchKeys, BatchRows, Plan, StoredComment};
use crate::domain::{
    CommentId, DELAYED_MAX, HELD_REQUEST_MS, HeldComment, HoldRefusal, REVIEWS_MAX,
    REVIEWS_OF_USER_MAX, RequestId, Timestamp,
};

/// The keys of the rows that the holds of a batch depend on.
#[derive(Default)]
pub struct HoldKeys {
    pub lives: BTreeSet<i64>,
    pub ids: BTreeSet<i64>,
    /// Live, user and request, and since when a comment counts that was held under it.
    pub requests: Vec<(HeldRequestKey, Timestamp)>,
}

/// A live, a user and its name for the comment.
pub type HeldRequestKey = (i64, i64, RequestId);

/// The rows that [`HoldKeys`] name, as read under the locks of their lives.
#[derive(Default)]
pub struct HoldRows {
    waiting: HashMap<i64, Waiting>,
    pub by_id: HashMap<i64, StoredComment>,
    /// The id of the comment and its text.
    pub by_request: HashMap<HeldRequestKey, (i64, String)>,
}

/// How many comments wait in a live.
#[derive(Default)]
struct Waiting {
    reviews_of_user: HashMap<i64, usize>,
    reviews: usize,
    delayed: usize,
}

impl HoldRows {
    /// So many comments of a user wait in a live.
    pub fn count_waiting(&mut self, live_id: i64, user_id: i64, is_delayed: bool, count: usize) {
        let waiting = self.waiting.entry(live_id).or_default();
        if is_delayed {
            waiting.delayed += count;
        } else {
            waiting.reviews += count;
            *waiting.reviews_of_user.entry(user_id).or_default() += count;
        }
    }

    /// Whether one more may wait.
    fn has_room(&self, held: &HeldComment) -> bool {
        let comment = &held.comment;
        let Some(waiting) = self.waiting.get(&comment.live_id.get()) else {
            return true;
        };
        if !held.rule.is_for_review() {
            return waiting.delayed < DELAYED_MAX;
        }
        let of_user = waiting.reviews_of_user.get(&comment.author.id.get());
        waiting.reviews < REVIEWS_MAX && of_user.is_none_or(|count| *count < REVIEWS_OF_USER_MAX)
    }
}

impl BatchKeys {
    pub(super) fn add_hold(&mut self, held: &HeldComment) {
        let comment = &held.comment;
        let (live_id, user_id) = (comment.live_id.get(), comment.author.id.get());
        self.authors.insert(user_id);
        self.locked_lives.insert(live_id);
        self.holds.lives.insert(live_id);
        self.holds.ids.insert(comment.id.get());
        if let Some(request_id) = &comment.request_id {
            let key = (live_id, user_id, request_id.clone());
            let since = comment.at.plus_ms(-HELD_REQUEST_MS);
            self.holds.requests.push((key, since));
        }
    }
}

impl Plan {
    /// Holds a comment, once. Returns the id under which it is held: another one if its request was
    /// held before, as by another node.
    pub(super) fn take_hold(
        &mut self,
        held: &Arc<HeldComment>,
        rows: &mut BatchRows,
    ) -> Result<CommentId, HoldRefusal> {
        let comment = &held.comment;
        let (live_id, user_id) = (comment.live_id.get(), comment.author.id.get());
        let live = rows.lives.get(&live_id).ok_or(HoldRefusal::Refused)?;
        if !rows.authors.contains(&user_id) {
            return Err(HoldRefusal::Refused);
        }
        if !live.open {
            return Err(HoldRefusal::LiveEnded);
        }
        if let Some(stored) = rows.holds.by_id.get(&comment.id.get()) {
            // Two nodes made the same id in the same millisecond, or it is committed already.
            let is_same = stored.is(comment);
            return is_same.then_some(comment.id).ok_or(HoldRefusal::Busy);
        }
        let request = comment.request_id.clone();
        let request = request.map(|request_id| (live_id, user_id, request_id));
        if let Some((id, text)) = request
            .as_ref()
            .and_then(|request| rows.holds.by_request.get(request))
        {
            let is_same = text == comment.text.as_str();
            let id = CommentId::new(*id).filter(|_| is_same);
            return id.ok_or(HoldRefusal::Conflict);
        }
        if !rows.holds.has_room(held) {
            return Err(HoldRefusal::Busy);
        }
        let is_delayed = !held.rule.is_for_review();
        rows.holds.count_waiting(live_id, user_id, is_delayed, 1);
        let text = comment.text.as_str().to_owned();
        let stored = StoredComment {
            live_id,
            user_id,
            content: text.clone(),
        };
        rows.holds.by_id.insert(comment.id.get(), stored);
        if let Some(request) = request {
            rows.holds
                .by_request
                .insert(request, (comment.id.get(), text));
        }
        self.holds.push(held.clone());
        Ok(comment.id)
    }
}
