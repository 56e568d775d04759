//! The other nodes: membership by heartbeats, requests for reports, and signals to all nodes.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use log::{info, warn};
use tokio::sync::{mpsc, oneshot};

use crate::cluster::{NodeReport, RoomsAsked, SilentNode};
use crate::domain::{NodeId, UserId};

use super::super::keys;
use super::super::messages::NodeMessage;
use super::super::presence_replica::PresenceOutcome;
use super::settings::secret_check;
use super::{Engine, Input, json};

/// A gap between two checks from which on this node itself was suspended, for example with its
/// machine.
const PAUSE: Duration = Duration::from_secs(1);
/// Most report requests under way; operators are few.
const REPORTS_MAX: usize = 64;

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

/// The other nodes whose heartbeat has not timed out.
#[derive(Debug, Default)]
pub struct KnownNodes {
    by_id: HashMap<NodeId, KnownNode>,
    checked_at: Option<Instant>,
}

/// What a request for reports is answered with.
pub struct OtherNodes {
    /// How many nodes are asked: none while this node is alone.
    pub asked_count: usize,
    /// All that are known. Those that do not answer are silent.
    pub known: Vec<SilentNode>,
}

impl Engine {
    pub(super) fn publish_to_nodes(&self, message: &NodeMessage) {
        let mut cmd = redis::cmd("PUBLISH");
        cmd.arg(keys::NODES_CHANNEL).arg(json(message));
        self.spawn_command(cmd);
    }

    /// Publishes a heartbeat; its outcome shows whether commands work.
    pub(super) fn send_heartbeat(&mut self) {
        if self.leaving {
            return;
        }
        let heartbeat = self.heartbeat();
        let mut cmd = redis::cmd("PUBLISH");
        cmd.arg(keys::NODES_CHANNEL).arg(json(&heartbeat));
        let (link, inputs, sent_at) = (self.link.clone(), self.inputs.clone(), Instant::now());
        tokio::spawn(async move {
            let _ = inputs.send(Input::HeartbeatPublished(sent_at, link.command(&cmd).await));
        });
    }

    /// Before it serves, this node does not say where it listens, and not how its secret compares.
    fn heartbeat(&self) -> NodeMessage {
        let node = self.node;
        let (address, secret_check) = match &self.handlers {
            Some(handlers) => (
                handlers.address.clone(),
                secret_check(self.config.auth.jwt_secret.expose(), node),
            ),
            None => Default::default(),
        };
        NodeMessage::Heartbeat {
            node: node.0,
            address,
            secret_check,
        }
    }

    /// Handles a message from another node, sent to all nodes or to this one.
    pub(super) fn on_node_message(&mut self, message: NodeMessage) {
        let own = self.node.0;
        match message {
            NodeMessage::Heartbeat {
                node,
                address,
                secret_check,
            } if node != own => {
                self.heartbeat_of(NodeId(node), address, secret_check);
            }
            NodeMessage::Leave { node, grace_ms } if node != own => {
                let now = Instant::now();
                let known = self
                    .nodes
                    .by_id
                    .entry(NodeId(node))
                    .or_insert_with(|| KnownNode::new(now));
                (known.last_seen, known.leaves_at) =
                    (now, Some(now + Duration::from_millis(grace_ms)));
                info!("node leaves: node={}", NodeId(node));
            }
            NodeMessage::Signal { node, signal } if node != own => {
                if let (Some(handlers), Some(signal)) = (&self.handlers, signal.read()) {
                    (handlers.on_signal)(signal);
                }
            }
            NodeMessage::DeviceClosed { node, user } if node != own => {
                if let Some(user) = UserId::new(user) {
                    self.device_closed_elsewhere(user);
                }
            }
            NodeMessage::AskAnnouncements { node } if node != own => self.announce_all(),
            NodeMessage::Devices { node, devices } if node != own => {
                self.devices_elsewhere(devices)
            }
            NodeMessage::AskReport {
                node,
                number,
                rooms,
            } if node != own => self.report_to(NodeId(node), number, rooms),
            NodeMessage::Report { number, report } => {
                if let Some(found) = self.reports.get(&number) {
                    // The requester may have timed out.
                    let _ = found.try_send(*report);
                }
            }
            _ => {}
        }
    }

    fn heartbeat_of(&mut self, node: NodeId, address: String, secret_check: String) {
        self.mark_seen(node, Instant::now());
        let Some(known) = self.nodes.by_id.get_mut(&node) else {
            return;
        };
        if !secret_check.is_empty() && known.secret_check != secret_check {
            known.address.clone_from(&address);
            known.secret_check.clone_from(&secret_check);
            self.compare_secret(node, &address, &secret_check);
        }
    }

    /// Records that a message of this node arrived.
    pub(super) fn mark_seen(&mut self, node: NodeId, last_seen: Instant) {
        if node == self.node {
            return;
        }
        let known = self.nodes.by_id.entry(node).or_insert_with(|| {
            info!("node joined: node={node}");
            KnownNode::new(last_seen)
        });
        known.last_seen = last_seen;
        if !std::mem::replace(&mut known.is_asked, true) && !self.rooms.is_empty() {
            // If this node had counted it as dead, it removed the users of that node.
            let ask = NodeMessage::AskAnnouncements { node: self.node.0 };
            let mut cmd = redis::cmd("PUBLISH");
            cmd.arg(keys::inbox_channel(node)).arg(json(&ask));
            let (link, inputs) = (self.link.clone(), self.inputs.clone());
            tokio::spawn(async move {
                if link.command::<()>(&cmd).await.is_err() {
                    let _ = inputs.send(Input::NotAsked(node));
                }
            });
        }
    }

    /// A node could not be asked for its announcements: it is with its next message.
    pub(super) fn not_asked(&mut self, node: NodeId) {
        if let Some(known) = self.nodes.by_id.get_mut(&node) {
            known.is_asked = false;
        }
    }

    /// Another node has removed the users of this one, or does not know them yet.
    fn announce_all(&mut self) {
        let now = Instant::now();
        self.rooms
            .values_mut()
            .for_each(|room| room.announce_by(now));
    }

    fn report_to(&self, node: NodeId, number: u64, rooms: RoomsAsked) {
        let Some(handlers) = &self.handlers else {
            return;
        };
        let (report, link) = ((handlers.report)(rooms), self.link.clone());
        tokio::spawn(async move {
            let report = NodeMessage::Report {
                number,
                report: Box::new(report.await),
            };
            let mut cmd = redis::cmd("PUBLISH");
            cmd.arg(keys::inbox_channel(node)).arg(json(&report));
            let _ = link.command::<()>(&cmd).await;
        });
    }

    pub(super) fn request_reports(
        &mut self,
        asked: RoomsAsked,
        found: mpsc::Sender<NodeReport>,
        reply: oneshot::Sender<OtherNodes>,
    ) {
        self.reports.retain(|_, asker| !asker.is_closed());
        let known = self.known_others();
        if self.health.is_away() || known.is_empty() || self.reports.len() >= REPORTS_MAX {
            let _ = reply.send(OtherNodes {
                asked_count: 0,
                known,
            });
            return;
        }
        let _ = reply.send(OtherNodes {
            asked_count: known.len(),
            known,
        });
        self.reports_count += 1;
        self.reports.insert(self.reports_count, found);
        let (node, number) = (self.node.0, self.reports_count);
        self.publish_to_nodes(&NodeMessage::AskReport {
            node,
            number,
            rooms: asked,
        });
    }

    /// The other nodes but those that stop.
    fn known_others(&self) -> Vec<SilentNode> {
        let (now, at) = (Instant::now(), self.clock.now());
        let others = self
            .nodes
            .by_id
            .iter()
            .filter(|(_, known)| known.leaves_at.is_none());
        let seen_at = |known: &KnownNode| {
            let silent_ms = now.saturating_duration_since(known.last_seen).as_millis();
            at.plus_ms(-i64::try_from(silent_ms).unwrap_or(i64::MAX)).0
        };
        let view = |(node, known): (&NodeId, &KnownNode)| SilentNode {
            node: node.to_string(),
            address: known.address.clone(),
            last_seen_at: seen_at(known),
        };
        others.map(view).collect()
    }

    /// Removes nodes that left or timed out, and their users from all rooms.
    pub(super) fn remove_dead_nodes(&mut self, now: Instant) {
        let timeout = self.config.cluster.node_timeout_ms.duration();
        // If this node was suspended, the silence of the others is its own.
        let checked_at = self.nodes.checked_at.replace(now).unwrap_or(now);
        let paused = now.saturating_duration_since(checked_at);
        if paused >= PAUSE {
            self.nodes
                .by_id
                .values_mut()
                .for_each(|known| known.last_seen += paused);
        }
        let mut gone = Vec::new();
        self.nodes.by_id.retain(|node, known| {
            let has_left = known.leaves_at.is_some_and(|at| at <= now);
            let is_dead = now.saturating_duration_since(known.last_seen) >= timeout;
            if has_left || is_dead {
                gone.push((*node, has_left));
            }
            !has_left && !is_dead
        });
        for (node, has_left) in gone {
            if has_left {
                info!("node left: node={node}");
            } else {
                warn!(
                    "node is dead: node={node} silent_ms={}",
                    timeout.as_millis()
                );
            }
            let live_ids: Vec<_> = self.rooms.keys().copied().collect();
            for live_id in live_ids {
                let change = self
                    .rooms
                    .get_mut(&live_id)
                    .and_then(|room| room.presence.forget(node));
                self.perform(
                    live_id,
                    change.map(PresenceOutcome::Peers).into_iter().collect(),
                );
            }
        }
    }

    pub(super) fn leave(&mut self, reply: oneshot::Sender<()>) {
        self.leaving = true;
        let grace_ms = u64::from(self.config.presence.leave_grace_ms.get());
        let mut cmd = redis::cmd("PUBLISH");
        cmd.arg(keys::NODES_CHANNEL).arg(json(&NodeMessage::Leave {
            node: self.node.0,
            grace_ms,
        }));
        let link = self.link.clone();
        tokio::spawn(async move {
            let _ = link.command::<()>(&cmd).await;
            let _ = reply.send(());
        });
    }
}
