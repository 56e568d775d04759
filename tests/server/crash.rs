//! What is left when the process dies without a word.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;

use crate::support::postgres::Postgres;
use crate::support::{PATIENCE, TestServer, User, Ws, eventually};
use serde_json::{Value, json};

const GIVERS: usize = 4;
const GIFTS_EACH: usize = 250;
const PRICE: i64 = 3;

/// Sends gifts one by one until the connection breaks, and reports each that was acknowledged.
fn give(
    mut ws: Ws,
    live: i64,
    gift: i64,
    giver: usize,
    acked: &AtomicUsize,
) -> BTreeMap<String, Value> {
    let mut receipts = BTreeMap::new();
    for n in 0..GIFTS_EACH {
        let request_id = format!("g-{giver}-{n}");
        let command = json!({"live_id": live, "gift_id": gift, "request_id": request_id});
        let id = i64::try_from(n).unwrap() + 1_000;
        let text = json!({"id": id, "event": "gift", "data": command}).to_string();
        if ws.socket().send(text.into()).is_err() {
            break;
        }
        let answer = loop {
            match ws.read() {
                Some(frame) if frame["id"] == json!(id) => break Some(frame),
                Some(_) => {}
                None => break None,
            }
        };
        let Some(answer) = answer else { break };
        assert_eq!(answer["ok"], json!(true), "{answer}");
        receipts.insert(request_id, answer);
        acked.fetch_add(1, Ordering::Relaxed);
    }
    receipts
}

#[test]
fn a_kill_in_the_middle_of_a_thousand_gifts_loses_none_that_was_acked_and_leaves_the_books_exact() {
    kill_in_the_middle_of_a_thousand_gifts(&[]);
}

#[test]
fn the_same_holds_on_postgresql() {
    match Postgres::shared() {
        Ok(postgres) => {
            let url = postgres.create_database();
            kill_in_the_middle_of_a_thousand_gifts(&[("LIVEROOM__STORE__URL", &url)]);
        }
        Err(reason) => println!("skipped: {reason}"),
    }
}

fn kill_in_the_middle_of_a_thousand_gifts(env: &[(&str, &str)]) {
    let mut all = vec![("LIVEROOM__LIMITS__COMMANDS_PER_S", "100000")];
    all.extend(env);
    let mut server = TestServer::start(&all);
    let streamer = server.user("streamer");
    let live = server.live(&streamer);
    let gift = server.gift("flower", PRICE);
    let start_coins = 1_000_000;
    let givers: Vec<User> = (0..GIVERS)
        .map(|n| server.rich_user(&format!("giver{n}"), start_coins))
        .collect();

    let acked = Arc::new(AtomicUsize::new(0));
    let (send_receipts, receipts) = mpsc::channel();
    for (n, giver) in givers.iter().enumerate() {
        let mut ws = Ws::connect(&server, giver);
        ws.join(live);
        let (acked, send_receipts) = (acked.clone(), send_receipts.clone());
        thread::spawn(move || {
            let receipts = give(ws, live, gift, n, &acked);
            send_receipts
                .send((n, receipts))
                .expect("the test waits for it");
        });
    }
    // Somewhere in the middle: after a few hundred, while the others are under way.
    eventually("300 gifts are acked", || {
        (acked.load(Ordering::Relaxed) >= 300).then_some(())
    });
    server.kill();
    let receipts: BTreeMap<usize, BTreeMap<String, Value>> = (0..GIVERS)
        .map(|_| receipts.recv_timeout(PATIENCE).expect("each giver ends"))
        .collect();
    let acked: usize = receipts.values().map(BTreeMap::len).sum();
    assert!(
        (300..GIVERS * GIFTS_EACH).contains(&acked),
        "the kill came in the middle: {acked}"
    );

    let audit = server.run(&["audit"]);
    assert!(
        audit.status.success(),
        "{}",
        String::from_utf8_lossy(&audit.stdout)
    );
    server.restart();
    server.assert_books_balance();

    // Every acked gift is there: sending it again moves nothing and names the same record.
    let mut records = BTreeSet::new();
    for (n, giver) in givers.iter().enumerate() {
        let mut ws = Ws::connect(&server, giver);
        ws.join(live);
        let before = server.balance(giver);
        for (request_id, receipt) in &receipts[&n] {
            let again = ws.ask(
                "gift",
                json!({"live_id": live, "gift_id": gift, "request_id": request_id}),
            );
            assert_eq!(again["ok"], json!(true), "{request_id}: {again}");
            assert_eq!(
                again["gift_record_id"], receipt["gift_record_id"],
                "{request_id}"
            );
            assert!(
                records.insert(receipt["gift_record_id"].as_i64()),
                "{request_id} has a record of its own"
            );
        }
        assert_eq!(server.balance(giver), before, "retries move nothing");
        // At most one more than was acked was committed: the one whose answer the kill swallowed.
        let spent = (start_coins - before) / PRICE;
        let acked_here = i64::try_from(receipts[&n].len()).unwrap();
        assert!(
            (acked_here..=acked_here + 1).contains(&spent),
            "giver {n}: acked {acked_here}, spent {spent}"
        );
    }
    server.assert_books_balance();
}

#[test]
fn acked_comments_tokens_and_views_survive_a_kill() {
    let mut server = TestServer::start(&[]);
    let streamer = server.user("streamer");
    let live = server.live(&streamer);
    let alice = server.user("alice1");
    let mut ws = Ws::connect(&server, &alice);
    ws.join(live);
    let posted = ws.ask(
        "comment",
        json!({"live_id": live, "data": "before", "request_id": "c-1"}),
    );
    assert_eq!(posted["ok"], json!(true), "{posted}");

    server.kill();
    server.restart();

    // The token still logs in, and a retried comment is recognised across the restart.
    let mut ws = Ws::connect(&server, &alice);
    let joined = ws.join(live);
    assert_eq!(joined["live"]["look_count"], json!(1), "{joined}");
    let again = ws.ask(
        "comment",
        json!({"live_id": live, "data": "before", "request_id": "c-1"}),
    );
    assert_eq!(
        (&again["ok"], &again["comment_id"]),
        (&json!(true), &posted["comment_id"]),
        "{again}"
    );
    let other = ws.ask(
        "comment",
        json!({"live_id": live, "data": "other", "request_id": "c-1"}),
    );
    assert_eq!(other["code"], json!("duplicate_conflict"), "{other}");
    let frames = ws.so_far();
    assert!(
        frames
            .iter()
            .all(|frame| frame["event"] != json!("comment")),
        "nothing was told twice: {frames:?}"
    );
}
