//! The page in Debian's Chromium, against the real program.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{ADMIN_TOKEN, PASSWORD, TestServer, User, Ws};
use crate::take_turn;
use serde_json::json;

const CHROMIUM: &str = "/usr/bin/chromium";
const PLAYWRIGHT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/clients/node_modules/playwright-core"
);
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser");
const SCREENSHOTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target");

/// The catalogue, cheapest first: name, picture, price.
const GIFTS: [(&str, &str, i64); 6] = [
    ("小花", "rose", 1),
    ("爱心", "heart", 5),
    ("星星", "star", 10),
    ("钻石", "diamond", 66),
    ("皇冠", "crown", 188),
    ("火箭", "rocket", 520),
];

/// The widest balance that the page writes out.
const STREAMER_COINS: i64 = 9_999_999;
const VIEWER_COINS: i64 = 1_000;
/// The script gives two roses, one of them with its answer lost, three hearts and a crown.
const SPENT_COINS: i64 = 2 + 3 * 5 + 188;

/// What other people in the room say, so that the picture shows a room and not an empty hall.
const TALK: [&str; 8] = [
    "这首歌太好听了",
    "hello from Berlin!",
    "主播晚上好～",
    "what's the name of this track?",
    "声音好温柔",
    "good evening everyone",
    "弹幕飞起来了！",
    "love the light tonight",
];
/// Per guest well below the rate limit of a user.
const TALK_EVERY: Duration = Duration::from_millis(600);

/// What is not installed on this machine, in words for whoever reads the test's output.
fn missing() -> Option<String> {
    let node = Command::new("node")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !node.is_ok_and(|status| status.success()) {
        return Some("node is not installed".to_owned());
    }
    [CHROMIUM, PLAYWRIGHT]
        .into_iter()
        .find(|path| !Path::new(path).exists())
        .map(|path| format!("no {path}"))
}

fn login(user: &User) -> String {
    format!("{}:{}", user.name, PASSWORD)
}

/// Talks in turn until told to stop.
fn talk(guests: &mut [Ws], live_id: i64, stop: &AtomicBool) {
    let count = guests.len();
    for turn in 0.. {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let guest = &mut guests[turn % count];
        guest.ask(
            "comment",
            json!({"live_id": live_id, "data": TALK[turn % TALK.len()]}),
        );
        thread::sleep(TALK_EVERY);
    }
}

/// A server with a catalogue and a live on air, for scripts that look at its page.
struct Stage {
    server: TestServer,
    streamer: User,
    live_id: i64,
}

impl Stage {
    /// `None` if what the scripts need is not installed.
    fn set() -> Option<Self> {
        if let Some(what) = missing() {
            eprintln!("skipped: {what}; tests/run.sh installs what this test needs");
            return None;
        }
        // The page needs no entry in a list of origins.
        let server = TestServer::start(&[(
            "LIVEROOM__SERVER__ALLOWED_ORIGINS",
            "https://elsewhere.example",
        )]);
        for (name, image, coin) in GIFTS {
            let gift =
                json!({"name": name, "image": format!("/assets/gifts/{image}.svg"), "coin": coin});
            server.admin_post("/admin/gifts", &gift).ok();
        }
        let streamer = server.rich_user("streamer", STREAMER_COINS);
        let live =
            json!({"title": "深夜电台 · late night radio", "cover": "/assets/covers/aurora.svg"});
        let live_id = server.post_as(&streamer, "/api/live/create", &live).ok()["data"]["id"]
            .as_i64()
            .expect("an id");
        server.change_status(&streamer, live_id, "play");
        Some(Self {
            server,
            streamer,
            live_id,
        })
    }

    /// A user that has joined the room.
    fn guest(&self, name: &str) -> Ws {
        let mut guest = Ws::connect(&self.server, &self.server.user(name));
        guest.join(self.live_id);
        guest
    }

    /// The path of the link by which a new manager sets its password.
    fn setup_link(&self, name: &str, options: &[&str]) -> String {
        let args = [&["manager", "add", name], options].concat();
        let output = self.server.run(&args);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let begin = said.find("/admin/#/setup/");
        let begin = begin.unwrap_or_else(|| panic!("no link: {output:?}"));
        let link = said[begin..].split_whitespace().next();
        link.expect("a link").to_owned()
    }

    /// Runs `{name}.mjs`, which leaves its pictures in `target/{name}*.png`.
    fn run_script(&self, name: &str, users: &[(&str, &User)]) {
        let logins = users.iter().map(|(name, user)| (*name, login(user)));
        self.run_script_with(name, logins.collect());
    }

    fn run_script_with(&self, name: &str, environment: Vec<(&str, String)>) {
        let status = Command::new("node")
            .arg(format!("{SCRIPTS}/{name}.mjs"))
            .env("BASE_URL", self.server.base_url())
            .env("LIVE_ID", self.live_id.to_string())
            .env("ADMIN_TOKEN", ADMIN_TOKEN)
            .env("CHROMIUM", CHROMIUM)
            .env("SCREENSHOT", format!("{SCREENSHOTS}/{name}.png"))
            .env("STREAMER", login(&self.streamer))
            .envs(environment)
            .status()
            .expect("node was there a moment ago");
        assert!(status.success(), "the page failed: {status}");
    }
}

#[test]
fn two_tabs_talk_give_and_see_the_streamer_pause() {
    let _turn = take_turn();
    let Some(stage) = Stage::set() else { return };
    let viewer = stage.server.rich_user("viewer", VIEWER_COINS);
    let mut guests = ["xiaoyu", "mika_chan", "nightowl", "lin.wei"].map(|name| stage.guest(name));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let talking = scope.spawn(|| talk(&mut guests, stage.live_id, &stop));
        let stopping = StopWhenDropped(&stop);
        stage.run_script("page", &[("VIEWER", &viewer)]);
        drop(stopping);
        talking.join().expect("the guests talked to the end");
    });
    let server = &stage.server;
    assert_eq!(
        server.balance(&server.login("viewer")),
        VIEWER_COINS - SPENT_COINS
    );
    server.assert_books_balance();
}

/// Ends the talk of the guests, also when a script fails.
struct StopWhenDropped<'a>(&'a AtomicBool);

impl Drop for StopWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn no_view_is_wider_than_a_phone() {
    let _turn = take_turn();
    let Some(stage) = Stage::set() else { return };
    stage.run_script("phone", &[]);
}

#[test]
fn a_user_changes_its_name_picture_and_password() {
    let _turn = take_turn();
    let Some(stage) = Stage::set() else { return };
    let viewer = stage.server.user("viewer");
    stage.run_script("profile", &[("VIEWER", &viewer)]);
}

#[test]
fn a_newcomer_sees_what_was_said_before_once_and_in_order() {
    let _turn = take_turn();
    let Some(stage) = Stage::set() else { return };
    let viewer = stage.server.user("viewer");
    stage.run_script("history", &[("VIEWER", &viewer)]);
}

#[test]
fn a_streamer_and_a_moderator_keep_order_on_the_page_and_those_concerned_read_why() {
    let _turn = take_turn();
    let Some(stage) = Stage::set() else { return };
    let [moderator, talker, troll] =
        ["moderator", "talker", "troll"].map(|name| stage.server.user(name));
    let users = [
        ("MODERATOR", &moderator),
        ("TALKER", &talker),
        ("TROLL", &troll),
    ];
    stage.run_script("moderation", &users);
}

#[test]
fn viewers_see_the_modes_of_a_room_and_read_what_is_asked_of_them() {
    let _turn = take_turn();
    let Some(stage) = Stage::set() else { return };
    let viewer = stage.server.rich_user("viewer", VIEWER_COINS);
    stage.run_script("modes", &[("VIEWER", &viewer)]);
}

#[test]
fn reported_and_held_comments_wait_for_those_who_keep_order() {
    let _turn = take_turn();
    let Some(stage) = Stage::set() else { return };
    stage
        .server
        .admin_post_text("/admin/filter/import", "dubious\thold\n")
        .ok();
    let [viewer, talker] = ["viewer", "talker"].map(|name| stage.server.user(name));
    stage.run_script("review", &[("VIEWER", &viewer), ("TALKER", &talker)]);
}

#[test]
fn an_operator_steers_a_room_from_the_console() {
    let _turn = take_turn();
    let Some(stage) = Stage::set() else { return };
    stage
        .server
        .admin_post_text("/admin/filter/import", "dubious\thold\n")
        .ok();
    let viewer = stage.server.rich_user("viewer", VIEWER_COINS);
    let talker = stage.server.user("talker");
    let operator = ["--role", "operator", "--admin"];
    let environment = vec![
        ("SETUP", stage.setup_link("ann", &operator)),
        ("VIEWER", login(&viewer)),
        ("TALKER", login(&talker)),
    ];
    stage.run_script_with("console", environment);
    stage.server.assert_books_balance();
}

#[test]
fn every_page_of_the_console_fits_a_phone_and_a_desk_in_both_languages() {
    let _turn = take_turn();
    let Some(stage) = Stage::set() else { return };
    stage.run_script("console_pages", &[]);
}
