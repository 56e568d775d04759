//! The comment that is pinned in a live.
//!
//! Pins of one live are decided in the store, one after the other, and the ids of their actions are
//! their order. Their events may come into the log of the room in another one: two nodes append
//! them. Members see them in the order of the log, so a room that receives an earlier pin after a
//! later one appends the later one again, once whatever node does it. The last event of the log is
//! then the last pin of the store.

use std::sync::Arc;

use super::{
    ActionEntry, ActionId, Comment, CommentId, EntryContent, LiveId, Principal, RoomEvent,
};

/// What is pinned, and who decided that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// `None`: nothing any more.
    pub comment: Option<Arc<Comment>>,
    pub by: Principal,
    /// The action that decided it.
    pub action: ActionId,
}

/// Which part of an action its pin is when it is appended again because of it: no action adds as
/// many entries.
const AGAIN: u8 = u8::MAX;

impl Pin {
    /// What the log of a room says about it.
    pub fn event(&self, live_id: LiveId) -> RoomEvent {
        RoomEvent::Pinned {
            live_id,
            pin: self.clone(),
        }
    }

    /// The entry that says it again after an earlier pin.
    pub fn again_after(&self, earlier: &Self, live_id: LiveId) -> ActionEntry {
        let content = EntryContent::Event(self.event(live_id));
        ActionEntry::of_action(earlier.action, AGAIN, content)
    }

    /// Whether it shows one of these comments.
    pub fn shows_any(&self, comment_ids: &[CommentId]) -> bool {
        let shown = self.comment.as_ref().map(|comment| comment.id);
        shown.is_some_and(|id| comment_ids.contains(&id))
    }
}
