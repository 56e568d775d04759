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
    Appended, Broker, FromLog, LogEntry, NodeReport, NodeReports, Nodes, OpenedLog, ReportAsked,
    ReportWait, RoomLog, Signal,
};

/// Keys of the newest actions that a room keeps, so that repeating one has no effect.
const ACTIONS_MAX: usize = 1_024;
/// Keys of the newest comments that were held or decided, apart, for a room that delays all comments
/// has many: for some three minutes of the busiest, far longer than a decision is repeated.
const HELD_MAX: usize = 16_384;

/// Orders events in this process, at once.
pub struct MemoryBroker;

impl Broker for MemoryBroker {
    fn open(&self, _live_id: LiveId) -> BoxFuture<'static, OpenedLog> {
        let log = MemoryLog::new();
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
    held: BoundedMap<EntryKey, ()>,
}

impl MemoryLog {
    fn new() -> Self {
        Self {
            epoch: new_epoch(),
            offset: 0,
            actions: BoundedMap::new(ACTIONS_MAX),
            held: BoundedMap::new(HELD_MAX),
        }
    }
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
        let key = entry.key();
        let known = match key {
            EntryKey::Held(_) | EntryKey::Decision(_) => &mut self.held,
            EntryKey::Action(_) | EntryKey::Part(..) | EntryKey::Removal(_) => &mut self.actions,
        };
        if known.contains_key(&key) {
            return None;
        }
        known.insert(key, ());
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

    fn reports(
        &self,
        own: NodeReport,
        _asked: ReportAsked,
        _wait: ReportWait,
    ) -> BoxFuture<'static, NodeReports> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{ActionId, CommentId, Control, Denial};

    #[test]
    fn decisions_on_held_comments_do_not_make_a_room_forget_its_actions() {
        let mut log = MemoryLog::new();
        let notice = || {
            let live_id = LiveId::FIRST;
            let text = "hello".into();
            let content = EntryContent::Event(RoomEvent::Notice { live_id, text });
            ActionEntry::of_action(ActionId::FIRST, 0, content)
        };
        assert!(log.append_action(notice()).is_some());
        for id in 1..=2 * ACTIONS_MAX as i64 {
            let denial = Control::Denied(Denial {
                comment_id: CommentId::new(id).expect("positive"),
                author: UserId::FIRST,
                reason: None,
                is_expired: false,
            });
            let denied = || {
                let content = EntryContent::Control(denial.clone());
                ActionEntry::of_action(ActionId::FIRST, 0, content)
            };
            assert!(log.append_action(denied()).is_some());
            assert!(log.append_action(denied()).is_none(), "once");
        }
        assert!(log.append_action(notice()).is_none(), "once");
    }
}
