//! From one room to the hubs: whatever gathered since the last flush is one message per worker, and
//! what all are told is the same piece of memory in each.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use actix::prelude::*;

use crate::actors::hub::{Encoded, Gathered, Hub, HubBatch, HubItem};
use crate::actors::session::SessionPort;
use crate::domain::LiveId;
use crate::outbox::{Packet, Run};

/// Events and items that may wait for one hub whose mailbox is full. A worker that far behind cannot
/// be served: beyond, the room's members there are cut with `slow`.
const BACKLOG_MAX: usize = 16_384;

/// Gathered events after which a room does not wait for the end of its window: what is gathered is
/// one piece of memory for each wire form.
pub const GATHERED_MAX: usize = 4_096;

/// What became of a flush.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Some hub took nothing: flush again soon.
    pub again: bool,
    /// Hubs whose backlog was given up.
    pub overrun: Vec<usize>,
}

/// The way from a room to its members.
pub struct FanOut {
    live_id: LiveId,
    gathered: Vec<Arc<Encoded>>,
    links: BTreeMap<usize, HubLink>,
}

struct HubLink {
    /// Our own clone, kept: only then does its mailbox have a bound for us.
    hub: Addr<Hub>,
    outlets_count: usize,
    /// With how much was gathered before.
    items: Vec<(usize, HubItem)>,
    /// Batches that its mailbox had no place for, oldest first.
    backlog: VecDeque<HubBatch>,
}

impl FanOut {
    pub fn new(live_id: LiveId) -> Self {
        Self { live_id, gathered: Vec::new(), links: BTreeMap::new() }
    }

    /// Queues an item for the hub of `port`. Returns how many outlets the room has there.
    fn item(&mut self, port: &SessionPort, item: HubItem) -> &mut usize {
        let told = self.gathered.len();
        let link = self.links.entry(port.hub.id).or_insert_with(|| HubLink {
            hub: port.hub.hub.clone(),
            outlets_count: 0,
            items: Vec::new(),
            backlog: VecDeque::new(),
        });
        link.items.push((told, item));
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

    /// Tells one what others are told too, such as the state of the room.
    pub fn shared(&mut self, port: &SessionPort, encoded: Arc<Encoded>) {
        self.item(port, HubItem::Shared(port.outlet.clone(), encoded));
    }

    /// Tells one, right after the answer to its join, what was told while it was away.
    pub fn again(&mut self, port: &SessionPort, run: Run) {
        self.item(port, HubItem::Again(port.outlet.clone(), run));
    }

    pub fn all(&mut self, encoded: impl Into<Arc<Encoded>>) {
        self.gathered.push(encoded.into());
    }

    /// Tells all hubs that the room is no more.
    pub fn room_gone(&mut self) {
        for link in self.links.values_mut() {
            link.items.push((self.gathered.len(), HubItem::RoomGone));
        }
    }

    /// Events gathered for all since the last flush.
    pub fn gathered_count(&self) -> usize {
        self.gathered.len()
    }

    /// Whether there is anything to flush.
    pub fn is_empty(&self) -> bool {
        self.gathered.is_empty() && self.links.values().all(|link| link.items.is_empty() && link.backlog.is_empty())
    }

    /// Hands each hub what gathered for it.
    pub fn flush(&mut self) -> Flushed {
        let mut flushed = Flushed::default();
        let gathered = Arc::new(Gathered::new(std::mem::take(&mut self.gathered)));
        for (hub_id, link) in &mut self.links {
            // A hub without outlets has nobody to tell.
            if !link.items.is_empty() || (link.outlets_count > 0 && !gathered.is_empty()) {
                let items = std::mem::take(&mut link.items);
                link.backlog.push_back(HubBatch { live_id: self.live_id, gathered: gathered.clone(), items });
            }
            while let Some(batch) = link.backlog.pop_front() {
                match link.hub.try_send(batch) {
                    Ok(()) => {}
                    Err(SendError::Full(batch)) => {
                        link.backlog.push_front(batch);
                        break;
                    }
                    // The worker is gone, and its sockets with it.
                    Err(SendError::Closed(_)) => link.backlog.clear(),
                }
            }
            if link.backlog.iter().map(|batch| batch.gathered.len() + batch.items.len()).sum::<usize>() > BACKLOG_MAX {
                link.backlog.clear();
                flushed.overrun.push(*hub_id);
            }
            flushed.again |= !link.backlog.is_empty();
        }
        flushed
    }
}
