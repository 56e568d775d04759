//! PostgreSQL dies, or stands still.

use std::time::{Duration, Instant};

use super::room_under_load::{LOAD_ENV, RoomUnderLoad};
use crate::support::postgres::Postgres;
use crate::support::{TestServer, eventually};

/// A server on a database server of its own.
fn start(env: &[(&str, &str)]) -> Result<(Postgres, TestServer), String> {
    let postgres = Postgres::start()?;
    let server = start_on(&postgres.create_database(), env);
    Ok((postgres, server))
}

fn start_on(url: &str, env: &[(&str, &str)]) -> TestServer {
    let mut all = vec![("LIVEROOM__STORE__URL", url)];
    all.extend(LOAD_ENV.iter().chain(env));
    TestServer::start(&all)
}

#[test]
fn a_database_killed_in_a_rain_of_gifts_and_started_again_costs_nothing_but_time() {
    let (mut postgres, server) = match start(&[]) {
        Ok(started) => started,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let mut load = RoomUnderLoad::begin(&server);

    postgres.kill();
    let failing_after = load.store_is_said_to_fail();
    load.gifts_are_refused();
    load.room_goes_on(false);
    eventually("operators are told", || {
        (!server.logged("store is away").is_empty()).then_some(())
    });

    postgres.restart();
    let (ready, healed) = load.heals();
    eventually("operators are told", || {
        (!server.logged("store is back").is_empty()).then_some(())
    });
    let report = load.end();
    println!(
        "killed: said so after {failing_after:?}, ready {ready:?} and gifts {healed:?} after the restart, {report:?}"
    );
    assert_said_once(&server);
}

/// So short that what the streamer says in a freeze does not fit.
const QUEUE: &str = "32";

/// How long the database stands still: longer than anybody's patience if asked to, else only longer
/// than the patience for gifts.
fn freeze_length() -> Duration {
    let asked = std::env::var("LIVEROOM_TEST_FREEZE_S")
        .ok()
        .map(|text| text.parse().expect("seconds"));
    Duration::from_secs(asked.unwrap_or(7))
}

#[test]
fn a_database_that_stands_still_is_waited_for_with_patience_and_no_longer() {
    // Batches so small that gifts wait behind more comments than go into one.
    let env = [
        ("LIVEROOM__LIMITS__PERSISTER_QUEUE", QUEUE),
        ("LIVEROOM__LIMITS__LEDGER_BATCH", "8"),
        ("LIVEROOM__SERVER__DRAIN_TIMEOUT_MS", "2000"),
    ];
    let (postgres, mut server) = match start(&env) {
        Ok(started) => started,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let mut load = RoomUnderLoad::begin(&server);

    let frozen_at = Instant::now();
    postgres.freeze();
    let live_id = load.live_id;
    let (failing_after, away_after, grown) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let read = server.get(&format!("/api/live/read/{live_id}"));
            assert_eq!(read.status, 503, "{}", read.text());
            assert!(
                frozen_at.elapsed() < READ_ANSWER_MAX,
                "a request waited {:?}",
                frozen_at.elapsed()
            );
        });
        scope.spawn(|| {
            let audit = server.run(&["audit"]);
            assert!(
                !audit.status.success(),
                "nothing can be said of the books now"
            );
            assert!(
                frozen_at.elapsed() < READ_ANSWER_MAX,
                "opening the store took {:?}",
                frozen_at.elapsed()
            );
        });
        let failing_after = load.store_is_said_to_fail();
        load.room_goes_on(false);
        load.gifts_are_refused_to_strangers();
        eventually("operators are told", || {
            (!server.logged("store is away").is_empty()).then_some(())
        });
        let away_after = frozen_at.elapsed();
        let memory = resident_kib(&server);
        eventually("the freeze is over", || {
            load.room_goes_on(true);
            (frozen_at.elapsed() >= freeze_length()).then_some(())
        });
        (
            failing_after,
            away_after,
            resident_kib(&server).saturating_sub(memory),
        )
    });

    let frozen_for = frozen_at.elapsed();
    postgres.thaw();
    let (ready, healed) = load.heals();
    eventually("operators are told", || {
        (!server.logged("store is back").is_empty()).then_some(())
    });
    let report = load.end();
    println!(
        "frozen for {frozen_for:?}: not ready after {failing_after:?}, away after {away_after:?}, grown by {grown} KiB, \
         ready {ready:?} and gifts {healed:?} after the thaw, {report:?}"
    );
    assert_said_once(&server);
    assert!(
        grown < 32 * 1024,
        "what waits for the store is bounded: {grown} KiB"
    );
    assert!(
        report.comments_refused > 0,
        "the queue of {QUEUE} was full: {report:?}"
    );
    assert!(report.slowest_gift_answer < GIFT_ANSWER_MAX, "{report:?}");

    // Whoever stops the server does not wait for the database either.
    postgres.freeze();
    let began = Instant::now();
    server.signal("TERM");
    assert!(server.wait_for_exit().success());
    assert!(
        began.elapsed() < DRAIN_MAX,
        "stopping took {:?}",
        began.elapsed()
    );
    postgres.thaw();
    server.restart();
    server.assert_books_balance();
}

#[test]
fn connections_that_hang_in_a_database_that_lives_are_given_up_and_what_they_did_is_known() {
    let (postgres, server) = match start(&[]) {
        Ok(started) => started,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let load = RoomUnderLoad::begin(&server);

    let frozen_at = Instant::now();
    // A commit may be in any of them, with locks that its successor waits for; or in none, and then
    // nobody has to wait for longer than it takes to find that out.
    postgres.freeze_backends();
    eventually("the freeze is over", || {
        (frozen_at.elapsed() >= freeze_length()).then_some(())
    });
    let frozen_for = frozen_at.elapsed();
    postgres.thaw();
    let (ready, healed) = load.heals();
    let report = load.end();
    let said = server.logged("store is away");
    println!(
        "connections hung for {frozen_for:?}: ready {ready:?} and gifts {healed:?} after the thaw, {report:?}, {said:?}"
    );
    assert!(report.slowest_gift_answer < GIFT_ANSWER_MAX, "{report:?}");
}

/// Runs a room under load during which `begin` makes the database read-only and `end` makes it take
/// writes again.
fn play_while_read_only(server: &TestServer, begin: impl FnOnce(), end: impl FnOnce()) {
    let mut load = RoomUnderLoad::begin(server);
    begin();
    load.store_is_said_to_fail();
    load.gifts_are_refused();
    load.room_goes_on(false);
    let logs_cause = || {
        server
            .logged("away")
            .iter()
            .any(|line| line.contains("read-only"))
    };
    eventually("the log names the cause", || logs_cause().then_some(()));
    for _ in 0..8 {
        let read = server.get(&format!("/api/live/read/{}", load.live_id));
        assert_eq!(
            read.status,
            200,
            "what can be read is read: {}",
            read.text()
        );
        let login = serde_json::json!({"username": load.streamer.name, "password": crate::support::PASSWORD});
        assert_eq!(
            server.post("/api/login", &login).status,
            503,
            "a login cannot be stored"
        );
    }
    end();
    load.heals();
    for _ in 0..8 {
        server.login("guest");
    }
    load.end();
    assert_said_once(server);
    for words in ["not ready: part=store", "ready again: part=store"] {
        assert_eq!(
            server.logged(words).len(),
            1,
            "one line however often /readyz is asked: {words}"
        );
    }
}

#[test]
fn a_database_that_takes_no_writes_for_a_while_is_away_until_it_does() {
    let (postgres, server) = match start(&[]) {
        Ok(started) => started,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let admin = postgres.admin_url();
    let set = |sql: &str| {
        for sql in [sql, "SELECT pg_reload_conf()"] {
            postgres
                .execute(&admin, sql)
                .expect("settings can be changed");
        }
    };
    play_while_read_only(
        &server,
        || set("ALTER SYSTEM SET default_transaction_read_only = on"),
        || set("ALTER SYSTEM RESET default_transaction_read_only"),
    );
}

#[test]
fn connections_that_stay_read_only_when_the_database_takes_writes_again_are_discarded() {
    let Ok(postgres) = Postgres::start().inspect_err(|reason| println!("skipped: {reason}")) else {
        return;
    };
    let url = postgres.create_database();
    let server = start_on(&url, &[]);
    let (admin, name) = (
        postgres.admin_url(),
        url.rsplit('/').next().expect("a name"),
    );
    let run = |sql: &str| {
        postgres
            .execute(&admin, sql)
            .expect("settings can be changed")
    };
    // Sessions take this setting when they begin, and keep it.
    play_while_read_only(
        &server,
        || {
            run(&format!(
                "ALTER DATABASE {name} SET default_transaction_read_only = on"
            ));
            run(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            ));
        },
        || {
            run(&format!(
                "ALTER DATABASE {name} RESET default_transaction_read_only"
            ))
        },
    );
}

#[test]
fn of_two_hosts_the_one_that_takes_writes_is_used_and_the_promoted_one_when_it_dies() {
    let Ok(mut primary) = Postgres::start().inspect_err(|reason| println!("skipped: {reason}"))
    else {
        return;
    };
    let url = primary.create_database();
    let standby = primary.standby();
    // Nothing that was answered is lost with the primary.
    for sql in [
        "ALTER SYSTEM SET synchronous_standby_names = '*'",
        "SELECT pg_reload_conf()",
    ] {
        primary
            .execute(&primary.admin_url(), sql)
            .expect("settings can be changed");
    }
    // The standby comes first: it answers, and is passed over.
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", standby.port(), primary.port());
    let server = start_on(
        &url.replace(&format!("127.0.0.1:{}", primary.port()), &hosts),
        &[],
    );
    let mut load = RoomUnderLoad::begin(&server);

    primary.kill();
    load.store_is_said_to_fail();
    load.gifts_are_refused();
    load.room_goes_on(false);

    standby.promote();
    let (ready, healed) = load.heals();
    let report = load.end();
    println!("promoted: ready {ready:?} and gifts {healed:?} after it, {report:?}");
    assert_said_once(&server);
}

/// The patience of the store with one call and that of the persister with a gift, and a busy
/// machine.
const GIFT_ANSWER_MAX: Duration = Duration::from_secs(22);

/// What a request waits for a connection and for its answer, and a busy machine.
const READ_ANSWER_MAX: Duration = Duration::from_secs(20);

/// The drain's time limit, twice over.
const DRAIN_MAX: Duration = Duration::from_secs(4);

fn resident_kib(server: &TestServer) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()))
        .expect("a Linux with /proc");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("its memory");
    line.trim()
        .trim_end_matches(" kB")
        .parse()
        .expect("a number")
}

fn assert_said_once(server: &TestServer) {
    for words in ["store is away", "store is back"] {
        let lines = server.logged(words);
        assert_eq!(lines.len(), 1, "one line each: {lines:?}");
    }
}
