//! Floods of registrations, and guesses at other people's passwords.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::StopOnDrop;
use super::bystanders::Bystanders;
use crate::support::{PASSWORD, TestServer, http};

const TRUSTED: (&str, &str) = ("LIVEROOM__SERVER__TRUSTED_PROXIES", "127.0.0.1");
const FIVE_A_MINUTE: (&str, &str) = ("LIVEROOM__LIMITS__LOGINS_PER_MIN", "5");

/// Posts as a client at `address`, behind a proxy.
fn post_from(server: &TestServer, address: &str, path: &str, body: &Value) -> u16 {
    http::request(
        server.port(),
        "POST",
        path,
        &[("x-forwarded-for", address)],
        Some(body),
    )
    .status
}

fn registration(name: &str) -> Value {
    json!({"username": name, "password": PASSWORD, "repassword": PASSWORD})
}

fn login(name: &str, password: &str) -> Value {
    json!({"username": name, "password": password})
}

#[test]
fn a_flood_of_registrations_from_everywhere_keeps_nobody_from_logging_in() {
    const CONNECTIONS: usize = 400;
    // No address comes often enough to be noticed.
    let server = TestServer::start(&[TRUSTED]);
    let alice = server.user("alice");
    let mut bystanders = Bystanders::meet(&server, &alice);
    server.user("honest");
    let stop = AtomicBool::new(false);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let attack = |n: usize| {
            let (server, stop) = (&server, &stop);
            move || {
                let mut statuses = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let name = format!("flood {n} {}", statuses.len());
                    let address = format!("198.51.{}.{}", n / 250, n % 250);
                    statuses.push(post_from(
                        server,
                        &address,
                        "/api/reg",
                        &registration(&name),
                    ));
                    // Each knocks a few times a second: enough to keep every queue full.
                    std::thread::sleep(Duration::from_millis(200));
                }
                statuses
            }
        };
        let attackers: Vec<_> = (0..CONNECTIONS).map(|n| scope.spawn(attack(n))).collect();
        let attack = StopOnDrop(&stop);
        for _ in 0..10 {
            server.login("honest");
            bystanders.assert_unharmed(&server, "registrations");
        }
        drop(attack);
        attackers
            .into_iter()
            .flat_map(|attacker| attacker.join().expect("an attacker is answered"))
            .collect()
    });
    let count = |status: u16| statuses.iter().filter(|found| **found == status).count();
    assert!(count(200) > 0, "registrations go on");
    assert!(count(503) > 0, "it was a flood");
    assert_eq!(count(200) + count(503), statuses.len(), "{statuses:?}");
}

#[test]
fn one_address_registers_as_many_accounts_as_it_may_and_others_are_not_counted_with_it() {
    let server = TestServer::start(&[TRUSTED, ("LIVEROOM__LIMITS__REGISTRATIONS_PER_HOUR", "5")]);
    let from = |address: &str, n: usize| {
        let name = format!("user {n} of {}", address.len());
        post_from(&server, address, "/api/reg", &registration(&name))
    };
    let statuses: Vec<u16> = (0..8).map(|n| from("203.0.113.7", n)).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
    assert_eq!(from("203.0.113.70", 0), 200);
}

#[test]
fn strangers_can_neither_guess_without_end_nor_lock_the_owner_out() {
    let mut server = TestServer::start(&[TRUSTED, FIVE_A_MINUTE]);
    let home = "203.0.113.7";
    assert_eq!(
        post_from(&server, home, "/api/reg", &registration("alice")),
        200
    );
    assert_eq!(
        post_from(&server, home, "/api/login", &login("alice", PASSWORD)),
        200
    );
    let guess = |server: &TestServer, n: usize| {
        post_from(
            server,
            &format!("198.51.100.{n}"),
            "/api/login",
            &login("alice", &format!("guess {n}")),
        )
    };
    let answers: Vec<u16> = (0..50).map(|n| guess(&server, n)).collect();
    let verified = answers.iter().filter(|status| **status == 400).count();
    // The bucket holds five, and gets one more each 12 s.
    assert!((5..=15).contains(&verified), "{answers:?}");
    assert_eq!(
        answers.len() - verified,
        answers.iter().filter(|status| **status == 429).count(),
        "{answers:?}"
    );
    assert_eq!(
        post_from(&server, home, "/api/login", &login("alice", PASSWORD)),
        200,
        "the owner, meanwhile"
    );

    // The attack goes on while the server is started again, and what it knows of the owner lasts.
    server.kill();
    server.restart();
    while guess(&server, 60) != 429 {}
    assert_eq!(
        post_from(&server, home, "/api/login", &login("alice", PASSWORD)),
        200,
        "after a restart"
    );
    let at_home: Vec<u16> = (0..20)
        .map(|_| post_from(&server, home, "/api/login", &login("alice", "guess")))
        .collect();
    assert!(
        at_home.contains(&429),
        "a known address does not guess without end either: {at_home:?}"
    );
}
