//! Broken promises, as they are seen: counted by the name of the check they fail.

use std::collections::BTreeMap;

use crate::outcome::Check;
use crate::standings::Refusal;

/// Texts kept per check; the rest is only counted.
const SHOWN_MAX: usize = 5;

pub const CONNECTED: &str = "everybody_got_in";
pub const ANSWERED: &str = "every_command_answered_once";
pub const COMMENT_LOST: &str = "no_acked_comment_lost";
pub const GIFT_LOST: &str = "no_acked_gift_lost";
pub const DUPLICATED: &str = "nothing_duplicated";
pub const SAMPLED: &str = "sampled_out_shown_to_nobody_else";
pub const ORDER: &str = "same_order_for_all";
pub const GAPS: &str = "offsets_without_gaps";
pub const ISOLATED: &str = "nobody_hears_another_room";
pub const MONEY: &str = "gift_money_exact";
pub const PRESENCE: &str = "presence_converges";
pub const MUTED: &str = "muted_users_say_nothing";
pub const FROZEN: &str = "frozen_rooms_are_silent";
pub const SLOW: &str = "viewers_wait_in_slow_rooms";
pub const ADMITTED: &str = "only_admitted_viewers_speak";
pub const HELD: &str = "held_comments_wait_for_their_approval";
pub const BANNED: &str = "banned_users_are_out";
pub const REMOVED: &str = "nothing_removed_comes_again";
pub const ACTS: &str = "acts_have_their_effect_alone";
pub const REFUSALS: &str = "only_expected_refusals";
pub const WIRE: &str = "frames_are_well_formed";

/// All checks, in the order they are reported.
const ALL: &[&str] = &[
    CONNECTED,
    ANSWERED,
    COMMENT_LOST,
    GIFT_LOST,
    SAMPLED,
    DUPLICATED,
    ORDER,
    GAPS,
    ISOLATED,
    MONEY,
    PRESENCE,
    MUTED,
    BANNED,
    FROZEN,
    SLOW,
    ADMITTED,
    HELD,
    REMOVED,
    ACTS,
    REFUSALS,
    WIRE,
];

/// The check that a server fails which accepts what a sanction forbids.
pub fn of_refusal(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Banned => BANNED,
        Refusal::Frozen => FROZEN,
        Refusal::Slow => SLOW,
        Refusal::Followers | Refusal::Gifters => ADMITTED,
        Refusal::Muted | Refusal::Other => MUTED,
    }
}

/// The offences that were found.
#[derive(Debug, Default)]
pub struct Offences {
    by_check: BTreeMap<&'static str, Offence>,
}

#[derive(Debug, Default)]
struct Offence {
    count: u64,
    first: Vec<String>,
}

impl Offences {
    /// Notes one offence; `describe` is called only if it will be shown.
    pub fn add(&mut self, check: &'static str, describe: impl FnOnce() -> String) {
        let offence = self.by_check.entry(check).or_default();
        offence.count += 1;
        if offence.first.len() < SHOWN_MAX {
            offence.first.push(describe());
        }
    }

    /// Adds those that another judge counted.
    pub fn absorb(&mut self, others: Self) {
        for (check, other) in others.by_check {
            let offence = self.by_check.entry(check).or_default();
            offence.count += other.count;
            let room = SHOWN_MAX.saturating_sub(offence.first.len());
            offence.first.extend(other.first.into_iter().take(room));
        }
    }

    /// The names of the checks that failed.
    #[cfg(test)]
    pub fn failed(&self) -> impl Iterator<Item = &'static str> {
        self.by_check.keys().copied()
    }

    /// The verdict of every check. `passed` says in words what was counted where nothing is wrong.
    pub fn verdicts(&self, passed: impl Fn(&str) -> String) -> Vec<Check> {
        let verdict = |name: &&'static str| match self.by_check.get(name) {
            None => Check {
                name: (*name).to_owned(),
                passed: true,
                detail: passed(name),
            },
            Some(offence) => {
                let more = offence.count.saturating_sub(offence.first.len() as u64);
                let more = if more > 0 {
                    format!("; and {more} more")
                } else {
                    String::new()
                };
                let detail = format!("{}{more}", offence.first.join("; "));
                Check {
                    name: (*name).to_owned(),
                    passed: false,
                    detail,
                }
            }
        };
        ALL.iter().map(verdict).collect()
    }
}
