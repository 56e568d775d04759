//! Nodes whose users come and go, over a network that loses, delays and repeats at random.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::super::remote::RemoteState;
use super::scripts::{LossyNetwork, PresenceNode};
use super::*;
use crate::cluster::redis::scripts::{Scripted, Words};

const NODES: u64 = 3;
const STEPS: usize = 80;
const RUNS: u64 = 150;
/// More than one message of a snapshot has.
const CROWD: &str = "u1..600";

fn command(network: &mut LossyNetwork, line: &str) {
    // What is not possible now, such as closing a room that is closed, is not done.
    let _ = network.run(Words::split(line));
}

/// One thing that happens to a node or to a message.
fn step(network: &mut LossyNetwork, rng: &mut StdRng) {
    let node = rng.random_range(1..=NODES);
    let user = ["alice", "bob", "carol", "dave", "erin"][rng.random_range(0..5)];
    let message = match network.underway.len() {
        0 => String::new(),
        count => {
            let message = &network.underway[rng.random_range(0..count)];
            format!("m{}>n{}", message.number, message.to.0)
        }
    };
    let line = match rng.random_range(0..100) {
        0..14 => format!("n{node} online {user}"),
        14..22 => format!("n{node} offline {user}"),
        22..24 => format!("n{node} online {CROWD}"),
        24..25 => format!("n{node} offline {CROWD}"),
        25..45 => format!("n{node} publishes"),
        45..48 => format!("n{node} announces"),
        48..50 => format!("n{node} closes"),
        50..53 => format!("n{node} opens"),
        53..56 => format!("n{node} doubts"),
        56..60 => format!("n{node} retries"),
        60..64 => "wait 500ms".into(),
        64..68 => format!("repeat {message}"),
        68..76 => format!("lose {message}"),
        _ => format!("deliver {message}"),
    };
    command(network, &line);
}

/// The number of deltas of each replica in sync, by its opening.
fn counts(node: &PresenceNode) -> BTreeMap<(NodeId, u64), u64> {
    let remotes = node.replica.iter().flat_map(|replica| &replica.remotes);
    let counts = remotes.filter_map(|(of, remote)| match &remote.state {
        RemoteState::InSync { count, .. } => Some(((*of, remote.origin()), *count)),
        RemoteState::Requested { deferred, .. } => {
            assert!(deferred.len() <= 64, "5: {} are deferred", deferred.len());
            None
        }
    });
    counts.collect()
}

/// The network is whole again, and each node looks again as it does after a cut. It takes two
/// retries at most.
fn heal(network: &mut LossyNetwork) {
    for node in 1..=NODES {
        command(network, &format!("n{node} opens"));
    }
    command(network, "deliver");
    for node in 1..=NODES {
        command(network, &format!("n{node} doubts"));
        command(network, &format!("n{node} publishes"));
        command(network, &format!("n{node} publishes"));
        command(network, &format!("n{node} announces"));
    }
    for pause in ["500ms", "1s"] {
        command(network, "deliver");
        command(network, &format!("wait {pause}"));
        for node in 1..=NODES {
            command(network, &format!("n{node} retries"));
        }
    }
    command(network, "deliver");
}

#[test]
fn after_a_cut_all_nodes_know_the_users_of_all_others_within_two_seconds() {
    let mut known_count = 0;
    for run in 0..RUNS {
        let mut rng = StdRng::seed_from_u64(run);
        let mut network = LossyNetwork::default();
        command(&mut network, &format!("nodes {NODES}"));
        for _ in 0..STEPS {
            let before: Vec<_> = network.nodes.values().map(counts).collect();
            step(&mut network, &mut rng);
            for (node, before) in network.nodes.values().zip(before) {
                for (opening, count) in counts(node) {
                    let known = before.get(&opening);
                    assert!(
                        known.is_none_or(|known| *known <= count),
                        "run {run}: 1: {opening:?} fell from {known:?} to {count}"
                    );
                }
            }
        }
        heal(&mut network);
        for (at, node) in &network.nodes {
            for (of, other) in network.nodes.iter().filter(|(of, _)| *of != at) {
                let local = other
                    .replica
                    .iter()
                    .flat_map(|replica| replica.local.keys());
                let expected: BTreeSet<UserId> = local.copied().collect();
                let known = node.users.get(of).cloned().unwrap_or_default();
                assert_eq!(known, expected, "run {run}: {at:?} of {of:?}");
                known_count += known.len();
            }
        }
    }
    assert!(known_count > 0, "there were users");
}
