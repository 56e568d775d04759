//! What every order of a room's events and every memory of tokens must do: one suite, run on those
//! of one process and on Redis.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::support::JWT_SECRET;
use crate::support::redis::{Keeps, Redis};
use crate::support::room_log::{
    Log, NOW, action, block_on, comment, gift, kick, new_live, new_user, notice, profile, text_of,
    within,
};
use liveroom::auth::token_origin_reader;
use liveroom::clock::SystemClock;
use liveroom::cluster::redis::RedisCluster;
use liveroom::cluster::{
    Appended, Broker, LaterFields, MemoryBroker, NodeReport, Nodes, ReportAsked, ReportWait,
    SingleNode, StoreTokens, TokenStore,
};
use liveroom::config::{Config, Millis, Secret, Secrets};
use liveroom::domain::*;
use liveroom::storage::{self, Store, StoreOptions};
use tempfile::TempDir;

/// Makes each test of the list one test on each implementation.
macro_rules! contract {
    ($($name:ident,)*) => {
        mod one_process {
            $(#[test] fn $name() { super::in_one_process(super::$name); })*
        }
        mod redis_server {
            $(#[test] fn $name() { super::on_redis(super::$name); })*
        }
    };
}

contract! {
    events_come_in_the_order_they_were_appended_and_are_counted_without_a_gap,
    every_kind_of_event_comes_back_as_it_was_appended,
    rooms_do_not_mix,
    a_room_nothing_was_ever_said_in_opens_at_its_beginning,
    a_room_that_opens_again_uses_no_place_twice,
    a_gift_that_is_appended_once_is_told_once,
    an_action_on_a_room_that_nobody_has_opens_none_and_reaches_no_other,
    an_action_that_is_appended_again_is_one_entry,
    a_removal_is_one_entry_however_many_actions_remove_the_comment,
    a_control_comes_once_and_takes_no_offset,
    there_is_room_for_comments_in_a_calm_room,
    what_a_node_shows_of_its_users_is_not_told_to_itself,
    a_user_without_a_token_has_no_current_one,
    a_login_replaces_the_one_before,
    a_logout_leaves_no_current_token,
    tokens_of_users_do_not_mix,
    a_token_is_told_apart_from_all_others_whatever_is_in_it,
    of_logins_at_the_same_time_one_wins,
    a_node_that_reaches_all_others_is_not_alone_and_reports_itself_first,
    a_node_can_leave,
}

/// One implementation of everything that a node shares with others.
struct Twin {
    broker: Arc<dyn Broker>,
    nodes: Arc<dyn Nodes>,
    tokens: Arc<dyn TokenStore>,
    store: Arc<dyn Store>,
    _dir: TempDir,
}

impl Twin {
    async fn user(&self, name: &str) -> UserId {
        let created = self
            .store
            .create_user(name.into(), None, "hash".into(), NOW)
            .await
            .unwrap();
        created.expect("a new username").id
    }

    async fn is_current(&self, user: UserId, token: &str) -> bool {
        within(
            "whose token is current",
            self.tokens.is_current(user, token),
        )
        .await
        .unwrap()
    }

    async fn login(&self, user: UserId, token: &str) {
        within("a login", self.tokens.replace(user, token, NOW))
            .await
            .unwrap();
    }

    async fn logout(&self, user: UserId) {
        within("a logout", self.tokens.clear(user, NOW))
            .await
            .unwrap();
    }
}

async fn store() -> (Arc<dyn Store>, TempDir) {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite://{}/liveroom.db", dir.path().display());
    let options = StoreOptions {
        wait_ms: 30_000,
        ..StoreOptions::default()
    };
    (storage::open(&url, options).await.unwrap(), dir)
}

fn in_one_process<F: Future<Output = ()>>(test: impl FnOnce(Twin) -> F) {
    block_on(async {
        let (store, dir) = store().await;
        let tokens = Arc::new(StoreTokens::new(store.clone()));
        test(Twin {
            broker: Arc::new(MemoryBroker),
            nodes: Arc::new(SingleNode),
            tokens,
            store,
            _dir: dir,
        })
        .await;
    });
}

fn on_redis<F: Future<Output = ()>>(test: impl FnOnce(Twin) -> F) {
    let server = match Redis::start(Keeps::Saved) {
        Ok(server) => server,
        Err(reason) => return println!("skipped: {reason}"),
    };
    block_on(async {
        let (store, dir) = store().await;
        let mut config = Config::default();
        config.cluster.redis_url = Secret::new(server.url());
        // The machine may be busy, and nothing here is to go on alone.
        config.cluster.redis_timeout_ms = Millis::new(30_000);
        config.presence.leave_grace_ms = Millis::new(1_000);
        config.rooms.history_events_max = 500;
        config.rooms.history_ms = Millis::new(300_000);
        let cluster = RedisCluster::start(Arc::new(config), Arc::new(SystemClock)).unwrap();
        let (broker, nodes) = (Arc::new(cluster.clone()), Arc::new(cluster.clone()));
        test(Twin {
            broker,
            nodes,
            tokens: cluster.tokens(
                store.clone(),
                token_origin_reader(&Secrets::one(JWT_SECRET)),
            ),
            store,
            _dir: dir,
        })
        .await;
    });
}

async fn events_come_in_the_order_they_were_appended_and_are_counted_without_a_gap(twin: Twin) {
    let mut log = Log::open(&*twin.broker, new_live()).await;
    let texts: Vec<String> = (0..2_000).map(|number| format!("event {number}")).collect();
    for text in &texts {
        log.say(text);
    }
    let told = log.next_many(texts.len()).await;
    assert_eq!(told.iter().map(text_of).collect::<Vec<_>>(), texts);
    for (told, offset) in told.iter().zip(log.position.offset + 1..) {
        assert_eq!((&told.epoch, told.offset), (&log.position.epoch, offset));
    }
}

async fn every_kind_of_event_comes_back_as_it_was_appended(twin: Twin) {
    let mut log = Log::open(&*twin.broker, new_live()).await;
    let live_id = log.live_id;
    let appended = [
        comment(live_id, 1, "hello\n世界 \u{1F339} \"quoted\""),
        gift(live_id, 1),
        RoomEvent::Live {
            live_id,
            status: LiveStatus::Paused,
            title: "标题".into(),
        },
        RoomEvent::Removed {
            live_id,
            comment_id: CommentId::new(1).unwrap(),
        },
        notice(live_id, "a notice"),
    ];
    for event in &appended {
        log.append(event.clone());
    }
    let told: Vec<RoomEvent> = log
        .next_many(appended.len())
        .await
        .into_iter()
        .map(|told| told.event)
        .collect();
    assert_eq!(told, appended);
}

async fn rooms_do_not_mix(twin: Twin) {
    let mut one = Log::open(&*twin.broker, new_live()).await;
    let mut two = Log::open(&*twin.broker, new_live()).await;
    assert_ne!(
        one.position.epoch, two.position.epoch,
        "a position of one room is none of another"
    );
    for number in 0..50 {
        one.say(&format!("one {number}"));
        two.say(&format!("two {number}"));
    }
    for (log, name) in [(&mut one, "one"), (&mut two, "two")] {
        for (told, number) in log.next_many(50).await.iter().zip(0..) {
            assert_eq!(
                (text_of(told), told.offset),
                (format!("{name} {number}"), log.position.offset + number + 1)
            );
        }
    }
}

async fn a_room_nothing_was_ever_said_in_opens_at_its_beginning(twin: Twin) {
    let log = Log::open(&*twin.broker, new_live()).await;
    assert_eq!(
        (log.position.offset, log.recent.len(), log.peers.len()),
        (0, 0, 0)
    );
    assert!(!log.position.epoch.is_empty());
}

async fn a_room_that_opens_again_uses_no_place_twice(twin: Twin) {
    let live_id = new_live();
    let mut places = HashSet::new();
    for life in 0..3 {
        let mut log = Log::open(&*twin.broker, live_id).await;
        for number in 0..10 {
            log.say(&format!("{life} {number}"));
        }
        for told in log.next_many(10).await {
            assert!(places.insert((told.epoch.clone(), told.offset)), "{told:?}");
        }
    }
}

async fn a_gift_that_is_appended_once_is_told_once(twin: Twin) {
    let mut log = Log::open(&*twin.broker, new_live()).await;
    let records: Vec<i64> = (1..=100).collect();
    for record in &records {
        log.append(gift(log.live_id, *record));
    }
    log.say("the end");
    let mut told = log.next_many(records.len() + 1).await;
    assert_eq!(text_of(&told.pop().unwrap()), "the end");
    let record = |told: &Sequenced| match &told.event {
        RoomEvent::Gift { receipt, .. } => receipt.record_id.get(),
        other => panic!("not a gift: {other:?}"),
    };
    assert_eq!(told.iter().map(record).collect::<Vec<_>>(), records);
}

async fn an_action_on_a_room_that_nobody_has_opens_none_and_reaches_no_other(twin: Twin) {
    let live_id = new_live();
    let entry = action(1, EntryContent::Event(notice(live_id, "hello")));
    let appended = within("appending", twin.broker.append(live_id, entry)).await;
    let expected = if twin.broker.is_shared() {
        Appended::InLog
    } else {
        Appended::NoSharedLog
    };
    assert_eq!(appended, expected);
    assert_eq!(
        within("asking", twin.broker.is_open_elsewhere(live_id)).await,
        Some(false)
    );
    // Nor does it become part of another room.
    let mut other = Log::open(&*twin.broker, new_live()).await;
    other.say("mine");
    assert_eq!(other.next_text().await, "mine");
}

async fn an_action_that_is_appended_again_is_one_entry(twin: Twin) {
    let mut log = Log::open(&*twin.broker, new_live()).await;
    let live_id = log.live_id;
    let entry = |id| {
        action(
            id,
            EntryContent::Event(notice(live_id, &format!("action {id}"))),
        )
    };
    for id in [1, 1, 2, 1] {
        log.append_action(entry(id));
    }
    log.say("between");
    assert_eq!(
        log.next_many(3)
            .await
            .iter()
            .map(text_of)
            .collect::<Vec<_>>(),
        ["action 1", "action 2", "between"]
    );
    log.append_action(entry(2));
    log.say("after");
    let after = log.next().await;
    assert_eq!(
        (text_of(&after), after.offset),
        ("after".to_owned(), log.position.offset + 4)
    );
}

async fn a_removal_is_one_entry_however_many_actions_remove_the_comment(twin: Twin) {
    let mut log = Log::open(&*twin.broker, new_live()).await;
    let removed = |comment| RoomEvent::Removed {
        live_id: log.live_id,
        comment_id: CommentId::new(comment).unwrap(),
    };
    let (seven, eight) = (removed(7), removed(8));
    for (id, event) in [(1, &seven), (2, &seven), (7, &eight), (3, &eight)] {
        log.append_action(action(id, EntryContent::Event(event.clone())));
    }
    // The action 8 is not the removal of the comment 8.
    log.append_action(action(
        8,
        EntryContent::Event(notice(log.live_id, "action 8")),
    ));
    let events: Vec<RoomEvent> = log
        .next_many(3)
        .await
        .into_iter()
        .map(|sequenced| sequenced.event)
        .collect();
    assert_eq!(events, [seven, eight, notice(log.live_id, "action 8")]);
}

async fn a_control_comes_once_and_takes_no_offset(twin: Twin) {
    let mut log = Log::open(&*twin.broker, new_live()).await;
    log.say("before");
    let before = log.next().await;
    for id in [1, 1, 2] {
        let entry = action(id, EntryContent::Control(kick(id)));
        // As the rooms of this node do it.
        if within("appending", twin.broker.append(log.live_id, entry.clone())).await
            != Appended::InLog
        {
            log.append_action(entry);
        }
    }
    log.say("after");
    let after = log.next().await;
    assert_eq!(
        (text_of(&after), after.offset),
        ("after".to_owned(), before.offset + 1)
    );
    assert_eq!(log.controls, [kick(1), kick(2)]);
}

async fn there_is_room_for_comments_in_a_calm_room(twin: Twin) {
    let mut log = Log::open(&*twin.broker, new_live()).await;
    for number in 0..3 {
        assert!(log.log.can_append());
        log.say(&number.to_string());
        assert_eq!(log.next_text().await, number.to_string());
    }
    log.log.set_batch_window(Duration::from_millis(50));
    log.say("gathered");
    assert_eq!(log.next_text().await, "gathered");
    assert!(log.log.can_append());
}

async fn what_a_node_shows_of_its_users_is_not_told_to_itself(twin: Twin) {
    let mut log = Log::open(&*twin.broker, new_live()).await;
    let user = new_user();
    let shown = PeerUser {
        profile: profile(user),
        sockets: vec!["s".into()],
        arrived_at: NOW,
    };
    log.log
        .publish_presence(vec![PresenceChange::Online(shown)]);
    log.log
        .publish_presence(vec![PresenceChange::Offline(user)]);
    log.log.publish_users("[]".to_owned());
    log.say("after");
    assert_eq!(log.next_text().await, "after");
    assert!(
        !log.has_heard_of_peers(),
        "only other nodes' users are told"
    );
}

async fn a_user_without_a_token_has_no_current_one(twin: Twin) {
    let alice = twin.user("alice").await;
    assert!(!twin.is_current(alice, "one").await);
    assert!(!twin.is_current(alice, "").await);
    twin.logout(alice).await;
    assert!(!twin.is_current(alice, "one").await);
}

async fn a_login_replaces_the_one_before(twin: Twin) {
    let alice = twin.user("alice").await;
    twin.login(alice, "one").await;
    assert!(twin.is_current(alice, "one").await);
    twin.login(alice, "two").await;
    assert!(!twin.is_current(alice, "one").await);
    assert!(twin.is_current(alice, "two").await);
    twin.login(alice, "two").await;
    assert!(twin.is_current(alice, "two").await);
}

async fn a_logout_leaves_no_current_token(twin: Twin) {
    let alice = twin.user("alice").await;
    twin.login(alice, "one").await;
    twin.logout(alice).await;
    assert!(!twin.is_current(alice, "one").await);
    twin.logout(alice).await;
    twin.login(alice, "one").await;
    assert!(twin.is_current(alice, "one").await, "a token may come back");
}

async fn tokens_of_users_do_not_mix(twin: Twin) {
    let (alice, bob) = (twin.user("alice").await, twin.user("bob").await);
    twin.login(alice, "of alice").await;
    twin.login(bob, "of bob").await;
    assert!(!twin.is_current(alice, "of bob").await);
    assert!(!twin.is_current(bob, "of alice").await);
    twin.logout(alice).await;
    assert!(twin.is_current(bob, "of bob").await);
}

async fn a_token_is_told_apart_from_all_others_whatever_is_in_it(twin: Twin) {
    let alice = twin.user("alice").await;
    let tokens = [
        "a.b.c",
        "a.b.c ",
        "A.b.c",
        "\"a.b.c\"",
        "a\\u002eb",
        "小花",
        "a\nb",
        &"x".repeat(2_000),
    ];
    for current in tokens {
        twin.login(alice, current).await;
        for asked in tokens {
            assert_eq!(
                twin.is_current(alice, asked).await,
                asked == current,
                "{asked:?} for {current:?}"
            );
        }
    }
}

async fn of_logins_at_the_same_time_one_wins(twin: Twin) {
    let alice = twin.user("alice").await;
    let tokens: Vec<String> = (0..20).map(|number| format!("token {number}")).collect();
    futures_util::future::join_all(tokens.iter().map(|token| twin.login(alice, token))).await;
    let mut current = 0;
    for token in &tokens {
        current += usize::from(twin.is_current(alice, token).await);
    }
    assert_eq!(current, 1);
}

async fn a_node_that_reaches_all_others_is_not_alone_and_reports_itself_first(twin: Twin) {
    // Whoever opens a room has seen the others.
    Log::open(&*twin.broker, new_live()).await;
    assert_eq!(twin.nodes.alone_since(), None);
    let own = NodeReport {
        node: "0123456789abcdef".into(),
        address: "127.0.0.1:80".into(),
        version: "1".into(),
        started_at: NOW.0,
        alone_since: None,
        sessions: 3,
        writes_queued: 0,
        rooms: Vec::new(),
        next_after: None,
        totals: None,
        answer: None,
        figures: None,
        overview: None,
        later: LaterFields::default(),
    };
    let reports = within(
        "reports",
        twin.nodes
            .reports(own.clone(), ReportAsked::default(), ReportWait::default()),
    )
    .await;
    assert_eq!((reports.answered, reports.silent), (vec![own], Vec::new()));
}

async fn a_node_can_leave(twin: Twin) {
    let mut log = Log::open(&*twin.broker, new_live()).await;
    within("leaving", twin.nodes.leave()).await;
    // What is still under way is told all the same.
    log.say("last words");
    assert_eq!(log.next_text().await, "last words");
}
