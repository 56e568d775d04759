//! What Redis keeps of the log of a room, and how long.

use super::*;
use crate::cluster::redis::entries::Batch;
use crate::domain::{
    ActionId, Comment, CommentId, CommentText, Control, Denial, EntryContent, HeldComment,
    HeldDecision, HoldRule, Profile, ReportedComment, ReportsChange,
};

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

fn held(id: i64, rule: HoldRule) -> ActionEntry {
    let comment = Comment {
        id: CommentId::new(id).unwrap(),
        live_id: LiveId::FIRST,
        author: Arc::new(Profile {
            id: UserId::FIRST,
            name: "alice".into(),
            avatar: None,
        }),
        text: CommentText::parse("hello", 200).unwrap(),
        request_id: None,
        at: Timestamp(1),
    };
    ActionEntry::of_held(Arc::new(HeldComment {
        comment: Arc::new(comment),
        rule,
        due: Timestamp(2),
    }))
}

#[tokio::test]
async fn notices_push_no_kick_and_no_key_of_an_action_out_of_the_log() {
    let Some(redis) = redis() else { return };
    let mut world = World::new(&redis.url(), 40_002).await;
    append_and_ask(&mut world).await;
    let live_id = world.live_id;
    let put = async |link: Link, entry: ActionEntry| {
        append(link, false, live_id, entry, Timestamp(1))
            .await
            .unwrap();
    };
    put(world.link.clone(), held(1, HoldRule::Term)).await;
    for id in 2..300 {
        put(world.link.clone(), held(id, HoldRule::Delay)).await;
        let denied = HeldDecision::Denied(Denial {
            comment_id: CommentId::new(id).unwrap(),
            author: UserId::FIRST,
            reason: None,
            is_expired: false,
        });
        put(world.link.clone(), ActionEntry::of_decision(&denied)).await;
    }
    let reported = EntryContent::Control(Control::Reports(ReportsChange {
        comment: ReportedComment {
            comment_id: CommentId::FIRST,
            reports: 1,
        },
        open: 1,
    }));
    let reported = ActionEntry::of_action(ActionId::new(1).unwrap(), 0, reported);
    put(world.link.clone(), reported).await;
    let count = async |command: &str, key: String| {
        let mut cmd = redis::cmd(command);
        cmd.arg(key);
        world.link.command::<u64>(&cmd).await.unwrap()
    };
    assert_eq!(
        count("XLEN", keys::controls(live_id)).await,
        1,
        "that for review"
    );
    assert_eq!(
        count("ZCARD", keys::actions(live_id)).await,
        1,
        "that of the report"
    );
    assert_eq!(
        count("ZCARD", keys::held(live_id)).await,
        597,
        "of 299 comments that are held and 298 that are denied"
    );
    let lives_ms = lives_ms(&world, &keys::held(live_id)).await;
    assert!(lives_ms > HOUR_MS - 1_000, "{lives_ms}");
}

#[test]
fn a_preview_is_read_from_the_head_of_a_message_and_counts_as_no_control() {
    let message =
        r#"{"e":"e","g":1,"b":"1-4","k":3,"o":5,"p":[{"m":"0000000000000003.7","p":"line"}]}"#;
    let batch = Batch::parse(message).unwrap();
    let ids: Vec<_> = batch
        .previews
        .iter()
        .map(|preview| preview.id.sequence)
        .collect();
    assert_eq!(
        (ids, batch.controls.len(), batch.controls_count),
        (vec![7], 0, 3)
    );
}
