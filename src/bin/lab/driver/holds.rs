//! Comments that are held: who is notified of them, and the moderators who decide about them.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};

use super::schedule::Action;
use super::{Driver, Seat};
use crate::judge;
use crate::room_log::{RoomLog, read_mark};
use crate::script::Moderation;
use crate::standings::{ActKind, Rule};

/// The term for which comments are held while the rule `term` holds, and the list that has it.
const TERM: &str = "labhold";
pub(super) const TERM_LIST: &str = "labhold\thold\n";

/// The share of reviews in which a second moderator decides the other way at the same time.
const CONTESTED: f64 = 0.15;

/// The held comments of a room, as its moderators and their authors were notified of them.
#[derive(Debug, Default)]
pub struct Holds {
    items: Vec<HeldItem>,
    ids: HashMap<String, usize>,
    numbers: HashSet<usize>,
    /// Notices that a comment is denied, each with the member that received it.
    pub denials: Vec<(usize, String)>,
    /// Those that were shown, taken down or denied.
    settled: HashSet<String>,
}

/// One held comment that moderators were notified of.
#[derive(Debug)]
pub struct HeldItem {
    pub id: String,
    /// The number its text is marked with.
    pub number: Option<usize>,
    /// Whether it waits for a delay alone.
    pub is_preview: bool,
    is_approved: bool,
}

impl Holds {
    /// A moderator was notified of a held comment. Returns its number among them if it is new.
    fn notified(&mut self, id: &str, number: Option<usize>, is_preview: bool) -> Option<usize> {
        if self.ids.contains_key(id) {
            return None;
        }
        self.ids.insert(id.to_owned(), self.items.len());
        self.numbers.extend(number);
        self.items.push(HeldItem {
            id: id.to_owned(),
            number,
            is_preview,
            is_approved: false,
        });
        Some(self.items.len() - 1)
    }

    /// The comments that moderators were notified of.
    pub fn items(&self) -> &[HeldItem] {
        &self.items
    }

    /// Whether moderators were notified that the comment of this command is held.
    pub fn has(&self, number: usize) -> bool {
        self.numbers.contains(&number)
    }

    pub(super) fn approved(&mut self, id: &str) {
        if let Some(at) = self.ids.get(id) {
            self.items[*at].is_approved = true;
        }
    }

    /// The comment was shown or taken down. Others than held ones are of no interest.
    pub(super) fn settle(&mut self, id: &str) {
        if self.ids.contains_key(id) {
            self.settled.insert(id.to_owned());
        }
    }

    /// Whether a comment is still to be shown, or its removal.
    pub(super) fn is_any_on_its_way(&self, log: &RoomLog) -> bool {
        let is_gone = |id: &str| self.settled.contains(id) || log.removed_at(id).is_some();
        let is_due = |it: &HeldItem| it.is_preview || it.is_approved;
        self.items.iter().any(|it| is_due(it) && !is_gone(&it.id))
    }
}

impl Driver<'_> {
    /// While the rule holds, some comments of viewers have its term.
    pub(super) fn add_term(&mut self, sender: usize, number: usize, text: &mut String) {
        let (room, now_ns) = (self.members[sender].room, self.now_ns());
        let Some(share) = self.moderation(room).map(|it| it.term_share) else {
            return;
        };
        let standings = &self.rooms[room].standings;
        let may_hold = standings.may_hold(Rule::Term, now_ns);
        let must_hold = standings.must_hold(Rule::Term, now_ns);
        if !may_hold || self.rng.share() >= share {
            return;
        }
        text.push_str(TERM);
        text.push(' ');
        let is_reviewed = !self.is_entitled(sender);
        if let Some(command) = self.commands.get_mut(number) {
            command.has_term = true;
            command.must_hold = must_hold && is_reviewed;
        }
    }

    /// Whether a member may see what is held: it is of the streamer, or of somebody who was to be
    /// named as moderator.
    pub fn is_entitled(&self, index: usize) -> bool {
        let member = &self.members[index];
        let is_to_moderate = |user| {
            let moderation = self.moderation(member.room);
            moderation.is_some_and(|it: &Moderation| it.is_to_moderate(user))
        };
        member.user.is_none_or(is_to_moderate)
    }

    /// `held` or `preview`: a comment that only moderators see yet.
    pub(super) fn on_held(&mut self, index: usize, name: &[u8], body: &[u8], now_ns: u64) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let room_index = self.members[index].room;
        if body["live_id"] != json!(self.rooms[room_index].live_id) {
            self.offences.add(judge::ISOLATED, || {
                format!(
                    "member {index} got a held comment of room {}",
                    body["live_id"]
                )
            });
            return;
        }
        let Some(id) = body["comment"]["id"].as_str() else {
            self.offences.add(judge::WIRE, || {
                format!("member {index} got a held comment without its fields")
            });
            return;
        };
        if !self.is_entitled(index) {
            self.offences.add(judge::HELD, || {
                format!("member {index}, who is no moderator, got held comment {id}")
            });
        }
        let number = body["comment"]["content"].as_str();
        let number = number.and_then(|text| read_mark(text.as_bytes()));
        let is_preview = name == b"preview";
        let new = self.rooms[room_index]
            .holds
            .notified(id, number, is_preview);
        let Some(held) = new.filter(|_| !is_preview) else {
            return;
        };
        let after = self.moderation(room_index).map(|it| it.review_after);
        let after_ns = after.unwrap_or_default().as_nanos() as f64 * (0.5 + self.rng.share());
        let room = room_index;
        self.schedule
            .add(now_ns + after_ns as u64, Action::Review { room, held });
    }

    /// A comment will not be shown. Whether that concerns the member is judged when the run is over.
    pub(super) fn on_denied(&mut self, index: usize, body: &[u8]) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let holds = &mut self.rooms[self.members[index].room].holds;
        let Some(id) = body["comment_id"].as_str() else {
            self.offences.add(judge::WIRE, || {
                format!("member {index} got a denial without comment_id")
            });
            return;
        };
        holds.settle(id);
        holds.denials.push((index, id.to_owned()));
    }

    /// A moderator decides about a held comment; sometimes two do, each in its own way.
    pub(super) fn review(&mut self, room: usize, held: usize, at_ns: u64) {
        let Some(moderation) = self.moderation(room) else {
            return;
        };
        let (approve, reach_ns) = (moderation.approve, moderation.reach.as_nanos() as u64);
        if at_ns + reach_ns > self.phases.end_ns() {
            return;
        }
        let item = &self.rooms[room].holds.items[held];
        let id = item.id.clone();
        let command = item.number.and_then(|number| self.commands.get(number));
        let author = command.and_then(|it| self.members[it.member as usize].user);
        let Some(first) = self.pick(room, Self::keeps_order) else {
            return;
        };
        let kinds = match self.rng.share() < approve {
            true => [ActKind::Approve, ActKind::Deny],
            false => [ActKind::Deny, ActKind::Approve],
        };
        let author = author.unwrap_or_default();
        self.perform(first, kinds[0], author, id.clone());
        if self.rng.share() < CONTESTED {
            let second = self.pick(room, |driver, it| it != first && driver.keeps_order(it));
            if let Some(second) = second.filter(|it| self.members[*it].seat == Seat::In) {
                self.perform(second, kinds[1], author, id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_approved_is_on_its_way_until_it_is_seen() {
        let log = RoomLog::default();
        let mut holds = Holds::default();
        assert_eq!(holds.notified("7", Some(1), false), Some(0));
        assert_eq!(
            holds.notified("7", Some(1), false),
            None,
            "by another moderator"
        );
        assert!(!holds.is_any_on_its_way(&log), "nobody has decided");
        holds.approved("7");
        assert!(holds.is_any_on_its_way(&log));
        holds.settle("8");
        assert!(holds.is_any_on_its_way(&log));
        holds.settle("7");
        assert!(!holds.is_any_on_its_way(&log));
        holds.notified("9", Some(2), true);
        assert!(holds.is_any_on_its_way(&log), "it is only delayed");
        assert!(holds.has(1) && !holds.has(3));
    }
}
