//! `auth.single_device`: of several `/ws` connections of a user exactly one stays.

use std::sync::Barrier;
use std::thread;

use serde_json::json;

use crate::support::cluster::{Cluster, Plan};
use crate::support::redis::Keeps;
use crate::support::ws::Next;
use crate::support::{User, Ws, eventually};

const SINGLE: (&str, &str) = ("LIVEROOM__AUTH__SINGLE_DEVICE", "true");
const REDIS_TIMEOUT: (&str, &str) = ("LIVEROOM__CLUSTER__REDIS_TIMEOUT_MS", "500");
const PAIRS: usize = 24;
const CUT_OFF: usize = 1;

/// Whether a connection still answers; how it ended is checked if not.
fn is_alive(ws: &mut Ws) -> bool {
    let alive = ws
        .try_send("leaveLive", &json!({"live_id": 404}))
        .is_some_and(|id| {
            loop {
                match ws.next_within(crate::support::PATIENCE) {
                    Next::Frame(frame) if frame["id"] == json!(id) => break true,
                    Next::Frame(_) => {}
                    Next::Closed => break false,
                    Next::Quiet => panic!("neither an answer nor an end"),
                }
            }
        });
    if !alive && let Some((code, _)) = ws.closed() {
        assert!([1006, 3010].contains(code), "closed with {code}");
    }
    alive
}

fn alive_count(pair: &mut [Ws; 2]) -> usize {
    pair.iter_mut().map(is_alive).filter(|alive| *alive).count()
}

/// A connection that is a device of its user by now.
fn connect(cluster: &Cluster, node: usize, user: &User) -> Ws {
    let mut ws = cluster.ws(node, user);
    assert!(is_alive(&mut ws));
    ws
}

/// Two connections of a user that begin at once, by way of these nodes.
fn connect_at_once(cluster: &Cluster, user: &User, nodes: [usize; 2]) -> [Ws; 2] {
    let start = Barrier::new(2);
    let connect = |node: usize| {
        start.wait();
        cluster.ws(node, user)
    };
    let connect = &connect;
    thread::scope(|scope| {
        nodes
            .map(|node| scope.spawn(move || connect(node)))
            .map(|ws| ws.join().expect("the handshake succeeds"))
    })
}

/// Opens pairs of connections at once, and checks that one of each stays.
fn assert_one_of_each_pair_stays(cluster: &Cluster, name: &str, nodes: [usize; 2]) {
    let users: Vec<User> = (0..PAIRS)
        .map(|n| cluster[0].user(&format!("{name}{n}")))
        .collect();
    let mut pairs: Vec<[Ws; 2]> = users
        .iter()
        .map(|user| connect_at_once(cluster, user, nodes))
        .collect();
    let count =
        |pairs: &mut Vec<[Ws; 2]>| pairs.iter_mut().map(alive_count).collect::<Vec<usize>>();
    eventually("no pair has two", || {
        (!count(&mut pairs).contains(&2)).then_some(())
    });
    // A later device of the first user, and its end: what nodes had to compare before is compared
    // by then.
    let [mut earlier, _later] = nodes.map(|node| connect(cluster, node, &users[0]));
    eventually("an earlier connection ends", || {
        (!is_alive(&mut earlier)).then_some(())
    });
    let counts = count(&mut pairs);
    assert_eq!(
        counts[1..],
        [1; PAIRS - 1],
        "one of each pair, at nodes {nodes:?}"
    );
}

#[test]
fn of_two_connections_in_the_same_moment_exactly_one_stays_on_one_node_and_over_two() {
    let Some(cluster) = Cluster::start(2, &[SINGLE]) else {
        return;
    };
    assert_one_of_each_pair_stays(&cluster, "same", [0, 0]);
    assert_one_of_each_pair_stays(&cluster, "other", [0, 1]);
}

#[test]
fn of_two_connections_on_both_sides_of_a_cut_the_later_one_stays_when_it_heals() {
    let plan = Plan {
        nodes: 2,
        env: &[SINGLE, REDIS_TIMEOUT],
        keeps: Keeps::Saved,
        can_be_cut: true,
    };
    let Some(cluster) = Cluster::plan(&plan) else {
        return;
    };
    let [alice, bob] = ["alice", "bobby"].map(|name| cluster[0].user(name));
    for is_way_lost in [true, false] {
        let way = &cluster.ways(CUT_OFF).redis;
        way.cut();
        cluster.wait_until_alone(CUT_OFF);
        // The later one is on the side that was cut off, and on the other.
        let mut of_alice = [0, CUT_OFF].map(|node| connect(&cluster, node, &alice));
        let mut of_bob = [CUT_OFF, 0].map(|node| connect(&cluster, node, &bob));
        for pair in [&mut of_alice, &mut of_bob] {
            assert_eq!(alive_count(pair), 2, "neither node knows of the other's");
        }
        if is_way_lost {
            way.heal_after_loss()
        } else {
            way.heal()
        }
        for pair in [&mut of_alice, &mut of_bob] {
            eventually("the earlier one ends", || {
                (!is_alive(&mut pair[0])).then_some(())
            });
        }
        cluster.wait_until_together();
        for pair in [&mut of_alice, &mut of_bob] {
            assert!(is_alive(&mut pair[1]), "the later one stays");
        }
    }
}
