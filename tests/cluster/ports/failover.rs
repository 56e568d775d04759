//! A master dies under two nodes, and the Sentinels make its replica the master.

use std::time::Duration;

use liveroom::cluster::Nodes;

use super::{Heard, Node, two_nodes};
use crate::support::redis_groups::Watched;
use crate::support::room_log::{block_on, eventually, new_live};

/// So that nobody goes on alone, however long the Sentinels take.
const PATIENT: Duration = Duration::from_secs(40);
/// So that both go on alone, however fast the Sentinels are.
const IMPATIENT: Duration = Duration::from_millis(400);

const EACH: usize = 20;

#[test]
fn rooms_that_wait_for_a_new_master_go_on_in_one_order() {
    let Some(mut watched) = watched() else { return };
    block_on(async {
        let (one, two) = two_nodes(&watched.url(), PATIENT).await;
        let (mut one_heard, mut two_heard) = talk_over_a_failover(&mut watched, &one, &two).await;
        assert_eq!(
            (one.cluster.alone_since(), two.cluster.alone_since()),
            (None, None)
        );
        assert_eq!(one_heard.take_all(), two_heard.take_all(), "one order");
    });
}

#[test]
fn nodes_that_go_on_alone_meanwhile_tell_each_other_afterwards() {
    let Some(mut watched) = watched() else { return };
    block_on(async {
        let (one, two) = two_nodes(&watched.url(), IMPATIENT).await;
        talk_over_a_failover(&mut watched, &one, &two).await;
        eventually("nobody is alone any more", async || {
            (one.cluster.alone_since().is_none() && two.cluster.alone_since().is_none())
                .then_some(())
        })
        .await;
    });
}

fn watched() -> Option<Watched> {
    Watched::start()
        .map_err(|reason| println!("skipped: {reason}"))
        .ok()
}

/// Both nodes talk before, while the master is dead, and after. Everything is heard once on each.
async fn talk_over_a_failover(watched: &mut Watched, one: &Node, two: &Node) -> (Heard, Heard) {
    let live_id = new_live();
    let (mut one, mut two) = (
        Heard::by(one.open(live_id).await),
        Heard::by(two.open(live_id).await),
    );
    for part in ["before", "during"] {
        if part == "during" {
            let killed = watched.servers[0].port();
            watched.servers[0].kill();
            assert_eq!(watched.master_port(), killed, "nobody has noticed yet");
        }
        for number in 0..EACH {
            one.log.say(&format!("one {part} {number}"));
            two.log.say(&format!("two {part} {number}"));
        }
        one.wait_for(2 * EACH).await;
        two.wait_for(2 * EACH).await;
    }
    one.agree_with(&mut two).await;
    assert_eq!(
        watched.master_port(),
        watched.servers[1].port(),
        "the replica is the master"
    );
    (one, two)
}
