//! What is pinned in a room.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Room;
use crate::domain::{Comment, CommentId, Pin, TAKE_DOWN_MAX, Timestamp};

/// For how long a room knows which comments were taken down, in milliseconds: longer than the entry
/// of a pin takes to the log. A comment that is shown again within it, and pinned, is not shown as
/// pinned.
const REMOVALS_KNOWN_MS: i64 = 10_000;
/// How many it knows: those of the two largest actions that take down several. Of more, the oldest
/// are forgotten.
const REMOVALS_MAX: usize = 2 * TAKE_DOWN_MAX as usize;

/// Comments that were taken down a moment ago, oldest first.
#[derive(Debug, Default)]
pub(super) struct RecentRemovals(VecDeque<(Timestamp, CommentId)>);

impl RecentRemovals {
    fn record(&mut self, comment_ids: &[CommentId], now: Timestamp) {
        self.forget_old(now);
        self.0.extend(comment_ids.iter().map(|id| (now, *id)));
        let too_many = self.0.len().saturating_sub(REMOVALS_MAX);
        self.0.drain(..too_many);
    }

    fn contains(&mut self, id: CommentId, now: Timestamp) -> bool {
        self.forget_old(now);
        self.0.iter().any(|(_, removed)| *removed == id)
    }

    fn forget_old(&mut self, now: Timestamp) {
        let is_old = |(at, _): &(Timestamp, CommentId)| now.since(*at) >= REMOVALS_KNOWN_MS;
        while self.0.front().is_some_and(is_old) {
            self.0.pop_front();
        }
    }
}

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
    /// Nor is the text of one that was taken down before the pin came to the log.
    pub(super) fn judge_pin(&mut self, pin: &mut Pin, now: Timestamp) {
        if let Some(comment) = &pin.comment
            && self.removals.contains(comment.id, now)
        {
            pin.comment = None;
        }
        match &self.pin {
            Some(latest) if latest.action > pin.action => pin.clone_from(latest),
            _ => self.pin = Some(pin.clone()),
        }
    }

    /// Comments were taken down: their text is not shown to those who join from now on. Members are
    /// notified by the action that took them down.
    pub(super) fn unpin(&mut self, comment_ids: &[CommentId], now: Timestamp) {
        self.removals.record(comment_ids, now);
        if let Some(pin) = &mut self.pin
            && pin.shows_any(comment_ids)
        {
            pin.comment = None;
        }
    }

    /// What the store has pinned now: this room may have missed a later pin. Members receive the
    /// event of that when the log has it.
    pub(super) fn pin_read(&mut self, pin: Pin) {
        let known = self.pin.as_ref().map(|known| known.action);
        if known.is_none_or(|known| known < pin.action) {
            self.pin = Some(pin);
        }
    }
}
