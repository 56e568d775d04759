//! One of three masters of a Redis Cluster dies, and comes back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use liveroom::cluster::{Nodes, Signal, TokenStore};
use liveroom::domain::*;
use liveroom::storage::{self, StoreOptions};
use tempfile::TempDir;

use super::{Heard, Node, two_nodes};
use crate::support::redis_groups::Masters;
use crate::support::room_log::{NOW, block_on, eventually, new_live, new_user, profile};

/// How long Redis may be silent.
const PATIENCE: Duration = Duration::from_secs(2);

/// How long a server is frozen: long enough for nodes to notice it, and to work without it.
const FROZEN_FOR: Duration = PATIENCE.saturating_mul(6);

/// One room for each master, on both nodes.
struct Rooms(Vec<(Heard, Heard)>);

impl Rooms {
    async fn open(masters: &Masters, one: &Node, two: &Node) -> Self {
        let mut rooms = Vec::new();
        for server in 0..masters.servers.len() {
            let live_id = live_of(masters, server);
            rooms.push((
                Heard::by(one.open(live_id).await),
                Heard::by(two.open(live_id).await),
            ));
        }
        Self(rooms)
    }
}

/// A new room whose keys this server has.
fn live_of(masters: &Masters, server: usize) -> LiveId {
    loop {
        let live_id = new_live();
        if masters.server_of(&format!("{{{live_id}}}")) == server {
            return live_id;
        }
    }
}

/// A new user whose token this server has.
fn user_of(masters: &Masters, server: usize) -> UserId {
    loop {
        let user = new_user();
        if masters.server_of(&format!("user_{user}")) == server {
            return user;
        }
    }
}

#[test]
fn rooms_of_other_masters_go_on_and_those_of_a_lost_one_go_on_alone_and_heal() {
    let Some(mut masters) = masters() else { return };
    block_on(async {
        // The one that all nodes' messages go over when it is there.
        let lost = masters.server_of("liveroom:nodes");
        let (mut one, mut two) = two_nodes(&masters.url(), PATIENCE).await;
        let mut rooms = Rooms::open(&masters, &one, &two).await;
        for (one, two) in &mut rooms.0 {
            one.agree_with(two).await;
            assert_eq!(one.take_all(), two.take_all());
        }
        masters.servers[lost].kill();

        for (server, (one, two)) in rooms.0.iter_mut().enumerate() {
            let before = one.log.position.epoch.clone();
            for number in 0..20 {
                one.log.say(&format!("one {number}"));
                two.log.say(&format!("two {number}"));
            }
            if server == lost {
                // Each its own.
                one.wait_for(20).await;
                two.wait_for(20).await;
                assert!(
                    one.take_all().iter().all(|told| told.epoch != before),
                    "alone"
                );
            } else {
                one.wait_for(40).await;
                two.wait_for(40).await;
                let told = one.take_all();
                assert_eq!(told, two.take_all(), "one order");
                assert!(
                    told.iter().all(|told| told.epoch == before),
                    "as if nothing had happened"
                );
            }
        }
        // Nodes hear of each other, and of users in rooms of other masters.
        let user = new_user();
        one.cluster.signal(Signal::Recheck(user));
        assert_eq!(two.next_signal().await, Signal::Recheck(user));
        let (here, there) = &mut rooms.0[(lost + 1) % 3];
        let shown = PeerUser {
            profile: profile(user),
            sockets: vec!["s".into()],
            arrived_at: NOW,
        };
        here.log
            .log
            .publish_presence(vec![PresenceChange::Online(shown)]);
        there
            .log
            .until(|here| here.contains_key(&user), one.cluster.node())
            .await;
        assert_eq!(
            (one.cluster.alone_since(), two.cluster.alone_since()),
            (None, None)
        );
        // A room that opens now opens, alone.
        let mut late = Heard::by(one.open(live_of(&masters, lost)).await);
        late.log.say("anybody here?");
        late.wait_for(1).await;

        masters.servers[lost].restart();
        let (healed, other) = &mut rooms.0[lost];
        // What the other said meanwhile is heard late.
        healed.wait_for(20).await;
        other.wait_for(20).await;
        healed.agree_with(other).await;
        let mut late_two = Heard::by(two.open(late.log.live_id).await);
        late.agree_with(&mut late_two).await;
        // Tokens on the server that came back are watched again.
        let user = user_of(&masters, lost);
        let set = ["SET", &format!("user_{user}"), "\"new\""];
        for node in [&mut one, &mut two] {
            // Until it is watched, nobody says so.
            eventually("a token that changes is noticed", async || {
                masters.servers[lost].command(&set);
                let heard =
                    tokio::time::timeout(Duration::from_millis(200), node.next_signal()).await;
                (heard == Ok(Signal::Recheck(user))).then_some(())
            })
            .await;
        }
    });
}

#[test]
fn tokens_of_other_masters_are_as_ever_and_those_of_a_lost_one_are_the_stores() {
    let Some(mut masters) = masters() else { return };
    block_on(async {
        let (one, two) = two_nodes(&masters.url(), PATIENCE).await;
        let Logins {
            users,
            here,
            there,
            _dir,
        } = Logins::over(&one, &two).await;
        let lost = masters.server_of(&format!("user_{}", users[0]));
        for user in &users {
            here.replace(*user, "before", NOW).await.unwrap();
        }
        masters.servers[lost].kill();
        for user in &users {
            assert!(
                there.is_current(*user, "before").await.unwrap(),
                "user {user}"
            );
            assert!(
                !there.is_current(*user, "other").await.unwrap_or(false),
                "user {user}"
            );
        }
        // A login while the server is away is written when it is back and the token is used.
        here.replace(users[0], "during", NOW).await.unwrap();
        assert!(here.is_current(users[0], "during").await.unwrap());
        masters.servers[lost].restart();
        let key = format!("user_{}", users[0]);
        eventually("the login is written", async || {
            there.invalidate(users[0]);
            assert!(there.is_current(users[0], "during").await.unwrap());
            (masters.servers[lost].try_command(&["GET", &key]) == Ok(Some("\"during\"".to_owned())))
                .then_some(())
        })
        .await;
        assert!(there.is_current(users[0], "during").await.unwrap());
        assert!(!there.is_current(users[0], "before").await.unwrap());
    });
}

#[test]
fn rooms_of_other_masters_go_on_while_one_is_frozen() {
    let Some(masters) = masters() else { return };
    block_on(async {
        // Not the one that nodes' messages go over: they wait for it.
        let frozen = (masters.server_of("liveroom:nodes") + 1) % masters.servers.len();
        let (one, two) = two_nodes(&masters.url(), PATIENCE).await;
        let mut rooms = Rooms::open(&masters, &one, &two).await;
        for (one, two) in &mut rooms.0 {
            one.agree_with(two).await;
        }
        masters.servers[frozen].freeze();
        let (of_frozen, others): (Vec<_>, Vec<_>) = rooms
            .0
            .iter_mut()
            .enumerate()
            .partition(|(server, _)| *server == frozen);
        let (_, (frozen_one, frozen_two)) = of_frozen.into_iter().next().unwrap();
        for round in 0..3 {
            // Its own room goes alone only after a while; that is what it takes to hear this.
            frozen_one.log.say(&format!("alone {round}"));
            frozen_one.wait_for(1).await;
        }
        // Meanwhile nodes notice that a server is lost, and connect anew without it.
        let frozen_at = Instant::now();
        let mut others: Vec<_> = others.into_iter().map(|(_, room)| room).collect();
        while frozen_at.elapsed() < FROZEN_FOR {
            for (one, two) in &mut others {
                let before = one.log.position.epoch.clone();
                one.agree_with(two).await;
                assert!(
                    one.all.iter().all(|told| told.epoch == before),
                    "as if nothing had happened"
                );
            }
            assert_eq!(
                (one.cluster.alone_since(), two.cluster.alone_since()),
                (None, None)
            );
        }
        // A node that starts now never reached that server.
        let late = Node::start(&masters.url(), PATIENCE);
        for (one, _) in &mut others {
            let mut room = Heard::by(late.open(one.log.live_id).await);
            one.agree_with(&mut room).await;
        }
        masters.servers[frozen].thaw();
        frozen_one.agree_with(frozen_two).await;
        let mut room = Heard::by(late.open(frozen_one.log.live_id).await);
        frozen_one.agree_with(&mut room).await;
    });
}

#[test]
fn a_master_that_lost_its_data_gets_its_tokens_back() {
    let Some(masters) = masters() else { return };
    block_on(async {
        let (one, two) = two_nodes(&masters.url(), PATIENCE).await;
        let logins = Logins::over(&one, &two).await;
        for user in &logins.users {
            logins.here.replace(*user, "mine", NOW).await.unwrap();
        }
        let user = logins.users[0];
        let (key, server) = (
            format!("user_{user}"),
            &masters.servers[masters.server_of(&format!("user_{user}"))],
        );
        server.command(&["FLUSHALL"]);
        for user in &logins.users {
            assert!(
                logins.there.is_current(*user, "mine").await.unwrap(),
                "user {user}"
            );
        }
        eventually("it is put back", async || {
            (server.get(&key).as_deref() == Some("\"mine\"")).then_some(())
        })
        .await;
        // What another program deletes is a logout all the same.
        let server_of = |user: &UserId| masters.server_of(&format!("user_{user}"));
        let other = *logins
            .users
            .iter()
            .find(|other| server_of(other) != server_of(&user))
            .unwrap();
        masters.servers[server_of(&other)].del(&format!("user_{other}"));
        for node in [&logins.here, &logins.there] {
            eventually("the user is logged out", async || {
                (!node.is_current(other, "mine").await.unwrap()).then_some(())
            })
            .await;
        }
    });
}

/// Users on all servers, whose tokens both nodes know.
struct Logins {
    users: Vec<UserId>,
    here: Arc<dyn TokenStore>,
    there: Arc<dyn TokenStore>,
    _dir: TempDir,
}

impl Logins {
    async fn over(one: &Node, two: &Node) -> Self {
        let dir = TempDir::new().unwrap();
        let url = format!("sqlite://{}/liveroom.db", dir.path().display());
        let options = StoreOptions {
            wait_ms: 30_000,
            ..StoreOptions::default()
        };
        let store = storage::open(&url, options).await.unwrap();
        let [here, there] = [one, two].map(|node| node.tokens(&store));
        let mut users = Vec::new();
        for number in 0..12 {
            let created = store
                .create_user(format!("user {number}"), None, "hash".into(), NOW)
                .await
                .unwrap();
            users.push(created.expect("a new username").id);
        }
        Self {
            users,
            here,
            there,
            _dir: dir,
        }
    }
}

fn masters() -> Option<Masters> {
    Masters::start(None)
        .map_err(|reason| println!("skipped: {reason}"))
        .ok()
}
