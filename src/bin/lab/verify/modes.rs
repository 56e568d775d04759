//! Whether a room's rules for all viewers held, by the places of what was shown.
//!
//! A change of the modes is an event, so the order of the room says between which comments it came.
//! A frozen room is judged by that alone: servers give a viewer's comment no place behind the freeze.
//! Other rules are applied when a comment is sent, which may be before its node knows of the change.
//! But what its sender had received by then, its node had taken in: if the rule was among that and
//! held up to the place of the comment, the comment had to be refused.

use std::collections::BTreeMap;

use crate::commands::{Command, CommandKind, Fate};
use crate::driver::Driver;
use crate::judge::{self, Offences};
use crate::room_log::{Content, RoomEvent, RoomLog, RoomModes};
use crate::script::Moderation;
use crate::setup;
use crate::standings::{ActKind, Refusal, Rule};

/// The longest wait that a slow room may ask for, in milliseconds.
const SLOW_MS_MAX: i64 = 120_000;

/// A comment of a viewer that a room was shown.
#[derive(Debug, Clone, Copy)]
struct Said {
    offset: u64,
    user: usize,
    at_ms: i64,
    first_ns: u64,
    /// The newest event that its sender had received when it sent it.
    seen: Option<u64>,
    /// It has its place and its time by the decision about it.
    was_held: bool,
    follows: bool,
    gave: bool,
}

/// What a room asked for and showed.
struct RoomFacts {
    /// The changes of its modes, by their places.
    changes: Vec<(u64, RoomModes)>,
    said: Vec<Said>,
    /// When the end of each rule was asked for.
    lifts: Vec<(Rule, u64)>,
}

impl RoomFacts {
    /// The modes that held at some time between two places.
    fn between(&self, from: u64, to: u64) -> impl Iterator<Item = RoomModes> {
        let known = self.changes.partition_point(|(place, _)| *place <= from);
        let first = known.checked_sub(1).map(|at| self.changes[at].1);
        let later = self.changes[known..].iter();
        let later = later.take_while(move |(place, _)| *place < to);
        std::iter::once(first.unwrap_or(RoomModes::OFF)).chain(later.map(|(_, modes)| *modes))
    }

    /// Whether the end of the rule was asked for before the comment was shown: nodes may know of it
    /// before it has its place.
    fn may_be_lifted(&self, rule: Rule, said: &Said) -> bool {
        let is_lift = |(lifted, at_ns): &(Rule, u64)| *lifted == rule && *at_ns <= said.first_ns;
        self.lifts.iter().any(is_lift)
    }
}

pub fn check(driver: &mut Driver) {
    let mut offences = Offences::default();
    for room in 0..driver.rooms.len() {
        let plan = &driver.script().rooms[driver.rooms[room].plan];
        if let Some(moderation) = plan.moderation() {
            let facts = facts_of(driver, room, moderation);
            check_frozen(&facts, &mut offences);
            check_admitted(&facts, &mut offences);
            check_slow(&facts, &mut offences);
            check_waits(&comments_of(driver, room), &mut offences);
        }
    }
    driver.offences.absorb(offences);
}

fn facts_of(driver: &Driver, room: usize, moderation: &Moderation) -> RoomFacts {
    let (log, holds) = (&driver.rooms[room].log, &driver.rooms[room].holds);
    let gave_ns = first_gifts(driver, room);
    let said_at = |(offset, event): (u64, &RoomEvent)| {
        let number = event.content.command()?;
        let command = driver.commands.get(number)?;
        let member = &driver.members[command.member as usize];
        let user = member
            .user
            .filter(|user| !moderation.is_to_moderate(*user))?;
        Some(Said {
            offset,
            user,
            at_ms: event.at_ms,
            first_ns: event.first_ns,
            seen: command.seen,
            was_held: matches!(command.fate, Fate::Held { .. }) || holds.has(number),
            follows: setup::follows(user),
            gave: gave_ns.get(&user).is_some_and(|at| *at <= event.first_ns),
        })
    };
    let lifts = driver.acts.iter().filter(|act| act.room == room);
    RoomFacts {
        changes: changes_of(log),
        said: log.iter().filter_map(said_at).collect(),
        lifts: lifts
            .filter_map(|act| match act.kind {
                ActKind::Lift(rule) => Some((rule, act.asked_ns)),
                _ => None,
            })
            .collect(),
    }
}

fn changes_of(log: &RoomLog) -> Vec<(u64, RoomModes)> {
    let change = |(offset, event): (u64, &RoomEvent)| match event.content {
        Content::Modes(modes) => Some((offset, modes)),
        _ => None,
    };
    log.iter().filter_map(change).collect()
}

/// When each user sent its first gift.
fn first_gifts(driver: &Driver, room: usize) -> BTreeMap<usize, u64> {
    let mut first = BTreeMap::new();
    for (_, it) in driver.commands.iter() {
        let user = driver.members[it.member as usize].user;
        if let (true, CommandKind::Gift { .. }, Some(user)) =
            (it.room as usize == room, it.kind, user)
        {
            first.entry(user).or_insert(it.sent_ns);
        }
    }
    first
}

/// No viewer's comment has a place while the room is frozen.
fn check_frozen(facts: &RoomFacts, offences: &mut Offences) {
    for said in &facts.said {
        let is_frozen = facts.between(said.offset, said.offset).all(|it| it.frozen);
        if is_frozen {
            offences.add(judge::FROZEN, || {
                format!(
                    "a comment of user {} is at {}, behind the freeze",
                    said.user, said.offset
                )
            });
        }
    }
}

/// Where followers or givers alone may speak, no others are shown.
fn check_admitted(facts: &RoomFacts, offences: &mut Offences) {
    for said in &facts.said {
        let Some(seen) = said.seen else { continue };
        let must_refuse = |rule, asks: fn(&RoomModes) -> bool| {
            let held = facts.between(seen, said.offset).all(|modes| asks(&modes));
            held && !facts.may_be_lifted(rule, said)
        };
        let is_stranger = !said.follows && must_refuse(Rule::Followers, |it| it.followers_min >= 0);
        let is_mean = !said.gave && must_refuse(Rule::Gifters, |it| it.gifters_coins > 0);
        for (is_barred, what) in [(is_stranger, "followed"), (is_mean, "given anything")] {
            if is_barred {
                offences.add(judge::ADMITTED, || {
                    format!(
                        "a comment of user {} was shown at {}, who has not {what}",
                        said.user, said.offset
                    )
                });
            }
        }
    }
}

/// Of two comments of a viewer behind the event that makes a room slow, the second is not shown before
/// its time, if its node knew of the first.
fn check_slow(facts: &RoomFacts, offences: &mut Offences) {
    let mut by_user: BTreeMap<usize, Vec<&Said>> = BTreeMap::new();
    for said in facts.said.iter().filter(|said| !said.was_held) {
        let earlier = by_user.entry(said.user).or_default();
        let mut recent = earlier
            .iter()
            .rev()
            .take_while(|it| said.at_ms - it.at_ms < SLOW_MS_MAX);
        let is_too_soon = |first: &&&Said| {
            let wait_ms = facts
                .between(first.offset, said.offset)
                .map(|modes| modes.slow_s * 1_000)
                .min();
            let knew = said.seen.is_some_and(|seen| seen >= first.offset);
            knew && said.at_ms - first.at_ms < wait_ms.unwrap_or_default()
        };
        let first = recent.find(is_too_soon).copied();
        if let Some(first) = first.filter(|_| !facts.may_be_lifted(Rule::Slow, said)) {
            offences.add(judge::SLOW, || {
                format!(
                    "comments of user {} at {} and {} are {} ms apart in a slow room",
                    said.user,
                    first.offset,
                    said.offset,
                    said.at_ms - first.at_ms
                )
            });
        }
        earlier.push(said);
    }
}

/// A comment as its sender knows of it.
struct Sent<'a> {
    number: usize,
    user: usize,
    command: &'a Command,
}

fn comments_of<'a>(driver: &'a Driver<'_>, room: usize) -> Vec<Sent<'a>> {
    let of_room = driver
        .commands
        .iter()
        .filter(|(_, it)| it.room as usize == room && it.kind == CommandKind::Comment);
    of_room
        .filter_map(|(number, command)| {
            let user = driver.members[command.member as usize].user?;
            Some(Sent {
                number,
                user,
                command,
            })
        })
        .collect()
}

/// A viewer that has to wait has said something before.
fn check_waits(sent: &[Sent], offences: &mut Offences) {
    let may_count = |fate: &Fate| {
        !matches!(
            fate,
            Fate::Refused(Refusal::Slow | Refusal::Followers | Refusal::Gifters | Refusal::Other)
        )
    };
    let mut newest_of: BTreeMap<usize, Vec<&Sent>> = BTreeMap::new();
    for it in sent.iter().filter(|it| may_count(&it.command.fate)) {
        newest_of.entry(it.user).or_default().push(it);
    }
    let wait_ns = SLOW_MS_MAX as u64 * 1_000_000;
    let is_slow = |it: &&Sent| it.command.fate == Fate::Refused(Refusal::Slow);
    for refused in sent.iter().filter(is_slow) {
        let (from, to) = (refused.command.sent_ns, refused.command.answered_ns);
        let explains = |other: &&Sent| {
            let end_ns = other.command.answered_ns.unwrap_or(u64::MAX);
            let starts_before = to.is_none_or(|to| other.command.sent_ns <= to);
            starts_before && from <= end_ns.saturating_add(wait_ns)
        };
        let others = newest_of.get(&refused.user).into_iter().flatten();
        if others.copied().find(explains).is_none() {
            let (number, user) = (refused.number, refused.user);
            offences.add(judge::ACTS, || {
                format!("{number} had to wait, and user {user} had said nothing before")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::Commands;

    const SLOW: RoomModes = RoomModes {
        slow_s: 3,
        ..RoomModes::OFF
    };
    const FROZEN: RoomModes = RoomModes {
        frozen: true,
        ..RoomModes::OFF
    };
    const FOLLOWERS: RoomModes = RoomModes {
        followers_min: 0,
        ..RoomModes::OFF
    };
    const GIFTERS: RoomModes = RoomModes {
        gifters_coins: 1,
        ..RoomModes::OFF
    };

    /// A comment at `offset` of somebody who neither follows nor gave, sent when its sender had
    /// received everything up to `seen`.
    fn said(offset: u64, seen: u64, at_ms: i64) -> Said {
        Said {
            offset,
            user: 7,
            at_ms,
            first_ns: offset * 10,
            seen: Some(seen),
            was_held: false,
            follows: false,
            gave: false,
        }
    }

    fn failed(facts: &RoomFacts) -> Vec<&'static str> {
        let mut offences = Offences::default();
        check_frozen(facts, &mut offences);
        check_admitted(facts, &mut offences);
        check_slow(facts, &mut offences);
        offences.failed().collect()
    }

    fn judged(changes: &[(u64, RoomModes)], said: &[Said]) -> Vec<&'static str> {
        failed(&RoomFacts {
            changes: changes.to_vec(),
            said: said.to_vec(),
            lifts: Vec::new(),
        })
    }

    #[test]
    fn a_comment_behind_a_freeze_is_caught_at_its_place() {
        let until_20 = [(10, FROZEN), (20, RoomModes::OFF)];
        assert_eq!(judged(&until_20, &[said(15, 3, 0)]), [judge::FROZEN]);
        assert_eq!(judged(&until_20, &[said(9, 3, 0), said(21, 3, 0)]), [""; 0]);
    }

    #[test]
    fn who_lacks_what_a_room_asks_for_and_knew_of_it_is_caught() {
        for (modes, follows, gave) in [(FOLLOWERS, true, false), (GIFTERS, false, true)] {
            assert_eq!(
                judged(&[(10, modes)], &[said(15, 10, 0)]),
                [judge::ADMITTED]
            );
            let on_its_way = said(15, 9, 0);
            assert_eq!(judged(&[(10, modes)], &[on_its_way]), [""; 0]);
            let let_go = [(10, modes), (14, RoomModes::OFF)];
            assert_eq!(judged(&let_go, &[said(15, 12, 0)]), [""; 0]);
            let admitted = Said {
                follows,
                gave,
                ..said(15, 10, 0)
            };
            assert_eq!(judged(&[(10, modes)], &[admitted]), [""; 0]);
        }
    }

    #[test]
    fn a_rule_whose_end_was_asked_for_explains_a_comment_before_that_has_its_place() {
        let facts = |lifted_ns| RoomFacts {
            changes: vec![(10, FOLLOWERS)],
            said: vec![said(15, 10, 0)],
            lifts: vec![(Rule::Followers, lifted_ns)],
        };
        assert_eq!(failed(&facts(150)), [""; 0]);
        assert_eq!(failed(&facts(151)), [judge::ADMITTED]);
    }

    #[test]
    fn two_comments_of_a_viewer_within_the_wait_of_a_slow_room_are_caught() {
        let first = said(11, 10, 1_000);
        let slow = [(10, SLOW)];
        assert_eq!(judged(&slow, &[first, said(15, 11, 3_999)]), [judge::SLOW]);
        assert_eq!(judged(&slow, &[first, said(15, 11, 4_000)]), [""; 0]);
        let other_user = Said {
            user: 8,
            ..said(15, 11, 2_000)
        };
        assert_eq!(judged(&slow, &[first, other_user]), [""; 0]);
        let elsewhere = said(15, 10, 2_000);
        assert_eq!(
            judged(&slow, &[first, elsewhere]),
            [""; 0],
            "its node did not know of the first"
        );
        let before = said(9, 8, 1_000);
        assert_eq!(judged(&slow, &[before, said(15, 11, 2_000)]), [""; 0]);
        let let_go = [(10, SLOW), (12, RoomModes::OFF)];
        assert_eq!(judged(&let_go, &[first, said(15, 12, 2_000)]), [""; 0]);
    }

    #[test]
    fn a_first_comment_that_had_to_wait_is_caught() {
        let mut commands = Commands::default();
        let accepted = Fate::Accepted {
            id: "1".into(),
            offset: Some(1),
        };
        for (sent_ns, fate) in [(100, accepted), (200, Fate::Refused(Refusal::Slow))] {
            let number = commands.add(CommandKind::Comment, 0, 0, sent_ns, sent_ns);
            let command = commands.get_mut(number).unwrap();
            (command.fate, command.answered_ns) = (fate, Some(sent_ns + 10));
        }
        let failed = |users: [usize; 2]| {
            let sent = |(number, command)| Sent {
                number,
                user: users[number],
                command,
            };
            let mut offences = Offences::default();
            check_waits(
                &commands.iter().map(sent).collect::<Vec<_>>(),
                &mut offences,
            );
            offences.failed().collect::<Vec<_>>()
        };
        assert_eq!(failed([7, 7]), [""; 0]);
        assert_eq!(failed([8, 7]), [judge::ACTS]);
    }
}
