//! What the users of a room may do, according to the acts of moderators and their
//! answers: sanctions of one user, and rules for all viewers.
//!
//! The lab does not see the order in which a server applies acts. It knows two moments of each: it
//! was asked for, and it was answered. Between them, and for the time an act may take to reach each
//! node, a user may be refused or not. Before, no refusal is explained; after, none may be missing.

use std::collections::BTreeMap;

use serde::Deserialize;

/// Something that the streamer or a moderator asks for.
#[derive(Debug)]
pub struct Act {
    pub kind: ActKind,
    pub room: usize,
    /// Which of the world's users it is about.
    pub user: usize,
    /// The comment that is to be taken down, shown or denied; empty in other acts.
    pub comment: String,
    pub asked_ns: u64,
    /// When it was answered that it is done.
    pub done_ns: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ActKind {
    NameModerator,
    DismissModerator,
    Mute,
    Unmute,
    /// With a purge of the user's recent comments.
    Ban,
    Delete,
    /// A held comment is to be shown.
    Approve,
    /// A held comment is never to be shown.
    Deny,
    /// A rule holds for all viewers, or no longer.
    Impose(Rule),
    Lift(Rule),
}

/// What a room may ask of all viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    /// Nobody but the streamer and the moderators speaks.
    Frozen,
    /// A viewer waits between two comments.
    Slow,
    /// Those who do not follow the streamer are silent.
    Followers,
    /// Those who have given nothing are silent.
    Gifters,
    /// Comments are shown after a while, and to moderators first.
    Delay,
    /// Comments with the lab's term are held until a moderator approves them.
    Term,
}

impl Rule {
    /// The field of `setModes` that switches it; a term is not switched so.
    pub fn mode(self) -> Option<&'static str> {
        match self {
            Self::Frozen => Some("frozen"),
            Self::Slow => Some("slow_s"),
            Self::Followers => Some("followers_min"),
            Self::Gifters => Some("gifters_coins"),
            Self::Delay => Some("mod_delay_s"),
            Self::Term => None,
        }
    }

    /// As what a comment is refused that it forbids; others do not refuse.
    fn refusal(self) -> Option<Refusal> {
        match self {
            Self::Frozen => Some(Refusal::Frozen),
            Self::Slow => Some(Refusal::Slow),
            Self::Followers => Some(Refusal::Followers),
            Self::Gifters => Some(Refusal::Gifters),
            Self::Delay | Self::Term => None,
        }
    }
}

/// Why a command was refused, as far as moderation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Muted,
    Banned,
    Frozen,
    Slow,
    Followers,
    Gifters,
    Other,
}

impl Refusal {
    pub fn from_code(code: &str) -> Self {
        match code {
            "muted" => Self::Muted,
            "banned" => Self::Banned,
            "frozen" => Self::Frozen,
            "slow_mode" => Self::Slow,
            "followers_only" => Self::Followers,
            "gifters_only" => Self::Gifters,
            _ => Self::Other,
        }
    }
}

/// What a user asks for that a sanction or a rule may forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    ToSpeak,
    /// To join or to give.
    ToTakePart,
}

/// What rules ask about a user.
#[derive(Debug, Clone, Copy, Default)]
pub struct Traits {
    /// The streamer or a moderator, whom no rule concerns.
    pub keeps_order: bool,
    pub follows: bool,
    /// Has given something in this room, or may have.
    pub gave: bool,
}

/// One sanction of a user or rule of a room, from the request for it to the end of its effect.
#[derive(Debug, Clone, Copy)]
struct Hold {
    asked_ns: u64,
    done_ns: Option<u64>,
    lift_asked_ns: Option<u64>,
    lifted_ns: Option<u64>,
}

impl Hold {
    fn asked_at(now_ns: u64) -> Self {
        Self {
            asked_ns: now_ns,
            done_ns: None,
            lift_asked_ns: None,
            lifted_ns: None,
        }
    }

    fn is_certain(&self, now_ns: u64, reach_ns: u64) -> bool {
        let has_reached = self.done_ns.is_some_and(|done| done + reach_ns <= now_ns);
        has_reached && self.lift_asked_ns.is_none()
    }

    fn is_possible(&self, sent_ns: u64, reach_ns: u64) -> bool {
        self.lifted_ns
            .is_none_or(|lifted| sent_ns < lifted + reach_ns)
    }
}

#[derive(Debug, Default)]
struct OfUser {
    mute: Option<Hold>,
    ban: Option<Hold>,
}

/// The sanctions and rules in one room.
#[derive(Debug)]
pub struct Standings {
    users: BTreeMap<usize, OfUser>,
    rules: BTreeMap<Rule, Hold>,
    /// How long an act may take to reach each node.
    reach_ns: u64,
}

impl Standings {
    pub fn new(reach_ns: u64) -> Self {
        Self {
            users: BTreeMap::new(),
            rules: BTreeMap::new(),
            reach_ns,
        }
    }

    pub fn reach_ns(&self) -> u64 {
        self.reach_ns
    }

    /// An act was sent.
    pub fn asked(&mut self, kind: ActKind, user: usize, now_ns: u64) {
        let of_user = self.users.entry(user).or_default();
        match kind {
            ActKind::Mute => of_user.mute = Some(Hold::asked_at(now_ns)),
            ActKind::Ban => of_user.ban = Some(Hold::asked_at(now_ns)),
            ActKind::Unmute => {
                if let Some(mute) = &mut of_user.mute {
                    mute.lift_asked_ns = Some(now_ns);
                }
            }
            ActKind::Impose(rule) => drop(self.rules.insert(rule, Hold::asked_at(now_ns))),
            ActKind::Lift(rule) => {
                if let Some(hold) = self.rules.get_mut(&rule) {
                    hold.lift_asked_ns = Some(now_ns);
                }
            }
            _ => {}
        }
    }

    /// An act was answered as done.
    pub fn done(&mut self, kind: ActKind, user: usize, now_ns: u64) {
        let of_user = self.users.entry(user).or_default();
        let (hold, is_lift) = match kind {
            ActKind::Mute => (of_user.mute.as_mut(), false),
            ActKind::Unmute => (of_user.mute.as_mut(), true),
            ActKind::Ban => (of_user.ban.as_mut(), false),
            ActKind::Impose(rule) => (self.rules.get_mut(&rule), false),
            ActKind::Lift(rule) => (self.rules.get_mut(&rule), true),
            ActKind::NameModerator
            | ActKind::DismissModerator
            | ActKind::Delete
            | ActKind::Approve
            | ActKind::Deny => return,
        };
        match hold {
            Some(hold) if is_lift => hold.lifted_ns = Some(now_ns),
            Some(hold) => hold.done_ns = Some(now_ns),
            None => {}
        }
    }

    /// The rules that were asked for and whose end was not.
    pub fn rules(&self) -> impl Iterator<Item = Rule> {
        let stays = |(rule, hold): (&Rule, &Hold)| hold.lift_asked_ns.is_none().then_some(*rule);
        self.rules.iter().filter_map(stays)
    }

    /// Whether the rule holds on every node.
    pub fn must_hold(&self, rule: Rule, now_ns: u64) -> bool {
        let hold = self.rules.get(&rule);
        hold.is_some_and(|it| it.is_certain(now_ns, self.reach_ns))
    }

    /// Whether the rule may have held on some node at a moment.
    pub fn may_hold(&self, rule: Rule, at_ns: u64) -> bool {
        let hold = self.rules.get(&rule);
        hold.is_some_and(|it| it.is_possible(at_ns, self.reach_ns))
    }

    /// Whether the user is muted for those who were notified of a mute at this moment.
    pub fn is_muted_since(&self, user: usize, notified_ns: u64) -> bool {
        let mute = self.users.get(&user).and_then(|of_user| of_user.mute);
        mute.is_some_and(|it| it.asked_ns <= notified_ns && it.lift_asked_ns.is_none())
    }

    /// Whether a mute or ban of the user was asked for and its lifting was not.
    pub fn is_under_sanction(&self, user: usize) -> bool {
        self.users.get(&user).is_some_and(|of_user| {
            let is_muted = of_user.mute.is_some_and(|mute| mute.lifted_ns.is_none());
            is_muted || of_user.ban.is_some()
        })
    }

    /// Why every node must refuse what a user sends now. Whether it has to wait in a slow room shows
    /// only when it is shown.
    pub fn must_refuse(
        &self,
        user: usize,
        asks: Asks,
        traits: Traits,
        now_ns: u64,
    ) -> Option<Refusal> {
        let holds =
            |hold: Option<Hold>| hold.is_some_and(|it| it.is_certain(now_ns, self.reach_ns));
        let of_user = self.users.get(&user);
        let speaks = asks == Asks::ToSpeak;
        if of_user.is_some_and(|it| holds(it.ban)) {
            Some(Refusal::Banned)
        } else if speaks && of_user.is_some_and(|it| holds(it.mute)) {
            Some(Refusal::Muted)
        } else if speaks && !traits.keeps_order {
            let forbids = |rule: &Rule| match rule {
                Rule::Frozen => true,
                Rule::Followers => !traits.follows,
                Rule::Gifters => !traits.gave,
                Rule::Slow | Rule::Delay | Rule::Term => false,
            };
            let mut rules = self.rules.iter().filter(|(rule, _)| forbids(rule));
            rules.find_map(|(rule, hold)| rule.refusal().filter(|_| holds(Some(*hold))))
        } else {
            None
        }
    }

    /// Whether a refusal of what a user sent then is explained by an act.
    pub fn may_refuse(&self, user: usize, refusal: Refusal, sent_ns: u64) -> bool {
        let of_user = self.users.get(&user);
        let of_rule = |rule| self.rules.get(&rule).copied();
        let hold = match refusal {
            Refusal::Muted => of_user.and_then(|it| it.mute),
            Refusal::Banned => of_user.and_then(|it| it.ban),
            Refusal::Frozen => of_rule(Rule::Frozen),
            Refusal::Slow => of_rule(Rule::Slow),
            Refusal::Followers => of_rule(Rule::Followers),
            Refusal::Gifters => of_rule(Rule::Gifters),
            Refusal::Other => return true,
        };
        hold.is_some_and(|it| it.is_possible(sent_ns, self.reach_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REACH: u64 = 100;

    const VIEWER: Traits = Traits {
        keeps_order: false,
        follows: false,
        gave: false,
    };

    fn muted_at(asked_ns: u64, done_ns: u64) -> Standings {
        let mut standings = Standings::new(REACH);
        standings.asked(ActKind::Mute, 7, asked_ns);
        standings.done(ActKind::Mute, 7, done_ns);
        standings
    }

    #[test]
    fn a_mute_must_hold_once_it_was_answered_and_had_time_to_reach_each_node() {
        let standings = muted_at(10, 20);
        let speaks_at = |now_ns| standings.must_refuse(7, Asks::ToSpeak, VIEWER, now_ns);
        assert_eq!(speaks_at(119), None);
        assert_eq!(speaks_at(120), Some(Refusal::Muted));
        assert_eq!(
            standings.must_refuse(7, Asks::ToTakePart, VIEWER, 120),
            None
        );
        assert_eq!(standings.must_refuse(8, Asks::ToSpeak, VIEWER, 120), None);
        let mut unanswered = Standings::new(REACH);
        unanswered.asked(ActKind::Mute, 7, 10);
        assert_eq!(
            unanswered.must_refuse(7, Asks::ToSpeak, VIEWER, 9_999),
            None
        );
        assert!(
            unanswered.may_refuse(7, Refusal::Muted, 10),
            "it may have been done"
        );
    }

    #[test]
    fn a_lift_ends_what_must_be_refused_when_asked_for_and_what_may_be_a_while_after_its_answer() {
        let mut standings = muted_at(10, 20);
        standings.asked(ActKind::Unmute, 7, 500);
        assert_eq!(standings.must_refuse(7, Asks::ToSpeak, VIEWER, 501), None);
        standings.done(ActKind::Unmute, 7, 510);
        assert!(!standings.is_under_sanction(7));
        assert!(standings.may_refuse(7, Refusal::Muted, 609));
        assert!(!standings.may_refuse(7, Refusal::Muted, 610));
    }

    #[test]
    fn a_ban_forbids_all_and_explains_no_other_refusal() {
        let mut standings = Standings::new(REACH);
        assert!(!standings.may_refuse(7, Refusal::Banned, 0));
        standings.asked(ActKind::Ban, 7, 10);
        standings.done(ActKind::Ban, 7, 20);
        assert!(standings.is_under_sanction(7));
        for asks in [Asks::ToSpeak, Asks::ToTakePart] {
            assert_eq!(
                standings.must_refuse(7, asks, VIEWER, 120),
                Some(Refusal::Banned)
            );
        }
        assert!(standings.may_refuse(7, Refusal::Banned, 15));
        assert!(!standings.may_refuse(7, Refusal::Muted, 15));
        assert!(standings.may_refuse(8, Refusal::Other, 15));
    }

    fn imposed(rule: Rule) -> Standings {
        let mut standings = Standings::new(REACH);
        standings.asked(ActKind::Impose(rule), 0, 10);
        standings.done(ActKind::Impose(rule), 0, 20);
        standings
    }

    #[test]
    fn a_frozen_room_refuses_all_but_those_who_keep_order_until_it_is_let_go() {
        let mut standings = imposed(Rule::Frozen);
        let speaks = |keeps_order| {
            let traits = Traits {
                keeps_order,
                ..VIEWER
            };
            standings.must_refuse(7, Asks::ToSpeak, traits, 120)
        };
        assert_eq!((speaks(false), speaks(true)), (Some(Refusal::Frozen), None));
        assert!(standings.may_refuse(7, Refusal::Frozen, 15));
        assert!(!standings.may_refuse(7, Refusal::Slow, 15));
        standings.asked(ActKind::Lift(Rule::Frozen), 0, 500);
        standings.done(ActKind::Lift(Rule::Frozen), 0, 510);
        assert_eq!(standings.must_refuse(7, Asks::ToSpeak, VIEWER, 501), None);
        assert!(!standings.may_refuse(7, Refusal::Frozen, 610));
        assert_eq!(standings.rules().count(), 0);
    }

    #[test]
    fn a_rule_refuses_those_who_lack_what_it_asks_for() {
        let speaks = |rule, follows, gave| {
            let traits = Traits {
                keeps_order: false,
                follows,
                gave,
            };
            imposed(rule).must_refuse(7, Asks::ToSpeak, traits, 120)
        };
        for (rule, refusal, follows, gave) in [
            (Rule::Followers, Refusal::Followers, true, false),
            (Rule::Gifters, Refusal::Gifters, false, true),
        ] {
            assert_eq!(speaks(rule, !follows, !gave), Some(refusal));
            assert_eq!(speaks(rule, follows, gave), None);
        }
        for rule in [Rule::Slow, Rule::Delay, Rule::Term] {
            assert_eq!(speaks(rule, false, false), None, "{rule:?}");
            assert!(imposed(rule).must_hold(rule, 120) && !imposed(rule).must_hold(rule, 119));
        }
    }

    #[test]
    fn a_notice_of_a_mute_counts_until_the_end_of_that_mute_is_asked_for() {
        let mut standings = muted_at(10, 20);
        assert!(standings.is_muted_since(7, 15));
        assert!(!standings.is_muted_since(7, 9), "of an earlier mute");
        assert!(!standings.is_muted_since(8, 15));
        standings.asked(ActKind::Unmute, 7, 500);
        assert!(!standings.is_muted_since(7, 15));
    }
}
