//! Those who flood a room, and those who keep order in it.

use std::time::Duration;

use serde::Deserialize;

use super::{RoomPlan, units};

/// A streamer names so many moderators in liveroom at most.
const MODERATORS_MAX: usize = 20;

/// Some users of a room flood it; its streamer and the moderators that it names act on them.
///
/// Sanctions last until the live ends, so that a run leaves nothing behind that concerns later ones.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Moderation {
    /// The first so many users of the room. The streamer acts in any case.
    #[serde(default)]
    pub moderators: usize,
    /// The last so many users of the room, who alone are muted and banned.
    pub flooders: usize,
    /// Comments of all of them together, besides what the room says anyway.
    #[serde(default, deserialize_with = "units::rate")]
    pub flood_per_s: f64,
    #[serde(default, deserialize_with = "units::rate")]
    pub mute_per_s: f64,
    /// Mutes are lifted after so long; without it they stay.
    #[serde(default, deserialize_with = "units::some_duration")]
    pub unmute_after: Option<Duration>,
    /// Bans, each of which takes the user's comments of the last ten minutes down.
    #[serde(default, deserialize_with = "units::rate")]
    pub ban_per_s: f64,
    /// Comments of users that do not flood, taken down one by one.
    #[serde(default, deserialize_with = "units::rate")]
    pub delete_per_s: f64,
    /// When the streamer freezes the room, and when it lets go.
    #[serde(default, deserialize_with = "units::some_duration")]
    pub freeze_at: Option<Duration>,
    #[serde(default, deserialize_with = "units::some_duration")]
    pub unfreeze_at: Option<Duration>,
    /// How long an act may take to reach each node and the sessions there.
    #[serde(default = "default_reach", deserialize_with = "units::duration")]
    pub reach: Duration,
}

fn default_reach() -> Duration {
    Duration::from_secs(1)
}

impl Moderation {
    /// The fault of these keys in this room, if there is one.
    pub(super) fn fault(&self, room: &RoomPlan) -> Option<String> {
        let users = room.users_count();
        let is_crowded = self.moderators.saturating_add(self.flooders) >= users;
        if self.moderators > MODERATORS_MAX || self.flooders == 0 || is_crowded {
            return Some(format!(
                "expected at most {MODERATORS_MAX} moderators, at least one flooder, \
                 and users besides them among the room's {users}"
            ));
        }
        if self.unmute_after.is_some_and(|after| after < self.reach) {
            return Some("expected unmute_after to be at least reach".to_owned());
        }
        if self.freeze_at.is_some() != self.unfreeze_at.is_some()
            || self.freeze_at > self.unfreeze_at
        {
            return Some("expected freeze_at before unfreeze_at, or neither".to_owned());
        }
        if room.ends() {
            return Some("expected a streamer that does not end the live".to_owned());
        }
        None
    }
}
