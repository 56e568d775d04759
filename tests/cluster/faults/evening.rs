//! A room over two nodes, with one who speaks and one who listens at each, and the ledger of it.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::User;
use crate::support::cluster::{Cluster, PRICE, Plan, Stage};
use crate::support::ledger::{Heard, assert_all_heard_once, assert_one_order};
use crate::support::member::Member;
use crate::support::redis::Keeps;

/// How long Redis may be silent before a node goes on alone.
pub const REDIS_TIMEOUT: (&str, &str) = ("LIVEROOM__CLUSTER__REDIS_TIMEOUT_MS", "500");

const ROUNDS_A_TALK: usize = 4;

pub struct Evening {
    pub stage: Stage,
    /// By node.
    pub speakers: Vec<Member>,
    pub listeners: Vec<Member>,
    /// Events that were acknowledged.
    pub acked: BTreeSet<String>,
    /// Of these, gifts.
    gifts: i64,
    talks: usize,
    coins_at_first: i64,
}

impl Evening {
    pub fn begin(keeps: Keeps, can_be_cut: bool) -> Option<Self> {
        Self::begin_with(keeps, can_be_cut, &[])
    }

    pub fn begin_with(keeps: Keeps, can_be_cut: bool, env: &[(&str, &str)]) -> Option<Self> {
        let env: Vec<_> = [REDIS_TIMEOUT].iter().chain(env).copied().collect();
        let stage = Stage::over(Cluster::plan(&Plan {
            nodes: 2,
            env: &env,
            keeps,
            can_be_cut,
        })?);
        let members = |name: &str| {
            (0..2)
                .map(|node| stage.member(node, &format!("{name}{node}")))
                .collect()
        };
        let (speakers, listeners): (Vec<Member>, Vec<Member>) =
            (members("speaker"), members("listener"));
        let coins_at_first = speakers
            .iter()
            .map(|member| stage.cluster[0].balance(member.user()))
            .sum();
        Some(Self {
            stage,
            speakers,
            listeners,
            acked: BTreeSet::new(),
            gifts: 0,
            talks: 0,
            coins_at_first,
        })
    }

    /// At each node somebody comments and gives; who is at the same node hears it at once, whatever
    /// the others hear.
    pub fn talk(&mut self) {
        self.talk_at(&[0, 1]);
    }

    pub fn talk_at(&mut self, nodes: &[usize]) {
        let talk = self.talks;
        self.talks += 1;
        let mut said: Vec<BTreeSet<String>> = vec![BTreeSet::new(); self.speakers.len()];
        for round in 0..ROUNDS_A_TALK {
            for &node in nodes {
                let speaker = &mut self.speakers[node];
                said[node].insert(speaker.comment(
                    &format!("talk {talk} of {node}"),
                    &format!("c-{talk}-{round}"),
                ));
                said[node].insert(speaker.give(self.stage.gift, &format!("g-{talk}-{round}")));
                self.gifts += 1;
            }
        }
        for &node in nodes {
            self.speakers[node].listen_for(&said[node]);
            self.listeners[node].listen_for(&said[node]);
        }
        self.acked.extend(said.into_iter().flatten());
    }

    /// Everybody hears what it has not heard yet.
    pub fn catch_up(&mut self) {
        for member in self.speakers.iter_mut().chain(&mut self.listeners) {
            member.listen_for(&self.acked);
        }
    }

    /// What they talk now is heard by all at the same places of one epoch, which is returned.
    pub fn assert_together(&mut self) -> String {
        let before: BTreeSet<String> = self.acked.clone();
        self.talk();
        self.catch_up();
        let members = self.speakers.iter().chain(&self.listeners);
        let places: Vec<Vec<_>> = members
            .map(|member| {
                member
                    .heard
                    .events()
                    .iter()
                    .filter(|event| !before.contains(&event.id))
                    .cloned()
                    .collect()
            })
            .collect();
        for heard in &places {
            assert_eq!(heard, &places[0], "one order again");
        }
        let epochs: BTreeSet<&str> = places[0].iter().map(|event| event.epoch.as_str()).collect();
        assert_eq!(epochs.len(), 1, "{:?}", places[0]);
        places[0][0].epoch.clone()
    }

    pub fn tokens_of(&self) -> Vec<User> {
        self.speakers
            .iter()
            .chain(&self.listeners)
            .map(|member| member.user().clone())
            .collect()
    }

    /// Whether the room recovers from `since` on this node.
    pub fn recovers(&self, node: usize, since: &Value) -> bool {
        let mut ws = self.stage.cluster.ws(node, self.listeners[node].user());
        let joined = ws.ask(
            "joinLive",
            json!({"live_id": self.stage.live, "since": since}),
        );
        assert_eq!(joined["ok"], json!(true), "{joined}");
        joined["recovered"] == json!(true)
    }

    /// Everything that was acknowledged was heard by all, once, in one order; nobody was cut off;
    /// and the coins are exact.
    pub fn end(mut self) {
        self.catch_up();
        // What might be told a second time would have come by the time this is heard.
        self.assert_together();
        let members: Vec<&Member> = self.speakers.iter().chain(&self.listeners).collect();
        for member in &members {
            assert_eq!(
                (member.closes.len(), member.joins.len()),
                (0, 1),
                "{} stayed",
                member.user().name
            );
        }
        let heard: Vec<&Heard> = members.iter().map(|member| &member.heard).collect();
        assert_all_heard_once(&heard, &self.acked);
        assert_one_order(&heard);
        let cluster = &self.stage.cluster;
        let coins: i64 = self
            .speakers
            .iter()
            .map(|member| cluster[0].balance(member.user()))
            .sum();
        assert_eq!(
            self.coins_at_first - coins,
            self.gifts * PRICE,
            "each gift was paid once"
        );
        cluster[0].assert_books_balance();
    }
}

/// A member that comments and gives until it is told to stop, and the events that were
/// acknowledged.
pub fn talk_until(mut member: Member, gift: i64, done: &AtomicBool) -> (Member, BTreeSet<String>) {
    let mut acked = BTreeSet::new();
    let mut n = 0;
    while !done.load(Ordering::SeqCst) {
        acked.insert(member.comment(&format!("number {n}"), &format!("c-{n}")));
        acked.insert(member.give(gift, &format!("g-{n}")));
        // A lively room, and not a measurement: what nodes tell alone is to fit what they note.
        member.listen(Duration::from_millis(100));
        n += 1;
    }
    (member, acked)
}

/// Members of both nodes talk without a pause while something happens to the cluster. In the end
/// all have heard everything once, in one order, and nobody was cut off.
pub fn talk_through(stage: &mut Stage, happens: impl FnOnce(&mut Cluster)) {
    let listeners = [0, 1].map(|node| stage.member(node, &format!("listener{node}")));
    let speakers: Vec<Member> = (0..4)
        .map(|n| stage.member(n % 2, &format!("speaker{n}")))
        .collect();
    let (done, gift, cluster) = (AtomicBool::new(false), stage.gift, &mut stage.cluster);
    let talked: Vec<(Member, BTreeSet<String>)> = thread::scope(|scope| {
        let done = &done;
        let talks: Vec<_> = speakers
            .into_iter()
            .map(|it| scope.spawn(move || talk_until(it, gift, done)))
            .collect();
        happens(cluster);
        cluster.wait_until_together();
        thread::sleep(Duration::from_millis(500));
        done.store(true, Ordering::SeqCst);
        talks
            .into_iter()
            .map(|talk| talk.join().expect("a speaker is answered"))
            .collect()
    });
    let (members, acked): (Vec<Member>, Vec<BTreeSet<String>>) = talked.into_iter().unzip();
    let mut members: Vec<Member> = members.into_iter().chain(listeners).collect();
    let mut acked: BTreeSet<String> = acked.into_iter().flatten().collect();
    acked.insert(members[0].comment("the end", "end"));
    for member in &mut members {
        member.listen_for(&acked);
        assert_eq!(
            (member.closes.len(), member.joins.len()),
            (0, 1),
            "{} stayed",
            member.user().name
        );
    }
    let heard: Vec<&Heard> = members.iter().map(|member| &member.heard).collect();
    assert_all_heard_once(&heard, &acked);
    assert_one_order(&heard);
    stage.cluster[0].assert_books_balance();
}
