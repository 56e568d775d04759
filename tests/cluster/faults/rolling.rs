//! Nodes are replaced one after the other, as for a new version, while the room goes on.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::evening::talk_until;
use crate::support::cluster::Stage;
use crate::support::ledger::{Heard, assert_all_heard_once, assert_one_order};
use crate::support::member::Member;

const NODES: usize = 3;

#[test]
fn a_rolling_restart_loses_no_acked_event_and_tells_none_twice() {
    let Some(mut stage) = Stage::set(NODES, &[("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", "5000")]) else { return };
    let listeners: Vec<Member> = (0..NODES).map(|node| stage.member(node, &format!("listener{node}"))).collect();
    let speakers: Vec<Member> = (0..NODES).map(|node| stage.member(node, &format!("speaker{node}"))).collect();
    let (done, gift) = (AtomicBool::new(false), stage.gift);
    let mut members: Vec<(Member, BTreeSet<String>)> = thread::scope(|scope| {
        let done = &done;
        let listening = listeners.into_iter().map(|mut member| {
            scope.spawn(move || {
                while !done.load(Ordering::SeqCst) {
                    member.listen(Duration::from_millis(50));
                }
                (member, BTreeSet::new())
            })
        });
        let speaking = speakers.into_iter().map(|member| scope.spawn(move || talk_until(member, gift, done)));
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
        all.into_iter().map(|member| member.join().expect("a member gets along")).collect()
    });
    let mut acked: BTreeSet<String> = members.iter().flat_map(|(_, acked)| acked.iter().cloned()).collect();
    acked.insert(members[0].0.comment("the end", "end"));
    for (member, _) in &mut members {
        member.listen_for(&acked);
        let name = &member.user().name;
        assert!(!member.closes.is_empty(), "{name} was at a node that stopped");
        assert!(member.closes.iter().all(|code| *code == 1001), "{name} was asked to come back: {:?}", member.closes);
        assert!(member.joins[1..].iter().all(|join| join["recovered"] == json!(true)), "{name}: {:?}", member.joins);
    }
    let heard: Vec<&Heard> = members.iter().map(|(member, _)| &member.heard).collect();
    assert_all_heard_once(&heard, &acked);
    assert_one_order(&heard);
    assert_eq!(heard[0].epochs().len(), 1, "{:?}", heard[0].epochs());
    stage.cluster[0].assert_books_balance();
}
