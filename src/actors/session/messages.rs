//! All a session accepts.

use actix::Message;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::actors::live_room::SessionCommand;
use crate::cluster::SessionFound;
use crate::domain::{Disconnect, LiveId};

/// From a transport: a message of the client. The transport waits for it to be handled before it
/// reads on, so one is under way per connection and the mailbox never fills with it.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Received(pub Inbound);

/// One thing a client sent, without the transport's framing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inbound {
    /// A Socket.IO packet (an Engine.IO message without its type), or a plain JSON command.
    Text(String),
    /// An attachment of a Socket.IO packet, or a binary frame where text belongs.
    Binary(Bytes),
    /// An Engine.IO 3 heartbeat, which is answered.
    Ping,
    /// A sign of life: an Engine.IO 4 answer to our ping, any WebSocket control frame, or a number
    /// of fragments that complete no message.
    Pong,
}

/// From a transport: the connection is over. Sent with `do_send`, which ignores the mailbox
/// capacity: once per session.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct TransportGone(pub Disconnect);

/// From the directory: this session's user may not go on. Sent with `do_send`, which ignores the
/// mailbox capacity: it must arrive within a second, and there are few.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Revoked(pub Disconnect);

/// From the directory: the tokens or the account of this session's user changed, here or on another
/// node. Sent with `do_send`, which ignores the mailbox capacity: it must arrive within a second,
/// and there are few.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Reauthenticate;

/// From the directory: seats are scarce, so a stranger ends. Sent with `do_send`, which
/// ignores the mailbox capacity: once per session, and it must arrive.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct FreeSeat;

/// From a room: after the command with number `stamp` the session is not a member. Full mailbox:
/// the session keeps the room in its list and sends it `MemberGone` in the end, which does no harm.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct MembershipLost {
    pub live_id: LiveId,
    pub stamp: u64,
}

/// From a room that was stopped while a command was on its way: ask the registry again. Sent with
/// `do_send`, which ignores the mailbox capacity: it is the session's own command coming back.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct CommandBounced {
    pub live_id: LiveId,
    pub command: SessionCommand,
}

/// From the directory: show what this session is and where. Full mailbox: it is left out.
#[derive(Debug, Message)]
#[rtype(result = "()")]
pub struct Describe(pub oneshot::Sender<SessionFound>);
