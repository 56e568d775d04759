//! The tiers as clients of `/ws` see them, at thresholds that few clients reach.

use serde_json::{Value, json};

use crate::support::{TestServer, User, Ws};

fn server() -> TestServer {
    TestServer::start(&[
        ("LIVEROOM__PRESENCE__FULL_USERS_MAX", "2"),
        ("LIVEROOM__PRESENCE__MERGED_USERS_MAX", "4"),
        ("LIVEROOM__PRESENCE__NOTABLE_USERS_MAX", "2"),
        ("LIVEROOM__PRESENCE__MERGE_MS", "200"),
    ])
}

fn named(online: &Value) -> Vec<i64> {
    let users = online["data"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    users
        .iter()
        .filter_map(|user| user["id"].as_i64())
        .collect()
}

/// Waits until `member` is told of so many users, and returns how.
fn told_of(member: &mut Ws, count: usize) -> Value {
    member.event_where("online", |online| online["count"] == json!(count))
}

#[test]
fn everybody_is_told_less_on_the_way_up_and_everything_again_on_the_way_down() {
    let server = server();
    let users: Vec<User> = (0..5).map(|n| server.user(&format!("viewer{n}"))).collect();
    let id = |n: usize| users[n].id;
    let live = server.live(&users[0]);
    let mut members: Vec<Ws> = users
        .iter()
        .map(|user| Ws::connect(&server, user))
        .collect();

    // Full: each by itself, with users and sockets, and no fields that old clients do not know how
    // to read.
    members[0].join(live);
    members[1].join(live);
    let full = told_of(&mut members[0], 2);
    assert_eq!(
        (
            named(&full),
            full["action"].as_str(),
            full["user"]["id"].as_i64()
        ),
        (vec![id(1), id(0)], Some("join"), Some(id(1)))
    );
    assert_eq!(full["clients"].as_array().map(Vec::len), Some(2));
    assert_eq!((full.get("joined"), full.get("left")), (None, None));

    // Merged: all users, no sockets. Whoever comes is shown at once what the others know, unless it
    // is told of itself right then.
    members[2].join(live);
    for member in &mut members[..3] {
        let merged = told_of(member, 3);
        assert_eq!(
            (named(&merged), &merged["clients"]),
            (vec![id(2), id(1), id(0)], &json!([]))
        );
        assert_eq!((&merged["joined"], &merged["left"]), (&json!(1), &json!(0)));
    }
    let shown: Vec<_> = members[2]
        .kept()
        .filter(|frame| frame["event"] == json!("online"))
        .collect();
    assert!(
        shown.len() <= 1
            && shown
                .iter()
                .all(|frame| named(&frame["data"]) == [id(1), id(0)]),
        "{shown:?}"
    );

    // Count: the streamer and the newest two.
    members[3].join(live);
    members[4].join(live);
    for member in &mut members {
        let counted = told_of(member, 5);
        assert_eq!(
            (named(&counted), &counted["clients"]),
            (vec![id(0), id(4), id(3)], &json!([]))
        );
        assert_eq!(counted["user"]["id"], json!(id(4)));
    }

    // Down again: a last event with everybody and their sockets.
    for n in [4, 3, 2, 1] {
        members[n].ask("leaveLive", json!({"live_id": live}));
    }
    let full = members[0].event_where("online", |online| {
        online["count"] == json!(1) && online.get("data").is_some()
    });
    assert_eq!(
        (named(&full), full["clients"].as_array().map(Vec::len)),
        (vec![id(0)], Some(1))
    );
}
