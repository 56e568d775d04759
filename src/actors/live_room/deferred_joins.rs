//! Joins of members that come back from another node, which is ahead of this one.
//!
//! Their events were delivered there a moment before they arrive here. If such a join were served
//! now, the member would receive those events again. So the join is deferred until this node has
//! caught up, and later commands of the same session wait behind it.

use std::time::Duration;

use actix::prelude::*;

use crate::domain::{RoomCommand, Timestamp};

use super::{LiveRoom, SessionCommand};

/// Most deferred commands; beyond, commands are served at once.
const DEFERRED_MAX: usize = 1_024;
/// How long a join is deferred, in milliseconds: far longer than a message between nodes takes. A
/// client that claims an offset that does not exist joins then, without recovery.
const WAIT_MS_MAX: i64 = 1_000;

impl LiveRoom {
    /// Defers a command that must wait; returns it if it need not.
    pub(super) fn defer_if_ahead(
        &mut self,
        command: SessionCommand,
        ctx: &mut Context<Self>,
    ) -> Option<SessionCommand> {
        if self.deferred_joins.len() >= DEFERRED_MAX
            || !(self.follows_deferred(&command) || self.is_ahead(&command))
        {
            return Some(command);
        }
        self.deferred_joins.push((command, self.now()));
        ctx.run_later(
            Duration::from_millis(WAIT_MS_MAX.unsigned_abs() + 1),
            Self::release_caught_up,
        );
        None
    }

    /// Whether an earlier command of the same session is deferred.
    fn follows_deferred(&self, command: &SessionCommand) -> bool {
        let session = command.port.outlet.session;
        self.deferred_joins
            .iter()
            .any(|(deferred, _)| deferred.port.outlet.session == session)
    }

    fn is_ahead(&self, command: &SessionCommand) -> bool {
        let RoomCommand::Join {
            since: Ok(Some(since)),
        } = &command.command
        else {
            return false;
        };
        let position = self.room.position();
        self.log.node().is_some() && since.epoch == position.epoch && since.offset > position.offset
    }

    /// Serves deferred commands that need not wait any more.
    pub(super) fn release_caught_up(&mut self, ctx: &mut Context<Self>) {
        let now = self.now();
        for (command, deferred_at) in std::mem::take(&mut self.deferred_joins) {
            let has_time = (deferred_at..deferred_at.plus_ms(WAIT_MS_MAX)).contains(&now);
            if self.follows_deferred(&command) || (has_time && self.is_ahead(&command)) {
                self.deferred_joins.push((command, deferred_at));
            } else {
                self.serve(command, ctx);
            }
        }
    }
}

/// Deferred commands, and since when.
pub(super) type DeferredJoins = Vec<(SessionCommand, Timestamp)>;
