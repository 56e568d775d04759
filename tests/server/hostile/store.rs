//! A database that others hold, and two servers on one.

use std::collections::BTreeSet;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use serde_json::json;

use super::bystanders::Bystanders;
use crate::support::{TestServer, Ws, eventually};

#[test]
fn a_database_held_by_somebody_else_stops_gifts_but_no_room_and_is_taken_up_again() {
    let server = TestServer::start(&[]);
    let streamer = server.user("streamer");
    let giver = server.rich_user("giver", 1_000);
    let gift = server.gift("flower", 7);
    let mut bystanders = Bystanders::meet(&server, &streamer);
    let live_id = server.live(&streamer);
    let mut ws = Ws::connect(&server, &giver);
    ws.join(live_id);

    let mut thief =
        SqliteConnection::establish(&server.database().display().to_string()).expect("a database");
    thief
        .batch_execute("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE")
        .expect("the lock is had in the end");
    let give = |name: &str| json!({"live_id": live_id, "gift_id": gift, "request_id": name});
    let refused = ws.ask("gift", give("refused"));
    assert_eq!(refused["code"], json!("busy"), "{refused}");
    eventually("the node says that it is not ready", || {
        (server.get("/readyz").status == 503).then_some(())
    });
    bystanders.assert_unharmed(&server, "a held database");
    let waiting = ws.send(
        "comment",
        json!({"live_id": live_id, "data": "told, and stored later"}),
    );

    thief.batch_execute("ROLLBACK").expect("the lock is ours");
    assert_eq!(
        ws.answer(waiting)["ok"],
        json!(true),
        "a comment waits for the store"
    );
    let taken = eventually("gifts are taken again", || {
        let answer = ws.ask("gift", give("taken"));
        (answer["ok"] == json!(true)).then_some(answer)
    });
    let again = ws.ask("gift", give("taken"));
    assert_eq!(
        (&again["gift_record_id"], &again["coin"]),
        (&taken["gift_record_id"], &taken["coin"])
    );
    eventually("the node is ready again", || {
        (server.get("/readyz").status == 200).then_some(())
    });
    server.assert_books_balance();
}

#[test]
fn two_servers_on_one_database_never_spend_a_coin_twice() {
    const GIFTS: i64 = 60;
    let many = ("LIVEROOM__LIMITS__COMMAND_BURST", "1000");
    let one = TestServer::start(&[many]);
    let streamer = one.user("streamer");
    let giver = one.rich_user("giver", 3 * GIFTS);
    let live_id = one.live(&streamer);
    let gift = one.gift("flower", 3);
    let url = format!("sqlite://{}", one.database().display());
    let two = TestServer::start(&[("LIVEROOM__STORE__URL", &url), many]);
    let mut records = BTreeSet::new();
    let mut sockets: Vec<Ws> = [&one, &two]
        .map(|server| Ws::connect(server, &giver))
        .into();
    for ws in &mut sockets {
        ws.join(live_id);
    }
    // Each gift is asked of both at once, and the last ten are more than there are coins for.
    for n in 0..GIFTS + 10 {
        let data = json!({"live_id": live_id, "gift_id": gift, "request_id": format!("g-{n}")});
        let asked: Vec<i64> = sockets
            .iter_mut()
            .map(|ws| ws.send("gift", data.clone()))
            .collect();
        for (ws, id) in sockets.iter_mut().zip(asked) {
            let answer = ws.answer(id);
            if n < GIFTS {
                assert_eq!(answer["ok"], json!(true), "{n}: {answer}");
                records.insert(answer["gift_record_id"].as_i64());
            } else {
                assert_eq!(answer["code"], json!("coins_insufficient"), "{n}: {answer}");
            }
        }
    }
    assert_eq!(records.len() as i64, GIFTS, "one record a gift");
    assert_eq!(one.balance(&giver), 0);
    one.assert_books_balance();
    two.assert_books_balance();
    let audit = one.run(&["audit"]);
    assert!(
        audit.status.success(),
        "{}",
        String::from_utf8_lossy(&audit.stdout)
    );
}

#[test]
fn rows_that_are_changed_by_hand_reach_rooms_sessions_and_the_catalogue() {
    let quick = [
        ("LIVEROOM__ROOMS__RECONCILE_MS", "100"),
        ("LIVEROOM__AUTH__RECHECK_MS", "100"),
    ];
    let server = TestServer::start(&quick);
    let streamer = server.user("streamer");
    let viewer = server.rich_user("viewer", 100);
    let idle = server.user("idler");
    let mut bystanders = Bystanders::meet(&server, &streamer);
    let live_id = server.live(&streamer);
    let mut ws = Ws::connect(&server, &viewer);
    ws.join(live_id);
    let mut idler = Ws::connect(&server, &idle);
    assert_eq!(
        idler.ask("leaveLive", json!({"live_id": 404}))["code"],
        json!("live_not_found")
    );

    let mut hand =
        SqliteConnection::establish(&server.database().display().to_string()).expect("a database");
    let mut by_hand = |sql: &str| {
        hand.batch_execute(&format!("PRAGMA busy_timeout = 10000; {sql}"))
            .expect("the row can be changed");
    };
    by_hand(&format!(
        "UPDATE lives SET status = 2, title = 'renamed' WHERE id = {live_id}"
    ));
    let live = ws.event("live");
    assert_eq!(
        (&live["status"], &live["title"]),
        (&json!(2), &json!("renamed")),
        "{live}"
    );

    by_hand(
        "INSERT INTO gifts (id, name, image, coin, created_at, updated_at) VALUES (77, 'pie', '/p.png', 9, 1, 1)",
    );
    eventually("the gift is on offer", || {
        let given = ws.ask("gift", json!({"live_id": live_id, "gift_id": 77}));
        (given["ok"] == json!(true)).then_some(())
    });

    by_hand(&format!(
        "UPDATE users SET status = 0 WHERE id = {}",
        idle.id
    ));
    let words = idler.wait_for("the last words", |frame| frame["msg"] == json!("fail"));
    assert_eq!(
        (&words["data"], idler.wait_for_close().0),
        (&json!("你已被禁用"), 3000)
    );

    by_hand(&format!("UPDATE lives SET status = 3 WHERE id = {live_id}"));
    assert_eq!(ws.event("live")["status"], json!(3));
    let late = Ws::connect(&server, &viewer).ask("joinLive", json!({"live_id": live_id}));
    assert_eq!(late["code"], json!("live_ended"), "{late}");
    bystanders.assert_unharmed(&server, "rows changed by hand");
}

#[test]
fn ending_a_live_again_closes_a_room_that_missed_the_end() {
    let server = TestServer::start(&[("LIVEROOM__ROOMS__RECONCILE_MS", "600000")]);
    let streamer = server.user("streamer");
    let viewer = server.user("viewer");
    let mut hand =
        SqliteConnection::establish(&server.database().display().to_string()).expect("a database");
    let stop = |id: i64| {
        server.post_as(
            &streamer,
            "/api/live/changestatus",
            &json!({"id": id, "type": "stop"}),
        )
    };
    let close = |id: i64| server.admin_post(&format!("/admin/rooms/{id}/close"), &json!({}));
    let ways: [(&dyn Fn(i64) -> crate::support::Answer, u16); 2] = [(&stop, 400), (&close, 200)];
    for (end, status) in ways {
        let live_id = server.live(&streamer);
        let mut ws = Ws::connect(&server, &viewer);
        ws.join(live_id);
        let sql = format!(
            "PRAGMA busy_timeout = 10000; UPDATE lives SET status = 3 WHERE id = {live_id}"
        );
        hand.batch_execute(&sql).expect("the row can be changed");
        assert_eq!(end(live_id).status, status);
        assert_eq!(ws.event("live")["status"], json!(3));
        let late = Ws::connect(&server, &viewer).ask("joinLive", json!({"live_id": live_id}));
        assert_eq!(late["code"], json!("live_ended"), "{late}");
        assert_eq!(end(live_id).status, status);
        assert!(
            ws.so_far()
                .iter()
                .all(|frame| frame["event"] != json!("live")),
            "an end is told once"
        );
    }
}
