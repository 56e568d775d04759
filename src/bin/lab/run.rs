//! One run from script to outcome.

use std::error::Error;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::RunArgs;
use crate::driver::{Driver, Errand, Errands};
use crate::floor;
use crate::http::Base;
use crate::observe::{self, Sampler};
use crate::outcome::{Outcome, ServerFacts};
use crate::progress::Progress;
use crate::script::Script;
use crate::setup::Setup;
use crate::verify;

/// How often the server's process is looked at.
const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// The size of a floor beside a run: sockets at most (two descriptors each, and a hard limit is
/// often 20,000), a frame like a comment's, seconds each.
const FLOOR_SOCKETS_MAX: usize = 9_000;
const FLOOR_FRAME_BYTES: usize = 150;
const FLOOR_SECONDS: f64 = 1.0;

pub fn run(args: &RunArgs) -> Result<Outcome, Box<dyn Error>> {
    let (script, script_text) = Script::load(&args.script)?;
    let seed = args.seed.unwrap_or(script.script.seed);
    let needs_operator = script.rooms.iter().any(|room| room.gifts.is_some());
    if needs_operator && args.admin_token.is_none() {
        return Err(
            "the script gives gifts: --admin-token is needed to make them and to grant coins"
                .into(),
        );
    }
    raise_open_files();
    let base = Base::parse(&args.url)?;
    let setup = Setup::build(
        base,
        args.admin_token.clone(),
        &script,
        run_id(),
        args.accounts.as_deref(),
    )?;

    let sampler = args
        .pid
        .map(|pid| Sampler::start(pid, SAMPLE_EVERY))
        .transpose()?;
    let started_at = now_rfc3339();
    let started = Instant::now();
    let (asked, received) = mpsc::channel();
    let (report, done) = mpsc::channel();
    let errands = Errands { asked, done };
    let (mut driver, duration_s, errand_faults) =
        thread::scope(|scope| -> Result<_, Box<dyn Error>> {
            let runner = scope.spawn({
                let setup = &setup;
                move || run_errands(setup, received, report)
            });
            let mut driver =
                Driver::new(&script, &setup, seed, errands, Progress::new(args.quiet))?;
            let duration_s = driver.run()?;
            driver.end_errands();
            Ok((
                driver,
                duration_s,
                runner
                    .join()
                    .unwrap_or_else(|_| vec!["the errands' thread died".to_owned()]),
            ))
        })?;
    let samples = sampler.map(Sampler::finish);
    let verdict = verify::verdict(&mut driver, &setup, &script, duration_s, &errand_faults);
    driver.close_all();

    let members = driver.members.len();
    let mut outcome = Outcome {
        lab_version: env!("CARGO_PKG_VERSION").to_owned(),
        command: command_line(),
        script_path: args.script.display().to_string(),
        script_text,
        seed,
        started_at,
        machine: observe::machine(),
        server: ServerFacts {
            url: args.url.clone(),
            pid: args.pid,
            version: setup.version.clone(),
            ..ServerFacts::default()
        },
        duration_s,
        totals: verdict.totals,
        latency: verdict.latency,
        ack_latency: verdict.ack_latency,
        phases: std::mem::take(&mut driver.stats.phases),
        series: std::mem::take(&mut driver.stats.series),
        rooms: verdict.rooms,
        checks: verdict.checks,
        objectives: verdict.objectives,
        refusals: std::mem::take(&mut driver.refusals),
        floor: None,
    };
    if let Some(samples) = samples {
        observe::attach(&samples, started, &mut outcome);
    }
    // Its sockets and memory go before the floor is measured.
    drop(driver);
    if args.floor {
        let sockets = members.clamp(1, FLOOR_SOCKETS_MAX);
        // A run is worth keeping without it.
        match floor::measure(sockets, FLOOR_FRAME_BYTES, FLOOR_SECONDS) {
            Ok(floor) => outcome.floor = Some(floor),
            Err(fault) => eprintln!("floor not measured: {fault}"),
        }
    }
    Ok(outcome)
}

/// Does what streamers ask for over HTTP, so that no socket waits meanwhile. Returns what failed.
/// Acts that were done are reported, so that it is known from when on they hold.
fn run_errands(
    setup: &Setup,
    errands: mpsc::Receiver<Errand>,
    report: mpsc::Sender<usize>,
) -> Vec<String> {
    let mut faults = Vec::new();
    for errand in errands {
        let outcome = match errand {
            Errand::Status { room, kind } => setup.set_live_status(setup.rooms[room].live_id, kind),
            Errand::Terms { act, lines } => setup.set_terms(lines).inspect(|()| {
                // After the run nobody wants to know.
                let _ = report.send(act);
            }),
        };
        faults.extend(outcome.err().map(|fault| fault.to_string()));
    }
    faults
}

/// The present, to the millisecond.
fn now_rfc3339() -> String {
    let now = OffsetDateTime::now_utc().truncate_to_millisecond();
    now.format(&Rfc3339).expect("the year has four digits")
}

/// A word that no earlier run had: the milliseconds of now, in base 36.
fn run_id() -> String {
    let mut number = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64);
    let mut digits = Vec::new();
    while number > 0 {
        digits.push(char::from_digit((number % 36) as u32, 36).unwrap_or('0'));
        number /= 36;
    }
    format!("lab{}", digits.iter().rev().collect::<String>())
}

/// The command line, without the operator's token.
fn command_line() -> Vec<String> {
    let mut hide_next = false;
    let hide = |word: String| match word {
        _ if std::mem::take(&mut hide_next) => "***".to_owned(),
        word if word.starts_with("--admin-token=") => "--admin-token=***".to_owned(),
        word => {
            hide_next = word == "--admin-token";
            word
        }
    };
    std::env::args().map(hide).collect()
}

/// Each member is an open file. Too few show as connections that fail.
fn raise_open_files() {
    let _ = rlimit::increase_nofile_limit(u64::MAX);
}
