//! The managers, for those who administer.

use actix_web::{HttpRequest, web};
use serde::{Deserialize, Serialize};

use super::admin::{invalid, path_id};
use super::error::{ApiError, ApiResult, ok};
use super::fields::RequestBody;
use super::operator::Operator;
use super::{ApiState, address_of};
use crate::domain::{ManagerId, ManagerRole};
use crate::managers::{ManagerInvite, is_manager_name};
use crate::storage::{ActAuthor, AddedManager, ChangedManager, ManagerChange, ManagerRow};

const MANAGER_NOT_FOUND: ApiError = ApiError::NotFound("manager not found");

#[derive(Serialize)]
struct ManagerView {
    id: i64,
    name: String,
    role: &'static str,
    is_admin: bool,
    disabled: bool,
    has_password: bool,
    created_at_ms: i64,
    last_login_at_ms: Option<i64>,
}

impl From<ManagerRow> for ManagerView {
    fn from(row: ManagerRow) -> Self {
        Self {
            id: row.id.get(),
            name: row.name,
            role: row.role.name(),
            is_admin: row.is_admin,
            disabled: row.disabled,
            has_password: row.has_password,
            created_at_ms: row.created_at.0,
            last_login_at_ms: row.last_login_at.map(|at| at.0),
        }
    }
}

#[derive(Serialize)]
struct ManagersView {
    managers: Vec<ManagerView>,
}

/// GET /admin/managers: all of them, by name.
pub async fn list(state: web::Data<ApiState>) -> ApiResult {
    let rows = state.store.managers().await?;
    ok(ManagersView {
        managers: rows.into_iter().map(ManagerView::from).collect(),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBody {
    name: String,
    role: String,
    #[serde(default)]
    is_admin: bool,
}

/// A link, shown once.
#[derive(Serialize)]
struct LinkView {
    #[serde(skip_serializing_if = "Option::is_none")]
    manager: Option<ManagerView>,
    /// The secret part: the console is at `/admin/#/setup/` and this.
    link: String,
    path: String,
    link_ends_at_ms: i64,
}

impl LinkView {
    fn new(invite: ManagerInvite, manager: Option<ManagerRow>) -> Self {
        Self {
            manager: manager.map(ManagerView::from),
            path: invite.path(),
            link_ends_at_ms: invite.expires_at().0,
            link: invite.secret,
        }
    }
}

fn author(state: &ApiState, request: &HttpRequest, operator: &Operator) -> ActAuthor {
    operator.author(address_of(request, state), None)
}

fn role_named(name: &str) -> Result<ManagerRole, ApiError> {
    ManagerRole::from_name(name)
        .ok_or_else(|| invalid("role must be viewer, moderator, operator or finance"))
}

/// POST /admin/managers: adds a manager, and answers the link by which it sets its password.
pub async fn add(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
    body: RequestBody,
) -> ApiResult {
    let NewBody {
        name,
        role,
        is_admin,
    } = body.json()?;
    let role = role_named(&role)?;
    let name = name.to_ascii_lowercase();
    if !is_manager_name(&name) {
        return Err(invalid("name must be 1 to 32 of [A-Za-z0-9._-]"));
    }
    let now = state.clock.now();
    let invite = ManagerInvite::new(now);
    let link = invite.link.clone();
    match state
        .store
        .add_manager(
            name,
            role,
            is_admin,
            link,
            now,
            author(&state, &request, &operator),
        )
        .await?
    {
        AddedManager::Added(manager) => ok(LinkView::new(invite, Some(manager))),
        AddedManager::NameTaken => Err(ApiError::Conflict("the name is taken")),
        AddedManager::Full => Err(ApiError::Conflict(
            "there are 1000 managers, as many as can be",
        )),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChangeBody {
    role: Option<String>,
    is_admin: Option<bool>,
    disabled: Option<bool>,
}

/// POST /admin/managers/{id}: changes a manager, which ends its sessions.
pub async fn change(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
    body: RequestBody,
) -> ApiResult {
    let id = path_id(&request, "id", ManagerId::new).ok_or(MANAGER_NOT_FOUND)?;
    let ChangeBody {
        role,
        is_admin,
        disabled,
    } = body.json()?;
    let change = ManagerChange {
        role: role.as_deref().map(role_named).transpose()?,
        is_admin,
        disabled,
    };
    match state
        .store
        .change_manager(
            id,
            change,
            state.clock.now(),
            author(&state, &request, &operator),
        )
        .await?
    {
        ChangedManager::Changed(manager) => ok(ManagerView::from(manager)),
        ChangedManager::NotFound => Err(MANAGER_NOT_FOUND),
        ChangedManager::LastAdmin => Err(ApiError::Conflict(
            "the last administrator stays: give somebody else the right first",
        )),
    }
}

/// POST /admin/managers/{id}/reset: answers a new link by which the manager sets its password.
pub async fn reset(
    state: web::Data<ApiState>,
    request: HttpRequest,
    operator: Operator,
) -> ApiResult {
    let id = path_id(&request, "id", ManagerId::new).ok_or(MANAGER_NOT_FOUND)?;
    let now = state.clock.now();
    let invite = ManagerInvite::new(now);
    let by = author(&state, &request, &operator);
    if state
        .store
        .set_manager_link(id, invite.link.clone(), now, by)
        .await?
    {
        ok(LinkView::new(invite, None))
    } else {
        Err(MANAGER_NOT_FOUND)
    }
}
