#!/usr/bin/env python3
"""Measures what moderation costs a room, end to end, on one node over SQLite.

    tests/bench/moderated.py                 3 rounds: about 3 minutes
    tests/bench/moderated.py --rounds 1 --json samples.json

In each round the shape `moderated` is played three times: to a server with nothing to look up, to one
with 1,000 sanctions in the room and 10,000 terms, and to one whose terms are replaced by 20,000 others
every few seconds while the room talks. What counts are ratios within a round: CPU per comment and p99
of the second beside the first, and in the third the seconds in which terms were read, compiled and
swapped in beside the others. The server runs on the first core, the lab on the last.

Needs Linux, a release build and taskset.
"""

import argparse
import json
import random
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from datetime import datetime
from os import cpu_count
from pathlib import Path

import lab
import servers
from servers import SERVERS, Running

SANCTIONS = 1_000
TERMS = 10_000
TERMS_MAX = 20_000
# Between two replacements of the terms.
REPLACE_EVERY_S = 3
MEMBERS = 200


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, help="keep every sample in this file")
    return parser.parse_args()


def terms(count, seed):
    """A list of made-up terms: words of two to five Chinese characters and of four to nine letters."""
    chosen, made = random.Random(seed), set()
    while len(made) < count:
        if chosen.random() < 0.7:
            made.add("".join(chr(chosen.randrange(0x4E00, 0x4E00 + 3_000)) for _ in range(chosen.randint(2, 5))))
        else:
            made.add("".join(chosen.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(chosen.randint(4, 9))))
    return "".join(f"{text}\tobserve\n" for text in sorted(made))


def import_terms(lines):
    request = urllib.request.Request(
        f"http://{servers.ADDRESS}/admin/filter/import",
        data=lines.encode(),
        headers={"authorization": f"Bearer {servers.ADMIN_TOKEN}", "content-type": "text/plain"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def set_sanctions(store, count):
    """Mutes of users who are elsewhere, by the streamer of the lab's lives."""
    connection = sqlite3.connect(store)
    with connection:
        (streamer,) = connection.execute("SELECT id FROM users WHERE username = 'lab-user-00000'").fetchone()
        connection.execute("DELETE FROM moderation_versions WHERE streamer_id = ?", (streamer,))
        connection.execute("DELETE FROM sanctions WHERE streamer_id = ?", (streamer,))
        for number in range(count):
            connection.execute(
                "INSERT INTO sanctions (scope, streamer_id, user_id, kind, gifts, purge, actor_kind, actor_id,"
                " created_at) VALUES ('streamer', ?, ?, 'mute', 1, 'none', 'user', ?, 1)",
                (streamer, streamer + MEMBERS + 1 + number, streamer),
            )
        connection.execute("INSERT INTO moderation_versions (streamer_id, version) VALUES (?, ?)", (streamer, count))
    connection.close()


class Replacing(threading.Thread):
    """Replaces the terms again and again until it is stopped."""

    def __init__(self, lists):
        super().__init__(daemon=True)
        self.lists, self.spans, self.is_over = lists, [], threading.Event()

    def run(self):
        for number in range(1_000):
            if self.is_over.wait(REPLACE_EVERY_S):
                return
            began = time.time()
            import_terms(self.lists[number % len(self.lists)])
            self.spans.append((began, time.time()))

    def stop(self):
        self.is_over.set()
        self.join()
        return self.spans


def play(kind, core, lab_core, folder, lists):
    """One run, and its figures."""
    server = SERVERS["liveroom"]
    store = folder / "liveroom.db"
    if not store.exists():
        with Running(server, core, folder):
            pass
    set_sanctions(store, SANCTIONS if kind == "moderated" else 0)
    with Running(server, core, folder) as running:
        import_terms({"plain": "", "moderated": lists[0], "replaced": lists[1]}[kind])
        replacing = Replacing(lists[1:]) if kind == "replaced" else None
        if replacing:
            replacing.start()
        outcome = lab.drive("moderated", running, lab_core, folder)
        spans = replacing.stop() if replacing else []
        # The next begins with what this one began with.
        import_terms("")
    for words in lab.failed(outcome):
        print(f"! {kind}: {words}", flush=True)
    talk = lab.phase(outcome, "talk")
    return {
        "cpu_us_per_comment": talk["server_cpu_s"] * 1e6 / talk["comments_sent"],
        "p50_ms": talk["latency"]["p50"],
        "p99_ms": talk["latency"]["p99"],
        "max_ms": talk["latency"]["max"],
    } | seconds(outcome, talk, spans)


def seconds(outcome, talk, spans):
    """The p99 of the seconds in which terms were replaced, and of the others."""
    if not spans:
        return {}
    started = datetime.fromisoformat(outcome["started_at"]).timestamp()
    during, beside = [], []
    before_s = talk["from_s"]
    for point in outcome["series"]:
        from_s, to_s = started + before_s, started + point["at_s"]
        before_s = point["at_s"]
        if not talk["from_s"] + 1 < point["at_s"] <= talk["to_s"] or point["p99_ms"] == 0:
            continue
        is_during = any(began < to_s and from_s < ended for began, ended in spans)
        (during if is_during else beside).append(point["p99_ms"])
    took = [ended - began for began, ended in spans]
    if not during or not beside:
        raise RuntimeError("the terms were replaced in no second, or in all")
    return {
        "p99_during_ms": statistics.median(during),
        "p99_beside_ms": statistics.median(beside),
        "worst_during_ms": max(during),
        "worst_beside_ms": max(beside),
        "import_s": statistics.median(took),
        "imports": len(spans),
    }


def main():
    args = arguments()
    cores = cpu_count()
    if not cores or cores < 2:
        sys.exit("two cores are needed: one for the server, one for the lab")
    lists = [terms(TERMS, 1), terms(TERMS_MAX, 2), terms(TERMS_MAX, 3)]
    lab.raise_open_files()
    samples = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(args.rounds):
            for kind in ("plain", "moderated", "replaced"):
                figures = play(kind, 0, cores - 1, Path(folder), lists)
                print(f"round {number + 1}, {kind}: {figures}", flush=True)
                samples.append({"round": number, "kind": kind} | figures)
    if args.json:
        args.json.write_text(json.dumps(samples, indent=1))
    table(samples)


def table(samples):
    of = {kind: [it for it in samples if it["kind"] == kind] for kind in ("plain", "moderated", "replaced")}

    def ratios(key):
        found = [b[key] / a[key] for a, b in zip(of["plain"], of["moderated"])]
        return f"{statistics.median(found):.2f} | {min(found):.2f} to {max(found):.2f}"

    def median(kind, key):
        return f"{statistics.median(it[key] for it in of[kind]):.1f}"

    print(f"\n| | nothing to look up | {SANCTIONS:,} sanctions and {TERMS:,} terms | × | rounds |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for key, name in (("cpu_us_per_comment", "CPU µs per comment"), ("p50_ms", "p50 ms"), ("p99_ms", "p99 ms")):
        print(f"| {name} | {median('plain', key)} | {median('moderated', key)} | {ratios(key)} |")
    print(f"\n| {TERMS_MAX:,} terms replaced while the room talks | seconds with a replacement | the others |")
    print("| --- | ---: | ---: |")
    for during, beside, name in (
        ("p99_during_ms", "p99_beside_ms", "p99 ms, median second"),
        ("worst_during_ms", "worst_beside_ms", "p99 ms, worst second"),
    ):
        print(f"| {name} | {median('replaced', during)} | {median('replaced', beside)} |")
    print(f"\none replacement took {median('replaced', 'import_s')} s")


if __name__ == "__main__":
    main()
