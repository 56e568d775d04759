//! The `liveroom` program: reads the command line, does what it says, and answers with its exit
//! status: 0 done, 1 failed (or the books are wrong), 2 the configuration is faulty.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use clap::Parser;
use env_logger::fmt::Formatter;
use liveroom::app::{self, App};
use liveroom::auth::AuditKeys;
use liveroom::cli::{self, Cli, CliCommand, ConfigAction, ManagerAction};
use liveroom::clock::{Clock, SystemClock};
use liveroom::config::{Config, LoadedConfig};
use liveroom::demo::{self, Demo};
use liveroom::domain::UserId;
use liveroom::managers::{self, ManagerInvite};
use liveroom::storage::{self, AuditReport, ChainReport, Store};
use log::{Record, info, warn};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::signal::unix::{SignalKind, signal};

/// Why a command failed, for people.
type Failure = Box<dyn std::error::Error>;

/// The log filter without `RUST_LOG`. The HTTP library calls every malformed request an error, and
/// clients must not be able to fill the log.
const LOG_FILTER: &str = "info,actix_http=off";

const FAILED: u8 = 1;
const CONFIG_FAULTY: u8 = 2;

fn main() -> ExitCode {
    let cli = Cli::parse();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(LOG_FILTER))
        .format(write_log_line)
        .init();
    return_large_memory();
    let loaded = match LoadedConfig::load(cli.config.as_deref(), &app::ADDRESS_CHECKS) {
        Ok(loaded) => loaded,
        Err(faults) => {
            eprintln!("{faults}");
            return ExitCode::from(CONFIG_FAULTY);
        }
    };
    match actix::System::new().block_on(run(cli.command(), loaded)) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("liveroom: {failure}");
            ExitCode::from(FAILED)
        }
    }
}

/// Writes a log line as env_logger's own format does, with the time from a crate that is in the
/// tree anyway. No message can look like two, or do anything to a terminal.
fn write_log_line(out: &mut Formatter, record: &Record) -> io::Result<()> {
    let now = OffsetDateTime::now_utc()
        .truncate_to_second()
        .format(&Rfc3339)
        .map_err(io::Error::other)?;
    let (level, target) = (record.level(), record.target());
    let style = out.default_level_style(level);
    let message = cli::log_text(&record.args().to_string());
    if is_about_closed_listener(target, &message) {
        return Ok(());
    }
    writeln!(out, "[{now} {style}{level:<5}{style:#} {target}] {message}")
}

/// Whether the HTTP library reports, as errors, that a node that stops has closed its listener. It
/// answers that its acceptor is paused before that is so; the acceptor then accepts from the closed
/// listener, and deregisters it twice. Accepting fails with `EINVAL` for no other reason, and the
/// other errors of the acceptor come before it deregisters.
fn is_about_closed_listener(target: &str, message: &str) -> bool {
    let is_closed = || io::Error::from_raw_os_error(libc::EINVAL).to_string();
    target == "actix_server::accept"
        && (message.starts_with("Can not deregister server socket")
            || message
                .strip_prefix("Error accepting connection: ")
                .is_some_and(|error| error == is_closed()))
}

/// Blocks of memory from this size on go back to the system when they are freed.
#[cfg(target_env = "gnu")]
const LARGE_BYTES: libc::c_int = 1 << 20;

/// By itself glibc moves this border up to the largest block it ever saw freed, and then keeps such
/// blocks: 58 MiB for each thread that ever checked a password, which takes 19 MiB each time.
#[cfg(target_env = "gnu")]
#[expect(unsafe_code, reason = "the allocator has no other interface")]
fn return_large_memory() {
    // SAFETY: it sets a number in the allocator, before there is another thread.
    if unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, LARGE_BYTES) } != 1 {
        warn!("allocator keeps its own border between small and large");
    }
}

/// Other allocators return large blocks by themselves.
#[cfg(not(target_env = "gnu"))]
fn return_large_memory() {}

async fn run(command: CliCommand, loaded: LoadedConfig) -> Result<ExitCode, Failure> {
    let config = &loaded.config;
    match command {
        CliCommand::Serve => serve(config).await?,
        CliCommand::Demo { port, data } => {
            run_demo(demo::configure(loaded.config, port, &data)).await?
        }
        CliCommand::Audit { head } => return audit(config, head.as_deref()).await,
        CliCommand::Backup { to } => {
            let bytes = storage::backup(config.store.url.expose(), &to)?;
            println!("copied the database: file={} bytes={bytes}", to.display());
        }
        CliCommand::Migrate => {
            app::await_store(config).await?;
            println!("the schema is up to date");
        }
        CliCommand::Token { user_id, ttl } => print_token(config, user_id, ttl).await?,
        CliCommand::Manager { action } => manage(config, action).await?,
        CliCommand::Config {
            action: ConfigAction::Check,
        } => write!(io::stdout(), "{loaded}")?,
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: &Config) -> Result<(), Failure> {
    let app = App::start(config).await?;
    println!("liveroom listening on http://{}", app.address());
    if app.operators_address() != app.address() {
        println!("operators at http://{}", app.operators_address());
    }
    stop_signal().await?;
    app.drain().await;
    Ok(())
}

async fn run_demo(config: Config) -> Result<(), Failure> {
    let app = App::start(&config).await?;
    let demo = Demo::start(&app).await?;
    println!("{}", demo.welcome(&app, &config));
    stop_signal().await?;
    drop(demo);
    app.drain().await;
    Ok(())
}

async fn stop_signal() -> Result<(), Failure> {
    let (mut terminate, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let name = tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    };
    info!("stopping: signal={name}");
    Ok(())
}

/// Proves the books and the chain of the audit.
async fn audit(config: &Config, head: Option<&str>) -> Result<ExitCode, Failure> {
    let store = app::open_store(config).await?;
    let books_balance = prove_books(&store.audit().await?);
    let chain = store.check_audit_chain().await?;
    let chain_holds = prove_chain(&chain);
    let is_known = match head {
        Some(head) => confirm_head(config, &*store, head).await?,
        None => true,
    };
    Ok(if books_balance && chain_holds && is_known {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(FAILED)
    })
}

fn prove_books(report: &AuditReport) -> bool {
    println!(
        "transfers={} entries={} gifts={} users_coin={} lives_coin={} granted_coin={}",
        report.transfers_count,
        report.entries_count,
        report.gifts_count,
        report.users_coin,
        report.lives_coin,
        report.granted_coin
    );
    for fault in &report.faults {
        println!("{fault}");
    }
    println!(
        "{}",
        if report.balanced() {
            "the books balance"
        } else {
            "THE BOOKS DO NOT BALANCE"
        }
    );
    report.balanced()
}

fn prove_chain(report: &ChainReport) -> bool {
    println!(
        "seals={} sealed_rows={} unsealed_rows={}{}{}",
        report.seals_count,
        report.sealed_rows,
        report.unsealed_rows,
        report
            .unsealed_since
            .map_or_else(String::new, |since| format!(
                " unsealed_since_ms={}",
                since.0
            )),
        report
            .head
            .map_or_else(String::new, |head| format!(" head={head}"))
    );
    for fault in &report.faults {
        println!("{fault}");
    }
    println!(
        "{}",
        if report.holds() {
            "the audit is as it was sealed"
        } else {
            "THE AUDIT IS NOT AS IT WAS SEALED"
        }
    );
    report.holds()
}

/// Whether the audit contains a head that was logged.
async fn confirm_head(config: &Config, store: &dyn Store, logged: &str) -> Result<bool, Failure> {
    let head = match AuditKeys::new(&config.auth.jwt_secret).read(logged) {
        Ok(head) => head,
        Err(fault) => {
            println!("THE LOGGED HEAD IS NOT CONFIRMED: {fault}");
            return Ok(false);
        }
    };
    let found = store.audit_seal(Some(head.id)).await?;
    let is_known = found == Some(head);
    println!(
        "{}",
        if is_known {
            "the audit contains the logged head"
        } else {
            "THE AUDIT DOES NOT CONTAIN THE LOGGED HEAD"
        }
    );
    Ok(is_known)
}

async fn manage(config: &Config, action: ManagerAction) -> Result<(), Failure> {
    let store = app::open_store(config).await?;
    let now = SystemClock.now();
    match action {
        ManagerAction::Add { name, role, admin } => {
            let invite = managers::add(&store, &name, role, admin, now).await?;
            print_invite(config, &invite);
        }
        ManagerAction::Reset { name } => {
            print_invite(config, &managers::reset(&store, &name, now).await?);
        }
        ManagerAction::List => {
            for manager in store.managers().await? {
                println!("{}", managers::line_of(&manager));
            }
        }
        ManagerAction::Disable { name } => {
            managers::disable(&store, &name, now).await?;
            println!("disabled {name}");
        }
    }
    Ok(())
}

/// Prints a link with the address that is configured: a proxy before it has another.
fn print_invite(config: &Config, invite: &ManagerInvite) {
    let server = &config.server;
    let (host, port) = (&server.host, server.port);
    println!(
        "set the password within 24 hours, once, at http://{host}:{port}{}",
        invite.path()
    );
    println!("behind a proxy put its https address in place of http://{host}:{port}");
}

async fn print_token(config: &Config, user_id: UserId, ttl_s: Option<u32>) -> Result<(), Failure> {
    let store = app::open_store(config).await?;
    let user = store
        .user(user_id)
        .await?
        .ok_or_else(|| format!("no user {user_id}"))?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let ttl_s = ttl_s.unwrap_or(config.auth.token_ttl_s);
    println!(
        "{}",
        app::authority(config, ttl_s, &store, &clock)?
            .start_session(&user)
            .await?
    );
    Ok(())
}
