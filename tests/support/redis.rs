//! A private Redis: own folder, own port, gone when dropped. It can be killed, frozen, and started
//! again with its data or without.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Far above what a start takes on a busy machine.
const START_MAX: Duration = Duration::from_secs(30);

/// Far above what any command of a test takes.
const ANSWER_MAX: Duration = Duration::from_secs(30);

/// What outlives a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeps {
    /// Nothing but what a `SAVE` wrote: a restart falls back to that.
    Saved,
    /// Every command that was answered.
    Everything,
}

/// A running server, or one that was killed and may be started again.
pub struct Redis {
    dir: TempDir,
    port: u16,
    keeps: Keeps,
    /// Options beside those that every server has.
    options: Vec<String>,
    /// What the server asks of everybody, if anything.
    password: Option<String>,
    server: Option<Child>,
}

impl Redis {
    /// Starts a server; `Err` says why there can be none here.
    pub fn start(keeps: Keeps) -> Result<Self, String> {
        Self::with(keeps, &[], None)
    }

    /// Starts a server with options of its own, each a word, and a password.
    pub fn with(keeps: Keeps, options: &[&str], password: Option<&str>) -> Result<Self, String> {
        let found = Command::new("redis-server")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if !found.is_ok_and(|status| status.success()) {
            return Err("no Redis server is installed".to_owned());
        }
        let dir = TempDir::new().expect("a folder for the data");
        let options = options.iter().map(|option| (*option).to_owned()).collect();
        let password = password.map(str::to_owned);
        let mut redis = Self {
            dir,
            port: free_port(),
            keeps,
            options,
            password,
            server: None,
        };
        redis.restart();
        Ok(redis)
    }

    /// As the configuration wants it.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// SIGKILL, whether it runs or is frozen.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("the server was running");
        server.kill().expect("the server can be killed");
        server.wait().expect("a child can be waited for");
    }

    /// Starts again on the same port, with what it keeps.
    pub fn restart(&mut self) {
        let port = self.port.to_string();
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("a log file");
        let mut command = Command::new("redis-server");
        // No snapshots by itself: what a restart finds is for the test to say.
        command.args([
            "--bind",
            "127.0.0.1",
            "--port",
            &port,
            "--save",
            "",
            "--daemonize",
            "no",
        ]);
        command.arg("--dir").arg(self.dir.path());
        if self.keeps == Keeps::Everything {
            command.args(["--appendonly", "yes", "--appendfsync", "always"]);
        }
        if let Some(password) = &self.password {
            command.args(["--requirepass", password]);
        }
        command.args(&self.options);
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file twice"))
            .stderr(log);
        self.server = Some(command.spawn().expect("redis-server starts"));
        self.wait_until_ready();
    }

    /// Starts again on the same port, with all data gone.
    pub fn restart_empty(&mut self) {
        for entry in std::fs::read_dir(self.dir.path()).expect("the folder is there") {
            let path = entry.expect("an entry").path();
            let removed = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            removed.expect("the data can be removed");
        }
        self.restart();
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_MAX;
        loop {
            // While it loads its data it answers with an error.
            if self.try_command(&["PING"]).is_ok() {
                return;
            }
            let server = self.server.as_mut().expect("it was just started");
            let ended = server
                .try_wait()
                .expect("a child can be waited for")
                .is_some();
            if ended || Instant::now() > deadline {
                panic!(
                    "redis-server did not start:\n{}",
                    std::fs::read_to_string(self.log()).unwrap_or_default()
                );
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// SIGSTOP: connections stay, and nothing is answered.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// SIGCONT: goes on with what it was sent meanwhile.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self
            .server
            .as_ref()
            .expect("the server is running")
            .id()
            .to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(status.expect("kill runs").success(), "signal {name}");
    }

    /// Runs a command: its answer as text, items of a list in lines, `None` for nil.
    pub fn command(&self, words: &[&str]) -> Option<String> {
        self.try_command(words)
            .unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    /// Runs a command that may fail.
    pub fn try_command(&self, words: &[&str]) -> Result<Option<String>, String> {
        ask_port(self.port, self.password.as_deref(), words)
    }

    pub fn get(&self, key: &str) -> Option<String> {
        self.command(&["GET", key])
    }

    pub fn set(&self, key: &str, value: &str) {
        self.command(&["SET", key, value]);
    }

    pub fn del(&self, key: &str) {
        self.command(&["DEL", key]);
    }

    pub fn exists(&self, key: &str) -> bool {
        self.command(&["EXISTS", key]).as_deref() == Some("1")
    }

    fn log(&self) -> std::path::PathBuf {
        self.dir.path().join("log")
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if let Some(mut server) = self.server.take() {
            // It may have ended already.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

/// Runs one command at the server of this port.
pub fn ask_port(
    port: u16,
    password: Option<&str>,
    words: &[&str],
) -> Result<Option<String>, String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(|error| error.to_string())?;
    if let Some(password) = password {
        ask(&mut stream, &["AUTH", password])?;
    }
    ask(&mut stream, words)
}

fn ask(stream: &mut TcpStream, words: &[&str]) -> Result<Option<String>, String> {
    stream
        .set_read_timeout(Some(ANSWER_MAX))
        .map_err(|error| error.to_string())?;
    let mut command = format!("*{}\r\n", words.len());
    for word in words {
        command.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    stream
        .write_all(command.as_bytes())
        .map_err(|error| error.to_string())?;
    read_answer(&mut BufReader::new(stream))
}

fn read_answer(stream: &mut impl BufRead) -> Result<Option<String>, String> {
    let mut line = String::new();
    stream
        .read_line(&mut line)
        .map_err(|error| error.to_string())?;
    let line = line.trim_end();
    let (kind, rest) = line
        .split_at_checked(1)
        .ok_or("the connection was closed")?;
    let length = rest.parse::<i64>();
    match (kind, length) {
        ("+" | ":", _) => Ok(Some(rest.to_owned())),
        ("$" | "*", Ok(-1)) => Ok(None),
        ("$", Ok(length)) => {
            let mut text = vec![0; usize::try_from(length).map_err(|error| error.to_string())? + 2];
            stream
                .read_exact(&mut text)
                .map_err(|error| error.to_string())?;
            text.truncate(text.len() - 2);
            Ok(Some(String::from_utf8_lossy(&text).into_owned()))
        }
        ("*", Ok(length)) => {
            let items: Result<Vec<_>, _> = (0..length).map(|_| read_answer(stream)).collect();
            Ok(Some(
                items?
                    .into_iter()
                    .map(Option::unwrap_or_default)
                    .collect::<Vec<_>>()
                    .join("\n"),
            ))
        }
        _ => Err(line.to_owned()),
    }
}

/// A port that nobody listens on, below those the kernel gives to outgoing connections: while the
/// server is down nobody takes it.
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test programs that run at the same time start at different places.
    let start = u16::try_from(std::process::id() * 37 % u32::from(COUNT)).expect("less than COUNT");
    for _ in 0..COUNT {
        let port = FIRST + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        if std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free");
}
