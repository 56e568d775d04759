//! One node is cut off from the database; the others are not.

use serde_json::json;

use super::evening::Evening;
use crate::support::cluster::PRICE;
use crate::support::eventually;
use crate::support::redis::Keeps;

#[test]
fn a_node_without_its_database_tells_what_it_is_told_and_acknowledges_when_it_is_back() {
    let Some(mut evening) = Evening::begin(Keeps::Saved, true) else {
        return;
    };
    evening.assert_together();
    let (alice, mut ws) = evening.stage.joined(1, "alice");
    let balance = evening.stage.cluster[0].balance(&alice);
    evening.stage.cluster.ways(1).database.cut();
    let (live, gift) = (evening.stage.live, evening.stage.gift);
    let comment = ws.send(
        "comment",
        json!({"live_id": live, "data": "can you hear me", "request_id": "c-1"}),
    );
    let told = ws.event("comment");
    let comment_id = format!("comment {}", told["id"].as_str().expect("an id"));
    for listener in &mut evening.listeners {
        listener.listen_until("the comment", |member| member.heard.has(&comment_id));
    }
    eventually("the node says that it cannot serve", || {
        (evening.stage.cluster[1].get("/readyz").status == 503).then_some(())
    });
    // The other has its database, and its members are heard by all.
    assert_eq!(evening.stage.cluster[0].get("/readyz").status, 200);
    evening.talk_at(&[0]);
    evening.listeners[1].listen_for(&evening.acked);

    evening.stage.cluster.ways(1).database.heal_after_loss();
    let answer = ws.answer(comment);
    assert_eq!(
        (&answer["ok"], &answer["comment_id"]),
        (&json!(true), &told["id"]),
        "{answer}"
    );
    eventually("the node is ready again", || {
        (evening.stage.cluster.readiness(1)["status"] == json!("ready")).then_some(())
    });
    let given = ws.ask(
        "gift",
        json!({"live_id": live, "gift_id": gift, "request_id": "g-1"}),
    );
    assert_eq!(given["ok"], json!(true), "{given}");
    assert_eq!(evening.stage.cluster[0].balance(&alice), balance - PRICE);
    evening
        .acked
        .extend([comment_id, format!("gift {}", given["gift_record_id"])]);
    evening.end();
}

#[test]
fn a_gift_that_was_on_its_way_to_the_database_when_the_way_was_cut_is_given_once_or_not_at_all() {
    let Some(mut evening) = Evening::begin(Keeps::Saved, true) else {
        return;
    };
    evening.assert_together();
    let (alice, mut ws) = evening.stage.joined(1, "alice");
    let balance = evening.stage.cluster[0].balance(&alice);
    let command = |n: usize| json!({"live_id": evening.stage.live, "gift_id": evening.stage.gift, "request_id": format!("g-{n}")});
    let database = &evening.stage.cluster.ways(1).database;
    // The commit arrives, and its answer does not.
    database.cut_answers();
    let unanswered: Vec<i64> = (0..3).map(|n| ws.send("gift", command(n))).collect();
    eventually("the node says that it cannot serve", || {
        (evening.stage.cluster[1].get("/readyz").status == 503).then_some(())
    });
    database.heal_after_loss();
    for id in unanswered {
        let answer = ws.answer(id);
        assert!(
            answer["ok"] == json!(true) || answer["code"] == json!("busy"),
            "{answer}"
        );
    }
    // Whoever is refused tries again, here or there.
    let mut there = evening.stage.cluster.joined(0, &alice, evening.stage.live);
    let mut given = Vec::new();
    for n in 0..3 {
        let answer = eventually("the gift is taken", || {
            let answer = if n == 0 { &mut ws } else { &mut there }.ask("gift", command(n));
            (answer["code"] != json!("busy")).then_some(answer)
        });
        assert_eq!(answer["ok"], json!(true), "{answer}");
        given.push(format!("gift {}", answer["gift_record_id"]));
    }
    assert_eq!(
        evening.stage.cluster[0].balance(&alice),
        balance - 3 * PRICE
    );
    evening.acked.extend(given);
    evening.end();
}
