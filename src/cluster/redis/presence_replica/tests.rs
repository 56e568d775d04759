//! Presence messages between replicas, and what each replica holds afterwards.

mod convergence;
mod scripts;

use std::sync::Arc;

use super::remote::{CONFIRM_WAIT, REQUEST_RETRY};
use super::*;
use crate::domain::{Profile, Timestamp};

fn user(id: i64) -> PeerUser {
    let profile = Profile {
        id: UserId::new(id).unwrap(),
        name: format!("user {id}"),
        avatar: None,
    };
    PeerUser {
        profile: Arc::new(profile),
        sockets: vec![format!("s{id}").into()],
        arrived_at: Timestamp(id),
    }
}

fn online(id: i64) -> PresenceChange {
    PresenceChange::Online(user(id))
}

/// Two nodes, each with a replica of the other.
struct Pair {
    one: PresenceReplica,
    two: PresenceReplica,
    now: Instant,
}

impl Pair {
    fn new() -> Self {
        let replica = |node| PresenceReplica::new(LiveId::FIRST, NodeId(node), node * 100);
        Self {
            one: replica(1),
            two: replica(2),
            now: Instant::now(),
        }
    }

    fn announce_one(&mut self) -> Vec<PeerChange> {
        let announce = self.one.announce();
        self.deliver_to_two(announce)
    }

    /// Delivers a message to node two, and all messages that follow from it. Returns the changes of
    /// node one's users at node two.
    fn deliver_to_two(&mut self, message: PresenceMessage) -> Vec<PeerChange> {
        let mut todo = vec![(NodeId(2), message)];
        let mut changes = Vec::new();
        while let Some((to, message)) = todo.pop() {
            let replica = if to == NodeId(1) {
                &mut self.one
            } else {
                &mut self.two
            };
            for outcome in replica.receive(message, self.now).into_iter().rev() {
                match outcome {
                    PresenceOutcome::Send(node, message) => todo.push((node, message)),
                    PresenceOutcome::Peers(change) if to == NodeId(2) => changes.push(change),
                    PresenceOutcome::Peers(_) | PresenceOutcome::Announce => {}
                }
            }
        }
        changes
    }
}

#[test]
fn messages_keep_the_names_that_older_nodes_read() {
    let mut pair = Pair::new();
    let name = |message: PresenceMessage| serde_json::to_value(message).unwrap()["share"].clone();
    assert_eq!(
        [name(pair.one.announce()), name(pair.one.gone())],
        ["hello", "bye"]
    );
    assert_eq!(name(pair.one.snapshot().remove(0)), "all");
    assert_eq!(
        name(PresenceMessage::SnapshotRequest { live: 1, node: 1 }),
        "ask"
    );
}

#[test]
fn a_delta_is_applied_once_and_in_order() {
    let mut pair = Pair::new();
    pair.announce_one();
    pair.one.set_local(vec![online(7)]);
    let delta = pair.one.next_delta().unwrap();
    let again = serde_json::to_string(&delta).unwrap();
    assert_eq!(
        pair.deliver_to_two(delta),
        [PeerChange::Present {
            node: NodeId(1),
            user: user(7)
        }]
    );
    assert_eq!(
        pair.deliver_to_two(serde_json::from_str(&again).unwrap()),
        []
    );
    assert!(pair.one.next_delta().is_none());
}

#[test]
fn a_lost_delta_is_recovered_by_a_snapshot() {
    let mut pair = Pair::new();
    pair.announce_one();
    pair.one.set_local(vec![online(7)]);
    pair.one.next_delta().unwrap();
    pair.one.set_local(vec![online(8)]);
    let second = pair.one.next_delta().unwrap();
    let changes = pair.deliver_to_two(second);
    let [PeerChange::All { node, users }] = &changes[..] else {
        panic!("{changes:?}")
    };
    let mut ids: Vec<i64> = users.iter().map(|user| user.profile.id.get()).collect();
    ids.sort_unstable();
    assert_eq!((*node, ids), (NodeId(1), vec![7, 8]));
}

#[test]
fn an_announcement_brings_a_newcomer_a_snapshot_and_reveals_lost_deltas() {
    let mut pair = Pair::new();
    pair.one.set_local((1..=1_200).map(online).collect());
    while pair.one.next_delta().is_some() {}
    let changes = pair.announce_one();
    let [PeerChange::All { users, .. }] = &changes[..] else {
        panic!("{} changes", changes.len())
    };
    assert_eq!(users.len(), 1_200);
    assert!(pair.announce_one().is_empty(), "nothing is missing");
}

#[test]
fn a_reopened_room_keeps_no_users_of_its_earlier_opening() {
    let mut pair = Pair::new();
    pair.one.set_local(vec![online(7)]);
    pair.one.next_delta().unwrap();
    pair.announce_one();
    pair.one = PresenceReplica::new(LiveId::FIRST, NodeId(1), 555);
    assert_eq!(
        pair.announce_one()[0],
        PeerChange::All {
            node: NodeId(1),
            users: vec![]
        }
    );
    let late_gone = PresenceMessage::Gone {
        node: 1,
        origin: 100,
    };
    assert!(pair.deliver_to_two(late_gone).is_empty());
    assert_eq!(
        pair.deliver_to_two(pair.one.gone()),
        [PeerChange::All {
            node: NodeId(1),
            users: vec![]
        }]
    );
}

#[test]
fn a_user_that_left_is_absent_on_the_other_node() {
    let mut pair = Pair::new();
    pair.announce_one();
    pair.one.set_local(vec![online(7)]);
    let delta = pair.one.next_delta().unwrap();
    pair.deliver_to_two(delta);
    pair.one
        .set_local(vec![PresenceChange::Offline(UserId::new(7).unwrap())]);
    let delta = pair.one.next_delta().unwrap();
    assert_eq!(
        pair.deliver_to_two(delta),
        [PeerChange::Absent {
            node: NodeId(1),
            user: UserId::new(7).unwrap()
        }]
    );
}
fn requests(outcomes: &[PresenceOutcome]) -> usize {
    let is_request = |outcome: &&PresenceOutcome| {
        matches!(
            outcome,
            PresenceOutcome::Send(_, PresenceMessage::SnapshotRequest { .. })
        )
    };
    outcomes.iter().filter(is_request).count()
}

#[test]
fn a_node_that_missed_deltas_asks_and_has_the_users_without_a_snapshot_if_it_missed_none() {
    let mut pair = Pair::new();
    pair.announce_one();
    pair.two.doubt(pair.now);
    assert!(pair.two.is_waiting());
    let asking = pair.two.announce();
    let outcomes = pair.one.receive(asking, pair.now);
    assert!(
        outcomes
            .iter()
            .any(|outcome| matches!(outcome, PresenceOutcome::Announce)),
        "{outcomes:?}"
    );
    assert!(pair.announce_one().is_empty(), "it missed nothing");
    assert!(!pair.two.is_waiting());
    let PresenceMessage::Announce { asks, .. } = pair.two.announce() else {
        panic!("not an announcement")
    };
    assert!(!asks, "it asks once");

    pair.one.set_local(vec![online(7)]);
    pair.one.next_delta().unwrap();
    pair.two.doubt(pair.now);
    assert_eq!(
        pair.announce_one(),
        [PeerChange::All {
            node: NodeId(1),
            users: vec![user(7)]
        }]
    );
}

#[test]
fn a_doubted_replica_that_nobody_confirms_is_requested_and_ends_with_its_room() {
    let mut pair = Pair::new();
    pair.one.set_local(vec![online(7)]);
    pair.one.next_delta().unwrap();
    pair.announce_one();
    pair.two.doubt(pair.now);
    assert_eq!(
        requests(&pair.two.repeat_requests(pair.now)),
        0,
        "an announcement may come"
    );
    let later = pair.now + CONFIRM_WAIT;
    assert_eq!(requests(&pair.two.repeat_requests(later)), 1);
    let closed = pair
        .two
        .receive(PresenceMessage::no_room(LiveId::FIRST, NodeId(1)), later);
    assert!(
        matches!(&closed[..], [PresenceOutcome::Peers(PeerChange::All { users, .. })] if users.is_empty())
    );
    assert!(!pair.two.is_waiting());
}

#[test]
fn a_snapshot_that_got_lost_is_requested_again_until_it_arrives() {
    let mut pair = Pair::new();
    pair.announce_one();
    pair.one.set_local(vec![online(7)]);
    pair.one.next_delta().unwrap();
    let announce = pair.one.announce();
    assert_eq!(requests(&pair.two.receive(announce, pair.now)), 1);
    for n in 1..=3 {
        let at = pair.now + n * REQUEST_RETRY;
        assert_eq!(requests(&pair.two.repeat_requests(at)), 1);
        assert_eq!(requests(&pair.two.repeat_requests(at)), 0);
    }
    for part in pair.one.snapshot() {
        pair.two.receive(part, pair.now);
    }
    assert!(!pair.two.is_waiting());
}
