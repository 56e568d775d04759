//! The floor: a live room of one thread and one epoll that does nothing but write. A comment is
//! made a frame once, and the bytes go to each member of its room with one `send` each. No server
//! that puts as many comments in a `send` can be cheaper.
//!
//! It is a room like the other peers', driven by the same lab over the same sockets, so that what
//! is compared differs in the server alone. There are no answers, limits, tokens or heartbeats, and
//! what a command holds is found by searching for its key.
//!
//! PORT says where to listen, on loopback. COMMENTS_PER_SEND (default 1) gathers so many comments
//! of a room before they are written, in one piece: what coalescing can win at best.

mod connection;

use std::collections::HashMap;
use std::env;
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use connection::{Connection, frame};

const LISTENER: Token = Token(usize::MAX);
const EVENTS_MAX: usize = 1024;

/// Comments that do not fill a block are written all the same when nothing has come for so long.
const GATHER_MAX: Duration = Duration::from_millis(20);

#[derive(Default)]
struct Room {
    members: Vec<usize>,
    /// Frames that are not written yet.
    gathered: Vec<u8>,
    gathered_count: usize,
}

struct Server {
    poll: Poll,
    listener: TcpListener,
    /// By token; those that have gone leave their place empty.
    connections: Vec<Option<Connection>>,
    rooms: HashMap<i64, Room>,
    comments_per_send: usize,
    offset: u64,
}

impl Server {
    fn run(&mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            let waiting = self.rooms.values().any(|room| room.gathered_count > 0);
            match self.poll.poll(&mut events, waiting.then_some(GATHER_MAX)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome?,
            }
            if events.is_empty() {
                self.write_rest();
            }
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(index) => self.serve(index, event.is_readable(), event.is_writable()),
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            match self.listener.accept() {
                Ok((mut stream, _)) => {
                    let token = Token(self.connections.len());
                    stream.set_nodelay(true)?;
                    // Both at once: reports come at edges, so an idle direction costs nothing.
                    let interest = Interest::READABLE | Interest::WRITABLE;
                    self.poll.registry().register(&mut stream, token, interest)?;
                    self.connections.push(Some(Connection::new(stream)));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionAborted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn serve(&mut self, index: usize, readable: bool, writable: bool) {
        let Some(connection) = self.connections[index].as_mut() else { return };
        let mut texts = Vec::new();
        let written = if writable { connection.flush() } else { Ok(()) };
        let read = if readable { connection.read(|text| texts.push(text.to_owned())) } else { Ok(()) };
        for text in texts {
            self.obey(index, &text);
        }
        if written.and(read).is_err() {
            self.connections[index] = None;
        }
    }

    fn obey(&mut self, index: usize, text: &str) {
        let live_id = number_after(text, "\"live_id\":");
        if text.contains("\"joinLive\"") {
            let member = number_after(text, "\"member\":");
            self.rooms.entry(live_id).or_default().members.push(index);
            if let Some(connection) = self.connections[index].as_mut() {
                connection.member = member;
            }
            return;
        }
        let Some(member) = self.connections[index].as_ref().map(|connection| connection.member) else { return };
        self.offset += 1;
        let event = comment_event(member, live_id, comment_text(text), self.offset);
        let Some(room) = self.rooms.get_mut(&live_id) else { return };
        room.gathered.extend_from_slice(&frame(&event));
        room.gathered_count += 1;
        if room.gathered_count == self.comments_per_send {
            write_to_all(room, &mut self.connections);
        }
    }

    fn write_rest(&mut self) {
        for room in self.rooms.values_mut().filter(|room| room.gathered_count > 0) {
            write_to_all(room, &mut self.connections);
        }
    }
}

fn write_to_all(room: &mut Room, connections: &mut [Option<Connection>]) {
    room.members.retain(|index| {
        let connection = &mut connections[*index];
        let alive = connection.as_mut().is_some_and(|it| it.send(&room.gathered).is_ok());
        if !alive {
            *connection = None;
        }
        alive
    });
    room.gathered.clear();
    room.gathered_count = 0;
}

/// The fields of liveroom's event.
fn comment_event(member: i64, live_id: i64, text: &str, offset: u64) -> String {
    let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
    let id = 1_000_000_000_000_000_000 + offset;
    format!(
        r#"{{"event":"comment","data":{{"user":{{"id":{member},"name":"lab-user-{member:05}","avatar":""}},"content":"{text}","id":"{id}","at":{at},"live_id":{live_id},"epoch":"benchbenchbenchbench","offset":{offset}}}}}"#
    )
}

fn number_after(text: &str, key: &str) -> i64 {
    let Some(at) = text.find(key) else { return 0 };
    let digits = &text[at + key.len()..];
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits[..end].parse().unwrap_or(0)
}

/// What stands between `"text":"` and the end of the command, escapes and all.
fn comment_text(command: &str) -> &str {
    let text = command.split_once("\"text\":\"").map_or("", |(_, rest)| rest);
    text.strip_suffix("\"}}").unwrap_or(text)
}

fn variable(name: &str) -> Option<usize> {
    env::var(name).ok()?.parse().ok()
}

fn main() -> io::Result<()> {
    let port = variable("PORT").and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    let mut listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let comments_per_send = variable("COMMENTS_PER_SEND").unwrap_or(1).max(1);
    let mut server =
        Server { poll, listener, connections: Vec::new(), rooms: HashMap::new(), comments_per_send, offset: 0 };
    server.run()
}
