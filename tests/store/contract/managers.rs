//! Managers: their links, their sessions, and the last of those who administer.

use liveroom::domain::*;
use liveroom::storage::{
    ActAuthor, AddedManager, ChangedManager, MANAGER_IDLE_MS, MANAGER_SESSIONS_MAX, ManagerChange,
    ManagerLink, ManagerRow, ManagerSession, NewManagerSession,
};

use crate::support::database::{Database, NOW};

const DAY_MS: i64 = 86_400_000;

fn link(digest: &str) -> ManagerLink {
    ManagerLink {
        digest: digest.into(),
        expires_at: NOW.plus_ms(DAY_MS),
    }
}

/// A manager with the password hash `hash`.
async fn manager(db: &Database, name: &str, is_admin: bool) -> ManagerRow {
    let role = ManagerRole::Moderator;
    let added = db
        .store
        .add_manager(
            name.into(),
            role,
            is_admin,
            link(name),
            NOW,
            ActAuthor::default(),
        )
        .await;
    assert!(matches!(added, Ok(AddedManager::Added(_))), "{added:?}");
    let set = db
        .store
        .redeem_manager_link(name.into(), "hash".into(), NOW, None)
        .await;
    set.unwrap().expect("the link is new")
}

fn new_session(manager: &ManagerRow, digest: &str, at: Timestamp) -> NewManagerSession {
    NewManagerSession {
        manager: manager.id,
        password_hash: "hash".into(),
        digest: digest.into(),
        address: "192.0.2.1".parse().expect("an address"),
        network: "192.0.2.1".into(),
        user_agent: "a browser".into(),
        at,
        ends_at: at.plus_ms(DAY_MS / 2),
    }
}

async fn open(db: &Database, manager: &ManagerRow, digest: &str, at: Timestamp) -> ManagerSession {
    let opened = db
        .store
        .open_manager_session(new_session(manager, digest, at))
        .await;
    opened.unwrap().expect("the manager is enabled")
}

async fn goes_on(db: &Database, digest: &str, at: Timestamp) -> bool {
    let found = db.store.manager_session(digest.into(), at).await.unwrap();
    found.is_some()
}

pub async fn a_link_sets_the_password_of_its_manager_once(db: Database) {
    let (store, late) = (&db.store, NOW.plus_ms(DAY_MS));
    assert!(!store.is_there_a_manager().await.unwrap());
    let role = ManagerRole::Viewer;
    let add = |name: &str, digest: &str| {
        store.add_manager(
            name.into(),
            role,
            false,
            link(digest),
            NOW,
            ActAuthor::default(),
        )
    };
    let AddedManager::Added(ann) = add("ann", "d1").await.unwrap() else {
        panic!("the name is free")
    };
    assert!(!ann.has_password && store.is_there_a_manager().await.unwrap());
    assert_eq!(add("ann", "d2").await.unwrap(), AddedManager::NameTaken);

    let redeem = |digest: &str, hash: &str, at| {
        store.redeem_manager_link(digest.into(), hash.into(), at, None)
    };
    assert_eq!(redeem("d1", "h", late).await.unwrap(), None, "expired");
    assert!(
        store
            .set_manager_link(ann.id, link("d3"), NOW, ActAuthor::default())
            .await
            .unwrap()
    );
    assert_eq!(redeem("d1", "h", NOW).await.unwrap(), None, "replaced");
    let (one, other) = tokio::join!(redeem("d3", "h1", NOW), redeem("d3", "h2", NOW));
    let set = [one.unwrap(), other.unwrap()];
    assert_eq!(set.iter().flatten().count(), 1, "used once");
    assert!(set.iter().flatten().all(|manager| manager.has_password));
    assert!(
        !store
            .set_manager_link(unknown(), link("d4"), NOW, ActAuthor::default())
            .await
            .unwrap()
    );
}

fn unknown() -> ManagerId {
    ManagerId::new(999).expect("positive")
}

pub async fn the_last_administrator_stays_whoever_dismisses_it(db: Database) {
    let (ann, bob) = (
        manager(&db, "ann", true).await,
        manager(&db, "bob", true).await,
    );
    // Has no password yet: it could not take over.
    let carol = db
        .store
        .add_manager(
            "carol".into(),
            ManagerRole::Viewer,
            true,
            link("c"),
            NOW,
            ActAuthor::default(),
        )
        .await;
    assert!(matches!(carol, Ok(AddedManager::Added(_))));
    let demoted = ManagerChange {
        is_admin: Some(false),
        ..ManagerChange::default()
    };
    let disabled = ManagerChange {
        disabled: Some(true),
        ..ManagerChange::default()
    };
    let (one, other) = tokio::join!(
        db.store
            .change_manager(ann.id, demoted, NOW, ActAuthor::default()),
        db.store
            .change_manager(bob.id, disabled, NOW, ActAuthor::default())
    );
    let outcomes = [one.unwrap(), other.unwrap()];
    let refused = outcomes
        .iter()
        .filter(|outcome| **outcome == ChangedManager::LastAdmin);
    assert_eq!(refused.count(), 1, "{outcomes:?}");
    let rows = db.store.managers().await.unwrap();
    let administers = |row: &&ManagerRow| row.is_admin && !row.disabled && row.has_password;
    assert_eq!(rows.iter().filter(administers).count(), 1);
    let unknown = db
        .store
        .change_manager(unknown(), disabled, NOW, ActAuthor::default())
        .await
        .unwrap();
    assert_eq!(unknown, ChangedManager::NotFound);
}

pub async fn what_changes_a_manager_ends_its_sessions_and_no_others(db: Database) {
    let (ann, bob) = (
        manager(&db, "ann", true).await,
        manager(&db, "bob", true).await,
    );
    open(&db, &bob, "of bob", NOW).await;
    let store = &db.store;
    let change = |change| store.change_manager(ann.id, change, NOW, ActAuthor::default());

    open(&db, &ann, "s1", NOW).await;
    let same = ManagerChange {
        role: Some(ManagerRole::Moderator),
        ..ManagerChange::default()
    };
    change(same).await.unwrap();
    assert!(goes_on(&db, "s1", NOW).await, "nothing changed");
    let role = ManagerChange {
        role: Some(ManagerRole::Viewer),
        ..ManagerChange::default()
    };
    change(role).await.unwrap();
    assert!(!goes_on(&db, "s1", NOW).await, "another role");

    open(&db, &ann, "s2", NOW).await;
    let wrong = store.change_manager_password(
        ann.id,
        "other".into(),
        "new".into(),
        NOW,
        ActAuthor::default(),
    );
    assert!(!wrong.await.unwrap());
    assert!(goes_on(&db, "s2", NOW).await);
    let right = store.change_manager_password(
        ann.id,
        "hash".into(),
        "new".into(),
        NOW,
        ActAuthor::default(),
    );
    assert!(right.await.unwrap());
    assert!(!goes_on(&db, "s2", NOW).await, "another password");
    let stale = store.open_manager_session(new_session(&ann, "s3", NOW));
    assert_eq!(stale.await.unwrap(), None, "compared with the old password");

    let back = store.change_manager_password(
        ann.id,
        "new".into(),
        "hash".into(),
        NOW,
        ActAuthor::default(),
    );
    assert!(back.await.unwrap());
    open(&db, &ann, "s4", NOW).await;
    let disabled = ManagerChange {
        disabled: Some(true),
        ..ManagerChange::default()
    };
    change(disabled).await.unwrap();
    assert!(!goes_on(&db, "s4", NOW).await, "disabled");
    let refused = store.open_manager_session(new_session(&ann, "s5", NOW));
    assert_eq!(refused.await.unwrap(), None);
    assert!(goes_on(&db, "of bob", NOW).await);
}

pub async fn a_session_ends_idle_in_all_or_when_a_manager_has_too_many(db: Database) {
    let ann = manager(&db, "ann", false).await;
    let first = open(&db, &ann, "first", NOW).await;
    let (idle, later) = (
        NOW.plus_ms(MANAGER_IDLE_MS),
        NOW.plus_ms(MANAGER_IDLE_MS - 1),
    );
    assert!(goes_on(&db, "first", later).await && !goes_on(&db, "first", idle).await);
    db.store
        .touch_manager_session(first.id, later)
        .await
        .unwrap();
    db.store.touch_manager_session(first.id, NOW).await.unwrap();
    assert!(goes_on(&db, "first", idle).await, "used, and never less");
    assert!(!goes_on(&db, "first", NOW.plus_ms(DAY_MS / 2)).await);

    for number in 0..MANAGER_SESSIONS_MAX as i64 {
        let at = later.plus_ms(1 + number);
        open(&db, &ann, &format!("n{number}"), at).await;
    }
    assert!(!goes_on(&db, "first", idle).await, "used longest ago");
    assert!(goes_on(&db, "n0", idle).await);
    let sessions = db.store.manager_sessions(ann.id, idle).await.unwrap();
    assert_eq!(sessions.len(), MANAGER_SESSIONS_MAX);
    let end = |id| {
        db.store
            .end_manager_sessions(ann.id, Some(id), NOW, ActAuthor::default())
    };
    assert!(end(sessions[0].id).await.unwrap());
    assert!(!end(sessions[0].id).await.unwrap(), "it has ended");
    let of_another =
        db.store
            .end_manager_sessions(unknown(), Some(sessions[1].id), NOW, ActAuthor::default());
    assert!(!of_another.await.unwrap());
    assert!(
        db.store
            .end_manager_sessions(ann.id, None, NOW, ActAuthor::default())
            .await
            .unwrap()
    );
    assert_eq!(db.store.manager_sessions(ann.id, idle).await.unwrap(), []);
}

pub async fn a_manager_is_known_where_it_logged_in(db: Database) {
    let ann = manager(&db, "ann", false).await;
    open(&db, &ann, "s", NOW).await;
    for (network, expected) in [("192.0.2.1", Some(NOW)), ("192.0.2.2", None)] {
        let found = db
            .store
            .manager_credentials("ann".into(), network.into())
            .await;
        let found = found.unwrap().expect("there is one");
        assert_eq!(found.last_login_from_there, expected, "{network}");
        assert_eq!(found.manager.last_login_at, Some(NOW));
    }
    let nobody = db.store.manager_credentials("bob\0".into(), "n".into());
    assert!(nobody.await.unwrap().is_none());
}
