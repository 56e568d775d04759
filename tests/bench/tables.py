"""The tables of BENCHMARKS.md, written between its markers from results.json.

    python3 tests/bench/tables.py [RESULTS.json [BENCHMARKS.md]]
"""

import math
import re
import sys
from pathlib import Path

from results import FLOOR, PATH, Results
from servers import ROOT, SERVERS

DOCUMENT = ROOT / "BENCHMARKS.md"
UNKNOWN = "–"

# The presence event of one join that a storm is measured against, in bytes.
JOIN_EVENT_BYTES = 150

# `fanout.window_ms`: how long a room of 1,000 gathers at most, which the load of this shape brings about.
WINDOW_MS = 50

# The lab names the first offenders; one is enough here, and results.json has the rest.
FAULT_CHARS_MAX = 120


def figure(value, digits=3):
    """Three significant digits, without an exponent; what is less than a millionth is nothing."""
    if value is None:
        return UNKNOWN
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    decimals = digits - 1 - math.floor(math.log10(abs(value))) if abs(value) >= 1e-6 else 0
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def table(headings, rows):
    """A Markdown table: the first column to the left, the others to the right."""
    if not rows:
        return "Not measured yet."
    lines = [headings, ["---"] + ["---:"] * (len(headings) - 1), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def servers_of(results, measured):
    """Those that have samples, in the order in which they are listed."""
    return [server for server in SERVERS.values() if results.of(server.name, measured)]


def spread(values):
    """The least and the most of several rounds."""
    return f"{figure(min(values))} to {figure(max(values))}" if len(values) > 1 else UNKNOWN


def deliveries(results, measured, latency):
    """What a delivery cost each server. Latency means something only where comments had their times."""
    rows = []
    for server in servers_of(results, measured):
        ratios = results.ratios(server.name, measured, "cpu_us")
        middle = lambda name: figure(results.median(server.name, measured, name))
        lost = results.median(server.name, measured, "lost")
        ratio = figure(results.ratio(server.name, measured, "cpu_us"))
        cells = [server.label, middle("cpu_us"), middle("user_us"), ratio]
        cells += [UNKNOWN if server.name == FLOOR else spread(ratios), middle("deliveries_per_s"), middle("bytes")]
        cells += [middle("p50_ms"), middle("p99_ms")] if latency else []
        rows.append([*cells, UNKNOWN if lost is None else f"{lost:.2%}" if lost else "none"])
    headings = ["server", "µs CPU per delivery", "own code", "× floor", "rounds", "deliveries/s", "bytes each"]
    headings += ["p50 ms", "p99 ms"] if latency else []
    return table([*headings, "lost"], rows)


def ladder(results):
    rows = []
    for server in servers_of(results, "ladder"):
        rates = results.values(server.name, "ladder", "rate")
        limit = any(it["values"].get("lab_was_the_limit") for it in results.of(server.name, "ladder"))
        rate = figure(results.median(server.name, "ladder", "rate"), 5)
        rate += " (the lab sends no faster)" if limit else ""
        p99 = figure(results.median(server.name, "ladder", "p99_ms"))
        rows.append([server.label, rate, spread(rates), p99])
    return table(["server", "comments/s", "rounds", "p99 ms there"], rows)


def joins(results):
    rows = []
    for server in servers_of(results, "joins"):
        costs = results.values(server.name, "joins", "cpu_us")
        ratio = results.ratio(server.name, "joins", "cpu_us")
        cost = figure(results.median(server.name, "joins", "cpu_us"))
        rows.append([server.label, cost, spread(costs), figure(ratio)])
    return table(["server", "µs CPU per connect + join", "rounds", "× floor"], rows)


def storm(results):
    rows = []
    for server in servers_of(results, "storm"):
        middle = lambda name: results.median(server.name, "storm", name)
        announced = middle("joins") * JOIN_EVENT_BYTES
        cells = [server.label, figure(middle("joins"), 5), figure(middle("bytes_per_member") / 1024)]
        rows.append([*cells, figure(middle("bytes_per_member") / announced), figure(middle("cpu_us"))])
    return table(["server", "joins", "KiB per member", "× one event per join", "µs CPU per join"], rows)


def idle(results):
    rows = []
    for server in servers_of(results, "idle"):
        middle = lambda name: figure(results.median(server.name, "idle", name), 5)
        rows.append([server.label, middle("members"), figure(results.median(server.name, "idle", "kib"))])
    return table(["server", "connections", "KiB each"], rows)


def targets(results):
    """What was wanted, what was measured, and whether that is enough."""
    if not results.samples:
        return "Not measured yet."
    rows = []

    def want(what, bound, measured, at_least=False):
        if measured is None:
            verdict = "not measured"
        else:
            verdict = "yes" if (measured >= bound if at_least else measured <= bound) else "**no**"
        rows.append([what, ("≥ " if at_least else "≤ ") + figure(bound), figure(measured), verdict])

    def over(a, b):
        return a / b if a is not None and b else None

    ratio = lambda measured, name="cpu_us": results.ratio("liveroom", measured, name)
    middle = lambda server, measured, name="cpu_us": results.median(server, measured, name)
    want("one comment at a time, 1,000 members: CPU × floor", 1.3, ratio("one"))
    want("saturated, 1,000 members: CPU × floor of one comment per send", 0.08, ratio("saturated"))
    want("saturated, 1,000 members: µs in own code", 0.06, middle("liveroom", "saturated", "user_us"))
    for peer in ("uws", "socketioxide"):
        measured = over(middle("liveroom", "ladder", "rate"), middle(peer, "ladder", "rate"))
        want(f"most comments/s × {SERVERS[peer].label}", 2, measured, at_least=True)
    late = middle("liveroom", "paced", "p99_ms")
    beyond_window = late and max(late - WINDOW_MS, 0)
    measured = over(beyond_window, middle("floor", "paced", "p99_ms"))
    want(f"paced 50/s, 1,000 members: p99 beyond the window of {WINDOW_MS} ms × floor's p99", 1.3, measured)
    want("paced 50/s, 1,000 members: CPU × floor", 1, ratio("paced"))
    want("100 rooms of 10: CPU × floor", 1.3, ratio("rooms"))
    for measured, at in (("one", "one at a time"), ("saturated", "saturated")):
        grown = over(middle("liveroom", f"big_{measured}"), middle("liveroom", measured))
        want(f"10,000 members, {at}: CPU × that of 1,000", 1.3, grown)
    want("connect + join, token checked: µs CPU", 40, middle("liveroom", "joins"))
    joined = middle("liveroom", "storm", "joins")
    bytes_each = middle("liveroom", "storm", "bytes_per_member")
    want("storm of joins: bytes × one event per join", 0.1, over(bytes_each, joined and joined * JOIN_EVENT_BYTES))
    for name in ("liveroom", "liveroom_v4"):
        want(f"idle connection: KiB, {SERVERS[name].label}", 6, middle(name, "idle", "kib"))
    return table(["target", "wanted", "measured", "kept"], rows)


def made(results):
    """Where and when, of what, and by which commands."""
    lines = []
    for name, facts in sorted(results.sessions.items()):
        if not any(sample["session"] == name for sample in results.samples):
            continue
        versions = ", ".join(f"{program} {version}" for program, version in facts["versions"].items())
        lines.append(f"- {facts['date']}, {facts['machine']}; {versions}; `{facts['command']}`")
    absent = [f"- Not measured: {SERVERS[name].label}: {why}" for name, why in sorted(results.absent.items())]
    return "\n".join(lines + absent) or "Nothing has been measured yet."


def faults(results):
    """What the lab found wrong with any server while it was measured."""
    lines = []
    for server in SERVERS.values():
        measured = sorted({it["figure"] for it in results.samples if it["server"] == server.name})
        for name in measured:
            for text in results.failures(server.name, name):
                shown = text if len(text) <= FAULT_CHARS_MAX else text[:FAULT_CHARS_MAX] + "…"
                lines.append(f"- {server.label}, {name}: {shown}")
    return "\n".join(lines) or "Nothing."


SECTIONS = {
    "targets": targets,
    "one": lambda results: deliveries(results, "one", latency=False),
    "saturated": lambda results: deliveries(results, "saturated", latency=False),
    "ladder": ladder,
    "paced": lambda results: deliveries(results, "paced", latency=True),
    "rooms": lambda results: deliveries(results, "rooms", latency=True),
    "big_one": lambda results: deliveries(results, "big_one", latency=False),
    "big_saturated": lambda results: deliveries(results, "big_saturated", latency=False),
    "joins": joins,
    "storm": storm,
    "idle": idle,
    "made": made,
    "faults": faults,
}


def fill(document, results):
    """The document with every section's table in place of what stood between its markers."""
    for name, section in SECTIONS.items():
        start, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
        pattern = re.compile(re.escape(start) + ".*?" + re.escape(end), re.DOTALL)
        if not pattern.search(document):
            raise ValueError(f"the document has no section {start} … {end}")
        filled = f"{start}\n{section(results)}\n{end}"
        document = pattern.sub(lambda _: filled, document)
    return document


def write(results, path=DOCUMENT):
    path.write_text(fill(path.read_text(), results))


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    write(Results.load(*arguments[:1]), *arguments[1:2])
