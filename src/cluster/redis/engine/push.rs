//! What Redis pushes over the engine's connection.

use redis::{PushInfo, PushKind, Value};

use crate::domain::{LiveId, UserId};

use super::super::entries::Batch;
use super::super::keys;
use super::super::messages::NodeMessage;
use super::super::presence_replica::PresenceMessage;

#[derive(Debug)]
pub enum Push {
    /// Entries of a room's log; `None`: of a version that is not understood.
    Batch(LiveId, Option<Batch>),
    Presence(LiveId, PresenceMessage),
    /// To all nodes, or to this one.
    Node(NodeMessage),
    TokensChanged(Vec<UserId>),
    /// All keys were deleted.
    AllChanged,
    /// The channel of a room moved to another server of the Redis Cluster.
    ChannelMoved(LiveId),
    Closed,
}

impl Push {
    /// `None` for what nodes do not write, and for what changes nothing.
    pub fn read(info: PushInfo) -> Option<Self> {
        match info.kind {
            PushKind::Message | PushKind::SMessage => match &info.data[..] {
                [channel, payload] => Self::message(text(channel)?, text(payload)?),
                _ => None,
            },
            PushKind::Invalidate => Some(match info.data.first() {
                Some(Value::Array(keys)) => {
                    let users = keys
                        .iter()
                        .filter_map(|key| keys::user_of_token(text(key)?));
                    Self::TokensChanged(users.collect())
                }
                _ => Self::AllChanged,
            }),
            PushKind::SUnsubscribe => {
                let channel = text(info.data.first()?)?;
                keys::live_of_channel(channel).map(Self::ChannelMoved)
            }
            PushKind::Disconnection => Some(Self::Closed),
            _ => None,
        }
    }

    fn message(channel: &str, payload: &str) -> Option<Self> {
        if let Some(live_id) = keys::live_of_channel(channel) {
            return match payload.strip_prefix('E') {
                Some(batch) => Some(Self::Batch(live_id, Batch::parse(batch))),
                None => {
                    let message = serde_json::from_str(payload).ok()?;
                    Some(Self::Presence(live_id, message))
                }
            };
        }
        if let Ok(message) = serde_json::from_str(payload) {
            return Some(Self::Node(message));
        }
        match serde_json::from_str(payload).ok()? {
            message @ (PresenceMessage::SnapshotRequest { live, .. }
            | PresenceMessage::Snapshot { live, .. }) => {
                Some(Self::Presence(LiveId::new(live)?, message))
            }
            _ => None,
        }
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => str::from_utf8(bytes).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::NodeId;

    fn pushed(kind: PushKind, data: Vec<Value>) -> Option<Push> {
        Push::read(PushInfo { kind, data })
    }

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn message(channel: &str, payload: &str) -> Option<Push> {
        pushed(PushKind::Message, vec![bulk(channel), bulk(payload)])
    }

    #[test]
    fn a_message_is_read_by_its_channel() {
        let room = keys::room_channel(LiveId::FIRST);
        let inbox = keys::inbox_channel(NodeId(7));
        let announce = r#"{"share":"hello","node":1,"origin":2,"count":3}"#;
        let ask = r#"{"share":"ask","live":1,"node":1}"#;
        let heartbeat = r#"{"node_message":"heartbeat","node":1}"#;
        assert!(matches!(
            message(&room, announce),
            Some(Push::Presence(LiveId::FIRST, _))
        ));
        assert!(matches!(
            message(&room, "E?"),
            Some(Push::Batch(LiveId::FIRST, None))
        ));
        assert!(matches!(
            message(&inbox, ask),
            Some(Push::Presence(LiveId::FIRST, _))
        ));
        assert!(matches!(
            message(keys::NODES_CHANNEL, heartbeat),
            Some(Push::Node(_))
        ));
        assert!(
            message(&inbox, announce).is_none(),
            "it does not name its room"
        );
        // With this one a node counts who has the room.
        assert!(message(&room, "?").is_none());
        assert!(pushed(PushKind::Subscribe, vec![bulk(&room)]).is_none());
    }

    #[test]
    fn changed_tokens_are_read_by_their_keys_and_without_keys_all_changed() {
        let names = vec![bulk("user_1"), bulk("user_x"), Value::Int(1)];
        let changed = pushed(PushKind::Invalidate, vec![Value::Array(names)]);
        assert!(matches!(changed, Some(Push::TokensChanged(users)) if users == [UserId::FIRST]));
        let all = pushed(PushKind::Invalidate, vec![Value::Nil]);
        assert!(matches!(all, Some(Push::AllChanged)));
    }

    #[test]
    fn a_channel_that_moved_and_a_closed_connection_are_read() {
        let channel = bulk(&keys::room_channel(LiveId::FIRST));
        let moved = pushed(PushKind::SUnsubscribe, vec![channel]);
        assert!(matches!(moved, Some(Push::ChannelMoved(LiveId::FIRST))));
        let closed = pushed(PushKind::Disconnection, Vec::new());
        assert!(matches!(closed, Some(Push::Closed)));
    }
}
