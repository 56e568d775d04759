//! What a room takes in after it missed entries of its log.

use std::sync::Arc;

use super::Room;
use crate::domain::{Effect, HeldComment, News, Pin, Timestamp, UserId};

/// What the store has of a room whose node missed entries of the log, beside standings and modes,
/// whose versions say by themselves that they were missed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MissedEntries {
    /// Users who were removed from the room, and when, the earliest first.
    pub kicks: Vec<(UserId, Timestamp)>,
    /// Comments that wait for review, oldest first.
    pub held: Vec<HeldComment>,
    pub pin: Option<Pin>,
    /// Reported comments in the queue.
    pub open_reports: i64,
}

impl<H: Clone> Room<H> {
    /// Takes in what may have been missed. Kicks that were applied already have no further effect.
    /// Moderators are notified of all comments that wait, and may know some of them.
    pub fn missed_read(&mut self, missed: MissedEntries, now: Timestamp) -> Vec<Effect<H>> {
        let MissedEntries {
            kicks,
            held,
            pin,
            open_reports,
        } = missed;
        if let Some(pin) = pin {
            self.pin_read(pin);
        }
        let mut effects = Vec::new();
        for (user, at) in kicks {
            effects.extend(self.kick(user, at, now));
        }
        for held in held {
            effects.extend(self.notify_held(&Arc::new(held), now));
        }
        let reported = News::Reported {
            open: open_reports,
            comments: [].into(),
        };
        effects.extend(self.notify(self.moderating_users(), &reported));
        effects
    }
}
