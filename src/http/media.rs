//! Signs for the media server, in the scheme of node-media-server.

use md5::{Digest, Md5};

use crate::domain::Timestamp;

/// How long a sign is good for: 100,000 s, as in the system this replaces.
const SIGN_TTL_MS: i64 = 100_000_000;

/// The sign for `/live/<key>?sign=…`, by which the media server lets a client push or play until
/// the time it starts with. The media server fixes the algorithm; MD5 with a secret at the end of
/// the text is not worse here than its secret.
pub fn sign(key: &str, secret: &str, now: Timestamp) -> String {
    let expire_s = now.plus_ms(SIGN_TTL_MS).0.div_euclid(1_000);
    let digest = Md5::digest(format!("/live/{key}-{expire_s}-{secret}"));
    let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{expire_s}-{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sign_is_that_of_the_replaced_system() {
        let now = Timestamp(1_795_394_527_999 - SIGN_TTL_MS);
        assert_eq!(
            sign("FniV0yUq1pwbQKeo1IiI", "nodemedia2017privatekey", now),
            "1795394527-985f5a015dbe382ec17aed1278f198f0"
        );
    }
}
