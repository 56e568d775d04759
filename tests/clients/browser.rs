//! The page in Debian's Chromium, against the real program.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::{PASSWORD, TestServer, User, Ws};
use crate::take_turn;
use serde_json::json;

const CHROMIUM: &str = "/usr/bin/chromium";
const PLAYWRIGHT: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/clients/node_modules/playwright-core"
);
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/browser/page.mjs");
const SCREENSHOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/page.png");

/// The catalogue, cheapest first: name, picture, price.
const GIFTS: [(&str, &str, i64); 6] = [
    ("小花", "rose", 1),
    ("爱心", "heart", 5),
    ("星星", "star", 10),
    ("钻石", "diamond", 66),
    ("皇冠", "crown", 188),
    ("火箭", "rocket", 520),
];

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

#[test]
fn two_tabs_talk_give_and_see_the_streamer_pause() {
    let _turn = take_turn();
    if let Some(what) = missing() {
        eprintln!("skipped: {what}; tests/run.sh installs what this test needs");
        return;
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
    let streamer = server.user("streamer");
    let viewer = server.rich_user("viewer", VIEWER_COINS);
    let live =
        json!({"title": "深夜电台 · late night radio", "cover": "/assets/covers/aurora.svg"});
    let live_id = server.post_as(&streamer, "/api/live/create", &live).ok()["data"]["id"]
        .as_i64()
        .expect("an id");
    server.change_status(&streamer, live_id, "play");
    let mut guests = ["xiaoyu", "mika_chan", "nightowl", "lin.wei"].map(|name| {
        let mut guest = Ws::connect(&server, &server.user(name));
        guest.join(live_id);
        guest
    });

    let stop = AtomicBool::new(false);
    let status = thread::scope(|scope| {
        scope.spawn(|| talk(&mut guests, live_id, &stop));
        let status = Command::new("node")
            .arg(SCRIPT)
            .env("BASE_URL", server.base_url())
            .env("STREAMER", login(&streamer))
            .env("VIEWER", login(&viewer))
            .env("LIVE_ID", live_id.to_string())
            .env("CHROMIUM", CHROMIUM)
            .env("SCREENSHOT", SCREENSHOT)
            .status();
        stop.store(true, Ordering::Relaxed);
        status
    });
    let status = status.expect("node was there a moment ago");
    assert!(status.success(), "the page failed: {status}");
    assert_eq!(
        server.balance(&server.login("viewer")),
        VIEWER_COINS - SPENT_COINS
    );
    server.assert_books_balance();
}
