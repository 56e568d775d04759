//! Tokens that were never issued, or are no longer good.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;

use super::StopOnDrop;
use super::bystanders::Bystanders;
use crate::support::jwt::{Algorithm, sign};
use crate::support::{JWT_SECRET, TestServer, Ws, eventually, http};

const REFUSED: &str = "Token 令牌不合法!";

#[test]
fn forged_tokens_open_nothing() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let (header, rest) = alice.token.split_once('.').expect("three parts");
    let (claims, signature) = rest.split_once('.').expect("three parts");
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0";
    let forged = [
        (format!("{none}.{claims}."), "no algorithm"),
        (
            format!("{none}.{claims}.{signature}"),
            "no algorithm, with a signature",
        ),
        (format!("{header}.{claims}."), "no signature"),
        (
            format!("{header}.{claims}.{}", &signature[1..]),
            "half a signature",
        ),
        (
            sign(Algorithm::Hs512, JWT_SECRET, &json!({"id": alice.id})),
            "another algorithm",
        ),
        (
            sign(Algorithm::Hs256, JWT_SECRET, &json!({"id": alice.id})),
            "signed, but not the current one",
        ),
        (
            sign(Algorithm::Hs256, "", &json!({"id": alice.id})),
            "an empty secret",
        ),
        (sign(Algorithm::Hs256, JWT_SECRET, &json!({})), "nobody's"),
        (
            sign(
                Algorithm::Hs256,
                JWT_SECRET,
                &json!({"id": alice.id.to_string()}),
            ),
            "an id of another type",
        ),
        (
            sign(Algorithm::Hs256, JWT_SECRET, &json!({"id": -1})),
            "a negative id",
        ),
        (
            sign(Algorithm::Hs256, JWT_SECRET, &json!({"id": i64::MAX})),
            "the largest id",
        ),
        (
            sign(Algorithm::Hs256, JWT_SECRET, &json!({"id": 1e300})),
            "an id out of range",
        ),
        (
            format!("{}{}", alice.token, "A".repeat(30_000)),
            "a huge one",
        ),
        ("..".to_owned(), "dots"),
        (String::new(), "an empty one"),
    ];
    for (token, name) in &forged {
        let mut ws = Ws::connect_with(&server, token);
        let words = ws.read().expect("last words");
        assert_eq!(words, json!({"msg": "fail", "data": REFUSED}), "{name}");
        assert_eq!(ws.wait_for_close().0, 3000, "{name}");
        let mut ws = Ws::connect(&server, &alice);
        let answer = ws.ask("auth", json!({"token": token}));
        assert_eq!(answer["ok"], json!(false), "{name}: {answer}");
    }
    Ws::connect(&server, &alice).join(server.live(&alice));
}

#[test]
fn a_token_that_was_replaced_or_taken_back_ends_its_sessions_at_once() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let bob = server.user("bobby");
    let mut bystanders = Bystanders::meet(&server, &bob);
    let live_id = server.live(&alice);
    let mut first = Ws::connect(&server, &alice);
    first.join(live_id);
    let again = server.login("alice");
    assert_eq!(first.wait_for_close().0, 3000, "a later login");
    let mut second = Ws::connect(&server, &again);
    second.join(live_id);
    assert_eq!(
        server.post_as(&alice, "/api/logout", &json!({})).status,
        400,
        "the old token ends nothing"
    );
    second.join(live_id);
    server.post_as(&again, "/api/logout", &json!({})).ok();
    assert_eq!(second.wait_for_close().0, 3000, "a logout");
    bystanders.assert_unharmed(&server, "logins and logouts of others");
}

#[test]
fn a_session_speaks_for_the_user_who_joined_and_for_no_other() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let bob = server.user("bobby");
    let live_id = server.live(&alice);
    let mut ws = Ws::connect(&server, &alice);
    ws.join(live_id);
    let borrowed = ws.ask(
        "comment",
        json!({"live_id": live_id, "token": bob.token, "data": "who am I"}),
    );
    assert_eq!(borrowed["code"], json!("not_in_room"), "{borrowed}");
    assert_eq!(
        ws.ask("auth", json!({"token": bob.token}))["ok"],
        json!(true)
    );
    let other = ws.ask("comment", json!({"live_id": live_id, "data": "who am I"}));
    assert_eq!(other["code"], json!("not_in_room"), "{other}");
}

#[test]
fn a_flood_of_logins_leaves_the_rooms_their_time() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let mut bystanders = Bystanders::meet(&server, &alice);
    std::thread::scope(|scope| {
        let attackers: Vec<_> = (0..16)
            .map(|n| {
                let server = &server;
                scope.spawn(move || {
                    let guess = json!({"username": format!("nobody{n}"), "password": "guess"});
                    (0..3)
                        .map(|_| server.post("/api/login", &guess).status)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        while attackers.iter().any(|attacker| !attacker.is_finished()) {
            // Slower than the limits of an honest client, which bystanders are.
            std::thread::sleep(Duration::from_millis(100));
            bystanders.assert_unharmed(&server, "logins");
        }
        for attacker in attackers {
            let statuses = attacker.join().expect("an attacker is answered");
            assert!(
                statuses.iter().all(|status| matches!(status, 400 | 503)),
                "{statuses:?}"
            );
        }
    });
}

#[test]
fn a_disabled_user_hears_so_wherever_it_shows_its_token_until_it_is_enabled() {
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let bob = server.user("bobby");
    let live_id = server.live(&bob);
    let mut connected = Ws::connect(&server, &alice);
    connected.join(live_id);
    // A session of bob's that shows alice's token with a command.
    let mut other = Ws::connect(&server, &bob);
    let set = |status: u8| {
        server
            .admin_post(
                &format!("/admin/users/{}", alice.id),
                &json!({"status": status}),
            )
            .ok()
    };

    set(0);
    let words = connected.wait_for("the last words", |frame| frame["msg"] == json!("fail"));
    assert_eq!(
        (&words["data"], connected.wait_for_close().0),
        (&json!("你已被禁用"), 3000)
    );
    let mut again = Ws::connect(&server, &alice);
    assert_eq!(
        again.read(),
        Some(json!({"msg": "fail", "data": "你已被禁用"}))
    );
    assert_eq!(again.wait_for_close().0, 3000);
    let refused = other.ask(
        "joinLive",
        json!({"live_id": live_id, "token": alice.token}),
    );
    assert_eq!(
        (&refused["code"], &refused["message"]),
        (&json!("user_disabled"), &json!("用户不存在或已被禁用"))
    );
    let info = server.get_as(&alice, "/api/user/info");
    assert_eq!(
        (info.status, info.json()["data"].take()),
        (400, json!("你已被禁用"))
    );

    set(1);
    Ws::connect(&server, &alice).join(live_id);
    set(0);
    // Only a logout or a later login ends a token: once replaced, it is refused as such.
    set(1);
    let later = server.login("alice");
    set(0);
    assert_eq!(
        Ws::connect(&server, &alice).read(),
        Some(json!({"msg": "fail", "data": REFUSED}))
    );
    assert_eq!(
        Ws::connect(&server, &later).read(),
        Some(json!({"msg": "fail", "data": "你已被禁用"}))
    );
}

#[test]
fn a_flood_of_wrong_operator_tokens_is_logged_once_a_second_and_locks_no_operator_out() {
    const GUESSERS: usize = 16;
    let server = TestServer::start(&[]);
    let alice = server.user("alice");
    let mut bystanders = Bystanders::meet(&server, &alice);
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let attack = |n: usize| {
            let (server, stop) = (&server, &stop);
            move || {
                let mut statuses = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let token = format!("Bearer guess {n} {}", statuses.len());
                    let headers = [("authorization", token.as_str())];
                    statuses.push(
                        http::request(server.port(), "GET", "/admin/rooms", &headers, None).status,
                    );
                }
                statuses
            }
        };
        let guessers: Vec<_> = (0..GUESSERS).map(|n| scope.spawn(attack(n))).collect();
        let attack = StopOnDrop(&stop);
        for _ in 0..3 {
            server.admin_get("/admin/rooms").ok();
            bystanders.assert_unharmed(&server, "wrong operator tokens");
        }
        drop(attack);
        guessers
            .into_iter()
            .flat_map(|guesser| guesser.join().expect("a guesser is answered"))
            .collect()
    });
    let seconds = started.elapsed().as_secs() as usize + 1;
    let count = |status: u16| statuses.iter().filter(|found| **found == status).count();
    assert_eq!(count(401) + count(429), statuses.len(), "{statuses:?}");
    // The bucket holds 30, and gets one more each 2 s; beyond, each guesser waits a second for each
    // guess.
    assert!(count(401) <= 30 + seconds && count(429) > 0, "{statuses:?}");
    assert!(
        statuses.len() <= 30 + GUESSERS * (seconds + 1),
        "{} guesses in {seconds} s",
        statuses.len()
    );

    let counted = || -> Vec<usize> {
        let lines = server.logged("operator tokens refused");
        lines.iter().map(|line| field(line, "count")).collect()
    };
    eventually("every guess is in the log", || {
        (counted().iter().sum::<usize>() == statuses.len()).then_some(())
    });
    assert!(
        counted().len() <= started.elapsed().as_secs() as usize + 1,
        "{:?}",
        counted()
    );
}

/// A number in a log line.
fn field(line: &str, name: &str) -> usize {
    let (_, rest) = line
        .split_once(&format!("{name}="))
        .expect("the field is there");
    rest.split(' ')
        .next()
        .and_then(|number| number.parse().ok())
        .expect("a number")
}
