//! Epochs, positions and entries as the order scripts write them.

use std::sync::Arc;

use crate::cluster::redis::controls::write_control;
use crate::cluster::redis::entries::{
    Answer, Batch, ControlEntry, EventId, LogPosition, LoggedEvent,
};
use crate::cluster::redis::log_replica::AppendArgument;
use crate::cluster::redis::log_replica::tests::{text_of, unknown};
use crate::cluster::redis::scripts::{Words, number};
use crate::domain::{
    ActionEntry, ActionId, Coins, Comment, CommentId, CommentText, Control, EntryContent, EntryKey,
    Epoch, Gift, GiftCount, GiftId, GiftOrder, GiftReceipt, GiftRecordId, LiveId, Profile,
    RequestId, RoomEvent, Timestamp, UserId,
};
use crate::protocol::write_event;

/// The origin of the room on a node. The origins of actions are 0 and 1.
pub(super) const fn origin_of(node: u64) -> u64 {
    node + 100
}

pub(super) fn label_of(id: EventId) -> String {
    match id.origin {
        0 => format!("a{}", id.sequence),
        1 => format!("x{}", id.sequence),
        origin => format!("n{}.{}", origin - origin_of(0), id.sequence),
    }
}

pub(super) fn argument_label(argument: &AppendArgument) -> String {
    let key = &argument.key;
    match key.split_at_checked(1) {
        Some(("a", id)) => label_of(EventId::parse(id).expect("an id")),
        Some(("g", record_id)) => format!("n1.{}:r{record_id}", argument.sequence),
        None => format!("n1.{}", argument.sequence),
        other => panic!("a key that no entry has: {other:?}"),
    }
}

pub(super) fn generation_of(epoch: &str) -> Result<u64, String> {
    let letter = epoch.trim_end_matches('\'').as_bytes();
    match letter {
        [letter @ b'e'..=b'k'] => Ok(u64::from(letter - b'd')),
        _ => Err(format!("{epoch} is not an epoch")),
    }
}

fn position(word: &str) -> Result<(Epoch, LogPosition), String> {
    let (epoch, offset) = word
        .split_once(':')
        .ok_or(format!("{word} is not a position"))?;
    let position = LogPosition {
        generation: generation_of(epoch)?,
        offset: number(offset)?,
    };
    Ok((epoch.into(), position))
}

fn gap(words: &mut Words<'_>) -> Result<u64, String> {
    words.key("gap").map_or(Ok(0), generation_of)
}

fn controls_count(words: &mut Words<'_>) -> Result<u64, String> {
    words.key("controls").map_or(Ok(0), number)
}

/// `5,6` or `1..8192`.
fn places(word: &str) -> Result<Vec<i64>, String> {
    match word.split_once("..") {
        Some((first, last)) => Ok((number(first)?..=number(last)?).collect()),
        None => word.split(',').map(number).collect(),
    }
}

pub(super) fn batch(words: &mut Words<'_>) -> Result<Batch, String> {
    let (epoch, end) = position(words.next("a position")?)?;
    let before = words.key("after").map(position).transpose()?;
    let gap = gap(words)?;
    let controls_count = controls_count(words)?;
    let (entries, controls) = entries(&words.rest(), &epoch, end)?;
    let first = end.offset - entries.len() as u64;
    let same_epoch = LogPosition {
        offset: first,
        ..end
    };
    Ok(Batch {
        before: before.map_or(same_epoch, |(_, before)| before),
        epoch,
        end,
        entries,
        gap,
        controls,
        previews: Vec::new(),
        controls_count,
    })
}

pub(super) fn answer(words: &mut Words<'_>) -> Result<Answer, String> {
    let (epoch, end) = position(words.next("a position")?)?;
    let places = words.key("places").map_or(Ok(Vec::new()), places)?;
    let before = words.key("before").map(position).transpose()?;
    let (gap, same) = (gap(words)?, !words.flag("lost"));
    let controls_count = controls_count(words)?;
    let (missed, controls) = entries(&words.rest(), &epoch, end)?;
    let first = places.iter().find(|place| **place > 0);
    let same_epoch = LogPosition {
        offset: first.map_or(end.offset, |first| first.unsigned_abs() - 1),
        ..end
    };
    Ok(Answer {
        before: before.map_or(same_epoch, |(_, before)| before),
        epoch,
        end,
        places,
        missed,
        gap,
        controls,
        controls_count,
        same,
    })
}

type Entries = (Vec<LoggedEvent>, Vec<ControlEntry>);

/// Reads entries, of which the last event is at `end`.
fn entries(words: &[&str], epoch: &Epoch, end: LogPosition) -> Result<Entries, String> {
    let words = expand(words)?;
    let is_event = |word: &&String| !word.starts_with('k');
    let events_count = words.iter().filter(is_event).count() as u64;
    let before = end.offset.checked_sub(events_count);
    let mut at = LogPosition {
        offset: before.unwrap_or(end.offset),
        ..end
    };
    let (mut events, mut controls) = (Vec::new(), Vec::new());
    for word in &words {
        if let Some(control) = word.strip_prefix('k') {
            controls.push(control_entry(control, at)?);
            continue;
        }
        let (label, place) = word.split_once('@').unwrap_or((word, ""));
        let mut epoch = epoch.clone();
        if place.is_empty() {
            at.offset += 1;
        } else {
            (epoch, at) = position(place)?;
        }
        let (id, line) = event_line(label)?;
        events.push(LoggedEvent {
            position: at,
            epoch,
            id,
            line,
        });
    }
    Ok((events, controls))
}

/// Writes `n2.1..3` as three words.
fn expand(words: &[&str]) -> Result<Vec<String>, String> {
    let mut expanded = Vec::new();
    for word in words {
        let Some((first, last)) = word.split_once("..") else {
            expanded.push((*word).to_owned());
            continue;
        };
        let (node, first) = first
            .split_once('.')
            .ok_or(format!("{word} is not a range"))?;
        let sequences = number::<u64>(first)?..=number(last)?;
        expanded.extend(sequences.map(|sequence| format!("{node}.{sequence}")));
    }
    Ok(expanded)
}

fn control_entry(word: &str, after: LogPosition) -> Result<ControlEntry, String> {
    let (action, kind) = word.split_once(':').unwrap_or((word, ""));
    let action: i64 = number(action)?;
    let line = match kind {
        "" => write_control(&kick(action)?),
        "later" => r#"{"control":"mute","user":1}"#.into(),
        _ => return Err(format!("{kind} is not a kind of control")),
    };
    let id = ActionId::new(action).ok_or("0 is not an action")?;
    Ok(ControlEntry {
        after,
        id: EntryKey::Action(id).into(),
        line,
    })
}

/// The id of an event in the log, and its line there.
fn event_line(word: &str) -> Result<(EventId, String), String> {
    let (label, kind) = word.split_once(':').unwrap_or((word, ""));
    if let Some((node, sequence)) = label.strip_prefix('n').and_then(|it| it.split_once('.')) {
        let id = EventId {
            origin: origin_of(number(node)?),
            sequence: number(sequence)?,
        };
        let line = match kind {
            "" => write_event(&notice(label), Timestamp(1)),
            "old" => write_event(&notice(label), Timestamp(-1)),
            "later" => write_event(&unknown(label), Timestamp(1)),
            "garbage" => "?".into(),
            gift_kind if gift_kind.starts_with('r') => {
                write_event(&gift(number(&gift_kind[1..])?), Timestamp(1))
            }
            _ => return Err(format!("{kind} is not a kind of event")),
        };
        return Ok((id, line));
    }
    let entry = action(label)?;
    let id = entry.key().into();
    match entry.content {
        EntryContent::Event(event) => Ok((id, write_event(&event, Timestamp(1)))),
        EntryContent::Control(_) => Err(format!("{word} is not an event")),
    }
}

/// The entry of an action.
pub(super) fn action(word: &str) -> Result<ActionEntry, String> {
    let (kind, id) = word.split_at_checked(1).ok_or("an entry is missing")?;
    let raw = number(id)?;
    let content = match kind {
        "a" => EntryContent::Event(notice(word)),
        "x" => EntryContent::Event(RoomEvent::Removed {
            live_id: LiveId::FIRST,
            comment_id: CommentId::new(raw).ok_or("0 is not a comment")?,
        }),
        "k" => EntryContent::Control(kick(raw)?),
        _ => return Err(format!("{word} is not the entry of an action")),
    };
    let id = ActionId::new(raw).ok_or("0 is not an action")?;
    Ok(ActionEntry::of_action(id, 0, content))
}

fn kick(action: i64) -> Result<Control, String> {
    Ok(Control::Kick {
        user: UserId::new(action).ok_or("0 is not a user")?,
        at: Timestamp(1),
    })
}

pub(super) fn notice(text: &str) -> RoomEvent {
    RoomEvent::Notice {
        live_id: LiveId::FIRST,
        text: text.into(),
    }
}

fn profile() -> Arc<Profile> {
    Arc::new(Profile {
        id: UserId::FIRST,
        name: "alice".into(),
        avatar: None,
    })
}

pub(super) fn comment(text: &str) -> RoomEvent {
    RoomEvent::Comment(Arc::new(Comment {
        id: CommentId::FIRST,
        live_id: LiveId::FIRST,
        author: profile(),
        text: CommentText::parse(text, 200).expect("a text"),
        request_id: None,
        at: Timestamp(1),
    }))
}

pub(super) fn gift(record_id: i64) -> RoomEvent {
    let coins = |coins| Coins::new(coins);
    let gift = Gift {
        id: GiftId::FIRST,
        name: "rose".into(),
        image: String::new(),
        price: coins(7),
    };
    RoomEvent::Gift {
        order: Arc::new(GiftOrder {
            live_id: LiveId::FIRST,
            giver: profile(),
            gift: Arc::new(gift),
            count: GiftCount::ONE,
            request_id: RequestId::parse("g1").expect("an id"),
            at: Timestamp(1),
        }),
        receipt: GiftReceipt {
            record_id: GiftRecordId::new(record_id).expect("a record"),
            total: coins(7),
            giver_coin: coins(93),
            live_coin: coins(7),
            at: Timestamp(1),
            duplicate: false,
        },
    }
}

pub(super) fn text(event: &RoomEvent) -> String {
    match event {
        RoomEvent::Comment(comment) => format!("{} (comment)", comment.text.as_str()),
        RoomEvent::Gift { receipt, .. } => format!("gift r{}", receipt.record_id),
        RoomEvent::Removed { comment_id, .. } => format!("x{comment_id}"),
        event => text_of(event),
    }
}
