//! Deduplication in a room: commands it has answered, so that a repeated command has one effect.

use std::sync::Arc;

use super::{
    BoundedMap, Comment, CommentId, CommentText, GiftRecordId, Offset, RequestId, Timestamp, UserId,
};

/// The identity of a command: its sender and the `request_id` that the sender chose.
pub(super) type CommandKey = (UserId, RequestId);

/// A posted comment that its sender may post again.
#[derive(Debug)]
pub(super) struct PostedComment {
    pub comment_id: CommentId,
    pub text: CommentText,
    /// Set when the comment was sequenced.
    pub offset: Option<Offset>,
    /// Set for a comment of another node, which may have died before storing it: a retry is
    /// answered only after this node has stored it too.
    pub unstored: Option<Arc<Comment>>,
    at: Timestamp,
}

/// Posted comments by the command that posted them.
#[derive(Debug)]
pub(super) struct CommentDedupe {
    /// How long a comment is kept, in milliseconds.
    window_ms: i64,
    posted: BoundedMap<CommandKey, PostedComment>,
}

impl CommentDedupe {
    /// Keeps at most `entries_max` comments, each for `window_ms`; beyond, the oldest is dropped
    /// early.
    pub fn new(window_ms: i64, entries_max: usize) -> Self {
        Self {
            window_ms,
            posted: BoundedMap::new(entries_max),
        }
    }

    pub fn get(&self, key: &CommandKey) -> Option<&PostedComment> {
        self.posted.get(key)
    }

    pub fn record(
        &mut self,
        key: CommandKey,
        comment_id: CommentId,
        text: CommentText,
        at: Timestamp,
    ) {
        self.posted.insert(
            key,
            PostedComment {
                comment_id,
                text,
                offset: None,
                unstored: None,
                at,
            },
        );
    }

    /// Records a comment of another node, unless the key is known already.
    pub fn record_remote(&mut self, comment: &Arc<Comment>, offset: Offset) {
        let Some(request_id) = comment.request_id.clone() else {
            return;
        };
        let key = (comment.author.id, request_id);
        if self.posted.contains_key(&key) {
            return;
        }
        self.record(key.clone(), comment.id, comment.text.clone(), comment.at);
        if let Some(posted) = self.posted.get_mut(&key) {
            (posted.offset, posted.unstored) = (Some(offset), Some(comment.clone()));
        }
    }

    /// Sets the offset of a comment. Its key may have been dropped early and belong to a later
    /// comment.
    pub fn sequenced(&mut self, key: &CommandKey, comment_id: CommentId, offset: Option<Offset>) {
        if let Some(posted) = self
            .posted
            .get_mut(key)
            .filter(|posted| posted.comment_id == comment_id)
        {
            (posted.offset, posted.unstored) = (offset, None);
        }
    }

    /// Drops comments older than the window, except those that are pending: until a comment is
    /// answered, a retry must find it.
    pub fn forget_expired(&mut self, now: Timestamp, is_pending: impl Fn(CommentId) -> bool) {
        while let Some((_, posted)) = self.posted.oldest() {
            if now.since(posted.at) < self.window_ms || is_pending(posted.comment_id) {
                return;
            }
            self.posted.pop_oldest();
        }
    }

    /// Drops a key, unless it belongs to another comment by now.
    pub fn forget(&mut self, key: &CommandKey, comment_id: CommentId) {
        if self
            .posted
            .get(key)
            .is_some_and(|posted| posted.comment_id == comment_id)
        {
            self.posted.remove(key);
        }
    }
}

/// Most announced gifts whose offset is kept, for the answer to a retried gift.
const GIFTS_MAX: usize = 1_024;

/// Gifts that this room has announced, so that each is announced once. The ledger prevents that a
/// gift is committed twice.
#[derive(Debug)]
pub(super) struct GiftDedupe {
    offsets: BoundedMap<GiftRecordId, Offset>,
    /// The highest record id that was dropped.
    floor: Option<GiftRecordId>,
}

impl Default for GiftDedupe {
    fn default() -> Self {
        Self {
            offsets: BoundedMap::new(GIFTS_MAX),
            floor: None,
        }
    }
}

impl GiftDedupe {
    pub fn record(&mut self, record_id: GiftRecordId, offset: Offset) {
        if let Some((oldest, _)) = self.offsets.insert(record_id, offset) {
            self.floor = self.floor.max(Some(oldest));
        }
    }

    pub fn offset(&self, record_id: GiftRecordId) -> Option<Offset> {
        self.offsets.get(&record_id).copied()
    }

    /// Whether it was announced, or is old enough to have been.
    pub fn was_announced(&self, record_id: GiftRecordId) -> bool {
        self.offsets.contains_key(&record_id) || self.floor.is_some_and(|floor| record_id <= floor)
    }
}
