//! What other services read in Redis of who is online.

use serde_json::{Value, json};

use crate::support::cluster::Stage;
use crate::support::{User, eventually};

fn online(stage: &Stage, user: &User) -> bool {
    stage.cluster.redis.exists(&format!("online_{}", user.id))
}

/// The users in `userList_live_<id>`; none when there is no such key.
fn listed(stage: &Stage) -> Vec<Value> {
    let Some(text) = stage
        .cluster
        .redis
        .get(&format!("userList_live_{}", stage.live))
    else {
        return Vec::new();
    };
    let list: Value =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("no JSON: {error}: {text}"));
    list.as_array()
        .unwrap_or_else(|| panic!("no list: {text}"))
        .clone()
}

#[test]
fn a_user_is_marked_online_while_it_has_a_connection_to_any_node() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (alice, bob) = (stage.user("alice"), stage.user("bobby"));
    assert!(
        !online(&stage, &alice),
        "an account alone is not a connection"
    );
    let first = stage.cluster.ws(0, &alice);
    let second = stage.cluster.ws(1, &alice);
    let _bob = stage.cluster.ws(1, &bob);
    for user in [&alice, &bob] {
        eventually("who connects is online", || {
            online(&stage, user).then_some(())
        });
    }
    drop(first);
    // It may be gone for the moment that its nodes need to agree.
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(online(&stage, &alice), "the other connection still stands");
    drop(second);
    eventually("who is gone is not online", || {
        (!online(&stage, &alice)).then_some(())
    });
    assert!(online(&stage, &bob));
    // Who is on a node that dies is not marked for long: within a minute nobody has renewed it.
    let left = stage
        .cluster
        .redis
        .command(&["TTL", &format!("online_{}", bob.id)])
        .expect("a number");
    assert!(
        (1..=60).contains(&left.parse::<i64>().expect("a number")),
        "{left} s"
    );
}

#[test]
fn the_users_of_a_room_are_listed_again_when_the_list_was_deleted_with_everything_or_alone() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (_alice, _first) = stage.joined(0, "alice");
    let (_bob, _second) = stage.joined(1, "bobby");
    let both = || (listed(&stage).len() == 2).then_some(());
    eventually("both are listed", both);
    stage.cluster.redis.command(&["FLUSHALL"]);
    eventually("both are listed after all data is gone", both);
    // Nodes are not notified of this, and write the list again before it expires.
    let key = format!("userList_live_{}", stage.live);
    stage.cluster.redis.command(&["DEL", &key]);
    eventually("both are listed although nothing changes", both);
}

#[test]
fn the_users_of_a_room_are_listed_newest_first_over_all_nodes() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (alice, mut first) = stage.joined(0, "alice");
    eventually("alice is listed", || {
        (listed(&stage).len() == 1).then_some(())
    });
    let (bob, mut second) = stage.joined(1, "bobby");
    let list = eventually("both are listed, the newest first", || {
        let list = listed(&stage);
        (list.len() == 2 && list[0]["id"] == json!(bob.id)).then_some(list)
    });
    for (entry, user) in list.iter().zip([&bob, &alice]) {
        assert_eq!(
            (&entry["id"], &entry["name"]),
            (&json!(user.id), &json!(user.name)),
            "{list:?}"
        );
        let fields: Vec<_> = entry
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        assert_eq!(fields, ["avatar", "id", "name"], "{entry}");
    }
    let again = stage.cluster.joined(0, &bob, stage.live);
    first.ask("leaveLive", json!({"live_id": stage.live}));
    eventually("only bob is listed, once", || {
        let list = listed(&stage);
        (list.len() == 1 && list[0]["id"] == json!(bob.id)).then_some(())
    });
    drop(again);
    second.ask("leaveLive", json!({"live_id": stage.live}));
    eventually("nobody is listed", || {
        listed(&stage).is_empty().then_some(())
    });
}
