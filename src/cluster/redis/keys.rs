//! Names in Redis. What belongs to one room carries its id in braces, so that a Redis Cluster keeps it
//! together.

use std::collections::HashMap;
use std::sync::LazyLock;

use crate::domain::{LiveId, NodeId, UserId};

/// Where every node listens.
pub const NODES_CHANNEL: &str = "liveroom:nodes";

/// When the data of this Redis began, in milliseconds since the Unix epoch.
pub const BORN: &str = "liveroom:born";

/// Counts connections of nodes: each takes the next number.
pub const NUMBERS: &str = "liveroom:numbers";

/// Begins the keys of tokens.
pub const TOKEN_PREFIX: &str = "user_";

/// The room's epoch, generation and offset.
pub fn order(live_id: LiveId) -> String {
    format!("liveroom:{{{live_id}}}:order")
}

/// The room's newest events.
pub fn events(live_id: LiveId) -> String {
    format!("liveroom:{{{live_id}}}:events")
}

/// What one origin has appended.
pub fn applied(live_id: LiveId, origin: u64) -> String {
    format!("liveroom:{{{live_id}}}:from:{origin:016x}")
}

/// The room's newest gifts.
pub fn gifts(live_id: LiveId) -> String {
    format!("liveroom:{{{live_id}}}:gifts")
}

/// Where the nodes that have a room listen.
pub fn room_channel(live_id: LiveId) -> String {
    format!("liveroom:{{{live_id}}}:room")
}

/// The command that says something on a room's channel. In a Redis Cluster channels live in the
/// slots of the keys, so that only the shard that has the room carries it.
pub fn publish_command(is_cluster: bool) -> &'static str {
    if is_cluster { "SPUBLISH" } else { "PUBLISH" }
}

/// The live whose [`room_channel`] this is.
pub fn live_of_channel(channel: &str) -> Option<LiveId> {
    let id = channel.strip_prefix("liveroom:{")?.strip_suffix("}:room")?;
    id.parse().ok().and_then(LiveId::new)
}

/// Where one node listens.
pub fn inbox_channel(node: NodeId) -> String {
    format!("liveroom:node:{node}")
}

/// A node's latest heartbeat: its count and when that was. A node that finds an earlier one than it wrote
/// knows that this Redis has fallen back to an earlier state.
pub fn beat(node: NodeId) -> String {
    format!("liveroom:beat:{node}")
}

/// The user's current token, as the replaced system names it: a JSON string.
pub fn token(user: UserId) -> String {
    format!("{TOKEN_PREFIX}{user}")
}

/// The user of a [`token`] key.
pub fn user_of_token(key: &str) -> Option<UserId> {
    key.strip_prefix(TOKEN_PREFIX)?.parse().ok().and_then(UserId::new)
}

/// There while the user has a `/ws` connection, as the replaced system names it.
pub fn device(user: UserId) -> String {
    format!("online_{user}")
}

/// Who is online in a live, as the replaced system names it: a JSON array.
pub fn users(live_id: LiveId) -> String {
    format!("userList_live_{live_id}")
}

/// When the data began that this user's token belongs to. In a Redis Cluster each server may lose its
/// own, so each slot has a key: one whose braces hold a number that leads to that slot.
pub fn born(user: UserId, is_cluster: bool) -> String {
    static TAGS: LazyLock<HashMap<u16, u32>> = LazyLock::new(|| {
        let mut tags = HashMap::new();
        let mut number: u32 = 0;
        while tags.len() < usize::from(SLOTS) {
            tags.entry(slot(&number.to_string())).or_insert(number);
            number += 1;
        }
        tags
    });
    if is_cluster { format!("{BORN}:{{{}}}", TAGS[&slot(&token(user))]) } else { BORN.to_owned() }
}

const SLOTS: u16 = 16_384;

/// The slot of a Redis Cluster that a key without braces belongs to: CRC-16/XMODEM of its bytes.
pub fn slot(key: &str) -> u16 {
    const POLYNOMIAL: u16 = 0x1021;
    let mut crc: u16 = 0;
    for byte in key.bytes() {
        crc ^= u16::from(byte) << 8;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        // The example of the specification is 0x31c3 before it is cut to a slot.
        assert_eq!((slot("123456789"), slot("user_1"), slot("")), (0x31c3, 7_877, 0));
    }

    #[test]
    fn a_user_and_the_birth_of_its_data_have_one_slot() {
        for id in 1..=100 {
            let user = UserId::new(id).unwrap();
            let born = born(user, true);
            let tag = born.strip_prefix("liveroom:born:{").and_then(|rest| rest.strip_suffix('}')).unwrap();
            assert_eq!(slot(tag), slot(&token(user)));
        }
        assert_eq!(born(UserId::FIRST, false), BORN);
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
