//! More comments than a room shows.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::client::EngineSocket;
use crate::support::{TestServer, Ws};

const SENDERS: usize = 4;
/// As many as a user may post at once.
const COMMENTS_EACH: usize = 10;

/// The payload of a Socket.IO event or the argument of an ack.
fn argument(packet: &str, prefix: &str) -> Option<Value> {
    let rest = packet.strip_prefix(prefix)?;
    serde_json::from_str::<Value>(rest.trim_start_matches(|c: char| c.is_ascii_digit())).ok()
}

#[test]
fn a_sampled_comment_is_its_senders_alone_and_everybody_hears_how_many_they_miss() {
    let server = TestServer::start(&[("LIVEROOM__LIMITS__CROWD_EVENTS_PER_S", "2")]);
    let streamer = server.user("streamer");
    let live_id = server.live(&streamer);
    let mut bystander = Ws::connect(&server, &streamer);
    bystander.join(live_id);
    let mut senders: Vec<Ws> = (0..SENDERS)
        .map(|n| {
            let mut ws = Ws::connect(&server, &server.user(&format!("sender{n}")));
            ws.join(live_id);
            ws
        })
        .collect();

    let post = |n: usize| json!({"live_id": live_id, "data": format!("c{n}"), "request_id": format!("r{n}")});
    let mut asked: Vec<Vec<i64>> = vec![Vec::new(); SENDERS];
    for n in 0..COMMENTS_EACH {
        for (sender, asked) in senders.iter_mut().zip(&mut asked) {
            asked.push(sender.send("comment", post(n)));
        }
    }
    // Voice passes while the crowd waits.
    let voice = bystander.ask("comment", json!({"live_id": live_id, "data": "voice"}));
    assert_eq!(voice["status"], json!("delivered"), "{voice}");

    let mut delivered = BTreeMap::from([(voice["offset"].as_u64(), voice["comment_id"].clone())]);
    for (sender, asked) in senders.iter_mut().zip(&asked) {
        let answers: Vec<Value> = asked.iter().map(|id| sender.answer(*id)).collect();
        let (shown, sampled): (Vec<_>, Vec<_>) = answers
            .iter()
            .partition(|it| it["status"] == json!("delivered"));
        for answer in &shown {
            let twin = delivered.insert(answer["offset"].as_u64(), answer["comment_id"].clone());
            assert!(answer["ok"] == json!(true) && twin.is_none(), "{answer}");
        }
        assert!(!sampled.is_empty(), "each of them is above the cap");
        for answer in &sampled {
            assert_eq!(
                (&answer["ok"], &answer["status"]),
                (&json!(true), &json!("sampled_out")),
                "{answer}"
            );
            assert!(
                answer.get("offset").is_none() && answer["comment_id"].is_string(),
                "{answer}"
            );
            let echo =
                sender.event_where("comment", |comment| comment["id"] == answer["comment_id"]);
            assert!(
                echo.get("offset").is_none() && echo.get("epoch").is_none(),
                "{echo}"
            );
        }
        // A retry gets the same answer, and no second echo.
        let (n, answer) = answers
            .iter()
            .enumerate()
            .find(|(_, it)| it["status"] == json!("sampled_out"))
            .unwrap();
        let retried = sender.ask("comment", post(n));
        assert_eq!(
            (&retried["status"], &retried["comment_id"]),
            (&answer["status"], &answer["comment_id"])
        );
        // The rest of what it hears are events with a place.
        let comments: Vec<Value> = sender
            .so_far()
            .into_iter()
            .filter(|it| it["event"] == json!("comment"))
            .collect();
        assert!(
            comments
                .iter()
                .all(|comment| comment["data"]["offset"].is_u64()),
            "{comments:?}"
        );
    }

    // Some were shown, the others never took a place.
    assert_eq!(
        delivered.keys().copied().collect::<Vec<_>>(),
        (1..=delivered.len() as u64).map(Some).collect::<Vec<_>>()
    );
    assert!(delivered.len() < SENDERS * COMMENTS_EACH);
    let over = bystander.event_where("rate", |rate| rate["shown"] == rate["total"]);
    assert_eq!(over["live_id"], json!(live_id));
    let heard = bystander.so_far();
    let named = |name: &str| {
        heard
            .iter()
            .filter(|it| it["event"] == json!(name))
            .map(|it| &it["data"])
            .collect::<Vec<_>>()
    };
    let told: BTreeMap<_, _> = named("comment")
        .iter()
        .map(|it| (it["offset"].as_u64(), it["id"].clone()))
        .collect();
    assert_eq!(
        told, delivered,
        "who is not the sender hears exactly what was delivered"
    );
    let rates = named("rate");
    assert!(
        !rates.is_empty()
            && rates
                .iter()
                .all(|it| it["shown"].as_u64() < it["total"].as_u64()),
        "{rates:?}"
    );

    let rooms = server.admin_get("/admin/rooms").ok();
    let sampled_count = SENDERS * COMMENTS_EACH + 1 - delivered.len();
    assert_eq!(rooms[0]["sampled_out"], json!(sampled_count), "{rooms}");
}

#[test]
fn socketio_hears_the_same() {
    let server = TestServer::start(&[("LIVEROOM__LIMITS__CROWD_EVENTS_PER_S", "1")]);
    let streamer = server.user("streamer");
    let live_id = server.live(&streamer);
    let sender = server.user("sender");
    let mut socket =
        EngineSocket::connect(server.port(), "/socket.io/?EIO=4&transport=websocket").unwrap();
    socket.send("40");
    socket.send(&format!(
        "421{}",
        json!(["joinLive", {"live_id": live_id, "token": sender.token}])
    ));
    for n in 2..6 {
        let comment = json!(["comment", {"live_id": live_id, "token": sender.token, "data": format!("c{n}")}]);
        socket.send(&format!("42{n}{comment}"));
    }
    let (mut statuses, mut echoes, mut rated) = (Vec::new(), BTreeSet::new(), false);
    while statuses.len() < 4 || !rated {
        let packet = socket.read().expect("the server goes on");
        if let Some(answer) =
            argument(&packet, "43").filter(|answer| answer[0]["comment_id"].is_string())
        {
            let status = answer[0]["status"].as_str().unwrap_or_default().to_owned();
            let id = answer[0]["comment_id"].as_str().unwrap_or_default();
            assert_eq!(
                echoes.contains(id),
                status == "sampled_out",
                "the echo comes before the answer"
            );
            statuses.push(status);
        } else if let Some(event) = argument(&packet, "42") {
            rated |= event[0] == json!("rate")
                && event[1]["shown"].as_u64() < event[1]["total"].as_u64();
            if event[0] == json!("comment") && event[1].get("offset").is_none() {
                echoes.insert(event[1]["id"].as_str().unwrap_or_default().to_owned());
            }
        }
    }
    assert_eq!(statuses.len(), 4);
    assert!(
        statuses.iter().any(|status| status == "sampled_out"),
        "{statuses:?}"
    );
}
