//! Engine.IO: packets, and how frames and polling payloads carry them.
//!
//! Formats: <https://github.com/socketio/engine.io-protocol>, revisions 3 and 4.
//!
//! This is an own codec and not `engineioxide-core`, because that crate's decoders (0.2.3) are
//! asynchronous streams over an `http_body::Body`, which actix does not have, and because its
//! revision 3 decoder copies and validates the rest of the body once for each packet. Bodies of
//! 10, 20 and 40 thousand `1:2` packets took it 0.03, 0.11 and 0.32 s: a POST of 1 MB would hold a
//! core for some 20 s. Here a payload is walked once, and packets borrow from it.

mod v3;
mod v4;

use serde::Serialize;

use super::codec::Codec;

/// The revision a session speaks, by the `EIO` of its handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EngineVersion {
    /// With Socket.IO protocol 4: socket.io-client 2.x.
    V3,
    /// With Socket.IO protocol 5: socket.io-client 3.x and 4.x.
    V4,
}

impl EngineVersion {
    /// From the query's `EIO`; clients before it was sent speak 3.
    pub fn from_query(eio: Option<&str>) -> Result<Self, EngineError> {
        match eio {
            None | Some("3") => Ok(Self::V3),
            Some("4") => Ok(Self::V4),
            Some(_) => Err(EngineError::UnsupportedVersion),
        }
    }

    pub const fn codec(self) -> Codec {
        match self {
            Self::V3 => Codec::Eio3,
            Self::V4 => Codec::Eio4,
        }
    }
}

/// A packet from a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnginePacket<'a> {
    Close,
    /// Revision 3: the client's heartbeat, answered with [`PONG`]. `probe`: the first packet on the
    /// socket of an upgrade, in both revisions, answered with [`PROBE_PONG`].
    Ping {
        probe: bool,
    },
    /// Revision 4: the answer to our heartbeat.
    Pong,
    /// The text of a message, for the Socket.IO decoder.
    Message(&'a str),
    /// A binary message. Its bytes are not even decoded: no command takes binary, so the Socket.IO
    /// decoder only counts them.
    Binary,
    /// The last packet of an upgrade: from here on the socket is the transport.
    Upgrade,
    Noop,
}

/// Not a packet, or not a payload. Ends the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EngineParseError {
    #[error("empty packet or payload")]
    Empty,
    #[error("unknown packet type")]
    PacketType,
    #[error("malformed packet length")]
    Length,
    #[error("text is not utf-8")]
    Utf8,
}

pub const CLOSE: &str = "1";
pub const PING: &str = "2";
pub const PONG: &str = "3";
pub const PROBE_PONG: &str = "3probe";
/// Releases a hanging poll when there is nothing to say.
pub const NOOP: &str = "6";

/// Reads one packet from its text: a WebSocket text frame, or a piece of a payload.
pub fn decode_text(
    version: EngineVersion,
    packet: &str,
) -> Result<EnginePacket<'_>, EngineParseError> {
    let mut chars = packet.chars();
    let kind = chars.next().ok_or(EngineParseError::Empty)?;
    let data = chars.as_str();
    match kind {
        '1' => Ok(EnginePacket::Close),
        '2' => Ok(EnginePacket::Ping {
            probe: data == "probe",
        }),
        '3' => Ok(EnginePacket::Pong),
        '4' => Ok(EnginePacket::Message(data)),
        '5' => Ok(EnginePacket::Upgrade),
        '6' => Ok(EnginePacket::Noop),
        // Base64: revision 3 puts the type of the packet first, and only messages can be binary.
        'b' if version == EngineVersion::V4 || data.starts_with('4') => Ok(EnginePacket::Binary),
        // Among the others is 0, open: only servers say that.
        _ => Err(EngineParseError::PacketType),
    }
}

/// Reads one WebSocket binary frame: revision 3 puts the type first, revision 4 has messages only.
pub fn decode_binary(
    version: EngineVersion,
    frame: &[u8],
) -> Result<EnginePacket<'static>, EngineParseError> {
    match (version, frame.first()) {
        (EngineVersion::V4, _) | (EngineVersion::V3, Some(4)) => Ok(EnginePacket::Binary),
        (EngineVersion::V3, Some(_)) => Err(EngineParseError::PacketType),
        (EngineVersion::V3, None) => Err(EngineParseError::Empty),
    }
}

/// How the body of a POST is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PayloadKind {
    Text,
    /// `application/octet-stream`, revision 3 only.
    Binary,
}

/// The packets of one POST body, read one at a time. Ends after the first error.
#[derive(Debug)]
pub struct PayloadPackets<'a>(Payload<'a>);

#[derive(Debug)]
enum Payload<'a> {
    V3Text(v3::TextPayloadV3<'a>),
    V3Binary(v3::BinaryPayload<'a>),
    V4(v4::TextPayloadV4<'a>),
    Ended,
}

/// Opens the body of a POST. Its size is the caller's to bound; the work is linear in it.
pub fn decode_payload(
    version: EngineVersion,
    kind: PayloadKind,
    body: &[u8],
) -> Result<PayloadPackets<'_>, EngineParseError> {
    if body.is_empty() {
        return Err(EngineParseError::Empty);
    }
    let payload = match (version, kind) {
        (EngineVersion::V3, PayloadKind::Binary) => Payload::V3Binary(v3::BinaryPayload::new(body)),
        (EngineVersion::V3, PayloadKind::Text) => {
            Payload::V3Text(v3::TextPayloadV3::new(utf8(body)?))
        }
        (EngineVersion::V4, _) => Payload::V4(v4::TextPayloadV4::new(utf8(body)?)),
    };
    Ok(PayloadPackets(payload))
}

impl<'a> Iterator for PayloadPackets<'a> {
    type Item = Result<EnginePacket<'a>, EngineParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = match &mut self.0 {
            Payload::V3Text(payload) => payload.next(),
            Payload::V3Binary(payload) => payload.next(),
            Payload::V4(payload) => payload.next(),
            Payload::Ended => None,
        };
        if !matches!(next, Some(Ok(_))) {
            self.0 = Payload::Ended;
        }
        next
    }
}

pub(super) fn utf8(bytes: &[u8]) -> Result<&str, EngineParseError> {
    std::str::from_utf8(bytes).map_err(|_| EngineParseError::Utf8)
}

/// Joins packets into the body that answers a poll, as `text/plain; charset=UTF-8`. Revision 3
/// clients take this form whether or not they asked for `b64`, since we send no binary.
pub fn encode_payload(version: EngineVersion, packets: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let packets_bytes: usize = packets.iter().map(|packet| packet.as_ref().len()).sum();
    let mut body = Vec::with_capacity(packets_bytes + packets.len() * v3::PREFIX_BYTES_MAX);
    match version {
        EngineVersion::V3 => v3::encode_into(&mut body, packets),
        EngineVersion::V4 => v4::encode_into(&mut body, packets),
    }
    body
}

/// The parameters that a client receives when its session opens.
#[derive(Debug, Clone, Copy)]
pub struct Handshake<'a> {
    pub sid: &'a str,
    /// Whether the session may go on over a WebSocket; false when it opened on one.
    pub upgrade: bool,
    pub ping_interval_ms: u64,
    pub ping_timeout_ms: u64,
    /// Largest POST in bytes. Revision 4 clients split by it; revision 3 has no such field.
    pub payload_bytes_max: usize,
}

/// The packet that opens a session.
pub fn open_packet(version: EngineVersion, handshake: &Handshake<'_>) -> String {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Open<'a> {
        sid: &'a str,
        upgrades: &'a [&'a str],
        ping_interval: u64,
        ping_timeout: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        max_payload: Option<usize>,
    }
    let open = Open {
        sid: handshake.sid,
        upgrades: if handshake.upgrade {
            &["websocket"]
        } else {
            &[]
        },
        ping_interval: handshake.ping_interval_ms,
        ping_timeout: handshake.ping_timeout_ms,
        max_payload: (version == EngineVersion::V4).then_some(handshake.payload_bytes_max),
    };
    format!("0{}", super::codec::json(&open))
}

/// Why the Engine.IO endpoint refuses a request. Answered with HTTP 400 and [`EngineError::body`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineError {
    UnknownTransport,
    UnknownSid,
    BadHandshakeMethod,
    BadRequest,
    Forbidden,
    UnsupportedVersion,
}

impl EngineError {
    const fn code_and_message(self) -> (u8, &'static str) {
        match self {
            Self::UnknownTransport => (0, "Transport unknown"),
            Self::UnknownSid => (1, "Session ID unknown"),
            Self::BadHandshakeMethod => (2, "Bad handshake method"),
            Self::BadRequest => (3, "Bad request"),
            Self::Forbidden => (4, "Forbidden"),
            Self::UnsupportedVersion => (5, "Unsupported protocol version"),
        }
    }

    /// The JSON body, byte for byte engine.io's.
    pub fn body(self) -> String {
        let (code, message) = self.code_and_message();
        format!(r#"{{"code":{code},"message":"{message}"}}"#)
    }
}
