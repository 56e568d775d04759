//! Traces of a user or a room: begun, read and ended by operators, on whichever node.

use std::collections::BTreeMap;

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::actors::{
    NodeAnswer, NodeAnswers, NodeQuestion, TRACE_SECONDS_MAX, TraceAsked, TraceFound, TraceLine,
    TraceSpec,
};
use crate::domain::{Action, LiveId, Permission, Scope, UserId};

use super::ApiState;
use super::admin::invalid;
use super::error::{ApiError, ApiResult, LIVE_NOT_FOUND, USER_NOT_FOUND, ok};
use super::fields::RequestBody;
use super::moderation::{Terms, of_operator};
use super::operator::Operator;

const TRACE_NOT_FOUND: ApiError = ApiError::NotFound("trace not found");

/// Nodes that one cursor names.
const CURSOR_NODES_MAX: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BeginBody {
    user_id: Option<i64>,
    live_id: Option<i64>,
    seconds: u32,
    reason: Option<String>,
}

/// POST /admin/trace: writes down what a user does, or what happens in a room, on all nodes for 1 to
/// 900 seconds. Errors: 404 for a user or live that does not exist, 409 while 4 are under way.
pub async fn begin(
    state: web::Data<ApiState>,
    request: HttpRequest,
    body: RequestBody,
) -> ApiResult {
    let BeginBody {
        user_id,
        live_id,
        seconds,
        reason,
    } = body.json()?;
    if !(1..=TRACE_SECONDS_MAX).contains(&seconds) {
        return Err(invalid("seconds must be 1 to 900"));
    }
    let (scope, user) = match (user_id, live_id) {
        (Some(user), None) => {
            let user = UserId::new(user).ok_or(USER_NOT_FOUND)?;
            (Scope::Site, Some(user))
        }
        (None, Some(live)) => {
            let live_id = LiveId::new(live).ok_or(LIVE_NOT_FOUND)?;
            (Scope::Live(live_id), None)
        }
        _ => return Err(invalid("either user_id or live_id must be given")),
    };
    let terms = Terms {
        request_id: None,
        reason,
    };
    let action = Action::Trace { user, seconds };
    let requested = of_operator(&request, &state, scope, action, terms)?;
    let began_at_ms = state.clock.now().0;
    let spec = TraceSpec {
        id: format!("{:016x}", rand::random::<u64>()),
        user_id,
        live_id,
        by: Operator::behind(&request)?.name.to_string(),
        began_at_ms,
        ends_at_ms: began_at_ms + i64::from(seconds) * 1_000,
    };
    let traces = &state.cluster_control.traces;
    traces
        .begin(spec.clone())
        .map_err(|_| ApiError::Conflict("as many traces as may be are under way"))?;
    let asked = |ends| TraceAsked {
        id: spec.id.clone(),
        spec: Some(spec.clone()),
        after: None,
        ends,
    };
    if let Err(error) = state.operations.perform(requested).await {
        traces.answer(&asked(true), "");
        return Err(error.into());
    }
    // A node that does not answer learns of it with the first question for lines.
    state
        .cluster_control
        .ask(NodeQuestion::Trace(asked(false)))
        .await?;
    ok(spec)
}

#[derive(Serialize)]
struct TracesView {
    traces: Vec<TraceSpec>,
}

/// GET /admin/trace: the traces that this node knows, also those that ended within the last minute.
pub async fn list(state: web::Data<ApiState>) -> ApiResult {
    let traces = state.cluster_control.traces.list();
    ok(TracesView { traces })
}

/// DELETE /admin/trace/{id}: ends a trace on all nodes. Safe to repeat.
pub async fn end(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let asked = TraceAsked {
        id: path_trace(&request)?,
        spec: None,
        after: None,
        ends: true,
    };
    let found = ask(&state, asked).await?;
    let specs = found
        .answered
        .into_iter()
        .filter_map(|(_, found)| found.spec);
    ok(specs
        .min_by_key(|spec| spec.ends_at_ms)
        .ok_or(TRACE_NOT_FOUND)?)
}

#[derive(Serialize)]
struct LinesView {
    id: String,
    /// By time; lines of one node are in its order.
    lines: Vec<LineView>,
    /// Lines that were not kept since the cursor.
    dropped: u64,
    next: String,
    ended: bool,
    silent: Vec<String>,
}

#[derive(Serialize)]
struct LineView {
    node: String,
    at_ms: i64,
    what: String,
    user_id: Option<i64>,
    live_id: Option<i64>,
    session_id: Option<u64>,
    fields: Map<String, Value>,
}

impl LineView {
    /// Without texts, unless they may be read.
    fn of(line: TraceLine, node: &str, has_texts: bool) -> Self {
        let mut fields = line.fields;
        if !has_texts {
            fields.remove("text");
        }
        Self {
            node: node.to_owned(),
            at_ms: line.at_ms,
            what: line.what,
            user_id: line.user_id,
            live_id: line.live_id,
            session_id: line.session_id,
            fields,
        }
    }
}

/// GET /admin/trace/{id}/lines?cursor=: the lines since a cursor, of all nodes. Ask once a second: a
/// node keeps 2,000.
pub async fn lines(state: web::Data<ApiState>, request: HttpRequest) -> ApiResult {
    let id = path_trace(&request)?;
    let cursor = TraceCursor::of(&request)?;
    let traces = &state.cluster_control.traces;
    let asked = TraceAsked {
        id: id.clone(),
        spec: traces.list().into_iter().find(|spec| spec.id == id),
        after: Some(cursor.numbers()),
        ends: false,
    };
    let is_known_here = asked.spec.is_some();
    let TraceAnswers { answered, silent } = ask(&state, asked).await?;
    let mut specs = answered.iter().filter_map(|(_, found)| found.spec.clone());
    let spec = specs.next().ok_or(TRACE_NOT_FOUND)?;
    if !is_known_here {
        // This node began after the trace did. As many as there may be: it has no lines of it.
        let _ = traces.begin(spec.clone());
    }
    let permissions = Operator::behind(&request)?.permissions;
    let has_texts = permissions.contains(Permission::Comments);
    let mut next = cursor.clone();
    let mut dropped = 0;
    let mut lines = Vec::new();
    for (node, found) in answered {
        let before = cursor.0.get(&node).map_or(0, |(_, dropped)| *dropped);
        dropped += found.dropped.saturating_sub(before);
        next.0.insert(node.clone(), (found.last, found.dropped));
        let shown = |line| LineView::of(line, &node, has_texts);
        lines.extend(found.lines.into_iter().map(shown));
    }
    lines.sort_by_key(|line| line.at_ms);
    ok(LinesView {
        ended: lines.is_empty() && state.clock.now().0 >= spec.ends_at_ms,
        id,
        lines,
        dropped,
        next: next.text(),
        silent,
    })
}

struct TraceAnswers {
    answered: Vec<(String, TraceFound)>,
    silent: Vec<String>,
}

async fn ask(state: &ApiState, asked: TraceAsked) -> Result<TraceAnswers, ApiError> {
    let question = NodeQuestion::Trace(asked);
    let NodeAnswers { answered, silent } = state.cluster_control.ask(question).await?;
    let found = answered
        .into_iter()
        .filter_map(|(node, answer)| match answer {
            NodeAnswer::Trace(found) => Some((node, found)),
            _ => None,
        });
    Ok(TraceAnswers {
        answered: found.collect(),
        silent,
    })
}

fn path_trace(request: &HttpRequest) -> Result<String, ApiError> {
    let id = request.match_info().get("id").unwrap_or_default();
    let is_hex = id.len() == 16 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hex.then(|| id.to_owned()).ok_or(TRACE_NOT_FOUND)
}

/// The last line that a reader has of each node, and how many lines that node had dropped by then.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct TraceCursor(BTreeMap<String, (u64, u64)>);

impl TraceCursor {
    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let query = web::Query::<BTreeMap<String, String>>::from_query(request.query_string())
            .map_err(|_| ApiError::BadParameter("malformed query"))?;
        let text = query.get("cursor").map_or("", String::as_str);
        Self::read(text).ok_or(ApiError::BadParameter("cursor must be the next of a page"))
    }

    fn read(text: &str) -> Option<Self> {
        let places = text.split(',').filter(|place| !place.is_empty());
        let read = |place: &str| {
            let mut parts = place.split('-');
            let node = parts.next().filter(|node| {
                node.len() <= 64 && node.bytes().all(|byte| byte.is_ascii_alphanumeric())
            })?;
            let (number, dropped) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
            parts
                .next()
                .is_none()
                .then(|| (node.to_owned(), (number, dropped)))
        };
        let places = places
            .take(CURSOR_NODES_MAX + 1)
            .map(read)
            .collect::<Option<BTreeMap<_, _>>>()?;
        (places.len() <= CURSOR_NODES_MAX).then_some(Self(places))
    }

    fn text(&self) -> String {
        let place = |(node, (number, dropped)): (&String, &(u64, u64))| {
            format!("{node}-{number}-{dropped}")
        };
        self.0.iter().map(place).collect::<Vec<_>>().join(",")
    }

    fn numbers(&self) -> BTreeMap<String, u64> {
        let number = |(node, (number, _)): (&String, &(u64, u64))| (node.clone(), *number);
        self.0.iter().map(number).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_names_a_place_on_each_node_and_nothing_else() {
        for text in ["", "00000000000000a1-5-0", "a-1-2,b-3-4"] {
            assert_eq!(
                TraceCursor::read(text)
                    .map(|cursor| cursor.text())
                    .as_deref(),
                Some(text)
            );
        }
        let many: Vec<_> = (0..65).map(|node| format!("n{node}-1-1")).collect();
        for text in [
            "a",
            "a-1",
            "a-1-x",
            "a-1-1-1",
            "-1--2",
            "a b-1-1",
            "a--1-0",
            &many.join(","),
        ] {
            assert_eq!(TraceCursor::read(text), None, "{text}");
        }
    }
}
