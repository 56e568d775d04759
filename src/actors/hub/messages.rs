//! All a hub accepts.

use std::sync::Arc;

use actix::Message;

use crate::domain::{LiveId, SessionId};
use crate::outbox::{Packet, Run};

use super::{Encoded, Gathered, Outlet};
use crate::actors::live_room::HubDrops;

/// From a room: packets for its members on this thread. A full mailbox leaves the batch with
/// the room, which sends it again later.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HubBatch {
    pub live_id: LiveId,
    /// Events for all members, in order.
    pub gathered: Arc<Gathered>,
    /// Other items, in order, each with the number of events of `gathered` that come before it.
    pub items: Vec<(usize, HubItem)>,
    /// Where to count what is dropped for members of the room.
    pub drops: Arc<HubDrops>,
}

#[derive(Debug, Clone)]
pub enum HubItem {
    /// From here on this outlet receives the events for all members.
    Attach(Arc<Outlet>),
    /// From here on it does not.
    Detach(SessionId),
    One(Arc<Outlet>, Packet),
    /// For one outlet, a packet that others receive too: its bytes are shared.
    Shared(Arc<Outlet>, Arc<Encoded>),
    /// For one outlet, right after the answer to its join: the events that were delivered while it
    /// was away.
    Replay(Arc<Outlet>, Run),
    /// The room died: all its outlets here receive `kicked` and are removed.
    RoomGone,
}
