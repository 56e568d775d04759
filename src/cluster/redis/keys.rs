//! Names of keys and channels in Redis. Those of one room carry its id in braces, so that a Redis
//! Cluster keeps them on one server.

use crate::domain::{LiveId, NodeId, UserId};

/// The channel that every node subscribes to.
pub const NODES_CHANNEL: &str = "liveroom:nodes";

/// The prefix of token keys.
pub const TOKEN_PREFIX: &str = "user_";

/// The room's epoch, generation and offset, and what the origins that appended last have appended.
pub fn order(live_id: LiveId) -> String {
    format!("liveroom:{{{live_id}}}:order")
}

/// The room's newest events.
pub fn events(live_id: LiveId) -> String {
    format!("liveroom:{{{live_id}}}:events")
}

/// The room's newest gifts.
pub fn gifts(live_id: LiveId) -> String {
    format!("liveroom:{{{live_id}}}:gifts")
}

/// The keys of the room's newest actions.
pub fn actions(live_id: LiveId) -> String {
    format!("liveroom:{{{live_id}}}:actions")
}

/// The keys of the room's newest held comments and decisions on them.
pub fn held(live_id: LiveId) -> String {
    format!("liveroom:{{{live_id}}}:held")
}

/// The room's newest controls: entries without an offset.
pub fn controls(live_id: LiveId) -> String {
    format!("liveroom:{{{live_id}}}:controls")
}

/// The channel of one room: the nodes that have it subscribe.
pub fn room_channel(live_id: LiveId) -> String {
    format!("liveroom:{{{live_id}}}:room")
}

/// The command that publishes on a room's channel. In a Redis Cluster channels live in the
/// slots of the keys, so that only the shard that has the room carries it.
pub fn publish_command(is_cluster: bool) -> &'static str {
    if is_cluster { "SPUBLISH" } else { "PUBLISH" }
}

/// The live whose [`room_channel`] this is.
pub fn live_of_channel(channel: &str) -> Option<LiveId> {
    let id = channel.strip_prefix("liveroom:{")?.strip_suffix("}:room")?;
    id.parse().ok().and_then(LiveId::new)
}

/// The channel of one node.
pub fn inbox_channel(node: NodeId) -> String {
    format!("liveroom:node:{node}")
}

/// The user's current token, a JSON string; named as in the replaced system.
pub fn token(user: UserId) -> String {
    format!("{TOKEN_PREFIX}{user}")
}

/// Which login or logout the [`token`] key was last written for. In a Redis Cluster both are in one
/// slot.
pub fn token_stamp(user: UserId) -> String {
    format!("liveroom:{{{TOKEN_PREFIX}{user}}}:stamp")
}

/// The user of a [`token`] key.
pub fn user_of_token(key: &str) -> Option<UserId> {
    key.strip_prefix(TOKEN_PREFIX)?
        .parse()
        .ok()
        .and_then(UserId::new)
}

/// Exists while the user has a `/ws` connection; named as in the replaced system.
pub fn device(user: UserId) -> String {
    format!("online_{user}")
}

/// The users online in a live, a JSON array; named as in the replaced system.
pub fn users(live_id: LiveId) -> String {
    format!("userList_live_{live_id}")
}

const SLOTS: u16 = 16_384;

/// The slot of a Redis Cluster that a key belongs to: CRC-16/XMODEM of its bytes, or of those in its
/// first braces.
pub fn slot(key: &[u8]) -> u16 {
    const POLYNOMIAL: u16 = 0x1021;
    let mut crc: u16 = 0;
    for byte in hash_tag(key).unwrap_or(key) {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            let carry = crc & 0x8000 != 0;
            crc <<= 1;
            if carry {
                crc ^= POLYNOMIAL;
            }
        }
    }
    crc % SLOTS
}

/// What is between the first `{` and the next `}`, unless it is nothing.
fn hash_tag(key: &[u8]) -> Option<&[u8]> {
    let (_, rest) = key.split_at_checked(key.iter().position(|byte| *byte == b'{')? + 1)?;
    let end = rest.iter().position(|byte| *byte == b'}')?;
    (end > 0).then(|| &rest[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // The example of the specification is 0x31c3 before it is cut to a slot.
        assert_eq!(
            (slot(b"123456789"), slot(b"user_1"), slot(b"")),
            (0x31c3, 7_877, 0)
        );
        assert_eq!(slot(b"liveroom:{user_1}:stamp"), slot(b"user_1"));
        assert_eq!(slot(b"{user_1}{other}"), slot(b"user_1"));
        for whole in ["{}user_1", "user_1}", "{user_1"] {
            assert_ne!(slot(whole.as_bytes()), slot(b"user_1"), "{whole}");
        }
    }

    #[test]
    fn names_read_back() {
        let live_id = LiveId::new(42).unwrap();
        assert_eq!(live_of_channel(&room_channel(live_id)), Some(live_id));
        assert_eq!(live_of_channel(NODES_CHANNEL), None);
        let user = UserId::new(7).unwrap();
        assert_eq!(user_of_token(&token(user)), Some(user));
        assert_eq!(user_of_token("user_x"), None);
    }
}
