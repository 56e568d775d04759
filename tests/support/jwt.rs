//! Tokens as another service signs them, without the library that checks ours.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::{Sha256, Sha512};

/// What signs a token.
#[derive(Debug, Clone, Copy)]
pub enum Algorithm {
    /// The only one that the server takes.
    Hs256,
    Hs512,
}

/// A JWT of any claims.
pub fn sign(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    let name = match algorithm {
        Algorithm::Hs256 => "HS256",
        Algorithm::Hs512 => "HS512",
    };
    let part = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let header = json!({"typ": "JWT", "alg": name}).to_string();
    let message = format!(
        "{}.{}",
        part(header.as_bytes()),
        part(claims.to_string().as_bytes())
    );
    sign_message(algorithm, secret, &message)
}

/// A JWT of the first two parts of another.
pub fn sign_message(algorithm: Algorithm, secret: &str, message: &str) -> String {
    let signature = match algorithm {
        Algorithm::Hs256 => mac::<Hmac<Sha256>>(secret, message),
        Algorithm::Hs512 => mac::<Hmac<Sha512>>(secret, message),
    };
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
}

fn mac<M: Mac + KeyInit>(secret: &str, message: &str) -> Vec<u8> {
    let mac =
        <M as KeyInit>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.chain_update(message).finalize().into_bytes().to_vec()
}
