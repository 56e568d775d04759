//! Names in Redis. What belongs to one room carries its id in braces, so that a Redis Cluster keeps it
//! together.

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

#[cfg(test)]
mod tests {
    use super::*;

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
