//! What a replica asks of Redis: one call of `append.lua`.

use crate::cluster::redis::entries::Cursor;

use super::waiting::{AppendArgument, WaitingEntry};
use super::{APPEND_MISSED_MAX, OPENING_EVENTS_MAX, RESYNC_EVENTS_MAX};

/// One request to Redis. A replica has at most one under way.
#[derive(Debug, Clone)]
pub struct Question {
    /// Returned with the answer, so that a late answer is ignored.
    pub number: u64,
    /// Up to where this node has read the log; `None`: it has not.
    pub cursor: Option<Cursor>,
    /// Begin a new epoch.
    pub renew: bool,
    /// Most missed events to return.
    pub fill: usize,
    /// Events were dropped that other nodes do not have.
    pub is_incomplete: bool,
    pub batch: Vec<AppendArgument>,
}

impl Question {
    /// Reads the newest events, for a room that opens.
    pub(super) fn opening(number: u64) -> Self {
        Self {
            number,
            cursor: None,
            renew: false,
            fill: OPENING_EVENTS_MAX,
            is_incomplete: false,
            batch: Vec::new(),
        }
    }

    /// Reads the events after `cursor`.
    pub(super) fn resync(number: u64, cursor: &Cursor) -> Self {
        Self {
            cursor: Some(cursor.clone()),
            fill: RESYNC_EVENTS_MAX,
            ..Self::opening(number)
        }
    }

    /// Appends a batch, and reads the events between `cursor` and the batch.
    pub(super) fn append<'a>(
        number: u64,
        cursor: &Cursor,
        batch: impl IntoIterator<Item = &'a WaitingEntry>,
    ) -> Self {
        Self {
            fill: APPEND_MISSED_MAX,
            batch: batch.into_iter().map(WaitingEntry::argument).collect(),
            ..Self::resync(number, cursor)
        }
    }

    /// Appends unreplicated events at the start of a new epoch, and reads those after `cursor`.
    pub(super) fn heal<'a>(
        number: u64,
        cursor: Option<&Cursor>,
        unreplicated: impl IntoIterator<Item = &'a WaitingEntry>,
        is_incomplete: bool,
    ) -> Self {
        Self {
            cursor: cursor.cloned(),
            renew: true,
            fill: RESYNC_EVENTS_MAX,
            is_incomplete,
            batch: unreplicated
                .into_iter()
                .map(WaitingEntry::argument)
                .collect(),
            ..Self::opening(number)
        }
    }
}
