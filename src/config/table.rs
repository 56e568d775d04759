//! The table of keys: each key with its type, default and permitted values, once.
//!
//! `config.toml` explains each key to operators: its purpose, and the cost of too high and too low
//! values.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::reader::{Key, Reader};
use super::secrets::Secrets;
use super::value::{Millis, Network, Secret, StoreUrl, TextRule, ThreadCount};
use crate::limits::{
    ADMIN_TOKEN_CHARS_MIN, BODY_BYTES_MAX, CHANGES_MAX, COMMAND_BYTES_MAX, COMMENT_CHARS_MAX,
    CONNECTIONS_MAX, CONSOLES_MAX, FRAME_BYTES_MAX, IDLE_TIMEOUT_MS_MAX, JSON_DEPTH_MAX,
    LEDGER_BATCH_MAX, OUTBOX_BYTES_MAX, PAYLOAD_BYTES_MAX, PERSISTER_QUEUE_MAX,
    PING_INTERVAL_MS_MAX, PRESENCE_USERS_MAX, RATE_MAX, ROOMS_MAX, TIMEOUT_MS_MAX,
};

/// Signs tokens where nobody chose a secret. Everybody knows it, so a public address refuses it.
pub const DEVELOPMENT_JWT_SECRET: &str = "liveroom-development-secret-not-for-production";

/// Signs addresses of streams where nobody chose a secret. It is in node-media-server's manual, so
/// a public address refuses it.
pub const DEVELOPMENT_MEDIA_SECRET: &str = "nodemedia2017privatekey";

/// Makes one struct per section and [`Config`] of them all, each read key by key.
/// A line is `key: type = default, permitted;`.
macro_rules! sections {
    ($($(#[$section_doc:meta])* $section:ident: $Section:ident {
        $($(#[$doc:meta])* $key:ident: $type:ty = $default:expr, $permitted:expr;)+
    })+) => {
        $(
            $(#[$section_doc])*
            #[derive(Debug, Clone, PartialEq, Eq)]
            pub struct $Section {
                $($(#[$doc])* pub $key: $type,)+
            }

            impl Default for $Section {
                fn default() -> Self {
                    Self { $($key: $default,)+ }
                }
            }

            impl $Section {
                fn read(reader: &mut Reader) -> Self {
                    let default = Self::default();
                    Self {
                        $($key: reader.read(
                            Key { section: stringify!($section), name: stringify!($key) },
                            default.$key,
                            &$permitted,
                        ),)+
                    }
                }
            }
        )+

        /// Everything an operator may choose.
        #[derive(Debug, Clone, PartialEq, Eq, Default)]
        pub struct Config {
            $($(#[$section_doc])* pub $section: $Section,)+
        }

        impl Config {
            pub(super) fn read(reader: &mut Reader) -> Self {
                Self { $($section: $Section::read(reader),)+ }
            }
        }
    };
}

sections! {
    /// Where it listens, on how many threads, and whom it believes.
    server: ServerConfig {
        host: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST), ();
        /// 0: any free port.
        port: u16 = 7001, 0..=u16::MAX;
        /// Where operators are served, and only there; `None`: with everybody else.
        admin_listen: Option<SocketAddr> = None, ();
        /// HTTP workers, each with a hub.
        workers: ThreadCount = ThreadCount::PER_CORE, ();
        /// Arbiters that rooms are spread over.
        room_threads: ThreadCount = ThreadCount::PER_CORE, ();
        /// Origins that browsers may call from; `*` is any.
        allowed_origins: Vec<String> = vec!["*".to_owned()], ORIGIN;
        /// Peers whose `X-Forwarded-For` is believed.
        trusted_proxies: Vec<Network> = Vec::new(), ();
        /// How long a connection may wait for its next request; 0: each answer is the last.
        keep_alive_ms: Millis = Millis::new(75_000), 0..=TIMEOUT_MS_MAX;
        /// How long a request's head may take.
        head_timeout_ms: Millis = Millis::new(5_000), 100..=TIMEOUT_MS_MAX;
        /// How long a client may take nothing of its answer.
        stall_timeout_ms: Millis = Millis::new(20_000), 100..=TIMEOUT_MS_MAX;
        drain_timeout_ms: Millis = Millis::new(10_000), 0..=TIMEOUT_MS_MAX;
    }

    /// Tokens.
    auth: AuthConfig {
        /// The first signs, all verify.
        jwt_secret: Secrets = Secrets::one(DEVELOPMENT_JWT_SECRET), NOT_EMPTY;
        token_ttl_s: u32 = 604_800, 1..=315_360_000;
        /// A later `/ws` connection of the same user ends the earlier one.
        single_device: bool = false, ();
        /// How old a session's verdict on its token may be.
        recheck_ms: Millis = Millis::new(5_000), 100..=TIMEOUT_MS_MAX;
    }

    /// The operators' API.
    admin: AdminConfig {
        /// Empty: managers alone get in.
        token: Secret = Secret::new(""), ADMIN_TOKEN;
    }

    /// The media server that carries the pictures.
    media: MediaConfig {
        /// The first signs; the media server verifies.
        secret: Secrets = Secrets::one(DEVELOPMENT_MEDIA_SECRET), NOT_EMPTY;
    }

    /// Where rows are kept.
    store: StoreConfig {
        url: StoreUrl = StoreUrl::new("sqlite://data/liveroom.db"), ();
        /// Certificates of authorities, PEM; empty: the public ones.
        ca_file: String = String::new(), PATH;
        /// Connections that read (SQLite, beside one that writes), or all (PostgreSQL).
        pool_size: u32 = 4, 1..=256;
        /// How long a node that starts waits for PostgreSQL.
        start_timeout_ms: Millis = Millis::new(30_000), 0..=TIMEOUT_MS_MAX;
    }

    /// The connection of several nodes.
    cluster: ClusterConfig {
        /// Empty: this process alone. A secret because it may carry a password.
        redis_url: Secret = Secret::new(""), REDIS_URL;
        /// Certificates of authorities, PEM; empty: the public ones.
        redis_ca_file: String = String::new(), PATH;
        /// Connections for commands; one more listens.
        redis_pool_size: u32 = 4, 1..=256;
        /// How long Redis may be silent before this node goes on alone.
        redis_timeout_ms: Millis = Millis::new(2_000), 100..=TIMEOUT_MS_MAX;
        /// A node that sent nothing for so long is dead.
        node_timeout_ms: Millis = Millis::new(60_000), 1_000..=TIMEOUT_MS_MAX;
    }

    /// Heartbeat and sizes of Engine.IO, as the handshake gives them to clients.
    engineio: EngineioConfig {
        ping_interval_ms: Millis = Millis::new(25_000), 50..=PING_INTERVAL_MS_MAX;
        ping_timeout_ms: Millis = Millis::new(20_000), 50..=PING_INTERVAL_MS_MAX;
        upgrade_timeout_ms: Millis = Millis::new(10_000), 50..=TIMEOUT_MS_MAX;
        /// A session that did not connect to the root namespace is closed after this.
        connect_timeout_ms: Millis = Millis::new(45_000), 50..=TIMEOUT_MS_MAX;
        max_payload_bytes: usize = 1_000_000, 1_024..=PAYLOAD_BYTES_MAX;
    }

    /// Heartbeat of plain WebSocket.
    websocket: WebsocketConfig {
        ping_interval_ms: Millis = Millis::new(25_000), 50..=PING_INTERVAL_MS_MAX;
        idle_timeout_ms: Millis = Millis::new(60_000), 100..=IDLE_TIMEOUT_MS_MAX;
    }

    /// The list and the number of users online.
    presence: PresenceConfig {
        leave_grace_ms: Millis = Millis::new(30_000), 0..=TIMEOUT_MS_MAX;
        full_users_max: usize = 200, 1..=PRESENCE_USERS_MAX;
        merged_users_max: usize = 1_000, 1..=PRESENCE_USERS_MAX;
        notable_users_max: usize = 20, 1..=200;
        merge_ms: Millis = Millis::new(1_500), 50..=60_000;
        /// Of users and sockets, to each member.
        list_entries_burst: u32 = 2_000, 1..=RATE_MAX;
        list_entries_per_s: u32 = 1_000, 1..=RATE_MAX;
    }

    /// How long rooms live and what they remember.
    rooms: RoomsConfig {
        idle_retire_ms: Millis = Millis::new(120_000), 100..=86_400_000;
        /// Between two comparisons with the store.
        reconcile_ms: Millis = Millis::new(3_000), 100..=TIMEOUT_MS_MAX;
        history_events_max: usize = 300, 0..=10_000;
        history_ms: Millis = Millis::new(120_000), 0..=3_600_000;
    }

    /// How long loud rooms gather events before they deliver them.
    fanout: FanoutConfig {
        /// Up to 1,000 members.
        window_ms: Millis = Millis::new(50), 0..=1_000;
        /// From 10,000 members on.
        big_room_window_ms: Millis = Millis::new(200), 0..=1_000;
        calm_deliveries_per_s: u32 = 12_500, 1..=RATE_MAX;
    }

    /// The bounds of packets that wait for a slow member.
    outbox: OutboxConfig {
        packets_max: usize = 256, 16..=65_536;
        bytes_max: usize = 262_144, 4_096..=OUTBOX_BYTES_MAX;
        slow_after_ms: Millis = Millis::new(5_000), 100..=TIMEOUT_MS_MAX;
    }

    /// Limits on commands of clients.
    limits: LimitsConfig {
        frame_bytes: usize = 65_536, 1_024..=FRAME_BYTES_MAX;
        command_bytes: usize = 8_192, 1_024..=COMMAND_BYTES_MAX;
        json_depth: usize = 16, 4..=JSON_DEPTH_MAX;
        comment_chars: usize = 200, 1..=COMMENT_CHARS_MAX;
        comment_burst: u32 = 10, 1..=RATE_MAX;
        comments_per_30s: u32 = 20, 1..=RATE_MAX;
        streamer_comment_burst: u32 = 100, 1..=RATE_MAX;
        streamer_comments_per_30s: u32 = 600, 1..=RATE_MAX;
        command_burst: u32 = 50, 1..=RATE_MAX;
        commands_per_s: u32 = 20, 1..=RATE_MAX;
        user_command_burst: u32 = 500, 1..=RATE_MAX;
        user_commands_per_s: u32 = 100, 1..=RATE_MAX;
        /// 0: no cap.
        crowd_events_per_s: u32 = 40, 0..=RATE_MAX;
        /// Open on this node.
        rooms: usize = 10_000, 1..=ROOMS_MAX;
        rooms_per_session: usize = 8, 1..=1_024;
        joins_per_s: u32 = 200, 1..=RATE_MAX;
        join_burst: u32 = 1_000, 1..=RATE_MAX;
        connections: usize = 100_000, 1..=CONNECTIONS_MAX;
        connections_per_address: usize = 200, 1..=CONNECTIONS_MAX;
        connections_per_s: u32 = 1_000, 1..=RATE_MAX;
        /// Bytes of polling bodies that are arriving, of the node and of one address.
        body_bytes: usize = 128_000_000, 1_024..=BODY_BYTES_MAX;
        body_bytes_per_address: usize = 4_000_000, 1_024..=BODY_BYTES_MAX;
        /// WebSockets are not among them.
        http_connections: usize = 20_000, 1..=CONNECTIONS_MAX;
        /// No less than connections_per_address, no more than half of http_connections.
        http_connections_per_address: usize = 400, 1..=CONNECTIONS_MAX;
        /// Per account, of all strangers together and of each address it knows; an address gets
        /// twice this in ten minutes.
        logins_per_min: u32 = 5, 1..=RATE_MAX;
        /// Per address.
        registrations_per_hour: u32 = 300, 1..=RATE_MAX;
        /// Of one user, that have not ended.
        lives_per_user: u32 = 1_000, 1..=RATE_MAX;
        /// Of one user.
        lives_per_min: u32 = 120, 1..=RATE_MAX;
        /// Of one user, over all its lives.
        status_changes_per_min: u32 = 240, 1..=RATE_MAX;
        /// Whom one user may follow.
        follows_per_user: u32 = 2_000, 1..=RATE_MAX;
        /// Of one user: begun and ended.
        follow_changes_per_min: u32 = 60, 1..=RATE_MAX;
        /// Of operators, with a live feed.
        consoles: usize = 200, 1..=CONSOLES_MAX;
        /// Of strangers, and of those with a token.
        changes: u32 = 256, 1..=CHANGES_MAX;
        persister_queue: usize = 8_192, 1..=PERSISTER_QUEUE_MAX;
        ledger_batch: usize = 512, 1..=LEDGER_BATCH_MAX;
        gifts_in_flight: usize = 1_024, 1..=65_536;
    }
}

const NOT_EMPTY: TextRule = TextRule {
    expected: "a text that is not empty",
    holds: |text| !text.is_empty(),
};

const PATH: TextRule = TextRule {
    expected: "the name of a file, or nothing",
    holds: |_| true,
};

const ADMIN_TOKEN: TextRule = TextRule {
    expected: "nothing, or at least 16 characters without spaces",
    holds: |text| {
        let long_enough = text.chars().count() >= ADMIN_TOKEN_CHARS_MIN;
        text.is_empty() || (long_enough && text.chars().all(|c| c.is_ascii_graphic()))
    },
};

const REDIS_URL: TextRule = TextRule {
    expected: "nothing, or redis://host:port, redis-sentinel://host,host/name, redis-cluster://host,host, \
               with rediss in place of redis for TLS",
    holds: |text| {
        let schemes = ["", "-sentinel", "-cluster"];
        let names_hosts = |kind: &&str| {
            let rest = text
                .strip_prefix("rediss")
                .or_else(|| text.strip_prefix("redis"));
            rest.and_then(|rest| rest.strip_prefix(*kind)?.strip_prefix("://"))
                .is_some_and(|rest| !rest.is_empty())
        };
        text.is_empty() || schemes.iter().any(names_hosts)
    },
};

const ORIGIN: TextRule = TextRule {
    expected: "`*` or an origin such as https://example.com",
    holds: is_origin,
};

/// A scheme, a host and perhaps a port; browsers send no more than that, so more would never match.
fn is_origin(text: &str) -> bool {
    let host = text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"));
    text == "*"
        || host
            .is_some_and(|host| !host.is_empty() && !host.contains(['/', '?', '#', '@', '*', ' ']))
}
