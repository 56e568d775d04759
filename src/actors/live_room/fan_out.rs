//! From one room to the hubs: whatever gathered since the last flush is one message per worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::prelude::*;

use crate::actors::hub::{Encoded, Hub, HubBatch, HubItem};
use crate::actors::session::SessionPort;
use crate::domain::LiveId;
use crate::outbox::Packet;

/// Items that may wait for one hub whose mailbox is full. A worker that far behind cannot be served:
/// beyond, the room's members there are cut with `slow`.
const BACKLOG_MAX: usize = 16_384;

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
    links: BTreeMap<usize, HubLink>,
}

struct HubLink {
    /// Our own clone, kept: only then does its mailbox have a bound for us.
    hub: Addr<Hub>,
    outlets_count: usize,
    waiting: Vec<HubItem>,
}

impl FanOut {
    pub fn new(live_id: LiveId) -> Self {
        Self { live_id, links: BTreeMap::new() }
    }

    fn link(&mut self, port: &SessionPort) -> &mut HubLink {
        self.links.entry(port.hub_id).or_insert_with(|| HubLink {
            hub: port.hub.clone(),
            outlets_count: 0,
            waiting: Vec::new(),
        })
    }

    pub fn attach(&mut self, port: &SessionPort) {
        let outlet = port.outlet.clone();
        let link = self.link(port);
        link.outlets_count += 1;
        link.waiting.push(HubItem::Attach(outlet));
    }

    pub fn detach(&mut self, port: &SessionPort) {
        let session = port.outlet.session;
        let link = self.link(port);
        link.outlets_count = link.outlets_count.saturating_sub(1);
        link.waiting.push(HubItem::Detach(session));
    }

    pub fn one(&mut self, port: &SessionPort, packet: Packet) {
        let outlet = port.outlet.clone();
        self.link(port).waiting.push(HubItem::One(outlet, packet));
    }

    /// Tells one what others are told too, such as a replayed event or the state of the room.
    pub fn shared(&mut self, port: &SessionPort, encoded: Arc<Encoded>) {
        let outlet = port.outlet.clone();
        self.link(port).waiting.push(HubItem::Shared(outlet, encoded));
    }

    pub fn all(&mut self, encoded: Encoded) {
        let encoded = Arc::new(encoded);
        for link in self.links.values_mut().filter(|link| link.outlets_count > 0) {
            link.waiting.push(HubItem::All(encoded.clone()));
        }
    }

    /// Tells all hubs that the room is no more.
    pub fn room_gone(&mut self) {
        for link in self.links.values_mut() {
            link.waiting.push(HubItem::RoomGone);
        }
    }

    /// Hands each hub what waits for it.
    pub fn flush(&mut self) -> Flushed {
        let mut flushed = Flushed::default();
        for (hub_id, link) in &mut self.links {
            if link.waiting.is_empty() {
                continue;
            }
            let batch = HubBatch { live_id: self.live_id, items: std::mem::take(&mut link.waiting) };
            match link.hub.try_send(batch) {
                Ok(()) => {}
                Err(SendError::Full(batch)) if batch.items.len() <= BACKLOG_MAX => {
                    link.waiting = batch.items;
                    flushed.again = true;
                }
                Err(SendError::Full(_)) => flushed.overrun.push(*hub_id),
                // The worker is gone, and its sockets with it.
                Err(SendError::Closed(_)) => {}
            }
        }
        flushed
    }
}
