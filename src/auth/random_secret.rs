//! Secrets that a client carries and the store knows by their digest alone.

use sha2::{Digest, Sha256};

/// 256 random bits in hex.
pub fn random_secret() -> String {
    hex(&rand::random::<[u8; 32]>())
}

/// SHA-256 of a secret in hex, which is what the store keeps: whoever reads the store has no
/// secret. A slow hash would add nothing, since nobody guesses 256 bits.
pub fn secret_digest(secret: &str) -> String {
    hex(&Sha256::digest(secret))
}

/// Compares digests, so that the time taken says nothing about how much of a guess was right.
pub fn is_same_secret(found: &str, expected: &str) -> bool {
    Sha256::digest(found) == Sha256::digest(expected)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
