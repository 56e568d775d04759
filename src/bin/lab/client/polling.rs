//! A Socket.IO client that polls: one keep-alive connection on which a GET always hangs, another
//! for POSTs, of which there is one at a time.

use std::io;

use super::dialect::Kind;
use super::payload;
use super::socket::{Dial, Pump, Socket};

/// Longest head of an answer.
const HEAD_BYTES_MAX: usize = 16_384;

/// Longest body of an answer: servers allow a few hundred packets to wait.
const BODY_BYTES_MAX: usize = 16 << 20;

/// Packets that wait are posted together up to so many bytes, well below what servers accept.
const POST_BYTES_MAX: usize = 100_000;

/// One answer, and how many bytes it took.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    pub status: u16,
    pub body: &'a [u8],
    pub used: usize,
}

/// A keep-alive connection with at most one request on its way.
pub struct Line {
    socket: Socket,
    /// The request on its way; empty if there is none.
    request: Vec<u8>,
    /// It has had an answer on this connection before.
    is_used: bool,
}

impl Line {
    fn start(dial: Dial<'_>, request: Vec<u8>) -> io::Result<Self> {
        let mut line = Self {
            socket: Socket::start(dial)?,
            request,
            is_used: false,
        };
        line.socket
            .send(|out| out.extend_from_slice(&line.request))?;
        Ok(line)
    }

    fn ask(&mut self, request: Vec<u8>) -> io::Result<()> {
        self.request = request;
        self.socket.send(|out| out.extend_from_slice(&self.request))
    }

    pub fn is_idle(&self) -> bool {
        self.request.is_empty()
    }

    pub fn on_writable(&mut self) -> io::Result<()> {
        self.socket.on_writable()
    }

    pub fn fill(&mut self, buffer: &mut Vec<u8>, bytes_max: usize) -> io::Result<(usize, Pump)> {
        self.socket.fill(buffer, bytes_max)
    }

    pub fn keep(&mut self, partial: &[u8]) {
        self.socket.keep(partial);
    }

    /// The answer at the start of `bytes`, if all of it is there.
    pub fn read_reply<'a>(&mut self, bytes: &'a [u8]) -> Result<Option<Reply<'a>>, String> {
        let reply = read_reply(bytes)?;
        if reply.is_some() {
            self.request.clear();
            self.is_used = true;
        }
        Ok(reply)
    }

    /// The request that a server which closes idle connections may never have seen.
    fn unseen_request(&mut self) -> Option<Vec<u8>> {
        self.is_used
            .then(|| std::mem::take(&mut self.request))
            .filter(|request| !request.is_empty())
    }
}

/// Which of the two connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Poll,
    Post,
}

pub struct Polling {
    kind: Kind,
    /// With the session's id once there is one.
    path: String,
    poll: Line,
    post: Option<Line>,
    /// Packets for the next POST.
    waiting: Vec<String>,
    /// No more requests: a WebSocket is to take over.
    pub is_pausing: bool,
}

impl Polling {
    /// Starts to connect, and asks for a session.
    pub fn start(dial: Dial<'_>, kind: Kind, path: String) -> io::Result<Self> {
        let poll = Line::start(dial, get(&path, dial))?;
        Ok(Self {
            kind,
            path,
            poll,
            post: None,
            waiting: Vec::new(),
            is_pausing: false,
        })
    }

    /// The session has its id.
    pub fn open(&mut self, sid: &str) {
        self.path = format!("{}&sid={sid}", self.path);
    }

    /// Where a WebSocket for this session connects.
    pub fn upgrade_path(&self) -> String {
        self.path
            .replace("transport=polling", "transport=websocket")
    }

    pub fn line(&mut self, side: Side) -> Option<&mut Line> {
        match side {
            Side::Poll => Some(&mut self.poll),
            Side::Post => self.post.as_mut(),
        }
    }

    /// Asks for what the server has to say, if nothing is asked.
    pub fn poll(&mut self, dial: Dial<'_>) -> io::Result<()> {
        if self.is_pausing || !self.poll.is_idle() {
            return Ok(());
        }
        self.poll.ask(get(&self.path, dial))
    }

    pub fn queue(&mut self, packet: &str) {
        self.waiting.push(packet.to_owned());
    }

    /// Posts what waits, if no POST is on its way.
    pub fn post(&mut self, dial: Dial<'_>) -> io::Result<()> {
        if self.is_pausing
            || self.waiting.is_empty()
            || self.post.as_ref().is_some_and(|line| !line.is_idle())
        {
            return Ok(());
        }
        let mut bytes = 0;
        let fits = |packet: &&String| {
            bytes += packet.len();
            bytes <= POST_BYTES_MAX
        };
        // A packet that is too long by itself is for the server to refuse.
        let count = self.waiting.iter().take_while(fits).count().max(1);
        let packets: Vec<String> = self.waiting.drain(..count).collect();
        let body = payload::encode(self.kind, &packets);
        let head = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: text/plain;charset=UTF-8\r\ncontent-length: {}\r\n\r\n",
            self.path,
            dial.address,
            body.len()
        );
        let request = [head.as_bytes(), body.as_bytes()].concat();
        match &mut self.post {
            Some(line) => line.ask(request),
            None => {
                self.post = Some(Line::start(dial, request)?);
                Ok(())
            }
        }
    }

    /// The server closed one of the connections. Whether the session goes on: servers may close
    /// what was idle, and a request that crossed with that is asked again.
    pub fn on_line_ended(&mut self, side: Side, dial: Dial<'_>) -> io::Result<bool> {
        match side {
            Side::Poll => match self.poll.unseen_request() {
                Some(request) => self.poll = Line::start(dial, request)?,
                None => return Ok(false),
            },
            Side::Post => match self.post.take() {
                Some(mut line) => match line.unseen_request() {
                    Some(request) => self.post = Some(Line::start(dial, request)?),
                    None => return Ok(line.is_idle()),
                },
                None => return Ok(true),
            },
        }
        Ok(true)
    }

    /// Whether nothing is on its way any more, so that a WebSocket may take over.
    pub fn is_paused(&self) -> bool {
        self.is_pausing && self.poll.is_idle() && self.post.as_ref().is_none_or(Line::is_idle)
    }

    /// Packets that were to be posted, for the WebSocket to send.
    pub fn into_waiting(self) -> Vec<String> {
        self.waiting
    }

    /// Closes the session, as far as that goes without waiting.
    pub fn close(&mut self, dial: Dial<'_>) {
        self.queue("1");
        // A peer that does not read any more needs no close.
        let _ = self.post(dial);
    }
}

fn get(path: &str, dial: Dial<'_>) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", dial.address).into_bytes()
}

/// Only answers that say their length: polling servers do, as they know it.
fn read_reply(bytes: &[u8]) -> Result<Option<Reply<'_>>, String> {
    let Some(end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX {
            Err("http_head_too_long".to_owned())
        } else {
            Ok(None)
        };
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status: u16 = status.ok_or_else(|| "http_malformed".to_owned())?;
    let length = lines.find_map(|line| {
        line.strip_prefix("content-length:")?
            .trim()
            .parse::<usize>()
            .ok()
    });
    let length = length.ok_or_else(|| "http_without_length".to_owned())?;
    if length > BODY_BYTES_MAX {
        return Err("http_body_too_long".to_owned());
    }
    let body_at = end + 4;
    Ok(bytes.get(body_at..body_at + length).map(|body| Reply {
        status,
        body,
        used: body_at + length,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_when_all_of_them_is_there() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n2:6HTTP/1.1";
        for cut in [1, 20, 37, 39] {
            assert_eq!(read_reply(&bytes[..cut]), Ok(None), "{cut}");
        }
        assert_eq!(
            read_reply(bytes),
            Ok(Some(Reply {
                status: 200,
                body: b"2:6",
                used: 41
            }))
        );
        assert_eq!(
            read_reply(b"HTTP/1.1 200 OK\r\n\r\n"),
            Err("http_without_length".to_owned())
        );
        assert_eq!(
            read_reply(b"nonsense\r\n\r\n"),
            Err("http_malformed".to_owned())
        );
        assert!(read_reply(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n").is_err());
    }
}
