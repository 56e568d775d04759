//! Accounts of users, as they are stored.

use crate::domain::{Coins, Timestamp, UserId};

/// Networks that are remembered of one user: home, work, a phone's, and some while travelling. Each
/// is one more that may guess at the account beside all strangers.
pub const LOGIN_NETWORKS_MAX: usize = 16;

/// An account as the API shows it. Carries no password hash: that never leaves
/// `Store::credentials`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub id: UserId,
    pub username: String,
    pub nickname: Option<String>,
    pub avatar: Option<String>,
    pub coin: Coins,
    /// False: disabled by an operator.
    pub enabled: bool,
    /// Whether something may hold against it on the whole site, see `Store::site_sanctions`. Read
    /// with the account alone: `Store::user` and `Store::credentials`.
    pub is_sanctioned: bool,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A user and what its login is checked against.
#[derive(Debug, Clone)]
pub struct Credentials {
    pub user: User,
    /// Argon2id in PHC string format.
    pub password_hash: String,
}

/// Another nickname or avatar; the outer `None` leaves it as it is, the inner one takes it away.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileChange {
    pub nickname: Option<Option<String>>,
    pub avatar: Option<Option<String>>,
}

/// The outcome of `Store::change_profile`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProfileOutcome {
    Changed(Box<User>),
    UserNotFound,
    /// The nickname is the username of another account, or looks like it.
    LooksLikeUsername,
}

/// A user's current token, as the store keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// SHA-256 in hex; `None` after a logout.
    pub digest: Option<String>,
    /// Since when that is so.
    pub at: Timestamp,
}
