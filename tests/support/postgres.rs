//! A private PostgreSQL: own folder, own port, durable as in production, gone when dropped. A test
//! that has one to itself can kill it, freeze it and bring it back.

use std::fs::Permissions;
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Far above what a start takes on a busy machine.
const START_MAX: Duration = Duration::from_secs(60);

/// A running server. Tests that run at the same time share one; each has a database of its own.
pub struct Postgres {
    programs: PathBuf,
    dir: TempDir,
    account: Option<(u32, u32)>,
    port: u16,
    server: Child,
    more: More,
    databases: AtomicUsize,
}

/// What a server is started with beyond what all tests have.
struct More {
    settings: Vec<String>,
    environment: Vec<(String, String)>,
}

static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());

impl Postgres {
    /// The server of this process, started if none runs; `Err` says why there can be none here.
    pub fn shared() -> Result<Arc<Self>, String> {
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = shared.upgrade() {
            return Ok(running);
        }
        let started = Arc::new(Self::start()?);
        *shared = Arc::downgrade(&started);
        Ok(started)
    }

    /// A server that no other test uses; `Err` says why there can be none here.
    pub fn start() -> Result<Self, String> {
        Self::start_with(&[], &[])
    }

    /// The same, with settings (`name=value`) and environment variables beyond those of all tests.
    pub fn start_with(
        settings: &[String],
        environment: &[(String, String)],
    ) -> Result<Self, String> {
        let programs = find_programs().ok_or("no PostgreSQL server is installed")?;
        let dir = TempDir::new().expect("a folder for the database");
        let account = server_account(dir.path())?;
        let data = dir.path().join("data");
        let mut initdb = Command::new(programs.join("initdb"));
        initdb
            .args([
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--no-locale",
                "--pgdata",
            ])
            .arg(&data);
        let made = run(as_account(&mut initdb, account).current_dir(dir.path()));
        assert_succeeded("initdb", &made);

        let port = free_port();
        let more = More {
            settings: settings.to_vec(),
            environment: environment.to_vec(),
        };
        let server = spawn(&programs, dir.path(), account, port, &more);
        let mut started = Self {
            programs,
            dir,
            account,
            port,
            server,
            more,
            databases: AtomicUsize::new(0),
        };
        started.wait_until_ready();
        Ok(started)
    }

    /// A server that follows this one with all that is committed here, and takes no writes until it
    /// is promoted.
    pub fn standby(&self) -> Self {
        let dir = TempDir::new().expect("a folder for the database");
        let account = server_account(dir.path()).expect("as for the primary");
        let data = dir.path().join("data");
        let mut copy = self.client("pg_basebackup");
        copy.args([
            "--write-recovery-conf",
            "--wal-method=stream",
            "--checkpoint=fast",
            "--pgdata",
        ])
        .arg(&data);
        let made = run(as_account(&mut copy, account).current_dir(dir.path()));
        assert_succeeded("pg_basebackup", &made);
        let (port, more) = (
            free_port(),
            More {
                settings: Vec::new(),
                environment: Vec::new(),
            },
        );
        let server = spawn(&self.programs, dir.path(), account, port, &more);
        let databases = AtomicUsize::new(0);
        let mut started = Self {
            programs: self.programs.clone(),
            dir,
            account,
            port,
            server,
            more,
            databases,
        };
        started.wait_until_ready();
        started
    }

    /// Replaces the lines that say which connections are accepted, and how.
    pub fn set_access(&self, lines: &[&str]) {
        std::fs::write(
            self.dir.path().join("data/pg_hba.conf"),
            lines.join("\n") + "\n",
        )
        .expect("the file of access");
        self.reload();
    }

    /// Has the server read its settings again.
    fn reload(&self) {
        let loaded_at = || self.query(&self.admin_url(), "SELECT pg_conf_load_time()");
        let before = loaded_at();
        self.execute(&self.admin_url(), "SELECT pg_reload_conf()")
            .expect("settings can be read again");
        let deadline = Instant::now() + START_MAX;
        while loaded_at() == before {
            assert!(
                Instant::now() < deadline,
                "postgres does not read its settings again"
            );
        }
    }

    /// Takes connections with TLS too, with this certificate from now on.
    pub fn enable_tls(&self, certificate: &Path, key: &Path) {
        for (from, name) in [(certificate, "server.crt"), (key, "server.key")] {
            let to = self.dir.path().join("data").join(name);
            std::fs::copy(from, &to).expect("a copy of the certificate");
            std::fs::set_permissions(&to, Permissions::from_mode(0o600)).expect("a mode");
            if let Some((user, group)) = self.account {
                chown(&to, Some(user), Some(group)).expect("the file changes hands");
            }
        }
        self.execute(&self.admin_url(), "ALTER SYSTEM SET ssl = on")
            .expect("settings can be changed");
        self.reload();
    }

    /// Makes a standby take writes.
    pub fn promote(&self) {
        self.execute(&self.admin_url(), "SELECT pg_promote()")
            .expect("a standby can be promoted");
    }

    /// SIGKILL to all its processes at once, as when the machine loses its power: nothing is
    /// flushed, nobody is told.
    pub fn kill(&mut self) {
        // Stopped first, so that the postmaster starts nothing while its processes are counted.
        let all = self.freeze();
        for pid in &all {
            signal("KILL", *pid);
        }
        self.server.wait().expect("a child can be waited for");
        let deadline = Instant::now() + START_MAX;
        while all
            .iter()
            .any(|pid| Path::new(&format!("/proc/{pid}")).exists())
        {
            assert!(
                Instant::now() < deadline,
                "processes of postgres outlive SIGKILL"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Starts again on the same port with the same data, after [`Postgres::kill`].
    pub fn restart(&mut self) {
        self.server = spawn(
            &self.programs,
            self.dir.path(),
            self.account,
            self.port,
            &self.more,
        );
        self.wait_until_ready();
    }

    /// SIGSTOP to all its processes: connections stay open, new ones are taken by the kernel, and
    /// nothing is answered. Returns their ids, the postmaster's first.
    pub fn freeze(&self) -> Vec<u32> {
        let mut all = vec![self.server.id()];
        signal("STOP", self.server.id());
        // The postmaster stands still, so these are all there will be.
        for child in children(self.server.id()) {
            signal("STOP", child);
            all.push(child);
        }
        all
    }

    /// SIGSTOP to the processes that serve connections, and to no others: those who are connected
    /// hear nothing, and who connects anew is served.
    pub fn freeze_backends(&self) {
        for child in children(self.server.id()) {
            let title =
                std::fs::read_to_string(format!("/proc/{child}/cmdline")).unwrap_or_default();
            if title.contains("127.0.0.1") {
                signal("STOP", child);
            }
        }
    }

    /// Lets everything that stands still go on.
    pub fn thaw(&self) {
        for child in children(self.server.id()) {
            signal("CONT", child);
        }
        signal("CONT", self.server.id());
    }

    fn wait_until_ready(&mut self) {
        let deadline = Instant::now() + START_MAX;
        while !run(self.client("pg_isready").arg("--quiet"))
            .status
            .success()
        {
            let ended = self
                .server
                .try_wait()
                .expect("the state of the server")
                .is_some();
            if ended || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                panic!("postgres did not start:\n{log}");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The process that is the parent of all others of the server.
    pub fn pid(&self) -> u32 {
        self.server.id()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The database of the server's own.
    pub fn admin_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Makes an empty database and returns its URL.
    pub fn create_database(&self) -> String {
        let name = format!(
            "liveroom_{}",
            self.databases.fetch_add(1, Ordering::Relaxed)
        );
        let made = run(self.client("createdb").arg(&name));
        assert_succeeded("createdb", &made);
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Makes a copy of a database that nobody is connected to, and returns its URL.
    pub fn copy_database(&self, url: &str) -> String {
        let name = format!(
            "liveroom_{}",
            self.databases.fetch_add(1, Ordering::Relaxed)
        );
        let template = url.rsplit('/').next().unwrap_or(url);
        let made = run(self
            .client("createdb")
            .args(["--template", template, &name]));
        assert_succeeded("createdb", &made);
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// Writes a database into a file, as the README says.
    pub fn dump(&self, url: &str, to: &Path) {
        let mut dump = Command::new(self.programs.join("pg_dump"));
        dump.args(["--format=custom", "--no-owner", "--dbname", url, "--file"])
            .arg(to);
        assert_succeeded("pg_dump", &run(&mut dump));
    }

    /// Fills an empty database from such a file, as the README says.
    pub fn restore(&self, from: &Path, url: &str) {
        let mut restore = Command::new(self.programs.join("pg_restore"));
        restore
            .args(["--exit-on-error", "--no-owner", "--dbname", url])
            .arg(from);
        assert_succeeded("pg_restore", &run(&mut restore));
    }

    /// Runs statements outside the store; `Err` is what the server said.
    pub fn execute(&self, url: &str, sql: &str) -> Result<(), String> {
        self.psql(url, sql).map(|_| ())
    }

    /// Runs a query outside the store, and returns its rows as text.
    pub fn query(&self, url: &str, sql: &str) -> String {
        self.psql(url, sql)
            .unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn psql(&self, url: &str, sql: &str) -> Result<String, String> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--dbname",
            url,
            "--command",
            sql,
        ]);
        let done = run(&mut psql);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if done.status.success() {
            Ok(text(&done.stdout))
        } else {
            Err(text(&done.stderr))
        }
    }

    fn client(&self, program: &str) -> Command {
        let mut client = Command::new(self.programs.join(program));
        client.args([
            "--host=127.0.0.1",
            "--username=postgres",
            "--port",
            &self.port.to_string(),
        ]);
        client
    }
}

fn assert_succeeded(program: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // After a kill its id may be somebody else's by now.
        if !matches!(self.server.try_wait(), Ok(None)) {
            return;
        }
        self.thaw();
        // SIGQUIT to the postmaster ends all its processes at once. The folder goes with it.
        signal("QUIT", self.server.id());
        let _ = self.server.wait();
    }
}

fn spawn(
    programs: &Path,
    dir: &Path,
    account: Option<(u32, u32)>,
    port: u16,
    more: &More,
) -> Child {
    let mut server = Command::new(programs.join("postgres"));
    server.arg("-D").arg(dir.join("data")).args([
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "fsync=on",
        "-c",
    ]);
    server
        .arg(format!("unix_socket_directories={}", dir.display()))
        .args(["-p", &port.to_string()]);
    server.args(
        more.settings
            .iter()
            .flat_map(|setting| ["-c", setting.as_str()]),
    );
    server.envs(more.environment.iter().cloned());
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(dir.join("log"))
        .expect("a log file");
    as_account(&mut server, account)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("the log file twice"))
        .stderr(log)
        .spawn()
        .expect("postgres starts")
}

/// A process that has ended meanwhile needs no signal.
fn signal(name: &str, pid: u32) {
    let _ = Command::new("kill")
        .args([&format!("-{name}"), &pid.to_string()])
        .stderr(Stdio::null())
        .status();
}

/// The processes that this one has started and that still run.
fn children(pid: u32) -> Vec<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))
        .expect("a Linux with /proc");
    text.split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

fn run(command: &mut Command) -> Output {
    command
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Where the programs of the newest installed server are. Not by way of PATH alone, because
/// distributions keep `initdb` out of it.
fn find_programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten();
    let mut folders: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    folders.sort_by_key(|folder| {
        let version = folder
            .parent()
            .and_then(Path::file_name)
            .and_then(|name| name.to_str());
        version.and_then(|name| name.parse::<u32>().ok())
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    folders
        .into_iter()
        .rev()
        .chain(std::env::split_paths(&path))
        .find(|folder| {
            ["initdb", "postgres", "psql", "createdb", "pg_isready"]
                .iter()
                .all(|program| folder.join(program).is_file())
        })
}

/// PostgreSQL refuses to run as root: then it runs as the account its package made, which also gets
/// the folder. `None`: as we are.
fn server_account(dir: &Path) -> Result<Option<(u32, u32)>, String> {
    if std::fs::metadata("/proc/self").map_or(true, |own| own.uid() != 0) {
        return Ok(None);
    }
    let id = |flag| {
        let asked = Command::new("id").args([flag, "postgres"]).output().ok()?;
        String::from_utf8(asked.stdout)
            .ok()?
            .trim()
            .parse::<u32>()
            .ok()
    };
    let (Some(user), Some(group)) = (id("-u"), id("-g")) else {
        return Err("running as root, and there is no account `postgres` to run the server".into());
    };
    chown(dir, Some(user), Some(group)).expect("the folder changes hands");
    Ok(Some((user, group)))
}

fn as_account(command: &mut Command, account: Option<(u32, u32)>) -> &mut Command {
    match account {
        Some((user, group)) => command.uid(user).gid(group),
        None => command,
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
