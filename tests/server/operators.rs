//! What operators see and do, against a running server with members in its rooms.

use crate::support::cluster::LOOKS_SELDOM;
use crate::support::{TestServer, Ws, eventually};
use serde_json::json;

#[test]
fn operators_see_rooms_as_they_are() {
    let server = TestServer::start(&[]);
    let streamer = server.user("streamer");
    let live = server.live(&streamer);
    let gift = server.gift("flower", 5);
    let alice = server.rich_user("alice1", 100);
    let mut first = Ws::connect(&server, &alice);
    let mut second = Ws::connect(&server, &alice);
    let joined = first.join(live);
    second.join(live);
    first.ask("comment", json!({"live_id": live, "data": "hello"}));
    first.ask("gift", json!({"live_id": live, "gift_id": gift, "num": 2}));

    let rooms = server.admin_get("/admin/rooms").ok();
    let room = rooms
        .as_array()
        .and_then(|rooms| rooms.first())
        .unwrap_or(&rooms["rooms"][0])
        .clone();
    assert_eq!(room["live_id"], json!(live), "{rooms}");
    assert_eq!(
        (&room["members"], &room["users"]),
        (&json!(2), &json!(1)),
        "{room}"
    );
    assert_eq!(
        (&room["epoch"], &room["offset"]),
        (&joined["epoch"], &json!(2)),
        "{room}"
    );

    let detail = server.admin_get(&format!("/admin/rooms/{live}")).ok();
    assert_eq!(
        detail["members_list"].as_array().map(Vec::len),
        Some(2),
        "{detail}"
    );
    assert_eq!(
        detail["events"].as_array().map(Vec::len),
        Some(2),
        "{detail}"
    );
}

#[test]
fn disabling_a_user_ends_its_sessions_at_once_and_keeps_it_out() {
    // The server does not look by itself in the time of a test.
    let server = TestServer::start(&LOOKS_SELDOM);
    let streamer = server.user("streamer");
    let live = server.live(&streamer);
    let alice = server.user("alice1");
    let mut watching = Ws::connect(&server, &streamer);
    watching.join(live);
    let mut ws = Ws::connect(&server, &alice);
    ws.join(live);

    server
        .admin_post(&format!("/admin/users/{}", alice.id), &json!({"status": 0}))
        .ok();
    let fail = ws.wait_for("the last words", |frame| frame["msg"] == json!("fail"));
    let (code, _) = ws.wait_for_close();
    assert_eq!((fail["data"].as_str(), code), (Some("你已被禁用"), 3000));
    let leave = watching.event_where("online", |online| online["action"] == json!("leave"));
    assert_eq!(leave["user"]["id"], json!(alice.id));

    let mut again = Ws::connect(&server, &alice);
    let fail = again.wait_for("the last words", |frame| frame["msg"] == json!("fail"));
    assert!(fail["data"].is_string(), "{fail}");
    again.wait_for_close();
}

#[test]
fn logging_out_ends_the_sessions_of_the_token() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice1");
    let mut ws = Ws::connect(&server, &alice);
    ws.ask("leaveLive", json!({"live_id": 1}));
    server.post_as(&alice, "/api/logout", &json!({})).ok();
    let fail = ws.wait_for("the last words", |frame| frame["msg"] == json!("fail"));
    assert_eq!(fail["data"], json!("Token 令牌不合法!"));
    assert_eq!(ws.wait_for_close().0, 3000);
}

#[test]
fn audit_exits_with_one_and_names_the_row_when_the_books_are_wrong() {
    let mut server = TestServer::start(&[]);
    let alice = server.rich_user("alice1", 100);
    server.kill();
    let audit = server.run(&["audit"]);
    assert!(
        audit.status.success(),
        "{}",
        String::from_utf8_lossy(&audit.stdout)
    );

    let tamper = format!("UPDATE users SET coin = coin + 1 WHERE id = {}", alice.id);
    let python = std::process::Command::new("python3")
        .args(["-c", "import sqlite3,sys; c=sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"])
        .arg(server.database())
        .arg(&tamper)
        .status();
    assert!(
        python.is_ok_and(|status| status.success()),
        "python3 is among the tools tests need"
    );

    let audit = server.run(&["audit"]);
    let told = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert_eq!(audit.status.code(), Some(1), "{told}");
    assert!(told.contains(&format!("user {}", alice.id)), "{told}");
}

#[test]
fn a_token_of_the_command_line_logs_in() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice1");
    let printed = server.run(&["token", &alice.id.to_string()]);
    assert!(
        printed.status.success(),
        "{}",
        String::from_utf8_lossy(&printed.stderr)
    );
    let token = String::from_utf8(printed.stdout)
        .expect("a token is text")
        .trim()
        .to_owned();
    // The running server finds out within its cache's five seconds that the token was replaced.
    eventually("the new token is good", || {
        let mut ws = Ws::connect_with(&server, &token);
        ws.send("leaveLive", json!({"live_id": 404}));
        let frame = ws.read()?;
        (frame["code"] == json!("live_not_found")).then_some(())
    });
}
