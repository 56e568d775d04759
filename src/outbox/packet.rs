//! One packet: a ready WebSocket frame, made once and shared by all who receive it.

use bytes::{BufMut, Bytes, BytesMut};

use crate::domain::Priority;

/// A WebSocket control frame that a server sends (RFC 6455, section 5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ControlFrame {
    Ping,
    Pong,
}

/// Identifies a state, such as the presence of one room: of several queued ones, the latest is
/// sufficient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StateKey(pub u64);

/// The effect of a later packet with the same key on a queued one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Superseded {
    /// The later one contains everything: the queued one is removed at once.
    Removed,
    /// The queued one also reports a change that the later one does not repeat. It is delivered, or
    /// dropped at the bound like any droppable event.
    Delivered,
}

/// A state, and the effect of a later one with its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyedState {
    pub key: StateKey,
    pub superseded: Superseded,
}

/// When a packet is dropped at the bound of an outbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DropPolicy {
    pub priority: Priority,
    /// Set for a state: the latest queued one of each key is dropped after all droppable events.
    pub state: Option<KeyedState>,
}

impl DropPolicy {
    /// Whether it is a droppable event, which is dropped first.
    pub(super) fn is_droppable_event(self) -> bool {
        self.priority == Priority::Droppable && self.state.is_none()
    }
}

impl From<Priority> for DropPolicy {
    fn from(priority: Priority) -> Self {
        Self {
            priority,
            state: None,
        }
    }
}

/// One packet, encoded once as a ready WebSocket frame and shared by all who receive it. A polling
/// transport sends the same bytes without the frame header.
#[derive(Debug, Clone)]
pub struct Packet {
    frame: Bytes,
    drop_policy: DropPolicy,
}

const OPCODE_TEXT: u8 = 0x1;
const OPCODE_PING: u8 = 0x9;
const OPCODE_PONG: u8 = 0xA;
const FINAL: u8 = 0x80;

impl Packet {
    /// A text frame, unmasked as servers send it (RFC 6455, section 5.1).
    pub fn text(text: &str, drop_policy: impl Into<DropPolicy>) -> Self {
        Self {
            frame: frame(OPCODE_TEXT, text.as_bytes()),
            drop_policy: drop_policy.into(),
        }
    }

    /// A control frame; its payload is at most 125 bytes and cut there.
    pub fn control(control: ControlFrame, payload: &[u8]) -> Self {
        let opcode = match control {
            ControlFrame::Ping => OPCODE_PING,
            ControlFrame::Pong => OPCODE_PONG,
        };
        Self {
            frame: frame(opcode, &payload[..payload.len().min(125)]),
            drop_policy: Priority::Critical.into(),
        }
    }

    /// `frame` must be a whole one.
    pub(super) fn of_frame(frame: Bytes, drop_policy: DropPolicy) -> Self {
        Self { frame, drop_policy }
    }

    /// The same bytes with another priority.
    pub fn with_priority(self, priority: Priority) -> Self {
        Self {
            drop_policy: priority.into(),
            ..self
        }
    }

    /// The whole WebSocket frame.
    pub fn frame(&self) -> &Bytes {
        &self.frame
    }

    pub fn drop_policy(&self) -> DropPolicy {
        self.drop_policy
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
            let packet = Packet::text(&"x".repeat(len), Priority::Droppable);
            assert_eq!(packet.frame().len(), len + header, "payload of {len}");
            assert_eq!(packet.payload().unwrap().len(), len);
        }
        assert_eq!(
            Packet::control(ControlFrame::Ping, b"").frame().as_ref(),
            [0x89, 0]
        );
        assert!(
            Packet::control(ControlFrame::Pong, b"x")
                .payload()
                .is_none()
        );
    }
}
