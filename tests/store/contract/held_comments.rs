//! Held comments: held once per request, counted, decided once by whoever is first, and shown where
//! they were shown.

use std::sync::Arc;

use futures_util::future::join;
use liveroom::domain::*;
use liveroom::storage::{
    ActionRecord, Change, DueComment, HeldEntry, LoggedHeldEntry, PendingAction, Performed, Write,
    WriteOutcome,
};

use super::comment;
use crate::support::database::{Database, NOW, request};

/// A live of alice's, whose viewer is bob.
pub struct Stage {
    pub db: Database,
    pub live: LiveId,
    pub alice: UserId,
    pub bob: UserId,
}

impl Stage {
    pub async fn set(db: Database) -> Self {
        let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
        let live = db.live(alice, "key").await;
        Self {
            db,
            live,
            alice,
            bob,
        }
    }

    pub fn held(&self, id: i64, author: UserId, request_id: Option<&str>) -> HeldComment {
        let comment = comment(id, self.live, author, &format!("text {id}"), request_id);
        HeldComment::for_review(Arc::new(comment), HoldRule::Term)
    }

    pub fn delayed(&self, id: i64, author: UserId, ms: i64) -> HeldComment {
        let held = self.held(id, author, None);
        HeldComment {
            rule: HoldRule::Delay,
            due: held.comment.at.plus_ms(ms),
            ..held
        }
    }

    pub async fn hold_all(
        &self,
        held: impl IntoIterator<Item = HeldComment>,
    ) -> Vec<Result<i64, HoldRefusal>> {
        let hold = |held| Write::Hold(Arc::new(held));
        let outcomes = self.db.commit(held.into_iter().map(hold).collect()).await;
        let outcome = |outcome| match outcome {
            WriteOutcome::Held(result) => result.map(CommentId::get),
            other => panic!("not the outcome of a hold: {other:?}"),
        };
        outcomes.into_iter().map(outcome).collect()
    }

    pub async fn hold(&self, held: HeldComment) -> Result<i64, HoldRefusal> {
        self.hold_all([held]).await.remove(0)
    }

    /// A decision of the streamer on a comment, which gets the key `id + 1,000` if it is shown.
    pub fn record(&self, id: i64, approve: bool, at: Timestamp) -> ActionRecord {
        let action = Action::Review {
            comment_id: comment_id(id),
            approve,
        };
        let actor = Actor::User(self.alice);
        let scope = Scope::Live(self.live);
        ActionRecord {
            key: approve.then(|| comment_id(id + 1_000)),
            ..ActionRecord::new(actor, Role::Streamer, scope, action, at)
        }
    }

    pub async fn review(
        &self,
        id: i64,
        approve: bool,
        at: Timestamp,
    ) -> Result<HeldDecision, Reject> {
        decision(
            self.db
                .store
                .perform(self.record(id, approve, at))
                .await
                .unwrap(),
        )
    }

    pub async fn waiting(&self) -> Vec<i64> {
        let held = self.db.store.held_comments(self.live, 500).await.unwrap();
        held.iter().map(|held| held.comment.id.get()).collect()
    }

    /// History, newest first.
    pub async fn shown(&self) -> Vec<i64> {
        let comments = self.db.store.comments(self.live, None, 100).await.unwrap();
        comments.iter().map(|comment| comment.id.get()).collect()
    }

    pub async fn due(&self, now: Timestamp) -> (Vec<i64>, Option<Timestamp>) {
        let due = self.db.store.due_held_comments(now, 100, Vec::new());
        let due = due.await.unwrap();
        let ids = due.ids.iter().map(|(_, id)| id.get());
        (ids.collect(), due.next_at)
    }

    /// Decides what is due, as a node does.
    pub async fn decide_due(&self, now: Timestamp) -> Vec<HeldEntry> {
        let due = self.db.store.due_held_comments(now, 100, Vec::new());
        let due = due.await.unwrap();
        let due = due.ids.iter().filter(|(live_id, _)| *live_id == self.live);
        let due = due.map(|(_, id)| due_comment(id.get())).collect();
        let decided = self.db.store.decide_held_comments(self.live, due, now);
        decided.await.unwrap()
    }

    pub async fn unlogged(&self) -> Vec<(i64, bool)> {
        let entries = self
            .db
            .store
            .unlogged_held_comments(None, NOW.plus_ms(10_000_000), 100);
        let name = |entry: &HeldEntry| {
            let LoggedHeldEntry {
                comment_id,
                is_decision,
            } = entry.logged;
            (comment_id.get(), is_decision)
        };
        entries.await.unwrap().iter().map(name).collect()
    }
}

/// With the key `id + 1,000`.
pub fn due_comment(id: i64) -> DueComment {
    DueComment {
        id: comment_id(id),
        key: comment_id(id + 1_000),
    }
}

pub fn comment_id(id: i64) -> CommentId {
    CommentId::new(id).unwrap()
}

fn decision(performed: Performed) -> Result<HeldDecision, Reject> {
    match performed {
        Performed::Done {
            change:
                Change::Decided {
                    decision: Some(decision),
                    ..
                },
            ..
        } => Ok(*decision),
        Performed::Refused(reject) => Err(reject),
        other => panic!("nothing was decided: {other:?}"),
    }
}

pub async fn a_comment_is_held_once_per_request_and_strangers_and_ended_lives_hold_none(
    db: Database,
) {
    let stage = Stage::set(db).await;
    let first = stage.held(1, stage.bob, Some("r"));
    let other_text = HeldComment {
        comment: Arc::new(comment(4, stage.live, stage.bob, "another", Some("r"))),
        ..first.clone()
    };
    let stranger = stage.held(5, UserId::new(99).unwrap(), None);
    let same_text = HeldComment {
        comment: Arc::new(comment(3, stage.live, stage.bob, "text 1", Some("r"))),
        ..first.clone()
    };
    let outcomes = stage
        .hold_all([
            first.clone(),
            first.clone(),
            same_text.clone(),
            other_text.clone(),
            stranger,
        ])
        .await;
    let conflict = Err(HoldRefusal::Conflict);
    assert_eq!(
        outcomes,
        [Ok(1), Ok(1), Ok(1), conflict, Err(HoldRefusal::Refused)]
    );
    // In a batch of its own, as by another node.
    assert_eq!(stage.hold(same_text).await, Ok(1));
    assert_eq!(stage.hold(other_text).await, conflict);
    assert_eq!(stage.hold(first).await, Ok(1));
    let taken = HeldComment {
        comment: Arc::new(comment(1, stage.live, stage.alice, "taken", None)),
        ..stage.held(1, stage.bob, None)
    };
    assert_eq!(stage.hold(taken).await, Err(HoldRefusal::Busy));
    assert_eq!(stage.waiting().await, [1]);
    assert_eq!(
        stage.db.store.newest_comment().await.unwrap(),
        Some(comment_id(1)),
        "the next id comes after it"
    );
    // A name is free again when its comment can wait no more.
    let mut late = comment(7, stage.live, stage.bob, "later", Some("r"));
    late.at = NOW.plus_ms(1 + HELD_REQUEST_MS + 1);
    let late = HeldComment::for_review(Arc::new(late), HoldRule::Term);
    assert_eq!(stage.hold(late).await, Ok(7));

    stage.db.set_status(stage.live, LiveStatus::Ended).await;
    let too_late = stage.held(8, stage.bob, None);
    assert_eq!(stage.hold(too_late).await, Err(HoldRefusal::LiveEnded));
}

pub async fn so_many_comments_wait_in_a_room_and_so_many_of_one_user(db: Database) {
    let stage = Stage::set(db).await;
    let mut next = 1_000;
    let mut fresh = |author| {
        next += 1;
        stage.held(next, author, None)
    };
    for user in 0..REVIEWS_MAX / REVIEWS_OF_USER_MAX {
        let user = stage.db.user(&format!("user{user}"), 0).await.id;
        let held: Vec<_> = (0..REVIEWS_OF_USER_MAX + 1).map(|_| fresh(user)).collect();
        let outcomes = stage.hold_all(held).await;
        let refused: Vec<_> = outcomes.iter().filter(|outcome| outcome.is_err()).collect();
        assert_eq!(refused, [&Err(HoldRefusal::Busy)], "one more of one user");
    }
    let one_more = fresh(stage.bob);
    assert_eq!(stage.hold(one_more.clone()).await, Err(HoldRefusal::Busy));
    assert_eq!(stage.waiting().await.len(), REVIEWS_MAX);
    // Comments of the delay are others, and another room has a queue of its own.
    assert_eq!(stage.hold(stage.delayed(1, stage.bob, 4_000)).await, Ok(1));
    let elsewhere = stage.db.live(stage.alice, "elsewhere").await;
    let comment = comment(2, elsewhere, stage.bob, "text", None);
    let elsewhere = HeldComment::for_review(Arc::new(comment), HoldRule::Term);
    assert_eq!(stage.hold(elsewhere).await, Ok(2));
    // Who decides about one makes room for one.
    stage.review(1_001, false, NOW).await.unwrap();
    let kept = one_more.comment.id.get();
    assert_eq!(stage.hold(one_more).await, Ok(kept));

    let delayed = (0..DELAYED_MAX as i64).map(|n| stage.delayed(100_000 + n, stage.bob, 4_000));
    let outcomes = stage.hold_all(delayed).await;
    assert_eq!(outcomes.last(), Some(&Err(HoldRefusal::Busy)));
    assert_eq!(outcomes.iter().filter(|it| it.is_err()).count(), 1);
}

pub async fn a_held_comment_is_decided_once_and_stands_where_it_was_shown(db: Database) {
    let stage = Stage::set(db).await;
    let posted = |id| Write::Comment(Arc::new(comment(id, stage.live, stage.alice, "said", None)));
    stage.db.commit(vec![posted(10)]).await;
    for id in [11, 12] {
        stage
            .hold(stage.held(id, stage.bob, Some(&format!("r{id}"))))
            .await
            .unwrap();
    }
    stage.db.commit(vec![posted(13)]).await;
    assert_eq!(stage.shown().await, [13, 10], "nobody reads what is held");

    let at = NOW.plus_ms(60_000);
    let shown = stage.review(11, true, at).await.unwrap();
    let HeldDecision::Shown(comment) = &shown else {
        panic!("{shown:?}")
    };
    assert_eq!((comment.id.get(), comment.at), (11, at));
    assert_eq!(comment.request_id, Some(request("r11")));
    assert_eq!(stage.shown().await, [11, 13, 10]);
    for approve in [true, false] {
        let again = stage.review(11, approve, at).await;
        assert_eq!(again, Err(Reject::AlreadyReviewed));
    }
    let denied = stage.review(12, false, at).await.unwrap();
    let expected = Denial {
        comment_id: comment_id(12),
        author: stage.bob,
        reason: None,
        is_expired: false,
    };
    assert_eq!(denied, HeldDecision::Denied(expected));
    assert_eq!(
        stage.review(99, true, at).await,
        Err(Reject::CommentNotFound)
    );
    assert_eq!(stage.waiting().await, [0; 0]);
    // It is a comment like any other now.
    let removed = stage
        .db
        .act(
            Scope::Live(stage.live),
            Action::TakeDown(comment_id(11)),
            at,
        )
        .await;
    let change = match removed {
        Performed::Done { change, .. } => change,
        other => panic!("{other:?}"),
    };
    assert_eq!(change, Change::CommentRemoved(at));
    assert_eq!(stage.shown().await, [13, 10]);
}

pub async fn two_moderators_at_once_decide_once(db: Database) {
    let stage = Stage::set(db).await;
    for id in 1..=8 {
        stage.hold(stage.held(id, stage.bob, None)).await.unwrap();
        let store = &stage.db.store;
        let (one, other) = join(
            store.perform(stage.record(id, true, NOW)),
            store.perform(stage.record(id, false, NOW)),
        )
        .await;
        let decided = [decision(one.unwrap()), decision(other.unwrap())];
        let refused = decided
            .iter()
            .filter(|it| **it == Err(Reject::AlreadyReviewed));
        assert_eq!(refused.count(), 1, "{decided:?}");
        let is_shown = decided
            .iter()
            .any(|it| matches!(it, Ok(HeldDecision::Shown(_))));
        assert_eq!(stage.shown().await.contains(&id), is_shown);
    }
    // The same decision twice has one effect and the same answer.
    stage.hold(stage.held(20, stage.bob, None)).await.unwrap();
    let named = ActionRecord {
        request_id: Some(request("once")),
        ..stage.record(20, true, NOW)
    };
    let first = stage.db.store.perform(named.clone()).await.unwrap();
    let again = stage.db.store.perform(named).await.unwrap();
    assert!(matches!(
        again,
        Performed::Done {
            is_repeated: true,
            ..
        }
    ));
    assert_eq!(decision(first), decision(again));
}

pub async fn a_decision_is_pending_until_the_log_has_it(db: Database) {
    let stage = Stage::set(db).await;
    for id in [1, 2, 3] {
        stage.hold(stage.held(id, stage.bob, None)).await.unwrap();
    }
    let why = ActionRecord {
        reason: Some("no links".into()),
        ..stage.record(2, false, NOW)
    };
    let mut decided = vec![stage.review(1, true, NOW).await.unwrap()];
    decided.push(decision(stage.db.store.perform(why).await.unwrap()).unwrap());
    let take_down = Action::TakeDown(comment_id(3));
    decided.push(decision(stage.db.act(Scope::Live(stage.live), take_down, NOW).await).unwrap());
    let pending: Vec<PendingAction> = stage.db.store.pending_actions(NOW, 10).await.unwrap();
    // Those of the live that began are there too.
    let entries: Vec<ActionEntry> = pending
        .into_iter()
        .flat_map(|action| action.entries)
        .filter(|entry| matches!(entry.key(), EntryKey::Decision(_)))
        .collect();
    let expected: Vec<ActionEntry> = decided.iter().map(ActionEntry::of_decision).collect();
    // The row of the comment says what became of one that was taken down: a node of the version
    // before would add its removal.
    assert_eq!(entries, expected[..2]);
    assert_eq!(stage.unlogged().await, [(3, true)]);
    assert!(
        matches!(&decided[1], HeldDecision::Denied(denial) if denial.reason.as_deref() == Some("no links"))
    );
}

pub async fn what_nobody_decides_expires_and_what_is_delayed_is_shown(db: Database) {
    let stage = Stage::set(db).await;
    assert_eq!(
        stage.due(NOW.plus_ms(i64::from(u32::MAX))).await,
        (vec![], None)
    );
    stage.hold(stage.held(1, stage.bob, None)).await.unwrap();
    stage
        .hold(stage.delayed(2, stage.bob, 4_000))
        .await
        .unwrap();
    stage
        .hold(stage.delayed(3, stage.bob, 2_000))
        .await
        .unwrap();
    assert_eq!(stage.unlogged().await, [(1, false), (2, false), (3, false)]);
    let reported = [1, 2, 3].map(|id| LoggedHeldEntry {
        comment_id: comment_id(id),
        is_decision: false,
    });
    stage
        .db
        .store
        .held_comments_logged(reported[..2].to_vec())
        .await
        .unwrap();

    let (first, second) = (NOW.plus_ms(2_003), NOW.plus_ms(4_002));
    assert_eq!(stage.due(first.plus_ms(-1)).await, (vec![], Some(first)));
    let shown = stage.decide_due(first).await;
    assert_eq!(shown.len(), 1);
    let EntryContent::Event(RoomEvent::Comment(comment)) = &shown[0].entry.content else {
        panic!("{shown:?}")
    };
    assert_eq!((comment.id.get(), comment.at), (3, first));
    // A report that comes late says nothing about the decision.
    stage
        .db
        .store
        .held_comments_logged(vec![reported[2]])
        .await
        .unwrap();
    assert_eq!(stage.unlogged().await, [(3, true)]);
    assert_eq!(stage.decide_due(second).await.len(), 1);
    assert_eq!(stage.shown().await, [3, 2], "by the keys that they got");
    let expired = NOW.plus_ms(1 + REVIEW_MS);
    assert_eq!(stage.due(second).await, (vec![], Some(expired)));
    let denied = stage.decide_due(expired).await;
    let EntryContent::Control(Control::Denied(denial)) = &denied[0].entry.content else {
        panic!("{denied:?}")
    };
    assert!(denial.is_expired, "{denial:?}");
    assert_eq!(
        stage.review(1, true, expired).await,
        Err(Reject::AlreadyReviewed)
    );
    let decided = [1, 2, 3].map(|id| LoggedHeldEntry {
        comment_id: comment_id(id),
        is_decision: true,
    });
    stage
        .db
        .store
        .held_comments_logged(decided.to_vec())
        .await
        .unwrap();
    assert_eq!(stage.unlogged().await, [(0, false); 0]);

    let remove = async |before| {
        let removed = stage.db.store.remove_decided_held_comments(before, 2);
        removed.await.unwrap()
    };
    assert_eq!(remove(expired).await, 2, "as many as asked for");
    assert_eq!(remove(expired).await, 0, "fewer: these were all");
    let author = stage
        .db
        .store
        .comment_author(stage.live, comment_id(1))
        .await
        .unwrap();
    assert_eq!(author.map(|(user, _)| user), Some(stage.bob), "not older");
    assert_eq!(remove(expired.plus_ms(1)).await, 1);
    assert_eq!(
        stage
            .db
            .store
            .comment_author(stage.live, comment_id(1))
            .await
            .unwrap(),
        None
    );
    assert_eq!(stage.shown().await, [3, 2]);
}

pub async fn what_two_nodes_find_due_is_decided_by_one(db: Database) {
    let stage = Stage::set(db).await;
    let held = (1..=40).map(|id| stage.delayed(id, stage.bob, 2_000));
    stage.hold_all(held).await;
    let now = NOW.plus_ms(10_000);
    let (one, other) = join(stage.decide_due(now), stage.decide_due(now)).await;
    let mut decided: Vec<i64> = one
        .iter()
        .chain(&other)
        .map(|entry| entry.logged.comment_id.get())
        .collect();
    decided.sort_unstable();
    assert_eq!(decided, (1..=40).collect::<Vec<_>>());
    assert_eq!(stage.shown().await.len(), 40);
}

pub async fn an_author_who_may_not_speak_any_more_is_not_shown(db: Database) {
    let stage = Stage::set(db).await;
    let (scope, operator) = (Scope::Live(stage.live), Actor::CONFIG);
    let sanction = |kind, purge| {
        let mut order =
            SanctionOrder::new(stage.bob, kind, Term::Seconds(600), None).expect("an order");
        order.purge = purge;
        Action::Sanction(order)
    };
    let act = async |action, at| {
        let record = ActionRecord::new(operator, Role::Operator, scope, action, at);
        stage.db.store.perform(record).await.unwrap()
    };
    stage.hold(stage.held(1, stage.bob, None)).await.unwrap();
    stage
        .hold(stage.delayed(2, stage.bob, 2_000))
        .await
        .unwrap();
    act(sanction(SanctionKind::Mute, Purge::default()), NOW).await;
    assert_eq!(stage.review(1, true, NOW).await, Err(Reject::AuthorBarred));
    assert_eq!(stage.waiting().await, [1], "who refuses decides nothing");
    let decided = stage.decide_due(NOW.plus_ms(2_002)).await;
    assert!(
        matches!(&decided[0].entry.content, EntryContent::Control(Control::Denied(denial)) if !denial.is_expired),
        "{decided:?}"
    );
    let after_mute = NOW.plus_ms(600_000);
    assert!(stage.review(1, true, after_mute).await.is_ok());

    // A ban that takes comments down denies what waits; one that leaves them leaves it too.
    for (id, purge, left) in [(3, Purge::Nothing, vec![3]), (4, Purge::Recent, vec![])] {
        stage.hold(stage.held(id, stage.bob, None)).await.unwrap();
        act(sanction(SanctionKind::Ban, purge), after_mute).await;
        assert_eq!(stage.waiting().await, left);
    }
    assert_eq!(
        stage.shown().await,
        [0; 0],
        "the one that was shown is purged"
    );
    let disabled = stage.held(5, stage.alice, None);
    stage.hold(disabled).await.unwrap();
    stage.db.set_enabled(stage.alice, false).await;
    assert_eq!(
        stage.review(5, true, after_mute).await,
        Err(Reject::AuthorBarred)
    );
    stage.db.set_status(stage.live, LiveStatus::Ended).await;
    assert_eq!(
        stage.review(5, true, after_mute).await,
        Err(Reject::LiveEnded)
    );
    assert!(stage.review(5, false, after_mute).await.is_ok());
}

pub async fn a_room_that_opens_reads_what_was_held_with_a_request_id(db: Database) {
    let stage = Stage::set(db).await;
    for (id, name) in [(1, Some("a")), (2, None), (3, Some("c")), (4, Some("d"))] {
        stage.hold(stage.held(id, stage.bob, name)).await.unwrap();
    }
    stage.review(3, false, NOW).await.unwrap();
    let store = &stage.db.store;
    let recent = async |since, max| {
        let held = store.recent_held_comments(stage.live, since, max).await;
        let held: Vec<HeldComment> = held.unwrap();
        held.iter()
            .map(|it| it.comment.id.get())
            .collect::<Vec<_>>()
    };
    assert_eq!(recent(NOW, 10).await, [1, 3, 4]);
    assert_eq!(recent(NOW.plus_ms(2), 10).await, [3, 4]);
    assert_eq!(recent(NOW, 2).await, [3, 4], "the newest");
    let all = store
        .recent_held_comments(stage.live, NOW, 1)
        .await
        .unwrap();
    let expected = stage.held(4, stage.bob, Some("d"));
    assert_eq!((all[0].rule, all[0].due), (expected.rule, expected.due));
    assert_eq!(all[0].comment.text, expected.comment.text);
}
