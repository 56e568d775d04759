//! Tokens of operators' scripts.

use liveroom::domain::*;
use liveroom::storage::{API_TOKEN_USE_MS, API_TOKENS_MAX, ActAuthor, ApiToken, NewApiToken};

use crate::support::database::{Database, NOW};

fn new_token(digest: &str) -> NewApiToken {
    NewApiToken {
        name: "backup 备份".to_owned(),
        digest: digest.to_owned(),
        scopes: Permissions::of(&[Permission::Look, Permission::Finance]),
        created_by: OperatorId::Manager(ManagerId::new(7).unwrap()),
        created_by_name: "ann".to_owned(),
        at: NOW,
        expires_at: Some(NOW.plus_ms(60_000)),
    }
}

async fn found(db: &Database, digest: &str) -> Option<ApiToken> {
    db.store.api_token(digest.to_owned()).await.unwrap()
}

pub async fn an_api_token_is_found_by_its_digest_until_it_is_revoked(db: Database) {
    let store = &db.store;
    let first = store
        .add_api_token(new_token("d1"), ActAuthor::default())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        first,
        ApiToken {
            id: first.id,
            name: "backup 备份".to_owned(),
            scopes: Permissions::of(&[Permission::Look, Permission::Finance]),
            created_by: OperatorId::Manager(ManagerId::new(7).unwrap()),
            created_by_name: "ann".to_owned(),
            created_at: NOW,
            expires_at: Some(NOW.plus_ms(60_000)),
            last_used_at: None,
        }
    );
    assert!(!first.has_expired(NOW.plus_ms(59_999)) && first.has_expired(NOW.plus_ms(60_000)));
    let endless = NewApiToken {
        expires_at: None,
        created_by: OperatorId::Config,
        ..new_token("d2")
    };
    let second = store
        .add_api_token(endless, ActAuthor::default())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found(&db, "d1").await.as_ref(), Some(&first));
    assert_eq!(found(&db, "d2").await.as_ref(), Some(&second));
    assert_eq!(found(&db, "d").await, None);
    assert_eq!(
        store.api_tokens().await.unwrap(),
        [second.clone(), first.clone()]
    );

    assert!(
        store
            .revoke_api_token(first.id, NOW, ActAuthor::default())
            .await
            .unwrap()
    );
    assert_eq!(found(&db, "d1").await, None);
    assert_eq!(store.api_tokens().await.unwrap(), [second]);
    assert!(
        !store
            .revoke_api_token(first.id, NOW, ActAuthor::default())
            .await
            .unwrap(),
        "it was revoked"
    );
    let unknown = TokenId::new(first.id.get() + 99).unwrap();
    assert!(
        !store
            .revoke_api_token(unknown, NOW, ActAuthor::default())
            .await
            .unwrap()
    );
}

pub async fn the_last_use_of_an_api_token_is_written_once_a_minute(db: Database) {
    let id = db
        .store
        .add_api_token(new_token("d"), ActAuthor::default())
        .await
        .unwrap()
        .unwrap()
        .id;
    for (used_ms, noted_ms) in [
        (5, 5),
        (6, 5),
        (API_TOKEN_USE_MS + 4, 5),
        (API_TOKEN_USE_MS + 5, API_TOKEN_USE_MS + 5),
        (0, API_TOKEN_USE_MS + 5),
    ] {
        db.store
            .note_api_token_use(id, NOW.plus_ms(used_ms))
            .await
            .unwrap();
        let last_used_at = found(&db, "d").await.unwrap().last_used_at;
        assert_eq!(last_used_at, Some(NOW.plus_ms(noted_ms)), "{used_ms}");
    }
}

pub async fn there_are_so_many_api_tokens_and_no_more(db: Database) {
    let mut last = None;
    for n in 0..API_TOKENS_MAX {
        last = db
            .store
            .add_api_token(new_token(&n.to_string()), ActAuthor::default())
            .await
            .unwrap();
        assert!(last.is_some(), "{n}");
    }
    assert_eq!(
        db.store
            .add_api_token(new_token("more"), ActAuthor::default())
            .await
            .unwrap(),
        None
    );
    let last = last.expect("there is one").id;
    assert!(
        db.store
            .revoke_api_token(last, NOW, ActAuthor::default())
            .await
            .unwrap()
    );
    assert!(
        db.store
            .add_api_token(new_token("more"), ActAuthor::default())
            .await
            .unwrap()
            .is_some()
    );
}
