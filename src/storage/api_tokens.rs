//! Tokens of operators' scripts, as they are stored.

use super::{ActAuthor, Stored};
use crate::domain::{OperatorId, Permissions, Timestamp, TokenId};

/// API tokens that are not revoked, expired ones included: each is a way in that somebody has to
/// keep an eye on.
pub const API_TOKENS_MAX: i64 = 100;

/// How exactly the last use of an API token is known, in milliseconds: not each request writes.
pub const API_TOKEN_USE_MS: i64 = 60_000;

/// An API token that is not revoked. It is stored without the token itself, as its digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    pub id: TokenId,
    pub name: String,
    pub scopes: Permissions,
    pub created_by: OperatorId,
    /// The name that this operator had then.
    pub created_by_name: String,
    pub created_at: Timestamp,
    /// `None`: never.
    pub expires_at: Option<Timestamp>,
    /// To [`API_TOKEN_USE_MS`]; `None`: never used.
    pub last_used_at: Option<Timestamp>,
}

impl ApiToken {
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

/// An API token that is to be added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewApiToken {
    pub name: String,
    /// SHA-256 of the token, in hex.
    pub digest: String,
    pub scopes: Permissions,
    pub created_by: OperatorId,
    pub created_by_name: String,
    pub at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// The part of [`Store`](super::Store) about API tokens. Every node reads them from here at each
/// request, so one that is revoked is refused everywhere at once.
pub trait ApiTokenStore {
    /// Adds a token, and its row of the audit. `None`: there are [`API_TOKENS_MAX`]. Calls of one moment do not see each other, and may
    /// exceed it by one each.
    fn add_api_token(&self, token: NewApiToken, by: ActAuthor) -> Stored<'_, Option<ApiToken>>;

    /// All that are not revoked, the newest first.
    fn api_tokens(&self) -> Stored<'_, Vec<ApiToken>>;

    /// The token of this digest, unless it is revoked; it may have expired.
    fn api_token(&self, digest: String) -> Stored<'_, Option<ApiToken>>;

    /// Notes that a token was used, unless a use of the last [`API_TOKEN_USE_MS`] is noted.
    fn note_api_token_use(&self, id: TokenId, at: Timestamp) -> Stored<'_, ()>;

    /// Revokes a token for good, with a row of the audit; false: there is none, or it was revoked before.
    fn revoke_api_token(&self, id: TokenId, at: Timestamp, by: ActAuthor) -> Stored<'_, bool>;
}
