//! The other nodes: who is there, what they ask for and what they say must happen everywhere.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use log::{info, warn};
use tokio::sync::{mpsc, oneshot};

use crate::cluster::NodeReport;
use crate::domain::{NodeId, UserId};

use super::super::keys;
use super::super::messages::NodeMessage;
use super::super::shares::Outcome;
use super::{Engine, Input, json};

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
pub struct Peers(HashMap<NodeId, Peer>);

impl Engine {
    pub(super) fn publish_to_nodes(&self, message: &NodeMessage) {
        let mut cmd = redis::cmd("PUBLISH");
        cmd.arg(keys::NODES_CHANNEL).arg(json(message));
        self.send_off(cmd);
    }

    /// Says that this node is here, and finds out whether commands work.
    pub(super) fn beat(&self) {
        if self.leaving {
            return;
        }
        let mut cmd = redis::cmd("PUBLISH");
        cmd.arg(keys::NODES_CHANNEL).arg(json(&NodeMessage::Heartbeat { node: self.shared.node.0 }));
        let (link, inputs) = (self.link.clone(), self.inputs.clone());
        tokio::spawn(async move {
            let result = link.command::<()>(&cmd).await;
            let _ = inputs.send(Input::Beat(result));
        });
    }

    /// A message from another node, to all or to us.
    pub(super) fn heard_from_node(&mut self, message: NodeMessage) {
        let own = self.shared.node.0;
        match message {
            NodeMessage::Heartbeat { node } if node != own => {
                let heard = Instant::now();
                let peer = self.peers.0.entry(NodeId(node)).or_insert_with(|| {
                    info!("node joined: node={}", NodeId(node));
                    Peer { heard, leaves_at: None }
                });
                peer.heard = heard;
            }
            NodeMessage::Leave { node, grace_ms } if node != own => {
                let now = Instant::now();
                let leaves_at = Some(now + Duration::from_millis(grace_ms));
                self.peers.0.insert(NodeId(node), Peer { heard: now, leaves_at });
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
            NodeMessage::AskReport { node, number } if node != own => self.report_to(NodeId(node), number),
            NodeMessage::Report { number, report } => {
                if let Some(found) = self.reports.get(&number) {
                    // Whoever asked may have enough, or be gone.
                    let _ = found.try_send(*report);
                }
            }
            _ => {}
        }
    }

    fn report_to(&self, node: NodeId, number: u64) {
        let Some(handlers) = &self.handlers else { return };
        let (report, link) = ((handlers.report)(), self.link.clone());
        tokio::spawn(async move {
            let report = NodeMessage::Report { number, report: Box::new(report.await) };
            let mut cmd = redis::cmd("PUBLISH");
            cmd.arg(keys::inbox_channel(node)).arg(json(&report));
            let _ = link.command::<()>(&cmd).await;
        });
    }

    pub(super) fn ask_reports(&mut self, found: mpsc::Sender<NodeReport>, reply: oneshot::Sender<usize>) {
        self.reports.retain(|_, asker| !asker.is_closed());
        let others = self.peers.0.values().filter(|peer| peer.leaves_at.is_none()).count();
        if self.is_alone() || others == 0 || self.reports.len() >= REPORTS_MAX {
            let _ = reply.send(0);
            return;
        }
        let _ = reply.send(others);
        self.reports_count += 1;
        self.reports.insert(self.reports_count, found);
        self.publish_to_nodes(&NodeMessage::AskReport { node: self.shared.node.0, number: self.reports_count });
    }

    /// What nodes showed that were not heard of for too long is shown no more.
    pub(super) fn forget_dead_nodes(&mut self, now: Instant) {
        let timeout = self.settings.node_timeout;
        let mut gone = Vec::new();
        self.peers.0.retain(|node, peer| {
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
                let change = self.rooms.get_mut(&live_id).and_then(|room| room.shares.forget(node));
                self.perform(live_id, change.map(Outcome::Peers).into_iter().collect());
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
