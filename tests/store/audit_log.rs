//! Pages of the audit: what filters find, in which order, and by which index. One suite, on SQLite
//! and on PostgreSQL.

use crate::support::database::{Database, NOW, contract, request};
use liveroom::domain::*;
use liveroom::storage::{
    AUDIT_SCANNED_MAX, ActAuthor, AddedManager, AuditFilter, AuditPage, AuditPosition, CoinGrant,
    ManagerChange, ManagerLink, NewApiToken, NewManagerSession,
};

contract! {
    pages_follow_each_other_in_the_order_of_time_without_gap_or_repeat,
    each_filter_finds_its_rows_and_no_others,
    a_filter_that_finds_nothing_among_many_rows_ends_a_page_early,
    each_filter_has_an_index_in_the_order_of_the_list,
    each_grant_and_each_refusal_of_one_is_a_row,
    a_new_gift_is_a_row,
    a_token_that_is_created_or_revoked_is_a_row_without_the_token,
    what_is_done_with_managers_and_by_them_to_themselves_is_a_row,
}

/// 40 rows, four to a millisecond, whose ids are not in the order of their times.
fn insert() -> String {
    let rows: Vec<String> = (0..40)
        .map(|n| {
            let at = 1_000 + (n * 7 % 40) / 4;
            let kind = ["operator", "user"][n % 2];
            let (scope, scope_id) = [("live", "5"), ("live", "6"), ("streamer", "5"), ("site", "NULL")][n % 4];
            let (address, request_id) = match n % 5 {
                0 => ("'10.0.0.1'".to_owned(), format!("'r{n}'")),
                _ => ("NULL".to_owned(), "NULL".to_owned()),
            };
            let (action, target) = [("kick", "7"), ("ban", "8"), ("notice", "NULL")][n % 3];
            let result = if n % 10 == 3 { "not_allowed" } else { "ok" };
            format!(
                "({at}, '{kind}', {}, 'streamer', {address}, '{scope}', {scope_id}, '{action}', {target}, '{{}}', {request_id}, '{result}')",
                n % 3
            )
        })
        .collect();
    format!(
        "INSERT INTO audit (at, actor_kind, actor_id, role, address, scope, scope_id, action, target_id, arguments, request_id, result) VALUES {}",
        rows.join(", ")
    )
}

async fn page(
    db: &Database,
    filter: &AuditFilter,
    before: Option<AuditPosition>,
    max: u32,
) -> AuditPage {
    db.store
        .audit_page(filter.clone(), before, max)
        .await
        .unwrap()
}

/// The ids that a filter finds, in their order, read `max` at a time.
async fn ids(db: &Database, filter: &AuditFilter, max: u32) -> Vec<i64> {
    let (mut ids, mut before) = (Vec::new(), None);
    loop {
        let page = page(db, filter, before, max).await;
        assert!(page.entries.len() <= max as usize);
        ids.extend(page.entries.iter().map(|entry| entry.id));
        before = page.next;
        if before.is_none() {
            return ids;
        }
    }
}

async fn pages_follow_each_other_in_the_order_of_time_without_gap_or_repeat(db: Database) {
    let all = AuditFilter::default();
    assert_eq!(
        page(&db, &all, None, 10).await,
        AuditPage::default(),
        "an empty audit"
    );
    db.execute(&insert()).unwrap();
    let whole = page(&db, &all, None, 40).await;
    assert_eq!((whole.entries.len(), whole.next), (40, None));
    let order: Vec<(i64, i64)> = whole
        .entries
        .iter()
        .map(|entry| (entry.at, entry.id))
        .collect();
    assert!(order.is_sorted_by(|one, next| one > next), "{order:?}");
    let expected: Vec<i64> = order.iter().map(|(_, id)| *id).collect();
    for max in [1, 3, 7, 39, 40, 100] {
        assert_eq!(ids(&db, &all, max).await, expected, "{max} a page");
    }
}

async fn each_filter_finds_its_rows_and_no_others(db: Database) {
    db.execute(&insert()).unwrap();
    let text = |text: &str| Some(text.to_owned());
    let all = AuditFilter::default();
    let filters = [
        (
            AuditFilter {
                actor_kind: text("user"),
                ..all.clone()
            },
            20,
        ),
        (
            AuditFilter {
                actor_kind: text("user"),
                actor_id: Some(1),
                ..all.clone()
            },
            7,
        ),
        (
            AuditFilter {
                role: text("streamer"),
                ..all.clone()
            },
            40,
        ),
        (
            AuditFilter {
                role: text("viewer"),
                ..all.clone()
            },
            0,
        ),
        (
            AuditFilter {
                address: "10.0.0.1".parse().ok(),
                ..all.clone()
            },
            8,
        ),
        (
            AuditFilter {
                action: text("kick"),
                ..all.clone()
            },
            14,
        ),
        (
            AuditFilter {
                target_id: Some(8),
                ..all.clone()
            },
            13,
        ),
        (
            AuditFilter {
                live_id: LiveId::new(5),
                ..all.clone()
            },
            10,
        ),
        (
            AuditFilter {
                request_id: text("r10"),
                ..all.clone()
            },
            1,
        ),
        (
            AuditFilter {
                result: text("not_allowed"),
                ..all.clone()
            },
            4,
        ),
        (
            AuditFilter {
                result: text("ok"),
                ..all.clone()
            },
            36,
        ),
        (
            AuditFilter {
                from: Some(Timestamp(1_002)),
                until: Some(Timestamp(1_004)),
                ..all.clone()
            },
            8,
        ),
        (
            AuditFilter {
                action: text("kick"),
                live_id: LiveId::new(5),
                from: Some(Timestamp(1_002)),
                ..all.clone()
            },
            2,
        ),
        (
            AuditFilter {
                action: text("kick"),
                request_id: text("r10"),
                ..all.clone()
            },
            0,
        ),
    ];
    for (filter, count) in filters {
        let found = ids(&db, &filter, 3).await;
        assert_eq!(found.len(), count, "{filter:?}: {found:?}");
        assert_eq!(ids(&db, &filter, 100).await, found, "{filter:?}");
    }
}

async fn a_filter_that_finds_nothing_among_many_rows_ends_a_page_early(db: Database) {
    let count = AUDIT_SCANNED_MAX * 5 / 4;
    db.execute(&format!(
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {count})
         INSERT INTO audit (at, actor_kind, actor_id, role, scope, scope_id, action, arguments, result)
         SELECT 1, 'user', 2, 'viewer', 'live', 5, 'report', '{{}}', 'ok' FROM numbers"
    ))
    .unwrap();
    let filter = AuditFilter {
        live_id: LiveId::new(5),
        role: Some("operator".to_owned()),
        ..AuditFilter::default()
    };
    let first = page(&db, &filter, None, 100).await;
    assert_eq!(first.entries, []);
    let next = first.next.expect("there is more to look through");
    assert!(next.id > 1);
    let second = page(&db, &filter, Some(next), 100).await;
    assert_eq!(second, AuditPage::default(), "the rest");
}

async fn each_filter_has_an_index_in_the_order_of_the_list(db: Database) {
    let from_rows = if db.is_sqlite() {
        "WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 20000)"
    } else {
        "WITH numbers (n) AS (SELECT generate_series(1, 20000))"
    };
    db.execute(&format!(
        "{from_rows} INSERT INTO audit (at, actor_kind, actor_id, role, address, scope, scope_id, action, target_id, arguments, request_id, result)
         SELECT n, 'user', n % 50, 'viewer', '10.0.0.' || (n % 90), 'live', n % 70, 'a' || (n % 20), n % 60, '{{}}', 'r' || n,
                CASE n % 30 WHEN 0 THEN 'not_allowed' ELSE 'ok' END FROM numbers"
    ))
    .unwrap();
    for (filter, index) in [
        ("actor_kind = 'user' AND actor_id = 3", "audit_by_actor"),
        ("scope = 'live' AND scope_id = 3", "audit_by_scope"),
        ("action = 'a3'", "audit_by_action"),
        ("target_id = 3", "audit_by_target"),
        ("address = '10.0.0.3'", "audit_by_address"),
        ("request_id = 'r3'", "audit_by_request"),
        ("result <> 'ok' AND result = 'not_allowed'", "audit_refused"),
    ] {
        let plan = db.plan(&format!(
            "SELECT * FROM audit WHERE {filter} AND at <= 15000 AND (at < 15000 OR id < 15000)
             ORDER BY at DESC, id DESC LIMIT 101"
        ));
        assert!(plan.contains(index), "{filter}: {plan}");
        // PostgreSQL sorts where it expects few rows.
        assert!(!plan.contains("TEMP B-TREE"), "{filter}: {plan}");
    }
    let plan = db.plan(
        "SELECT * FROM audit WHERE -audit.at >= -15000 AND (at < 15000 OR id < 15000)
         ORDER BY -audit.at, -audit.id LIMIT 101",
    );
    assert!(plan.contains("audit_by_time"), "{plan}");
}

/// What somebody does, and why.
fn author() -> ActAuthor {
    ActAuthor {
        actor: Actor::Operator(OperatorId::Manager(ManagerId::new(3).unwrap())),
        address: "10.0.0.1".parse().ok(),
        reason: Some("a refund".to_owned()),
        ..ActAuthor::default()
    }
}

async fn each_grant_and_each_refusal_of_one_is_a_row(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let nobody = UserId::new(404).unwrap();
    for (user_id, delta, name) in [
        (alice, 7, "a"),
        // A retry is no row.
        (alice, 7, "a"),
        (alice, -8, "b"),
        (nobody, 1, "c"),
        (alice, 9, "a"),
    ] {
        let grant = CoinGrant {
            user_id,
            delta: Coins::new(delta),
            request_id: request(name),
            at: NOW,
            by: author(),
        };
        db.store.grant(grant).await.unwrap();
    }
    let mut found = page(&db, &AuditFilter::default(), None, 10).await.entries;
    found.reverse();
    let rows: Vec<_> = found
        .iter()
        .map(|row| {
            (
                row.target_id,
                row.arguments.as_str(),
                row.before.as_deref(),
                row.after.as_deref(),
                row.request_id.as_deref(),
                row.result.as_str(),
            )
        })
        .collect();
    let (alice, nobody) = (Some(alice.get()), Some(nobody.get()));
    assert_eq!(
        rows,
        [
            (
                alice,
                r#"{"delta":7}"#,
                Some(r#"{"coin":0}"#),
                Some(r#"{"coin":7}"#),
                Some("a"),
                "ok"
            ),
            (
                alice,
                r#"{"delta":-8}"#,
                None,
                None,
                Some("b"),
                "coins_out_of_range"
            ),
            (
                nobody,
                r#"{"delta":1}"#,
                None,
                None,
                Some("c"),
                "user_not_found"
            ),
            (
                alice,
                r#"{"delta":9}"#,
                None,
                None,
                Some("a"),
                "duplicate_conflict"
            ),
        ]
    );
    for row in &found {
        assert_eq!(
            (row.action.as_str(), row.actor_kind.as_str(), row.actor_id),
            ("grant", "manager", 3)
        );
        assert_eq!(
            (row.address.as_deref(), row.reason.as_deref()),
            (Some("10.0.0.1"), Some("a refund"))
        );
    }
}

async fn a_new_gift_is_a_row(db: Database) {
    let gift = db
        .store
        .create_gift(
            "rose".into(),
            "/rose.png".into(),
            Coins::new(7),
            NOW,
            author(),
        )
        .await
        .unwrap()
        .gift;
    let found = page(&db, &AuditFilter::default(), None, 10).await.entries;
    assert_eq!(found.len(), 1);
    let row = &found[0];
    assert_eq!(
        (row.action.as_str(), row.target_id),
        ("create_gift", Some(gift.id.get()))
    );
    assert_eq!(
        row.after.as_deref(),
        Some(r#"{"coin":7,"image":"/rose.png","name":"rose"}"#)
    );
}

async fn a_token_that_is_created_or_revoked_is_a_row_without_the_token(db: Database) {
    let token = NewApiToken {
        name: "nightly".to_owned(),
        digest: "secret-digest".to_owned(),
        scopes: Permissions::of(&[Permission::Look]),
        created_by: OperatorId::Config,
        created_by_name: "config".to_owned(),
        at: NOW,
        expires_at: None,
    };
    let id = db
        .store
        .add_api_token(token, author())
        .await
        .unwrap()
        .expect("a token")
        .id;
    for is_first in [true, false] {
        let revoked = db.store.revoke_api_token(id, NOW, author()).await.unwrap();
        assert_eq!(revoked, is_first);
    }
    let found = page(&db, &AuditFilter::default(), None, 10).await.entries;
    let rows: Vec<_> = found
        .iter()
        .map(|row| (row.action.as_str(), row.target_id, row.after.as_deref()))
        .collect();
    let after = r#"{"expires_at":null,"name":"nightly","scopes":["look"]}"#;
    assert_eq!(
        rows,
        [
            ("revoke_token", Some(id.get()), None),
            ("create_token", Some(id.get()), Some(after))
        ]
    );
}

async fn what_is_done_with_managers_and_by_them_to_themselves_is_a_row(db: Database) {
    let store = &db.store;
    let link = |digest: &str| ManagerLink {
        digest: digest.into(),
        expires_at: NOW.plus_ms(1_000),
    };
    let role = ManagerRole::Moderator;
    let added = store.add_manager("ann".into(), role, false, link("one"), NOW, author());
    let AddedManager::Added(ann) = added.await.unwrap() else {
        panic!("the name is free");
    };
    let taken = store.add_manager("ann".into(), role, false, link("x"), NOW, author());
    assert_eq!(taken.await.unwrap(), AddedManager::NameTaken);
    let address = "10.0.0.2".parse().ok();
    let set = store.redeem_manager_link("one".into(), "hash".into(), NOW, address);
    assert!(set.await.unwrap().is_some());
    let used = store.redeem_manager_link("one".into(), "hash".into(), NOW, address);
    assert!(used.await.unwrap().is_none());
    let session = NewManagerSession {
        manager: ann.id,
        password_hash: "hash".into(),
        digest: "session".into(),
        address: "10.0.0.2".parse().unwrap(),
        network: "10.0.0.2".into(),
        user_agent: "a browser".into(),
        at: NOW,
        ends_at: NOW.plus_ms(1_000),
    };
    let session = store.open_manager_session(session).await.unwrap();
    let session = session.expect("the password is right").id;
    let ended = store.end_manager_sessions(ann.id, Some(session), NOW, author());
    assert!(ended.await.unwrap());
    let ended = store.end_manager_sessions(ann.id, Some(session), NOW, author());
    assert!(!ended.await.unwrap(), "it has ended");
    let wrong = store.change_manager_password(ann.id, "other".into(), "new".into(), NOW, author());
    assert!(!wrong.await.unwrap());
    let right = store.change_manager_password(ann.id, "hash".into(), "new".into(), NOW, author());
    assert!(right.await.unwrap());
    let reset = store.set_manager_link(ann.id, link("two"), NOW, author());
    assert!(reset.await.unwrap());
    let disabled = ManagerChange {
        disabled: Some(true),
        ..ManagerChange::default()
    };
    for _ in 0..2 {
        let changed = store.change_manager(ann.id, disabled, NOW, author());
        changed.await.unwrap();
    }

    let mut found = page(&db, &AuditFilter::default(), None, 20).await.entries;
    found.reverse();
    let rows: Vec<_> = found
        .iter()
        .map(|row| {
            let actor = (row.actor_kind.as_str(), row.actor_id);
            let is_changed = row.before != row.after;
            (row.action.as_str(), row.target_id, actor, is_changed)
        })
        .collect();
    let (manager, session) = (Some(ann.id.get()), Some(session));
    let (other, itself) = (("manager", 3), ("manager", ann.id.get()));
    assert_eq!(
        rows,
        [
            ("add_manager", manager, other, true),
            ("set_password", manager, itself, false),
            ("begin_session", session, itself, false),
            ("end_session", session, other, false),
            ("change_password", manager, other, false),
            ("reset_manager", manager, other, false),
            // The second change changed nothing.
            ("change_manager", manager, other, true),
        ]
    );
    let all = format!("{found:?}");
    assert!(!all.contains("hash") && !all.contains("\"one\""), "{all}");
}
