//! What only a cluster can: two nodes, in this process, over a private Redis of each kind.

mod failover;
mod lost_master;
mod two_nodes;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use liveroom::auth::token_origin_reader;
use liveroom::clock::SystemClock;
use liveroom::cluster::redis::{NodeHandlers, RedisCluster};
use liveroom::cluster::{NodeReport, Nodes, ReportWait, RoomsAsked, Signal, TokenStore};
use liveroom::config::{Config, Millis, Secret, Secrets};
use liveroom::domain::*;
use liveroom::storage::Store;
use serde_json::{Map, json};
use tokio::sync::mpsc;

use crate::support::JWT_SECRET;
use crate::support::room_log::{Log, NOW, eventually, text_of, within};

/// A node as far as it is one for others.
pub struct Node {
    pub cluster: RedisCluster,
    signals: mpsc::UnboundedReceiver<Signal>,
}

impl Node {
    pub fn start(url: &str, patience: Duration) -> Self {
        let mut config = Config::default();
        config.cluster.redis_url = Secret::new(url);
        config.cluster.redis_timeout_ms = Millis::new(patience.as_millis() as u32);
        config.presence.leave_grace_ms = Millis::new(500);
        config.rooms.history_events_max = 500;
        config.rooms.history_ms = Millis::new(300_000);
        let cluster =
            RedisCluster::start(Arc::new(config), Arc::new(SystemClock)).expect("an address");
        let (heard, signals) = mpsc::unbounded_channel();
        let node = cluster.node();
        cluster.serve(NodeHandlers {
            address: "127.0.0.1:1".to_owned(),
            on_signal: Box::new(move |signal| {
                // The test may have heard enough.
                let _ = heard.send(signal);
            }),
            report: Box::new(move |_| std::future::ready(report(node)).boxed()),
            devices: Box::new(Vec::new),
        });
        Self { cluster, signals }
    }

    /// The tokens of this node over a store.
    pub fn tokens(&self, store: &Arc<dyn Store>) -> Arc<dyn TokenStore> {
        self.cluster.tokens(
            store.clone(),
            token_origin_reader(&Secrets::one(JWT_SECRET)),
        )
    }

    pub async fn open(&self, live_id: LiveId) -> Log {
        Log::open(&self.cluster, live_id).await
    }

    /// The next signal of another node.
    async fn next_signal(&mut self) -> Signal {
        loop {
            // A node tells itself that the catalogue may have changed whenever it reaches Redis.
            match within("a signal", self.signals.recv())
                .await
                .expect("the node runs")
            {
                Signal::CatalogueChanged => {}
                signal => return signal,
            }
        }
    }
}

/// The report of a node of a later version.
fn report(node: NodeId) -> NodeReport {
    let later = Map::from_iter([("muted".to_owned(), json!({"users": 3}))]);
    NodeReport {
        node: node.to_string(),
        address: "127.0.0.1:80".into(),
        version: "1".into(),
        started_at: NOW.0,
        alone_since: None,
        sessions: 0,
        writes_queued: 0,
        rooms: Vec::new(),
        next_after: None,
        totals: None,
        answer: None,
        figures: None,
        overview: None,
        later: later.into(),
    }
}

/// Two nodes that know of each other.
async fn two_nodes(url: &str, patience: Duration) -> (Node, Node) {
    let (one, two) = (Node::start(url, patience), Node::start(url, patience));
    for (node, other) in [(&one, &two), (&two, &one)] {
        eventually("nodes know of each other", async || {
            let reports = node
                .cluster
                .reports(
                    report(node.cluster.node()),
                    RoomsAsked::Totals.into(),
                    ReportWait::default(),
                )
                .await;
            reports
                .answered
                .iter()
                .any(|found| found.node == other.cluster.node().to_string())
                .then_some(())
        })
        .await;
    }
    (one, two)
}

/// A log, and everything that was heard of it.
struct Heard {
    log: Log,
    texts: HashSet<String>,
    places: HashMap<Epoch, Offset>,
    all: Vec<Sequenced>,
}

impl Heard {
    fn by(log: Log) -> Self {
        Self {
            log,
            texts: HashSet::new(),
            places: HashMap::new(),
            all: Vec::new(),
        }
    }

    /// Hears one more event, which must be new, and without a gap inside its epoch.
    async fn next(&mut self) -> Sequenced {
        let told = self.log.next().await;
        assert!(self.texts.insert(text_of(&told)), "told twice: {told:?}");
        if let Some(before) = self.places.insert(told.epoch.clone(), told.offset) {
            assert_eq!(told.offset, before + 1, "{told:?}");
        }
        self.all.push(told.clone());
        told
    }

    async fn wait_for(&mut self, count: usize) {
        for _ in 0..count {
            self.next().await;
        }
    }

    /// What was heard since this was last asked.
    fn take_all(&mut self) -> Vec<Sequenced> {
        std::mem::take(&mut self.all)
    }

    /// Waits until both nodes tell what is said in one order again. Until then each may be alone.
    async fn agree_with(&mut self, other: &mut Self) {
        for number in 0.. {
            let text = format!("probe {number} of {}", self.texts.len());
            self.log.say(&text);
            if self.next_with(&text).await == other.next_with(&text).await {
                return;
            }
        }
    }

    async fn next_with(&mut self, text: &str) -> Sequenced {
        loop {
            let told = self.next().await;
            if text_of(&told) == text {
                return told;
            }
        }
    }
}
