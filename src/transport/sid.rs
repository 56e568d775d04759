//! Names of sessions that nobody can guess.

use std::sync::Arc;

/// Sids of engine.io have this many characters.
pub(super) const SID_CHARS: usize = 20;

/// An unguessable name: 120 random bits in 20 characters of the URL-safe base64 alphabet.
pub(super) fn random_sid() -> Arc<str> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = rand::random::<u128>();
    let mut sid = String::with_capacity(SID_CHARS);
    for _ in 0..SID_CHARS {
        sid.push(char::from(ALPHABET[(bits & 63) as usize]));
        bits >>= 6;
    }
    sid.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sids_are_twenty_characters_and_differ() {
        let (one, other) = (random_sid(), random_sid());
        assert_eq!(one.len(), SID_CHARS);
        assert!(
            one.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
        );
        assert_ne!(one, other);
    }
}
