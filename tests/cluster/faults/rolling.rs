//! Nodes are replaced one after the other, as for a new version, while the room goes on.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use liveroom::domain::LiveId;
use serde_json::{Value, json};

use super::evening::talk_until;
use crate::ports::Node;
use crate::support::cluster::Stage;
use crate::support::eventually;
use crate::support::ledger::{Heard, assert_all_heard_once, assert_one_order};
use crate::support::member::Member;
use crate::support::room_log::{PATIENCE, block_on, poll};

const NODES: usize = 3;

fn stage() -> Option<Stage> {
    Stage::set(NODES, &[("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", "5000")])
}

#[test]
fn a_rolling_restart_loses_no_acked_event_and_tells_none_twice() {
    let Some(mut stage) = stage() else { return };
    replace_nodes(&mut stage, |_| BTreeSet::new());
}

#[test]
fn events_of_a_later_version_cost_no_epoch_in_a_rolling_restart_and_reach_every_member() {
    let Some(mut stage) = stage() else { return };
    let (url, live_id) = (
        stage.cluster.redis.url(),
        LiveId::new(stage.live).expect("an id"),
    );
    replace_nodes(&mut stage, |done| {
        let mut polls = BTreeSet::new();
        block_on(async {
            let later = Node::start(&url, PATIENCE);
            let mut log = later.open(live_id).await;
            while !done.load(Ordering::SeqCst) {
                let id = format!("p-{}", polls.len());
                let sent = poll(live_id, &id);
                log.append(sent.clone());
                while log.next().await.event != sent {}
                polls.insert(format!("poll {id}"));
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        assert!(polls.len() > NODES, "{polls:?}");
        polls
    });
}

#[test]
fn members_of_an_older_node_get_what_a_later_version_shows_its_own_and_nothing_else() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let live_id = LiveId::new(stage.live).expect("an id");
    let (alice, mut ws) = stage.joined(0, "alice");
    let later = |id: &'static str| {
        let url = stage.cluster.redis.url();
        block_on(async move {
            let mut log = Node::start(&url, PATIENCE).open(live_id).await;
            let sent = poll(live_id, id);
            log.append(sent.clone());
            while log.next().await.event != sent {}
        });
    };
    let body = |id: &str, heard: &Value| {
        let (epoch, offset) = (&heard["epoch"], &heard["offset"]);
        json!({
            "live_id": stage.live, "id": id, "options": ["a", "b"], "share": 0.5, "epoch": epoch, "offset": offset,
        })
    };
    later("one");
    let first = ws.event("poll");
    assert_eq!(first, body("one", &first));
    drop(ws);
    later("two");
    // It comes back at the other node, which reads it out of the log.
    let mut ws = stage.cluster.ws(1, &alice);
    let since = json!({"epoch": first["epoch"], "offset": first["offset"]});
    let joined = ws.ask("joinLive", json!({"live_id": stage.live, "since": since}));
    assert_eq!(
        (&joined["recovered"], &joined["epoch"]),
        (&json!(true), &first["epoch"]),
        "{joined}"
    );
    let second = ws.event("poll");
    assert_eq!(second, body("two", &second));
    assert_eq!(
        second["offset"].as_u64(),
        first["offset"].as_u64().map(|offset| offset + 1)
    );
    let room = stage.cluster[1]
        .admin_get(&format!("/admin/rooms/{live_id}"))
        .ok();
    let mut shown = second.clone();
    shown["event"] = json!("poll");
    assert_eq!(
        room["events"].as_array().and_then(|events| events.last()),
        Some(&shown),
        "operators see it: {room}"
    );
}

#[test]
fn operators_see_what_a_later_version_reports_of_itself() {
    let Some(stage) = Stage::set(1, &[]) else {
        return;
    };
    block_on(async {
        let later = Node::start(&stage.cluster.redis.url(), PATIENCE);
        let name = json!(later.cluster.node().to_string());
        let shown = eventually("the node is known", || {
            let nodes = stage.cluster[0].admin_get("/admin/nodes").ok();
            nodes
                .as_array()
                .and_then(|nodes| {
                    nodes
                        .iter()
                        .find(|node| node["node"] == name && node["silent"] == json!(false))
                })
                .cloned()
        });
        assert_eq!(shown["muted"], json!({"users": 3}), "{shown}");
    });
}

/// Replaces one node after the other while members at each listen and speak. `beside` runs
/// meanwhile and returns the events that it appended. In the end all members heard everything once,
/// in one order and one epoch, and each that came back recovered.
fn replace_nodes(stage: &mut Stage, beside: impl FnOnce(&AtomicBool) -> BTreeSet<String> + Send) {
    let listeners: Vec<Member> = (0..NODES)
        .map(|node| stage.member(node, &format!("listener{node}")))
        .collect();
    let speakers: Vec<Member> = (0..NODES)
        .map(|node| stage.member(node, &format!("speaker{node}")))
        .collect();
    let (done, gift) = (AtomicBool::new(false), stage.gift);
    let (mut members, mut acked): (Vec<(Member, BTreeSet<String>)>, _) = thread::scope(|scope| {
        let done = &done;
        let beside = scope.spawn(move || beside(done));
        let listening = listeners.into_iter().map(|mut member| {
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    member.listen(Duration::from_millis(50));
                }
                (member, BTreeSet::new())
            })
        });
        let speaking = speakers
            .into_iter()
            .map(|member| scope.spawn(move || talk_until(member, gift, done)));
        let all: Vec<_> = listening.chain(speaking).collect();
        for node in 0..NODES {
            thread::sleep(Duration::from_millis(300));
            stage.cluster.stop(node);
            thread::sleep(Duration::from_millis(300));
            stage.cluster.restart(node);
            stage.cluster.wait_until_with_others(node);
        }
        thread::sleep(Duration::from_millis(300));
        done.store(true, Ordering::SeqCst);
        let members = all
            .into_iter()
            .map(|member| member.join().expect("a member gets along"))
            .collect();
        (
            members,
            beside.join().expect("what happens beside succeeds"),
        )
    });
    acked.extend(members.iter().flat_map(|(_, acked)| acked.iter().cloned()));
    acked.insert(members[0].0.comment("the end", "end"));
    for (member, _) in &mut members {
        member.listen_for(&acked);
        let name = &member.user().name;
        assert!(
            !member.closes.is_empty(),
            "{name} was at a node that stopped"
        );
        assert!(
            member.closes.iter().all(|code| *code == 1001),
            "{name} was asked to come back: {:?}",
            member.closes
        );
        assert!(
            member.joins[1..]
                .iter()
                .all(|join| join["recovered"] == json!(true)),
            "{name}: {:?}",
            member.joins
        );
    }
    let heard: Vec<&Heard> = members.iter().map(|(member, _)| &member.heard).collect();
    assert_all_heard_once(&heard, &acked);
    assert_one_order(&heard);
    assert_eq!(heard[0].epochs().len(), 1, "{:?}", heard[0].epochs());
    stage.cluster[0].assert_books_balance();
}
