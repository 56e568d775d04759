//! All messages that the persister accepts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Message, Recipient};
use tokio::sync::oneshot;

use crate::actors::live_room::{WriteTicket, WritesDone};
use crate::storage::Write;

/// From a room, through [`super::PersisterPort::submit`], which counts it against the queue: at
/// most `queue_max` are under way.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Submit {
    pub write: Write,
    pub ticket: WriteTicket,
    /// Receives the outcome.
    pub room: Arc<Recipient<WritesDone>>,
    pub at: Instant,
}

impl Submit {
    /// Whether this is a gift that has waited for longer than `timeout`.
    pub fn is_expired_gift(&self, timeout: Duration) -> bool {
        matches!(self.write, Write::Gift(_)) && self.at.elapsed() >= timeout
    }
}

/// From the app when it drains: answer when everything submitted before is durable. Sent once, with
/// `do_send`, which ignores the mailbox capacity.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Flush(pub oneshot::Sender<()>);
