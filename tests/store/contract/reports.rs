//! Reports of comments: each user once, counted, bounded, and out of the queue when settled.

use liveroom::domain::*;
use liveroom::storage::{ActionRecord, Performed, Write};

use super::comment;
use crate::support::database::{Database, NOW, request};

struct Stage {
    db: Database,
    live: LiveId,
    bob: UserId,
    carol: UserId,
}

impl Stage {
    /// A live of alice's with comments 1 to 3 of bob's, which carol reports.
    async fn set(db: Database) -> Self {
        let alice = db.user("alice", 0).await.id;
        let (bob, carol) = (db.user("bob", 0).await.id, db.user("carol", 0).await.id);
        let live = db.live(alice, "key").await;
        let written = |id| Write::Comment(comment(id, live, bob, "rude", None).into());
        db.commit((1..=3).map(written).collect()).await;
        Self {
            db,
            live,
            bob,
            carol,
        }
    }

    fn record(&self, reporter: UserId, comment_id: i64, at_ms: i64) -> ActionRecord {
        let action = Action::Report(id(comment_id));
        let actor = Actor::User(reporter);
        ActionRecord {
            reason: Some(format!("rude, says {reporter}")),
            ..ActionRecord::new(
                actor,
                Role::Viewer,
                Scope::Live(self.live),
                action,
                NOW.plus_ms(at_ms),
            )
        }
    }

    /// What a report adds to the log of the room: reports of the comment, and the open ones.
    async fn report(
        &self,
        reporter: UserId,
        comment_id: i64,
        at_ms: i64,
    ) -> Result<Option<(i64, i64)>, Reject> {
        let record = self.record(reporter, comment_id, at_ms);
        noticed(self.db.store.perform(record).await.unwrap())
    }

    /// The comments in the queue, with how many reported each.
    async fn queue(&self) -> Vec<(i64, i64)> {
        let rows = self.db.store.reported_comments(self.live, None, 100);
        let row = |row: liveroom::storage::ReportedRow| (row.comment.id.get(), row.reports);
        rows.await.unwrap().into_iter().map(row).collect()
    }

    async fn act(&self, action: Action) -> Performed {
        self.db.act(Scope::Live(self.live), action, NOW).await
    }
}

fn id(id: i64) -> CommentId {
    CommentId::new(id).unwrap()
}

fn noticed(performed: Performed) -> Result<Option<(i64, i64)>, Reject> {
    match performed {
        Performed::Refused(reject) => Err(reject),
        Performed::Done { pending, .. } => {
            let notice = pending.iter().find_map(|entry| match &entry.content {
                EntryContent::Control(Control::Reports(ReportsChange { comment, open })) => {
                    Some((comment.reports, *open))
                }
                _ => None,
            });
            assert_eq!(notice.is_some(), !pending.is_empty());
            Ok(notice)
        }
    }
}

pub async fn a_user_reports_a_comment_once_and_the_queue_says_who_and_how_many(db: Database) {
    let stage = Stage::set(db).await;
    let dave = stage.db.user("dave", 0).await.id;
    assert_eq!(stage.report(stage.carol, 1, 0).await, Ok(Some((1, 1))));
    assert_eq!(stage.report(stage.carol, 1, 5).await, Ok(None));
    assert_eq!(stage.report(dave, 1, 9).await, Ok(Some((2, 1))));
    assert_eq!(stage.report(stage.carol, 3, 9).await, Ok(Some((1, 2))));
    assert_eq!(stage.queue().await, [(3, 1), (1, 2)]);

    let older = stage.db.store.reported_comments(stage.live, Some(id(3)), 1);
    let older = older.await.unwrap();
    assert_eq!(older.len(), 1);
    let row = &older[0];
    assert_eq!(row.comment.text.as_str(), "rude");
    assert_eq!((row.first_at, row.last_at), (NOW, NOW.plus_ms(9)));
    let reporters: Vec<_> = row
        .reporters
        .iter()
        .map(|reporter| (reporter.username.as_str(), reporter.reason.as_str()))
        .collect();
    let reason = |user| format!("rude, says {user}");
    let (of_carol, of_dave) = (reason(stage.carol), reason(dave));
    assert_eq!(
        reporters,
        [("carol", of_carol.as_str()), ("dave", of_dave.as_str())]
    );

    assert_eq!(
        stage.report(stage.bob, 1, 0).await,
        Err(Reject::NotAllowed),
        "of its own"
    );
    assert_eq!(
        stage.report(stage.carol, 99, 0).await,
        Err(Reject::CommentNotFound)
    );
}

pub async fn the_queue_of_all_lives_has_the_newest_of_each_first(db: Database) {
    let stage = Stage::set(db).await;
    let elsewhere = stage.db.live(stage.carol, "elsewhere").await;
    let written = comment(9, elsewhere, stage.bob, "rude", None);
    stage.db.commit(vec![Write::Comment(written.into())]).await;
    for reported in [1, 3] {
        stage.report(stage.carol, reported, 0).await.unwrap();
    }
    let record = ActionRecord {
        scope: Scope::Live(elsewhere),
        ..stage.record(stage.carol, 9, 0)
    };
    noticed(stage.db.store.perform(record).await.unwrap()).unwrap();
    let page = async |before: Option<i64>, max| {
        let rows = stage
            .db
            .store
            .reported_comments_anywhere(before.map(id), max);
        let rows = rows.await.unwrap().into_iter();
        rows.map(|row| (row.comment.live_id, row.comment.id.get()))
            .collect::<Vec<_>>()
    };
    assert_eq!(page(None, 2).await, [(elsewhere, 9), (stage.live, 3)]);
    assert_eq!(page(Some(3), 2).await, [(stage.live, 1)]);
    stage.act(Action::DismissReports(id(3))).await;
    assert_eq!(page(None, 9).await, [(elsewhere, 9), (stage.live, 1)]);
}

pub async fn a_comment_leaves_the_queue_when_it_is_taken_down_or_dismissed(db: Database) {
    let stage = Stage::set(db).await;
    let dave = stage.db.user("dave", 0).await.id;
    for comment_id in 1..=3 {
        stage.report(stage.carol, comment_id, 0).await.unwrap();
    }
    stage.act(Action::TakeDown(id(2))).await;
    assert_eq!(stage.queue().await, [(3, 1), (1, 1)]);
    let dismissed = stage.act(Action::DismissReports(id(3))).await;
    assert_eq!(noticed(dismissed), Ok(Some((0, 1))));
    let again = stage.act(Action::DismissReports(id(3))).await;
    assert_eq!(noticed(again), Ok(None));
    assert_eq!(stage.queue().await, [(1, 1)]);
    assert_eq!(
        stage.report(dave, 3, 1).await,
        Ok(None),
        "what was dismissed stays so"
    );
    assert_eq!(stage.report(dave, 2, 1).await, Err(Reject::CommentNotFound));
    assert_eq!(stage.queue().await, [(1, 1)]);
    for unknown in [2_000, 99] {
        let refused = stage.act(Action::DismissReports(id(unknown))).await;
        assert_eq!(noticed(refused), Err(Reject::CommentNotFound));
    }
}

pub async fn a_repeated_report_is_the_first_and_pending_as_that(db: Database) {
    let stage = Stage::set(db).await;
    let named = |comment_id| ActionRecord {
        request_id: Some(request("r-1")),
        ..stage.record(stage.carol, comment_id, 0)
    };
    let first = stage.db.store.perform(named(1)).await.unwrap();
    let repeated = stage.db.store.perform(named(1)).await.unwrap();
    assert_eq!(noticed(repeated), noticed(first));
    let conflict = stage.db.store.perform(named(2)).await.unwrap();
    assert_eq!(noticed(conflict), Err(Reject::DuplicateConflict));
    let pending = stage.db.store.pending_actions(NOW, 10).await.unwrap();
    let queue_changes = pending.iter().flat_map(|action| &action.entries);
    let queue_changes = queue_changes.filter(|entry| {
        matches!(
            entry.content,
            EntryContent::Control(Control::Reports(ReportsChange { open: 1, .. }))
        )
    });
    assert_eq!(queue_changes.count(), 1);
}

pub async fn reports_are_bounded_for_a_live_a_comment_and_a_user(db: Database) {
    let stage = Stage::set(db).await;
    let (live, bob, carol) = (stage.live, stage.bob, stage.carol);
    let db = &stage.db;
    let count = REPORTED_COMMENTS_MAX;
    let written = |id| Write::Comment(comment(id, live, bob, "rude", None).into());
    db.commit((4..=count + 1).map(written).collect()).await;
    // As 500 reports of others leave it.
    db.execute(&format!(
        "INSERT INTO reported_comments (comment_id, live_id, reports, created_at, updated_at) \
         SELECT id, live_id, 1, 1, 1 FROM comments WHERE id <= {count}"
    ))
    .unwrap();
    assert_eq!(
        stage.report(carol, count + 1, 0).await,
        Err(Reject::ReportsFull)
    );
    assert_eq!(
        stage.report(carol, 1, 0).await,
        Ok(Some((2, count))),
        "what is in the queue takes no further place"
    );
    let full = format!(
        "UPDATE reported_comments SET reports = {REPORTS_OF_COMMENT_MAX} WHERE comment_id = 2"
    );
    db.execute(&full).unwrap();
    assert_eq!(stage.report(carol, 2, 0).await, Ok(None));

    let of_carol = format!(
        "INSERT INTO reports (comment_id, user_id, reason, created_at) \
         SELECT id, {carol}, 'x', {} FROM comments WHERE id > 3 AND id <= {}",
        NOW.0,
        3 + REPORTS_OF_USER_MAX
    );
    db.execute(&of_carol).unwrap();
    let last = REPORTS_OF_USER_MS - 1;
    assert_eq!(stage.report(carol, 3, last).await, Err(Reject::ReportsFull));
    assert_eq!(
        stage.report(carol, 3, last + 1).await,
        Ok(Some((2, count))),
        "a day later"
    );
}
