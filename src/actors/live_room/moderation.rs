//! What operators do to a room.

use actix::prelude::*;

use super::{LiveRoom, PostNotice, TakeDown};

impl Handler<TakeDown> for LiveRoom {
    type Result = ();

    /// Told once as long as those who come back learn of it; asked for again later, told again, which
    /// makes up for a telling that got lost.
    fn handle(&mut self, take_down: TakeDown, ctx: &mut Context<Self>) {
        let TakeDown(comment_id) = take_down;
        if self.retired || self.recovery.history().tells_removal(comment_id) {
            return;
        }
        let effects = self.room.comment_removed(comment_id);
        self.perform(effects);
        self.settle(ctx);
    }
}

impl Handler<PostNotice> for LiveRoom {
    type Result = ();

    fn handle(&mut self, notice: PostNotice, ctx: &mut Context<Self>) {
        if self.retired {
            return;
        }
        let effects = self.room.notice(notice.0);
        self.perform(effects);
        self.settle(ctx);
    }
}
