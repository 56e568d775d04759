//! What happens while a comment is held, or is shown and not in its log yet: removals, freezes,
//! shadows.

use std::sync::Arc;

use liveroom::domain::*;
use liveroom::storage::{ActionRecord, Change, LoggedHeldEntry, Performed};

use super::comment;
use super::held_comments::{Stage, comment_id};
use crate::support::database::{Database, NOW, request};

/// What an action adds to the log of its room.
fn pending(performed: Performed) -> Vec<ActionEntry> {
    match performed {
        Performed::Done { pending, .. } => pending,
        Performed::Refused(reject) => panic!("refused: {reject:?}"),
    }
}

fn denial(id: i64, author: UserId) -> ActionEntry {
    ActionEntry::of_decision(&HeldDecision::Denied(Denial {
        comment_id: comment_id(id),
        author,
        reason: None,
        is_expired: false,
    }))
}

pub async fn a_comment_that_is_taken_down_before_its_log_has_it_is_denied_there(db: Database) {
    let stage = Stage::set(db).await;
    let scope = Scope::Live(stage.live);
    let (shown_at, at) = (NOW.plus_ms(10_000), NOW.plus_ms(10_001));
    let delayed = (1..=4).map(|id| stage.delayed(id, stage.bob, 2_000));
    stage.hold_all(delayed).await;
    let appended = stage.decide_due(shown_at).await;
    assert_eq!(stage.shown().await, [4, 3, 2, 1]);
    // The log of the room is known to have one of them.
    let in_log = vec![appended[3].logged];
    stage.db.store.held_comments_logged(in_log).await.unwrap();

    let take_down = |id| Action::TakeDown(comment_id(id));
    let entries = pending(stage.db.act(scope, take_down(1), at).await);
    assert_eq!(entries[0], denial(1, stage.bob), "before the removal");
    assert_eq!(
        entries[0].key(),
        appended[0].entry.key(),
        "one of them counts"
    );
    assert_eq!(entries[1].key(), EntryKey::Removal(comment_id(1)));
    let last = Action::TakeDownLast {
        user: stage.bob,
        count: 10,
    };
    let entries = pending(stage.db.act(scope, last, at).await);
    assert_eq!(entries[..2], [denial(2, stage.bob), denial(3, stage.bob)]);
    assert_eq!(entries.len(), 3, "and the removal of three: {entries:?}");
    assert_eq!(stage.shown().await, [0; 0]);

    // A node that dies leaves the same to others, and none adds the comments.
    assert_eq!(stage.unlogged().await, [(1, true), (2, true), (3, true)]);
    let unlogged = stage
        .db
        .store
        .unlogged_held_comments(None, at, 10)
        .await
        .unwrap();
    let unlogged: Vec<_> = unlogged.into_iter().map(|held| held.entry).collect();
    assert_eq!(unlogged, [1, 2, 3].map(|id| denial(id, stage.bob)));
    // Page by page, so that entries that no log takes hold none of the others back.
    let after = Some(comment_id(1));
    let rest = stage
        .db
        .store
        .unlogged_held_comments(after, at, 1)
        .await
        .unwrap();
    assert_eq!(rest[0].logged.comment_id, comment_id(2));
    let of_actions = stage.db.store.pending_actions(at, 10).await.unwrap();
    let mut denied = of_actions.into_iter().flat_map(|action| action.entries);
    for id in [1, 2, 3] {
        assert!(denied.any(|entry| entry == denial(id, stage.bob)));
    }
}

pub async fn an_approved_comment_that_is_taken_down_before_its_log_has_it_is_denied_there(
    db: Database,
) {
    let stage = Stage::set(db).await;
    stage.hold(stage.held(1, stage.bob, None)).await.unwrap();
    let approval = ActionRecord {
        request_id: Some(request("approve")),
        ..stage.record(1, true, NOW)
    };
    let approved = stage.db.store.perform(approval.clone()).await.unwrap();
    let at = NOW.plus_ms(1);
    let take_down = Action::TakeDown(comment_id(1));
    let entries = pending(stage.db.act(Scope::Live(stage.live), take_down, at).await);
    assert_eq!(entries[0], denial(1, stage.bob));
    assert_eq!(entries.len(), 2, "{entries:?}");
    let outcome = |performed: &Performed| match performed {
        Performed::Done {
            change: Change::Decided { outcome, .. },
            ..
        } => outcome.clone(),
        other => panic!("nothing was decided: {other:?}"),
    };
    // The retry is answered as the first time, and adds the denial.
    let retried = stage.db.store.perform(approval.clone()).await.unwrap();
    assert_eq!(outcome(&retried), outcome(&approved));
    assert_eq!(pending(retried), [denial(1, stage.bob)]);

    // So it is when nothing but the audit knows of the comment any more.
    let logged = LoggedHeldEntry {
        comment_id: comment_id(1),
        is_decision: true,
    };
    let store = &stage.db.store;
    store.held_comments_logged(vec![logged]).await.unwrap();
    let later = at.plus_ms(1);
    assert_eq!(
        store.remove_decided_held_comments(later, 10).await.unwrap(),
        1
    );
    let retried = store.perform(approval).await.unwrap();
    assert_eq!(outcome(&retried), outcome(&approved));
}

pub async fn a_frozen_room_shows_no_comment_that_was_held_of_its_viewers(db: Database) {
    let stage = Stage::set(db).await;
    stage.hold(stage.held(1, stage.bob, None)).await.unwrap();
    let of_streamer = stage.held(2, stage.alice, None);
    stage.hold(of_streamer).await.unwrap();
    stage
        .hold(stage.delayed(3, stage.bob, 2_000))
        .await
        .unwrap();
    let frozen = |frozen| {
        let mut change = ModesChange::default();
        let set = change.set(RoomMode::Frozen, ModeValue::Flag(frozen));
        assert_eq!(set, Ok(()));
        Action::SetModes(change)
    };
    let scope = Scope::Live(stage.live);
    pending(stage.db.act(scope, frozen(true), NOW).await);
    assert_eq!(stage.review(1, true, NOW).await, Err(Reject::Frozen));
    assert_eq!(stage.waiting().await, [1, 2], "it waits on");
    assert!(stage.review(2, true, NOW).await.is_ok(), "it may speak");
    let decided = stage.decide_due(NOW.plus_ms(2_003)).await;
    let entries: Vec<_> = decided.into_iter().map(|held| held.entry).collect();
    assert_eq!(entries, [denial(3, stage.bob)], "its author is notified");
    pending(stage.db.act(scope, frozen(false), NOW).await);
    assert!(stage.review(1, true, NOW).await.is_ok());
}

pub async fn those_of_all_lives_that_are_due_first_come_first(db: Database) {
    let stage = Stage::set(db).await;
    let elsewhere = stage.db.live(stage.alice, "elsewhere").await;
    let in_other_room = |id, due_ms| {
        let held = comment(id, elsewhere, stage.bob, "text", None);
        HeldComment {
            due: NOW.plus_ms(due_ms),
            ..HeldComment::for_review(Arc::new(held), HoldRule::Link)
        }
    };
    stage
        .hold_all([
            stage.held(1, stage.bob, None),
            stage.delayed(2, stage.bob, 2_000),
            in_other_room(3, 1_000),
            in_other_room(4, 2_000),
        ])
        .await;
    let first = async |max| {
        let held = stage.db.store.held_comments_anywhere(max).await.unwrap();
        let ids = held.iter().map(|held| held.comment.id.get());
        ids.collect::<Vec<_>>()
    };
    assert_eq!(first(9).await, [3, 4, 1], "none that is only delayed");
    assert_eq!(first(2).await, [3, 4]);
    stage.review(1, false, NOW).await.unwrap();
    assert_eq!(first(9).await, [3, 4]);
}

pub async fn taking_the_last_comments_of_a_user_down_denies_those_that_wait(db: Database) {
    let stage = Stage::set(db).await;
    let elsewhere = stage.db.live(stage.alice, "elsewhere").await;
    let other_room = comment(4, elsewhere, stage.bob, "text", None);
    let other_room = HeldComment::for_review(Arc::new(other_room), HoldRule::Term);
    stage
        .hold_all([
            stage.held(1, stage.bob, None),
            stage.delayed(2, stage.bob, 2_000),
            stage.delayed(3, stage.alice, 2_000),
            other_room,
        ])
        .await;
    let last = Action::TakeDownLast {
        user: stage.bob,
        count: 1,
    };
    pending(stage.db.act(Scope::Live(stage.live), last, NOW).await);
    let decided: Vec<_> = stage.unlogged().await;
    let denied = decided.iter().filter(|(_, is_decision)| *is_decision);
    assert_eq!(denied.collect::<Vec<_>>(), [&(1, true), &(2, true)]);
    stage.decide_due(NOW.plus_ms(2_003)).await;
    assert_eq!(stage.shown().await, [3], "of another user");
    let waiting = stage.db.store.held_comments(elsewhere, 10).await.unwrap();
    assert_eq!(waiting.len(), 1, "in another room");
}

pub async fn a_shadow_given_in_the_delay_shows_the_comment_to_nobody_and_notifies_nobody(
    db: Database,
) {
    let stage = Stage::set(db).await;
    stage.hold(stage.held(1, stage.bob, None)).await.unwrap();
    stage
        .hold(stage.delayed(2, stage.bob, 2_000))
        .await
        .unwrap();
    let order = SanctionOrder::new(stage.bob, SanctionKind::Shadow, Term::Seconds(600), None);
    let shadow = Action::Sanction(order.expect("an order"));
    pending(stage.db.act(Scope::Live(stage.live), shadow, NOW).await);
    assert_eq!(stage.review(1, true, NOW).await, Err(Reject::AuthorBarred));
    let decided = stage.decide_due(NOW.plus_ms(2_002)).await;
    assert_eq!(decided, []);
    assert_eq!(stage.shown().await, [0; 0]);
    assert_eq!(stage.unlogged().await, [(1, false)], "no denial follows");
    let (ids, _) = stage.due(NOW.plus_ms(2_002)).await;
    assert_eq!(ids, [0; 0], "it is decided");
}
