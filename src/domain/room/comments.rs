//! What a room decides about comments, from the command to the answer.

use std::sync::Arc;

use super::{Caller, Room};
use crate::domain::retries::CommandKey;
use crate::domain::{
    Comment, CommentId, CommentText, Effect, Offset, Reject, Reply, ReplyTo, RequestId, RoomEvent, Timestamp,
};

/// The store did not take a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreFailed {
    /// Try again later.
    Busy,
    /// The row itself was refused (its author is gone, say): trying again is useless.
    Refused,
}

/// A comment that was accepted and whose sender waits for the commit.
#[derive(Debug)]
pub(super) struct PendingComment<H> {
    waiters: Vec<ReplyTo<H>>,
    offset: Option<Offset>,
    stored: bool,
    key: Option<CommandKey>,
}

/// How many retries of one pending comment are answered with it; a client has no use for more.
const WAITERS_MAX: usize = 8;
/// Rate limiters kept before those that are full again are thrown out.
const LIMITERS_BEFORE_SWEEP: usize = 1_024;

impl<H: Clone> Room<H> {
    /// Decides what a comment does. Storing precedes publishing because only storing can refuse,
    /// and after fan-out there is nobody left to say no to. The sender is answered when the comment
    /// has both its place ([`Room::ordered`]) and its commit ([`Room::comment_stored`]).
    pub fn post_comment(
        &mut self,
        caller: Caller<H>,
        text: CommentText,
        request_id: Option<RequestId>,
        id: CommentId,
        now: Timestamp,
    ) -> Result<Vec<Effect<H>>, Reject> {
        self.live.status.require_open()?;
        let author = self.author(&caller)?;
        let key = request_id.clone().map(|request_id| (author.id, request_id));
        self.remembered.forget_old(now, |id| self.pending_comments.contains_key(&id));
        if let Some(answer) = key.as_ref().and_then(|key| self.answer_retry(key, &text, &caller.to)) {
            return answer;
        }
        if author.id != self.live.owner {
            self.sweep_limiters(now);
            let limiter = self.limiters.entry(author.id).or_default();
            limiter
                .take(self.settings.comment_rate, now)
                .map_err(|retry_after_ms| Reject::RateLimited { retry_after_ms })?;
        }
        if let Some(key) = key.clone() {
            self.remembered.remember(key, id, text.clone(), now);
        }
        self.pending_comments.insert(id, PendingComment { waiters: vec![caller.to], offset: None, stored: false, key });
        let comment = Arc::new(Comment { id, live_id: self.live.id, author, text, request_id, at: now });
        Ok(vec![Effect::StoreComment(comment.clone()), Effect::Publish(RoomEvent::Comment(comment))])
    }

    /// The answer to a command seen before, or `None` if this one is new.
    fn answer_retry(
        &mut self,
        key: &CommandKey,
        text: &CommentText,
        to: &ReplyTo<H>,
    ) -> Option<Result<Vec<Effect<H>>, Reject>> {
        let known = self.remembered.get(key)?;
        if known.text != *text {
            return Some(Err(Reject::DuplicateConflict));
        }
        if let Some(pending) = self.pending_comments.get_mut(&known.comment_id) {
            if pending.waiters.len() == WAITERS_MAX {
                return Some(Err(Reject::BUSY));
            }
            pending.waiters.push(to.clone());
            return Some(Ok(Vec::new()));
        }
        let reply = Reply::Commented { comment_id: known.comment_id, offset: known.offset };
        Some(Ok(vec![Effect::Reply { to: to.clone(), result: Ok(reply) }]))
    }

    /// The store answered for a comment.
    pub fn comment_stored(&mut self, id: CommentId, result: Result<(), StoreFailed>) -> Vec<Effect<H>> {
        match result {
            Ok(()) => {
                if let Some(pending) = self.pending_comments.get_mut(&id) {
                    pending.stored = true;
                }
                self.answer_comment(id)
            }
            Err(failed) => {
                let Some(pending) = self.pending_comments.remove(&id) else { return Vec::new() };
                // A retry is a new comment: this one was not kept.
                if let Some(key) = pending.key {
                    self.remembered.forget(&key, id);
                }
                let reject = match failed {
                    StoreFailed::Busy => Reject::BUSY,
                    StoreFailed::Refused => Reject::CommentRefused,
                };
                pending.waiters.into_iter().map(|to| Effect::Reply { to, result: Err(reject) }).collect()
            }
        }
    }

    /// A comment got its place. Its answer follows the event.
    pub(super) fn comment_ordered(&mut self, id: CommentId, offset: Offset) -> Vec<Effect<H>> {
        if let Some(pending) = self.pending_comments.get_mut(&id) {
            pending.offset = Some(offset);
        }
        self.answer_comment(id)
    }

    fn answer_comment(&mut self, id: CommentId) -> Vec<Effect<H>> {
        let Some(pending) = self.pending_comments.get(&id) else { return Vec::new() };
        if !pending.stored || pending.offset.is_none() {
            return Vec::new();
        }
        let Some(pending) = self.pending_comments.remove(&id) else { return Vec::new() };
        if let Some(key) = &pending.key {
            self.remembered.placed(key, id, pending.offset);
        }
        let reply = Reply::Commented { comment_id: id, offset: pending.offset };
        pending.waiters.into_iter().map(|to| Effect::Reply { to, result: Ok(reply.clone()) }).collect()
    }

    fn sweep_limiters(&mut self, now: Timestamp) {
        if self.limiters.len() >= LIMITERS_BEFORE_SWEEP.max(2 * self.members.users_count()) {
            self.limiters.retain(|_, limiter| !limiter.is_full(now));
        }
    }
}
