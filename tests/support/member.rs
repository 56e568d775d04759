//! A member as a careful client is: it stays in its room whatever happens to nodes, sends a command
//! until it is answered, comes back with what it saw last, and keeps a ledger of what it heard.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::ws::Next;
use crate::support::{PATIENCE, TestServer, User, Ws};

use super::ledger::{Event, Heard};

/// The ports of the nodes, as a load balancer knows them. A node that was started again has a new
/// one.
#[derive(Clone)]
pub struct Doors(Arc<Vec<AtomicU16>>);

impl Doors {
    pub fn of(nodes: &[TestServer]) -> Self {
        Self(Arc::new(
            nodes
                .iter()
                .map(|node| AtomicU16::new(node.port()))
                .collect(),
        ))
    }

    pub fn set(&self, node: usize, port: u16) {
        self.0[node].store(port, Ordering::SeqCst);
    }

    fn port(&self, node: usize) -> u16 {
        self.0[node % self.0.len()].load(Ordering::SeqCst)
    }
}

pub struct Member {
    doors: Doors,
    /// The node it is at, or would like to be.
    node: usize,
    user: User,
    live_id: i64,
    ws: Option<Ws>,
    position: Option<Value>,
    pub heard: Heard,
    /// The good answers to its joins.
    pub joins: Vec<Value>,
    /// Codes with which connections ended.
    pub closes: Vec<u16>,
    /// The latest `online`.
    pub online: Value,
}

impl Member {
    /// Joins at this node.
    pub fn join(doors: &Doors, node: usize, user: &User, live_id: i64) -> Self {
        let mut member = Self {
            doors: doors.clone(),
            node,
            user: user.clone(),
            live_id,
            ws: None,
            position: None,
            heard: Heard::by(&user.name),
            joins: Vec::new(),
            closes: Vec::new(),
            online: Value::Null,
        };
        member.come_in();
        member
    }

    pub fn user(&self) -> &User {
        &self.user
    }

    /// What it would join with: the place of the last event it heard, or where it came in.
    pub fn position(&self) -> Value {
        self.position.clone().expect("it has joined")
    }

    /// Sends a comment until it is answered, and returns its event's id.
    pub fn comment(&mut self, text: &str, request_id: &str) -> String {
        let command = json!({"live_id": self.live_id, "data": text, "request_id": request_id});
        let answer = self.ask("comment", &command);
        assert_eq!(answer["ok"], json!(true), "{request_id}: {answer}");
        format!("comment {}", answer["comment_id"].as_str().expect("an id"))
    }

    /// Gives a gift until it is answered, and returns its event's id.
    pub fn give(&mut self, gift_id: i64, request_id: &str) -> String {
        let command =
            json!({"live_id": self.live_id, "gift_id": gift_id, "request_id": request_id});
        let answer = self.ask("gift", &command);
        assert_eq!(answer["ok"], json!(true), "{request_id}: {answer}");
        format!("gift {}", answer["gift_record_id"])
    }

    /// Sends a command until it is answered, over as many connections as that takes. What is
    /// refused for the moment is sent again.
    pub fn ask(&mut self, event: &str, command: &Value) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(
                Instant::now() < deadline,
                "{}: no answer to {event} {command}",
                self.user.name
            );
            self.come_in();
            let ws = self.ws.as_mut().expect("it just came in");
            let Some(id) = ws.try_send(event, command) else {
                self.lose();
                continue;
            };
            let Some(answer) = self.answer(id, deadline) else {
                continue;
            };
            if !matches!(answer["code"].as_str(), Some("busy" | "rate_limited")) {
                return answer;
            }
            let wait = answer["retry_after_ms"]
                .as_u64()
                .unwrap_or(100)
                .clamp(10, 1_000);
            self.listen(Duration::from_millis(wait));
        }
    }

    /// Takes in what comes for so long.
    pub fn listen(&mut self, time: Duration) {
        let until = Instant::now() + time;
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            self.come_in();
            self.take_in(left);
        }
    }

    /// Takes in what comes until all of it was heard.
    pub fn listen_for(&mut self, ids: &BTreeSet<String>) {
        self.listen_until(&format!("{} events", ids.len()), |member| {
            member.heard.missing(ids).is_empty()
        });
    }

    /// Takes in what comes until `done`.
    pub fn listen_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            let (who, heard) = (&self.user.name, &self.heard);
            assert!(
                Instant::now() < deadline,
                "{who} waited too long for {what}; heard {:#?}",
                heard.events()
            );
            self.listen(Duration::from_millis(20));
        }
    }

    /// Drops the connection without a good-bye. The next use comes in again.
    pub fn drop_connection(&mut self) {
        self.ws = None;
    }

    /// Where to come in next time.
    pub fn move_to(&mut self, node: usize) {
        self.drop_connection();
        self.node = node;
    }

    /// The answer to a command; `None` when the connection ended before it came.
    fn answer(&mut self, id: i64, deadline: Instant) -> Option<Value> {
        while self.ws.is_some() {
            assert!(
                Instant::now() < deadline,
                "{}: no answer to {id}",
                self.user.name
            );
            if let Some(frame) = self.take_in(Duration::from_millis(500))
                && frame["id"] == json!(id)
            {
                return Some(frame);
            }
        }
        None
    }

    /// Takes in at most one frame, and returns it if it is an answer.
    fn take_in(&mut self, limit: Duration) -> Option<Value> {
        match self.ws.as_mut()?.next_within(limit) {
            Next::Quiet => None,
            Next::Closed => {
                self.lose();
                None
            }
            Next::Frame(mut frame) => {
                if let Some(event) = Event::of(&frame) {
                    assert_eq!(
                        frame["data"]["live_id"],
                        json!(self.live_id),
                        "{}: {frame}",
                        self.user.name
                    );
                    self.position = Some(json!({"epoch": event.epoch, "offset": event.offset}));
                    self.heard.push(event);
                } else if frame["event"] == json!("online") {
                    self.online = frame["data"].take();
                } else if frame["id"].is_i64() {
                    return Some(frame);
                }
                None
            }
        }
    }

    /// The connection is over: the next node, please.
    fn lose(&mut self) {
        let closed = self
            .ws
            .take()
            .and_then(|ws| ws.closed().map(|(code, _)| *code));
        self.closes.push(closed.unwrap_or(1006));
        self.node += 1;
    }

    /// Makes sure that it is in its room.
    fn come_in(&mut self) {
        let deadline = Instant::now() + PATIENCE;
        while self.ws.is_none() {
            assert!(
                Instant::now() < deadline,
                "{}: no node lets it in",
                self.user.name
            );
            let Some(ws) = Ws::try_connect(self.doors.port(self.node), &self.user.token) else {
                self.node += 1;
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            self.ws = Some(ws);
            let command = json!({"live_id": self.live_id, "since": self.position});
            let id = self
                .ws
                .as_mut()
                .and_then(|ws| ws.try_send("joinLive", &command));
            let Some(answer) = id.and_then(|id| self.answer(id, deadline)) else {
                if self.ws.is_some() {
                    self.lose();
                }
                std::thread::sleep(Duration::from_millis(20));
                continue;
            };
            if answer["code"] == json!("busy") {
                std::thread::sleep(Duration::from_millis(100));
                self.ws = None;
                continue;
            }
            assert_eq!(answer["ok"], json!(true), "{}: {answer}", self.user.name);
            if answer["recovered"] != json!(true) {
                if self.position.is_some() {
                    self.heard.push_break();
                }
                self.position = Some(json!({"epoch": answer["epoch"], "offset": answer["offset"]}));
            }
            self.joins.push(answer);
        }
    }
}
