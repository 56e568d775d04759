//! Socket.IO: what messages of an Engine.IO session mean, protocol 4 (client 2.x) and 5 (3.x, 4.x).
//!
//! Packets are taken apart by `socketioxide-parser-common`; everything about their JSON is decided
//! here, behind [`PayloadLimits`]. Texts to clients are whole Engine.IO messages, with the leading
//! `4`.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value as Json;
use socketioxide_core::packet::{Packet, PacketData};
use socketioxide_core::parser::{self, Parse, ParseConfig, ParserState};
use socketioxide_core::{Str, Value};
use socketioxide_parser_common::CommonParser;

use super::codec::json;
use super::command::{Decoded, decode_event};
use super::engineio::EngineVersion;
use super::payload::PayloadLimits;
use crate::domain::AckId;

/// The one namespace there is.
pub const ROOT_NAMESPACE: &str = "/";

/// Says good-bye to the root namespace.
pub const DISCONNECT: &str = "41";

/// Binary attachments one packet may announce. No command takes any: enough for a client's mistake
/// to be answered, few enough to be free.
pub const ATTACHMENTS_MAX: usize = 8;

/// Longest namespace that is worth an answer, in bytes; it is sent back in the refusal.
pub const NAMESPACE_BYTES_MAX: usize = 256;

/// Bytes of a packet beside its JSON: type, attachments, namespace, ack id.
const HEADER_BYTES_MAX: usize = NAMESPACE_BYTES_MAX + 64;

/// What a message means to the session.
#[derive(Debug, PartialEq, Eq)]
pub enum SocketIoInput {
    /// The client asks for a namespace; any but [`ROOT_NAMESPACE`] is refused with
    /// [`connect_error`]. What comes with it is not read: tokens travel with the events.
    Connect {
        namespace: String,
    },
    /// The client leaves the root namespace.
    Disconnect,
    Event(Decoded),
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
}

/// Reads the messages of one session in order; what it keeps is a packet whose attachments are not
/// all here.
#[derive(Debug)]
pub struct SocketIoDecoder {
    version: EngineVersion,
    limits: PayloadLimits,
    config: ParseConfig,
    state: ParserState,
}

impl SocketIoDecoder {
    pub fn new(version: EngineVersion, limits: PayloadLimits) -> Self {
        let config = ParseConfig {
            max_incoming_binaries: ATTACHMENTS_MAX,
            // Attachments are counted and not kept, see `attachment`.
            max_incoming_binary_buf_size: 0,
            // How long a session may take is the session's to say; a decoder has no clock.
            packet_completion_timeout: Duration::MAX,
        };
        Self { version, limits, config, state: ParserState::default() }
    }

    /// Takes the text of a message, without Engine.IO's leading `4`.
    pub fn text(&mut self, message: &str) -> Result<SocketIoInput, ParseError> {
        match message.as_bytes().first() {
            // An error packet. Servers send it; socket.io 2 clients may, and its server ignores it.
            Some(b'4') if self.version == EngineVersion::V3 => return Ok(SocketIoInput::Nothing),
            // These wait for their attachments in memory, so their size is checked before.
            Some(b'5' | b'6') if message.len() > self.limits.bytes_max + HEADER_BYTES_MAX => {
                return Err(ParseError::BinaryTooLarge);
            }
            _ => {}
        }
        let packet = CommonParser.decode_str(&self.config, &self.state, Str::copy_from_slice(message));
        self.interpret(packet)
    }

    /// Takes note of a binary message: an attachment of the packet before it. Its bytes are of no
    /// interest, because a placeholder in a payload is no text and no id whatever it stands for.
    pub fn attachment(&mut self) -> Result<SocketIoInput, ParseError> {
        let packet = CommonParser.decode_bin(&self.config, &self.state, Bytes::new());
        self.interpret(packet)
    }

    fn interpret(&self, packet: Result<Packet, parser::ParseError>) -> Result<SocketIoInput, ParseError> {
        let packet = match packet {
            Ok(packet) => packet,
            Err(parser::ParseError::NeedsMoreBinaryData) => return Ok(SocketIoInput::Nothing),
            Err(error) => return Err(ParseError::Packet(error)),
        };
        let namespace = self.namespace(&packet.ns)?;
        match packet.inner {
            PacketData::Connect(_) => Ok(SocketIoInput::Connect { namespace: namespace.to_owned() }),
            _ if namespace != ROOT_NAMESPACE => match self.version {
                EngineVersion::V3 => Ok(SocketIoInput::Nothing),
                EngineVersion::V4 => Err(ParseError::NotConnected),
            },
            PacketData::Disconnect => Ok(SocketIoInput::Disconnect),
            PacketData::Event(Value::Str(data, _), ack) | PacketData::BinaryEvent(Value::Str(data, _), ack) => {
                Ok(SocketIoInput::Event(self.event(&data, ack.map_or(AckId::None, AckId::Number))))
            }
            // Acks: we ask for none, so they answer nothing.
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

    /// Reads `["name", payload, …]`. What is no such array is answered and not fatal, because an
    /// honest client can send it: a comment with half an emoji is JSON to JavaScript, but not text.
    fn event(&self, data: &str, ack: AckId) -> Decoded {
        if let Err(what) = self.limits.check(data) {
            return Decoded::Malformed { ack, what };
        }
        let Ok(arguments) = serde_json::from_str::<Vec<Json>>(data) else {
            return Decoded::Malformed { ack, what: "event: a JSON array" };
        };
        let mut arguments = arguments.into_iter();
        match arguments.next() {
            Some(Json::String(name)) => decode_event(&name, arguments.next(), ack),
            Some(_) => Decoded::UnknownEvent { ack },
            None => Decoded::Malformed { ack, what: "event: a name" },
        }
    }
}

/// Accepts the root namespace. Protocol 4 sends it unasked, and the socket id is the Engine.IO sid;
/// protocol 5 tells the socket id here.
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
