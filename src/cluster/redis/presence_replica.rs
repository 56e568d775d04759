//! The presence of one room, replicated between nodes: a state machine without a connection.
//!
//! Each node publishes changes of its own users as *deltas*, numbered from 1. A node that finds a
//! gap requests a *snapshot* from the sender. An *announcement* carries the sender's delta count;
//! nodes send one when they open the room, when a message of theirs got lost, when another asks for
//! it, and periodically, so that a lost delta is noticed even if no other delta follows.
//!
//! A node that may have missed messages, because its subscription was interrupted, *doubts* its
//! replicas: its announcement asks the others for theirs. A replica that is not confirmed soon is
//! replaced by a snapshot, which is empty if the other node has closed the room.
//!
//! | replica | announcement, same origin | other origin | next delta | later delta | snapshot | unconfirmed doubt |
//! |---|---|---|---|---|---|---|
//! | none | - | new, and a snapshot to it | new | new, requested | in sync | - |
//! | in sync | in sync; requested if it has a higher count | emptied, new | in sync | requested | in sync | requested |
//! | requested | requested | emptied, new | deferred | deferred | in sync, deferred deltas applied | requested again |
//!
//! Invariants: a replica holds the users of one opening of the room on its node, as they were after
//! a number of deltas. Each replica that differs from its node has a request under way, or an
//! announcement of that node to come.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::cluster::wire::WirePeer;
use crate::domain::{LiveId, NodeId, PeerChange, PeerUser, PresenceChange, UserId};

/// Most users in one message.
const USERS_MAX: usize = 500;
/// Most deltas of one node that are deferred until its snapshot arrives. Beyond, they are dropped,
/// and the next announcement shows the gap.
const DEFERRED_MAX: usize = 64;
/// A snapshot that has not arrived for so long is requested again.
const REQUEST_RETRY: Duration = Duration::from_secs(1);
/// How long a doubted replica waits for an announcement of its node before a snapshot is requested.
const CONFIRM_WAIT: Duration = Duration::from_millis(500);
/// The origin in a snapshot of a node that does not have the room.
const NO_ORIGIN: u64 = 0;

/// A message between nodes about the presence of one room. The names on the wire are older than
/// those here.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "share", rename_all = "snake_case")]
pub enum PresenceMessage {
    /// On the room's channel: this node has the room and has sent `count` deltas. If it asks, the
    /// others announce themselves too; nodes of an older version neither write nor read that.
    #[serde(rename = "hello")]
    Announce {
        node: u64,
        origin: u64,
        count: u64,
        #[serde(default)]
        asks: bool,
    },
    /// On the room's channel: the next delta.
    Delta {
        node: u64,
        origin: u64,
        count: u64,
        users: Vec<WirePeer>,
    },
    /// On the room's channel: this node has closed the room.
    #[serde(rename = "bye")]
    Gone { node: u64, origin: u64 },
    /// To one node: send a snapshot.
    #[serde(rename = "ask")]
    SnapshotRequest { live: i64, node: u64 },
    /// To one node: all users of the sender, up to delta `count`, in `parts` parts numbered from 0.
    #[serde(rename = "all")]
    Snapshot {
        live: i64,
        node: u64,
        origin: u64,
        count: u64,
        part: usize,
        parts: usize,
        users: Vec<WirePeer>,
    },
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

    /// The snapshot of a node that does not have the room: its users left, and others did not
    /// notice.
    pub fn no_room(live_id: LiveId, node: NodeId) -> Self {
        let (live, node) = (live_id.get(), node.0);
        Self::Snapshot {
            live,
            node,
            origin: NO_ORIGIN,
            count: 0,
            part: 0,
            parts: 1,
            users: Vec::new(),
        }
    }
}

/// A consequence of a received message.
#[derive(Debug)]
pub enum PresenceOutcome {
    Peers(PeerChange),
    Send(NodeId, PresenceMessage),
    /// This node is to announce itself soon.
    Announce,
}

#[derive(Debug, Default)]
struct RemoteReplica {
    origin: u64,
    /// Whether a snapshot has arrived.
    is_synced: bool,
    /// The last delta applied; meaningless while a snapshot is requested.
    count: u64,
    requested_at: Option<Instant>,
    /// Since when messages of the node may have been missed.
    doubted_at: Option<Instant>,
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
    /// Whether the next announcement asks for those of the others.
    asks: bool,
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
            asks: false,
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

    /// The next delta, if users changed. It counts as sent: if it gets lost, the other nodes find
    /// the gap.
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
        Some(PresenceMessage::Delta {
            node: self.node.0,
            origin: self.origin,
            count: self.count,
            users,
        })
    }

    /// The announcement of this node.
    pub fn announce(&mut self) -> PresenceMessage {
        let asks = std::mem::take(&mut self.asks);
        PresenceMessage::Announce {
            node: self.node.0,
            origin: self.origin,
            count: self.count,
            asks,
        }
    }

    /// Messages of other nodes may have been missed: the next announcement is due, and asks for
    /// theirs.
    pub fn doubt(&mut self, now: Instant) {
        self.asks = true;
        self.remotes
            .values_mut()
            .for_each(|remote| remote.doubted_at = Some(now));
    }

    /// Whether a replica waits for its node.
    pub fn is_waiting(&self) -> bool {
        self.remotes
            .values()
            .any(|remote| remote.requested_at.is_some() || remote.doubted_at.is_some())
    }

    /// Requests the snapshots that did not arrive, and those of replicas that were not confirmed.
    pub fn repeat_requests(&mut self, now: Instant) -> Vec<PresenceOutcome> {
        let is_unconfirmed = |remote: &RemoteReplica| {
            remote
                .doubted_at
                .is_some_and(|at| now.saturating_duration_since(at) >= CONFIRM_WAIT)
        };
        let is_due =
            |remote: &RemoteReplica| remote.requested_at.is_some() || is_unconfirmed(remote);
        let due: Vec<NodeId> = self
            .remotes
            .iter()
            .filter(|(_, remote)| is_due(remote))
            .map(|(id, _)| *id)
            .collect();
        due.into_iter()
            .filter_map(|node| self.request_snapshot(node, now))
            .collect()
    }

    pub fn gone(&self) -> PresenceMessage {
        PresenceMessage::Gone {
            node: self.node.0,
            origin: self.origin,
        }
    }

    /// All users of this node, in messages of bounded size.
    fn snapshot(&self) -> Vec<PresenceMessage> {
        let users: Vec<&PeerUser> = self.local.values().collect();
        let chunks: Vec<&[&PeerUser]> = if users.is_empty() {
            vec![&[]]
        } else {
            users.chunks(USERS_MAX).collect()
        };
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
    pub fn receive(&mut self, message: PresenceMessage, now: Instant) -> Vec<PresenceOutcome> {
        match message {
            PresenceMessage::Announce {
                node,
                origin,
                count,
                asks,
            } => {
                let mut outcomes = self.on_announce(NodeId(node), origin, count, now);
                if asks && NodeId(node) != self.node {
                    outcomes.push(PresenceOutcome::Announce);
                }
                outcomes
            }
            PresenceMessage::Delta {
                node,
                origin,
                count,
                users,
            } => self.on_delta(NodeId(node), origin, count, users, now),
            PresenceMessage::Gone { node, origin } => {
                let node = NodeId(node);
                let is_current = self
                    .remotes
                    .get(&node)
                    .is_some_and(|remote| remote.origin == origin);
                if is_current {
                    self.forget(node)
                        .map(PresenceOutcome::Peers)
                        .into_iter()
                        .collect()
                } else {
                    Vec::new()
                }
            }
            PresenceMessage::SnapshotRequest { node, .. } => self
                .snapshot()
                .into_iter()
                .map(|message| PresenceOutcome::Send(NodeId(node), message))
                .collect(),
            PresenceMessage::Snapshot {
                node,
                origin,
                count,
                part,
                parts,
                users,
                ..
            } => self.on_snapshot_part(NodeId(node), (origin, count), (part, parts), users, now),
        }
    }

    fn on_announce(
        &mut self,
        node: NodeId,
        origin: u64,
        count: u64,
        now: Instant,
    ) -> Vec<PresenceOutcome> {
        if node == self.node {
            return Vec::new();
        }
        let is_new = self
            .remotes
            .get(&node)
            .is_none_or(|remote| remote.origin != origin);
        let mut outcomes = Vec::new();
        if is_new {
            // The node has opened the room anew: its earlier users are gone.
            outcomes.extend(self.forget(node).map(PresenceOutcome::Peers));
            self.remotes.insert(
                node,
                RemoteReplica {
                    origin,
                    ..RemoteReplica::default()
                },
            );
            if !self.local.is_empty() {
                outcomes.extend(
                    self.snapshot()
                        .into_iter()
                        .map(|message| PresenceOutcome::Send(node, message)),
                );
            } else {
                outcomes.push(PresenceOutcome::Send(node, self.empty_snapshot()));
            }
        }
        let Some(remote) = self.remotes.get_mut(&node) else {
            return outcomes;
        };
        remote.doubted_at = None;
        if remote.count < count {
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

    fn request_snapshot(&mut self, node: NodeId, now: Instant) -> Option<PresenceOutcome> {
        let remote = self.remotes.get_mut(&node)?;
        if remote
            .requested_at
            .is_some_and(|at| now.saturating_duration_since(at) < REQUEST_RETRY)
        {
            return None;
        }
        (remote.requested_at, remote.doubted_at) = (Some(now), None);
        Some(PresenceOutcome::Send(
            node,
            PresenceMessage::SnapshotRequest {
                live: self.live_id.get(),
                node: self.node.0,
            },
        ))
    }

    fn on_delta(
        &mut self,
        node: NodeId,
        origin: u64,
        count: u64,
        users: Vec<WirePeer>,
        now: Instant,
    ) -> Vec<PresenceOutcome> {
        if node == self.node {
            return Vec::new();
        }
        if self
            .remotes
            .get(&node)
            .is_none_or(|remote| remote.origin != origin)
        {
            // It arrived before the announcement, or the announcement got lost.
            let mut outcomes = self.on_announce(node, origin, 0, now);
            outcomes.extend(self.on_delta(node, origin, count, users, now));
            return outcomes;
        }
        let Some(remote) = self.remotes.get_mut(&node) else {
            return Vec::new();
        };
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
        changes(node, users).map(PresenceOutcome::Peers).collect()
    }

    fn on_snapshot_part(
        &mut self,
        node: NodeId,
        (origin, count): (u64, u64),
        (part, parts): (usize, usize),
        users: Vec<WirePeer>,
        now: Instant,
    ) -> Vec<PresenceOutcome> {
        if node == self.node {
            return Vec::new();
        }
        if origin == NO_ORIGIN {
            return self
                .forget(node)
                .map(PresenceOutcome::Peers)
                .into_iter()
                .collect();
        }
        let remote = self.remotes.entry(node).or_default();
        if part == 0 {
            (remote.parts, remote.parts_count) = (Vec::new(), 0);
        }
        if part != remote.parts_count {
            // A part got lost: the request is repeated.
            return Vec::new();
        }
        remote.parts.extend(users);
        remote.parts_count += 1;
        if remote.parts_count < parts {
            return Vec::new();
        }
        let snapshot = std::mem::take(&mut remote.parts);
        let deferred = std::mem::take(&mut remote.deferred);
        (
            remote.origin,
            remote.count,
            remote.parts_count,
            remote.is_synced,
        ) = (origin, count, 0, true);
        (remote.requested_at, remote.doubted_at) = (None, None);
        let online = |user: WirePeer| match user.read()? {
            PresenceChange::Online(user) => Some(user),
            PresenceChange::Offline(_) => None,
        };
        let users = snapshot.into_iter().filter_map(online).collect();
        let mut outcomes = vec![PresenceOutcome::Peers(PeerChange::All { node, users })];
        for (delta_count, users) in deferred {
            if delta_count > count {
                outcomes.extend(self.on_delta(node, origin, delta_count, users, now));
            }
        }
        outcomes
    }

    /// Nodes whose snapshot has arrived.
    pub fn synced_count(&self) -> usize {
        self.remotes
            .values()
            .filter(|remote| remote.is_synced)
            .count()
    }

    /// Removes a node that left or died.
    pub fn forget(&mut self, node: NodeId) -> Option<PeerChange> {
        self.remotes.remove(&node).map(|_| PeerChange::All {
            node,
            users: Vec::new(),
        })
    }
}

fn changes(node: NodeId, users: Vec<WirePeer>) -> impl Iterator<Item = PeerChange> {
    users
        .into_iter()
        .filter_map(WirePeer::read)
        .map(move |change| match change {
            PresenceChange::Online(user) => PeerChange::Present { node, user },
            PresenceChange::Offline(user) => PeerChange::Absent { node, user },
        })
}

#[cfg(test)]
mod tests;
