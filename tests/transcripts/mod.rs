//! Reads the recordings beside this file.

pub mod rebuild;

use liveroom::protocol::EngineVersion;

/// One client version and transport.
pub struct Recording {
    pub name: &'static str,
    pub version: EngineVersion,
    text: &'static str,
}

/// Who spoke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Client,
    Server,
}

/// What was said, of what the codecs have to do with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    /// Body of a POST, or of the answer to a GET or POST.
    Body(String),
    Frame(String),
    BinaryFrame(Vec<u8>),
}

pub struct Line {
    pub scenario: &'static str,
    /// The Engine.IO session where the line names it, else the connection: packets with the same
    /// stream belong together in order.
    pub stream: String,
    pub side: Side,
    pub said: Said,
}

macro_rules! recordings {
    ($($name:literal $version:ident),* $(,)?) => {
        &[$(Recording {
            name: $name,
            version: EngineVersion::$version,
            text: include_str!(concat!($name, ".txt")),
        }),*]
    };
}

pub const RECORDINGS: &[Recording] = recordings![
    "v2-poll" V3, "v2-up" V3, "v2-ws" V3,
    "v3-poll-mock" V4, "v3-up-mock" V4, "v3-ws-mock" V4,
    "v4-poll-mock" V4, "v4-up-mock" V4, "v4-ws-mock" V4,
];

/// `message` → what the decoder makes of it.
pub const COMMANDS: &str = include_str!("commands.txt");

impl Recording {
    /// Lines that carry a body or a frame.
    pub fn lines(&self) -> Vec<Line> {
        let mut scenario = "";
        let mut lines = Vec::new();
        for line in self.text.lines() {
            match line.split_once("==== ") {
                Some((_, name)) => scenario = name,
                None => lines.extend(parse(scenario, line)),
            }
        }
        lines
    }
}

fn parse(scenario: &'static str, line: &str) -> Option<Line> {
    let mut words = line.trim_start().splitn(4, ' ');
    let (_at_ms, connection, side, rest) =
        (words.next()?, words.next()?, words.next()?, words.next()?);
    let side = match side {
        "C>S" => Side::Client,
        "S>C" => Side::Server,
        _ => panic!("no side: {line}"),
    };
    let said = if let Some((_, body)) = rest.split_once(" BODY ") {
        Said::Body(unquote(body))
    } else if let Some(hex) = rest.strip_prefix("WS BIN<") {
        Said::BinaryFrame(unhex(hex.trim_end_matches('>')))
    } else {
        Said::Frame(unquote(
            rest.strip_prefix("WS ")
                .filter(|frame| frame.starts_with('"'))?,
        ))
    };
    let sid = rest
        .split_once("&sid=")
        .map(|(_, sid)| sid.split([' ', '&']).next().unwrap_or_default());
    Some(Line {
        scenario,
        stream: sid.unwrap_or(connection).to_owned(),
        side,
        said,
    })
}

fn unquote(json: &str) -> String {
    serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))
}

fn unhex(hex: &str) -> Vec<u8> {
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
        .collect()
}
