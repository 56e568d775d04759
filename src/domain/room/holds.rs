//! The decisions of a room about comments that are held.

use std::sync::Arc;

use super::Room;
use super::comments::command_key;
use crate::domain::{CommentId, Denial, Effect, HeldComment, HoldRefusal, News, Reply, Timestamp};

impl<H: Clone> Room<H> {
    /// Takes in the comments that were held before the room opened on this node and carry a
    /// `request_id`, oldest first: a retry of one is recognised.
    pub fn open_held(&mut self, recent: &[HeldComment]) {
        for held in recent {
            self.held_requests.record(held, held.comment.text.clone());
        }
    }

    /// Holds a comment that was accepted. Its sender is answered when it is stored
    /// ([`Room::comment_held`]).
    pub(super) fn hold(&mut self, held: HeldComment) -> Effect<H> {
        let comment = &held.comment;
        self.counts.comments_held += 1;
        self.held_requests.record(&held, self.sent_text(comment));
        if let Some(key) = command_key(comment) {
            self.sampled_comments.forget(&key, comment.id);
        }
        let held = Arc::new(held);
        if let Some(pending) = self.pending_comments.get_mut(&held.comment.id) {
            pending.held = Some(held.clone());
        }
        Effect::HoldComment(held)
    }

    /// The store answered for a comment that is to be held; with the id of another comment if it
    /// has the command's already, from another node.
    pub fn comment_held(
        &mut self,
        id: CommentId,
        result: Result<CommentId, HoldRefusal>,
    ) -> Vec<Effect<H>> {
        let kept_id = match result {
            Ok(kept_id) => kept_id,
            Err(refusal) => return self.refuse_pending(id, refusal.into()),
        };
        let Some(pending) = self.pending_comments.remove(&id) else {
            return Vec::new();
        };
        if let Some(key) = &pending.key {
            self.held_requests.correct(key, kept_id);
        }
        let reply = Reply::Held {
            comment_id: kept_id,
            delay_ms: pending.held.as_ref().and_then(|held| held.delay_ms()),
        };
        let report = pending.held.filter(|_| kept_id == id);
        let answers = pending.waiters.into_iter().map(|to| Effect::Reply {
            to,
            result: Ok(reply.clone()),
        });
        answers.chain(report.map(Effect::ReportHeld)).collect()
    }

    /// A comment is held, on whatever node: moderators are notified. Nobody else is. Its author has
    /// commented, for slow mode.
    pub(super) fn notify_held(
        &mut self,
        held: &Arc<HeldComment>,
        now: Timestamp,
    ) -> Vec<Effect<H>> {
        self.note_comment(&held.comment, now);
        self.held_requests.record(held, held.comment.text.clone());
        let news = News::Held(held.clone());
        self.notify(self.moderating_users(), &news).collect()
    }

    /// A held comment will not be shown: its author is notified, and moderators, who need not look
    /// at it any more.
    pub(super) fn notify_denied(&mut self, denial: &Denial) -> Vec<Effect<H>> {
        let concerned = self.moderating_users().chain([denial.author]);
        let news = News::CommentDenied(denial.clone());
        self.notify(concerned, &news).collect()
    }
}
