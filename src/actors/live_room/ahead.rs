//! Members that come back from another node and have seen more than this one was told yet.
//!
//! They were told an event there a moment before it got here. Let in now they would be told it again,
//! so their join waits until this node is where they are, and what they say after it waits behind it.

use std::time::Duration;

use actix::prelude::*;

use crate::domain::{RoomCommand, Timestamp};

use super::{LiveRoom, SessionCommand};

/// Commands that wait; beyond, they do not.
const WAITING_MAX: usize = 1_024;
/// How long a join waits: far longer than a message between nodes takes. Who claims to have seen what
/// nobody has is let in then, and recovers nothing.
const WAIT_MS: i64 = 1_000;

impl LiveRoom {
    /// Keeps a command that must wait; returns one that need not.
    pub(super) fn hold_back(&mut self, command: SessionCommand, ctx: &mut Context<Self>) -> Option<SessionCommand> {
        if self.ahead.len() >= WAITING_MAX || !(self.is_behind_another(&command) || self.is_ahead(&command)) {
            return Some(command);
        }
        self.ahead.push((command, self.now()));
        ctx.run_later(Duration::from_millis(WAIT_MS.unsigned_abs() + 1), Self::let_in);
        None
    }

    /// Whether a command of the same session waits already.
    fn is_behind_another(&self, command: &SessionCommand) -> bool {
        let session = command.port.outlet.session;
        self.ahead.iter().any(|(waiting, _)| waiting.port.outlet.session == session)
    }

    fn is_ahead(&self, command: &SessionCommand) -> bool {
        let RoomCommand::Join { since: Ok(Some(since)) } = &command.command else { return false };
        let position = self.room.position();
        self.log.node().is_some() && since.epoch == position.epoch && since.offset > position.offset
    }

    /// Carries out what need not wait any more.
    pub(super) fn let_in(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        for (command, held_at) in std::mem::take(&mut self.ahead) {
            let has_time = (held_at..held_at.plus_ms(WAIT_MS)).contains(&now);
            if self.is_behind_another(&command) || (has_time && self.is_ahead(&command)) {
                self.ahead.push((command, held_at));
            } else {
                self.serve(command, ctx);
            }
        }
    }
}

/// Commands that wait, and since when.
pub(super) type Ahead = Vec<(SessionCommand, Timestamp)>;
