//! The command line of the lab.

use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand};

/// Drives a room server from a script of rooms and judges whether its promises held.
#[derive(Debug, Parser)]
#[command(name = "liveroom-lab", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Cli {
    /// Print the ratios between two runs, as the subcommand `compare` does
    #[arg(long, num_args = 2, value_names = ["A.json", "B.json"])]
    compare: Option<Vec<PathBuf>>,

    #[command(subcommand)]
    command: Option<Command>,
}

const EXAMPLES: &str = "\
Exit status: 0 if every promise and objective was kept, 1 if not, 2 if the run could not be made.

Examples:
  liveroom-lab run tests/load/smoke.toml --admin-token T
  liveroom-lab run tests/load/one_big_room.toml --admin-token T --pid $(pgrep -x liveroom) --html run.html
  liveroom-lab floor --sockets 1000
  liveroom-lab compare before.json after.json";

#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Drive a server from a script
    Run(RunArgs),
    /// Measure the physical limit of this machine: a bare writer, and this lab as its reader
    Floor(FloorArgs),
    /// Print the ratios between two runs
    Compare { a: PathBuf, b: PathBuf },
}

#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// The script, such as tests/load/smoke.toml
    pub script: PathBuf,
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:7001")]
    pub url: String,
    /// An operator's token of the server: needed for gifts and for the proof of the books
    #[arg(
        long,
        value_name = "TOKEN",
        env = "LIVEROOM_LAB_ADMIN_TOKEN",
        hide_env_values = true
    )]
    pub admin_token: Option<String>,
    /// Keep the accounts' tokens in this file, and use those of earlier runs: thousands of accounts
    /// then cost their password hashes once
    #[arg(long, value_name = "FILE")]
    pub accounts: Option<PathBuf>,
    /// The server's process on this machine: measures its CPU, memory and context switches
    #[arg(long)]
    pub pid: Option<u32>,
    /// Write everything about the run to this file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with charts to this file
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Instead of the script's seed
    #[arg(long)]
    pub seed: Option<u64>,
    /// Measure the machine's physical limit after the run, too
    #[arg(long)]
    pub floor: bool,
    /// No line of progress
    #[arg(long)]
    pub quiet: bool,
}

#[derive(Debug, Clone, Args)]
pub struct FloorArgs {
    #[arg(long, default_value_t = 1_000)]
    pub sockets: usize,
    #[arg(long, default_value_t = 150)]
    pub frame_bytes: usize,
    /// How long each measurement takes
    #[arg(long, default_value_t = 2.0)]
    pub seconds: f64,
}

impl Cli {
    pub fn command(self) -> Result<Command, clap::Error> {
        match (self.command, self.compare.as_deref()) {
            (Some(command), _) => Ok(command),
            (None, Some([a, b])) => Ok(Command::Compare {
                a: a.clone(),
                b: b.clone(),
            }),
            (None, _) => {
                let kind = ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
                Err(Self::command_definition().error(kind, "expected run, floor or compare"))
            }
        }
    }

    fn command_definition() -> clap::Command {
        <Self as CommandFactory>::command()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split(' ')).and_then(Cli::command)
    }

    #[test]
    fn definition_is_consistent() {
        Cli::command_definition().debug_assert();
    }

    #[test]
    fn compare_is_an_option_and_a_subcommand() {
        for line in ["lab --compare a b", "lab compare a b"] {
            assert!(matches!(parse(line), Ok(Command::Compare { .. })), "{line}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "lab",
            "lab run",
            "lab --compare a",
            "lab --compare a b run x",
            "lab run x --seed y",
        ] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
