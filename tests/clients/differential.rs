//! The same scripts of frames go to socket.io 4.8 and to this server; each difference is listed,
//! with its reason, in `tests/differential/differences.mjs` and in the README, or it fails the
//! test.
//!
//! Scripts are generated from a grammar (`grammar.mjs`), thousands in a run, always the same for a
//! seed, which is printed. One that differs is shrunk and printed so that it can be put into
//! `tests/differential/scripts/`.
//!
//! `LIVEROOM_DIFFERENTIAL_SEED` is another seed, `LIVEROOM_DIFFERENTIAL_TIMES` plays so many times
//! as many.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use crate::support::TestServer;
use crate::take_turn;
use serde_json::json;

const SEED: &str = "10";

/// What both servers are started with.
struct Setting {
    payload_bytes_max: u32,
    ping_interval_ms: u32,
    ping_timeout_ms: u32,
    upgrade_timeout_ms: u32,
    connect_timeout_ms: u32,
    /// Generated scripts of one run: some 25 s on two cores.
    scripts_count: u32,
}

/// Nothing happens unless a client does something.
const PATIENT: Setting = Setting {
    payload_bytes_max: 10_000,
    ping_interval_ms: 25_000,
    ping_timeout_ms: 20_000,
    upgrade_timeout_ms: 10_000,
    connect_timeout_ms: 45_000,
    scripts_count: 3_500,
};

/// Deadlines pass while a script waits for them. Far enough apart to be told from each other on a
/// busy machine.
const HASTY: Setting = Setting {
    payload_bytes_max: 10_000,
    ping_interval_ms: 1_000,
    ping_timeout_ms: 600,
    upgrade_timeout_ms: 1_300,
    connect_timeout_ms: 2_600,
    scripts_count: 300,
};

impl Setting {
    /// One worker: then what arrives first is read first, whichever connection it comes on.
    fn liveroom(&self) -> TestServer {
        let own = [
            (
                "LIVEROOM__ENGINEIO__MAX_PAYLOAD_BYTES",
                self.payload_bytes_max,
            ),
            ("LIVEROOM__LIMITS__FRAME_BYTES", self.payload_bytes_max),
            (
                "LIVEROOM__ENGINEIO__PING_INTERVAL_MS",
                self.ping_interval_ms,
            ),
            ("LIVEROOM__ENGINEIO__PING_TIMEOUT_MS", self.ping_timeout_ms),
            (
                "LIVEROOM__ENGINEIO__UPGRADE_TIMEOUT_MS",
                self.upgrade_timeout_ms,
            ),
            (
                "LIVEROOM__ENGINEIO__CONNECT_TIMEOUT_MS",
                self.connect_timeout_ms,
            ),
            ("LIVEROOM__SERVER__WORKERS", 1),
            ("LIVEROOM__LIMITS__CONNECTIONS_PER_ADDRESS", 100_000),
            ("LIVEROOM__LIMITS__CONNECTIONS_PER_S", 100_000),
        ];
        let own: Vec<_> = own
            .iter()
            .map(|(key, value)| (*key, value.to_string()))
            .collect();
        TestServer::start(
            &own.iter()
                .map(|(key, value)| (*key, value.as_str()))
                .collect::<Vec<_>>(),
        )
    }

    fn reference(&self) -> String {
        json!({
            "maxHttpBufferSize": self.payload_bytes_max,
            "pingInterval": self.ping_interval_ms,
            "pingTimeout": self.ping_timeout_ms,
            "upgradeTimeout": self.upgrade_timeout_ms,
            "connectTimeout": self.connect_timeout_ms,
        })
        .to_string()
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/differential")
}

/// Whether node and socket.io are there. Under CI (`CI=true`) they must be, elsewhere the test says
/// that it is skipped.
fn is_installed() -> bool {
    let library = folder()
        .join("../clients/node_modules/socket.io/package.json")
        .exists();
    let node = Command::new("node")
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !library || !node {
        println!("skipped, socket.io or node is not installed (see tests/run.sh)");
        let is_ci = env::var("CI").is_ok_and(|value| value == "true");
        assert!(!is_ci, "under CI the reference must be installed");
    }
    library && node
}

/// Runs the driver, whose output is the report.
fn play(setting: &Setting, mode: &str, kind: &str, more: &[String]) {
    if !is_installed() {
        return;
    }
    let _turn = take_turn();
    let server = setting.liveroom();
    let mut driver = Command::new("node");
    driver.arg(folder().join("main.mjs")).args([
        mode,
        kind,
        &server.port().to_string(),
        &setting.reference(),
    ]);
    let output = driver.args(more).output().expect("node runs");
    println!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        output.status.success(),
        "liveroom and socket.io differ in what is not listed: see above"
    );
}

fn generated(setting: &Setting, kind: &str) {
    let seed = env::var("LIVEROOM_DIFFERENTIAL_SEED").unwrap_or_else(|_| SEED.to_owned());
    let times =
        env::var("LIVEROOM_DIFFERENTIAL_TIMES").map_or(1, |times| times.parse().expect("a number"));
    play(
        setting,
        "generated",
        kind,
        &[seed, (setting.scripts_count * times).to_string()],
    );
}

#[test]
fn generated_scripts_are_answered_as_by_socket_io_or_differ_as_listed() {
    generated(&PATIENT, "patient");
}

#[test]
fn generated_scripts_that_wait_for_deadlines_are_answered_as_by_socket_io_or_differ_as_listed() {
    generated(&HASTY, "hasty");
}

#[test]
fn filed_scripts_are_answered_as_by_socket_io_and_show_each_listed_difference() {
    play(&PATIENT, "files", "patient", &[]);
}

#[test]
fn filed_scripts_that_wait_for_deadlines_are_answered_as_by_socket_io() {
    play(&HASTY, "files", "hasty", &[]);
}

#[test]
fn the_readme_has_the_same_table_of_differences() {
    if !is_installed() {
        return;
    }
    let output = Command::new("node")
        .arg(folder().join("main.mjs"))
        .arg("table")
        .output()
        .expect("node runs");
    let table = String::from_utf8(output.stdout).expect("UTF-8");
    assert!(
        output.status.success() && table.lines().count() > 2,
        "{table}"
    );
    let readme = std::fs::read_to_string(folder().join("../../README.md")).expect("the README");
    assert!(
        readme.contains(table.trim()),
        "the README does not have this table:\n{table}"
    );
}
