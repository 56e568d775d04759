//! Fixed maxima, and what must hold between them.
//!
//! The values that an operator may choose are in [`crate::config`]; these are the ends of those
//! ranges and the bounds nobody may choose. A relation between two maxima is asserted at compile
//! time, so a changed number that breaks another does not build.

/// The largest WebSocket frame a client may be allowed, in bytes.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// The largest polling body a client may be allowed, in bytes. It is held whole while it is split.
pub const PAYLOAD_BYTES_MAX: usize = 16 << 20;

/// The most bytes of bodies that may be arriving at once.
pub const BODY_BYTES_MAX: usize = 1 << 40;

/// The largest command payload that may be allowed, in bytes.
pub const COMMAND_BYTES_MAX: usize = 256 << 10;

/// The deepest JSON that may be allowed, in levels.
pub const JSON_DEPTH_MAX: usize = 64;

/// serde_json gives up at this depth by itself; ours must be what stops a client, so that the
/// answer is a documented one.
const JSON_PARSER_DEPTH: usize = 128;

/// The longest comment that may be allowed, in code points.
pub const COMMENT_CHARS_MAX: usize = 10_000;

/// Bytes that one code point of a comment takes at worst: a JSON surrogate pair, `\ud83d\ude00`.
/// Python's json writes all but ASCII this way.
pub const COMMENT_CHAR_BYTES_MAX: usize = 12;

/// Bytes of a comment command beside its text: names, live, `request_id` and above all the token.
pub const COMMENT_OVERHEAD_BYTES: usize = 2_048;

/// The largest outbox of one session that may be allowed, in bytes.
pub const OUTBOX_BYTES_MAX: usize = 16 << 20;

/// An outbox must hold this many of the largest frames: a command's answer must never be what makes
/// its own sender slow.
pub const OUTBOX_FRAMES_MIN: usize = 2;

/// The longest interval between two pings that may be chosen, in milliseconds.
pub const PING_INTERVAL_MS_MAX: u32 = 300_000;

/// The longest wait for a sign of life that may be chosen, in milliseconds. A peer that is gone
/// holds its seat this long.
pub const IDLE_TIMEOUT_MS_MAX: u32 = 600_000;

/// The longest of all other waits that may be chosen, in milliseconds.
pub const TIMEOUT_MS_MAX: u32 = 600_000;

/// The most users that one presence event may list; about 60 bytes each.
pub const PRESENCE_USERS_MAX: usize = 1_000;

/// The most sessions one node may be allowed.
pub const CONNECTIONS_MAX: usize = 1_000_000;

/// HTTP connections of operators, where they have an address of their own: consoles, scripts and
/// health checks. Each costs some 20 KB.
pub const ADMIN_CONNECTIONS_MAX: usize = 512;
/// The most consoles one node may be allowed. Each second a node encodes as many views as its
/// consoles have, and writes to each of them.
pub const CONSOLES_MAX: usize = 1_000;

/// The most rooms one node may be allowed to have open.
pub const ROOMS_MAX: usize = 1_000_000;

/// The fastest any counted thing may be allowed, per period.
pub const RATE_MAX: u32 = 1_000_000;

/// The most HTTP requests of one kind that may be changing something at once.
pub const CHANGES_MAX: u32 = 65_536;

/// The most writes that may wait for the store.
pub const PERSISTER_QUEUE_MAX: usize = 1 << 20;

/// The most gifts of one transaction; each is a handful of rows, held in memory and locked
/// together.
pub const LEDGER_BATCH_MAX: usize = 4_096;

/// The most threads of one kind.
pub const THREADS_MAX: usize = 256;

/// The most items of a list in the configuration; lists are scanned for each request.
pub const LIST_ITEMS_MAX: usize = 64;

/// The shortest JWT secret a public address may have, in bytes: HS256 is no stronger than its key,
/// and 32 bytes is the size of its hash.
pub const JWT_SECRET_BYTES_MIN: usize = 32;

/// The most secrets of one purpose: the one that signs, and those that are on their way in or out.
pub const SECRETS_MAX: usize = 4;

/// The shortest admin token, in characters.
pub const ADMIN_TOKEN_CHARS_MIN: usize = 16;

const _: () = assert!(COMMAND_BYTES_MAX <= FRAME_BYTES_MAX);
const _: () = assert!(COMMAND_BYTES_MAX <= PAYLOAD_BYTES_MAX);
const _: () = assert!(OUTBOX_FRAMES_MIN * FRAME_BYTES_MAX <= OUTBOX_BYTES_MAX);
const _: () = assert!(JSON_DEPTH_MAX < JSON_PARSER_DEPTH);
const _: () = assert!(
    COMMENT_CHARS_MAX * COMMENT_CHAR_BYTES_MAX + COMMENT_OVERHEAD_BYTES <= COMMAND_BYTES_MAX
);
const _: () = assert!(IDLE_TIMEOUT_MS_MAX > PING_INTERVAL_MS_MAX);
const _: () = assert!(LEDGER_BATCH_MAX <= PERSISTER_QUEUE_MAX);
