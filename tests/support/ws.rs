//! A client of `/ws`, blocking.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::client_stream::ClientStream;
use super::{PATIENCE, TestServer, User};

/// One connection. Frames that were read while waiting for another are kept.
pub struct Ws {
    socket: WebSocket<ClientStream>,
    kept: VecDeque<Value>,
    next_id: i64,
    closed: Option<(u16, String)>,
}

/// What a short wait brought.
#[derive(Debug)]
pub enum Next {
    Frame(Value),
    Quiet,
    Closed,
}

impl Ws {
    /// Connects as `user`.
    pub fn connect(server: &TestServer, user: &User) -> Self {
        Self::connect_with(server, &user.token)
    }

    /// Connects with whatever is in `token`.
    pub fn connect_with(server: &TestServer, token: &str) -> Self {
        let stream = ClientStream::connect(server.port()).expect("the server accepts");
        let url = format!("ws://127.0.0.1:{}/ws?token={token}", server.port());
        let (socket, _) = tungstenite::client(url, stream).expect("the handshake succeeds");
        Self {
            socket,
            kept: VecDeque::new(),
            next_id: 1,
            closed: None,
        }
    }

    /// Connects to whatever listens on `port`; `None` when nothing does, or it lets nobody in.
    pub fn try_connect(port: u16, token: &str) -> Option<Self> {
        let stream = ClientStream::connect(port).ok()?;
        let url = format!("ws://127.0.0.1:{port}/ws?token={token}");
        let (socket, _) = tungstenite::client(url, stream).ok()?;
        Some(Self {
            socket,
            kept: VecDeque::new(),
            next_id: 1,
            closed: None,
        })
    }

    /// Joins a live and waits for the answer.
    pub fn join(&mut self, live_id: i64) -> Value {
        let joined = self.ask("joinLive", json!({"live_id": live_id}));
        assert_eq!(joined["ok"], json!(true), "{joined}");
        joined
    }

    /// Joins a live, and again as long as the answer says when to come back.
    pub fn join_when_let_in(&mut self, live_id: i64) -> Value {
        loop {
            let joined = self.ask("joinLive", json!({"live_id": live_id}));
            match joined["retry_after_ms"].as_u64() {
                Some(wait_ms) => std::thread::sleep(Duration::from_millis(wait_ms.min(10_000))),
                None => {
                    assert_eq!(joined["ok"], json!(true), "{joined}");
                    return joined;
                }
            }
        }
    }

    /// Sends a command and waits for its answer.
    pub fn ask(&mut self, event: &str, data: Value) -> Value {
        let id = self.send(event, data);
        self.answer(id)
    }

    /// Sends a command and returns its id.
    pub fn send(&mut self, event: &str, data: Value) -> i64 {
        let id = self.next_id;
        self.next_id += 1;
        self.send_text(&json!({"id": id, "event": event, "data": data}).to_string());
        id
    }

    /// Sends a command, if the connection still takes it, and returns its id.
    pub fn try_send(&mut self, event: &str, data: &Value) -> Option<i64> {
        let id = self.next_id;
        self.next_id += 1;
        let text = json!({"id": id, "event": event, "data": data}).to_string();
        self.socket.send(Message::text(text)).ok().map(|()| id)
    }

    pub fn send_text(&mut self, text: &str) {
        self.socket
            .send(Message::text(text))
            .expect("the server reads");
    }

    pub fn socket(&mut self) -> &mut WebSocket<ClientStream> {
        &mut self.socket
    }

    /// Waits for the answer to the command with this id.
    pub fn answer(&mut self, id: i64) -> Value {
        self.wait_for(&format!("the answer to {id}"), |frame| {
            frame["id"] == json!(id)
        })
    }

    /// Waits for an event of this name and returns its payload.
    pub fn event(&mut self, name: &str) -> Value {
        self.event_where(name, |_| true)
    }

    /// Waits for an event of this name that `wanted` accepts, and returns its payload.
    pub fn event_where(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_for(name, |frame| {
            frame["event"] == json!(name) && wanted(&frame["data"])
        })["data"]
            .take()
    }

    /// Waits for a frame that `wanted` accepts; the others stay for later.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at).expect("the position was found");
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(
                Instant::now() < deadline,
                "waited too long for {what}; kept: {:?}",
                self.kept
            );
            match self.read() {
                Some(frame) if wanted(&frame) => return frame,
                Some(frame) => self.kept.push_back(frame),
                None => panic!(
                    "closed with {:?} while waiting for {what}; kept: {:?}",
                    self.closed, self.kept
                ),
            }
        }
    }

    /// All frames that were there before the server answered one more command: what has not come by
    /// then was not sent before it.
    pub fn so_far(&mut self) -> Vec<Value> {
        let id = self.send("leaveLive", json!({"live_id": 0}));
        let answer = self.answer(id);
        assert_eq!(answer["ok"], json!(false), "{answer}");
        self.kept.drain(..).collect()
    }

    /// Waits for the server to close, and returns its code and reason.
    pub fn wait_for_close(&mut self) -> (u16, String) {
        while let Some(frame) = self.read() {
            self.kept.push_back(frame);
        }
        self.closed
            .clone()
            .expect("read() ended, so the close is known")
    }

    /// Frames kept while waiting for others.
    pub fn kept(&self) -> impl Iterator<Item = &Value> {
        self.kept.iter()
    }

    /// The next text frame, if one comes so soon.
    pub fn next_within(&mut self, limit: Duration) -> Next {
        if let Some(frame) = self.kept.pop_front() {
            return Next::Frame(frame);
        }
        let deadline = Instant::now() + limit;
        let set_timeout = |socket: &WebSocket<ClientStream>, limit| {
            socket
                .get_ref()
                .set_read_timeout(Some(limit))
                .expect("a time limit can be set");
        };
        let next = loop {
            // Zero would mean no limit.
            set_timeout(
                &self.socket,
                deadline
                    .saturating_duration_since(Instant::now())
                    .max(Duration::from_millis(1)),
            );
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    break Next::Frame(serde_json::from_str(&text).expect("the server sends JSON"));
                }
                Ok(Message::Close(frame)) => {
                    let closed = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                    self.closed
                        .get_or_insert(closed.unwrap_or((1005, String::new())));
                }
                Err(tungstenite::Error::Io(error))
                    if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Ok(_) => {}
                Err(_) => {
                    self.closed.get_or_insert((1006, String::new()));
                    break Next::Closed;
                }
            }
            if Instant::now() >= deadline {
                break Next::Quiet;
            }
        };
        set_timeout(&self.socket, PATIENCE);
        next
    }

    /// How the server closed the connection, if it did.
    pub fn closed(&self) -> Option<&(u16, String)> {
        self.closed.as_ref()
    }

    /// The next text frame, or `None` when the connection is closed.
    pub fn read(&mut self) -> Option<Value> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            // Heartbeats alone are no answer.
            assert!(
                Instant::now() < deadline,
                "nothing but heartbeats came; kept: {:?}",
                self.kept
            );
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    return Some(serde_json::from_str(&text).expect("the server sends JSON"));
                }
                Ok(Message::Close(frame)) => {
                    let closed = frame.map(|frame| (frame.code.into(), frame.reason.to_string()));
                    self.closed
                        .get_or_insert(closed.unwrap_or((1005, String::new())));
                }
                Ok(_) => {}
                Err(tungstenite::Error::ConnectionClosed) => {
                    self.closed.get_or_insert((1005, String::new()));
                    return None;
                }
                Err(tungstenite::Error::Io(error))
                    if error.kind() == std::io::ErrorKind::WouldBlock =>
                {
                    panic!("nothing came for {PATIENCE:?}; kept: {:?}", self.kept);
                }
                Err(error) => {
                    self.closed.get_or_insert((1006, error.to_string()));
                    return None;
                }
            }
        }
    }
}
