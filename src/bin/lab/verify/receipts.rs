//! Whether what was acked was heard by everybody who was there.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::commands::{Command, CommandKind, Fate};
use crate::driver::{Driver, Reading, Seat};
use crate::judge;
use crate::room_log::Content;

/// Deliveries that there should have been to members that read as fast as they can.
#[derive(Debug, Default)]
pub struct Receipts {
    pub expected: u64,
    pub lost: u64,
    pub money_lost: u64,
    /// Crowd events that slow and stopped readers missed, as they may.
    pub missed_by_slow: u64,
}

impl Receipts {
    /// The share of crowd events that full readers lost.
    pub fn crowd_loss(&self) -> f64 {
        (self.lost - self.money_lost) as f64 / (self.expected.max(1)) as f64
    }
}

/// What is missing, by room and offset: one of the members that missed it.
type Missing = BTreeMap<(usize, u64), usize>;

pub fn check(driver: &mut Driver, loss_allowed: f64) -> Receipts {
    close_tracks(driver);
    let mut receipts = Receipts::default();
    let missing = tally(driver, &mut receipts);
    let is_loss_allowed = receipts.crowd_loss() <= loss_allowed;
    for (&(room, offset), member) in &missing {
        let is_crowd = driver.rooms[room].log.get(offset).is_none_or(|event| event.content.is_crowd());
        if !is_crowd {
            driver.offences.add(judge::GIFT_LOST, || {
                format!("member {member} missed offset {offset}, a gift or a change of state")
            });
        }
        if !is_crowd || !is_loss_allowed {
            driver.offences.add(judge::GAPS, || format!("member {member} missed offset {offset}"));
        }
    }
    check_acked(driver, &missing, is_loss_allowed);
    check_gift_ids(driver);
    receipts
}

/// For those still in, the newest event anybody heard is the end; what they miss up to it is lost.
fn close_tracks(driver: &mut Driver) {
    for member in &mut driver.members {
        if member.seat == Seat::In && member.reading == Reading::Full && !member.may_miss_crowd {
            member.track.give_up_until(driver.rooms[member.room].log.last());
        }
    }
}

fn tally(driver: &Driver, receipts: &mut Receipts) -> Missing {
    let mut missing = Missing::new();
    for (index, member) in driver.members.iter().enumerate() {
        if !member.may_miss_crowd {
            receipts.expected += member.track.heard;
        }
        for &(from, to) in member.track.gaps() {
            for offset in from..to {
                let event = driver.rooms[member.room].log.get(offset);
                // An event that nobody heard has no known lane; only comments may be dropped.
                let is_crowd = event.is_none_or(|event| event.content.is_crowd());
                if member.may_miss_crowd && is_crowd {
                    receipts.missed_by_slow += 1;
                    continue;
                }
                receipts.expected += 1;
                receipts.lost += 1;
                receipts.money_lost += u64::from(!is_crowd);
                missing.entry((member.room, offset)).or_insert(index);
            }
        }
    }
    missing
}

fn check_acked(driver: &mut Driver, missing: &Missing, is_loss_allowed: bool) {
    for (number, command) in driver.commands.iter() {
        let Fate::Accepted { id, offset } = &command.fate else { continue };
        let check = match command.kind {
            CommandKind::Comment => judge::COMMENT_LOST,
            CommandKind::Gift { .. } => judge::GIFT_LOST,
            CommandKind::Join | CommandKind::Leave => continue,
        };
        if let Some(original) = command.retry_of {
            let first = driver.commands.get(original).map(|it| &it.fate);
            if let Some(Fate::Accepted { id: first_id, .. }) = first
                && first_id != id
            {
                driver
                    .offences
                    .add(judge::DUPLICATED, || format!("command {original} and its retry {number} had an effect each"));
            }
        }
        let Some(offset) = *offset else { continue };
        let room = command.room as usize;
        let found = driver.rooms[room].log.get(offset).map(|event| says(&event.content, number, id, command));
        match found {
            Some(true) => {
                if let Some(member) =
                    missing.get(&(room, offset)).filter(|_| check == judge::GIFT_LOST || !is_loss_allowed)
                {
                    driver
                        .offences
                        .add(check, || format!("member {member} never heard {number}, acked at offset {offset}"));
                }
            }
            Some(false) => {
                driver.offences.add(check, || {
                    format!("{number} was acked at offset {offset}, where something else was announced")
                });
            }
            None if missing.contains_key(&(room, offset)) || is_beyond(driver, room, offset) => {
                driver.offences.add(check, || format!("nobody heard {number}, acked at offset {offset}"));
            }
            // Nobody was there to hear it.
            None => {}
        }
    }
}

/// Whether members were there to hear what was acked behind everything that was heard.
fn is_beyond(driver: &Driver, room: usize, offset: u64) -> bool {
    let room = &driver.rooms[room];
    offset > room.log.last() && room.joined.iter().any(|member| !driver.members[*member].may_miss_crowd)
}

/// Whether an event is what the command asked for.
fn says(content: &Content, number: usize, acked_id: &str, command: &Command) -> bool {
    match content {
        Content::Comment { id, command: mark } => id == acked_id && *mark == Some(command.retry_of.unwrap_or(number)),
        Content::Gift { id, .. } => id == acked_id,
        Content::Other => false,
    }
}

/// One gift record is one announcement.
fn check_gift_ids(driver: &mut Driver) {
    let mut seen: HashMap<&str, u64> = HashMap::new();
    let mut twice = HashSet::new();
    for room in &driver.rooms {
        for (offset, event) in room.log.iter() {
            if let Content::Gift { id, .. } = &event.content
                && let Some(before) = seen.insert(id, offset)
            {
                twice.insert((id.clone(), before, offset));
            }
        }
    }
    for (id, before, offset) in twice {
        driver.offences.add(judge::DUPLICATED, || format!("gift {id} was announced at {before} and {offset}"));
    }
}
