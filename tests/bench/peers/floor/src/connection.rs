//! One member's socket: a WebSocket handshake, short masked frames in, ready bytes out.

use std::io::{self, ErrorKind, Read, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mio::net::TcpStream;
use sha1::{Digest, Sha1};

/// From RFC 6455: what a key is hashed with, to show that WebSocket is meant.
const HANDSHAKE_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
const READ_BYTES: usize = 16 * 1024;

const TEXT_FRAME: u8 = 0x81;
const LENGTH_IS_TWO_BYTES: u8 = 126;
const LENGTH_IS_EIGHT_BYTES: u8 = 127;

pub struct Connection {
    stream: TcpStream,
    /// Who has joined over it.
    pub member: i64,
    is_open: bool,
    /// Bytes of a head or frame whose rest has not come.
    partial: Vec<u8>,
    /// What the socket did not take at once.
    unsent: Vec<u8>,
}

impl Connection {
    pub fn new(stream: TcpStream) -> Self {
        Self { stream, member: 0, is_open: false, partial: Vec::new(), unsent: Vec::new() }
    }

    /// Writes `bytes`, or keeps what does not go out now, behind what is waiting already.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        let taken = if self.unsent.is_empty() { write(&mut self.stream, bytes)? } else { 0 };
        self.unsent.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    pub fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match write(&mut self.stream, &self.unsent)? {
                0 => break,
                taken => drop(self.unsent.drain(..taken)),
            }
        }
        if self.unsent.is_empty() {
            self.unsent = Vec::new();
        }
        Ok(())
    }

    /// Reads what there is and hands over each whole text. An error is the end of the connection.
    pub fn read(&mut self, mut on_text: impl FnMut(&str)) -> io::Result<()> {
        let mut buffer = [0; READ_BYTES];
        loop {
            let count = match self.stream.read(&mut buffer) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            self.partial.extend_from_slice(&buffer[..count]);
            if !self.is_open {
                self.shake_hands()?;
            }
            while self.is_open && self.take_frame(&mut on_text)? {}
            if self.partial.is_empty() {
                self.partial = Vec::new();
            }
            // Less than asked for is all there was: the next edge reports what comes later.
            if count < READ_BYTES {
                return Ok(());
            }
        }
    }

    fn shake_hands(&mut self) -> io::Result<()> {
        let Some(end) = self.partial.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(()) };
        let head = String::from_utf8_lossy(&self.partial[..end]).into_owned();
        self.partial.drain(..end + 4);
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("sec-websocket-key").then(|| value.trim().to_owned())
        };
        let key = head.lines().find_map(header).ok_or(ErrorKind::InvalidData)?;
        let accept = STANDARD.encode(Sha1::digest(format!("{key}{HANDSHAKE_GUID}")));
        self.is_open = true;
        let answer = format!(
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-accept: {accept}\r\n\r\n"
        );
        self.send(answer.as_bytes())
    }

    /// Takes one frame off what has been read; false if there is no whole one.
    fn take_frame(&mut self, on_text: &mut impl FnMut(&str)) -> io::Result<bool> {
        let bytes = &mut self.partial;
        let [opcode, length, ..] = bytes[..] else { return Ok(false) };
        let (length, head) = match length & 0x7f {
            LENGTH_IS_EIGHT_BYTES => return Err(ErrorKind::InvalidData.into()),
            LENGTH_IS_TWO_BYTES if bytes.len() < 4 => return Ok(false),
            LENGTH_IS_TWO_BYTES => (usize::from(u16::from_be_bytes([bytes[2], bytes[3]])), 4),
            short => (usize::from(short), 2),
        };
        let whole = head + 4 + length;
        if bytes.len() < whole {
            return Ok(false);
        }
        let mask = [bytes[head], bytes[head + 1], bytes[head + 2], bytes[head + 3]];
        for (byte, mask) in bytes[head + 4..whole].iter_mut().zip(mask.iter().cycle()) {
            *byte ^= mask;
        }
        if opcode == TEXT_FRAME {
            let text = std::str::from_utf8(&bytes[head + 4..whole]).map_err(|_| ErrorKind::InvalidData)?;
            on_text(text);
        }
        bytes.drain(..whole);
        Ok(true)
    }
}

/// How much the socket took, none if it is full.
fn write(stream: &mut TcpStream, bytes: &[u8]) -> io::Result<usize> {
    match stream.write(bytes) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(0),
        outcome => outcome,
    }
}

/// A text as one frame, unmasked, as servers send.
pub fn frame(text: &str) -> Vec<u8> {
    let mut frame = Vec::with_capacity(text.len() + 4);
    frame.push(TEXT_FRAME);
    match u8::try_from(text.len()) {
        Ok(length) if length < LENGTH_IS_TWO_BYTES => frame.push(length),
        _ => {
            frame.push(LENGTH_IS_TWO_BYTES);
            // Commands come in frames of at most 64 KiB, and what is said of them adds little.
            frame.extend_from_slice(&(text.len() as u16).to_be_bytes());
        }
    }
    frame.extend_from_slice(text.as_bytes());
    frame
}
