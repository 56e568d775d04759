//! Coins are one for all nodes, and a gift is told once.

use std::collections::BTreeSet;
use std::thread;

use serde_json::{Value, json};

use crate::support::cluster::{LOOKS_SELDOM, PRICE, Stage};
use crate::support::eventually;

fn gift(stage: &Stage, request_id: &str) -> Value {
    json!({"live_id": stage.live, "gift_id": stage.gift, "request_id": request_id})
}

#[test]
fn a_gift_retried_on_another_node_has_one_effect_one_record_and_is_told_once() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (alice, mut here) = stage.joined(0, "alice");
    let mut listeners = [stage.member(0, "listener0"), stage.member(1, "listener1")];
    let first = here.ask("gift", gift(&stage, "g-1"));
    assert_eq!(first["ok"], json!(true), "{first}");
    let balance = stage.cluster[1].balance(&alice);

    let mut there = stage.cluster.joined(1, &alice, stage.live);
    for ws in [&mut there, &mut here] {
        let again = ws.ask("gift", gift(&stage, "g-1"));
        assert_eq!(
            (&again["ok"], &again["gift_record_id"]),
            (&json!(true), &first["gift_record_id"]),
            "{again}"
        );
        let other =
            json!({"live_id": stage.live, "gift_id": stage.gift, "num": 2, "request_id": "g-1"});
        assert_eq!(ws.ask("gift", other)["code"], json!("duplicate_conflict"));
    }
    assert_eq!(stage.cluster[0].balance(&alice), balance);

    let last = there.ask("gift", gift(&stage, "g-2"));
    let last = format!("gift {}", last["gift_record_id"]);
    for listener in &mut listeners {
        listener.listen_until("the last gift", |member| member.heard.has(&last));
        assert_eq!(listener.heard.count("gift"), 2, "{:?}", listener.heard);
    }
    stage.cluster[0].assert_books_balance();
}

#[test]
fn a_gift_sent_to_two_nodes_at_once_is_one_gift() {
    const GIFTS: usize = 30;
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let alice = stage.user("alice");
    let mut listeners = [stage.member(0, "listener0"), stage.member(1, "listener1")];
    let before = stage.cluster[0].balance(&alice);
    let records: Vec<Vec<String>> = thread::scope(|scope| {
        let stage = &stage;
        let sending: Vec<_> = [0, 1]
            .map(|node| {
                let mut member = stage.cluster.member(node, &alice, stage.live);
                scope.spawn(move || {
                    (0..GIFTS)
                        .map(|n| member.give(stage.gift, &format!("g-{n}")))
                        .collect()
                })
            })
            .into_iter()
            .collect();
        sending
            .into_iter()
            .map(|sending| sending.join().expect("each is answered"))
            .collect()
    });
    assert_eq!(records[0], records[1], "the same answers");
    let records: BTreeSet<String> = records.into_iter().flatten().collect();
    assert_eq!(records.len(), GIFTS);
    assert_eq!(
        stage.cluster[1].balance(&alice),
        before - PRICE * i64::try_from(GIFTS).expect("a few")
    );
    for listener in &mut listeners {
        listener.listen_for(&records);
    }
    let end = listeners[0].comment("the end", "end");
    for listener in &mut listeners {
        listener.listen_until("the end", |member| member.heard.has(&end));
        assert_eq!(
            listener.heard.count("gift"),
            GIFTS,
            "each is told once: {:?}",
            listener.heard
        );
    }
    stage.cluster[0].assert_books_balance();
}

#[test]
fn coins_are_spent_once_whichever_node_spends_them() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let alice = stage.cluster[0].rich_user("alice", 10 * PRICE);
    let mut watcher = stage.member(1, "watcher");
    let answers: Vec<Value> = thread::scope(|scope| {
        let stage = &stage;
        let sending: Vec<_> = [0, 1]
            .map(|node| {
                let mut ws = stage.cluster.joined(node, &alice, stage.live);
                scope.spawn(move || -> Vec<Value> {
                    let ids: Vec<i64> = (0..15)
                        .map(|n| ws.send("gift", gift(stage, &format!("g-{node}-{n}"))))
                        .collect();
                    ids.into_iter().map(|id| ws.answer(id)).collect()
                })
            })
            .into_iter()
            .collect();
        sending
            .into_iter()
            .flat_map(|sending| sending.join().expect("each is answered"))
            .collect()
    });
    let (good, refused): (Vec<_>, Vec<_>) = answers
        .into_iter()
        .partition(|answer| answer["ok"] == json!(true));
    assert_eq!((good.len(), refused.len()), (10, 20));
    assert!(
        refused
            .iter()
            .all(|answer| answer["code"] == json!("coins_insufficient")),
        "{refused:?}"
    );
    let records = good
        .iter()
        .map(|answer| format!("gift {}", answer["gift_record_id"]))
        .collect();
    watcher.listen_for(&records);
    assert_eq!(stage.cluster[1].balance(&alice), 0);
    let live = stage.cluster[1]
        .get(&format!("/api/live/read/{}", stage.live))
        .ok();
    assert_eq!(live["data"]["coin"], json!(10 * PRICE), "{live}");
    stage.cluster[1].assert_books_balance();
}

#[test]
fn a_gift_added_on_one_node_can_be_given_on_another() {
    let Some(stage) = Stage::set(2, &LOOKS_SELDOM) else {
        return;
    };
    let (_, mut there) = stage.joined(1, "alice");
    let (_, mut here) = stage.joined(0, "bobby");
    let rocket = stage.cluster[0].gift("rocket", 50);
    let answer = eventually("the other node knows the gift", || {
        let answer = there.ask(
            "gift",
            json!({"live_id": stage.live, "gift_id": rocket, "request_id": "g-1"}),
        );
        (answer["code"] != json!("gift_not_found")).then_some(answer)
    });
    assert_eq!(answer["ok"], json!(true), "{answer}");
    let told = here.event("gift");
    assert_eq!(
        (&told["gift_id"], &told["gift_coin"], &told["gift_name"]),
        (&json!(rocket), &json!(50), &json!("rocket"))
    );
    let list = stage.cluster[1].get("/api/gift/list").ok();
    assert!(
        list.as_array()
            .is_some_and(|list| list.iter().any(|gift| gift["id"] == json!(rocket))),
        "{list}"
    );
}

#[test]
fn a_gift_costs_what_its_giver_was_shown_on_every_node_while_operators_change_its_price() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (_, mut there) = stage.joined(1, "alice");
    let (_, mut here) = stage.joined(0, "bobby");
    let rose = stage.cluster[0].gift("tulip", 5);
    let path = format!("/admin/gifts/{rose}");
    let mut ask = |coin: Option<i64>, id: &str| {
        there.ask(
            "gift",
            json!({"live_id": stage.live, "gift_id": rose, "coin": coin, "request_id": id}),
        )
    };
    eventually("the other node knows the gift", || {
        (ask(Some(5), "first")["ok"] == json!(true)).then_some(())
    });
    stage.cluster[0].admin_post(&path, &json!({"coin": 6})).ok();
    // At once: the books decide, whatever node 1 has read of the catalogue.
    assert_eq!(ask(Some(5), "old")["code"], json!("gift_price_changed"));
    assert_eq!(ask(Some(6), "new")["ok"], json!(true));
    let answer = eventually("the other node has the new price", || {
        let answer = ask(None, "unsaid");
        (answer["code"] != json!("gift_price_changed")).then_some(answer)
    });
    assert_eq!(answer["ok"], json!(true), "{answer}");

    stage.cluster[0]
        .admin_post(&path, &json!({"on_sale": false}))
        .ok();
    assert_eq!(ask(Some(6), "late")["code"], json!("gift_withdrawn"));
    assert_eq!(
        ask(Some(5), "first")["ok"],
        json!(true),
        "it was given before"
    );
    eventually("the gift leaves the other node's list", || {
        let list = stage.cluster[1].get("/api/gift/list").ok();
        let mut list = list.as_array().expect("a list").iter();
        list.all(|gift| gift["id"] != json!(rose)).then_some(())
    });
    let paid: Vec<_> = (0..3)
        .map(|_| here.event("gift")["gift_coin"].clone())
        .collect();
    assert_eq!(paid, [json!(5), json!(6), json!(6)]);
    stage.cluster[1].assert_books_balance();
}
