//! A connection that becomes a WebSocket.

use std::io;

use super::dialect::Kind;
use super::frames;
use super::payload;
use super::socket::{Dial, Pump, Socket};

/// Longest head of a handshake's answer.
const HEAD_BYTES_MAX: usize = 16_384;

pub struct Connection {
    socket: Socket,
    upgraded: bool,
    mask: u32,
}

impl Connection {
    /// Starts to connect, and asks for a WebSocket at `path` as soon as it has.
    pub fn start(dial: Dial<'_>, path: &str) -> io::Result<Self> {
        let mut socket = Socket::start(dial)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: bGl2ZXJvb20gbGFiIGtleQ==\r\n\r\n",
            dial.address
        );
        socket.send(|out| out.extend_from_slice(request.as_bytes()))?;
        let mask = 0x9e37_79b9_u32.wrapping_mul(dial.token.0 as u32 | 1);
        Ok(Self {
            socket,
            upgraded: false,
            mask,
        })
    }

    pub fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    pub fn on_writable(&mut self) -> io::Result<()> {
        self.socket.on_writable()
    }

    /// Queues a text and sends what the socket takes.
    pub fn send_text(&mut self, text: &str) -> io::Result<()> {
        self.send(frames::TEXT, text.as_bytes())
    }

    pub fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.mask = self
            .mask
            .wrapping_mul(0x0019_660d)
            .wrapping_add(0x3c6e_f35f);
        let mask = self.mask.to_be_bytes();
        self.socket
            .send(|out| frames::push_masked(out, opcode, payload, mask))
    }

    pub fn fill(&mut self, buffer: &mut Vec<u8>, bytes_max: usize) -> io::Result<(usize, Pump)> {
        self.socket.fill(buffer, bytes_max)
    }

    /// Keeps the start of a frame for the next read.
    pub fn keep(&mut self, partial: &[u8]) {
        self.socket.keep(partial);
    }

    /// Reads the answer to the handshake: how many bytes it took once it is there and good, or what
    /// the server answered instead.
    pub fn read_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > HEAD_BYTES_MAX {
                Err("http_head_too_long".to_owned())
            } else {
                Ok(None)
            };
        };
        let status = bytes[..end]
            .split(|byte| *byte == b' ')
            .nth(1)
            .unwrap_or_default();
        if status != b"101" {
            let status = std::str::from_utf8(status)
                .ok()
                .and_then(|it| it.parse().ok())
                .unwrap_or_default();
            // The answer to a WebSocket whose session has ended is that of a poll.
            return Err(payload::refusal(status, &bytes[end + 4..]));
        }
        self.upgraded = true;
        Ok(Some(end + 4))
    }

    /// Closes the connection as WebSockets do.
    pub fn close(&mut self) {
        // A peer that does not read any more needs no close.
        let _ = self.send(frames::CLOSE, &1000_u16.to_be_bytes());
        self.socket.finish();
    }
}

/// The first texts of a client once its session is open.
pub fn greeting(kind: Kind) -> Option<&'static str> {
    match kind {
        // Engine.IO 4 clients ask for the namespace; version 3 is connected to it without asking.
        Kind::Eio4 => Some("40"),
        Kind::Eio3 | Kind::Plain => None,
    }
}
