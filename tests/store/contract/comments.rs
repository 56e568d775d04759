//! Comments that are read back: scrolling, and what was taken down.

use std::sync::Arc;

use liveroom::domain::*;
use liveroom::storage::{Change, Performed, Write};

use super::comment;
use crate::support::database::{Database, NOW, profile};

async fn store_comments(db: &Database, comments: impl IntoIterator<Item = Comment>) {
    let batch = comments.into_iter().map(|comment| Write::Comment(Arc::new(comment))).collect();
    db.store.commit(batch).await.unwrap();
}

fn id(id: i64) -> CommentId {
    CommentId::new(id).unwrap()
}

fn ids(comments: &[Comment]) -> Vec<i64> {
    comments.iter().map(|comment| comment.id.get()).collect()
}

pub async fn comments_come_in_pages_newest_first(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let (live, other) = (db.live(alice, "k").await, db.live(alice, "k2").await);
    // The clock went back in between: the order is that of the ids.
    let stored = (1..=7).map(|id| Comment { at: NOW.plus_ms(-id), ..comment(id, live, alice, "hi", None) });
    assert_eq!(db.store.newest_comment().await.unwrap(), None);
    store_comments(&db, stored.chain([comment(100, other, alice, "elsewhere", None)])).await;
    assert_eq!(db.store.newest_comment().await.unwrap(), Some(id(100)));
    let page = |before, max| db.store.comments(live, before, max);
    let newest = page(None, 3).await.unwrap();
    assert_eq!(ids(&newest), [7, 6, 5]);
    let first = Comment {
        id: id(7),
        live_id: live,
        author: Arc::new(Profile { name: "alice".into(), ..(*profile(alice)).clone() }),
        text: CommentText::parse("hi", 200).unwrap(),
        request_id: None,
        at: NOW.plus_ms(-7),
    };
    assert_eq!(newest[0], first);
    // Whatever is said meanwhile, the next page begins where this one ended.
    store_comments(&db, [comment(8, live, alice, "new", None)]).await;
    assert_eq!(ids(&page(Some(id(5)), 3).await.unwrap()), [4, 3, 2]);
    assert_eq!(ids(&page(Some(id(2)), 3).await.unwrap()), [1]);
    assert_eq!(ids(&page(Some(id(1)), 3).await.unwrap()), [0; 0]);
    // An id that no comment has is a place between comments all the same.
    assert_eq!(ids(&page(Some(id(50)), 1).await.unwrap()), [8]);
    assert_eq!(ids(&db.store.comments(LiveId::new(99).unwrap(), None, 3).await.unwrap()), [0; 0]);
}

pub async fn a_removed_comment_is_gone_for_good_but_its_request_id_stays_used(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let (live, other) = (db.live(alice, "k").await, db.live(alice, "k2").await);
    store_comments(&db, (1..=3).map(|id| comment(id, live, alice, "hi", Some("c")))).await;
    let (first, later) = (NOW.plus_ms(10), NOW.plus_ms(20));
    let removed = async |live, id, at| match db.act(Scope::Live(live), Action::TakeDown(id), at).await {
        Performed::Done { change: Change::CommentRemoved(at), .. } => Ok(at),
        Performed::Refused(reject) => Err(reject),
        other => panic!("no comment removed: {other:?}"),
    };
    assert_eq!(removed(live, id(2), first).await, Ok(first));
    assert_eq!(removed(live, id(2), later).await, Ok(first), "it stays as it was");
    assert_eq!(removed(other, id(3), later).await, Err(Reject::CommentNotFound), "of another live");
    assert_eq!(removed(live, id(9), later).await, Err(Reject::CommentNotFound));
    assert_eq!(ids(&db.store.comments(live, None, 10).await.unwrap()), [3, 1]);
    assert_eq!(ids(&db.store.comments(live, Some(id(3)), 1).await.unwrap()), [1]);
    // Stored again, as after a commit whose answer was lost: removed all the same.
    store_comments(&db, [comment(2, live, alice, "hi", Some("c"))]).await;
    assert_eq!(ids(&db.store.comments(live, None, 10).await.unwrap()), [3, 1]);
    assert_eq!(ids(&db.store.recent_comments(live, NOW, 10).await.unwrap()), [1, 2, 3]);
}

/// By the plan, not by the clock: the index gives the rows of a page in their order.
pub async fn a_page_of_comments_costs_its_own_length(db: Database) {
    const ROWS: i64 = 5_000;
    let alice = db.user("alice", 0).await.id;
    let live = db.live(alice, "k").await;
    store_comments(&db, (1..=ROWS).map(|id| comment(id, live, alice, "hi", None))).await;
    // All but the oldest: what was taken down must not be walked through either.
    db.execute(&format!("UPDATE comments SET removed_at = 1 WHERE id > {}", ROWS / 10)).unwrap();
    let plan = db.plan(&format!(
        "SELECT * FROM comments INNER JOIN users ON users.id = comments.user_id WHERE comments.live_id = {live} \
         AND comments.id < {ROWS} AND comments.removed_at IS NULL ORDER BY comments.id DESC LIMIT 50"
    ));
    assert!(plan.contains("comments_shown"), "{plan}");
    assert!(!plan.to_ascii_uppercase().contains("SORT") && !plan.contains("TEMP B-TREE"), "{plan}");
}
