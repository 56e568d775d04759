//! The decisions of a room about its modes.

use super::Room;
use crate::domain::mode_state::ModeState;
use crate::domain::user_facts::WaitingComment;
use crate::domain::{
    CommandEnv, Comment, Effect, LiveModes, Modes, Reject, Role, Timestamp, UserFacts, UserId,
};

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
        if let Some(key) = self.modes.text_key(comment.text.as_str()) {
            self.modes.text_taken(key, *id, *at, now);
        }
    }

    /// Has a comment wait until facts of its author were read.
    pub(super) fn wait_for_facts(
        &mut self,
        comment: WaitingComment<H>,
    ) -> Result<Vec<Effect<H>>, Reject> {
        self.facts.wait(comment)?;
        Ok(Vec::new())
    }

    /// The users of whom facts are to be read of the store, each once and in order; answered by
    /// [`Room::facts_read`]. `None`: there are none, or a reading is under way.
    pub fn facts_to_read(&mut self) -> Option<Vec<UserId>> {
        self.facts.begin_reading()
    }

    /// The store answered with facts of these users; `None`: it did not. The comments that waited
    /// for it are decided, in the order in which they were posted.
    pub fn facts_read(
        &mut self,
        asked: &[UserId],
        read: Option<&[(UserId, UserFacts)]>,
        env: &mut impl CommandEnv<H>,
        now: Timestamp,
    ) -> Vec<Effect<H>> {
        let mut effects = Vec::new();
        for waited in self.facts.end_reading(asked, read, now) {
            let WaitingComment {
                caller,
                text,
                request_id,
            } = waited;
            let to = caller.to.clone();
            let decided = match read {
                Some(_) => self.post_comment(caller, text, request_id, env, now),
                None => Err(Reject::BUSY),
            };
            match decided {
                Ok(decided) => effects.extend(decided),
                Err(reject) => effects.push(Effect::Reply {
                    to,
                    result: Err(reject),
                }),
            }
        }
        effects
    }

    /// A user follows the streamer, or does not any more: that is read again when it matters.
    pub fn follow_changed(&mut self, follower: UserId) {
        self.facts.forget(follower);
    }

    /// Whether a user may give, as far as modes go.
    pub(super) fn admit_gift_by_modes(&self, user: UserId) -> Result<(), Reject> {
        if self.modes.in_force().gifts_paused && self.role_of(user) < Role::Streamer {
            return Err(Reject::GiftsPaused);
        }
        Ok(())
    }
}
