//! Operators with an address of their own.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Output;

use serde_json::json;

use crate::support::http::{self, Answer, connect_from, request_over};
use crate::support::redis::free_port;
use crate::support::{ADMIN_TOKEN, TestServer, eventually, run_program};

const ADMIN_LISTEN: &str = "LIVEROOM__SERVER__ADMIN_LISTEN";

/// A server, and the port of its operators.
fn start(env: &[(&str, &str)]) -> (TestServer, u16) {
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let server = TestServer::start(&[env, &[(ADMIN_LISTEN, &*address)]].concat());
    (server, port)
}

/// Asks as the operator with the configured token.
fn ask(port: u16, method: &str, path: &str) -> Answer {
    let token = format!("Bearer {ADMIN_TOKEN}");
    let body = (method != "GET").then(|| json!({}));
    http::request(
        port,
        method,
        path,
        &[("authorization", &token)],
        body.as_ref(),
    )
}

fn failed_start(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn operators_with_an_address_of_their_own_are_served_there_and_nowhere_else() {
    let (server, operators) = start(&[]);
    let public = server.port();
    let unknown = ask(public, "GET", "/no/such/route");
    for (method, path) in [
        ("GET", "/admin"),
        ("GET", "/admin/"),
        ("GET", "/admin/rooms"),
        ("GET", "/admin/ledger/proof"),
        ("POST", "/admin/gifts"),
        ("DELETE", "/admin/rooms/1/comments/1"),
        ("GET", "/admin/%72ooms"),
    ] {
        let answer = ask(public, method, path);
        assert_eq!(
            (answer.status, answer.text()),
            (404, unknown.text()),
            "{method} {path}"
        );
    }
    ask(operators, "GET", "/admin/rooms").ok();
    assert_eq!(ask(operators, "POST", "/admin/gifts").status, 422);
    assert_eq!(
        http::request(operators, "GET", "/admin/rooms", &[], None).status,
        401
    );

    for path in [
        "/",
        "/assets/app.js",
        "/api/gift/list",
        "/ws",
        "/socket.io/?EIO=4&transport=polling",
    ] {
        assert_eq!(ask(operators, "GET", path).status, 404, "{path}");
        assert_ne!(ask(public, "GET", path).status, 404, "{path}");
    }
    for port in [public, operators] {
        assert_eq!(ask(port, "GET", "/healthz").status, 200);
        assert_eq!(ask(port, "GET", "/readyz").status, 200);
    }
}

#[test]
fn no_websocket_is_opened_where_only_operators_are_served() {
    let (server, operators) = start(&[]);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    let paths = [
        format!("/ws?token={}", alice.token),
        "/socket.io/?EIO=4&transport=websocket".to_owned(),
    ];
    for path in &paths {
        let upgrade = [
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let mut stream = TcpStream::connect(("127.0.0.1", operators)).expect("it listens");
        let mut head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\n");
        for (name, value) in upgrade {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).expect("the server reads");
        let mut answer = String::new();
        stream
            .read_to_string(&mut answer)
            .expect("an answer and an end");
        assert!(answer.starts_with("HTTP/1.1 404 "), "{path}: {answer}");
    }
    crate::support::Ws::connect(&server, &alice).join(live_id);
}

#[test]
fn a_flood_of_the_public_address_leaves_operators_in() {
    let (server, operators) = start(&[("LIVEROOM__LIMITS__HTTP_CONNECTIONS", "8")]);
    // Requests whose body does not come: the server waits for it, so they cannot be evicted.
    let head = "POST /api/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 100\r\nexpect: 100-continue\r\n\r\n";
    let flood: Vec<TcpStream> = [2, 3]
        .into_iter()
        .flat_map(|address| [address; 4])
        .map(|address| {
            let mut stream = connect_from(address, server.port());
            stream.write_all(head.as_bytes()).expect("the server reads");
            let mut interim = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
            stream.read_exact(&mut interim).expect("the server goes on");
            stream
        })
        .collect();
    let refused = request_over(connect_from(4, server.port()), "GET", "/healthz", &[], b"");
    assert_eq!(refused.status, 503, "the public address is full");
    for _ in 0..20 {
        ask(operators, "GET", "/admin/rooms").ok();
    }
    drop(flood);
    eventually("the public address has room again", || {
        (server.get("/healthz").status == 200).then_some(())
    });
}

#[test]
fn a_stop_ends_both_addresses() {
    let (mut server, operators) = start(&[("RUST_LOG", "info")]);
    let mut idle = connect_from(1, operators);
    idle.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        .expect("the server reads");
    let mut first = [0; 12];
    idle.read_exact(&mut first).expect("an answer");
    assert_eq!(&first, b"HTTP/1.1 200");

    server.signal("TERM");
    assert!(server.wait_for_exit().success());
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest)
        .expect("an idle connection is closed");
    assert!(TcpStream::connect(("127.0.0.1", operators)).is_err());
    eventually("its log is read", || {
        (server.logged("drained").len() == 1).then_some(())
    });
    assert_eq!(server.logged(" ERROR "), Vec::<String>::new());
    server.restart();
    ask(operators, "GET", "/admin/rooms").ok();
}

#[test]
fn an_address_of_operators_that_is_taken_ends_the_start() {
    let (server, _) = start(&[]);
    let taken = format!("127.0.0.1:{}", server.port());
    let port = free_port().to_string();
    let env = [("LIVEROOM__SERVER__PORT", &*port), (ADMIN_LISTEN, &*taken)];
    let said = failed_start(&run_program(&env, &["serve"]));
    assert!(
        said.contains(&format!("cannot listen on {taken}: ")),
        "{said}"
    );

    let same = format!("127.0.0.1:{port}");
    let env = [("LIVEROOM__SERVER__PORT", &*port), (ADMIN_LISTEN, &*same)];
    let said = failed_start(&run_program(&env, &["serve"]));
    assert!(
        said.contains(&format!("cannot listen on {same}: ")),
        "{said}"
    );
}
