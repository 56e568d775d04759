//! The replica of one other node: its users in the room, as far as is known.

use std::time::{Duration, Instant};

use crate::cluster::wire::WirePeer;
use crate::domain::{NodeId, PeerChange, PeerUser, PresenceChange};

/// Most deltas of one node that are deferred until its snapshot arrives. Beyond, they are dropped,
/// and the next announcement shows the gap.
const DEFERRED_MAX: usize = 64;
/// A snapshot that has not arrived for so long is requested again.
pub(super) const REQUEST_RETRY: Duration = Duration::from_secs(1);
/// How long a doubted replica waits for an announcement of its node before a snapshot is requested.
pub(super) const CONFIRM_WAIT: Duration = Duration::from_millis(500);

/// See the table of the module above.
#[derive(Debug)]
pub(super) struct RemoteReplica {
    node: NodeId,
    /// Identifies the opening of the room on its node.
    origin: u64,
    pub(super) state: RemoteState,
    /// Whether a snapshot has arrived.
    pub(super) has_snapshot: bool,
    parts: SnapshotParts,
}

#[derive(Debug)]
pub(super) enum RemoteState {
    /// The users are those of the node after `count` deltas.
    InSync {
        count: u64,
        /// Since when messages of the node may have been missed.
        doubted_at: Option<Instant>,
    },
    /// Deltas were missed, and a snapshot was requested then.
    Requested {
        at: Instant,
        /// A snapshot of this opening with fewer deltas is older than the request.
        count_min: u64,
        deferred: Vec<CountedDelta>,
    },
}

/// A delta, or a part of a snapshot.
#[derive(Debug)]
pub(super) struct CountedDelta {
    pub(super) origin: u64,
    /// Its number, or that of the last delta which the snapshot contains.
    pub(super) count: u64,
    pub(super) users: Vec<WirePeer>,
}

/// The parts of a snapshot that have arrived, in order.
#[derive(Debug, Default)]
struct SnapshotParts {
    origin: u64,
    count: u64,
    parts_count: usize,
    users: Vec<WirePeer>,
}

/// What a message led to.
#[derive(Debug, Default)]
pub(super) struct RemoteEffects {
    pub(super) changes: Vec<PeerChange>,
    /// Its node is to send a snapshot.
    pub(super) request: bool,
}

impl RemoteReplica {
    /// Of a node that has opened the room and not published any users.
    pub(super) fn new(node: NodeId, origin: u64) -> Self {
        Self {
            node,
            origin,
            state: RemoteState::InSync {
                count: 0,
                doubted_at: None,
            },
            has_snapshot: false,
            parts: SnapshotParts::default(),
        }
    }

    /// Of a node whose snapshot begins to arrive. The rest of it is requested if it gets lost.
    pub(super) fn of_snapshot(node: NodeId, origin: u64, now: Instant) -> Self {
        Self {
            state: RemoteState::Requested {
                at: now,
                count_min: 0,
                deferred: Vec::new(),
            },
            ..Self::new(node, origin)
        }
    }

    pub(super) fn is_of(&self, origin: u64) -> bool {
        self.origin == origin
    }

    #[cfg(test)]
    pub(super) fn origin(&self) -> u64 {
        self.origin
    }

    /// Messages of the node may have been missed. A snapshot under way is awaited first.
    pub(super) fn doubt(&mut self, now: Instant) {
        if let RemoteState::InSync { doubted_at, .. } = &mut self.state {
            *doubted_at = Some(now);
        }
    }

    /// Whether it waits for its node.
    pub(super) fn is_waiting(&self) -> bool {
        !matches!(
            self.state,
            RemoteState::InSync {
                doubted_at: None,
                ..
            }
        )
    }

    /// Its node has sent `count` deltas.
    pub(super) fn announced(&mut self, count: u64, now: Instant) -> RemoteEffects {
        match &mut self.state {
            RemoteState::InSync {
                count: applied,
                doubted_at,
            } if count <= *applied => {
                *doubted_at = None;
                RemoteEffects::default()
            }
            _ => self.request(count, now),
        }
    }

    /// A message of another opening of the room on its node. Which one is the later cannot be known
    /// from that: the users stay until the node has answered.
    pub(super) fn found_other_opening(&mut self, now: Instant) -> RemoteEffects {
        self.request(0, now)
    }

    /// As [`RemoteReplica::found_other_opening`]: the delta is applied after the snapshot of its
    /// opening.
    pub(super) fn delta_of_other_opening(
        &mut self,
        delta: CountedDelta,
        now: Instant,
    ) -> RemoteEffects {
        let effects = self.found_other_opening(now);
        self.defer(delta);
        effects
    }

    /// Applies a delta of this opening, if it is next.
    pub(super) fn delta(&mut self, delta: CountedDelta, now: Instant) -> RemoteEffects {
        match &mut self.state {
            RemoteState::InSync { count, .. } if delta.count <= *count => RemoteEffects::default(),
            RemoteState::InSync { count, .. } if delta.count == *count + 1 => {
                *count += 1;
                RemoteEffects {
                    changes: changes(self.node, delta.users),
                    request: false,
                }
            }
            RemoteState::InSync { .. } => {
                let effects = self.request(delta.count - 1, now);
                self.defer(delta);
                effects
            }
            RemoteState::Requested { .. } => {
                // The snapshot may have been sent before this delta, which is applied after it.
                self.defer(delta);
                self.request(0, now)
            }
        }
    }

    /// Keeps a delta until the snapshot has arrived.
    fn defer(&mut self, delta: CountedDelta) {
        if let RemoteState::Requested { deferred, .. } = &mut self.state
            && deferred.len() < DEFERRED_MAX
        {
            deferred.push(delta);
        }
    }

    /// Requests the snapshot again that did not arrive, or the first one if the doubt was not
    /// resolved in time.
    pub(super) fn retry(&mut self, now: Instant) -> RemoteEffects {
        match self.state {
            RemoteState::InSync {
                doubted_at: Some(at),
                ..
            } if now.saturating_duration_since(at) >= CONFIRM_WAIT => self.request(0, now),
            RemoteState::InSync { .. } => RemoteEffects::default(),
            RemoteState::Requested { .. } => self.request(0, now),
        }
    }

    /// Requests a snapshot with at least `count` deltas, and with no fewer than were applied.
    fn request(&mut self, count: u64, now: Instant) -> RemoteEffects {
        let request = match &mut self.state {
            RemoteState::InSync { count: applied, .. } => {
                self.state = RemoteState::Requested {
                    at: now,
                    count_min: count.max(*applied),
                    deferred: Vec::new(),
                };
                true
            }
            RemoteState::Requested { at, count_min, .. } => {
                *count_min = count.max(*count_min);
                let is_due = now.saturating_duration_since(*at) >= REQUEST_RETRY;
                if is_due {
                    *at = now;
                }
                is_due
            }
        };
        RemoteEffects {
            changes: Vec::new(),
            request,
        }
    }

    /// Takes one part of a snapshot: all of them replace the users. Messages take different ways,
    /// so a snapshot that was sent earlier may arrive later.
    pub(super) fn snapshot_part(
        &mut self,
        snapshot: CountedDelta,
        (part, parts): (usize, usize),
        now: Instant,
    ) -> RemoteEffects {
        let is_same = self.origin == snapshot.origin;
        let is_old = match &self.state {
            RemoteState::InSync { .. } if !is_same => return self.found_other_opening(now),
            RemoteState::InSync { count, .. } => snapshot.count < *count,
            RemoteState::Requested { count_min, .. } => is_same && snapshot.count < *count_min,
        };
        if is_old || !self.parts.take(&snapshot, part) || self.parts.parts_count < parts {
            return RemoteEffects::default();
        }
        self.replace(now)
    }

    /// Replaces the users by those of the snapshot whose parts have arrived, and applies the deltas
    /// that were deferred.
    fn replace(&mut self, now: Instant) -> RemoteEffects {
        let SnapshotParts {
            origin,
            count,
            users,
            ..
        } = std::mem::take(&mut self.parts);
        let before = std::mem::replace(
            &mut self.state,
            RemoteState::InSync {
                count,
                doubted_at: None,
            },
        );
        (self.origin, self.has_snapshot) = (origin, true);
        let users = users.into_iter().filter_map(online).collect();
        let mut effects = RemoteEffects {
            changes: vec![PeerChange::All {
                node: self.node,
                users,
            }],
            request: false,
        };
        if let RemoteState::Requested { mut deferred, .. } = before {
            deferred.retain(|delta| delta.origin == origin);
            deferred.sort_by_key(|delta| delta.count);
            for delta in deferred {
                let more = self.delta(delta, now);
                effects.changes.extend(more.changes);
                effects.request |= more.request;
            }
        }
        effects
    }
}

impl SnapshotParts {
    /// Adds a part if it is the next one. If one got lost, the request is repeated.
    fn take(&mut self, snapshot: &CountedDelta, part: usize) -> bool {
        let CountedDelta {
            origin,
            count,
            users,
        } = snapshot;
        if part == 0 {
            *self = Self {
                origin: *origin,
                count: *count,
                ..Self::default()
            };
        }
        let is_next = part == self.parts_count && (self.origin, self.count) == (*origin, *count);
        if is_next {
            self.users.extend(users.iter().cloned());
            self.parts_count += 1;
        }
        is_next
    }
}

/// A user of a snapshot; `None` for what no node writes.
fn online(user: WirePeer) -> Option<PeerUser> {
    match user.read()? {
        PresenceChange::Online(user) => Some(user),
        PresenceChange::Offline(_) => None,
    }
}

fn changes(node: NodeId, users: Vec<WirePeer>) -> Vec<PeerChange> {
    let change = |change| match change {
        PresenceChange::Online(user) => PeerChange::Present { node, user },
        PresenceChange::Offline(user) => PeerChange::Absent { node, user },
    };
    let read = users.into_iter().filter_map(WirePeer::read);
    read.map(change).collect()
}
