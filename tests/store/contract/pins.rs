//! What is pinned in a live, and what takes it down.

use futures_util::future::join;
use liveroom::domain::*;
use liveroom::storage::{ActionRecord, Change, Performed, Write};

use super::comment;
use crate::support::database::{Database, NOW, request};

/// A live of alice's with comments 1 to 3 of bob's.
async fn stage(db: &Database) -> (LiveId, UserId, UserId) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let live = db.live(alice, "key").await;
    let written = |id| Write::Comment(comment(id, live, bob, "hello", None).into());
    db.commit((1..=3).map(written).collect()).await;
    (live, alice, bob)
}

fn id(id: i64) -> CommentId {
    CommentId::new(id).unwrap()
}

/// What is pinned, and by which action.
async fn pinned(db: &Database, live: LiveId) -> Option<(Option<i64>, ActionId)> {
    let pin = db.store.pin(live).await.unwrap()?;
    Some((pin.comment.map(|comment| comment.id.get()), pin.action))
}

/// The entries on a pin that an action left pending: which comment, and by which action.
fn entries(performed: &Performed) -> (ActionId, Vec<(Option<i64>, ActionId)>) {
    let Performed::Done { id, pending, .. } = performed else {
        panic!("{performed:?}")
    };
    let pins = pending.iter().filter_map(|entry| match &entry.content {
        EntryContent::Event(RoomEvent::Pinned { pin, .. }) => {
            let comment = pin.comment.as_ref().map(|comment| comment.id.get());
            Some((comment, pin.action))
        }
        _ => None,
    });
    (*id, pins.collect())
}

pub async fn a_pin_replaces_the_one_before_and_says_by_which_action(db: Database) {
    let (live, alice, _) = stage(&db).await;
    let elsewhere = db.live(alice, "elsewhere").await;
    assert_eq!(pinned(&db, live).await, None);
    for wanted in [Some(1), Some(2), None, Some(2)] {
        let action = Action::Pin(wanted.map(id));
        let performed = db.act(Scope::Live(live), action, NOW).await;
        let (action, entries) = entries(&performed);
        assert_eq!(entries, [(wanted, action)]);
        assert_eq!(pinned(&db, live).await, Some((wanted, action)));
    }
    let pin = db.store.pin(live).await.unwrap().unwrap();
    assert_eq!(pin.comment.unwrap().text.as_str(), "hello");
    assert_eq!(pinned(&db, elsewhere).await, None);

    let refused =
        async |scope, comment_id| match db.act(scope, Action::Pin(Some(comment_id)), NOW).await {
            Performed::Refused(reject) => reject,
            done => panic!("{done:?}"),
        };
    let here = Scope::Live(live);
    assert_eq!(refused(here, id(99)).await, Reject::CommentNotFound);
    let of_another = refused(Scope::Live(elsewhere), id(1)).await;
    assert_eq!(of_another, Reject::CommentNotFound);
    let nowhere = Scope::Live(LiveId::new(99).unwrap());
    assert_eq!(refused(nowhere, id(1)).await, Reject::LiveNotFound);
    db.act(here, Action::TakeDown(id(3)), NOW).await;
    assert_eq!(refused(here, id(3)).await, Reject::CommentNotFound);
    db.set_status(live, LiveStatus::Ended).await;
    assert_eq!(refused(here, id(1)).await, Reject::LiveEnded);
    assert_eq!(pinned(&db, live).await.unwrap().0, Some(2));
}

pub async fn a_pin_goes_with_its_comment_by_whatever_takes_that_down(db: Database) {
    let (live, _, bob) = stage(&db).await;
    let here = Scope::Live(live);
    let ban = {
        let mut order = SanctionOrder::new(bob, SanctionKind::Ban, Term::Forever, None).unwrap();
        order.purge = Purge::Live;
        Action::Sanction(order)
    };
    let of_another = db.act(here, Action::TakeDown(id(1)), NOW).await;
    assert_eq!(entries(&of_another).1, [], "nothing was pinned");
    for (pinned_id, act) in [
        (
            3,
            Action::TakeDownLast {
                user: bob,
                count: 1,
            },
        ),
        (2, ban),
    ] {
        db.act(here, Action::Pin(Some(id(pinned_id))), NOW).await;
        let performed = db.act(here, act.clone(), NOW.plus_ms(1)).await;
        let (action, entries) = entries(&performed);
        assert_eq!(entries, [(None, action)], "{act:?}");
        assert_eq!(pinned(&db, live).await, Some((None, action)));

        let pending = db.store.pending_actions(NOW.plus_ms(1), 100).await.unwrap();
        let again = pending.iter().find(|pending| pending.id == action).unwrap();
        let Performed::Done {
            pending: first_entries,
            ..
        } = performed
        else {
            unreachable!("its entries were read")
        };
        assert_eq!(again.entries, first_entries, "delivered again as at first");
    }
}

pub async fn a_repeated_pin_is_the_first_and_not_undone_by_what_came_between(db: Database) {
    let (live, alice, _) = stage(&db).await;
    let record = |comment_id, name| ActionRecord {
        request_id: Some(request(name)),
        ..ActionRecord::new(
            Actor::User(alice),
            Role::Streamer,
            Scope::Live(live),
            Action::Pin(Some(id(comment_id))),
            NOW,
        )
    };
    let first = db.store.perform(record(1, "p-1")).await.unwrap();
    db.store.perform(record(2, "p-2")).await.unwrap();
    let repeated = db.store.perform(record(1, "p-1")).await.unwrap();
    assert_eq!(entries(&repeated), entries(&first));
    assert!(matches!(
        repeated,
        Performed::Done {
            is_repeated: true,
            change: Change::Pinned(Some(_)),
            ..
        }
    ));
    assert_eq!(pinned(&db, live).await.unwrap().0, Some(2));
    let conflict = db.store.perform(record(3, "p-1")).await.unwrap();
    assert_eq!(conflict, Performed::Refused(Reject::DuplicateConflict));
}

pub async fn pins_and_removals_of_one_moment_leave_nothing_pinned_that_is_down(db: Database) {
    let (live, ..) = stage(&db).await;
    let here = Scope::Live(live);
    for number in 1..=3 {
        let comment = id(number);
        let (pin, removal) = join(
            db.act(here, Action::Pin(Some(comment)), NOW),
            db.act(here, Action::TakeDown(comment), NOW),
        )
        .await;
        let last = match pin {
            Performed::Refused(reject) => {
                assert_eq!(reject, Reject::CommentNotFound);
                continue;
            }
            _ => entries(&removal).1,
        };
        let pinned = pinned(&db, live).await.unwrap();
        assert_eq!(last, [pinned], "the removal came after the pin");
        assert_eq!(pinned.0, None);
    }
}
