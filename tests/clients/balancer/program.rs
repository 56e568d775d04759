//! nginx or HAProxy with the configuration of `.deploy`, on free ports and in a folder of its own.

use std::fmt;
use std::fs::File;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::eventually;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    Haproxy,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Nginx => "nginx",
            Kind::Haproxy => "haproxy",
        })
    }
}

impl Kind {
    /// Where the program is. Not by way of PATH alone, because distributions keep it out of the
    /// PATH of users.
    pub fn program(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders =
            std::env::split_paths(&path).chain(["/usr/sbin".into(), "/usr/local/sbin".into()]);
        folders
            .map(|folder| folder.join(self.to_string()))
            .find(|program| program.is_file())
    }
}

/// A running balancer. Stopped when dropped.
pub struct Balancer {
    dir: TempDir,
    port: u16,
    child: Child,
}

impl Balancer {
    /// Starts it in front of the nodes on these ports, which stand for the first of the
    /// configuration; the others are taken out.
    pub fn start(kind: Kind, nodes: &[u16]) -> Self {
        Self::start_with(kind, |port, dir| match kind {
            Kind::Nginx => nginx_config(port, nodes, dir),
            Kind::Haproxy => haproxy_config(port, nodes, dir),
        })
    }

    /// The same, but to it this machine is some other in the internet.
    pub fn start_for_strangers(kind: Kind, nodes: &[u16]) -> Self {
        Self::start_with(kind, |port, dir| match kind {
            Kind::Nginx => {
                let mut config = nginx_config(port, nodes, dir);
                change(&mut config, "allow 127.0.0.0/8;", "");
                config
            }
            Kind::Haproxy => {
                let mut config = haproxy_config(port, nodes, dir);
                change(
                    &mut config,
                    "from_inside src 127.0.0.0/8 ",
                    "from_inside src ",
                );
                config
            }
        })
    }

    /// nginx as the README has it, in front of one node; `this_machine` says whether it counts as
    /// the operators'.
    pub fn start_as_in_readme(node: u16, this_machine: &str) -> Self {
        Self::start_with(Kind::Nginx, |port, dir| {
            readme_config(port, node, this_machine, dir)
        })
    }

    fn start_with(kind: Kind, config: impl FnOnce(u16, &Path) -> String) -> Self {
        let program = kind.program().expect("the caller has looked for it");
        let dir = TempDir::new().expect("a temporary folder");
        let port = free_port();
        let config = config(port, dir.path());
        let file = dir.path().join("balancer.conf");
        std::fs::write(&file, config).expect("the folder can be written to");
        let mut command = Command::new(program);
        match kind {
            Kind::Nginx => {
                // Started as root, its workers would become somebody who may not enter the folder.
                let settings = format!("daemon off; user root; pid {}/pid;", dir.path().display());
                command
                    .arg("-p")
                    .arg(dir.path())
                    .arg("-e")
                    .arg(dir.path().join("log"))
                    .args(["-g", &settings]);
                command.arg("-c").arg(&file);
            }
            Kind::Haproxy => {
                command.arg("-db").arg("-f").arg(&file);
            }
        }
        let log = File::create(dir.path().join("log")).expect("a log file");
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("the log file twice"))
            .stderr(log);
        let mut started = Self {
            child: command.spawn().expect("the balancer starts"),
            dir,
            port,
        };
        eventually("the balancer listens", || {
            if let Some(status) = started.child.try_wait().expect("a child can be waited for") {
                panic!("{kind} ended with {status}:\n{}", started.log());
            }
            TcpStream::connect(("127.0.0.1", port)).ok()
        });
        started
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // SIGTERM, not SIGKILL: nginx's master must stop its workers.
        let stopped = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

fn nginx_config(port: u16, nodes: &[u16], dir: &Path) -> String {
    let mut config = for_nodes(repository_file(".deploy/nginx.conf"), nodes);
    let log = dir.join("log").display().to_string();
    change(
        &mut config,
        "listen 8080 ",
        &format!("listen 127.0.0.1:{port} "),
    );
    change(&mut config, "/dev/stdout", &log);
    change(&mut config, "/dev/stderr", &log);
    // More than a test needs, and than many accounts may have.
    change(&mut config, "worker_rlimit_nofile 131072;", "");
    change(
        &mut config,
        "worker_connections 65536;",
        "worker_connections 512;",
    );
    change(
        &mut config,
        "http {\n",
        &format!("http {{\n{}", temporary_folders(dir)),
    );
    config
}

/// Where the package keeps these, only root may write.
fn temporary_folders(dir: &Path) -> String {
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    folders
        .map(|name| format!("    {name}_temp_path {}/{name};\n", dir.display()))
        .concat()
}

fn readme_config(port: u16, node: u16, this_machine: &str, dir: &Path) -> String {
    let readme = repository_file("README.md");
    let example = readme
        .split_once("```nginx\n")
        .and_then(|(_, rest)| rest.split_once("```"));
    let mut example = example
        .expect("the README has an example for nginx")
        .0
        .to_owned();
    change(&mut example, "127.0.0.1:7001", &format!("127.0.0.1:{node}"));
    change(
        &mut example,
        "listen 443 ssl;",
        &format!("listen 127.0.0.1:{port};"),
    );
    change(&mut example, "allow 127.0.0.1;", this_machine);
    for log in [
        "/var/log/nginx/liveroom.log",
        "/var/log/nginx/liveroom-error.log",
    ] {
        change(&mut example, log, &dir.join("log").display().to_string());
    }
    format!(
        "events {{}}\nhttp {{\n{}{example}}}\n",
        temporary_folders(dir)
    )
}

fn haproxy_config(port: u16, nodes: &[u16], dir: &Path) -> String {
    let mut config = for_nodes(repository_file(".deploy/haproxy.cfg"), nodes);
    change(&mut config, "bind :8080", &format!("bind 127.0.0.1:{port}"));
    change(
        &mut config,
        "    stats socket /var/lib/haproxy/",
        &format!("    stats socket {}/", dir.display()),
    );
    change(&mut config, "maxconn 100000", "maxconn 400");
    config
}

/// Puts ports of this machine in the place of the nodes' names, and takes out nodes that are not.
fn for_nodes(mut config: String, nodes: &[u16]) -> String {
    for (number, port) in (1..).zip(nodes) {
        change(
            &mut config,
            &format!("liveroom-{number}:7001"),
            &format!("127.0.0.1:{port}"),
        );
    }
    let lines = config
        .lines()
        .filter(|line| !line.contains("liveroom-") || !line.contains(":7001"));
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Replaces what must be there.
fn change(config: &mut String, from: &str, to: &str) {
    assert!(config.contains(from), "the configuration has no {from:?}");
    *config = config.replace(from, to);
}

fn repository_file(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A port that stays free while its server is down: none of those that outgoing connections take.
pub fn free_port() -> u16 {
    let taken_by_others = u16::try_from(std::process::id() % 10_000).expect("below 10,000");
    let candidates = (20_000 + taken_by_others..32_000).chain(20_000..32_000);
    let mut free = candidates.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a free port")
}
