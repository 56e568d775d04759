//! The command line: what can be asked for, and how it is explained.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::domain::{ManagerRole, UserId};

/// A realtime live-room server: presence, comments and gifts over Socket.IO and plain WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Parser)]
#[command(version, disable_help_subcommand = true, after_help = EXAMPLES)]
pub struct Cli {
    /// Configuration file [default: config.toml of the working directory, if there is one]
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<CliCommand>,
}

const EXAMPLES: &str = "\
Examples:
  liveroom demo                             a filled room to look at, on http://127.0.0.1:7001
  LIVEROOM__SERVER__PORT=8080 liveroom      any key of config.toml as LIVEROOM__SECTION__KEY
  liveroom --config /etc/liveroom.toml config check";

/// The command to run.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum CliCommand {
    /// Run the server until SIGTERM or Ctrl-C; the default
    Serve,
    /// Run the server with users, gifts and a busy room, and print how to look at it
    Demo {
        /// Port to listen on, 0 for any free one [default: server.port]
        #[arg(long)]
        port: Option<u16>,
        /// Where the demonstration keeps its database
        #[arg(long, value_name = "DIR", default_value = "data/demo")]
        data: PathBuf,
    },
    /// Recompute the books and the seals of the audit; exit status 1 and the offending rows if they
    /// are wrong
    Audit {
        /// A head that was logged ("audit sealed: head=..."): the audit must contain it
        #[arg(long, value_name = "NUMBER:HASH:CODE")]
        head: Option<String>,
    },
    /// Copy the SQLite database into a new file, while servers use it
    Backup {
        /// The file to make; fails if it exists
        #[arg(value_name = "FILE")]
        to: PathBuf,
    },
    /// Bring the database to this version's schema and stop
    Migrate,
    /// Print a token for a user, which replaces the user's current one
    Token {
        #[arg(value_parser = parse_user_id)]
        user_id: UserId,
        /// Seconds the token is good for [default: auth.token_ttl_s]
        #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..))]
        ttl: Option<u32>,
    },
    /// Work with operators' accounts
    Manager {
        #[command(subcommand)]
        action: ManagerAction,
    },
    /// Work with the configuration
    Config {
        #[command(subcommand)]
        action: ConfigAction,
    },
}

/// The action on operators' accounts.
#[derive(Debug, Clone, PartialEq, Eq, Subcommand)]
pub enum ManagerAction {
    /// Add a manager, and print the link by which it sets its password
    Add {
        /// 1 to 32 of [A-Za-z0-9._-]
        name: String,
        /// viewer, moderator, operator or finance
        #[arg(long, value_parser = parse_role)]
        role: ManagerRole,
        /// May manage managers and tokens, and read the whole audit
        #[arg(long)]
        admin: bool,
    },
    /// Print another link for a manager; its password stays good until the link is used
    Reset { name: String },
    /// List the managers
    List,
    /// Disable a manager and end its sessions on all nodes
    Disable { name: String },
}

/// The action on the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Subcommand)]
pub enum ConfigAction {
    /// Print the configuration in effect and where each value came from; exit status 2 if it is
    /// faulty
    Check,
}

impl Cli {
    /// The command that was given, or serving.
    pub fn command(&self) -> CliCommand {
        self.command.clone().unwrap_or(CliCommand::Serve)
    }
}

/// A message as the log has it: further lines are indented, and other control characters, which a
/// client may have put into a name, are written as `\u{1b}`.
pub fn log_text(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for c in message.chars() {
        match c {
            '\n' => text.push_str("\n    "),
            '\t' => text.push(c),
            c if c.is_control() => text.extend(c.escape_default()),
            c => text.push(c),
        }
    }
    text
}

fn parse_role(text: &str) -> Result<ManagerRole, String> {
    ManagerRole::from_name(text)
        .ok_or_else(|| "a role is viewer, moderator, operator or finance".to_owned())
}

fn parse_user_id(text: &str) -> Result<UserId, String> {
    text.parse()
        .ok()
        .and_then(UserId::new)
        .ok_or_else(|| "a user id is a positive integer".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn definition_is_consistent() {
        <Cli as CommandFactory>::command().debug_assert();
    }

    #[test]
    fn no_command_means_serve() {
        assert_eq!(
            parse("liveroom").map(|cli| cli.command()).ok(),
            Some(CliCommand::Serve)
        );
    }

    #[test]
    fn file_may_be_named_before_or_after_the_command() {
        for line in [
            "liveroom --config a.toml config check",
            "liveroom config check --config a.toml",
        ] {
            let cli = parse(line).expect(line);
            assert_eq!(cli.config, Some(PathBuf::from("a.toml")));
            assert_eq!(
                cli.command(),
                CliCommand::Config {
                    action: ConfigAction::Check
                }
            );
        }
    }

    #[test]
    fn a_message_of_the_log_is_one_entry_and_does_nothing_to_a_terminal() {
        assert_eq!(
            log_text("one\r\n[2026-01-01 ERROR] two\u{1b}[2J\u{9b}\tend"),
            "one\\r\n    [2026-01-01 ERROR] two\\u{1b}[2J\\u{9b}\tend"
        );
        assert_eq!(log_text("user_name=弹幕"), "user_name=弹幕");
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "token",
            "token 0",
            "token -1",
            "token x",
            "token 1 --ttl 0",
            "backup",
            "demo --port 65536",
            "conifg",
            "manager",
            "manager add ann",
            "manager add ann --role admin",
            "manager reset",
            "config",
        ] {
            assert!(parse(&format!("liveroom {line}")).is_err(), "{line}");
        }
    }
}
