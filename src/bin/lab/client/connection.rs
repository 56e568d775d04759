//! A nonblocking TCP connection that becomes a WebSocket.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket, Type};

use super::frames;
use super::speech::Kind;

/// Connections from one loopback source address: below the ephemeral ports of one, and below what
/// servers allow one address by default.
const CONNECTIONS_PER_SOURCE: usize = 150;

/// What a slow reader's kernel takes in for it, in bytes, so that its slowness is felt.
const SLOW_RECEIVE_BUFFER_BYTES: usize = 4_096;

/// Longest head of a handshake's answer.
const HEAD_BYTES_MAX: usize = 16_384;

/// Where a connection comes from.
#[derive(Debug, Clone, Copy)]
pub struct Source {
    /// Which connection of the run this is: spreads them over 127.x.y.z when the server is local.
    pub index: usize,
    /// With a small receive buffer.
    pub slow: bool,
}

/// What became of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum Pump {
    /// Everything there was is read.
    Drained,
    /// There may be more.
    More,
    /// The peer is gone.
    Ended,
}

pub struct Connection {
    stream: TcpStream,
    /// Sent when the connection is up; then the handshake is waiting for its answer.
    request: Option<String>,
    upgraded: bool,
    unsent: Vec<u8>,
    /// The start of a frame whose rest has not come.
    partial: Vec<u8>,
    mask: u32,
}

impl Connection {
    /// Starts to connect. `registry` reports under `token` when something happens.
    pub fn start(
        address: SocketAddr,
        source: Source,
        path: &str,
        registry: &Registry,
        token: Token,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if source.slow {
            socket.set_recv_buffer_size(SLOW_RECEIVE_BUFFER_BYTES)?;
        }
        if let SocketAddr::V4(v4) = address
            && v4.ip().is_loopback()
        {
            socket.bind(&SocketAddr::from((loopback_source(source.index), 0)).into())?;
        }
        match socket.connect(&address.into()) {
            Ok(()) => {}
            // EINPROGRESS has no ErrorKind of its own on stable; 115 is Linux's number for it.
            Err(error) if error.raw_os_error() == Some(115) || error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let mut stream = TcpStream::from_std(socket.into());
        registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)?;
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: {address}\r\nupgrade: websocket\r\nconnection: Upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: bGl2ZXJvb20gbGFiIGtleQ==\r\n\r\n"
        );
        let mask = 0x9e37_79b9_u32.wrapping_mul(token.0 as u32 | 1);
        Ok(Self { stream, request: Some(request), upgraded: false, unsent: Vec::new(), partial: Vec::new(), mask })
    }

    pub fn is_upgraded(&self) -> bool {
        self.upgraded
    }

    /// The socket can be written to: it may just have connected.
    pub fn on_writable(&mut self) -> io::Result<()> {
        if self.request.is_some() {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            match self.stream.peer_addr() {
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error),
            }
            if let Some(request) = self.request.take() {
                self.unsent.extend_from_slice(request.as_bytes());
            }
        }
        self.flush()
    }

    /// Queues a text and sends what the socket takes.
    pub fn send_text(&mut self, text: &str) -> io::Result<()> {
        self.send(frames::TEXT, text.as_bytes())
    }

    pub fn send(&mut self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        self.mask = self.mask.wrapping_mul(0x0019_660d).wrapping_add(0x3c6e_f35f);
        let was_empty = self.unsent.is_empty();
        frames::push_masked(&mut self.unsent, opcode, payload, self.mask.to_be_bytes());
        // Otherwise the socket is full, and tells when it is not.
        if was_empty { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut sent = 0;
        let outcome = loop {
            if sent == self.unsent.len() {
                break Ok(());
            }
            match self.stream.write(&self.unsent[sent..]) {
                Ok(0) => break Err(ErrorKind::WriteZero.into()),
                Ok(n) => sent += n,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => break Err(error),
            }
        };
        self.unsent.drain(..sent);
        outcome
    }

    /// Reads once, at most `bytes_max`, into `buffer` behind what was left over. Returns how many
    /// bytes of `buffer` are filled.
    pub fn fill(&mut self, buffer: &mut Vec<u8>, bytes_max: usize) -> io::Result<(usize, Pump)> {
        let start = self.partial.len();
        // A frame larger than the buffer: rare enough to grow for.
        if start + bytes_max > buffer.len() {
            buffer.resize(start + bytes_max, 0);
        }
        buffer[..start].copy_from_slice(&self.partial);
        self.partial.clear();
        loop {
            match self.stream.read(&mut buffer[start..start + bytes_max]) {
                Ok(0) => return Ok((start, Pump::Ended)),
                // Less than asked for: the socket is empty, and its next byte makes a new report.
                Ok(n) if n < bytes_max => return Ok((start + n, Pump::Drained)),
                Ok(n) => return Ok((start + n, Pump::More)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok((start, Pump::Drained)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps the start of a frame for the next read.
    pub fn keep(&mut self, partial: &[u8]) {
        self.partial.extend_from_slice(partial);
    }

    /// Reads the answer to the handshake: how many bytes it took once it is there and good, or what
    /// the server answered instead.
    pub fn read_head(&mut self, bytes: &[u8]) -> Result<Option<usize>, String> {
        let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
            return if bytes.len() > HEAD_BYTES_MAX { Err("http_head_too_long".to_owned()) } else { Ok(None) };
        };
        let status = bytes[..end].split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        if status != b"101" {
            return Err(format!("http_{}", String::from_utf8_lossy(status)));
        }
        self.upgraded = true;
        Ok(Some(end + 4))
    }

    /// Says good-bye as WebSockets do.
    pub fn close(&mut self) {
        // Whoever does not listen any more needs no good-bye.
        let _ = self.send(frames::CLOSE, &1000_u16.to_be_bytes());
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

fn loopback_source(index: usize) -> Ipv4Addr {
    let number = index / CONNECTIONS_PER_SOURCE;
    // 127.0.0.1 upwards, without .0 and .255; some 60,000 sources are enough for nine million.
    let (high, low) = (number / 250 % 250, number % 250 + 1);
    Ipv4Addr::new(127, 0, high as u8, low as u8)
}

/// The first texts of a client once its WebSocket is up.
pub fn greeting(kind: Kind) -> Option<&'static str> {
    match kind {
        // Engine.IO 4 clients ask for the namespace; version 3 is told it is in.
        Kind::SocketIoV4 => Some("40"),
        Kind::SocketIoV3 | Kind::Plain => None,
    }
}
