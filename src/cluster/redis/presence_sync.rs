//! The presence of one room, replicated between nodes: a state machine without a connection.
//!
//! Each node publishes changes of its own users as *deltas*, numbered from 1. A node that finds a gap
//! requests a *snapshot* from the sender. An *announcement* carries the sender's delta count; nodes send
//! one when they open the room, after a partition, and periodically, so that a lost delta is noticed
//! even if no other delta follows.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cluster::wire::WirePeer;
use crate::domain::{LiveId, NodeId, PeerChange, PeerUser, PresenceChange, UserId};

/// Most users in one message.
const USERS_MAX: usize = 500;
/// Most deltas of one node that are deferred until its snapshot arrives. Beyond, they are dropped, and the
/// next announcement shows the gap.
const DEFERRED_MAX: usize = 64;
/// A snapshot that has not arrived for so long is requested again.
const REQUEST_RETRY: Duration = Duration::from_secs(2);

/// A message between nodes about the presence of one room. The names on the wire are older than those here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "share", rename_all = "snake_case")]
pub enum PresenceMessage {
    /// On the room's channel: this node has the room and has sent `count` deltas.
    #[serde(rename = "hello")]
    Announce { node: u64, origin: u64, count: u64 },
    /// On the room's channel: the next delta.
    Delta { node: u64, origin: u64, count: u64, users: Vec<WirePeer> },
    /// On the room's channel: this node has closed the room.
    #[serde(rename = "bye")]
    Gone { node: u64, origin: u64 },
    /// To one node: send a snapshot.
    #[serde(rename = "ask")]
    SnapshotRequest { live: i64, node: u64 },
    /// To one node: all users of the sender, up to delta `count`, in `parts` parts numbered from 0.
    #[serde(rename = "all")]
    Snapshot { live: i64, node: u64, origin: u64, count: u64, part: usize, parts: usize, users: Vec<WirePeer> },
}

impl PresenceMessage {
    /// The sender.
    pub fn node(&self) -> NodeId {
        match self {
            Self::Announce { node, .. }
            | Self::Delta { node, .. }
            | Self::Gone { node, .. }
            | Self::SnapshotRequest { node, .. }
            | Self::Snapshot { node, .. } => NodeId(*node),
        }
    }
}

/// A consequence of a received message.
#[derive(Debug)]
pub enum SyncOutcome {
    Peers(PeerChange),
    Send(NodeId, PresenceMessage),
}

#[derive(Debug, Default)]
struct RemoteReplica {
    origin: u64,
    /// Whether a snapshot has arrived.
    is_synced: bool,
    /// The last delta applied; meaningless while a snapshot is requested.
    count: u64,
    requested_at: Option<Instant>,
    deferred: Vec<(u64, Vec<WirePeer>)>,
    parts: Vec<WirePeer>,
    parts_count: usize,
}

/// This node's users in one room, and the state of each other node that has the room.
#[derive(Debug)]
pub struct PresenceReplica {
    live_id: LiveId,
    node: NodeId,
    /// Identifies this opening of the room on this node.
    origin: u64,
    count: u64,
    local: HashMap<UserId, PeerUser>,
    changed: BTreeMap<UserId, WirePeer>,
    remotes: HashMap<NodeId, RemoteReplica>,
}

impl PresenceReplica {
    pub fn new(live_id: LiveId, node: NodeId, origin: u64) -> Self {
        Self {
            live_id,
            node,
            origin,
            count: 0,
            local: HashMap::new(),
            changed: BTreeMap::new(),
            remotes: HashMap::new(),
        }
    }

    /// Applies changes of this node's own users.
    pub fn set_local(&mut self, changes: Vec<PresenceChange>) {
        for change in changes {
            match change {
                PresenceChange::Online(user) => {
                    let id = user.profile.id;
                    self.changed.insert(id, WirePeer::present(&user));
                    self.local.insert(id, user);
                }
                PresenceChange::Offline(id) => {
                    self.changed.insert(id, WirePeer::absent(id));
                    self.local.remove(&id);
                }
            }
        }
    }

    /// The next delta, if users changed. It counts as sent: if it gets lost, the other nodes find the gap.
    pub fn next_delta(&mut self) -> Option<PresenceMessage> {
        let mut users = Vec::new();
        while users.len() < USERS_MAX
            && let Some((_, user)) = self.changed.pop_first()
        {
            users.push(user);
        }
        if users.is_empty() {
            return None;
        }
        self.count += 1;
        Some(PresenceMessage::Delta { node: self.node.0, origin: self.origin, count: self.count, users })
    }

    pub fn announce(&self) -> PresenceMessage {
        PresenceMessage::Announce { node: self.node.0, origin: self.origin, count: self.count }
    }

    pub fn gone(&self) -> PresenceMessage {
        PresenceMessage::Gone { node: self.node.0, origin: self.origin }
    }

    /// All users of this node, in messages of bounded size.
    fn snapshot(&self) -> Vec<PresenceMessage> {
        let users: Vec<&PeerUser> = self.local.values().collect();
        let chunks: Vec<&[&PeerUser]> = if users.is_empty() { vec![&[]] } else { users.chunks(USERS_MAX).collect() };
        let part = |(part, users): (usize, &&[&PeerUser])| PresenceMessage::Snapshot {
            live: self.live_id.get(),
            node: self.node.0,
            origin: self.origin,
            count: self.count,
            part,
            parts: chunks.len(),
            users: users.iter().map(|user| WirePeer::present(user)).collect(),
        };
        chunks.iter().enumerate().map(part).collect()
    }

    /// Handles a message of another node about this room.
    pub fn receive(&mut self, message: PresenceMessage, now: Instant) -> Vec<SyncOutcome> {
        match message {
            PresenceMessage::Announce { node, origin, count } => self.on_announce(NodeId(node), origin, count, now),
            PresenceMessage::Delta { node, origin, count, users } => {
                self.on_delta(NodeId(node), origin, count, users, now)
            }
            PresenceMessage::Gone { node, origin } => {
                let node = NodeId(node);
                let is_current = self.remotes.get(&node).is_some_and(|remote| remote.origin == origin);
                if is_current { self.forget(node).map(SyncOutcome::Peers).into_iter().collect() } else { Vec::new() }
            }
            PresenceMessage::SnapshotRequest { node, .. } => {
                self.snapshot().into_iter().map(|message| SyncOutcome::Send(NodeId(node), message)).collect()
            }
            PresenceMessage::Snapshot { node, origin, count, part, parts, users, .. } => {
                self.on_snapshot_part(NodeId(node), (origin, count), (part, parts), users, now)
            }
        }
    }

    fn on_announce(&mut self, node: NodeId, origin: u64, count: u64, now: Instant) -> Vec<SyncOutcome> {
        if node == self.node {
            return Vec::new();
        }
        let is_new = self.remotes.get(&node).is_none_or(|remote| remote.origin != origin);
        let mut outcomes = Vec::new();
        if is_new {
            // The node has opened the room anew: its earlier users are gone.
            outcomes.extend(self.forget(node).map(SyncOutcome::Peers));
            self.remotes.insert(node, RemoteReplica { origin, ..RemoteReplica::default() });
            if !self.local.is_empty() {
                outcomes.extend(self.snapshot().into_iter().map(|message| SyncOutcome::Send(node, message)));
            } else {
                outcomes.push(SyncOutcome::Send(node, self.empty_snapshot()));
            }
        }
        let is_behind = self.remotes.get(&node).is_some_and(|remote| remote.count < count);
        if is_behind {
            outcomes.extend(self.request_snapshot(node, now));
        }
        outcomes
    }

    /// The snapshot of a node without users in the room.
    fn empty_snapshot(&self) -> PresenceMessage {
        PresenceMessage::Snapshot {
            live: self.live_id.get(),
            node: self.node.0,
            origin: self.origin,
            count: self.count,
            part: 0,
            parts: 1,
            users: Vec::new(),
        }
    }

    fn request_snapshot(&mut self, node: NodeId, now: Instant) -> Option<SyncOutcome> {
        let remote = self.remotes.get_mut(&node)?;
        if remote.requested_at.is_some_and(|at| now.saturating_duration_since(at) < REQUEST_RETRY) {
            return None;
        }
        remote.requested_at = Some(now);
        Some(SyncOutcome::Send(node, PresenceMessage::SnapshotRequest { live: self.live_id.get(), node: self.node.0 }))
    }

    fn on_delta(
        &mut self,
        node: NodeId,
        origin: u64,
        count: u64,
        users: Vec<WirePeer>,
        now: Instant,
    ) -> Vec<SyncOutcome> {
        if node == self.node {
            return Vec::new();
        }
        if self.remotes.get(&node).is_none_or(|remote| remote.origin != origin) {
            // It arrived before the announcement, or the announcement got lost.
            let mut outcomes = self.on_announce(node, origin, 0, now);
            outcomes.extend(self.on_delta(node, origin, count, users, now));
            return outcomes;
        }
        let Some(remote) = self.remotes.get_mut(&node) else { return Vec::new() };
        if remote.requested_at.is_some() || count > remote.count + 1 {
            if remote.deferred.len() < DEFERRED_MAX {
                remote.deferred.push((count, users));
            }
            return self.request_snapshot(node, now).into_iter().collect();
        }
        if count <= remote.count {
            return Vec::new();
        }
        remote.count = count;
        changes(node, users).map(SyncOutcome::Peers).collect()
    }

    fn on_snapshot_part(
        &mut self,
        node: NodeId,
        (origin, count): (u64, u64),
        (part, parts): (usize, usize),
        users: Vec<WirePeer>,
        now: Instant,
    ) -> Vec<SyncOutcome> {
        if node == self.node {
            return Vec::new();
        }
        let remote = self.remotes.entry(node).or_default();
        if part == 0 {
            (remote.parts, remote.parts_count) = (Vec::new(), 0);
        }
        if part != remote.parts_count {
            // A part got lost: the next announcement repeats the request.
            return Vec::new();
        }
        remote.parts.extend(users);
        remote.parts_count += 1;
        if remote.parts_count < parts {
            return Vec::new();
        }
        let snapshot = std::mem::take(&mut remote.parts);
        let deferred = std::mem::take(&mut remote.deferred);
        (remote.origin, remote.count, remote.requested_at, remote.parts_count, remote.is_synced) =
            (origin, count, None, 0, true);
        let online = |user: WirePeer| match user.read()? {
            PresenceChange::Online(user) => Some(user),
            PresenceChange::Offline(_) => None,
        };
        let users = snapshot.into_iter().filter_map(online).collect();
        let mut outcomes = vec![SyncOutcome::Peers(PeerChange::All { node, users })];
        for (delta_count, users) in deferred {
            if delta_count > count {
                outcomes.extend(self.on_delta(node, origin, delta_count, users, now));
            }
        }
        outcomes
    }

    /// Nodes whose snapshot has arrived.
    pub fn synced_count(&self) -> usize {
        self.remotes.values().filter(|remote| remote.is_synced).count()
    }

    /// Removes a node that left or died.
    pub fn forget(&mut self, node: NodeId) -> Option<PeerChange> {
        self.remotes.remove(&node).map(|_| PeerChange::All { node, users: Vec::new() })
    }
}

fn changes(node: NodeId, users: Vec<WirePeer>) -> impl Iterator<Item = PeerChange> {
    users.into_iter().filter_map(WirePeer::read).map(move |change| match change {
        PresenceChange::Online(user) => PeerChange::Present { node, user },
        PresenceChange::Offline(user) => PeerChange::Absent { node, user },
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::domain::{Profile, Timestamp};

    fn user(id: i64) -> PeerUser {
        let profile = Profile { id: UserId::new(id).unwrap(), name: format!("user {id}"), avatar: None };
        PeerUser { profile: Arc::new(profile), sockets: vec![format!("s{id}").into()], arrived_at: Timestamp(id) }
    }

    fn online(id: i64) -> PresenceChange {
        PresenceChange::Online(user(id))
    }

    /// Two nodes, each with a replica of the other.
    struct Pair {
        one: PresenceReplica,
        two: PresenceReplica,
        now: Instant,
    }

    impl Pair {
        fn new() -> Self {
            let replica = |node| PresenceReplica::new(LiveId::FIRST, NodeId(node), node * 100);
            Self { one: replica(1), two: replica(2), now: Instant::now() }
        }

        /// Delivers a message to node two, and all messages that follow from it. Returns the changes of
        /// node one's users at node two.
        fn deliver_to_two(&mut self, message: PresenceMessage) -> Vec<PeerChange> {
            let mut todo = vec![(NodeId(2), message)];
            let mut changes = Vec::new();
            while let Some((to, message)) = todo.pop() {
                let replica = if to == NodeId(1) { &mut self.one } else { &mut self.two };
                for outcome in replica.receive(message, self.now).into_iter().rev() {
                    match outcome {
                        SyncOutcome::Send(node, message) => todo.push((node, message)),
                        SyncOutcome::Peers(change) if to == NodeId(2) => changes.push(change),
                        SyncOutcome::Peers(_) => {}
                    }
                }
            }
            changes
        }
    }

    #[test]
    fn messages_keep_the_names_that_older_nodes_read() {
        let pair = Pair::new();
        let name = |message: PresenceMessage| serde_json::to_value(message).unwrap()["share"].clone();
        assert_eq!([name(pair.one.announce()), name(pair.one.gone())], ["hello", "bye"]);
        assert_eq!(name(pair.one.empty_snapshot()), "all");
        assert_eq!(name(PresenceMessage::SnapshotRequest { live: 1, node: 1 }), "ask");
    }

    #[test]
    fn a_delta_is_applied_once_and_in_order() {
        let mut pair = Pair::new();
        pair.deliver_to_two(pair.one.announce());
        pair.one.set_local(vec![online(7)]);
        let delta = pair.one.next_delta().unwrap();
        let again = serde_json::to_string(&delta).unwrap();
        assert_eq!(pair.deliver_to_two(delta), [PeerChange::Present { node: NodeId(1), user: user(7) }]);
        assert_eq!(pair.deliver_to_two(serde_json::from_str(&again).unwrap()), []);
        assert!(pair.one.next_delta().is_none());
    }

    #[test]
    fn a_lost_delta_is_recovered_by_a_snapshot() {
        let mut pair = Pair::new();
        pair.deliver_to_two(pair.one.announce());
        pair.one.set_local(vec![online(7)]);
        pair.one.next_delta().unwrap();
        pair.one.set_local(vec![online(8)]);
        let second = pair.one.next_delta().unwrap();
        let changes = pair.deliver_to_two(second);
        let [PeerChange::All { node, users }] = &changes[..] else { panic!("{changes:?}") };
        let mut ids: Vec<i64> = users.iter().map(|user| user.profile.id.get()).collect();
        ids.sort_unstable();
        assert_eq!((*node, ids), (NodeId(1), vec![7, 8]));
    }

    #[test]
    fn an_announcement_brings_a_newcomer_a_snapshot_and_reveals_lost_deltas() {
        let mut pair = Pair::new();
        pair.one.set_local((1..=1_200).map(online).collect());
        while pair.one.next_delta().is_some() {}
        let changes = pair.deliver_to_two(pair.one.announce());
        let [PeerChange::All { users, .. }] = &changes[..] else { panic!("{} changes", changes.len()) };
        assert_eq!(users.len(), 1_200);
        assert!(pair.deliver_to_two(pair.one.announce()).is_empty(), "nothing is missing");
    }

    #[test]
    fn a_reopened_room_keeps_no_users_of_its_earlier_opening() {
        let mut pair = Pair::new();
        pair.one.set_local(vec![online(7)]);
        pair.one.next_delta().unwrap();
        pair.deliver_to_two(pair.one.announce());
        pair.one = PresenceReplica::new(LiveId::FIRST, NodeId(1), 555);
        assert_eq!(pair.deliver_to_two(pair.one.announce())[0], PeerChange::All { node: NodeId(1), users: vec![] });
        let late_gone = PresenceMessage::Gone { node: 1, origin: 100 };
        assert!(pair.deliver_to_two(late_gone).is_empty());
        assert_eq!(pair.deliver_to_two(pair.one.gone()), [PeerChange::All { node: NodeId(1), users: vec![] }]);
    }

    #[test]
    fn a_user_that_left_is_absent_on_the_other_node() {
        let mut pair = Pair::new();
        pair.deliver_to_two(pair.one.announce());
        pair.one.set_local(vec![online(7)]);
        let delta = pair.one.next_delta().unwrap();
        pair.deliver_to_two(delta);
        pair.one.set_local(vec![PresenceChange::Offline(UserId::new(7).unwrap())]);
        let delta = pair.one.next_delta().unwrap();
        assert_eq!(pair.deliver_to_two(delta), [PeerChange::Absent { node: NodeId(1), user: UserId::new(7).unwrap() }]);
    }
}
