//! All nodes and rooms at a glance, for a console and for scripts.

use std::collections::HashMap;

use actix_web::{HttpRequest, web};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::ApiState;
use super::admin_views::NodeView;
use super::error::{ApiError, ApiResult, ok};
use super::fields::positive_digits;
use crate::actors::consoles::{ClusterRoom, ClusterSnapshot, cluster_charts, sum_of};
use crate::actors::{
    ChartPoint, Charts, NodeFigures, OVERVIEW_PAGE_MAX, Rates, RoomRow, RoomSort, RoomsView,
};

/// GET /admin/overview?sort=&order=&search=&page=&limit=: one page of the rooms of all nodes, and
/// the nodes. Parameters that are absent are as in [`RoomsView::default`]; wrong ones are answered
/// with 400.
pub async fn overview(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let query = web::Query::<HashMap<String, String>>::from_query(request.query_string())
        .map_err(|_| ApiError::BadParameter("malformed query"))?;
    let view = read_view(|name| query.get(name).map(String::as_str))?;
    let views = vec![view.clone()];
    let snapshot = ClusterSnapshot::take(&state.cluster_control, views, &[]).await?;
    ok(OverviewView::new(&snapshot, &view))
}

/// GET /admin/charts: the last hour of all nodes together.
pub async fn charts(state: web::Data<ApiState>) -> ApiResult {
    ok(ChartsView::from(
        &cluster_charts(&state.cluster_control).await,
    ))
}

/// Reads a view from named fields.
pub(super) fn read_view<'a>(
    field: impl Fn(&str) -> Option<&'a str>,
) -> Result<RoomsView, ApiError> {
    let default = RoomsView::default();
    let sort = match field("sort") {
        None => default.sort,
        Some(name) => {
            read_name::<RoomSort>(name).ok_or(ApiError::BadParameter("sort is no column"))?
        }
    };
    let descending = match field("order") {
        None | Some("desc") => true,
        Some("asc") => false,
        Some(_) => return Err(ApiError::BadParameter("order must be asc or desc")),
    };
    let search = field("search").unwrap_or_default().trim();
    if search.chars().count() > RoomsView::SEARCH_CHARS_MAX {
        return Err(ApiError::BadParameter(
            "search must be at most 100 characters",
        ));
    }
    let number = |name, max: u32, default| match field(name) {
        None => Some(default),
        Some(digits) => positive_digits(digits)
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| *number <= max),
    };
    let page = number("page", RoomsView::PAGE_MAX, default.page)
        .ok_or(ApiError::BadParameter("page must be 1 to 1000"))?;
    let limit = number("limit", OVERVIEW_PAGE_MAX, default.limit)
        .ok_or(ApiError::BadParameter("limit must be 1 to 100"))?;
    Ok(RoomsView {
        sort,
        descending,
        search: search.to_owned(),
        page,
        limit,
    })
}

fn read_name<T: DeserializeOwned>(name: &str) -> Option<T> {
    serde_json::from_value(Value::from(name)).ok()
}

/// One page of the rooms of all nodes, and the nodes. `at`: milliseconds since the Unix epoch.
#[derive(Serialize)]
pub(super) struct OverviewView<'a> {
    at: i64,
    nodes: Vec<NodeView>,
    totals: TotalsView,
    rooms: Vec<RoomView<'a>>,
    page: u32,
    limit: u32,
    /// Rooms that the search finds.
    rooms_found: usize,
    /// Whether that counts each room once.
    is_exact: bool,
}

/// All nodes together; those that did not answer are missing in it.
#[derive(Serialize)]
struct TotalsView {
    /// A room on two nodes counts twice.
    rooms: usize,
    members: usize,
    sessions: usize,
    writes_queued: usize,
    #[serde(flatten)]
    figures: NodeFigures,
}

/// A room over all nodes.
#[derive(Serialize)]
pub(super) struct RoomView<'a> {
    #[serde(flatten)]
    row: &'a RoomRow,
    nodes: Vec<RoomPartView<'a>>,
}

#[derive(Serialize)]
struct RoomPartView<'a> {
    node: &'a str,
    members: usize,
}

impl<'a> From<&'a ClusterRoom> for RoomView<'a> {
    fn from(room: &'a ClusterRoom) -> Self {
        let part = |(node, members): &'a (String, usize)| RoomPartView {
            node,
            members: *members,
        };
        Self {
            row: &room.row,
            nodes: room.nodes.iter().map(part).collect(),
        }
    }
}

impl<'a> OverviewView<'a> {
    pub fn new(snapshot: &'a ClusterSnapshot, view: &RoomsView) -> Self {
        let page = snapshot.page(view);
        let answered = &snapshot.nodes.answered;
        let mut totals = TotalsView {
            rooms: 0,
            members: 0,
            sessions: 0,
            writes_queued: 0,
            figures: sum_of(&snapshot.nodes),
        };
        for report in answered {
            let of_node = report.room_totals();
            totals.rooms += of_node.rooms;
            totals.members += of_node.members;
            totals.sessions += report.sessions;
            totals.writes_queued += report.writes_queued;
        }
        // A room that closed between the two questions is left out.
        let rooms = page
            .live_ids
            .iter()
            .filter_map(|live_id| snapshot.room(*live_id));
        Self {
            at: snapshot.at,
            nodes: NodeView::all(snapshot.nodes.clone()),
            totals,
            rooms: rooms.map(RoomView::from).collect(),
            page: view.page,
            limit: view.limit,
            rooms_found: page.found,
            is_exact: page.is_exact,
        }
    }
}

/// Charts as columns, which is how they are drawn: one array for each line.
#[derive(Serialize)]
pub(super) struct ChartsView {
    step_ms: i64,
    at: Vec<i64>,
    sessions: Vec<u32>,
    members: Vec<u32>,
    rooms: Vec<u32>,
    writes_queued: Vec<u32>,
    cpu: Vec<f32>,
    memory_bytes: Vec<u64>,
    #[serde(flatten)]
    rates: HashMap<&'static str, Vec<f32>>,
}

impl From<&Charts> for ChartsView {
    fn from(charts: &Charts) -> Self {
        fn column<T>(charts: &Charts, of: impl Fn(&ChartPoint) -> T) -> Vec<T> {
            charts.points.iter().map(of).collect()
        }
        let rates = Rates::NAMES.iter().enumerate();
        let rates = rates.map(|(index, name)| (*name, column(charts, |it| it.rates[index])));
        Self {
            step_ms: Charts::STEP_MS,
            at: column(charts, |it| it.at),
            sessions: column(charts, |it| it.sessions),
            members: column(charts, |it| it.members),
            rooms: column(charts, |it| it.rooms),
            writes_queued: column(charts, |it| it.writes_queued),
            cpu: column(charts, |it| it.cpu),
            memory_bytes: column(charts, |it| it.memory_bytes),
            rates: rates.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(fields: &[(&str, &'static str)]) -> Result<RoomsView, String> {
        let fields: HashMap<_, _> = fields.iter().copied().collect();
        read_view(|name| fields.get(name).copied()).map_err(|error| error.to_string())
    }

    #[test]
    fn a_view_is_read_with_its_defaults_and_within_its_limits() {
        assert_eq!(read(&[]), Ok(RoomsView::default()));
        let view = read(&[
            ("sort", "comments_in_per_s"),
            ("order", "asc"),
            ("search", " 晚安 "),
            ("page", "3"),
            ("limit", "100"),
        ]);
        let expected = RoomsView {
            sort: RoomSort::CommentsInPerS,
            descending: false,
            search: "晚安".to_owned(),
            page: 3,
            limit: 100,
        };
        assert_eq!(view, Ok(expected));
        for (field, value, error) in [
            ("sort", "title", "sort is no column"),
            ("sort", "", "sort is no column"),
            ("order", "up", "order must be asc or desc"),
            ("page", "0", "page must be 1 to 1000"),
            ("page", "1001", "page must be 1 to 1000"),
            ("page", "-1", "page must be 1 to 1000"),
            ("limit", "101", "limit must be 1 to 100"),
            ("limit", "x", "limit must be 1 to 100"),
        ] {
            assert_eq!(
                read(&[(field, value)]),
                Err(error.to_owned()),
                "{field}={value}"
            );
        }
        let long: &'static str = Box::leak("长".repeat(101).into_boxed_str());
        assert!(read(&[("search", long)]).is_err());
        assert!(read(&[("search", &long[..300])]).is_ok());
    }
}
