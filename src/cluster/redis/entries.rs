//! The log of a room as `append.lua` keeps, publishes and answers it.

use std::fmt;

use serde::Deserialize;

use crate::domain::Epoch;

/// A place in the log: which of its epochs, and where in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    pub generation: u64,
    pub offset: u64,
}

impl Place {
    /// Reads `generation-offset`.
    pub fn parse(text: &str) -> Option<Self> {
        let (generation, offset) = text.split_once('-')?;
        Some(Self { generation: generation.parse().ok()?, offset: offset.parse().ok()? })
    }
}

/// Up to where the log was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    pub epoch: Epoch,
    pub place: Place,
    /// Of the event there, if there is one.
    pub mark: Option<Mark>,
}

/// Names one event: which origin appended it, and its how manieth that was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    pub origin: u64,
    pub count: u64,
}

impl Mark {
    pub fn parse(text: &str) -> Option<Self> {
        let (origin, count) = text.split_once('.')?;
        Some(Self { origin: u64::from_str_radix(origin, 16).ok()?, count: count.parse().ok()? })
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}.{}", self.origin, self.count)
    }
}

/// An event of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub place: Place,
    pub epoch: Epoch,
    pub mark: Mark,
    pub line: String,
}

/// A batch as it was published.
#[derive(Debug)]
pub struct Batch {
    /// The place before its first event.
    pub before: Place,
    pub epoch: Epoch,
    /// Of its last event; of the beginning of its epoch, if it has none.
    pub end: Place,
    pub entries: Vec<Entry>,
}

/// A place of the log, in the words of `append.lua`.
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
    /// Reads what `append.lua` publishes: a head and a line for each event.
    pub fn parse(message: &str) -> Option<Self> {
        let mut lines = message.split('\n');
        let head: Head = serde_json::from_str(lines.next()?).ok()?;
        let epoch: Epoch = head.e.into();
        let mut end = Place { generation: head.g, offset: head.o.checked_sub(1)? };
        let mut entries = Vec::new();
        for line in lines {
            let (mark, line) = line.split_once(' ')?;
            end.offset += 1;
            entries.push(Entry { place: end, epoch: epoch.clone(), mark: Mark::parse(mark)?, line: line.to_owned() });
        }
        Some(Self { before: Place::parse(&head.b)?, epoch, end, entries })
    }
}

/// What `append.lua` answered.
#[derive(Debug)]
pub struct Answer {
    pub epoch: Epoch,
    /// The newest place.
    pub end: Place,
    /// The place before the batch.
    pub before: Place,
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
        for (place, fields) in missed.into_iter().rev() {
            let [_, mark, _, epoch, _, line]: [String; 6] = fields.try_into().ok()?;
            entries.push(Entry { place: Place::parse(&place)?, epoch: epoch.into(), mark: Mark::parse(&mark)?, line });
        }
        Some(Self {
            epoch: e.into(),
            end: Place { generation: g, offset: o },
            before: Place::parse(&b)?,
            places: s,
            missed: entries,
            same,
        })
    }
}
