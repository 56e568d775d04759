//! The machine's clock jumps by an hour while the server runs. Lengths (of a grace, of a penalty)
//! may then be cut short, never stretched.

use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::room_under_load::{LOAD_ENV, RoomUnderLoad};
use crate::support::{TestServer, Ws, eventually};

const HOUR_S: i64 = 3_600;
/// How long a user whose connection dropped stays online.
const GRACE: Duration = Duration::from_secs(2);
/// The grace, once more where a clock that was set back begins it anew, and a busy machine.
const GONE_MAX: Duration = Duration::from_secs(10);
/// An emptied bucket of comments is full again after 15 s.
const PENALTY_MAX_MS: i64 = 15_000;

/// A clock that one server believes.
struct Clock {
    dir: TempDir,
    library: PathBuf,
}

impl Clock {
    /// `Err` says why there can be none here.
    fn new() -> Result<Self, String> {
        let folders = std::fs::read_dir("/usr/lib")
            .into_iter()
            .flatten()
            .flatten();
        let libraries = folders.map(|folder| folder.path().join("faketime/libfaketimeMT.so.1"));
        let library = libraries
            .into_iter()
            .find(|path| path.is_file())
            .ok_or("libfaketime is not installed")?;
        let clock = Self {
            dir: TempDir::new().expect("a temporary folder"),
            library,
        };
        clock.set(0);
        Ok(clock)
    }

    /// Off the machine's clock by so much from here on.
    fn set(&self, offset_s: i64) {
        // Renamed into place: a reader finds one or the other.
        let new = self.dir.path().join("new");
        std::fs::write(&new, format!("{offset_s:+}\n")).expect("a file");
        std::fs::rename(new, self.file()).expect("a new name");
    }

    fn file(&self) -> PathBuf {
        self.dir.path().join("offset")
    }

    fn start_server(&self, env: &[(&str, &str)]) -> TestServer {
        let (library, file) = (
            self.library.display().to_string(),
            self.file().display().to_string(),
        );
        let mut all = vec![
            ("LD_PRELOAD", library.as_str()),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_CACHE_DURATION", "1"),
            // Timers run on: what jumps is the time of day.
            ("DONT_FAKE_MONOTONIC", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ];
        all.extend(env);
        TestServer::start(&all)
    }

    /// Jumps, and waits until the server has noticed.
    fn jump(&self, offset_s: i64, witness: &mut Ws, live_id: i64) {
        self.set(offset_s);
        eventually("the server sees the other time", || {
            let off_s = (said_at(witness, live_id) - now_ms()) / 1_000;
            ((off_s - offset_s).abs() < 60).then_some(())
        });
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the end of time")
}

/// Posts a comment as the live's streamer, and returns when the server says that this was.
fn said_at(streamer: &mut Ws, live_id: i64) -> i64 {
    let asked = streamer.ask(
        "comment",
        json!({"live_id": live_id, "data": "what time is it?"}),
    );
    assert_eq!(asked["ok"], json!(true), "{asked}");
    let id = asked["comment_id"].clone();
    streamer.event_where("comment", |comment| comment["id"] == id)["at"]
        .as_i64()
        .expect("a time")
}

/// Comes, and is cut off without a good-bye.
fn come_and_get_lost(server: &TestServer, name: &str, live_id: i64) -> i64 {
    let user = server.user(name);
    let mut ws = Ws::connect(server, &user);
    ws.join(live_id);
    user.id
}

/// Waits until a member hears that this user left.
fn hears_leave(member: &mut Ws, user: i64) -> Duration {
    let began = Instant::now();
    member.event_where("online", |online| {
        online["action"] == json!("leave") && online["user"]["id"] == json!(user)
    });
    began.elapsed()
}

/// Posts until the limit says no.
fn talk_until_refused(ws: &mut Ws, live_id: i64) {
    let refused = eventually("the limit is reached", || {
        let answer = ws.ask(
            "comment",
            json!({"live_id": live_id, "data": "and another thing"}),
        );
        (answer["ok"] == json!(false)).then_some(answer)
    });
    assert_eq!(refused["code"], json!("rate_limited"), "{refused}");
}

#[test]
fn an_hour_forward_and_an_hour_back_hold_nobody_up_and_leave_order_and_books_exact() {
    let clock = match Clock::new() {
        Ok(clock) => clock,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let grace_ms = GRACE.as_millis().to_string();
    let mut env = vec![("LIVEROOM__PRESENCE__LEAVE_GRACE_MS", grace_ms.as_str())];
    env.extend(LOAD_ENV);
    let server = clock.start_server(&env);
    let mut load = RoomUnderLoad::begin(&server);
    let live_id = load.live_id;
    let mut witness = Ws::connect(&server, &load.streamer);
    witness.join(live_id);
    let chatter = server.user("chatter");
    let mut chat = Ws::connect(&server, &chatter);

    let mut figures = Vec::new();
    for offset_s in [HOUR_S, 0] {
        let lost = come_and_get_lost(&server, &format!("lost{}", figures.len()), live_id);
        chat.join(live_id);
        talk_until_refused(&mut chat, live_id);
        chat.ask("leaveLive", json!({"live_id": live_id}));
        // A token from before the jump, on a connection after it.
        let early = server.user(&format!("early{}", figures.len()));
        clock.jump(offset_s, &mut witness, live_id);

        let gone_after = hears_leave(&mut witness, lost);
        assert!(
            gone_after < GONE_MAX,
            "{offset_s}: a lost user stayed for {gone_after:?}"
        );
        chat.join(live_id);
        let began = Instant::now();
        eventually("the penalty ends", || {
            let answer = chat.ask("comment", json!({"live_id": live_id, "data": "back again"}));
            let wait_ms = answer["retry_after_ms"].as_i64().unwrap_or_default();
            assert!(wait_ms <= PENALTY_MAX_MS, "{offset_s}: {answer}");
            (answer["ok"] == json!(true)).then_some(())
        });
        let free_after = began.elapsed();
        chat.ask("leaveLive", json!({"live_id": live_id}));
        let mut ws = Ws::connect(&server, &early);
        ws.join(live_id);
        let late = server.login(&early.name);
        let mut ws = Ws::connect(&server, &late);
        ws.join(live_id);
        let lost = come_and_get_lost(&server, &format!("later{}", figures.len()), live_id);
        let later_gone_after = hears_leave(&mut witness, lost);
        assert!(
            later_gone_after < GONE_MAX,
            "{offset_s}: a user lost after the jump stayed for {later_gone_after:?}"
        );
        load.room_goes_on(false);
        load.goes_on();
        figures.push((offset_s, gone_after, free_after, later_gone_after));
    }
    let report = load.end();
    println!("offset, gone after, free after, gone later after: {figures:?}, {report:?}");
}

#[test]
fn who_comes_back_hears_what_it_missed_when_the_clock_was_set_back_and_is_told_that_it_cannot_when_forward()
 {
    let clock = match Clock::new() {
        Ok(clock) => clock,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let server = clock.start_server(&LOAD_ENV);
    let streamer = server.user("streamer");
    let live_id = server.live(&streamer);
    let mut ws = Ws::connect(&server, &streamer);
    let viewer = server.user("viewer");
    for (offset_s, recovers) in [(-HOUR_S, true), (0, false)] {
        let seen = ws.join(live_id);
        ws.ask(
            "comment",
            json!({"live_id": live_id, "data": "missed", "request_id": "once"}),
        );
        clock.jump(offset_s, &mut ws, live_id);
        let since = json!({"epoch": seen["epoch"], "offset": seen["offset"]});
        let mut back = Ws::connect(&server, &viewer);
        let joined = back.ask("joinLive", json!({"live_id": live_id, "since": since}));
        assert_eq!(joined["recovered"], json!(recovers), "{offset_s}: {joined}");
        if recovers {
            let missed = back.event("comment");
            assert_eq!(
                missed["offset"].as_u64(),
                seen["offset"].as_u64().map(|offset| offset + 1),
                "{missed}"
            );
        }
    }
}

#[test]
fn a_token_ends_when_the_clock_says_so_and_what_is_said_after_a_restart_comes_last() {
    let clock = match Clock::new() {
        Ok(clock) => clock,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let mut env = vec![("LIVEROOM__AUTH__TOKEN_TTL_S", "1800")];
    env.extend(LOAD_ENV);
    let mut server = clock.start_server(&env);
    let streamer = server.user("streamer");
    let live_id = server.live(&streamer);
    let mut ws = Ws::connect(&server, &streamer);
    ws.join(live_id);

    clock.set(HOUR_S);
    let refused = eventually("the token expires", || {
        let answer = ws.ask("comment", json!({"live_id": live_id, "data": "still me"}));
        (answer["ok"] == json!(false)).then_some(answer)
    });
    assert_eq!(refused["code"], json!("token_expired"), "{refused}");

    let streamer = server.login("streamer");
    let mut ws = Ws::connect(&server, &streamer);
    ws.join(live_id);
    clock.jump(HOUR_S, &mut ws, live_id);
    // An hour early, that token is good all the same.
    clock.jump(0, &mut ws, live_id);

    // What is said after a restart is said after what was said before it, whatever the clock says.
    let newest = |server: &TestServer| {
        server
            .get(&format!("/api/live/{live_id}/history?limit=1"))
            .ok()[0]
            .take()
    };
    let before = newest(&server);
    clock.set(-HOUR_S);
    server.kill();
    server.restart();
    let mut ws = Ws::connect(&server, &streamer);
    ws.join(live_id);
    said_at(&mut ws, live_id);
    let after = newest(&server);
    let said_on = |comment: &Value| comment["at"].as_i64().expect("a time");
    assert!(
        said_on(&after) < said_on(&before) && after["id"] != before["id"],
        "{before} {after}"
    );
}
