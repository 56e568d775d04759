//! Requests to Redis, as parts decide them.

use std::collections::BTreeSet;

use serde::Serialize;
use tokio::sync::oneshot;

use crate::domain::{LiveId, NodeId, UserId};

use super::super::append::RoomQuestion;
use super::super::connection::Server;
use super::super::messages::NodeMessage;
use super::super::opening::RoomKey;
use super::super::presence_replica::PresenceMessage;

/// A request to Redis.
#[derive(Debug)]
pub enum RedisRequest {
    /// Opens the connection of this number, over which Redis pushes messages.
    Connect(u64),
    /// Asks the current connection, of this number, which servers answer. It reached these when it
    /// was opened.
    Ping(u64, BTreeSet<Server>),
    /// Reads the settings of these servers.
    ReadSettings(BTreeSet<Server>),
    Subscribe(RoomKey),
    Unsubscribe(LiveId),
    Publish(Publication),
    /// Publishes that this node closed a room, until that succeeds or the others count this node as
    /// dead.
    PublishGone(LiveId, PresenceMessage),
    /// Puts the questions of rooms to their logs, in one call of the script.
    AskLogs(Vec<RoomQuestion>),
    /// Writes the users online in a room, for other services.
    SetUsers(RoomKey, String),
    WriteDeviceKeys(Vec<UserId>),
    DeleteDeviceKey(UserId),
}

/// A message to other nodes.
#[derive(Debug)]
pub struct Publication {
    pub to: Channel,
    pub message: PublishedMessage,
    pub purpose: Purpose,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    Nodes,
    Node(NodeId),
    Room(LiveId),
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum PublishedMessage {
    Node(NodeMessage),
    Presence(PresenceMessage),
}

/// What a presence message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PresenceKind {
    Delta,
    Announcement,
    /// To one node.
    Direct,
}

/// Why a message is published, which decides what its outcome means.
#[derive(Debug)]
pub enum Purpose {
    /// The outcome changes nothing.
    Notice,
    /// It shows whether commands work.
    Heartbeat,
    /// A node that missed it does not know a device of this one.
    Device,
    AskAnnouncements(NodeId),
    Presence(RoomKey, PresenceKind),
    /// Answered in any case.
    Leave(oneshot::Sender<()>),
}

impl Publication {
    pub fn to_nodes(message: NodeMessage, purpose: Purpose) -> RedisRequest {
        let (to, message) = (Channel::Nodes, PublishedMessage::Node(message));
        RedisRequest::Publish(Self {
            to,
            message,
            purpose,
        })
    }

    pub fn to_node(node: NodeId, message: NodeMessage, purpose: Purpose) -> RedisRequest {
        let (to, message) = (Channel::Node(node), PublishedMessage::Node(message));
        RedisRequest::Publish(Self {
            to,
            message,
            purpose,
        })
    }

    pub fn presence(
        to: Channel,
        message: PresenceMessage,
        key: RoomKey,
        kind: PresenceKind,
    ) -> RedisRequest {
        let (message, purpose) = (
            PublishedMessage::Presence(message),
            Purpose::Presence(key, kind),
        );
        RedisRequest::Publish(Self {
            to,
            message,
            purpose,
        })
    }
}
