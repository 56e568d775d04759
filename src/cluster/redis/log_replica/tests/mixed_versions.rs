//! A rolling restart: nodes of the version before, with the script of their own, and nodes of this
//! one in one room. `append_before.lua` is the script as it was released, and stays as it is. It
//! knows neither actions nor controls nor gaps.

use super::*;
use crate::cluster::redis::entries::LogPosition;

const APPEND_BEFORE: &str = include_str!("append_before.lua");
/// What the version before kept of a log, in events and in milliseconds.
const KEPT: [&str; 2] = ["8704", "3600000"];

/// Puts a question to the log as the version before did.
pub async fn ask(link: &Link, live_id: LiveId, origin: u64, question: Question) -> Answer {
    let known = question.cursor.as_ref();
    let position = known.map_or(LogPosition::default(), |known| known.position);
    let id = known.and_then(|known| known.id);
    let mut cmd = redis::cmd("EVAL");
    cmd.arg(APPEND_BEFORE)
        .arg(4)
        .arg(keys::order(live_id))
        .arg(keys::events(live_id))
        .arg(format!("liveroom:{{{live_id}}}:from:{origin:016x}"))
        .arg(keys::gifts(live_id))
        .arg(crate::cluster::memory::new_epoch().as_ref())
        .arg(known.map_or("", |known| &known.epoch))
        .arg(position.generation)
        .arg(position.offset)
        .arg(id.map_or_else(String::new, |id| id.to_string()))
        .arg(if question.renew { "1" } else { "0" })
        .arg(question.fill)
        .arg(&KEPT)
        .arg(keys::publish_command(false))
        .arg(keys::room_channel(live_id))
        .arg(format!("{origin:016x}"));
    for entry in question.batch {
        assert_eq!(entry.key, "", "it is asked for comments only");
        cmd.arg(entry.sequence).arg("").arg(entry.line);
    }
    let (head, missed, _, same): (String, _, i64, i64) = link.command(&cmd).await.unwrap();
    Answer::parse(&head, missed, same == 1, Vec::new()).unwrap()
}

/// A step without actions.
async fn step(world: &mut World, loses_data: bool) {
    let index = world.rng.random_range(0..NODES);
    match world.rng.random_range(0..100) {
        0..35 => world.append(index),
        35..70 => {
            let fate = world.rng.random_range(0..10);
            world.ask(index, fate).await;
        }
        70..84 => world.push(index, false),
        84..88 => world.push(index, true),
        88..91 => {
            world.nodes[index].order.enter_partitioned();
            world.deliver(index);
        }
        91..94 => world.nodes[index].order.resync(),
        94..97 => {
            if let Some(stray) = world.nodes[index].stray.pop() {
                world.put(index, stray).await;
            }
        }
        97 => world.save().await,
        98 if loses_data => world.lose_data().await,
        99 if loses_data => world.fall_back().await,
        _ => {}
    }
}

#[tokio::test]
async fn nodes_of_two_versions_deliver_every_event_once_and_in_one_order() {
    let Some(redis) = redis() else { return };
    for run in 30_000..30_000 + RUNS {
        let before_count = usize::try_from(run).unwrap() % (NODES - 1) + 1;
        let mut world = World::of_versions(&redis.url(), run, before_count).await;
        for _ in 0..STEPS {
            step(&mut world, false).await;
        }
        world.calm_down().await;
        assert_complete(&world);
    }
}

#[tokio::test]
async fn nodes_of_two_versions_find_one_order_again_after_data_was_lost() {
    let Some(redis) = redis() else { return };
    for run in 31_000..31_000 + RUNS {
        let before_count = usize::try_from(run).unwrap() % (NODES - 1) + 1;
        let mut world = World::of_versions(&redis.url(), run, before_count).await;
        for _ in 0..STEPS {
            step(&mut world, true).await;
        }
        world.calm_down().await;
        assert_united(&mut world).await;
    }
}
