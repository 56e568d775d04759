//! Polling payloads of revision 3: each packet after its length.

use std::io::Write;

use super::{EnginePacket, EngineParseError, EngineVersion, decode_binary, decode_text, utf8};

/// Most digits of a length that are read. A body has megabytes at most; the limit keeps the search
/// for the end of a length from walking the whole body once per packet.
const LENGTH_DIGITS_MAX: usize = 9;

/// Bytes that the encoding of one packet adds at most.
pub(super) const PREFIX_BYTES_MAX: usize = LENGTH_DIGITS_MAX + 1;

/// `<len>:<packet>`…, the length in UTF-16 code units, as JavaScript counts.
#[derive(Debug)]
pub(super) struct TextPayloadV3<'a> {
    rest: &'a str,
}

impl<'a> TextPayloadV3<'a> {
    pub(super) fn new(body: &'a str) -> Self {
        Self { rest: body }
    }

    /// The text of the next packet.
    fn read(&mut self) -> Result<&'a str, EngineParseError> {
        let window = &self.rest.as_bytes()[..self.rest.len().min(LENGTH_DIGITS_MAX + 1)];
        let digits_count = window
            .iter()
            .position(|byte| *byte == b':')
            .ok_or(EngineParseError::Length)?;
        // The colon is ASCII, so both sides of it are on character boundaries.
        let (digits, tail) = (&self.rest[..digits_count], &self.rest[digits_count + 1..]);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(EngineParseError::Length);
        }
        let units = digits.parse().map_err(|_| EngineParseError::Length)?;
        let end = byte_offset(tail, units).ok_or(EngineParseError::Length)?;
        let (packet, rest) = tail.split_at(end);
        self.rest = rest;
        Ok(packet)
    }
}

impl<'a> Iterator for TextPayloadV3<'a> {
    type Item = Result<EnginePacket<'a>, EngineParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.read() {
                // A client with nothing to say sends `0:`.
                Ok("") => {}
                Ok(packet) => return Some(decode_text(EngineVersion::V3, packet)),
                Err(error) => return Some(Err(error)),
            }
        }
        None
    }
}

/// Where in `text` exactly `units` UTF-16 code units end; `None` if it is too short or the end is
/// inside a surrogate pair.
fn byte_offset(text: &str, units: usize) -> Option<usize> {
    let mut units_left = units;
    for (offset, character) in text.char_indices() {
        if units_left == 0 {
            return Some(offset);
        }
        units_left = units_left.checked_sub(character.len_utf16())?;
    }
    (units_left == 0).then_some(text.len())
}

/// `00|01 <digits of len, one per byte> ff <packet>`…, the length in bytes; 00 is text, 01 binary.
#[derive(Debug)]
pub(super) struct BinaryPayload<'a> {
    rest: &'a [u8],
}

impl<'a> BinaryPayload<'a> {
    pub(super) fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    fn read(&mut self) -> Result<EnginePacket<'a>, EngineParseError> {
        let (kind, tail) = self.rest.split_first().ok_or(EngineParseError::Empty)?;
        let window = &tail[..tail.len().min(LENGTH_DIGITS_MAX + 1)];
        let digits_count = window
            .iter()
            .position(|byte| *byte == 0xff)
            .ok_or(EngineParseError::Length)?;
        let (digits, tail) = (&tail[..digits_count], &tail[digits_count + 1..]);
        if digits.is_empty() || digits.iter().any(|digit| *digit > 9) {
            return Err(EngineParseError::Length);
        }
        // At most LENGTH_DIGITS_MAX digits, so this cannot overflow.
        let bytes_count = digits
            .iter()
            .fold(0_usize, |number, digit| number * 10 + usize::from(*digit));
        let (packet, rest) = tail
            .split_at_checked(bytes_count)
            .ok_or(EngineParseError::Length)?;
        self.rest = rest;
        match kind {
            0 => decode_text(EngineVersion::V3, utf8(packet)?),
            1 => decode_binary(EngineVersion::V3, packet),
            _ => Err(EngineParseError::PacketType),
        }
    }
}

impl<'a> Iterator for BinaryPayload<'a> {
    type Item = Result<EnginePacket<'a>, EngineParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.rest.is_empty()).then(|| self.read())
    }
}

pub(super) fn encode_into(body: &mut Vec<u8>, packets: &[impl AsRef<[u8]>]) {
    for packet in packets {
        let packet = packet.as_ref();
        // Writing into a Vec cannot fail.
        let _ = write!(body, "{}:", utf16_len(packet));
        body.extend_from_slice(packet);
    }
}

/// UTF-16 code units of a UTF-8 text: one for each character, two where it takes four bytes.
fn utf16_len(utf8: &[u8]) -> usize {
    utf8.iter()
        .map(|byte| usize::from(byte & 0xc0 != 0x80) + usize::from(*byte >= 0xf0))
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_utf16_code_units() {
        for text in ["", "a", "é", "世界", "👍🏽", "a👍界"] {
            assert_eq!(
                utf16_len(text.as_bytes()),
                text.encode_utf16().count(),
                "{text}"
            );
        }
        assert_eq!(byte_offset("a👍b", 3), Some(5));
        assert_eq!(byte_offset("a👍b", 2), None);
        assert_eq!(byte_offset("a", 2), None);
        assert_eq!(byte_offset("", 0), Some(0));
    }

    #[test]
    fn text_payload_is_read_packet_by_packet() {
        let packets: Result<Vec<_>, _> = TextPayloadV3::new("3:4世👍").collect();
        assert_eq!(packets, Err(EngineParseError::Length));
        let packets: Result<Vec<_>, _> = TextPayloadV3::new("4:4世👍2:406:b4AQID").collect();
        assert_eq!(
            packets.unwrap(),
            [
                EnginePacket::Message("世👍"),
                EnginePacket::Message("0"),
                EnginePacket::Binary
            ]
        );
        let packets: Result<Vec<_>, _> = TextPayloadV3::new("0:2:400:").collect();
        assert_eq!(packets.unwrap(), [EnginePacket::Message("0")]);
    }

    #[test]
    fn binary_payload_is_read_packet_by_packet() {
        let body = [
            &[0, 2, 0xff][..],
            b"40",
            &[1, 4, 0xff, 4, 1, 2, 3],
            &[0, 0, 1, 0xff],
            b"1",
        ]
        .concat();
        let packets: Result<Vec<_>, _> = BinaryPayload::new(&body).collect();
        assert_eq!(
            packets.unwrap(),
            [
                EnginePacket::Message("0"),
                EnginePacket::Binary,
                EnginePacket::Close
            ]
        );
    }
}
