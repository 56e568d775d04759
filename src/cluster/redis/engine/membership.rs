//! Which other nodes there are: heartbeats, and when a node has left or is dead.
//!
//! | another node | its message | its heartbeat | its leave | not asked | tick, silent for the timeout | tick, grace over |
//! |---|---|---|---|---|---|---|
//! | unknown | known, asked for its announcements | as its message | known, leaves | - | - | - |
//! | known | seen | as its message, and its secret compared | leaves | asked with its next message | removed | - |
//! | leaves | seen | as its message | leaves, with the new grace | as above | removed | removed |
//!
//! Invariants: this node is not among the others. A node is removed once for each time that it is
//! known, and a node of which messages arrive is known. The time in which this node itself was
//! stalled is not the silence of another. A node that leaves sends no heartbeat.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use log::{info, warn};
use tokio::sync::oneshot;

use crate::cluster::{Signal, SilentNode};
use crate::config::{Config, Secrets};
use crate::domain::{NodeId, Timestamp};

use super::super::messages::NodeMessage;
use super::out::{Out, Tick};
use super::request::{Publication, Purpose};
use super::settings::secret_check;

const HEARTBEAT: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct KnownNode {
    last_seen: Instant,
    /// Set when the node announced that it stops: its users are removed then.
    leaves_at: Option<Instant>,
    /// Whether it was asked for its announcements.
    is_asked: bool,
    /// Where it listens; empty until its first heartbeat, and for a node of an older version.
    address: String,
    /// What was compared with this node's secret.
    secret_check: String,
}

impl KnownNode {
    fn new(last_seen: Instant) -> Self {
        Self {
            last_seen,
            leaves_at: None,
            is_asked: false,
            address: String::new(),
            secret_check: String::new(),
        }
    }
}

/// The other nodes whose heartbeat has not timed out, and the heartbeat of this one.
pub struct Membership {
    node: NodeId,
    jwt_secrets: Secrets,
    /// How long a node may be silent.
    timeout: Duration,
    /// How long the users of this node stay in rooms of others when it stops.
    leave_grace_ms: u64,
    /// Where this node listens; `None` before it serves.
    address: Option<String>,
    others: HashMap<NodeId, KnownNode>,
    next_heartbeat: Instant,
    is_leaving: bool,
}

impl Membership {
    pub fn new(config: &Config, node: NodeId, now: Instant) -> Self {
        Self {
            node,
            jwt_secrets: config.auth.jwt_secret.clone(),
            timeout: config.cluster.node_timeout_ms.duration(),
            leave_grace_ms: u64::from(config.presence.leave_grace_ms.get()),
            address: None,
            others: HashMap::new(),
            next_heartbeat: now,
            is_leaving: false,
        }
    }

    /// This node begins to serve at an address.
    pub fn serve(&mut self, address: String) -> Vec<Out> {
        self.address = Some(address);
        self.heartbeat()
    }

    /// A heartbeat of this node. Its outcome shows whether commands work. Before it serves, the
    /// node does not say where it listens, and not how its secret compares.
    pub fn heartbeat(&self) -> Vec<Out> {
        if self.is_leaving {
            return Vec::new();
        }
        let (address, secret_check) = match &self.address {
            Some(address) => (
                address.clone(),
                secret_check(self.jwt_secrets.signing(), self.node),
            ),
            None => Default::default(),
        };
        let heartbeat = NodeMessage::Heartbeat {
            node: self.node.0,
            address,
            secret_check,
        };
        vec![Publication::to_nodes(heartbeat, Purpose::Heartbeat).into()]
    }

    /// A message of this node arrived.
    pub fn seen(&mut self, node: NodeId, now: Instant) -> Vec<Out> {
        if node == self.node {
            return Vec::new();
        }
        let known = self.others.entry(node).or_insert_with(|| {
            info!("node joined: node={node}");
            KnownNode::new(now)
        });
        known.last_seen = now;
        if std::mem::replace(&mut known.is_asked, true) {
            return Vec::new();
        }
        vec![Out::NodeJoined(node)]
    }

    pub fn heartbeat_of(
        &mut self,
        node: NodeId,
        address: String,
        check: String,
        now: Instant,
    ) -> Vec<Out> {
        let outs = self.seen(node, now);
        if let Some(known) = self.others.get_mut(&node)
            && !check.is_empty()
            && known.secret_check != check
        {
            let signs_with = |secret| check == secret_check(secret, node);
            if !self.jwt_secrets.iter().any(signs_with) {
                warn!(
                    "another node signs with an auth.jwt_secret that this one does not have, its tokens are refused here: node={node} address={address}"
                );
            }
            (known.address, known.secret_check) = (address, check);
        }
        outs
    }

    /// A node could not be asked for its announcements: it is with its next message.
    pub fn not_asked(&mut self, node: NodeId) {
        if let Some(known) = self.others.get_mut(&node) {
            known.is_asked = false;
        }
    }

    /// A node stops. Its users stay for so long, for they are on their way to other nodes.
    pub fn leaves(&mut self, node: NodeId, grace: Duration, now: Instant) {
        let known = self
            .others
            .entry(node)
            .or_insert_with(|| KnownNode::new(now));
        (known.last_seen, known.leaves_at) = (now, Some(now + grace));
        info!("node leaves: node={node}");
    }

    /// This node stops. `reply` is answered when the others were notified, or could not be.
    pub fn leave(&mut self, reply: oneshot::Sender<()>) -> Vec<Out> {
        self.is_leaving = true;
        let leave = NodeMessage::Leave {
            node: self.node.0,
            grace_ms: self.leave_grace_ms,
        };
        vec![Publication::to_nodes(leave, Purpose::Leave(reply)).into()]
    }

    /// A signal of this node to all others.
    pub fn signal(&self, signal: Signal) -> Vec<Out> {
        let purpose = match signal {
            Signal::OtherDevice(..) => Purpose::Device,
            _ => Purpose::Notice,
        };
        let (node, signal) = (self.node.0, signal.into());
        vec![Publication::to_nodes(NodeMessage::Signal { node, signal }, purpose).into()]
    }

    /// The other nodes but those that stop.
    pub fn others(&self, now: Instant, at: Timestamp) -> Vec<SilentNode> {
        let view = |(node, known): (&NodeId, &KnownNode)| {
            let silent_ms = now.saturating_duration_since(known.last_seen).as_millis();
            SilentNode {
                node: node.to_string(),
                address: known.address.clone(),
                last_seen_at: at.plus_ms(-i64::try_from(silent_ms).unwrap_or(i64::MAX)).0,
            }
        };
        let stay = self
            .others
            .iter()
            .filter(|(_, known)| known.leaves_at.is_none());
        stay.map(view).collect()
    }

    /// Removes nodes that left or timed out, and sends a heartbeat if it is due.
    pub fn tick(&mut self, tick: Tick) -> Vec<Out> {
        let now = tick.now;
        for known in self.others.values_mut() {
            known.last_seen += tick.stalled;
        }
        let mut outs = Vec::new();
        let timeout = self.timeout;
        self.others.retain(|node, known| {
            let has_left = known.leaves_at.is_some_and(|at| at <= now);
            let is_dead = now.saturating_duration_since(known.last_seen) >= timeout;
            if has_left {
                info!("node left: node={node}");
            } else if is_dead {
                warn!(
                    "node is dead: node={node} silent_ms={}",
                    timeout.as_millis()
                );
            } else {
                return true;
            }
            outs.push(Out::NodeRemoved(*node));
            false
        });
        if now >= self.next_heartbeat {
            self.next_heartbeat = now + HEARTBEAT;
            outs.append(&mut self.heartbeat());
        }
        outs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::redis::engine::request::{PublishedMessage, RedisRequest};

    const OTHER: NodeId = NodeId(2);
    const MOMENT: Duration = Duration::from_millis(1);
    const GRACE: Duration = Duration::from_secs(5);

    /// Node 1, and the time when it starts.
    fn start() -> (Membership, Instant) {
        let now = Instant::now();
        let membership = Membership::new(&Config::default(), NodeId(1), now);
        (membership, now)
    }

    /// A tick in time.
    fn at(now: Instant) -> Tick {
        Tick {
            now,
            at: Timestamp(0),
            stalled: Duration::ZERO,
        }
    }

    /// Ticks each 100 ms after `from`, up to `to`. Returns the nodes that were removed.
    fn tick(membership: &mut Membership, from: Instant, to: Instant) -> Vec<NodeId> {
        let mut removed = Vec::new();
        let mut now = from;
        while now < to {
            now = to.min(now + Duration::from_millis(100));
            removed.extend(
                membership
                    .tick(at(now))
                    .into_iter()
                    .filter_map(|out| match out {
                        Out::NodeRemoved(node) => Some(node),
                        _ => None,
                    }),
            );
        }
        removed
    }

    fn joined(outs: &[Out]) -> bool {
        matches!(outs, [Out::NodeJoined(OTHER)])
    }

    /// The address and the secret's check in a heartbeat.
    fn heartbeat(outs: &[Out]) -> Option<(&str, &str)> {
        outs.iter().find_map(|out| match out {
            Out::Request(RedisRequest::Publish(Publication {
                message:
                    PublishedMessage::Node(NodeMessage::Heartbeat {
                        address,
                        secret_check,
                        ..
                    }),
                ..
            })) => Some((address.as_str(), secret_check.as_str())),
            _ => None,
        })
    }

    #[test]
    fn a_node_is_dead_once_it_was_silent_for_the_timeout_and_not_before() {
        let (mut membership, start) = start();
        membership.seen(OTHER, start);
        let dead = start + membership.timeout;
        assert!(tick(&mut membership, start, dead - MOMENT).is_empty());
        assert_eq!(tick(&mut membership, dead - MOMENT, dead), [OTHER]);
        assert!(tick(&mut membership, dead, dead + GRACE).is_empty(), "once");
    }

    #[test]
    fn each_message_of_a_node_shows_that_it_lives() {
        let (mut membership, start) = start();
        membership.seen(OTHER, start);
        let seen = start + membership.timeout / 2;
        tick(&mut membership, start, seen);
        assert!(membership.seen(OTHER, seen).is_empty(), "it is known");
        let dead = seen + membership.timeout;
        assert!(tick(&mut membership, seen, dead - MOMENT).is_empty());
        assert_eq!(tick(&mut membership, dead - MOMENT, dead), [OTHER]);
    }

    #[test]
    fn while_this_node_is_stalled_no_other_dies_of_silence() {
        let (mut membership, start) = start();
        membership.seen(OTHER, start);
        let stalled = membership.timeout * 3;
        let resumed = start + stalled;
        let outs = membership.tick(Tick {
            stalled,
            ..at(resumed)
        });
        assert!(!outs.iter().any(|out| matches!(out, Out::NodeRemoved(_))));
        let dead = resumed + membership.timeout;
        assert!(tick(&mut membership, resumed, dead - MOMENT).is_empty());
        assert_eq!(tick(&mut membership, dead - MOMENT, dead), [OTHER]);
    }

    #[test]
    fn a_node_that_leaves_is_removed_when_its_grace_is_over() {
        let (mut membership, start) = start();
        membership.seen(OTHER, start);
        assert_eq!(membership.others(start, Timestamp(0)).len(), 1);
        membership.leaves(OTHER, GRACE, start);
        assert!(
            membership.others(start, Timestamp(0)).is_empty(),
            "nobody waits for its report"
        );
        let removed = start + GRACE;
        assert!(tick(&mut membership, start, removed - MOMENT).is_empty());
        assert_eq!(tick(&mut membership, removed - MOMENT, removed), [OTHER]);
    }

    #[test]
    fn a_node_joins_once_until_it_was_removed_or_could_not_be_asked() {
        let (mut membership, start) = start();
        assert!(joined(&membership.seen(OTHER, start)));
        assert!(membership.seen(OTHER, start).is_empty());
        membership.not_asked(OTHER);
        assert!(joined(&membership.seen(OTHER, start)));
        let dead = start + membership.timeout;
        tick(&mut membership, start, dead);
        assert!(
            joined(&membership.seen(OTHER, dead)),
            "its users were removed here"
        );
        assert!(
            membership.seen(NodeId(1), dead).is_empty(),
            "this node is no other"
        );
    }

    #[test]
    fn heartbeats_are_sent_each_second_until_the_node_leaves() {
        let (mut membership, start) = start();
        let mut count = 0;
        for tenth in 0..50 {
            let outs = membership.tick(at(start + tenth * Duration::from_millis(100)));
            count += usize::from(heartbeat(&outs).is_some());
        }
        assert_eq!(count, 5);
        let outs = membership.leave(oneshot::channel().0);
        assert!(matches!(
            &outs[..],
            [Out::Request(RedisRequest::Publish(Publication {
                purpose: Purpose::Leave(_),
                ..
            }))]
        ));
        assert!(heartbeat(&membership.tick(at(start + GRACE * 2))).is_none());
        assert!(heartbeat(&membership.heartbeat()).is_none());
    }

    #[test]
    fn a_heartbeat_says_where_the_node_listens_once_it_serves() {
        let (mut membership, _) = start();
        assert_eq!(heartbeat(&membership.heartbeat()), Some(("", "")));
        let outs = membership.serve("127.0.0.1:1".into());
        let check = secret_check(membership.jwt_secrets.signing(), NodeId(1));
        assert_eq!(heartbeat(&outs), Some(("127.0.0.1:1", check.as_str())));
    }

    #[test]
    fn other_nodes_are_shown_with_their_address_and_when_they_were_seen_last() {
        let (mut membership, start) = start();
        membership.heartbeat_of(OTHER, "127.0.0.1:2".into(), "check".into(), start);
        let others = membership.others(start + GRACE, Timestamp(100_000));
        assert_eq!(
            others,
            [SilentNode {
                node: OTHER.to_string(),
                address: "127.0.0.1:2".into(),
                last_seen_at: 95_000,
            }]
        );
    }
}
