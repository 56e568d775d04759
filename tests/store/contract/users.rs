//! Users: their row, their token, and from where they logged in.

use liveroom::domain::*;
use liveroom::storage::{
    Change, LOGIN_NETWORKS_MAX, Performed, ProfileChange, ProfileOutcome, StoredToken,
};

use crate::support::database::{Database, NOW};

pub async fn a_username_is_taken_once(db: Database) {
    let store = &db.store;
    let nickname = Some("小花 \u{1F339}".to_owned());
    let user = store
        .create_user("alice".into(), nickname.clone(), "hash".into(), NOW)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (
            user.username.as_str(),
            &user.nickname,
            user.coin,
            user.enabled
        ),
        ("alice", &nickname, Coins::ZERO, true)
    );
    assert_eq!((user.created_at, user.updated_at), (NOW, NOW));
    assert_eq!(
        store
            .create_user("alice".into(), None, "other".into(), NOW)
            .await
            .unwrap(),
        None
    );
    assert_eq!(store.user(user.id).await.unwrap(), Some(user.clone()));
    let credentials = store.credentials("alice".into()).await.unwrap().unwrap();
    assert_eq!(
        (credentials.user, credentials.password_hash.as_str()),
        (user.clone(), "hash")
    );
    assert!(store.credentials("Alice".into()).await.unwrap().is_none());
    assert_eq!(
        store
            .user(UserId::new(user.id.get() + 99).unwrap())
            .await
            .unwrap(),
        None
    );
    store.ping().await.unwrap();
}

pub async fn a_user_is_disabled_and_enabled(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let later = NOW.plus_ms(5);
    let changed = async |action| match db.act(Scope::Site, action, later).await {
        Performed::Done {
            change: Change::User(user),
            ..
        } => *user,
        other => panic!("no user changed: {other:?}"),
    };
    let disabled = changed(Action::DisableUser(alice)).await;
    assert_eq!((disabled.enabled, disabled.updated_at), (false, later));
    assert!(!db.store.user(alice).await.unwrap().unwrap().enabled);
    assert!(changed(Action::EnableUser(alice)).await.enabled);
    let bob = db.user("bobby", 0).await.id;
    assert!(!changed(Action::DisableUser(bob)).await.enabled);
    let among = vec![alice, bob, UserId::new(99).unwrap()];
    assert_eq!(db.store.disabled_users(among).await.unwrap(), [bob]);
    assert_eq!(db.store.disabled_users(vec![alice]).await.unwrap(), []);
    assert_eq!(db.store.disabled_users(Vec::new()).await.unwrap(), []);
    assert_eq!(
        db.set_enabled(UserId::new(99).unwrap(), true).await,
        Performed::Refused(Reject::UserNotFound)
    );
}

pub async fn a_profile_changes_as_far_as_it_is_said(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bobby", 0).await.id);
    let text = |text: &str| Some(Some(text.to_owned()));
    let mut at = NOW;
    for (change, nickname, avatar) in [
        (
            ProfileChange {
                nickname: text("小花"),
                avatar: text("/a.png"),
            },
            Some("小花"),
            Some("/a.png"),
        ),
        (
            ProfileChange {
                nickname: Some(None),
                avatar: None,
            },
            None,
            Some("/a.png"),
        ),
        (
            ProfileChange {
                nickname: text("Alice"),
                avatar: Some(None),
            },
            Some("Alice"),
            None,
        ),
        (ProfileChange::default(), Some("Alice"), None),
    ] {
        at = at.plus_ms(1);
        let outcome = db.store.change_profile(alice, change, at).await.unwrap();
        let ProfileOutcome::Changed(user) = outcome else {
            panic!("{outcome:?}");
        };
        assert_eq!(
            (
                user.nickname.as_deref(),
                user.avatar.as_deref(),
                user.updated_at
            ),
            (nickname, avatar, at)
        );
        assert_eq!(db.store.user(alice).await.unwrap().as_ref(), Some(&*user));
    }
    let like_alice = ProfileChange {
        nickname: text("аlice"),
        avatar: text("/b.png"),
    };
    let outcome = db.store.change_profile(bob, like_alice.clone(), at).await;
    assert_eq!(outcome.unwrap(), ProfileOutcome::LooksLikeUsername);
    assert_eq!(db.store.user(bob).await.unwrap().unwrap().avatar, None);
    let nobody = UserId::new(99).unwrap();
    let outcome = db
        .store
        .change_profile(nobody, ProfileChange::default(), at)
        .await;
    assert_eq!(outcome.unwrap(), ProfileOutcome::UserNotFound);
}

pub async fn a_password_is_replaced_if_it_is_the_one_that_was_compared(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let hash = || async {
        let credentials = db.store.credentials("alice".into()).await.unwrap();
        credentials.unwrap().password_hash
    };
    let before = hash().await;
    let replace = |expected: &str, new: &str| {
        db.store
            .change_password(alice, expected.to_owned(), new.to_owned(), NOW)
    };
    assert!(!replace("another", "new").await.unwrap());
    assert_eq!(hash().await, before);
    assert!(replace(&before, "new").await.unwrap());
    assert_eq!(hash().await, "new");
    assert!(!replace(&before, "newer").await.unwrap());
}

pub async fn a_token_replaces_the_one_before_and_is_cleared(db: Database) {
    let alice = db.user("alice", 0).await.id;
    assert_eq!(db.store.token(alice).await.unwrap(), None);
    db.store
        .set_token(alice, Some("one".into()), NOW)
        .await
        .unwrap();
    db.store
        .set_token(alice, Some("two".into()), NOW)
        .await
        .unwrap();
    assert_eq!(
        db.store.token(alice).await.unwrap(),
        Some(StoredToken {
            digest: Some("two".into()),
            at: NOW
        })
    );
    assert_eq!(db.store.tokens_since(NOW).await.unwrap(), [alice]);
    let later = NOW.plus_ms(1);
    assert_eq!(db.store.tokens_since(later).await.unwrap(), []);
    db.store.set_token(alice, None, NOW).await.unwrap();
    db.store.set_token(alice, None, later).await.unwrap();
    assert_eq!(
        db.store.token(alice).await.unwrap(),
        Some(StoredToken {
            digest: None,
            at: later
        })
    );
    assert_eq!(
        db.store.tokens_since(later).await.unwrap(),
        [alice],
        "a logout is remembered"
    );
    let [replaced, current] = [NOW, later].map(|at| StoredToken { digest: None, at });
    assert!(
        !db.store.remove_token(alice, replaced).await.unwrap(),
        "it is another one now"
    );
    assert_eq!(db.store.token(alice).await.unwrap(), Some(current.clone()));
    assert!(db.store.remove_token(alice, current.clone()).await.unwrap());
    assert_eq!(db.store.token(alice).await.unwrap(), None);
    assert!(!db.store.remove_token(alice, current).await.unwrap());
}

pub async fn the_newest_networks_of_a_users_logins_are_remembered(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let last = |user, network: String| db.store.last_login_from(user, network);
    let network = |n: i64| format!("2001:db8:0:{n}::");
    let max = LOGIN_NETWORKS_MAX as i64;
    db.store.remember_login(bob, network(0), NOW).await.unwrap();
    for n in 0..max {
        db.store
            .remember_login(alice, network(n), NOW.plus_ms(n))
            .await
            .unwrap();
    }
    // Used again, the oldest is the newest, and the one after it goes.
    db.store
        .remember_login(alice, network(0), NOW.plus_ms(max))
        .await
        .unwrap();
    db.store
        .remember_login(alice, network(max), NOW.plus_ms(max + 1))
        .await
        .unwrap();
    assert_eq!(
        last(alice, network(0)).await.unwrap(),
        Some(NOW.plus_ms(max))
    );
    assert_eq!(last(alice, network(1)).await.unwrap(), None);
    for n in 2..max {
        assert_eq!(last(alice, network(n)).await.unwrap(), Some(NOW.plus_ms(n)));
    }
    assert_eq!(
        last(bob, network(0)).await.unwrap(),
        Some(NOW),
        "another user's"
    );
    assert_eq!(last(bob, network(2)).await.unwrap(), None);
}
