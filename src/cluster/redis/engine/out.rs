//! The consequences of an input, as parts decide them: the engine carries them out.

use std::time::{Duration, Instant};

use crate::domain::{NodeId, Timestamp, UserId};

use super::request::RedisRequest;

/// The time at which an input is handled, and how Redis is then.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub now: Instant,
    pub at: Timestamp,
    pub redis: Reach,
}

/// A check of deadlines.
#[derive(Debug, Clone, Copy)]
pub struct Tick {
    pub now: Instant,
    pub at: Timestamp,
    /// For how long this node could not run before it, see [`super::stall`].
    pub stalled: Duration,
}

/// How Redis is, as [`super::health::Health`] has decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reach {
    /// Messages arrive.
    pub is_connected: bool,
    /// Messages arrive, and commands work.
    pub is_reached: bool,
    /// It has been silent for longer than it may.
    pub is_away: bool,
}

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

/// A consequence of an input.
#[derive(Debug)]
pub enum Out {
    /// To Redis. The answer is another input.
    Request(RedisRequest),
    /// The one device of each user, which the rest of the program knows, is compared with those of
    /// other nodes.
    CompareDevices,
    /// There is a new connection, and had been none for so long.
    Connected { unreached_for: Duration },
    /// An attempt to connect failed.
    ConnectFailed(String),
    /// There is no connection any more.
    ConnectionLost(String),
    /// A node is known from now on, or could not be asked when it was.
    NodeJoined(NodeId),
    /// A node has left, or is dead: its users are in no room any more.
    NodeRemoved(NodeId),
}

impl From<RedisRequest> for Out {
    fn from(request: RedisRequest) -> Self {
        Self::Request(request)
    }
}
