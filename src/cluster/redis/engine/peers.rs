//! The other nodes: who is there, what they ask for and what they say must happen everywhere.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use log::{info, warn};
use tokio::sync::{mpsc, oneshot};

use crate::cluster::{NodeReport, RoomsAsked};
use crate::domain::{NodeId, UserId};

use super::super::keys;
use super::super::messages::NodeMessage;
use super::super::presence_sync::SyncOutcome;
use super::{Engine, Input, json};

/// How long the heartbeat of a node that is no more is kept.
const BEAT_EX_S: u64 = 86_400;
/// This node stood still for so long: its machine slept, say.
const PAUSE: Duration = Duration::from_secs(1);
/// Questions for reports that may be under way; operators are few.
const REPORTS_MAX: usize = 64;

#[derive(Debug)]
struct Peer {
    heard: Instant,
    /// It said that it stops: until when what it shows stays.
    leaves_at: Option<Instant>,
}

/// Other nodes that were heard of lately.
#[derive(Debug, Default)]
pub struct Peers {
    known: HashMap<NodeId, Peer>,
    looked_at: Option<Instant>,
}

impl Engine {
    pub(super) fn publish_to_nodes(&self, message: &NodeMessage) {
        let mut cmd = redis::cmd("PUBLISH");
        cmd.arg(keys::NODES_CHANNEL).arg(json(message));
        self.send_off(cmd);
    }

    /// Says that this node is here, and finds out whether commands work.
    pub(super) fn beat(&mut self) {
        if self.leaving {
            return;
        }
        let mut cmd = redis::cmd("PUBLISH");
        cmd.arg(keys::NODES_CHANNEL).arg(json(&NodeMessage::Heartbeat { node: self.shared.node.0 }));
        self.beats_count += 1;
        let (link, inputs, count) = (self.link.clone(), self.inputs.clone(), self.beats_count);
        let shared = self.shared.clone();
        let mut set = redis::cmd("SET");
        set.arg(keys::beat(self.shared.node)).arg(format!("{count} {}", self.clock.now().0)).arg("EX").arg(BEAT_EX_S);
        tokio::spawn(async move {
            let result = async {
                link.command::<()>(&cmd).await?;
                // What it knew must be looked at before it is told anew.
                if shared.trusted.load(Ordering::Relaxed) {
                    link.command::<()>(&set).await?;
                    return Ok(count);
                }
                Ok(0)
            };
            let kept = result.await;
            let _ = inputs.send(Input::Beat(kept));
        });
    }

    /// A message from another node, to all or to us.
    pub(super) fn on_node_message(&mut self, message: NodeMessage) {
        let own = self.shared.node.0;
        match message {
            NodeMessage::Heartbeat { node } => self.note_node(NodeId(node), Instant::now()),
            NodeMessage::Leave { node, grace_ms } if node != own => {
                let now = Instant::now();
                let leaves_at = Some(now + Duration::from_millis(grace_ms));
                self.peers.known.insert(NodeId(node), Peer { heard: now, leaves_at });
                info!("node leaves: node={}", NodeId(node));
            }
            NodeMessage::Signal { node, signal } if node != own => {
                if let (Some(handlers), Some(signal)) = (&self.handlers, signal.read()) {
                    (handlers.obey)(signal);
                }
            }
            NodeMessage::DeviceClosed { node, user } if node != own => {
                if let Some(user) = UserId::new(user) {
                    self.device_closed_elsewhere(user);
                }
            }
            NodeMessage::AskReport { node, number, rooms } if node != own => {
                self.report_to(NodeId(node), number, rooms)
            }
            NodeMessage::Report { number, report } => {
                if let Some(found) = self.reports.get(&number) {
                    // Whoever asked may have enough, or be gone.
                    let _ = found.try_send(*report);
                }
            }
            _ => {}
        }
    }

    /// A node gave a sign of life.
    pub(super) fn note_node(&mut self, node: NodeId, heard: Instant) {
        if node == self.shared.node {
            return;
        }
        let peer = self.peers.known.entry(node).or_insert_with(|| {
            info!("node joined: node={node}");
            Peer { heard, leaves_at: None }
        });
        peer.heard = heard;
    }

    fn report_to(&self, node: NodeId, number: u64, rooms: RoomsAsked) {
        let Some(handlers) = &self.handlers else { return };
        let (report, link) = ((handlers.report)(rooms), self.link.clone());
        tokio::spawn(async move {
            let report = NodeMessage::Report { number, report: Box::new(report.await) };
            let mut cmd = redis::cmd("PUBLISH");
            cmd.arg(keys::inbox_channel(node)).arg(json(&report));
            let _ = link.command::<()>(&cmd).await;
        });
    }

    pub(super) fn ask_reports(
        &mut self,
        asked: RoomsAsked,
        found: mpsc::Sender<NodeReport>,
        reply: oneshot::Sender<usize>,
    ) {
        self.reports.retain(|_, asker| !asker.is_closed());
        let others = self.peers.known.values().filter(|peer| peer.leaves_at.is_none()).count();
        if self.is_away || others == 0 || self.reports.len() >= REPORTS_MAX {
            let _ = reply.send(0);
            return;
        }
        let _ = reply.send(others);
        self.reports_count += 1;
        self.reports.insert(self.reports_count, found);
        let (node, number) = (self.shared.node.0, self.reports_count);
        self.publish_to_nodes(&NodeMessage::AskReport { node, number, rooms: asked });
    }

    /// What nodes showed that were not heard of for too long is shown no more.
    pub(super) fn forget_dead_nodes(&mut self, now: Instant) {
        let timeout = self.settings.node_timeout;
        // Whoever did not look itself for a while has not heard anybody.
        let looked_at = self.peers.looked_at.replace(now).unwrap_or(now);
        let paused = now.saturating_duration_since(looked_at);
        if paused >= PAUSE {
            self.peers.known.values_mut().for_each(|peer| peer.heard += paused);
        }
        let mut gone = Vec::new();
        self.peers.known.retain(|node, peer| {
            let has_left = peer.leaves_at.is_some_and(|at| at <= now);
            let is_dead = now.saturating_duration_since(peer.heard) >= timeout;
            if has_left || is_dead {
                gone.push((*node, has_left));
            }
            !has_left && !is_dead
        });
        for (node, has_left) in gone {
            if has_left {
                info!("node left: node={node}");
            } else {
                warn!("node is dead: node={node} silent_ms={}", timeout.as_millis());
            }
            let live_ids: Vec<_> = self.rooms.keys().copied().collect();
            for live_id in live_ids {
                let change = self.rooms.get_mut(&live_id).and_then(|room| room.presence.forget(node));
                self.perform(live_id, change.map(SyncOutcome::Peers).into_iter().collect());
            }
        }
    }

    pub(super) fn leave(&mut self, reply: oneshot::Sender<()>) {
        self.leaving = true;
        let grace_ms = u64::try_from(self.settings.leave_grace.as_millis()).unwrap_or(u64::MAX);
        let mut cmd = redis::cmd("PUBLISH");
        cmd.arg(keys::NODES_CHANNEL).arg(json(&NodeMessage::Leave { node: self.shared.node.0, grace_ms }));
        let link = self.link.clone();
        tokio::spawn(async move {
            let _ = link.command::<()>(&cmd).await;
            let _ = reply.send(());
        });
    }
}
