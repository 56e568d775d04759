//! Tokens: who a session is. With its modules the only user of jsonwebtoken.
//!
//! A token is a JWT, and to be good it must also be the user's current one in the [`TokenStore`]:
//! a signature alone cannot be taken back, a place in the store can. That makes each login replace
//! the one before, and logout immediate.

mod audit_keys;
mod hash_permits;
mod hs256;
mod jwt_keys;
mod passwords;
mod random_secret;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::join;
use log::warn;
use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::cluster::{ReadTokenOrigin, TokenOrigin, TokenStore};
use crate::config::Secrets;
use crate::domain::{Profile, Reject, Sanction, SanctionKind, Timestamp, UserId, holding};
use crate::storage::{Store, StoreError, User};

use jwt_keys::JwtKeys;

pub use audit_keys::{AuditKeys, LoggedHeadError};
pub use passwords::{PASSWORD_BYTES_MAX, PASSWORD_CHARS_MIN, PasswordError, Passwords};
pub use random_secret::{is_same_secret, random_secret, secret_digest};

/// Bytes of a token at most. Ours take about 200; those of the replaced system carry the whole user
/// row and stay below 1,000. Anything longer is refused before it costs a signature check.
pub const TOKEN_BYTES_MAX: usize = 4_096;

/// With the store away every session has a token that cannot be checked, again and again: one line
/// in this time says so.
const WARN_EVERY: Duration = Duration::from_secs(1);

/// A verified user, and until when to believe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub profile: Arc<Profile>,
    /// What holds against the user on the whole site, but for bans: those make no identity.
    pub site_sanctions: Arc<[Sanction]>,
    /// Since when the user has its account.
    pub account_since: Timestamp,
    /// When the token's own `exp` passes; `None` if it carries none.
    pub expires_at: Option<Timestamp>,
}

/// Why a token makes no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No JWT, another signature or algorithm, or no longer the user's current token.
    #[error("token invalid")]
    Invalid,
    #[error("token expired")]
    Expired,
    #[error("user gone")]
    UserGone,
    #[error("user disabled")]
    Disabled,
    /// The store did not answer, so nothing is known. Logged where it happened.
    #[error("token could not be checked")]
    Unavailable,
}

impl From<AuthError> for Reject {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Invalid => Reject::TokenInvalid,
            AuthError::Expired => Reject::TokenExpired,
            AuthError::UserGone | AuthError::Disabled => Reject::UserDisabled,
            AuthError::Unavailable => Reject::BUSY,
        }
    }
}

/// The issuer that our tokens name.
const ISSUER: &str = "liveroom";

/// The claims of tokens issued here.
#[derive(Debug, Serialize)]
struct IssuedClaims<'a> {
    /// Distinguishes tokens issued here from those of other programs with the same secret.
    iss: &'a str,
    id: i64,
    username: &'a str,
    /// Seconds since the Unix epoch, as is `exp`.
    iat: i64,
    exp: i64,
    /// Makes two tokens of one user differ even within the same second.
    jti: String,
}

/// The claims that are read of any token. Others are ignored: tokens of an existing account service
/// carry claims of that service.
#[derive(Debug, Deserialize)]
struct ReadClaims {
    id: i64,
    /// Seconds since the Unix epoch, with a fraction if the issuer likes (RFC 7519, NumericDate).
    exp: Option<f64>,
    nbf: Option<f64>,
}

/// The claims that show the issuer of a token and the time. Claims of another type are ignored.
#[derive(Debug, Deserialize)]
struct OriginClaims {
    iss: Option<serde_json::Value>,
    iat: Option<serde_json::Value>,
}

/// Reads the origin of tokens that are signed with one of these secrets, whether they have expired
/// or not.
pub fn token_origin_reader(jwt_secrets: &Secrets) -> ReadTokenOrigin {
    let keys = JwtKeys::new(jwt_secrets);
    Arc::new(move |token| {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let claims = keys.verify::<OriginClaims>(token).ok()?;
        let issued_at = claims
            .iat
            .as_ref()
            .and_then(serde_json::Value::as_f64)
            .map(timestamp_of_numeric_date);
        Some(TokenOrigin {
            is_issued_here: claims.iss.is_some_and(|issuer| issuer == ISSUER),
            issued_at,
        })
    })
}

/// Issues, verifies and revokes tokens.
pub struct Auth {
    keys: JwtKeys,
    token_ttl_s: i64,
    tokens: Arc<dyn TokenStore>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    /// When it was last said that a token could not be checked.
    warned: Mutex<Option<Instant>>,
}

impl Auth {
    /// The first of `jwt_secrets` signs, all verify. `token_ttl_s` is the life of the tokens issued here; others live as long as they say.
    pub fn new(
        jwt_secrets: &Secrets,
        token_ttl_s: i64,
        tokens: Arc<dyn TokenStore>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            keys: JwtKeys::new(jwt_secrets),
            token_ttl_s,
            tokens,
            store,
            clock,
            warned: Mutex::new(None),
        }
    }

    /// A new token for `user`. It is good for nothing until it is the current one; see
    /// [`Auth::start_session`].
    pub fn issue(&self, user: &User) -> String {
        let issued_s = self.clock.now().0.div_euclid(1_000);
        let claims = IssuedClaims {
            iss: ISSUER,
            id: user.id.get(),
            username: &user.username,
            iat: issued_s,
            exp: issued_s.saturating_add(self.token_ttl_s),
            jti: format!("{:032x}", rand::random::<u128>()),
        };
        self.keys.sign(&claims)
    }

    /// Issues a token and makes it the user's only current one.
    pub async fn start_session(&self, user: &User) -> Result<String, StoreError> {
        let token = self.issue(user);
        self.tokens
            .replace(user.id, &token, self.clock.now())
            .await?;
        Ok(token)
    }

    /// Leaves the user without a current token.
    pub async fn end_session(&self, user: UserId) -> Result<(), StoreError> {
        self.tokens.clear(user, self.clock.now()).await
    }

    /// `Some` while this node is notified when a token changes; see
    /// [`TokenStore::invalidation_epoch`].
    pub fn invalidation_epoch(&self) -> Option<u64> {
        self.tokens.invalidation_epoch()
    }

    /// The user's token changed: its next check asks the store.
    pub fn invalidate(&self, user: UserId) {
        self.tokens.invalidate(user);
    }

    /// Any token may have changed.
    pub fn invalidate_all(&self) {
        self.tokens.invalidate_all();
    }

    /// The part that needs no store: whose token it is and when it expires.
    pub fn decode(&self, token: &str) -> Result<(UserId, Option<Timestamp>), AuthError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(AuthError::Invalid);
        }
        let claims = self
            .keys
            .verify::<ReadClaims>(token)
            .map_err(|_| AuthError::Invalid)?;
        let user = UserId::new(claims.id).ok_or(AuthError::Invalid)?;
        let now = self.clock.now();
        let expires_at = claims.exp.map(timestamp_of_numeric_date);
        if expires_at.is_some_and(|expires_at| expires_at <= now) {
            return Err(AuthError::Expired);
        }
        if claims
            .nbf
            .map(timestamp_of_numeric_date)
            .is_some_and(|not_before| not_before > now)
        {
            return Err(AuthError::Invalid);
        }
        Ok((user, expires_at))
    }

    /// Checks everything, in the order in which clients get the faults: the token by itself
    /// (signature, then `exp`), whether it is still the current one, and last the account behind
    /// it.
    pub async fn verify(&self, token: &str) -> Result<Identity, AuthError> {
        let (user_id, expires_at) = self.decode(token)?;
        let unavailable = |error: StoreError| {
            self.warn_unchecked(user_id, &error);
            AuthError::Unavailable
        };
        let (is_current, user) = join(
            self.tokens.is_current(user_id, token),
            self.store.user(user_id),
        )
        .await;
        let is_current = is_current.map_err(unavailable);
        if is_current == Ok(false) {
            return Err(AuthError::Invalid);
        }
        // Also if the token could not be checked: no token serves a disabled user.
        let user = user.map_err(unavailable)?.ok_or(AuthError::UserGone)?;
        if !user.enabled {
            return Err(AuthError::Disabled);
        }
        let site_sanctions = self.site_sanctions(&user).await.map_err(unavailable)?;
        if holding(&site_sanctions, SanctionKind::Ban, self.clock.now()).is_some() {
            return Err(AuthError::Disabled);
        }
        is_current?;
        let name = user
            .nickname
            .filter(|nickname| !nickname.is_empty())
            .unwrap_or(user.username);
        let profile = Arc::new(Profile {
            id: user.id,
            name,
            avatar: user.avatar,
        });
        Ok(Identity {
            profile,
            site_sanctions: site_sanctions.into(),
            account_since: user.created_at,
            expires_at,
        })
    }

    /// What holds against a user on the whole site. Nearly nobody is looked up for it.
    async fn site_sanctions(&self, user: &User) -> Result<Vec<Sanction>, StoreError> {
        if user.is_sanctioned {
            self.store.site_sanctions(user.id, self.clock.now()).await
        } else {
            Ok(Vec::new())
        }
    }

    /// Whether an account may be used: it is enabled, and not banned from the site.
    pub async fn is_usable(&self, user: &User) -> Result<bool, StoreError> {
        let site_sanctions = self.site_sanctions(user).await?;
        let is_banned = holding(&site_sanctions, SanctionKind::Ban, self.clock.now()).is_some();
        Ok(user.enabled && !is_banned)
    }

    fn warn_unchecked(&self, user_id: UserId, error: &StoreError) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_none_or(|at| at.elapsed() >= WARN_EVERY) {
            warn!("token not checked: user_id={user_id} error={error}");
            *warned = Some(Instant::now());
        }
    }
}

/// Saturates: a date beyond what milliseconds can say is as good as for ever.
fn timestamp_of_numeric_date(seconds: f64) -> Timestamp {
    Timestamp((seconds * 1_000.0) as i64)
}
