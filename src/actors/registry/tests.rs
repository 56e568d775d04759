//! Rooms that die, idle and come back.

use std::time::Duration;

use actix::prelude::*;
use futures_util::future::join;
use serde_json::json;

use crate::actors::live_room::{LiveChanged, LiveRoom, ROOM_MAILBOX};
use crate::actors::testing::{Node, set_status};
use crate::config::Millis;
use crate::domain::{
    ActionEntry, ActionId, EntryContent, Live, LiveId, LiveStatus, Reject, RoomEvent,
};

/// A fault in a room, on purpose.
#[derive(Message)]
#[rtype(result = "()")]
struct Panic;

impl Handler<Panic> for LiveRoom {
    type Result = ();

    fn handle(&mut self, _: Panic, _: &mut Context<Self>) {
        panic!("a test asked for it");
    }
}

#[actix::test]
async fn a_room_that_panics_is_replaced_at_the_next_join_and_its_members_are_notified() {
    let node = Node::start().await;
    let (mut alice, mut bob) = (node.guest("alice").await, node.guest("bobby").await);
    let first = alice.join().await;
    bob.join().await;
    let room = node.rooms.locate(node.live).await.unwrap();

    room.try_send(Panic).unwrap();

    for guest in [&mut alice, &mut bob] {
        let kicked = guest.event("kicked").await;
        assert_eq!(kicked["code"], json!("room_restarted"), "{kicked}");
    }
    let refused = alice.ask(2, "comment", json!({"data": "anybody?"})).await;
    assert_eq!(refused["code"], json!("not_in_room"), "{refused}");
    let second = alice.join().await;
    assert_ne!(second["epoch"], first["epoch"]);
    assert_eq!(second["count"], json!(1));
    let answer = alice.ask(3, "comment", json!({"data": "still here"})).await;
    assert_eq!(
        (&answer["ok"], &answer["offset"]),
        (&json!(true), &json!(1)),
        "{answer}"
    );
}

/// Holds a room until the sender is dropped.
#[derive(Message)]
#[rtype(result = "()")]
struct Hold(std::sync::mpsc::Receiver<()>);

impl Handler<Hold> for LiveRoom {
    type Result = ();

    fn handle(&mut self, held: Hold, _: &mut Context<Self>) {
        let _ = held.0.recv();
    }
}

#[actix::test]
async fn a_room_that_is_behind_takes_no_more_than_its_mailbox_holds() {
    let node = Node::start().await;
    let mut alice = node.guest("alice").await;
    alice.join().await;
    let (release, hold) = std::sync::mpsc::channel();
    node.rooms
        .locate(node.live)
        .await
        .unwrap()
        .try_send(Hold(hold))
        .unwrap();

    for id in 0..ROOM_MAILBOX as i64 + 10 {
        alice.say(100 + id, "leaveLive", json!({})).await;
    }

    let busy = alice.wait_for(|frame| frame["ok"] == json!(false)).await;
    assert_eq!(busy["code"], json!("busy"), "{busy}");
    drop(release);
}

#[actix::test]
async fn an_idle_room_is_retired_and_opened_again_by_the_next_join() {
    let node = Node::start_with(|config| config.rooms.idle_retire_ms = Millis::new(30)).await;
    let mut alice = node.guest("alice").await;
    let first = alice.join().await;
    let left = alice.ask(2, "leaveLive", json!({})).await;
    assert_eq!(left["ok"], json!(true));

    let mut tries_left = 1_000;
    while !node.rooms.overview(None).await.unwrap().rooms.is_empty() {
        tries_left -= 1;
        assert!(tries_left > 0, "the room is never retired");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }

    let second = alice.join().await;
    assert_ne!(second["epoch"], first["epoch"]);
}

#[actix::test]
async fn a_room_with_members_is_never_retired() {
    let node = Node::start_with(|config| config.rooms.idle_retire_ms = Millis::new(10)).await;
    let (mut alice, mut bob) = (node.guest("alice").await, node.guest("bobby").await);
    let first = alice.join().await;
    // Bob comes and goes, which makes the room look at whether it is idle each time.
    for _ in 0..20 {
        assert_eq!(bob.join().await["epoch"], first["epoch"]);
        bob.ask(2, "leaveLive", json!({})).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[actix::test]
async fn commands_that_meet_a_retiring_room_all_get_an_answer() {
    let node = Node::start_with(|config| config.rooms.idle_retire_ms = Millis::new(1)).await;
    let mut alice = node.guest("alice").await;
    // Each round lands somewhere else in the room's retirement; none may be lost.
    for round in 0..200 {
        let id = 10 + 2 * round;
        let joined = alice.ask(id, "joinLive", json!({})).await;
        assert_eq!(joined["ok"], json!(true), "round {round}: {joined}");
        let left = alice.ask(id + 1, "leaveLive", json!({})).await;
        assert_eq!(left["ok"], json!(true), "round {round}: {left}");
    }
}

#[actix::test]
async fn a_join_that_needs_one_room_too_many_is_busy_until_an_empty_room_makes_way() {
    let node = Node::start_with(|config| config.limits.rooms = 1).await;
    let (mut alice, mut bob) = (node.guest("alice").await, node.guest("bobby").await);
    alice.join().await;
    let (owner, now) = (
        node.store
            .live(node.live)
            .await
            .unwrap()
            .unwrap()
            .live
            .owner,
        node.services.clock.now(),
    );
    let other = node
        .store
        .create_live(owner, "other".into(), "/c.png".into(), "o".repeat(20), now)
        .await
        .unwrap();

    let refused = node.rooms.locate(other.live.id).await.map(|_| ());
    assert_eq!(refused, Err(Reject::BUSY));
    let answer = alice
        .ask(2, "comment", json!({"data": "nobody moved me"}))
        .await;
    assert_eq!(
        (&answer["ok"], &answer["offset"]),
        (&json!(true), &json!(1)),
        "a room with members stays: {answer}"
    );
    assert_eq!(
        bob.join().await["count"],
        json!(2),
        "an open room is joined as ever"
    );

    for guest in [&mut alice, &mut bob] {
        assert_eq!(
            guest.ask(3, "leaveLive", json!({})).await["ok"],
            json!(true)
        );
    }
    let mut tries_left = 1_000;
    while node.rooms.locate(other.live.id).await.is_err() {
        tries_left -= 1;
        assert!(tries_left > 0, "the empty room never makes way");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let open: Vec<LiveId> = node
        .rooms
        .overview(None)
        .await
        .unwrap()
        .rooms
        .iter()
        .map(|room| room.live.id)
        .collect();
    assert_eq!(open, [other.live.id]);
}

#[actix::test]
async fn an_unknown_live_has_no_room() {
    let node = Node::start().await;
    let located = node.rooms.locate(LiveId::new(404).unwrap()).await;
    assert_eq!(located.map(|_| ()), Err(Reject::LiveNotFound));
    assert!(node.rooms.overview(None).await.unwrap().rooms.is_empty());
}

#[actix::test]
async fn an_observed_room_is_the_one_of_its_live_and_observing_opens_none() {
    let node = Node::start().await;
    let (owner, now) = (
        node.store
            .live(node.live)
            .await
            .unwrap()
            .unwrap()
            .live
            .owner,
        node.services.clock.now(),
    );
    let other = node
        .store
        .create_live(owner, "other".into(), "/c.png".into(), "o".repeat(20), now)
        .await
        .unwrap();
    node.rooms.locate(node.live).await.unwrap();
    let observed = async |live_id| {
        node.rooms
            .detail(live_id)
            .await
            .unwrap()
            .map(|detail| detail.stats.live.id)
    };

    assert_eq!(observed(node.live).await, Some(node.live));
    assert_eq!(observed(other.live.id).await, None);
    node.rooms.locate(other.live.id).await.unwrap();
    assert_eq!(observed(other.live.id).await, Some(other.live.id));
}

#[actix::test]
async fn a_room_follows_a_row_that_changed_without_a_word() {
    let node = Node::start_with(|config| config.rooms.reconcile_ms = Millis::new(30)).await;
    let mut alice = node.guest("alice").await;
    alice.join().await;
    for status in [LiveStatus::Paused, LiveStatus::OnAir, LiveStatus::Ended] {
        set_status(&*node.store, node.live, status, node.services.clock.now()).await;
        let live = alice.event("live").await;
        assert_eq!(
            (&live["status"], &live["title"]),
            (&json!(status.code()), &json!("a live")),
            "{live}"
        );
    }
    let refused = alice.ask(7, "comment", json!({"data": "anybody?"})).await;
    assert_eq!(refused["code"], json!("live_ended"), "{refused}");
}

#[actix::test]
async fn a_row_that_was_read_before_a_change_does_not_undo_it() {
    let node = Node::start().await;
    let mut alice = node.guest("alice").await;
    alice.join().await;
    let room = node.rooms.locate(node.live).await.unwrap();
    let change = |status, title: &str, live_version| {
        room.try_send(LiveChanged {
            status,
            title: title.to_owned(),
            live_version,
        })
        .unwrap();
    };
    change(LiveStatus::Paused, "paused", 0);
    change(LiveStatus::OnAir, "read before the pause", 0);
    change(LiveStatus::OnAir, "read after the pause", 1);
    assert_eq!(alice.event("live").await["title"], json!("paused"));
    assert_eq!(
        alice.event("live").await["title"],
        json!("read after the pause")
    );
}

#[actix::test]
async fn an_action_that_comes_while_its_room_is_loading_is_the_first_that_the_room_applies() {
    let node = Node::start().await;
    let row = node.store.live(node.live).await.unwrap().unwrap();
    let ended = Live {
        status: LiveStatus::Ended,
        ..row.live
    };
    // The row still says that it is on air: the load cannot have seen the end.
    let entry = ActionEntry::of_action(ActionId::FIRST, 0, ended.status_entry());
    let (located, is_here) = join(
        node.rooms.locate(node.live),
        node.rooms.apply_here(node.live, entry),
    )
    .await;
    assert!(located.is_ok());
    assert!(is_here.unwrap(), "deferred for the room");
    let mut alice = node.guest("alice").await;
    let refused = alice.ask(1, "joinLive", json!({})).await;
    assert_eq!(refused["code"], json!("live_ended"), "{refused}");
}

#[actix::test]
async fn an_entry_that_a_loading_room_finds_by_itself_is_not_deferred_for_it() {
    let node = Node::start().await;
    let live_id = node.live;
    let notice = RoomEvent::Notice {
        live_id,
        text: "hello".into(),
    };
    let entry = ActionEntry::of_action(ActionId::FIRST, 0, EntryContent::Event(notice));
    let (located, is_here) = join(
        node.rooms.locate(live_id),
        node.rooms.apply_here(live_id, entry),
    )
    .await;
    assert!(located.is_ok());
    assert!(
        !is_here.unwrap(),
        "it takes the way to rooms on other nodes, and comes back by the log"
    );
}

#[actix::test]
async fn an_action_opens_no_room() {
    let node = Node::start().await;
    let live = node.store.live(node.live).await.unwrap().unwrap().live;
    let entry = ActionEntry::of_action(ActionId::FIRST, 0, live.status_entry());
    assert!(
        !node
            .rooms
            .apply_here(node.live, entry.clone())
            .await
            .unwrap()
    );
    node.rooms.apply(node.live, entry).await.unwrap();
    assert!(node.rooms.overview(None).await.unwrap().rooms.is_empty());
}
