//! Actions of streamers and operators on a room.

use actix::prelude::*;

use crate::cluster::LogEntry;
use crate::domain::{Account, ActionEntry, Control};

use super::effects::Effects;
use super::{Apply, ApplyControl, Explain, FollowChanged, LiveRoom, ModesRead, StandingsRead};

impl Handler<Apply> for LiveRoom {
    type Result = ();

    fn handle(&mut self, Apply(entry): Apply, ctx: &mut Context<Self>) {
        let effects = self.room.apply(entry, self.now());
        self.versioned_live.set(self.room.live());
        self.perform(effects);
        self.settle(ctx);
    }
}

impl Handler<ApplyControl> for LiveRoom {
    type Result = ();

    fn handle(&mut self, ApplyControl(control): ApplyControl, ctx: &mut Context<Self>) {
        let effects = self.apply_control(control);
        self.perform(effects);
        self.settle(ctx);
    }
}

impl Handler<StandingsRead> for LiveRoom {
    type Result = ();

    fn handle(&mut self, StandingsRead(standings): StandingsRead, ctx: &mut Context<Self>) {
        let effects = self.room.standings_read(standings, self.now());
        self.perform(effects);
        self.settle(ctx);
    }
}

impl Handler<ModesRead> for LiveRoom {
    type Result = ();

    fn handle(&mut self, ModesRead(modes): ModesRead, ctx: &mut Context<Self>) {
        self.room.modes_read(modes);
        self.settle(ctx);
    }
}

impl Handler<FollowChanged> for LiveRoom {
    type Result = ();

    fn handle(&mut self, changed: FollowChanged, _: &mut Context<Self>) {
        self.room.follow_changed(changed.follower);
    }
}

impl Handler<Explain> for LiveRoom {
    type Result = ();

    fn handle(&mut self, explain: Explain, _: &mut Context<Self>) {
        let Explain {
            user,
            site_sanctions,
            account_since,
            facts,
            reply,
        } = explain;
        let account = Account {
            site_sanctions: &site_sanctions,
            since: account_since,
        };
        // The receiver may have stopped waiting.
        let _ = reply.send(self.room.explain(user, account, facts, self.now()));
    }
}

impl LiveRoom {
    /// Takes in a control of the log.
    pub(super) fn apply_control(&mut self, control: Control) -> Effects {
        let now = self.now();
        if let (Some(tap), Control::Held(held)) = (self.fan_out.tap(), &control) {
            tap.held(held, now);
        }
        self.room.apply_control(control, now)
    }

    /// Appends the entry of an action to the log. Over Redis it comes back as
    /// [`Delivered`](super::Delivered), and is applied then.
    pub(super) fn append_action(&mut self, entry: ActionEntry) -> Effects {
        match self.log.append_action(entry) {
            Some(LogEntry::Event(sequenced)) => self.deliver(sequenced),
            Some(LogEntry::Control(control)) => self.apply_control(control),
            None => Effects::new(),
        }
    }
}
