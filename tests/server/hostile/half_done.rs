//! Clients that hang up in the middle of a request that changes something. The change happens with
//! all that follows from it, or not at all.
//!
//! What finds such a change by looking (rooms against rows, accounts, tokens) is out of reach here,
//! so that nothing makes up for a request that was cut in half.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use diesel::sql_types::BigInt;
use diesel::{Connection, RunQueryDsl, SqliteConnection};
use serde_json::{Value, json};
use socket2::SockRef;

use super::bystanders::Bystanders;
use crate::support::{ADMIN_TOKEN, PASSWORD, TestServer, User, Ws, eventually};

const LOOKS_FOR_NOTHING: [(&str, &str); 4] = [
    ("LIVEROOM__ROOMS__RECONCILE_MS", "600000"),
    ("LIVEROOM__AUTH__RECHECK_MS", "600000"),
    ("LIVEROOM__WEBSOCKET__PING_INTERVAL_MS", "300000"),
    ("LIVEROOM__WEBSOCKET__IDLE_TIMEOUT_MS", "600000"),
];

const TRIES: u64 = 40;

#[derive(diesel::QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// Reads one number behind the server's back.
fn number(server: &TestServer, sql: &str) -> i64 {
    let mut conn =
        SqliteConnection::establish(&server.database().display().to_string()).expect("a database");
    let row: Number = diesel::sql_query(sql)
        .get_result(&mut conn)
        .expect("one row");
    row.n
}

/// Sends a whole request and hangs up soon: after 0.1 to 2 ms, by turns with a good-bye and with a
/// reset.
fn abort(server: &TestServer, path: &str, header: (&str, &str), body: &Value, try_number: u64) {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).expect("the server accepts");
    let (name, value, body) = (header.0, header.1, body.to_string());
    let length = body.len();
    let request = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\n{name}: {value}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\n\r\n{body}"
    );
    stream
        .write_all(request.as_bytes())
        .expect("the server reads");
    // The attack itself: the moment at which the client hangs up.
    std::thread::sleep(Duration::from_micros(100 + (try_number * 1_900) / TRIES));
    if try_number.is_multiple_of(2) {
        SockRef::from(&stream)
            .set_linger(Some(Duration::ZERO))
            .expect("an option can be set");
    }
}

fn abort_as_operator(server: &TestServer, path: &str, body: &Value, try_number: u64) {
    abort(
        server,
        path,
        ("authorization", &format!("Bearer {ADMIN_TOKEN}")),
        body,
        try_number,
    );
}

fn status_of(server: &TestServer, live_id: i64) -> i64 {
    server.get(&format!("/api/live/read/{live_id}")).ok()["data"]["status"]
        .as_i64()
        .expect("a status")
}

/// Ends lives with `end`, whose clients hang up, and checks that each room and its row say the
/// same.
fn assert_rooms_follow(server: &TestServer, streamer: &User, end: impl Fn(i64, u64)) {
    let viewer = server.user("viewer");
    let mut watched = Vec::new();
    for n in 0..TRIES {
        let live_id = server.live(streamer);
        let mut ws = Ws::connect(server, &viewer);
        ws.join(live_id);
        end(live_id, n);
        watched.push((live_id, ws));
    }
    let mut ended_count = 0;
    for (live_id, mut ws) in watched {
        // One that is not ended here was given up with its connection, or is yet to come.
        if status_of(server, live_id) != 3 {
            continue;
        }
        ended_count += 1;
        assert_eq!(ws.event("live")["status"], json!(3), "live {live_id}");
        let late = Ws::connect(server, &viewer).ask("joinLive", json!({"live_id": live_id}));
        assert_eq!(late["code"], json!("live_ended"), "live {live_id}: {late}");
    }
    assert!(
        ended_count > 0,
        "no request of {TRIES} came through: nothing was tried"
    );
}

#[test]
fn a_streamer_that_hangs_up_while_ending_its_live_ends_it_for_everybody() {
    let server = TestServer::start(&LOOKS_FOR_NOTHING);
    let streamer = server.user("streamer");
    let mut bystanders = Bystanders::meet(&server, &streamer);
    assert_rooms_follow(&server, &streamer, |live_id, n| {
        let stop = json!({"id": live_id, "type": "stop"});
        abort(
            &server,
            "/api/live/changestatus",
            ("token", &streamer.token),
            &stop,
            n,
        );
    });
    bystanders.assert_unharmed(&server, "requests cut in half");
}

#[test]
fn an_operator_that_hangs_up_while_closing_a_live_closes_it_for_everybody() {
    let server = TestServer::start(&LOOKS_FOR_NOTHING);
    let streamer = server.user("streamer");
    assert_rooms_follow(&server, &streamer, |live_id, n| {
        abort_as_operator(
            &server,
            &format!("/admin/rooms/{live_id}/close"),
            &json!({}),
            n,
        );
    });
}

#[test]
fn a_gift_whose_operator_hangs_up_is_stored_and_on_offer_or_neither() {
    let server = TestServer::start(&LOOKS_FOR_NOTHING);
    for n in 0..TRIES {
        let gift = json!({"name": format!("gift {n}"), "image": "/g.png", "coin": 1});
        abort_as_operator(&server, "/admin/gifts", &gift, n);
    }
    // Requests of clients that hung up may be served later than this one, whose client waits.
    let last = server.gift("last", 1);
    let offers = || {
        server
            .get("/api/gift/list")
            .ok()
            .as_array()
            .expect("a list")
            .clone()
    };
    let stored = || number(&server, "SELECT count(*) AS n FROM gifts");
    eventually("what is stored is on offer", || {
        (stored() == offers().len() as i64).then_some(())
    });
    assert!(
        stored() > 1,
        "no request of {TRIES} came through: nothing was tried"
    );
    assert!(
        offers().iter().any(|gift| gift["id"] == json!(last)),
        "the one that was answered is on offer"
    );
}

#[test]
fn a_user_whose_operator_hangs_up_is_disabled_with_its_sessions_or_not_at_all() {
    let server = TestServer::start(&LOOKS_FOR_NOTHING);
    let watched: Vec<(User, Ws)> = (0..TRIES)
        .map(|n| {
            let user = server.user(&format!("user{n:02}"));
            let mut ws = Ws::connect(&server, &user);
            assert_eq!(
                ws.ask("leaveLive", json!({"live_id": 1}))["code"],
                json!("live_not_found")
            );
            abort_as_operator(
                &server,
                &format!("/admin/users/{}", user.id),
                &json!({"status": 0}),
                n,
            );
            (user, ws)
        })
        .collect();
    let mut disabled_count = 0;
    for (user, mut ws) in watched {
        if number(
            &server,
            &format!(
                "SELECT CAST(status AS BIGINT) AS n FROM users WHERE id = {}",
                user.id
            ),
        ) == 0
        {
            disabled_count += 1;
            assert_eq!(ws.wait_for_close().0, 3000, "{}", user.name);
            assert!(
                ws.kept().any(|frame| frame["data"] == json!("你已被禁用")),
                "{}",
                user.name
            );
        }
    }
    assert!(
        disabled_count > 0,
        "no request of {TRIES} came through: nothing was tried"
    );
}

#[test]
fn a_login_and_a_logout_whose_client_hangs_up_end_the_sessions_of_the_token_that_they_end() {
    let server = TestServer::start(&LOOKS_FOR_NOTHING);
    let honest = server.user("honest");
    let mut watched = Vec::new();
    for n in 0..TRIES {
        let user = server.user(&format!("user{n:02}"));
        let mut ws = Ws::connect(&server, &user);
        assert_eq!(
            ws.ask("leaveLive", json!({"live_id": 1}))["code"],
            json!("live_not_found")
        );
        let is_login = n % 4 < 2;
        if is_login {
            let login = json!({"username": user.name, "password": PASSWORD});
            abort(
                &server,
                "/api/login",
                ("accept", "application/json"),
                &login,
                n,
            );
        } else {
            abort(
                &server,
                "/api/logout",
                ("token", &user.token),
                &json!({}),
                n,
            );
        }
        watched.push((is_login, user, ws));
    }
    // Waits for its turn behind the passwords that are being compared.
    server.login(&honest.name);
    let mut ended_count = [0, 0];
    for (is_login, user, mut ws) in watched {
        if server.get_as(&user, "/api/user/info").status == 400 {
            ended_count[usize::from(is_login)] += 1;
            assert_eq!(ws.wait_for_close().0, 3000, "{}", user.name);
        }
    }
    assert!(
        ended_count.iter().all(|count| *count > 0),
        "logouts and logins that came through: {ended_count:?}"
    );
}

#[test]
fn members_whose_client_hangs_up_while_joining_do_not_stay() {
    let server = TestServer::start(&[("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", "100")]);
    let streamer = server.user("streamer");
    let viewer = server.user("viewer");
    let live_id = server.live(&streamer);
    let mut bystander = Ws::connect(&server, &streamer);
    bystander.join(live_id);

    for try_number in 0..TRIES {
        let mut ws = Ws::connect(&server, &viewer);
        ws.send("joinLive", json!({"live_id": live_id}));
        // The attack itself: the moment at which the client hangs up.
        std::thread::sleep(Duration::from_micros((try_number * 2_000) / TRIES));
        if try_number.is_multiple_of(2) {
            SockRef::from(&**ws.socket().get_ref())
                .set_linger(Some(Duration::ZERO))
                .expect("an option can be set");
        }
    }

    eventually("only the bystander is a member", || {
        let rooms = server.admin_get("/admin/rooms").ok();
        let room = rooms
            .as_array()?
            .iter()
            .find(|room| room["live_id"] == json!(live_id))?;
        (room["members"] == json!(1) && room["users"] == json!(1)).then_some(())
    });
    let answer = bystander.ask("comment", json!({"live_id": live_id, "data": "still here"}));
    assert_eq!(answer["ok"], json!(true), "{answer}");
    let looked = number(&server, "SELECT look_count AS n FROM lives");
    assert!(
        (1..=2).contains(&looked),
        "each user is counted once at most: {looked}"
    );
}
