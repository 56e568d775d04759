//! Turns the messages of a WebSocket and the packets of a poll into input of a session.

use bytes::Bytes;

use super::frames::Message;
use crate::actors::session::Inbound;
use crate::domain::Disconnect;
use crate::protocol::engineio::{EngineParseError, decode_binary, decode_text};
use crate::protocol::{EnginePacket, EngineVersion};

/// The protocol inside WebSocket messages.
#[derive(Debug, Clone, Copy)]
pub(super) enum Framing {
    Plain,
    Engine(EngineVersion),
}

impl Framing {
    /// Decodes a message for the session. `Err` ends the session.
    pub(super) fn decode(self, message: Message) -> Result<Inbound, Disconnect> {
        let broken = |_: EngineParseError| Disconnect::Malformed;
        match (self, message) {
            (_, Message::Ping(_) | Message::Pong | Message::Close(_) | Message::Fragments) => {
                Ok(Inbound::Pong)
            }
            (Self::Plain, Message::Text(text)) => Ok(Inbound::Text(text)),
            (Self::Plain, Message::Binary(bytes)) => Ok(Inbound::Binary(bytes)),
            (Self::Engine(version), Message::Text(text)) => {
                inbound(version, decode_text(version, &text).map_err(broken)?)
            }
            (Self::Engine(version), Message::Binary(bytes)) => {
                inbound(version, decode_binary(version, &bytes).map_err(broken)?)
            }
        }
    }
}

/// The input of the session in a packet, or its end.
pub(super) fn inbound(
    version: EngineVersion,
    packet: EnginePacket<'_>,
) -> Result<Inbound, Disconnect> {
    match (packet, version) {
        (EnginePacket::Close, _) => Err(Disconnect::ByClient),
        (EnginePacket::Ping { .. }, EngineVersion::V3) => Ok(Inbound::Ping),
        // In revision 4 the server pings.
        (EnginePacket::Ping { .. }, EngineVersion::V4) => Err(Disconnect::Malformed),
        (EnginePacket::Message(text), _) => Ok(Inbound::Text(text.to_owned())),
        (EnginePacket::Binary, _) => Ok(Inbound::Binary(Bytes::new())),
        (EnginePacket::Pong | EnginePacket::Upgrade | EnginePacket::Noop, _) => Ok(Inbound::Pong),
    }
}
