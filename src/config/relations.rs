//! Values that are each permitted, and still do not go together.

use super::fault::ConfigFault;
use super::reader::Reader;
use super::table::{Config, DEVELOPMENT_JWT_SECRET, DEVELOPMENT_MEDIA_SECRET};
use super::value::Secret;
use crate::limits::{
    COMMENT_CHAR_BYTES_MAX, COMMENT_OVERHEAD_BYTES, JWT_SECRET_BYTES_MIN, OUTBOX_FRAMES_MIN,
};

/// `key` must be as `expected`, given the value of `other`.
struct Relation {
    key: (&'static str, &'static str),
    other: (&'static str, &'static str),
    holds: fn(&Config) -> bool,
    expected: fn(&Config) -> String,
}

const RELATIONS: [Relation; 11] = [
    Relation {
        key: ("auth", "jwt_secret"),
        other: ("server", "host"),
        holds: |config| {
            let is_good = |secret: &Secret| {
                let secret = secret.expose();
                secret.len() >= JWT_SECRET_BYTES_MIN && secret != DEVELOPMENT_JWT_SECRET
            };
            !is_public(config) || config.auth.jwt_secret.iter().all(is_good)
        },
        expected: |_| {
            format!(
                "only secrets of its own, of at least {JWT_SECRET_BYTES_MIN} bytes, on a public address"
            )
        },
    },
    Relation {
        key: ("media", "secret"),
        other: ("server", "host"),
        holds: |config| {
            let is_own = |secret: &Secret| secret.expose() != DEVELOPMENT_MEDIA_SECRET;
            !is_public(config) || config.media.secret.iter().all(is_own)
        },
        expected: |_| "a secret of its own on a public address".to_owned(),
    },
    // Nodes that share Redis share accounts and lives, which a file on one machine does not.
    Relation {
        key: ("cluster", "redis_url"),
        other: ("store", "url"),
        holds: |config| config.cluster.redis_url.is_empty() || !config.store.url.is_sqlite(),
        expected: |_| "a PostgreSQL that all nodes share in store.url, or nothing".to_owned(),
    },
    // Between two pings a healthy peer may be silent.
    Relation {
        key: ("websocket", "idle_timeout_ms"),
        other: ("websocket", "ping_interval_ms"),
        holds: |config| config.websocket.idle_timeout_ms > config.websocket.ping_interval_ms,
        expected: |config| format!("more than {}", config.websocket.ping_interval_ms),
    },
    Relation {
        key: ("presence", "merged_users_max"),
        other: ("presence", "full_users_max"),
        holds: |config| config.presence.merged_users_max >= config.presence.full_users_max,
        expected: |config| format!("at least {}", config.presence.full_users_max),
    },
    Relation {
        key: ("outbox", "bytes_max"),
        other: ("limits", "frame_bytes"),
        holds: |config| config.outbox.bytes_max >= OUTBOX_FRAMES_MIN * config.limits.frame_bytes,
        expected: |config| format!("at least {}", OUTBOX_FRAMES_MIN * config.limits.frame_bytes),
    },
    Relation {
        key: ("limits", "frame_bytes"),
        other: ("limits", "command_bytes"),
        holds: |config| config.limits.frame_bytes >= config.limits.command_bytes,
        expected: |config| format!("at least {}", config.limits.command_bytes),
    },
    // A command that may be sent must pass by polling too.
    Relation {
        key: ("engineio", "max_payload_bytes"),
        other: ("limits", "command_bytes"),
        holds: |config| config.engineio.max_payload_bytes >= config.limits.command_bytes,
        expected: |config| format!("at least {}", config.limits.command_bytes),
    },
    // A body that may be sent must have room.
    Relation {
        key: ("limits", "body_bytes_per_address"),
        other: ("engineio", "max_payload_bytes"),
        holds: |config| config.limits.body_bytes_per_address >= config.engineio.max_payload_bytes,
        expected: |config| format!("at least {}", config.engineio.max_payload_bytes),
    },
    Relation {
        key: ("limits", "body_bytes"),
        other: ("limits", "body_bytes_per_address"),
        holds: |config| config.limits.body_bytes >= config.limits.body_bytes_per_address,
        expected: |config| format!("at least {}", config.limits.body_bytes_per_address),
    },
    // A comment that may be written must also get through, however its client escapes it.
    Relation {
        key: ("limits", "command_bytes"),
        other: ("limits", "comment_chars"),
        holds: |config| config.limits.command_bytes >= comment_command_bytes(config),
        expected: |config| format!("at least {}", comment_command_bytes(config)),
    },
];

/// Whether others than this machine's own programs can reach the server.
fn is_public(config: &Config) -> bool {
    !config.server.host.to_canonical().is_loopback()
}

/// The largest command that carries a permitted comment.
fn comment_command_bytes(config: &Config) -> usize {
    config.limits.comment_chars * COMMENT_CHAR_BYTES_MAX + COMMENT_OVERHEAD_BYTES
}

/// Reports each relation that does not hold. One that rests on a value refused before is skipped,
/// since the default that stands in for it was never asked for.
pub(super) fn check(config: &Config, reader: &mut Reader) {
    for relation in &RELATIONS {
        let entries =
            [relation.key, relation.other].map(|(section, name)| reader.entry(section, name));
        let [Some(entry), Some(other)] = entries else {
            continue;
        };
        if entry.faulty || other.faulty || (relation.holds)(config) {
            continue;
        }
        let at = reader.place(entry.key, entry.origin);
        let found = format!("{} with {} = {}", entry.shown, other.key, other.shown);
        reader.faults.push(ConfigFault {
            at,
            found,
            expected: (relation.expected)(config),
        });
    }
}

/// The check of one value by the part of the program that uses it, where the table alone does not
/// decide.
pub struct ValueCheck {
    pub section: &'static str,
    pub name: &'static str,
    /// `Err`: what is expected instead, without the value, which may be a secret.
    pub check: fn(&Config) -> Result<(), String>,
}

/// Reports the values that their users refuse.
pub(super) fn check_values(config: &Config, checks: &[ValueCheck], reader: &mut Reader) {
    for ValueCheck {
        section,
        name,
        check,
    } in checks
    {
        let Some(entry) = reader.entry(section, name).filter(|entry| !entry.faulty) else {
            continue;
        };
        if let Err(expected) = check(config) {
            let (at, found) = (
                reader.place(entry.key, entry.origin),
                entry.shown.to_string(),
            );
            reader.faults.push(ConfigFault {
                at,
                found,
                expected,
            });
        }
    }
}
