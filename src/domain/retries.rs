//! What a room remembers of commands it has answered, so that a repeated one has one effect.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::{Comment, CommentId, CommentText, GiftRecordId, Offset, RequestId, Timestamp, UserId};

/// A command by the name its sender gave it.
pub(super) type CommandKey = (UserId, RequestId);

/// What became of a comment that its sender may post again.
#[derive(Debug)]
pub(super) struct KnownComment {
    pub comment_id: CommentId,
    pub text: CommentText,
    /// Filled in when the comment got its place.
    pub offset: Option<Offset>,
    /// Set when another node told it: that node may have died before it stored it, so a retry is
    /// answered only after it is stored from here too.
    pub unproven: Option<Arc<Comment>>,
    at: Timestamp,
}

/// Comments by the command that posted them.
#[derive(Debug)]
pub(super) struct CommentMemory {
    /// How long each is remembered.
    window_ms: i64,
    /// How many are remembered at most; beyond, the oldest is forgotten early.
    entries_max: usize,
    known: HashMap<CommandKey, KnownComment>,
    /// What went into `known`, oldest first. An entry whose key now belongs to a later comment means
    /// nothing.
    order: VecDeque<(CommentId, CommandKey)>,
}

impl CommentMemory {
    pub fn new(window_ms: i64, entries_max: usize) -> Self {
        Self { window_ms, entries_max, known: HashMap::new(), order: VecDeque::new() }
    }

    pub fn get(&self, key: &CommandKey) -> Option<&KnownComment> {
        self.known.get(key)
    }

    pub fn remember(&mut self, key: CommandKey, comment_id: CommentId, text: CommentText, at: Timestamp) {
        if self.order.len() >= self.entries_max {
            self.forget_oldest();
        }
        self.order.push_back((comment_id, key.clone()));
        self.known.insert(key, KnownComment { comment_id, text, offset: None, unproven: None, at });
    }

    /// Remembers a comment that another node told, unless the key is known already.
    pub fn hear(&mut self, comment: &Arc<Comment>, offset: Offset) {
        let Some(request_id) = comment.request_id.clone() else { return };
        let key = (comment.author.id, request_id);
        if self.known.contains_key(&key) {
            return;
        }
        self.remember(key.clone(), comment.id, comment.text.clone(), comment.at);
        if let Some(known) = self.known.get_mut(&key) {
            (known.offset, known.unproven) = (Some(offset), Some(comment.clone()));
        }
    }

    /// A comment got its place. Its key may have been forgotten early and belong to a later one by
    /// now.
    pub fn placed(&mut self, key: &CommandKey, comment_id: CommentId, offset: Option<Offset>) {
        if let Some(known) = self.known.get_mut(key).filter(|known| known.comment_id == comment_id) {
            (known.offset, known.unproven) = (offset, None);
        }
    }

    /// Forgets what is older than the window. A comment that `is_pending` is never too old: until it
    /// is answered, a retry must find it.
    pub fn forget_old(&mut self, now: Timestamp, is_pending: impl Fn(CommentId) -> bool) {
        while let Some((comment_id, key)) = self.order.front() {
            let known = self.known.get(key).filter(|known| known.comment_id == *comment_id);
            let fresh = known.is_some_and(|known| now.since(known.at) < self.window_ms);
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

    /// Forgets a key, unless it belongs to another comment by now.
    pub fn forget(&mut self, key: &CommandKey, comment_id: CommentId) {
        if self.known.get(key).is_some_and(|known| known.comment_id == comment_id) {
            self.known.remove(key);
        }
    }
}

/// Announced gifts whose place is remembered, so that a retried gift is answered with it.
const GIFTS_MAX: usize = 1_024;

/// Gifts this room has announced. Whether a gift was given twice is the books' affair; this is only
/// about telling it once.
#[derive(Debug, Default)]
pub(super) struct GiftMemory {
    offsets: HashMap<GiftRecordId, Offset>,
    order: VecDeque<GiftRecordId>,
    /// The highest record id that was forgotten.
    floor: Option<GiftRecordId>,
}

impl GiftMemory {
    pub fn note(&mut self, record_id: GiftRecordId, offset: Offset) {
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
    pub fn knows(&self, record_id: GiftRecordId) -> bool {
        self.offsets.contains_key(&record_id) || self.floor.is_some_and(|floor| record_id <= floor)
    }
}
