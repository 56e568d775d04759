//! What the users of a room may do, according to the acts of those who keep order and their
//! answers.
//!
//! The lab does not see the order in which a server applies acts. It knows two moments of each: it
//! was asked for, and it was answered. Between them, and for the time an act may take to reach each
//! node, a user may be refused or not. Before, no refusal is explained; after, none may be missing.

use std::collections::BTreeMap;

/// Something that the streamer or a moderator asks for.
#[derive(Debug)]
pub struct Act {
    pub kind: ActKind,
    pub room: usize,
    /// Which of the world's users it is about.
    pub user: usize,
    /// The comment that is to be taken down; empty in other acts.
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
    /// Nobody but the streamer and the moderators speaks any more.
    Freeze,
    Unfreeze,
}

/// Why a command was refused, as far as moderation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Muted,
    Banned,
    Frozen,
    Other,
}

impl Refusal {
    pub fn from_code(code: &str) -> Self {
        match code {
            "muted" => Self::Muted,
            "banned" => Self::Banned,
            "frozen" => Self::Frozen,
            _ => Self::Other,
        }
    }
}

/// What a user asks for that a sanction may forbid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    ToSpeak,
    /// To join or to give.
    ToTakePart,
}

/// One sanction of a user, from the request for it to the end of its effect.
#[derive(Debug, Clone, Copy)]
struct Hold {
    done_ns: Option<u64>,
    lift_asked_ns: Option<u64>,
    lifted_ns: Option<u64>,
}

impl Hold {
    const ASKED: Self = Self {
        done_ns: None,
        lift_asked_ns: None,
        lifted_ns: None,
    };

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

/// The sanctions in one room.
#[derive(Debug)]
pub struct Standings {
    users: BTreeMap<usize, OfUser>,
    /// Of all users that do not keep order.
    freeze: Option<Hold>,
    /// How long an act may take to reach each node.
    reach_ns: u64,
}

impl Standings {
    pub fn new(reach_ns: u64) -> Self {
        Self {
            users: BTreeMap::new(),
            freeze: None,
            reach_ns,
        }
    }

    pub fn reach_ns(&self) -> u64 {
        self.reach_ns
    }

    /// An act was sent.
    pub fn asked(&mut self, kind: ActKind, user: usize, now_ns: u64) {
        match (kind, &mut self.freeze) {
            (ActKind::Freeze, _) => self.freeze = Some(Hold::ASKED),
            (ActKind::Unfreeze, Some(freeze)) => freeze.lift_asked_ns = Some(now_ns),
            _ => {}
        }
        let of_user = self.users.entry(user).or_default();
        match kind {
            ActKind::Mute => of_user.mute = Some(Hold::ASKED),
            ActKind::Ban => of_user.ban = Some(Hold::ASKED),
            ActKind::Unmute => {
                if let Some(mute) = &mut of_user.mute {
                    mute.lift_asked_ns = Some(now_ns);
                }
            }
            _ => {}
        }
    }

    /// An act was answered as done.
    pub fn done(&mut self, kind: ActKind, user: usize, now_ns: u64) {
        let of_user = self.users.entry(user).or_default();
        let (hold, is_lift) = match kind {
            ActKind::Mute => (&mut of_user.mute, false),
            ActKind::Unmute => (&mut of_user.mute, true),
            ActKind::Ban => (&mut of_user.ban, false),
            ActKind::Freeze => (&mut self.freeze, false),
            ActKind::Unfreeze => (&mut self.freeze, true),
            ActKind::NameModerator | ActKind::DismissModerator | ActKind::Delete => return,
        };
        match hold {
            Some(hold) if is_lift => hold.lifted_ns = Some(now_ns),
            Some(hold) => hold.done_ns = Some(now_ns),
            None => {}
        }
    }

    /// Whether the room is to be frozen.
    pub fn is_frozen(&self) -> bool {
        self.freeze.is_some_and(|it| it.lift_asked_ns.is_none())
    }

    /// Whether a mute or ban of the user was asked for and its lifting was not.
    pub fn is_under_sanction(&self, user: usize) -> bool {
        self.users.get(&user).is_some_and(|of_user| {
            let is_muted = of_user.mute.is_some_and(|mute| mute.lifted_ns.is_none());
            is_muted || of_user.ban.is_some()
        })
    }

    /// Why every node must refuse what a user sends now. Who keeps order is not frozen.
    pub fn must_refuse(
        &self,
        user: usize,
        asks: Asks,
        keeps_order: bool,
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
        } else {
            (speaks && !keeps_order && holds(self.freeze)).then_some(Refusal::Frozen)
        }
    }

    /// Whether a refusal of what a user sent then is explained by an act.
    pub fn may_refuse(&self, user: usize, refusal: Refusal, sent_ns: u64) -> bool {
        let of_user = self.users.get(&user);
        let hold = match refusal {
            Refusal::Muted => of_user.and_then(|it| it.mute),
            Refusal::Banned => of_user.and_then(|it| it.ban),
            Refusal::Frozen => self.freeze,
            Refusal::Other => return true,
        };
        hold.is_some_and(|it| it.is_possible(sent_ns, self.reach_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REACH: u64 = 100;

    fn muted_at(asked_ns: u64, done_ns: u64) -> Standings {
        let mut standings = Standings::new(REACH);
        standings.asked(ActKind::Mute, 7, asked_ns);
        standings.done(ActKind::Mute, 7, done_ns);
        standings
    }

    #[test]
    fn a_mute_must_hold_once_it_was_answered_and_had_time_to_reach_each_node() {
        let standings = muted_at(10, 20);
        let speaks_at = |now_ns| standings.must_refuse(7, Asks::ToSpeak, false, now_ns);
        assert_eq!(speaks_at(119), None);
        assert_eq!(speaks_at(120), Some(Refusal::Muted));
        assert_eq!(standings.must_refuse(7, Asks::ToTakePart, false, 120), None);
        assert_eq!(standings.must_refuse(8, Asks::ToSpeak, false, 120), None);
        let mut unanswered = Standings::new(REACH);
        unanswered.asked(ActKind::Mute, 7, 10);
        assert_eq!(unanswered.must_refuse(7, Asks::ToSpeak, false, 9_999), None);
        assert!(
            unanswered.may_refuse(7, Refusal::Muted, 10),
            "it may have been done"
        );
    }

    #[test]
    fn a_lift_ends_what_must_be_refused_when_asked_for_and_what_may_be_a_while_after_its_answer() {
        let mut standings = muted_at(10, 20);
        standings.asked(ActKind::Unmute, 7, 500);
        assert_eq!(standings.must_refuse(7, Asks::ToSpeak, false, 501), None);
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
                standings.must_refuse(7, asks, false, 120),
                Some(Refusal::Banned)
            );
        }
        assert!(standings.may_refuse(7, Refusal::Banned, 15));
        assert!(!standings.may_refuse(7, Refusal::Muted, 15));
        assert!(standings.may_refuse(8, Refusal::Other, 15));
    }

    #[test]
    fn a_frozen_room_refuses_all_but_those_who_keep_order_until_it_is_let_go() {
        let mut standings = Standings::new(REACH);
        standings.asked(ActKind::Freeze, 0, 10);
        standings.done(ActKind::Freeze, 0, 20);
        let speaks = |keeps_order| standings.must_refuse(7, Asks::ToSpeak, keeps_order, 120);
        assert_eq!((speaks(false), speaks(true)), (Some(Refusal::Frozen), None));
        assert!(standings.may_refuse(7, Refusal::Frozen, 15));
        standings.asked(ActKind::Unfreeze, 0, 500);
        standings.done(ActKind::Unfreeze, 0, 510);
        assert_eq!(standings.must_refuse(7, Asks::ToSpeak, false, 501), None);
        assert!(!standings.may_refuse(7, Refusal::Frozen, 610));
    }
}
