//! What streamers and operators do to a room.

use actix::prelude::*;

use crate::domain::{ActionEntry, EntryContent, RoomEvent};

use super::{Apply, ApplyControl, LiveRoom};

impl Handler<Apply> for LiveRoom {
    type Result = ();

    fn handle(&mut self, Apply(ActionEntry { content, .. }): Apply, ctx: &mut Context<Self>) {
        if let EntryContent::Event(RoomEvent::Removed { comment_id, .. }) = &content
            && self.recovery.history().contains_removal(*comment_id)
        {
            // Members that come back learn of it already. Once they no longer do, a repeated request publishes it again.
            return;
        }
        let effects = self.room.apply(content, self.now());
        self.held.set(self.room.live());
        self.perform(effects);
        self.settle(ctx);
    }
}

impl Handler<ApplyControl> for LiveRoom {
    type Result = ();

    fn handle(&mut self, ApplyControl(control): ApplyControl, ctx: &mut Context<Self>) {
        let effects = self.room.apply_control(control, self.now());
        self.perform(effects);
        self.settle(ctx);
    }
}
