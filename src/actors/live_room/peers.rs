//! A room and its like on other nodes: who is there, and in which order things are told.

use actix::prelude::*;
use serde_json::json;

use crate::cluster::FromLog;

use super::{Delivered, LiveRoom};

impl LiveRoom {
    /// Tells other nodes what this one shows differently.
    pub(super) fn show_own(&mut self) {
        let changes = self.room.take_local_changes();
        if !changes.is_empty() {
            self.users_changed = true;
            self.log.show(changes);
        }
    }

    /// Writes down who is online for other services, on the one node that does. The clock for it is the
    /// room's housekeeping: a crowd that comes in is written down once a second.
    pub(super) fn publish_users(&mut self) {
        let Some(node) = self.log.node() else { return };
        if !std::mem::take(&mut self.users_changed) || !self.room.members().leads(node) {
            return;
        }
        let users: Vec<_> = self.room.members().users(self.services.settings.presence.merged_users_max);
        let users = users.iter().map(|user| json!({"id": user.id.get(), "name": user.name, "avatar": user.avatar}));
        self.log.publish_users(users.collect::<serde_json::Value>().to_string());
    }
}

impl Handler<Delivered> for LiveRoom {
    type Result = ();

    fn handle(&mut self, Delivered(told): Delivered, ctx: &mut Context<Self>) {
        match told {
            FromLog::Ordered(events) => {
                self.log.taken(events.len());
                for sequenced in events {
                    let effects = self.deliver(sequenced);
                    self.perform(effects);
                }
                self.release_caught_up(ctx);
            }
            FromLog::Control(control) => {
                let effects = self.room.apply_control(control, self.now());
                self.perform(effects);
            }
            FromLog::GiftKnown(record_id, offset) => {
                let effects = self.room.gift_announced(record_id, offset);
                self.perform(effects);
            }
            FromLog::Peers(changes) => {
                self.users_changed = true;
                let effects = self.room.apply_remote_presence(changes, self.now());
                self.perform(effects);
            }
        }
        self.settle(ctx);
    }
}
