//! Partitions in which a room says as much as it may keep, and more.

use super::*;

#[tokio::test]
async fn a_full_heal_whose_answer_was_lost_delivers_nothing_twice() {
    let Some(redis) = redis() else { return };
    let mut world = World::new(&redis.url(), 6_000).await;
    world.nodes[0].order.enter_partitioned();
    for _ in 0..UNREPLICATED_MAX {
        world.append(0);
    }
    // It is carried out; the next one returns all of it.
    world.ask(0, 2).await;
    world.calm_down().await;
    assert_one_order(&world);
    for node in &world.nodes {
        assert_eq!(node.member.delivered.len(), UNREPLICATED_MAX);
    }
}

#[tokio::test]
async fn members_of_other_nodes_learn_once_that_a_partitioned_room_dropped_events() {
    let Some(redis) = redis() else { return };
    let mut world = World::new(&redis.url(), 5_000).await;
    world.nodes[0].order.enter_partitioned();
    for _ in 0..=UNREPLICATED_MAX {
        world.append(0);
    }
    let question = world.nodes[0].order.ask().expect("a heal");
    assert_eq!(
        (question.batch.len(), question.is_incomplete),
        (UNREPLICATED_MAX, true)
    );
    let answer = ask(world.link.clone(), false, world.live_id, 1, question)
        .await
        .unwrap();
    let number = world.nodes[0].order.questions_count;
    world.nodes[0].order.answered(number, answer);
    world.deliver(0);

    // One receives it with what is published, the other by a resync.
    let is_missed = |delivered: &FromLog| matches!(delivered, FromLog::EventsMissed);
    let events = |delivered: &FromLog| {
        if let FromLog::Ordered(events) = delivered {
            events.len()
        } else {
            0
        }
    };
    loop {
        let payload = world.nodes[1]
            .pushed
            .recv()
            .await
            .expect("the subscription lasts");
        let batch = Batch::parse(payload.strip_prefix('E').unwrap()).unwrap();
        let is_heal = !batch.entries.is_empty();
        world.nodes[1].order.published(batch);
        if is_heal {
            break;
        }
    }
    world.nodes[2].order.resync();
    let question = world.nodes[2].order.ask().expect("a resync");
    let (number, origin) = (question.number, world.nodes[2].origin);
    let answer = ask(world.link.clone(), false, world.live_id, origin, question)
        .await
        .unwrap();
    world.nodes[2].order.answered(number, answer);
    for node in &mut world.nodes[1..] {
        let delivered = node.order.take_out();
        node.checks.receive(&node.order, &delivered);
        assert_eq!(
            delivered.iter().map(events).sum::<usize>(),
            UNREPLICATED_MAX,
            "late, and all that is left"
        );
        assert!(delivered.iter().any(is_missed));
    }
    world.append(1);
    world.ask(1, u32::MAX).await;
    world.calm_down().await;
    assert_one_order(&world);
}
