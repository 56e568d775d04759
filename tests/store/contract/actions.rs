//! Actions: one effect, one row of the audit, which nobody changes.

use std::sync::Arc;

use diesel::sql_types::{BigInt, Nullable, Text};
use liveroom::domain::*;
use liveroom::storage::{ActionRecord, Change, Performed, Write};

use super::comment;
use crate::support::database::{Database, NOW, request};

/// A row of the audit, as it is.
#[derive(Debug, PartialEq, Eq, diesel::QueryableByName)]
pub struct AuditRow {
    #[diesel(sql_type = Text)]
    actor_kind: String,
    #[diesel(sql_type = BigInt)]
    actor_id: i64,
    #[diesel(sql_type = Text)]
    role: String,
    #[diesel(sql_type = Nullable<Text>)]
    address: Option<String>,
    #[diesel(sql_type = Text)]
    scope: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    scope_id: Option<i64>,
    #[diesel(sql_type = Text)]
    action: String,
    #[diesel(sql_type = Nullable<BigInt>)]
    target_id: Option<i64>,
    #[diesel(sql_type = Text)]
    arguments: String,
    #[diesel(sql_type = Nullable<Text>)]
    before: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    after: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    reason: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    request_id: Option<String>,
    #[diesel(sql_type = Text)]
    result: String,
    #[diesel(sql_type = BigInt)]
    at: i64,
}

async fn audit(db: &Database) -> Vec<AuditRow> {
    db.rows("SELECT * FROM audit ORDER BY id").await
}

/// Of each row the action and what came of it.
async fn results(db: &Database) -> Vec<(String, String)> {
    audit(db)
        .await
        .into_iter()
        .map(|row| (row.action, row.result))
        .collect()
}

fn record(scope: Scope, action: Action, request_id: &str) -> ActionRecord {
    let named = ActionRecord::new(Actor::CONFIG, Role::Operator, scope, action, NOW);
    ActionRecord {
        request_id: Some(request(request_id)),
        ..named
    }
}

fn ok(action: &str) -> (String, String) {
    (action.to_owned(), "ok".to_owned())
}

pub async fn an_action_leaves_a_row_that_says_who_did_what_to_whom_and_what_it_changed(
    db: Database,
) {
    let alice = db.user("alice", 0).await.id;
    let bob = db.user("bobby", 0).await.id;
    let created = db
        .store
        .create_live(alice, "title".into(), "c.png".into(), "k".into(), NOW)
        .await
        .unwrap();
    let live = created.live.id;
    let stored = Write::Comment(Arc::new(comment(7, live, alice, "hi", None)));
    db.commit(vec![stored]).await;
    let at = NOW.plus_ms(5);
    let by_alice = |action| ActionRecord {
        address: Some("2001:db8::1".parse().unwrap()),
        reason: Some("because".into()),
        request_id: Some(request("r")),
        ..ActionRecord::new(
            Actor::User(alice),
            Role::Streamer,
            Scope::Live(live),
            action,
            at,
        )
    };
    for action in [
        Action::SetStatus(LiveStatus::OnAir),
        Action::TakeDown(CommentId::new(7).unwrap()),
        Action::Notice("你好".into()),
        Action::Kick(bob),
    ] {
        let performed = db.store.perform(by_alice(action)).await.unwrap();
        assert!(
            matches!(
                performed,
                Performed::Done {
                    is_repeated: false,
                    ..
                }
            ),
            "{performed:?}"
        );
    }
    db.set_enabled(alice, false).await;

    let text = |text: &str| Some(text.to_owned());
    let row = |action: &str, target_id, arguments: &str, before, after| AuditRow {
        actor_kind: "user".into(),
        actor_id: alice.get(),
        role: "streamer".into(),
        address: text("2001:db8::1"),
        scope: "live".into(),
        scope_id: Some(live.get()),
        action: action.into(),
        target_id,
        arguments: arguments.into(),
        before,
        after,
        reason: text("because"),
        request_id: text("r"),
        result: "ok".into(),
        at: at.0,
    };
    let removed = text(&format!(r#"{{"removed_at":{}}}"#, at.0));
    let expected = [
        row(
            "set_status",
            None,
            r#"{"status":1}"#,
            text(r#"{"status":0}"#),
            text(r#"{"status":1}"#),
        ),
        row(
            "take_down",
            Some(7),
            "{}",
            text(r#"{"removed_at":null}"#),
            removed,
        ),
        row("notice", None, r#"{"text":"你好"}"#, None, None),
        row("kick", Some(bob.get()), "{}", None, None),
        AuditRow {
            actor_kind: "operator".into(),
            actor_id: 0,
            role: "operator".into(),
            address: None,
            scope: "site".into(),
            scope_id: None,
            reason: None,
            request_id: None,
            at: NOW.0,
            ..row(
                "disable_user",
                Some(alice.get()),
                "{}",
                text(r#"{"enabled":true}"#),
                text(r#"{"enabled":false}"#),
            )
        },
    ];
    assert_eq!(audit(&db).await, expected);
}

pub async fn a_repeated_action_has_one_effect_and_the_same_answer(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let live = db.live(alice, "k").await;
    let scope = Scope::Live(live);
    let pause = || record(scope, Action::SetStatus(LiveStatus::Paused), "r1");
    let Performed::Done {
        id: first,
        is_repeated: false,
        ..
    } = db.store.perform(pause()).await.unwrap()
    else {
        panic!("not done")
    };
    db.set_status(live, LiveStatus::OnAir).await;
    let again = db.store.perform(pause()).await.unwrap();
    assert!(
        matches!(again, Performed::Done { id, is_repeated: true, .. } if id == first),
        "{again:?}"
    );
    let status = db.store.live(live).await.unwrap().unwrap().live.status;
    assert_eq!(status, LiveStatus::OnAir, "it was not done again");

    let disable = || record(Scope::Site, Action::DisableUser(alice), "r1");
    let answers = [db.store.perform(disable()).await.unwrap(), {
        db.set_enabled(alice, true).await;
        db.store.perform(disable()).await.unwrap()
    }];
    for answer in answers {
        let Performed::Done {
            change: Change::User(user),
            ..
        } = answer
        else {
            panic!("{answer:?}")
        };
        assert!(!user.enabled, "the answer of the first time");
    }
    assert!(db.store.user(alice).await.unwrap().unwrap().enabled);

    let kick = record(scope, Action::Kick(alice), "r1");
    let later = ActionRecord {
        at: NOW.plus_ms(9),
        reason: Some("another".into()),
        ..kick.clone()
    };
    for (record, repeated) in [(kick, false), (later, true)] {
        let performed = db.store.perform(record).await.unwrap();
        assert!(
            matches!(performed, Performed::Done { is_repeated, .. } if is_repeated == repeated),
            "{performed:?}"
        );
    }
    assert_eq!(
        results(&db)
            .await
            .iter()
            .filter(|row| **row == ok("kick"))
            .count(),
        1
    );
}

pub async fn an_action_is_pending_until_the_log_of_its_room_has_its_entry(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let live_id = db.live(alice, "k").await;
    let live = Scope::Live(live_id);
    // How the live began.
    let began = db.store.pending_actions(NOW, 10).await.unwrap();
    db.store
        .actions_logged(began.into_iter().map(|pending| pending.id).collect())
        .await
        .unwrap();
    let shown = comment(1, live_id, alice, "rude", None);
    db.store
        .commit_skip_locked(vec![Write::Comment(Arc::new(shown.clone()))])
        .await
        .unwrap();
    let actions = [
        (live, Action::TakeDown(shown.id)),
        (live, Action::Notice("hello".into())),
        (Scope::Site, Action::DisableUser(alice)),
        (live, Action::Kick(alice)),
        (live, Action::SetStatus(LiveStatus::Paused)),
        (live, Action::SetStatus(LiveStatus::Ended)),
    ];
    let mut performed = Vec::new();
    for (number, (scope, action)) in actions.into_iter().enumerate() {
        let at = NOW.plus_ms(i64::try_from(number).unwrap());
        let record = ActionRecord {
            at,
            ..record(scope, action, "r")
        };
        // Both changes of the status have the same kind: only the first has a name.
        let request_id = record.request_id.filter(|_| number < 5);
        let record = ActionRecord {
            request_id,
            ..record
        };
        let Performed::Done { id, pending, .. } = db.store.perform(record.clone()).await.unwrap()
        else {
            panic!("not done: {record:?}")
        };
        performed.push((record, id, pending));
    }
    let expected: Vec<_> = performed
        .iter()
        .flat_map(|(.., pending)| pending.clone())
        .collect();
    assert_eq!(
        expected.len(),
        5,
        "sessions of a user are not in a room's log"
    );
    let pending = async |until, max| {
        let found = db.store.pending_actions(until, max).await.unwrap();
        assert!(found.iter().all(|pending| pending.live_id == live_id));
        found
            .into_iter()
            .flat_map(|pending| pending.entries)
            .collect::<Vec<_>>()
    };
    let late = NOW.plus_ms(1_000);
    let mut found = pending(late, 10).await;
    // Of a live the present status is said, not an earlier one.
    assert_eq!(found[3].content, expected[4].content);
    found[3] = expected[3].clone();
    assert_eq!(found, expected);
    assert_eq!(pending(late, 2).await, expected[..2]);
    assert_eq!(pending(NOW.plus_ms(1), 10).await, expected[..2]);
    assert_eq!(pending(NOW.plus_ms(-1), 10).await, []);

    let (kick, kick_id, kick_entry) = &performed[3];
    let again = ActionRecord {
        at: late,
        ..kick.clone()
    };
    let Performed::Done {
        pending: repeated, ..
    } = db.store.perform(again.clone()).await.unwrap()
    else {
        panic!("not repeated")
    };
    assert_eq!(repeated, *kick_entry, "as it was the first time");
    db.store.actions_logged(vec![*kick_id]).await.unwrap();
    let settled = db.store.perform(again).await.unwrap();
    let Performed::Done {
        is_repeated: true,
        pending: nothing,
        ..
    } = settled
    else {
        panic!("not repeated: {settled:?}")
    };
    assert_eq!(nothing, []);
    assert_eq!(pending(late, 10).await.len(), 4);
    db.store
        .actions_logged(performed.iter().map(|(_, id, _)| *id).collect())
        .await
        .unwrap();
    assert_eq!(pending(late, 10).await, []);
    assert_eq!(results(&db).await.len(), 7, "the audit stays");
}

pub async fn a_request_id_names_one_action_of_its_actor_and_kind(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let (live, other) = (
        Scope::Live(db.live(alice, "k").await),
        Scope::Live(db.live(alice, "k2").await),
    );
    let notice = |text: &str| Action::Notice(text.into());
    db.store
        .perform(record(live, notice("one"), "r"))
        .await
        .unwrap();
    db.store
        .perform(record(live, Action::Kick(bob), "r"))
        .await
        .unwrap();
    db.store
        .perform(record(live, Action::SetStatus(LiveStatus::Paused), "r"))
        .await
        .unwrap();
    let rows = results(&db).await;
    for conflicting in [
        record(live, notice("two"), "r"),
        record(other, notice("one"), "r"),
        record(live, Action::Kick(alice), "r"),
        record(live, Action::SetStatus(LiveStatus::Ended), "r"),
        record(other, Action::SetStatus(LiveStatus::Paused), "r"),
    ] {
        let performed = db.store.perform(conflicting).await.unwrap();
        assert_eq!(performed, Performed::Refused(Reject::DuplicateConflict));
    }
    assert_eq!(results(&db).await, rows, "a conflict changes nothing");
    for actor in [
        Actor::User(alice),
        Actor::Operator(OperatorId::Manager(ManagerId::FIRST)),
        Actor::Operator(OperatorId::Token(TokenId::FIRST)),
    ] {
        let by_another = ActionRecord {
            actor,
            ..record(live, notice("two"), "r")
        };
        for expected in [false, true] {
            let performed = db.store.perform(by_another.clone()).await.unwrap();
            assert!(
                matches!(performed, Performed::Done { is_repeated, .. } if is_repeated == expected),
                "another actor's name: {actor:?} {performed:?}"
            );
        }
    }
    let kinds: Vec<_> = audit(&db).await.into_iter().rev().take(3).collect();
    let kinds: Vec<_> = kinds.iter().map(|row| row.actor_kind.as_str()).collect();
    assert_eq!(kinds, ["token", "manager", "user"]);
}

pub async fn a_refused_attempt_leaves_a_row_and_its_request_id_usable(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let live = db.live(alice, "k").await;
    let take_down = || {
        record(
            Scope::Live(live),
            Action::TakeDown(CommentId::new(7).unwrap()),
            "r",
        )
    };
    assert_eq!(
        db.store.perform(take_down()).await.unwrap(),
        Performed::Refused(Reject::CommentNotFound)
    );
    for _ in 0..2 {
        db.store
            .record_refusal(take_down(), "comment_not_found")
            .await
            .unwrap();
    }
    let stored = Write::Comment(Arc::new(comment(7, live, alice, "hi", None)));
    db.commit(vec![stored]).await;
    let performed = db.store.perform(take_down()).await.unwrap();
    assert!(
        matches!(
            performed,
            Performed::Done {
                is_repeated: false,
                ..
            }
        ),
        "{performed:?}"
    );
    let refused = ("take_down".to_owned(), "comment_not_found".to_owned());
    assert_eq!(
        results(&db).await[1..],
        [refused.clone(), refused, ok("take_down")]
    );
}

pub async fn retries_at_the_same_time_have_one_effect(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let live = db.live(alice, "k").await;
    let before = audit(&db).await.len();
    for action in [Action::Kick(alice), Action::SetStatus(LiveStatus::Paused)] {
        let tries = (0..8).map(|_| {
            db.store
                .perform(record(Scope::Live(live), action.clone(), "r"))
        });
        let performed = futures_util::future::join_all(tries).await;
        let first_count = performed
            .iter()
            .filter(|performed| {
                matches!(
                    performed,
                    Ok(Performed::Done {
                        is_repeated: false,
                        ..
                    })
                )
            })
            .count();
        assert_eq!(first_count, 1, "{performed:?}");
        assert!(
            performed
                .iter()
                .all(|performed| matches!(performed, Ok(Performed::Done { .. }))),
            "{performed:?}"
        );
    }
    assert_eq!(audit(&db).await.len(), before + 2);
}

pub async fn nobody_changes_a_row_of_the_audit(db: Database) {
    let alice = db.user("alice", 0).await.id;
    db.live(alice, "k").await;
    let rows = audit(&db).await;
    for sql in [
        "UPDATE audit SET result = 'refused'",
        "UPDATE audit SET reason = 'none'",
        "DELETE FROM audit",
        "INSERT INTO audit (id, at, actor_kind, actor_id, role, scope, action, arguments, result) \
         VALUES (1, 0, 'operator', 0, 'operator', 'site', 'kick', '{}', 'ok')",
    ] {
        assert!(db.execute(sql).is_err(), "{sql}");
    }
    let whole = if db.is_sqlite() {
        "PRAGMA recursive_triggers = ON; REPLACE INTO audit (id, at, actor_kind, actor_id, role, scope, action, arguments, result) \
         VALUES (1, 0, 'operator', 0, 'operator', 'site', 'kick', '{}', 'ok')"
    } else {
        "TRUNCATE audit"
    };
    assert!(db.execute(whole).is_err(), "{whole}");
    assert_eq!(audit(&db).await, rows);
    assert!(!rows.is_empty());
}
