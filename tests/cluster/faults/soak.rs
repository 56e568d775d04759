//! One fault after another, drawn by lot, for as long as one likes: not part of an ordinary run.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use super::evening::{REDIS_TIMEOUT, talk_until};
use crate::support::cluster::{Cluster, Plan, Stage};
use crate::support::ledger::{Heard, assert_all_heard_once, assert_one_order};
use crate::support::member::Member;
use crate::support::redis::Keeps;

const NODES: usize = 3;

/// Draws lots; the same seed draws the same.
struct Lots(u64);

impl Lots {
    fn draw(&mut self, below: u64) -> u64 {
        // Knuth's constants; the upper half is random enough for this.
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn pause(&mut self, up_to_ms: u64) {
        thread::sleep(Duration::from_millis(self.draw(up_to_ms)));
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// Something happens, and is over when this returns.
fn fault(cluster: &mut Cluster, lots: &mut Lots) -> String {
    let node = usize::try_from(lots.draw(NODES as u64)).expect("a few");
    match lots.draw(8) {
        0 | 1 => {
            let kind = lots.draw(4);
            let way = &cluster.ways(node).redis;
            if kind.is_multiple_of(2) {
                way.cut()
            } else {
                way.cut_answers()
            }
            lots.pause(2_000);
            if kind < 2 {
                way.heal()
            } else {
                way.heal_after_loss()
            }
            format!("node {node} was cut off ({kind})")
        }
        2 => {
            cluster.kill(node);
            lots.pause(1_000);
            cluster.restart(node);
            format!("node {node} was killed")
        }
        3 => {
            cluster.stop(node);
            lots.pause(1_000);
            cluster.restart(node);
            format!("node {node} was replaced")
        }
        4 => {
            cluster[node].signal("STOP");
            lots.pause(2_500);
            cluster[node].signal("CONT");
            format!("node {node} hung")
        }
        5 => {
            cluster.redis.freeze();
            lots.pause(2_000);
            cluster.redis.thaw();
            "redis hung".to_owned()
        }
        6 => {
            cluster.redis.kill();
            lots.pause(2_000);
            cluster.redis.restart();
            "redis was killed".to_owned()
        }
        _ => {
            cluster.redis.kill();
            lots.pause(2_000);
            cluster.redis.restart_empty();
            "redis lost its data".to_owned()
        }
    }
}

#[test]
fn whatever_happens_members_hear_all_that_was_acked_once_or_are_told_that_they_do_not() {
    let Some(seconds) = number("LIVEROOM_TEST_SOAK_S") else {
        println!("skipped: set LIVEROOM_TEST_SOAK_S to the seconds it may take");
        return;
    };
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .expect("after 1970");
    let seed = number("LIVEROOM_TEST_SEED").unwrap_or(u64::from(now.subsec_nanos()));
    println!("LIVEROOM_TEST_SEED={seed}");
    let env = [
        REDIS_TIMEOUT,
        ("LIVEROOM__CLUSTER__NODE_TIMEOUT_MS", "2000"),
    ];
    let Some(cluster) = Cluster::plan(&Plan {
        nodes: NODES,
        env: &env,
        keeps: Keeps::Everything,
        can_be_cut: true,
    }) else {
        return;
    };
    let mut stage = Stage::over(cluster);
    let coins_at_first = 2 * NODES as i64 * 100_000;
    let members: Vec<Member> = (0..2 * NODES)
        .map(|n| stage.member(n % NODES, &format!("member{n}")))
        .collect();
    let (done, gift, mut lots) = (AtomicBool::new(false), stage.gift, Lots(seed));
    let cluster = &mut stage.cluster;
    let talked: Vec<(Member, BTreeSet<String>)> = thread::scope(|scope| {
        let done = &done;
        let talks: Vec<_> = members
            .into_iter()
            .map(|it| scope.spawn(move || talk_until(it, gift, done)))
            .collect();
        let until = Instant::now() + Duration::from_secs(seconds);
        // A member that gives up ends the evening.
        while Instant::now() < until && !talks.iter().any(thread::ScopedJoinHandle::is_finished) {
            println!("{}", fault(cluster, &mut lots));
            // What a node told alone is lost to others if it dies before it has brought it. That
            // two faults meet is not promised to be harmless, so each has its end first: nodes find
            // out within their patience, and are together again soon after.
            thread::sleep(Duration::from_millis(800));
            cluster.wait_until_together();
            thread::sleep(Duration::from_millis(200));
            lots.pause(1_000);
        }
        done.store(true, Ordering::SeqCst);
        talks
            .into_iter()
            .map(|talk| talk.join().expect("a member gets along"))
            .collect()
    });
    let (mut members, acked): (Vec<Member>, Vec<BTreeSet<String>>) = talked.into_iter().unzip();
    let mut acked: BTreeSet<String> = acked.into_iter().flatten().collect();
    let gifts =
        i64::try_from(acked.iter().filter(|id| id.starts_with("gift")).count()).expect("a few");
    acked.insert(members[0].comment("the end", "end"));
    let end = BTreeSet::from([members[0].comment("the very end", "very-end")]);
    acked.extend(end.iter().cloned());
    for member in &mut members {
        member.listen_for(&end);
        member.listen(Duration::from_millis(500));
        println!(
            "{}: {} events, {} joins",
            member.user().name,
            member.heard.events().len(),
            member.joins.len()
        );
    }
    let heard: Vec<&Heard> = members.iter().map(|member| &member.heard).collect();
    assert_one_order(&heard);
    let (whole, broken): (Vec<&Heard>, Vec<&Heard>) =
        heard.into_iter().partition(|heard| heard.is_whole());
    println!(
        "{} acked; {} members missed nothing",
        acked.len(),
        whole.len()
    );
    assert_all_heard_once(&whole, &acked);
    broken
        .iter()
        .for_each(|heard| heard.assert_once_each(&acked));
    let coins: i64 = members
        .iter()
        .map(|member| stage.cluster[0].balance(member.user()))
        .sum();
    assert_eq!(
        coins_at_first - coins,
        gifts * crate::support::cluster::PRICE
    );
    stage.cluster[0].assert_books_balance();
}
