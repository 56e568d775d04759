//! Passwords: argon2id, off the worker threads and only so many at a time.

use std::time::Duration;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{Error, PasswordHasher, PasswordVerifier};

use super::hash_permits::{HashPermits, HashPurpose};

/// Characters (code points) of a new password at least. Older ones stay good, however short.
pub const PASSWORD_CHARS_MIN: usize = 6;

/// Bytes of a password at most. Hashing time does not depend on it; the bound is for memory.
pub const PASSWORD_BYTES_MAX: usize = 128;

/// How long a caller waits for a permit. A hash takes tens of milliseconds, so whoever waits longer
/// is behind a flood and does better to come back.
const PERMIT_WAIT: Duration = Duration::from_secs(2);

/// A hash of no known password, verified when a username is unknown so that the time taken does not
/// reveal that. Its parameters are those of new hashes (a test holds them together).
const DUMMY_HASH: &str = "$argon2id$v=19$m=19456,t=2,p=1$bGl2ZXJvb20tbm8tdXNlcg$yhBk3ph8ZKbOb8VYTfWEbVfXbJ1oXBXxrBxvM+xVQqU";

/// Why a password was neither hashed nor compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too many at once; the same call may succeed later.
    #[error("too many password checks at once")]
    Busy,
    /// A stored hash that is none, or the hashing itself failed.
    #[error("password fault: {0}")]
    Fault(String),
}

/// Hashes and compares passwords. Each hash holds 19 MiB and a core for its time, so only so many
/// run at once, on the blocking threads; the rest wait up to [`PERMIT_WAIT`]. Comparing goes first:
/// whoever logs in has an account, and a flood of registrations must not be in its way.
pub struct Passwords {
    permits: HashPermits,
    permit_wait: Duration,
}

impl Passwords {
    /// `parallel_max`: hashes at once, best the number of cores. At least 1.
    pub fn new(parallel_max: usize) -> Self {
        Self {
            permits: HashPermits::new(parallel_max),
            permit_wait: PERMIT_WAIT,
        }
    }

    /// The argon2id hash of a new password, in PHC string format.
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        self.with_permit(HashPurpose::Registration, move || hash_blocking(&password))
            .await
    }

    /// Whether `password` is the one behind `stored_hash`. `None` (no such user) takes as long and
    /// is never true.
    pub async fn verify(
        &self,
        password: String,
        stored_hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        self.with_permit(HashPurpose::Login, move || match stored_hash {
            Some(stored_hash) => verify_blocking(&password, &stored_hash),
            None => verify_blocking(&password, DUMMY_HASH).map(|_| false),
        })
        .await
    }

    async fn with_permit<T: Send + 'static>(
        &self,
        purpose: HashPurpose,
        work: impl FnOnce() -> Result<T, PasswordError> + Send + 'static,
    ) -> Result<T, PasswordError> {
        let permit = self
            .permits
            .take(purpose, self.permit_wait)
            .await
            .ok_or(PasswordError::Busy)?;
        // The permit goes along: a caller that hangs up does not stop the hash, so it must not free
        // the core either.
        tokio::task::spawn_blocking(move || {
            let result = work();
            drop(permit);
            result
        })
        .await
        .map_err(|panicked| PasswordError::Fault(panicked.to_string()))?
    }
}

/// OWASP's first choice for argon2id, which is also the crate's default: 19 MiB, two passes, one
/// lane.
fn hash_blocking(password: &str) -> Result<String, PasswordError> {
    let hash: PasswordHash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| PasswordError::Fault(error.to_string()))?;
    Ok(hash.to_string())
}

fn verify_blocking(password: &str, stored_hash: &str) -> Result<bool, PasswordError> {
    let fault = |error: &dyn std::fmt::Display| PasswordError::Fault(error.to_string());
    let parsed = PasswordHash::new(stored_hash).map_err(|error| fault(&error))?;
    match Argon2::default().verify_password(password.as_bytes(), &parsed) {
        Ok(()) => Ok(true),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(error) => Err(fault(&error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dummy_hash_costs_what_a_new_hash_costs() {
        let fresh = hash_blocking("a password").unwrap();
        let parameters = |hash: &str| {
            hash.split('$')
                .take(4)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(parameters(&fresh), parameters(DUMMY_HASH));
        assert_eq!(fresh.len(), DUMMY_HASH.len());
        assert_eq!(verify_blocking("a password", DUMMY_HASH), Ok(false));
    }

    #[actix_rt::test]
    async fn only_the_right_password_matches() {
        let passwords = Passwords::new(1);
        let hash = passwords.hash("secret".into()).await.unwrap();
        assert_eq!(
            passwords.verify("secret".into(), Some(hash.clone())).await,
            Ok(true)
        );
        assert_eq!(
            passwords.verify("Secret".into(), Some(hash)).await,
            Ok(false)
        );
        assert_eq!(passwords.verify("secret".into(), None).await, Ok(false));
        assert!(matches!(
            passwords.verify("secret".into(), Some("md5".into())).await,
            Err(PasswordError::Fault(_))
        ));
    }

    #[actix_rt::test]
    async fn waiting_for_a_turn_is_bounded() {
        let passwords = Passwords {
            permit_wait: Duration::from_millis(10),
            ..Passwords::new(1)
        };
        let _held = passwords
            .permits
            .take(HashPurpose::Login, PERMIT_WAIT)
            .await
            .unwrap();
        assert_eq!(
            passwords.hash("secret".into()).await,
            Err(PasswordError::Busy)
        );
    }
}
