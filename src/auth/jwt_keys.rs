//! The keys of tokens: the first signs, all verify.

use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::hs256;
use crate::config::Secrets;

/// HS256 under each of `auth.jwt_secret`.
pub(super) struct JwtKeys {
    signing: EncodingKey,
    /// At most [`crate::limits::SECRETS_MAX`].
    verifying: Vec<DecodingKey>,
    validation: Validation,
}

impl JwtKeys {
    pub fn new(secrets: &Secrets) -> Self {
        hs256::install();
        Self {
            signing: EncodingKey::from_secret(secrets.signing().expose().as_bytes()),
            verifying: secrets
                .iter()
                .map(|secret| DecodingKey::from_secret(secret.expose().as_bytes()))
                .collect(),
            validation: validation(),
        }
    }

    /// A token with these claims.
    pub fn sign(&self, claims: &impl Serialize) -> String {
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &self.signing)
            .expect("HMAC takes a key of any length and the claims are plain JSON")
    }

    /// The claims of a token that one of the keys signed; its times are not compared.
    pub fn verify<Claims: DeserializeOwned>(&self, token: &str) -> Result<Claims> {
        let verify = |key| {
            jsonwebtoken::decode::<Claims>(token, key, &self.validation).map(|token| token.claims)
        };
        let mut result = Err(ErrorKind::InvalidSignature.into());
        for key in &self.verifying {
            result = verify(key);
            // Any other fault is one of the token, which no other key mends.
            let is_of_another_key =
                matches!(&result, Err(fault) if *fault.kind() == ErrorKind::InvalidSignature);
            if !is_of_another_key {
                break;
            }
        }
        result
    }
}

/// The algorithm is pinned: a token does not choose how it is checked. Its times are compared by
/// [`super::Auth`] and not by the library, with our clock and without leeway: who issues and who
/// checks are one machine or kept in step, and a minute of grace would outlive a revocation.
fn validation() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.required_spec_claims.clear();
    validation.leeway = 0;
    validation.validate_exp = false;
    validation.validate_aud = false;
    validation
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn keys(first: &str, others: &[&str]) -> JwtKeys {
        JwtKeys::new(&Secrets::with_others(first, others.iter().copied()))
    }

    #[test]
    fn the_first_secret_signs_and_each_of_the_list_verifies() {
        let claims = json!({"id": 7});
        let by_old = keys("old", &[]).sign(&claims);
        let rotated = keys("new", &["old", "older"]);
        assert_eq!(
            rotated.verify::<Value>(&by_old).expect("an old token"),
            claims
        );
        let by_new = rotated.sign(&claims);
        assert_eq!(
            keys("new", &[])
                .verify::<Value>(&by_new)
                .expect("a new token"),
            claims
        );
        assert_eq!(
            keys("older", &["old", "new"])
                .verify::<Value>(&by_new)
                .expect("the last of a list"),
            claims
        );
        for strange in [keys("old", &[]), keys("other", &["older", ""])] {
            let refused = strange
                .verify::<Value>(&by_new)
                .expect_err("not signed by its keys");
            assert_eq!(*refused.kind(), ErrorKind::InvalidSignature);
        }
    }
}
