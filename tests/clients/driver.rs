//! Runs the scripts beside this file, each one real client in a process of its own, and speaks
//! their line protocol (`lines.mjs`).

use std::collections::VecDeque;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{PATIENCE, User};

/// A client library of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Library {
    /// socket.io-client of this major version.
    SocketIo(u8),
    /// python-socketio 4, which speaks Engine.IO 3.
    PythonEngineIo3,
    /// python-socketio 5, which speaks Engine.IO 4.
    PythonEngineIo4,
    /// No library: a WebSocket on `/ws`.
    PlainWs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Polling,
    Websocket,
    /// The library's own choice: all of them poll first and upgrade.
    Default,
}

/// One client of the matrix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    pub library: Library,
    pub transport: Transport,
}

impl Cell {
    /// The whole matrix. Missing from it: polling with python-socketio 4, which counts a payload's
    /// lengths in code points, not in UTF-16 units, and so cannot exchange emoji with any server.
    pub fn all() -> Vec<Cell> {
        use {Library::*, Transport::*};
        let mut cells = Vec::new();
        for library in [SocketIo(2), SocketIo(3), SocketIo(4), PythonEngineIo4] {
            cells
                .extend([Polling, Websocket, Default].map(|transport| Cell { library, transport }));
        }
        cells.extend([Websocket, Default].map(|transport| Cell {
            library: PythonEngineIo3,
            transport,
        }));
        cells.push(Cell {
            library: PlainWs,
            transport: Websocket,
        });
        cells
    }

    /// The cells whose library is installed. Under CI (`CI=true`) all must be, elsewhere the others
    /// are left out with a word why.
    pub fn installed() -> Vec<Cell> {
        let (installed, missing): (Vec<_>, Vec<_>) = Self::all()
            .into_iter()
            .partition(|cell| cell.library.is_installed());
        for cell in &missing {
            println!("skipped, not installed (see tests/run.sh): {cell}");
        }
        let is_ci = std::env::var("CI").is_ok_and(|value| value == "true");
        assert!(
            !is_ci || missing.is_empty(),
            "under CI every client must be installed"
        );
        installed
    }

    pub fn is_socket_io(self) -> bool {
        self.library != Library::PlainWs
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.library {
            Library::SocketIo(major) => write!(f, "socket.io-client {major}")?,
            Library::PythonEngineIo3 => f.write_str("python-socketio 4")?,
            Library::PythonEngineIo4 => f.write_str("python-socketio 5")?,
            Library::PlainWs => f.write_str("plain ws")?,
        }
        f.write_str(match self.transport {
            Transport::Polling => " × polling",
            Transport::Websocket => " × websocket",
            Transport::Default => " × default",
        })
    }
}

impl Library {
    fn is_installed(self) -> bool {
        match self {
            Library::SocketIo(major) => {
                folder()
                    .join(format!(
                        "node_modules/socket.io-client-{major}/package.json"
                    ))
                    .exists()
                    && node_runs()
            }
            Library::PlainWs => {
                folder().join("node_modules/ws/package.json").exists() && node_runs()
            }
            Library::PythonEngineIo3 | Library::PythonEngineIo4 => self.python().exists(),
        }
    }

    /// The interpreter of a virtual environment with this library in it.
    fn python(self) -> PathBuf {
        let (variable, environment) = match self {
            Library::PythonEngineIo3 => ("LIVEROOM_TEST_PYTHON_EIO3", "target/test-venv-eio3"),
            _ => ("LIVEROOM_TEST_PYTHON", "target/test-venv"),
        };
        match std::env::var_os(variable) {
            Some(python) => python.into(),
            None => Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(environment)
                .join("bin/python"),
        }
    }

    fn command(self) -> Command {
        let (program, script) = match self {
            Library::SocketIo(_) => ("node".into(), "socketio_node.mjs"),
            Library::PlainWs => ("node".into(), "plain_ws.mjs"),
            Library::PythonEngineIo3 | Library::PythonEngineIo4 => {
                (self.python(), "socketio_python.py")
            }
        };
        let mut command = Command::new(program);
        command.arg(folder().join(script));
        if let Library::SocketIo(major) = self {
            command.arg(major.to_string());
        }
        command
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

fn node_runs() -> bool {
    Command::new("node")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// A running client. Killed when dropped.
pub struct Client {
    pub cell: Cell,
    pub user: User,
    /// What refusals are named by; `None` until connected, and always on plain `/ws`.
    pub socket_id: Option<String>,
    child: Child,
    orders: ChildStdin,
    notes: Receiver<Value>,
    /// Notes read while waiting for another.
    kept: VecDeque<Value>,
    next_ack: u64,
}

impl Client {
    /// Starts a client that connects to the server on `port`. Does not wait for it: see
    /// [`Client::connected`].
    pub fn start(cell: Cell, port: u16, user: User) -> Self {
        Self::start_in_namespace(cell, port, user, "/")
    }

    pub fn start_in_namespace(cell: Cell, port: u16, user: User, namespace: &str) -> Self {
        let transport = match cell.transport {
            Transport::Polling => "polling",
            Transport::Websocket => "websocket",
            Transport::Default => "default",
        };
        let base = format!("http://127.0.0.1:{port}");
        let mut command = cell.library.command();
        match cell.library {
            Library::SocketIo(_) => {
                command.args([format!("{base}{namespace}"), transport.to_owned()])
            }
            Library::PythonEngineIo3 | Library::PythonEngineIo4 => {
                command.args([&base, transport, namespace])
            }
            Library::PlainWs => {
                command.arg(format!("ws://127.0.0.1:{port}/ws?token={}", user.token))
            }
        };
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the client starts");
        let orders = child.stdin.take().expect("stdin is piped");
        let lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let (noted, notes) = mpsc::channel();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let note =
                    serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                if noted.send(note).is_err() {
                    return;
                }
            }
        });
        Self {
            cell,
            user,
            socket_id: None,
            child,
            orders,
            notes,
            kept: VecDeque::new(),
            next_ack: 1,
        }
    }

    /// Waits until it is connected, over any transport, and returns which.
    pub fn opened(&mut self) -> String {
        let note = self.wait_for("connect", |note| note["note"] == "connect");
        self.socket_id = note["id"].as_str().map(str::to_owned);
        note["transport"]
            .as_str()
            .expect("a transport has a name")
            .to_owned()
    }

    /// Waits until it is connected over the transport of its cell; again after a reconnect.
    pub fn connected(&mut self) {
        let transport = self.opened();
        match self.cell.transport {
            Transport::Polling => assert_eq!(transport, "polling", "{}", self.cell),
            Transport::Websocket => assert_eq!(transport, "websocket", "{}", self.cell),
            // python-socketio upgrades before it says that it is connected.
            Transport::Default if transport == "websocket" => {}
            Transport::Default => {
                self.wait_for("upgrade", |note| {
                    note["note"] == "upgrade" && note["transport"] == "websocket"
                });
            }
        }
    }

    /// Sends a command without asking for an answer.
    pub fn emit(&mut self, event: &str, payload: Value) {
        self.order(&json!({"emit": event, "payload": self.with_token(payload)}));
    }

    /// Sends a command and returns the number its answer will come with.
    pub fn send(&mut self, event: &str, payload: Value) -> u64 {
        let ack = self.next_ack;
        self.next_ack += 1;
        self.order(&json!({"emit": event, "payload": self.with_token(payload), "ack": ack}));
        ack
    }

    /// Sends a command and waits for its answer.
    pub fn ask(&mut self, event: &str, payload: Value) -> Value {
        let ack = self.send(event, payload);
        self.answer(ack)
    }

    pub fn answer(&mut self, ack: u64) -> Value {
        self.wait_for("an answer", |note| {
            note["note"] == "answer" && note["ack"] == ack
        })["data"]
            .take()
    }

    /// Waits for an event of this name and returns its payload.
    pub fn event(&mut self, name: &str) -> Value {
        self.event_where(name, |_| true)
    }

    pub fn event_where(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let is_wanted =
            |note: &Value| note["note"] == "event" && note["name"] == name && wanted(&note["data"]);
        self.wait_for(name, is_wanted)["data"].take()
    }

    /// Waits for the refusal of a command sent without an ack and returns its text.
    pub fn refusal(&mut self) -> String {
        let text = match self.socket_id.clone() {
            Some(socket_id) => {
                let refusal = self.event(&socket_id);
                assert!(refusal["meta"]["timestamp"].is_i64(), "{refusal}");
                assert_eq!(refusal["data"]["action"], "error", "{refusal}");
                refusal["data"]["payload"].clone()
            }
            None => self.event("error")["message"].clone(),
        };
        text.as_str().expect("a refusal has a text").to_owned()
    }

    /// Waits until the connection or the namespace is refused and returns the text.
    pub fn connection_refusal(&mut self) -> String {
        let note = self.wait_for("an error", |note| note["note"] == "error");
        note["message"]
            .as_str()
            .expect("an error has a text")
            .to_owned()
    }

    /// Waits until the client says that it lost its connection.
    pub fn disconnected(&mut self) {
        self.wait_for("disconnect", |note| note["note"] == "disconnect");
    }

    /// Says good-bye as the library does.
    pub fn disconnect(&mut self) {
        self.order(&json!({"disconnect": true}));
    }

    /// Sends the process a signal by name: `STOP` makes a client that no longer answers, `KILL` one
    /// that is gone without a good-bye.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill runs").success(), "signal {name}");
    }

    /// Whether it has said so until now.
    pub fn has_lost_its_connection(&mut self) -> bool {
        self.kept.extend(self.notes.try_iter());
        self.kept.iter().any(|note| note["note"] == "disconnect")
    }

    fn with_token(&self, mut payload: Value) -> Value {
        // A plain session gave its token when it connected. A payload with a token of its own keeps
        // it.
        if self.cell.is_socket_io() && payload.get("token").is_none() {
            payload["token"] = json!(self.user.token);
        }
        payload
    }

    fn order(&mut self, order: &Value) {
        writeln!(self.orders, "{order}")
            .unwrap_or_else(|error| panic!("{}: the client ended: {error}", self.cell));
    }

    /// Waits for a note that `wanted` accepts; the others stay for later, in their order.
    fn wait_for(&mut self, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.kept.iter().position(&wanted) {
            return self.kept.remove(at).expect("the position was found");
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self
                .notes
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok(note) if wanted(&note) => return note,
                Ok(note) => self.kept.push_back(note),
                Err(error) => {
                    let kept: Vec<_> = self.kept.iter().map(Value::to_string).collect();
                    panic!(
                        "{}: no {what}: {error}; kept:\n{}",
                        self.cell,
                        kept.join("\n")
                    );
                }
            }
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
