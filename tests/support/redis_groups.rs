//! Several Redis servers that belong together: a Redis Cluster of three masters, and a master with
//! a replica and three Sentinels. All private, gone when dropped.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::certificates::Certificate;
use super::redis::{Keeps, Redis, free_port};

/// Far above what servers take to agree on a busy machine.
const AGREE_MAX: Duration = Duration::from_secs(60);

const SLOTS: u16 = 16_384;
const MASTERS: u16 = 3;

/// Waits until it is so.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + AGREE_MAX;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited too long: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Three masters without replicas, a third of the slots each.
pub struct Masters {
    pub servers: Vec<Redis>,
    password: Option<String>,
}

impl Masters {
    /// Those that tests share which break nothing; they have a password.
    pub fn shared() -> Result<Arc<Self>, String> {
        static SHARED: Mutex<Weak<Masters>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start(Some("secret"))?);
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    pub fn start(password: Option<&str>) -> Result<Self, String> {
        Self::start_each(password, Vec::new)
    }

    /// Those that take TLS too, and their URL with TLS.
    pub fn start_with_tls(
        certificate: &Certificate,
        authority: &Path,
    ) -> Result<(Self, String), String> {
        let mut hosts = Vec::new();
        let masters = Self::start_each(None, || {
            let port = free_port();
            hosts.push(format!("127.0.0.1:{port}"));
            // Else clients with TLS are sent to ports without.
            let of_cluster = ["--tls-cluster", "yes"].map(str::to_owned);
            certificate
                .redis_options(authority, port)
                .into_iter()
                .chain(of_cluster)
                .collect()
        })?;
        Ok((masters, format!("rediss-cluster://{}", hosts.join(","))))
    }

    /// `more` is the options of one server beside those that all have.
    fn start_each(
        password: Option<&str>,
        mut more: impl FnMut() -> Vec<String>,
    ) -> Result<Self, String> {
        let mut servers = Vec::new();
        let mut bus_ports = Vec::new();
        for _ in 0..MASTERS {
            let bus_port = free_port().to_string();
            let options = [
                ["--cluster-enabled", "yes"],
                ["--cluster-port", &bus_port],
                ["--cluster-node-timeout", "1000"],
                // Else all slots are away with some.
                ["--cluster-require-full-coverage", "no"],
            ];
            let more = more();
            let options: Vec<&str> = options
                .concat()
                .into_iter()
                .chain(more.iter().map(String::as_str))
                .collect();
            servers.push(Redis::with(Keeps::Everything, &options, password)?);
            bus_ports.push(bus_port);
        }
        for (number, server) in (0..MASTERS).zip(&servers) {
            let first = (SLOTS / MASTERS * number).to_string();
            let last = if number == MASTERS - 1 {
                SLOTS - 1
            } else {
                SLOTS / MASTERS * (number + 1) - 1
            };
            server.command(&["CLUSTER", "SET-CONFIG-EPOCH", &(number + 1).to_string()]);
            server.command(&["CLUSTER", "ADDSLOTSRANGE", &first, &last.to_string()]);
        }
        for (server, bus_port) in servers.iter().zip(&bus_ports).skip(1) {
            servers[0].command(&[
                "CLUSTER",
                "MEET",
                "127.0.0.1",
                &server.port().to_string(),
                bus_port,
            ]);
        }
        let masters = Self {
            servers,
            password: password.map(str::to_owned),
        };
        for server in 0..masters.servers.len() {
            masters.wait_until_whole(server);
        }
        Ok(masters)
    }

    /// Waits until this server says that all are there.
    pub fn wait_until_whole(&self, server: usize) {
        let all = [
            format!("cluster_slots_ok:{SLOTS}"),
            format!("cluster_size:{MASTERS}"),
        ];
        wait_until("the masters agree", || {
            let info = self.servers[server]
                .command(&["CLUSTER", "INFO"])
                .unwrap_or_default();
            all.iter().all(|line| info.contains(line)) && info.contains("cluster_state:ok")
        });
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .servers
            .iter()
            .map(|server| format!("127.0.0.1:{}", server.port()))
            .collect();
        let password = self
            .password
            .as_ref()
            .map_or_else(String::new, |password| format!(":{password}@"));
        format!("redis-cluster://{password}{}", hosts.join(","))
    }

    /// The server that has a key.
    pub fn server_of(&self, key: &str) -> usize {
        let slot = self
            .servers
            .iter()
            .find_map(|server| server.try_command(&["CLUSTER", "KEYSLOT", key]).ok());
        let slot: u16 = slot
            .flatten()
            .and_then(|slot| slot.parse().ok())
            .expect("a server that runs knows the slot");
        usize::from((slot / (SLOTS / MASTERS)).min(MASTERS - 1))
    }
}

/// A master, its replica and three Sentinels that watch over them.
pub struct Watched {
    pub servers: Vec<Redis>,
    sentinels: Vec<(TempDir, u16, Child)>,
}

impl Watched {
    pub fn start() -> Result<Self, String> {
        let master = Redis::with(Keeps::Saved, &[], None)?;
        let of_master = [
            "--replicaof",
            "127.0.0.1",
            &master.port().to_string(),
            "--repl-diskless-sync-delay",
            "0",
        ];
        let replica = Redis::with(Keeps::Saved, &of_master, None)?;
        let master_port = master.port();
        let mut watched = Self {
            servers: vec![master, replica],
            sentinels: Vec::new(),
        };
        wait_until("the replica follows", || {
            let info = watched.servers[1]
                .command(&["INFO", "replication"])
                .unwrap_or_default();
            info.contains("master_link_status:up")
        });
        for _ in 0..3 {
            watched.sentinels.push(sentinel(master_port, 2, ""));
        }
        for (_, port, _) in &watched.sentinels {
            wait_until("the Sentinels know each other and the replica", || {
                let known = ask(*port, &["SENTINEL", "MASTER", "main"]);
                let value = |name: &str| {
                    let mut words = known.lines().skip_while(|line| *line != name);
                    words.nth(1).and_then(|count| count.parse::<u32>().ok())
                };
                (value("num-slaves"), value("num-other-sentinels")) == (Some(1), Some(2))
            });
        }
        Ok(watched)
    }

    pub fn url(&self) -> String {
        let hosts: Vec<String> = self
            .sentinels
            .iter()
            .map(|(_, port, _)| format!("127.0.0.1:{port}"))
            .collect();
        format!("redis-sentinel://{}/main", hosts.join(","))
    }

    /// The server that is written to, as the Sentinels say.
    pub fn master_port(&self) -> u16 {
        let address = ask(
            self.sentinels[0].1,
            &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "main"],
        );
        address
            .lines()
            .nth(1)
            .and_then(|port| port.parse().ok())
            .expect("the Sentinels know the master")
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        for (_, _, sentinel) in &mut self.sentinels {
            // It may have ended already.
            let _ = sentinel.kill();
            let _ = sentinel.wait();
        }
    }
}

/// One Sentinel that takes TLS and speaks it to the master that it watches.
pub struct EncryptedSentinel {
    _dir: TempDir,
    tls_port: u16,
    sentinel: Child,
}

impl EncryptedSentinel {
    /// `master_port`: where the master takes TLS.
    pub fn start(certificate: &Certificate, authority: &Path, master_port: u16) -> Self {
        let tls_port = free_port();
        let options = certificate.redis_options(authority, tls_port);
        let options = options
            .chunks(2)
            .map(|pair| pair.join(" ").trim_start_matches("--").to_owned());
        let more: Vec<String> = options.chain(["tls-replication yes".to_owned()]).collect();
        let (dir, port, child) = sentinel(master_port, 1, &more.join("\n"));
        let started = Self {
            _dir: dir,
            tls_port,
            sentinel: child,
        };
        wait_until("the Sentinel reaches the master", || {
            ask(port, &["SENTINEL", "MASTER", "main"]).contains("\nmaster\n")
        });
        started
    }

    pub fn url(&self) -> String {
        format!("rediss-sentinel://127.0.0.1:{}/main", self.tls_port)
    }
}

impl Drop for EncryptedSentinel {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.sentinel.kill();
        let _ = self.sentinel.wait();
    }
}

/// A Sentinel of so many that must agree; `more` is lines of its configuration.
fn sentinel(master_port: u16, quorum: usize, more: &str) -> (TempDir, u16, Child) {
    let (dir, port) = (
        TempDir::new().expect("a folder for a Sentinel"),
        free_port(),
    );
    let file = dir.path().join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\ndir {}\n{more}\n\
         sentinel monitor main 127.0.0.1 {master_port} {quorum}\n\
         sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n",
        dir.path().display()
    );
    std::fs::write(&file, text).expect("the file can be written");
    let mut command = Command::new("redis-server");
    command
        .arg(&file)
        .arg("--sentinel")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut child = command.spawn().expect("redis-server starts");
    wait_until("a Sentinel answers", || {
        assert!(
            child
                .try_wait()
                .expect("a child can be waited for")
                .is_none(),
            "a Sentinel ended"
        );
        super::redis::ask_port(port, None, &["PING"]).is_ok()
    });
    (dir, port, child)
}

fn ask(port: u16, words: &[&str]) -> String {
    let answer = super::redis::ask_port(port, None, words)
        .unwrap_or_else(|error| panic!("{words:?}: {error}"));
    answer.unwrap_or_default()
}
