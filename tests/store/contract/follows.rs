//! Follows: since when, in pages, and counted in one row.

use futures_util::future::join_all;
use liveroom::domain::*;
use liveroom::storage::FollowOutcome;

use crate::support::database::{Database, NOW};

async fn follow(db: &Database, follower: UserId, streamer: UserId, at_ms: i64) -> FollowOutcome {
    let at = NOW.plus_ms(at_ms);
    db.store.follow(follower, streamer, 3, at).await.unwrap()
}

fn since(at_ms: i64) -> FollowOutcome {
    FollowOutcome::Following {
        since: NOW.plus_ms(at_ms),
    }
}

pub async fn a_repeated_follow_keeps_its_time_and_counts_once(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    assert_eq!(follow(&db, bob, alice, 0).await, since(0));
    assert_eq!(follow(&db, bob, alice, 60_000).await, since(0));
    let since_of = |streamer| db.store.follows_since(streamer, vec![alice, bob]);
    assert_eq!(since_of(alice).await.unwrap(), [(bob, NOW)]);
    assert_eq!(since_of(bob).await.unwrap(), []);
    assert_eq!(db.store.followers_count(alice).await.unwrap(), 1);

    assert!(db.store.unfollow(bob, alice).await.unwrap());
    assert!(!db.store.unfollow(bob, alice).await.unwrap());
    assert_eq!(since_of(alice).await.unwrap(), []);
    assert_eq!(db.store.followers_count(alice).await.unwrap(), 0);
    assert_eq!(
        follow(&db, bob, alice, 90_000).await,
        since(90_000),
        "who comes back follows since then"
    );
}

pub async fn follows_are_bounded_and_of_users_that_there_are(db: Database) {
    let mut users = Vec::new();
    for name in ["alice", "bob", "carol", "dave", "erin"] {
        users.push(db.user(name, 0).await.id);
    }
    let alice = users[0];
    let nobody = UserId::new(4_242).unwrap();
    assert_eq!(
        follow(&db, alice, nobody, 0).await,
        FollowOutcome::UserNotFound
    );
    for (number, streamer) in (0..).zip(&users[1..4]) {
        assert_eq!(follow(&db, alice, *streamer, number).await, since(number));
    }
    assert_eq!(
        follow(&db, alice, users[4], 9).await,
        FollowOutcome::TooMany
    );
    assert_eq!(db.store.followers_count(users[4]).await.unwrap(), 0);
    assert_eq!(
        follow(&db, alice, users[1], 9).await,
        since(0),
        "who is followed already takes no further place"
    );
    db.store.unfollow(alice, users[2]).await.unwrap();
    assert_eq!(follow(&db, alice, users[4], 10).await, since(10));
}

pub async fn a_page_of_follows_has_the_newest_first(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let mut expected = Vec::new();
    // Two of the same moment: their ids decide.
    for (name, at_ms) in [("bob", 5), ("carol", 5), ("dave", 1)] {
        let streamer = db.user(name, 0).await.id;
        assert_eq!(follow(&db, alice, streamer, at_ms).await, since(at_ms));
        expected.push((name.to_owned(), NOW.plus_ms(at_ms)));
    }
    expected.swap(0, 1);
    let mut before = None;
    let mut read = Vec::new();
    loop {
        let page = db.store.follows(alice, before, 1).await.unwrap();
        let Some(last) = page.last() else { break };
        before = Some((last.since, last.streamer));
        read.push((last.username.clone(), last.since));
    }
    assert_eq!(read, expected);
}

pub async fn follows_of_one_moment_are_all_counted(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let mut fans = Vec::new();
    for number in 0..8 {
        fans.push(db.user(&format!("fan{number}"), 0).await.id);
    }
    // Each twice, and two who follow each other.
    let pairs = fans.iter().chain(&fans).map(|fan| (*fan, alice));
    let pairs = pairs.chain([(alice, bob), (bob, alice), (alice, bob), (bob, alice)]);
    let outcomes = join_all(pairs.map(|(follower, streamer)| follow(&db, follower, streamer, 0)));
    for outcome in outcomes.await {
        assert_eq!(outcome, since(0));
    }
    assert_eq!(db.store.followers_count(alice).await.unwrap(), 9);
    let left = fans.iter().chain(&fans);
    let left = join_all(left.map(|fan| db.store.unfollow(*fan, alice))).await;
    let left: usize = left
        .into_iter()
        .map(|left| usize::from(left.unwrap()))
        .sum();
    assert_eq!(left, 8, "each left once");
    assert_eq!(db.store.followers_count(alice).await.unwrap(), 1);
}
