//! One order of events for all members, and no gap for those who change nodes.

use std::collections::BTreeSet;
use std::thread;

use serde_json::json;

use crate::support::cluster::Stage;
use crate::support::ledger::{assert_all_heard_once, assert_same};
use crate::support::member::Member;

const EVENTS_EACH: usize = 40;

#[test]
fn members_of_two_nodes_hear_comments_and_gifts_of_both_in_one_order() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let listeners = [stage.member(0, "listener0"), stage.member(1, "listener1")];
    let speakers: Vec<Member> = (0..4)
        .map(|n| stage.member(n % 2, &format!("speaker{n}")))
        .collect();
    let acked: BTreeSet<String> = thread::scope(|scope| {
        let talks: Vec<_> = speakers
            .into_iter()
            .enumerate()
            .map(|(speaker, mut member)| {
                let gift = stage.gift;
                scope.spawn(move || {
                    let event = |n: usize| match (speaker + n) % 3 {
                        0 => member.give(gift, &format!("g-{n}")),
                        _ => member.comment(&format!("{speaker} says {n}"), &format!("c-{n}")),
                    };
                    (0..EVENTS_EACH).map(event).collect::<Vec<_>>()
                })
            })
            .collect();
        talks
            .into_iter()
            .flat_map(|talk| talk.join().expect("a speaker is answered"))
            .collect()
    });
    assert_eq!(acked.len(), 4 * EVENTS_EACH, "each has an id of its own");
    let [mut first, mut second] = listeners;
    first.listen_for(&acked);
    second.listen_for(&acked);
    assert_all_heard_once(&[&first.heard, &second.heard], &acked);
    assert_same(&[&first.heard, &second.heard]);
    stage.cluster[1].assert_books_balance();
}

#[test]
fn comments_of_one_sender_come_in_the_order_sent_on_every_node() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let mut listeners = [stage.member(0, "listener0"), stage.member(1, "listener1")];
    let (_, mut sender) = stage.joined(1, "sender");
    let sent: Vec<i64> = (0..100)
        .map(|n| {
            sender.send(
                "comment",
                json!({"live_id": stage.live, "data": n.to_string()}),
            )
        })
        .collect();
    let ids: Vec<String> = sent
        .into_iter()
        .map(|id| {
            let answer = sender.answer(id);
            format!(
                "comment {}",
                answer["comment_id"]
                    .as_str()
                    .unwrap_or_else(|| panic!("{answer}"))
            )
        })
        .collect();
    for listener in &mut listeners {
        listener.listen_for(&ids.iter().cloned().collect());
        let heard: Vec<_> = listener
            .heard
            .events()
            .iter()
            .map(|event| event.id.clone())
            .collect();
        assert_eq!(heard, ids, "{}", listener.user().name);
    }
}

#[test]
fn an_answer_names_the_place_that_all_nodes_tell() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let (_, mut there) = stage.joined(0, "there");
    let (_, mut here) = stage.joined(1, "here1");
    let said = here.ask("comment", json!({"live_id": stage.live, "data": "hello"}));
    let given = here.ask(
        "gift",
        json!({"live_id": stage.live, "gift_id": stage.gift}),
    );
    for (name, answer) in [("comment", said), ("gift", given)] {
        let (told_here, told_there) = (here.event(name), there.event(name));
        assert_eq!(told_here, told_there, "the same to the last field");
        assert_eq!(answer["offset"], told_here["offset"], "{answer}");
    }
}

#[test]
fn a_node_that_opens_the_room_later_goes_on_in_the_same_order() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let mut early = stage.member(0, "early");
    let came_in = early.position();
    let start = came_in["offset"].as_u64().expect("a place");
    let acked: BTreeSet<String> = (0..5)
        .map(|n| early.comment("early", &format!("c-{n}")))
        .collect();
    early.listen_for(&acked);

    let late = stage.user("late1");
    let mut ws = stage.cluster.ws(1, &late);
    let joined = ws.join(stage.live);
    assert_eq!(
        (&joined["epoch"], &joined["offset"]),
        (&came_in["epoch"], &json!(start + 5)),
        "{joined}"
    );
    let mut again = stage.cluster.ws(1, &late);
    let joined = again.ask("joinLive", json!({"live_id": stage.live, "since": came_in}));
    assert_eq!(joined["recovered"], json!(true), "{joined}");
    for offset in start + 1..=start + 5 {
        assert_eq!(again.event("comment")["offset"], json!(offset));
    }
    assert_eq!(
        ws.kept()
            .filter(|frame| frame["event"] == json!("comment"))
            .count(),
        0,
        "who asks for nothing"
    );
}

#[test]
fn who_comes_back_on_another_node_hears_what_it_missed_once_and_in_order() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let mut speakers = [stage.member(0, "speaker0"), stage.member(1, "speaker1")];
    let mut mover = stage.member(0, "mover");
    let mut acked = BTreeSet::new();
    let mut removed = BTreeSet::new();
    for round in 0..6 {
        for (n, speaker) in speakers.iter_mut().enumerate() {
            acked.insert(speaker.comment("hello", &format!("c-{round}-{n}")));
            acked.insert(speaker.give(stage.gift, &format!("g-{round}-{n}")));
        }
        if round % 2 == 0 {
            mover.listen_for(&acked);
        } else {
            // It missed this round, and one comment of it was taken down.
            mover.move_to(round / 2 % 2);
            let rude = speakers[1].comment("rude", &format!("rude-{round}"));
            let id = rude.trim_start_matches("comment ").to_owned();
            let path = format!("/admin/rooms/{}/comments/{id}", stage.live);
            // It is known to operators when it is stored, and an answer says that it is.
            stage.cluster[round % 2].admin_delete(&path).ok();
            speakers[0].listen_until("the removal", |member| {
                member.heard.has(&format!("removed {id}"))
            });
            removed.insert(format!("removed {id}"));
        }
    }
    let all: BTreeSet<String> = acked.union(&removed).cloned().collect();
    mover.listen_for(&all);
    assert_eq!(mover.joins.len(), 4);
    assert!(
        mover.joins[1..]
            .iter()
            .all(|join| join["recovered"] == json!(true)),
        "{:?}",
        mover.joins
    );
    let offsets: Vec<u64> = mover
        .heard
        .events()
        .iter()
        .map(|event| event.offset)
        .collect();
    let first = offsets[0];
    assert_eq!(
        offsets,
        (first..first + offsets.len() as u64).collect::<Vec<_>>()
    );
    assert!(mover.heard.missing(&all).is_empty());
}

#[test]
fn what_is_too_far_back_is_not_recovered_on_any_node() {
    let Some(stage) = Stage::set(2, &[("LIVEROOM__ROOMS__HISTORY_EVENTS_MAX", "10")]) else {
        return;
    };
    let mut speaker = stage.member(0, "speaker");
    let start = speaker.position();
    let acked: BTreeSet<String> = (0..15)
        .map(|n| speaker.comment("hello", &format!("c-{n}")))
        .collect();
    speaker.listen_for(&acked);
    let user = stage.user("comer");
    let (epoch, start) = (&start["epoch"], start["offset"].as_u64().expect("a place"));
    for node in [0, 1] {
        for (missed, recovered) in [(11, false), (10, true), (0, true)] {
            let mut ws = stage.cluster.ws(node, &user);
            let since = json!({"epoch": epoch, "offset": start + 15 - missed});
            let joined = ws.ask("joinLive", json!({"live_id": stage.live, "since": since}));
            let place = (&joined["recovered"], &joined["offset"]);
            assert_eq!(
                place,
                (&json!(recovered), &json!(start + 15)),
                "{node} {missed}"
            );
        }
    }
}

#[test]
fn who_comes_back_to_a_node_that_is_a_moment_behind_is_told_nothing_twice() {
    let Some(stage) = Stage::set(2, &[]) else {
        return;
    };
    let mut speaker = stage.member(0, "speaker");
    let _resident = stage.joined(1, "resident");
    let user = stage.user("comer");
    let start = speaker.position();
    let seen = start["offset"].as_u64().expect("a place") + 1;
    let mut ws = stage.cluster.ws(1, &user);
    // It has seen an event that did not get to node 1 yet: it is said only now.
    let since = json!({"epoch": start["epoch"], "offset": seen});
    let join = ws.send("joinLive", json!({"live_id": stage.live, "since": since}));
    speaker.comment("hello", "c-1");
    let second = speaker.comment("hello again", "c-2");
    let joined = ws.answer(join);
    assert_eq!(joined["recovered"], json!(true), "{joined}");
    let told = ws.event("comment");
    assert_eq!(
        format!("comment {}", told["id"].as_str().expect("an id")),
        second,
        "{told}"
    );
}
