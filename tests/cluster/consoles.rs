//! Consoles over several nodes: one overview of all, and the feed of a room whose members are
//! elsewhere.

use serde_json::{Value, json};

use crate::support::cluster::Stage;
use crate::support::console::Console;

fn row(message: &Value, live_id: i64) -> Option<Value> {
    let rooms = message["data"]["rooms"].as_array()?;
    let found = rooms.iter().find(|room| room["live_id"] == json!(live_id));
    found.cloned()
}

fn is_silent(node: &Value) -> bool {
    node["silent"] == json!(true)
}

#[test]
fn one_overview_has_the_rooms_of_all_nodes_and_those_of_several_once() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let other = stage.cluster[0].live(&stage.user("another"));
    let (alice, mut first) = stage.joined(0, "alice");
    let _second = stage.cluster.joined(1, &alice, stage.live);
    let (_, mut third) = stage.joined(1, "bobby");
    third.join(other);
    first.ask(
        "gift",
        json!({"live_id": stage.live, "gift_id": stage.gift}),
    );
    for node in 0..2 {
        let mut console = Console::connect(&stage.cluster[node]);
        console.look_at_overview();
        let message = console.wait_for("overview", |message| {
            let members = |live| row(message, live).map(|row| row["members"].clone());
            members(stage.live) == Some(json!(3)) && members(other) == Some(json!(1))
        });
        let data = &message["data"];
        assert_eq!(
            (&data["rooms_found"], &data["is_exact"]),
            (&json!(2), &json!(true)),
            "{data}"
        );
        assert_eq!(data["totals"]["members"], json!(4), "{data}");
        let room = row(&message, stage.live).expect("it is open");
        assert_eq!(room["users"], json!(2), "{room}");
        let parts = room["nodes"].as_array().expect("its nodes");
        let mut members: Vec<_> = parts
            .iter()
            .filter_map(|it| it["members"].as_u64())
            .collect();
        members.sort_unstable();
        assert_eq!(members, [1, 2], "{room}");
        let nodes = data["nodes"].as_array().expect("the nodes");
        assert_eq!(nodes.len(), 2, "{data}");
        assert!(
            nodes
                .iter()
                .all(|node| node["memory_bytes"].as_u64().is_some()),
            "{data}"
        );
    }
}

#[test]
fn a_node_that_does_not_answer_is_marked_and_delays_nothing() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (_, _alice) = stage.joined(0, "alice");
    let (_, _bob) = stage.joined(1, "bobby");
    let mut console = Console::connect(&stage.cluster[0]);
    console.look_at_overview();
    let nodes_of = |message: &Value| message["data"]["nodes"].as_array().cloned();
    console.wait_for("overview", |message| {
        nodes_of(message).is_some_and(|nodes| nodes.len() == 2 && !nodes.iter().any(is_silent))
            && row(message, stage.live).is_some_and(|row| row["members"] == json!(2))
    });
    stage.cluster[1].signal("STOP");
    let message = console.wait_for("overview", |message| {
        nodes_of(message).is_some_and(|nodes| nodes.iter().any(is_silent))
    });
    let nodes = nodes_of(&message).expect("the nodes");
    let silent = nodes
        .iter()
        .find(|node| is_silent(node))
        .expect("it is silent");
    assert_eq!(
        silent.get("members"),
        None,
        "what is not known is not shown: {silent}"
    );
    let room = row(&message, stage.live).expect("it is open here");
    assert_eq!(room["members"], json!(1), "what is known is shown: {room}");
    stage.cluster[1].signal("CONT");
    console.wait_for("overview", |message| {
        row(message, stage.live).is_some_and(|row| row["members"] == json!(2))
    });
}

#[test]
fn a_room_is_watched_from_a_node_that_has_no_member_of_it() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (_, mut alice) = stage.joined(0, "alice");
    let mut console = Console::connect(&stage.cluster[1]);
    console.look_at_room(stage.live);
    console.wait_for("room", |message| {
        message["data"]["room"]["members"] == json!(1)
    });
    console.wait_until_watched(|| {
        alice.ask("comment", json!({"live_id": stage.live, "data": "warm-up"}));
    });
    let said = alice.ask("comment", json!({"live_id": stage.live, "data": "hello"}));
    let seen = console.event(|event| event["id"] == said["comment_id"]);
    assert_eq!(seen["content"], json!("hello"), "{seen}");
    assert_eq!(
        seen["cost"]["deliveries"],
        json!(0),
        "it cost this node nothing: {seen}"
    );
}
