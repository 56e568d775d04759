//! A comment that is sent again, on whichever node.

use serde_json::{Value, json};

use crate::support::Ws;
use crate::support::cluster::Stage;

fn comment(live: i64, text: &str, request_id: &str) -> Value {
    json!({"live_id": live, "data": text, "request_id": request_id})
}

fn told(ws: &mut Ws) -> Vec<Value> {
    let frames = ws.so_far();
    frames
        .into_iter()
        .filter(|frame| frame["event"] == json!("comment"))
        .map(|mut frame| frame["data"].take())
        .collect()
}

#[test]
fn a_comment_retried_on_another_node_is_answered_the_same_and_told_once() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (alice, mut here) = stage.joined(0, "alice");
    // One node has the room before the comment, the third opens it after.
    let (_, mut watcher) = stage.joined(1, "watcher");
    let first = here.ask("comment", comment(stage.live, "hello", "c-1"));
    assert_eq!(first["ok"], json!(true), "{first}");
    watcher.wait_for("the comment", |frame| {
        frame["data"]["id"] == first["comment_id"]
    });

    let mut there = stage.cluster.joined(1, &alice, stage.live);
    for _ in 0..2 {
        let again = there.ask("comment", comment(stage.live, "hello", "c-1"));
        assert_eq!(
            (&again["ok"], &again["comment_id"]),
            (&json!(true), &first["comment_id"]),
            "{again}"
        );
    }
    let other = there.ask("comment", comment(stage.live, "something else", "c-1"));
    assert_eq!(other["code"], json!("duplicate_conflict"), "{other}");

    let last = there.ask("comment", comment(stage.live, "the end", "c-2"));
    let next = first["offset"].as_u64().expect("a place") + 1;
    for ws in [&mut watcher, &mut here] {
        let end = ws.wait_for("the end", |frame| frame["data"]["id"] == last["comment_id"]);
        assert_eq!(
            end["data"]["offset"],
            json!(next),
            "nothing came between: {end}"
        );
    }
    assert_eq!(told(&mut watcher), Vec::<Value>::new(), "told once");
}

#[test]
fn a_node_that_opens_the_room_later_knows_what_was_said() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (alice, mut here) = stage.joined(0, "alice");
    let first = here.ask("comment", comment(stage.live, "hello", "c-1"));
    assert_eq!(first["ok"], json!(true), "{first}");
    let mut there = stage.cluster.joined(1, &alice, stage.live);
    let again = there.ask("comment", comment(stage.live, "hello", "c-1"));
    assert_eq!(
        (&again["ok"], &again["comment_id"]),
        (&json!(true), &first["comment_id"]),
        "{again}"
    );
    assert_eq!(told(&mut there), Vec::<Value>::new());
}

#[test]
fn a_comment_is_in_the_history_of_every_node() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (_, mut here) = stage.joined(0, "alice");
    let (_, mut there) = stage.joined(1, "bobby");
    let mut ids = Vec::new();
    for n in 0..3 {
        for ws in [&mut here, &mut there] {
            let said = ws.ask(
                "comment",
                json!({"live_id": stage.live, "data": format!("number {n}")}),
            );
            ids.push(said["comment_id"].clone());
        }
    }
    for node in [0, 1] {
        let page = stage.cluster[node]
            .get(&format!("/api/live/{}/history", stage.live))
            .ok();
        let shown: Vec<Value> = page
            .as_array()
            .expect("a list")
            .iter()
            .map(|comment| comment["id"].clone())
            .collect();
        assert_eq!(
            shown,
            ids.iter().rev().cloned().collect::<Vec<_>>(),
            "node {node}"
        );
    }
}
