//! What a console shows: the overview of nodes and rooms, its charts, and the live feed of a room.

use serde_json::{Value, json};

use crate::support::console::Console;
use crate::support::{ADMIN_TOKEN, TestServer, Ws, eventually, http};

/// The row of a live in an overview.
fn row(overview: &Value, live_id: i64) -> Option<Value> {
    let rooms = overview["rooms"].as_array().expect("a list of rooms");
    let found = rooms.iter().find(|room| room["live_id"] == json!(live_id));
    found.cloned()
}

fn live_ids(overview: &Value) -> Vec<i64> {
    let rooms = overview["rooms"].as_array().expect("a list of rooms");
    let id = |room: &Value| room["live_id"].as_i64().expect("an id");
    rooms.iter().map(id).collect()
}

#[test]
fn an_overview_says_of_each_room_what_happens_in_it() {
    let server = TestServer::start(&[]);
    let live = server.live(&server.user("streamer"));
    let gift = server.gift("flower", 5);
    let alice = server.rich_user("alice1", 100);
    let (mut first, mut second) = (Ws::connect(&server, &alice), Ws::connect(&server, &alice));
    first.join(live);
    second.join(live);
    let mut console = Console::connect(&server);
    console.look_at_overview();
    let charts = console.next("charts");
    assert_eq!(charts["data"]["step_ms"], json!(5_000), "{charts}");
    console.wait_for("overview", |message| {
        row(&message["data"], live).is_some_and(|row| row["members"] == json!(2))
    });
    first.ask("comment", json!({"live_id": live, "data": "hello"}));
    first.ask("gift", json!({"live_id": live, "gift_id": gift, "num": 2}));
    let message = console.wait_for("overview", |message| {
        row(&message["data"], live).is_some_and(|row| row["coin"] == json!(10))
    });
    let overview = &message["data"];
    let row = row(overview, live).expect("it is open");
    for (name, value) in [
        ("title", json!("a live")),
        ("status", json!(1)),
        ("users", json!(1)),
        ("slow", json!(0)),
        ("comments_held_per_s", json!(0.0)),
    ] {
        assert_eq!(row[name], value, "{name}: {row}");
    }
    for name in [
        "joins_per_s",
        "comments_in_per_s",
        "comments_shown_per_s",
        "gifts_per_s",
        "coins_per_s",
    ] {
        assert!(
            row[name].as_f64().is_some_and(|rate| rate > 0.0),
            "{name}: {row}"
        );
    }
    let node = &overview["nodes"][0];
    assert_eq!(
        (&node["self"], &node["members"], &node["consoles"]),
        (&json!(true), &json!(2), &json!(1)),
        "{node}"
    );
    assert!(
        node["memory_bytes"].as_u64().is_some_and(|it| it > 1 << 20),
        "{node}"
    );
    assert_eq!(overview["totals"]["members"], json!(2), "{overview}");
    assert_eq!(
        (&message["view"]["sort"], &message["view"]["order"]),
        (&json!("members"), &json!("desc"))
    );
    // A script gets the same.
    let asked = server.admin_get("/admin/overview").ok();
    assert_eq!(asked["rooms"][0]["live_id"], json!(live), "{asked}");
    drop((first, second));
}

#[test]
fn rooms_are_sorted_searched_and_cut_into_pages_by_the_server() {
    let server = TestServer::start(&[]);
    let streamer = server.user("streamer");
    let lives: Vec<i64> = (0..3).map(|_| server.live(&streamer)).collect();
    let other = server.user("another1");
    let others = server.live(&other);
    let mut members = Vec::new();
    for (count, live) in [(1, lives[0]), (3, lives[1]), (2, lives[2]), (1, others)] {
        for _ in 0..count {
            let mut member = Ws::connect(&server, &streamer);
            member.join(live);
            members.push(member);
        }
    }
    let title = json!({"title": "Evening SONGS", "request_id": "t1"});
    server
        .admin_post(&format!("/admin/rooms/{}/title", lives[2]), &title)
        .ok();
    let ask = |query: &str| server.admin_get(&format!("/admin/overview?{query}")).ok();
    let all = eventually("the rooms have published their members", || {
        let all = ask("");
        (all["totals"]["members"] == json!(7)).then_some(all)
    });
    assert_eq!(live_ids(&all), [lives[1], lives[2], lives[0], others]);
    assert_eq!(
        (&all["rooms_found"], &all["is_exact"]),
        (&json!(4), &json!(true)),
        "{all}"
    );
    for (query, expected) in [
        (
            "sort=live_id&order=asc",
            vec![lives[0], lives[1], lives[2], others],
        ),
        ("order=asc", vec![lives[0], others, lives[2], lives[1]]),
        ("limit=2", vec![lives[1], lives[2]]),
        ("limit=2&page=2", vec![lives[0], others]),
        ("limit=2&page=3", vec![]),
        ("search=songs", vec![lives[2]]),
        ("search=nothing+like+it", vec![]),
        // No streamer has this id.
        (&format!("search={}", lives[2]), vec![lives[2]]),
    ] {
        let overview = ask(query);
        assert_eq!(live_ids(&overview), expected, "{query}: {overview}");
    }
    let of_streamer = ask(&format!("search={}&sort=live_id", other.id));
    assert!(live_ids(&of_streamer).contains(&others), "{of_streamer}");
}

#[test]
fn wrong_questions_are_answered_and_change_nothing() {
    let server = TestServer::start(&[]);
    for query in [
        "sort=title",
        "sort=",
        "order=up",
        "page=0",
        "page=1001",
        "page=1e3",
        "limit=0",
        "limit=101",
        "search=%ff%fe&limit=x",
        &format!("search={}", "x".repeat(101)),
    ] {
        let answer = server.admin_get(&format!("/admin/overview?{query}"));
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
    }
    let mut console = Console::connect(&server);
    console.look_at_overview();
    console.next("overview");
    for (message, text) in [
        (
            json!({"view": "nothing"}),
            "view must be overview, room or none",
        ),
        (json!({"view": "room"}), "live_id must be the id of a live"),
        (
            json!({"view": "room", "live_id": -1}),
            "live_id must be the id of a live",
        ),
        (
            json!({"view": "overview", "sort": "title"}),
            "sort is no column",
        ),
        (
            json!({"view": "overview", "limit": 101}),
            "limit must be 1 to 100",
        ),
        (
            json!({"view": "overview", "column": 1}),
            "a view is an object with `view` and its fields",
        ),
        (json!([1]), "a view is an object with `view` and its fields"),
    ] {
        console.send(&message);
        assert_eq!(console.next("error")["data"], json!(text), "{message}");
    }
    console.next("overview");
}

#[test]
fn a_feed_is_for_operators_and_pages_of_this_server_alone() {
    let server = TestServer::start(&[]);
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let wrong = "Bearer a-wrong-token-of-some-length".to_owned();
    let user = format!("Bearer {}", server.user("alice1").token);
    let own = format!("http://127.0.0.1:{}", server.port());
    for (status, authorization, origin) in [
        (401, None, None),
        (401, Some(&wrong), None),
        (401, Some(&user), None),
        (403, Some(&bearer), Some("https://other.example")),
        (403, Some(&bearer), Some("null")),
        (403, Some(&bearer), Some("http://127.0.0.1:1")),
        (403, Some(&bearer), Some("")),
    ] {
        let mut headers = Vec::new();
        headers.extend(authorization.map(|it| ("authorization", it.as_str())));
        headers.extend(origin.map(|it| ("origin", it)));
        let refused = Console::connect_with(&server, &headers).err();
        assert_eq!(refused, Some(status), "{authorization:?} {origin:?}");
    }
    let headers = [("authorization", bearer.as_str()), ("origin", own.as_str())];
    assert!(Console::connect_with(&server, &headers).is_ok());
    assert_eq!(server.admin_get("/admin/feed").status, 400, "no WebSocket");
    assert_eq!(server.get("/admin/feed").status, 401);
    assert_eq!(server.get("/admin/overview").status, 401);
    assert_eq!(server.get("/admin/charts").status, 401);

    let without = TestServer::start(&[("LIVEROOM__ADMIN__TOKEN", "")]);
    let refused = Console::connect_with(&without, &[("authorization", &bearer)]).err();
    assert_eq!(refused, Some(404));
}

#[test]
fn a_console_sees_what_its_token_allows_and_ends_with_it() {
    let server = TestServer::start(&[]);
    let live = server.live(&server.user("streamer"));
    let token = |name: &str, scopes: Value| {
        let asked = json!({"name": name, "scopes": scopes});
        server.admin_post("/admin/tokens", &asked).ok()
    };
    let (looks, moves_coins) = (
        token("charts", json!(["look"])),
        token("books", json!(["finance"])),
    );
    let bearer = |token: &Value| format!("Bearer {}", token["token"].as_str().expect("a secret"));
    let refused = Console::connect_with(&server, &[("authorization", &bearer(&moves_coins))]);
    assert_eq!(refused.err(), Some(403), "it may not look");
    let mut console =
        Console::connect_with(&server, &[("authorization", &bearer(&looks))]).expect("it may look");
    console.look_at_overview();
    console.next("overview");
    console.look_at_room(live);
    let error = console.next("error");
    assert_eq!(error["data"], json!("your role may not read comments"));
    server
        .admin_delete(&format!("/admin/tokens/{}", looks["id"]))
        .ok();
    assert_eq!(console.wait_for_close(), 3000);
}

#[test]
fn a_console_whose_tab_is_hidden_receives_nothing() {
    let server = TestServer::start(&[]);
    let (mut hidden, mut open) = (Console::connect(&server), Console::connect(&server));
    hidden.look_at_overview();
    hidden.next("overview");
    hidden.send(&json!({"view": "none"}));
    // A snapshot that was under way may still come before this answer, and none after it.
    hidden.so_far();
    open.look_at_overview();
    for _ in 0..3 {
        open.next("overview");
    }
    let came = hidden.so_far();
    let came_late = came.len() <= 1;
    assert!(came_late, "{came:?}");
    hidden.look_at_overview();
    hidden.next("overview");
}

#[test]
fn a_watched_room_shows_its_events_and_what_each_cost() {
    let server = TestServer::start(&[]);
    let streamer = server.user("streamer");
    let live = server.live(&streamer);
    server
        .admin_post_text("/admin/filter/import", "坏话\thold")
        .ok();
    let alice = server.user("alice1");
    let mut members: Vec<Ws> = (0..3)
        .map(|_| {
            let mut member = Ws::connect(&server, &alice);
            member.join(live);
            member
        })
        .collect();
    let mut console = Console::connect(&server);
    console.look_at_room(live);
    console.wait_for("room", |message| {
        message["data"]["room"]["members"] == json!(3)
    });
    console.wait_until_watched(|| {
        members[2].ask("comment", json!({"live_id": live, "data": "warm-up"}));
    });
    let said = members[0].ask("comment", json!({"live_id": live, "data": "hello"}));
    let comment = console.event(|event| event["id"] == said["comment_id"]);
    assert_eq!(
        (&comment["event"], &comment["content"], &comment["name"]),
        (&json!("comment"), &json!("hello"), &json!("alice1")),
        "{comment}"
    );
    let cost = &comment["cost"];
    assert_eq!(cost["deliveries"], json!(3), "{comment}");
    let bytes = cost["bytes"].as_u64().expect("a size");
    assert!(bytes > 50, "{comment}");
    assert_eq!(cost["delivered_bytes"], json!(3 * bytes), "{comment}");
    for name in ["encode_us", "fan_out_us"] {
        assert!(
            cost[name].as_f64().is_some_and(|us| us > 0.0),
            "{name}: {comment}"
        );
    }

    members[1].ask("comment", json!({"live_id": live, "data": "坏话"}));
    let held = console.event(|event| event["event"] == json!("held"));
    assert_eq!(
        (&held["content"], &held["rule"], &held["user_id"]),
        (&json!("坏话"), &json!("term"), &json!(alice.id)),
        "{held}"
    );
    let id = comment["id"].as_str().expect("an id");
    server
        .admin_delete(&format!("/admin/rooms/{live}/comments/{id}"))
        .ok();
    let removed = console.event(|event| event["event"] == json!("removed"));
    assert_eq!(removed["id"], json!(id), "{removed}");
}

#[test]
fn a_crowd_is_sampled_for_the_console_and_not_for_members() {
    let env = [
        ("LIVEROOM__LIMITS__COMMENT_BURST", "1000"),
        ("LIVEROOM__LIMITS__COMMAND_BURST", "1000"),
        ("LIVEROOM__LIMITS__CROWD_EVENTS_PER_S", "0"),
    ];
    let server = TestServer::start(&env);
    let live = server.live(&server.user("streamer"));
    let alice = server.user("alice1");
    let mut member = Ws::connect(&server, &alice);
    member.join(live);
    let mut console = Console::connect(&server);
    console.look_at_room(live);
    console.wait_until_watched(|| {
        member.ask("comment", json!({"live_id": live, "data": "warm-up"}));
    });
    for n in 0..300 {
        member.send("comment", json!({"live_id": live, "data": format!("{n}")}));
    }
    let (mut shown, mut skipped) = (0, 0);
    while shown + skipped < 300 {
        let came = console.next("room");
        shown += came["data"]["events"].as_array().map_or(0, Vec::len);
        skipped += came["data"]["skipped"].as_u64().map_or(0, |it| it as usize);
    }
    assert!(skipped > 0 && shown > 0, "{shown} shown, {skipped} skipped");
    let last = member.event_where("comment", |comment| comment["content"] == json!("299"));
    assert_eq!(last["content"], json!("299"), "members receive all");
}

#[test]
fn more_consoles_than_fit_are_refused_and_a_seat_is_free_when_one_leaves() {
    let server = TestServer::start(&[("LIVEROOM__LIMITS__CONSOLES", "2")]);
    let bearer = format!("Bearer {ADMIN_TOKEN}");
    let headers = [("authorization", bearer.as_str())];
    let first = Console::connect(&server);
    let mut second = Console::connect(&server);
    assert_eq!(Console::connect_with(&server, &headers).err(), Some(503));
    first.close();
    let mut third = eventually("the seat is free", || {
        Console::connect_with(&server, &headers).ok()
    });
    third.look_at_overview();
    second.look_at_overview();
    assert_eq!(
        third.next("overview")["type"],
        second.next("overview")["type"]
    );
}

#[test]
fn a_console_that_floods_is_closed_and_others_go_on() {
    let server = TestServer::start(&[]);
    let (mut flooding, mut calm) = (Console::connect(&server), Console::connect(&server));
    calm.look_at_overview();
    for _ in 0..60 {
        flooding.send(&json!({"view": "none"}));
    }
    assert_eq!(flooding.wait_for_close(), 1008);
    calm.next("overview");
}

#[test]
fn consoles_are_sent_elsewhere_when_the_node_stops() {
    let mut server = TestServer::start(&[]);
    let mut console = Console::connect(&server);
    console.look_at_overview();
    console.next("overview");
    server.signal("TERM");
    assert_eq!(console.wait_for_close(), 1001);
    assert!(server.wait_for_exit().success());
}

#[test]
fn a_console_that_reads_nothing_harms_nobody() {
    let server = TestServer::start(&[]);
    let streamer = server.user("streamer");
    let lives: Vec<i64> = (0..40).map(|_| server.live(&streamer)).collect();
    // As many as one session may join.
    let mut members: Vec<Ws> = (lives.chunks(8))
        .map(|eight| {
            let mut member = Ws::connect(&server, &streamer);
            eight.iter().for_each(|live| _ = member.join(*live));
            member
        })
        .collect();
    let _deaf: Vec<Console> = (0..20)
        .map(|_| {
            let mut console = Console::connect(&server);
            console.send(&json!({"view": "overview", "limit": 100}));
            console
        })
        .collect();
    let mut reading = Console::connect(&server);
    reading.send(&json!({"view": "overview", "limit": 100}));
    for _ in 0..3 {
        let message = reading.next("overview");
        assert_eq!(message["data"]["rooms_found"], json!(40));
    }
    let said = members[0].ask(
        "comment",
        json!({"live_id": lives[0], "data": "still here"}),
    );
    assert_eq!(said["ok"], json!(true), "{said}");
    assert_eq!(
        http::request(server.port(), "GET", "/healthz", &[], None).status,
        200
    );
}
