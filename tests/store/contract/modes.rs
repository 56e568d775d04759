//! Modes of lives: what a change leaves, what the next live of a streamer starts with, and what a
//! retry is answered with.

use liveroom::domain::*;
use liveroom::storage::{ActionRecord, Change, Performed, Write};

use crate::support::database::{Database, NOW, order, request};

struct Stage {
    db: Database,
    alice: UserId,
}

impl Stage {
    async fn set(db: Database) -> Self {
        let alice = db.user("alice", 0).await.id;
        Self { db, alice }
    }

    fn record(&self, live: LiveId, action: Action, at: Timestamp) -> ActionRecord {
        let actor = Actor::User(self.alice);
        ActionRecord::new(actor, Role::Streamer, Scope::Live(live), action, at)
    }

    async fn perform(&self, record: ActionRecord) -> Result<ChangedModes, Reject> {
        match self.db.store.perform(record).await.unwrap() {
            Performed::Done {
                change: Change::Modes(changed),
                ..
            } => Ok(changed),
            Performed::Refused(reject) => Err(reject),
            other => panic!("{other:?}"),
        }
    }

    async fn set_modes(
        &self,
        live: LiveId,
        modes: &[(RoomMode, ModeValue)],
    ) -> Result<ChangedModes, Reject> {
        self.perform(self.record(live, set(modes), NOW)).await
    }

    async fn set_status(&self, live: LiveId, status: LiveStatus) {
        let record = self.record(live, Action::SetStatus(status), NOW);
        let performed = self.db.store.perform(record).await.unwrap();
        assert!(matches!(performed, Performed::Done { .. }), "{performed:?}");
    }

    async fn read(&self, live: LiveId) -> LiveModes {
        let modes = self.db.store.modes(live).await.unwrap();
        modes.expect("the live is there")
    }

    async fn version_of_row(&self, live: LiveId) -> u64 {
        let states = self.db.store.live_states(vec![live]).await.unwrap();
        states[0].modes_version
    }
}

fn set(modes: &[(RoomMode, ModeValue)]) -> Action {
    let mut change = ModesChange::default();
    for (mode, value) in modes {
        change.set(*mode, *value).expect("permitted");
    }
    Action::SetModes(change)
}

const fn slow(seconds: i64) -> (RoomMode, ModeValue) {
    (RoomMode::SlowS, ModeValue::Number(seconds))
}

const FROZEN: (RoomMode, ModeValue) = (RoomMode::Frozen, ModeValue::Flag(true));

pub async fn modes_of_a_live_are_changed_one_by_one_and_counted(db: Database) {
    let stage = Stage::set(db).await;
    let live = stage.db.live(stage.alice, "key").await;
    let before = stage.read(live).await;
    assert_eq!(before.modes, Modes::default());
    let first = stage.set_modes(live, &[slow(30)]).await.unwrap();
    let second = stage.set_modes(live, &[FROZEN]).await.unwrap();
    assert_eq!(second.version, first.version + 1);
    let expected = Modes {
        slow_s: 30,
        frozen: true,
        ..Modes::default()
    };
    assert_eq!(second.modes, expected, "the other mode stays");
    assert_eq!(second.by, Principal::User(stage.alice));
    let read = stage.read(live).await;
    assert_eq!((read.version, read.modes), (second.version, expected));
    assert_eq!(stage.version_of_row(live).await, second.version);

    let unknown = LiveId::new(live.get() + 1).expect("positive");
    assert_eq!(stage.db.store.modes(unknown).await.unwrap(), None);
    let refused = stage.set_modes(unknown, &[slow(1)]).await;
    assert_eq!(refused, Err(Reject::LiveNotFound));
    stage.set_status(live, LiveStatus::Ended).await;
    let refused = stage.set_modes(live, &[slow(1)]).await;
    assert_eq!(refused, Err(Reject::LiveEnded));
}

pub async fn a_live_starts_with_the_modes_that_its_streamer_set_last(db: Database) {
    let stage = Stage::set(db).await;
    let first = stage.db.live(stage.alice, "first").await;
    stage.set_modes(first, &[slow(10), FROZEN]).await.unwrap();
    let at = NOW;
    let create = |key: &'static str| {
        let (title, cover) = ("show".to_owned(), "cover".to_owned());
        stage
            .db
            .store
            .create_live(stage.alice, title, cover, key.to_owned(), at)
    };
    let next = create("next").await.unwrap().live.id;
    let own = create("own").await.unwrap().live.id;
    assert_eq!(stage.version_of_row(next).await, 0);
    assert_eq!(stage.read(next).await.modes.slow_s, 10, "as it would start");

    // A live that was given modes before its start keeps them, and they are the streamer's newest.
    stage.set_modes(own, &[slow(20)]).await.unwrap();
    stage.set_status(own, LiveStatus::OnAir).await;
    stage.set_status(next, LiveStatus::OnAir).await;
    let started = [stage.read(own).await, stage.read(next).await];
    for read in started {
        assert_eq!((read.version, read.modes.slow_s), (1, 20));
        assert!(read.modes.frozen);
    }
    // From then on each has its own.
    stage.set_modes(next, &[slow(0)]).await.unwrap();
    assert_eq!(stage.read(own).await.modes.slow_s, 20);
    assert_eq!(stage.read(first).await.modes.slow_s, 10);
    stage.set_status(next, LiveStatus::Paused).await;
    stage.set_status(next, LiveStatus::OnAir).await;
    assert_eq!(
        stage.read(next).await.modes.slow_s,
        0,
        "a pause is no start"
    );

    let stranger = stage.db.user("bob", 0).await.id;
    let elsewhere = stage.db.live(stranger, "elsewhere").await;
    assert_eq!(stage.read(elsewhere).await.modes, Modes::default());
}

pub async fn the_shield_comes_off_and_leaves_what_was_set_before(db: Database) {
    let stage = Stage::set(db).await;
    let live = stage.db.live(stage.alice, "key").await;
    let shield = |on| (RoomMode::Shield, ModeValue::Flag(on));
    stage.set_modes(live, &[slow(5)]).await.unwrap();
    let raised = stage.set_modes(live, &[shield(true)]).await.unwrap();
    assert_eq!(
        (raised.modes.slow_s, raised.modes.followers_min),
        (30, Some(10))
    );
    let lowered = stage.set_modes(live, &[shield(false)]).await.unwrap();
    assert_eq!(
        (lowered.modes.slow_s, lowered.modes.followers_min),
        (5, None)
    );
}

pub async fn a_repeated_change_of_modes_has_one_effect_and_the_first_answer(db: Database) {
    let stage = Stage::set(db).await;
    let live = stage.db.live(stage.alice, "key").await;
    let named = |action| ActionRecord {
        request_id: Some(request("m-1")),
        ..stage.record(live, action, NOW)
    };
    let first = stage.perform(named(set(&[slow(30)]))).await.unwrap();
    stage.set_modes(live, &[slow(60)]).await.unwrap();
    let again = stage.db.store.perform(named(set(&[slow(30)]))).await;
    let Performed::Done {
        change: Change::Modes(answered),
        is_repeated: true,
        pending,
        ..
    } = again.unwrap()
    else {
        panic!("a repeated action is done")
    };
    assert_eq!(answered, first);
    let [entry] = &pending[..] else {
        panic!("{pending:?}")
    };
    let event = RoomEvent::Modes {
        live_id: live,
        changed: first,
    };
    assert_eq!(entry.content, EntryContent::Event(event));
    assert_eq!(
        stage.read(live).await.modes.slow_s,
        60,
        "nothing changed now"
    );
    for other in [set(&[slow(31)]), set(&[slow(30), FROZEN])] {
        let refused = stage.perform(named(other)).await;
        assert_eq!(refused, Err(Reject::DuplicateConflict));
    }
    let elsewhere = stage.db.live(stage.alice, "elsewhere").await;
    let record = ActionRecord {
        scope: Scope::Live(elsewhere),
        ..named(set(&[slow(30)]))
    };
    let refused = stage.perform(record).await;
    assert_eq!(refused, Err(Reject::DuplicateConflict));

    // What a node that died leaves behind: each with its own number.
    let pending = stage.db.store.pending_actions(NOW, 10).await.unwrap();
    let versions = pending.iter().flat_map(|action| &action.entries);
    let versions: Vec<u64> = versions
        .filter_map(|entry| match &entry.content {
            EntryContent::Event(RoomEvent::Modes { changed, .. }) => Some(changed.version),
            _ => None,
        })
        .collect();
    assert_eq!(versions, [first.version, first.version + 1]);
}

pub async fn changes_of_modes_at_the_same_time_are_each_counted_and_none_is_lost(db: Database) {
    let stage = Stage::set(db).await;
    let live = stage.db.live(stage.alice, "key").await;
    let before = stage.read(live).await.version;
    let changes = [
        [slow(30)],
        [FROZEN],
        [(RoomMode::UniqueS, ModeValue::Number(60))],
        [(RoomMode::GiftsPaused, ModeValue::Flag(true))],
    ];
    let at_once = changes.iter().map(|modes| stage.set_modes(live, modes));
    let changed = futures_util::future::join_all(at_once).await;
    let mut versions: Vec<u64> = changed
        .into_iter()
        .map(|changed| changed.unwrap().version - before)
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, [1, 2, 3, 4]);
    let after = Modes {
        slow_s: 30,
        frozen: true,
        unique_s: 60,
        gifts_paused: true,
        ..Modes::default()
    };
    assert_eq!(stage.read(live).await.modes, after);
}

pub async fn facts_of_users_say_whom_they_follow_and_what_they_gave_in_this_live(db: Database) {
    let stage = Stage::set(db).await;
    let db = &stage.db;
    let (bob, carol) = (db.user("bob", 100).await, db.user("carol", 100).await);
    let live = db.live(stage.alice, "key").await;
    let elsewhere = db.live(stage.alice, "elsewhere").await;
    db.store.follow(bob.id, stage.alice, 10, NOW).await.unwrap();
    db.store.follow(carol.id, bob.id, 10, NOW).await.unwrap();
    let gift = db.gift(7).await;
    for (nth, (giver, at)) in [(&carol, live), (&carol, live), (&bob, elsewhere)]
        .into_iter()
        .enumerate()
    {
        let name = format!("g-{nth}");
        let order = order(at, giver.id, &gift, 1, &name);
        db.commit(vec![Write::Gift(order.into())]).await;
    }
    let asked = vec![stage.alice, bob.id, carol.id];
    let facts = db.store.user_facts(live, asked).await.unwrap();
    let of_bob = UserFacts {
        follows_since: Some(NOW),
        coins: Coins::ZERO,
    };
    let of_carol = UserFacts {
        follows_since: None,
        coins: Coins::new(14),
    };
    assert_eq!(facts, [(bob.id, of_bob), (carol.id, of_carol)]);
    assert_eq!(db.store.user_facts(live, Vec::new()).await.unwrap(), []);
}
