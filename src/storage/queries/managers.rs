//! Managers, their links and their sessions.

use std::net::IpAddr;

use diesel::dsl::exists;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{Backend, Conn, audit_rows};
use crate::domain::{Actor, ManagerId, ManagerRole, OperatorId, Role, Timestamp};
use crate::storage::error::{is_storable, require_storable};
use crate::storage::schema::{manager_links, manager_networks, manager_sessions, managers};
use crate::storage::{
    ActAuthor, AddedManager, AuditRow, ChangedManager, LOGIN_NETWORKS_MAX, MANAGER_IDLE_MS,
    MANAGER_SESSIONS_MAX, MANAGERS_MAX, ManagerChange, ManagerCredentials, ManagerLink, ManagerRow,
    ManagerSession, ManagerStore, NewManagerSession, StoreError, Stored,
};

impl ManagerStore for Backend {
    fn is_there_a_manager(&self) -> Stored<'_, bool> {
        self.read(move |conn| is_there_any(conn).boxed())
    }

    fn managers(&self) -> Stored<'_, Vec<ManagerRow>> {
        self.read(move |conn| all(conn).boxed())
    }

    fn manager_credentials(
        &self,
        name: String,
        network: String,
    ) -> Stored<'_, Option<ManagerCredentials>> {
        self.read(move |conn| credentials(conn, name, network).boxed())
    }

    fn add_manager(
        &self,
        name: String,
        role: ManagerRole,
        is_admin: bool,
        link: ManagerLink,
        at: Timestamp,
        by: ActAuthor,
    ) -> Stored<'_, AddedManager> {
        let row = AuditRow::new(by, "add_manager", at);
        self.write(move |conn| add(conn, name, role, is_admin, link, row).boxed())
    }

    fn change_manager(
        &self,
        id: ManagerId,
        to: ManagerChange,
        at: Timestamp,
        by: ActAuthor,
    ) -> Stored<'_, ChangedManager> {
        let row = AuditRow::new(by, "change_manager", at);
        self.write(move |conn| change(conn, id, to, row).boxed())
    }

    fn set_manager_link(
        &self,
        id: ManagerId,
        link: ManagerLink,
        at: Timestamp,
        by: ActAuthor,
    ) -> Stored<'_, bool> {
        let row = AuditRow::new(by, "reset_manager", at);
        self.write(move |conn| {
            async move {
                let is_set = set_link(conn, id, link).await?;
                if is_set {
                    audit_rows::add(conn, &about(id.get(), row)).await?;
                }
                Ok(is_set)
            }
            .boxed()
        })
    }

    fn redeem_manager_link(
        &self,
        digest: String,
        password_hash: String,
        at: Timestamp,
        address: Option<IpAddr>,
    ) -> Stored<'_, Option<ManagerRow>> {
        self.write(move |conn| redeem_link(conn, digest, password_hash, at, address).boxed())
    }

    fn change_manager_password(
        &self,
        id: ManagerId,
        expected: String,
        new: String,
        at: Timestamp,
        by: ActAuthor,
    ) -> Stored<'_, bool> {
        let row = AuditRow::new(by, "change_password", at);
        self.write(move |conn| change_password(conn, id, expected, new, row).boxed())
    }

    fn open_manager_session(
        &self,
        session: NewManagerSession,
    ) -> Stored<'_, Option<ManagerSession>> {
        self.write(move |conn| open_session(conn, session).boxed())
    }

    fn manager_session(
        &self,
        digest: String,
        at: Timestamp,
    ) -> Stored<'_, Option<(ManagerSession, ManagerRow)>> {
        self.read(move |conn| session(conn, digest, at).boxed())
    }

    fn touch_manager_session(&self, session: i64, at: Timestamp) -> Stored<'_, ()> {
        self.write(move |conn| touch_session(conn, session, at).boxed())
    }

    fn manager_sessions(&self, id: ManagerId, at: Timestamp) -> Stored<'_, Vec<ManagerSession>> {
        self.read(move |conn| of_manager(conn, id, at).boxed())
    }

    fn end_manager_sessions(
        &self,
        id: ManagerId,
        session: Option<i64>,
        at: Timestamp,
        by: ActAuthor,
    ) -> Stored<'_, bool> {
        let row = AuditRow {
            target_id: session,
            ..AuditRow::new(by, "end_session", at)
        };
        self.write(move |conn| {
            async move {
                let is_ended = end_sessions(conn, id, session).await?;
                if is_ended {
                    audit_rows::add(conn, &row).await?;
                }
                Ok(is_ended)
            }
            .boxed()
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = managers)]
struct ManagerRecord {
    id: i64,
    name: String,
    role: String,
    is_admin: bool,
    disabled: bool,
    password_hash: Option<String>,
    created_at: i64,
    last_login_at: Option<i64>,
}

impl TryFrom<ManagerRecord> for ManagerRow {
    type Error = StoreError;

    fn try_from(row: ManagerRecord) -> Result<Self, StoreError> {
        let impossible = |what| StoreError::Fault(format!("managers {}: {what}", row.id));
        Ok(Self {
            id: ManagerId::new(row.id).ok_or_else(|| impossible("id is not positive"))?,
            role: ManagerRole::from_name(&row.role).ok_or_else(|| impossible("unknown role"))?,
            name: row.name,
            is_admin: row.is_admin,
            disabled: row.disabled,
            has_password: row.password_hash.is_some(),
            created_at: Timestamp(row.created_at),
            last_login_at: row.last_login_at.map(Timestamp),
        })
    }
}

#[derive(Queryable, Selectable)]
#[diesel(table_name = manager_sessions)]
struct SessionRecord {
    id: i64,
    address: String,
    user_agent: String,
    created_at: i64,
    used_at: i64,
    ends_at: i64,
}

impl From<SessionRecord> for ManagerSession {
    fn from(row: SessionRecord) -> Self {
        Self {
            id: row.id,
            address: row.address,
            user_agent: row.user_agent,
            created_at: Timestamp(row.created_at),
            used_at: Timestamp(row.used_at),
            ends_at: Timestamp(row.ends_at),
        }
    }
}

/// A row about this manager.
fn about(id: i64, row: AuditRow) -> AuditRow {
    AuditRow {
        target_id: Some(id),
        ..row
    }
}

/// What the audit says of a manager.
fn shown(manager: &ManagerRow) -> Value {
    json!({
        "name": &manager.name,
        "role": manager.role.name(),
        "is_admin": manager.is_admin,
        "disabled": manager.disabled,
    })
}

/// A manager, as the author of what it does about itself.
fn itself(manager: &ManagerRow, address: Option<IpAddr>) -> ActAuthor {
    ActAuthor {
        actor: Actor::Operator(OperatorId::Manager(manager.id)),
        role: Role::of_operator(manager.role.permissions(manager.is_admin)),
        address,
        reason: None,
    }
}

async fn is_there_any(conn: &mut Conn) -> Result<bool, StoreError> {
    let any = diesel::select(exists(managers::table.select(managers::id)));
    Ok(any.get_result(conn).await?)
}

async fn all(conn: &mut Conn) -> Result<Vec<ManagerRow>, StoreError> {
    let rows: Vec<ManagerRecord> = managers::table
        .order(managers::name)
        .limit(MANAGERS_MAX)
        .select(ManagerRecord::as_select())
        .load(conn)
        .await?;
    rows.into_iter().map(ManagerRow::try_from).collect()
}

async fn by_id(conn: &mut Conn, id: ManagerId) -> Result<Option<ManagerRow>, StoreError> {
    let row: Option<ManagerRecord> = managers::table
        .find(id.get())
        .select(ManagerRecord::as_select())
        .get_result(conn)
        .await
        .optional()?;
    row.map(ManagerRow::try_from).transpose()
}

async fn credentials(
    conn: &mut Conn,
    name: String,
    network: String,
) -> Result<Option<ManagerCredentials>, StoreError> {
    if !is_storable(&name) {
        return Ok(None);
    }
    let row: Option<ManagerRecord> = managers::table
        .filter(managers::name.eq(name))
        .select(ManagerRecord::as_select())
        .get_result(conn)
        .await
        .optional()?;
    let Some(row) = row else {
        return Ok(None);
    };
    let last_at: Option<i64> = manager_networks::table
        .find((row.id, network))
        .select(manager_networks::last_at)
        .get_result(conn)
        .await
        .optional()?;
    Ok(Some(ManagerCredentials {
        password_hash: row.password_hash.clone(),
        manager: row.try_into()?,
        last_login_from_there: last_at.map(Timestamp),
    }))
}

async fn add(
    conn: &mut Conn,
    name: String,
    role: ManagerRole,
    is_admin: bool,
    link: ManagerLink,
    audit: AuditRow,
) -> Result<AddedManager, StoreError> {
    require_storable(&[&name])?;
    let count: i64 = managers::table.count().get_result(conn).await?;
    if count >= MANAGERS_MAX {
        return Ok(AddedManager::Full);
    }
    let row: Option<ManagerRecord> = diesel::insert_into(managers::table)
        .values((
            managers::name.eq(name),
            managers::role.eq(role.name()),
            managers::is_admin.eq(is_admin),
            managers::disabled.eq(false),
            managers::created_at.eq(audit.at.0),
        ))
        .on_conflict_do_nothing()
        .returning(ManagerRecord::as_returning())
        .get_result(conn)
        .await
        .optional()?;
    let Some(row) = row else {
        return Ok(AddedManager::NameTaken);
    };
    let manager = ManagerRow::try_from(row)?;
    set_link(conn, manager.id, link).await?;
    let audit = AuditRow {
        after: Some(shown(&manager)),
        ..about(manager.id.get(), audit)
    };
    audit_rows::add(conn, &audit).await?;
    Ok(AddedManager::Added(manager))
}

/// Changes a manager and ends its sessions: whoever may do something else logs in again.
async fn change(
    conn: &mut Conn,
    id: ManagerId,
    change: ManagerChange,
    audit: AuditRow,
) -> Result<ChangedManager, StoreError> {
    // Locks the rows of all administrators: of two that dismiss each other the second sees what
    // the first did.
    diesel::update(managers::table.filter(managers::is_admin))
        .set(managers::is_admin.eq(true))
        .execute(conn)
        .await?;
    let Some(before) = by_id(conn, id).await? else {
        return Ok(ChangedManager::NotFound);
    };
    let after = ManagerRow {
        role: change.role.unwrap_or(before.role),
        is_admin: change.is_admin.unwrap_or(before.is_admin),
        disabled: change.disabled.unwrap_or(before.disabled),
        ..before.clone()
    };
    let administers = |manager: &ManagerRow| manager.is_admin && !manager.disabled;
    if administers(&before) && !administers(&after) && !has_other_admin(conn, id).await? {
        return Ok(ChangedManager::LastAdmin);
    }
    if after != before {
        diesel::update(managers::table.find(id.get()))
            .set((
                managers::role.eq(after.role.name()),
                managers::is_admin.eq(after.is_admin),
                managers::disabled.eq(after.disabled),
            ))
            .execute(conn)
            .await?;
        end_sessions(conn, id, None).await?;
        let audit = AuditRow {
            before: Some(shown(&before)),
            after: Some(shown(&after)),
            ..about(id.get(), audit)
        };
        audit_rows::add(conn, &audit).await?;
    }
    Ok(ChangedManager::Changed(after))
}

/// Whether somebody else can log in and administer.
async fn has_other_admin(conn: &mut Conn, id: ManagerId) -> Result<bool, StoreError> {
    let others = managers::table
        .filter(managers::is_admin)
        .filter(managers::disabled.eq(false))
        .filter(managers::password_hash.is_not_null())
        .filter(managers::id.ne(id.get()));
    Ok(diesel::select(exists(others)).get_result(conn).await?)
}

/// Replaces the link of a manager; false: there is no such manager.
async fn set_link(conn: &mut Conn, id: ManagerId, link: ManagerLink) -> Result<bool, StoreError> {
    if by_id(conn, id).await?.is_none() {
        return Ok(false);
    }
    let columns = (
        manager_links::digest.eq(link.digest),
        manager_links::expires_at.eq(link.expires_at.0),
    );
    diesel::insert_into(manager_links::table)
        .values((manager_links::manager_id.eq(id.get()), columns.clone()))
        .on_conflict(manager_links::manager_id)
        .do_update()
        .set(columns)
        .execute(conn)
        .await?;
    Ok(true)
}

/// Uses a link up, which sets the password; `None`: there is no such link now.
async fn redeem_link(
    conn: &mut Conn,
    digest: String,
    password_hash: String,
    at: Timestamp,
    address: Option<IpAddr>,
) -> Result<Option<ManagerRow>, StoreError> {
    let good = manager_links::table
        .filter(manager_links::digest.eq(digest))
        .filter(manager_links::expires_at.gt(at.0));
    let manager: Option<i64> = diesel::delete(good)
        .returning(manager_links::manager_id)
        .get_result(conn)
        .await
        .optional()?;
    let Some(id) = manager.and_then(ManagerId::new) else {
        return Ok(None);
    };
    diesel::update(managers::table.find(id.get()))
        .set(managers::password_hash.eq(password_hash))
        .execute(conn)
        .await?;
    end_sessions(conn, id, None).await?;
    let manager = by_id(conn, id).await?;
    if let Some(manager) = &manager {
        let row = AuditRow::new(itself(manager, address), "set_password", at);
        audit_rows::add(conn, &about(id.get(), row)).await?;
    }
    Ok(manager)
}

/// Replaces the password that was compared, and ends all sessions; false: it is another by now.
async fn change_password(
    conn: &mut Conn,
    id: ManagerId,
    expected: String,
    new: String,
    audit: AuditRow,
) -> Result<bool, StoreError> {
    let unchanged = managers::table
        .find(id.get())
        .filter(managers::password_hash.eq(expected));
    let rows = diesel::update(unchanged)
        .set(managers::password_hash.eq(new))
        .execute(conn)
        .await?;
    if rows > 0 {
        end_sessions(conn, id, None).await?;
        audit_rows::add(conn, &about(id.get(), audit)).await?;
    }
    Ok(rows > 0)
}

/// Begins a session; `None`: the manager was disabled or got another password since it was
/// compared.
async fn open_session(
    conn: &mut Conn,
    new: NewManagerSession,
) -> Result<Option<ManagerSession>, StoreError> {
    require_storable(&[&new.user_agent])?;
    let id = new.manager.get();
    // Locks the row: a change of it comes before or after.
    let unchanged = managers::table
        .find(id)
        .filter(managers::disabled.eq(false))
        .filter(managers::password_hash.eq(new.password_hash));
    let manager: Option<ManagerRecord> = diesel::update(unchanged)
        .set(managers::last_login_at.eq(new.at.0))
        .returning(ManagerRecord::as_returning())
        .get_result(conn)
        .await
        .optional()?;
    let Some(manager) = manager.map(ManagerRow::try_from).transpose()? else {
        return Ok(None);
    };
    remember_network(conn, new.manager, new.network, new.at).await?;
    make_room(conn, new.manager, new.at).await?;
    let row: SessionRecord = diesel::insert_into(manager_sessions::table)
        .values((
            manager_sessions::manager_id.eq(id),
            manager_sessions::digest.eq(new.digest),
            manager_sessions::address.eq(new.address.to_string()),
            manager_sessions::user_agent.eq(new.user_agent),
            manager_sessions::created_at.eq(new.at.0),
            manager_sessions::used_at.eq(new.at.0),
            manager_sessions::ends_at.eq(new.ends_at.0),
        ))
        .returning(SessionRecord::as_returning())
        .get_result(conn)
        .await?;
    let audit = AuditRow {
        target_id: Some(row.id),
        ..AuditRow::new(itself(&manager, Some(new.address)), "begin_session", new.at)
    };
    audit_rows::add(conn, &audit).await?;
    Ok(Some(row.into()))
}

/// Removes the sessions of a manager that are over, and as many of those used longest ago as one
/// more needs.
async fn make_room(conn: &mut Conn, id: ManagerId, at: Timestamp) -> Result<(), StoreError> {
    let kept = of_manager(conn, id, at).await?;
    let kept: Vec<i64> = kept.iter().map(|session| session.id).collect();
    let kept = &kept[..kept.len().min(MANAGER_SESSIONS_MAX - 1)];
    let others = manager_sessions::table
        .filter(manager_sessions::manager_id.eq(id.get()))
        .filter(manager_sessions::id.ne_all(kept));
    diesel::delete(others).execute(conn).await?;
    Ok(())
}

async fn remember_network(
    conn: &mut Conn,
    id: ManagerId,
    network: String,
    at: Timestamp,
) -> Result<(), StoreError> {
    diesel::insert_into(manager_networks::table)
        .values((
            manager_networks::manager_id.eq(id.get()),
            manager_networks::network.eq(network),
            manager_networks::last_at.eq(at.0),
        ))
        .on_conflict((manager_networks::manager_id, manager_networks::network))
        .do_update()
        .set(manager_networks::last_at.eq(at.0))
        .execute(conn)
        .await?;
    let of_manager = manager_networks::table.filter(manager_networks::manager_id.eq(id.get()));
    let newest: Vec<String> = of_manager
        .order((manager_networks::last_at.desc(), manager_networks::network))
        .limit(i64::try_from(LOGIN_NETWORKS_MAX).unwrap_or(i64::MAX))
        .select(manager_networks::network)
        .load(conn)
        .await?;
    diesel::delete(of_manager.filter(manager_networks::network.ne_all(newest)))
        .execute(conn)
        .await?;
    Ok(())
}

/// The session of a secret, if it goes on and its manager is enabled.
async fn session(
    conn: &mut Conn,
    digest: String,
    at: Timestamp,
) -> Result<Option<(ManagerSession, ManagerRow)>, StoreError> {
    let row: Option<(SessionRecord, ManagerRecord)> = manager_sessions::table
        .inner_join(managers::table)
        .filter(manager_sessions::digest.eq(digest))
        .filter(manager_sessions::ends_at.gt(at.0))
        .filter(manager_sessions::used_at.gt(at.0 - MANAGER_IDLE_MS))
        .filter(managers::disabled.eq(false))
        .select((SessionRecord::as_select(), ManagerRecord::as_select()))
        .get_result(conn)
        .await
        .optional()?;
    row.map(|(session, manager)| Ok((session.into(), manager.try_into()?)))
        .transpose()
}

async fn touch_session(conn: &mut Conn, id: i64, at: Timestamp) -> Result<(), StoreError> {
    let older = manager_sessions::table
        .find(id)
        .filter(manager_sessions::used_at.lt(at.0));
    diesel::update(older)
        .set(manager_sessions::used_at.eq(at.0))
        .execute(conn)
        .await?;
    Ok(())
}

/// The sessions of a manager that go on, the one that was used last first.
async fn of_manager(
    conn: &mut Conn,
    id: ManagerId,
    at: Timestamp,
) -> Result<Vec<ManagerSession>, StoreError> {
    let rows: Vec<SessionRecord> = manager_sessions::table
        .filter(manager_sessions::manager_id.eq(id.get()))
        .filter(manager_sessions::ends_at.gt(at.0))
        .filter(manager_sessions::used_at.gt(at.0 - MANAGER_IDLE_MS))
        .order((
            manager_sessions::used_at.desc(),
            manager_sessions::id.desc(),
        ))
        .select(SessionRecord::as_select())
        .load(conn)
        .await?;
    Ok(rows.into_iter().map(ManagerSession::from).collect())
}

/// Ends one session of a manager, or all; false: there was none.
async fn end_sessions(
    conn: &mut Conn,
    manager: ManagerId,
    session: Option<i64>,
) -> Result<bool, StoreError> {
    let of_manager = manager_sessions::table.filter(manager_sessions::manager_id.eq(manager.get()));
    let rows = match session {
        Some(id) => {
            diesel::delete(of_manager.filter(manager_sessions::id.eq(id)))
                .execute(conn)
                .await?
        }
        None => diesel::delete(of_manager).execute(conn).await?,
    };
    Ok(rows > 0)
}
