//! Two nodes with everything in order, over one server and over a Redis Cluster.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use liveroom::cluster::{
    Appended, Broker, DeviceTicket, Nodes, ReportWait, RoomsAsked, Signal, TokenStore,
};
use liveroom::domain::*;
use liveroom::protocol::write_event;
use liveroom::storage::{self, Store, StoreOptions};
use tempfile::TempDir;

use super::{Node, report, two_nodes};
use crate::support::redis::{Keeps, Redis};
use crate::support::redis_groups::Masters;
use crate::support::room_log::{
    Log, NOW, action, block_on, eventually, gift, kick, new_live, new_user, notice, poll, profile,
    text_of, within,
};

/// The machine may be busy, and nothing here is to go on alone.
const PATIENCE: Duration = Duration::from_secs(30);

/// Makes each test of the list one test on each kind of Redis. One asks for a password each way.
macro_rules! on_each {
    ($($name:ident,)*) => {
        mod server {
            $(#[test] fn $name() { super::on_server(super::$name); })*
        }
        mod redis_cluster {
            $(#[test] fn $name() { super::on_masters(super::$name); })*
        }
    };
}

on_each! {
    nodes_tell_the_same_events_in_one_order,
    rooms_on_all_servers_go_on_side_by_side,
    a_node_that_opens_later_knows_what_was_told,
    what_comes_before_anybody_listens_is_not_lost,
    an_action_appended_to_the_room_of_another_node_arrives_there_once,
    an_action_that_two_nodes_append_is_one_entry_on_both,
    a_node_that_opens_later_or_missed_it_has_a_control_at_most_once,
    an_event_of_an_unknown_kind_is_numbered_kept_and_passed_on_as_it_came,
    a_gift_that_two_nodes_append_is_told_once,
    users_of_one_node_are_shown_on_the_other_until_they_go,
    a_node_that_opens_later_is_told_who_is_there,
    a_crowd_is_shown_whole,
    signals_reach_the_other_node_and_not_their_own,
    nodes_report_themselves_to_each_other,
    a_node_that_leaves_takes_its_users_along_after_a_grace,
    a_device_key_is_there_while_any_node_has_a_connection,
    who_is_online_can_be_read_by_others,
    a_login_on_one_node_counts_on_the_other,
    a_token_is_written_as_the_replaced_system_does,
    a_token_that_another_program_changes_is_noticed_at_once,
    a_login_that_redis_lost_is_written_when_its_token_is_used_once,
}

/// What is behind two nodes.
pub enum Behind {
    Server(Redis),
    Masters(Arc<Masters>),
}

impl Behind {
    /// Runs a command about a key where it is.
    fn command(&self, words: &[&str]) -> Option<String> {
        match self {
            Self::Server(server) => server.command(words),
            Self::Masters(masters) => masters.servers[masters.server_of(words[1])].command(words),
        }
    }
}

struct Pair {
    one: Node,
    two: Node,
    behind: Behind,
}

fn on_server<F: Future<Output = ()>>(test: impl FnOnce(Pair) -> F) {
    let user = [
        "--user",
        "liveroom",
        "on",
        ">pass:word",
        "~*",
        "&*",
        "+@all",
    ];
    let server = match Redis::with(Keeps::Saved, &user, None) {
        Ok(server) => server,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let url = format!("redis://liveroom:pass%3Aword@127.0.0.1:{}", server.port());
    run(&url, Behind::Server(server), test);
}

fn on_masters<F: Future<Output = ()>>(test: impl FnOnce(Pair) -> F) {
    match Masters::shared() {
        Ok(masters) => run(&masters.url(), Behind::Masters(masters), test),
        Err(reason) => println!("skipped: {reason}"),
    }
}

fn run<F: Future<Output = ()>>(url: &str, behind: Behind, test: impl FnOnce(Pair) -> F) {
    block_on(async {
        let (one, two) = two_nodes(url, PATIENCE).await;
        test(Pair { one, two, behind }).await;
    });
}

/// A user that one node shows.
fn shown(user: UserId) -> PeerUser {
    PeerUser {
        profile: profile(user),
        sockets: vec![format!("s{user}").into()],
        arrived_at: NOW,
    }
}

async fn nodes_tell_the_same_events_in_one_order(pair: Pair) {
    const EACH: usize = 1_000;
    let live_id = new_live();
    let (mut one, mut two) = (pair.one.open(live_id).await, pair.two.open(live_id).await);
    assert_eq!(one.position, two.position);
    for number in 0..EACH {
        one.say(&format!("one {number}"));
        two.say(&format!("two {number}"));
    }
    let (of_one, of_two) = (one.next_many(2 * EACH).await, two.next_many(2 * EACH).await);
    assert_eq!(of_one, of_two);
    for (told, offset) in of_one.iter().zip(one.position.offset + 1..) {
        assert_eq!((&told.epoch, told.offset), (&one.position.epoch, offset));
    }
    for name in ["one", "two"] {
        let said: Vec<String> = of_one
            .iter()
            .map(text_of)
            .filter(|text| text.starts_with(name))
            .collect();
        assert_eq!(
            said,
            (0..EACH)
                .map(|number| format!("{name} {number}"))
                .collect::<Vec<_>>()
        );
    }
}

async fn rooms_on_all_servers_go_on_side_by_side(pair: Pair) {
    let mut logs = Vec::new();
    for _ in 0..12 {
        let live_id = new_live();
        logs.push((pair.one.open(live_id).await, pair.two.open(live_id).await));
    }
    if let Behind::Masters(masters) = &pair.behind {
        let server_of = |log: &Log| masters.server_of(&format!("{{{}}}", log.live_id));
        let servers: BTreeSet<usize> = logs.iter().map(|(one, _)| server_of(one)).collect();
        assert_eq!(
            servers.len(),
            masters.servers.len(),
            "each server has a room"
        );
    }
    for number in 0..20 {
        for (one, two) in &mut logs {
            one.say(&format!("{} one {number}", one.live_id));
            two.say(&format!("{} two {number}", two.live_id));
        }
    }
    for (one, two) in &mut logs {
        let told = one.next_many(40).await;
        assert_eq!(two.next_many(40).await, told);
        assert!(
            told.iter()
                .all(|told| text_of(told).starts_with(&format!("{} ", one.live_id)))
        );
    }
}

async fn a_node_that_opens_later_knows_what_was_told(pair: Pair) {
    let mut one = pair.one.open(new_live()).await;
    for number in 0..700 {
        one.say(&number.to_string());
    }
    let told = one.next_many(700).await;
    let mut two = pair.two.open(one.live_id).await;
    let last = told.last().unwrap();
    assert_eq!(
        two.position,
        Position {
            epoch: last.epoch.clone(),
            offset: last.offset
        }
    );
    assert_eq!(two.recent, told[200..], "as much as a room keeps");
    // And what follows has no gap to it.
    one.say("next");
    let next = two.next().await;
    assert_eq!(
        (text_of(&next), next.offset),
        ("next".to_owned(), two.position.offset + 1)
    );
}

async fn what_comes_before_anybody_listens_is_not_lost(pair: Pair) {
    let mut one = pair.one.open(new_live()).await;
    let mut two = Log::open_deaf(&pair.two.cluster, one.live_id).await;
    for number in 0..10 {
        one.say(&number.to_string());
    }
    let told = one.next_many(10).await;
    two.listen();
    assert_eq!(two.next_many(10).await, told);
}

async fn an_action_appended_to_the_room_of_another_node_arrives_there_once(pair: Pair) {
    let mut two = pair.two.open(new_live()).await;
    let live_id = two.live_id;
    assert_eq!(
        within("asking", pair.one.cluster.is_open_elsewhere(live_id)).await,
        Some(true)
    );
    let control = action(2, EntryContent::Control(kick(7)));
    let event = action(1, EntryContent::Event(notice(live_id, "from elsewhere")));
    for entry in [&control, &event, &event, &control] {
        let appended = within("appending", pair.one.cluster.append(live_id, entry.clone())).await;
        assert_eq!(appended, Appended::InLog);
    }
    two.say("from here");
    let delivered = two.next_many(2).await;
    assert_eq!(
        [text_of(&delivered[0]), text_of(&delivered[1])],
        ["from elsewhere", "from here"]
    );
    assert_eq!(
        [delivered[0].offset, delivered[1].offset],
        [two.position.offset + 1, two.position.offset + 2]
    );
    assert_eq!(two.controls, [kick(7)]);
}

async fn an_action_that_two_nodes_append_is_one_entry_on_both(pair: Pair) {
    let live_id = new_live();
    let (mut one, mut two) = (pair.one.open(live_id).await, pair.two.open(live_id).await);
    for id in 1..=20 {
        let content = match id % 2 {
            0 => EntryContent::Event(notice(live_id, &format!("action {id}"))),
            _ => EntryContent::Control(kick(id)),
        };
        let entry = action(id, content);
        // Their rooms at the same time, and the retry of a third.
        one.append_action(entry.clone());
        two.append_action(entry.clone());
        assert_eq!(
            within("appending", pair.two.cluster.append(live_id, entry)).await,
            Appended::InLog
        );
    }
    one.say("after one");
    two.say("after two");
    let delivered = [one.next_many(12).await, two.next_many(12).await];
    assert_eq!(delivered[0], delivered[1]);
    let texts: BTreeSet<String> = delivered[0].iter().map(text_of).collect();
    assert_eq!(texts.len(), 12, "{texts:?}");
    for log in [&one, &two] {
        assert_eq!(
            log.controls,
            (1..=20).step_by(2).map(kick).collect::<Vec<_>>()
        );
    }
}

async fn a_node_that_opens_later_or_missed_it_has_a_control_at_most_once(pair: Pair) {
    let live_id = new_live();
    let mut one = pair.one.open(live_id).await;
    let control = action(1, EntryContent::Control(kick(1)));
    assert_eq!(
        within(
            "appending",
            pair.one.cluster.append(live_id, control.clone())
        )
        .await,
        Appended::InLog
    );
    let mut two = pair.two.open(live_id).await;
    one.say("after");
    assert_eq!(one.next().await, two.next().await);
    assert_eq!(
        (one.controls, two.controls),
        (vec![kick(1)], Vec::new()),
        "nobody was there whom it meant"
    );
}

async fn an_event_of_an_unknown_kind_is_numbered_kept_and_passed_on_as_it_came(pair: Pair) {
    let live_id = new_live();
    let (mut one, mut two) = (pair.one.open(live_id).await, pair.two.open(live_id).await);
    let position = two.position.clone();
    let (first, second) = (poll(live_id, "first"), poll(live_id, "second"));
    one.append(first.clone());
    let entry = action(1, EntryContent::Event(second.clone()));
    assert_eq!(
        within("appending", pair.two.cluster.append(live_id, entry)).await,
        Appended::InLog
    );
    let told = two.next_many(2).await;
    assert_eq!(one.next_many(2).await, told);
    let places: Vec<_> = told.iter().map(|told| (&told.epoch, told.offset)).collect();
    assert_eq!(
        places,
        [
            (&position.epoch, position.offset + 1),
            (&position.epoch, position.offset + 2)
        ]
    );
    let lines: BTreeSet<_> = told
        .iter()
        .map(|told| write_event(&told.event, NOW))
        .collect();
    assert_eq!(
        lines,
        BTreeSet::from([first, second].map(|event| write_event(&event, NOW)))
    );
    // A node that opens the room now has them for members that come back.
    drop(one);
    assert_eq!(pair.one.open(live_id).await.recent, told);
}

async fn a_gift_that_two_nodes_append_is_told_once(pair: Pair) {
    let live_id = new_live();
    let (mut one, mut two) = (pair.one.open(live_id).await, pair.two.open(live_id).await);
    one.append(gift(live_id, 7));
    one.say("after one");
    assert_eq!(two.texts_after_gift().await, (7, "after one".to_owned()));
    two.append(gift(live_id, 7));
    two.say("after two");
    assert_eq!(two.next_known_gift().await, GiftRecordId::new(7).unwrap());
    assert_eq!(two.next_text().await, "after two");
    assert_eq!(one.texts_after_gift().await, (7, "after one".to_owned()));
    assert_eq!(one.next_text().await, "after two");
}

async fn users_of_one_node_are_shown_on_the_other_until_they_go(pair: Pair) {
    let live_id = new_live();
    let (mut one, mut two) = (pair.one.open(live_id).await, pair.two.open(live_id).await);
    let (node, user) = (pair.one.cluster.node(), new_user());
    one.log
        .publish_presence(vec![PresenceChange::Online(shown(user))]);
    two.until(|here| here.get(&user) == Some(&shown(user)), node)
        .await;
    one.log
        .publish_presence(vec![PresenceChange::Offline(user)]);
    two.until(|here| here.is_empty(), node).await;
    one.log
        .publish_presence(vec![PresenceChange::Online(shown(user))]);
    two.until(|here| here.len() == 1, node).await;
    // A room that is closed there shows nobody.
    drop(one);
    two.until(|here| here.is_empty(), node).await;
}

async fn a_node_that_opens_later_is_told_who_is_there(pair: Pair) {
    let one = &mut pair.one.open(new_live()).await;
    let user = new_user();
    one.log
        .publish_presence(vec![PresenceChange::Online(shown(user))]);
    let mut two = pair.two.open(one.live_id).await;
    two.until(|here| here.contains_key(&user), pair.one.cluster.node())
        .await;
}

async fn a_crowd_is_shown_whole(pair: Pair) {
    let live_id = new_live();
    let (mut one, mut two) = (pair.one.open(live_id).await, pair.two.open(live_id).await);
    let users: Vec<UserId> = (1..=3_000).filter_map(UserId::new).collect();
    for users in users.chunks(100) {
        one.log.publish_presence(
            users
                .iter()
                .map(|user| PresenceChange::Online(shown(*user)))
                .collect(),
        );
    }
    two.until(|here| here.len() == users.len(), pair.one.cluster.node())
        .await;
    one.log.publish_presence(
        users
            .iter()
            .skip(1)
            .map(|user| PresenceChange::Offline(*user))
            .collect(),
    );
    two.until(|here| here.keys().eq(&users[..1]), pair.one.cluster.node())
        .await;
}

async fn signals_reach_the_other_node_and_not_their_own(mut pair: Pair) {
    let user = new_user();
    let ticket = Some(DeviceTicket { at: NOW.0, node: 7 });
    let signals = [
        Signal::Recheck(user),
        Signal::OtherDevice(user, ticket),
        Signal::OtherDevice(user, None),
    ];
    for signal in signals {
        pair.one.cluster.signal(signal);
        assert_eq!(pair.two.next_mine(signal).await, signal);
    }
    // Had it heard its own, it had heard them before this one.
    let back = Signal::Recheck(new_user());
    pair.two.cluster.signal(back);
    let mine = [user];
    loop {
        let heard = pair.one.next_signal().await;
        if heard == back {
            break;
        }
        assert!(!is_about(heard, &mine), "{heard:?}");
    }
}

fn is_about(signal: Signal, users: &[UserId]) -> bool {
    match signal {
        Signal::Recheck(user) | Signal::OtherDevice(user, _) | Signal::Kick { user, .. } => {
            users.contains(&user)
        }
        Signal::CatalogueChanged => false,
    }
}

async fn nodes_report_themselves_to_each_other(pair: Pair) {
    let (one, two) = (pair.one.cluster.node(), pair.two.cluster.node());
    eventually("a report of the other node", async || {
        let reports = pair
            .one
            .cluster
            .reports(
                report(one),
                RoomsAsked::Totals.into(),
                ReportWait::default(),
            )
            .await;
        let reports = reports.answered;
        assert_eq!(reports[0], report(one));
        let of_two = reports
            .iter()
            .filter(|found| **found == report(two))
            .count();
        assert!(of_two <= 1, "{reports:?}");
        // Those of nodes that start meanwhile may come first, and are not waited for.
        (of_two == 1).then_some(())
    })
    .await;
    assert_eq!(
        (
            pair.one.cluster.alone_since(),
            pair.two.cluster.alone_since()
        ),
        (None, None)
    );
}

async fn a_node_that_leaves_takes_its_users_along_after_a_grace(pair: Pair) {
    let live_id = new_live();
    let (mut one, mut two) = (pair.one.open(live_id).await, pair.two.open(live_id).await);
    one.log
        .publish_presence(vec![PresenceChange::Online(shown(new_user()))]);
    two.until(|here| here.len() == 1, pair.one.cluster.node())
        .await;
    within("leaving", pair.one.cluster.leave()).await;
    two.until(|here| here.is_empty(), pair.one.cluster.node())
        .await;
}

async fn a_device_key_is_there_while_any_node_has_a_connection(pair: Pair) {
    let user = new_user();
    let key = format!("online_{user}");
    let is_there = |there: bool| {
        let (behind, key) = (&pair.behind, &key);
        eventually("the key comes or goes", async move || {
            let exists = behind.command(&["EXISTS", key]).as_deref() == Some("1");
            (exists == there).then_some(())
        })
    };
    pair.one.cluster.device_opened(user);
    is_there(true).await;
    pair.one.cluster.device_opened(user);
    pair.two.cluster.device_opened(user);
    pair.one.cluster.device_closed(user);
    pair.one.cluster.device_closed(user);
    is_there(true).await;
    pair.two.cluster.device_closed(user);
    is_there(false).await;
}

async fn who_is_online_can_be_read_by_others(pair: Pair) {
    let mut one = pair.one.open(new_live()).await;
    let users = r#"[{"id":1,"name":"小明","avatar":null}]"#;
    one.log.publish_users(users.to_owned());
    let key = format!("userList_live_{}", one.live_id);
    eventually("the list", async || {
        (pair.behind.command(&["GET", &key]).as_deref() == Some(users)).then_some(())
    })
    .await;
}

/// Users with tokens, over one store.
struct Logins {
    store: Arc<dyn Store>,
    one: Arc<dyn TokenStore>,
    two: Arc<dyn TokenStore>,
    _dir: TempDir,
}

impl Logins {
    async fn over(pair: &Pair) -> Self {
        let dir = TempDir::new().unwrap();
        let url = format!("sqlite://{}/liveroom.db", dir.path().display());
        let options = StoreOptions {
            wait_ms: 30_000,
            ..StoreOptions::default()
        };
        let store = storage::open(&url, options).await.unwrap();
        let [one, two] = [&pair.one, &pair.two].map(|node| node.tokens(&store));
        Self {
            store,
            one,
            two,
            _dir: dir,
        }
    }

    /// A user that no test on the same Redis has.
    async fn user(&self) -> UserId {
        // Ids of a store count from 1, as those of other tests' stores do.
        let wanted = new_user();
        let mut number = 0;
        loop {
            number += 1;
            let name = format!("user {number}");
            let created = self
                .store
                .create_user(name, None, "hash".into(), NOW)
                .await
                .unwrap();
            if created.expect("a new username").id == wanted {
                return wanted;
            }
        }
    }
}

async fn a_login_on_one_node_counts_on_the_other(pair: Pair) {
    let logins = Logins::over(&pair).await;
    let user = logins.user().await;
    logins.one.replace(user, "first", NOW).await.unwrap();
    assert!(logins.two.is_current(user, "first").await.unwrap());
    logins.two.replace(user, "second", NOW).await.unwrap();
    assert!(!logins.one.is_current(user, "first").await.unwrap());
    assert!(logins.one.is_current(user, "second").await.unwrap());
    logins.one.clear(user, NOW).await.unwrap();
    assert!(!logins.two.is_current(user, "second").await.unwrap());
}

async fn a_token_is_written_as_the_replaced_system_does(pair: Pair) {
    let logins = Logins::over(&pair).await;
    let user = logins.user().await;
    let key = format!("user_{user}");
    logins.one.replace(user, "a.b.c", NOW).await.unwrap();
    assert_eq!(
        pair.behind.command(&["GET", &key]).as_deref(),
        Some("\"a.b.c\"")
    );
    // And read as that writes it.
    pair.behind.command(&["SET", &key, "\"d.e.f\""]);
    assert!(logins.two.is_current(user, "d.e.f").await.unwrap());
    assert!(!logins.two.is_current(user, "a.b.c").await.unwrap());
    logins.one.clear(user, NOW).await.unwrap();
    assert_eq!(pair.behind.command(&["GET", &key]), None);
}

async fn a_token_that_another_program_changes_is_noticed_at_once(mut pair: Pair) {
    // Users that live on all servers of a cluster.
    for _ in 0..6 {
        let user = new_user();
        let key = format!("user_{user}");
        for words in [&["SET", &key, "\"new\""][..], &["DEL", &key]] {
            pair.behind.command(words);
            for node in [&mut pair.one, &mut pair.two] {
                node.next_mine(Signal::Recheck(user)).await;
            }
        }
    }
}

async fn a_login_that_redis_lost_is_written_when_its_token_is_used_once(pair: Pair) {
    let logins = Logins::over(&pair).await;
    let user = logins.user().await;
    let (key, stamp) = (
        format!("user_{user}"),
        format!("liveroom:{{user_{user}}}:stamp"),
    );
    // Both nodes notice the change and correct it, while the token is used at both.
    for round in 0..20 {
        let token = format!("login {round}");
        logins.one.replace(user, &token, NOW).await.unwrap();
        pair.behind
            .command(&["MSET", &key, "\"earlier\"", &stamp, "1 0"]);
        for node in [&logins.one, &logins.two] {
            assert!(node.is_current(user, &token).await.unwrap());
        }
        eventually("the token is written", async || {
            let found = pair.behind.command(&["GET", &key]);
            (found == Some(format!("\"{token}\""))).then_some(())
        })
        .await;
    }
}

impl Node {
    /// Waits for this signal; those of other tests on the same Redis are passed over.
    async fn next_mine(&mut self, wanted: Signal) -> Signal {
        loop {
            let heard = self.next_signal().await;
            if heard == wanted {
                return heard;
            }
        }
    }
}

impl Log {
    /// The record of a gift that comes next, and the text after it.
    async fn texts_after_gift(&mut self) -> (i64, String) {
        let RoomEvent::Gift { receipt, .. } = self.next().await.event else {
            panic!("a gift comes first")
        };
        (receipt.record_id.get(), self.next_text().await)
    }
}
