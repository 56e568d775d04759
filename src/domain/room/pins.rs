//! What is pinned in a room.

use std::sync::Arc;

use super::Room;
use crate::domain::{Comment, CommentId, Pin};

impl<H: Clone> Room<H> {
    /// Takes in what the store had pinned when the room opened on this node.
    pub fn open_pin(&mut self, pin: Option<Pin>) {
        self.pin = pin;
    }

    /// The comment that is pinned now.
    pub fn pinned(&self) -> Option<&Arc<Comment>> {
        self.pin.as_ref()?.comment.as_ref()
    }

    /// A pin gets its place: if a later one has one already, members receive that one again. What
    /// they receive last is what holds, and a text that was taken down meanwhile is not shown again.
    pub(super) fn judge_pin(&mut self, pin: &mut Pin) {
        match &self.pin {
            Some(latest) if latest.action > pin.action => pin.clone_from(latest),
            _ => self.pin = Some(pin.clone()),
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
