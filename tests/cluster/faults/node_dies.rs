//! A node is killed while members of it give and talk.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::json;

use super::evening::REDIS_TIMEOUT;
use crate::support::cluster::{Cluster, PRICE, Plan, Stage};
use crate::support::eventually;
use crate::support::ledger::{Heard, assert_all_heard_once, assert_one_order, assert_same};
use crate::support::member::Member;
use crate::support::redis::Keeps;

const GIVERS: usize = 4;
const GIFTS_EACH: usize = 60;

#[test]
fn a_node_killed_in_a_rain_of_gifts_loses_nothing_that_was_acked_and_nothing_is_told_twice() {
    let Some(mut stage) = Stage::set(2, &[REDIS_TIMEOUT]) else {
        return;
    };
    let listeners = [0, 1].map(|node| stage.member(node, &format!("listener{node}")));
    // All but one are at the node that dies.
    let givers: Vec<Member> = (0..GIVERS)
        .map(|n| stage.member(usize::from(n == 0), &format!("giver{n}")))
        .collect();
    let coins = |stage: &Stage, givers: &[Member]| -> i64 {
        givers
            .iter()
            .map(|giver| stage.cluster[1].balance(giver.user()))
            .sum()
    };
    let coins_at_first = coins(&stage, &givers);
    let (gift, count, done) = (stage.gift, AtomicUsize::new(0), AtomicBool::new(false));
    let (given, mut listeners): (Vec<(Member, Vec<String>)>, Vec<Member>) =
        thread::scope(|scope| {
            let (count, done) = (&count, &done);
            let listening = listeners.map(|mut listener| {
                scope.spawn(move || {
                    while !done.load(Ordering::SeqCst) {
                        listener.listen(Duration::from_millis(50));
                    }
                    listener
                })
            });
            let giving: Vec<_> = givers
                .into_iter()
                .map(|mut giver| {
                    scope.spawn(move || {
                        let mut acked = Vec::new();
                        for n in 0..GIFTS_EACH {
                            acked.push(giver.give(gift, &format!("g-{n}")));
                            acked.push(giver.comment(&format!("gift {n}"), &format!("c-{n}")));
                            count.fetch_add(1, Ordering::SeqCst);
                        }
                        (giver, acked)
                    })
                })
                .collect();
            eventually("a third is given", || {
                (count.load(Ordering::SeqCst) >= GIVERS * GIFTS_EACH / 3).then_some(())
            });
            stage.cluster.kill(0);
            assert!(
                count.load(Ordering::SeqCst) < GIVERS * GIFTS_EACH,
                "the kill came in the middle"
            );
            let given = giving
                .into_iter()
                .map(|giving| giving.join().expect("a giver is answered"))
                .collect();
            done.store(true, Ordering::SeqCst);
            (
                given,
                listening
                    .into_iter()
                    .map(|it| it.join().expect("a listener gets along"))
                    .collect(),
            )
        });
    let (givers, acked): (Vec<Member>, Vec<Vec<String>>) = given.into_iter().unzip();
    let mut acked: BTreeSet<String> = acked.into_iter().flatten().collect();
    assert_eq!(
        acked.len(),
        2 * GIVERS * GIFTS_EACH,
        "each gift has a record of its own, each comment an id"
    );
    for giver in &givers[1..] {
        assert_eq!(
            giver.joins.len(),
            2,
            "{} came back on the other node",
            giver.user().name
        );
    }

    acked.insert(listeners[1].comment("the end", "end"));
    for listener in &mut listeners {
        listener.listen_for(&acked);
        assert!(
            listener.joins[1..]
                .iter()
                .all(|join| join["recovered"] == json!(true)),
            "{:?}",
            listener.joins
        );
    }
    let heard: Vec<&Heard> = listeners
        .iter()
        .chain(&givers)
        .map(|member| &member.heard)
        .collect();
    assert_all_heard_once(&heard[..2], &acked);
    assert_one_order(&heard);

    let spent = coins_at_first - coins(&stage, &givers);
    assert_eq!(
        spent,
        PRICE * i64::try_from(GIVERS * GIFTS_EACH).expect("a few")
    );
    stage.cluster[1].assert_books_balance();
    let audit = stage.cluster[1].run(&["audit"]);
    assert!(
        audit.status.success(),
        "{}",
        String::from_utf8_lossy(&audit.stdout)
    );
}

#[test]
fn what_a_killed_node_acked_is_told_on_the_others_and_it_comes_back_into_the_same_order() {
    let Some(mut stage) = Stage::set(2, &[REDIS_TIMEOUT]) else {
        return;
    };
    let mut watcher = stage.member(0, "watcher");
    let mut speaker = stage.member(1, "speaker");
    let mut acked = BTreeSet::new();
    for round in 0..3 {
        for n in 0..5 {
            acked.insert(speaker.comment("hello", &format!("c-{round}-{n}")));
            acked.insert(speaker.give(stage.gift, &format!("g-{round}-{n}")));
        }
        // The moment its last answer was read.
        stage.cluster.kill(1);
        watcher.listen_for(&acked);
        stage.cluster.restart(1);
        stage.cluster.wait_until_together();
        speaker.move_to(1);
    }
    speaker.listen(Duration::from_millis(100));
    speaker.listen_for(&acked);
    assert_eq!(speaker.joins.len(), 4);
    assert!(
        speaker.joins[1..]
            .iter()
            .all(|join| join["recovered"] == json!(true)),
        "{:?}",
        speaker.joins
    );
    assert_all_heard_once(&[&watcher.heard, &speaker.heard], &acked);
    assert_same(&[&watcher.heard, &speaker.heard]);
}

#[test]
fn a_node_that_hangs_is_missed_and_goes_on_where_it_was() {
    let timeouts = [
        REDIS_TIMEOUT,
        ("LIVEROOM__CLUSTER__NODE_TIMEOUT_MS", "1500"),
    ];
    let Some(stage) = Stage::set(2, &timeouts) else {
        return;
    };
    let mut members = [0, 1].map(|node| stage.member(node, &format!("member{node}")));
    let mut acked = BTreeSet::new();
    for round in 0..2 {
        for member in &mut members {
            member.listen_until("both are there", |member| {
                member.online["count"] == json!(2)
            });
        }
        stage.cluster[1].signal("STOP");
        for n in 0..5 {
            acked.insert(members[0].comment("hello?", &format!("c-{round}-{n}")));
            acked.insert(members[0].give(stage.gift, &format!("g-{round}-{n}")));
        }
        members[0].listen_until("the other is missed", |member| {
            member.online["count"] == json!(1)
        });
        stage.cluster[1].signal("CONT");
        acked.insert(members[1].comment("here I am", &format!("back-{round}")));
        members
            .iter_mut()
            .for_each(|member| member.listen_for(&acked));
        stage.cluster.wait_until_together();
    }
    for member in &members {
        assert_eq!(
            (member.closes.len(), member.joins.len()),
            (0, 1),
            "{} stayed",
            member.user().name
        );
    }
    let heard = [&members[0].heard, &members[1].heard];
    assert_all_heard_once(&heard, &acked);
    assert_one_order(&heard);
    stage.cluster[0].assert_books_balance();
}

/// Between the commit of a gift and its place in the room's order its node loses its way to Redis,
/// and dies. `is_open` says whether the room is open on the node where it is given again.
fn a_committed_gift_that_nobody_was_told_of(is_open: bool) {
    let patient = [("LIVEROOM__CLUSTER__REDIS_TIMEOUT_MS", "20000")];
    let plan = Plan {
        nodes: 2,
        env: &patient,
        keeps: Keeps::Saved,
        can_be_cut: true,
    };
    let Some(cluster) = Cluster::plan(&plan) else {
        return;
    };
    let mut stage = Stage::over(cluster);
    let mut members = [stage.member(1, "giver"), stage.member(1, "friend")];
    if is_open {
        // Whoever was there first may leave again: the room stays open for a while.
        stage.member(0, "early").listen(Duration::from_millis(10));
    }
    let mut acked = BTreeSet::from([members[0].comment("here it comes", "c-1")]);
    members
        .iter_mut()
        .for_each(|member| member.listen_for(&acked));
    let giver = members[0].user().clone();
    let mut ws = stage.cluster.joined(1, &giver, stage.live);
    let before = stage.cluster[0].balance(&giver);
    stage.cluster.ways(1).redis.cut();
    ws.send(
        "gift",
        json!({"live_id": stage.live, "gift_id": stage.gift, "request_id": "g-1"}),
    );
    eventually("the gift is paid", || {
        (stage.cluster[0].balance(&giver) == before - PRICE).then_some(())
    });
    stage.cluster.kill(1);

    acked.insert(members[0].give(stage.gift, "g-1"));
    acked.insert(members[0].comment("there it was", "c-2"));
    for member in &mut members {
        member.listen_for(&acked);
        assert!(
            member.joins[1..]
                .iter()
                .all(|join| join["recovered"] == json!(true)),
            "{:?}",
            member.joins
        );
    }
    assert_all_heard_once(&[&members[0].heard, &members[1].heard], &acked);
    assert_eq!(stage.cluster[0].balance(&giver), before - PRICE);
    stage.cluster[0].assert_books_balance();
}

#[test]
fn a_gift_that_was_paid_and_not_told_when_its_node_died_is_told_by_the_node_that_is_asked_again() {
    a_committed_gift_that_nobody_was_told_of(true);
}

#[test]
fn a_gift_that_was_paid_and_not_told_is_told_by_a_room_that_opened_since() {
    a_committed_gift_that_nobody_was_told_of(false);
}
