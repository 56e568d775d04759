//! Reads the frames of a WebSocket peer and assembles them to messages, within one limit.

use actix_http::ws::{CloseCode, CloseReason, OpCode, Parser, ProtocolError};
use bytes::{Bytes, BytesMut};

use crate::domain::Disconnect;

/// A message, a control frame between two, or notice of fragments that complete none.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Text(String),
    Binary(Bytes),
    Ping(Bytes),
    Pong,
    /// With the peer's code, if it gave one.
    Close(Option<u16>),
    /// [`FRAGMENTS_PER_MESSAGE`] fragments came that did not complete a message.
    Fragments,
}

/// So many fragments cost a peer as much as a message. Each is parsed, whatever it holds: without a
/// price, fragments of nothing would be a flood that no limiter sees. Clients fragment by buffers
/// of a kilobyte and more, so the largest message in its usual fragments costs one or two.
pub(super) const FRAGMENTS_PER_MESSAGE: u32 = 64;

/// Room made for one read: a few commands.
const READ_BYTES: usize = 2_048;

/// A message whose frames are not all here.
struct Partial {
    is_text: bool,
    bytes: BytesMut,
}

/// The bytes of one peer, on their way to be messages. After an error its frames are out of step.
pub(super) struct Frames {
    buffer: BytesMut,
    partial: Option<Box<Partial>>,
    /// Fragments since the last [`Message::Fragments`]. Counted on over messages: an empty fragment
    /// in each of many short messages costs as much as all of them in one.
    fragments: u32,
    /// Of a frame, and of a message of several.
    message_bytes_max: usize,
}

impl Frames {
    /// `first`: what came with the handshake.
    pub(super) fn new(first: BytesMut, message_bytes_max: usize) -> Self {
        Self {
            buffer: first,
            partial: None,
            fragments: 0,
            message_bytes_max,
        }
    }

    /// Where to read into.
    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        self.buffer.reserve(READ_BYTES);
        &mut self.buffer
    }

    /// An idle peer holds no memory.
    pub(super) fn release(&mut self) {
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
    }

    /// The next message, if it is here. Looks at no more than [`FRAGMENTS_PER_MESSAGE`] frames.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Disconnect> {
        loop {
            // The parser would wait for all of a frame, and hold it, before it looks at its size.
            if declared_bytes(&self.buffer)
                .is_some_and(|bytes| bytes > self.message_bytes_max as u64)
            {
                return Err(Disconnect::TooBig);
            }
            match Parser::parse(&mut self.buffer, true, self.message_bytes_max) {
                Ok(Some((is_last, opcode, payload))) => {
                    if let Some(message) =
                        self.take(is_last, opcode, payload.unwrap_or_default())?
                    {
                        return Ok(Some(message));
                    }
                }
                Ok(None) => return Ok(None),
                Err(ProtocolError::Overflow) => return Err(Disconnect::TooBig),
                Err(_) => return Err(Disconnect::Malformed),
            }
        }
    }

    /// Takes a frame; returns the message that it is or completes.
    fn take(
        &mut self,
        is_last: bool,
        opcode: OpCode,
        payload: BytesMut,
    ) -> Result<Option<Message>, Disconnect> {
        let partial = match (opcode, self.partial.take()) {
            (OpCode::Text | OpCode::Binary, None) => Box::new(Partial {
                is_text: opcode == OpCode::Text,
                bytes: payload,
            }),
            (OpCode::Continue, Some(mut partial)) => {
                if partial.bytes.len() + payload.len() > self.message_bytes_max {
                    return Err(Disconnect::TooBig);
                }
                partial.bytes.extend_from_slice(&payload);
                partial
            }
            (OpCode::Ping | OpCode::Pong | OpCode::Close, partial) if is_last => {
                self.partial = partial;
                return control(opcode, payload).map(Some);
            }
            // A fragment of nothing, a message within another, a control frame in pieces.
            _ => return Err(Disconnect::Malformed),
        };
        if !is_last {
            self.partial = Some(partial);
            self.fragments = (self.fragments + 1) % FRAGMENTS_PER_MESSAGE;
            return Ok((self.fragments == 0).then_some(Message::Fragments));
        }
        if !partial.is_text {
            return Ok(Some(Message::Binary(partial.bytes.freeze())));
        }
        match std::str::from_utf8(&partial.bytes) {
            Ok(text) => Ok(Some(Message::Text(text.to_owned()))),
            Err(_) => Err(Disconnect::InvalidText),
        }
    }
}

fn control(opcode: OpCode, payload: BytesMut) -> Result<Message, Disconnect> {
    match opcode {
        OpCode::Ping => Ok(Message::Ping(payload.freeze())),
        OpCode::Close => {
            let reason =
                Parser::try_parse_close_payload(&payload).map_err(|_| Disconnect::Malformed)?;
            Ok(Message::Close(reason.map(|reason| reason.code.into())))
        }
        _ => Ok(Message::Pong),
    }
}

/// The length that the frame at the start of `buffer` says it has (RFC 6455, section 5.2), once
/// that is here.
fn declared_bytes(buffer: &[u8]) -> Option<u64> {
    let (header, rest) = buffer.split_at_checked(2)?;
    match header[1] & 0x7F {
        126 => rest
            .first_chunk()
            .map(|bytes| u64::from(u16::from_be_bytes(*bytes))),
        127 => rest.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)),
        len => Some(u64::from(len)),
    }
}

/// A close frame as servers send it; without a code it is empty.
pub(super) fn close_frame(code: Option<u16>, reason: &str) -> Bytes {
    let description = (!reason.is_empty()).then(|| reason.to_owned());
    let reason = code.map(|code| CloseReason {
        code: CloseCode::from(code),
        description,
    });
    let mut frame = BytesMut::new();
    Parser::write_close(&mut frame, reason, false);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1_000;

    /// A frame with an all-zero mask, which leaves the payload as it is.
    fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
        let mut frame = vec![first_byte];
        match payload.len() {
            len @ 0..=125 => frame.push(0x80 | len as u8),
            len => {
                frame.push(0x80 | 126);
                frame.extend_from_slice(&(len as u16).to_be_bytes());
            }
        }
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(payload);
        frame
    }

    fn read(chunks: Vec<Vec<u8>>) -> Vec<Result<Message, Disconnect>> {
        let mut frames = Frames::new(BytesMut::new(), MAX);
        let mut messages = Vec::new();
        for chunk in chunks {
            frames.buffer().extend_from_slice(&chunk);
            while let Some(next) = frames.next().transpose() {
                let is_last = next.is_err();
                messages.push(next);
                if is_last {
                    return messages;
                }
            }
        }
        frames.release();
        assert_eq!(frames.buffer.capacity(), 0, "memory held for an idle peer");
        messages
    }

    #[test]
    fn messages_come_whole_whatever_their_pieces() {
        let mut bytes = frame(0x01, "世".as_bytes().split_at(1).0);
        bytes.extend(frame(0x89, b"between"));
        bytes.extend(frame(0x00, b"\xB8"));
        bytes.extend(frame(0x80, b"\x96!"));
        bytes.extend(frame(0x82, b"\xff"));
        bytes.extend(frame(0x88, &1000_u16.to_be_bytes()));
        let expected = vec![
            Ok(Message::Ping(Bytes::from_static(b"between"))),
            Ok(Message::Text("世!".to_owned())),
            Ok(Message::Binary(Bytes::from_static(b"\xff"))),
            Ok(Message::Close(Some(1000))),
        ];
        assert_eq!(read(vec![bytes.clone()]), expected);
        assert_eq!(
            read(bytes.chunks(1).map(<[u8]>::to_vec).collect()),
            expected
        );
    }

    #[test]
    fn what_is_too_big_is_refused_before_it_is_here() {
        let fits = frame(0x81, &[b'x'; MAX]);
        assert!(matches!(read(vec![fits])[0], Ok(Message::Text(_))));
        let mut header = vec![0x81, 0x80 | 127];
        header.extend_from_slice(&(1_u64 << 62).to_be_bytes());
        assert_eq!(read(vec![header.clone()]), [Err(Disconnect::TooBig)]);
        header[2] = 0xff;
        assert_eq!(read(vec![header]), [Err(Disconnect::TooBig)]);
        let pieces = vec![frame(0x01, &[b'x'; 600]), frame(0x80, &[b'x'; 600])];
        assert_eq!(read(pieces), [Err(Disconnect::TooBig)]);
    }

    #[test]
    fn broken_frames_are_refused() {
        assert_eq!(
            read(vec![frame(0x81, b"\xff")]),
            [Err(Disconnect::InvalidText)]
        );
        assert_eq!(
            read(vec![vec![0x81, 1, b'x']]),
            [Err(Disconnect::Malformed)],
            "unmasked"
        );
        for (name, bytes) in [
            ("opcode", frame(0x83, b"")),
            ("reserved bit", frame(0xC1, b"")),
            ("continuation of nothing", frame(0x80, b"")),
            ("fragmented control frame", frame(0x09, b"")),
            ("long control frame", frame(0x89, &[0; 126])),
            ("half a close code", frame(0x88, &[3])),
        ] {
            assert_eq!(read(vec![bytes]), [Err(Disconnect::Malformed)], "{name}");
        }
        let twice = vec![frame(0x01, b"a"), frame(0x01, b"b")];
        assert_eq!(read(twice), [Err(Disconnect::Malformed)]);
    }

    #[test]
    fn fragments_are_reported_by_the_number_whatever_is_in_them() {
        let count = FRAGMENTS_PER_MESSAGE as usize;
        let fragments =
            |count: usize| [frame(0x01, b""), frame(0x00, b"").repeat(count - 1)].concat();
        assert_eq!(read(vec![fragments(count - 1)]), []);
        assert_eq!(
            read(vec![fragments(2 * count + 1)]),
            [Ok(Message::Fragments), Ok(Message::Fragments)]
        );
        // Spread over messages they are counted all the same.
        let message = [frame(0x01, b"a"), frame(0x80, b"b")].concat();
        let messages = read(vec![message.repeat(2 * count)]);
        assert_eq!(
            messages
                .iter()
                .filter(|next| **next == Ok(Message::Fragments))
                .count(),
            2
        );
        assert_eq!(
            messages
                .iter()
                .filter(|next| **next == Ok(Message::Text("ab".to_owned())))
                .count(),
            2 * count
        );
    }

    #[test]
    fn the_largest_message_in_fragments_of_a_kilobyte_is_reported_at_most_once() {
        let mut frames = Frames::new(BytesMut::new(), 1 << 16);
        let mut bytes = frame(0x01, &[b'x'; 1_024]);
        (0..62).for_each(|_| bytes.extend(frame(0x00, &[b'x'; 1_024])));
        bytes.extend(frame(0x80, &[b'x'; 1_024]));
        frames.buffer().extend_from_slice(&bytes);
        assert_eq!(frames.next(), Ok(Some(Message::Text("x".repeat(1 << 16)))));
    }

    #[test]
    fn close_frames_are_as_rfc_6455_has_them() {
        assert_eq!(close_frame(None, "").as_ref(), [0x88, 0]);
        assert_eq!(
            close_frame(Some(3008), "too slow").as_ref(),
            b"\x88\x0a\x0b\xc0too slow"
        );
    }
}
