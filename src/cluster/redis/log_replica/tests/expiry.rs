//! How long Redis keeps the log of a room.

use super::*;

const HOUR_MS: i64 = 3_600_000;

/// How long a key lives; negative if it does not expire or is not there.
async fn lives_ms(world: &World, key: &str) -> i64 {
    let mut cmd = redis::cmd("PTTL");
    cmd.arg(key);
    world.link.command(&cmd).await.unwrap()
}

async fn append_and_ask(world: &mut World) {
    world.append(0);
    world.ask(0, u32::MAX).await;
}

#[tokio::test]
async fn a_log_outlives_its_last_event_by_an_hour_whatever_key_of_it_was_lost() {
    let Some(redis) = redis() else { return };
    let mut world = World::new(&redis.url(), 40_000).await;
    let (order, events) = (keys::order(world.live_id), keys::events(world.live_id));
    append_and_ask(&mut world).await;
    for key in [&order, &events] {
        // A second less, in case the machine stands still meanwhile.
        assert!(lives_ms(&world, key).await > HOUR_MS - 1_000, "{key}");
    }

    // An event moves the expiry if less than an hour is left.
    for key in [&order, &events] {
        let mut cmd = redis::cmd("PEXPIRE");
        cmd.arg(key).arg(HOUR_MS / 2);
        world.link.command::<()>(&cmd).await.unwrap();
    }
    let mut cmd = redis::cmd("HINCRBY");
    cmd.arg(&order).arg("until").arg(-HOUR_MS / 2);
    world.link.command::<()>(&cmd).await.unwrap();
    append_and_ask(&mut world).await;
    for key in [&order, &events] {
        assert!(lives_ms(&world, key).await > HOUR_MS - 1_000, "{key}");
    }

    let mut cmd = redis::cmd("DEL");
    cmd.arg(&events);
    world.link.command::<()>(&cmd).await.unwrap();
    append_and_ask(&mut world).await;
    assert!(lives_ms(&world, &events).await > HOUR_MS - 1_000);
}

#[tokio::test]
async fn the_log_remembers_those_that_appended_last_and_no_more() {
    let Some(redis) = redis() else { return };
    let world = World::new(&redis.url(), 40_001).await;
    let append = async |origin: u64| {
        let question = Question {
            number: 1,
            cursor: None,
            renew: false,
            fill: 0,
            is_incomplete: false,
            batch: vec![AppendArgument {
                sequence: 1,
                key: String::new(),
                line: "line".into(),
            }],
        };
        let link = world.link.clone();
        let answer = ask(link, false, world.live_id, origin, question).await;
        answer.unwrap().places
    };
    let mut last = 0;
    for origin in 1_000..1_300 {
        let placed = append(origin).await;
        last += 1;
        assert_eq!(placed, [last]);
    }
    let mut cmd = redis::cmd("HLEN");
    cmd.arg(keys::order(world.live_id));
    let fields: u64 = world.link.command(&cmd).await.unwrap();
    assert!(
        fields <= 128,
        "{fields} fields: Redis keeps them as a table"
    );
    for origin in 1_250..1_300 {
        let repeated = append(origin).await;
        assert_eq!(
            repeated,
            [i64::try_from(origin).unwrap() - 999],
            "not twice"
        );
    }
}
