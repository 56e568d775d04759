//! Requests that no HTTP library sends.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::bystanders::Bystanders;
use crate::support::{PATIENCE, TestServer};

fn connect(server: &TestServer) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("the server accepts");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit can be set");
    stream
}

/// Sends `bytes` and reads until the server hangs up.
fn exchange(server: &TestServer, bytes: &[u8]) -> String {
    let mut stream = connect(server);
    // A server that refuses early may hang up before all is sent, and reset what it said.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

fn statuses(answer: &str) -> Vec<&str> {
    answer
        .split("HTTP/1.1 ")
        .skip(1)
        .filter_map(|rest| rest.get(..3))
        .collect()
}

#[test]
fn requests_that_can_be_read_in_two_ways_are_refused_and_nothing_hides_in_them() {
    let server = TestServer::start(&[]);
    let hidden = "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n";
    for headers in [
        "content-length: 4\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
        "content-length: 4\r\ncontent-length: 5\r\n",
        "content-length: +4\r\n",
        "content-length: -1\r\n",
        "content-length: 0x4\r\n",
        "content-length: 99999999999999999999999\r\n",
        "transfer-encoding: xchunked\r\n",
        "transfer-encoding: identity, chunked\r\n",
        "transfer-encoding : chunked\r\n",
        "x-folded: a\r\n b\r\ncontent-length: 4\r\n",
        "x-nul: \0\r\ncontent-length: 4\r\n",
    ] {
        let request =
            format!("POST /api/login HTTP/1.1\r\nhost: x\r\n{headers}\r\n0\r\n\r\n{hidden}");
        let answer = exchange(&server, request.as_bytes());
        assert_eq!(statuses(&answer), ["400"], "{headers:?}: {answer}");
    }
}

#[test]
fn heads_have_a_limit() {
    let server = TestServer::start(&[]);
    let long_header = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\nx-a: {}\r\n\r\n",
        "a".repeat(150_000)
    );
    let many_headers = format!(
        "GET /healthz HTTP/1.1\r\nhost: x\r\n{}\r\n",
        "a: b\r\n".repeat(5_000)
    );
    let long_path = format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "a".repeat(70_000));
    for (name, request) in [
        ("long header", long_header),
        ("many headers", many_headers),
        ("long path", long_path),
    ] {
        let answer = exchange(&server, request.as_bytes());
        // A reset may swallow the answer where the server stopped reading half way.
        assert!(
            answer.is_empty() || matches!(statuses(&answer)[..], ["400" | "431"]),
            "{name}: {answer}"
        );
    }
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn paths_lead_nowhere_else() {
    let server = TestServer::start(&[]);
    for (path, status) in [
        ("/../Cargo.toml", "404"),
        ("/assets/../../etc/passwd", "404"),
        ("/assets/..%2f..%2fetc/passwd", "404"),
        ("/assets/%00", "404"),
        ("//healthz", "404"),
        ("/api//login", "404"),
        ("/ADMIN/rooms", "404"),
        ("/admin%2frooms", "404"),
        ("/admin/../healthz", "401"),
        ("/admin/rooms/1%2f..", "404"),
        ("/admin/nothing", "401"),
        ("/api/live/list/1%0d%0aset-cookie:a", "422"),
        ("/socket.io/?EIO=4&transport=polling%0d%0ax:y", "400"),
        ("/socket.io/?EIO=4&transport=polling&sid=%ff", "400"),
        ("/socket.io/?EIO=4&EIO=5&transport=polling", "400"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = exchange(&server, request.as_bytes());
        assert_eq!(statuses(&answer), [status], "{path}: {answer}");
        assert!(!answer.contains("\r\nset-cookie:"), "{path}: {answer}");
    }
}

/// A proxy that guards `/admin` looks at the path as it came, or in a form of its own.
#[test]
fn the_operators_api_answers_to_one_spelling_only() {
    let server = TestServer::start(&[]);
    let good = crate::support::ADMIN_TOKEN;
    let status_of = |path: &str| {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {good}\r\n\r\n"
        );
        let answer = exchange(&server, request.as_bytes());
        statuses(&answer)
            .first()
            .map(|status| (*status).to_owned())
            .unwrap_or_default()
    };
    for path in [
        "/admin/rooms",
        "/admin/rooms/",
        "/admin/rooms?a=%61",
        "http://x/admin/rooms",
    ] {
        assert_eq!(status_of(path), "200", "{path}");
    }
    for path in [
        "/%61dmin/rooms",
        "/admi%6e/rooms",
        "/%61%64%6d%69%6e/rooms",
        "/admin/%72ooms",
        "/admin/rooms%2f",
        "/admin%2frooms",
        "/%2561dmin/rooms",
        "/%2fadmin/rooms",
        "//admin/rooms",
        "/admin//rooms",
        "/admin/rooms//",
        "/./admin/rooms",
        "/admin/./rooms",
        "/x/../admin/rooms",
        "/admin;x/rooms",
        "/admin/rooms;x",
        "/ADMIN/rooms",
        "/Admin/rooms",
        "/\\admin/rooms",
        "/admin\\rooms",
    ] {
        // A path that is none at all is a bad request.
        assert!(
            matches!(status_of(path).as_str(), "404" | "400"),
            "{path}: {}",
            status_of(path)
        );
    }
}

#[test]
fn operators_are_known_by_their_whole_token_and_nothing_else() {
    let server = TestServer::start(&[]);
    let good = crate::support::ADMIN_TOKEN;
    let wrong = [
        String::new(),
        "authorization: Bearer\r\n".to_owned(),
        "authorization: Bearer x\r\n".to_owned(),
        format!("authorization: {good}\r\n"),
        format!("authorization: Basic {good}\r\n"),
        format!("authorization: Bearer {good}x\r\n"),
        format!("authorization: Bearer {}\r\n", &good[1..]),
        format!("authorization: Bearer x\r\nauthorization: Bearer {good}\r\n"),
        format!("x-authorization: Bearer {good}\r\ncookie: token={good}\r\n"),
    ];
    for header in &wrong {
        for (method, path) in [
            ("GET", "/admin/rooms"),
            ("GET", "/admin/ledger/proof"),
            ("POST", "/admin/users/1/coins"),
        ] {
            let request =
                format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{header}\r\n");
            assert_eq!(
                statuses(&exchange(&server, request.as_bytes())),
                ["401"],
                "{method} {path} {header:?}"
            );
        }
    }
    let off = TestServer::start(&[("LIVEROOM__ADMIN__TOKEN", "")]);
    assert_eq!(
        off.admin_get("/admin/rooms").status,
        404,
        "without a token there is no such API"
    );
}

#[test]
fn whoever_dribbles_a_request_is_cut_and_nobody_else_notices() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let mut bystanders = Bystanders::meet(&server, &alice);
    let open_files = || {
        std::fs::read_dir(format!("/proc/{}/fd", server.pid()))
            .expect("a process has files")
            .count()
    };
    let before = open_files();
    let body =
        b"POST /api/login HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 60000\r\n\r\n";
    let mut slow: Vec<(TcpStream, &[u8])> = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(&server);
        stream
            .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx-slow: ")
            .expect("the server reads");
        slow.push((stream, b"a"));
        let mut stream = connect(&server);
        stream.write_all(body).expect("the server reads");
        slow.push((stream, b" "));
    }
    let began = Instant::now();
    // A head has 5 s and a body 10 s. The pause is the attack, not a wait for anything.
    while !slow.is_empty() {
        assert!(began.elapsed() < PATIENCE, "{} are still open", slow.len());
        slow.retain_mut(|(stream, byte)| stream.write_all(byte).is_ok());
        std::thread::sleep(Duration::from_millis(200));
        bystanders.assert_unharmed(&server, "dribblers");
    }
    crate::support::eventually("their descriptors are closed", || {
        (open_files() <= before).then_some(())
    });
}
