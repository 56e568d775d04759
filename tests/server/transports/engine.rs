//! Handshakes, refusals, CORS, admission.

use serde_json::{Value, json};

use super::client::{BOTH, Eio, EngineSocket, Poller, SID_UNKNOWN};
use crate::support::{Answer, TestServer, eventually, http};

const SERVER: &[(&str, &str)] = &[];

fn open_packet(answer: &Answer, eio: Eio) -> Value {
    let packets = eio.packets(&answer.text());
    assert_eq!(packets.len(), 1);
    serde_json::from_str(packets[0].strip_prefix('0').expect("an open packet")).expect("JSON")
}

#[test]
fn handshakes_are_as_recorded() {
    let server = TestServer::start(SERVER);
    let v3 = server.get("/socket.io/?EIO=3&transport=polling&t=Q7_vdCx&b64=1");
    assert_eq!(
        (v3.status, v3.header("content-type")),
        (200, Some("text/plain; charset=UTF-8"))
    );
    let open = open_packet(&v3, Eio::V3);
    let sid = open["sid"].as_str().expect("a sid");
    assert_eq!(
        v3.text(),
        format!(
            r#"97:0{{"sid":"{sid}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000}}"#
        )
    );
    // As recorded but for the secret behind the sid.
    let cookie = v3.header("set-cookie").expect("a cookie");
    let secret = cookie
        .strip_prefix(&format!("io={sid}."))
        .and_then(|rest| rest.get(..20))
        .expect("a secret");
    assert_eq!(
        cookie.replace(&format!(".{secret}"), ""),
        format!("io={sid}; Path=/; HttpOnly; SameSite=Strict")
    );
    assert_ne!(secret, sid);
    assert_eq!(v3.header("access-control-allow-origin"), Some("*"));
    assert_eq!(v3.header("cache-control"), Some("no-store"));

    let v4 = server.get("/socket.io?EIO=4&transport=polling");
    let open = open_packet(&v4, Eio::V4);
    let sid = open["sid"].as_str().expect("a sid");
    assert_eq!(sid.len(), 20);
    assert_eq!(
        v4.text(),
        format!(
            r#"0{{"sid":"{sid}","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}}"#
        )
    );
    assert_eq!(v4.header("set-cookie"), None);
    assert_eq!(v4.header("access-control-allow-origin"), None);
    assert_eq!(v4.header("access-control-allow-credentials"), Some("true"));

    // Without EIO it is the oldest.
    open_packet(&server.get("/socket.io/?transport=polling"), Eio::V3);
}

#[test]
fn websocket_only_sessions_open_on_the_socket() {
    let server = TestServer::start(SERVER);
    let mut v3 = EngineSocket::connect(server.port(), "/socket.io/?EIO=3&transport=websocket")
        .expect("a handshake");
    assert!(
        v3.read()
            .expect("the open packet")
            .contains(r#""upgrades":[]"#)
    );
    assert_eq!(v3.read().as_deref(), Some("40"));
    v3.send("2");
    assert_eq!(v3.read().as_deref(), Some("3"));
    v3.send("2with data");
    assert!(v3.read().is_some_and(|pong| pong.starts_with('3')));
    v3.close();

    let mut v4 = EngineSocket::connect(server.port(), "/socket.io/?EIO=4&transport=websocket")
        .expect("a handshake");
    let open = v4.read().expect("the open packet");
    let open: Value = serde_json::from_str(&open[1..]).expect("JSON");
    v4.send("40");
    let connect = v4.read().expect("the answer to CONNECT");
    let connect: Value =
        serde_json::from_str(connect.strip_prefix("40").expect("CONNECT")).expect("JSON");
    assert_eq!(connect["sid"].as_str().map(str::len), Some(20));
    assert_ne!(
        connect["sid"], open["sid"],
        "the secret sid is not the public name"
    );
    v4.close();
}

#[test]
fn a_version_4_client_that_answers_each_ping_at_once_stays() {
    let server = TestServer::start(&[
        ("LIVEROOM__ENGINEIO__PING_INTERVAL_MS", "100"),
        ("LIVEROOM__ENGINEIO__PING_TIMEOUT_MS", "100"),
    ]);
    let mut socket = EngineSocket::connect(server.port(), "/socket.io/?EIO=4&transport=websocket")
        .expect("a handshake");
    socket.read().expect("the open packet");
    socket.send("40");
    socket.read().expect("the answer to CONNECT");
    for _ in 0..20 {
        assert_eq!(socket.read().as_deref(), Some("2"));
        socket.send("3");
    }
    socket.close();
}

#[test]
fn refusals_are_engine_ios() {
    let server = TestServer::start(SERVER);
    let sid = Poller::open(&server, Eio::V4).sid;
    for (method, query, status, body) in [
        (
            "GET",
            String::new(),
            400,
            r#"{"code":0,"message":"Transport unknown"}"#,
        ),
        (
            "GET",
            "EIO=4&transport=pigeon".into(),
            400,
            r#"{"code":0,"message":"Transport unknown"}"#,
        ),
        (
            "GET",
            "EIO=4&transport=polling&sid=nobody".into(),
            400,
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            "POST",
            "EIO=4&transport=polling&sid=nobody".into(),
            400,
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            "POST",
            "EIO=4&transport=polling".into(),
            400,
            r#"{"code":2,"message":"Bad handshake method"}"#,
        ),
        (
            "PUT",
            format!("EIO=4&transport=polling&sid={sid}"),
            400,
            r#"{"code":3,"message":"Bad request"}"#,
        ),
        (
            "GET",
            "EIO=4&transport=websocket".into(),
            400,
            r#"{"code":3,"message":"Bad request"}"#,
        ),
        (
            "GET",
            "EIO=3&transport=polling&j=0".into(),
            400,
            r#"{"code":3,"message":"Bad request"}"#,
        ),
        (
            "GET",
            format!("EIO=3&transport=polling&sid={sid}"),
            400,
            r#"{"code":3,"message":"Bad request"}"#,
        ),
        (
            "POST",
            format!("transport=polling&sid={sid}"),
            400,
            r#"{"code":3,"message":"Bad request"}"#,
        ),
        (
            "GET",
            "EIO=4&transport=polling&sid=x&sid=nobody".into(),
            400,
            r#"{"code":1,"message":"Session ID unknown"}"#,
        ),
        (
            "GET",
            "EIO=2&transport=polling".into(),
            400,
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ),
        (
            "GET",
            "EIO=5&transport=polling".into(),
            400,
            r#"{"code":5,"message":"Unsupported protocol version"}"#,
        ),
    ] {
        let answer = http::request(
            server.port(),
            method,
            &format!("/socket.io/?{query}"),
            &[],
            None,
        );
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (status, body),
            "{method} {query}"
        );
        assert_eq!(
            answer.header("content-type"),
            Some("application/json"),
            "{method} {query}"
        );
    }
}

#[test]
fn of_a_repeated_parameter_the_last_counts_and_an_empty_sid_is_none() {
    let server = TestServer::start(SERVER);
    for (query, eio) in [
        ("EIO=3&EIO=4&transport=websocket&transport=polling", Eio::V4),
        ("EIO=4&EIO=3&transport=polling&sid=", Eio::V3),
        ("EIO=4&transport=poll%69ng&sid=x&sid=", Eio::V4),
        ("&=&%zz&EIO=4&transport=polling&%00", Eio::V4),
    ] {
        let answer = server.get(&format!("/socket.io/?{query}"));
        assert_eq!(answer.status, 200, "{query}");
        open_packet(&answer, eio);
    }
}

#[test]
fn pages_of_other_origins_are_turned_away() {
    let server =
        TestServer::start(&[("LIVEROOM__SERVER__ALLOWED_ORIGINS", "https://live.example")]);
    let ask = |method: &str, path: &str, origin: &str, more: &[(&str, &str)]| {
        let mut headers = vec![("origin", origin)];
        headers.extend_from_slice(more);
        http::request_bytes(server.port(), method, path, &headers, b"")
    };
    for eio in [3, 4] {
        let path = format!("/socket.io/?EIO={eio}&transport=polling");
        let good = ask("GET", &path, "https://live.example", &[]);
        assert_eq!(
            good.header("access-control-allow-origin"),
            Some("https://live.example")
        );
        assert_eq!(
            good.header("access-control-allow-credentials"),
            Some("true")
        );
        let bad = ask("GET", &path, "https://evil.example", &[]);
        assert_eq!(bad.header("access-control-allow-origin"), None);
        let upgrade = [
            ("connection", "upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
        ];
        let path = format!("/socket.io/?EIO={eio}&transport=websocket");
        let bad = ask("GET", &path, "https://evil.example", &upgrade);
        assert_eq!(
            (bad.status, bad.text().as_str()),
            (403, r#"{"code":4,"message":"Forbidden"}"#)
        );
    }
    let preflight = ask(
        "OPTIONS",
        "/socket.io/?EIO=4&transport=polling",
        "https://live.example",
        &[
            ("access-control-request-method", "POST"),
            ("access-control-request-headers", "x-mine"),
        ],
    );
    assert_eq!(preflight.status, 204);
    assert_eq!(
        preflight.header("access-control-allow-origin"),
        Some("https://live.example")
    );
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        Some("x-mine")
    );
}

#[test]
fn a_full_node_says_when_to_come_back() {
    let server = TestServer::start(&[("LIVEROOM__LIMITS__CONNECTIONS_PER_ADDRESS", "2")]);
    let first = Poller::connect(&server, Eio::V4);
    let _second = Poller::connect(&server, Eio::V3);
    let refused = server.get("/socket.io/?EIO=4&transport=polling");
    assert_eq!(
        (refused.status, refused.header("retry-after")),
        (503, Some("5"))
    );
    assert!(refused.json()["code"].is_number());
    let path = format!("/ws?token={}", json!("x").as_str().expect("text"));
    let refused = EngineSocket::connect(server.port(), &path).map(|_| ());
    assert_eq!(refused, Err(503));

    assert_eq!(first.post(&["1"]).text(), "ok");
    eventually("the seat is free again", || {
        (server.get("/socket.io/?EIO=4&transport=polling").status == 200).then_some(())
    });
}

#[test]
fn good_bye_is_said_as_recorded() {
    let server = TestServer::start(SERVER);
    for eio in BOTH {
        let poller = Poller::connect(&server, eio);
        let hanging = poller.hang();
        assert_eq!(poller.post(&["41"]).text(), "ok");
        assert_eq!(poller.post(&["1"]).text(), "ok");
        assert_eq!(hanging.packets(), ["6"]);
        assert_eq!(poller.get().text(), SID_UNKNOWN, "it is over at once");
        assert!(poller.is_over());
    }
}
