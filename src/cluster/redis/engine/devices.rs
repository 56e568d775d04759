//! The keys `online_<id>`: they exist while a user has a `/ws` connection. And the one device of
//! each user, if only one is allowed: nodes compare theirs when one opens, after a cut, and from
//! time to time.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::cluster::{DeviceTicket, Signal};
use crate::domain::UserId;

use super::super::keys;
use super::super::messages::NodeMessage;
use super::{Engine, Input};

/// How long the key outlives the node that wrote it, in seconds.
const DEVICE_EX_S: u64 = 60;
const REFRESH: Duration = Duration::from_secs(20);
/// Most keys in one pipeline.
const CHUNK: usize = 500;

/// Users with `/ws` connections to this node, and the number of each.
pub struct Devices {
    users: HashMap<UserId, usize>,
    next_refresh: Instant,
}

impl Devices {
    pub fn new(now: Instant) -> Self {
        Self {
            users: HashMap::new(),
            next_refresh: now + REFRESH,
        }
    }

    /// Has all keys and devices published by then: some may be missing.
    pub fn refresh_by(&mut self, at: Instant) {
        self.next_refresh = self.next_refresh.min(at);
    }
}

impl Engine {
    pub(super) fn device(&mut self, user: UserId, opened: bool) {
        let count = self.devices.users.entry(user).or_default();
        if opened {
            *count += 1;
            if *count == 1 {
                self.write_key(user);
            }
            return;
        }
        *count = count.saturating_sub(1);
        if *count == 0 {
            self.devices.users.remove(&user);
            self.delete_key(user);
        }
    }

    fn delete_key(&self, user: UserId) {
        let mut cmd = redis::cmd("DEL");
        cmd.arg(keys::device(user));
        let closed = super::json(&NodeMessage::DeviceClosed {
            node: self.node.0,
            user: user.get(),
        });
        let (link, inputs) = (self.link.clone(), self.inputs.clone());
        // In this order: a node with another connection of the user then writes the key again.
        tokio::spawn(async move {
            let _ = link.command::<()>(&cmd).await;
            let _ = inputs.send(Input::DeviceKeysWritten(vec![user], false));
            let mut cmd = redis::cmd("PUBLISH");
            cmd.arg(keys::NODES_CHANNEL).arg(closed);
            let _ = link.command::<()>(&cmd).await;
        });
    }

    fn write_key(&self, user: UserId) {
        let (link, inputs) = (self.link.clone(), self.inputs.clone());
        tokio::spawn(async move {
            // The next refresh repeats a write that fails.
            let _ = link.command::<()>(&set_device(user)).await;
            let _ = inputs.send(Input::DeviceKeysWritten(vec![user], true));
        });
    }

    /// Keys were written or deleted. Commands under way at once may be carried out in either order,
    /// so a key that is not as it should be by now is written again.
    pub(super) fn device_keys_written(&mut self, users: Vec<UserId>, exist: bool) {
        for user in users {
            let is_here = self.devices.users.contains_key(&user);
            if is_here && !exist {
                self.write_key(user);
            } else if !is_here && exist {
                self.delete_key(user);
            }
        }
    }

    /// Another node closed its last connection of the user and deleted the key.
    pub(super) fn device_closed_elsewhere(&self, user: UserId) {
        if self.devices.users.contains_key(&user) {
            self.write_key(user);
        }
    }

    /// Publishes a device that just opened, or that another node should know of.
    pub(super) fn publish_device(&self, message: &NodeMessage) {
        let mut cmd = redis::cmd("PUBLISH");
        cmd.arg(keys::NODES_CHANNEL).arg(super::json(message));
        let (link, inputs) = (self.link.clone(), self.inputs.clone());
        tokio::spawn(async move {
            if link.command::<()>(&cmd).await.is_err() {
                let _ = inputs.send(Input::DeviceNotPublished);
            }
        });
    }

    /// Publishes the devices of this node. A node with a later device of a user answers with that
    /// one.
    fn publish_devices(&self) {
        let Some(handlers) = self
            .handlers
            .as_ref()
            .filter(|_| self.config.auth.single_device)
        else {
            return;
        };
        let held = (handlers.devices)();
        for held in held.chunks(CHUNK) {
            let devices = held
                .iter()
                .map(|(user, ticket)| (user.get(), *ticket))
                .collect();
            self.publish_device(&NodeMessage::Devices {
                node: self.node.0,
                devices,
            });
        }
    }

    /// Another node has these devices.
    pub(super) fn devices_elsewhere(&self, devices: Vec<(i64, DeviceTicket)>) {
        let Some(handlers) = &self.handlers else {
            return;
        };
        for (user, ticket) in devices {
            if let Some(user) = UserId::new(user) {
                (handlers.on_signal)(Signal::OtherDevice(user, Some(ticket)));
            }
        }
    }

    /// Writes all keys and publishes all devices again when they are due.
    pub(super) fn refresh_devices(&mut self, now: Instant) {
        if now < self.devices.next_refresh || !self.subscription.is_connected() {
            return;
        }
        self.devices.next_refresh = now + REFRESH;
        self.publish_devices();
        let users: Vec<UserId> = self.devices.users.keys().copied().collect();
        let (link, is_cluster) = (self.link.clone(), self.address.is_cluster());
        let inputs = self.inputs.clone();
        tokio::spawn(async move {
            for users in users.chunks(CHUNK) {
                if is_cluster {
                    // A pipeline cannot span several servers.
                    let commands = users.iter().map(|user| {
                        let (link, cmd) = (link.clone(), set_device(*user));
                        async move { link.command::<()>(&cmd).await }
                    });
                    futures_util::future::join_all(commands).await;
                    let _ = inputs.send(Input::DeviceKeysWritten(users.to_vec(), true));
                    continue;
                }
                let mut pipeline = redis::pipe();
                for user in users {
                    pipeline.add_command(set_device(*user)).ignore();
                }
                // The next refresh repeats writes that fail.
                let _ = link.pipeline::<()>(&pipeline).await;
                let _ = inputs.send(Input::DeviceKeysWritten(users.to_vec(), true));
            }
        });
    }
}

fn set_device(user: UserId) -> redis::Cmd {
    let mut cmd = redis::cmd("SET");
    cmd.arg(keys::device(user))
        .arg("1")
        .arg("EX")
        .arg(DEVICE_EX_S);
    cmd
}
