//! From one room to the hubs: each flush sends one message per worker with everything gathered
//! since the last one; events for all members share memory.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use actix::prelude::*;

use crate::actors::consoles::AttachedTap;
use crate::actors::hub::{Encoded, Gathered, Hub, HubBatch, HubItem};
use crate::actors::session::SessionPort;
use crate::domain::{LiveId, Timestamp};
use crate::outbox::{Packet, Run};

use super::figures::HubDrops;

/// Most events and items waiting for one hub whose mailbox is full. Beyond, the room's members on
/// that worker are cut with `slow`.
const BACKLOG_MAX: usize = 16_384;

/// The number of gathered events that flushes a room before the end of its window, since they are
/// encoded into one buffer per dialect.
pub const GATHERED_MAX: usize = 4_096;

/// The result of a flush.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// A hub's mailbox was full: flush again soon.
    pub again: bool,
    /// Hubs whose backlog exceeded its bound and was dropped.
    pub overrun: Vec<usize>,
}

/// Sends events and packets of a room to its members, through the hubs.
pub struct FanOut {
    live_id: LiveId,
    gathered: Vec<Arc<Encoded>>,
    links: BTreeMap<usize, HubLink>,
    drops: Arc<HubDrops>,
    /// Set while a console looks at the room.
    tap: Option<AttachedTap>,
}

struct HubLink {
    /// A stored clone: the mailbox bounds only senders that keep their address.
    hub: Addr<Hub>,
    outlets_count: usize,
    /// Each with the number of events gathered before it.
    items: Vec<(usize, HubItem)>,
    /// Batches that the full mailbox did not take, oldest first.
    backlog: VecDeque<HubBatch>,
}

impl FanOut {
    /// `drops`: where hubs count what they drop.
    pub fn new(live_id: LiveId, drops: Arc<HubDrops>) -> Self {
        Self {
            drops,
            tap: None,
            live_id,
            gathered: Vec::new(),
            links: BTreeMap::new(),
        }
    }

    /// Queues an item for the hub of `port`. Returns how many outlets the room has there.
    fn item(&mut self, port: &SessionPort, item: HubItem) -> &mut usize {
        let position = self.gathered.len();
        let link = self.links.entry(port.hub.id).or_insert_with(|| HubLink {
            hub: port.hub.hub.clone(),
            outlets_count: 0,
            items: Vec::new(),
            backlog: VecDeque::new(),
        });
        link.items.push((position, item));
        &mut link.outlets_count
    }

    pub fn attach(&mut self, port: &SessionPort) {
        *self.item(port, HubItem::Attach(port.outlet.clone())) += 1;
    }

    pub fn detach(&mut self, port: &SessionPort) {
        let outlets_count = self.item(port, HubItem::Detach(port.outlet.session));
        *outlets_count = outlets_count.saturating_sub(1);
    }

    pub fn one(&mut self, port: &SessionPort, packet: Packet) {
        self.item(port, HubItem::One(port.outlet.clone(), packet));
    }

    /// Sends one member content that others receive too, such as the presence of the room.
    pub fn shared(&mut self, port: &SessionPort, encoded: Arc<Encoded>) {
        self.item(port, HubItem::Shared(port.outlet.clone(), encoded));
    }

    /// Sends one member, right after the answer to its join, the events it missed.
    pub fn replay(&mut self, port: &SessionPort, run: Run) {
        self.item(port, HubItem::Replay(port.outlet.clone(), run));
    }

    pub fn all(&mut self, encoded: impl Into<Arc<Encoded>>) {
        self.gathered.push(encoded.into());
    }

    /// Notifies all hubs that the room has stopped.
    pub fn room_gone(&mut self) {
        for link in self.links.values_mut() {
            link.items.push((self.gathered.len(), HubItem::RoomGone));
        }
    }

    /// Events gathered for all since the last flush.
    pub fn gathered_count(&self) -> usize {
        self.gathered.len()
    }

    /// Reports to a console what is delivered from here on.
    pub fn watch(&mut self, tap: AttachedTap) {
        self.tap = Some(tap);
    }

    /// The console that looks at the room, if one does.
    pub fn tap(&self) -> Option<&AttachedTap> {
        self.tap.as_ref()
    }

    /// Stops reporting if no console looks any more.
    pub fn drop_tap_unless_watched(&mut self) {
        self.tap.take_if(|tap| !tap.is_watched());
    }

    /// Batches that hubs have not taken.
    pub fn backlog_count(&self) -> usize {
        self.links.values().map(|link| link.backlog.len()).sum()
    }

    /// Whether there is anything to flush.
    pub fn is_empty(&self) -> bool {
        self.gathered.is_empty()
            && self
                .links
                .values()
                .all(|link| link.items.is_empty() && link.backlog.is_empty())
    }

    /// Sends each hub its batch.
    pub fn flush(&mut self, now: Timestamp) -> Flushed {
        let mut flushed = Flushed::default();
        let probe = match &self.tap {
            None => None,
            Some(tap) => tap.probe(&self.gathered, now),
        };
        let gathered = std::mem::take(&mut self.gathered);
        let gathered = Arc::new(Gathered::new(gathered, probe));
        for (hub_id, link) in &mut self.links {
            // A hub without outlets needs no events.
            if !link.items.is_empty() || (link.outlets_count > 0 && !gathered.is_empty()) {
                let items = std::mem::take(&mut link.items);
                link.backlog.push_back(HubBatch {
                    live_id: self.live_id,
                    gathered: gathered.clone(),
                    items,
                    drops: self.drops.clone(),
                });
            }
            while let Some(batch) = link.backlog.pop_front() {
                match link.hub.try_send(batch) {
                    Ok(()) => {}
                    Err(SendError::Full(batch)) => {
                        link.backlog.push_front(batch);
                        break;
                    }
                    // The worker has stopped, and its sockets are closed.
                    Err(SendError::Closed(_)) => link.backlog.clear(),
                }
            }
            if link
                .backlog
                .iter()
                .map(|batch| batch.gathered.len() + batch.items.len())
                .sum::<usize>()
                > BACKLOG_MAX
            {
                link.backlog.clear();
                flushed.overrun.push(*hub_id);
            }
            flushed.again |= !link.backlog.is_empty();
        }
        flushed
    }
}
