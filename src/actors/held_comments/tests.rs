//! What is due, by whose clock, and what cannot be decided.

use serde_json::json;

use super::*;
use crate::actors::testing::Node;
use crate::clock::{Clock, SystemClock};
use crate::domain::{
    Action, Actor, Comment, CommentText, HoldRule, ModeValue, ModesChange, Profile, REVIEW_MS,
    Role, RoomMode, Scope, Timestamp, UserId,
};
use crate::storage::{ActionRecord, Attempt, Write};

/// The clock of a node that is so many milliseconds ahead of all others.
struct Ahead(i64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus_ms(self.0)
    }
}

const MINUTE_MS: i64 = 60_000;

/// Another node on the same store, whose clock is ahead.
fn other_node(node: &Node, ahead_ms: i64) -> HeldComments {
    HeldComments {
        store: node.store.clone(),
        rooms: node.rooms.clone(),
        comment_ids: Arc::new(CommentIds::new(1)),
        clock: Arc::new(StoreClock::new(Arc::new(Ahead(ahead_ms)))),
    }
}

fn comment(id: i64, node: &Node, author: UserId, text: &str) -> Arc<Comment> {
    Arc::new(Comment {
        id: CommentId::new(id).unwrap(),
        live_id: node.live,
        author: Arc::new(Profile {
            id: author,
            name: "name".into(),
            avatar: None,
        }),
        text: CommentText::parse(text, 200).unwrap(),
        request_id: None,
        at: SystemClock.now(),
    })
}

async fn author(node: &Node) -> UserId {
    let created = node
        .store
        .create_user("author".into(), None, String::new(), SystemClock.now());
    created.await.unwrap().unwrap().id
}

async fn commit(node: &Node, batch: Vec<Write>) {
    let attempts = node.store.commit_skip_locked(batch).await.unwrap();
    let is_done = |attempt: &Attempt| matches!(attempt, Attempt::Done(_));
    assert!(attempts.iter().all(is_done), "{attempts:?}");
}

/// Comments of a live that wait when everything is due.
async fn waiting(node: &Node) -> Vec<i64> {
    let late = SystemClock.now().plus_ms(60 * MINUTE_MS);
    let due = node.store.due_held_comments(late, 100, Vec::new());
    let ids = due.await.unwrap().ids;
    ids.into_iter().map(|(_, id)| id.get()).collect()
}

#[actix_rt::test]
async fn a_comment_that_cannot_be_decided_holds_back_no_other_of_its_room() {
    let node = Node::start().await;
    let author = author(&node).await;
    // The third has the id of another comment, which cannot be shown a second time.
    let held = (1..=8).map(|id| {
        Write::Hold(Arc::new(HeldComment {
            rule: HoldRule::Delay,
            ..HeldComment::for_review(comment(id, &node, author, "held"), HoldRule::Term)
        }))
    });
    let taken = Write::Comment(comment(3, &node, author, "another"));
    commit(&node, held.chain([taken]).collect()).await;

    // All are due by the clock of this one, and by no other.
    let other = other_node(&node, REVIEW_MS + MINUTE_MS);
    let (decisions, mut decided) = mpsc::channel(100);
    let mut deferred = DeferredComments::default();
    other.decide_next(&decisions, &mut deferred).await.unwrap();
    assert_eq!(waiting(&node).await, [3]);
    let mut shown = Vec::new();
    while let Ok(entry) = decided.try_recv() {
        shown.push(entry.logged.comment_id.get());
    }
    assert_eq!(shown, [1, 2, 4, 5, 6, 7, 8], "in their order");
    assert_eq!(
        deferred.ids(Instant::now()),
        [CommentId::new(3).unwrap()],
        "and is tried again later"
    );
    assert_eq!(deferred.ids(Instant::now() + DEFERRED_FOR), []);
}

#[actix_rt::test]
async fn a_node_whose_clock_is_minutes_ahead_decides_nothing_early_once_it_has_measured_that() {
    let node = Node::start().await;
    let author = author(&node).await;
    let held = HeldComment::for_review(comment(1, &node, author, "held"), HoldRule::Term);
    commit(&node, vec![Write::Hold(Arc::new(held))]).await;
    let other = other_node(&node, REVIEW_MS + MINUTE_MS);
    let (decisions, _decided) = mpsc::channel(100);
    let mut deferred = DeferredComments::default();

    let own = other.clock.of_node().now();
    other.clock.measured(own, SystemClock.now(), own);
    other.decide_next(&decisions, &mut deferred).await.unwrap();
    assert_eq!(waiting(&node).await, [1], "moderators have their time");

    // The worst case, until the first measurement after a clock has jumped.
    other.clock.measured(own, own, own);
    other.decide_next(&decisions, &mut deferred).await.unwrap();
    assert_eq!(
        waiting(&node).await,
        [0; 0],
        "early by as much as it jumped"
    );
}

#[actix_rt::test]
async fn what_a_node_holds_whose_clock_is_minutes_ahead_is_due_by_the_stores_time() {
    let node = Node::start().await;
    let mut modes = ModesChange::default();
    modes
        .set(RoomMode::ModDelayS, ModeValue::Number(6))
        .unwrap();
    let (scope, action) = (Scope::Live(node.live), Action::SetModes(modes));
    let now = SystemClock.now();
    let record = ActionRecord::new(Actor::CONFIG, Role::Operator, scope, action, now);
    node.store.perform(record).await.unwrap();
    // By the store it is five minutes earlier than by this node.
    let store_now = now.plus_ms(-5 * MINUTE_MS);
    node.store_clock.measured(now, store_now, now);
    let mut alice = node.guest("alice").await;
    alice.join().await;
    let answer = alice.ask(2, "comment", json!({"data": "hi"})).await;
    assert_eq!(answer["delay_ms"], json!(6_000), "{answer}");
    let due = node.store.due_held_comments(store_now, 10, Vec::new());
    let next_at = due.await.unwrap().next_at.expect("it waits");
    let wait_ms = next_at.since(store_now);
    assert!((6_000..4 * MINUTE_MS).contains(&wait_ms), "{wait_ms} ms");
}
