//! Those who flood a room, and its moderators.

use std::time::Duration;

use serde::Deserialize;

use super::{RoomPlan, units};
use crate::standings::Rule;

/// A streamer names so many moderators in liveroom at most.
const MODERATORS_MAX: usize = 20;

/// For how long a viewer waits in a slow room, in seconds, and how long comments are delayed,
/// unless the script says.
const SLOW_S_DEFAULT: u32 = 3;
const DELAY_S_DEFAULT: u32 = 2;

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
    /// What the streamer asks of all viewers for a while.
    #[serde(default)]
    pub rules: Vec<RuleWindow>,
    /// The share of viewers' comments that have the term of the rule `term`, while it holds.
    #[serde(default = "default_term_share", deserialize_with = "units::share")]
    pub term_share: f64,
    /// The share of held comments that moderators approve; they deny the others.
    #[serde(default = "default_approve", deserialize_with = "units::share")]
    pub approve: f64,
    /// How long moderators take to decide about a held comment, on average.
    #[serde(default = "default_review_after", deserialize_with = "units::duration")]
    pub review_after: Duration,
    /// How long an act may take to reach each node and the sessions there.
    #[serde(default = "default_reach", deserialize_with = "units::duration")]
    pub reach: Duration,
}

/// A rule and when it holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RuleWindow {
    pub rule: Rule,
    /// Seconds of `slow` and `delay`, minutes of `followers`, coins of `gifters`.
    value: Option<u32>,
    #[serde(deserialize_with = "units::duration")]
    pub from: Duration,
    #[serde(deserialize_with = "units::duration")]
    pub until: Duration,
}

impl RuleWindow {
    pub fn value(&self) -> u32 {
        self.value.unwrap_or(match self.rule {
            Rule::Slow => SLOW_S_DEFAULT,
            Rule::Delay => DELAY_S_DEFAULT,
            Rule::Followers => 0,
            Rule::Frozen | Rule::Gifters | Rule::Term => 1,
        })
    }
}

fn default_reach() -> Duration {
    Duration::from_secs(1)
}

fn default_term_share() -> f64 {
    0.2
}

fn default_approve() -> f64 {
    0.5
}

fn default_review_after() -> Duration {
    Duration::from_millis(500)
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
        for (at, window) in self.rules.iter().enumerate() {
            if window.from >= window.until {
                return Some("expected the from of a rule before its until".to_owned());
            }
            if self.rules[..at].iter().any(|it| it.rule == window.rule) {
                return Some("expected each rule once".to_owned());
            }
        }
        if self.asks_for(Rule::Gifters) && room.gifts.is_none() {
            return Some("expected gifts in a room with the rule gifters".to_owned());
        }
        if room.ends() {
            return Some("expected a streamer that does not end the live".to_owned());
        }
        None
    }
    /// Whether the rule holds at some time.
    pub fn asks_for(&self, rule: Rule) -> bool {
        self.rules.iter().any(|window| window.rule == rule)
    }

    /// How the rule is set, if the script has it.
    pub fn window(&self, rule: Rule) -> Option<&RuleWindow> {
        self.rules.iter().find(|window| window.rule == rule)
    }

    /// The users who act beside the streamer are those below this number.
    pub fn is_to_moderate(&self, user: usize) -> bool {
        user < self.moderators
    }
}
