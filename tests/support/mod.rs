//! What tests of the running program share: a server of their own on a free port in a folder of
//! its own, and clients that speak to it.
//!
//! Everything is blocking and bounded by [`PATIENCE`]: a test that waits for something says what
//! for, and fails with that when it does not come.

#![allow(
    dead_code,
    unused_imports,
    unused_macros,
    reason = "each test program uses a part of this"
)]

pub mod certificates;
pub mod client_stream;
pub mod cluster;
pub mod console;
pub mod database;
pub mod http;
pub mod jwt;
pub mod ledger;
pub mod member;
pub mod postgres;
pub mod proxy;
pub mod redis;
pub mod redis_groups;
pub mod room_log;
pub mod socketio;
pub mod ws;

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

pub use http::Answer;
pub use ws::Ws;

/// The longest a test waits for anything. Far above what anything takes, so that a busy machine
/// does not fail a test, and far below a human's patience.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub const ADMIN_TOKEN: &str = "test-admin-token-0123456789";
pub const JWT_SECRET: &str = "test-secret-test-secret-test-secret-0123";

/// The password of every [`User`].
pub const PASSWORD: &str = "correct horse";

/// A liveroom process. Stopped when dropped, its folder removed with it.
pub struct TestServer {
    dir: TempDir,
    env: Vec<(String, String)>,
    log: ServerLog,
    child: Child,
    port: u16,
    /// Its limit of open files, where a test sets one.
    files_max: Option<usize>,
}

/// What a server wrote to its log, over all its starts.
#[derive(Clone, Default)]
struct ServerLog(Arc<Mutex<Vec<String>>>);

/// An account with a token, ready to speak.
#[derive(Debug, Clone)]
pub struct User {
    pub id: i64,
    pub name: String,
    pub token: String,
}

impl TestServer {
    /// Starts a server with the limits that hinder tests raised; `env` overrides any key, as
    /// `("LIVEROOM__SECTION__KEY", "value")`.
    pub fn start(env: &[(&str, &str)]) -> Self {
        Self::start_limited(env, None)
    }

    /// Starts a server that may have `files_max` files open.
    pub fn start_with_files_max(files_max: usize, env: &[(&str, &str)]) -> Self {
        Self::start_limited(env, Some(files_max))
    }

    fn start_limited(env: &[(&str, &str)], files_max: Option<usize>) -> Self {
        let dir = TempDir::new().expect("a temporary folder");
        let database = format!("sqlite://{}", dir.path().join("liveroom.db").display());
        let defaults = [
            ("LIVEROOM__SERVER__PORT", "0"),
            ("LIVEROOM__SERVER__WORKERS", "2"),
            ("LIVEROOM__SERVER__ROOM_THREADS", "2"),
            ("LIVEROOM__STORE__URL", database.as_str()),
            ("LIVEROOM__AUTH__JWT_SECRET", JWT_SECRET),
            ("LIVEROOM__ADMIN__TOKEN", ADMIN_TOKEN),
            ("LIVEROOM__LIMITS__LOGINS_PER_MIN", "100000"),
            ("LIVEROOM__LIMITS__REGISTRATIONS_PER_HOUR", "100000"),
            ("LIVEROOM__LIMITS__CONNECTIONS_PER_ADDRESS", "10000"),
            ("LIVEROOM__LIMITS__STREAMER_COMMENT_BURST", "100000"),
            ("LIVEROOM__LIMITS__STREAMER_COMMENTS_PER_30S", "100000"),
        ];
        let all = defaults
            .iter()
            .chain(env)
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let log = ServerLog::default();
        let (child, port) = spawn(dir.path(), &all, files_max, &log);
        Self {
            dir,
            env: all,
            log,
            child,
            port,
            files_max,
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its resident memory, in KiB.
    pub fn memory_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))
            .expect("the server runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .expect("its memory");
        line.trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number of KiB")
    }

    pub fn base_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The SQLite file, if the server was started on it.
    pub fn database(&self) -> PathBuf {
        self.dir.path().join("liveroom.db")
    }

    /// SIGKILL: nothing gets to say good-bye.
    pub fn kill(&mut self) {
        self.child.kill().expect("the server was running");
        self.child.wait().expect("a child can be waited for");
    }

    /// Sends a signal by name, such as `TERM` or `STOP`.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.pid().to_string()])
            .status();
        assert!(status.expect("kill runs").success(), "signal {name}");
    }

    /// Waits until the process has ended by itself.
    pub fn wait_for_exit(&mut self) -> std::process::ExitStatus {
        eventually("the server exits", || {
            self.child.try_wait().expect("a child can be waited for")
        })
    }

    /// Changes one key from the next start on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.env.push((key.to_owned(), value.to_owned()));
    }

    /// Starts again over the same data, after [`TestServer::kill`] or an exit. The port is new.
    pub fn restart(&mut self) {
        let ended = self.child.try_wait().expect("a child can be waited for");
        assert!(
            ended.is_some(),
            "the server runs: a second one would go on beside it"
        );
        let (child, port) = spawn(self.dir.path(), &self.env, self.files_max, &self.log);
        self.child = child;
        self.port = port;
    }

    /// Lines of its log that hold these words, oldest first. Below `warn` only if `RUST_LOG` says
    /// so.
    pub fn logged(&self, words: &str) -> Vec<String> {
        let lines = self.log.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .filter(|line| line.contains(words))
            .cloned()
            .collect()
    }

    /// Runs the program once with the server's configuration, for `audit` and the like.
    pub fn run(&self, args: &[&str]) -> std::process::Output {
        command(self.dir.path(), &self.env, self.files_max)
            .args(args)
            .output()
            .expect("the program runs")
    }

    pub fn get(&self, path: &str) -> Answer {
        http::request(self.port, "GET", path, &[], None)
    }

    pub fn post(&self, path: &str, body: &Value) -> Answer {
        http::request(self.port, "POST", path, &[], Some(body))
    }

    /// Asks as `user`.
    pub fn post_as(&self, user: &User, path: &str, body: &Value) -> Answer {
        http::request(
            self.port,
            "POST",
            path,
            &[("token", &user.token)],
            Some(body),
        )
    }

    pub fn get_as(&self, user: &User, path: &str) -> Answer {
        http::request(self.port, "GET", path, &[("token", &user.token)], None)
    }

    pub fn admin_get(&self, path: &str) -> Answer {
        http::request(
            self.port,
            "GET",
            path,
            &[("authorization", &format!("Bearer {ADMIN_TOKEN}"))],
            None,
        )
    }

    pub fn admin_post(&self, path: &str, body: &Value) -> Answer {
        http::request(
            self.port,
            "POST",
            path,
            &[("authorization", &format!("Bearer {ADMIN_TOKEN}"))],
            Some(body),
        )
    }

    /// Sends lines, as lists are imported.
    pub fn admin_post_text(&self, path: &str, lines: &str) -> Answer {
        let headers = [("authorization", &*format!("Bearer {ADMIN_TOKEN}"))];
        http::request_bytes(self.port, "POST", path, &headers, lines.as_bytes())
    }

    pub fn admin_delete(&self, path: &str) -> Answer {
        http::request(
            self.port,
            "DELETE",
            path,
            &[("authorization", &format!("Bearer {ADMIN_TOKEN}"))],
            None,
        )
    }

    /// Registers `name` (5 to 20 characters) and logs it in.
    pub fn user(&self, name: &str) -> User {
        self.post(
            "/api/reg",
            &json!({"username": name, "password": PASSWORD, "repassword": PASSWORD}),
        )
        .ok();
        self.login(name)
    }

    /// Logs in a user made by [`TestServer::user`]; the token before is no longer good.
    pub fn login(&self, name: &str) -> User {
        let user = self
            .post(
                "/api/login",
                &json!({"username": name, "password": PASSWORD}),
            )
            .ok();
        User {
            id: user["id"].as_i64().expect("an id"),
            name: name.to_owned(),
            token: user["token"].as_str().expect("a token").to_owned(),
        }
    }

    /// A user with coins.
    pub fn rich_user(&self, name: &str, coins: i64) -> User {
        let user = self.user(name);
        let grant = json!({"delta": coins, "request_id": format!("seed-{name}")});
        self.admin_post(&format!("/admin/users/{}/coins", user.id), &grant)
            .ok();
        user
    }

    pub fn balance(&self, user: &User) -> i64 {
        self.get_as(user, "/api/user/info").ok()["coin"]
            .as_i64()
            .expect("a balance")
    }

    /// A live of `owner`, on air.
    pub fn live(&self, owner: &User) -> i64 {
        let id = self.scheduled_live(owner);
        self.change_status(owner, id, "play");
        id
    }

    /// A live of `owner`, not started.
    pub fn scheduled_live(&self, owner: &User) -> i64 {
        let created = self
            .post_as(
                owner,
                "/api/live/create",
                &json!({"title": "a live", "cover": "/c.png"}),
            )
            .ok();
        created["data"]["id"].as_i64().expect("an id")
    }

    /// `play`, `pause` or `stop`.
    pub fn change_status(&self, owner: &User, live_id: i64, kind: &str) {
        self.post_as(
            owner,
            "/api/live/changestatus",
            &json!({"id": live_id, "type": kind}),
        )
        .ok();
    }

    pub fn gift(&self, name: &str, price: i64) -> i64 {
        let gift = json!({"name": name, "image": "/public/gift/flower.png", "coin": price});
        self.admin_post("/admin/gifts", &gift).ok()["id"]
            .as_i64()
            .expect("an id")
    }

    /// Fails unless the running server proves its books.
    pub fn assert_books_balance(&self) {
        let proof = self.admin_get("/admin/ledger/proof").ok();
        assert_eq!(proof["balanced"], json!(true), "{proof}");
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        // It may have ended already; in a test that fails that may be why.
        if let Ok(Some(status)) = self.child.try_wait()
            && std::thread::panicking()
        {
            eprintln!("the server had ended before the test did: {status}");
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the program to its end with this configuration alone, in a folder of its own.
pub fn run_program(env: &[(&str, &str)], args: &[&str]) -> std::process::Output {
    let dir = TempDir::new().expect("a temporary folder");
    let env = env
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    command(dir.path(), &env, None)
        .args(args)
        .output()
        .expect("the program runs")
}

fn command(dir: &Path, env: &Vec<(String, String)>, files_max: Option<usize>) -> Command {
    let program = env!("CARGO_BIN_EXE_liveroom");
    let mut command = Command::new(program);
    if let Some(files_max) = files_max {
        command = Command::new("prlimit");
        command.args([&format!("--nofile={files_max}"), program]);
    }
    command
        .current_dir(dir)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env(
        "RUST_LOG",
        std::env::var_os("RUST_LOG").unwrap_or_else(|| "warn".into()),
    );
    for (key, value) in env {
        command.env(key, value);
    }
    command
}

/// Starts `serve` and reads the port it says it listens on.
fn spawn(
    dir: &Path,
    env: &Vec<(String, String)>,
    files_max: Option<usize>,
    log: &ServerLog,
) -> (Child, u16) {
    let mut serve = command(dir, env, files_max);
    serve
        .arg("serve")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = serve.spawn().expect("the server starts");
    let (stderr, log) = (child.stderr.take().expect("stderr is piped"), log.clone());
    std::thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            eprintln!("{line}");
            log.0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(line);
        }
    });
    let stdout = child.stdout.take().expect("stdout is piped");
    let (found, port) = mpsc::channel();
    // Reads on until the end, so that the server never blocks on a full pipe.
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some((_, address)) = line.split_once("listening on http://") {
                let port = address
                    .rsplit(':')
                    .next()
                    .and_then(|port| port.trim_end_matches('/').parse().ok());
                // Nobody waits for a second line.
                let _ = found.send(port);
            }
        }
    });
    match port.recv_timeout(PATIENCE) {
        Ok(Some(port)) => (child, port),
        outcome => {
            let _ = child.kill();
            panic!("the server did not say where it listens: {outcome:?}");
        }
    }
}

/// Waits for `attempt` to find what it looks for.
pub fn eventually<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
