//! Polling payloads of revision 4: packets joined by a record separator.

use super::{EnginePacket, EngineParseError, EngineVersion, decode_text};

/// Cannot be part of a packet: JSON escapes control characters.
const SEPARATOR: char = '\x1e';

#[derive(Debug)]
pub(super) struct TextPayloadV4<'a> {
    packets: std::str::Split<'a, char>,
}

impl<'a> TextPayloadV4<'a> {
    pub(super) fn new(body: &'a str) -> Self {
        Self {
            packets: body.split(SEPARATOR),
        }
    }
}

impl<'a> Iterator for TextPayloadV4<'a> {
    type Item = Result<EnginePacket<'a>, EngineParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.packets
            .next()
            .map(|packet| decode_text(EngineVersion::V4, packet))
    }
}

pub(super) fn encode_into(body: &mut Vec<u8>, packets: &[impl AsRef<[u8]>]) {
    for (index, packet) in packets.iter().enumerate() {
        if index > 0 {
            body.push(SEPARATOR as u8);
        }
        body.extend_from_slice(packet.as_ref());
    }
}
