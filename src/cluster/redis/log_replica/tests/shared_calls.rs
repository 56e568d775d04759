//! Several rooms whose questions share calls of the script, with the same things going wrong, and a
//! room among them that Redis refuses in every call.

use super::*;

const ROOMS: i64 = 4;
const SHARED_RUNS: i64 = 20;
/// The room that Redis refuses. It is of no world.
const REFUSED: LiveId = LiveId::FIRST;

/// Makes a room whose log cannot be read: another program has its key.
async fn refuse_room(link: &Link) {
    let mut cmd = redis::cmd("SET");
    cmd.arg(keys::order(REFUSED)).arg("of another program");
    link.command::<()>(&cmd).await.unwrap();
}

async fn worlds(redis: &server::Redis, run: i64) -> Vec<World> {
    let mut worlds = Vec::new();
    for room in 0..ROOMS {
        let id = u64::try_from(20_000 + run * ROOMS + room).unwrap();
        worlds.push(World::new(&redis.url(), id).await);
    }
    worlds
}

/// A question of the refused room that may share a call.
fn question_of_refused() -> RoomQuestion {
    let line = write_event(&unknown("refused"), Timestamp(1));
    let key = String::new();
    RoomQuestion {
        live_id: REFUSED,
        origin: 1,
        is_repeated: false,
        question: Question {
            number: 1,
            cursor: None,
            renew: false,
            fill: 0,
            is_incomplete: false,
            batch: vec![AppendArgument {
                sequence: 1,
                key,
                line,
            }],
        },
    }
}

/// One node asks for all of its rooms that have something to ask, in the calls that the engine
/// makes of that. Each call may be lost on its way, or its answer.
async fn ask_together(worlds: &mut [World], index: usize, calls: &mut AppendCalls, fate: u32) {
    let now = Instant::now();
    let mut questions = vec![question_of_refused()];
    for world in &mut *worlds {
        let node = &mut world.nodes[index];
        questions.extend(node.order.ask().map(|question| RoomQuestion {
            live_id: world.live_id,
            origin: node.origin,
            is_repeated: false,
            question,
        }));
    }
    let link = worlds[0].link.clone();
    for call in calls.calls(questions, now) {
        let asked: Vec<_> = call
            .iter()
            .map(|room| (room.live_id, room.question.clone()))
            .collect();
        let answers = match fate {
            0 | 1 => Vec::new(),
            _ => append::ask(&link, false, call).await,
        };
        let mut answers = answers.into_iter();
        for (live_id, question) in asked {
            let answer = answers.next();
            let Some(world) = worlds.iter_mut().find(|world| world.live_id == live_id) else {
                assert!(answer.is_none_or(|answer| answer.is_err()), "refused");
                continue;
            };
            let (node, number) = (&mut world.nodes[index], question.number);
            match answer {
                Some(answer) if fate > 2 => {
                    let answer = answer.expect("a refused room harms no other");
                    node.order.answered(number, answer);
                }
                Some(_) => node.order.failed(number),
                None => {
                    node.stray.extend((fate == 1).then_some(question));
                    node.order.failed(number);
                }
            }
            world.deliver(index);
        }
    }
}

async fn play(worlds: &mut [World], run: i64, loses_data: bool) {
    refuse_room(&worlds[0].link).await;
    let mut rng = StdRng::seed_from_u64(run.unsigned_abs());
    let mut calls = AppendCalls::new(false, Instant::now());
    for _ in 0..STEPS * 2 {
        let index = rng.random_range(0..NODES);
        if rng.random_bool(0.25) {
            ask_together(worlds, index, &mut calls, rng.random_range(0..10)).await;
        } else {
            let room = rng.random_range(0..worlds.len());
            worlds[room].step(loses_data).await;
        }
    }
}

#[tokio::test]
async fn rooms_that_share_calls_deliver_every_event_once_and_in_one_order() {
    let Some(redis) = redis() else { return };
    for run in 0..SHARED_RUNS {
        let mut worlds = worlds(&redis, run).await;
        play(&mut worlds, run, false).await;
        for world in &mut worlds {
            world.append_actions().await;
            world.calm_down().await;
            assert_complete(world);
            assert_controls_precede(world).await;
        }
    }
}

#[tokio::test]
async fn rooms_that_share_calls_find_one_order_again_after_data_was_lost() {
    let Some(redis) = redis() else { return };
    for run in 1_000..1_000 + SHARED_RUNS {
        let mut worlds = worlds(&redis, run).await;
        play(&mut worlds, run, true).await;
        for world in &mut worlds {
            world.calm_down().await;
            assert_united(world).await;
        }
    }
}
