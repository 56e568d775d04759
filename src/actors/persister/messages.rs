//! All the persister accepts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Message, Recipient};
use tokio::sync::oneshot;

use crate::actors::live_room::{WriteTicket, WritesDone};
use crate::storage::Write;

/// From a room, through [`super::PersisterPort::submit`], which counts it against the queue: never
/// more than the queue's bound are under way.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Submit {
    pub write: Write,
    pub ticket: WriteTicket,
    /// Who is to hear what became of it.
    pub room: Arc<Recipient<WritesDone>>,
    pub at: Instant,
}

impl Submit {
    /// Whether this is a gift that has waited for longer than `patience`.
    pub fn is_late_gift(&self, patience: Duration) -> bool {
        matches!(self.write, Write::Gift(_)) && self.at.elapsed() >= patience
    }
}

/// From the app when it drains: answer when everything submitted before is durable. Sent past the
/// bound: once.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Flush(pub oneshot::Sender<()>);
