//! Migrations of a database that has rows.

use diesel::RunQueryDsl;
use diesel::sql_types::{BigInt, Text};

use super::*;

#[derive(Debug, PartialEq, Eq, diesel::QueryableByName)]
struct Actor {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Text)]
    actor_kind: String,
    #[diesel(sql_type = BigInt)]
    actor_id: i64,
}

fn actors(conn: &mut SqliteConnection) -> Vec<(i64, String, i64)> {
    let rows: Vec<Actor> =
        diesel::sql_query("SELECT id, actor_kind, actor_id FROM audit ORDER BY id")
            .load(conn)
            .unwrap();
    rows.into_iter()
        .map(|row| (row.id, row.actor_kind, row.actor_id))
        .collect()
}

fn insert(id: i64, actor_kind: &str, actor_id: i64) -> String {
    format!(
        "INSERT INTO audit (id, at, actor_kind, actor_id, role, scope, action, arguments, request_id, result) \
         VALUES ({id}, 1, '{actor_kind}', {actor_id}, 'operator', 'site', 'kick', '{{}}', 'r', 'ok')"
    )
}

/// Brings a database to the state before the migration of this name.
fn before(conn: &mut SqliteConnection, name: &str) {
    while conn
        .applied_migrations()
        .unwrap()
        .iter()
        .any(|version| version.to_string() >= name.replace('-', ""))
    {
        conn.revert_last_migration(MIGRATIONS).unwrap();
    }
}

#[test]
fn the_audit_is_kept_when_it_is_rebuilt_and_rebuilt_back() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("liveroom.db").display().to_string();
    migrate(&path, 5_000).unwrap();
    let mut conn = establish(&path, 5_000).unwrap();
    before(&mut conn, "2026-12-01-000029");
    let managers = conn.batch_execute(&insert(9, "manager", 3));
    assert!(managers.is_err(), "unknown to the version before");
    conn.batch_execute(&insert(7, "operator", 0)).unwrap();
    conn.batch_execute("INSERT INTO pending_actions VALUES (7)")
        .unwrap();

    conn.run_pending_migrations(MIGRATIONS).unwrap();
    conn.batch_execute(&insert(8, "manager", 3)).unwrap();
    let again = conn.batch_execute(&insert(9, "manager", 3));
    assert!(again.is_err(), "its request_id is used");
    conn.batch_execute("INSERT INTO pending_actions VALUES (8)")
        .unwrap();
    for forbidden in [
        "DELETE FROM audit",
        "UPDATE audit SET at = 2",
        "INSERT INTO pending_actions VALUES (99)",
    ] {
        assert!(conn.batch_execute(forbidden).is_err(), "{forbidden}");
    }
    let all = [(7, "operator".to_owned(), 0), (8, "manager".to_owned(), 3)];
    assert_eq!(actors(&mut conn), all);

    before(&mut conn, "2026-12-01-000029");
    let all = [(7, "operator".to_owned(), 0), (8, "operator".to_owned(), 0)];
    assert_eq!(actors(&mut conn), all);
    let forbidden = "INSERT INTO pending_actions VALUES (8)";
    assert!(conn.batch_execute(forbidden).is_err(), "it is there still");
}
