//! Sanctions and moderators: which rows count, which acts replace, lift and refuse, and what rooms
//! read of them.

use liveroom::domain::*;
use liveroom::storage::{ActionRecord, Change, ChangedStanding, Performed, Write};

use super::comment;
use crate::support::database::{Database, NOW, request};

/// A live of alice's with the users bob and carol.
struct Stage {
    db: Database,
    live: LiveId,
    alice: UserId,
    bob: UserId,
    carol: UserId,
}

impl Stage {
    async fn set(db: Database) -> Self {
        let (alice, bob, carol) = (
            db.user("alice", 0).await.id,
            db.user("bob", 0).await.id,
            db.user("carol", 0).await.id,
        );
        let live = db.live(alice, "key").await;
        Self {
            db,
            live,
            alice,
            bob,
            carol,
        }
    }

    fn record(&self, actor: Actor, action: Action, at: Timestamp) -> ActionRecord {
        let role = match actor {
            Actor::Operator(_) => Role::Operator,
            Actor::User(user) if user == self.alice => Role::Streamer,
            Actor::User(_) => Role::Moderator,
        };
        ActionRecord::new(actor, role, Scope::Live(self.live), action, at)
    }

    async fn perform(&self, record: ActionRecord) -> Result<ChangedStanding, Reject> {
        match self.db.store.perform(record).await.unwrap() {
            Performed::Done {
                change: Change::Standing(changed),
                ..
            } => Ok(*changed),
            Performed::Refused(reject) => Err(reject),
            other => panic!("{other:?}"),
        }
    }

    async fn act(&self, action: Action, at: Timestamp) -> Result<ChangedStanding, Reject> {
        self.perform(self.record(Actor::User(self.alice), action, at))
            .await
    }

    /// What a room reads of a user: kinds, scopes and ends.
    async fn read(&self, user: UserId, now: Timestamp) -> Vec<(SanctionKind, SanctionScope)> {
        let standings = self.standings(self.live, now).await;
        let found = standings
            .users
            .into_iter()
            .find(|(known, _)| *known == user);
        let mut held: Vec<_> = found
            .into_iter()
            .flat_map(|(_, standing)| standing.sanctions)
            .map(|sanction| (sanction.kind, sanction.scope))
            .collect();
        held.sort_unstable();
        held
    }

    async fn standings(&self, live: LiveId, now: Timestamp) -> Standings {
        let standings = self.db.store.standings(live, now).await.unwrap();
        standings.expect("the live is there")
    }
}

fn sanction(
    user: UserId,
    kind: SanctionKind,
    seconds: i64,
    scope: Option<SanctionScope>,
) -> Action {
    let term = Term::from_seconds(seconds).expect("a term");
    Action::Sanction(SanctionOrder::new(user, kind, term, scope).expect("an order"))
}

fn mute(user: UserId, seconds: i64) -> Action {
    sanction(user, SanctionKind::Mute, seconds, None)
}

fn ban(user: UserId, seconds: i64) -> Action {
    sanction(user, SanctionKind::Ban, seconds, None)
}

fn lift(user: UserId, kind: SanctionKind) -> Action {
    Action::Lift { user, kind }
}

pub async fn the_newest_sanction_of_a_scope_and_kind_counts_until_it_expires(db: Database) {
    let stage = Stage::set(db).await;
    let (bob, at) = (stage.bob, NOW);
    stage.act(mute(bob, -1), at).await.unwrap();
    let short = stage.act(mute(bob, 10), at.plus_ms(1)).await.unwrap();
    let Outcome::Sanctioned(given) = &short.outcome else {
        panic!("{:?}", short.outcome)
    };
    assert_eq!(given.until, Some(at.plus_ms(10_001)));
    assert_eq!(given.by, Principal::User(stage.alice));
    assert_eq!(
        short.standing.sanctions,
        std::slice::from_ref(given),
        "the other is replaced"
    );
    assert_eq!(short.version, 2);

    stage.act(mute(bob, 0), at.plus_ms(2)).await.unwrap();
    let both = [
        (SanctionKind::Mute, SanctionScope::Live),
        (SanctionKind::Mute, SanctionScope::Streamer),
    ];
    assert_eq!(stage.read(bob, at.plus_ms(10_000)).await, both);
    assert_eq!(stage.read(bob, at.plus_ms(10_001)).await, both[..1]);
    let elsewhere = stage.db.live(stage.alice, "elsewhere").await;
    let there = stage.standings(elsewhere, at.plus_ms(3)).await;
    assert_eq!((there.version, there.users.len()), (3, 1));
    let [only] = &there.users[0].1.sanctions[..] else {
        panic!("{there:?}")
    };
    assert_eq!(
        only.scope,
        SanctionScope::Streamer,
        "the live's own stays there"
    );
    let another = stage.db.live(stage.carol, "another").await;
    assert_eq!(stage.standings(another, at).await, Standings::default());
}

pub async fn lifting_fills_columns_and_leaves_what_the_actor_may_not_lift(db: Database) {
    let stage = Stage::set(db).await;
    let (bob, at) = (stage.bob, NOW);
    stage.act(mute(bob, -1), at).await.unwrap();
    stage.act(mute(bob, 0), at).await.unwrap();
    let by_operator = sanction(bob, SanctionKind::Mute, 60, Some(SanctionScope::Site));
    let by_operator = stage.record(Actor::CONFIG, by_operator, at);
    let on_site = stage.perform(by_operator).await.unwrap();
    let Outcome::Sanctioned(on_site) = on_site.outcome else {
        panic!("{:?}", on_site.outcome)
    };

    let lifted = stage
        .act(lift(bob, SanctionKind::Mute), at.plus_ms(5))
        .await;
    let lifted = lifted.unwrap();
    assert_eq!(lifted.standing, Standing::default());
    assert_eq!(
        lifted.outcome,
        Outcome::Lifted {
            remaining: vec![on_site.clone()]
        }
    );
    assert_eq!(stage.read(bob, at.plus_ms(5)).await, []);
    let site = |now| stage.db.store.site_sanctions(bob, now);
    assert_eq!(site(at.plus_ms(59_999)).await.unwrap(), [on_site]);
    assert_eq!(site(at.plus_ms(60_000)).await.unwrap(), []);

    let unmute = stage.record(Actor::CONFIG, lift(bob, SanctionKind::Mute), at.plus_ms(6));
    let all = stage.perform(unmute).await.unwrap();
    assert_eq!(all.outcome, Outcome::Lifted { remaining: vec![] });
    assert_eq!(site(at.plus_ms(6)).await.unwrap(), []);
    #[derive(diesel::QueryableByName)]
    struct Row {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        lifted_at: i64,
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        lifted_by: i64,
    }
    let rows: Vec<Row> = stage
        .db
        .rows("SELECT lifted_at, lifted_by FROM sanctions ORDER BY id")
        .await;
    let rows: Vec<_> = rows
        .iter()
        .map(|row| (row.lifted_at - at.0, row.lifted_by))
        .collect();
    let alice = stage.alice.get();
    assert_eq!(rows, [(5, alice), (5, alice), (6, 0)]);
}

pub async fn a_mute_over_a_ban_is_refused_and_a_ban_dismisses_a_moderator(db: Database) {
    let stage = Stage::set(db).await;
    let (bob, at) = (stage.bob, NOW);
    let name = |user, moderator| Action::SetModerator { user, moderator };
    let named = stage.act(name(bob, true), at).await.unwrap();
    assert_eq!(
        (named.outcome, named.standing.is_moderator),
        (Outcome::Moderator(true), true)
    );
    let roles = || {
        stage
            .db
            .store
            .roles(stage.live, vec![bob, stage.alice, stage.carol])
    };
    assert_eq!(
        roles().await.unwrap(),
        Some((
            stage.alice,
            vec![Role::Moderator, Role::Streamer, Role::Viewer]
        ))
    );

    let banned = stage.act(ban(bob, 60), at).await.unwrap();
    assert!(!banned.standing.is_moderator);
    assert_eq!(
        stage.act(mute(bob, -1), at).await,
        Err(Reject::AlreadyBanned)
    );
    assert_eq!(
        stage.act(name(bob, true), at).await,
        Err(Reject::AlreadyBanned)
    );
    assert!(stage.act(mute(bob, -1), at.plus_ms(60_000)).await.is_ok());
    let nobody = UserId::new(1_000_000).unwrap();
    assert_eq!(
        stage.act(mute(nobody, -1), at).await,
        Err(Reject::UserNotFound)
    );
    assert_eq!(
        stage.act(name(stage.alice, true), at).await,
        Err(Reject::NotAllowed)
    );
    let nowhere = ActionRecord {
        scope: Scope::Live(LiveId::new(1_000_000).unwrap()),
        ..stage.record(Actor::CONFIG, mute(bob, -1), at)
    };
    assert_eq!(stage.perform(nowhere).await, Err(Reject::LiveNotFound));
}

pub async fn there_are_so_many_moderators_and_sanctions_and_no_more(db: Database) {
    let stage = Stage::set(db).await;
    let name = |user| Action::SetModerator {
        user,
        moderator: true,
    };
    for number in 0..MODERATORS_MAX {
        let user = stage.db.user(&format!("moderator{number}"), 0).await.id;
        assert!(stage.act(name(user), NOW).await.is_ok());
    }
    assert_eq!(
        stage.act(name(stage.bob), NOW).await,
        Err(Reject::ModerationFull)
    );
    let (alice, bob) = (stage.alice, stage.bob);
    // One less than there may be, and as many that have expired.
    for (count, until) in [(SANCTIONS_MAX - 1, "NULL"), (SANCTIONS_MAX, "5")] {
        stage
            .db
            .execute(&format!(
                "INSERT INTO sanctions \
                 (scope, streamer_id, user_id, kind, until_at, gifts, purge, actor_kind, actor_id, created_at) \
                 WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count}) \
                 SELECT 'streamer', {alice}, {bob}, 'mute', {until}, 1 = 1, 'none', 'user', {alice}, 1 FROM n"
            ))
            .unwrap();
    }
    let full = stage.act(ban(stage.carol, 60), NOW).await;
    assert!(full.is_ok(), "the last one fits");
    assert_eq!(
        stage.act(ban(stage.carol, 60), NOW).await,
        Err(Reject::ModerationFull)
    );
    let later = NOW.plus_ms(60_000);
    assert!(
        stage.act(ban(stage.carol, 60), later).await.is_ok(),
        "one has expired"
    );
}

pub async fn a_repeated_act_has_one_effect_and_its_control_says_what_is_now(db: Database) {
    let stage = Stage::set(db).await;
    let named = ActionRecord {
        request_id: Some(request("m-1")),
        reason: Some("spam".into()),
        ..stage.record(Actor::User(stage.alice), mute(stage.bob, 60), NOW)
    };
    let performed = stage.db.store.perform(named.clone()).await.unwrap();
    let Performed::Done {
        id,
        change: Change::Standing(first),
        is_repeated: false,
        pending,
    } = performed
    else {
        panic!("{performed:?}")
    };
    let control = |version, standing: &Standing| {
        EntryContent::Control(Control::Standing {
            version,
            user: stage.bob,
            standing: standing.clone(),
        })
    };
    let contents = |entries: &[ActionEntry]| -> Vec<EntryContent> {
        entries.iter().map(|entry| entry.content.clone()).collect()
    };
    assert_eq!(contents(&pending), [control(1, &first.standing)]);

    stage.act(ban(stage.bob, 60), NOW.plus_ms(1)).await.unwrap();
    let again = stage
        .db
        .store
        .perform(ActionRecord {
            at: NOW.plus_ms(2),
            ..named.clone()
        })
        .await
        .unwrap();
    let Performed::Done {
        id: same,
        change: Change::Standing(second),
        is_repeated: true,
        pending,
    } = again
    else {
        panic!("{again:?}")
    };
    assert_eq!((same, &second.outcome), (id, &first.outcome));
    assert_eq!(
        second.standing.sanctions.len(),
        2,
        "the ban is in it as well: {:?}",
        second.standing
    );
    assert_eq!(contents(&pending), [control(2, &second.standing)]);
    let pending = stage
        .db
        .store
        .pending_actions(NOW.plus_ms(2), 10)
        .await
        .unwrap();
    // The first is how the live began.
    assert_eq!(pending.len(), 3);
    assert_eq!(
        contents(&pending[1].entries),
        [control(2, &second.standing)]
    );

    let other = ActionRecord {
        action: mute(stage.bob, 61),
        ..named
    };
    assert_eq!(stage.perform(other).await, Err(Reject::DuplicateConflict));
}

pub async fn a_page_of_sanctions_has_the_newest_first(db: Database) {
    let stage = Stage::set(db).await;
    let mut given = Vec::new();
    for (user, action) in [
        (stage.bob, mute(stage.bob, 60)),
        (stage.carol, ban(stage.carol, -1)),
        (
            stage.bob,
            sanction(stage.bob, SanctionKind::Shadow, 0, None),
        ),
        (stage.carol, mute(stage.alice, 1)),
    ] {
        let changed = stage.act(action, NOW).await.unwrap();
        if let Outcome::Sanctioned(sanction) = changed.outcome {
            given.push((user, sanction));
        }
    }
    let now = NOW.plus_ms(1_000);
    let page = |before, max| stage.db.store.sanctions(stage.live, None, before, max, now);
    given.pop();
    given.reverse();
    assert_eq!(page(None, 10).await.unwrap(), given, "one has expired");
    assert_eq!(page(None, 2).await.unwrap(), given[..2]);
    let rest = page(Some(given[1].1.id), 2).await.unwrap();
    assert_eq!(rest, given[2..]);
    let of_one = stage
        .db
        .store
        .sanctions(stage.live, Some(stage.bob), None, 10, now);
    given.retain(|(user, _)| *user == stage.bob);
    assert_eq!(of_one.await.unwrap(), given, "those of one user");
}

pub async fn an_account_says_whether_something_may_hold_against_it_on_the_site(db: Database) {
    let stage = Stage::set(db).await;
    let is_sanctioned = async || {
        let user = stage.db.store.user(stage.bob).await.unwrap().unwrap();
        let credentials = stage.db.store.credentials(user.username.clone()).await;
        let found = credentials.unwrap().unwrap().user;
        assert_eq!(found.is_sanctioned, user.is_sanctioned);
        user.is_sanctioned
    };
    stage.act(ban(stage.bob, -1), NOW).await.unwrap();
    assert!(!is_sanctioned().await, "in one streamer's lives alone");
    let on_site = sanction(stage.bob, SanctionKind::Ban, -1, Some(SanctionScope::Site));
    let on_site = stage.record(Actor::CONFIG, on_site, NOW);
    stage.perform(on_site).await.unwrap();
    assert!(is_sanctioned().await);
    let unban = stage.record(Actor::CONFIG, lift(stage.bob, SanctionKind::Ban), NOW);
    stage.perform(unban).await.unwrap();
    assert!(!is_sanctioned().await);
}

/// Bob's comments 1 to `count`, a minute apart up to now, and one of carol's.
async fn with_comments(stage: &Stage, count: i64) {
    let mut writes = Vec::new();
    for id in 1..=count {
        let mut of_bob = comment(id, stage.live, stage.bob, "spam", None);
        of_bob.at = NOW.plus_ms((id - count) * 60_000);
        writes.push(Write::Comment(of_bob.into()));
    }
    let of_carol = comment(count + 1, stage.live, stage.carol, "calm", None);
    writes.push(Write::Comment(of_carol.into()));
    stage.db.commit(writes).await;
}

async fn shown(stage: &Stage) -> Vec<i64> {
    let page = stage.db.store.comments(stage.live, None, 100).await;
    let ids = page.unwrap().into_iter().map(|comment| comment.id.get());
    let mut ids: Vec<i64> = ids.collect();
    ids.reverse();
    ids
}

pub async fn a_ban_takes_recent_comments_down_in_lots_and_they_can_be_shown_again(db: Database) {
    let stage = Stage::set(db).await;
    with_comments(&stage, 60).await;
    let performed =
        stage
            .db
            .store
            .perform(stage.record(Actor::User(stage.alice), ban(stage.bob, 60), NOW));
    let performed = performed.await.unwrap();
    let Performed::Done { pending, .. } = &performed else {
        panic!("{performed:?}")
    };
    let lots = |entries: &[ActionEntry]| -> Vec<(u8, usize)> {
        let lot = |entry: &ActionEntry| match &entry.content {
            EntryContent::Event(RoomEvent::Purged { comment_ids, .. }) => {
                let part = match entry.key() {
                    EntryKey::Part(_, part) => part,
                    _ => 0,
                };
                Some((part, comment_ids.len()))
            }
            _ => None,
        };
        entries.iter().filter_map(lot).collect()
    };
    assert_eq!(lots(pending), [(1, 11)], "ten minutes, after the control");
    assert_eq!(shown(&stage).await, (1..50).chain([61]).collect::<Vec<_>>());

    let action = Action::TakeDownLast {
        user: stage.bob,
        count: 500,
    };
    let later = NOW.plus_ms(1);
    let record = stage.record(Actor::User(stage.alice), action, later);
    let performed = stage.db.store.perform(record).await.unwrap();
    let Performed::Done {
        change: Change::Comments { outcome, removed },
        pending,
        ..
    } = performed
    else {
        panic!("{performed:?}")
    };
    assert_eq!(outcome, Outcome::TakenDown(49));
    assert_eq!(removed.len(), 49);
    assert_eq!(lots(&pending), [(0, 49)]);
    assert_eq!(shown(&stage).await, [61]);

    let restore = async |at| {
        let action = Action::Restore(stage.bob);
        let record = stage.record(Actor::User(stage.alice), action, at);
        match stage.db.store.perform(record).await.unwrap() {
            Performed::Done {
                change: Change::Comments { outcome, .. },
                pending,
                ..
            } => {
                assert_eq!(pending, []);
                Ok(outcome)
            }
            Performed::Refused(reject) => Err(reject),
            other => panic!("{other:?}"),
        }
    };
    let day_after = later.plus_ms(RESTORE_MS);
    assert_eq!(restore(day_after).await, Err(Reject::CommentNotFound));
    assert_eq!(
        restore(day_after.plus_ms(-1)).await,
        Ok(Outcome::Restored(49))
    );
    assert_eq!(
        shown(&stage).await,
        (1..50).chain([61]).collect::<Vec<_>>(),
        "what was taken down together last, and no more"
    );
    assert_eq!(restore(later).await, Ok(Outcome::Restored(0)));
}

pub async fn a_ban_leaves_comments_or_takes_the_whole_live_down_as_it_says(db: Database) {
    let stage = Stage::set(db).await;
    with_comments(&stage, 120).await;
    let purging = |purge| {
        let mut order =
            SanctionOrder::new(stage.bob, SanctionKind::Ban, Term::Forever, None).unwrap();
        order.purge = purge;
        Action::Sanction(order)
    };
    let none = stage.act(purging(Purge::Nothing), NOW).await.unwrap();
    assert_eq!(none.removed, []);
    let all = stage.act(purging(Purge::Live), NOW).await.unwrap();
    assert_eq!(all.removed.len(), 120);
    assert_eq!(shown(&stage).await, [121]);
}
