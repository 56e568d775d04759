//! Rooms and books as operators see them.

use serde::Serialize;

use crate::actors::{MemberView, RoomDetail, RoomStats};
use crate::domain::{LedgerEntry, RoomEvent, Sequenced};
use crate::storage::{AuditFault, AuditReport, LiveLedger};

/// One room at a glance. Times are milliseconds since the Unix epoch.
#[derive(Serialize)]
pub struct RoomStatsView {
    live_id: i64,
    title: String,
    owner_id: i64,
    status: i16,
    members: usize,
    users: usize,
    comments_per_s: f64,
    gifts_per_s: f64,
    /// Comments above the room's cap, shown to their senders only, since the room opened on this node.
    sampled_out: u64,
    /// The live's total, ever.
    coin: i64,
    /// Given since the room opened on this node.
    coins_posted: i64,
    look_count: i64,
    history_length: usize,
    epoch: String,
    offset: u64,
    in_flight: usize,
    opened_at: i64,
}

impl From<RoomStats> for RoomStatsView {
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
        }
    }
}

#[derive(Serialize)]
pub struct RoomDetailView {
    #[serde(flatten)]
    stats: RoomStatsView,
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
