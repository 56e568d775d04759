//! Lists of terms: replaced whole, and found by their versions.

use liveroom::domain::word_filter::{SITE_TERMS_MAX, TermLines, export, import};
use liveroom::domain::*;
use liveroom::storage::{ActionRecord, Performed};

use crate::support::database::{Database, NOW, request};

fn lines(text: &str) -> TermLines {
    export(&import(text.as_bytes(), SITE_TERMS_MAX).unwrap())
}

fn record(scope: Scope, lines: TermLines, request_id: &str) -> ActionRecord {
    let action = Action::SetTerms(lines);
    ActionRecord {
        request_id: Some(request(request_id)),
        ..ActionRecord::new(Actor::CONFIG, Role::Operator, scope, action, NOW)
    }
}

/// The text of a list and its version.
async fn list(db: &Database, streamer: Option<UserId>) -> Option<(String, i64)> {
    let row = db.store.term_list(streamer).await.unwrap();
    row.map(|row| (row.lines, row.version))
}

pub async fn a_list_of_terms_is_replaced_whole_and_its_version_grows(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let of_alice = Scope::Streamer(alice);
    assert_eq!(list(&db, None).await, None);
    for (scope, text, name) in [
        (Scope::Site, "坏话\n脏话\thold", "1"),
        (of_alice, "剧透", "2"),
        (Scope::Site, "别的\tmask", "3"),
        // A retry, after the list was replaced.
        (Scope::Site, "坏话\n脏话\thold", "1"),
    ] {
        let performed = db.store.perform(record(scope, lines(text), name)).await;
        assert!(matches!(performed, Ok(Performed::Done { .. })), "{name}");
    }
    let text = |text: &str| lines(text).as_str().to_owned();
    assert_eq!(list(&db, None).await, Some((text("别的\tmask"), 2)));
    assert_eq!(list(&db, Some(alice)).await, Some((text("剧透"), 1)));
    assert_eq!(list(&db, Some(bob)).await, None);

    let asked = vec![None, Some(alice), Some(bob)];
    let mut versions = db.store.term_list_versions(asked).await.unwrap();
    versions.sort();
    assert_eq!(versions, [(None, 2), (Some(alice), 1)]);

    let conflict = db.store.perform(record(of_alice, lines("另外"), "2")).await;
    assert_eq!(
        conflict.unwrap(),
        Performed::Refused(Reject::DuplicateConflict)
    );
    let nobody = Scope::Streamer(UserId::new(4_242).unwrap());
    let refused = db.store.perform(record(nobody, lines("坏话"), "4")).await;
    assert_eq!(refused.unwrap(), Performed::Refused(Reject::UserNotFound));
}

/// A row of the audit is read by people.
pub async fn the_longest_list_of_terms_reads_back_and_the_audit_has_its_digest(db: Database) {
    let syllable = |nth: usize| char::from_u32(0xac00 + (nth % 1_000) as u32).unwrap();
    let rest = "가나".repeat(30);
    let text: String = (0..SITE_TERMS_MAX)
        .map(|nth| format!("{}x{}{rest}\n", syllable(nth), syllable(nth / 1_000)))
        .collect();
    let longest = lines(&text);
    assert!(longest.as_str().len() > 3_500_000);
    let performed = db
        .store
        .perform(record(Scope::Site, longest.clone(), "1"))
        .await;
    assert!(matches!(performed, Ok(Performed::Done { .. })));
    let row = db.store.term_list(None).await.unwrap().unwrap();
    assert_eq!(
        (row.lines.as_str(), row.updated_at),
        (longest.as_str(), NOW)
    );
    #[derive(diesel::QueryableByName)]
    struct Arguments {
        #[diesel(sql_type = diesel::sql_types::Text)]
        arguments: String,
    }
    let rows: Vec<Arguments> = db.rows("SELECT arguments FROM audit").await;
    assert_eq!(rows.len(), 1);
    assert!(rows[0].arguments.starts_with(r#"{"sha256":""#));
    assert!(rows[0].arguments.len() < 120);
}
