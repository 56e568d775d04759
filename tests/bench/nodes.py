#!/usr/bin/env python3
"""Measures one, two and three nodes over one PostgreSQL and one Redis, behind a balancer.

    tests/bench/nodes.py                     all shapes, 3 rounds: about 8 minutes
    tests/bench/nodes.py --shapes paced --nodes 1,3 --rounds 1
    tests/bench/nodes.py --scripts tests/load/smoke.toml,tests/load/gift_rain.toml --nodes 3
                                             the lab's scripts, verified across nodes: what it found

In each round each cluster plays each shape from tests/bench/shapes in turn; before them, for
comparison, one node on the same PostgreSQL without Redis. Everything runs on this machine: the
lab on the last core, all the rest on the others, so more nodes are more work for the same cores
and not more cores. What counts is what each part costs, per delivery and per comment, and that
the lab finds every promise kept across nodes. Prints tables in Markdown.

Needs Linux, a release build, initdb and psql, redis-server, haproxy and taskset.
"""

import argparse
import hashlib
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import accounts
import lab
import servers
from watch import times

SHAPES = ["burst", "paced", "rooms"]
# The phase that is measured, by shape.
PHASES = {"burst": ["one", "many"], "paced": ["talk"], "rooms": ["talk"]}
FIRST_PORT = 7921
BALANCER_PORT = servers.PORT
POSTGRES_PORT = 7931
REDIS_PORT = 7932
# The streamer and one for each member of the largest room.
ACCOUNTS = 1_001


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--nodes", default="1,2,3")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scripts", help="play these to the largest cluster, and measure nothing")
    parser.add_argument("--json", type=Path, help="keep every sample in this file")
    return parser.parse_args()


class Part:
    """A process and its children, and the CPU time they have used."""

    def __init__(self, name, command, cores, **how):
        self.name = name
        self.process = subprocess.Popen(["taskset", "-c", cores, *map(str, command)], **how)

    def cpu_s(self):
        used = 0.0
        for pid in [self.process.pid, *_children(self.process.pid)]:
            try:
                used += sum(times(Path(f"/proc/{pid}/stat").read_text()))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return used

    def stop(self):
        self.process.send_signal(signal.SIGINT if self.name == "postgresql" else signal.SIGTERM)
        try:
            self.process.wait(servers.STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def _children(pid):
    try:
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except FileNotFoundError:
        return []


class Cluster:
    """So many nodes, 0 for one that knows of no others, until it is left."""

    def __init__(self, nodes, cores, folder, balance="leastconn"):
        # Who polls must come back to its node: `source` keeps an address at one.
        self.nodes, self.cores, self.folder, self.balance = nodes, cores, folder, balance
        self.parts = []

    def __enter__(self):
        try:
            self._begin()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _begin(self):
        log = open(self.folder / "log", "ab")
        self.how = {"cwd": self.folder, "stdout": log, "stderr": log}
        self._start_postgres()
        env = {**os.environ, **servers.RAISED_LIMITS}
        env |= {
            "LIVEROOM__SERVER__WORKERS": "1",
            "LIVEROOM__SERVER__ROOM_THREADS": "1",
            "LIVEROOM__SERVER__TRUSTED_PROXIES": "127.0.0.1",
            "LIVEROOM__ADMIN__TOKEN": servers.ADMIN_TOKEN,
            "LIVEROOM__AUTH__JWT_SECRET": servers.JWT_SECRET,
            "LIVEROOM__STORE__URL": f"postgres://postgres@127.0.0.1:{POSTGRES_PORT}/postgres",
            "RUST_LOG": "warn",
        }
        liveroom = servers.TARGET / "release/liveroom"
        subprocess.run([liveroom, "migrate"], env=env, check=True, **self.how)
        self._fill_accounts()
        if self.nodes > 0:
            redis = ["redis-server", "--port", REDIS_PORT, "--bind", "127.0.0.1", "--dir", self.folder]
            self._start("redis", [*redis, "--appendonly", "yes", "--save", ""], REDIS_PORT)
            env["LIVEROOM__CLUSTER__REDIS_URL"] = f"redis://127.0.0.1:{REDIS_PORT}"
        ports = [FIRST_PORT + index for index in range(max(1, self.nodes))]
        for port in ports:
            self._start("nodes", [liveroom, "serve"], port, env=env | {"LIVEROOM__SERVER__PORT": str(port)})
        self._start_balancer(ports)

    def _start(self, name, command, port, **how):
        self.parts.append(Part(name, command, self.cores, **(self.how | how)))
        give_up = time.monotonic() + servers.START_SECONDS_MAX
        while not _listens(port):
            if self.parts[-1].process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"{name} does not listen; see {self.folder}/log")
            time.sleep(0.05)

    def _start_postgres(self):
        data = self.folder / "postgres"
        programs = Path(shutil.which("initdb") or sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))[-1]).resolve()
        # PostgreSQL does not run as root.
        who = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
        data.mkdir()
        if who:
            shutil.chown(data, **{key: who[key] for key in ("user", "group")})
            os.chmod(self.folder, 0o755)
        initdb = [programs, "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8"]
        subprocess.run(initdb, check=True, **self.how, **who)
        server = [programs.parent / "postgres", "-D", data, "-p", POSTGRES_PORT, "-k", data]
        self._start("postgresql", [*server, "-c", "listen_addresses=127.0.0.1"], POSTGRES_PORT, **who)

    def _fill_accounts(self):
        now_s = int(time.time())
        users, tokens, kept = [], [], {}
        for number in range(1, ACCOUNTS + 1):
            name = f"lab-user-{number - 1:05}"
            claims = {"id": number, "username": name, "iat": now_s, "exp": now_s + accounts.TOKEN_LIFE_S}
            token = accounts.sign(claims, servers.JWT_SECRET)
            # A second old: older than what Redis has, which takes tokens from the database then.
            at_ms = now_s * 1000 - 1000
            users.append(f"({number}, '{name}', 'tokens only', {at_ms}, {at_ms})")
            tokens.append(f"({number}, '{hashlib.sha256(token.encode()).hexdigest()}', {at_ms})")
            kept[name] = {"id": number, "token": token}
        sql = "INSERT INTO users (id, username, password_hash, created_at, updated_at) VALUES " + ",".join(users)
        sql += ";SELECT setval(pg_get_serial_sequence('users', 'id'), " + str(ACCOUNTS) + ");"
        sql += "INSERT INTO session_tokens (user_id, digest, created_at) VALUES " + ",".join(tokens)
        psql = ["psql", "-q", "-h", "127.0.0.1", "-p", str(POSTGRES_PORT), "-U", "postgres", "-v", "ON_ERROR_STOP=1"]
        subprocess.run(psql, input=sql, text=True, check=True, **self.how)
        self.accounts = self.folder / "accounts.json"
        self.accounts.write_text(json.dumps({f"127.0.0.1:{BALANCER_PORT}": kept}))

    def _start_balancer(self, ports):
        # A connection takes two descriptors, and two more where it is accepted.
        connections_max = resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 500
        lines = ["global", f"  maxconn {min(30_000, connections_max)}", "defaults", "  mode tcp"]
        lines += ["  timeout connect 5s"]
        lines += ["  timeout client 90s", "  timeout server 90s", "listen liveroom"]
        lines += [f"  bind 127.0.0.1:{BALANCER_PORT}", f"  balance {self.balance}"]
        lines += [f"  server node{index} 127.0.0.1:{port}" for index, port in enumerate(ports)]
        config = self.folder / "haproxy.cfg"
        config.write_text("\n".join(lines) + "\n")
        self._start("balancer", ["haproxy", "-db", "-f", config], BALANCER_PORT)

    def cpu_s(self):
        used = {}
        for part in self.parts:
            used[part.name] = used.get(part.name, 0.0) + part.cpu_s()
        return used

    def __exit__(self, *_):
        for part in reversed(self.parts):
            part.stop()


def _listens(port):
    done = subprocess.run(["bash", "-c", f"exec 3<>/dev/tcp/127.0.0.1/{port}"], capture_output=True, check=False)
    return done.returncode == 0


def play(shape, cluster, core, folder):
    """One run: by phase what came of it, with the CPU time of each part."""
    script, outcome = folder / "script.toml", folder / "outcome.json"
    script.write_text((lab.SHAPES / f"{shape}.toml").read_text())
    outcome.unlink(missing_ok=True)
    command = ["taskset", "-c", core, servers.TARGET / "release/liveroom-lab", "run", script, "--quiet"]
    command += ["--url", f"http://127.0.0.1:{BALANCER_PORT}", "--admin-token", servers.ADMIN_TOKEN]
    command += ["--accounts", cluster.accounts, "--json", outcome]
    running = subprocess.Popen([*map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    looks = [(time.time(), cluster.cpu_s())]
    while running.poll() is None:
        time.sleep(0.1)
        looks.append((time.time(), cluster.cpu_s()))
    if not outcome.exists():
        raise RuntimeError(f"the lab could not play {shape}: {running.stderr.read().strip()}")
    found = json.loads(outcome.read_text())
    first = lab.datetime.fromisoformat(found["started_at"]).timestamp()
    samples = []
    for name in PHASES[shape]:
        phase = lab.phase(found, name)
        used = _used(looks, first + phase["from_s"], first + phase["to_s"])
        seconds = phase["to_s"] - phase["from_s"]
        samples.append(
            {
                "shape": shape,
                "phase": name,
                "nodes": cluster.nodes,
                "comments_per_s": phase["comments_sent"] / seconds,
                "deliveries_per_s": phase["deliveries_per_s"],
                "p50_ms": phase["latency"]["p50"],
                "p99_ms": phase["latency"]["p99"],
                "us_per_delivery": {part: 1e6 * cpu / max(1, phase["deliveries"]) for part, cpu in used.items()},
                "broken": [it["name"] for it in found["checks"] if not it["passed"]],
            }
        )
    return samples


def _used(looks, begin, end):
    before = max((look for look in looks if look[0] <= begin), default=looks[0], key=lambda look: look[0])
    after = min((look for look in looks if look[0] >= end), default=looks[-1], key=lambda look: look[0])
    return {part: after[1][part] - before[1].get(part, 0.0) for part in after[1]}


def table(samples):
    """A row for each shape, phase and number of nodes: medians of all rounds."""
    parts = ["nodes", "redis", "postgresql", "balancer"]
    head = ["shape", "nodes", "comments/s", "deliveries/s", "p50 ms", "p99 ms"]
    lines = ["| " + " | ".join(head + [f"{part} µs per delivery" for part in parts] + ["promises"]) + " |"]
    lines.append("| --- " * (len(head) + len(parts) + 1) + "|")
    keys = []
    for sample in samples:
        key = (sample["shape"], sample["phase"], sample["nodes"])
        if key not in keys:
            keys.append(key)
    for shape, phase, nodes in sorted(keys, key=lambda key: (SHAPES.index(key[0]), key[1] != "one", key[2])):
        mine = [it for it in samples if (it["shape"], it["phase"], it["nodes"]) == (shape, phase, nodes)]
        median = lambda of: statistics.median(of(it) for it in mine)
        broken = sorted({name for it in mine for name in it["broken"]})
        row = [f"{shape}, {phase}", "1, without Redis" if nodes == 0 else str(nodes)]
        row += [f"{median(lambda it: it[figure]):,.0f}" for figure in ("comments_per_s", "deliveries_per_s")]
        row += [f"{median(lambda it: it[figure]):.1f}" for figure in ("p50_ms", "p99_ms")]
        for part in parts:
            has = part in mine[0]["us_per_delivery"]
            row.append(f"{median(lambda it: it['us_per_delivery'][part]):.2f}" if has else "")
        row.append("broken: " + ", ".join(broken) if broken else "kept")
        lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def verify(scripts, nodes, cores):
    """Plays scripts as they are and says what the lab says of them. Returns whether all was kept."""
    kept = True
    for script in scripts:
        with tempfile.TemporaryDirectory(prefix="liveroom-nodes-") as folder:
            with Cluster(nodes, cores, Path(folder), "source") as cluster:
                command = [servers.TARGET / "release/liveroom-lab", "run", script, "--accounts", cluster.accounts]
                command += ["--url", f"http://127.0.0.1:{BALANCER_PORT}", "--admin-token", servers.ADMIN_TOKEN]
                done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        print(f"== {script}, {nodes} nodes: {'kept' if done.returncode == 0 else 'BROKEN'}\n{done.stdout}", flush=True)
        kept &= done.returncode == 0
    return kept


def main():
    args = arguments()
    lab.raise_open_files()
    cores = sorted(os.sched_getaffinity(0))
    lab_core = str(cores[-1])
    others = ",".join(map(str, cores[:-1])) if len(cores) > 1 else lab_core
    if args.scripts:
        most = max(map(int, args.nodes.split(",")))
        sys.exit(0 if verify(args.scripts.split(","), most, ",".join(map(str, cores))) else 1)
    samples = []
    for number in range(1, args.rounds + 1):
        for nodes in [0, *map(int, args.nodes.split(","))]:
            for shape in args.shapes.split(","):
                with tempfile.TemporaryDirectory(prefix="liveroom-nodes-") as folder:
                    with Cluster(nodes, others, Path(folder)) as cluster:
                        played = play(shape, cluster, lab_core, Path(folder))
                samples += played
                for it in played:
                    print(f"round {number}: {it}", file=sys.stderr, flush=True)
                if args.json:
                    args.json.write_text(json.dumps(samples, indent=1))
    print(f"{servers.machine()}; liveroom {servers.version('liveroom')}\n\n{table(samples)}")


if __name__ == "__main__":
    main()
