//! Rooms at work: which events are delivered when, over a real database.

use serde_json::json;

use crate::actors::testing::Node;
use crate::storage::testing::{WriteLock, poison_comments};

#[actix::test]
async fn a_gift_is_delivered_to_nobody_before_it_is_committed() {
    let node = Node::start().await;
    let (mut alice, mut bob) = (node.guest("alice").await, node.guest("bobby").await);
    alice.join().await;
    bob.join().await;
    node.persister.flush().await;
    let lock = WriteLock::take(&node.database());

    alice
        .say(
            2,
            "gift",
            json!({"gift_id": node.gift.get(), "num": 2, "request_id": "g-1"}),
        )
        .await;
    // A comment is delivered at once, and answered when it is stored: so what comes before it was
    // sent before the gift could be committed.
    bob.say(2, "comment", json!({"data": "while the books are shut"}))
        .await;
    bob.event("comment").await;
    let received = bob.unread();
    assert!(
        received
            .iter()
            .all(|frame| frame["event"] != json!("gift") && frame["id"] != json!(2)),
        "{received:?}"
    );
    lock.release();

    let gift = bob.event("gift").await;
    assert_eq!((&gift["num"], &gift["live_coin"]), (&json!(2), &json!(14)));
    let answer = alice.wait_for(|frame| frame["id"] == json!(2)).await;
    assert_eq!(
        (&answer["ok"], &answer["coin"]),
        (&json!(true), &json!(86)),
        "{answer}"
    );
    assert_eq!(answer["offset"], gift["offset"]);
    assert_eq!(
        bob.wait_for(|frame| frame["id"] == json!(2)).await["ok"],
        json!(true)
    );
}

#[actix::test]
async fn a_full_persister_refuses_before_anything_is_delivered() {
    let node = Node::start_with(|config| config.limits.persister_queue = 4).await;
    let (mut alice, mut bob) = (node.guest("alice").await, node.guest("bobby").await);
    alice.join().await;
    bob.join().await;
    node.persister.flush().await;
    let lock = WriteLock::take(&node.database());

    for id in 2..8 {
        alice
            .say(id, "comment", json!({"data": format!("comment {id}")}))
            .await;
    }
    let busy = alice.wait_for(|frame| frame["ok"] == json!(false)).await;
    assert_eq!(
        (&busy["id"], &busy["code"]),
        (&json!(6), &json!("busy")),
        "{busy}"
    );
    assert!(busy["retry_after_ms"].as_u64().is_some_and(|ms| ms > 0));
    alice.wait_for(|frame| frame["id"] == json!(7)).await;
    lock.release();

    for id in 2..6 {
        let stored = alice.wait_for(|frame| frame["id"] == json!(id)).await;
        assert_eq!(
            (&stored["ok"], &stored["offset"]),
            (&json!(true), &json!(id - 1)),
            "{stored}"
        );
    }
    // A last comment that goes through shows that bob received none of those that did not.
    let last = alice.ask(9, "comment", json!({"data": "last"})).await;
    assert_eq!(last["offset"], json!(5), "{last}");
    let mut received = Vec::new();
    while received.len() < 5 {
        received.push(bob.event("comment").await["content"].take());
    }
    assert_eq!(
        received,
        ["comment 2", "comment 3", "comment 4", "comment 5", "last"]
    );
}

#[actix::test]
async fn a_lost_connection_is_announced_when_the_grace_is_over_and_a_leave_at_once() {
    let node = Node::start().await;
    let (mut alice, mut bob) = (node.guest("alice").await, node.guest("bobby").await);
    alice.join().await;
    bob.join().await;
    alice
        .wait_for(|frame| frame["data"]["user"]["name"] == json!("bobby"))
        .await;

    bob.session
        .try_send(crate::actors::session::TransportGone(
            crate::domain::Disconnect::ByClient,
        ))
        .unwrap();

    let leave = alice
        .wait_for(|frame| frame["data"]["action"] == json!("leave"))
        .await;
    assert_eq!(leave["data"]["user"]["name"], json!("bobby"));
    assert_eq!(
        (&leave["data"]["count"], &leave["data"]["clients"]),
        (&json!(1), &json!(["alice"]))
    );
}

#[actix::test]
async fn the_directory_ends_the_sessions_of_a_user_and_their_memberships() {
    let node = Node::start().await;
    let (mut alice, mut bob) = (node.guest("alice").await, node.guest("bobby").await);
    alice.join().await;
    bob.join().await;
    let user = node
        .store
        .credentials("bobby".into())
        .await
        .unwrap()
        .unwrap()
        .user
        .id;

    let ended = node
        .services
        .directory
        .revoke(user, crate::domain::Disconnect::Disabled);

    assert_eq!(ended, 1);
    let fail = bob.wait_for(|frame| frame["msg"] == json!("fail")).await;
    assert_eq!(fail["data"], json!("你已被禁用"));
    let leave = alice
        .wait_for(|frame| frame["data"]["action"] == json!("leave"))
        .await;
    assert_eq!(leave["data"]["user"]["id"], json!(user.get()));
    assert_eq!(node.services.directory.sessions_count(), 1);
    assert_eq!(
        bob.outbox.closed(),
        Some(crate::domain::Disconnect::Disabled)
    );
}

#[actix::test]
async fn a_session_that_becomes_another_user_is_no_ghost_of_the_one_before() {
    let node = Node::start().await;
    let (mut alice, mut bob) = (node.guest("alice").await, node.guest("bobby").await);
    alice.join().await;
    bob.join().await;
    let other = node
        .store
        .create_user(
            "carol".into(),
            None,
            String::new(),
            node.services.clock.now(),
        )
        .await;
    let token = node
        .services
        .auth
        .start_session(&other.unwrap().unwrap())
        .await
        .unwrap();

    let refused = bob
        .ask(2, "comment", json!({"token": token, "data": "who am I?"}))
        .await;

    assert_eq!(refused["code"], json!("not_in_room"), "{refused}");
    let leave = alice
        .wait_for(|frame| frame["data"]["action"] == json!("leave"))
        .await;
    assert_eq!(leave["data"]["user"]["name"], json!("bobby"));
}

#[actix::test]
async fn comments_of_one_sender_keep_their_order_and_all_members_see_the_same() {
    let node = Node::start_with(|config| config.limits.persister_queue = 1_000).await;
    let (mut alice, mut bob) = (node.guest("alice").await, node.guest("bobby").await);
    alice.join().await;
    bob.join().await;
    for n in 0..50 {
        alice
            .say(100 + n, "comment", json!({"data": format!("a{n}")}))
            .await;
        bob.say(100 + n, "comment", json!({"data": format!("b{n}")}))
            .await;
    }
    let mut received = [Vec::new(), Vec::new()];
    for (guest, received) in [&mut alice, &mut bob].into_iter().zip(&mut received) {
        for offset in 1..=100 {
            let comment = guest.event("comment").await;
            assert_eq!(comment["offset"], json!(offset));
            received.push(comment["content"].as_str().unwrap().to_owned());
        }
    }
    assert_eq!(received[0], received[1]);
    for sender in ["a", "b"] {
        let own: Vec<_> = received[0]
            .iter()
            .filter(|text| text.starts_with(sender))
            .cloned()
            .collect();
        assert_eq!(
            own,
            (0..50).map(|n| format!("{sender}{n}")).collect::<Vec<_>>()
        );
    }
}

#[actix::test]
async fn a_detail_shows_members_events_and_coins() {
    let node = Node::start().await;
    let mut alice = node.guest("alice").await;
    alice.join().await;
    alice
        .ask(2, "gift", json!({"gift_id": node.gift.get()}))
        .await;
    let detail = node.rooms.detail(node.live).await.unwrap().unwrap();
    assert_eq!(detail.stats.members_count, 1);
    assert_eq!(detail.stats.coins_posted.get(), 7);
    assert_eq!(detail.stats.history_count, 1);
    assert_eq!(detail.stats.position.offset, 1);
    assert_eq!(detail.members[0].user.name, "alice");
    assert_eq!(detail.events.len(), 1);
    assert_eq!(detail.ledger[0].amount.get(), 7);
}

#[actix::test]
async fn a_comment_that_the_store_cannot_swallow_is_refused_and_holds_up_nobody() {
    let node = Node::start().await;
    let (mut alice, mut bob) = (node.guest("alice").await, node.guest("bobby").await);
    alice.join().await;
    bob.join().await;
    node.persister.flush().await;
    poison_comments(&node.database(), "poison");

    // Alone in its batch, and nothing else on its way.
    let refused = alice.ask(2, "comment", json!({"data": "poison"})).await;

    assert_eq!(refused["code"], json!("comment_refused"), "{refused}");
    let given = bob
        .ask(3, "gift", json!({"gift_id": node.gift.get()}))
        .await;
    assert_eq!(given["ok"], json!(true), "{given}");
}

#[actix::test]
async fn who_comes_while_the_node_drains_is_sent_away() {
    let node = Node::start().await;
    assert_eq!(
        node.services
            .directory
            .end_all(crate::domain::Disconnect::Shutdown),
        0
    );
    let late = node.guest("alice").await;
    let mut tries_left = 1_000;
    while late.outbox.closed().is_none() && tries_left > 0 {
        tries_left -= 1;
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(
        late.outbox.closed(),
        Some(crate::domain::Disconnect::Shutdown)
    );
    assert_eq!(node.services.directory.sessions_count(), 0);
}
