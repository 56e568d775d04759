//! Exports that are long, and clients that do not read theirs.

use std::io::{Read, Write};
use std::net::TcpStream;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use serde_json::json;
use socket2::SockRef;

use crate::support::{ADMIN_TOKEN, PATIENCE, TestServer, Ws, eventually};

/// Of 2,000 characters each: an export of 80 MB, far more than sockets hold on their way.
const COMMENTS: usize = 40_000;

/// What an export may add to the memory, in KiB: a page of 2 MB in some forms, and what allocators
/// and the database hold on to. Half of what the export is long.
const GROWTH_KIB_MAX: u64 = 40_000;

/// A live with so many comments, past the API.
fn talkative_live(server: &TestServer) -> i64 {
    let streamer = server.user("streamer");
    let live = server.live(&streamer);
    let mut conn =
        SqliteConnection::establish(&server.database().display().to_string()).expect("a database");
    conn.batch_execute(&format!(
        "PRAGMA busy_timeout = 10000;
         INSERT INTO comments (id, live_id, user_id, content, created_at)
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {COMMENTS})
         SELECT i, {live}, 1, hex(zeroblob(1000)), i FROM n"
    ))
    .expect("the rows fit");
    live
}

/// Asks for an export of comments and reads nothing of it.
fn begin_export(server: &TestServer, live: i64) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).expect("it accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("a limit");
    let head = format!(
        "GET /admin/lives/{live}/export/comments?format=csv HTTP/1.1\r\nhost: 127.0.0.1\r\n\
         authorization: Bearer {ADMIN_TOKEN}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("it reads");
    stream
}

#[test]
fn an_export_takes_the_memory_of_a_page_however_long_it_is() {
    let server = TestServer::start(&[]);
    let live = talkative_live(&server);
    let before = server.memory_kib();
    let mut stream = begin_export(&server, live);
    let (mut lines, mut most) = (0, 0);
    let mut part = vec![0; 1 << 20];
    loop {
        match stream.read(&mut part).expect("it goes on") {
            0 => break,
            read => lines += part[..read].iter().filter(|byte| **byte == b'\n').count(),
        }
        most = most.max(server.memory_kib());
    }
    // The head of the answer and the sizes of its chunks are lines too.
    assert!(lines > COMMENTS, "{lines}");
    assert!(
        most < before + GROWTH_KIB_MAX,
        "{before} KiB, then {most} KiB"
    );
}

#[test]
fn clients_that_do_not_read_their_exports_hold_up_nobody_and_are_cut_off() {
    let server = TestServer::start(&[("LIVEROOM__SERVER__STALL_TIMEOUT_MS", "2000")]);
    let live = talkative_live(&server);
    let stall = |_| {
        let mut stream = begin_export(&server, live);
        let _ = SockRef::from(&stream).set_recv_buffer_size(4_096);
        let mut status = [0; 12];
        stream.read_exact(&mut status).expect("it answers");
        assert_eq!(&status, b"HTTP/1.1 200");
        stream
    };
    let stalled: Vec<_> = (0..4).map(stall).collect();
    let path = format!("/admin/lives/{live}/export/gifts?format=csv");
    assert_eq!(server.admin_get(&path).status, 503, "four are under way");
    let viewer = server.user("viewer");
    let mut ws = Ws::connect(&server, &viewer);
    ws.ask("joinLive", json!({"live_id": live}));
    let answer = ws.ask("comment", json!({"live_id": live, "data": "hello"}));
    assert_eq!(answer["ok"], json!(true), "{answer}");
    eventually("those that do not read are cut off", || {
        (server.admin_get(&path).status == 200).then_some(())
    });
    drop(stalled);
}
