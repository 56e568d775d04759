#!/usr/bin/env python3
"""Measures liveroom beside other servers and beside the floor, and writes the tables of BENCHMARKS.md.

    tests/bench/run.py                                   everything, in 5 rounds: about 25 minutes
    tests/bench/run.py --quick                           one round of what is short: about 6 minutes
    tests/bench/run.py --shapes burst --servers liveroom,uws --rounds 3

It builds what it measures, in release. In each round each server has its turn, alone, on the first
core; the lab drives it from the second. Samples are kept in tests/bench/results.json as they come, so
a run that is stopped is not lost. Needs Linux, cargo, git, taskset, Node with npm, gcc and g++.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from datetime import datetime, timezone

import lab
import servers
import tables
from results import FLOOR, Results
from servers import SERVERS, Running
from shapes import SHAPES, climb


def arguments(words=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = lambda known: lambda text: _known(text, known)
    parser.add_argument("--shapes", type=names(SHAPES), metavar="A,B", help=f"of {', '.join(SHAPES)}")
    parser.add_argument("--servers", type=names(SERVERS), metavar="A,B", help=f"of {', '.join(SERVERS)}")
    parser.add_argument("--rounds", type=int, default=5, help="default 5; long shapes are played less often")
    parser.add_argument("--quick", action="store_true", help="one round, without the long shapes")
    parser.add_argument("--no-build", action="store_true", help="measure what was built before")
    parser.add_argument("--dry", action="store_true", help="measure, and write no file of the repository")
    return parser.parse_args(words)


def _known(text, known):
    chosen = text.split(",")
    for name in chosen:
        if name not in known:
            raise argparse.ArgumentTypeError(f"{name}: expected one or more of {', '.join(known)}")
    return chosen


def plan(args):
    """What to play: round, shape and servers, the floor first."""
    shapes = [SHAPES[name] for name in args.shapes or SHAPES]
    if args.quick and not args.shapes:
        shapes = [shape for shape in shapes if shape.quick]
    rounds = 1 if args.quick else args.rounds
    for number in range(1, rounds + 1):
        for shape in shapes:
            if number > shape.rounds_max:
                continue
            # Figures are ratios to the floor of the same round, so it is in whoever else is.
            chosen = [name for name in shape.servers if args.servers is None or name in args.servers]
            if chosen:
                yield number, shape, [name for name in shape.servers if name in chosen or name == FLOOR]


def build(programs, absent):
    """Builds all that is wanted; what cannot be built is noted and left out."""
    for program in programs:
        try:
            servers.build(program)
        except (OSError, subprocess.CalledProcessError) as fault:
            if program == "liveroom":
                raise
            print(f"! {program} cannot be built: {fault}", flush=True)
            absent[program] = "it could not be built here"


def measure(shape, server, cores, folder, best_rung):
    """Plays one shape to one server. Yields figures' names, their values, and what the lab found wrong."""

    def play(rate=None):
        with Running(server, cores[0], folder) as running:
            return lab.drive(shape.name, running, cores[1], folder, rate)

    if shape.climbs:
        key = (shape.name, server.name)
        figures = climb(play, best_rung.get(key))
        best_rung[key] = figures["rate"]
        yield shape.name, figures, []
        return
    outcome = play()
    for name, values in shape.figures(outcome).items():
        yield name, values | {"lab_busy": outcome["lab_busy"]}, lab.failed(outcome)


def main():
    args = arguments()
    missing = servers.missing_tools()
    if missing:
        sys.exit(f"missing: {', '.join(missing)}")
    lab.raise_open_files()
    allowed = sorted(os.sched_getaffinity(0))
    # With a single core server and lab share it, and their figures suffer alike.
    cores = (allowed[0], allowed[min(1, len(allowed) - 1)])

    turns = list(plan(args))
    programs = sorted({SERVERS[name].program for _, _, wanted in turns for name in wanted} | {"liveroom"})
    results, absent = Results.load(), {}
    if not args.no_build:
        build(programs, absent)
    folder = servers.TARGET / "bench-run"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    started = datetime.now(timezone.utc)
    session = started.strftime("%Y%m%dT%H%M%SZ")
    results.sessions[session] = {
        "date": started.strftime("%Y-%m-%d"),
        "machine": servers.machine(),
        "versions": {it: servers.version(it) for it in programs if it not in absent},
        "command": shlex.join(["tests/bench/run.py", *sys.argv[1:]]),
    }
    # The runner stays off the server's core; what it starts is pinned for itself.
    os.sched_setaffinity(0, {cores[1]})
    missed, best_rung = 0, {}
    for number, shape, wanted in turns:
        for server in (SERVERS[name] for name in wanted):
            if server.program in absent:
                results.absent[server.name] = absent[server.program]
                continue
            results.absent.pop(server.name, None)
            try:
                take(results, session, number, measure(shape, server, cores, folder, best_rung), server)
            except (RuntimeError, subprocess.TimeoutExpired) as fault:
                # One server that fails one shape does not end the measurement of the others.
                print(f"! round {number}, {shape.name}, {server.name}: {fault}", flush=True)
                missed += 1
            if not args.dry:
                results.save()
    if not args.dry:
        tables.write(results)
    if missed:
        sys.exit(f"{missed} turns came to nothing, see above")


def take(results, session, number, measured, server):
    """Notes and shows the figures of one turn."""
    begun = time.monotonic()
    for figure, values, failed in measured:
        results.add(session, number, server.name, figure, values, failed)
        shown = ", ".join(f"{name} {tables.figure(value, 4)}" for name, value in values.items())
        print(f"round {number}, {figure}, {server.name} ({time.monotonic() - begun:.0f} s): {shown}", flush=True)
        for text in failed:
            print(f"  ! {text}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("stopped; what was measured is kept")
