//! Usernames: one form, and of names that look alike one.

use std::sync::Arc;

use futures_util::future::join_all;
use liveroom::storage::{Store, User};

use crate::support::database::{Database, NOW, open};

/// `alice` with a Cyrillic first letter.
const LOOK_ALIKE: &str = "\u{430}lice";

async fn create(store: &Arc<dyn Store>, username: &str) -> Option<User> {
    store
        .create_user(username.to_owned(), None, "hash".into(), NOW)
        .await
        .unwrap()
}

async fn found(store: &Arc<dyn Store>, username: &str) -> Option<String> {
    store
        .credentials(username.to_owned())
        .await
        .unwrap()
        .map(|credentials| credentials.user.username)
}

pub async fn of_names_that_look_alike_one_is_given_out(db: Database) {
    assert!(create(&db.store, "alice").await.is_some());
    for name in [LOOK_ALIKE, "a1ice", "aIice", "ａｌｉｃｅ", "ali\u{200b}ce"] {
        assert_eq!(create(&db.store, name).await, None, "{name}");
    }
    assert!(create(&db.store, "alicia").await.is_some());
    assert_eq!(
        found(&db.store, "ａｌｉｃｅ").await.as_deref(),
        Some("alice"),
        "another form of the same name"
    );
    assert_eq!(found(&db.store, LOOK_ALIKE).await, None, "another name");
}

pub async fn of_registrations_at_the_same_time_the_database_takes_one(db: Database) {
    let stores = [db.store.clone(), open(&db.url).await.unwrap()];
    for round in 0..10 {
        let names = [
            format!("alice {round}"),
            format!("{LOOK_ALIKE} {round}"),
            format!("aIice {round}"),
        ];
        let calls = stores
            .iter()
            .flat_map(|store| names.iter().map(|name| create(store, name)));
        let created = join_all(calls).await.into_iter().flatten().count();
        assert_eq!(created, 1, "round {round}");
    }
}

pub async fn names_from_before_stay_valid_and_keep_their_look_alikes_out(db: Database) {
    // Rows as an older version wrote them, more than one transaction fills in.
    db.execute("DROP INDEX users_skeleton").unwrap();
    db.execute("ALTER TABLE users DROP COLUMN skeleton")
        .unwrap();
    let old = [
        "alice",
        LOOK_ALIKE,
        "Zoe\u{301}lie",
        "\u{3164}\u{3164}\u{3164}\u{3164}\u{3164}",
        "ａｌｉｃｅ",
    ];
    let others: Vec<String> = (0..1_200).map(|n| format!("other {n}")).collect();
    let names = old.iter().copied().chain(others.iter().map(String::as_str));
    let rows: Vec<String> = names
        .map(|name| format!("('{name}', 'hash', 0, 0)"))
        .collect();
    let columns = "username, password_hash, created_at, updated_at";
    db.execute(&format!(
        "INSERT INTO users ({columns}) VALUES {}",
        rows.join(", ")
    ))
    .unwrap();
    db.execute("ALTER TABLE users ADD COLUMN skeleton TEXT")
        .unwrap();
    db.execute("CREATE UNIQUE INDEX users_skeleton ON users (skeleton)")
        .unwrap();

    // Twice: the second finds nothing more to do, and those without a skeleton do not stop it.
    for _ in 0..2 {
        let store = open(&db.url).await.unwrap();
        for name in old {
            assert_eq!(
                found(&store, name).await.as_deref(),
                Some(name),
                "as it was written"
            );
        }
        for name in ["a1ice", "Zo\u{e9}lie", "\u{43e}ther 7", "other I199"] {
            assert_eq!(create(&store, name).await, None, "{name}");
        }
    }
    let twice = "UPDATE users SET skeleton = (SELECT skeleton FROM users WHERE username = 'other 7') \
                 WHERE username = 'other 8'";
    assert!(
        db.execute(twice).is_err(),
        "the index is unique and filled in"
    );
}
