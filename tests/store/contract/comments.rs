//! Comments: stored once, and read back: scrolling, and what was taken down.

use std::sync::Arc;

use liveroom::domain::*;
use liveroom::storage::{Change, Performed, Store, StoreOptions, Write, WriteOutcome};

use super::comment;
use crate::support::database::{self, Database, NOW, commit, profile, request};

async fn store_comments(db: &Database, comments: impl IntoIterator<Item = Comment>) {
    store_comments_in(&*db.store, comments).await;
}

async fn store_comments_in(store: &dyn Store, comments: impl IntoIterator<Item = Comment>) {
    let batch = comments
        .into_iter()
        .map(|comment| Write::Comment(Arc::new(comment)))
        .collect();
    database::commit(store, batch).await.unwrap();
}

/// Since when it is down.
async fn take_down(
    db: &Database,
    live: LiveId,
    id: CommentId,
    at: Timestamp,
) -> Result<Timestamp, Reject> {
    match db.act(Scope::Live(live), Action::TakeDown(id), at).await {
        Performed::Done {
            change: Change::CommentRemoved(at),
            ..
        } => Ok(at),
        Performed::Refused(reject) => Err(reject),
        other => panic!("no comment removed: {other:?}"),
    }
}

fn id(id: i64) -> CommentId {
    CommentId::new(id).unwrap()
}

fn ids(comments: &[Comment]) -> Vec<i64> {
    comments.iter().map(|comment| comment.id.get()).collect()
}

pub async fn a_comment_is_stored_once_and_strangers_comments_are_refused(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let live = db.live(alice, "k").await;
    let good = comment(1, live, alice, "hello 世界 \u{1F339} ' \\ %", Some("c1"));
    let outcomes = db
        .commit(
            [
                good.clone(),
                comment(2, live, UserId::new(99).unwrap(), "stranger", None),
                comment(3, LiveId::new(99).unwrap(), alice, "nowhere", None),
                good.clone(),
                comment(1, live, alice, "another one", None),
                comment(5, live, alice, "last", None),
            ]
            .map(|comment| Write::Comment(Arc::new(comment)))
            .to_vec(),
        )
        .await;
    let (ok, refused, busy) = (
        Ok(()),
        Err(CommentWriteError::Refused),
        Err(CommentWriteError::Busy),
    );
    assert_eq!(
        outcomes,
        [ok, refused, refused, ok, busy, ok].map(WriteOutcome::Comment)
    );
    let again = db.commit_one(Write::Comment(Arc::new(good.clone()))).await;
    assert_eq!(again, WriteOutcome::Comment(Ok(())));
    let kept = db.store.recent_comments(live, NOW, 10).await.unwrap();
    assert_eq!(
        kept.iter()
            .map(|comment| comment.text.as_str())
            .collect::<Vec<_>>(),
        [good.text.as_str()]
    );
}

pub async fn recent_comments_are_the_newest_with_a_request_id(db: Database) {
    let user = db
        .store
        .create_user("alice".into(), Some("Ally".into()), "h".into(), NOW)
        .await
        .unwrap()
        .unwrap();
    let (live, other) = (db.live(user.id, "k").await, db.live(user.id, "k2").await);
    let batch = (1..=6).map(|id| comment(id, live, user.id, "hi", (id != 4).then_some("c")));
    let batch = batch.chain([comment(7, other, user.id, "hi", Some("c"))]);
    db.commit(
        batch
            .map(|comment| Write::Comment(Arc::new(comment)))
            .collect(),
    )
    .await;
    let ids = |comments: Vec<Comment>| {
        comments
            .iter()
            .map(|comment| comment.id.get())
            .collect::<Vec<_>>()
    };
    let recent = db
        .store
        .recent_comments(live, NOW.plus_ms(2), 100)
        .await
        .unwrap();
    assert_eq!(
        recent[0].author,
        Arc::new(Profile {
            id: user.id,
            name: "Ally".into(),
            avatar: None
        })
    );
    assert_eq!(
        (recent[0].at, recent[0].request_id.as_ref()),
        (NOW.plus_ms(2), Some(&request("c")))
    );
    assert_eq!(ids(recent), [2, 3, 5, 6]);
    assert_eq!(
        ids(db.store.recent_comments(live, NOW, 2).await.unwrap()),
        [5, 6]
    );
}

/// As when a comment is sent again on another node while the first is under way.
pub async fn a_comment_that_two_stores_keep_at_once_is_kept_once(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let live = db.live(alice, "k").await;
    let other = liveroom::storage::open(&db.url, StoreOptions::default())
        .await
        .unwrap();
    for round in 0..50 {
        let batch: Vec<Write> = (1..=4)
            .map(|id| {
                Write::Comment(Arc::new(comment(
                    10 * round + id,
                    live,
                    alice,
                    "hi",
                    Some(&format!("c-{id}")),
                )))
            })
            .collect();
        let (one, two) = tokio::join!(commit(&*db.store, batch.clone()), commit(&*other, batch));
        for outcomes in [one.unwrap(), two.unwrap()] {
            assert_eq!(
                outcomes,
                vec![WriteOutcome::Comment(Ok(())); 4],
                "round {round}"
            );
        }
    }
    assert_eq!(
        db.store.comments(live, None, 1_000).await.unwrap().len(),
        200
    );
}

pub async fn comments_come_in_pages_newest_first(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let (live, other) = (db.live(alice, "k").await, db.live(alice, "k2").await);
    // The clock went back in between: the order is that of the ids.
    let stored = (1..=7).map(|id| Comment {
        at: NOW.plus_ms(-id),
        ..comment(id, live, alice, "hi", None)
    });
    assert_eq!(db.store.newest_comment().await.unwrap(), None);
    store_comments(
        &db,
        stored.chain([comment(100, other, alice, "elsewhere", None)]),
    )
    .await;
    assert_eq!(db.store.newest_comment().await.unwrap(), Some(id(100)));
    let page = |before, max| db.store.comments(live, before, max);
    let newest = page(None, 3).await.unwrap();
    assert_eq!(ids(&newest), [7, 6, 5]);
    let first = Comment {
        id: id(7),
        live_id: live,
        author: Arc::new(Profile {
            name: "alice".into(),
            ..(*profile(alice)).clone()
        }),
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
    assert_eq!(
        ids(&db
            .store
            .comments(LiveId::new(99).unwrap(), None, 3)
            .await
            .unwrap()),
        [0; 0]
    );
}

pub async fn a_removed_comment_is_gone_for_good_but_its_request_id_stays_used(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let (live, other) = (db.live(alice, "k").await, db.live(alice, "k2").await);
    store_comments(
        &db,
        (1..=3).map(|id| comment(id, live, alice, "hi", Some("c"))),
    )
    .await;
    let (first, later) = (NOW.plus_ms(10), NOW.plus_ms(20));
    let removed = async |live, id, at| take_down(&db, live, id, at).await;
    assert_eq!(removed(live, id(2), first).await, Ok(first));
    assert_eq!(
        removed(live, id(2), later).await,
        Ok(first),
        "it stays as it was"
    );
    assert_eq!(
        removed(other, id(3), later).await,
        Err(Reject::CommentNotFound),
        "of another live"
    );
    assert_eq!(
        removed(live, id(9), later).await,
        Err(Reject::CommentNotFound)
    );
    assert_eq!(
        ids(&db.store.comments(live, None, 10).await.unwrap()),
        [3, 1]
    );
    assert_eq!(
        ids(&db.store.comments(live, Some(id(3)), 1).await.unwrap()),
        [1]
    );
    // Stored again, as after a commit whose answer was lost: removed all the same.
    store_comments(&db, [comment(2, live, alice, "hi", Some("c"))]).await;
    assert_eq!(
        ids(&db.store.comments(live, None, 10).await.unwrap()),
        [3, 1]
    );
    assert_eq!(
        ids(&db.store.recent_comments(live, NOW, 10).await.unwrap()),
        [1, 2, 3]
    );
}

pub async fn a_comment_shown_later_stands_where_it_was_shown(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let (live, other) = (db.live(alice, "k").await, db.live(alice, "k2").await);
    store_comments(
        &db,
        (1..=5).map(|n| comment(10 * n, live, alice, "hi", Some(&format!("c-{n}")))),
    )
    .await;
    let page = async |before, max| ids(&db.store.comments(live, before, max).await.unwrap());
    // Held when it was posted, and approved between 40 and 50.
    db.execute("UPDATE comments SET sort_key = 45 WHERE id = 20")
        .unwrap();
    assert_eq!(page(None, 10).await, [50, 20, 40, 30, 10]);
    // Pages meet without a gap, whichever comment they meet at.
    assert_eq!(page(None, 2).await, [50, 20]);
    assert_eq!(page(Some(id(20)), 2).await, [40, 30]);
    assert_eq!(page(Some(id(30)), 2).await, [10]);
    assert_eq!(
        ids(&db.store.recent_comments(live, NOW, 10).await.unwrap()),
        [10, 30, 40, 20, 50]
    );
    // In another live that id is none of its comments'.
    store_comments(
        &db,
        [
            comment(30, other, alice, "taken", None),
            comment(35, other, alice, "hi", None),
        ],
    )
    .await;
    assert_eq!(
        ids(&db.store.comments(other, Some(id(20)), 10).await.unwrap()),
        [0; 0]
    );
    assert_eq!(
        ids(&db.store.comments(other, Some(id(40)), 10).await.unwrap()),
        [35]
    );
    // Removed, it is still the place at which a client that saw it goes on.
    take_down(&db, live, id(20), NOW).await.unwrap();
    assert_eq!(page(Some(id(20)), 2).await, [40, 30]);
    assert_eq!(page(None, 10).await, [50, 40, 30, 10]);
    // The next id comes after all keys too, and no two comments share one.
    assert_eq!(db.store.newest_comment().await.unwrap(), Some(id(50)));
    db.execute("UPDATE comments SET sort_key = 60 WHERE id = 30")
        .unwrap();
    assert_eq!(db.store.newest_comment().await.unwrap(), Some(id(60)));
    assert!(
        db.execute("UPDATE comments SET sort_key = 60 WHERE id = 10")
            .is_err()
    );
}

/// The version before, as far as the table goes: its schema, its insert, its two queries.
pub async fn comments_of_the_version_before_keep_their_order_and_it_finds_its_way(
    mut db: Database,
) {
    let (down, version) = match db.is_sqlite() {
        true => (
            include_str!("../../../migrations/sqlite/2026-11-29-000004_comment_order/down.sql"),
            "20261129000004",
        ),
        false => (
            include_str!("../../../migrations/postgresql/2026-11-29-000004_comment_order/down.sql"),
            "20261129000004",
        ),
    };
    let alice = db.user("alice", 0).await.id;
    let live = db.live(alice, "k").await;
    let insert = |id: i64| {
        let (content, request) = (format!("'old {id}'"), format!("'c-{id}'"));
        let at = NOW.plus_ms(id).0;
        db.execute(&format!(
            "INSERT INTO comments (id, live_id, user_id, content, request_id, created_at) \
             VALUES ({id}, {live}, {alice}, {content}, {request}, {at})"
        ))
        .unwrap();
    };
    // A later migration added it, and the column cannot go before it.
    db.execute("DROP INDEX comments_removed_order").unwrap();
    db.execute(down).unwrap();
    db.execute(&format!(
        "DELETE FROM __diesel_schema_migrations WHERE version = '{version}'"
    ))
    .unwrap();
    for id in [10, 20, 30] {
        insert(id);
    }
    let reopened = database::open(&db.url).await.unwrap();
    // Both run side by side now.
    store_comments_in(&*reopened, [comment(40, live, alice, "new", Some("c-40"))]).await;
    insert(50);
    assert_eq!(
        ids(&reopened.comments(live, None, 10).await.unwrap()),
        [50, 40, 30, 20, 10]
    );
    assert_eq!(
        ids(&reopened.comments(live, Some(id(40)), 2).await.unwrap()),
        [30, 20]
    );
    assert_eq!(
        ids(&reopened.recent_comments(live, NOW, 10).await.unwrap()),
        [10, 20, 30, 40, 50]
    );
    assert_eq!(reopened.newest_comment().await.unwrap(), Some(id(50)));
    if !db.is_sqlite() {
        let (page, recent) = (
            format!(
                "WHERE live_id = {live} AND id < 99 AND removed_at IS NULL ORDER BY id DESC LIMIT 50"
            ),
            format!(
                "WHERE live_id = {live} AND created_at >= 1 ORDER BY created_at DESC, id DESC LIMIT 50"
            ),
        );
        db.execute(
            "INSERT INTO comments (id, live_id, user_id, content, created_at) \
             SELECT 1000 + n, 999, 999, 'many others', 1 FROM generate_series(1, 5000) AS n",
        )
        .unwrap();
        for (rest, index) in [(page, "comments_shown"), (recent, "comments_by_live")] {
            let plan = db.plan(&format!("SELECT * FROM comments {rest}"));
            assert!(plan.contains(index), "{plan}");
        }
    }
    db.store = reopened;
}

pub async fn an_id_that_another_comment_has_is_refused_and_the_rest_is_kept(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let live = db.live(alice, "k").await;
    store_comments(
        &db,
        [
            comment(1, live, alice, "first", None),
            comment(2, live, alice, "second", None),
        ],
    )
    .await;
    let batch = [
        comment(1, live, alice, "another", None),
        comment(2, live, alice, "second", None),
        comment(3, live, alice, "third", None),
        comment(1, live, alice, "another", None),
        comment(1, live, alice, "first", None),
    ];
    let batch = batch
        .map(|comment| Write::Comment(Arc::new(comment)))
        .to_vec();
    let (ok, busy) = (Ok(()), Err(CommentWriteError::Busy));
    // A batch takes the first of two comments with one id and refuses the second without a look at
    // the table.
    let outcomes = db.commit(batch).await;
    assert_eq!(
        outcomes,
        [busy, ok, ok, busy, busy].map(WriteOutcome::Comment)
    );
    let kept = db.store.comments(live, None, 10).await.unwrap();
    assert_eq!(
        kept.iter()
            .map(|comment| comment.text.as_str())
            .collect::<Vec<_>>(),
        ["third", "second", "first"]
    );
}

const KEY: &str = "COALESCE(comments.sort_key, comments.id)";

fn assert_no_sorting(plan: &str, index: &str) {
    assert!(plan.contains(index), "{plan}");
    assert!(
        !plan.to_ascii_uppercase().contains("SORT  (") && !plan.contains("TEMP B-TREE"),
        "{plan}"
    );
}

/// By the plan, not by the clock: the index gives the rows of a page in their order.
pub async fn a_page_of_comments_costs_its_own_length(db: Database) {
    const ROWS: i64 = 5_000;
    let alice = db.user("alice", 0).await.id;
    let live = db.live(alice, "k").await;
    store_comments(
        &db,
        (1..=ROWS).map(|id| comment(id, live, alice, "hi", None)),
    )
    .await;
    // All but the oldest: what was taken down must not be walked through either.
    db.execute(&format!(
        "UPDATE comments SET removed_at = 1 WHERE id > {}",
        ROWS / 10
    ))
    .unwrap();
    let plan = db.plan(&format!(
        "SELECT * FROM comments INNER JOIN users ON users.id = comments.user_id WHERE comments.live_id = {live} \
         AND {KEY} < {ROWS} AND comments.removed_at IS NULL ORDER BY {KEY} DESC LIMIT 50"
    ));
    assert_no_sorting(&plan, "comments_history");
}

pub async fn recent_comments_are_found_without_reading_older_ones(db: Database) {
    const ROWS: i64 = 5_000;
    let alice = db.user("alice", 0).await.id;
    let live = db.live(alice, "k").await;
    store_comments(
        &db,
        (1..=ROWS).map(|id| comment(id, live, alice, "hi", Some(&format!("c-{id}")))),
    )
    .await;
    let recent = |since_ms, max| db.store.recent_comments(live, NOW.plus_ms(since_ms), max);
    assert_eq!(
        ids(&recent(ROWS - 2, 10).await.unwrap()),
        [ROWS - 2, ROWS - 1, ROWS]
    );
    assert_eq!(ids(&recent(ROWS + 1, 10).await.unwrap()), [0; 0]);
    // A removed one counts in its place among the newest.
    take_down(&db, live, id(ROWS - 1), NOW.plus_ms(ROWS))
        .await
        .unwrap();
    assert_eq!(ids(&recent(1, 2).await.unwrap()), [ROWS - 1, ROWS]);
    db.execute(&format!(
        "UPDATE comments SET removed_at = 1 WHERE id < {}",
        ROWS / 2
    ))
    .unwrap();
    let since = NOW.plus_ms(ROWS - 2).0;
    let plan = db.plan(&format!(
        "SELECT {KEY} FROM comments WHERE live_id = {live} AND removed_at IS NULL AND created_at < {since} \
         ORDER BY {KEY} DESC LIMIT 1"
    ));
    assert_no_sorting(&plan, "comments_history");
    let plan = db.plan(&format!(
        "SELECT * FROM comments WHERE live_id = {live} AND removed_at >= {since} AND created_at >= {since} \
         AND request_id IS NOT NULL ORDER BY removed_at DESC LIMIT 50"
    ));
    assert_no_sorting(&plan, "comments_removed");
}
