//! One room and one user as operators see them from any node, and traces over all of them.

use serde_json::{Value, json};

use crate::support::cluster::Stage;
use crate::support::{TestServer, eventually};

fn members(server: &TestServer, live: i64, query: &str) -> Value {
    server
        .admin_get(&format!("/admin/rooms/{live}/members?{query}"))
        .ok()
}

fn names(page: &Value) -> Vec<&str> {
    let members = page["members"].as_array().expect("a list").iter();
    members
        .map(|member| member["name"].as_str().expect("a name"))
        .collect()
}

#[test]
fn members_and_sessions_of_all_nodes_are_seen_from_each() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (alice, _here) = stage.joined(0, "alice");
    let _there = stage.cluster.joined(1, &alice, stage.live);
    let (_, _bobby) = stage.joined(1, "bobby");
    let (_, _bobbin) = stage.joined(0, "bobbin");
    for node in 0..2 {
        let page = eventually("all members are seen", || {
            let page = members(&stage.cluster[node], stage.live, "");
            (names(&page).len() == 3 && page["sessions_total"] == json!(4)).then_some(page)
        });
        assert_eq!(page["silent"], json!([]), "{page}");
        let alices = page["members"]
            .as_array()
            .and_then(|members| {
                members
                    .iter()
                    .find(|member| member["name"] == json!("alice"))
            })
            .expect("alice is there");
        assert_eq!(alices["sessions_count"], json!(2), "{page}");
        let nodes: Vec<_> = alices["sessions"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|session| &session["node"])
            .collect();
        assert_ne!(nodes[0], nodes[1], "{page}");

        let found = members(&stage.cluster[node], stage.live, "search=BOB&limit=1");
        assert_eq!(names(&found), ["bobby"]);
        let next = found["next"].as_str().expect("another follows");
        let rest = members(
            &stage.cluster[node],
            stage.live,
            &format!("search=BOB&limit=1&cursor={next}"),
        );
        assert_eq!(
            (names(&rest), &rest["next"]),
            (vec!["bobbin"], &Value::Null)
        );

        let id = &alices["user_id"];
        let path = format!("/admin/users/{id}/sessions");
        let sessions = stage.cluster[node].admin_get(&path).ok();
        let sessions = sessions["sessions"].as_array().expect("a list");
        assert_eq!(sessions.len(), 2, "{sessions:?}");
        for session in sessions {
            assert_eq!(session["rooms"][0]["live_id"], json!(stage.live));
            assert_eq!(session["dialect"], json!("ws"));
        }
    }
}

/// Reads lines until one is wanted; all that were read.
fn lines_until(server: &TestServer, id: &str, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let (mut lines, mut cursor) = (Vec::new(), String::new());
    eventually("the trace has the line", || {
        let page = server
            .admin_get(&format!("/admin/trace/{id}/lines?cursor={cursor}"))
            .ok();
        cursor = page["next"].as_str().expect("a cursor").to_owned();
        lines.extend(page["lines"].as_array().expect("a list").iter().cloned());
        lines.iter().any(&wanted).then_some(())
    });
    lines
}

#[test]
fn a_trace_that_one_node_begins_has_what_the_user_does_on_another() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (alice, mut there) = stage.joined(1, "alice");
    let (_, mut other) = stage.joined(1, "bobby");
    let info = stage.cluster[0].get_as(&alice, "/api/user/info").ok();
    let body = json!({"user_id": info["id"], "seconds": 60});
    let trace = stage.cluster[0].admin_post("/admin/trace", &body).ok();
    let id = trace["id"].as_str().expect("an id");
    let comment = |text: &str| json!({"live_id": stage.live, "data": text});
    other.ask("comment", comment("not traced"));
    let answer = there.ask("comment", comment("traced"));
    assert_eq!(answer["ok"], json!(true), "{answer}");

    let is_event = |line: &Value| line["what"] == json!("event");
    let lines = lines_until(&stage.cluster[0], id, is_event);
    let of = |what: &str| {
        let found = lines.iter().find(|line| line["what"] == json!(what));
        found.unwrap_or_else(|| panic!("no {what}: {lines:?}"))
    };
    assert_eq!(
        (
            &of("command")["fields"]["command"],
            &of("command")["fields"]["text"]
        ),
        (&json!("comment"), &json!("traced"))
    );
    assert_eq!(of("answer")["fields"]["comment_id"], answer["comment_id"]);
    assert_eq!(of("event")["live_id"], json!(stage.live));
    assert!(
        lines
            .iter()
            .all(|line| line["fields"]["text"] != json!("not traced"))
    );

    // Whichever node is asked ends it everywhere.
    let path = format!("/admin/trace/{id}");
    stage.cluster[1].admin_delete(&path).ok();
    there.ask("comment", comment("after the end"));
    for node in 0..2 {
        let page = stage.cluster[node].admin_get(&format!("{path}/lines")).ok();
        let lines = page["lines"].as_array().expect("a list");
        assert!(!lines.is_empty());
        assert!(
            lines
                .iter()
                .all(|line| line["fields"]["text"] != json!("after the end"))
        );
    }
}
