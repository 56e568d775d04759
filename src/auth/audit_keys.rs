//! Codes of the heads of the audit's chain, which only the configuration's secret makes.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::config::Secrets;
use crate::storage::{SealHead, hex};

/// Keys that are derived from a secret for this purpose alone: a code says nothing about tokens.
const PURPOSE: &[u8] = b"liveroom audit head 1";

/// A key for each of `auth.jwt_secret`.
///
/// Somebody who may write to the database could make the whole chain anew. What it cannot make are
/// the heads that were logged before: each has a code, and names a seal and its hash.
pub struct AuditKeys(Vec<Hmac<Sha256>>);

/// Why a logged head does not confirm the audit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoggedHeadError {
    #[error("a logged head is written NUMBER:HASH:CODE")]
    Malformed,
    #[error("its code was made with none of the secrets in auth.jwt_secret")]
    NotOurs,
}

impl AuditKeys {
    pub fn new(secrets: &Secrets) -> Self {
        let keys = secrets.iter().map(|secret| {
            let derived = mac(secret.expose().as_bytes())
                .chain_update(PURPOSE)
                .finalize();
            mac(&derived.into_bytes())
        });
        Self(keys.collect())
    }

    /// The head as it is logged: `NUMBER:HASH:CODE`, by the secret that signs.
    pub fn sign(&self, head: &SealHead) -> String {
        let text = head.to_string();
        let code = self.0.first().map(|key| {
            let code = key.clone().chain_update(&text).finalize();
            hex(&code.into_bytes())
        });
        format!("{text}:{}", code.unwrap_or_default())
    }

    /// The head that a log line has, if it was signed with any of the secrets.
    pub fn read(&self, logged: &str) -> Result<SealHead, LoggedHeadError> {
        let (text, code) = logged.rsplit_once(':').ok_or(LoggedHeadError::Malformed)?;
        let code = bytes_of(code).ok_or(LoggedHeadError::Malformed)?;
        let (id, hash) = text.split_once(':').ok_or(LoggedHeadError::Malformed)?;
        let head = SealHead {
            id: id.parse().map_err(|_| LoggedHeadError::Malformed)?,
            hash: bytes_of(hash).ok_or(LoggedHeadError::Malformed)?,
        };
        let is_ours = self
            .0
            .iter()
            .any(|key| key.clone().chain_update(text).verify_slice(&code).is_ok());
        is_ours.then_some(head).ok_or(LoggedHeadError::NotOurs)
    }
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
}

/// 32 bytes of 64 hex digits.
fn bytes_of(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(first: &str, others: &[&str]) -> AuditKeys {
        AuditKeys::new(&Secrets::with_others(first, others.iter().copied()))
    }

    const HEAD: SealHead = SealHead {
        id: 12,
        hash: [7; 32],
    };

    #[test]
    fn a_logged_head_is_read_with_any_of_the_secrets() {
        let logged = keys("old", &[]).sign(&HEAD);
        assert_eq!(keys("new", &["old"]).read(&logged), Ok(HEAD));
        assert_eq!(
            keys("new", &[]).read(&logged),
            Err(LoggedHeadError::NotOurs)
        );
    }

    #[test]
    fn a_head_that_was_changed_is_none_of_ours() {
        let keys = keys("secret", &[]);
        let logged = keys.sign(&HEAD);
        for changed in [
            logged.replacen("12:", "13:", 1),
            logged.replacen(":07", ":08", 1),
        ] {
            assert_eq!(
                keys.read(&changed),
                Err(LoggedHeadError::NotOurs),
                "{changed}"
            );
        }
        for malformed in [
            "",
            "12",
            "12:07",
            "x:y:z",
            &logged[..logged.len() - 1],
            "12:é:é",
        ] {
            assert_eq!(
                keys.read(malformed),
                Err(LoggedHeadError::Malformed),
                "{malformed}"
            );
        }
    }
}
