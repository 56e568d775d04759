//! Comments that are held, as the store has them.

use std::sync::Arc;

use liveroom::domain::{Comment, CommentId, Denial, HeldComment, HeldDecision, HoldRefusal};

use super::super::words::Words;
use super::World;

impl World {
    /// The room asks the store to hold a comment.
    pub(super) fn hold(&mut self, held: Arc<HeldComment>) {
        let (id, rule) = (held.comment.id, held.rule.name());
        let full = if self.store_full { " (full)" } else { "" };
        self.trace
            .push(format!("store <- holds c{id} {rule}{full}"));
        if self.store_full {
            self.step(|room, _| room.comment_held(id, Err(HoldRefusal::Busy)));
        } else {
            self.held.insert(id, held);
        }
    }

    /// `held c1` is stored, `held c1 as=7` because another node holds c7 under the same request,
    /// or `held c1 busy` and so on is not.
    pub(super) fn store_held(&mut self, words: &mut Words) -> Result<(), String> {
        let id = CommentId::new(words.label('c')?).ok_or("comments count from c1")?;
        let result = match words.optional().as_deref() {
            None => {
                let kept = words.number("as")?.unwrap_or(id.get());
                Ok(CommentId::new(kept).ok_or("comments count from c1")?)
            }
            Some("busy") => Err(HoldRefusal::Busy),
            Some("refused") => Err(HoldRefusal::Refused),
            Some("live_ended") => Err(HoldRefusal::LiveEnded),
            Some("conflict") => Err(HoldRefusal::Conflict),
            Some(other) => return Err(format!("the store never says {other}")),
        };
        if result != Ok(id) {
            self.held.remove(&id);
        }
        self.step(|room, _| room.comment_held(id, result));
        Ok(())
    }

    /// `approve c1`, `deny c1 "why"` or `expire c1`: decided in the store, and on its way to the
    /// room.
    pub(super) fn review(&mut self, verb: &str, words: &mut Words) -> Result<(), String> {
        let id = CommentId::new(words.label('c')?).ok_or("comments count from c1")?;
        let held = self.held.remove(&id).ok_or("no such comment waits")?;
        let decision = if verb == "approve" {
            HeldDecision::Shown(Arc::new(Comment {
                at: self.now,
                ..(*held.comment).clone()
            }))
        } else {
            HeldDecision::Denied(Denial {
                comment_id: id,
                author: held.comment.author.id,
                reason: words.optional().map(Into::into),
                is_expired: verb == "expire",
            })
        };
        self.act((&decision).into());
        Ok(())
    }
}
