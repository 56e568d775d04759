//! Adding rows to the audit.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use serde_json::Value;

use super::Conn;
use super::action_columns::scope_columns;
use crate::domain::{ActionId, Actor, RequestId};
use crate::storage::error::require_storable;
use crate::storage::schema::audit;
use crate::storage::{AuditRow, StoreError};

/// `actor_kind` and `actor_id` of somebody who failed to log in: no manager has this id.
const NOBODY: (&str, i64) = ("manager", 0);

/// Adds a row, in the transaction of the change; `None` if its `request_id` names another that is
/// there.
pub async fn insert(conn: &mut Conn, row: &AuditRow) -> Result<Option<ActionId>, StoreError> {
    let (actor_kind, actor_id) = row.actor.map_or(NOBODY, Actor::kind_and_id);
    let (scope, scope_id) = scope_columns(row.scope);
    require_storable(&[&row.action, row.reason.as_deref().unwrap_or_default()])?;
    let json = |value: &Option<Value>| value.as_ref().map(Value::to_string);
    let id: Option<i64> = diesel::insert_into(audit::table)
        .values((
            audit::at.eq(row.at.0),
            audit::actor_kind.eq(actor_kind),
            audit::actor_id.eq(actor_id),
            audit::role.eq(row.role),
            audit::address.eq(row.address.map(|address| address.to_string())),
            audit::scope.eq(scope),
            audit::scope_id.eq(scope_id),
            audit::action.eq(&*row.action),
            audit::target_id.eq(row.target_id),
            audit::arguments.eq(row.arguments.to_string()),
            audit::before.eq(json(&row.before)),
            audit::after.eq(json(&row.after)),
            audit::reason.eq(row.reason.as_deref()),
            audit::request_id.eq(row.request_id.as_ref().map(RequestId::as_str)),
            audit::result.eq(row.result),
        ))
        .on_conflict_do_nothing()
        .returning(audit::id)
        .get_result(conn)
        .await
        .optional()?;
    Ok(id.and_then(ActionId::new))
}

/// Adds a row of a change. An error, which takes the change back, if its `request_id` names another
/// row: whoever makes the change has recognised a retry before.
pub async fn add(conn: &mut Conn, row: &AuditRow) -> Result<ActionId, StoreError> {
    insert(conn, row).await?.ok_or_else(|| {
        StoreError::Unavailable("the request_id is being used for something else".into())
    })
}

/// Adds rows of what changed nothing.
pub async fn add_all(conn: &mut Conn, rows: Vec<AuditRow>) -> Result<(), StoreError> {
    for row in rows {
        add(conn, &row).await?;
    }
    Ok(())
}
