//! Gifts per second on PostgreSQL: one transaction per gift, as the floor, beside liveroom's group
//! commit, on one server in one run.
//!
//!     cargo bench --bench gifts                                everything, 3 rounds: about 7 minutes
//!     cargo bench --bench gifts -- --disk-ms 1                 with a disk that takes 1 ms for a sync
//!     cargo bench --bench gifts -- --only hot-live,two-nodes --rounds 1
//!
//! It starts a PostgreSQL of its own in a temporary folder, durable as in production. liveroom's
//! part is its real persister over its real store; only the rooms and their sockets are left out.
//! Each series has a database of its own, whose books are audited when it is done. What counts are
//! the ratios of one round: everything else on the machine moves all of its figures.

mod books;
mod cpu;
mod disk;
mod floor;
mod load;
mod nodes;
#[allow(dead_code, reason = "the tests use the rest of it")]
#[path = "../../support/postgres.rs"]
mod postgres;
mod report;

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use clap::Parser;
use liveroom::config::LimitsConfig;

use books::Template;
use cpu::Cpu;
use floor::Floor;
use load::{Givers, Orders, Sink, pace, saturate};
use nodes::Nodes;
use postgres::Postgres;
use report::{Measured, Report};

#[derive(Parser)]
#[command(about = "Gifts per second on PostgreSQL, beside one transaction per gift")]
struct Arguments {
    /// How often everything is measured.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long each series lasts, once at full speed and once paced.
    #[arg(long, default_value_t = 4.0)]
    seconds: f64,
    /// Adds so much to each sync of the log, as a slower disk would. Needs a C compiler.
    #[arg(long, default_value_t = 0.0)]
    disk_ms: f64,
    /// Which series, by name.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Settings of the server, such as commit_delay=200.
    #[arg(long = "set")]
    settings: Vec<String>,
    /// Gifts on their way per node when it is given all it can take: limits.gifts_in_flight.
    #[arg(long, default_value_t = 1_024)]
    in_flight: usize,
    /// limits.ledger_batch.
    #[arg(long, default_value_t = 512)]
    batch: usize,
    /// Says that this is `cargo bench`.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Who gives what into what.
#[derive(Clone, Copy)]
struct Series {
    name: &'static str,
    label: &'static str,
    lives: i64,
    givers: i64,
    by: By,
}

#[derive(Clone, Copy)]
enum By {
    /// So many connections, each with one transaction per gift.
    Floor(usize),
    /// So many nodes.
    Liveroom(usize),
}

const fn series(
    name: &'static str,
    label: &'static str,
    lives: i64,
    givers: i64,
    by: By,
) -> Series {
    Series {
        name,
        label,
        lives,
        givers,
        by,
    }
}

/// The first three are the floor that ratios are to: one hot live.
const SERIES: &[Series] = &[
    series(
        "floor-1",
        "one transaction per gift, 1 connection, one hot live",
        1,
        1_000,
        By::Floor(1),
    ),
    series("floor-8", "the same, 8 connections", 1, 1_000, By::Floor(8)),
    series(
        "floor-32",
        "the same, 32 connections",
        1,
        1_000,
        By::Floor(32),
    ),
    series(
        "floor-spread",
        "the same, 32 connections, 100 lives",
        100,
        1_000,
        By::Floor(32),
    ),
    series(
        "hot-live",
        "liveroom, one hot live",
        1,
        1_000,
        By::Liveroom(1),
    ),
    series("spread", "liveroom, 100 lives", 100, 1_000, By::Liveroom(1)),
    series(
        "hot-giver",
        "liveroom, one hot giver, 100 lives",
        100,
        1,
        By::Liveroom(1),
    ),
    series(
        "two-nodes",
        "liveroom, two nodes, one hot live",
        1,
        1_000,
        By::Liveroom(2),
    ),
    series(
        "two-nodes-givers",
        "liveroom, two nodes, 10 hot givers, 100 lives",
        100,
        10,
        By::Liveroom(2),
    ),
];

fn main() {
    let arguments = Arguments::parse();
    if !arguments.bench {
        println!("skipped: nothing is measured unless it is run by `cargo bench`");
        return;
    }
    for name in &arguments.only {
        assert!(
            SERIES.iter().any(|series| series.name == name),
            "no series is called {name}"
        );
    }
    actix::System::new().block_on(async move {
        // The measuring has a thread of its own: it waits for the actors of this one.
        let (done_tx, done) = tokio::sync::oneshot::channel();
        let here = actix::Arbiter::current();
        thread::spawn(move || {
            measure(&arguments, &here);
            let _ = done_tx.send(());
        });
        done.await.expect("the measurement ends");
    });
}

fn measure(arguments: &Arguments, actors: &actix::ArbiterHandle) {
    let disk = (arguments.disk_ms > 0.0).then(|| disk::Disk::build(arguments.disk_ms));
    let mut settings = vec![
        "synchronous_commit=on".to_owned(),
        "max_connections=100".to_owned(),
    ];
    // Checkpoints come by the size of the log; in so short a run they would hit one series or
    // another.
    settings.extend([
        "max_wal_size=16GB".to_owned(),
        "checkpoint_timeout=1h".to_owned(),
    ]);
    settings.extend(arguments.settings.iter().cloned());
    let environment = disk
        .as_ref()
        .map(disk::Disk::environment)
        .unwrap_or_default();
    let server = Postgres::start_with(&settings, &environment)
        .unwrap_or_else(|reason| panic!("cannot run: {reason}"));
    let template = Template::make(&server);
    println!("{}", template.describe(&server, arguments.disk_ms));

    let mut report = Report::default();
    for round in 1..=arguments.rounds {
        for series in SERIES {
            if arguments.only.is_empty() || arguments.only.iter().any(|name| name == series.name) {
                let measured = measure_one(arguments, series, &server, &template, actors);
                println!("round {round}, {}: {measured}", series.name);
                report.add(series.name, series.label, measured);
            }
        }
    }
    println!("\n{}", report.table());
}

fn measure_one(
    arguments: &Arguments,
    series: &Series,
    server: &Postgres,
    template: &Template,
    actors: &actix::ArbiterHandle,
) -> Measured {
    let database = template.copy(server, series.lives, series.givers);
    let (answers_tx, answers) = mpsc::channel();
    let (mut sink, in_flight): (Box<dyn Sink>, usize) = match series.by {
        By::Floor(connections) => (
            Box::new(Floor::connect(database.url(), connections, answers_tx)),
            connections,
        ),
        By::Liveroom(nodes) => {
            let limits = LimitsConfig {
                ledger_batch: arguments.batch,
                ..LimitsConfig::default()
            };
            let sink = Nodes::start(database.url(), nodes, &limits, actors, &answers_tx);
            (Box::new(sink), arguments.in_flight * nodes)
        }
    };
    let mut orders = Orders::new(Givers {
        lives: series.lives,
        givers: series.givers,
    });
    let length = Duration::from_secs_f64(arguments.seconds);
    let before = Cpu::now(server.pid());
    let full = saturate(&mut *sink, &answers, &mut orders, in_flight, length);
    let cpu = Cpu::now(server.pid()).since(before);
    let gifts = orders.given().max(1) as f64;
    let (server_us, own_us) = (cpu.server_us as f64 / gifts, cpu.own_us as f64 / gifts);
    let paced = pace(
        &mut *sink,
        &answers,
        &mut orders,
        full.gifts_per_s / 2.0,
        length,
    );
    drop(sink);
    database.audit(server, orders.given());
    Measured {
        full,
        paced,
        server_us,
        own_us,
    }
}
