//! Entries on their way to the log.

use std::time::Instant;

use crate::cluster::redis::controls::write_control;
use crate::cluster::redis::entries::EventId;
use crate::domain::{ActionEntry, EntryContent, EntryKey, GiftRecordId, RoomEvent, Timestamp};
use crate::protocol::write_event;

/// An entry that is not in the log yet.
#[derive(Debug, Clone)]
pub struct WaitingEntry {
    /// Its number among those of this node's room.
    pub sequence: u64,
    pub event: RoomEvent,
    /// Of the action that adds it.
    pub action: Option<EntryKey>,
    /// When it was appended, for other nodes.
    pub at: Timestamp,
    pub since: Instant,
}

impl WaitingEntry {
    pub fn id(&self, origin: u64) -> EventId {
        self.action.map_or(
            EventId {
                origin,
                sequence: self.sequence,
            },
            EventId::from,
        )
    }

    /// The gift record that it announces.
    pub fn record(&self) -> Option<GiftRecordId> {
        match &self.event {
            RoomEvent::Gift { receipt, .. } => Some(receipt.record_id),
            _ => None,
        }
    }

    pub fn is_comment(&self) -> bool {
        matches!(self.event, RoomEvent::Comment(_))
    }

    /// The entry as `append.lua` takes it.
    pub fn argument(&self) -> AppendArgument {
        let key = match self.action {
            Some(key) => format!("a{}", EventId::from(key)),
            None => self
                .record()
                .map_or_else(String::new, |record| format!("g{record}")),
        };
        AppendArgument {
            sequence: self.sequence,
            key,
            line: write_event(&self.event, self.at),
        }
    }
}

/// An entry as `append.lua` takes it.
#[derive(Debug, Clone)]
pub struct AppendArgument {
    pub sequence: u64,
    /// The key that prevents a second entry on a repeat; empty: only its sequence number does.
    pub key: String,
    pub line: String,
}

impl AppendArgument {
    /// The only entry of an origin: that of an action.
    pub fn of_action(entry: &ActionEntry, at: Timestamp) -> Self {
        let id = EventId::from(entry.key());
        let (key, line) = match &entry.content {
            EntryContent::Event(event) => (format!("a{id}"), write_event(event, at)),
            EntryContent::Control(control) => {
                let kind = if control.is_kept() { 'c' } else { 'p' };
                (format!("{kind}{id}"), write_control(control))
            }
        };
        Self {
            sequence: 1,
            key,
            line,
        }
    }
}
