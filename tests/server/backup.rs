//! Copies of the database that are made while gifts are given, and servers that go on from them: as
//! the README says, step by step.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};

use serde_json::{Value, json};

use crate::support::postgres::Postgres;
use crate::support::{TestServer, User, Ws, eventually};

const PRICE: i64 = 3;
const COINS: i64 = 10_000_000;

/// A viewer that gives a gift, waits for its answer and gives the next, until it is stopped.
struct Giving {
    /// Name of the request and number of the record of each gift that was acknowledged, in order.
    acked: Arc<Mutex<Vec<(String, Value)>>>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Giving {
    fn start(server: &TestServer, giver: &User, live: i64, gift: i64) -> Self {
        let (acked, is_over) = (
            Arc::<Mutex<Vec<_>>>::default(),
            Arc::<AtomicBool>::default(),
        );
        let mut ws = Ws::connect(server, giver);
        ws.join(live);
        let (keep, stop) = (acked.clone(), is_over.clone());
        let thread = thread::spawn(move || {
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let request_id = format!("gift-{number}");
                let record = give(&mut ws, live, gift, &request_id);
                keep.lock().unwrap().push((request_id, record));
            }
        });
        Self {
            acked,
            is_over,
            thread,
        }
    }

    fn acked_count(&self) -> usize {
        self.acked.lock().unwrap().len()
    }

    fn wait_for_more(&self) {
        let before = self.acked_count();
        eventually("gifts are acknowledged", || {
            (self.acked_count() > before).then_some(())
        });
    }

    fn stop(self) -> Vec<(String, Value)> {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.join().expect("it gave until the end");
        self.acked.lock().unwrap().clone()
    }
}

/// Gives a gift, and returns the number of its record.
fn give(ws: &mut Ws, live: i64, gift: i64, request_id: &str) -> Value {
    let command = json!({"live_id": live, "gift_id": gift, "request_id": request_id});
    let answer = ws.ask("gift", command);
    assert_eq!(answer["ok"], json!(true), "{answer}");
    answer["gift_record_id"].clone()
}

/// A room of which a copy is to be made.
struct Scene {
    live: i64,
    gift: i64,
    giver: User,
}

impl Scene {
    fn set(server: &TestServer) -> Self {
        let live = server.live(&server.user("streamer"));
        let gift = server.gift("flower", PRICE);
        let giver = server.rich_user("giver1", COINS);
        Self { live, gift, giver }
    }

    /// Goes on from a copy in which these gifts are for certain: the books balance, each gift is
    /// recognised, and the next one is given.
    fn go_on(&self, restored: &TestServer, acked: &[(String, Value)]) {
        restored.assert_books_balance();
        let before = restored.balance(&self.giver);
        let mut ws = Ws::connect(restored, &self.giver);
        ws.join(self.live);
        for (request_id, record) in acked {
            assert_eq!(
                give(&mut ws, self.live, self.gift, request_id),
                *record,
                "{request_id}"
            );
        }
        assert_eq!(
            restored.balance(&self.giver),
            before,
            "retries cost nothing"
        );
        give(&mut ws, self.live, self.gift, "after-the-restore");
        assert_eq!(restored.balance(&self.giver), before - PRICE);
        restored.assert_books_balance();
    }
}

fn backup(server: &TestServer, to: &Path) -> Output {
    server.run(&["backup", to.to_str().expect("a path in UTF-8")])
}

fn assert_done(output: &Output) {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn refusal_of(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn sqlite_is_copied_while_gifts_go_on_and_a_server_goes_on_from_the_copy() {
    let server = TestServer::start(&[("LIVEROOM__LIMITS__COMMANDS_PER_S", "100000")]);
    let scene = Scene::set(&server);
    let giving = Giving::start(&server, &scene.giver, scene.live, scene.gift);
    giving.wait_for_more();

    let mut copies = 0;
    let (copy, in_copy) = eventually("a gift is acknowledged while a copy is made", || {
        copies += 1;
        let copy = server.dir().join(format!("copy-{copies}.db"));
        let before = giving.acked_count();
        assert_done(&backup(&server, &copy));
        (giving.acked_count() > before).then_some((copy, before))
    });
    giving.wait_for_more();
    let acked = giving.stop();

    let mode = fs::metadata(&copy).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o600, "only its owner may read it");
    let url = format!("sqlite://{}", copy.display());
    let restored = TestServer::start(&[("LIVEROOM__STORE__URL", &url)]);
    scene.go_on(&restored, &acked[..in_copy]);
    // The other is as it was.
    server.assert_books_balance();
}

#[test]
fn a_copy_replaces_no_file_and_an_interrupted_one_is_replaced() {
    let server = TestServer::start(&[]);
    let copy = server.dir().join("copy.db");
    fs::write(&copy, "mine").unwrap();
    let refusal = refusal_of(&backup(&server, &copy));
    assert!(refusal.contains("copy.db"), "{refusal}");
    assert_eq!(fs::read_to_string(&copy).unwrap(), "mine");

    fs::remove_file(&copy).unwrap();
    let part = server.dir().join("copy.db.part");
    fs::write(&part, "half of a copy").unwrap();
    assert_done(&backup(&server, &copy));
    assert!(!part.exists() && fs::read(&copy).unwrap().starts_with(b"SQLite format 3\0"));

    let nowhere = server.dir().join("no/folder/copy.db");
    refusal_of(&backup(&server, &nowhere));
}

#[test]
fn what_cannot_be_copied_is_refused_and_nothing_is_made() {
    let server = TestServer::start(&[]);
    let copy = server.dir().join("copy.db");
    let to = copy.to_str().unwrap();
    let run =
        |url: &str| crate::support::run_program(&[("LIVEROOM__STORE__URL", url)], &["backup", to]);
    let missing = format!("sqlite://{}", server.dir().join("missing.db").display());
    assert!(refusal_of(&run(&missing)).contains("missing.db"));
    assert!(!server.dir().join("missing.db").exists());
    let postgres = "postgres://postgres@127.0.0.1:1/liveroom";
    assert!(refusal_of(&run(postgres)).contains("pg_dump"));
    assert!(!copy.exists());
}

#[test]
fn postgresql_is_dumped_while_gifts_go_on_and_a_server_goes_on_from_the_dump() {
    let postgres = match Postgres::shared() {
        Ok(postgres) => postgres,
        Err(reason) => return println!("skipped: {reason}"),
    };
    let url = postgres.create_database();
    let server = TestServer::start(&[
        ("LIVEROOM__STORE__URL", &url),
        ("LIVEROOM__LIMITS__COMMANDS_PER_S", "100000"),
    ]);
    let scene = Scene::set(&server);
    let giving = Giving::start(&server, &scene.giver, scene.live, scene.gift);
    giving.wait_for_more();
    let in_dump = giving.acked_count();
    let dump = server.dir().join("liveroom.dump");
    postgres.dump(&url, &dump);
    giving.wait_for_more();
    let acked = giving.stop();

    let new = postgres.create_database();
    postgres.restore(&dump, &new);
    let restored = TestServer::start(&[("LIVEROOM__STORE__URL", &new)]);
    scene.go_on(&restored, &acked[..in_dump]);
    // The audit is append-only there, too.
    let edited = postgres.execute(&new, "DELETE FROM audit");
    assert!(edited.is_err_and(|error| error.contains("append-only")));
}
