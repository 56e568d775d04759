//! liveroom-lab: writes down a room, drives it against a server, and judges.
//!
//! A script (`tests/load/*.toml`) says how many members come, how they talk, give, fall asleep,
//! drop off, flood the room and are muted. The lab plays them, verifies what each of them receives,
//! and exits with status 1 if a promise of the server or an objective of the script was broken. It
//! imports nothing of the server: what it knows of the wire it knows from the contract, so it can
//! judge.
//!
//! ```text
//!  script ──> setup (accounts, lives, gifts, coins over HTTP) ──> driver (one epoll loop)
//!                                                                  │ client: sockets, frames, dialects
//!                                                                  │ room_log, offset_tracker: received events
//!                                                                  │ commands: sent and answered
//!                                                                  │ standings: who may be refused, who must be
//!             outcome <── verify: receipts, money, presence <──────┘
//!                │
//!                └──> report: summary, JSON, HTML, compare
//! ```

mod accounts;
mod cli;
mod client;
mod commands;
mod driver;
mod floor;
mod http;
mod judge;
mod lane;
mod observe;
mod offset_tracker;
mod online;
mod outcome;
mod progress;
mod receive;
mod report;
mod rng;
mod room_log;
mod run;
mod script;
mod setup;
mod standings;
mod stats;
mod texts;
mod verify;

use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, FloorArgs, RunArgs};
use outcome::Outcome;

/// Something could not be done at all: a wrong script, no server.
const EXIT_FAULT: u8 = 2;

fn main() -> ExitCode {
    match Cli::parse().command() {
        Ok(command) => match perform(&command) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("liveroom-lab: {error}");
                ExitCode::from(EXIT_FAULT)
            }
        },
        Err(usage) => usage.exit(),
    }
}

/// Whether every promise and objective was kept.
fn perform(command: &Command) -> Result<bool, Box<dyn Error>> {
    match command {
        Command::Run(args) => run_script(args),
        Command::Floor(args) => measure_floor(args),
        Command::Compare { a, b } => {
            print!("{}", report::compare(&read_outcome(a)?, &read_outcome(b)?));
            Ok(true)
        }
    }
}

fn run_script(args: &RunArgs) -> Result<bool, Box<dyn Error>> {
    let outcome = run::run(args)?;
    print!("{}", report::summary(&outcome));
    if let Some(path) = &args.json {
        fs::write(path, serde_json::to_string_pretty(&outcome)?)
            .map_err(|error| at(path, &error))?;
    }
    if let Some(path) = &args.html {
        fs::write(path, report::html(&outcome)).map_err(|error| at(path, &error))?;
    }
    Ok(outcome
        .checks
        .iter()
        .chain(&outcome.objectives)
        .all(|check| check.passed))
}

fn measure_floor(args: &FloorArgs) -> Result<bool, Box<dyn Error>> {
    let floor = floor::measure(args.sockets, args.frame_bytes, args.seconds)?;
    println!(
        "{} sockets, frames of {} bytes",
        floor.sockets, floor.frame_bytes
    );
    for point in &floor.points {
        println!(
            "writer, {:>2} comments per send: {:>11.0} deliveries/s  {:.3} µs CPU per delivery  p99 {:.2} ms",
            point.comments_per_send,
            point.deliveries_per_s,
            point.cpu_us_per_delivery,
            point.p99_ms
        );
    }
    let received = receive::measure(args.sockets, args.seconds)?;
    println!(
        "lab, receiving and verifying: {:>11.0} frames/s of {} bytes on one core, {:.0} per CPU second",
        received.frames_per_s, received.frame_bytes, received.frames_per_cpu_s
    );
    Ok(true)
}

fn read_outcome(path: &Path) -> Result<Outcome, Box<dyn Error>> {
    let text = fs::read(path).map_err(|error| at(path, &error))?;
    Ok(serde_json::from_slice(&text).map_err(|error| at(path, &error))?)
}

fn at(path: &Path, error: &dyn Error) -> String {
    format!("{}: {error}", path.display())
}
