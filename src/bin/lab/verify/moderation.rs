//! Whether acts had their effect, and nothing else had: what was removed, why, and whether it is
//! gone for those who come later. What must hold while the room goes on is judged there, in
//! `driver/moderation.rs`.

use std::collections::{HashMap, HashSet};

use super::holds;
use crate::commands::{CommandKind, Fate};
use crate::driver::Driver;
use crate::judge::{self, Offences};
use crate::room_log::{Content, RoomLog};
use crate::setup::Setup;
use crate::standings::{Act, ActKind, Refusal, Rule};

/// A ban takes so many of a user's comments down at most, the newest ones.
const PURGE_MAX: usize = 500;

/// A ban takes down what was said in the last ten minutes; runs that are longer are judged for less.
const PURGE_NS: u64 = 600_000_000_000;

/// Comments of a live that are read after the run at most.
const HISTORY_MAX: usize = 20_000;

/// A comment that a room was shown.
struct Shown<'a> {
    id: &'a str,
    user: Option<usize>,
    /// When its sender was answered that it is accepted.
    accepted_ns: Option<u64>,
}

/// What happened in one room.
struct RoomFacts<'a> {
    log: &'a RoomLog,
    shown: Vec<Shown<'a>>,
    /// Comments that were refused because of a sanction, or never answered: each may have got a place
    /// in which the room received its removal.
    perhaps_placed: usize,
    acts: Vec<&'a Act>,
}

pub fn check(driver: &mut Driver, setup: &Setup) {
    let mut offences = Offences::default();
    for (room, site) in setup.rooms.iter().enumerate() {
        let plan = driver.rooms[room].plan;
        if driver.script().rooms[plan].moderation().is_none() {
            continue;
        }
        let facts = facts_of(driver, room);
        let hidden = holds::never_shown(driver, room);
        check_effects(&facts, &mut offences);
        check_reasons(&facts, &mut offences);
        for &(offset, position) in &driver.rooms[room].replaced {
            check_replaced(&facts, offset, position, &mut offences);
        }
        match setup.history(site.live_id, HISTORY_MAX) {
            Ok(listed) => {
                check_history(&facts, &listed, &mut offences);
                check_hidden(&hidden, &listed, &mut offences);
            }
            Err(fault) => offences.add(judge::REMOVED, || fault.to_string()),
        }
    }
    driver.offences.absorb(offences);
    check_refused(driver);
}

fn facts_of<'a>(driver: &'a Driver, room: usize) -> RoomFacts<'a> {
    let log = &driver.rooms[room].log;
    let shown = log.iter().filter_map(|(_, event)| {
        let Content::Comment { id, command } = &event.content else {
            return None;
        };
        let command = command.and_then(|number| driver.commands.get(number));
        let accepted_ns = command.and_then(|it| match it.fate {
            Fate::Accepted { .. } => it.answered_ns,
            // It is one of the room's by its approval.
            Fate::Held { .. } => Some(event.first_ns),
            _ => None,
        });
        Some(Shown {
            id,
            user: command.and_then(|it| driver.members[it.member as usize].user),
            accepted_ns,
        })
    });
    let is_open = |fate: &Fate| {
        matches!(
            fate,
            Fate::Unknown | Fate::Refused(Refusal::Muted | Refusal::Banned)
        )
    };
    let perhaps_placed = driver.commands.iter().filter(|(_, it)| {
        it.room as usize == room && it.kind == CommandKind::Comment && is_open(&it.fate)
    });
    RoomFacts {
        log,
        shown: shown.collect(),
        perhaps_placed: perhaps_placed.count(),
        acts: driver.acts.iter().filter(|act| act.room == room).collect(),
    }
}

/// What was asked for and answered as done was done: the comments are gone.
fn check_effects(facts: &RoomFacts, offences: &mut Offences) {
    for act in &facts.acts {
        let Some(done_ns) = act.done_ns else { continue };
        match act.kind {
            ActKind::Delete if facts.log.removed_at(&act.comment).is_none() => {
                offences.add(judge::ACTS, || {
                    format!(
                        "comment {} was to be taken down, and nobody received its removal",
                        act.comment
                    )
                });
            }
            ActKind::Ban => check_purge(facts, act, done_ns, offences),
            _ => {}
        }
    }
}

/// All that a banned user had said before is gone.
fn check_purge(facts: &RoomFacts, ban: &Act, done_ns: u64, offences: &mut Offences) {
    let said: Vec<&Shown> = facts
        .shown
        .iter()
        .filter(|shown| {
            let at_ns = shown.accepted_ns.unwrap_or(u64::MAX);
            shown.user == Some(ban.user) && at_ns < ban.asked_ns && done_ns - at_ns < PURGE_NS
        })
        .collect();
    for shown in said.iter().rev().take(PURGE_MAX) {
        if facts.log.removed_at(shown.id).is_none() {
            offences.add(judge::ACTS, || {
                format!(
                    "comment {} of user {}, who was banned, is still there",
                    shown.id, ban.user
                )
            });
        }
    }
}

/// Nothing was removed but what was to be. A removal of a comment that was never shown stands in its
/// place, and its sender was refused.
fn check_reasons(facts: &RoomFacts, offences: &mut Offences) {
    let senders: HashMap<&str, Option<usize>> = facts
        .shown
        .iter()
        .map(|shown| (shown.id, shown.user))
        .collect();
    let mut never_shown = 0;
    for id in facts.log.removed() {
        let Some(user) = senders.get(id) else {
            never_shown += 1;
            continue;
        };
        let is_asked_for = facts.acts.iter().any(|act| match act.kind {
            ActKind::Delete => act.comment == id,
            ActKind::Ban => Some(act.user) == *user,
            _ => false,
        });
        if !is_asked_for {
            offences.add(judge::ACTS, || {
                format!("comment {id} was taken down, and nobody asked for that")
            });
        }
    }
    if never_shown > facts.perhaps_placed {
        let refused = facts.perhaps_placed;
        offences.add(judge::ACTS, || {
            format!(
                "{never_shown} comments were removed at their place, of {refused} that were refused"
            )
        });
    }
}

/// A removal that a member received in the place of a comment was delivered by the time it joined.
fn check_replaced(facts: &RoomFacts, offset: u64, position: u64, offences: &mut Offences) {
    if !facts.log.is_removed_by(offset, position) {
        offences.add(judge::ORDER, || {
            format!("the comment at {offset} was replayed as removed to a member that came back at {position}")
        });
    }
}

/// Who reads what was said finds all that was accepted, and nothing that was removed.
fn check_history(facts: &RoomFacts, listed: &[String], offences: &mut Offences) {
    let listed_ids: HashSet<&str> = listed.iter().map(String::as_str).collect();
    for id in facts.log.removed().filter(|id| listed_ids.contains(id)) {
        offences.add(judge::REMOVED, || {
            format!("comment {id} was taken down and is in the history")
        });
    }
    if listed.len() >= HISTORY_MAX {
        return;
    }
    for shown in &facts.shown {
        let is_accepted = shown.accepted_ns.is_some();
        if is_accepted && facts.log.removed_at(shown.id).is_none() && !listed_ids.contains(shown.id)
        {
            offences.add(judge::COMMENT_LOST, || {
                format!(
                    "comment {} was accepted and is not in the history",
                    shown.id
                )
            });
        }
    }
}

/// Who reads what was said does not find what was held and never shown.
fn check_hidden(hidden: &HashSet<String>, listed: &[String], offences: &mut Offences) {
    for id in listed.iter().filter(|id| hidden.contains(*id)) {
        offences.add(judge::HELD, || {
            format!("comment {id} was held, not approved, and is in the history")
        });
    }
}

/// What was refused was shown to nobody.
fn check_refused(driver: &mut Driver) {
    for (number, command) in driver.commands.iter() {
        if let (Fate::Refused(refusal), Some(offset)) = (&command.fate, command.announced) {
            let check = judge::of_refusal(*refusal);
            driver.offences.add(check, || {
                format!("{number} was refused, and announced at offset {offset}: {refusal:?}")
            });
        }
    }
}

/// What there was to judge.
pub struct Counts {
    mutes: usize,
    bans: usize,
    deletes: usize,
    removed: usize,
    replayed: u64,
    freezes: usize,
    rules: [usize; 3],
    refused: [usize; 6],
    held: usize,
    approved: usize,
    denied: usize,
}

impl Counts {
    pub fn of(driver: &Driver) -> Self {
        let done = |kind: ActKind| {
            let is_of_kind = |act: &&Act| act.kind == kind && act.done_ns.is_some();
            driver.acts.iter().filter(is_of_kind).count()
        };
        let refused = |refusal: Refusal| {
            let fate = Fate::Refused(refusal);
            driver
                .commands
                .iter()
                .filter(|(_, it)| it.fate == fate)
                .count()
        };
        Self {
            mutes: done(ActKind::Mute),
            bans: done(ActKind::Ban),
            deletes: done(ActKind::Delete),
            removed: driver
                .rooms
                .iter()
                .map(|room| room.log.removed().count())
                .sum(),
            replayed: driver.stats.replayed,
            freezes: done(ActKind::Impose(Rule::Frozen)),
            rules: [Rule::Slow, Rule::Followers, Rule::Gifters]
                .map(|rule| done(ActKind::Impose(rule))),
            refused: [
                Refusal::Muted,
                Refusal::Banned,
                Refusal::Frozen,
                Refusal::Slow,
                Refusal::Followers,
                Refusal::Gifters,
            ]
            .map(refused),
            held: driver
                .commands
                .iter()
                .filter(|(_, it)| matches!(it.fate, Fate::Held { .. }))
                .count(),
            approved: done(ActKind::Approve),
            denied: done(ActKind::Deny),
        }
    }

    /// The counts of a check of moderation that passed.
    pub fn words(&self, check: &str) -> Option<String> {
        let [muted, banned, frozen, waited, strangers, mean] = self.refused;
        let [slow, followers, gifters] = self.rules;
        Some(match check {
            judge::MUTED => format!("{} mutes, {muted} refusals", self.mutes),
            judge::BANNED => format!("{} bans, {banned} refusals", self.bans),
            judge::FROZEN => format!("{} times frozen, {frozen} refusals", self.freezes),
            judge::SLOW => format!("{slow} times slow, {waited} refusals"),
            judge::ADMITTED => format!(
                "{followers} times for followers, {strangers} refusals; \
                 {gifters} times for givers, {mean} refusals"
            ),
            judge::HELD => format!(
                "{} comments held, {} approved, {} denied",
                self.held, self.approved, self.denied
            ),
            judge::REMOVED => format!(
                "{} comments removed, {} events replayed",
                self.removed, self.replayed
            ),
            judge::ACTS => format!(
                "{} mutes, {} bans, {} comments taken down one by one",
                self.mutes, self.bans, self.deletes
            ),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOODER: usize = 9;

    /// A room in which comments `1`, `2` and `3` were shown: two of the flooder, one of user 4.
    struct Stream {
        log: RoomLog,
        acts: Vec<Act>,
        perhaps_placed: usize,
    }

    impl Stream {
        fn new() -> Self {
            let mut log = RoomLog::default();
            log.joined_at("e", 0);
            let mut stream = Self {
                log,
                acts: Vec::new(),
                perhaps_placed: 0,
            };
            for id in ["1", "2", "3"] {
                stream.receives("comment", &format!(r#""id":"{id}","content":"lab#0 x","#));
            }
            stream
        }

        /// The room's next event.
        fn receives(&mut self, name: &str, fields: &str) -> u64 {
            let offset = self.log.last() + 1;
            let body = format!(r#"{{"live_id":2,{fields}"epoch":"e","offset":{offset}}}"#);
            self.log
                .receive(2, name.as_bytes(), offset, body.as_bytes());
            offset
        }

        fn removes(&mut self, id: &str) -> u64 {
            self.receives("removed", &format!(r#""id":"{id}","#))
        }

        fn acts(&mut self, kind: ActKind, user: usize, comment: &str) {
            self.acts.push(Act {
                kind,
                room: 0,
                user,
                comment: comment.to_owned(),
                asked_ns: 100,
                done_ns: Some(110),
            });
        }

        /// The offences of this room, whose history lists these comments.
        fn judged(&self, listed: &[&str]) -> Vec<&'static str> {
            let shown = |(id, user)| Shown {
                id,
                user: Some(user),
                accepted_ns: Some(50),
            };
            let facts = RoomFacts {
                log: &self.log,
                shown: [("1", FLOODER), ("2", FLOODER), ("3", 4)].map(shown).into(),
                perhaps_placed: self.perhaps_placed,
                acts: self.acts.iter().collect(),
            };
            let listed: Vec<String> = listed.iter().map(|id| (*id).to_owned()).collect();
            let mut offences = Offences::default();
            check_effects(&facts, &mut offences);
            check_reasons(&facts, &mut offences);
            check_history(&facts, &listed, &mut offences);
            offences.failed().collect()
        }
    }

    #[test]
    fn an_honest_stream_of_acts_and_removals_passes() {
        let mut stream = Stream::new();
        assert_eq!(stream.judged(&["1", "2", "3"]), [""; 0]);
        stream.acts(ActKind::Ban, FLOODER, "");
        stream.acts(ActKind::Delete, 4, "3");
        stream.receives("removed", r#""id":"1","ids":["1","2"],"#);
        stream.removes("3");
        assert_eq!(stream.judged(&[]), [""; 0]);
    }

    #[test]
    fn a_comment_that_stays_though_it_was_to_be_taken_down_is_caught() {
        let mut stream = Stream::new();
        stream.acts(ActKind::Delete, 4, "3");
        assert_eq!(stream.judged(&["1", "2", "3"]), [judge::ACTS]);
        let mut stream = Stream::new();
        stream.acts(ActKind::Ban, FLOODER, "");
        stream.removes("1");
        assert_eq!(stream.judged(&["2", "3"]), [judge::ACTS]);
    }

    #[test]
    fn a_removal_that_nobody_asked_for_is_caught() {
        let mut stream = Stream::new();
        stream.acts(ActKind::Mute, FLOODER, "");
        stream.removes("1");
        assert_eq!(stream.judged(&["2", "3"]), [judge::ACTS]);
    }

    #[test]
    fn a_comment_removed_at_its_place_whose_sender_was_not_refused_is_caught() {
        let mut stream = Stream::new();
        stream.removes("4");
        assert_eq!(stream.judged(&["1", "2", "3"]), [judge::ACTS]);
        stream.perhaps_placed = 1;
        assert_eq!(stream.judged(&["1", "2", "3"]), [""; 0]);
    }

    #[test]
    fn a_removed_comment_that_is_read_again_and_an_accepted_one_that_is_not_are_caught() {
        let mut stream = Stream::new();
        stream.acts(ActKind::Delete, 4, "3");
        stream.removes("3");
        assert_eq!(stream.judged(&["1", "2", "3"]), [judge::REMOVED]);
        assert_eq!(stream.judged(&["1"]), [judge::COMMENT_LOST]);
    }

    #[test]
    fn a_held_comment_that_nobody_approved_and_somebody_can_read_is_caught() {
        let failed = |listed: &str| {
            let hidden = HashSet::from(["9".to_owned()]);
            let mut offences = Offences::default();
            check_hidden(&hidden, &[listed.to_owned()], &mut offences);
            offences.failed().collect::<Vec<_>>()
        };
        assert_eq!(failed("9"), [judge::HELD]);
        assert_eq!(failed("8"), [""; 0]);
    }

    #[test]
    fn a_comment_replayed_as_removed_before_its_removal_is_caught() {
        let mut stream = Stream::new();
        let removal = stream.removes("3");
        let facts = RoomFacts {
            log: &stream.log,
            shown: Vec::new(),
            perhaps_placed: 0,
            acts: Vec::new(),
        };
        let failed = |position| {
            let mut offences = Offences::default();
            check_replaced(&facts, 3, position, &mut offences);
            offences.failed().collect::<Vec<_>>()
        };
        assert_eq!(failed(removal), [""; 0]);
        assert_eq!(failed(removal - 1), [judge::ORDER]);
    }
}
