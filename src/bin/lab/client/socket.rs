//! A nonblocking TCP socket: connects, keeps what it could not send yet and what it has read of
//! something unfinished.

use std::cell::Cell;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr};

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

/// The receive buffer of a slow reader, in bytes: small, so that the server notices that it is
/// slow.
const SLOW_RECEIVE_BUFFER_BYTES: usize = 4_096;

/// Where to connect to, and whence.
#[derive(Clone, Copy)]
pub struct Dial<'a> {
    pub address: SocketAddr,
    /// Connections from one loopback address.
    pub per_source: usize,
    /// Counts the connections of the run: spreads them over 127.x.y.z when the server is local.
    pub started: &'a Cell<usize>,
    /// With a small receive buffer.
    pub slow: bool,
    /// Reports under `token` when something happens.
    pub registry: &'a Registry,
    pub token: Token,
}

/// The outcome of a read.
#[derive(Debug, PartialEq, Eq)]
pub enum Pump {
    /// Everything there was is read.
    Drained,
    /// There may be more.
    More,
    /// The peer is gone.
    Ended,
}

pub struct Socket {
    stream: TcpStream,
    is_connected: bool,
    unsent: Vec<u8>,
    /// The start of something whose rest has not come.
    partial: Vec<u8>,
}

impl Socket {
    /// Starts to connect.
    pub fn start(dial: Dial<'_>) -> io::Result<Self> {
        let socket = RawSocket::new(
            Domain::for_address(dial.address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_nonblocking(true)?;
        socket.set_tcp_nodelay(true)?;
        if dial.slow {
            socket.set_recv_buffer_size(SLOW_RECEIVE_BUFFER_BYTES)?;
        }
        if let SocketAddr::V4(v4) = dial.address
            && v4.ip().is_loopback()
        {
            socket.bind(
                &SocketAddr::from((
                    loopback_source(dial.started.replace(dial.started.get() + 1) / dial.per_source),
                    0,
                ))
                .into(),
            )?;
        }
        match socket.connect(&dial.address.into()) {
            Ok(()) => {}
            // EINPROGRESS has no ErrorKind of its own on stable; 115 is Linux's number for it.
            Err(error)
                if error.raw_os_error() == Some(115) || error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
        let mut stream = TcpStream::from_std(socket.into());
        dial.registry.register(
            &mut stream,
            dial.token,
            Interest::READABLE | Interest::WRITABLE,
        )?;
        Ok(Self {
            stream,
            is_connected: false,
            unsent: Vec::new(),
            partial: Vec::new(),
        })
    }

    /// The socket can be written to: it may just have connected.
    pub fn on_writable(&mut self) -> io::Result<()> {
        if !self.is_connected {
            if let Some(error) = self.stream.take_error()? {
                return Err(error);
            }
            match self.stream.peer_addr() {
                Ok(_) => self.is_connected = true,
                Err(error) if error.kind() == ErrorKind::NotConnected => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.flush()
    }

    /// Queues what `append` appends and sends what the socket takes.
    pub fn send(&mut self, append: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let was_empty = self.unsent.is_empty();
        append(&mut self.unsent);
        // Otherwise the socket is full, and becomes writable later.
        if was_empty && self.is_connected {
            self.flush()
        } else {
            Ok(())
        }
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
        // Something larger than the buffer: rare enough to grow for.
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
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return Ok((start, Pump::Drained));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Keeps the start of something for the next read.
    pub fn keep(&mut self, partial: &[u8]) {
        self.partial.extend_from_slice(partial);
    }

    /// Nothing more will be sent.
    pub fn finish(&self) {
        // A peer that is gone needs no notice.
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}

fn loopback_source(number: usize) -> Ipv4Addr {
    // 127.0.0.1 upwards, without .0 and .255; some 60,000 sources are enough for nine million.
    let (high, low) = (number / 250 % 250, number % 250 + 1);
    Ipv4Addr::new(127, 0, high as u8, low as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_many_and_none_is_a_network() {
        let last_octets: Vec<_> = (0..250)
            .map(|number| loopback_source(number).octets()[3])
            .collect();
        assert_eq!(
            (last_octets.first(), last_octets.last()),
            (Some(&1), Some(&250))
        );
        assert_eq!(loopback_source(250), Ipv4Addr::new(127, 0, 1, 1));
        assert_eq!(loopback_source(0), Ipv4Addr::LOCALHOST);
    }
}
