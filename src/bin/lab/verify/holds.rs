//! Whether held comments waited for their approval: until then only moderators have them, an approved
//! one is shown, and one that is denied never is. Who was notified of them while the room went on is
//! judged there, in `driver/holds.rs`.

use std::collections::{BTreeMap, HashSet};

use crate::commands::{CommandKind, Fate};
use crate::driver::Driver;
use crate::judge::{self, Offences};
use crate::room_log::Content;
use crate::standings::{ActKind, Rule};

/// What became of a held comment.
#[derive(Debug, Default)]
struct HeldFact {
    /// Its author; `None` for the streamer, and if it is not known.
    user: Option<usize>,
    sent_ns: u64,
    /// How long it is held without a decision; `None`: until one is made.
    delay_ms: Option<u64>,
    has_term: bool,
    /// When a member received it as a comment of the room.
    shown_ns: Option<u64>,
    /// Its sender got it back, as one that is not shown.
    is_echoed: bool,
    /// Members received its removal.
    is_removed: bool,
    /// When it was asked for to show it.
    approve_asked_ns: Option<u64>,
    is_approved: bool,
    is_denied: bool,
    /// Somebody was notified that it is denied.
    is_denial_known: bool,
}

/// The held comments of one room, by their ids.
type Held = BTreeMap<String, HeldFact>;

pub fn check(driver: &mut Driver) {
    let mut offences = Offences::default();
    for room in 0..driver.rooms.len() {
        if driver.script().rooms[driver.rooms[room].plan]
            .moderation()
            .is_none()
        {
            continue;
        }
        let held = facts_of(driver, room);
        for (id, fact) in &held {
            let standings = &driver.rooms[room].standings;
            let may_delay = standings.may_hold(Rule::Delay, fact.sent_ns);
            check_fact(id, fact, may_delay, &mut offences);
        }
        check_denials(driver, room, &held, &mut offences);
    }
    check_must_hold(driver, &mut offences);
    driver.offences.absorb(offences);
}

/// The ids of comments that were held in a room and never shown: nobody may read them.
pub fn never_shown(driver: &Driver, room: usize) -> HashSet<String> {
    let held = facts_of(driver, room).into_iter();
    let hidden = held.filter(|(_, fact)| fact.shown_ns.is_none() && !fact.is_approved);
    // Those that wait for a delay alone are shown at some time.
    let reviewed = hidden.filter(|(_, fact)| fact.delay_ms.is_none() || fact.is_denial_known);
    reviewed.map(|(id, _)| id).collect()
}

fn facts_of(driver: &Driver, room: usize) -> Held {
    let mut held = Held::new();
    for (number, command) in driver.commands.iter() {
        let Fate::Held { id, delay_ms } = &command.fate else {
            continue;
        };
        if command.room as usize != room {
            continue;
        }
        let fact = held.entry(id.clone()).or_default();
        note_command(driver, command.retry_of.unwrap_or(number), fact);
        fact.delay_ms = *delay_ms;
        fact.is_echoed |= command.is_echoed;
    }
    // Those whose senders got no answer.
    for item in driver.rooms[room].holds.items() {
        if let Some(number) = item.number
            && !held.contains_key(&item.id)
        {
            let fact = held.entry(item.id.clone()).or_default();
            note_command(driver, number, fact);
            fact.delay_ms = item.is_preview.then_some(0);
        }
    }
    note_decisions(driver, room, &mut held);
    held
}

fn note_command(driver: &Driver, number: usize, fact: &mut HeldFact) {
    if let Some(command) = driver.commands.get(number) {
        fact.user = driver.members[command.member as usize].user;
        (fact.sent_ns, fact.has_term) = (command.sent_ns, command.has_term);
    }
}

fn note_decisions(driver: &Driver, room: usize, held: &mut Held) {
    let room_facts = &driver.rooms[room];
    for (_, event) in room_facts.log.iter() {
        if let Content::Comment { id, .. } = &event.content
            && let Some(fact) = held.get_mut(id)
        {
            fact.shown_ns = Some(event.first_ns);
        }
    }
    for act in driver.acts.iter().filter(|act| act.room == room) {
        let Some(fact) = held.get_mut(&act.comment) else {
            continue;
        };
        match act.kind {
            ActKind::Approve => {
                let asked = fact.approve_asked_ns.unwrap_or(u64::MAX);
                fact.approve_asked_ns = Some(asked.min(act.asked_ns));
                fact.is_approved |= act.done_ns.is_some();
            }
            ActKind::Deny => fact.is_denied |= act.done_ns.is_some(),
            _ => {}
        }
    }
    for (_, id) in &room_facts.holds.denials {
        if let Some(fact) = held.get_mut(id) {
            fact.is_denial_known = true;
        }
    }
    for (id, fact) in held.iter_mut() {
        fact.is_removed = room_facts.log.removed_at(id).is_some();
    }
}

fn check_fact(id: &str, fact: &HeldFact, may_delay: bool, offences: &mut Offences) {
    let mut fault = |check, what: &str| {
        offences.add(check, || {
            format!("comment {id} of user {:?} was held and {what}", fact.user)
        });
    };
    let is_shown = fact.shown_ns.is_some();
    match (fact.shown_ns, fact.delay_ms, fact.approve_asked_ns) {
        (Some(shown_ns), Some(delay_ms), _) => {
            if shown_ns < fact.sent_ns.saturating_add(delay_ms * 1_000_000) {
                fault(judge::HELD, "shown before the end of its delay");
            }
        }
        (Some(shown_ns), None, Some(asked_ns)) if asked_ns <= shown_ns => {}
        (Some(_), None, _) => fault(judge::HELD, "shown before anybody approved it"),
        (None, ..) => {}
    }
    if fact.is_approved && !is_shown && !fact.is_removed {
        fault(judge::HELD, "approved, and nobody received it");
    }
    let is_delayed = fact.delay_ms.is_some();
    if is_delayed && !is_shown && !fact.is_removed && !fact.is_denial_known {
        fault(judge::HELD, "never shown after its delay");
    }
    if fact.is_denied && fact.is_approved {
        fault(judge::HELD, "both approved and denied");
    }
    if (fact.is_denied || fact.is_denial_known) && is_shown {
        fault(judge::HELD, "denied, and shown");
    }
    if fact.is_echoed {
        fault(judge::HELD, "given back to its sender as sampled out");
    }
    if !(fact.has_term || is_delayed && may_delay) {
        fault(judge::ACTS, "had nothing for which to be held");
    }
}

/// Only the moderators and its author are notified that a comment is denied.
fn check_denials(driver: &Driver, room: usize, held: &Held, offences: &mut Offences) {
    for (member, id) in &driver.rooms[room].holds.denials {
        let author = held.get(id).and_then(|fact| fact.user);
        let is_author = author.is_some() && driver.members[*member].user == author;
        if !is_author && !driver.is_entitled(*member) {
            offences.add(judge::HELD, || {
                format!("member {member} was notified that comment {id} of {author:?} is denied")
            });
        }
    }
}

/// A comment with a term for which comments are held was held, on whatever node.
fn check_must_hold(driver: &Driver, offences: &mut Offences) {
    for (number, command) in driver.commands.iter().filter(|(_, it)| it.must_hold) {
        let is_let_pass = matches!(command.fate, Fate::Accepted { .. } | Fate::SampledOut);
        if command.kind == CommandKind::Comment && is_let_pass {
            offences.add(judge::HELD, || {
                format!("{number} has the term and was not held: {:?}", command.fate)
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A comment with the term that was sent at 100 ns, and for whose approval was asked at 200 ns.
    fn reviewed() -> HeldFact {
        HeldFact {
            user: Some(7),
            sent_ns: 100,
            has_term: true,
            approve_asked_ns: Some(200),
            ..HeldFact::default()
        }
    }

    fn delayed(delay_ms: u64) -> HeldFact {
        HeldFact {
            delay_ms: Some(delay_ms),
            has_term: false,
            approve_asked_ns: None,
            ..reviewed()
        }
    }

    fn judged(fact: &HeldFact) -> Vec<&'static str> {
        let mut offences = Offences::default();
        check_fact("1", fact, true, &mut offences);
        offences.failed().collect()
    }

    #[test]
    fn approved_denied_and_undecided_comments_pass_as_long_as_they_are_shown_in_time_or_not_at_all()
    {
        let approved = HeldFact {
            is_approved: true,
            shown_ns: Some(250),
            ..reviewed()
        };
        let denied = HeldFact {
            is_denied: true,
            is_denial_known: true,
            ..reviewed()
        };
        let removed_at_its_place = HeldFact {
            is_approved: true,
            is_removed: true,
            ..reviewed()
        };
        let shown_after_its_delay = HeldFact {
            shown_ns: Some(2_000_100),
            ..delayed(2)
        };
        for fact in [
            approved,
            denied,
            removed_at_its_place,
            shown_after_its_delay,
            reviewed(),
        ] {
            assert_eq!(judged(&fact), [""; 0], "{fact:?}");
        }
    }

    #[test]
    fn a_held_comment_that_is_shown_too_early_is_caught() {
        for (approve_asked_ns, shown_ns) in [(None, 250), (Some(200), 199)] {
            let fact = HeldFact {
                approve_asked_ns,
                shown_ns: Some(shown_ns),
                ..reviewed()
            };
            assert_eq!(judged(&fact), [judge::HELD]);
        }
        let hasty = HeldFact {
            shown_ns: Some(2_000_099),
            ..delayed(2)
        };
        assert_eq!(judged(&hasty), [judge::HELD]);
    }

    #[test]
    fn a_held_comment_that_is_never_shown_though_it_should_be_is_caught() {
        let approved = HeldFact {
            is_approved: true,
            ..reviewed()
        };
        assert_eq!(judged(&approved), [judge::HELD]);
        assert_eq!(judged(&delayed(2)), [judge::HELD]);
        let denied = HeldFact {
            is_denial_known: true,
            ..delayed(2)
        };
        assert_eq!(judged(&denied), [""; 0], "its author was banned");
    }

    #[test]
    fn a_denied_comment_that_is_shown_and_one_that_is_decided_twice_are_caught() {
        let shown = HeldFact {
            is_denied: true,
            shown_ns: Some(250),
            ..reviewed()
        };
        assert_eq!(judged(&shown), [judge::HELD]);
        let twice = HeldFact {
            is_denied: true,
            is_approved: true,
            is_removed: true,
            ..reviewed()
        };
        assert_eq!(judged(&twice), [judge::HELD]);
    }

    #[test]
    fn a_held_comment_that_comes_back_as_sampled_out_or_that_had_no_reason_is_caught() {
        let echoed = HeldFact {
            is_echoed: true,
            ..reviewed()
        };
        assert_eq!(judged(&echoed), [judge::HELD]);
        let innocent = HeldFact {
            has_term: false,
            ..reviewed()
        };
        assert_eq!(judged(&innocent), [judge::ACTS]);
        let mut offences = Offences::default();
        let shown = HeldFact {
            shown_ns: Some(9_000_000),
            ..delayed(2)
        };
        check_fact("1", &shown, false, &mut offences);
        assert_eq!(offences.failed().collect::<Vec<_>>(), [judge::ACTS]);
    }
}
