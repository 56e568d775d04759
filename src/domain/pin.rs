//! The comment that is pinned in a live.
//!
//! Pins of one live are decided in the store, one after the other, and the ids of their actions are
//! their order. Their events may come into the log of the room in another one: two nodes append
//! them. Members see them in the order of the log, so at the place of an earlier pin that comes
//! after a later one every node delivers the later one. What members receive last is then the last
//! pin of the store.

use std::sync::Arc;

use super::{ActionId, Comment, CommentId, LiveId, Principal, RoomEvent};

/// What is pinned, and who decided that.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// `None`: nothing any more.
    pub comment: Option<Arc<Comment>>,
    pub by: Principal,
    /// The action that decided it.
    pub action: ActionId,
}

impl Pin {
    /// What the log of a room says about it.
    pub fn event(&self, live_id: LiveId) -> RoomEvent {
        RoomEvent::Pinned {
            live_id,
            pin: self.clone(),
        }
    }

    /// Whether it shows one of these comments.
    pub fn shows_any(&self, comment_ids: &[CommentId]) -> bool {
        let shown = self.comment.as_ref().map(|comment| comment.id);
        shown.is_some_and(|id| comment_ids.contains(&id))
    }
}
