//! What operators look at in pages: users, comments with removed ones, entries of the books,
//! sanctions of a user.

use std::sync::Arc;

use liveroom::domain::*;
use liveroom::storage::{AccountEntry, BookAccount, CommentRange, ShownComment, Write};

use super::comment;
use crate::support::database::{Database, NOW, order};

fn id(id: i64) -> CommentId {
    CommentId::new(id).unwrap()
}

async fn store_comments(db: &Database, comments: impl IntoIterator<Item = Comment>) {
    let write = |comment| Write::Comment(Arc::new(comment));
    db.commit(comments.into_iter().map(write).collect()).await;
}

pub async fn users_are_found_by_the_beginning_of_their_name_in_any_case(db: Database) {
    let mut users = Vec::new();
    for name in [
        "Anna 1",
        "anna 2",
        "annette",
        "Ännchen",
        "bob%_",
        "bobby",
        "弹幕君",
    ] {
        users.push(db.user(name, 0).await);
    }
    let find = async |beginning: &str, after: Option<usize>, max| {
        let after = after.map(|place: usize| users[place].id);
        let found = db.store.users_by_name(beginning.into(), after, max).await;
        let names = found.unwrap().into_iter().map(|user| user.username);
        names.collect::<Vec<_>>()
    };
    assert_eq!(find("ANN", None, 9).await, ["Anna 1", "anna 2", "annette"]);
    assert_eq!(find("ann", None, 2).await, ["Anna 1", "anna 2"]);
    assert_eq!(find("ann", Some(1), 2).await, ["annette"]);
    assert_eq!(
        find("bob%", None, 9).await,
        ["bob%_"],
        "% and _ are letters"
    );
    assert_eq!(find("弹", None, 9).await, ["弹幕君"]);
    assert_eq!(find("", None, 99).await.len(), users.len());
    for nobody in ["zz", "a\u{0}", "' OR 1=1 --", "anna 1 "] {
        assert!(find(nobody, None, 9).await.is_empty(), "{nobody:?}");
    }
    // PostgreSQL reads a table of one page without its indexes.
    if db.is_sqlite() {
        let plan = db.plan(
            "SELECT id FROM users WHERE lower(users.username) >= 'a' AND \
             lower(users.username) < 'b' ORDER BY lower(users.username), id LIMIT 9",
        );
        assert!(plan.contains("users_by_name"), "{plan}");
    }
}

/// Id of a comment, when it was removed, and by whom: kind and name.
type Removal<'a> = (i64, Option<i64>, Option<(&'a str, Option<&'a str>)>);

/// Whether each comment was removed, and by whom.
fn removals(found: &[ShownComment]) -> Vec<Removal<'_>> {
    found
        .iter()
        .map(|shown| {
            (
                shown.comment.id.get(),
                shown.removed_at.map(|at| at.0 - NOW.0),
                shown
                    .removed_by
                    .as_ref()
                    .map(|by| (&*by.kind, by.name.as_deref())),
            )
        })
        .collect()
}

pub async fn operators_see_removed_comments_among_the_others_and_who_removed_them(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let (live, other) = (db.live(alice, "k").await, db.live(alice, "k2").await);
    let said = (1..=6).map(|n| comment(n, live, if n == 4 { alice } else { bob }, "hello", None));
    store_comments(&db, said.chain([comment(7, other, bob, "elsewhere", None)])).await;
    db.act(Scope::Live(live), Action::TakeDown(id(2)), NOW.plus_ms(5))
        .await;
    // Together: the newest two of bob's, and one that its room removed at its place.
    let last = Action::TakeDownLast {
        user: bob,
        count: 2,
    };
    db.act(Scope::Live(live), last, NOW.plus_ms(7)).await;
    db.commit(vec![Write::TakeDown {
        comment_id: id(1),
        at: NOW.plus_ms(8),
    }])
    .await;
    let page = async |before: Option<i64>, removed, max| {
        let before = before.map(id);
        let page = db.store.comments_with_removed(live, before, removed, max);
        page.await.unwrap()
    };
    let operator = Some(("operator", None));
    assert_eq!(
        removals(&page(None, true, 9).await),
        [
            (6, Some(7), operator),
            (5, Some(7), operator),
            (4, None, None),
            (3, None, None),
            (2, Some(5), operator),
            (1, Some(8), None),
        ]
    );
    assert_eq!(
        removals(&page(None, false, 9).await),
        [(4, None, None), (3, None, None)]
    );
    let middle = page(Some(5), true, 2).await;
    assert_eq!(removals(&middle), [(4, None, None), (3, None, None)]);
    assert_eq!(page(Some(2), true, 9).await.len(), 1);

    let range = |after: Option<i64>, before: Option<i64>| CommentRange {
        live_id: live,
        after: after.map(id),
        before: before.map(id),
        removed: true,
        newest_first: false,
    };
    let ids = async |range, max| {
        let found = db.store.comment_range(range, max).await.unwrap();
        found
            .iter()
            .map(|shown| shown.key.get())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(range(None, None), 4).await, [1, 2, 3, 4]);
    assert_eq!(ids(range(Some(4), None), 4).await, [5, 6]);
    assert_eq!(ids(range(Some(4), Some(6)), 4).await, [5]);
}

pub async fn a_comment_that_its_author_took_down_names_the_author(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let live = db.live(alice, "k").await;
    store_comments(&db, [comment(1, live, alice, "oops", None)]).await;
    let record = liveroom::storage::ActionRecord::new(
        Actor::User(alice),
        Role::Streamer,
        Scope::Live(live),
        Action::TakeDown(id(1)),
        NOW,
    );
    db.store.perform(record).await.unwrap();
    let found = db.store.comments_with_removed(live, None, true, 9).await;
    assert_eq!(
        removals(&found.unwrap()),
        [(1, Some(0), Some(("user", Some("alice"))))]
    );
}

pub async fn comments_of_a_user_come_in_pages_over_all_lives(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let (one, two) = (db.live(alice, "k").await, db.live(alice, "k2").await);
    let live = |n: i64| if n % 2 == 0 { one } else { two };
    let author = |n: i64| if n % 3 == 0 { bob } else { alice };
    let said = (1..=9).map(|n| comment(n, live(n), author(n), "hello", None));
    store_comments(&db, said).await;
    db.act(Scope::Live(one), Action::TakeDown(id(6)), NOW).await;
    let first = db.store.comments_of_user(bob, None, 2).await.unwrap();
    let ids = |found: &[ShownComment]| -> Vec<i64> {
        found.iter().map(|shown| shown.comment.id.get()).collect()
    };
    assert_eq!(ids(&first.comments), [9, 6]);
    assert!(first.comments[1].removed_at.is_some());
    let (next, at) = first.next.unwrap();
    assert_eq!((next, at), (id(6), NOW.plus_ms(6)));
    let rest = db.store.comments_of_user(bob, Some(next), 2).await.unwrap();
    assert_eq!((ids(&rest.comments), rest.next), (vec![3], None));
}

fn entries(found: &[AccountEntry]) -> Vec<(i64, i64, bool)> {
    let shown =
        |entry: &AccountEntry| (entry.coins.get(), entry.balance.get(), entry.gift.is_some());
    found.iter().map(shown).collect()
}

pub async fn the_books_of_a_user_and_of_a_live_come_in_pages(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 50).await.id);
    let (live, other) = (db.live(alice, "k").await, db.live(alice, "k2").await);
    let rose = db.gift(7).await;
    for (live, count, name) in [(live, 1, "g1"), (other, 2, "g2"), (live, 3, "g3")] {
        db.give(order(live, bob, &rose, count, name)).await.unwrap();
    }
    db.grant(bob, -5, "back").await;
    let page = async |account, between, newest_first, max| {
        let found = db
            .store
            .account_entries(account, between, newest_first, max);
        found.await.unwrap()
    };
    let user = BookAccount::User(bob);
    let all = page(user, (0, i64::MAX), true, 9).await;
    assert_eq!(
        entries(&all),
        [
            (-5, 3, false),
            (-21, 8, true),
            (-14, 29, true),
            (-7, 43, true),
            (50, 50, false),
        ]
    );
    let older = page(user, (0, all[1].id), true, 2).await;
    assert_eq!(entries(&older), [(-14, 29, true), (-7, 43, true)]);
    let gift = older[0].gift.as_ref().unwrap();
    assert_eq!(
        (gift.live_id, gift.count, gift.price.get(), &*gift.name),
        (other, 2, 7, &*rose.name)
    );
    let account = BookAccount::Live(live);
    let oldest = page(account, (0, i64::MAX), false, 9).await;
    assert_eq!(entries(&oldest), [(7, 7, true), (21, 28, true)]);
    assert_eq!((oldest[0].user, &*oldest[0].username), (bob, "bob"));
    assert_eq!(
        page(account, (oldest[0].id, oldest[1].id), false, 9).await,
        []
    );
    if db.is_sqlite() {
        let plan = db.plan(
            "SELECT id FROM ledger_entries WHERE account = 'live' AND account_id = 1 AND id < 99 \
             ORDER BY id DESC LIMIT 50",
        );
        assert!(plan.contains("ledger_entries_by_account"), "{plan}");
        assert!(!plan.contains("B-TREE"), "{plan}");
    }
}

pub async fn givers_of_a_live_are_listed_by_what_they_gave(db: Database) {
    let (alice, bob) = (db.user("alice", 100).await.id, db.user("bob", 100).await.id);
    let carol = db.user("carol", 100).await.id;
    let (live, other) = (db.live(alice, "k").await, db.live(alice, "k2").await);
    let rose = db.gift(7).await;
    for (live, giver, count, name) in [
        (live, bob, 1, "g1"),
        (live, carol, 2, "g2"),
        (live, bob, 3, "g3"),
        (live, alice, 2, "g4"),
        (other, carol, 9, "g5"),
    ] {
        db.give(order(live, giver, &rose, count, name))
            .await
            .unwrap();
    }
    let givers = db.store.givers(live, 2).await.unwrap();
    let shown: Vec<_> = givers
        .iter()
        .map(|giver| (&*giver.username, giver.coins.get(), giver.gifts))
        .collect();
    assert_eq!(shown, [("bob", 28, 2), ("alice", 14, 1)]);
    if db.is_sqlite() {
        let plan = db.plan(
            "SELECT user_id, SUM(total) FROM gift_records WHERE live_id = 1 GROUP BY user_id",
        );
        assert!(
            plan.contains("COVERING INDEX gift_records_totals"),
            "{plan}"
        );
    }
}

pub async fn sanctions_of_a_user_are_those_in_force_in_all_scopes(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let live = db.live(alice, "k").await;
    let order = |kind, term, scope| {
        let order = SanctionOrder::new(bob, kind, term, Some(scope)).unwrap();
        Action::Sanction(order)
    };
    for action in [
        order(
            SanctionKind::Mute,
            Term::Seconds(60),
            SanctionScope::Streamer,
        ),
        order(SanctionKind::Shadow, Term::ThisLive, SanctionScope::Live),
        order(SanctionKind::Ban, Term::Forever, SanctionScope::Site),
    ] {
        db.act(Scope::Live(live), action, NOW).await;
    }
    let page = async |before, max, now| {
        let found = db.store.sanctions_of_user(bob, before, max, now).await;
        found.unwrap()
    };
    let found = page(None, 9, NOW).await;
    let shown: Vec<_> = found
        .iter()
        .map(|found| (found.sanction.scope, found.live_id, found.streamer))
        .collect();
    assert_eq!(
        shown,
        [
            (SanctionScope::Site, None, None),
            (SanctionScope::Live, Some(live), Some(alice)),
            (SanctionScope::Streamer, None, Some(alice)),
        ]
    );
    let before = Some(found[0].sanction.id);
    assert_eq!(page(before, 1, NOW).await, [found[1].clone()]);
    assert_eq!(page(None, 9, NOW.plus_ms(60_000)).await.len(), 2);
    let lifted = Action::Lift {
        user: bob,
        kind: SanctionKind::Ban,
    };
    db.act(Scope::Live(live), lifted, NOW).await;
    assert_eq!(page(None, 9, NOW).await, found[1..]);
}
