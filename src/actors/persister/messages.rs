//! All messages that the persister accepts, and the one that it sends.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::{Message, Recipient};
use tokio::sync::oneshot;

use crate::domain::CommentId;
use crate::storage::{Write, WriteOutcome};

/// From a room, through [`super::RoomPersister::submit`], which counts it against the queue: at
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
        self.write.is_gift() && self.at.elapsed() >= timeout
    }
}

/// Names a write to the room that submitted it; the persister returns it with the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteTicket {
    Comment(CommentId),
    Hold(CommentId),
    Gift(u64),
    View,
    TakeDown,
}

/// The outcomes of writes, in the order they were submitted.
pub type Answers = Vec<(WriteTicket, WriteOutcome)>;

/// To a room: the outcomes of its writes in one batch. Sent with `do_send`, which ignores the
/// mailbox capacity: each write was counted against the queue.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct WritesDone(pub Answers);

/// From the app when it drains: answer when everything submitted before is durable. Sent once, with
/// `do_send`, which ignores the mailbox capacity.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Flush(pub oneshot::Sender<()>);
