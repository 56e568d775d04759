//! A console of an operator, blocking: a client of `/admin/feed`.

use std::time::Instant;

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use super::client_stream::ClientStream;
use super::{ADMIN_TOKEN, PATIENCE, TestServer};

pub struct Console {
    socket: WebSocket<ClientStream>,
    closed: Option<(u16, String)>,
}

impl Console {
    /// Connects with the configured token.
    pub fn connect(server: &TestServer) -> Self {
        let bearer = format!("Bearer {ADMIN_TOKEN}");
        Self::connect_with(server, &[("authorization", &bearer)])
            .unwrap_or_else(|status| panic!("the console is let in: {status}"))
    }

    /// Connects with these headers; the error is the status of the answer.
    pub fn connect_with(
        server: &TestServer,
        headers: &[(&'static str, &str)],
    ) -> Result<Self, u16> {
        let stream = ClientStream::connect(server.port()).expect("the server accepts");
        let url = format!("ws://127.0.0.1:{}/admin/feed", server.port());
        let mut request = url.into_client_request().expect("a URL");
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header");
            request.headers_mut().insert(*name, value);
        }
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Self {
                socket,
                closed: None,
            }),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("neither let in nor refused: {error}"),
        }
    }

    pub fn send(&mut self, message: &Value) {
        self.socket
            .send(Message::text(message.to_string()))
            .expect("the server reads");
    }

    pub fn look_at_overview(&mut self) {
        self.send(&json!({"view": "overview"}));
    }

    pub fn look_at_room(&mut self, live_id: i64) {
        self.send(&json!({"view": "room", "live_id": live_id}));
    }

    /// The next message; `None` when the connection is closed.
    pub fn read(&mut self) -> Option<Value> {
        loop {
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
                Err(tungstenite::Error::Io(error))
                    if error.kind() == std::io::ErrorKind::WouldBlock =>
                {
                    panic!("nothing came for {PATIENCE:?}");
                }
                Err(_) => return None,
            }
        }
    }

    /// The next message of this type.
    pub fn next(&mut self, kind: &str) -> Value {
        self.wait_for(kind, |_| true)
    }

    /// Waits for a message of this type that `wanted` accepts.
    pub fn wait_for(&mut self, kind: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        let mut last = Value::Null;
        while Instant::now() < deadline {
            let Some(message) = self.read() else {
                panic!("closed with {:?} while waiting for {kind}", self.closed);
            };
            if message["type"] == kind && wanted(&message) {
                return message;
            }
            last = message;
        }
        panic!("waited too long for {kind}; the last message: {last}");
    }

    /// Waits until the watched room reports what is delivered in it, which `say` has it do. It begins
    /// to within a second.
    pub fn wait_until_watched(&mut self, mut say: impl FnMut()) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            say();
            let events = self.next("room")["data"]["events"].take();
            if events.as_array().is_some_and(|events| !events.is_empty()) {
                return;
            }
            assert!(Instant::now() < deadline, "the room does not report");
        }
    }

    /// Waits for an event of a watched room that `wanted` accepts.
    pub fn event(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        let found = |message: &Value| {
            let events = message["data"]["events"].as_array()?;
            events.iter().find(|event| wanted(event)).cloned()
        };
        let message = self.wait_for("room", |message| found(message).is_some());
        found(&message).expect("it was found")
    }

    /// All messages up to the answer to one more that is wrong.
    pub fn so_far(&mut self) -> Vec<Value> {
        self.send(&json!({"view": "nothing"}));
        let mut before = Vec::new();
        loop {
            let message = self.read().expect("the console is connected");
            if message["type"] == "error" {
                return before;
            }
            before.push(message);
        }
    }

    /// Waits for the server to close, and returns its code.
    pub fn wait_for_close(&mut self) -> u16 {
        while self.read().is_some() {}
        self.closed.as_ref().expect("a close frame came").0
    }

    /// Closes the connection, and waits until the server has.
    pub fn close(mut self) {
        let _ = self.socket.close(None);
        while self.read().is_some() {}
    }
}
