//! What operators see of all rooms at once, as nodes ask each other for it.
//!
//! Rooms are sorted by a number. A node is first asked for the rooms that lead by it ([`Leaders`]),
//! and, once the page is known, for the rows of these rooms alone: what nodes send each other
//! depends on the page and not on how many rooms there are.

use serde::{Deserialize, Serialize};

/// Rooms that one page may list.
pub const OVERVIEW_PAGE_MAX: u32 = 100;

/// How many rooms beyond its page a node names at most. Up to here the order and the number of
/// rooms over all nodes are exact; beyond, a room counts only where it is among these.
pub const LEADERS_BEYOND_MAX: usize = 2_000;

/// What happened in one second, as a mean over the last five. Commands are counted on the node they
/// were sent to, so that the rates of nodes add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Rates {
    #[serde(rename = "joins_per_s")]
    pub joins: f32,
    #[serde(rename = "comments_in_per_s")]
    pub comments_in: f32,
    #[serde(rename = "comments_shown_per_s")]
    pub comments_shown: f32,
    #[serde(rename = "comments_sampled_per_s")]
    pub comments_sampled: f32,
    #[serde(rename = "comments_held_per_s")]
    pub comments_held: f32,
    #[serde(rename = "gifts_per_s")]
    pub gifts: f32,
    #[serde(rename = "coins_per_s")]
    pub coins: f32,
    #[serde(rename = "drops_per_s")]
    pub drops: f32,
}

impl Rates {
    pub const COUNT: usize = 8;

    pub const NAMES: [&str; Self::COUNT] = [
        "joins_per_s",
        "comments_in_per_s",
        "comments_shown_per_s",
        "comments_sampled_per_s",
        "comments_held_per_s",
        "gifts_per_s",
        "coins_per_s",
        "drops_per_s",
    ];

    /// In the order of [`Rates::NAMES`].
    pub fn to_array(self) -> [f32; Self::COUNT] {
        [
            self.joins,
            self.comments_in,
            self.comments_shown,
            self.comments_sampled,
            self.comments_held,
            self.gifts,
            self.coins,
            self.drops,
        ]
    }

    /// In the order of [`Rates::NAMES`].
    pub fn from_array(rates: [f32; Self::COUNT]) -> Self {
        let [
            joins,
            comments_in,
            comments_shown,
            comments_sampled,
            comments_held,
            gifts,
            coins,
            drops,
        ] = rates;
        Self {
            joins,
            comments_in,
            comments_shown,
            comments_sampled,
            comments_held,
            gifts,
            coins,
            drops,
        }
    }

    /// Adds what happened elsewhere in the same second.
    pub fn add(&mut self, other: Self) {
        let others = other.to_array();
        let mut sums = self.to_array();
        for (sum, other) in sums.iter_mut().zip(others) {
            *sum += other;
        }
        *self = Self::from_array(sums);
    }
}

/// What was not delivered, by reason, since the room opened on its node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DropCounts {
    /// Viewers' events that were dropped for a member whose outbox was full, each for each member.
    pub events: u64,
    /// Presence and rates that were dropped for such a member.
    pub states: u64,
    /// Members that were cut because their outbox stayed full.
    pub slow: u64,
    /// Members that were cut because their worker did not take what the room had for it.
    pub overrun: u64,
}

impl DropCounts {
    pub fn sum(self) -> u64 {
        self.events + self.states + self.slow + self.overrun
    }

    fn add(&mut self, other: Self) {
        self.events += other.events;
        self.states += other.states;
        self.slow += other.slow;
        self.overrun += other.overrun;
    }
}

/// One room as one node has it, or as all have it together. Times are milliseconds since the Unix
/// epoch.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RoomRow {
    pub live_id: i64,
    pub title: String,
    pub owner_id: i64,
    pub status: i16,
    pub opened_at: i64,
    /// Sessions in the room.
    pub members: usize,
    /// Users online, over all nodes.
    pub users: usize,
    /// The live's total, ever.
    pub coin: i64,
    #[serde(flatten)]
    pub rates: Rates,
    /// Members whose outbox is full now.
    pub slow: usize,
    pub drops: DropCounts,
}

impl RoomRow {
    /// Adds the same room as another node has it: counts are added up, and of state that all nodes
    /// have the newest is kept.
    pub fn add(&mut self, other: &Self) {
        self.opened_at = self.opened_at.min(other.opened_at);
        self.members += other.members;
        self.users = self.users.max(other.users);
        self.coin = self.coin.max(other.coin);
        self.rates.add(other.rates);
        self.slow += other.slow;
        self.drops.add(other.drops);
    }
}

/// The number that rooms are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomSort {
    LiveId,
    OwnerId,
    Status,
    OpenedAt,
    Members,
    Users,
    Coin,
    Slow,
    JoinsPerS,
    CommentsInPerS,
    CommentsShownPerS,
    CommentsSampledPerS,
    CommentsHeldPerS,
    GiftsPerS,
    CoinsPerS,
    DropsPerS,
}

impl RoomSort {
    /// The number of a room. Ids and times are far below 2^53, where a float counts exactly.
    pub fn key(self, row: &RoomRow) -> f64 {
        match self {
            Self::LiveId => row.live_id as f64,
            Self::OwnerId => row.owner_id as f64,
            Self::Status => f64::from(row.status),
            Self::OpenedAt => row.opened_at as f64,
            Self::Members => row.members as f64,
            Self::Users => row.users as f64,
            Self::Coin => row.coin as f64,
            Self::Slow => row.slow as f64,
            Self::JoinsPerS => row.rates.joins.into(),
            Self::CommentsInPerS => row.rates.comments_in.into(),
            Self::CommentsShownPerS => row.rates.comments_shown.into(),
            Self::CommentsSampledPerS => row.rates.comments_sampled.into(),
            Self::CommentsHeldPerS => row.rates.comments_held.into(),
            Self::GiftsPerS => row.rates.gifts.into(),
            Self::CoinsPerS => row.rates.coins.into(),
            Self::DropsPerS => row.rates.drops.into(),
        }
    }

    /// The number of a room on several nodes, from the numbers on each: as [`RoomRow::add`].
    pub fn combine(self, one: f64, other: f64) -> f64 {
        match self {
            Self::LiveId | Self::OwnerId | Self::Status | Self::Users | Self::Coin => {
                one.max(other)
            }
            Self::OpenedAt => one.min(other),
            Self::Members
            | Self::Slow
            | Self::JoinsPerS
            | Self::CommentsInPerS
            | Self::CommentsShownPerS
            | Self::CommentsSampledPerS
            | Self::CommentsHeldPerS
            | Self::GiftsPerS
            | Self::CoinsPerS
            | Self::DropsPerS => one + other,
        }
    }
}

/// One page of the rooms over all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RoomsView {
    pub sort: RoomSort,
    pub descending: bool,
    /// A part of the title in any case, or the whole id of the live or of its streamer; empty: all
    /// rooms.
    pub search: String,
    /// From 1 on.
    pub page: u32,
    /// Rooms of a page, 1 to [`OVERVIEW_PAGE_MAX`].
    pub limit: u32,
}

impl RoomsView {
    pub const SEARCH_CHARS_MAX: usize = 100;

    /// The last page. Beyond, nodes would send each other long lists for nothing that anybody
    /// reads.
    pub const PAGE_MAX: u32 = 1_000;

    /// Rooms before the page.
    pub fn skipped(&self) -> usize {
        self.page.saturating_sub(1) as usize * self.limit as usize
    }

    /// Rooms up to the end of the page.
    pub fn end(&self) -> usize {
        self.skipped() + self.limit as usize
    }
}

impl Default for RoomsView {
    fn default() -> Self {
        Self {
            sort: RoomSort::Members,
            descending: true,
            search: String::new(),
            page: 1,
            limit: 50,
        }
    }
}

/// The part of an overview that a node is asked for beside its totals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverviewAsked {
    /// The rooms that lead in each view.
    Leaders(Vec<RoomsView>),
    /// The rows of these lives, of those whose room is open there.
    Rows(Vec<i64>),
    /// What the node did in the last hour.
    Charts,
}

/// The answer to [`OverviewAsked`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverviewPart {
    /// One for each view, in their order.
    Leaders(Vec<Leaders>),
    Rows(Vec<RoomRow>),
    Charts(Charts),
}

/// The rooms of one node that lead in a view.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Leaders {
    /// Rooms that the search finds.
    pub found: usize,
    /// Live ids and the numbers they are sorted by, in no order; at most [`LEADERS_BEYOND_MAX`]
    /// beyond the page.
    pub rooms: Vec<(i64, f64)>,
}

/// What a node does now, beside its counts of rooms and members.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeFigures {
    #[serde(flatten)]
    pub rates: Rates,
    /// Processor time, in seconds per second: 1 is one core. `None` where the system does not say.
    pub cpu: Option<f32>,
    /// Resident memory.
    pub memory_bytes: Option<u64>,
    /// Batches of events that wait for a worker thread.
    pub hub_batches_queued: usize,
    /// Consoles that are connected.
    pub consoles: usize,
}

/// One moment of a node in its charts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ChartPoint {
    /// Milliseconds since the Unix epoch, a multiple of the step.
    pub at: i64,
    pub sessions: u32,
    pub members: u32,
    pub rooms: u32,
    pub writes_queued: u32,
    pub cpu: f32,
    pub memory_bytes: u64,
    /// As [`Rates::to_array`].
    pub rates: [f32; Rates::COUNT],
}

/// The last hour of a node, or of all together, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Charts {
    pub points: Vec<ChartPoint>,
}

impl Charts {
    /// Milliseconds between two points.
    pub const STEP_MS: i64 = 5_000;
    /// Points of an hour.
    pub const POINTS_MAX: usize = 720;

    /// Adds what another node did at the same moments, and the moments that this one lacks.
    pub fn add(&mut self, other: Self) {
        let mut sums: std::collections::BTreeMap<i64, ChartPoint> = self
            .points
            .drain(..)
            .map(|point| (point.at, point))
            .collect();
        for point in other.points {
            sums.entry(point.at)
                .and_modify(|sum| sum.add(&point))
                .or_insert(point);
        }
        let skipped = sums.len().saturating_sub(Self::POINTS_MAX);
        self.points = sums.into_values().skip(skipped).collect();
    }
}

impl ChartPoint {
    fn add(&mut self, other: &Self) {
        self.sessions += other.sessions;
        self.members += other.members;
        self.rooms += other.rooms;
        self.writes_queued += other.writes_queued;
        self.cpu += other.cpu;
        self.memory_bytes += other.memory_bytes;
        for (sum, other) in self.rates.iter_mut().zip(other.rates) {
            *sum += other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(at: i64, members: u32) -> ChartPoint {
        ChartPoint {
            at,
            sessions: 1,
            members,
            rooms: 1,
            writes_queued: 0,
            cpu: 0.5,
            memory_bytes: 10,
            rates: [1.0; Rates::COUNT],
        }
    }

    #[test]
    fn charts_of_nodes_are_added_up_moment_by_moment() {
        let mut charts = Charts {
            points: vec![point(5_000, 1), point(10_000, 2)],
        };
        charts.add(Charts {
            points: vec![point(10_000, 40), point(15_000, 50)],
        });
        let members: Vec<_> = charts.points.iter().map(|it| (it.at, it.members)).collect();
        assert_eq!(members, [(5_000, 1), (10_000, 42), (15_000, 50)]);
        assert_eq!(
            (charts.points[1].cpu, charts.points[1].rates[0]),
            (1.0, 2.0)
        );
        let many = (0..2_000).map(|n| point(n * 5_000, 1)).collect();
        charts.add(Charts { points: many });
        assert_eq!(charts.points.len(), Charts::POINTS_MAX);
        assert_eq!(charts.points.last().map(|it| it.at), Some(9_995_000));
    }

    #[test]
    fn a_key_of_two_nodes_is_the_key_of_their_row() {
        let mut one = RoomRow {
            live_id: 7,
            members: 3,
            users: 9,
            opened_at: 100,
            coin: 5,
            rates: Rates::from_array([0.5; Rates::COUNT]),
            ..RoomRow::default()
        };
        let other = RoomRow {
            live_id: 7,
            members: 4,
            users: 8,
            opened_at: 50,
            coin: 6,
            slow: 2,
            rates: Rates::from_array([0.25; Rates::COUNT]),
            ..RoomRow::default()
        };
        let sorts = [
            RoomSort::LiveId,
            RoomSort::Members,
            RoomSort::Users,
            RoomSort::OpenedAt,
            RoomSort::Coin,
            RoomSort::Slow,
            RoomSort::GiftsPerS,
            RoomSort::DropsPerS,
        ];
        let combined = sorts.map(|sort| sort.combine(sort.key(&one), sort.key(&other)));
        one.add(&other);
        assert_eq!(combined, sorts.map(|sort| sort.key(&one)));
    }

    #[test]
    fn rates_have_the_names_of_their_fields() {
        let rates = Rates::from_array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        let text = serde_json::to_value(rates).unwrap();
        for (name, value) in Rates::NAMES.iter().zip(rates.to_array()) {
            assert_eq!(text[name], serde_json::json!(value), "{name}");
        }
        assert_eq!(serde_json::from_value::<Rates>(text).unwrap(), rates);
    }
}
