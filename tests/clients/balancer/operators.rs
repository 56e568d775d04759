//! The operators' API behind a balancer: for operators only, and nobody's token in a log.

use super::program::{Balancer, Kind};
use super::skipped;
use crate::support::{ADMIN_TOKEN, TestServer, eventually, http};
use crate::take_turn;

/// Ways to write `/admin/rooms`, and ways that a balancer or a server might take for it.
const SPELLINGS: [&str; 17] = [
    "/admin/rooms",
    "/admin/rooms/",
    "/admin/ledger/proof",
    "/%61dmin/rooms",
    "/%41dmin/rooms",
    "/%61%64%6d%69%6e/rooms",
    "/%2561dmin/rooms",
    "/admin%2frooms",
    "/%2fadmin/rooms",
    "//admin/rooms",
    "/./admin/rooms",
    "/x/../admin/rooms",
    "/api/%2e%2e/admin/rooms",
    "/admin;x/rooms",
    "/admin?/rooms",
    "/ADMIN/rooms",
    "/socket.io/../admin/rooms",
];

/// The status and the body that an operator with the right token gets.
fn ask(port: u16, path: &str) -> (u16, String) {
    let answer = http::request(
        port,
        "GET",
        path,
        &[("authorization", &format!("Bearer {ADMIN_TOKEN}"))],
        None,
    );
    (answer.status, answer.text())
}

fn assert_strangers_stay_out(balancer: &Balancer, name: &str) {
    for path in SPELLINGS {
        let (status, body) = ask(balancer.port(), path);
        assert!(
            matches!(status, 400 | 403 | 404),
            "{name} {path}: {status} {body}"
        );
    }
    // These the balancer itself keeps, whatever its nodes would make of them.
    for path in [
        "/admin/rooms",
        "/%61dmin/rooms",
        "//admin/rooms",
        "/./admin/rooms",
        "/ADMIN/rooms",
    ] {
        assert_eq!(ask(balancer.port(), path).0, 403, "{name} {path}");
    }
    // What is not for operators goes on.
    for path in ["/healthz", "/api/live/list/1", "/api/live/list/1/", "/"] {
        assert_eq!(ask(balancer.port(), path).0, 200, "{name} {path}");
    }
}

fn assert_operators_get_in(balancer: &Balancer, name: &str) {
    assert_eq!(
        ask(balancer.port(), "/admin/rooms"),
        (200, r#"{"msg":"ok","data":[]}"#.to_owned()),
        "{name}"
    );
    assert_eq!(
        ask(balancer.port(), "/%61dmin/rooms").0,
        404,
        "{name}: one spelling"
    );
}

fn assert_no_token_is_logged(balancer: &Balancer, node: TestServer, name: &str) {
    let secret = "a-token-that-nobody-may-read";
    let port = balancer.port();
    let paths = [
        "/api/user/info",
        "/ws",
        "/socket.io/",
        "/admin/rooms",
        "/nothing",
    ];
    let asked = |path: &str| {
        http::request(port, "GET", &format!("{path}?token={secret}"), &[], None).status
    };
    paths
        .iter()
        .for_each(|path| assert!(asked(path) < 500, "{name} {path}"));
    // Nor when the node is gone.
    drop(node);
    paths
        .iter()
        .for_each(|path| assert!(asked(path) >= 500, "{name} {path}"));
    assert!(
        matches!(asked("/api/last"), 502 | 503),
        "{name}: {}",
        balancer.log()
    );
    eventually("the last request is logged", || {
        balancer.log().contains("/api/last").then_some(())
    });
    assert!(
        !balancer.log().contains(secret),
        "{name}: {}",
        balancer.log()
    );
}

fn operators_alone_get_in(kind: Kind) {
    let _turn = take_turn();
    if kind.program().is_none() {
        skipped(&format!("{kind} is not installed (see tests/run.sh)"));
        return;
    }
    let name = kind.to_string();
    let node = TestServer::start(&[]);
    assert_strangers_stay_out(&Balancer::start_for_strangers(kind, &[node.port()]), &name);
    let balancer = Balancer::start(kind, &[node.port()]);
    eventually("the balancer finds its node", || {
        (ask(balancer.port(), "/healthz").0 == 200).then_some(())
    });
    assert_operators_get_in(&balancer, &name);
    assert_no_token_is_logged(&balancer, node, &name);
}

#[test]
fn operators_alone_get_in_through_nginx_and_no_token_is_logged() {
    operators_alone_get_in(Kind::Nginx);
}

#[test]
fn operators_alone_get_in_through_haproxy_and_no_token_is_logged() {
    operators_alone_get_in(Kind::Haproxy);
}

#[test]
fn the_nginx_of_the_readme_lets_operators_alone_in_and_logs_no_token() {
    let _turn = take_turn();
    if Kind::Nginx.program().is_none() {
        skipped("nginx is not installed (see tests/run.sh)");
        return;
    }
    let node = TestServer::start(&[]);
    assert_strangers_stay_out(&Balancer::start_as_in_readme(node.port(), ""), "README");
    let balancer = Balancer::start_as_in_readme(node.port(), "allow 127.0.0.1;");
    assert_operators_get_in(&balancer, "README");
    assert_no_token_is_logged(&balancer, node, "README");
}
