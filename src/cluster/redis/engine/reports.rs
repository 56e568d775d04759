//! Requests for the reports of other nodes.
//!
//! | request | asked | report of its number | receiver gone, at the next request |
//! |---|---|---|---|
//! | none | under way; without others none is sent | ignored | - |
//! | under way | another one, if there are not too many | given to the receiver | none |
//!
//! Invariants: each request has a number of its own, and a report is given to the request of its
//! number alone. At most [`REPORTS_MAX`] are under way. The requester is answered at once with
//! the nodes that are known, and waits for their reports by itself.

use std::collections::HashMap;

use tokio::sync::{mpsc, oneshot};

use crate::cluster::{NodeReport, ReportAsked, SilentNode};
use crate::domain::NodeId;

use super::super::messages::NodeMessage;
use super::out::Out;
use super::request::{Publication, Purpose};

/// Most report requests under way; operators are few.
const REPORTS_MAX: usize = 64;

/// What a request for reports is answered with.
#[derive(Debug)]
pub struct OtherNodes {
    /// How many nodes are asked: none while this node is alone.
    pub asked_count: usize,
    /// All that are known. Those that do not answer are silent.
    pub known: Vec<SilentNode>,
}

/// A request for the reports of all other nodes.
pub struct ReportRequest {
    pub asked: ReportAsked,
    pub found: mpsc::Sender<NodeReport>,
    pub reply: oneshot::Sender<OtherNodes>,
}

/// The requests under way, by their numbers.
pub struct Reports {
    node: NodeId,
    under_way: HashMap<u64, mpsc::Sender<NodeReport>>,
    requests_count: u64,
}

impl Reports {
    pub fn new(node: NodeId) -> Self {
        Self {
            node,
            under_way: HashMap::new(),
            requests_count: 0,
        }
    }

    /// Asks all nodes that are known, unless Redis is away.
    pub fn request(
        &mut self,
        request: ReportRequest,
        known: Vec<SilentNode>,
        is_away: bool,
    ) -> Vec<Out> {
        self.under_way.retain(|_, found| !found.is_closed());
        let is_asked = !is_away && !known.is_empty() && self.under_way.len() < REPORTS_MAX;
        let asked_count = if is_asked { known.len() } else { 0 };
        // The requester may have given up.
        let _ = request.reply.send(OtherNodes { asked_count, known });
        if !is_asked {
            return Vec::new();
        }
        self.requests_count += 1;
        self.under_way.insert(self.requests_count, request.found);
        let ask = NodeMessage::AskReport {
            node: self.node.0,
            number: self.requests_count,
            rooms: request.asked.rooms,
            overview: request.asked.overview.map(Box::new),
        };
        vec![Publication::to_nodes(ask, Purpose::Notice).into()]
    }

    /// Another node has answered a request.
    pub fn found(&self, number: u64, report: NodeReport) {
        if let Some(found) = self.under_way.get(&number) {
            // The requester may have timed out.
            let _ = found.try_send(report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::redis::engine::request::{PublishedMessage, RedisRequest};

    struct Asker {
        found: mpsc::Receiver<NodeReport>,
        asked_count: usize,
        /// The number of the request, if one is sent.
        number: Option<u64>,
    }

    fn request(reports: &mut Reports, nodes_count: usize, is_away: bool) -> Asker {
        let node = SilentNode {
            node: "2".into(),
            address: String::new(),
            last_seen_at: 0,
        };
        let ((sender, found), (reply, mut replied)) = (mpsc::channel(8), oneshot::channel());
        let request = ReportRequest {
            asked: ReportAsked::default(),
            found: sender,
            reply,
        };
        let outs = reports.request(request, vec![node; nodes_count], is_away);
        let others = replied.try_recv().expect("the answer is immediate");
        assert_eq!(
            others.known.len(),
            nodes_count,
            "all are shown, asked or not"
        );
        let number = match &outs[..] {
            [
                Out::Request(RedisRequest::Publish(Publication {
                    message: PublishedMessage::Node(NodeMessage::AskReport { number, .. }),
                    ..
                })),
            ] => Some(*number),
            _ => None,
        };
        Asker {
            found,
            asked_count: others.asked_count,
            number,
        }
    }

    fn report(node: &str) -> NodeReport {
        serde_json::from_value(serde_json::json!({
            "node": node, "address": "", "version": "", "started_at": 0, "alone_since": null,
            "sessions": 0, "writes_queued": 0, "rooms": [],
        }))
        .expect("a report")
    }

    #[test]
    fn a_report_is_given_to_its_request_alone() {
        let mut reports = Reports::new(NodeId(1));
        let mut first = request(&mut reports, 2, false);
        let mut second = request(&mut reports, 2, false);
        assert_eq!((first.asked_count, first.number), (2, Some(1)));
        reports.found(second.number.expect("it was sent"), report("2"));
        assert_eq!(
            second.found.try_recv().map(|it| it.node).as_deref(),
            Ok("2")
        );
        assert!(first.found.try_recv().is_err());
        reports.found(99, report("2"));
        assert!(first.found.try_recv().is_err() && second.found.try_recv().is_err());
    }

    #[test]
    fn nobody_is_asked_without_others_and_while_redis_is_away() {
        let mut reports = Reports::new(NodeId(1));
        for (nodes_count, is_away) in [(0, false), (2, true)] {
            let asker = request(&mut reports, nodes_count, is_away);
            assert_eq!((asker.asked_count, asker.number), (0, None));
        }
    }

    #[test]
    fn requests_under_way_are_bounded_and_those_without_a_receiver_do_not_count() {
        let mut reports = Reports::new(NodeId(1));
        let mut askers: Vec<_> = (0..REPORTS_MAX)
            .map(|_| request(&mut reports, 1, false))
            .collect();
        assert!(askers.iter().all(|asker| asker.asked_count == 1));
        assert_eq!(request(&mut reports, 1, false).number, None);
        askers.pop();
        assert!(request(&mut reports, 1, false).number.is_some());
    }
}
