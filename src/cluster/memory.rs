//! One node: the order of a room is the room's own counter, and there are no other nodes.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use rand::RngExt;

use crate::domain::{
    ActionEntry, BoundedMap, EntryContent, EntryKey, Epoch, LiveId, NodeId, Offset, Position,
    PresenceChange, RoomEvent, Sequenced, Timestamp, UserId,
};

use super::{
    Appended, Broker, FromLog, LogEntry, NodeReport, NodeReports, Nodes, OpenedLog, RoomLog,
    RoomsAsked, Signal,
};

/// Keys of the newest actions that a room keeps, so that repeating one has no effect.
const ACTIONS_MAX: usize = 1_024;

/// Orders events in this process, at once.
pub struct MemoryBroker;

impl Broker for MemoryBroker {
    fn open(&self, _live_id: LiveId) -> BoxFuture<'static, OpenedLog> {
        let log = MemoryLog {
            epoch: new_epoch(),
            offset: 0,
            actions: BoundedMap::new(ACTIONS_MAX),
        };
        let position = Position {
            epoch: log.epoch.clone(),
            offset: 0,
        };
        ready(OpenedLog {
            log: Box::new(log),
            position,
            recent: Vec::new(),
            peers: Vec::new(),
        })
        .boxed()
    }

    fn is_shared(&self) -> bool {
        false
    }

    fn is_open_elsewhere(&self, _live_id: LiveId) -> BoxFuture<'static, Option<bool>> {
        ready(Some(false)).boxed()
    }

    fn append(&self, _live_id: LiveId, _entry: ActionEntry) -> BoxFuture<'static, Appended> {
        ready(Appended::NoSharedLog).boxed()
    }
}

/// A name that no other epoch of any room has: 96 random bits in base 36.
pub(super) fn new_epoch() -> Epoch {
    const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut rng = rand::rng();
    (0..19)
        .map(|_| char::from(DIGITS[rng.random_range(0..DIGITS.len())]))
        .collect::<String>()
        .into()
}

struct MemoryLog {
    epoch: Epoch,
    offset: Offset,
    actions: BoundedMap<EntryKey, ()>,
}

impl RoomLog for MemoryLog {
    fn listen(&mut self, _room: Box<dyn Fn(FromLog) + Send + Sync>) {}

    fn append(&mut self, event: RoomEvent) -> Option<Sequenced> {
        self.offset += 1;
        Some(Sequenced {
            epoch: self.epoch.clone(),
            offset: self.offset,
            event,
        })
    }

    fn append_action(&mut self, entry: ActionEntry) -> Option<LogEntry> {
        if self.actions.contains_key(&entry.key()) {
            return None;
        }
        self.actions.insert(entry.key(), ());
        match entry.content {
            EntryContent::Event(event) => self.append(event).map(LogEntry::Event),
            EntryContent::Control(control) => Some(LogEntry::Control(control)),
        }
    }

    fn can_append(&self) -> bool {
        true
    }

    fn ack(&mut self, _events_count: usize) {}

    fn set_batch_window(&mut self, _window: Duration) {}

    fn publish_presence(&mut self, _changes: Vec<PresenceChange>) {}

    fn publish_users(&mut self, _users: String) {}

    fn node(&self) -> Option<NodeId> {
        None
    }
}

/// The other nodes of a node that is the only one.
pub struct SingleNode;

impl Nodes for SingleNode {
    fn signal(&self, _signal: Signal) {}

    fn device_opened(&self, _user: UserId) {}

    fn device_closed(&self, _user: UserId) {}

    fn reports(&self, own: NodeReport, _asked: RoomsAsked) -> BoxFuture<'static, NodeReports> {
        ready(NodeReports {
            answered: vec![own],
            silent: Vec::new(),
        })
        .boxed()
    }

    fn alone_since(&self) -> Option<Timestamp> {
        None
    }

    fn leave(&self) -> BoxFuture<'static, ()> {
        ready(()).boxed()
    }
}
