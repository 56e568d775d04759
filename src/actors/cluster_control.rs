//! Changes that take effect on every node: applied here, signalled to the others, and applied on
//! their signals.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use log::warn;

use crate::catalogue::GiftCatalogue;
use crate::clock::Clock;
use crate::cluster::{
    LaterFields, NodeAnswer, NodeQuestion, NodeReport, NodeReports, Nodes, OverviewAsked,
    OverviewPart, ReportAsked, ReportWait, RoomReport, RoomTotals, RoomsAsked, Signal,
};
use crate::domain::{ActionEntry, Control, Disconnect, EntryContent, LiveId, Timestamp, UserId};
use crate::storage::GiftRow;

use super::consoles::{NodeMonitor, PublishedLive, snapshot};
use super::live_room::RoomStats;
use super::persister::PersisterPort;
use super::traces::Traces;
use super::{AskError, Overview, Rooms, SessionDirectory};

/// The constant part of a report of a node.
#[derive(Debug, Clone)]
pub struct NodeIdentity {
    /// As other nodes know it.
    pub name: String,
    /// Where it listens.
    pub address: String,
    pub started_at: Timestamp,
}

/// Applies changes on this node and signals them to the others.
pub struct ClusterControl {
    pub identity: NodeIdentity,
    pub sessions: Arc<SessionDirectory>,
    pub rooms: Rooms,
    pub catalogue: Arc<GiftCatalogue>,
    pub persister: PersisterPort,
    pub nodes: Arc<dyn Nodes>,
    pub traces: Arc<Traces>,
    pub monitor: Arc<NodeMonitor>,
    pub clock: Arc<dyn Clock>,
}

/// What nodes answered to a question, this one first.
#[derive(Debug)]
pub struct NodeAnswers {
    /// By the names of the nodes.
    pub answered: Vec<(String, NodeAnswer)>,
    /// Nodes that count as alive and did not answer in time, or do not know the question.
    pub silent: Vec<String>,
}

impl ClusterControl {
    /// Ends all sessions of a user. Sessions on other nodes check the user again themselves:
    /// by then it may have logged in anew there.
    pub fn revoke(&self, user: UserId, reason: Disconnect) {
        self.sessions.revoke(user, reason);
        self.nodes.signal(Signal::Recheck(user));
    }

    /// Has all sessions of a user authenticate again: its tokens or its account may have changed.
    pub fn recheck(&self, user: UserId) {
        self.sessions.recheck(user);
        self.nodes.signal(Signal::Recheck(user));
    }

    /// Applies an action in the room of a live, wherever it is open. Returns whether that is
    /// settled, as [`Rooms::apply`].
    pub async fn apply(&self, live_id: LiveId, entry: ActionEntry) -> Result<bool, AskError> {
        if let EntryContent::Control(Control::Kick { user, .. }) = entry.content {
            self.nodes.signal(Signal::Kick { live_id, user });
        }
        self.rooms.apply(live_id, entry).await
    }

    /// The catalogue has a new gift, or one was changed.
    pub fn gift_changed(&self, row: GiftRow) {
        self.catalogue.insert(row);
        self.nodes.signal(Signal::CatalogueChanged);
    }

    /// Since when this node is partitioned from the others.
    pub fn alone_since(&self) -> Option<Timestamp> {
        self.nodes.alone_since()
    }

    /// Handles a signal of another node. Must not block: it runs on the cluster's thread.
    pub fn handle_signal(&self, signal: Signal) {
        match signal {
            Signal::Recheck(user) => self.sessions.recheck(user),
            Signal::OtherDevice(user, ticket) => {
                // The other node may have missed it when the device of this node opened.
                if let Some(own) = self.sessions.compare_device(user, ticket) {
                    self.nodes.signal(Signal::OtherDevice(user, Some(own)));
                }
            }
            Signal::Kick { live_id, user } => {
                // The signal does not say when it was sent, and is not delivered late.
                self.rooms.control_here(
                    live_id,
                    Control::Kick {
                        user,
                        at: self.clock.now(),
                    },
                );
            }
            Signal::CatalogueChanged => {
                let catalogue = self.catalogue.clone();
                tokio::spawn(async move {
                    if let Err(error) = catalogue.refresh().await {
                        warn!("catalogue not read again: error={error}");
                    }
                });
            }
        }
    }

    /// What another node asked this one for. A part that does not answer in time is left out.
    pub fn report(self: &Arc<Self>, asked: ReportAsked) -> BoxFuture<'static, NodeReport> {
        let node = self.clone();
        async move {
            match asked.overview {
                Some(overview) => {
                    let open = node.rooms.open_lives().await.unwrap_or_default();
                    node.overview_report(open, overview).await
                }
                None => node.rooms_report(asked.rooms).await,
            }
        }
        .boxed()
    }

    /// The report of this node and, as asked, of its rooms, which are asked themselves. A part that
    /// does not answer in time is left out.
    fn rooms_report(self: &Arc<Self>, asked: RoomsAsked) -> BoxFuture<'static, NodeReport> {
        let node = self.clone();
        async move {
            let page = match &asked {
                RoomsAsked::Page(page) => Some(*page),
                RoomsAsked::All | RoomsAsked::Totals | RoomsAsked::Question(_) => None,
            };
            let (overview, answer) = match &asked {
                RoomsAsked::Question(question) => (None, node.answer(question).await),
                _ => (node.rooms.overview(page).await.ok(), None),
            };
            let Overview { rooms, next_after } = overview.unwrap_or_default();
            let (rooms, totals) = if asked == RoomsAsked::Totals {
                let members = rooms.iter().map(|room| room.members_count).sum();
                (
                    Vec::new(),
                    Some(RoomTotals {
                        rooms: rooms.len(),
                        members,
                    }),
                )
            } else {
                (rooms, None)
            };
            NodeReport {
                rooms: rooms.into_iter().map(RoomReport::from).collect(),
                next_after: next_after.map(LiveId::get),
                totals,
                answer,
                ..node.empty_report()
            }
        }
        .boxed()
    }

    /// The report of this node with its part of an overview, for which no room is asked. `open`:
    /// the rooms of this node.
    pub async fn overview_report(
        self: &Arc<Self>,
        open: Vec<PublishedLive>,
        asked: OverviewAsked,
    ) -> NodeReport {
        let node = self.clone();
        // Ten thousand rooms are some milliseconds, which this thread has better use for.
        let report = tokio::task::spawn_blocking(move || {
            let (totals, rates, hub_batches) = snapshot::totals(&open);
            let overview = match &asked {
                OverviewAsked::Charts => Some(OverviewPart::Charts(node.monitor.charts())),
                OverviewAsked::Leaders(_) | OverviewAsked::Rows(_) => snapshot::part(&open, &asked),
            };
            NodeReport {
                totals: Some(totals),
                figures: Some(node.monitor.figures(rates, hub_batches)),
                overview,
                ..node.empty_report()
            }
        });
        // It is not cancelled, and ends early only with the process.
        report.await.unwrap_or_else(|_| self.empty_report())
    }

    /// What a node knows of itself without asking anybody.
    fn empty_report(&self) -> NodeReport {
        NodeReport {
            node: self.identity.name.clone(),
            address: self.identity.address.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_at: self.identity.started_at.0,
            alone_since: self.alone_since().map(|at| at.0),
            sessions: self.sessions.sessions_count(),
            writes_queued: self.persister.queued_count(),
            rooms: Vec::new(),
            next_after: None,
            totals: None,
            answer: None,
            figures: None,
            overview: None,
            later: LaterFields::default(),
        }
    }

    /// The reports of all nodes and, as asked, of their rooms.
    pub async fn reports(self: &Arc<Self>, asked: RoomsAsked) -> Result<NodeReports, AskError> {
        // A registry that does not answer is worth an error, not an empty list.
        self.rooms.ping().await?;
        let own = self.rooms_report(asked.clone()).await;
        let reports = self.nodes.reports(own, asked.into(), ReportWait::default());
        Ok(reports.await)
    }
}

impl ClusterControl {
    /// Asks all nodes, this one too.
    pub async fn ask(self: &Arc<Self>, question: NodeQuestion) -> Result<NodeAnswers, AskError> {
        let NodeReports { answered, silent } = self.reports(RoomsAsked::Question(question)).await?;
        let mut silent: Vec<String> = silent.into_iter().map(|node| node.node).collect();
        let mut answers = Vec::with_capacity(answered.len());
        for report in answered {
            match report.answer {
                Some(answer) => answers.push((report.node, answer)),
                // Of an older version, or busy.
                None => silent.push(report.node),
            }
        }
        Ok(NodeAnswers {
            answered: answers,
            silent,
        })
    }

    /// The answer of this node; `None`: a part of it does not answer in time.
    async fn answer(&self, question: &NodeQuestion) -> Option<NodeAnswer> {
        match question {
            NodeQuestion::Members(asked) => {
                let found = self.rooms.members(asked).await.ok()?;
                Some(NodeAnswer::Members(found))
            }
            NodeQuestion::Sessions(user) => {
                let found = self.sessions.describe(UserId::new(*user)?).await;
                Some(NodeAnswer::Sessions(found))
            }
            NodeQuestion::Trace(asked) => {
                let found = self.traces.answer(asked, &self.identity.name);
                Some(NodeAnswer::Trace(found))
            }
        }
    }
}

impl From<RoomStats> for RoomReport {
    fn from(stats: RoomStats) -> Self {
        Self {
            live_id: stats.live.id.get(),
            title: stats.live.title,
            owner_id: stats.live.owner.get(),
            status: stats.live.status.code(),
            members: stats.members_count,
            users: stats.users_count,
            comments_per_s: stats.comments_per_s,
            gifts_per_s: stats.gifts_per_s,
            sampled_out: stats.sampled_out_count,
            coin: stats.live.coin.get(),
            coins_posted: stats.coins_posted.get(),
            look_count: stats.live.look_count,
            history_length: stats.history_count,
            epoch: stats.position.epoch.to_string(),
            offset: stats.position.offset,
            in_flight: stats.in_flight_count,
            opened_at: stats.opened_at.0,
            later: LaterFields::default(),
        }
    }
}
