//! The keys `online_<id>`: they exist while a user has a `/ws` connection. And the one device of
//! each user, if only one is allowed: nodes compare theirs when one opens, after a cut, and from
//! time to time.
//!
//! | connections of the user here | opened | closed | key written | key deleted | closed elsewhere |
//! |---|---|---|---|---|---|
//! | none | 1: key written | - | key deleted | others notified | - |
//! | 1 | 2 | none: key deleted | - | key written | key written |
//! | more | one more | one less | - | key written | key written |
//!
//! Invariants: commands under way at once may be carried out in either order, so each is compared
//! with the connections when it was carried out, and is followed by another if the key is not as it
//! should be. Another node with a connection of the user writes the key again when it is notified,
//! which is after the key was deleted. All keys are written again periodically.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::cluster::DeviceTicket;
use crate::domain::{NodeId, UserId};

use super::super::messages::NodeMessage;
use super::out::Out;
use super::request::{Publication, Purpose, RedisRequest};

const REFRESH: Duration = Duration::from_secs(20);
/// Most keys or devices in one request.
const CHUNK: usize = 500;

#[derive(Debug)]
pub enum DeviceInput {
    /// A user has one more `/ws` connection here.
    Opened(UserId),
    Closed(UserId),
    KeysWritten(Vec<UserId>),
    KeyDeleted(UserId),
    /// Another node closed its last connection of the user, and deleted the key.
    ClosedElsewhere(UserId),
}

/// Users with `/ws` connections to this node.
pub struct Devices {
    node: NodeId,
    /// Whether each user may have one device alone.
    is_single: bool,
    /// The number of connections of each.
    users: HashMap<UserId, usize>,
    next_refresh: Instant,
}

impl Devices {
    pub fn new(node: NodeId, is_single: bool, now: Instant) -> Self {
        Self {
            node,
            is_single,
            users: HashMap::new(),
            next_refresh: now + REFRESH,
        }
    }

    /// Has all keys written and devices compared by then: some may be missing.
    pub fn refresh_by(&mut self, at: Instant) {
        self.next_refresh = self.next_refresh.min(at);
    }

    pub fn handle(&mut self, input: DeviceInput) -> Vec<Out> {
        match input {
            DeviceInput::Opened(user) => {
                let count = self.users.entry(user).or_default();
                *count += 1;
                if *count == 1 {
                    return vec![RedisRequest::WriteDeviceKeys(vec![user]).into()];
                }
            }
            DeviceInput::Closed(user) => {
                let count = self.users.entry(user).or_default();
                *count = count.saturating_sub(1);
                if *count == 0 {
                    self.users.remove(&user);
                    return vec![RedisRequest::DeleteDeviceKey(user).into()];
                }
            }
            DeviceInput::KeysWritten(users) => {
                let gone = users
                    .into_iter()
                    .filter(|user| !self.users.contains_key(user));
                return gone
                    .map(|user| RedisRequest::DeleteDeviceKey(user).into())
                    .collect();
            }
            DeviceInput::KeyDeleted(user) | DeviceInput::ClosedElsewhere(user)
                if self.users.contains_key(&user) =>
            {
                return vec![RedisRequest::WriteDeviceKeys(vec![user]).into()];
            }
            DeviceInput::KeyDeleted(user) => {
                let (node, user) = (self.node.0, user.get());
                let closed = NodeMessage::DeviceClosed { node, user };
                return vec![Publication::to_nodes(closed, Purpose::Notice).into()];
            }
            DeviceInput::ClosedElsewhere(_) => {}
        }
        Vec::new()
    }

    /// Writes all keys again, and has all devices compared, when that is due.
    pub fn tick(&mut self, is_connected: bool, now: Instant) -> Vec<Out> {
        if now < self.next_refresh || !is_connected {
            return Vec::new();
        }
        self.next_refresh = now + REFRESH;
        let mut outs = Vec::new();
        if self.is_single {
            outs.push(Out::CompareDevices);
        }
        let users: Vec<UserId> = self.users.keys().copied().collect();
        let writes = users
            .chunks(CHUNK)
            .map(|users| RedisRequest::WriteDeviceKeys(users.to_vec()));
        outs.extend(writes.map(Out::from));
        outs
    }

    /// Publishes the one device of each user of this node. A node with a later device of a user
    /// answers with that one.
    pub fn publish(&self, held: &[(UserId, DeviceTicket)]) -> Vec<Out> {
        let message = |held: &[(UserId, DeviceTicket)]| NodeMessage::Devices {
            node: self.node.0,
            devices: held
                .iter()
                .map(|(user, ticket)| (user.get(), *ticket))
                .collect(),
        };
        let publish = |held| Publication::to_nodes(message(held), Purpose::Device).into();
        held.chunks(CHUNK).map(publish).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceInput::*;
    use super::*;
    use crate::cluster::redis::engine::request::{PublishedMessage, RedisRequest};

    const USER: UserId = UserId::FIRST;

    fn devices() -> (Devices, Instant) {
        let now = Instant::now();
        (Devices::new(NodeId(1), true, now), now)
    }

    /// The requests about the key of the user, as letters: written, deleted, closing published.
    fn letters(outs: &[Out]) -> String {
        let letter = |out: &Out| match out {
            Out::Request(RedisRequest::WriteDeviceKeys(users)) if users[..] == [USER] => 'w',
            Out::Request(RedisRequest::DeleteDeviceKey(USER)) => 'd',
            Out::Request(RedisRequest::Publish(Publication {
                message: PublishedMessage::Node(NodeMessage::DeviceClosed { .. }),
                ..
            })) => 'p',
            _ => '?',
        };
        outs.iter().map(letter).collect()
    }

    fn play(devices: &mut Devices, inputs: impl IntoIterator<Item = DeviceInput>) -> String {
        let played: Vec<_> = inputs
            .into_iter()
            .map(|input| letters(&devices.handle(input)))
            .collect();
        played.join(" ")
    }

    #[test]
    fn the_key_is_there_from_the_first_connection_to_the_last() {
        let (mut devices, _) = devices();
        let inputs = [Opened(USER), Opened(USER), Closed(USER), Closed(USER)];
        assert_eq!(play(&mut devices, inputs), "w   d");
        assert_eq!(
            play(&mut devices, [KeyDeleted(USER)]),
            "p",
            "others may have a connection"
        );
    }

    #[test]
    fn a_write_that_overtakes_a_deletion_is_made_good() {
        let (mut devices, _) = devices();
        // Closed while the write is under way: whichever is done last is followed by a deletion.
        let inputs = [
            Opened(USER),
            Closed(USER),
            KeyDeleted(USER),
            KeysWritten(vec![USER]),
        ];
        assert_eq!(play(&mut devices, inputs), "w d p d");
        // Opened again while the deletion is under way.
        let inputs = [Opened(USER), Closed(USER), Opened(USER)];
        assert_eq!(play(&mut devices, inputs), "w d w");
        assert_eq!(
            play(&mut devices, [KeysWritten(vec![USER]), KeyDeleted(USER)]),
            " w"
        );
        assert_eq!(
            play(&mut devices, [KeysWritten(vec![USER])]),
            "",
            "it is as it should be"
        );
    }

    #[test]
    fn a_key_that_another_node_deleted_is_written_by_each_node_with_a_connection() {
        let (mut devices, _) = devices();
        assert_eq!(play(&mut devices, [ClosedElsewhere(USER)]), "");
        assert_eq!(
            play(&mut devices, [Opened(USER), ClosedElsewhere(USER)]),
            "w w"
        );
    }

    #[test]
    fn keys_are_written_again_and_devices_compared_when_that_is_due_and_redis_is_connected() {
        let (mut devices, start) = devices();
        devices.handle(Opened(USER));
        assert!(devices.tick(true, start).is_empty());
        assert!(
            devices.tick(false, start + REFRESH).is_empty(),
            "it stays due"
        );
        let outs = devices.tick(true, start + REFRESH);
        assert!(matches!(outs[0], Out::CompareDevices) && letters(&outs[1..]) == "w");
        assert!(devices.tick(true, start + REFRESH).is_empty());
        devices.refresh_by(start + REFRESH);
        assert_eq!(devices.tick(true, start + REFRESH).len(), 2);
    }

    #[test]
    fn many_keys_and_devices_go_in_several_requests() {
        let (mut devices, start) = devices();
        let user = |id: usize| UserId::new(id as i64).expect("a positive number");
        let ticket = DeviceTicket { at: 0, node: 1 };
        for id in 1..=CHUNK + 1 {
            devices.handle(Opened(user(id)));
        }
        assert_eq!(devices.tick(true, start + REFRESH).len(), 1 + 2);
        let held: Vec<_> = (1..=CHUNK + 1).map(|id| (user(id), ticket)).collect();
        assert_eq!(
            (devices.publish(&held).len(), devices.publish(&[]).len()),
            (2, 0)
        );
    }
}
