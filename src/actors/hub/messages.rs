//! All a hub accepts.

use std::sync::Arc;

use actix::Message;

use crate::domain::{LiveId, SessionId};
use crate::outbox::{Packet, Run};

use super::{Encoded, Gathered, Outlet};

/// From a room: what its members on this thread should receive. A full mailbox leaves the batch with
/// the room, which sends it again later.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HubBatch {
    pub live_id: LiveId,
    /// What all are told, in order.
    pub gathered: Arc<Gathered>,
    /// What else happened, in order, each with how much of `gathered` was told before.
    pub items: Vec<(usize, HubItem)>,
}

#[derive(Debug, Clone)]
pub enum HubItem {
    /// From here on this outlet receives what all receive.
    Attach(Arc<Outlet>),
    /// From here on it does not.
    Detach(SessionId),
    One(Arc<Outlet>, Packet),
    /// For one, of what others are told too: its bytes are shared.
    Shared(Arc<Outlet>, Arc<Encoded>),
    /// For one, right after the answer to its join: what was told while it was away.
    Replay(Arc<Outlet>, Run),
    /// The room died; all its outlets here are told and forgotten.
    RoomGone,
}
