"""One run of the lab: a shape's script, made to fit a server, and what came of it."""

import json
import re
import resource
import subprocess
import time
from datetime import datetime
from pathlib import Path

import servers
from watch import Watch

SHAPES = Path(__file__).resolve().parent / "shapes"

# Longer than any script with its settling.
RUN_SECONDS_MAX = 180

# liveroom opens two descriptors for a WebSocket, and any server has some of its own.
DESCRIPTORS_PER_MEMBER = 2
DESCRIPTORS_SPARE = 500


def members_max():
    """How many members one server process may hold by its limit of open files."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard == resource.RLIM_INFINITY:
        return 1_000_000
    return (hard - DESCRIPTORS_SPARE) // DESCRIPTORS_PER_MEMBER // 50 * 50


def raise_open_files():
    """To the hard limit, for the lab and for servers that do not do so by themselves."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def fit(script, server, rate=None):
    """The text of a script for liveroom's plain clients, changed to fit another server."""

    def within(number):
        return min(int(number.replace("_", "")), members_max())

    script = re.sub(
        r"members = \{ plain = ([0-9_]+) \}\nusers = ([0-9_]+)",
        lambda match: f"members = {{ {server.kind} = {within(match[1])} }}\nusers = {within(match[2])}",
        script,
    )
    if rate is not None:
        script = re.sub(r"\brate = [0-9_]+", f"rate = {rate}", script)
    if server.templates is not None:
        # JSON strings without escapes beyond \" and \\ are TOML strings, too.
        lines = [f"{key} = {json.dumps(text)}" for key, text in server.templates.items()]
        script += "\n[target.templates]\n" + "\n".join(lines) + "\n"
    return script


def drive(shape, running, core, folder, rate=None):
    """Plays a shape's script against a running server, from a core of its own. Returns the outcome
    as the lab wrote it, and with it how busy the lab's core was and, by phase, how much of the
    server's CPU time was spent in its own code."""
    script_path, json_path = folder / "script.toml", folder / "outcome.json"
    script_path.write_text(fit((SHAPES / f"{shape}.toml").read_text(), running.server, rate))
    json_path.unlink(missing_ok=True)
    command = ["taskset", "-c", str(core), str(servers.TARGET / "release/liveroom-lab"), "run", str(script_path)]
    command += ["--url", f"http://127.0.0.1:{servers.PORT}", "--admin-token", servers.ADMIN_TOKEN]
    command += ["--accounts", str(running.accounts), "--pid", str(running.pid), "--json", str(json_path), "--quiet"]
    started, used_before = time.monotonic(), _children_cpu_s()
    with Watch(running.pid) as watch:
        done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False)
    if not json_path.exists():
        raise RuntimeError(f"the lab could not play {shape} to {running.server.name}: {done.stderr.strip()}")
    outcome = json.loads(json_path.read_text())
    outcome["lab_busy"] = (_children_cpu_s() - used_before) / (time.monotonic() - started)
    first = datetime.fromisoformat(outcome["started_at"]).timestamp()
    for it in outcome["phases"]:
        it["user_share"] = watch.user_share(first + it["from_s"], first + it["to_s"])
    return outcome


def _children_cpu_s():
    """Of children that have ended; the server under test has not."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def failed(outcome):
    """What the lab found wrong, in its words."""
    verdicts = outcome["checks"] + outcome["objectives"]
    return [f"{it['name']}: {it['detail']}" for it in verdicts if not it["passed"]]


def phase(outcome, name):
    return next(it for it in outcome["phases"] if it["name"] == name)
