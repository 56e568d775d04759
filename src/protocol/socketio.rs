//! Socket.IO: what messages of an Engine.IO session mean, protocol 4 (client 2.x) and 5 (3.x, 4.x).
//!
//! Packets are taken apart by `socketioxide-parser-common`; everything about their JSON is decided
//! here, behind [`payload::check`]. Texts to clients are whole Engine.IO messages, with the leading
//! `4`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::de::IgnoredAny;
use serde_json::Value as Json;
use socketioxide_core::packet::{Packet, PacketData};
use socketioxide_core::parser::{self, Parse, ParseConfig, ParserState};
use socketioxide_core::{Str, Value};
use socketioxide_parser_common::CommonParser;

use super::codec::json;
use super::command::{Decoded, decode_event};
use super::engineio::EngineVersion;
use super::payload;
use crate::config::Config;
use crate::domain::AckId;

/// The one namespace there is.
pub const ROOT_NAMESPACE: &str = "/";

/// Disconnects from the root namespace.
pub const DISCONNECT: &str = "41";

/// Binary attachments one packet may announce, as many as socket.io's parser takes. No command
/// takes any: enough for a client's mistake to be answered, few enough to be free.
pub const ATTACHMENTS_MAX: usize = 10;

/// Longest namespace that is worth an answer, in bytes; it is sent back in the refusal.
pub const NAMESPACE_BYTES_MAX: usize = 256;

/// Names of events that client libraries raise by themselves and refuse to send; socket.io closes
/// the connection of a client that sends one.
const RESERVED_EVENTS: [&str; 6] = [
    "connect",
    "connect_error",
    "disconnect",
    "disconnecting",
    "newListener",
    "removeListener",
];

/// Bytes of a packet beside its JSON: type, attachments, namespace, ack id.
const HEADER_BYTES_MAX: usize = NAMESPACE_BYTES_MAX + 64;

/// The meaning of a message for the session.
#[derive(Debug, PartialEq, Eq)]
pub enum SocketIoInput {
    /// The client asks for a namespace; any but [`ROOT_NAMESPACE`] is refused with
    /// [`connect_error`]. What comes with it is not read: tokens travel with the events.
    Connect {
        namespace: String,
    },
    /// The client leaves the root namespace. Its transport stays open.
    Disconnect,
    Event(Decoded),
    /// The client answers an event. We ask for no answers, so it has no effect, but it takes a
    /// client that is connected.
    Ack,
    /// Nothing to do: attachments are still to come, or a packet of no meaning here.
    Nothing,
}

/// Not a Socket.IO packet, or not now. Ends the session.
#[derive(Debug, thiserror::Error)]
pub enum ParseError {
    #[error(transparent)]
    Packet(parser::ParseError),
    #[error("binary packet too large")]
    BinaryTooLarge,
    #[error("namespace too long")]
    NamespaceTooLong,
    /// As socket.io 3 and 4 do. Socket.IO 2 ignores such packets.
    #[error("packet for a namespace that is not connected")]
    NotConnected,
    /// Not JSON, or not the JSON that a packet of its type has.
    #[error("invalid payload")]
    Payload,
}

/// Reads the messages of one session in order; what it keeps is a packet whose attachments are not
/// all here.
#[derive(Debug)]
pub struct SocketIoDecoder {
    version: EngineVersion,
    config: Arc<Config>,
    parser: ParseConfig,
    state: ParserState,
}

impl SocketIoDecoder {
    pub fn new(version: EngineVersion, config: Arc<Config>) -> Self {
        let parser = ParseConfig {
            max_incoming_binaries: ATTACHMENTS_MAX,
            // Attachments are counted and not kept, see `attachment`.
            max_incoming_binary_buf_size: 0,
            // How long a session may take is the session's to say; a decoder has no clock.
            packet_completion_timeout: Duration::MAX,
        };
        Self {
            version,
            config,
            parser,
            state: ParserState::default(),
        }
    }

    /// Takes the text of a message, without Engine.IO's leading `4`.
    pub fn text(&mut self, message: &str) -> Result<SocketIoInput, ParseError> {
        match message.as_bytes().first() {
            // An error packet. Servers send it; socket.io 2 clients may, and its server ignores it.
            Some(b'4') if self.version == EngineVersion::V3 => return Ok(SocketIoInput::Nothing),
            // These wait for their attachments in memory, so their size is checked before.
            Some(b'5' | b'6')
                if message.len() > self.config.limits.command_bytes + HEADER_BYTES_MAX =>
            {
                return Err(ParseError::BinaryTooLarge);
            }
            // The faults of these are found before they wait.
            Some(b'5' | b'6') => self.check_binary(message)?,
            Some(b'1') if !payload_of(message).is_empty() => return Err(ParseError::Payload),
            _ => {}
        }
        let packet =
            CommonParser.decode_str(&self.parser, &self.state, Str::copy_from_slice(message));
        self.interpret(packet)
    }

    /// Takes note of a binary message: an attachment of the packet before it. Its bytes are of no
    /// interest, because a placeholder in a payload is neither a text nor an id.
    pub fn attachment(&mut self) -> Result<SocketIoInput, ParseError> {
        let packet = CommonParser.decode_bin(&self.parser, &self.state, Bytes::new());
        self.interpret(packet)
    }

    /// A packet with attachments has some, and what an event or an ack has.
    fn check_binary(&self, message: &str) -> Result<(), ParseError> {
        let attachments = message[1..]
            .split_once('-')
            .map_or("", |(attachments, _)| attachments);
        let payload = payload_of(message);
        if attachments.bytes().all(|digit| digit == b'0') || !is_array(payload) {
            return Err(ParseError::Payload);
        }
        if message.starts_with('5') {
            self.event(payload, AckId::None).map(|_| ())
        } else {
            Ok(())
        }
    }

    fn interpret(
        &self,
        packet: Result<Packet, parser::ParseError>,
    ) -> Result<SocketIoInput, ParseError> {
        let packet = match packet {
            Ok(packet) => packet,
            Err(parser::ParseError::NeedsMoreBinaryData) => return Ok(SocketIoInput::Nothing),
            Err(error) => return Err(ParseError::Packet(error)),
        };
        let namespace = self.namespace(&packet.ns)?;
        match packet.inner {
            PacketData::Connect(auth) => {
                check_auth(auth)?;
                Ok(SocketIoInput::Connect {
                    namespace: namespace.to_owned(),
                })
            }
            _ if namespace != ROOT_NAMESPACE => match self.version {
                EngineVersion::V3 => Ok(SocketIoInput::Nothing),
                EngineVersion::V4 => Err(ParseError::NotConnected),
            },
            PacketData::Disconnect => Ok(SocketIoInput::Disconnect),
            PacketData::Event(Value::Str(data, _), ack)
            | PacketData::BinaryEvent(Value::Str(data, _), ack) => self
                .event(&data, ack.map_or(AckId::None, AckId::Number))
                .map(SocketIoInput::Event),
            PacketData::EventAck(Value::Str(data, _), _)
                if !data.is_empty() && !is_array(&data) =>
            {
                Err(ParseError::Payload)
            }
            PacketData::EventAck(..) | PacketData::BinaryAck(..) => Ok(SocketIoInput::Ack),
            _ => Ok(SocketIoInput::Nothing),
        }
    }

    /// Clients 2.x put the query of a namespace behind its name.
    fn namespace<'a>(&self, raw: &'a str) -> Result<&'a str, ParseError> {
        if raw.len() > NAMESPACE_BYTES_MAX {
            return Err(ParseError::NamespaceTooLong);
        }
        match self.version {
            EngineVersion::V3 => Ok(raw.split_once('?').map_or(raw, |(path, _)| path)),
            EngineVersion::V4 => Ok(raw),
        }
    }

    /// Reads `["name", payload, …]`. What socket.io would not take either ends the session. What it
    /// would take is answered if it is refused here: beyond the limits, or JSON to JavaScript but
    /// not to us, such as a comment with half an emoji, which an honest client can send.
    fn event(&self, data: &str, ack: AckId) -> Result<Decoded, ParseError> {
        if let Err(what) = payload::check(data, &self.config.limits) {
            return Ok(Decoded::Malformed { ack, what });
        }
        if data.is_empty() {
            return Ok(Decoded::UnknownEvent { ack });
        }
        let Ok(arguments) = serde_json::from_str::<Vec<Json>>(data) else {
            return match is_array(data) {
                true => Ok(Decoded::Malformed {
                    ack,
                    what: "event: text and numbers that JSON can hold",
                }),
                false => Err(ParseError::Payload),
            };
        };
        let mut arguments = arguments.into_iter();
        match arguments.next() {
            Some(Json::String(name)) if RESERVED_EVENTS.contains(&name.as_str()) => {
                Err(ParseError::Payload)
            }
            Some(Json::String(name)) => Ok(decode_event(
                &name,
                arguments.next(),
                ack,
                &self.config.limits,
            )),
            Some(Json::Number(_)) => Ok(Decoded::UnknownEvent { ack }),
            _ => Err(ParseError::Payload),
        }
    }
}

/// Whether a text is JSON as its grammar has it, whatever its strings and numbers stand for. Needs
/// no stack, however deep it nests.
fn is_json(text: &str) -> bool {
    serde_json::from_str::<IgnoredAny>(text).is_ok()
}

fn is_array(text: &str) -> bool {
    text.trim_ascii_start().starts_with('[') && is_json(text)
}

/// CONNECT may bring an object.
fn check_auth(auth: Option<Value>) -> Result<(), ParseError> {
    match auth {
        Some(Value::Str(auth, _))
            if !auth.trim_ascii_start().starts_with('{') || !is_json(&auth) =>
        {
            Err(ParseError::Payload)
        }
        _ => Ok(()),
    }
}

/// The rest of a packet after its head: its type, its attachments if it is binary, its namespace
/// and its ack id.
fn payload_of(message: &str) -> &str {
    let mut rest = message.get(1..).unwrap_or_default();
    if message.starts_with(['5', '6']) {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        rest = rest.strip_prefix('-').unwrap_or(rest);
    }
    if rest.starts_with('/') {
        rest = rest.split_once(',').map_or("", |(_, rest)| rest);
    }
    rest.trim_start_matches(|c: char| c.is_ascii_digit())
}

/// Accepts the root namespace. Protocol 4 sends it unasked, and the socket id is the Engine.IO sid;
/// protocol 5 sends the socket id here.
pub fn connect_packet(version: EngineVersion, socket_id: &str) -> String {
    match version {
        EngineVersion::V3 => "40".to_owned(),
        EngineVersion::V4 => format!("40{{\"sid\":{}}}", json(&socket_id)),
    }
}

/// Refuses a namespace other than the root.
pub fn connect_error(version: EngineVersion, namespace: &str) -> String {
    match version {
        EngineVersion::V3 => format!(r#"44{namespace},"Invalid namespace""#),
        EngineVersion::V4 => format!(r#"44{namespace},{{"message":"Invalid namespace"}}"#),
    }
}
