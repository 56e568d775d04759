//! Sanctions: what a user may not do, where and until when; and the standing that follows from
//! them.
//!
//! | | mute | ban | shadow |
//! |---|---|---|---|
//! | joins | yes | no | yes |
//! | comments | refused | refused | shown to their sender alone |
//! | gifts | unless the mute forbids them | no | yes |
//!
//! A sanction holds in one live, in all lives of a streamer, or on the site. Of each scope and kind
//! a user has one at most: a new one replaces the one before, so that a short mute after a long one
//! is short. Where several of one kind hold, the one that lasts longest counts.

use std::sync::Arc;

use super::{Principal, Reject, SanctionId, Timestamp, UserId};

/// The longest sanction that ends by itself, in seconds: 14 days.
pub const SANCTION_SECONDS_MAX: i64 = 1_209_600;
/// Sanctions that may hold in a streamer's lives at once, those of single lives included; one more
/// is refused. A room holds all that concern it: some 200 bytes each.
pub const SANCTIONS_MAX: usize = 20_000;
/// How old the comments are at most that [`Purge::Recent`] takes down, in milliseconds.
pub const PURGE_RECENT_MS: i64 = 600_000;
/// Moderators of one streamer.
pub const MODERATORS_MAX: usize = 20;

/// What a sanction forbids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SanctionKind {
    /// Comments, and gifts if it says so.
    Mute,
    /// Everything, being in the room included.
    Ban,
    /// Being seen by others: its comments are shown to itself alone.
    Shadow,
}

impl SanctionKind {
    pub const ALL: [Self; 3] = [Self::Mute, Self::Ban, Self::Shadow];

    /// The word for it. Stored and sent: never change one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::Ban => "ban",
            Self::Shadow => "shadow",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Where a sanction holds, from the narrowest to the widest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SanctionScope {
    Live,
    /// All lives of the streamer.
    Streamer,
    Site,
}

impl SanctionScope {
    pub const ALL: [Self; 3] = [Self::Live, Self::Streamer, Self::Site];

    /// The word for it. Stored and sent: never change one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Streamer => "streamer",
            Self::Site => "site",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// How long a sanction lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// 1 to [`SANCTION_SECONDS_MAX`].
    Seconds(i64),
    /// Until the live ends in which it was given.
    ThisLive,
    Forever,
}

impl Term {
    /// -1: for ever, 0: until this live ends. `None`: outside its limits.
    pub const fn from_seconds(seconds: i64) -> Option<Self> {
        match seconds {
            -1 => Some(Self::Forever),
            0 => Some(Self::ThisLive),
            1..=SANCTION_SECONDS_MAX => Some(Self::Seconds(seconds)),
            _ => None,
        }
    }

    pub const fn seconds(self) -> i64 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::ThisLive => 0,
            Self::Forever => -1,
        }
    }

    /// When it is over; `None`: it does not end by itself. One of this live ends with that, because
    /// nobody speaks in a live that has ended.
    pub const fn until(self, from: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Seconds(seconds) => Some(from.plus_ms(seconds * 1_000)),
            Self::ThisLive | Self::Forever => None,
        }
    }
}

/// Which earlier comments a ban takes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Purge {
    Nothing,
    /// Those of the last ten minutes.
    #[default]
    Recent,
    /// The newest of this live.
    Live,
}

impl Purge {
    pub const ALL: [Self; 3] = [Self::Nothing, Self::Recent, Self::Live];

    /// The word for it. Stored and sent: never change one.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Nothing => "none",
            Self::Recent => "recent",
            Self::Live => "live",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|purge| purge.name() == name)
    }
}

/// A sanction as it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SanctionOrder {
    pub user: UserId,
    pub kind: SanctionKind,
    pub scope: SanctionScope,
    pub term: Term,
    /// Whether a muted user may still give.
    pub gifts: bool,
    pub purge: Purge,
}

impl SanctionOrder {
    /// `scope`: where it is to hold, if that was said. By itself a sanction that ends with a live
    /// holds there, and all others in all lives of the streamer. Errors: `BadRequest` for one that
    /// would end with a live and hold beyond it.
    pub const fn new(
        user: UserId,
        kind: SanctionKind,
        term: Term,
        scope: Option<SanctionScope>,
    ) -> Result<Self, Reject> {
        let scope = match (scope, term) {
            (None | Some(SanctionScope::Live), Term::ThisLive) => SanctionScope::Live,
            (Some(_), Term::ThisLive) => {
                return Err(Reject::BadRequest {
                    what: "scope: live, with seconds 0",
                });
            }
            (None, _) => SanctionScope::Streamer,
            (Some(scope), _) => scope,
        };
        Ok(Self {
            user,
            kind,
            scope,
            term,
            gifts: true,
            purge: match kind {
                SanctionKind::Ban => Purge::Recent,
                SanctionKind::Mute | SanctionKind::Shadow => Purge::Nothing,
            },
        })
    }
}

/// A sanction as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sanction {
    pub id: SanctionId,
    pub kind: SanctionKind,
    pub scope: SanctionScope,
    /// Exclusive; `None`: it does not end by itself.
    pub until: Option<Timestamp>,
    /// Whether a muted user may still give.
    pub gifts: bool,
    pub reason: Option<Arc<str>>,
    pub by: Principal,
    pub since: Timestamp,
}

impl Sanction {
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }

    /// As a number to compare.
    pub(super) const fn lasts_until(&self) -> i64 {
        match self.until {
            Some(until) => until.0,
            None => i64::MAX,
        }
    }

    /// Milliseconds until it is over, if it ends by itself; 1 if it is over.
    pub fn retry_after_ms(&self, now: Timestamp) -> Option<u64> {
        self.until
            .map(|until| until.since(now).max(1).unsigned_abs())
    }

    /// How its user is refused what it forbids.
    pub fn refusal(&self, now: Timestamp) -> Reject {
        match self.kind {
            SanctionKind::Ban => Reject::Banned { until: self.until },
            SanctionKind::Mute | SanctionKind::Shadow => Reject::Muted {
                until: self.until,
                retry_after_ms: self.retry_after_ms(now),
                scope: self.scope,
            },
        }
    }
}

/// Of these, the sanction of a kind that holds longest.
pub fn holding(sanctions: &[Sanction], kind: SanctionKind, now: Timestamp) -> Option<&Sanction> {
    sanctions
        .iter()
        .filter(|sanction| sanction.kind == kind && sanction.holds(now))
        .max_by_key(|sanction| sanction.lasts_until())
}

/// What forbids commenting: a ban before a mute.
pub fn barring_comments(sanctions: &[Sanction], now: Timestamp) -> Option<&Sanction> {
    holding(sanctions, SanctionKind::Ban, now)
        .or_else(|| holding(sanctions, SanctionKind::Mute, now))
}

/// What forbids giving: a ban before a mute.
pub fn barring_gifts(sanctions: &[Sanction], now: Timestamp) -> Option<&Sanction> {
    let mutes = sanctions.iter().filter(|sanction| {
        sanction.kind == SanctionKind::Mute && !sanction.gifts && sanction.holds(now)
    });
    holding(sanctions, SanctionKind::Ban, now)
        .or_else(|| mutes.max_by_key(|sanction| sanction.lasts_until()))
}

/// What a user is and may not do in the lives of one streamer. Sanctions of the site are not part
/// of it: they come with the account.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standing {
    pub is_moderator: bool,
    /// Those that are not lifted, at most one of each scope and kind.
    pub sanctions: Vec<Sanction>,
}

impl Standing {
    /// Whether it is that of everybody else.
    pub fn is_plain(&self, now: Timestamp) -> bool {
        !self.is_moderator && !self.sanctions.iter().any(|sanction| sanction.holds(now))
    }
}

/// The standings of all users who are not like everybody else, in one live.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Standings {
    /// Of the streamer's changes: all up to this one are in `users`.
    pub version: u64,
    pub users: Vec<(UserId, Standing)>,
    /// When the moderators among them were named; of one that is left out it is not known.
    pub named: Vec<(UserId, Timestamp)>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sanction(kind: SanctionKind, until: Option<i64>) -> Sanction {
        Sanction {
            id: SanctionId::FIRST,
            kind,
            scope: SanctionScope::Streamer,
            until: until.map(Timestamp),
            gifts: true,
            reason: None,
            by: Principal::Operator,
            since: Timestamp(0),
        }
    }

    #[test]
    fn what_is_over_may_be_tried_again_at_once() {
        let until = |until| sanction(SanctionKind::Mute, until).retry_after_ms(Timestamp(10));
        assert_eq!(
            [Some(12), Some(10), Some(3), None].map(until),
            [Some(2), Some(1), Some(1), None]
        );
    }

    #[test]
    fn terms_are_forever_this_live_or_up_to_two_weeks() {
        for (seconds, term) in [
            (-2, None),
            (-1, Some(Term::Forever)),
            (0, Some(Term::ThisLive)),
            (1, Some(Term::Seconds(1))),
            (1_209_600, Some(Term::Seconds(1_209_600))),
            (1_209_601, None),
            (i64::MAX, None),
            (i64::MIN, None),
        ] {
            assert_eq!(Term::from_seconds(seconds), term, "{seconds}");
            if let Some(term) = term {
                assert_eq!(term.seconds(), seconds);
            }
        }
        assert_eq!(
            Term::Seconds(10).until(Timestamp(5)),
            Some(Timestamp(10_005))
        );
    }

    #[test]
    fn what_ends_with_a_live_holds_in_it_and_all_else_in_all_lives() {
        let order = |seconds, scope| {
            let term = Term::from_seconds(seconds).unwrap();
            SanctionOrder::new(UserId::FIRST, SanctionKind::Mute, term, scope)
                .map(|order| order.scope)
        };
        let beyond = Err(Reject::BadRequest {
            what: "scope: live, with seconds 0",
        });
        for (seconds, scope, expected) in [
            (0, None, Ok(SanctionScope::Live)),
            (0, Some(SanctionScope::Live), Ok(SanctionScope::Live)),
            (0, Some(SanctionScope::Streamer), beyond),
            (0, Some(SanctionScope::Site), beyond),
            (10, None, Ok(SanctionScope::Streamer)),
            (-1, None, Ok(SanctionScope::Streamer)),
            (10, Some(SanctionScope::Live), Ok(SanctionScope::Live)),
            (-1, Some(SanctionScope::Site), Ok(SanctionScope::Site)),
        ] {
            assert_eq!(order(seconds, scope), expected, "{seconds} {scope:?}");
        }
    }

    #[test]
    fn the_longest_of_a_kind_counts_until_its_last_millisecond() {
        let mute = |until| sanction(SanctionKind::Mute, until);
        let held = [mute(Some(10)), mute(Some(30)), mute(Some(20))];
        let until =
            |now| holding(&held, SanctionKind::Mute, Timestamp(now)).and_then(|mute| mute.until);
        assert_eq!(until(0), Some(Timestamp(30)));
        assert_eq!(until(29), Some(Timestamp(30)));
        assert_eq!(until(30), None);
        let forever = [mute(Some(30)), mute(None)];
        let longest = holding(&forever, SanctionKind::Mute, Timestamp(0)).unwrap();
        assert_eq!(longest.until, None);
        assert_eq!(
            holding(&held, SanctionKind::Ban, Timestamp(0)),
            None,
            "of that kind alone"
        );
    }

    #[test]
    fn a_ban_forbids_all_and_a_mute_gifts_only_if_it_says_so() {
        let (mute, ban, shadow) = (
            sanction(SanctionKind::Mute, None),
            sanction(SanctionKind::Ban, Some(10)),
            sanction(SanctionKind::Shadow, None),
        );
        let without_gifts = Sanction {
            gifts: false,
            ..mute.clone()
        };
        let at = |now| Timestamp(now);
        let kind = |sanction: Option<&Sanction>| sanction.map(|sanction| sanction.kind);
        let all = [mute.clone(), ban.clone(), shadow.clone()];
        assert_eq!(
            kind(barring_comments(&all, at(9))),
            Some(SanctionKind::Ban),
            "a ban is named first, however short"
        );
        assert_eq!(
            kind(barring_comments(&all, at(10))),
            Some(SanctionKind::Mute)
        );
        assert_eq!(barring_comments(std::slice::from_ref(&shadow), at(0)), None);
        assert_eq!(kind(barring_gifts(&all, at(9))), Some(SanctionKind::Ban));
        assert_eq!(barring_gifts(&all, at(10)), None);
        assert_eq!(
            kind(barring_gifts(&[without_gifts, ban], at(9))),
            Some(SanctionKind::Ban)
        );
    }
}
