//! What a comment is checked for, in order. The decision is the first check that does not pass; an
//! explanation is the same list in whole, so the two cannot differ.

use super::word_filter::FilterAction;
use super::{
    Bucket, BucketRate, HoldRule, LiveStatus, Modes, Reject, Role, SHIELD_ACCOUNT_MS, Sanction,
    SanctionKind, Timestamp, UserFacts, barring_comments, barring_gifts, holding,
};

/// One of the things that a comment is checked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Check {
    /// Whether the live is on air.
    Status,
    /// Whether the user may speak on the site.
    SiteSanction,
    /// Whether the user may speak here. Before the membership: who was banned was removed too, and
    /// must be answered that it is banned.
    RoomSanction,
    Membership,
    /// Whether viewers may speak.
    Frozen,
    /// Whether a viewer has followed the streamer for long enough.
    Followers,
    /// Whether a viewer has given enough in this live.
    Gifters,
    /// Whether a viewer has waited since its last comment, in slow mode.
    Slow,
    /// Whether the user has commented too often.
    Rate,
    /// Whether a viewer posts a text that somebody has posted a moment ago.
    Unique,
    /// Whether the word filter lets its text pass.
    Filter,
    /// Whether moderators must see it first while the shield is up: it has a link, or its author's
    /// account is young.
    Shield,
    /// Whether only the user itself sees it.
    Shadow,
}

impl Check {
    /// Who may comment here at all. A repeated `request_id` is answered after these.
    pub const OF_USER: [Self; 4] = [
        Self::Status,
        Self::SiteSanction,
        Self::RoomSanction,
        Self::Membership,
    ];
    /// Whether the modes of the room let such a user comment.
    pub const OF_MODES: [Self; 4] = [Self::Frozen, Self::Followers, Self::Gifters, Self::Slow];
    /// Whether such a user may comment now. The faults of a comment's fields come before this.
    pub const OF_TIME: [Self; 1] = [Self::Rate];
    /// What happens to the comment. The crowd's lane comes after these.
    pub const OF_COMMENT: [Self; 4] = [Self::Unique, Self::Filter, Self::Shield, Self::Shadow];

    /// The word for it on the wire. Sent: never change one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::SiteSanction => "site_sanction",
            Self::RoomSanction => "room_sanction",
            Self::Membership => "membership",
            Self::Frozen => "frozen",
            Self::Followers => "followers",
            Self::Gifters => "gifters",
            Self::Slow => "slow",
            Self::Rate => "rate",
            Self::Unique => "unique",
            Self::Filter => "filter",
            Self::Shield => "shield",
            Self::Shadow => "shadow",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckResult {
    Passed,
    Refused(Reject),
    /// Accepted, and shown to its sender alone.
    Hidden,
    /// Accepted, and not shown yet.
    Held(HoldRule),
}

/// What a room is given of a user's account.
#[derive(Debug, Clone, Copy)]
pub struct Account<'a> {
    /// What holds against the user on the whole site.
    pub site_sanctions: &'a [Sanction],
    /// Since when there is the account.
    pub since: Timestamp,
}

/// What the checks of one user's comment read.
#[derive(Debug, Clone, Copy)]
pub struct CommentContext<'a> {
    pub status: LiveStatus,
    /// What the user is in this room.
    pub role: Role,
    pub account: Account<'a>,
    pub room_sanctions: &'a [Sanction],
    pub is_member: bool,
    /// Those of the room, in force.
    pub modes: Modes,
    /// Facts of the user that modes ask for; without them those modes let it pass.
    pub facts: Option<UserFacts>,
    /// When the user has commented last, if slow mode asks for it.
    pub last_comment_at: Option<Timestamp>,
    /// The limiter as it is; the check of the rate takes one from this copy.
    pub limiter: Bucket,
    pub rate: BucketRate,
    /// Whether the text was posted a moment ago and may not be repeated; without a text it was not.
    pub is_repeated: bool,
    /// What the word filter says about the text; without a text it says nothing.
    pub filtered: Option<FilterAction>,
    /// Whether the text has a link; without a text it has none.
    pub has_link: bool,
    pub now: Timestamp,
}

/// One line of an explanation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedCheck {
    pub check: Check,
    pub result: CheckResult,
    /// The sanction that decided it.
    pub sanction: Option<Sanction>,
}

impl<'a> CommentContext<'a> {
    /// Whether a comment has to wait until facts of its author were read.
    pub fn lacks_facts(&self) -> bool {
        self.facts.is_none()
            && self.modes.asks_for_facts()
            && self.role == Role::Viewer
            && !self.modes.frozen
    }

    /// The first of these checks that does not pass.
    pub fn decide(&mut self, checks: &[Check]) -> CheckResult {
        checks
            .iter()
            .map(|check| self.result(*check))
            .find(|result| *result != CheckResult::Passed)
            .unwrap_or(CheckResult::Passed)
    }

    /// All checks with their results.
    pub fn explain(mut self) -> Vec<ExplainedCheck> {
        let checks = Check::OF_USER.into_iter().chain(Check::OF_MODES);
        let checks = checks.chain(Check::OF_TIME).chain(Check::OF_COMMENT);
        let explained = |check| ExplainedCheck {
            check,
            result: self.result(check),
            sanction: self.deciding(check).cloned(),
        };
        checks.map(explained).collect()
    }

    fn result(&mut self, check: Check) -> CheckResult {
        let passes = match check {
            Check::Status => self.status.require_open(),
            Check::Membership if self.is_member => Ok(()),
            Check::Membership => Err(Reject::NotInRoom),
            Check::Frozen | Check::Followers | Check::Gifters | Check::Slow | Check::Unique
                if self.role > Role::Viewer =>
            {
                Ok(())
            }
            Check::Followers => self.facts.map_or(Ok(()), |facts| {
                self.modes.admit_follower(facts.follows_since, self.now)
            }),
            Check::Gifters => self
                .facts
                .map_or(Ok(()), |facts| self.modes.admit_gifter(facts.coins)),
            Check::Unique if self.is_repeated => Err(Reject::CommentDuplicate),
            Check::Unique => Ok(()),
            Check::Frozen if self.modes.frozen => Err(Reject::Frozen),
            Check::Frozen => Ok(()),
            Check::Slow => self.modes.admit_after(self.last_comment_at, self.now),
            Check::Rate => self
                .limiter
                .take(self.rate, self.now)
                .map_err(|retry_after_ms| Reject::RateLimited { retry_after_ms }),
            Check::Filter => match self.filtered {
                Some(FilterAction::Block) => Err(Reject::CommentFiltered),
                Some(FilterAction::Hold) if self.may_be_held() => {
                    return CheckResult::Held(HoldRule::Term);
                }
                Some(FilterAction::Shadow) => return CheckResult::Hidden,
                Some(FilterAction::Hold | FilterAction::Mask) | None => Ok(()),
            },
            Check::Shield if self.modes.shield && self.may_be_held() => {
                if self.now.since(self.account.since) < SHIELD_ACCOUNT_MS {
                    return CheckResult::Held(HoldRule::YoungAccount);
                }
                if self.has_link {
                    return CheckResult::Held(HoldRule::Link);
                }
                Ok(())
            }
            Check::Shield => Ok(()),
            Check::SiteSanction | Check::RoomSanction => self
                .deciding(check)
                .map_or(Ok(()), |sanction| Err(sanction.refusal(self.now))),
            Check::Shadow if self.deciding(check).is_some() => return CheckResult::Hidden,
            Check::Shadow => Ok(()),
        };
        passes.map_or_else(CheckResult::Refused, |()| CheckResult::Passed)
    }

    /// Who reviews is not reviewed, and nobody reviews what nobody would see.
    fn may_be_held(&self) -> bool {
        self.role == Role::Viewer && self.deciding(Check::Shadow).is_none()
    }

    /// The sanction because of which the check does not pass.
    fn deciding(&self, check: Check) -> Option<&'a Sanction> {
        let shadow = |sanctions| holding(sanctions, SanctionKind::Shadow, self.now);
        match check {
            Check::SiteSanction => barring_comments(self.account.site_sanctions, self.now),
            Check::RoomSanction => barring_comments(self.room_sanctions, self.now),
            Check::Shadow => {
                shadow(self.account.site_sanctions).or_else(|| shadow(self.room_sanctions))
            }
            Check::Status
            | Check::Membership
            | Check::Frozen
            | Check::Followers
            | Check::Gifters
            | Check::Slow
            | Check::Rate
            | Check::Unique
            | Check::Filter
            | Check::Shield => None,
        }
    }
}

/// Whether a user may give, as far as sanctions go.
pub(super) fn may_give(
    site_sanctions: &[Sanction],
    room_sanctions: &[Sanction],
    now: Timestamp,
) -> Result<(), Reject> {
    let barring = barring_gifts(site_sanctions, now).or_else(|| barring_gifts(room_sanctions, now));
    barring.map_or(Ok(()), |sanction| Err(sanction.refusal(now)))
}

/// Whether a user may join, as far as sanctions go.
pub(super) fn may_join(
    site_sanctions: &[Sanction],
    room_sanctions: &[Sanction],
    now: Timestamp,
) -> Result<(), Reject> {
    let ban = |sanctions| holding(sanctions, SanctionKind::Ban, now);
    let barring = ban(site_sanctions).or_else(|| ban(room_sanctions));
    barring.map_or(Ok(()), |sanction| Err(sanction.refusal(now)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::domain::{Coins, Principal, SanctionId, SanctionScope};

    const NOW: Timestamp = Timestamp(1_000_000);

    fn sanction() -> impl Strategy<Value = Sanction> {
        let until = prop_oneof![
            Just(None),
            (-2_i64..3).prop_map(|off| Some(NOW.plus_ms(off)))
        ];
        (0..SanctionKind::ALL.len(), until, any::<bool>()).prop_map(|(kind, until, gifts)| {
            Sanction {
                id: SanctionId::FIRST,
                kind: SanctionKind::ALL[kind],
                scope: SanctionScope::Streamer,
                until,
                gifts,
                reason: None,
                by: Principal::Operator,
                since: Timestamp(0),
            }
        })
    }

    fn sanctions() -> impl Strategy<Value = Vec<Sanction>> {
        prop::collection::vec(sanction(), 0..4)
    }

    fn filter_action() -> impl Strategy<Value = Option<FilterAction>> {
        prop::option::of(prop_oneof![
            Just(FilterAction::Mask),
            Just(FilterAction::Shadow),
            Just(FilterAction::Hold),
            Just(FilterAction::Block),
        ])
    }

    fn modes() -> impl Strategy<Value = Modes> {
        let followers_min = prop::option::of(0..3_u32);
        let switches = (any::<bool>(), any::<bool>());
        (0..3_u16, switches, followers_min, 0..3_i64).prop_map(
            |(slow_s, (frozen, shield), followers_min, coins)| Modes {
                slow_s,
                followers_min,
                gifters_coins: Coins::new(coins),
                frozen,
                shield,
                ..Modes::default()
            },
        )
    }

    fn facts() -> impl Strategy<Value = UserFacts> {
        let followed_ms = prop::option::of(0..180_000_i64);
        (followed_ms, 0..3_i64).prop_map(|(followed_ms, coins)| UserFacts {
            follows_since: followed_ms.map(|ms| NOW.plus_ms(-ms)),
            coins: Coins::new(coins),
        })
    }

    proptest! {
        #[test]
        fn an_explanation_and_the_decision_agree(
            status in 0_i16..4,
            site in sanctions(),
            room in sanctions(),
            is_member in any::<bool>(),
            modes in modes(),
            role in 0..3_usize,
            facts in facts(),
            is_repeated in any::<bool>(),
            last_comment_ago_ms in prop::option::of(0..3_000_i64),
            taken in 0..4_u32,
            filtered in filter_action(),
            has_link in any::<bool>(),
            account_ms in prop_oneof![Just(0), Just(SHIELD_ACCOUNT_MS)],
        ) {
            let rate = BucketRate { burst: 3, refill: 1, per_ms: 1_000 };
            let mut limiter = Bucket::default();
            for _ in 0..taken {
                let _ = limiter.take(rate, NOW);
            }
            let mut context = CommentContext {
                status: LiveStatus::from_code(status).expect("0 to 3"),
                account: Account {
                    site_sanctions: &site,
                    since: NOW.plus_ms(-account_ms),
                },
                room_sanctions: &room,
                is_member,
                role: [Role::Viewer, Role::Moderator, Role::Streamer][role],
                modes,
                facts: Some(facts),
                is_repeated,
                last_comment_at: last_comment_ago_ms.map(|ms| NOW.plus_ms(-ms)),
                limiter,
                rate,
                filtered,
                has_link,
                now: NOW,
            };
            let explained = context.explain();
            let first = explained
                .iter()
                .find(|line| line.result != CheckResult::Passed);
            let lists = [
                &Check::OF_USER[..],
                &Check::OF_MODES,
                &Check::OF_TIME,
                &Check::OF_COMMENT,
            ];
            let decision = lists
                .into_iter()
                .map(|checks| context.decide(checks))
                .find(|result| *result != CheckResult::Passed)
                .unwrap_or(CheckResult::Passed);
            prop_assert_eq!(first.map_or(CheckResult::Passed, |line| line.result), decision);
            for line in &explained {
                let is_sanction = matches!(
                    line.check,
                    Check::SiteSanction | Check::RoomSanction | Check::Shadow
                );
                prop_assert_eq!(
                    line.sanction.is_some(),
                    is_sanction && line.result != CheckResult::Passed
                );
                prop_assert!(line.sanction.as_ref().is_none_or(|held| held.holds(NOW)));
            }
        }
    }
}
