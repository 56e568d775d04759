//! SIGTERM: everybody is told, nothing acked or decided is lost, the process ends by itself.

use std::net::TcpStream;

use crate::support::{TestServer, Ws, eventually};
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use serde_json::json;

#[test]
fn sigterm_tells_clients_to_come_back_and_exits_with_success() {
    let mut server = TestServer::start(&[]);
    let streamer = server.user("streamer");
    let live = server.live(&streamer);
    let mut ws = Ws::connect(&server, &streamer);
    ws.join(live);

    server.signal("TERM");

    let (code, reason) = ws.wait_for_close();
    assert_eq!(code, 1001, "{reason}");
    assert!(server.wait_for_exit().success());
}

#[test]
fn an_orderly_stop_logs_no_errors() {
    let mut server = TestServer::start(&[("RUST_LOG", "info")]);
    let streamer = server.user("streamer");
    let live = server.live(&streamer);
    // What the acceptor reports depends on when its thread runs.
    for stops in 1..=5 {
        let mut ws = Ws::connect(&server, &streamer);
        ws.join(live);
        server.signal("TERM");
        ws.wait_for_close();
        assert!(server.wait_for_exit().success());
        eventually("its log is read", || {
            (server.logged("drained").len() == stops).then_some(())
        });
        assert_eq!(server.logged(" ERROR "), Vec::<String>::new());
        server.restart();
    }
}

#[test]
fn what_was_decided_before_sigterm_is_durable_after_it() {
    let mut server = TestServer::start(&[("LIVEROOM__LIMITS__COMMAND_BURST", "1000")]);
    let streamer = server.user("streamer");
    let live = server.live(&streamer);
    let gift = server.gift("flower", 1);
    let alice = server.rich_user("alice1", 1_000);
    let mut ws = Ws::connect(&server, &alice);
    ws.join(live);
    for n in 0..100 {
        ws.send(
            "gift",
            json!({"live_id": live, "gift_id": gift, "request_id": format!("g-{n}")}),
        );
    }
    // The first answer shows that the rest is under way.
    let first = ws.wait_for("a gift's answer", |frame| frame["gift_record_id"].is_i64());
    assert_eq!(first["ok"], json!(true));
    server.signal("TERM");
    let mut acked = 1;
    while let Some(frame) = ws.read() {
        if frame["gift_record_id"].is_i64() {
            acked += 1;
        }
    }
    acked += ws
        .kept()
        .filter(|frame| frame["gift_record_id"].is_i64())
        .count();
    assert!(server.wait_for_exit().success());

    let audit = server.run(&["audit"]);
    assert!(
        audit.status.success(),
        "{}",
        String::from_utf8_lossy(&audit.stdout)
    );
    server.restart();
    server.assert_books_balance();
    let spent = 1_000 - server.balance(&alice);
    assert!(
        usize::try_from(spent).is_ok_and(|spent| spent >= acked),
        "acked {acked}, spent {spent}"
    );
}

#[test]
fn a_change_that_is_under_way_when_the_server_stops_is_completed_and_answered() {
    let mut server = TestServer::start(&[("LIVEROOM__LIMITS__CHANGES", "1")]);
    let streamer = server.user("streamer");
    let live = server.live(&streamer);
    let mut holder =
        SqliteConnection::establish(&server.database().display().to_string()).expect("a database");
    holder
        .batch_execute("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE")
        .expect("the lock is had in the end");

    let (port, token) = (server.port(), streamer.token.clone());
    let stopping = std::thread::spawn(move || {
        let stop = json!({"id": live, "type": "stop"});
        crate::support::http::request(
            port,
            "POST",
            "/api/live/changestatus",
            &[("token", &token)],
            Some(&stop),
        )
    });
    eventually(
        "the change waits for the database, and holds the only seat",
        || {
            // Refused for its fields while there is a seat.
            let other = server.admin_post("/admin/gifts", &json!({}));
            (other.status == 503 && other.header("retry-after").is_some()).then_some(())
        },
    );
    server.signal("TERM");
    eventually("nobody is accepted any more", || {
        TcpStream::connect(("127.0.0.1", port))
            .is_err()
            .then_some(())
    });
    holder.batch_execute("ROLLBACK").expect("the lock is ours");

    let answer = stopping.join().expect("the client is answered");
    assert_eq!(answer.ok(), json!("ok"));
    assert!(server.wait_for_exit().success());
    server.restart();
    assert_eq!(
        server.get(&format!("/api/live/read/{live}")).ok()["data"]["status"],
        json!(3)
    );
}
