//! Which of two stores is behind: the database or Redis. Pure.
//!
//! The database decides about tokens that liveroom issued. Other programs set and delete
//! `user_<id>` in Redis, and that counts too, if it came after the last login or logout here. So
//! liveroom writes a *stamp* beside each token, in the same step: which login or logout that was. A
//! stamp that is the one of the row says that Redis knew of it, and that whatever is there now came
//! later. Any other stamp, or none, says that Redis did not know of it: it was away, or it lost its
//! data. Then the row stands.
//!
//! | row in the database | stamp | token in Redis | verdict |
//! |---|---|---|---|
//! | none | any | any | consistent: the database claims nothing, Redis decides about tokens of others |
//! | a login, or a logout | of the row | that of the row | consistent |
//! | | of the row | another one, or none, or none after a login | changed elsewhere |
//! | | of an earlier row, or none | of others, issued after the row | changed elsewhere |
//! | | of an earlier row, or none | any other, or none | outdated |
//!
//! Invariants: a login or logout that Redis missed is never undone by what Redis has. One that
//! Redis knew of is undone by each later change of another program. Lost data change nothing:
//! without its stamp no token counts as deleted.

use crate::cluster::TokenOrigin;
use crate::cluster::token_store::digest;
use crate::storage::StoredToken;

/// Hex digits of the digest in a stamp: enough to distinguish the tokens of one user.
const STAMP_DIGITS: usize = 16;
/// The value that a logout has in place of the digest.
const NO_DIGEST: &str = "-";

/// The state of one user's token in Redis.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RedisToken {
    /// As it stands there: a JSON string, as the replaced system writes it, or whatever else a
    /// program has set.
    pub raw: Option<Vec<u8>>,
    pub stamp: Option<Vec<u8>>,
}

impl RedisToken {
    /// The token, without the quotes of JSON.
    pub fn token(&self) -> Option<String> {
        serde_json::from_slice(self.raw.as_deref()?).ok()
    }

    /// Whether one login or logout of liveroom wrote both, so that no other program has changed the
    /// token since.
    pub fn is_of_one_write(&self) -> bool {
        let Some(stamp) = self
            .stamp
            .as_deref()
            .and_then(|stamp| str::from_utf8(stamp).ok())
        else {
            return false;
        };
        let Some((_, digits)) = stamp.split_once(' ') else {
            return false;
        };
        match &self.raw {
            None => digits == NO_DIGEST,
            Some(_) => self
                .token()
                .is_some_and(|token| digest(&token)[..STAMP_DIGITS] == *digits),
        }
    }
}

/// Names the login or logout that a row of the database is about.
pub fn stamp(row: &StoredToken) -> String {
    let digits = row.digest.as_deref().map_or(NO_DIGEST, |digest| {
        digest.get(..STAMP_DIGITS).unwrap_or(digest)
    });
    format!("{} {digits}", row.at.0)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Consistent,
    /// Another program has set or deleted the token after the login or logout of the row: that is
    /// void.
    ChangedElsewhere,
    /// Redis missed the login or logout of the row, or has lost it.
    Outdated,
}

/// Compares what the database keeps with what Redis holds. `origin` reads tokens.
pub fn compare(
    row: Option<&StoredToken>,
    redis: &RedisToken,
    origin: impl Fn(&str) -> Option<TokenOrigin>,
) -> Verdict {
    let Some(row) = row else {
        return Verdict::Consistent;
    };
    let is_known = redis.stamp.as_deref() == Some(stamp(row).as_bytes());
    let token = redis.token();
    let is_same = match &row.digest {
        Some(expected) => token
            .as_deref()
            .is_some_and(|token| digest(token) == *expected),
        None => redis.raw.is_none(),
    };
    match (is_known, is_same) {
        (true, true) => Verdict::Consistent,
        (true, false) => Verdict::ChangedElsewhere,
        (false, true) => Verdict::Outdated,
        (false, false) => {
            let origin = token.as_deref().and_then(origin);
            let is_later =
                origin.is_some_and(|origin| !origin.is_issued_here && !is_void(row, origin));
            if is_later {
                Verdict::ChangedElsewhere
            } else {
                Verdict::Outdated
            }
        }
    }
}

/// Whether the login or logout of the row ended a token of this origin: one that was issued before.
/// Tokens carry seconds, so one of the same second was not. One that does not say when it was
/// issued is taken for an old one.
pub fn is_void(row: &StoredToken, origin: TokenOrigin) -> bool {
    origin
        .issued_at
        .is_none_or(|issued_at| issued_at.0.div_euclid(1_000) < row.at.0.div_euclid(1_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Timestamp;

    /// When the row was written, in the middle of a second.
    const AT: i64 = 1_795_294_582_500;

    fn login(token: &str) -> StoredToken {
        StoredToken {
            digest: Some(digest(token)),
            at: Timestamp(AT),
        }
    }

    const LOGOUT: StoredToken = StoredToken {
        digest: None,
        at: Timestamp(AT),
    };

    fn redis(token: Option<&str>, stamp: Option<String>) -> RedisToken {
        RedisToken {
            raw: token.map(|token| serde_json::to_vec(token).unwrap()),
            stamp: stamp.map(String::into_bytes),
        }
    }

    /// Tokens of this test say in words what they are.
    fn origin(token: &str) -> Option<TokenOrigin> {
        let issued_at = |ms| Some(Timestamp(AT + ms));
        match token.split(' ').next()? {
            "own" => Some(TokenOrigin {
                is_issued_here: true,
                issued_at: issued_at(60_000),
            }),
            "foreign" if token.ends_with("earlier") => Some(TokenOrigin {
                is_issued_here: false,
                issued_at: issued_at(-1_000),
            }),
            "foreign" if token.ends_with("later") => Some(TokenOrigin {
                is_issued_here: false,
                issued_at: issued_at(60_000),
            }),
            "foreign" if token.ends_with("same second") => Some(TokenOrigin {
                is_issued_here: false,
                issued_at: issued_at(-500),
            }),
            "foreign" => Some(TokenOrigin {
                is_issued_here: false,
                issued_at: None,
            }),
            _ => None,
        }
    }

    #[track_caller]
    fn assert_verdict(
        row: Option<&StoredToken>,
        token: Option<&str>,
        stamp: Option<String>,
        expected: Verdict,
    ) {
        let verdict = compare(row, &redis(token, stamp.clone()), origin);
        assert_eq!(
            verdict, expected,
            "row {row:?}, token {token:?}, stamp {stamp:?}"
        );
    }

    #[test]
    fn without_a_row_the_database_claims_nothing() {
        for token in [None, Some("own"), Some("foreign"), Some("garbage")] {
            assert_verdict(None, token, None, Verdict::Consistent);
            assert_verdict(None, token, Some(stamp(&LOGOUT)), Verdict::Consistent);
        }
    }

    #[test]
    fn every_change_after_a_login_that_redis_knew_of_counts() {
        let row = login("own");
        let known = || Some(stamp(&row));
        assert_verdict(Some(&row), Some("own"), known(), Verdict::Consistent);
        for token in [
            None,
            Some(""),
            Some("own other"),
            Some("foreign earlier"),
            Some("foreign"),
            Some("garbage"),
        ] {
            assert_verdict(Some(&row), token, known(), Verdict::ChangedElsewhere);
        }
    }

    #[test]
    fn a_login_after_a_logout_that_redis_knew_of_counts() {
        let known = || Some(stamp(&LOGOUT));
        assert_verdict(Some(&LOGOUT), None, known(), Verdict::Consistent);
        assert_verdict(
            Some(&LOGOUT),
            Some("foreign earlier"),
            known(),
            Verdict::ChangedElsewhere,
        );
    }

    #[test]
    fn what_redis_missed_or_lost_stands() {
        let before = || Some(stamp(&login("own before")));
        for row in [login("own"), LOGOUT] {
            for missed in [None, before()] {
                for token in [
                    Some("own before"),
                    Some("garbage"),
                    Some("foreign earlier"),
                    Some("foreign"),
                ] {
                    assert_verdict(Some(&row), token, missed.clone(), Verdict::Outdated);
                }
                for token in [Some("foreign later"), Some("foreign same second")] {
                    assert_verdict(Some(&row), token, missed.clone(), Verdict::ChangedElsewhere);
                }
                assert_verdict(Some(&row), None, missed, Verdict::Outdated);
            }
        }
        assert_verdict(
            Some(&login("own")),
            Some("own"),
            before(),
            Verdict::Outdated,
        );
    }

    #[test]
    fn an_echo_of_a_write_of_liveroom_is_distinguished_from_a_change_of_another_program() {
        let row = login("own");
        let is_echo = |token, stamp| redis(token, stamp).is_of_one_write();
        assert!(is_echo(Some("own"), Some(stamp(&row))) && is_echo(None, Some(stamp(&LOGOUT))));
        assert!(!is_echo(None, Some(stamp(&row))) && !is_echo(Some("own"), Some(stamp(&LOGOUT))));
        assert!(!is_echo(Some("foreign"), Some(stamp(&row))));
        for stamp in [
            None,
            Some(String::new()),
            Some("1".into()),
            Some("1 ".into()),
        ] {
            assert!(!is_echo(Some("own"), stamp.clone()) && !is_echo(None, stamp));
        }
        let unquoted = RedisToken {
            raw: Some(b"own".to_vec()),
            stamp: Some(stamp(&row).into_bytes()),
        };
        assert!(!unquoted.is_of_one_write());
    }

    #[test]
    fn what_is_no_text_is_no_token() {
        let row = login("own");
        let redis = RedisToken {
            raw: Some(vec![0xff, 0xfe]),
            stamp: Some(stamp(&row).into_bytes()),
        };
        assert_eq!(redis.token(), None);
        assert_eq!(
            compare(Some(&row), &redis, origin),
            Verdict::ChangedElsewhere
        );
    }
}
