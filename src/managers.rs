//! Managers from outside of a session: the link by which one sets its password, and the commands of
//! the shell.

use std::sync::Arc;

use crate::auth::{random_secret, secret_digest};
use crate::domain::{ManagerId, ManagerRole, Timestamp};
use crate::storage::{
    ActAuthor, AddedManager, ChangedManager, ManagerChange, ManagerLink, ManagerRow, Store,
    StoreError,
};

/// How long a link is good, in milliseconds: a day.
const LINK_MS: i64 = 86_400_000;

/// Characters of a manager's name at most.
const NAME_CHARS_MAX: usize = 32;

/// Whether a manager can have this name, in small letters: 1 to 32 of `[a-z0-9._-]`.
pub fn is_manager_name(name: &str) -> bool {
    let is_plain =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(is_plain)
}

/// A link that was just made. Its secret is shown once and stored nowhere.
pub struct ManagerInvite {
    pub secret: String,
    pub link: ManagerLink,
}

impl ManagerInvite {
    pub fn new(now: Timestamp) -> Self {
        let secret = random_secret();
        let link = ManagerLink {
            digest: secret_digest(&secret),
            expires_at: now.plus_ms(LINK_MS),
        };
        Self { secret, link }
    }

    /// The path of the console's page for it. What follows `#` is sent to no server and no proxy.
    pub fn path(&self) -> String {
        format!("/admin/#/setup/{}", self.secret)
    }

    pub const fn expires_at(&self) -> Timestamp {
        self.link.expires_at
    }
}

/// Why a command of the shell did nothing.
#[derive(Debug, thiserror::Error)]
pub enum ManagerError {
    #[error("a manager's name is 1 to 32 of [A-Za-z0-9._-]")]
    BadName,
    #[error("the name is taken")]
    NameTaken,
    #[error("there are 1000 managers, as many as can be")]
    Full,
    #[error("no manager has this name")]
    NotFound,
    #[error("this is the last administrator: give somebody else the right first")]
    LastAdmin,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds a manager, and returns the link by which it sets its password.
pub async fn add(
    store: &Arc<dyn Store>,
    name: &str,
    role: ManagerRole,
    is_admin: bool,
    now: Timestamp,
) -> Result<ManagerInvite, ManagerError> {
    let name = name.to_ascii_lowercase();
    if !is_manager_name(&name) {
        return Err(ManagerError::BadName);
    }
    let invite = ManagerInvite::new(now);
    match store
        .add_manager(
            name,
            role,
            is_admin,
            invite.link.clone(),
            now,
            ActAuthor::default(),
        )
        .await?
    {
        AddedManager::Added(_) => Ok(invite),
        AddedManager::NameTaken => Err(ManagerError::NameTaken),
        AddedManager::Full => Err(ManagerError::Full),
    }
}

/// Makes another link for a manager. Its password stays good until the link is used.
pub async fn reset(
    store: &Arc<dyn Store>,
    name: &str,
    now: Timestamp,
) -> Result<ManagerInvite, ManagerError> {
    let id = id_of(store, name).await?;
    let invite = ManagerInvite::new(now);
    store
        .set_manager_link(id, invite.link.clone(), now, ActAuthor::default())
        .await?;
    Ok(invite)
}

/// Disables a manager and ends its sessions on all nodes.
pub async fn disable(
    store: &Arc<dyn Store>,
    name: &str,
    now: Timestamp,
) -> Result<(), ManagerError> {
    let id = id_of(store, name).await?;
    let change = ManagerChange {
        disabled: Some(true),
        ..ManagerChange::default()
    };
    match store
        .change_manager(id, change, now, ActAuthor::default())
        .await?
    {
        ChangedManager::Changed(_) => Ok(()),
        ChangedManager::NotFound => Err(ManagerError::NotFound),
        ChangedManager::LastAdmin => Err(ManagerError::LastAdmin),
    }
}

/// A manager as one line.
pub fn line_of(manager: &ManagerRow) -> String {
    let ManagerRow { name, role, .. } = manager;
    let marks = [
        (manager.is_admin, " admin"),
        (manager.disabled, " disabled"),
        (!manager.has_password, " no-password"),
    ];
    let marks: String = marks
        .iter()
        .filter(|mark| mark.0)
        .map(|mark| mark.1)
        .collect();
    format!("{name} {}{marks}", role.name())
}

async fn id_of(store: &Arc<dyn Store>, name: &str) -> Result<ManagerId, ManagerError> {
    let name = name.to_ascii_lowercase();
    let found = store.manager_credentials(name, String::new()).await?;
    found
        .map(|found| found.manager.id)
        .ok_or(ManagerError::NotFound)
}
