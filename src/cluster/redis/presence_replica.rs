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
//! Messages get lost, and messages of one node overtake each other: it sends them over several
//! connections. Each carries the *origin*, which identifies an opening of the room on a node, and
//! the count of deltas, so that what is older than the replica is known by that. Of two origins
//! nobody can say which is the later, except their node: it is asked.
//!
//! | replica | announcement | next delta | later delta | earlier delta | message of another origin | snapshot | unconfirmed doubt | closed |
//! |---|---|---|---|---|---|---|---|---|
//! | none | in sync; requested if it has deltas; a snapshot to it | as an announcement, then | as an announcement, then | - | - | in sync | - | - |
//! | in sync | in sync; requested if it has a higher count | applied | requested, deferred | ignored | requested; after all but a snapshot, a snapshot to it | in sync; ignored if it has a lower count | requested | none |
//! | requested | requested again after 1 s | deferred | deferred | deferred | as when it is in sync; its snapshot counts | in sync; deferred deltas applied; ignored if it has a lower count than what showed the gap | requested again after 1 s | none |
//!
//! An example, at node 1; `2.3` is the third delta of node 2:
//!
//! | message | users of node 2 at node 1 | replica |
//! |---|---|---|
//! | 2.1: alice | alice | in sync at 1 |
//! | 2.3: carol, 2.2 got lost | alice | requested, 1 deferred |
//! | 2.4: without alice | alice | requested, 2 deferred |
//! | snapshot at 3: alice, bob, carol | bob, carol | in sync at 4 |
//! | a snapshot at 1, which was overtaken | bob, carol | in sync at 4 |
//!
//! `tests/presence_scripts/*.txt` are more of these.
//!
//! Invariants:
//!
//! 1. A replica in sync holds the users of one opening of the room on its node, as they were after
//!    a number of deltas. That number never falls.
//! 2. A replica that differs from its node has a request under way, which is repeated until it is
//!    answered, or an announcement of that node is to come.
//! 3. Deltas are applied once and in their order.
//! 4. A snapshot replaces all users of its node, or none.
//! 5. At most 64 deltas of a node are deferred, and a message has at most 500 users.

mod messages;
mod remote;

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use crate::cluster::wire::WirePeer;
use crate::domain::{LiveId, NodeId, PeerChange, PeerUser, PresenceChange, UserId};

use messages::NO_ORIGIN;
use remote::{CountedDelta, RemoteEffects, RemoteReplica};

pub use messages::PresenceMessage;

/// Most users in one message.
const USERS_MAX: usize = 500;

/// A consequence of a received message.
#[derive(Debug)]
pub enum PresenceOutcome {
    Peers(PeerChange),
    Send(NodeId, PresenceMessage),
    /// This node is to announce itself soon.
    Announce,
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
            .for_each(|remote| remote.doubt(now));
    }

    /// Whether a replica waits for its node.
    pub fn is_waiting(&self) -> bool {
        self.remotes.values().any(RemoteReplica::is_waiting)
    }

    /// Requests the snapshots that did not arrive, and those of replicas that were not confirmed.
    pub fn repeat_requests(&mut self, now: Instant) -> Vec<PresenceOutcome> {
        let nodes: Vec<NodeId> = self.remotes.keys().copied().collect();
        nodes
            .into_iter()
            .flat_map(|node| self.with_remote(node, |remote| remote.retry(now)))
            .collect()
    }

    /// The message that this node has closed the room.
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

    fn send_snapshot(&self, node: NodeId) -> Vec<PresenceOutcome> {
        let parts = self.snapshot().into_iter();
        parts
            .map(|part| PresenceOutcome::Send(node, part))
            .collect()
    }

    /// Handles a message of another node about this room.
    pub fn receive(&mut self, message: PresenceMessage, now: Instant) -> Vec<PresenceOutcome> {
        if message.node() == self.node {
            // What is published on the room's channel comes back.
            return Vec::new();
        }
        match message {
            PresenceMessage::Announce {
                node,
                origin,
                count,
                asks,
            } => {
                let mut outcomes = self.on_announce(NodeId(node), origin, count, now);
                if asks {
                    outcomes.push(PresenceOutcome::Announce);
                }
                outcomes
            }
            PresenceMessage::Delta {
                node,
                origin,
                count,
                users,
            } => {
                let delta = CountedDelta {
                    origin,
                    count,
                    users,
                };
                self.on_delta(NodeId(node), delta, now)
            }
            PresenceMessage::Gone { node, origin } => self.on_gone(NodeId(node), origin),
            PresenceMessage::SnapshotRequest { node, .. } => self.send_snapshot(NodeId(node)),
            PresenceMessage::Snapshot {
                node,
                origin,
                count,
                part,
                parts,
                users,
                ..
            } => {
                let snapshot = CountedDelta {
                    origin,
                    count,
                    users,
                };
                self.on_snapshot_part(NodeId(node), snapshot, (part, parts), now)
            }
        }
    }

    fn on_announce(
        &mut self,
        node: NodeId,
        origin: u64,
        count: u64,
        now: Instant,
    ) -> Vec<PresenceOutcome> {
        let mut outcomes = self.meet(node, origin);
        outcomes.extend(self.with_remote(node, |remote| {
            if remote.is_of(origin) {
                remote.announced(count, now)
            } else {
                remote.found_other_opening(now)
            }
        }));
        outcomes
    }

    /// Makes a replica of a node that has none, and sends a snapshot to it if that opening of the
    /// room was not known here: it does not know of the users here.
    fn meet(&mut self, node: NodeId, origin: u64) -> Vec<PresenceOutcome> {
        let remote = self.remotes.get(&node);
        if remote.is_some_and(|remote| remote.is_of(origin)) {
            return Vec::new();
        }
        self.remotes
            .entry(node)
            .or_insert_with(|| RemoteReplica::new(node, origin));
        self.send_snapshot(node)
    }

    fn on_delta(
        &mut self,
        node: NodeId,
        delta: CountedDelta,
        now: Instant,
    ) -> Vec<PresenceOutcome> {
        // It may have arrived before the announcement, or that got lost.
        let mut outcomes = self.meet(node, delta.origin);
        outcomes.extend(self.with_remote(node, |remote| {
            if remote.is_of(delta.origin) {
                remote.delta(delta, now)
            } else {
                remote.delta_of_other_opening(delta, now)
            }
        }));
        outcomes
    }

    fn on_gone(&mut self, node: NodeId, origin: u64) -> Vec<PresenceOutcome> {
        let remote = self.remotes.get(&node);
        if remote.is_none_or(|remote| !remote.is_of(origin)) {
            return Vec::new();
        }
        self.forgotten(node)
    }

    fn on_snapshot_part(
        &mut self,
        node: NodeId,
        snapshot: CountedDelta,
        part: (usize, usize),
        now: Instant,
    ) -> Vec<PresenceOutcome> {
        if snapshot.origin == NO_ORIGIN {
            return self.forgotten(node);
        }
        self.remotes
            .entry(node)
            .or_insert_with(|| RemoteReplica::of_snapshot(node, snapshot.origin, now));
        self.with_remote(node, |remote| remote.snapshot_part(snapshot, part, now))
    }

    /// Lets the replica of a node handle something.
    fn with_remote(
        &mut self,
        node: NodeId,
        handle: impl FnOnce(&mut RemoteReplica) -> RemoteEffects,
    ) -> Vec<PresenceOutcome> {
        let Some(remote) = self.remotes.get_mut(&node) else {
            return Vec::new();
        };
        let RemoteEffects { changes, request } = handle(remote);
        let mut outcomes: Vec<_> = changes.into_iter().map(PresenceOutcome::Peers).collect();
        if request {
            let request = PresenceMessage::SnapshotRequest {
                live: self.live_id.get(),
                node: self.node.0,
            };
            outcomes.push(PresenceOutcome::Send(node, request));
        }
        outcomes
    }

    fn forgotten(&mut self, node: NodeId) -> Vec<PresenceOutcome> {
        let change = self.forget(node).map(PresenceOutcome::Peers);
        change.into_iter().collect()
    }

    /// Nodes whose snapshot has arrived.
    pub fn synced_count(&self) -> usize {
        self.remotes
            .values()
            .filter(|remote| remote.has_snapshot)
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

#[cfg(test)]
mod tests;
