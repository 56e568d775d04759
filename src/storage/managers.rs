//! Managers and their sessions, as they are stored.

use std::net::IpAddr;

use super::{ActAuthor, Stored};
use crate::domain::{ManagerId, ManagerRole, Timestamp};

/// Sessions of one manager at once; one more ends the one that was used longest ago.
pub const MANAGER_SESSIONS_MAX: usize = 20;
/// Managers there may be, disabled ones included.
pub const MANAGERS_MAX: i64 = 1_000;
/// How long a session lasts without anything that its manager does, in milliseconds.
pub const MANAGER_IDLE_MS: i64 = 30 * 60_000;

/// An operator's account. Carries no password hash: that never leaves
/// [`ManagerStore::manager_credentials`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerRow {
    pub id: ManagerId,
    /// In small letters.
    pub name: String,
    pub role: ManagerRole,
    pub is_admin: bool,
    pub disabled: bool,
    pub has_password: bool,
    pub created_at: Timestamp,
    pub last_login_at: Option<Timestamp>,
}

/// A manager and what its login is checked against.
#[derive(Debug, Clone)]
pub struct ManagerCredentials {
    pub manager: ManagerRow,
    /// Argon2id in PHC string format; `None` until a password was set.
    pub password_hash: Option<String>,
    /// When it last logged in from the network that was asked about.
    pub last_login_from_there: Option<Timestamp>,
}

/// A link by which a manager sets its password once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerLink {
    /// SHA-256 of its secret, in hex.
    pub digest: String,
    pub expires_at: Timestamp,
}

/// The outcome of [`ManagerStore::add_manager`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddedManager {
    Added(ManagerRow),
    NameTaken,
    /// There are [`MANAGERS_MAX`].
    Full,
}

/// What changes of a manager; `None` stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ManagerChange {
    pub role: Option<ManagerRole>,
    pub is_admin: Option<bool>,
    pub disabled: Option<bool>,
}

/// The outcome of [`ManagerStore::change_manager`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangedManager {
    Changed(ManagerRow),
    NotFound,
    /// Nobody else who is enabled and has a password could administer.
    LastAdmin,
}

/// A session that begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewManagerSession {
    pub manager: ManagerId,
    /// The hash that the password was compared with: it must still be the manager's.
    pub password_hash: String,
    /// SHA-256 of its secret, in hex.
    pub digest: String,
    pub address: IpAddr,
    /// The network of the address, which the manager is known from since.
    pub network: String,
    pub user_agent: String,
    pub at: Timestamp,
    pub ends_at: Timestamp,
}

/// A session that goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagerSession {
    pub id: i64,
    pub address: String,
    pub user_agent: String,
    pub created_at: Timestamp,
    /// When its manager last did something, to half a minute.
    pub used_at: Timestamp,
    pub ends_at: Timestamp,
}

/// The part of [`Store`](super::Store) about managers. Every node reads sessions from here at each
/// request, so what ends one here has ended it everywhere. Each change is a row of the audit in its
/// transaction.
pub trait ManagerStore {
    fn is_there_a_manager(&self) -> Stored<'_, bool>;

    /// All managers by name.
    fn managers(&self) -> Stored<'_, Vec<ManagerRow>>;

    /// The manager of this name in small letters, and whether it is known from this network.
    fn manager_credentials(
        &self,
        name: String,
        network: String,
    ) -> Stored<'_, Option<ManagerCredentials>>;

    /// Adds a manager that gets its password by a link. The name is in small letters.
    fn add_manager(
        &self,
        name: String,
        role: ManagerRole,
        is_admin: bool,
        link: ManagerLink,
        at: Timestamp,
        by: ActAuthor,
    ) -> Stored<'_, AddedManager>;

    /// Changes a manager, which ends its sessions.
    fn change_manager(
        &self,
        id: ManagerId,
        change: ManagerChange,
        at: Timestamp,
        by: ActAuthor,
    ) -> Stored<'_, ChangedManager>;

    /// Replaces the link of a manager. Its password stays good until the link is used. False: no
    /// such manager.
    fn set_manager_link(
        &self,
        id: ManagerId,
        link: ManagerLink,
        at: Timestamp,
        by: ActAuthor,
    ) -> Stored<'_, bool>;

    /// Uses a link up, once over all nodes: sets the password and ends the manager's sessions.
    /// `None`: unknown, used, replaced or expired. `address`: the client's, if it is known.
    fn redeem_manager_link(
        &self,
        digest: String,
        password_hash: String,
        at: Timestamp,
        address: Option<IpAddr>,
    ) -> Stored<'_, Option<ManagerRow>>;

    /// Replaces a password if it is still the one that was compared, and ends the manager's
    /// sessions.
    fn change_manager_password(
        &self,
        id: ManagerId,
        expected: String,
        new: String,
        at: Timestamp,
        by: ActAuthor,
    ) -> Stored<'_, bool>;

    /// Begins a session; `None`: the manager was disabled or has another password by now.
    fn open_manager_session(
        &self,
        session: NewManagerSession,
    ) -> Stored<'_, Option<ManagerSession>>;

    /// The session of a secret, by its digest, if it goes on.
    fn manager_session(
        &self,
        digest: String,
        at: Timestamp,
    ) -> Stored<'_, Option<(ManagerSession, ManagerRow)>>;

    /// Notes that the manager of a session does something.
    fn touch_manager_session(&self, session: i64, at: Timestamp) -> Stored<'_, ()>;

    /// The sessions of a manager that go on, the one used last first.
    fn manager_sessions(&self, id: ManagerId, at: Timestamp) -> Stored<'_, Vec<ManagerSession>>;

    /// Ends one session of a manager, or all; false: there was none.
    fn end_manager_sessions(
        &self,
        id: ManagerId,
        session: Option<i64>,
        at: Timestamp,
        by: ActAuthor,
    ) -> Stored<'_, bool>;
}
