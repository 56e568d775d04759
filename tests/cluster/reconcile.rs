//! Rows that changed without a word to any node: whoever changed them died then, or worked by hand.

use serde_json::json;

use crate::support::cluster::Stage;
use crate::support::{Ws, eventually};

const QUICK: [(&str, &str); 2] = [
    ("LIVEROOM__ROOMS__RECONCILE_MS", "100"),
    ("LIVEROOM__AUTH__RECHECK_MS", "100"),
];

#[test]
fn every_node_follows_a_live_that_was_changed_without_a_word() {
    let Some(stage) = Stage::set(2, &QUICK) else {
        return;
    };
    let mut members = [stage.joined(0, "alice").1, stage.joined(1, "bobby").1];
    for status in [2, 3] {
        stage.cluster.query(&format!(
            "UPDATE lives SET status = {status} WHERE id = {}",
            stage.live
        ));
        for ws in &mut members {
            ws.event_where("live", |live| live["status"] == json!(status));
        }
    }
    for node in 0..stage.cluster.len() {
        let late = stage
            .cluster
            .ws(node, &stage.streamer)
            .ask("joinLive", json!({"live_id": stage.live}));
        assert_eq!(late["code"], json!("live_ended"), "node {node}: {late}");
    }
}

#[test]
fn every_node_offers_a_gift_and_ends_idle_sessions_of_a_user_that_were_changed_without_a_word() {
    let Some(stage) = Stage::set(2, &QUICK) else {
        return;
    };
    let cluster = &stage.cluster;
    cluster.query("INSERT INTO gifts (name, image, coin, created_at, updated_at) VALUES ('pie', '/p.png', 9, 1, 1)");
    let idle = stage.user("idler");
    let mut sessions = [0, 1].map(|node| cluster.ws(node, &idle));
    for (node, ws) in sessions.iter_mut().enumerate() {
        assert_eq!(
            ws.ask("leaveLive", json!({"live_id": 404}))["code"],
            json!("live_not_found")
        );
        eventually("the gift is on offer", || {
            let offered = cluster[node].get("/api/gift/list").ok();
            offered
                .as_array()?
                .iter()
                .any(|gift| gift["name"] == json!("pie"))
                .then_some(())
        });
    }
    cluster.query(&format!(
        "UPDATE users SET status = 0 WHERE id = {}",
        idle.id
    ));
    for ws in &mut sessions {
        let words = ws.wait_for("the last words", |frame| frame["msg"] == json!("fail"));
        assert_eq!(
            (&words["data"], ws.wait_for_close().0),
            (&json!("你已被禁用"), 3000)
        );
    }
    cluster.query(&format!(
        "UPDATE users SET status = 1 WHERE id = {}",
        idle.id
    ));
    for node in 0..cluster.len() {
        Ws::connect(&cluster[node], &idle).join(stage.live);
    }
}
