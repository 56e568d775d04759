//! The audit for operators: pages of it, and all of it as a file.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::domain::{Actor, LiveId, Permission, Timestamp};
use crate::storage::{AuditEntry, AuditFilter, AuditPosition, Store};

use super::ApiState;
use super::error::{ApiError, ApiResult, ok};
use super::export::{Cell, ExportFormat, ExportPage, ExportTable};
use super::fields::positive_digits;
use super::operator::Operator;

/// Rows of one page at most, and if the query does not say.
const PER_PAGE_MAX: u32 = 100;

/// Longest value of a filter, in characters: no column that is filtered by has longer ones.
const FILTER_CHARS_MAX: usize = 64;

/// The columns of a file.
const COLUMNS: &[&str] = &[
    "id",
    "at_ms",
    "at",
    "actor_kind",
    "actor_id",
    "role",
    "address",
    "scope",
    "scope_id",
    "action",
    "target_id",
    "reason",
    "arguments",
    "before",
    "after",
    "request_id",
    "result",
];

/// The query of a page and of a file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AuditQuery {
    /// A kind, or a kind and an id: `operator`, `manager:3`.
    actor: Option<String>,
    role: Option<String>,
    address: Option<String>,
    action: Option<String>,
    target: Option<String>,
    live_id: Option<String>,
    request_id: Option<String>,
    result: Option<String>,
    /// Milliseconds since 1970.
    from: Option<String>,
    to: Option<String>,
    /// Of a page alone.
    before: Option<String>,
    limit: Option<String>,
    /// Of a file alone.
    format: Option<String>,
}

impl AuditQuery {
    fn of(request: &HttpRequest) -> Result<Self, ApiError> {
        let query = web::Query::<Self>::from_query(request.query_string());
        let query = query.map_err(|_| {
            ApiError::BadParameter(
                "parameters are actor, role, address, action, target, live_id, request_id, result, \
                 from, to, and before and limit or format, each once",
            )
        })?;
        Ok(query.into_inner())
    }

    /// The rows that are asked for, and that this operator may see: without the right to
    /// administer those of its own actions.
    fn filter(&self, operator: &Operator) -> Result<AuditFilter, ApiError> {
        let (actor_kind, actor_id) = self.actor()?;
        let mut filter = AuditFilter {
            actor_kind,
            actor_id,
            role: word(&self.role, "role must be 1 to 64 characters")?,
            address: address(&self.address)?,
            action: word(&self.action, "action must be 1 to 64 characters")?,
            target_id: number(&self.target, "target must be a positive integer")?,
            live_id: number(&self.live_id, "live_id must be the id of a live")?
                .and_then(LiveId::new),
            request_id: word(&self.request_id, "request_id must be 1 to 64 characters")?,
            result: word(&self.result, "result must be ok or the code of a refusal")?,
            from: number(&self.from, "from must be milliseconds since 1970")?.map(Timestamp),
            until: number(&self.to, "to must be milliseconds since 1970")?.map(Timestamp),
        };
        if let (Some(from), Some(until)) = (filter.from, filter.until)
            && from >= until
        {
            return Err(ApiError::BadParameter("from must be before to"));
        }
        if !operator.permissions.contains(Permission::Administer) {
            let (kind, id) = Actor::Operator(operator.id).kind_and_id();
            let is_others = filter
                .actor_kind
                .as_deref()
                .is_some_and(|asked| asked != kind)
                || filter.actor_id.is_some_and(|asked| asked != id);
            if is_others {
                operator.require(Permission::Administer)?;
            }
            (filter.actor_kind, filter.actor_id) = (Some(kind.to_owned()), Some(id));
        }
        Ok(filter)
    }

    fn actor(&self) -> Result<(Option<String>, Option<i64>), ApiError> {
        let wrong = ApiError::BadParameter(
            "actor must be operator, manager, token or user, with :id behind it for one of them",
        );
        let Some(text) = &self.actor else {
            return Ok((None, None));
        };
        let (kind, id) = match text.split_once(':') {
            None => (text.as_str(), None),
            Some((kind, id)) => (kind, positive_digits(id).or((id == "0").then_some(0))),
        };
        let is_known = ["operator", "manager", "token", "user"].contains(&kind);
        if !is_known || text.contains(':') != id.is_some() {
            return Err(wrong);
        }
        Ok((Some(kind.to_owned()), id))
    }

    fn position(&self) -> Result<Option<AuditPosition>, ApiError> {
        let wrong = || ApiError::BadParameter("before must be the next of the page before");
        self.before
            .as_deref()
            .map(|text| {
                let (at, id) = text.split_once('-').ok_or_else(wrong)?;
                let id = positive_digits(id).ok_or_else(wrong)?;
                let at = positive_digits(at).ok_or_else(wrong)?;
                Ok(AuditPosition { at, id })
            })
            .transpose()
    }

    fn limit(&self) -> Result<u32, ApiError> {
        let limit = number(&self.limit, LIMIT)?;
        limit.map_or(Ok(PER_PAGE_MAX), |limit| {
            u32::try_from(limit)
                .ok()
                .filter(|limit| *limit <= PER_PAGE_MAX)
                .ok_or(ApiError::BadParameter(LIMIT))
        })
    }
}

const LIMIT: &str = "limit must be 1 to 100";

fn number(text: &Option<String>, fault: &'static str) -> Result<Option<i64>, ApiError> {
    text.as_deref()
        .map(|text| positive_digits(text).ok_or(ApiError::BadParameter(fault)))
        .transpose()
}

fn word(text: &Option<String>, fault: &'static str) -> Result<Option<String>, ApiError> {
    let is_word = |text: &String| {
        (1..=FILTER_CHARS_MAX).contains(&text.chars().count()) && !text.contains('\0')
    };
    match text {
        Some(text) if !is_word(text) => Err(ApiError::BadParameter(fault)),
        text => Ok(text.clone()),
    }
}

fn address(text: &Option<String>) -> Result<Option<IpAddr>, ApiError> {
    let fault = ApiError::BadParameter("address must be an IP address");
    text.as_deref()
        .map(|text| text.parse().map_err(|_| fault))
        .transpose()
}

#[derive(Serialize)]
struct PageView {
    entries: Vec<AuditEntryView>,
    /// The `before` of the next page, if there is one. A page may be short, and even empty, and
    /// have a next one: each looks through a bounded number of rows.
    next: Option<String>,
}

#[derive(Serialize)]
struct AuditEntryView {
    id: i64,
    at_ms: i64,
    actor: ActorView,
    role: String,
    address: Option<String>,
    scope: String,
    /// A live or, in the scope `streamer`, a streamer.
    scope_id: Option<i64>,
    live_id: Option<i64>,
    action: String,
    target: Option<TargetView>,
    reason: Option<String>,
    arguments: Json,
    before: Option<Json>,
    after: Option<Json>,
    request_id: Option<String>,
    result: String,
}

#[derive(Serialize)]
struct ActorView {
    kind: String,
    id: i64,
}

/// What an action was done to, by its id under the name of its kind.
#[derive(Serialize)]
enum TargetView {
    /// A text: JavaScript would round it.
    #[serde(rename = "comment_id")]
    Comment(String),
    #[serde(rename = "gift_id")]
    Gift(i64),
    #[serde(rename = "manager_id")]
    Manager(i64),
    #[serde(rename = "token_id")]
    Token(i64),
    #[serde(rename = "session_id")]
    Session(i64),
    #[serde(rename = "user_id")]
    User(i64),
}

impl TargetView {
    fn of(action: &str, id: i64) -> Self {
        match action {
            "take_down" | "report" | "dismiss_reports" | "pin" | "review" => {
                Self::Comment(id.to_string())
            }
            "create_gift" | "change_gift" => Self::Gift(id),
            _ if action.ends_with("_manager") || action.ends_with("_password") => Self::Manager(id),
            _ if action.ends_with("_token") => Self::Token(id),
            _ if action.ends_with("_session") => Self::Session(id),
            _ => Self::User(id),
        }
    }
}

/// A document as it is stored, or as a text what is none.
#[derive(Serialize)]
#[serde(transparent)]
struct Json(Box<RawValue>);

impl Json {
    fn of(text: String) -> Self {
        let raw = RawValue::from_string(text.clone());
        let quoted = || RawValue::from_string(serde_json::Value::from(text).to_string());
        Self(raw.or_else(|_| quoted()).expect("a quoted text is JSON"))
    }
}

impl From<AuditEntry> for AuditEntryView {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            at_ms: entry.at,
            live_id: entry.live_id(),
            target: entry.target_id.map(|id| TargetView::of(&entry.action, id)),
            actor: ActorView {
                kind: entry.actor_kind,
                id: entry.actor_id,
            },
            role: entry.role,
            address: entry.address,
            scope: entry.scope,
            scope_id: entry.scope_id,
            action: entry.action,
            reason: entry.reason,
            arguments: Json::of(entry.arguments),
            before: entry.before.map(Json::of),
            after: entry.after.map(Json::of),
            request_id: entry.request_id,
            result: entry.result,
        }
    }
}

/// GET /admin/audit: actions and refused attempts, the newest first: of everybody for those who
/// administer, of the operator itself for the others.
pub async fn page(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
) -> ApiResult {
    let query = AuditQuery::of(&request)?;
    if query.format.is_some() {
        return Err(ApiError::BadParameter("format goes with an export"));
    }
    let (filter, limit) = (query.filter(&operator)?, query.limit()?);
    let page = state
        .store
        .audit_page(filter, query.position()?, limit)
        .await?;
    ok(PageView {
        entries: page.entries.into_iter().map(Into::into).collect(),
        next: page.next.map(|next| format!("{}-{}", next.at, next.id)),
    })
}

/// GET /admin/audit/export?format=csv|jsonl: all rows that the same query finds, as a file.
pub async fn export(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
) -> ApiResult {
    let query = AuditQuery::of(&request)?;
    if query.before.is_some() || query.limit.is_some() {
        return Err(ApiError::BadParameter("before and limit go with a page"));
    }
    let filter = query.filter(&operator)?;
    let table = ExportTable {
        format: ExportFormat::of(query.format.as_deref())?,
        name: "audit",
        live_id: filter.live_id.map(LiveId::get),
        columns: COLUMNS,
    };
    let store = state.store.clone();
    let next = move |before| read(store.clone(), filter.clone(), before);
    state.exports.send(table, next).await
}

async fn read(
    store: Arc<dyn Store>,
    filter: AuditFilter,
    before: Option<AuditPosition>,
) -> Result<ExportPage<AuditPosition>, ApiError> {
    let page = store
        .audit_page(filter, before, ExportPage::ROWS_MAX)
        .await?;
    Ok(ExportPage {
        rows: page.entries.into_iter().map(cells).collect(),
        next: page.next,
    })
}

fn cells(entry: AuditEntry) -> Vec<Cell> {
    // A document over several lines would be several lines of a file.
    let json = |text: String| match serde_json::from_str::<&RawValue>(&text) {
        Ok(_) if !text.contains('\n') => Cell::Json(text),
        _ => Cell::Text(text),
    };
    vec![
        Cell::Number(entry.id),
        Cell::Number(entry.at),
        written_time(Timestamp(entry.at)).into(),
        Cell::Text(entry.actor_kind),
        Cell::Number(entry.actor_id),
        Cell::Text(entry.role),
        entry.address.into(),
        Cell::Text(entry.scope),
        entry.scope_id.into(),
        Cell::Text(entry.action),
        entry.target_id.into(),
        entry.reason.into(),
        json(entry.arguments),
        entry.before.map_or(Cell::Null, json),
        entry.after.map_or(Cell::Null, json),
        entry.request_id.into(),
        Cell::Text(entry.result),
    ]
}

/// A moment as people read it, in UTC; `None` beyond the year 9999.
pub(super) fn written_time(at: Timestamp) -> Option<String> {
    let nanos = i128::from(at.0) * 1_000_000;
    let at = OffsetDateTime::from_unix_timestamp_nanos(nanos).ok()?;
    at.format(&Rfc3339).ok()
}
