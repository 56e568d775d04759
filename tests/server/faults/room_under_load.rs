//! A live room under load: givers send gifts, the streamer comments, one member receives all
//! events, and guests join and leave. A fault happens meanwhile; then the results of all of them
//! are checked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{PATIENCE, TestServer, User, Ws, eventually};

const GIVERS: usize = 4;
/// Connections of one giver, each of which gives.
const TABS: usize = 3;
const PRICE: i64 = 3;
const COINS: i64 = 1_000_000;

/// Configuration under which no client here meets a rate limit, and the log has all lines for
/// operators.
pub const LOAD_ENV: [(&str, &str); 3] = [
    ("LIVEROOM__LIMITS__COMMANDS_PER_S", "100000"),
    ("LIVEROOM__LIMITS__COMMAND_BURST", "1000"),
    ("RUST_LOG", "info"),
];

/// Between two gifts of one connection: members that read only now and then must be able to take
/// it.
const GIVE_EVERY: Duration = Duration::from_millis(60);
/// How long a giver waits before it sends a refused gift again.
const RETRY_AFTER: Duration = Duration::from_millis(50);
/// Between two comments of the streamer.
const COMMENT_EVERY: Duration = Duration::from_millis(50);

/// The longest a comment may take to its audience whatever the database does: what a session waits
/// for the verdict on a token, and a busy machine.
pub const HEARD_MAX: Duration = Duration::from_secs(4);

/// The state that all threads share.
#[derive(Default)]
struct Progress {
    over: AtomicBool,
    gifts: AtomicUsize,
    refusals: AtomicUsize,
    comments_heard: AtomicUsize,
    comments_refused: AtomicUsize,
}

/// The answers that one giver received.
#[derive(Default)]
struct Given {
    /// Gift records by `request_id`.
    receipts: BTreeMap<String, i64>,
    slowest_answer: Duration,
}

/// The answers that the streamer received.
struct Spoken {
    /// Ids of comments that were acknowledged.
    acked: BTreeSet<String>,
    refused: usize,
    slowest_heard: Duration,
}

/// Everything that a member of the room heard, in order.
struct Heard(Vec<Value>);

pub struct RoomUnderLoad<'a> {
    server: &'a TestServer,
    pub live_id: i64,
    gift_id: i64,
    pub streamer: User,
    guest: Ws,
    givers: Vec<(User, Vec<JoinHandle<Given>>)>,
    speaker: JoinHandle<Spoken>,
    listener: mpsc::Receiver<Heard>,
    progress: Arc<Progress>,
}

/// The results of one run.
#[derive(Debug)]
#[expect(dead_code, reason = "printed, so that a run leaves its figures")]
pub struct Report {
    pub gifts: usize,
    pub refusals: usize,
    pub comments: usize,
    pub comments_refused: usize,
    pub slowest_gift_answer: Duration,
    pub slowest_comment: Duration,
}

impl<'a> RoomUnderLoad<'a> {
    /// Fills a room of `server` and waits until the rain is on.
    pub fn begin(server: &'a TestServer) -> Self {
        let streamer = server.user("streamer");
        let live_id = server.live(&streamer);
        let gift_id = server.gift("flower", PRICE);
        let progress = Arc::new(Progress::default());

        let mut listener = Ws::connect(server, &server.user("listener"));
        listener.join(live_id);
        let (send_heard, heard) = mpsc::channel();
        thread::spawn(move || send_heard.send(listen(listener)));

        let givers = (0..GIVERS).map(|number| {
            let giver = server.rich_user(&format!("giver{number}"), COINS);
            let tabs = (0..TABS).map(|tab| {
                let mut ws = Ws::connect(server, &giver);
                ws.join(live_id);
                let progress = progress.clone();
                thread::spawn(move || give(ws, live_id, gift_id, tab, &progress))
            });
            let tabs = tabs.collect();
            (giver, tabs)
        });
        let givers = givers.collect();
        let mut ws = Ws::connect(server, &streamer);
        ws.join(live_id);
        let told = progress.clone();
        let speaker = thread::spawn(move || speak(ws, live_id, &told));
        let guest = Ws::connect(server, &server.user("guest"));
        let load = Self {
            server,
            live_id,
            gift_id,
            streamer,
            guest,
            givers,
            speaker,
            listener: heard,
            progress,
        };
        load.goes_on();
        load
    }

    /// Waits for more gifts.
    pub fn goes_on(&self) {
        let before = self.progress.gifts.load(Ordering::Relaxed);
        eventually("more gifts", || {
            (self.progress.gifts.load(Ordering::Relaxed) >= before + 50).then_some(())
        });
    }

    /// Waits until some more gifts were refused.
    pub fn gifts_are_refused(&self) {
        let before = self.progress.refusals.load(Ordering::Relaxed);
        eventually("gifts are refused", || {
            (self.progress.refusals.load(Ordering::Relaxed) >= before + GIVERS * TABS).then_some(())
        });
    }

    /// Waits until a giver who comes now is told at once that gifts are not taken.
    pub fn gifts_are_refused_to_strangers(&mut self) {
        self.guest.join(self.live_id);
        eventually("a new gift is refused", || {
            let began = Instant::now();
            let order =
                json!({"live_id": self.live_id, "gift_id": self.gift_id, "request_id": "refused"});
            let answer = self.guest.ask("gift", order);
            let refused = (&answer["ok"], &answer["code"]) == (&json!(false), &json!("busy"));
            (refused && began.elapsed() < HEARD_MAX).then_some(())
        });
        self.guest
            .ask("leaveLive", json!({"live_id": self.live_id}));
    }

    /// Waits until some of the streamer's comments were heard, or refused if that `may_refuse`, and
    /// until the room has seen a guest come and go.
    pub fn room_goes_on(&mut self, may_refuse: bool) {
        let spoken = || {
            let refused = if may_refuse {
                self.progress.comments_refused.load(Ordering::Relaxed)
            } else {
                0
            };
            refused + self.progress.comments_heard.load(Ordering::Relaxed)
        };
        let before = spoken();
        eventually("comments are heard", || {
            (spoken() >= before + 5).then_some(())
        });
        let began = Instant::now();
        self.guest.join(self.live_id);
        let left = self
            .guest
            .ask("leaveLive", json!({"live_id": self.live_id}));
        assert_eq!(left["ok"], json!(true), "{left}");
        assert!(
            began.elapsed() < HEARD_MAX,
            "a guest waited {:?}",
            began.elapsed()
        );
    }

    /// Waits until `/readyz` names the store.
    pub fn store_is_said_to_fail(&self) -> Duration {
        let began = Instant::now();
        let answer = eventually("/readyz says that the store fails", || {
            let answer = self.server.get("/readyz");
            (answer.status == 503).then(|| answer.json())
        });
        assert_eq!(
            answer,
            json!({"status": "unavailable", "failing": ["store"]})
        );
        began.elapsed()
    }

    /// Waits until the node is ready and the rain is on again; returns how long each took.
    pub fn heals(&self) -> (Duration, Duration) {
        let began = Instant::now();
        eventually("/readyz says that all is well", || {
            (self.server.get("/readyz").status == 200).then_some(())
        });
        let ready = began.elapsed();
        self.goes_on();
        (ready, began.elapsed())
    }

    /// Ends the rain, and checks what everybody was told against the books and against each other.
    pub fn end(self) -> Report {
        self.progress.over.store(true, Ordering::Relaxed);
        let Self {
            server,
            live_id,
            gift_id,
            givers,
            speaker,
            listener,
            progress,
            ..
        } = self;
        let (mut givers_done, mut records) = (Vec::new(), BTreeSet::new());
        for (giver, tabs) in givers {
            let mut all = Given::default();
            for tab in tabs {
                let given = tab.join().expect("a giver is told the truth");
                all.receipts.extend(given.receipts);
                all.slowest_answer = all.slowest_answer.max(given.slowest_answer);
            }
            givers_done.push((giver, all));
        }
        let spoken = speaker.join().expect("the streamer is told the truth");
        server
            .admin_post(
                &format!("/admin/rooms/{live_id}/notice"),
                &json!({"text": THE_END}),
            )
            .ok();
        let Heard(events) = listener
            .recv_timeout(PATIENCE)
            .expect("the listener hears the end");

        server.assert_books_balance();
        for (giver, given) in &givers_done {
            let spent = COINS - server.balance(giver);
            let acked = i64::try_from(given.receipts.len()).expect("a count of gifts");
            assert_eq!(
                spent,
                PRICE * acked,
                "{}: every gift was paid, and none twice",
                giver.name
            );
            let mut ws = Ws::connect(server, giver);
            ws.join(live_id);
            // All of them sent again would take long; a sample of all times of the run.
            for (request_id, record) in given.receipts.iter().step_by(given.receipts.len() / 10 + 1)
            {
                let order =
                    json!({"live_id": live_id, "gift_id": gift_id, "request_id": request_id});
                let again = ws.ask("gift", order);
                assert_eq!(
                    (&again["ok"], &again["gift_record_id"]),
                    (&json!(true), &json!(record)),
                    "{request_id}"
                );
            }
            assert_eq!(
                COINS - server.balance(giver),
                spent,
                "{}: retries move nothing",
                giver.name
            );
            for record in given.receipts.values() {
                assert!(
                    records.insert(*record),
                    "record {record} stands for two gifts"
                );
            }
        }
        server.assert_books_balance();

        assert_order(&events);
        let gifts: Vec<i64> = of(&events, "gift")
            .filter_map(|gift| gift["id"].as_i64())
            .collect();
        let announced: BTreeSet<i64> = gifts.iter().copied().collect();
        assert_eq!(announced.len(), gifts.len(), "a gift was announced twice");
        assert_eq!(announced, records, "what was announced is what was given");
        let comments: BTreeSet<String> = of(&events, "comment")
            .map(|comment| id_of(&comment["id"]))
            .collect();
        assert!(
            comments.is_superset(&spoken.acked),
            "an acknowledged comment was not told"
        );
        let stored = stored_comments(server, live_id);
        let lost: Vec<_> = spoken.acked.difference(&stored).collect();
        assert!(lost.is_empty(), "acknowledged and not stored: {lost:?}");

        let slowest_gift_answer = givers_done
            .iter()
            .map(|(_, given)| given.slowest_answer)
            .max()
            .unwrap_or_default();
        assert!(
            spoken.slowest_heard < HEARD_MAX,
            "a comment took {:?}",
            spoken.slowest_heard
        );
        Report {
            gifts: records.len(),
            refusals: progress.refusals.load(Ordering::Relaxed),
            comments: spoken.acked.len(),
            comments_refused: spoken.refused,
            slowest_gift_answer,
            slowest_comment: spoken.slowest_heard,
        }
    }
}

/// The notice after which nothing is to be heard.
const THE_END: &str = "the end";

/// Gives until the run is over, each gift again and again until it is acknowledged.
fn give(mut ws: Ws, live_id: i64, gift_id: i64, tab: usize, progress: &Progress) -> Given {
    let mut given = Given::default();
    while !progress.over.load(Ordering::Relaxed) {
        let request_id = format!("g-{tab}-{}", given.receipts.len());
        let order = json!({"live_id": live_id, "gift_id": gift_id, "request_id": request_id});
        let record = loop {
            let began = Instant::now();
            let id = ws.send("gift", order.clone());
            let answer = answer_to(&mut ws, id);
            given.slowest_answer = given.slowest_answer.max(began.elapsed());
            if answer["ok"] == json!(true) {
                break answer["gift_record_id"].as_i64().expect("a record");
            }
            assert_eq!(answer["code"], json!("busy"), "{request_id}: {answer}");
            progress.refusals.fetch_add(1, Ordering::Relaxed);
            thread::sleep(RETRY_AFTER);
        };
        given.receipts.insert(request_id, record);
        progress.gifts.fetch_add(1, Ordering::Relaxed);
        thread::sleep(GIVE_EVERY);
    }
    given
}

/// Reads on until the answer to this command; events pass unheard.
fn answer_to(ws: &mut Ws, id: i64) -> Value {
    let began = Instant::now();
    loop {
        let frame = ws
            .read()
            .unwrap_or_else(|| panic!("closed before command {id} was answered"));
        if frame["id"] == json!(id) {
            return frame;
        }
        assert!(began.elapsed() < PATIENCE, "command {id} is not answered");
    }
}

/// Comments until the run is over, each time once the comment before was received or refused.
/// Answers come when they come; at the end all are waited for.
fn speak(mut ws: Ws, live_id: i64, progress: &Progress) -> Spoken {
    let mut spoken = Spoken {
        acked: BTreeSet::new(),
        refused: 0,
        slowest_heard: Duration::ZERO,
    };
    let mut unanswered: BTreeMap<i64, String> = BTreeMap::new();
    let mut number = 0;
    while !progress.over.load(Ordering::Relaxed) {
        let text = format!("comment {number}");
        number += 1;
        let began = Instant::now();
        let id = ws.send(
            "comment",
            json!({"live_id": live_id, "data": text, "request_id": format!("c-{number}")}),
        );
        unanswered.insert(id, text.clone());
        // Until it is heard, or refused.
        loop {
            let frame = ws.read().expect("the streamer stays connected");
            if frame["event"] == json!("comment") && frame["data"]["content"] == json!(text) {
                progress.comments_heard.fetch_add(1, Ordering::Relaxed);
                spoken.slowest_heard = spoken.slowest_heard.max(began.elapsed());
                break;
            }
            take_answer(&frame, &mut unanswered, &mut spoken);
            if frame["id"] == json!(id) && frame["ok"] == json!(false) {
                progress.comments_refused.fetch_add(1, Ordering::Relaxed);
                break;
            }
        }
        thread::sleep(COMMENT_EVERY);
    }
    while !unanswered.is_empty() {
        let frame = ws.read().expect("the streamer stays connected");
        take_answer(&frame, &mut unanswered, &mut spoken);
    }
    spoken
}

fn take_answer(frame: &Value, unanswered: &mut BTreeMap<i64, String>, spoken: &mut Spoken) {
    let Some(text) = frame["id"].as_i64().and_then(|id| unanswered.remove(&id)) else {
        return;
    };
    if frame["ok"] == json!(true) {
        assert!(
            spoken.acked.insert(id_of(&frame["comment_id"])),
            "{text}: an id of its own: {frame}"
        );
    } else {
        assert_eq!(frame["code"], json!("busy"), "{text}: {frame}");
        spoken.refused += 1;
    }
}

/// Hears everything up to the end.
fn listen(mut ws: Ws) -> Heard {
    let mut heard: Vec<Value> = ws.so_far();
    loop {
        let frame = ws.read().expect("the listener stays connected");
        let is_end = frame["event"] == json!("notice") && frame["data"]["text"] == json!(THE_END);
        heard.push(frame);
        if is_end {
            return Heard(heard);
        }
    }
}

/// Ids beyond what JavaScript counts exactly are strings.
fn id_of(id: &Value) -> String {
    id.as_str().map_or_else(|| id.to_string(), str::to_owned)
}

/// The payloads of the events of this name.
fn of<'e>(events: &'e [Value], name: &str) -> impl Iterator<Item = &'e Value> {
    let name = json!(name);
    events
        .iter()
        .filter(move |frame| frame["event"] == name)
        .map(|frame| &frame["data"])
}

/// Fails unless the events that are counted are counted without a gap in one epoch, and comments
/// have ids that rise.
pub fn assert_order(events: &[Value]) {
    let counted: Vec<&Value> = events
        .iter()
        .map(|frame| &frame["data"])
        .filter(|it| it["offset"].is_u64())
        .collect();
    for pair in counted.windows(2) {
        assert_eq!(pair[0]["epoch"], pair[1]["epoch"], "the room did not die");
        assert_eq!(
            pair[0]["offset"].as_u64().map(|offset| offset + 1),
            pair[1]["offset"].as_u64()
        );
    }
    let ids: Vec<i64> = of(events, "comment")
        .filter_map(|comment| id_of(&comment["id"]).parse().ok())
        .collect();
    assert!(
        ids.is_sorted_by(|one, next| one < next),
        "ids of comments do not rise: {ids:?}"
    );
}

/// Ids of all comments that the store has of a live.
pub fn stored_comments(server: &TestServer, live_id: i64) -> BTreeSet<String> {
    let mut ids: BTreeSet<String> = BTreeSet::new();
    let mut before = String::new();
    loop {
        let page = server
            .get(&format!("/api/live/{live_id}/history?limit=100{before}"))
            .ok();
        let page = page.as_array().expect("a list of comments");
        ids.extend(page.iter().map(|comment| id_of(&comment["id"])));
        match page.last() {
            Some(oldest) => before = format!("&before={}", id_of(&oldest["id"])),
            None => return ids,
        }
    }
}
