//! Questions that a node asks all others for an operator, beside their reports. Nodes of an older
//! version do not read them, and count as silent.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Users of one answer about the members of a room.
pub const MEMBERS_PAGE_MAX: u32 = 100;
/// Sessions that are listed of one user in a room, on each node.
pub const MEMBER_SESSIONS_MAX: usize = 20;
/// Sessions that are listed of one user, on each node.
pub const USER_SESSIONS_MAX: usize = 100;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeQuestion {
    Members(MembersAsked),
    /// The sessions of this user.
    Sessions(i64),
    Trace(TraceAsked),
}

/// A page of the users with sessions in a room, by user id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MembersAsked {
    pub live_id: i64,
    /// The id of a user, or the beginning of a name in any case; empty: everybody.
    pub search: String,
    /// The page begins behind this user id; 0 for the first page.
    pub after: i64,
    /// 1 to [`MEMBERS_PAGE_MAX`].
    pub limit: u32,
}

/// A question about the lines of a trace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceAsked {
    /// Sixteen hexadecimal digits.
    pub id: String,
    /// For nodes that do not know the trace yet.
    pub spec: Option<TraceSpec>,
    /// The last line that the asker has of each node; `None`: it wants no lines.
    pub after: Option<BTreeMap<String, u64>>,
    /// The trace is over.
    pub ends: bool,
}

/// A trace of a user or a room, for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceSpec {
    /// Sixteen hexadecimal digits.
    pub id: String,
    pub user_id: Option<i64>,
    pub live_id: Option<i64>,
    /// The name of the operator.
    pub by: String,
    /// Milliseconds since the Unix epoch, as is `ends_at_ms`.
    pub began_at_ms: i64,
    pub ends_at_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NodeAnswer {
    Members(MembersFound),
    Sessions(Vec<SessionFound>),
    Trace(TraceFound),
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct MembersFound {
    /// Those that were asked for, by user id.
    pub members: Vec<MemberFound>,
    /// Whether more follow.
    pub has_more: bool,
    /// Sessions in the room on this node, whoever they are.
    pub sessions_total: usize,
    /// Users online in the room, as this node knows it.
    pub users_online: usize,
}

/// A user in a room on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberFound {
    pub user_id: i64,
    pub name: String,
    pub role: String,
    /// The first [`MEMBER_SESSIONS_MAX`] of them.
    pub sessions: Vec<MemberSession>,
    pub sessions_count: usize,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MemberSession {
    pub session_id: u64,
    pub socket_id: String,
    pub joined_at_ms: i64,
    /// Where it comes from, as limits count it.
    pub address: String,
    pub queued_packets: usize,
    pub queued_bytes: usize,
}

/// A session of a user on one node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SessionFound {
    pub session_id: u64,
    pub socket_id: String,
    /// `eio3`, `eio4` or `ws`.
    pub dialect: String,
    /// Where it comes from, as limits count it.
    pub address: String,
    pub began_at_ms: i64,
    /// Lives of the rooms it is in.
    pub rooms: Vec<i64>,
}

/// Lines of a trace from one node.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceFound {
    /// `None`: the node does not know the trace.
    pub spec: Option<TraceSpec>,
    pub lines: Vec<TraceLine>,
    /// Lines that were not kept since the trace began: there were too many in a second, or nobody
    /// asked for them in time.
    pub dropped: u64,
    /// The number of the last line, as the `after` of the next question.
    pub last: u64,
}

/// One thing that happened to what is traced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TraceLine {
    pub number: u64,
    pub at_ms: i64,
    /// `command`, `refused`, `answer`, `event`, `session_began` and so on.
    pub what: String,
    pub user_id: Option<i64>,
    pub live_id: Option<i64>,
    pub session_id: Option<u64>,
    /// Texts of users are in the field `text` alone.
    pub fields: Map<String, Value>,
}
