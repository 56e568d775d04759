//! Who is online, over all nodes.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::cluster::Stage;
use crate::support::ws::Next;
use crate::support::{PATIENCE, User, Ws};

const GRACE_MS: u64 = 1_000;

fn ids(online: &Value) -> Vec<i64> {
    let users = online["data"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    users
        .iter()
        .filter_map(|user| user["id"].as_i64())
        .collect()
}

/// A member that shows who is online as clients do: a list replaces the one before, and a leave
/// without one removes its user.
struct Viewer {
    ws: Ws,
    /// Newest first.
    users: Vec<i64>,
    count: u64,
    clients: BTreeSet<String>,
    /// Everybody who was shown, and was not a moment later.
    gone: BTreeSet<i64>,
    /// Changes that were told together with others, after a wait.
    merged_count: usize,
}

impl Viewer {
    fn new(ws: Ws) -> Self {
        Self {
            ws,
            users: Vec::new(),
            count: 0,
            clients: BTreeSet::new(),
            gone: BTreeSet::new(),
            merged_count: 0,
        }
    }

    fn show(&mut self, online: &Value) {
        let is_merged = online.get("joined").is_some() || online.get("left").is_some();
        self.merged_count += usize::from(is_merged);
        let before = std::mem::take(&mut self.users);
        self.users = match online.get("data") {
            Some(_) => ids(online),
            None => before
                .iter()
                .copied()
                .filter(|id| online["user"]["id"] != json!(id))
                .collect(),
        };
        self.gone
            .extend(before.into_iter().filter(|id| !self.users.contains(id)));
        self.count = online["count"].as_u64().expect("a count");
        let clients = online["clients"].as_array().expect("a list of sockets");
        self.clients = clients
            .iter()
            .map(|client| client.as_str().expect("an id").to_owned())
            .collect();
    }

    /// Looks until it shows these users, newest first, and so many sockets.
    fn look_for(&mut self, users: &[&User], clients_count: usize) {
        let expected: Vec<i64> = users.iter().map(|user| user.id).collect();
        let deadline = Instant::now() + PATIENCE;
        while self.users != expected || self.clients.len() != clients_count {
            let shown = (&self.users, &self.clients, self.count);
            assert!(
                Instant::now() < deadline,
                "waited too long for {expected:?}, {clients_count}; shows {shown:?}"
            );
            self.look(Duration::from_millis(100));
        }
        assert_eq!(self.count, users.len() as u64, "the count says the same");
    }

    /// Looks for so long, or until it is shown something.
    fn look(&mut self, limit: Duration) {
        if let Next::Frame(frame) = self.ws.next_within(limit)
            && frame["event"] == json!("online")
        {
            self.show(&frame["data"]);
        }
    }

    /// Looks for so long.
    fn look_on(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.look(left);
        }
    }
}

fn viewer(stage: &Stage, node: usize, name: &str) -> (User, Viewer) {
    let (user, ws) = stage.joined(node, name);
    (user, Viewer::new(ws))
}

#[test]
fn joins_and_leaves_are_told_on_every_node_with_who_is_there_over_all() {
    let Some(stage) = Stage::set(3, &[]) else {
        return;
    };
    let (first, at_first) = viewer(&stage, 0, "viewer0");
    // The first on its node is told of the others, too.
    let second = stage.user("viewer1");
    let mut ws = stage.cluster.ws(1, &second);
    let joined = ws.join(stage.live);
    assert_eq!(joined["count"], json!(2), "{joined}");
    let mut viewers = vec![at_first, Viewer::new(ws)];
    viewers
        .iter_mut()
        .for_each(|it| it.look_for(&[&second, &first], 2));
    let (third, at_third) = viewer(&stage, 2, "viewer2");
    viewers.push(at_third);
    viewers
        .iter_mut()
        .for_each(|it| it.look_for(&[&third, &second, &first], 3));
    assert!(
        viewers.iter().all(|it| it.clients == viewers[0].clients),
        "the same sockets"
    );

    let late = stage.user("viewer3");
    let mut ws = stage.cluster.ws(1, &late);
    let joined = ws.join(stage.live);
    assert_eq!(joined["count"], json!(4), "{joined}");
    viewers
        .iter_mut()
        .for_each(|it| it.look_for(&[&late, &third, &second, &first], 4));
    ws.ask("leaveLive", json!({"live_id": stage.live}));
    viewers
        .iter_mut()
        .for_each(|it| it.look_for(&[&third, &second, &first], 3));

    // Who comes back is the newest.
    viewers[0]
        .ws
        .ask("leaveLive", json!({"live_id": stage.live}));
    viewers[1..]
        .iter_mut()
        .for_each(|it| it.look_for(&[&third, &second], 2));
    viewers[0].ws.join(stage.live);
    viewers
        .iter_mut()
        .for_each(|it| it.look_for(&[&first, &third, &second], 3));
}

#[test]
fn a_calm_room_tells_each_join_and_leave_of_other_nodes_by_itself() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (first, mut at_first) = viewer(&stage, 0, "viewer0");
    let (second, mut at_second) = viewer(&stage, 1, "viewer1");
    at_first.look_for(&[&second, &first], 2);
    at_second.look_for(&[&second, &first], 2);
    for n in 0..5 {
        let (user, mut ws) = stage.joined(1, &format!("comer{n}"));
        at_first.look_for(&[&user, &second, &first], 3);
        ws.ask("leaveLive", json!({"live_id": stage.live}));
        at_first.look_for(&[&second, &first], 2);
    }
    assert_eq!(at_first.merged_count, 0, "none waited for others");
}

#[test]
fn one_user_on_two_nodes_is_one_presence() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (watcher, mut viewer) = viewer(&stage, 0, "watcher");
    let alice = stage.user("alice");
    let mut first = stage.cluster.joined(0, &alice, stage.live);
    viewer.look_for(&[&alice, &watcher], 2);
    let mut second = stage.cluster.joined(1, &alice, stage.live);
    viewer.look_for(&[&alice, &watcher], 3);
    first.ask("leaveLive", json!({"live_id": stage.live}));
    // Nobody left, so nothing is told; the next that comes shows one socket less.
    let (bob, _bob) = stage.joined(1, "bobby");
    viewer.look_for(&[&bob, &alice, &watcher], 3);
    assert_eq!(viewer.gone, BTreeSet::new(), "she is there by her second");
    second.ask("leaveLive", json!({"live_id": stage.live}));
    viewer.look_for(&[&bob, &watcher], 2);
}

#[test]
fn a_lost_connection_is_told_on_other_nodes_when_its_grace_has_passed() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (watcher, mut viewer) = viewer(&stage, 0, "watcher");
    let (alice, ws) = stage.joined(1, "alice");
    viewer.look_for(&[&alice, &watcher], 2);
    let lost = Instant::now();
    drop(ws);
    viewer.look_for(&[&watcher], 1);
    // That it is told at all is the other half: the node itself would be dead much later.
    let took = lost.elapsed();
    assert!(took >= Duration::from_millis(GRACE_MS), "{took:?}");
}

#[test]
fn who_comes_back_on_another_node_within_the_grace_never_left() {
    let Some(stage) = Stage::set(2, &[("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", "4000")]) else {
        return;
    };
    let (watcher, mut viewer) = viewer(&stage, 0, "watcher");
    let (alice, ws) = stage.joined(1, "alice");
    viewer.look_for(&[&alice, &watcher], 2);
    drop(ws);
    let mut back = stage.cluster.joined(0, &alice, stage.live);
    // A grace later there would be a leave, if there was to be one.
    viewer.look_on(Duration::from_millis(5_000));
    assert_eq!(viewer.gone, BTreeSet::new());
    // Nobody left with the socket that was lost, so nothing is told of it; the next that comes shows
    // who is there without it.
    let (bob, _bob) = stage.joined(0, "bobby");
    viewer.look_for(&[&bob, &alice, &watcher], 3);
    back.ask("leaveLive", json!({"live_id": stage.live}));
    viewer.look_for(&[&bob, &watcher], 2);
}

#[test]
fn members_of_a_node_that_was_killed_leave_when_it_was_not_heard_of_for_its_timeout() {
    const NODE_TIMEOUT_MS: u64 = 2_000;
    let Some(mut stage) = Stage::set(2, &[("LIVEROOM__CLUSTER__NODE_TIMEOUT_MS", "2000")]) else {
        return;
    };
    let (watcher, mut viewer) = viewer(&stage, 0, "watcher");
    let (alice, _alice) = stage.joined(1, "alice");
    viewer.look_for(&[&alice, &watcher], 2);
    // The watcher is at both, so it stays. It joined again there, so it is the newest here too.
    let _second = stage.cluster.joined(1, &watcher, stage.live);
    viewer.look_for(&[&watcher, &alice], 3);

    let killed = Instant::now();
    stage.cluster.kill(1);
    viewer.look_for(&[&watcher], 1);
    // A beat was up to one interval old when the node died, so it may be missed a little earlier.
    let took = killed.elapsed();
    assert!(
        took >= Duration::from_millis(NODE_TIMEOUT_MS / 2),
        "too early: {took:?}"
    );
    assert_eq!(viewer.gone, BTreeSet::from([alice.id]));

    // It comes back as another node, and its members with it.
    stage.cluster.restart(1);
    let _alice = stage.cluster.joined(1, &alice, stage.live);
    viewer.look_for(&[&alice, &watcher], 2);
}

#[test]
fn members_of_a_node_that_drains_leave_after_the_grace_unless_they_are_back_on_another() {
    let Some(mut stage) = Stage::set(2, &[("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", "6000")]) else {
        return;
    };
    let (watcher, mut viewer) = viewer(&stage, 0, "watcher");
    let (alice, mut alice_ws) = stage.joined(1, "alice");
    let (bob, mut bob_ws) = stage.joined(1, "bobby");
    viewer.look_for(&[&bob, &alice, &watcher], 3);

    let told_to_go = Instant::now();
    stage.cluster.stop(1);
    assert_eq!(
        (alice_ws.wait_for_close().0, bob_ws.wait_for_close().0),
        (1001, 1001)
    );
    let _back = stage.cluster.joined(0, &alice, stage.live);
    while !viewer.gone.contains(&bob.id) {
        assert!(told_to_go.elapsed() < PATIENCE, "bob is shown for ever");
        viewer.look(Duration::from_millis(100));
    }
    let took = told_to_go.elapsed();
    assert!(
        took >= Duration::from_millis(5_500),
        "not before the grace: {took:?}"
    );
    viewer.look_on(Duration::from_millis(1_000));
    assert_eq!(
        viewer.gone,
        BTreeSet::from([bob.id]),
        "alice was always there"
    );
    viewer.look_for(&[&alice, &watcher], 2);
}

#[test]
fn a_full_room_of_two_nodes_counts_them_all() {
    let thresholds = [
        ("LIVEROOM__PRESENCE__FULL_USERS_MAX", "2"),
        ("LIVEROOM__PRESENCE__MERGED_USERS_MAX", "4"),
        ("LIVEROOM__PRESENCE__NOTABLE_USERS_MAX", "2"),
        ("LIVEROOM__PRESENCE__MERGE_MS", "200"),
    ];
    let Some(stage) = Stage::set(2, &thresholds) else {
        return;
    };
    let mut members = vec![stage.cluster.joined(0, &stage.streamer, stage.live)];
    let mut users = Vec::new();
    for n in 0..5 {
        let (user, ws) = stage.joined(n % 2, &format!("viewer{n}"));
        users.push(user.id);
        members.push(ws);
    }
    for ws in &mut members {
        let online = ws.event_where("online", |online| online["count"] == json!(6));
        assert_eq!(online["clients"], json!([]), "{online}");
        let expected = vec![stage.streamer.id, users[4], users[3]];
        assert_eq!(
            ids(&online),
            expected,
            "the streamer and the newest, on both nodes: {online}"
        );
    }
}
