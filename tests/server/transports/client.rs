//! Engine.IO by hand: polls, POSTs, and WebSockets of which every byte can be chosen.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message, WebSocket};

use crate::support::client_stream::ClientStream;
use crate::support::{Answer, PATIENCE, TestServer, User, http};

/// The revision a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eio {
    V3,
    V4,
}

pub const BOTH: [Eio; 2] = [Eio::V3, Eio::V4];

impl Eio {
    fn number(self) -> u8 {
        match self {
            Self::V3 => 3,
            Self::V4 => 4,
        }
    }

    /// A payload of packets.
    pub fn payload(self, packets: &[&str]) -> String {
        match self {
            Self::V3 => packets
                .iter()
                .map(|packet| format!("{}:{packet}", packet.encode_utf16().count()))
                .collect(),
            Self::V4 => packets.join("\u{1e}"),
        }
    }

    /// The packets of a payload.
    pub fn packets(self, payload: &str) -> Vec<String> {
        if self == Self::V4 {
            return payload.split('\u{1e}').map(str::to_owned).collect();
        }
        let units: Vec<u16> = payload.encode_utf16().collect();
        let mut packets = Vec::new();
        let mut rest = units.as_slice();
        while let Some(colon) = rest.iter().position(|unit| *unit == u16::from(b':')) {
            let len: usize = String::from_utf16_lossy(&rest[..colon])
                .parse()
                .expect("a length");
            packets.push(String::from_utf16_lossy(&rest[colon + 1..colon + 1 + len]));
            rest = &rest[colon + 1 + len..];
        }
        packets
    }
}

/// What a client reads whose session is over, unless the server ended it for good.
pub const SID_UNKNOWN: &str = r#"{"code":1,"message":"Session ID unknown"}"#;

/// A polling session. Clones speak for the same one, from other threads.
#[derive(Debug, Clone)]
pub struct Poller {
    pub port: u16,
    pub eio: Eio,
    pub sid: String,
    /// Sent with every request after the handshake.
    pub headers: Vec<(&'static str, String)>,
    /// What the handshake asked to be sent back, if anything.
    pub cookie: Option<String>,
}

impl Poller {
    /// Opens a session and the root namespace.
    pub fn connect(server: &TestServer, eio: Eio) -> Self {
        let poller = Self::open(server, eio);
        if eio == Eio::V4 {
            assert_eq!(poller.post(&["40"]).text(), "ok");
        }
        let packets = poller.poll();
        assert!(packets[0].starts_with("40"), "{packets:?}");
        poller
    }

    /// Opens a session.
    pub fn open(server: &TestServer, eio: Eio) -> Self {
        Self::open_with(server, eio, &[])
    }

    /// Opens a session by a handshake that has these headers.
    pub fn open_with(server: &TestServer, eio: Eio, headers: &[(&str, &str)]) -> Self {
        let path = format!("/socket.io/?EIO={}&transport=polling", eio.number());
        let answer = http::request_bytes(server.port(), "GET", &path, headers, b"");
        assert_eq!(answer.status, 200, "{}", answer.text());
        let packets = eio.packets(&answer.text());
        let open: Value = serde_json::from_str(&packets[0][1..]).expect("the open packet is JSON");
        let sid = open["sid"].as_str().expect("a sid").to_owned();
        let cookie = answer
            .header("set-cookie")
            .and_then(|cookie| cookie.split(';').next())
            .map(str::to_owned);
        Self {
            port: server.port(),
            eio,
            sid,
            headers: Vec::new(),
            cookie,
        }
    }

    /// The same session as it is asked for by a client that sends these headers.
    pub fn with(&self, headers: &[(&'static str, &str)]) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        Self {
            headers,
            ..self.clone()
        }
    }

    fn request(&self, method: &str, more: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut headers = more.to_vec();
        headers.extend(
            self.headers
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        http::request_bytes(self.port, method, &self.path("polling"), &headers, body)
    }

    pub fn path(&self, transport: &str) -> String {
        format!(
            "/socket.io/?EIO={}&transport={transport}&sid={}",
            self.eio.number(),
            self.sid
        )
    }

    pub fn get(&self) -> Answer {
        self.request("GET", &[], b"")
    }

    /// Polls once and expects to be answered.
    pub fn poll(&self) -> Vec<String> {
        let answer = self.get();
        assert_eq!(answer.status, 200, "{}", answer.text());
        self.eio.packets(&answer.text())
    }

    /// Whether the server knows nothing of the session any more. Asks with a POST, which meets no
    /// poll.
    pub fn is_over(&self) -> bool {
        let answer = self.post(&["6"]);
        (answer.status, answer.text().as_str()) == (400, SID_UNKNOWN)
    }

    /// Polls until the server says that the session is over, after whatever else it has to say.
    pub fn wait_for_end(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.poll().last().is_none_or(|packet| packet != "1") {
            assert!(Instant::now() < deadline, "the session goes on");
        }
    }

    pub fn post(&self, packets: &[&str]) -> Answer {
        self.post_bytes(self.eio.payload(packets).as_bytes())
    }

    pub fn post_bytes(&self, body: &[u8]) -> Answer {
        self.request(
            "POST",
            &[("content-type", "text/plain;charset=UTF-8")],
            body,
        )
    }

    /// Sends a poll and leaves it hanging.
    pub fn hang(&self) -> HangingPoll {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server accepts");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time limit can be set");
        let mut head = format!(
            "GET {} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n",
            self.path("polling")
        );
        self.headers
            .iter()
            .for_each(|(name, value)| head.push_str(&format!("{name}: {value}\r\n")));
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).expect("the server reads");
        // Long enough for the server to have it before whatever the test does next.
        std::thread::sleep(Duration::from_millis(100));
        HangingPoll {
            stream,
            eio: self.eio,
        }
    }

    /// A WebSocket beside the polls.
    pub fn websocket(&self) -> EngineSocket {
        self.try_websocket().expect("the handshake succeeds")
    }

    /// A WebSocket beside the polls, or the status of its refusal.
    pub fn try_websocket(&self) -> Result<EngineSocket, u16> {
        EngineSocket::connect_with(self.port, &self.path("websocket"), &self.headers)
    }

    /// Goes over to a WebSocket, as clients do.
    pub fn upgrade(&self) -> EngineSocket {
        let mut socket = self.websocket();
        socket.send("2probe");
        assert_eq!(socket.read().as_deref(), Some("3probe"));
        assert_eq!(self.poll(), ["6"]);
        socket.send("5");
        socket
    }

    /// Joins a live and polls until the answer is there, and the news of it, which may come apart.
    pub fn join(&self, user: &User, live_id: i64) {
        let join = json!(["joinLive", {"live_id": live_id, "token": user.token}]);
        assert_eq!(self.post(&[&format!("420{join}")]).text(), "ok");
        let deadline = Instant::now() + PATIENCE;
        let (mut answered, mut told) = (false, false);
        while !answered || !told {
            assert!(
                Instant::now() < deadline,
                "joinLive: answered {answered}, told {told}"
            );
            for packet in self.poll() {
                answered |= packet.starts_with("430");
                told |= packet.starts_with("42[\"online\"");
            }
        }
    }
}

/// A poll whose answer is not asked for yet.
pub struct HangingPoll {
    stream: TcpStream,
    eio: Eio,
}

impl HangingPoll {
    pub fn packets(mut self) -> Vec<String> {
        let mut raw = String::new();
        self.stream.read_to_string(&mut raw).expect("an answer");
        let (head, body) = raw.split_once("\r\n\r\n").expect("an HTTP head");
        assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
        self.eio.packets(body)
    }
}

/// A WebSocket of Engine.IO.
pub struct EngineSocket(WebSocket<ClientStream>);

impl EngineSocket {
    pub fn connect(port: u16, path: &str) -> Result<Self, u16> {
        Self::connect_with(port, path, &[])
    }

    pub fn connect_with(
        port: u16,
        path: &str,
        headers: &[(&'static str, String)],
    ) -> Result<Self, u16> {
        let mut request = format!("ws://127.0.0.1:{port}{path}")
            .into_client_request()
            .expect("a request");
        for (name, value) in headers {
            request
                .headers_mut()
                .append(*name, value.parse().expect("a header"));
        }
        let stream = ClientStream::connect(port).expect("the server accepts");
        match tungstenite::client(request, stream) {
            Ok((socket, _)) => Ok(Self(socket)),
            Err(tungstenite::HandshakeError::Failure(tungstenite::Error::Http(response))) => {
                Err(response.status().as_u16())
            }
            Err(error) => panic!("no handshake: {error}"),
        }
    }

    pub fn send(&mut self, packet: &str) {
        self.0
            .send(Message::text(packet))
            .expect("the server reads");
    }

    pub fn send_binary(&mut self, bytes: &[u8]) {
        self.0
            .send(Message::binary(bytes.to_vec()))
            .expect("the server reads");
    }

    /// Sends to a server that may have closed the connection already. Returns whether it was sent.
    pub fn try_send(&mut self, packet: &str) -> bool {
        self.0.send(Message::text(packet)).is_ok()
    }

    /// The next packet, or `None` once the connection is closed.
    pub fn read(&mut self) -> Option<String> {
        loop {
            match self.0.read() {
                Ok(Message::Text(text)) => return Some(text.to_string()),
                Ok(_) => {}
                Err(tungstenite::Error::Io(error)) => panic!("nothing came: {error}"),
                Err(_) => return None,
            }
        }
    }

    /// The next packet that begins so.
    pub fn until(&mut self, start: &str) -> String {
        loop {
            let packet = self.read().expect("the connection stays open");
            if packet.starts_with(start) {
                return packet;
            }
        }
    }

    pub fn close(&mut self) {
        self.0.close(None).expect("the server reads");
        while self.0.read().is_ok() {}
    }
}

/// A WebSocket of which every byte is chosen by the test.
pub struct RawSocket(pub TcpStream);

/// What a server sent: an opcode and its payload.
#[derive(Debug, PartialEq, Eq)]
pub struct RawFrame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl RawFrame {
    pub fn close_code(&self) -> Option<u16> {
        assert_eq!(self.opcode, 8, "{self:?}");
        self.payload
            .first_chunk()
            .map(|code| u16::from_be_bytes(*code))
    }
}

impl RawSocket {
    pub fn connect(port: u16, path: &str) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the server accepts");
        Self::over(stream, path)
    }

    pub fn over(mut stream: TcpStream, path: &str) -> Self {
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time limit can be set");
        stream.set_nodelay(true).expect("an option can be set");
        let head = format!(
            "GET {path} HTTP/1.1\r\nhost: test\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("the server reads");
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).expect("the server answers");
            seen.push(byte[0]);
        }
        let seen = String::from_utf8_lossy(&seen);
        assert!(seen.starts_with("HTTP/1.1 101 "), "{seen}");
        assert!(
            seen.to_ascii_lowercase()
                .contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="),
            "{seen}"
        );
        Self(stream)
    }

    pub fn send(&mut self, bytes: &[u8]) {
        // The server may have hung up already; what it said is what the test looks at.
        let _ = self.0.write_all(bytes);
    }

    pub fn send_text(&mut self, text: &str) {
        self.send(&frame(0x81, text.as_bytes()));
    }

    /// The next frame, or `None` at the end of the connection.
    pub fn read(&mut self) -> Option<RawFrame> {
        let mut head = [0; 2];
        match self.0.read_exact(&mut head) {
            Ok(()) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("nothing came"),
            Err(_) => return None,
        }
        let len = match head[1] {
            126 => {
                let mut len = [0; 2];
                self.0.read_exact(&mut len).ok()?;
                u64::from(u16::from_be_bytes(len))
            }
            127 => {
                let mut len = [0; 8];
                self.0.read_exact(&mut len).ok()?;
                u64::from_be_bytes(len)
            }
            len => u64::from(len),
        };
        let mut payload = vec![0; usize::try_from(len).expect("a length of this machine")];
        self.0.read_exact(&mut payload).ok()?;
        Some(RawFrame {
            opcode: head[0] & 0x0F,
            payload,
        })
    }

    /// Reads until the server closes; its code, and that the connection ended after it.
    pub fn close_code(&mut self) -> Option<u16> {
        loop {
            let heard = self.read().expect("a close frame before the end");
            if heard.opcode == 8 {
                let code = heard.close_code();
                // A client answers, and the server hangs up.
                self.send(&frame(0x88, &heard.payload));
                assert_eq!(self.read(), None, "nothing comes after a close frame");
                return code;
            }
        }
    }
}

/// A client's frame, masked with zeroes, which leave the payload as it is.
pub fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match payload.len() {
        len @ 0..=125 => frame.push(0x80 | len as u8),
        len @ 126..=0xFFFF => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&[0; 4]);
    frame.extend_from_slice(payload);
    frame
}
