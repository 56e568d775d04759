//! Rooms and books as operators see them.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::actors::{
    LaterFields, MemberView, NodeFigures, NodeReport, NodeReports, RoomDetail, RoomReport,
    RoomsPage, SilentNode,
};
use crate::domain::{LedgerEntry, RoomEvent, Sequenced};
use crate::protocol::event_fields;
use crate::storage::{AuditFault, AuditReport, LiveLedger};

/// One node at a glance. Times are milliseconds since the Unix epoch.
#[derive(Serialize)]
#[serde(untagged)]
pub enum NodeView {
    Answered(AnsweredNodeView),
    Silent(SilentNodeView),
}

impl NodeView {
    /// From reports for which totals were asked.
    pub fn all(reports: NodeReports) -> Vec<Self> {
        let answered = reports.answered.into_iter().enumerate();
        let answered = answered
            .map(|(index, report)| Self::Answered(AnsweredNodeView::new(report, index == 0)));
        let silent = reports
            .silent
            .into_iter()
            .map(|node| Self::Silent(node.into()));
        answered.chain(silent).collect()
    }
}

/// A node that counts as alive and did not answer in time: frozen, cut off, or just killed. The
/// counts are unknown.
#[derive(Serialize)]
pub struct SilentNodeView {
    node: String,
    /// `None`: it has not said where it listens.
    address: Option<String>,
    silent: bool,
    last_seen_at: i64,
    #[serde(rename = "self")]
    is_self: bool,
}

impl From<SilentNode> for SilentNodeView {
    fn from(node: SilentNode) -> Self {
        Self {
            address: (!node.address.is_empty()).then_some(node.address),
            node: node.node,
            silent: true,
            last_seen_at: node.last_seen_at,
            is_self: false,
        }
    }
}

/// A node that answered.
#[derive(Serialize)]
pub struct AnsweredNodeView {
    node: String,
    address: String,
    version: String,
    started_at: i64,
    /// Whether it goes on alone, without Redis; only it says so itself.
    alone: bool,
    alone_since: Option<i64>,
    sessions: usize,
    rooms: usize,
    members: usize,
    writes_queued: usize,
    silent: bool,
    /// Whether it is the one that answers.
    #[serde(rename = "self")]
    is_self: bool,
    /// Only in an overview, and not of a node of an older version.
    #[serde(flatten)]
    figures: Option<NodeFigures>,
    #[serde(flatten)]
    later: LaterFields,
}

impl AnsweredNodeView {
    fn new(report: NodeReport, is_self: bool) -> Self {
        let totals = report.room_totals();
        Self {
            alone: report.alone_since.is_some(),
            alone_since: report.alone_since,
            rooms: totals.rooms,
            members: totals.members,
            node: report.node,
            address: report.address,
            version: report.version,
            started_at: report.started_at,
            sessions: report.sessions,
            writes_queued: report.writes_queued,
            silent: false,
            is_self,
            figures: report.figures,
            later: report
                .later
                .without(&["alone", "members", "self", "silent"]),
        }
    }
}

/// One room over all nodes: counts of the nodes are added up, and of state that all nodes have the
/// newest is shown.
#[derive(Serialize)]
pub struct ClusterRoomView {
    #[serde(flatten)]
    room: RoomReport,
    nodes: Vec<NodeRoomView>,
}

/// The part of a room on one node.
#[derive(Serialize)]
struct NodeRoomView {
    node: String,
    members: usize,
    epoch: String,
    offset: u64,
    /// Only the node's version knows how such fields of several nodes are added up.
    #[serde(flatten)]
    later: LaterFields,
}

impl ClusterRoomView {
    /// One page by live id, from reports for which this page was asked, and the id behind which the
    /// next page begins if more rooms follow.
    pub fn page(reports: Vec<NodeReport>, page: RoomsPage) -> (Vec<Self>, Option<i64>) {
        // Behind the first end of a node's page, that node's part of a room would be missing.
        let complete_to = reports.iter().filter_map(|report| report.next_after).min();
        let mut rooms = Self::by_live(reports);
        // A node of an older version lists rooms of other pages too.
        rooms.retain(|live_id, _| {
            *live_id > page.after && complete_to.is_none_or(|last| *live_id <= last)
        });
        let limit = page.limit as usize;
        let is_cut = rooms.len() > limit;
        let views: Vec<_> = rooms.into_values().take(limit).collect();
        let next_after = if is_cut {
            views.last().map(|view| view.room.live_id)
        } else {
            complete_to
        };
        (views, next_after)
    }

    fn by_live(reports: Vec<NodeReport>) -> BTreeMap<i64, Self> {
        let mut rooms: BTreeMap<i64, Self> = BTreeMap::new();
        for report in reports {
            for mut room in report.rooms {
                let part = NodeRoomView {
                    node: report.node.clone(),
                    members: room.members,
                    epoch: room.epoch.clone(),
                    offset: room.offset,
                    later: std::mem::take(&mut room.later).without(&["node"]),
                };
                match rooms.get_mut(&room.live_id) {
                    Some(known) => {
                        known.add(room);
                        known.nodes.push(part);
                    }
                    None => {
                        rooms.insert(
                            room.live_id,
                            Self {
                                room,
                                nodes: vec![part],
                            },
                        );
                    }
                }
            }
        }
        rooms
    }

    fn add(&mut self, other: RoomReport) {
        let room = &mut self.room;
        if other.offset > room.offset {
            (room.epoch, room.offset) = (other.epoch, other.offset);
        }
        room.members += other.members;
        room.users = room.users.max(other.users);
        room.comments_per_s += other.comments_per_s;
        room.gifts_per_s += other.gifts_per_s;
        room.sampled_out += other.sampled_out;
        room.coin = room.coin.max(other.coin);
        room.coins_posted += other.coins_posted;
        room.look_count = room.look_count.max(other.look_count);
        room.history_length = room.history_length.max(other.history_length);
        room.in_flight += other.in_flight;
        room.opened_at = room.opened_at.min(other.opened_at);
    }
}

#[derive(Serialize)]
pub struct RoomDetailView {
    #[serde(flatten)]
    stats: RoomReport,
    members_list: Vec<RoomMemberView>,
    events: Vec<Map<String, Value>>,
    ledger: RoomLedgerView,
}

impl RoomDetailView {
    pub fn new(detail: RoomDetail, books: LiveLedger) -> Self {
        Self {
            ledger: RoomLedgerView {
                coins: books.coins.get(),
                gifts: books.gifts_count,
                room_coins: detail.stats.live.coin.get(),
                recent: detail
                    .ledger
                    .into_iter()
                    .map(LedgerEntryView::from)
                    .collect(),
            },
            stats: detail.stats.into(),
            members_list: detail
                .members
                .into_iter()
                .map(RoomMemberView::from)
                .collect(),
            events: detail.events.iter().map(room_event).collect(),
        }
    }
}

#[derive(Serialize)]
struct RoomMemberView {
    session_id: u64,
    socket_id: String,
    user_id: i64,
    name: String,
    joined_at: i64,
    queued_packets: usize,
    queued_bytes: usize,
}

impl From<MemberView> for RoomMemberView {
    fn from(member: MemberView) -> Self {
        Self {
            session_id: member.session_id.0,
            socket_id: member.socket_id.to_string(),
            user_id: member.user.id.get(),
            name: member.user.name.clone(),
            joined_at: member.joined_at.0,
            queued_packets: member.queued_packets,
            queued_bytes: member.queued_bytes,
        }
    }
}

/// A recoverable event with its place. Comments and gifts also have the names they had before
/// operators got the fields that clients get.
pub(super) fn room_event(sequenced: &Sequenced) -> Map<String, Value> {
    let mut fields = event_fields(sequenced);
    let user = match &sequenced.event {
        RoomEvent::Comment(comment) => &comment.author,
        RoomEvent::Gift { order, receipt } => {
            fields.insert("coins".into(), receipt.total.get().into());
            &order.giver
        }
        _ => return fields,
    };
    fields.insert("user_id".into(), user.id.get().into());
    fields.insert("name".into(), user.name.as_str().into());
    fields
}

/// The totals of a live's gifts in the books, beside those of its room. They differ only while
/// gifts are in flight.
#[derive(Serialize)]
struct RoomLedgerView {
    coins: i64,
    gifts: i64,
    room_coins: i64,
    recent: Vec<LedgerEntryView>,
}

#[derive(Serialize)]
struct LedgerEntryView {
    gift_record_id: i64,
    user_id: i64,
    coins: i64,
    at: i64,
}

impl From<LedgerEntry> for LedgerEntryView {
    fn from(entry: LedgerEntry) -> Self {
        Self {
            gift_record_id: entry.record_id.get(),
            user_id: entry.giver.get(),
            coins: entry.amount.get(),
            at: entry.at.0,
        }
    }
}

#[derive(Serialize)]
pub struct GrantView {
    pub user_id: i64,
    pub coin: i64,
    pub duplicate: bool,
}

#[derive(Serialize)]
pub struct LedgerProofView {
    balanced: bool,
    transfers: i64,
    entries: i64,
    gifts: i64,
    users_coin: i64,
    lives_coin: i64,
    granted_coin: i64,
    faults: Vec<LedgerFaultView>,
}

impl From<AuditReport> for LedgerProofView {
    fn from(report: AuditReport) -> Self {
        Self {
            balanced: report.balanced(),
            transfers: report.transfers_count,
            entries: report.entries_count,
            gifts: report.gifts_count,
            users_coin: report.users_coin,
            lives_coin: report.lives_coin,
            granted_coin: report.granted_coin,
            faults: report
                .faults
                .into_iter()
                .map(LedgerFaultView::from)
                .collect(),
        }
    }
}

#[derive(Serialize)]
struct LedgerFaultView {
    rule: &'static str,
    row: String,
    expected: i64,
    found: i64,
}

impl From<AuditFault> for LedgerFaultView {
    fn from(fault: AuditFault) -> Self {
        Self {
            rule: fault.rule,
            row: fault.row,
            expected: fault.expected,
            found: fault.found,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn room(live_id: i64) -> RoomReport {
        RoomReport {
            live_id,
            title: String::new(),
            owner_id: 1,
            status: 1,
            members: 1,
            users: 1,
            comments_per_s: 0.0,
            gifts_per_s: 0.0,
            sampled_out: 0,
            coin: 0,
            coins_posted: 0,
            look_count: 0,
            history_length: 0,
            epoch: String::new(),
            offset: 0,
            in_flight: 0,
            opened_at: 0,
            later: LaterFields::default(),
        }
    }

    fn report(node: &str, live_ids: &[i64], next_after: Option<i64>) -> NodeReport {
        NodeReport {
            node: node.to_owned(),
            address: String::new(),
            version: String::new(),
            started_at: 0,
            alone_since: None,
            sessions: 0,
            writes_queued: 0,
            rooms: live_ids.iter().copied().map(room).collect(),
            next_after,
            totals: None,
            answer: None,
            figures: None,
            overview: None,
            later: LaterFields::default(),
        }
    }

    /// Live ids with the members of their rooms, and the id behind which the next page begins.
    fn page(reports: Vec<NodeReport>, after: i64, limit: u32) -> (Vec<(i64, usize)>, Option<i64>) {
        let (rooms, next_after) = ClusterRoomView::page(reports, RoomsPage { after, limit });
        (
            rooms
                .iter()
                .map(|view| (view.room.live_id, view.room.members))
                .collect(),
            next_after,
        )
    }

    #[test]
    fn a_page_ends_where_a_node_with_more_rooms_ends() {
        let nodes = || {
            vec![
                report("one", &[1, 2], Some(2)),
                report("two", &[2, 9], None),
            ]
        };
        assert_eq!(
            page(nodes(), 0, 2),
            (vec![(1, 1), (2, 2)], Some(2)),
            "node one may have rooms before 9"
        );
        let apart = vec![
            report("one", &[1, 4], Some(4)),
            report("two", &[2, 3], Some(3)),
        ];
        assert_eq!(page(apart, 0, 2), (vec![(1, 1), (2, 1)], Some(2)));
        let last = vec![report("one", &[7, 8], None), report("two", &[9], None)];
        assert_eq!(page(last, 2, 3), (vec![(7, 1), (8, 1), (9, 1)], None));
    }

    #[test]
    fn fields_of_a_later_version_are_shown_beside_their_node() {
        let later = |fields: Value| serde_json::from_value::<LaterFields>(fields).unwrap();
        let mut two = report("two", &[7], None);
        two.later = later(json!({"muted": 3, "self": 1, "members": 9}));
        two.rooms[0].later = later(json!({"mode": "slow", "node": "x"}));
        let reports = NodeReports {
            answered: vec![two.clone()],
            silent: Vec::new(),
        };
        let nodes = serde_json::to_string(&NodeView::all(reports)).unwrap();
        let nodes: Vec<Value> = serde_json::from_str(&nodes).unwrap();
        assert_eq!(
            (&nodes[0]["muted"], &nodes[0]["self"], &nodes[0]["members"]),
            (&json!(3), &json!(true), &json!(1))
        );
        let page = RoomsPage { after: 0, limit: 1 };
        for reports in [
            vec![report("one", &[7], None), two.clone()],
            vec![two, report("one", &[7], None)],
        ] {
            let (rooms, _) = ClusterRoomView::page(reports, page);
            let room = serde_json::to_value(&rooms[0]).unwrap();
            let parts = room["nodes"].as_array().unwrap();
            let of_two = parts
                .iter()
                .find(|part| part["node"] == json!("two"))
                .unwrap();
            assert_eq!(of_two["mode"], json!("slow"));
            assert_eq!((room.get("mode"), parts.len()), (None, 2), "{room}");
        }
    }

    #[test]
    fn a_room_that_does_not_answer_does_not_end_the_list() {
        assert_eq!(
            page(vec![report("one", &[1], Some(2))], 0, 2),
            (vec![(1, 1)], Some(2))
        );
        assert_eq!(
            page(vec![report("one", &[], Some(2))], 0, 2),
            (vec![], Some(2))
        );
    }

    #[test]
    fn an_older_node_lists_all_its_rooms_on_each_page() {
        let nodes = || {
            vec![
                report("new", &[2], None),
                report("older", &[1, 2, 3, 4], None),
            ]
        };
        assert_eq!(page(nodes(), 0, 2), (vec![(1, 1), (2, 2)], Some(2)));
        assert_eq!(page(nodes(), 2, 2), (vec![(3, 1), (4, 1)], None));
    }
}
