//! Deduplication in a room: commands it has answered, so that a repeated command has one effect.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::{Comment, CommentId, CommentText, GiftRecordId, Offset, RequestId, Timestamp, UserId};

/// The identity of a command: its sender and the `request_id` that the sender chose.
pub(super) type CommandKey = (UserId, RequestId);

/// A posted comment that its sender may post again.
#[derive(Debug)]
pub(super) struct PostedComment {
    pub comment_id: CommentId,
    pub text: CommentText,
    /// Set when the comment was sequenced.
    pub offset: Option<Offset>,
    /// Set for a comment of another node, which may have died before storing it: a retry is answered only
    /// after this node has stored it too.
    pub unstored: Option<Arc<Comment>>,
    at: Timestamp,
}

/// Posted comments by the command that posted them.
#[derive(Debug)]
pub(super) struct CommentDedupe {
    /// How long a comment is kept, in milliseconds.
    window_ms: i64,
    /// Most comments kept; beyond, the oldest is dropped early.
    entries_max: usize,
    posted: HashMap<CommandKey, PostedComment>,
    /// The history of `posted`, oldest first. An entry is stale if its key belongs to a later comment.
    order: VecDeque<(CommentId, CommandKey)>,
}

impl CommentDedupe {
    pub fn new(window_ms: i64, entries_max: usize) -> Self {
        Self { window_ms, entries_max, posted: HashMap::new(), order: VecDeque::new() }
    }

    pub fn get(&self, key: &CommandKey) -> Option<&PostedComment> {
        self.posted.get(key)
    }

    pub fn record(&mut self, key: CommandKey, comment_id: CommentId, text: CommentText, at: Timestamp) {
        if self.order.len() >= self.entries_max {
            self.forget_oldest();
        }
        self.order.push_back((comment_id, key.clone()));
        self.posted.insert(key, PostedComment { comment_id, text, offset: None, unstored: None, at });
    }

    /// Records a comment of another node, unless the key is known already.
    pub fn record_remote(&mut self, comment: &Arc<Comment>, offset: Offset) {
        let Some(request_id) = comment.request_id.clone() else { return };
        let key = (comment.author.id, request_id);
        if self.posted.contains_key(&key) {
            return;
        }
        self.record(key.clone(), comment.id, comment.text.clone(), comment.at);
        if let Some(posted) = self.posted.get_mut(&key) {
            (posted.offset, posted.unstored) = (Some(offset), Some(comment.clone()));
        }
    }

    /// Sets the offset of a comment. Its key may have been dropped early and belong to a later comment.
    pub fn sequenced(&mut self, key: &CommandKey, comment_id: CommentId, offset: Option<Offset>) {
        if let Some(posted) = self.posted.get_mut(key).filter(|posted| posted.comment_id == comment_id) {
            (posted.offset, posted.unstored) = (offset, None);
        }
    }

    /// Drops comments older than the window, except those that are pending: until a comment is answered, a
    /// retry must find it.
    pub fn forget_expired(&mut self, now: Timestamp, is_pending: impl Fn(CommentId) -> bool) {
        while let Some((comment_id, key)) = self.order.front() {
            let posted = self.posted.get(key).filter(|posted| posted.comment_id == *comment_id);
            let fresh = posted.is_some_and(|posted| now.since(posted.at) < self.window_ms);
            if fresh || is_pending(*comment_id) {
                return;
            }
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((comment_id, key)) = self.order.pop_front() {
            self.forget(&key, comment_id);
        }
    }

    /// Drops a key, unless it belongs to another comment by now.
    pub fn forget(&mut self, key: &CommandKey, comment_id: CommentId) {
        if self.posted.get(key).is_some_and(|posted| posted.comment_id == comment_id) {
            self.posted.remove(key);
        }
    }
}

/// Most announced gifts whose offset is kept, for the answer to a retried gift.
const GIFTS_MAX: usize = 1_024;

/// Gifts that this room has announced, so that each is announced once. The ledger prevents that a gift is
/// committed twice.
#[derive(Debug, Default)]
pub(super) struct GiftDedupe {
    offsets: HashMap<GiftRecordId, Offset>,
    order: VecDeque<GiftRecordId>,
    /// The highest record id that was dropped.
    floor: Option<GiftRecordId>,
}

impl GiftDedupe {
    pub fn record(&mut self, record_id: GiftRecordId, offset: Offset) {
        if self.order.len() == GIFTS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.offsets.remove(&oldest);
            self.floor = self.floor.max(Some(oldest));
        }
        self.order.push_back(record_id);
        self.offsets.insert(record_id, offset);
    }

    pub fn offset(&self, record_id: GiftRecordId) -> Option<Offset> {
        self.offsets.get(&record_id).copied()
    }

    /// Whether it was announced, or is old enough to have been.
    pub fn was_announced(&self, record_id: GiftRecordId) -> bool {
        self.offsets.contains_key(&record_id) || self.floor.is_some_and(|floor| record_id <= floor)
    }
}
