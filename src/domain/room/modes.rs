//! The decisions of a room about its modes.

use super::Room;
use crate::domain::mode_state::ModeState;
use crate::domain::{Comment, LiveModes, Modes, Reject, Role, Timestamp, UserId};

impl<H: Clone> Room<H> {
    /// Takes in the modes that the store had when the room opened on this node.
    pub fn open_modes(&mut self, modes: LiveModes) {
        self.modes = ModeState::open(modes);
    }

    /// The change of the modes up to which all are known.
    pub fn modes_version(&self) -> u64 {
        self.modes.version()
    }

    /// The modes that hold now.
    pub fn modes(&self) -> Modes {
        self.modes.in_force()
    }

    /// The modes as the store has them now: this room may have missed a change. Members receive
    /// the event of that when the log has it.
    pub fn modes_read(&mut self, modes: LiveModes) {
        self.modes.take_reading(modes);
    }

    /// A comment was taken, here or on another node.
    pub(super) fn note_comment(&mut self, comment: &Comment, now: Timestamp) {
        let Comment { id, author, at, .. } = comment;
        self.modes.comment_taken(author.id, *id, *at, now);
    }

    /// Whether a user may give, as far as modes go.
    pub(super) fn admit_gift_by_modes(&self, user: UserId) -> Result<(), Reject> {
        if self.modes.in_force().gifts_paused && self.role_of(user) < Role::Streamer {
            return Err(Reject::GiftsPaused);
        }
        Ok(())
    }
}
