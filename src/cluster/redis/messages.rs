//! What nodes say to each other beside rooms, as JSON.

use serde::{Deserialize, Serialize};

use crate::cluster::{NodeReport, Signal};
use crate::domain::{LiveId, UserId};

/// On the channel of all nodes, or to one of them.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "node_message", rename_all = "snake_case")]
pub enum NodeMessage {
    /// Each second: this node is here.
    Heartbeat {
        node: u64,
    },
    /// This node stops; what it shows stays for so long, in ms, for its users are on their way.
    Leave {
        node: u64,
        grace_ms: u64,
    },
    Signal {
        node: u64,
        signal: WireSignal,
    },
    /// A user has no `/ws` connection to this node any more. Whoever has one says so again.
    DeviceClosed {
        node: u64,
        user: i64,
    },
    /// Report to this node.
    AskReport {
        node: u64,
        number: u64,
    },
    /// To the node that asked.
    Report {
        number: u64,
        report: Box<NodeReport>,
    },
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum WireSignal {
    Recheck { user: i64 },
    OtherDevice { user: i64 },
    Kick { live: i64, user: i64 },
    CatalogueChanged,
}

impl From<Signal> for WireSignal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Recheck(user) => Self::Recheck { user: user.get() },
            Signal::OtherDevice(user) => Self::OtherDevice { user: user.get() },
            Signal::Kick { live_id, user } => Self::Kick { live: live_id.get(), user: user.get() },
            Signal::CatalogueChanged => Self::CatalogueChanged,
        }
    }
}

impl WireSignal {
    /// `None` for what no node writes.
    pub fn read(self) -> Option<Signal> {
        Some(match self {
            Self::Recheck { user } => Signal::Recheck(UserId::new(user)?),
            Self::OtherDevice { user } => Signal::OtherDevice(UserId::new(user)?),
            Self::Kick { live, user } => Signal::Kick { live_id: LiveId::new(live)?, user: UserId::new(user)? },
            Self::CatalogueChanged => Signal::CatalogueChanged,
        })
    }
}
