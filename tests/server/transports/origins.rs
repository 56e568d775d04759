//! Which pages may open a WebSocket.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use crate::support::{PATIENCE, TestServer};

const LISTED: &[(&str, &str)] = &[(
    "LIVEROOM__SERVER__ALLOWED_ORIGINS",
    "https://listed.example",
)];

/// The status that a WebSocket handshake with these headers is answered with.
fn handshake(server: &TestServer, path: &str, headers: &str) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).expect("the server accepts");
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit can be set");
    let request = format!(
        "GET {path} HTTP/1.1\r\n{headers}connection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream
        .write_all(request.as_bytes())
        .expect("the server reads");
    let mut status = String::new();
    BufReader::new(stream)
        .read_line(&mut status)
        .expect("an answer");
    status
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("{path}: {status}"))
}

#[test]
fn pages_of_other_origins_open_no_websocket_of_either_kind() {
    let server = TestServer::start(LISTED);
    let token = server.user("alice").token;
    let plain = [
        format!("/ws?token={token}"),
        format!("/ws/?token={token}"),
        "/ws".to_owned(),
    ];
    let engine = [
        "/socket.io/?EIO=4&transport=websocket",
        "/socket.io?EIO=3&transport=websocket",
    ]
    .map(str::to_owned);
    for path in plain.iter().chain(&engine) {
        for (headers, status) in [
            ("host: own.example\r\n", 101),
            (
                "host: own.example\r\norigin: https://listed.example\r\n",
                101,
            ),
            // The page at `/`, also behind a proxy that ends TLS.
            ("host: own.example\r\norigin: http://own.example\r\n", 101),
            (
                "host: own.example:8443\r\norigin: https://own.example:8443\r\n",
                101,
            ),
            (
                "host: own.example\r\norigin: https://other.example\r\n",
                403,
            ),
            (
                "host: own.example\r\norigin: https://own.example:8443\r\n",
                403,
            ),
            (
                "host: own.example\r\norigin: https://listed.example.other.example\r\n",
                403,
            ),
            ("host: own.example\r\norigin: null\r\n", 403),
        ] {
            assert_eq!(
                handshake(&server, path, headers),
                status,
                "{path} {headers}"
            );
        }
    }
}

#[test]
fn any_page_may_where_all_origins_are_allowed() {
    let server = TestServer::start(&[]);
    for path in ["/ws", "/socket.io/?EIO=4&transport=websocket"] {
        for origin in ["https://other.example", "null"] {
            assert_eq!(
                handshake(
                    &server,
                    path,
                    &format!("host: own.example\r\norigin: {origin}\r\n")
                ),
                101,
                "{path}"
            );
        }
    }
}
