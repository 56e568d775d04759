//! All a hub accepts.

use std::sync::Arc;

use actix::Message;

use crate::domain::{LiveId, SessionId};
use crate::outbox::Packet;

use super::{Encoded, Outlet};

/// From a room: what its members on this thread should receive, in order. A full mailbox leaves the
/// batch with the room, which sends it with its next one.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct HubBatch {
    pub live_id: LiveId,
    pub items: Vec<HubItem>,
}

#[derive(Debug, Clone)]
pub enum HubItem {
    /// From here on this outlet receives what all receive.
    Attach(Arc<Outlet>),
    /// From here on it does not.
    Detach(SessionId),
    All(Arc<Encoded>),
    One(Arc<Outlet>, Packet),
    /// For one, of what others are told too: its bytes are shared.
    Shared(Arc<Outlet>, Arc<Encoded>),
    /// The room died; all its outlets here are told and forgotten.
    RoomGone,
}
