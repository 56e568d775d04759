//! The audit of what operators and a streamer do on two nodes at once.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::cluster::Stage;
use crate::support::eventually;

const ROUNDS: usize = 10;

/// How many rows there are of each action with each result, as a node lists them.
fn rows(stage: &Stage, node: usize) -> BTreeMap<(String, String), usize> {
    let (mut rows, mut before) = (BTreeMap::new(), String::new());
    loop {
        let path = format!("/admin/audit?limit=20{before}");
        let page = stage.cluster[node].admin_get(&path).ok();
        for entry in page["entries"].as_array().expect("entries") {
            let text = |field: &str| entry[field].as_str().expect("a word").to_owned();
            *rows.entry((text("action"), text("result"))).or_default() += 1;
        }
        match page["next"].as_str() {
            Some(next) => before = format!("&before={next}"),
            None => return rows,
        }
    }
}

/// What is done in one round, each act on either node; whatever is repeated has one row.
fn act(stage: &Stage, round: usize, bobby: i64) {
    let (here, there) = (&stage.cluster[round % 2], &stage.cluster[(round + 1) % 2]);
    let room = format!("/admin/rooms/{}", stage.live);
    let mute = json!({"user_id": bobby, "seconds": 60, "request_id": format!("m{round}")});
    here.admin_post(&format!("{room}/mute"), &mute).ok();
    there.admin_post(&format!("{room}/mute"), &mute).ok();
    there
        .admin_post(&format!("{room}/unmute"), &json!({"user_id": bobby}))
        .ok();
    let grant = json!({"delta": 1, "request_id": format!("g{round}")});
    let coins = format!("/admin/users/{bobby}/coins");
    here.admin_post(&coins, &grant).ok();
    there.admin_post(&coins, &grant).ok();
    let unknown = here.admin_post("/admin/users/999999", &json!({"status": 0}));
    assert_eq!(unknown.status, 404);
    let title = json!({"title": "t", "reason": "x".repeat(10_000)});
    assert_eq!(
        there.admin_post(&format!("{room}/title"), &title).status,
        422
    );
}

#[test]
fn what_was_done_on_two_nodes_is_what_the_audit_says() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let bobby = stage.user("bobby").id;
    let before = rows(&stage, 0);
    std::thread::scope(|scope| {
        for half in 0..2 {
            let stage = &stage;
            scope.spawn(move || {
                for round in (half..ROUNDS).step_by(2) {
                    act(stage, round, bobby);
                }
            });
        }
    });
    let mut found = rows(&stage, 1);
    for (key, count) in before {
        *found.entry(key).or_default() -= count;
    }
    found.retain(|_, count| *count > 0);
    let expected = [
        ("mute", "ok"),
        ("unmute", "ok"),
        ("grant", "ok"),
        ("disable_user", "user_not_found"),
        ("POST /admin/rooms/{live_id}/title", "bad_request"),
    ];
    let expected: BTreeMap<_, _> = expected
        .into_iter()
        .map(|(action, result)| ((action.to_owned(), result.to_owned()), ROUNDS))
        .collect();
    assert_eq!(found, expected);

    // Two nodes seal, and nothing is left out.
    let total: usize = rows(&stage, 0).values().sum();
    eventually("all rows are sealed", || {
        let audit = stage.cluster[1].run(&["audit"]);
        let printed = String::from_utf8_lossy(&audit.stdout).into_owned();
        assert!(audit.status.success(), "{printed}");
        let is_sealed = format!("sealed_rows={total} unsealed_rows=0");
        printed.contains(&is_sealed).then_some(())
    });
    let listed = stage.cluster[0].admin_get("/admin/audit?limit=1").ok();
    assert!(listed["next"] != Value::Null);
}
