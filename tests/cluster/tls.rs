//! Nodes reach PostgreSQL and Redis over TLS, and refuse servers that they cannot verify.

use serde_json::json;

use crate::support::certificates::{Authority, Certificate};
use crate::support::postgres::Postgres;
use crate::support::redis::{Keeps, Redis, free_port};
use crate::support::redis_groups::{EncryptedSentinel, Masters};
use crate::support::{TestServer, Ws, eventually, run_program};

const STORE_URL: &str = "LIVEROOM__STORE__URL";
const STORE_CA: &str = "LIVEROOM__STORE__CA_FILE";
const REDIS_URL: &str = "LIVEROOM__CLUSTER__REDIS_URL";
const REDIS_CA: &str = "LIVEROOM__CLUSTER__REDIS_CA_FILE";

/// A database server and its URL, which take connections with TLS only; `None` after saying why
/// not.
fn database(certificate: &Certificate) -> Option<(Postgres, String)> {
    let postgres = Postgres::start()
        .inspect_err(|reason| println!("skipped: {reason}"))
        .ok()?;
    let url = postgres.create_database();
    postgres.enable_tls(&certificate.certificate, &certificate.key);
    postgres.set_access(&["hostssl all all 127.0.0.1/32 trust"]);
    Some((postgres, url))
}

/// A Redis that also takes TLS, at the port that is returned; `None` after saying why not.
fn redis(authority: &Authority, certificate: &Certificate) -> Option<(Redis, u16)> {
    let port = free_port();
    let options = certificate.redis_options(&authority.file(), port);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let redis = Redis::with(Keeps::Everything, &options, None)
        .inspect_err(|reason| println!("skipped: {reason}"))
        .ok()?;
    Some((redis, port))
}

fn authority() -> Option<Authority> {
    Authority::new()
        .inspect_err(|reason| println!("skipped: {reason}"))
        .ok()
}

fn is_with_others(server: &TestServer) -> bool {
    let ready = server.get("/readyz").json();
    ready["status"] == json!("ready") && ready["alone"] != json!(true)
}

/// Two nodes are one room.
fn assert_one_room(nodes: &[TestServer; 2]) {
    let streamer = nodes[0].user("streamer");
    let live = nodes[0].live(&streamer);
    let (mut speaker, mut listener) = (
        Ws::connect(&nodes[0], &streamer),
        Ws::connect(&nodes[1], &nodes[1].user("guest")),
    );
    speaker.join(live);
    listener.join(live);
    assert_eq!(
        speaker.ask("comment", json!({"live_id": live, "data": "encrypted"}))["ok"],
        json!(true)
    );
    listener.event_where("comment", |event| event["content"] == json!("encrypted"));
}

#[test]
fn nodes_over_tls_are_one_room_and_reconnect_over_tls() {
    let Some(authority) = authority() else { return };
    let certificate = authority.certify("IP:127.0.0.1");
    let Some((mut postgres, url)) = database(&certificate) else {
        return;
    };
    let Some((mut redis, port)) = redis(&authority, &certificate) else {
        return;
    };
    let (url, redis_url) = (
        format!("{url}?sslmode=verify-full"),
        format!("rediss://127.0.0.1:{port}"),
    );
    let ca = authority.file().display().to_string();
    let env = [
        (STORE_URL, url.as_str()),
        (STORE_CA, &ca),
        (REDIS_URL, &redis_url),
        (REDIS_CA, &ca),
    ];
    let nodes = [TestServer::start(&env), TestServer::start(&env)];
    for node in &nodes {
        eventually("the node has Redis", || is_with_others(node).then_some(()));
    }
    assert_one_room(&nodes);
    let encrypted = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname LIKE 'liveroom%'";
    assert!(
        postgres
            .query(&postgres.admin_url(), encrypted)
            .contains(" t"),
        "all connections are encrypted"
    );
    let clients = redis.command(&["CLIENT", "LIST"]).expect("clients");
    let plain: Vec<_> = clients
        .lines()
        .filter(|line| !line.contains(&format!("laddr=127.0.0.1:{port} ")))
        .collect();
    assert_eq!(plain.len(), 1, "only this test's: {clients}");

    redis.kill();
    eventually("the node is alone", || {
        (!is_with_others(&nodes[0])).then_some(())
    });
    redis.restart();
    postgres.kill();
    eventually("the node has no store", || {
        (nodes[0].get("/readyz").status == 503).then_some(())
    });
    postgres.restart();
    for node in &nodes {
        eventually("the node has both again", || {
            is_with_others(node).then_some(())
        });
    }
    assert!(
        postgres
            .query(&postgres.admin_url(), encrypted)
            .contains(" t"),
        "and again over TLS"
    );
}

#[test]
fn a_redis_cluster_is_reached_over_tls() {
    let Some(authority) = authority() else { return };
    let Ok(postgres) = Postgres::shared().inspect_err(|reason| println!("skipped: {reason}"))
    else {
        return;
    };
    let certificate = authority.certify("IP:127.0.0.1");
    let started = Masters::start_with_tls(&certificate, &authority.file());
    let Ok((masters, redis_url)) = started.inspect_err(|reason| println!("skipped: {reason}"))
    else {
        return;
    };
    let (url, ca) = (
        postgres.create_database(),
        authority.file().display().to_string(),
    );
    let env = [
        (STORE_URL, url.as_str()),
        (REDIS_URL, &redis_url),
        (REDIS_CA, &ca),
    ];
    let nodes = [TestServer::start(&env), TestServer::start(&env)];
    for node in &nodes {
        eventually("the node has Redis", || is_with_others(node).then_some(()));
    }
    assert_one_room(&nodes);
    for server in &masters.servers {
        let clients = server.command(&["CLIENT", "LIST"]).expect("clients");
        let plain = format!("laddr=127.0.0.1:{} ", server.port());
        assert_eq!(
            clients.lines().filter(|line| line.contains(&plain)).count(),
            1,
            "only this test's: {clients}"
        );
    }
}

#[test]
fn sentinels_and_their_master_are_reached_over_tls() {
    let Some(authority) = authority() else { return };
    let Ok(postgres) = Postgres::shared().inspect_err(|reason| println!("skipped: {reason}"))
    else {
        return;
    };
    let certificate = authority.certify("IP:127.0.0.1");
    let Some((redis, port)) = redis(&authority, &certificate) else {
        return;
    };
    let sentinel = EncryptedSentinel::start(&certificate, &authority.file(), port);
    let (url, redis_url, ca) = (
        postgres.create_database(),
        sentinel.url(),
        authority.file().display().to_string(),
    );
    let env = [
        (STORE_URL, url.as_str()),
        (REDIS_URL, &redis_url),
        (REDIS_CA, &ca),
    ];
    let nodes = [TestServer::start(&env), TestServer::start(&env)];
    for node in &nodes {
        eventually("the node has Redis", || is_with_others(node).then_some(()));
    }
    assert_one_room(&nodes);
    let clients = redis.command(&["CLIENT", "LIST"]).expect("clients");
    let plain = format!("laddr=127.0.0.1:{} ", redis.port());
    assert_eq!(
        clients.lines().filter(|line| line.contains(&plain)).count(),
        1,
        "only this test's: {clients}"
    );
}

#[test]
fn a_database_that_cannot_be_verified_is_refused_with_the_cause() {
    let (Some(authority), Some(other)) = (authority(), authority()) else {
        return;
    };
    let Some((postgres, url)) = database(&authority.certify("DNS:db.example")) else {
        return;
    };
    let Ok(plain) = Postgres::shared().inspect_err(|reason| println!("skipped: {reason}")) else {
        return;
    };
    let start = |url: &str, ca: &Authority| {
        let (url, ca) = (
            format!("{url}?sslmode=verify-full"),
            ca.file().display().to_string(),
        );
        let env = [
            (STORE_URL, url.as_str()),
            (STORE_CA, &ca),
            ("LIVEROOM__STORE__START_TIMEOUT_MS", "300"),
        ];
        let output = run_program(&[&env[..], &[("RUST_LOG", "off")]].concat(), &["serve"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(
            (output.status.code(), said.lines().count()),
            (Some(1), 1),
            "{said}"
        );
        said
    };
    let wrong_name = start(&url, &authority);
    assert!(
        wrong_name.contains("certificate not valid for name \"127.0.0.1\""),
        "{wrong_name}"
    );
    let right_name = authority.certify("IP:127.0.0.1");
    postgres.enable_tls(&right_name.certificate, &right_name.key);
    let wrong_authority = start(&url, &other);
    assert!(
        wrong_authority.contains("invalid peer certificate"),
        "{wrong_authority}"
    );
    let no_tls = start(&plain.create_database(), &authority);
    assert!(no_tls.contains("server does not support TLS"), "{no_tls}");
}

#[test]
fn a_redis_that_cannot_be_verified_is_away_with_the_cause() {
    let (Some(authority), Some(other)) = (authority(), authority()) else {
        return;
    };
    let Ok(postgres) = Postgres::shared().inspect_err(|reason| println!("skipped: {reason}"))
    else {
        return;
    };
    let (right_name, wrong_name) = (
        authority.certify("IP:127.0.0.1"),
        authority.certify("DNS:redis.example"),
    );
    let Some((_right, right)) = redis(&authority, &right_name) else {
        return;
    };
    let Some((_wrong, wrong)) = redis(&authority, &wrong_name) else {
        return;
    };
    let url = postgres.create_database();
    for (port, ca, cause) in [
        (wrong, &authority, "not valid for name"),
        (right, &other, "invalid peer certificate"),
    ] {
        let (redis_url, ca) = (
            format!("rediss://:hunter2@127.0.0.1:{port}"),
            ca.file().display().to_string(),
        );
        let timeout = ("LIVEROOM__CLUSTER__REDIS_TIMEOUT_MS", "500");
        let server = TestServer::start(&[
            (STORE_URL, &url),
            (REDIS_URL, &redis_url),
            (REDIS_CA, &ca),
            timeout,
        ]);
        let logged = eventually("the node is alone", || {
            server
                .logged("redis is away, this node goes on alone")
                .pop()
        });
        assert!(
            logged.contains(cause) && !logged.contains("hunter2"),
            "{logged}"
        );
    }
}

#[test]
fn a_file_of_certificates_that_would_not_be_used_or_cannot_be_is_refused() {
    let Some(authority) = authority() else { return };
    let (ca, key) = (
        authority.file().display().to_string(),
        authority.file().with_extension("key").display().to_string(),
    );
    let (plain, encrypted) = (
        "postgres://db/live",
        "postgres://db/live?sslmode=verify-full",
    );
    for (env, expected) in [
        (
            [(STORE_URL, plain), (STORE_CA, ca.as_str())],
            "expected nothing, or sslmode=verify-full in store.url",
        ),
        (
            [(STORE_URL, encrypted), (STORE_CA, &key)],
            "no certificate in it",
        ),
        (
            [(STORE_URL, encrypted), (STORE_CA, "/nonexistent/ca.pem")],
            "No such file",
        ),
        (
            [(REDIS_URL, "redis://redis"), (REDIS_CA, &ca)],
            "expected nothing, or rediss in cluster.redis_url",
        ),
        (
            [
                (REDIS_URL, "rediss-sentinel://redis/main"),
                (REDIS_CA, &key),
            ],
            "no certificate in it",
        ),
        (
            [
                (STORE_URL, "postgres://db/live?sslmode=require"),
                (STORE_CA, ""),
            ],
            "neither disable nor verify-full",
        ),
    ] {
        let store = [(STORE_URL, plain)];
        let checked = run_program(&[&store[..], &env].concat(), &["config", "check"]);
        let report = String::from_utf8_lossy(&checked.stderr).into_owned();
        assert_eq!(checked.status.code(), Some(2), "{report}");
        assert!(
            report.starts_with("1 fault") && report.contains(expected),
            "{report}"
        );
    }
    for env in [
        [(STORE_URL, encrypted), (STORE_CA, ca.as_str())],
        [(REDIS_URL, "rediss://redis"), (REDIS_CA, &ca)],
    ] {
        let checked = run_program(
            &[&[(STORE_URL, plain)], &env[..]].concat(),
            &["config", "check"],
        );
        assert!(
            checked.status.success(),
            "{}",
            String::from_utf8_lossy(&checked.stderr)
        );
    }
}
