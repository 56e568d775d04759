//! Who is online, when a cut between a node and Redis has healed: cuts shorter than, about and
//! longer than the time after which nodes count each other as dead.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::evening::REDIS_TIMEOUT;
use crate::support::cluster::{Cluster, Plan, Stage};
use crate::support::member::Member;
use crate::support::proxy::Proxy;
use crate::support::redis::Keeps;
use crate::support::{User, Ws};

const CUT_OFF: usize = 1;
const NODE_TIMEOUT: (&str, &str) = ("LIVEROOM__CLUSTER__NODE_TIMEOUT_MS", "1000");
/// Around the timeouts of Redis and of nodes.
const CUTS_MS: [u64; 5] = [200, 700, 1_000, 1_300, 2_500];
/// Two seconds are promised, the rest is for busy machines. Periodic announcements come each 30 s.
const CONVERGED_MAX: Duration = Duration::from_secs(5);

/// Cuts a way, or heals it.
type Act = fn(&Proxy);

struct Scene {
    stage: Stage,
    /// By node.
    watchers: Vec<Member>,
    comers: Vec<Ws>,
}

impl Scene {
    fn set() -> Option<Self> {
        let plan = Plan {
            nodes: 2,
            env: &[REDIS_TIMEOUT, NODE_TIMEOUT],
            keeps: Keeps::Saved,
            can_be_cut: true,
        };
        let stage = Stage::over(Cluster::plan(&plan)?);
        let watchers = (0..2)
            .map(|node| stage.member(node, &format!("watcher{node}")))
            .collect();
        let users: Vec<User> = (0..2)
            .map(|node| stage.user(&format!("comer{node}")))
            .collect();
        let comers = users
            .iter()
            .enumerate()
            .map(|(node, user)| stage.cluster.ws(node, user))
            .collect();
        Some(Self {
            stage,
            watchers,
            comers,
        })
    }

    /// Cuts the way for so long; during the cut one user of each node does this. When it has
    /// healed, both nodes show so many users.
    fn through_cut(&mut self, event: &str, (cut, heal): (Act, Act), cut_ms: u64, expected: usize) {
        let way = &self.stage.cluster.ways(CUT_OFF).redis;
        cut(way);
        let live_id = self.stage.live;
        let ids: Vec<i64> = self
            .comers
            .iter_mut()
            .map(|ws| ws.send(event, json!({"live_id": live_id})))
            .collect();
        thread::sleep(Duration::from_millis(cut_ms));
        heal(way);
        let healed = Instant::now();
        for (ws, id) in self.comers.iter_mut().zip(ids) {
            let answer = ws.answer(id);
            assert_eq!(answer["ok"], json!(true), "{answer}");
        }
        for watcher in &mut self.watchers {
            let what = format!("{expected} users after {event} in a cut of {cut_ms} ms");
            watcher.listen_until(&what, |watcher| watcher.online["count"] == json!(expected));
        }
        assert!(
            healed.elapsed() < CONVERGED_MAX,
            "{event}, {cut_ms} ms: took {:?}",
            healed.elapsed()
        );
    }
}

fn cuts_of_every_length(cut: Act, heal: Act) {
    let Some(mut scene) = Scene::set() else {
        return;
    };
    for watcher in &mut scene.watchers {
        watcher.listen_until("both are there", |watcher| {
            watcher.online["count"] == json!(2)
        });
    }
    for cut_ms in CUTS_MS {
        scene.through_cut("joinLive", (cut, heal), cut_ms, 4);
        scene.through_cut("leaveLive", (cut, heal), cut_ms, 2);
    }
}

#[test]
fn presence_agrees_when_a_cut_has_healed_however_long_it_was() {
    cuts_of_every_length(Proxy::cut, Proxy::heal_after_loss);
}

#[test]
fn presence_agrees_when_what_was_sent_during_a_cut_arrives_late() {
    cuts_of_every_length(Proxy::cut, Proxy::heal);
}

#[test]
fn presence_agrees_when_only_answers_were_cut() {
    cuts_of_every_length(Proxy::cut_answers, Proxy::heal_after_loss);
}
