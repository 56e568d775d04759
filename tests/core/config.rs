//! What operators may write, and what they are told when they may not.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;
use std::{fs, iter};

use liveroom::config::{
    Config, ConfigFaults, DEVELOPMENT_JWT_SECRET, DEVELOPMENT_MEDIA_SECRET, Key, LoadedConfig,
    Network, Origin,
};

const OWN_SECRET: &str = "correct-horse-battery-staple-and-more";

fn from_file(text: &str) -> Result<Config, ConfigFaults> {
    from_sources(Some(("config.toml", text)), iter::empty())
}

fn from_env(variables: &[(&str, &str)]) -> Result<Config, ConfigFaults> {
    let owned = |(name, value): &(&str, &str)| (name.to_string(), value.to_string());
    from_sources(None, variables.iter().map(owned))
}

fn from_sources(
    file: Option<(&str, &str)>,
    env: impl Iterator<Item = (String, String)>,
) -> Result<Config, ConfigFaults> {
    LoadedConfig::from_sources(file, env).map(|loaded| loaded.config)
}

/// The report of a configuration that must be refused, line by line.
fn faults(result: Result<Config, ConfigFaults>) -> Vec<String> {
    result
        .expect_err("must be refused")
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn shipped_file() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.toml"))
        .expect("config.toml is in the repository")
}

#[test]
fn shipped_file_says_exactly_the_defaults() {
    assert_eq!(
        from_file(&shipped_file()).expect("config.toml is good"),
        Config::default()
    );
}

#[test]
fn shipped_file_lists_every_key_in_the_order_of_the_table() {
    let text = shipped_file();
    let loaded = LoadedConfig::from_sources(Some(("config.toml", &text)), iter::empty())
        .expect("config.toml is good");
    let table: Vec<String> = loaded.keys().map(|(key, _)| key.to_string()).collect();

    let mut section = "";
    let mut listed = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(name) = line
            .strip_prefix('[')
            .and_then(|line| line.strip_suffix(']'))
        {
            section = name;
        } else if let Some((name, _)) = line.split_once(" = ") {
            listed.push(format!("{section}.{name}"));
        }
    }
    assert_eq!(listed, table);
}

#[test]
fn nothing_given_means_the_documented_defaults() {
    let config = from_env(&[]).expect("defaults are good");
    assert_eq!(config, Config::default());
    assert_eq!(config.server.host, IpAddr::from([127, 0, 0, 1]));
    assert_eq!(config.server.port, 7001);
    assert!(config.server.workers.get() >= 1);
    assert_eq!(config.store.url.expose(), "sqlite://data/liveroom.db");
    assert_eq!(
        config.auth.jwt_secret.signing().expose(),
        DEVELOPMENT_JWT_SECRET
    );
    assert!(config.admin.token.is_empty());
}

#[test]
fn environment_overrides_file_overrides_defaults() {
    let file = "[server]\nport = 8000\n[limits]\ncomment_chars = 100\n";
    let env = [
        ("LIVEROOM__SERVER__PORT", "0"),
        ("LIVEROOM__SERVER__HOST", "localhost"),
        (
            "LIVEROOM__SERVER__ALLOWED_ORIGINS",
            "https://a.example, http://b.example:8080",
        ),
        ("LIVEROOM__SERVER__TRUSTED_PROXIES", "10.0.0.0/8,::1"),
        ("LIVEROOM__AUTH__SINGLE_DEVICE", "true"),
        ("PATH", "not ours"),
        ("LIVEROOM_LOG", "not ours either: one underscore"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded =
        LoadedConfig::from_sources(Some(("config.toml", file)), env.into_iter()).expect("all good");
    let config = &loaded.config;

    assert_eq!(config.server.port, 0);
    assert_eq!(config.limits.comment_chars, 100);
    assert_eq!(
        config.server.allowed_origins,
        ["https://a.example", "http://b.example:8080"]
    );
    assert_eq!(config.server.trusted_proxies.len(), 2);
    assert!(config.auth.single_device);

    let origin = |name: &str| {
        loaded
            .keys()
            .find(|(key, _)| key.to_string() == name)
            .map(|(_, origin)| origin)
    };
    assert_eq!(origin("server.port"), Some(Origin::Env));
    assert_eq!(origin("limits.comment_chars"), Some(Origin::File));
    assert_eq!(origin("limits.comment_burst"), Some(Origin::Default));
}

#[test]
fn all_faults_come_in_one_report() {
    let file = "\
        colour = 1\n\
        media = 7\n\
        [server]\n\
        port = \"http\"\n\
        prot = 80\n\
        host = \"example.com\"\n\
        [limits]\n\
        json_depth = 10_000\n\
        [trasnport]\n\
        x = 1\n";
    let env = [
        ("LIVEROOM__LIMITS__COMMENT_CHARS", "many"),
        ("LIVEROOM__SERVER__PROT", "80"),
        ("LIVEROOM__X", "1"),
    ];
    let env = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let report = faults(from_sources(Some(("a.toml", file)), env.into_iter()));

    let starts = [
        r#"a.toml:server.host: found "example.com", expected an IP address"#,
        r#"a.toml:server.port: found "http", expected an integer from 0 to 65535"#,
        r"a.toml:limits.json_depth: found 10000, expected an integer from 4 to 64",
        r#"LIVEROOM__LIMITS__COMMENT_CHARS: found "many", expected an integer from 1 to 10000"#,
        "a.toml:colour: found an unknown section or key, expected one of server, auth, admin,",
        "a.toml:media: found a value of type integer, expected a section, [media]",
        "a.toml:server.prot: found an unknown key, expected one of host, port, admin_listen, workers,",
        "a.toml:trasnport: found an unknown section or key, expected one of server,",
        "LIVEROOM__SERVER__PROT: found an unknown variable, expected LIVEROOM__SERVER__ and one of host, port,",
        "LIVEROOM__X: found an unknown variable, expected LIVEROOM__SECTION__KEY",
    ];
    for start in starts {
        assert!(
            report.iter().any(|line| line.starts_with(start)),
            "no line starts with {start:?} in {report:#?}"
        );
    }
    assert_eq!(report.len(), starts.len(), "{report:#?}");
}

#[test]
fn faults_of_the_file_are_reported_even_where_the_environment_overrides() {
    let env = [("LIVEROOM__SERVER__PORT".to_owned(), "80".to_owned())];
    let report = faults(from_sources(
        Some(("a.toml", "[server]\nport = -1\n")),
        env.into_iter(),
    ));
    assert_eq!(
        report,
        ["a.toml:server.port: found -1, expected an integer from 0 to 65535"]
    );
}

#[test]
fn text_that_is_no_toml_is_located_and_not_repeated() {
    let report = faults(from_file(
        "[server]\nport = 1\n[auth]\njwt_secret = \"hunter2\n",
    ));
    assert_eq!(report.len(), 1, "{report:?}");
    assert!(report[0].starts_with("config.toml:4: found "), "{report:?}");
    assert!(!report[0].contains("hunter2"), "{report:?}");
}

#[test]
fn a_named_file_that_is_missing_is_a_fault() {
    let report = LoadedConfig::load(Some(Path::new("/nonexistent/liveroom.toml")), &[])
        .expect_err("must be refused");
    assert!(
        report
            .to_string()
            .contains("/nonexistent/liveroom.toml: found no such file"),
        "{report}"
    );
}

#[test]
fn hostile_values_are_refused() {
    for (name, value) in [
        ("LIVEROOM__SERVER__PORT", "65536"),
        ("LIVEROOM__SERVER__PORT", ""),
        ("LIVEROOM__SERVER__PORT", "99999999999999999999"),
        ("LIVEROOM__SERVER__WORKERS", "257"),
        ("LIVEROOM__SERVER__ALLOWED_ORIGINS", "example.com"),
        (
            "LIVEROOM__SERVER__ALLOWED_ORIGINS",
            "https://example.com/path",
        ),
        ("LIVEROOM__SERVER__TRUSTED_PROXIES", "10.0.0.0/33"),
        ("LIVEROOM__AUTH__SINGLE_DEVICE", "yes"),
        ("LIVEROOM__AUTH__JWT_SECRET", ""),
        ("LIVEROOM__ADMIN__TOKEN", "fifteen-letters"),
        ("LIVEROOM__STORE__URL", "mysql://host/db"),
        ("LIVEROOM__STORE__URL", "sqlite://"),
        ("LIVEROOM__CLUSTER__REDIS_URL", "127.0.0.1:6379"),
        ("LIVEROOM__CLUSTER__REDIS_URL", "redis-cluster://"),
        ("LIVEROOM__ENGINEIO__PING_INTERVAL_MS", "0"),
        ("LIVEROOM__ENGINEIO__PING_TIMEOUT_MS", "-5"),
        ("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", "1.5"),
        ("LIVEROOM__LIMITS__CONNECTIONS", "0"),
        ("LIVEROOM__Limits__connections", "5"),
    ] {
        let report = faults(from_env(&[(name, value)]));
        assert!(
            report.len() == 1 && report[0].starts_with(name),
            "{name}={value}: {report:?}"
        );
    }
}

#[test]
fn values_that_do_not_go_together_are_refused() {
    for (env, expected) in [
        (
            [
                ("LIVEROOM__WEBSOCKET__IDLE_TIMEOUT_MS", "25000"),
                ("LIVEROOM__WEBSOCKET__PING_INTERVAL_MS", "25000"),
            ],
            "LIVEROOM__WEBSOCKET__IDLE_TIMEOUT_MS: found 25000 with websocket.ping_interval_ms = 25000, expected more than 25000",
        ),
        (
            [
                ("LIVEROOM__OUTBOX__BYTES_MAX", "65536"),
                ("LIVEROOM__LIMITS__FRAME_BYTES", "65536"),
            ],
            "LIVEROOM__OUTBOX__BYTES_MAX: found 65536 with limits.frame_bytes = 65536, expected at least 131072",
        ),
        (
            [
                ("LIVEROOM__LIMITS__FRAME_BYTES", "8191"),
                ("LIVEROOM__LIMITS__COMMAND_BYTES", "8192"),
            ],
            "LIVEROOM__LIMITS__FRAME_BYTES: found 8191 with limits.command_bytes = 8192, expected at least 8192",
        ),
        (
            [
                ("LIVEROOM__ENGINEIO__MAX_PAYLOAD_BYTES", "8191"),
                ("LIVEROOM__LIMITS__COMMAND_BYTES", "8192"),
            ],
            "LIVEROOM__ENGINEIO__MAX_PAYLOAD_BYTES: found 8191 with limits.command_bytes = 8192, expected at least 8192",
        ),
        (
            [
                ("LIVEROOM__CLUSTER__REDIS_URL", "redis://:pw@host"),
                ("LIVEROOM__STORE__URL", "sqlite://live.db"),
            ],
            "LIVEROOM__CLUSTER__REDIS_URL: found \"***\" with store.url = \"sqlite://live.db\", \
             expected a PostgreSQL that all nodes share in store.url, or nothing",
        ),
        (
            [
                ("LIVEROOM__LIMITS__COMMENT_CHARS", "1000"),
                ("LIVEROOM__LIMITS__COMMAND_BYTES", "8192"),
            ],
            "LIVEROOM__LIMITS__COMMAND_BYTES: found 8192 with limits.comment_chars = 1000, expected at least 14048",
        ),
    ] {
        assert_eq!(faults(from_env(&env)), [expected]);
    }
}

#[test]
fn a_relation_is_silent_where_one_of_its_values_was_refused() {
    let report = faults(from_env(&[
        ("LIVEROOM__WEBSOCKET__PING_INTERVAL_MS", "90000"),
        ("LIVEROOM__WEBSOCKET__IDLE_TIMEOUT_MS", "soon"),
    ]));
    assert_eq!(report.len(), 1, "{report:?}");
}

#[test]
fn a_public_address_needs_a_long_secret_of_its_own() {
    for host in ["0.0.0.0", "::", "192.0.2.7", "::ffff:192.0.2.7"] {
        let host = ("LIVEROOM__SERVER__HOST", host);
        let media = ("LIVEROOM__MEDIA__SECRET", OWN_SECRET);
        for secret in [DEVELOPMENT_JWT_SECRET, "short"] {
            let report = faults(from_env(&[
                host,
                media,
                ("LIVEROOM__AUTH__JWT_SECRET", secret),
            ]));
            assert_eq!(report.len(), 1, "{report:?}");
            assert!(
                report[0].starts_with("LIVEROOM__AUTH__JWT_SECRET: "),
                "{report:?}"
            );
            assert!(!report[0].contains(secret), "{report:?}");
        }
        assert!(faults(from_env(&[host]))[0].starts_with("auth.jwt_secret: "));
        from_env(&[host, media, ("LIVEROOM__AUTH__JWT_SECRET", OWN_SECRET)])
            .expect("a good secret on a public address");
    }
    for host in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
        from_env(&[("LIVEROOM__SERVER__HOST", host)]).expect("loopback is for development");
    }
}

#[test]
fn a_public_address_needs_a_media_secret_of_its_own() {
    let jwt = ("LIVEROOM__AUTH__JWT_SECRET", OWN_SECRET);
    for host in ["0.0.0.0", "::", "192.0.2.7", "::ffff:192.0.2.7"] {
        let host = ("LIVEROOM__SERVER__HOST", host);
        assert_eq!(faults(from_env(&[host, jwt])).len(), 1);
        assert!(faults(from_env(&[host, jwt]))[0].starts_with("media.secret: "));
        let report = faults(from_env(&[
            host,
            jwt,
            ("LIVEROOM__MEDIA__SECRET", DEVELOPMENT_MEDIA_SECRET),
        ]));
        assert!(
            report[0].starts_with("LIVEROOM__MEDIA__SECRET: found \"***\" with server.host"),
            "{report:?}"
        );
        assert!(
            report[0].ends_with("expected a secret of its own on a public address"),
            "{report:?}"
        );
        from_env(&[host, jwt, ("LIVEROOM__MEDIA__SECRET", "own")])
            .expect("whatever the media server takes");
    }
}

#[test]
fn the_address_of_operators_is_nothing_or_an_ip_address_and_a_port() {
    let read = |value: &str| from_env(&[("LIVEROOM__SERVER__ADMIN_LISTEN", value)]);
    for (value, expected) in [
        ("", None),
        ("127.0.0.1:7002", Some("127.0.0.1:7002")),
        ("localhost:7002", Some("127.0.0.1:7002")),
        ("[::1]:0", Some("[::1]:0")),
    ] {
        let address = read(value).expect(value).server.admin_listen;
        let expected = expected.map(|text| text.parse().expect("an address"));
        assert_eq!(address, expected, "{value}");
    }
    for value in [
        "7002",
        "127.0.0.1",
        "::1:7002",
        "example.com:7002",
        "127.0.0.1:70020",
    ] {
        let report = faults(read(value));
        assert!(
            report[0].starts_with("LIVEROOM__SERVER__ADMIN_LISTEN: ")
                && report[0].contains("an IP address and a port"),
            "{report:?}"
        );
    }
}

#[test]
fn a_secret_that_rotates_is_a_text_or_a_list_of_up_to_four() {
    let secrets = |config: &Config| -> Vec<String> {
        let all = config.auth.jwt_secret.iter();
        all.map(|secret| secret.expose().to_owned()).collect()
    };
    let in_file = |value: &str| from_file(&format!("[auth]\njwt_secret = {value}\n"));
    let in_env = |value: &str| from_env(&[("LIVEROOM__AUTH__JWT_SECRET", value)]);
    for (value, expected) in [
        (r#"["new", "old"]"#, vec!["new", "old"]),
        (r#"["only"]"#, vec!["only"]),
        (r#"["1", "2", "3", "4"]"#, vec!["1", "2", "3", "4"]),
    ] {
        for loaded in [in_file(value), in_env(value)] {
            let config = loaded.expect("a list");
            assert_eq!(secrets(&config), expected, "{value}");
            assert_eq!(config.auth.jwt_secret.signing().expose(), expected[0]);
        }
    }
    let with_a_comma = in_env("one,secret").expect("a text as before");
    assert_eq!(secrets(&with_a_comma), ["one,secret"]);

    for value in [
        "[]",
        r#"[""]"#,
        r#"["good", ""]"#,
        r#"["good", 7]"#,
        r#"["1", "2", "3", "4", "5"]"#,
        r#"[["nested"]]"#,
        "[not, a, list",
    ] {
        let report = faults(in_env(value));
        assert_eq!(report.len(), 1, "{value}: {report:?}");
        assert!(
            report[0].ends_with("a text that is not empty, or a list of 1 to 4 such"),
            "{report:?}"
        );
        assert!(!report[0].contains("good"), "{report:?}");
    }
    for value in ["7", "[]", r#"["good", ""]"#] {
        assert_eq!(faults(in_file(value)).len(), 1, "{value}");
    }
}

#[test]
fn on_a_public_address_each_secret_of_a_list_must_be_good() {
    let host = ("LIVEROOM__SERVER__HOST", "0.0.0.0");
    let list = |others: &str| format!(r#"["{OWN_SECRET}", "{others}"]"#);
    let start = |jwt: &str, media: &str| {
        let jwt = ("LIVEROOM__AUTH__JWT_SECRET", jwt);
        from_env(&[host, jwt, ("LIVEROOM__MEDIA__SECRET", media)])
    };
    start(&list(&"x".repeat(32)), &list("own")).expect("good ones");
    for bad in [DEVELOPMENT_JWT_SECRET, "short"] {
        let report = faults(start(&list(bad), "own"));
        assert_eq!(report.len(), 1, "{report:?}");
        assert!(
            report[0].starts_with("LIVEROOM__AUTH__JWT_SECRET: "),
            "{report:?}"
        );
        assert!(!report[0].contains(bad), "{report:?}");
    }
    let report = faults(start(OWN_SECRET, &list(DEVELOPMENT_MEDIA_SECRET)));
    assert!(
        report[0].starts_with("LIVEROOM__MEDIA__SECRET: "),
        "{report:?}"
    );
}

#[test]
fn secrets_are_never_shown() {
    let env = [
        ("LIVEROOM__AUTH__JWT_SECRET", OWN_SECRET),
        ("LIVEROOM__ADMIN__TOKEN", "operators-only-0123456789"),
        ("LIVEROOM__MEDIA__SECRET", "stream-secret"),
        (
            "LIVEROOM__STORE__URL",
            "postgres://live:p@ssw0rd@db.example/live?sslmode=disable&password=p2ss",
        ),
    ];
    let owned = env.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let loaded = LoadedConfig::from_sources(None, owned.into_iter()).expect("all good");

    for shown in [loaded.to_string(), format!("{loaded:?}")] {
        for secret in [
            OWN_SECRET,
            "operators-only",
            "stream-secret",
            "ssw0rd",
            "p2ss",
        ] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
    let printed = loaded.to_string();
    assert!(
        printed.contains("jwt_secret = \"***\" # env\n"),
        "{printed}"
    );
    assert!(
        printed.contains(
            r#"url = "postgres://live:***@db.example/live?sslmode=disable&password=***" # env"#
        ),
        "{printed}"
    );

    let refused = faults(from_env(&[
        ("LIVEROOM__ADMIN__TOKEN", "tooshort"),
        ("LIVEROOM__STORE__URL", "redis://u:pw@h"),
    ]));
    assert!(
        !refused.concat().contains("tooshort") && !refused.concat().contains("pw@"),
        "{refused:?}"
    );
}

#[test]
fn what_config_check_prints_is_toml_with_an_origin_for_every_key() {
    let loaded = LoadedConfig::from_sources(None, iter::empty()).expect("defaults are good");
    let printed = loaded.to_string();
    assert!(
        printed.starts_with("[server]\nhost = \"127.0.0.1\" # default\nport = 7001 # default\n"),
        "{printed}"
    );
    assert!(
        printed.contains("\n\n[admin]\ntoken = \"\" # default\n"),
        "an empty secret is told from a set one: {printed}"
    );
    printed
        .parse::<toml::Table>()
        .expect("printed configuration is TOML");
    assert_eq!(printed.matches(" # ").count(), loaded.keys().count());
}

#[test]
fn every_key_has_a_variable_of_its_own() {
    let loaded = LoadedConfig::from_sources(None, iter::empty()).expect("defaults are good");
    let names: BTreeSet<String> = loaded.keys().map(|(key, _)| key.env_name()).collect();
    assert_eq!(names.len(), loaded.keys().count());
    assert_eq!(
        Key {
            section: "server",
            name: "port"
        }
        .env_name(),
        "LIVEROOM__SERVER__PORT"
    );
}

#[test]
fn networks_contain_what_begins_alike() {
    for (network, address, inside) in [
        ("10.0.0.0/8", "10.255.1.2", true),
        ("10.0.0.0/8", "11.0.0.1", false),
        ("10.0.0.0/8", "::ffff:10.1.2.3", true),
        ("192.0.2.1", "192.0.2.1", true),
        ("192.0.2.1", "192.0.2.2", false),
        ("0.0.0.0/0", "203.0.113.9", true),
        ("0.0.0.0/0", "2001:db8::1", false),
        ("2001:db8::/32", "2001:db8:1::1", true),
        ("::1", "::2", false),
    ] {
        let network = Network::parse(network).expect("a network");
        assert_eq!(
            network.contains(address.parse().expect("an address")),
            inside,
            "{network} {address}"
        );
    }
    for bad in [
        "",
        "/8",
        "10.0.0.0/",
        "10.0.0.0/-1",
        "10.0.0.0/33",
        "host",
        "::/129",
    ] {
        assert_eq!(Network::parse(bad), None, "{bad}");
    }
}
