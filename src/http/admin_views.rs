//! Rooms and books as operators see them.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::actors::{MemberView, NodeReport, RoomDetail, RoomReport};
use crate::domain::{LedgerEntry, RoomEvent, Sequenced};
use crate::storage::{AuditFault, AuditReport, LiveLedger};

/// One node at a glance. Times are milliseconds since the Unix epoch.
#[derive(Serialize)]
pub struct NodeView {
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
    /// Whether it is the one that answers.
    #[serde(rename = "self")]
    is_self: bool,
}

impl NodeView {
    /// The node that answers comes first.
    pub fn all(reports: Vec<NodeReport>) -> Vec<Self> {
        let view = |(index, report): (usize, NodeReport)| Self {
            alone: report.alone_since.is_some(),
            alone_since: report.alone_since,
            rooms: report.rooms.len(),
            members: report.rooms.iter().map(|room| room.members).sum(),
            node: report.node,
            address: report.address,
            version: report.version,
            started_at: report.started_at,
            sessions: report.sessions,
            writes_queued: report.writes_queued,
            is_self: index == 0,
        };
        reports.into_iter().enumerate().map(view).collect()
    }
}

/// One room over all nodes: what each node counts is added up, and of what all know the newest is told.
#[derive(Serialize)]
pub struct ClusterRoomView {
    #[serde(flatten)]
    room: RoomReport,
    nodes: Vec<NodeRoomView>,
}

/// What one node has of a room.
#[derive(Serialize)]
struct NodeRoomView {
    node: String,
    members: usize,
    epoch: String,
    offset: u64,
}

impl ClusterRoomView {
    /// By live.
    pub fn all(reports: Vec<NodeReport>) -> Vec<Self> {
        let mut rooms: BTreeMap<i64, Self> = BTreeMap::new();
        for report in reports {
            for room in report.rooms {
                let part = NodeRoomView {
                    node: report.node.clone(),
                    members: room.members,
                    epoch: room.epoch.clone(),
                    offset: room.offset,
                };
                match rooms.get_mut(&room.live_id) {
                    Some(known) => {
                        known.add(room);
                        known.nodes.push(part);
                    }
                    None => {
                        rooms.insert(room.live_id, Self { room, nodes: vec![part] });
                    }
                }
            }
        }
        rooms.into_values().collect()
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
    events: Vec<RoomEventView>,
    ledger: RoomLedgerView,
}

impl RoomDetailView {
    pub fn new(detail: RoomDetail, books: LiveLedger) -> Self {
        Self {
            ledger: RoomLedgerView {
                coins: books.coins.get(),
                gifts: books.gifts_count,
                room_coins: detail.stats.live.coin.get(),
                recent: detail.ledger.into_iter().map(LedgerEntryView::from).collect(),
            },
            stats: detail.stats.into(),
            members_list: detail.members.into_iter().map(RoomMemberView::from).collect(),
            events: detail.events.into_iter().map(RoomEventView::from).collect(),
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

/// A recoverable event with its place. Not the wire form: an operator wants ids, a client a picture.
/// Ids of comments are text, because they may exceed what a JavaScript number holds exactly.
#[derive(Serialize)]
struct RoomEventView {
    epoch: String,
    offset: u64,
    #[serde(flatten)]
    event: RoomEventContent,
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum RoomEventContent {
    Comment { id: String, user_id: i64, name: String, content: String, at: i64 },
    Gift { id: i64, user_id: i64, name: String, gift_id: i64, gift_name: String, num: i64, coins: i64, at: i64 },
    Live { status: i16, title: String },
    Removed { id: String },
    Notice { text: String },
}

impl From<Sequenced> for RoomEventView {
    fn from(sequenced: Sequenced) -> Self {
        let event = match sequenced.event {
            RoomEvent::Comment(comment) => RoomEventContent::Comment {
                id: comment.id.get().to_string(),
                user_id: comment.author.id.get(),
                name: comment.author.name.clone(),
                content: comment.text.as_str().to_owned(),
                at: comment.at.0,
            },
            RoomEvent::Gift { order, receipt } => RoomEventContent::Gift {
                id: receipt.record_id.get(),
                user_id: order.giver.id.get(),
                name: order.giver.name.clone(),
                gift_id: order.gift.id.get(),
                gift_name: order.gift.name.clone(),
                num: order.count.get(),
                coins: receipt.total.get(),
                at: receipt.at.0,
            },
            RoomEvent::Live { status, title, .. } => {
                RoomEventContent::Live { status: status.code(), title: title.to_string() }
            }
            RoomEvent::Removed { comment_id, .. } => RoomEventContent::Removed { id: comment_id.get().to_string() },
            RoomEvent::Notice { text, .. } => RoomEventContent::Notice { text: text.to_string() },
        };
        Self { epoch: sequenced.epoch.to_string(), offset: sequenced.offset, event }
    }
}

/// What the books say of a live's gifts, beside what its room believes. They differ only while
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
            faults: report.faults.into_iter().map(LedgerFaultView::from).collect(),
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
        Self { rule: fault.rule, row: fault.row, expected: fault.expected, found: fault.found }
    }
}
