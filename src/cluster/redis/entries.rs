//! The log of a room as `append.lua` keeps, publishes and answers it.

use std::fmt;

use serde::Deserialize;

use crate::domain::Epoch;

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
        Some(Self { generation: generation.parse().ok()?, offset: offset.parse().ok()? })
    }
}

/// The position up to which this node has read the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    pub epoch: Epoch,
    pub position: LogPosition,
    /// The event at the position, if there is one.
    pub id: Option<EventId>,
}

/// Identifies an event: the origin that appended it (as Kafka's producer id), and its sequence number at that
/// origin. The script keeps the last sequence number of each origin, so that a repeated append has no effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EventId {
    pub origin: u64,
    pub sequence: u64,
}

impl EventId {
    pub fn parse(text: &str) -> Option<Self> {
        let (origin, sequence) = text.split_once('.')?;
        Some(Self { origin: u64::from_str_radix(origin, 16).ok()?, sequence: sequence.parse().ok()? })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.origin, self.sequence)
    }
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub position: LogPosition,
    pub epoch: Epoch,
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
    pub entries: Vec<Entry>,
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
}

impl Batch {
    /// Parses a message that `append.lua` published: a head, and a line for each event.
    pub fn parse(message: &str) -> Option<Self> {
        let mut lines = message.split('\n');
        let head: Head = serde_json::from_str(lines.next()?).ok()?;
        let epoch: Epoch = head.e.into();
        let mut end = LogPosition { generation: head.g, offset: head.o.checked_sub(1)? };
        let mut entries = Vec::new();
        for line in lines {
            let (id, line) = line.split_once(' ')?;
            end.offset += 1;
            entries.push(Entry { position: end, epoch: epoch.clone(), id: EventId::parse(id)?, line: line.to_owned() });
        }
        Some(Self { before: LogPosition::parse(&head.b)?, epoch, end, entries })
    }
}

/// The answer of `append.lua`.
#[derive(Debug)]
pub struct Answer {
    pub epoch: Epoch,
    /// The newest position.
    pub end: LogPosition,
    /// The position before the batch.
    pub before: LogPosition,
    /// For each event of the batch its offset; 0: a gift that was announced before; -1: applied before.
    pub places: Vec<i64>,
    /// Oldest first.
    pub missed: Vec<Entry>,
    /// Whether the log is the one this node saw.
    pub same: bool,
}

impl Answer {
    /// Reads the first, second and fourth part of what `append.lua` answers.
    pub fn parse(head: &str, missed: Vec<(String, Vec<String>)>, same: bool) -> Option<Self> {
        let Head { e, g, o, b, s } = serde_json::from_str(head).ok()?;
        let mut entries = Vec::with_capacity(missed.len());
        for (position, fields) in missed.into_iter().rev() {
            let [_, id, _, epoch, _, line]: [String; 6] = fields.try_into().ok()?;
            entries.push(Entry {
                position: LogPosition::parse(&position)?,
                epoch: epoch.into(),
                id: EventId::parse(&id)?,
                line,
            });
        }
        Some(Self {
            epoch: e.into(),
            end: LogPosition { generation: g, offset: o },
            before: LogPosition::parse(&b)?,
            places: s,
            missed: entries,
            same,
        })
    }
}
