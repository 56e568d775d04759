//! Everything that reaches the engine: requests of the rest of the program, and what Redis answers
//! or pushes.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use redis::{PushInfo, RedisResult};
use tokio::sync::{mpsc, oneshot};

use crate::cluster::{FromLog, NodeReport, RoomsAsked, Signal};
use crate::domain::{ActionEntry, LiveId, NodeId, PresenceChange, RoomEvent, Timestamp, UserId};

use super::super::NodeHandlers;
use super::super::connection::{RedisConnection, Server};
use super::super::entries::Answer;
use super::super::rooms::{Opened, RoomGauge};
use super::nodes::OtherNodes;
use super::subscription::BacklogSlot;

/// A report of the engine about tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenNews {
    /// A program, perhaps a node, has set or deleted the user's token.
    Changed(UserId),
    /// All tokens may have changed.
    AllChanged,
    /// Redis is reached, and was not since then.
    Reached { since: Timestamp },
}

/// Called on the cluster's thread: must not block.
pub type TokenListener = Box<dyn Fn(TokenNews) + Send>;

/// A request of the rest of the program.
pub enum Command {
    Open {
        live_id: LiveId,
        gauge: Arc<RoomGauge>,
        reply: oneshot::Sender<Opened>,
    },
    Listen {
        live_id: LiveId,
        origin: u64,
        room: Box<dyn Fn(FromLog) + Send + Sync>,
    },
    Append {
        live_id: LiveId,
        origin: u64,
        event: RoomEvent,
    },
    AppendAction {
        live_id: LiveId,
        origin: u64,
        entry: ActionEntry,
    },
    PublishPresence {
        live_id: LiveId,
        origin: u64,
        changes: Vec<PresenceChange>,
    },
    PublishUsers {
        live_id: LiveId,
        users: String,
    },
    Close {
        live_id: LiveId,
        origin: u64,
    },
    Serve(NodeHandlers),
    ListenToTokens(TokenListener),
    /// The user's token is void: its sessions on this node must authenticate again.
    Recheck(UserId),
    Signal(Signal),
    Device {
        user: UserId,
        opened: bool,
    },
    /// Answered with the nodes that are known.
    AskReports {
        asked: RoomsAsked,
        found: mpsc::Sender<NodeReport>,
        reply: oneshot::Sender<OtherNodes>,
    },
    Leave(oneshot::Sender<()>),
}

/// An input of the engine.
pub enum Input {
    Command(Command),
    /// The subscription's connection and the servers that it reaches, or why there is none.
    Connected(u64, RedisResult<(RedisConnection, BTreeSet<Server>)>),
    /// Pushed over the subscription's connection of this number, with its place in that one's
    /// backlog.
    Pushed(u64, PushInfo, BacklogSlot),
    Subscribed {
        connection: u64,
        live_id: LiveId,
        origin: u64,
        result: RedisResult<()>,
    },
    /// Whether the subscription's connection still answers.
    Pinged(u64, RedisResult<BTreeSet<Server>>),
    Answered {
        live_id: LiveId,
        origin: u64,
        number: u64,
        sent_at: Instant,
        answer: RedisResult<Answer>,
    },
    /// A presence message was published, or could not be.
    PresencePublished {
        live_id: LiveId,
        origin: u64,
        is_delta: bool,
        is_published: bool,
    },
    /// The users online in a room could not be published.
    UsersNotPublished(LiveId),
    /// A heartbeat that was sent at this time was published.
    HeartbeatPublished(Instant, RedisResult<()>),
    /// The others may have missed a device of this node.
    DeviceNotPublished,
    /// The keys of these users' devices were written, or deleted.
    DeviceKeysWritten(Vec<UserId>, bool),
    /// A node that joined could not be asked for its announcements.
    NotAsked(NodeId),
    /// The faults of the settings of Redis.
    SettingsRead(BTreeSet<String>),
    /// How many nodes subscribe to a room's channel, this one included.
    Announced {
        live_id: LiveId,
        origin: u64,
        nodes_count: usize,
    },
}
