//! A server that starts before what it needs, or cannot start.

use std::io::Read;
use std::net::TcpListener;
use std::process::Output;
use std::thread;

use crate::support::postgres::Postgres;
use crate::support::redis::free_port;
use crate::support::{TestServer, run_program};

const STORE_URL: &str = "LIVEROOM__STORE__URL";
const REDIS_URL: &str = "LIVEROOM__CLUSTER__REDIS_URL";

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The one line with which a start ends.
fn failed_start(env: &[(&str, &str)]) -> String {
    let output = run_program(env, &["serve"]);
    let said = stderr(&output);
    assert_eq!(
        (output.status.code(), said.lines().count()),
        (Some(1), 1),
        "{said}"
    );
    said
}

#[test]
fn config_check_refuses_addresses_that_nobody_can_connect_to() {
    let database = (STORE_URL, "postgres://live:hunter2@db.example/live");
    for (key, url) in [
        (STORE_URL, "postgres://live:hunter2@db.example:99999/live"),
        (
            STORE_URL,
            "postgres://live:hunter2@db.example/live?sslmode=sometimes",
        ),
        (REDIS_URL, "redis://:hunter2@redis.example:99999"),
        (
            REDIS_URL,
            "redis-sentinel://:hunter2@a.example,b.example:99999/main",
        ),
        (
            REDIS_URL,
            "redis-cluster://:hunter2@a.example:99999,b.example",
        ),
    ] {
        let other = if key == STORE_URL {
            (REDIS_URL, "")
        } else {
            database
        };
        let checked = run_program(&[other, (key, url)], &["config", "check"]);
        let report = stderr(&checked);
        assert_eq!(checked.status.code(), Some(2), "{url}: {report}");
        assert!(
            report.starts_with("1 fault in the configuration\n") && report.contains(key),
            "{url}: {report}"
        );
        assert!(!report.contains("hunter2"), "{url}: {report}");
        let served = run_program(&[other, (key, url)], &["serve"]);
        assert_eq!(
            (served.status.code(), stderr(&served)),
            (Some(2), report),
            "{url}"
        );
    }
    for url in [
        "redis://redis.example:6380/1",
        "redis-sentinel://a,b:26380/main",
        "redis-cluster://[::1]:7000,b",
    ] {
        let checked = run_program(&[database, (REDIS_URL, url)], &["config", "check"]);
        assert!(checked.status.success(), "{url}: {}", stderr(&checked));
    }
}

#[test]
fn a_server_waits_for_its_database_and_serves_when_it_is_there() {
    let Ok(mut postgres) = Postgres::start().inspect_err(|reason| println!("skipped: {reason}"))
    else {
        return;
    };
    let url = postgres.create_database();
    postgres.kill();
    // In the place of the database, until the server has tried to connect twice.
    let listener =
        TcpListener::bind(("127.0.0.1", postgres.port())).expect("the port of the database");
    let server = thread::spawn(move || TestServer::start(&[(STORE_URL, &url)]));
    for _ in 0..2 {
        let (mut attempt, _) = listener.accept().expect("an attempt to connect");
        let mut first = [0];
        attempt
            .read_exact(&mut first)
            .expect("the start of a greeting");
    }
    drop(listener);
    postgres.restart();
    let server = server.join().expect("the server starts");
    assert_eq!(server.get("/readyz").status, 200);
    let waited = server.logged("waiting for the store");
    let address = format!("127.0.0.1:{}", postgres.port());
    assert!(
        waited.iter().all(|line| line.contains(&address)),
        "{waited:?}"
    );
    let causes: std::collections::BTreeSet<_> = waited
        .iter()
        .map(|line| line.split_once("error="))
        .collect();
    assert!(
        !waited.is_empty() && causes.len() == waited.len(),
        "each cause once: {waited:?}"
    );
}

#[test]
fn a_server_whose_database_does_not_come_exits_with_the_cause() {
    let url = format!("postgres://live:hunter2@127.0.0.1:{}/live", free_port());
    let env = [
        (STORE_URL, url.as_str()),
        ("LIVEROOM__STORE__START_TIMEOUT_MS", "600"),
        ("RUST_LOG", "off"),
    ];
    let said = failed_start(&env);
    let address = url.rsplit('@').next().expect("an address");
    assert!(
        said.contains(address) && said.contains("Connection refused") && !said.contains("hunter2"),
        "{said}"
    );
}

#[test]
fn a_wrong_password_and_a_missing_database_end_a_start_at_once() {
    let Ok(postgres) = Postgres::start().inspect_err(|reason| println!("skipped: {reason}")) else {
        return;
    };
    let url = postgres.create_database();
    postgres
        .execute(&url, "CREATE ROLE live LOGIN PASSWORD 'right'")
        .expect("a role");
    postgres.set_access(&[
        "host all live 127.0.0.1/32 scram-sha-256",
        "host all postgres 127.0.0.1/32 trust",
    ]);
    let wrong_password = url.replace("postgres@", "live:hunter2@");
    let missing = format!("{url}_missing");
    for (url, cause) in [
        (wrong_password, "password authentication failed"),
        (missing, "does not exist"),
    ] {
        // Whoever waited for this would not be waited for by this test.
        let env = [
            (STORE_URL, url.as_str()),
            ("LIVEROOM__STORE__START_TIMEOUT_MS", "600000"),
            ("RUST_LOG", "off"),
        ];
        let said = failed_start(&env);
        assert!(
            said.contains(cause) && said.contains("127.0.0.1:") && !said.contains("hunter2"),
            "{said}"
        );
    }
}

#[test]
fn a_port_that_is_taken_ends_a_start_with_one_line() {
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let port = taken.local_addr().expect("it is bound").port().to_string();
    let started = run_program(
        &[("LIVEROOM__SERVER__PORT", &port), ("RUST_LOG", "error")],
        &[],
    );
    let report = stderr(&started);
    assert_eq!(started.status.code(), Some(1), "{report}");
    assert!(
        report.starts_with("liveroom: cannot listen on 127.0.0.1:") && report.lines().count() == 1,
        "{report}"
    );
}
