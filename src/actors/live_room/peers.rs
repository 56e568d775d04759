//! A room on several nodes: presence on other nodes, and events in the order of the log.

use actix::prelude::*;
use serde_json::json;

use crate::cluster::FromLog;

use super::{Delivered, LiveRoom};

impl LiveRoom {
    /// Publishes the presence changes of this node to the others.
    pub(super) fn publish_local_presence(&mut self) {
        let changes = self.room.take_local_changes();
        if !changes.is_empty() {
            self.users_changed = true;
            self.log.publish_presence(changes);
        }
    }

    /// Publishes the users online for other services, on the one node that does. The room's
    /// housekeeping calls it: a crowd that joins is published once a second.
    pub(super) fn publish_users(&mut self) {
        let Some(node) = self.log.node() else { return };
        if !std::mem::take(&mut self.users_changed) || !self.room.members().leads(node) {
            return;
        }
        let users: Vec<_> = self
            .room
            .members()
            .users(self.services.settings.presence.merged_users_max);
        let users = users
            .iter()
            .map(|user| json!({"id": user.id.get(), "name": user.name, "avatar": user.avatar}));
        self.log
            .publish_users(users.collect::<serde_json::Value>().to_string());
    }
}

impl Handler<Delivered> for LiveRoom {
    type Result = ();

    fn handle(&mut self, Delivered(from_log): Delivered, ctx: &mut Context<Self>) {
        match from_log {
            FromLog::Ordered(events) => {
                self.log.ack(events.len());
                for sequenced in events {
                    let effects = self.deliver(sequenced);
                    self.perform(effects);
                }
                self.release_caught_up(ctx);
            }
            FromLog::Control(control) => {
                let effects = self.apply_control(control);
                self.perform(effects);
            }
            FromLog::EventsMissed => {
                let effects = self.room.events_missed(self.now());
                self.perform(effects);
                self.read_missed(ctx);
            }
            FromLog::ControlsMissed => {
                self.room.controls_missed();
                self.read_missed(ctx);
            }
            FromLog::GiftKnown(record_id, offset) => {
                let effects = self.room.gift_announced(record_id, offset);
                self.perform(effects);
            }
            FromLog::UsersWanted => self.users_changed = true,
            FromLog::Peers(changes) => {
                self.users_changed = true;
                let effects = self.room.apply_remote_presence(changes, self.now());
                self.perform(effects);
            }
        }
        self.settle(ctx);
    }
}
