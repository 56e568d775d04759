//! One packet: a ready WebSocket frame, made once and shared by all who receive it.

use bytes::{BufMut, Bytes, BytesMut};

use crate::domain::Lane;

/// A WebSocket opcode a server sends (RFC 6455, section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    Ping,
    Pong,
}

/// Names a state, such as who is online in one room: of several that wait, only the latest counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateKey(pub u64);

/// What a later packet with the same key means for one that still waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Superseded {
    /// It says nothing that the later one does not say, and is removed at once.
    Removed,
    /// It also reports a change that the later one does not repeat. It is delivered, unless there is
    /// too much: then it is dropped like any event of the crowd.
    Delivered,
}

/// A state, and what becomes of it when a later one waits behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    pub key: StateKey,
    pub superseded: Superseded,
}

/// How a packet gives way when there is too much.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    pub lane: Lane,
    /// Set for a state: of those that wait, the latest of each key is dropped after all events of the
    /// crowd.
    pub state: Option<State>,
}

impl Standing {
    /// Whether it is an event of the crowd, which is the first to go.
    pub(super) fn is_crowd_event(self) -> bool {
        self.lane == Lane::Crowd && self.state.is_none()
    }
}

impl From<Lane> for Standing {
    fn from(lane: Lane) -> Self {
        Self { lane, state: None }
    }
}

/// One packet, encoded once as a ready WebSocket frame and shared by all who receive it. A polling
/// transport sends the same bytes without the frame header.
#[derive(Debug, Clone)]
pub struct Packet {
    frame: Bytes,
    standing: Standing,
}

const OPCODE_TEXT: u8 = 0x1;
const OPCODE_PING: u8 = 0x9;
const OPCODE_PONG: u8 = 0xA;
const FINAL: u8 = 0x80;

impl Packet {
    /// A text frame, unmasked as servers send it (RFC 6455, section 5.1).
    pub fn text(text: &str, standing: impl Into<Standing>) -> Self {
        Self { frame: frame(OPCODE_TEXT, text.as_bytes()), standing: standing.into() }
    }

    /// A control frame; its payload is at most 125 bytes and cut there.
    pub fn control(control: Control, payload: &[u8]) -> Self {
        let opcode = match control {
            Control::Ping => OPCODE_PING,
            Control::Pong => OPCODE_PONG,
        };
        Self { frame: frame(opcode, &payload[..payload.len().min(125)]), standing: Lane::Money.into() }
    }

    /// `frame` must be a whole one.
    pub(super) fn of_frame(frame: Bytes, standing: Standing) -> Self {
        Self { frame, standing }
    }

    /// The same bytes in another lane.
    pub fn in_lane(self, lane: Lane) -> Self {
        Self { standing: lane.into(), ..self }
    }

    /// The whole WebSocket frame.
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    pub fn standing(&self) -> Standing {
        self.standing
    }

    /// The text alone; `None` for a control frame, which only a WebSocket understands.
    pub fn payload(&self) -> Option<Bytes> {
        let header = match (self.frame[0] & 0x0F, self.frame[1]) {
            (OPCODE_TEXT, 127) => 10,
            (OPCODE_TEXT, 126) => 4,
            (OPCODE_TEXT, _) => 2,
            _ => return None,
        };
        Some(self.frame.slice(header..))
    }
}

fn frame(opcode: u8, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(payload.len() + 10);
    frame.put_u8(FINAL | opcode);
    match payload.len() {
        len @ 0..=125 => frame.put_u8(len as u8),
        len @ 126..=0xFFFF => {
            frame.put_u8(126);
            frame.put_u16(len as u16);
        }
        len => {
            frame.put_u8(127);
            frame.put_u64(len as u64);
        }
    }
    frame.put_slice(payload);
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_the_header_their_length_needs() {
        for (len, header) in [(0, 2), (125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let packet = Packet::text(&"x".repeat(len), Lane::Crowd);
            assert_eq!(packet.frame().len(), len + header, "payload of {len}");
            assert_eq!(packet.payload().unwrap().len(), len);
        }
        assert_eq!(Packet::control(Control::Ping, b"").frame().as_ref(), [0x89, 0]);
        assert!(Packet::control(Control::Pong, b"x").payload().is_none());
    }
}
