//! Sessions that come in masses, and go without a word.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::json;
use socket2::{Domain, Socket, Type};

use super::bystanders::Bystanders;
use crate::support::{PATIENCE, TestServer, Ws, eventually, http};

const SEATS: usize = 40;

/// Asks for a session and leaves its connection open; what the server answered.
fn open(server: &TestServer, path: &str) -> (TcpStream, String) {
    let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("the server accepts");
    open_over(stream, path, "")
}

/// The same over a connection that is there already, with more header lines.
fn open_over(mut stream: TcpStream, path: &str, headers: &str) -> (TcpStream, String) {
    stream
        .set_read_timeout(Some(PATIENCE))
        .expect("a time limit can be set");
    let upgrade = if path.contains("polling") {
        ""
    } else {
        "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    };
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}{upgrade}\r\n").as_bytes())
        .expect("the server reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("the server answers");
        head.push(byte[0]);
    }
    (stream, String::from_utf8_lossy(&head).to_ascii_lowercase())
}

#[test]
fn seats_of_sessions_that_vanish_are_free_again() {
    let seats = SEATS.to_string();
    for path in [
        "/socket.io/?EIO=3&transport=polling",
        "/socket.io/?EIO=4&transport=polling",
        "/socket.io/?EIO=3&transport=websocket",
        "/socket.io/?EIO=4&transport=websocket",
        "/ws?token=",
    ] {
        let server = TestServer::start(&[
            ("LIVEROOM__LIMITS__CONNECTIONS", &seats),
            ("LIVEROOM__ENGINEIO__PING_INTERVAL_MS", "1000"),
            ("LIVEROOM__ENGINEIO__PING_TIMEOUT_MS", "500"),
            ("LIVEROOM__WEBSOCKET__PING_INTERVAL_MS", "1000"),
            ("LIVEROOM__WEBSOCKET__IDLE_TIMEOUT_MS", "1500"),
        ]);
        let path = if path == "/ws?token=" {
            format!("{path}{}", server.user("alice").token)
        } else {
            path.to_owned()
        };
        let files = format!("/proc/{}/fd", server.pid());
        let open_files = || {
            std::fs::read_dir(&files)
                .expect("a process has files")
                .count()
        };
        let before = open_files();
        let mut connections = Vec::new();
        let full = eventually(&format!("{path}: the node is full"), || {
            let (stream, head) = open(&server, &path);
            connections.push(stream);
            head.starts_with("http/1.1 503 ").then_some(head)
        });
        assert!(
            connections.len() > SEATS && full.contains("\r\nretry-after: "),
            "{path}: {full}"
        );
        // Half of them hang up without a close frame, the others stay and say nothing.
        connections.truncate(SEATS / 2);
        let mut seated = 0;
        eventually(&format!("{path}: all seats are free again"), || {
            let (_, head) = open(&server, &path);
            seated += usize::from(!head.starts_with("http/1.1 503 "));
            (seated == SEATS).then_some(())
        });
        drop(connections);
        // The store opens some files of its own when it is first asked.
        let few = before + SEATS / 4;
        eventually(&format!("{path}: descriptors are closed"), || {
            (open_files() <= few).then_some(())
        });
    }
}

#[test]
fn members_that_vanish_leave_the_room_and_the_room_is_retired() {
    let server = TestServer::start(&[
        ("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", "100"),
        ("LIVEROOM__ROOMS__IDLE_RETIRE_MS", "200"),
    ]);
    let alice = server.user("alice");
    let live_id = server.live(&alice);
    let path = format!("/admin/rooms/{live_id}");
    for _ in 0..3 {
        let mut members: Vec<Ws> = (0..100).map(|_| Ws::connect(&server, &alice)).collect();
        for member in &mut members {
            member.join(live_id);
        }
        assert_eq!(server.admin_get(&path).ok()["members"], json!(100));
        // No close frame: the connections just end.
        drop(members);
        eventually("the room is gone", || {
            (server.admin_get(&path).status == 404).then_some(())
        });
    }
}

#[test]
fn a_storm_of_joins_and_leaves_is_counted_right_and_heard_by_nobody_else() {
    let server = TestServer::start(&[
        ("LIVEROOM__LIMITS__COMMAND_BURST", "100000"),
        ("LIVEROOM__LIMITS__COMMANDS_PER_S", "100000"),
        ("LIVEROOM__LIMITS__JOIN_BURST", "100000"),
    ]);
    let alice = server.user("alice");
    let mut bystanders = Bystanders::meet(&server, &alice);
    let live_id = server.live(&alice);
    let mut members: Vec<Ws> = (0..10).map(|_| Ws::connect(&server, &alice)).collect();
    for _ in 0..20 {
        for member in &mut members {
            member.send("joinLive", json!({"live_id": live_id}));
            member.send("leaveLive", json!({"live_id": live_id}));
            member.send("leaveLive", json!({"live_id": live_id}));
        }
        bystanders.assert_unharmed(&server, "joins and leaves");
    }
    for member in &mut members {
        let joined = member.join(live_id);
        assert_eq!(
            joined["count"],
            json!(1),
            "one user, whatever its sessions: {joined}"
        );
    }
    assert_eq!(
        server.admin_get(&format!("/admin/rooms/{live_id}")).ok()["members"],
        json!(10)
    );
}

#[test]
fn a_server_that_was_stopped_goes_on_where_it_was() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let mut bystanders = Bystanders::meet(&server, &alice);
    server.signal("STOP");
    // Meanwhile clients knock, and hang up.
    for _ in 0..200 {
        drop(TcpStream::connect(("127.0.0.1", server.port())).expect("the kernel accepts"));
    }
    server.signal("CONT");
    bystanders.assert_unharmed(&server, "stopped");
    server.assert_books_balance();
}

/// Where a client of [`newcomers_get_in_beside`] connects from, and what its proxy says of it.
struct Origin {
    source: Ipv4Addr,
    forwarded_for: Option<String>,
}

impl Origin {
    fn direct(source: [u8; 4]) -> Self {
        Self {
            source: source.into(),
            forwarded_for: None,
        }
    }

    fn proxied(client: String) -> Self {
        Self {
            source: Ipv4Addr::LOCALHOST,
            forwarded_for: Some(client),
        }
    }

    /// Opens a WebSocket session and drops it; whether there was room.
    fn comes_and_goes(&self, port: u16) -> bool {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket
            .bind(&SocketAddr::from((self.source, 0)).into())
            .expect("all of 127.0.0.0/8 is ours");
        socket
            .connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into())
            .expect("the server accepts");
        let header = self
            .forwarded_for
            .as_ref()
            .map(|client| format!("x-forwarded-for: {client}\r\n"));
        let path = "/socket.io/?EIO=4&transport=websocket";
        let (_, head) = open_over(socket.into(), path, &header.unwrap_or_default());
        assert!(
            head.starts_with("http/1.1 101 ") || head.starts_with("http/1.1 503 "),
            "{head}"
        );
        head.starts_with("http/1.1 101 ")
    }
}

/// Ten that come and go as fast as they can, and beside them newcomers that come once each: all of
/// these get in although the others take all that they are given.
fn newcomers_get_in_beside(
    flooder: impl Fn(u16) -> Origin + Sync,
    newcomer: impl Fn(u16) -> Origin,
) {
    let server = TestServer::start(&[
        ("LIVEROOM__SERVER__TRUSTED_PROXIES", "127.0.0.1"),
        ("LIVEROOM__LIMITS__CONNECTIONS_PER_ADDRESS", "200"),
        ("LIVEROOM__LIMITS__CONNECTIONS_PER_S", "200"),
    ]);
    let (port, is_over) = (server.port(), AtomicBool::new(false));
    let (came, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for flooder_number in 0..10 {
            let (flooder, is_over, came, refused) = (&flooder, &is_over, &came, &refused);
            scope.spawn(move || {
                // Each comes from another /64 each time, if it can.
                for visit in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        return;
                    }
                    let was_let_in = flooder(10 * visit + flooder_number).comes_and_goes(port);
                    (if was_let_in { came } else { refused }).fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let attack = eventually("the flood meets the limit", || {
            let (came, refused) = (
                came.load(Ordering::Relaxed),
                refused.load(Ordering::Relaxed),
            );
            (came > 300 && refused > 100).then_some((came, refused))
        });
        let let_in = (1..=20)
            .filter(|number| newcomer(*number).comes_and_goes(port))
            .count();
        is_over.store(true, Ordering::Relaxed);
        assert_eq!(
            let_in, 20,
            "newcomers beside a flood of which (came, refused) = {attack:?}"
        );
    });
}

#[test]
fn ten_addresses_that_connect_and_drop_keep_no_newcomer_out() {
    newcomers_get_in_beside(
        |number| Origin::direct([127, 0, 0, 10 + (number % 10) as u8]),
        |number| Origin::direct([127, 0, 1, number as u8]),
    );
}

#[test]
fn an_ipv6_network_behind_a_proxy_that_connects_and_drops_keeps_no_newcomer_out() {
    newcomers_get_in_beside(
        |number| Origin::proxied(format!("2001:db8:1:{number:x}::1")),
        |number| Origin::proxied(format!("2001:db8:{:x}::1", number + 1)),
    );
}

#[test]
fn a_proxy_that_is_not_believed_is_logged_once() {
    let server = TestServer::start(&[("LIVEROOM__LIMITS__CONNECTIONS_PER_ADDRESS", "2")]);
    let path = "/socket.io/?EIO=4&transport=polling";
    let statuses: Vec<u16> = (1..=3)
        .map(|client| {
            let forwarded = format!("192.0.2.{client}");
            http::request(
                server.port(),
                "GET",
                path,
                &[("x-forwarded-for", &forwarded)],
                None,
            )
            .status
        })
        .collect();
    assert_eq!(statuses, [200, 200, 503], "they count as one address");
    let logged = eventually("the log says so", || {
        let logged = server.logged("x-forwarded-for ignored");
        (!logged.is_empty()).then_some(logged)
    });
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].contains("peer=127.0.0.1 "), "{logged:?}");
}
