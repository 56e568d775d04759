//! A Socket.IO client over WebSocket, blocking: that of socket.io-client 2 or of 3 and 4.

use std::collections::VecDeque;
use std::time::Instant;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::client_stream::ClientStream;
use super::{PATIENCE, TestServer, User};

/// One connection. Every command carries the token of its user. Packets that were read while waiting
/// for another are kept.
pub struct SocketIo {
    socket: WebSocket<ClientStream>,
    token: String,
    kept: VecDeque<Value>,
    next_ack: i64,
}

impl SocketIo {
    /// Connects to the root namespace. `eio` is the revision of Engine.IO: 3 or 4.
    pub fn connect(server: &TestServer, user: &User, eio: u8) -> Self {
        let port = server.port();
        let stream = ClientStream::connect(port).expect("the server accepts");
        let url = format!("ws://127.0.0.1:{port}/socket.io/?EIO={eio}&transport=websocket");
        let (mut socket, _) = tungstenite::client(url, stream).expect("the handshake succeeds");
        if eio == 4 {
            socket.send(Message::text("40")).expect("the server reads");
        }
        Self {
            socket,
            token: user.token.clone(),
            kept: VecDeque::new(),
            next_ack: 1,
        }
    }

    /// Sends a command and waits for its acknowledgement.
    pub fn ask(&mut self, event: &str, mut data: Value) -> Value {
        let ack = self.next_ack;
        self.next_ack += 1;
        data["token"] = json!(self.token);
        self.send(&format!("42{ack}{}", json!([event, data])));
        self.wait_for(&format!("the answer to {event}"), |packet| {
            packet["ack"] == json!(ack)
        })["data"]
            .take()
    }

    /// Waits for an event of this name and returns its payload.
    pub fn event(&mut self, name: &str) -> Value {
        self.wait_for(name, |packet| packet["event"] == json!(name))["data"].take()
    }

    fn send(&mut self, text: &str) {
        self.socket
            .send(Message::text(text))
            .expect("the server reads");
    }

    fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
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
                Some(packet) if wanted(&packet) => return packet,
                Some(packet) => self.kept.push_back(packet),
                None => {}
            }
        }
    }

    /// The next message: an event or an answer. `None` for packets of the protocol, of which pings
    /// are answered.
    fn read(&mut self) -> Option<Value> {
        let text = match self.socket.read().expect("the connection stays open") {
            Message::Text(text) => text,
            _ => return None,
        };
        if text.as_str() == "2" {
            self.send("3");
            return None;
        }
        if let Some(event) = text.strip_prefix("42") {
            let event: Value = serde_json::from_str(event).expect("the server sends JSON");
            return Some(json!({"event": event[0], "data": event[1]}));
        }
        let answer = text.strip_prefix("43")?;
        let (ack, answer) = answer.split_at(answer.find('[').expect("an answer has arguments"));
        let ack: i64 = ack.parse().expect("a number");
        let answer: Value = serde_json::from_str(answer).expect("the server sends JSON");
        Some(json!({"ack": ack, "data": answer[0]}))
    }
}
