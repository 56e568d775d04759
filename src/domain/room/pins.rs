//! What is pinned in a room.

use std::sync::Arc;

use super::Room;
use crate::domain::{Comment, CommentId, Effect, Pin};

impl<H: Clone> Room<H> {
    /// Takes in what the store had pinned when the room opened on this node.
    pub fn open_pin(&mut self, pin: Option<Pin>) {
        self.pin = pin;
    }

    /// The comment that is pinned now.
    pub fn pinned(&self) -> Option<&Arc<Comment>> {
        self.pin.as_ref()?.comment.as_ref()
    }

    /// A pin got its place. Members have received it as the last one, so if it is not, the last one
    /// is appended again.
    pub(super) fn pin_ordered(&mut self, pin: &Pin) -> Vec<Effect<H>> {
        match &self.pin {
            Some(latest) if latest.action > pin.action => {
                let entry = latest.again_after(pin, self.live.id);
                vec![Effect::AppendAction(entry)]
            }
            _ => {
                self.pin = Some(pin.clone());
                Vec::new()
            }
        }
    }

    /// Comments were taken down: their text is not shown to those who join from now on. Members are
    /// notified by the action that took them down.
    pub(super) fn unpin(&mut self, comment_ids: &[CommentId]) {
        if let Some(pin) = &mut self.pin
            && pin.shows_any(comment_ids)
        {
            pin.comment = None;
        }
    }
}
