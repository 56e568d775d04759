//! All the persister accepts.

use actix::{Addr, Message};
use tokio::sync::oneshot;

use crate::actors::live_room::{LiveRoom, WriteTicket};
use crate::storage::Write;

/// From a room, through [`super::PersisterPort::submit`], which counts it against the queue: never
/// more than the queue's bound are under way.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Submit {
    pub write: Write,
    pub ticket: WriteTicket,
    pub room: Addr<LiveRoom>,
}

/// From the app when it drains: answer when everything submitted before is durable. Sent past the
/// bound: once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Flush(pub oneshot::Sender<()>);
