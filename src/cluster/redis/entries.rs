//! The log of a room as `append.lua` keeps, publishes and answers it.

use std::fmt;

use serde::Deserialize;

use crate::domain::{EntryKey, Epoch};

/// A position in the log: the generation of its epoch, and the offset in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct LogPosition {
    pub generation: u64,
    pub offset: u64,
}

impl LogPosition {
    /// Reads `generation-offset`.
    pub fn parse(text: &str) -> Option<Self> {
        let (generation, offset) = text.split_once('-')?;
        Some(Self {
            generation: generation.parse().ok()?,
            offset: offset.parse().ok()?,
        })
    }
}

/// The position up to which this node has read the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub epoch: Epoch,
    pub position: LogPosition,
    /// The event at the position, if there is one.
    pub id: Option<EventId>,
    /// How many controls the log had there. Those that older versions append are not counted.
    pub controls_count: u64,
}

/// Identifies an entry: the origin that appended it (as Kafka's producer id), and its sequence
/// number at that origin. The script keeps the last sequence number of each origin, so that a
/// repeated append has no effect. An entry of an action has the action's key instead, under one of
/// origins that no room has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    pub origin: u64,
    pub sequence: u64,
}

/// The origin of entries of actions; the sequence number is the action's id.
const ACTIONS_ORIGIN: u64 = 0;
/// The origin of removals; the sequence number is the comment's id.
const REMOVALS_ORIGIN: u64 = 1;
/// The origin of further entries of actions; the sequence number is the action's id times
/// [`PARTS_MAX`], plus the part.
const PARTS_ORIGIN: u64 = 2;
/// The origin of controls that say that a comment is held; the sequence number is the comment's id.
const HELD_ORIGIN: u64 = 3;
/// The origin of decisions on held comments; the sequence number is the comment's id.
const DECISIONS_ORIGIN: u64 = 4;
/// Origins that no room has.
const KEY_ORIGINS: [u64; 5] = [
    ACTIONS_ORIGIN,
    REMOVALS_ORIGIN,
    PARTS_ORIGIN,
    HELD_ORIGIN,
    DECISIONS_ORIGIN,
];
/// Entries of one action.
const PARTS_MAX: u64 = 256;

impl From<EntryKey> for EventId {
    fn from(key: EntryKey) -> Self {
        match key {
            EntryKey::Action(id) => Self {
                origin: ACTIONS_ORIGIN,
                sequence: id.get().unsigned_abs(),
            },
            EntryKey::Part(id, part) => Self {
                origin: PARTS_ORIGIN,
                sequence: id
                    .get()
                    .unsigned_abs()
                    .saturating_mul(PARTS_MAX)
                    .saturating_add(part.into()),
            },
            EntryKey::Removal(id) => Self {
                origin: REMOVALS_ORIGIN,
                sequence: id.get().unsigned_abs(),
            },
            EntryKey::Held(id) => Self {
                origin: HELD_ORIGIN,
                sequence: id.get().unsigned_abs(),
            },
            EntryKey::Decision(id) => Self {
                origin: DECISIONS_ORIGIN,
                sequence: id.get().unsigned_abs(),
            },
        }
    }
}

impl EventId {
    /// Whether it is the key of an action, rather than counted by the room of a node.
    pub fn is_key(self) -> bool {
        KEY_ORIGINS.contains(&self.origin)
    }

    pub fn parse(text: &str) -> Option<Self> {
        let (origin, sequence) = text.split_once('.')?;
        Some(Self {
            origin: u64::from_str_radix(origin, 16).ok()?,
            sequence: sequence.parse().ok()?,
        })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.origin, self.sequence)
    }
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedEvent {
    pub position: LogPosition,
    pub epoch: Epoch,
    pub id: EventId,
    pub line: String,
}

/// A control in the log: an entry without a position of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlEntry {
    /// The position of the event before it.
    pub after: LogPosition,
    pub id: EventId,
    pub line: String,
}

/// A control that is published and not kept.
#[derive(Debug)]
pub struct Preview {
    pub id: EventId,
    pub line: String,
}

/// A published batch.
#[derive(Debug)]
pub struct Batch {
    /// The position before its first event.
    pub before: LogPosition,
    pub epoch: Epoch,
    /// Of its last event; of the beginning of its epoch, if it has none.
    pub end: LogPosition,
    pub entries: Vec<LoggedEvent>,
    /// As in [`Answer::gap`].
    pub gap: u64,
    pub controls: Vec<ControlEntry>,
    /// Controls that the log does not keep: whoever misses them misses nothing else.
    pub previews: Vec<Preview>,
    /// As in [`Cursor::controls_count`], these included; 0 in a batch of an older version.
    pub controls_count: u64,
}

/// A position of the log, as `append.lua` writes it.
#[derive(Deserialize)]
struct Head {
    e: String,
    g: u64,
    o: u64,
    b: String,
    #[serde(default)]
    s: Vec<i64>,
    #[serde(default)]
    c: Vec<ControlHead>,
    #[serde(default)]
    p: Vec<PreviewHead>,
    #[serde(default)]
    gap: u64,
    #[serde(default)]
    k: u64,
}

/// A control in the head of a batch: its id, the offset of the event before it, and its line.
#[derive(Deserialize)]
struct ControlHead {
    m: String,
    o: u64,
    p: String,
}

/// A preview in the head of a batch: its id and its line.
#[derive(Deserialize)]
struct PreviewHead {
    m: String,
    p: String,
}

impl Batch {
    /// Parses a message that `append.lua` published: a head, and a line for each event.
    pub fn parse(message: &str) -> Option<Self> {
        let mut lines = message.split('\n');
        let head: Head = serde_json::from_str(lines.next()?).ok()?;
        let epoch: Epoch = head.e.into();
        let mut end = LogPosition {
            generation: head.g,
            offset: head.o.checked_sub(1)?,
        };
        let mut entries = Vec::new();
        for line in lines {
            let (id, line) = line.split_once(' ')?;
            end.offset += 1;
            entries.push(LoggedEvent {
                position: end,
                epoch: epoch.clone(),
                id: EventId::parse(id)?,
                line: line.to_owned(),
            });
        }
        let control = |ControlHead { m, o, p }| {
            let after = LogPosition {
                generation: head.g,
                offset: o,
            };
            Some(ControlEntry {
                after,
                id: EventId::parse(&m)?,
                line: p,
            })
        };
        let controls = head.c.into_iter().map(control).collect::<Option<_>>()?;
        let preview = |PreviewHead { m, p }| {
            let id = EventId::parse(&m)?;
            Some(Preview { id, line: p })
        };
        let previews = head.p.into_iter().map(preview).collect::<Option<_>>()?;
        Some(Self {
            before: LogPosition::parse(&head.b)?,
            epoch,
            end,
            entries,
            gap: head.gap,
            controls,
            previews,
            controls_count: head.k,
        })
    }
}

/// Entries of a Redis stream: the id of each, and its fields and values by turns.
pub type StreamEntries = Vec<(String, Vec<String>)>;

/// The answer of `append.lua`.
#[derive(Debug)]
pub struct Answer {
    pub epoch: Epoch,
    /// The newest position.
    pub end: LogPosition,
    /// The position before the batch.
    pub before: LogPosition,
    /// For each event of the batch its offset; 0: a gift or an action that was appended before; -1:
    /// applied before.
    pub places: Vec<i64>,
    /// Oldest first.
    pub missed: Vec<LoggedEvent>,
    /// The newest generation before which events were dropped by the node that began it; 0: there
    /// is none.
    pub gap: u64,
    /// The newest controls of the log, oldest first, whether they were missed or not.
    pub controls: Vec<ControlEntry>,
    /// As in [`Cursor::controls_count`], at the newest position.
    pub controls_count: u64,
    /// Whether the log is the one this node saw.
    pub same: bool,
}

impl Answer {
    /// Reads all but the third part of the answer of `append.lua`.
    pub fn parse(
        head: &str,
        missed: StreamEntries,
        same: bool,
        newest_controls: StreamEntries,
    ) -> Option<Self> {
        let Head {
            e,
            g,
            o,
            b,
            s,
            gap,
            k,
            ..
        } = serde_json::from_str(head).ok()?;
        let mut entries = Vec::with_capacity(missed.len());
        for (position, fields) in missed.into_iter().rev() {
            let [_, id, _, epoch, _, line]: [String; 6] = fields.try_into().ok()?;
            entries.push(LoggedEvent {
                position: LogPosition::parse(&position)?,
                epoch: epoch.into(),
                id: EventId::parse(&id)?,
                line,
            });
        }
        let mut controls = Vec::with_capacity(newest_controls.len());
        for (_, fields) in newest_controls.into_iter().rev() {
            let [_, id, _, after, _, line]: [String; 6] = fields.try_into().ok()?;
            controls.push(ControlEntry {
                after: LogPosition::parse(&after)?,
                id: EventId::parse(&id)?,
                line,
            });
        }
        Some(Self {
            epoch: e.into(),
            end: LogPosition {
                generation: g,
                offset: o,
            },
            before: LogPosition::parse(&b)?,
            places: s,
            missed: entries,
            gap,
            controls,
            controls_count: k,
            same,
        })
    }
}
