//! What happens while a comment is held, or is shown and not in its log yet: removals, freezes,
//! shadows.

use std::sync::Arc;

use liveroom::clock::{Clock, SystemClock};
use liveroom::domain::*;
use liveroom::storage::{ActionRecord, Change, LoggedHeldEntry, Performed, StoreError, Write};

use super::comment;
use super::held_comments::{Stage, comment_id, due_comment};
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

fn frozen(frozen: bool) -> Action {
    let mut change = ModesChange::default();
    let set = change.set(RoomMode::Frozen, ModeValue::Flag(frozen));
    assert_eq!(set, Ok(()));
    Action::SetModes(change)
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
    let (actor, scope) = (Actor::User(stage.alice), Scope::Live(stage.live));
    let record = ActionRecord {
        request_id: Some(request("last")),
        ..ActionRecord::new(actor, Role::Streamer, scope, last, NOW)
    };
    for is_repeated in [false, true] {
        let performed = stage.db.store.perform(record.clone()).await.unwrap();
        let Performed::Done {
            change: Change::Comments { outcome, .. },
            is_repeated: was_repeated,
            ..
        } = performed
        else {
            panic!("{performed:?}")
        };
        assert_eq!(outcome, Outcome::TakenDown(2), "those that waited count");
        assert_eq!(was_repeated, is_repeated);
    }
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

pub async fn what_is_due_in_a_room_is_decided_in_one_go_each_by_what_holds_for_its_author(
    db: Database,
) {
    let stage = Stage::set(db).await;
    let muted = stage.db.user("muted", 0).await.id;
    let shadowed = stage.db.user("shadowed", 0).await.id;
    let disabled = stage.db.user("disabled", 0).await.id;
    let moderator = stage.db.user("moderator", 0).await.id;
    let elsewhere = stage.db.live(stage.alice, "elsewhere").await;
    let other_room = comment(9, elsewhere, stage.bob, "text", None);
    let other_room = HeldComment {
        rule: HoldRule::Delay,
        ..HeldComment::for_review(Arc::new(other_room), HoldRule::Term)
    };
    let authors = [muted, shadowed, disabled, moderator, stage.bob, stage.alice];
    let delayed = (1..)
        .zip(authors)
        .map(|(id, author)| stage.delayed(id, author, 2_000));
    let held = delayed.chain([stage.held(7, stage.bob, None), other_room]);
    assert!(stage.hold_all(held).await.iter().all(Result::is_ok));
    let scope = Scope::Live(stage.live);
    for (user, kind) in [
        (muted, SanctionKind::Mute),
        (shadowed, SanctionKind::Shadow),
    ] {
        let order = SanctionOrder::new(user, kind, Term::Seconds(600), None).expect("an order");
        pending(stage.db.act(scope, Action::Sanction(order), NOW).await);
    }
    let named = Action::SetModerator {
        user: moderator,
        moderator: true,
    };
    pending(stage.db.act(scope, named, NOW).await);
    stage.db.set_enabled(disabled, false).await;
    pending(stage.db.act(scope, frozen(true), NOW).await);

    let due = (1..=9).map(due_comment).collect();
    let at = NOW.plus_ms(REVIEW_MS + 10);
    let decided = stage.db.store.decide_held_comments(stage.live, due, at);
    let entries = decided.await.unwrap();
    let entries: Vec<_> = entries.into_iter().map(|held| held.entry.content).collect();
    let denied = |id, author, is_expired| {
        EntryContent::Control(Control::Denied(Denial {
            comment_id: comment_id(id),
            author,
            reason: None,
            is_expired,
        }))
    };
    let shown = |content: &EntryContent| match content {
        EntryContent::Event(RoomEvent::Comment(comment)) => Some((comment.id.get(), comment.at)),
        _ => None,
    };
    assert_eq!(entries.len(), 6, "nothing follows of a shadow: {entries:?}");
    assert_eq!(
        (&entries[0], &entries[1], &entries[3], &entries[5]),
        (
            &denied(1, muted, false),
            &denied(3, disabled, false),
            &denied(5, stage.bob, false),
            &denied(7, stage.bob, true),
        ),
        "muted, disabled, frozen, and nobody decided"
    );
    assert_eq!(
        (shown(&entries[2]), shown(&entries[4])),
        (Some((4, at)), Some((6, at)))
    );
    assert_eq!(stage.shown().await, [6, 4], "by the keys that they got");
    let (due, _) = stage.due(at).await;
    assert_eq!(due, [9], "that of another room waits");
}

pub async fn a_row_that_cannot_be_read_keeps_nobody_from_the_others(db: Database) {
    let stage = Stage::set(db).await;
    let held = (1..=3).map(|id| stage.held(id, stage.bob, Some(&format!("r-{id}"))));
    assert!(stage.hold_all(held).await.iter().all(Result::is_ok));
    let unreadable = "UPDATE held_comments SET content = '' WHERE comment_id = 1";
    stage.db.execute(unreadable).unwrap();
    assert_eq!(stage.waiting().await, [2, 3]);
    assert_eq!(stage.unlogged().await, [(2, false), (3, false)]);
    let first = stage
        .db
        .store
        .unlogged_held_comments(None, NOW.plus_ms(10_000), 1);
    let first = first.await.unwrap();
    assert_eq!(
        first.len(),
        1,
        "fewer than asked for would be all there are"
    );
    assert_eq!(first[0].logged.comment_id, comment_id(2));
    let recent = stage.db.store.recent_held_comments(stage.live, NOW, 10);
    assert_eq!(recent.await.unwrap().len(), 2);
    let due = vec![due_comment(1), due_comment(2)];
    let at = NOW.plus_ms(REVIEW_MS + 10);
    let decided = stage.db.store.decide_held_comments(stage.live, due, at);
    assert!(matches!(decided.await, Err(StoreError::Fault(_))));
    assert_eq!(stage.due(at).await.0, [1, 2, 3], "all or none");
    let due = stage
        .db
        .store
        .due_held_comments(at, 10, vec![comment_id(1)]);
    let due = due.await.unwrap().ids;
    assert_eq!(due.len(), 2, "those that are left out hold back no other");
}

pub async fn a_room_that_missed_entries_reads_kicks_held_comments_the_pin_and_reports(
    db: Database,
) {
    let stage = Stage::set(db).await;
    let scope = Scope::Live(stage.live);
    let elsewhere = Scope::Live(stage.db.live(stage.alice, "elsewhere").await);
    stage.hold(stage.held(1, stage.bob, None)).await.unwrap();
    let posted = comment(2, stage.live, stage.bob, "text", None);
    stage
        .db
        .commit(vec![Write::Comment(Arc::new(posted))])
        .await;
    let kick = || Action::Kick(stage.bob);
    stage.db.act(scope, kick(), NOW).await;
    stage.db.act(scope, kick(), NOW.plus_ms(5)).await;
    stage.db.act(elsewhere, kick(), NOW.plus_ms(6)).await;
    let pin = Action::Pin(Some(comment_id(2)));
    stage.db.act(scope, pin, NOW).await;
    let report = Action::Report(comment_id(2));
    let by_alice = Actor::User(stage.alice);
    let report = ActionRecord::new(by_alice, Role::Streamer, scope, report, NOW);
    stage.db.store.perform(report).await.unwrap();
    let missed = stage.db.store.missed_entries(stage.live, NOW.plus_ms(1));
    let missed = missed.await.unwrap();
    assert_eq!(missed.kicks, [(stage.bob, NOW.plus_ms(5))]);
    assert_eq!(missed.held.len(), 1);
    assert_eq!(missed.pin, stage.db.store.pin(stage.live).await.unwrap());
    assert!(missed.pin.is_some_and(|pin| pin.comment.is_some()));
    assert_eq!(missed.open_reports, 1);
}

pub async fn a_store_that_nodes_share_says_its_time(db: Database) {
    let before = SystemClock.now();
    let time = db.store.time().await.unwrap();
    assert_eq!(time.is_some(), db.url.starts_with("postgres"), "{}", db.url);
    // The database of a test runs on this machine.
    let after = SystemClock.now();
    assert!(
        time.is_none_or(|time| (before..=after).contains(&time)),
        "{time:?}"
    );
}
