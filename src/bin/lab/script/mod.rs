//! The language of load scripts: rooms, who is in them, and what they do.
//!
//! `tests/load/README.md` explains it by examples; this is its grammar. A script that is wrong is
//! refused with the line, the key and what was expected.

mod check;
mod fault;
mod moderation;
mod target;
mod units;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use toml::Spanned;

use crate::lane::Lane;

pub use fault::ScriptFault;
pub use moderation::Moderation;
pub use target::{Target, Templates};

/// A whole script, believed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    pub script: Header,
    #[serde(default)]
    pub target: Target,
    #[serde(rename = "room")]
    pub rooms: Vec<RoomPlan>,
    /// In order; without any, one phase as long as `script.duration`.
    #[serde(default, rename = "phase")]
    pub phases: Vec<Phase>,
    #[serde(default)]
    pub objective: Objective,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The lives of the run are titled with it.
    pub name: String,
    /// Repeats a run exactly: who speaks when, who leaves, what is said.
    #[serde(default)]
    pub seed: u64,
    #[serde(default, deserialize_with = "units::some_duration")]
    pub duration: Option<Duration>,
    /// How long answers, the last events and presence may take to arrive once everybody is silent.
    #[serde(default = "default_settle", deserialize_with = "units::duration")]
    pub settle: Duration,
    /// Members from one address at most, if the server is on this machine: they come from
    /// 127.0.0.1, 127.0.0.2 and so on, as the ephemeral ports of one address, and what servers
    /// allow one, are few.
    #[serde(default = "default_per_address")]
    pub per_address: Spanned<usize>,
    /// Codes that commands of this script may be refused with, and closes such as `close_3008`.
    #[serde(default)]
    pub expected_refusals: BTreeSet<String>,
}

/// Rooms that are alike.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomPlan {
    pub name: String,
    /// So many rooms like this one.
    #[serde(default = "one")]
    pub count: usize,
    pub members: Spanned<Members>,
    /// Accounts that the members share, as tabs of one user do; by default at most 20.
    pub users: Option<Spanned<usize>>,
    /// Over how long the members come.
    #[serde(default, deserialize_with = "units::duration")]
    pub ramp: Duration,
    pub comments: Option<Spanned<Comments>>,
    pub gifts: Option<Spanned<Gifts>>,
    pub churn: Option<Churn>,
    pub slow_readers: Option<Spanned<SlowReaders>>,
    /// Members that read nothing at all once they are in.
    #[serde(default)]
    pub stopped_readers: usize,
    pub streamer: Option<Spanned<Streamer>>,
    pub moderation: Option<Spanned<Moderation>>,
}

/// Members by client kind.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Members {
    /// Plain WebSocket, one JSON object per frame.
    #[serde(default)]
    pub plain: usize,
    /// socket.io-client 3 and 4.
    #[serde(default)]
    pub socketio_v4: usize,
    /// socket.io-client 2.
    #[serde(default)]
    pub socketio_v3: usize,
    /// The same, by polling alone.
    #[serde(default)]
    pub socketio_v4_polling: usize,
    #[serde(default)]
    pub socketio_v3_polling: usize,
    /// The same, by polling until a WebSocket is there, as these clients do by default.
    #[serde(default)]
    pub socketio_v4_upgrade: usize,
    #[serde(default)]
    pub socketio_v3_upgrade: usize,
}

impl Members {
    pub fn total(&self) -> usize {
        let kinds = [
            self.plain,
            self.socketio_v4,
            self.socketio_v3,
            self.socketio_v4_polling,
            self.socketio_v3_polling,
            self.socketio_v4_upgrade,
            self.socketio_v3_upgrade,
        ];
        kinds.into_iter().fold(0, usize::saturating_add)
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Comments {
    /// Per second in the whole room, whatever the server makes of it.
    #[serde(default, deserialize_with = "units::some_rate")]
    pub rate: Option<f64>,
    /// In place of `rate`, a closed loop: so many comments are on their way at any time, and the
    /// next is sent when all members have received one of them.
    pub in_flight: Option<usize>,
    /// Length of the text; the mark that identifies it takes about a dozen.
    #[serde(default = "default_comment_bytes")]
    pub bytes: usize,
    #[serde(default)]
    pub text: TextSource,
    #[serde(default)]
    pub senders: Senders,
    /// Share of comments that are sent a second time with the same `request_id`.
    #[serde(default, deserialize_with = "units::share")]
    pub retry: f64,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextSource {
    #[default]
    Words,
    Chinese,
    Emoji,
    /// Quotes, backslashes, line breaks: what needs escaping in JSON.
    Escapes,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Senders {
    /// Members in turn, at random.
    #[default]
    Anyone,
    /// The streamer, whom servers do not rate-limit.
    Streamer,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gifts {
    #[serde(deserialize_with = "units::rate")]
    pub rate: f64,
    /// Prices to choose from.
    #[serde(default = "default_catalogue")]
    pub catalogue: Vec<i64>,
    /// Coins each giver gets before the run.
    pub balance: i64,
    /// Gifts are given 1 to so many at a time.
    #[serde(default = "one_i64")]
    pub num_max: i64,
    #[serde(default, deserialize_with = "units::share")]
    pub retry: f64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Churn {
    /// Members per second who leave the room politely.
    #[serde(default, deserialize_with = "units::rate")]
    pub leave_per_s: f64,
    /// Members per second whose connection is cut without a close.
    #[serde(default, deserialize_with = "units::rate")]
    pub cut_per_s: f64,
    #[serde(default = "default_rejoin", deserialize_with = "units::duration")]
    pub rejoin_after: Duration,
    /// Whether a member who comes back asks for what it missed.
    #[serde(default)]
    pub resume: bool,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlowReaders {
    pub members: usize,
    pub bytes_per_s: u64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Streamer {
    #[serde(default, deserialize_with = "units::some_duration")]
    pub pause_at: Option<Duration>,
    #[serde(default, deserialize_with = "units::some_duration")]
    pub resume_at: Option<Duration>,
    #[serde(default, deserialize_with = "units::some_duration")]
    pub end_at: Option<Duration>,
}

/// A stretch of time in which the rooms' rates are multiplied.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    pub name: String,
    #[serde(deserialize_with = "units::duration")]
    pub duration: Duration,
    #[serde(default = "one_f64", deserialize_with = "units::rate")]
    pub comments: f64,
    #[serde(default = "one_f64", deserialize_with = "units::rate")]
    pub gifts: f64,
    #[serde(default = "one_f64", deserialize_with = "units::rate")]
    pub churn: f64,
    /// Floods and the acts against them.
    #[serde(default = "one_f64", deserialize_with = "units::rate")]
    pub moderation: f64,
}

/// The objectives of the script for the server, beyond its promises.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Objective {
    #[serde(default, deserialize_with = "units::some_bound")]
    pub p50_ms: Option<f64>,
    #[serde(default, deserialize_with = "units::some_bound")]
    pub p99_ms: Option<f64>,
    #[serde(default, deserialize_with = "units::some_bound")]
    pub p999_ms: Option<f64>,
    #[serde(default, deserialize_with = "units::some_bound")]
    pub deliveries_per_s: Option<f64>,
    pub loss: Option<Loss>,
    /// Whether every stopped reader is to be sent away while the script runs.
    #[serde(default)]
    pub stopped_readers_cut: bool,
}

/// The share of a lane's deliveries that may be lost, as servers do with the crowd's under
/// overload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    #[serde(default, deserialize_with = "units::share")]
    pub crowd: f64,
    #[serde(default, deserialize_with = "units::share")]
    pub voice: f64,
    #[serde(default, deserialize_with = "units::share")]
    pub money: f64,
}

impl Loss {
    pub fn of(self, lane: Lane) -> f64 {
        match lane {
            Lane::Crowd => self.crowd,
            Lane::Voice => self.voice,
            Lane::Money => self.money,
        }
    }
}

fn default_settle() -> Duration {
    Duration::from_secs(10)
}

/// Below the 200 that liveroom allows one address by default, with room for requests beside.
fn default_per_address() -> Spanned<usize> {
    Spanned::new(0..0, 150)
}

fn default_rejoin() -> Duration {
    Duration::from_secs(1)
}

fn default_comment_bytes() -> usize {
    40
}

fn default_catalogue() -> Vec<i64> {
    vec![1, 10, 66]
}

fn one() -> usize {
    1
}

fn one_i64() -> i64 {
    1
}

fn one_f64() -> f64 {
    1.0
}

/// How many accounts a room's members share unless the script says. Registering costs a server a
/// password hash each.
const USERS_DEFAULT: usize = 20;

impl RoomPlan {
    pub fn members_count(&self) -> usize {
        self.members.get_ref().total()
    }

    pub fn users_count(&self) -> usize {
        let members = self.members_count();
        self.users
            .as_ref()
            .map_or(members.min(USERS_DEFAULT), |users| *users.get_ref())
    }

    /// Whether a streamer sits in the room besides the members.
    pub fn has_streamer(&self) -> bool {
        self.streamer.is_some()
            || self.moderation.is_some()
            || self
                .comments()
                .is_some_and(|it| it.senders == Senders::Streamer)
    }

    pub fn comments(&self) -> Option<&Comments> {
        self.comments.as_ref().map(Spanned::get_ref)
    }

    pub fn moderation(&self) -> Option<&Moderation> {
        self.moderation.as_ref().map(Spanned::get_ref)
    }

    pub fn ends(&self) -> bool {
        self.streamer
            .as_ref()
            .is_some_and(|streamer| streamer.get_ref().end_at.is_some())
    }
}

impl Script {
    /// Reads the script at `path`, and its text as it was.
    pub fn load(path: &Path) -> Result<(Self, String), ScriptFault> {
        let text =
            std::fs::read_to_string(path).map_err(|error| ScriptFault::unreadable(path, &error))?;
        match Self::parse(&text) {
            Ok(script) => Ok((script, text)),
            Err(fault) => Err(fault.in_file(path)),
        }
    }

    pub fn parse(text: &str) -> Result<Self, ScriptFault> {
        let mut script: Script =
            toml::from_str(text).map_err(|error| ScriptFault::from_toml(&error, text))?;
        script.check(text)?;
        if script.phases.is_empty() {
            let duration = script.script.duration.unwrap_or_default();
            script.phases.push(Phase {
                name: "all".to_owned(),
                duration,
                comments: 1.0,
                gifts: 1.0,
                churn: 1.0,
                moderation: 1.0,
            });
        }
        Ok(script)
    }
}

#[cfg(test)]
mod tests;
