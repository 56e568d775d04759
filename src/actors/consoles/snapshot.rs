//! One look at all rooms of all nodes, for any number of views of it.
//!
//! No room is asked: each publishes its figures once a second, and the registry knows where. Other
//! nodes are asked twice, for the rooms that lead in each view and then for the rows of the pages.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use crate::actors::live_room::VersionedLive;
use crate::actors::{AskError, ClusterControl};
use crate::cluster::{
    Charts, LEADERS_BEYOND_MAX, Leaders, NodeFigures, NodeReport, NodeReports, OverviewAsked,
    OverviewPart, Rates, ReportAsked, ReportWait, RoomRow, RoomTotals, RoomsView,
};
use crate::domain::LiveId;

/// How long each of the two questions waits for other nodes. Together less than a second, so that a
/// node that does not answer delays nothing that comes once a second.
const NODES_WAIT: Duration = Duration::from_millis(400);

/// A room that is open on this node, as the registry has it.
pub type PublishedLive = (LiveId, Arc<VersionedLive>);

/// All nodes, and the rooms of the views that were asked for.
#[derive(Debug)]
pub struct ClusterSnapshot {
    /// Milliseconds since the Unix epoch.
    pub at: i64,
    pub nodes: NodeReports,
    pages: HashMap<RoomsView, OverviewPage>,
    rooms: HashMap<i64, ClusterRoom>,
}

/// Which rooms a view shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OverviewPage {
    /// Rooms that the search finds, over all nodes.
    pub found: usize,
    /// Whether all nodes named all rooms that they found. Otherwise `found` counts rooms on several
    /// nodes several times.
    pub is_exact: bool,
    pub live_ids: Vec<i64>,
}

/// One room over all nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterRoom {
    pub row: RoomRow,
    /// Names of nodes, and the members that each has.
    pub nodes: Vec<(String, usize)>,
}

impl ClusterSnapshot {
    pub fn page(&self, view: &RoomsView) -> OverviewPage {
        self.pages.get(view).cloned().unwrap_or_default()
    }

    pub fn room(&self, live_id: i64) -> Option<&ClusterRoom> {
        self.rooms.get(&live_id)
    }

    /// Takes the snapshot for these views and lives. `Err`: the registry does not answer.
    pub async fn take(
        control: &Arc<ClusterControl>,
        views: Vec<RoomsView>,
        lives: &[LiveId],
    ) -> Result<Self, AskError> {
        let open = control.rooms.open_lives().await?;
        let leaders = OverviewAsked::Leaders(views.clone());
        let own = control.overview_report(open.clone(), leaders.clone()).await;
        let asked = ReportAsked::overview(leaders);
        let nodes = control
            .nodes
            .reports(own, asked, ReportWait::of(NODES_WAIT))
            .await;
        let pages = pages(&views, &nodes.answered);
        let shown = pages
            .values()
            .flat_map(|page| page.live_ids.iter().copied());
        let wanted: BTreeSet<i64> = shown.chain(lives.iter().map(|id| id.get())).collect();
        let rows = OverviewAsked::Rows(wanted.into_iter().collect());
        let own = control.overview_report(open, rows.clone()).await;
        let answered = if nodes.answered.len() == 1 {
            vec![own]
        } else {
            let wait = ReportWait {
                time_max: NODES_WAIT,
                answers_max: nodes.answered.len() - 1,
            };
            let asked = ReportAsked::overview(rows);
            control.nodes.reports(own, asked, wait).await.answered
        };
        Ok(Self {
            at: control.clock.now().0,
            nodes,
            pages,
            rooms: rooms_of(answered),
        })
    }
}

/// The last hour of all nodes together.
pub async fn cluster_charts(control: &Arc<ClusterControl>) -> Charts {
    let own = control
        .overview_report(Vec::new(), OverviewAsked::Charts)
        .await;
    let asked = ReportAsked::overview(OverviewAsked::Charts);
    let reports = control
        .nodes
        .reports(own, asked, ReportWait::of(NODES_WAIT))
        .await;
    let mut charts = Charts::default();
    for report in reports.answered {
        if let Some(OverviewPart::Charts(of_node)) = report.overview {
            charts.add(of_node);
        }
    }
    charts
}

/// Counts and figures of a node, from what its rooms published.
pub fn totals(rooms: &[PublishedLive]) -> (RoomTotals, Rates, usize) {
    let mut totals = RoomTotals {
        rooms: rooms.len(),
        members: 0,
    };
    let (mut rates, mut hub_batches) = (Rates::default(), 0);
    for (_, live) in rooms {
        let figures = live.figures.read();
        totals.members += figures.members_count;
        rates.add(figures.rates);
        hub_batches += figures.hub_batches_count;
    }
    (totals, rates, hub_batches)
}

/// What a node answers. Costs up to a millisecond for each view and ten thousand rooms.
pub fn part(rooms: &[PublishedLive], asked: &OverviewAsked) -> Option<OverviewPart> {
    match asked {
        OverviewAsked::Leaders(views) => {
            let leaders = views.iter().map(|view| leaders(rooms, view));
            Some(OverviewPart::Leaders(leaders.collect()))
        }
        OverviewAsked::Rows(live_ids) => {
            let of_id = |live_id: &i64| {
                let at = rooms.binary_search_by_key(live_id, |(id, _)| id.get());
                at.ok().map(|at| row(&rooms[at]))
            };
            Some(OverviewPart::Rows(
                live_ids.iter().filter_map(of_id).collect(),
            ))
        }
        OverviewAsked::Charts => None,
    }
}

fn leaders(rooms: &[PublishedLive], view: &RoomsView) -> Leaders {
    let lower_case = view.search.to_lowercase();
    let is_found = |room: &&PublishedLive| {
        let (live_id, live) = room;
        lower_case.is_empty()
            || live_id.get().to_string() == lower_case
            || live.owner().get().to_string() == lower_case
            || live.title_contains(&lower_case)
    };
    let numbered = |room: &PublishedLive| (room.0.get(), view.sort.key(&numbers(room)));
    let mut found: Vec<(i64, f64)> = rooms.iter().filter(is_found).map(numbered).collect();
    let found_count = found.len();
    let named_max = view.end() + LEADERS_BEYOND_MAX;
    if found_count > named_max {
        found.select_nth_unstable_by(named_max, |one, other| order(view, one, other));
        found.truncate(named_max);
    }
    Leaders {
        found: found_count,
        rooms: found,
    }
}

/// The order of a view; of equal ones the earlier live comes first.
fn order(view: &RoomsView, one: &(i64, f64), other: &(i64, f64)) -> Ordering {
    let by_number = one.1.total_cmp(&other.1);
    let by_number = if view.descending {
        by_number.reverse()
    } else {
        by_number
    };
    by_number.then(one.0.cmp(&other.0))
}

fn row(room: &PublishedLive) -> RoomRow {
    RoomRow {
        title: room.1.title(),
        ..numbers(room)
    }
}

/// A row without its title, which costs no memory.
fn numbers((live_id, live): &PublishedLive) -> RoomRow {
    let figures = live.figures.read();
    RoomRow {
        live_id: live_id.get(),
        title: String::new(),
        owner_id: live.owner().get(),
        status: live.status().code(),
        opened_at: live.opened_at.0,
        members: figures.members_count,
        users: figures.users_count,
        coin: figures.coin,
        rates: figures.rates,
        slow: figures.slow_count,
        drops: figures.drops,
    }
}

/// The pages of all views, from the leaders that the nodes named.
fn pages(views: &[RoomsView], answered: &[NodeReport]) -> HashMap<RoomsView, OverviewPage> {
    let of_view = |(index, view): (usize, &RoomsView)| {
        let of_node = |report: &NodeReport| match &report.overview {
            Some(OverviewPart::Leaders(leaders)) => leaders.get(index).cloned(),
            _ => None,
        };
        let page = merge(view, answered.iter().filter_map(of_node).collect());
        (view.clone(), page)
    };
    views.iter().enumerate().map(of_view).collect()
}

fn merge(view: &RoomsView, of_nodes: Vec<Leaders>) -> OverviewPage {
    let is_exact = of_nodes.iter().all(|it| it.found == it.rooms.len());
    let mut found: usize = of_nodes.iter().map(|it| it.found).sum();
    let mut keys: HashMap<i64, f64> = HashMap::new();
    for (live_id, key) in of_nodes.into_iter().flat_map(|it| it.rooms) {
        keys.entry(live_id)
            .and_modify(|sum| {
                *sum = view.sort.combine(*sum, key);
                found -= 1;
            })
            .or_insert(key);
    }
    let mut keys: Vec<(i64, f64)> = keys.into_iter().collect();
    keys.sort_unstable_by(|one, other| order(view, one, other));
    let shown = keys
        .into_iter()
        .skip(view.skipped())
        .take(view.limit as usize);
    OverviewPage {
        found,
        is_exact,
        live_ids: shown.map(|(live_id, _)| live_id).collect(),
    }
}

fn rooms_of(answered: Vec<NodeReport>) -> HashMap<i64, ClusterRoom> {
    let mut rooms: HashMap<i64, ClusterRoom> = HashMap::new();
    for report in answered {
        let Some(OverviewPart::Rows(rows)) = report.overview else {
            continue;
        };
        for row in rows {
            let part = (report.node.clone(), row.members);
            match rooms.get_mut(&row.live_id) {
                Some(known) => {
                    known.row.add(&row);
                    known.nodes.push(part);
                }
                None => {
                    let nodes = vec![part];
                    rooms.insert(row.live_id, ClusterRoom { row, nodes });
                }
            }
        }
    }
    rooms
}

/// The sums of what all nodes do.
pub fn sum_of(nodes: &NodeReports) -> NodeFigures {
    let mut sum = NodeFigures::default();
    for figures in nodes.answered.iter().filter_map(|it| it.figures) {
        sum.rates.add(figures.rates);
        sum.cpu = add(sum.cpu, figures.cpu, |one, other| one + other);
        sum.memory_bytes = add(sum.memory_bytes, figures.memory_bytes, |one, other| {
            one + other
        });
        sum.hub_batches_queued += figures.hub_batches_queued;
        sum.consoles += figures.consoles;
    }
    sum
}

fn add<T>(one: Option<T>, other: Option<T>, sum: impl Fn(T, T) -> T) -> Option<T> {
    match (one, other) {
        (Some(one), Some(other)) => Some(sum(one, other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::RoomSort;
    use crate::domain::{Coins, Live, LiveStatus, Timestamp, UserId};

    fn open(live_id: i64, owner: i64, title: &str) -> PublishedLive {
        let id = LiveId::new(live_id).unwrap();
        let live = Live {
            id,
            owner: UserId::new(owner).unwrap(),
            status: LiveStatus::OnAir,
            title: title.to_owned(),
            coin: Coins::ZERO,
            look_count: 0,
        };
        (id, Arc::new(VersionedLive::new(&live, Timestamp(0))))
    }

    fn view(search: &str, page: u32, limit: u32) -> RoomsView {
        RoomsView {
            sort: RoomSort::LiveId,
            search: search.to_owned(),
            page,
            limit,
            ..RoomsView::default()
        }
    }

    fn leaders_of(rooms: &[(i64, f64)]) -> Leaders {
        Leaders {
            found: rooms.len(),
            rooms: rooms.to_vec(),
        }
    }

    #[test]
    fn a_search_finds_part_of_a_title_in_any_case_and_whole_ids() {
        let rooms = [
            open(1, 70, "Evening SONGS"),
            open(2, 7, "晚安 Café"),
            open(17, 8, "seventeen"),
        ];
        let found = |search: &str| {
            let mut ids: Vec<_> = leaders(&rooms, &view(search, 1, 10)).rooms;
            ids.sort_by(|one, other| one.1.total_cmp(&other.1));
            ids.into_iter().map(|(id, _)| id).collect::<Vec<_>>()
        };
        assert_eq!(found(""), [1, 2, 17]);
        assert_eq!(found("songs"), [1]);
        assert_eq!(found("CAFÉ"), [2]);
        assert_eq!(found("晚"), [2]);
        assert_eq!(found("17"), [17]);
        assert_eq!(found("7"), [2], "7 is a streamer and no part of an id");
        assert_eq!(found("nothing"), [0; 0]);
    }

    #[test]
    fn a_page_is_cut_from_the_sums_of_all_nodes() {
        let by_members = RoomsView {
            sort: RoomSort::Members,
            ..view("", 1, 2)
        };
        let of_nodes = || {
            vec![
                leaders_of(&[(1, 10.0), (2, 8.0), (3, 1.0)]),
                leaders_of(&[(2, 3.0), (4, 10.0)]),
            ]
        };
        let page = merge(&by_members, of_nodes());
        assert_eq!(
            page.live_ids,
            [2, 1],
            "11 members, then 10 of the earlier live"
        );
        assert_eq!((page.found, page.is_exact), (4, true));
        let second = RoomsView {
            page: 2,
            ..by_members.clone()
        };
        assert_eq!(merge(&second, of_nodes()).live_ids, [4, 3]);
        let beyond = RoomsView {
            page: 3,
            ..by_members.clone()
        };
        assert_eq!(merge(&beyond, of_nodes()).live_ids, [0; 0]);
        let ascending = RoomsView {
            descending: false,
            ..by_members
        };
        assert_eq!(merge(&ascending, of_nodes()).live_ids, [3, 1]);
    }

    #[test]
    fn a_node_with_very_many_rooms_names_those_that_lead_and_says_how_many_there_are() {
        let rooms: Vec<_> = (1..=3_000).map(|id| open(id, 1, "")).collect();
        let first = view("", 1, 10);
        let named = leaders(&rooms, &first);
        assert_eq!((named.found, named.rooms.len()), (3_000, 2_010));
        let page = merge(&first, vec![named]);
        assert_eq!(page.live_ids, (2_991..=3_000).rev().collect::<Vec<_>>());
        assert_eq!((page.found, page.is_exact), (3_000, false));
        let last = view("", 300, 10);
        let page = merge(&last, vec![leaders(&rooms, &last)]);
        assert_eq!(page.live_ids, (1..=10).rev().collect::<Vec<_>>());
        assert!(page.is_exact);
    }

    #[test]
    fn rows_are_those_of_rooms_that_are_open_here() {
        let rooms = [open(2, 7, "two"), open(5, 7, "five")];
        let asked = OverviewAsked::Rows(vec![1, 2, 5, 9]);
        let Some(OverviewPart::Rows(rows)) = part(&rooms, &asked) else {
            panic!("rows were asked for");
        };
        let titles: Vec<_> = rows.iter().map(|row| (row.live_id, &*row.title)).collect();
        assert_eq!(titles, [(2, "two"), (5, "five")]);
    }
}
