//! Reports of nodes to each other, for operators.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::overview::{NodeFigures, OverviewAsked, OverviewPart};
use super::question::{NodeAnswer, NodeQuestion};

/// Rooms that one page may list.
pub const ROOMS_PAGE_MAX: u32 = 100;

/// The rooms that a report should contain.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomsAsked {
    /// All rooms. Nodes of an older version ask for a report without saying which rooms, and expect
    /// all.
    #[default]
    All,
    /// How many there are, and none of them.
    Totals,
    /// One page of them.
    Page(RoomsPage),
    /// None of them, but an answer to this.
    Question(NodeQuestion),
}

/// What a report should contain beside the counts of its node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReportAsked {
    pub rooms: RoomsAsked,
    /// Nodes of an older version do not read it.
    pub overview: Option<OverviewAsked>,
}

impl ReportAsked {
    /// Asks for a part of the overview. A node of an older version answers with its totals.
    pub fn overview(asked: OverviewAsked) -> Self {
        Self {
            rooms: RoomsAsked::Totals,
            overview: Some(asked),
        }
    }
}

impl From<RoomsAsked> for ReportAsked {
    fn from(rooms: RoomsAsked) -> Self {
        Self {
            rooms,
            overview: None,
        }
    }
}

/// How long a request for reports waits for other nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReportWait {
    pub time_max: Duration,
    /// No longer than until so many have answered.
    pub answers_max: usize,
}

impl ReportWait {
    pub const fn of(time_max: Duration) -> Self {
        Self {
            time_max,
            answers_max: usize::MAX,
        }
    }
}

impl Default for ReportWait {
    fn default() -> Self {
        Self::of(Duration::from_millis(1_500))
    }
}

/// Part of the list of rooms that is ordered by live id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomsPage {
    /// The page begins behind this live id; 0 for the first page.
    pub after: i64,
    /// Rooms, 1 to [`ROOMS_PAGE_MAX`].
    pub limit: u32,
}

/// Rooms and members of one node, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomTotals {
    pub rooms: usize,
    /// Sessions in rooms.
    pub members: usize,
}

/// Fields of a node's or a room's report that this version does not know: a node of a later version
/// counts more. They are shown to operators as they came.
///
/// Bounded: up to 16 fields of together 4 KiB, by name; the rest is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "Map<String, Value>")]
pub struct LaterFields(Map<String, Value>);

impl LaterFields {
    const COUNT_MAX: usize = 16;
    const BYTES_MAX: usize = 4 * 1024;

    /// Without fields of these names, which a view has itself.
    pub fn without(mut self, names: &[&str]) -> Self {
        self.0.retain(|name, _| !names.contains(&name.as_str()));
        self
    }
}

impl From<Map<String, Value>> for LaterFields {
    fn from(fields: Map<String, Value>) -> Self {
        let mut bytes = 0;
        let fits = |(name, value): &(String, Value)| {
            bytes += name.len() + value.to_string().len();
            bytes <= Self::BYTES_MAX
        };
        Self(
            fields
                .into_iter()
                .take(Self::COUNT_MAX)
                .take_while(fits)
                .collect(),
        )
    }
}

/// One node at a glance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeReport {
    /// Sixteen hexadecimal digits, new at each start.
    pub node: String,
    /// Where it listens.
    pub address: String,
    pub version: String,
    /// Milliseconds since the Unix epoch, as is `alone_since`.
    pub started_at: i64,
    /// Since when it reaches no other node.
    pub alone_since: Option<i64>,
    pub sessions: usize,
    /// Writes that wait for the store.
    pub writes_queued: usize,
    /// The rooms that were asked for, by live id. A node of an older version always lists all its
    /// rooms.
    pub rooms: Vec<RoomReport>,
    /// Set if the node has rooms behind this page: the last live id that the page covers. A room
    /// that did not answer is covered though it is not listed.
    #[serde(default)]
    pub next_after: Option<i64>,
    /// Set if [`RoomsAsked::Totals`] was asked for, but not by a node of an older version.
    #[serde(default)]
    pub totals: Option<RoomTotals>,
    /// Set if a question was asked that this node understands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<NodeAnswer>,
    /// Set if a part of the overview was asked for, but not by a node of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub figures: Option<NodeFigures>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overview: Option<OverviewPart>,
    #[serde(flatten)]
    pub later: LaterFields,
}

impl NodeReport {
    /// The counts of a report for which [`RoomsAsked::Totals`] was asked.
    pub fn room_totals(&self) -> RoomTotals {
        self.totals.unwrap_or_else(|| RoomTotals {
            rooms: self.rooms.len(),
            members: self.rooms.iter().map(|room| room.members).sum(),
        })
    }
}

/// What all nodes said when they were asked for reports.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeReports {
    /// The report of the node that asked comes first.
    pub answered: Vec<NodeReport>,
    /// Nodes that count as alive and did not answer in time, in no order.
    pub silent: Vec<SilentNode>,
}

/// A node whose heartbeats have not timed out, and which sent no report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentNode {
    pub node: String,
    /// Where it listens; empty for a node of an older version.
    pub address: String,
    /// Milliseconds since the Unix epoch, by the clock of the node that asked.
    pub last_seen_at: i64,
}

/// One room as one node has it. Times are milliseconds since the Unix epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RoomReport {
    pub live_id: i64,
    pub title: String,
    pub owner_id: i64,
    pub status: i16,
    /// Sessions on this node.
    pub members: usize,
    /// Users online, over all nodes whose presence this one receives.
    pub users: usize,
    pub comments_per_s: f64,
    pub gifts_per_s: f64,
    pub sampled_out: u64,
    /// The live's total, ever.
    pub coin: i64,
    /// Given through this node since the room opened on it.
    pub coins_posted: i64,
    pub look_count: i64,
    pub history_length: usize,
    pub epoch: String,
    pub offset: u64,
    pub in_flight: usize,
    pub opened_at: i64,
    #[serde(flatten)]
    pub later: LaterFields,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_of_a_later_version_are_kept_and_bounded() {
        let mut text = json!({
            "node": "later", "address": "127.0.0.1:1", "version": "9", "started_at": 0, "alone_since": null,
            "sessions": 9, "writes_queued": 0, "rooms": [], "muted": 3, "load": {"one": 0.5},
        });
        let read = |text: &Value| serde_json::from_value::<NodeReport>(text.clone()).unwrap();
        let report = read(&text);
        let written = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&written["muted"], &written["load"]),
            (&json!(3), &json!({"one": 0.5}))
        );
        assert_eq!(read(&written), report);
        assert_eq!(report.later.without(&["load"]).0.len(), 1);

        text["much"] = "x".repeat(LaterFields::BYTES_MAX).into();
        assert_eq!(
            read(&text).later.0.keys().collect::<Vec<_>>(),
            ["load"],
            "the next by name is too long"
        );
        text["much"] = json!(0);
        for number in 0..100 {
            text[format!("field {number}")] = json!(number);
        }
        assert_eq!(read(&text).later.0.len(), LaterFields::COUNT_MAX);
    }
}
