//! Lives: from their creation to their end, their pages, and their views.

use liveroom::domain::*;
use liveroom::storage::{Change, LiveLedger, LiveState, Performed, Write, WriteOutcome};

use crate::support::database::{Database, NOW};

pub async fn a_live_is_changed_until_it_ends(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let row = db
        .store
        .create_live(alice, "标题".into(), "c.png".into(), "k".repeat(20), NOW)
        .await
        .unwrap();
    assert_eq!(
        (row.live.status, row.live.owner, row.live.look_count),
        (LiveStatus::Scheduled, alice, 0)
    );
    assert_eq!(db.store.live(row.live.id).await.unwrap(), Some(row.clone()));
    let set = |live, status| db.act(Scope::Live(live), Action::SetStatus(status), NOW.plus_ms(1));
    for status in [LiveStatus::OnAir, LiveStatus::Paused, LiveStatus::Ended] {
        assert_eq!(db.store.not_ended_lives_count(alice).await.unwrap(), 1);
        let Performed::Done {
            change: Change::Live(changed),
            ..
        } = set(row.live.id, status).await
        else {
            panic!("not changed")
        };
        assert_eq!(
            (changed.live.status, changed.updated_at),
            (status, NOW.plus_ms(1))
        );
    }
    let counts = [
        db.store.not_ended_lives_count(alice).await,
        db.store.not_ended_lives_count(bob).await,
    ];
    assert_eq!(counts.map(Result::unwrap), [0, 0]);
    let ended = db.store.live(row.live.id).await.unwrap().unwrap();
    assert_eq!(
        set(row.live.id, LiveStatus::OnAir).await,
        Performed::Refused(Reject::LiveEnded)
    );
    assert_eq!(db.store.live(row.live.id).await.unwrap(), Some(ended));
    let unknown = LiveId::new(row.live.id.get() + 99).unwrap();
    assert_eq!(
        set(unknown, LiveStatus::Ended).await,
        Performed::Refused(Reject::LiveNotFound)
    );
    let state = LiveState {
        id: row.live.id,
        status: LiveStatus::Ended,
        title: "标题".into(),
        moderation_version: 0,
        modes_version: 1,
    };
    assert_eq!(
        db.store
            .live_states(vec![unknown, row.live.id])
            .await
            .unwrap(),
        [state]
    );
    assert_eq!(db.store.live_states(Vec::new()).await.unwrap(), []);
    assert_eq!(db.store.live(unknown).await.unwrap(), None);
    assert_eq!(
        db.store.live_ledger(unknown).await.unwrap(),
        LiveLedger::default()
    );
}

pub async fn lives_come_in_pages_in_id_order(db: Database) {
    let alice = db.user("alice", 0).await.id;
    let mut ids = Vec::new();
    for number in 0..5 {
        ids.push(db.live(alice, &format!("key{number}")).await);
    }
    for (page, expected) in [
        (1, &ids[0..2]),
        (3, &ids[4..5]),
        (4, &ids[0..0]),
        (u32::MAX, &ids[0..0]),
    ] {
        let rows = db.store.lives(page, 2).await.unwrap();
        assert_eq!(
            rows.iter().map(|row| row.live.id).collect::<Vec<_>>(),
            expected
        );
    }
}

pub async fn a_view_counts_once_for_ever(db: Database) {
    let (alice, bob) = (db.user("alice", 0).await.id, db.user("bob", 0).await.id);
    let live = db.live(alice, "k").await;
    let view = |user_id| Write::View {
        live_id: live,
        user_id,
    };
    let nobody = UserId::new(99).unwrap();
    let nowhere = Write::View {
        live_id: LiveId::new(99).unwrap(),
        user_id: bob,
    };
    let outcomes = db
        .commit(vec![
            view(alice),
            view(alice),
            view(bob),
            view(nobody),
            nowhere,
        ])
        .await;
    assert_eq!(
        outcomes,
        [Some(1), None, Some(2), None, None].map(WriteOutcome::View)
    );
    assert_eq!(db.commit_one(view(bob)).await, WriteOutcome::View(None));
    assert_eq!(
        db.store.live(live).await.unwrap().unwrap().live.look_count,
        2
    );
}
