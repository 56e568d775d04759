"""The servers that are measured: how each is built, started and spoken to.

A server is a program that listens on the port it is told, and a way of speaking: which kind of
client the lab plays, and for all but liveroom the templates of what such a client says.
"""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import accounts

ROOT = Path(__file__).resolve().parents[2]
PEERS = ROOT / "tests/bench/peers"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BUILT = TARGET / "bench-peers"

PORT = 7911
ADDRESS = f"127.0.0.1:{PORT}"
JWT_SECRET = "bench-secret-that-signs-the-tokens-of-members"
ADMIN_TOKEN = "bench-token-of-the-operator"

# A server that does not listen after so long has failed to start; one that does not end after so
# long is killed.
START_SECONDS_MAX = 20
STOP_SECONDS_MAX = 15

# High enough to stop nothing here. The limits are on: each comment and join is counted against them.
NO_LIMIT = "1000000"
RAISED_LIMITS = {
    f"LIVEROOM__LIMITS__{name}": NO_LIMIT
    for name in (
        "COMMENT_BURST",
        "COMMENTS_PER_30S",
        "COMMAND_BURST",
        "COMMANDS_PER_S",
        "USER_COMMAND_BURST",
        "USER_COMMANDS_PER_S",
        "STREAMER_COMMENT_BURST",
        "STREAMER_COMMENTS_PER_30S",
        "CROWD_EVENTS_PER_S",
        "JOINS_PER_S",
        "JOIN_BURST",
        "CONNECTIONS_PER_ADDRESS",
        "CONNECTIONS_PER_S",
        "LOGINS_PER_MIN",
        "LIVES_PER_MIN",
        "STATUS_CHANGES_PER_MIN",
    )
}

PLAIN = {
    "path": "/ws",
    "join": '{"event":"joinLive","data":{"live_id":{live_id},"member":{member}}}',
    "comment": '{"id":{ack},"event":"comment","data":{"live_id":{live_id},"text":"{text}"}}',
}
SOCKETIO = {
    "join": '42["joinLive",{"live_id":{live_id},"member":{member}}]',
    "comment": '42{ack}["comment",{"live_id":{live_id},"text":"{text}"}]',
}


@dataclass(frozen=True)
class Server:
    """One line of the tables."""

    name: str
    label: str
    program: str
    # The client kind of the lab's scripts.
    kind: str
    # What clients say; `None` for liveroom, which the lab knows.
    templates: dict | None = None
    env: dict = field(default_factory=dict)


def _family(name, label, program, templates, kinds):
    """A program as it is seen by clients of several kinds."""
    spoken = {
        "plain": "WebSocket",
        "socketio_v4": "Socket.IO",
        "socketio_v3": "Socket.IO, EIO3",
        "socketio_v4_polling": "polling",
    }
    suffix = {"plain": "", "socketio_v4": "_v4", "socketio_v3": "_v3", "socketio_v4_polling": "_polling"}
    return [
        Server(name + ("" if kind == kinds[0] else suffix[kind]), f"{label}, {spoken[kind]}", program, kind, templates)
        for kind in kinds
    ]


ALL_SOCKETIO = ["socketio_v4", "socketio_v3", "socketio_v4_polling"]
SERVERS = {
    server.name: server
    for server in [
        Server("floor", "floor: one `send` per comment and member", "floor", "plain", PLAIN),
        Server("floor50", "floor, 50 comments per `send`", "floor", "plain", PLAIN, {"COMMENTS_PER_SEND": "50"}),
        *_family("liveroom", "liveroom", "liveroom", None, ["plain", *ALL_SOCKETIO]),
        Server("uws", "uWebSockets (C++)", "uws", "plain", PLAIN),
        *_family("socketioxide", "socketioxide on axum", "socketioxide", SOCKETIO, ALL_SOCKETIO),
        *_family("socketio", "socket.io on Node", "socketio", SOCKETIO, ALL_SOCKETIO),
    ]
}


def _run(command, cwd=ROOT, env=None):
    print(f"$ {' '.join(map(str, command))}", flush=True)
    subprocess.run(command, cwd=cwd, env={**os.environ, **(env or {})}, check=True)


def _build_cargo_peer(name):
    _run(["cargo", "build", "--release", "--locked"], cwd=PEERS / name, env={"CARGO_TARGET_DIR": str(BUILT)})


def build(program):
    """Builds one program from the sources at hand, as it is to be measured."""
    match program:
        case "liveroom":
            _run(["cargo", "build", "--release", "--locked"])
        case "floor" | "socketioxide":
            _build_cargo_peer(program)
        case "socketio":
            _run(["npm", "ci", "--no-audit", "--no-fund", "--loglevel=error"], cwd=PEERS / "socketio_node")
        case "uws":
            _run([PEERS / "uwebsockets/build.sh", BUILT / "uwebsockets"])


def _command(program):
    return {
        "liveroom": [TARGET / "release/liveroom"],
        "floor": [BUILT / "release/liveroom-bench-floor"],
        "socketioxide": [BUILT / "release/liveroom-bench-socketioxide"],
        "socketio": ["node", PEERS / "socketio_node/server.mjs"],
        "uws": [BUILT / "uwebsockets/server"],
    }[program]


def version(program):
    """What exactly was measured, in a few words."""

    def output(*command):
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()

    match program:
        case "liveroom":
            changed = "+changes" if output("git", "status", "--porcelain", "--", "src", "Cargo.lock") else ""
            return output("git", "rev-parse", "--short", "HEAD") + changed
        case "socketioxide":
            lock = (PEERS / "socketioxide/Cargo.lock").read_text()
            return re.search(r'name = "socketioxide"\nversion = "([^"]+)"', lock)[1]
        case "socketio":
            manifest = json.loads((PEERS / "socketio_node/package.json").read_text())
            return f"{manifest['dependencies']['socket.io']} on Node {output('node', '--version')}"
        case "uws":
            return (BUILT / "uwebsockets/VERSION").read_text().strip()
        case "floor":
            return "of this repository"


def machine():
    """The machine and its kernel, in a line."""
    cpu = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory_kib = int(re.search(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), re.MULTILINE)[1])
    kernel = os.uname()
    name = " ".join(cpu[1].split()) if cpu else kernel.machine
    return f"{name}, {os.cpu_count()} cores, {memory_kib / 2**20:.0f} GiB, {kernel.sysname} {kernel.release}"


class Running:
    """A server that runs on one core, until it is left."""

    def __init__(self, server, core, folder):
        self.server, self.core, self.folder = server, core, folder

    def __enter__(self):
        if _listens():
            raise RuntimeError(f"port {PORT} is taken")
        env = {**os.environ, "PORT": str(PORT), **self.server.env}
        if self.server.program == "liveroom":
            env |= self.configuration()
            self.prepare_store(env)
        self.log = open(self.folder / "server.log", "ab")
        self.process = subprocess.Popen(
            ["taskset", "-c", str(self.core), *map(str, _command(self.server.program))],
            # Without liveroom's config.toml, which is as its defaults anyway.
            cwd=self.folder,
            env=env,
            stdout=self.log,
            stderr=self.log,
        )
        give_up = time.monotonic() + START_SECONDS_MAX
        while not _listens():
            if self.process.poll() is not None or time.monotonic() > give_up:
                self.__exit__()
                raise RuntimeError(f"{self.server.name} does not listen; see {self.folder}/server.log")
            time.sleep(0.05)
        return self

    @property
    def accounts(self):
        """The file in which the lab finds tokens of accounts, and keeps those it makes."""
        return self.folder / "accounts.json"

    def configuration(self):
        return RAISED_LIMITS | {
            "LIVEROOM__SERVER__PORT": str(PORT),
            "LIVEROOM__ADMIN__TOKEN": ADMIN_TOKEN,
            "LIVEROOM__AUTH__JWT_SECRET": JWT_SECRET,
            "LIVEROOM__STORE__URL": f"sqlite://{self.folder}/liveroom.db",
            "RUST_LOG": "warn",
        }

    def prepare_store(self, env):
        """Once; later runs go on with it."""
        store = self.folder / "liveroom.db"
        if not store.exists():
            migrate = [*map(str, _command("liveroom")), "migrate"]
            subprocess.run(migrate, cwd=self.folder, env=env, check=True, stdout=subprocess.DEVNULL)
            accounts.prepare(store, JWT_SECRET, ADDRESS, self.accounts)

    @property
    def pid(self):
        # taskset becomes the program it starts.
        return self.process.pid

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def _listens():
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", PORT)) == 0


def missing_tools():
    """Names of programs that the benchmark needs and that are not installed."""
    return [tool for tool in ("cargo", "git", "taskset", "node", "npm", "gcc", "g++") if shutil.which(tool) is None]
