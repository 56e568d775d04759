//! What nodes share in the store beside rows: the change feed, which says each change once, and
//! their numbers.

use std::collections::BTreeSet;

use crate::support::database::{Database, NOW, order};
use futures_util::future::join_all;
use liveroom::domain::{
    Action, LiveStatus, SanctionKind, SanctionOrder, SanctionScope, Scope, Term,
};
use liveroom::storage::{FeedPosition, RowChange};

/// A reader of the feed.
struct Reader<'a> {
    db: &'a Database,
    position: FeedPosition,
}

impl<'a> Reader<'a> {
    async fn new(db: &'a Database) -> Self {
        let page = db
            .store
            .changes(None)
            .await
            .unwrap()
            .expect("PostgreSQL has a feed");
        assert_eq!(
            page.changed,
            Some(Vec::new()),
            "what was before is read from the rows"
        );
        Self {
            db,
            position: page.position,
        }
    }

    /// What changed since this was last asked.
    async fn next(&mut self) -> BTreeSet<String> {
        let page = self
            .db
            .store
            .changes(Some(self.position.clone()))
            .await
            .unwrap()
            .expect("a feed");
        self.position = page.position;
        let changed = page.changed.expect("not too many");
        let named: BTreeSet<String> = changed.iter().map(|change| format!("{change:?}")).collect();
        assert_eq!(named.len(), changed.len(), "each once");
        named
    }
}

fn named(changes: &[RowChange]) -> BTreeSet<String> {
    changes.iter().map(|change| format!("{change:?}")).collect()
}

pub async fn every_change_that_nodes_must_learn_is_in_the_feed_once(db: Database) {
    if db.is_sqlite() {
        assert_eq!(
            db.store.changes(None).await.unwrap(),
            None,
            "one node makes all changes itself"
        );
        return;
    }
    let (alice, bob) = (db.user("alice", 100).await.id, db.user("bob", 0).await.id);
    let live = db.live(bob, "key").await;
    let mut reader = Reader::new(&db).await;
    assert_eq!(reader.next().await, named(&[]));

    db.store
        .set_token(alice, Some("one".into()), NOW)
        .await
        .unwrap();
    db.store
        .set_token(alice, Some("two".into()), NOW)
        .await
        .unwrap();
    db.set_enabled(bob, false).await;
    db.set_status(live, LiveStatus::Paused).await;
    let changed = [
        RowChange::Token(alice),
        RowChange::Account(bob),
        RowChange::Live(live),
    ];
    assert_eq!(reader.next().await, named(&changed));
    assert_eq!(reader.next().await, named(&[]));

    let current = db.store.token(alice).await.unwrap().unwrap();
    assert!(db.store.remove_token(alice, current).await.unwrap());
    db.execute(&format!("UPDATE users SET status = 1 WHERE id = {bob}"))
        .unwrap();
    db.execute(&format!(
        "UPDATE lives SET title = 'by hand' WHERE id = {live}"
    ))
    .unwrap();
    assert_eq!(
        reader.next().await,
        named(&changed),
        "also what is removed, and what is changed by hand"
    );

    let act = |scope| {
        let term = Term::Seconds(60);
        let order = SanctionOrder::new(alice, SanctionKind::Mute, term, Some(scope)).unwrap();
        db.act(Scope::Live(live), Action::Sanction(order), NOW)
    };
    act(SanctionScope::Live).await;
    assert_eq!(reader.next().await, named(&[RowChange::Moderation(bob)]));
    act(SanctionScope::Site).await;
    let of_site = [RowChange::Account(alice), RowChange::Moderation(bob)];
    assert_eq!(reader.next().await, named(&of_site));

    // What happens all the time, and what changes nothing.
    db.grant(alice, 10, "grant").await;
    let gift = db.gift(5).await;
    db.give(order(live, alice, &gift, 1, "gift")).await.unwrap();
    db.execute(&format!(
        "UPDATE users SET status = status, coin = coin WHERE id = {bob}"
    ))
    .unwrap();
    db.execute(&format!(
        "UPDATE lives SET status = status, look_count = 7 WHERE id = {live}"
    ))
    .unwrap();
    assert_eq!(reader.next().await, named(&[]));
    assert_eq!(db.coin(alice).await, 105);
}

pub async fn a_change_that_commits_late_is_in_the_feed_all_the_same(db: Database) {
    if db.is_sqlite() {
        return;
    }
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let mut reader = Reader::new(&db).await;
    // It has its id, and its row has its place, before the others.
    let late = db
        .hold(&format!("UPDATE users SET status = 0 WHERE id = {alice}"))
        .await;
    for round in 0..3 {
        db.set_enabled(bob, round % 2 == 1).await;
        assert_eq!(
            reader.next().await,
            named(&[RowChange::Account(bob)]),
            "the open transaction holds up nobody"
        );
        assert_eq!(reader.next().await, named(&[]));
    }
    late.commit().await;
    assert_eq!(reader.next().await, named(&[RowChange::Account(alice)]));
    assert_eq!(reader.next().await, named(&[]));
}

pub async fn too_many_changes_and_old_ones_are_said_to_be_missed(db: Database) {
    if db.is_sqlite() {
        return;
    }
    let alice = db.user("alice", 0).await.id;
    let (mut before, mut reader) = (Reader::new(&db).await, Reader::new(&db).await);
    let many = "INSERT INTO changes (kind, subject_id) SELECT 'account', n FROM generate_series(1, 10001) AS n";
    db.execute(many).unwrap();
    let page = db
        .store
        .changes(Some(reader.position.clone()))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(page.changed, None, "more than an answer holds");
    reader.position = page.position;
    assert_eq!(
        reader.next().await,
        named(&[]),
        "and the feed goes on after them"
    );

    db.execute("UPDATE changes SET at = now() - interval '601 seconds'")
        .unwrap();
    db.store
        .set_token(alice, Some("one".into()), NOW)
        .await
        .unwrap();
    db.store.remove_old_changes().await.unwrap();
    assert_eq!(reader.next().await, named(&[RowChange::Token(alice)]));
    assert_eq!(
        before.next().await,
        named(&[RowChange::Token(alice)]),
        "the old ones are gone"
    );
}

pub async fn a_number_of_a_node_comes_round_after_all_others_and_not_while_it_is_kept(
    db: Database,
) {
    let take = async |holder: &str| db.store.take_node_number(holder.to_owned()).await.unwrap();
    let Some(kept) = take("kept").await else {
        assert!(db.is_sqlite(), "many nodes have numbers");
        return;
    };
    let frozen = take("frozen").await.unwrap();
    let mut taken = BTreeSet::from([kept, frozen]);
    // Some at once, as a supervisor starts them.
    let names: Vec<String> = (2..130).map(|start| format!("start {start}")).collect();
    for number in join_all(names.iter().map(|name| take(name))).await {
        assert!(taken.insert(number.unwrap()), "{number:?} twice");
    }
    for start in 130..1_024 {
        assert!(
            taken.insert(take(&format!("start {start}")).await.unwrap()),
            "start {start}"
        );
    }
    assert_eq!(taken, (0..1_024).collect());

    assert!(
        db.store
            .keep_node_number(kept, "kept".to_owned())
            .await
            .unwrap()
    );
    assert!(
        !db.store
            .keep_node_number(kept, "frozen".to_owned())
            .await
            .unwrap(),
        "it is another node's"
    );
    assert_eq!(
        take("next").await,
        Some(frozen),
        "the one unseen for the longest time"
    );
    assert!(
        !db.store
            .keep_node_number(frozen, "frozen".to_owned())
            .await
            .unwrap(),
        "which is noticed on waking"
    );
}
