//! Whether every member that was there received what was acked.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::commands::{Command, CommandKind, Fate};
use crate::driver::{Driver, Reading, Seat};
use crate::judge;
use crate::lane::Lane;
use crate::outcome::LaneTotals;
use crate::room_log::Content;
use crate::script::Loss;

/// Deliveries that there should have been: all, but for the crowd's to slow readers.
#[derive(Debug, Default)]
pub struct Receipts {
    pub lanes: [LaneTotals; Lane::ALL.len()],
    /// Crowd events that slow and stopped readers missed, as they may.
    pub missed_by_slow: u64,
}

impl Receipts {
    pub fn expected(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.expected).sum()
    }

    pub fn lost(&self) -> u64 {
        self.lanes.iter().map(|lane| lane.lost).sum()
    }
}

/// Missing events, by room and offset: its lane, and one of the members that missed it.
type Missing = BTreeMap<(usize, u64), (Lane, usize)>;

pub fn check(driver: &mut Driver, allowed: Loss) -> Receipts {
    close_tracks(driver);
    let mut receipts = Receipts::default();
    let mut missing = tally(driver, &mut receipts);
    // Losses that the script permits are counted, and break no promise.
    missing.retain(|_, (lane, _)| receipts.lanes[*lane as usize].loss() > allowed.of(*lane));
    for (&(_, offset), &(lane, member)) in &missing {
        if lane == Lane::Money {
            driver.offences.add(judge::GIFT_LOST, || {
                format!("member {member} missed offset {offset}, a gift or a change of state")
            });
        }
        driver.offences.add(judge::GAPS, || {
            format!("member {member} missed offset {offset}")
        });
    }
    check_acked(driver, &missing);
    check_sampled_out(driver);
    check_gift_ids(driver);
    receipts
}

/// For those still in, the newest event that any member received is the end; what they miss up to
/// it is lost.
fn close_tracks(driver: &mut Driver) {
    for member in &mut driver.members {
        if member.seat == Seat::In && member.reading == Reading::Full && !member.may_miss_crowd {
            member
                .offsets
                .give_up_until(driver.rooms[member.room].log.last());
        }
    }
}

fn tally(driver: &Driver, receipts: &mut Receipts) -> Missing {
    for lane in Lane::ALL {
        receipts.lanes[lane as usize].expected = driver.stats.promised[lane as usize];
    }
    let missed = missed_lanes(driver);
    let mut missing = Missing::new();
    for (index, member) in driver.members.iter().enumerate() {
        for &(from, to) in member.offsets.gaps() {
            for offset in from..to {
                let place = (member.room, offset);
                let incoming = driver.rooms[member.room]
                    .log
                    .get(offset)
                    .map(|event| event.lane);
                // An event that nobody received and nobody was notified of has no known lane: only
                // the crowd's may be dropped.
                let lane = incoming
                    .or_else(|| missed.get(&place).copied())
                    .unwrap_or(Lane::Crowd);
                if member.may_miss_crowd && lane == Lane::Crowd {
                    receipts.missed_by_slow += 1;
                    continue;
                }
                receipts.lanes[lane as usize].expected += 1;
                receipts.lanes[lane as usize].lost += 1;
                missing.entry(place).or_insert((lane, index));
            }
        }
    }
    missing
}

/// Lanes of what was acked and no member received.
fn missed_lanes(driver: &Driver) -> HashMap<(usize, u64), Lane> {
    let lane_of = |command: &Command| {
        let Fate::Accepted {
            offset: Some(offset),
            ..
        } = command.fate
        else {
            return None;
        };
        let room = command.room as usize;
        let lane = match command.kind {
            CommandKind::Gift { .. } => Lane::Money,
            CommandKind::Comment if driver.members[command.member as usize].is_streamer() => {
                Lane::Voice
            }
            CommandKind::Comment => Lane::Crowd,
            CommandKind::Join | CommandKind::Leave | CommandKind::Act { .. } => return None,
        };
        driver.rooms[room]
            .log
            .get(offset)
            .is_none()
            .then_some(((room, offset), lane))
    };
    driver
        .commands
        .iter()
        .filter_map(|(_, command)| lane_of(command))
        .collect()
}

fn check_acked(driver: &mut Driver, missing: &Missing) {
    for (number, command) in driver.commands.iter() {
        let Fate::Accepted { id, offset } = &command.fate else {
            continue;
        };
        let check = match command.kind {
            CommandKind::Comment => judge::COMMENT_LOST,
            CommandKind::Gift { .. } => judge::GIFT_LOST,
            CommandKind::Join | CommandKind::Leave | CommandKind::Act { .. } => continue,
        };
        if let Some(original) = command.retry_of {
            let first = driver.commands.get(original).map(|it| &it.fate);
            if let Some(Fate::Accepted { id: first_id, .. }) = first
                && first_id != id
            {
                driver.offences.add(judge::DUPLICATED, || {
                    format!("command {original} and its retry {number} had an effect each")
                });
            }
        }
        let Some(offset) = *offset else { continue };
        let room = command.room as usize;
        let found = driver.rooms[room]
            .log
            .get(offset)
            .map(|event| says(&event.content, number, id, command));
        match found {
            Some(true) => {
                if let Some((_, member)) = missing.get(&(room, offset)) {
                    driver.offences.add(check, || {
                        format!("member {member} never heard {number}, acked at offset {offset}")
                    });
                }
            }
            Some(false) => {
                driver.offences.add(check, || {
                    format!(
                        "{number} was acked at offset {offset}, where something else was announced"
                    )
                });
            }
            None if missing.contains_key(&(room, offset)) || is_beyond(driver, room, offset) => {
                driver.offences.add(check, || {
                    format!("nobody heard {number}, acked at offset {offset}")
                });
            }
            // No member was there to receive it, or the script puts up with its loss.
            None => {}
        }
    }
}

/// A comment that was sampled out, by the answer to its sender, was announced to nobody; and its
/// sender was shown no other comment without a place.
fn check_sampled_out(driver: &mut Driver) {
    for (number, command) in driver.commands.iter() {
        let original = command
            .retry_of
            .and_then(|original| driver.commands.get(original))
            .unwrap_or(command);
        if command.fate == Fate::SampledOut
            && let Some(offset) = original.announced
        {
            driver.offences.add(judge::SAMPLED, || {
                format!("{number} was answered as sampled out, and announced at offset {offset}")
            });
        }
        if command.is_echoed && matches!(command.fate, Fate::Accepted { .. }) {
            driver.offences.add(judge::SAMPLED, || {
                format!("{number} came back without a place, though accepted")
            });
        }
    }
}

/// Whether members were there to receive what was acked after the last received event.
fn is_beyond(driver: &Driver, room: usize, offset: u64) -> bool {
    let room = &driver.rooms[room];
    offset > room.log.last()
        && room
            .joined
            .iter()
            .any(|member| !driver.members[*member].may_miss_crowd)
}

/// Whether an event is what the command asked for.
fn says(content: &Content, number: usize, acked_id: &str, command: &Command) -> bool {
    match content {
        Content::Comment { id, command: mark } => {
            id == acked_id && *mark == Some(command.retry_of.unwrap_or(number))
        }
        Content::Gift { id, .. } => id == acked_id,
        Content::Removed { .. } | Content::Modes(_) | Content::Other => false,
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
        driver.offences.add(judge::DUPLICATED, || {
            format!("gift {id} was announced at {before} and {offset}")
        });
    }
}
