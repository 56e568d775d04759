#!/usr/bin/env python3
"""Measures what the operators' overview costs a node with very many rooms, and what its consoles cost.

    tests/bench/consoles.py                  10,000 rooms and 100 consoles: about 2 minutes
    tests/bench/consoles.py --rooms 1000 --program target/debug/liveroom

It opens the rooms with one member each, asks for the overview again and again, and then compares the
processor time of the server over some seconds without a console, with one and with many that look at
the same page. The server runs on the first core, the clients on the last. Needs Linux and taskset, and
a release build unless --program names another.
"""

import argparse
import base64
import json
import os
import selectors
import socket
import sqlite3
import statistics
import struct
import tempfile
import threading
import time
import urllib.request
from pathlib import Path

import lab
import servers
from servers import SERVERS, Running

# Rooms that one session may be in.
ROOMS_OF_SESSION = 8
SECONDS = 10
QUERIES = ("sort=members&limit=100", "sort=comments_in_per_s&limit=100&page=50", "search=room+77&limit=100")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rooms", type=int, default=10_000)
    parser.add_argument("--consoles", type=int, default=100)
    parser.add_argument("--program", type=Path, help="the server to measure; default: the release build")
    return parser.parse_args()


def make_lives(store, count):
    """Lives on air, all of the lab's streamer; returns their ids."""
    connection = sqlite3.connect(store)
    with connection:
        (streamer,) = connection.execute("SELECT id FROM users WHERE username = 'lab-user-00000'").fetchone()
        ids = []
        for number in range(count):
            added = connection.execute(
                "INSERT INTO lives (user_id, title, cover, key, status, coin, look_count, created_at, updated_at)"
                " VALUES (?, ?, '/c.png', ?, 1, 0, 0, 1, 1)",
                (streamer, f"room {number}", f"{number:020}"),
            )
            ids.append(added.lastrowid)
    connection.close()
    return ids


class WebSocket:
    """As much of a client as is needed: text frames out, and bytes in that nobody reads."""

    def __init__(self, path, headers=""):
        self.socket = socket.create_connection(("127.0.0.1", servers.PORT))
        key = base64.b64encode(os.urandom(16)).decode()
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nhost: {servers.ADDRESS}\r\nconnection: upgrade\r\nupgrade: websocket\r\n"
            f"sec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n{headers}\r\n".encode()
        )
        answer = self.socket.recv(4_096)
        if b" 101 " not in answer.split(b"\r\n")[0]:
            raise RuntimeError(f"{path}: {answer[:200]}")

    def send(self, message):
        text = json.dumps(message).encode()
        length = struct.pack("!BB", 0x81, 0x80 | len(text)) if len(text) < 126 else struct.pack("!BBH", 0x81, 0xFE, len(text))
        self.socket.sendall(length + b"\0\0\0\0" + text)


class Drain(threading.Thread):
    """Reads and throws away what comes, and counts it by kind of client."""

    def __init__(self):
        super().__init__(daemon=True)
        self.selector, self.bytes = selectors.DefaultSelector(), {"member": 0, "console": 0}

    def add(self, client, kind):
        client.socket.setblocking(False)
        self.selector.register(client.socket, selectors.EVENT_READ, kind)

    def run(self):
        while True:
            for key, _ in self.selector.select(0.2):
                try:
                    self.bytes[key.data] += len(key.fileobj.recv(1 << 18))
                except BlockingIOError:
                    pass


def overview(query):
    request = urllib.request.Request(
        f"http://{servers.ADDRESS}/admin/overview?{query}", headers={"authorization": f"Bearer {servers.ADMIN_TOKEN}"}
    )
    began = time.monotonic()
    with urllib.request.urlopen(request, timeout=60) as answer:
        body = answer.read()
    return (time.monotonic() - began) * 1_000, len(body), json.loads(body)["data"]


def cpu_s(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_mib(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def share(pid):
    """Processor time of the server in per cent of one core, over some seconds."""
    before, began = cpu_s(pid), time.monotonic()
    time.sleep(SECONDS)
    return (cpu_s(pid) - before) * 100 / (time.monotonic() - began)


def open_rooms(lives, tokens, drain):
    for number, start in enumerate(range(0, len(lives), ROOMS_OF_SESSION)):
        member = WebSocket(f"/ws?token={tokens[number]}")
        for live in lives[start : start + ROOMS_OF_SESSION]:
            member.send({"event": "joinLive", "data": {"live_id": live}})
        drain.add(member, "member")
        # The registry loads so many at once, and answers `busy` beyond.
        if number % 16 == 15:
            time.sleep(0.2)


def wait_for_rooms(count):
    give_up = time.monotonic() + 300
    while time.monotonic() < give_up:
        members = overview("limit=1")[2]["totals"]["members"]
        if members >= count:
            return members
        time.sleep(1)
    raise RuntimeError(f"of {count} rooms only {members} have their member")


def main():
    args = arguments()
    if args.program:
        program = args.program.resolve()
        servers._command = lambda name: [program]
    lab.raise_open_files()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        with Running(SERVERS["liveroom"], 0, folder):
            pass
        lives = make_lives(folder / "liveroom.db", args.rooms)
        (known,) = json.loads((folder / "accounts.json").read_text()).values()
        tokens = [account["token"] for account in known.values()]
        os.environ["LIVEROOM__LIMITS__CONSOLES"] = "1000"
        os.sched_setaffinity(0, {os.cpu_count() - 1})
        with Running(SERVERS["liveroom"], 0, folder) as running:
            drain = Drain()
            drain.start()
            open_rooms(lives, tokens, drain)
            print(f"rooms: {wait_for_rooms(args.rooms)}", flush=True)
            measure(args, running.pid, drain)


def measure(args, pid, drain):
    before = memory_mib(pid)
    print("\n| overview | median ms | most ms | KiB |\n| --- | ---: | ---: | ---: |")
    for query in QUERIES:
        asked = [overview(query) for _ in range(20)]
        times = [took for took, _, _ in asked]
        print(f"| `{query}` | {statistics.median(times):.1f} | {max(times):.1f} | {asked[0][1] / 1024:.1f} |", flush=True)
    print(f"\nmemory: {before:.1f} MiB before the first overview, {memory_mib(pid):.1f} MiB after the last")
    print("\n| consoles | % of a core | KiB/s to consoles |\n| ---: | ---: | ---: |")
    consoles, headers = [], f"authorization: Bearer {servers.ADMIN_TOKEN}\r\n"
    for count in (0, 1, args.consoles):
        while len(consoles) < count:
            console = WebSocket("/admin/feed", headers)
            console.send({"view": "overview", "limit": 50})
            drain.add(console, "console")
            consoles.append(console)
        time.sleep(3)
        sent = drain.bytes["console"]
        used = share(pid)
        print(f"| {count} | {used:.1f} | {(drain.bytes['console'] - sent) / 1024 / SECONDS:.1f} |", flush=True)
    print(f"\nmemory with {args.consoles} consoles: {memory_mib(pid):.1f} MiB")


if __name__ == "__main__":
    main()
