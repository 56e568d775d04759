"""The shapes of load: which script, against which servers, how often, and the figures taken."""

from dataclasses import dataclass
from typing import Callable

import lab

# Comments a second, by which the ladder is climbed: each about 1.4 times the one before.
RUNGS = [50, 70, 100, 140, 200, 280, 400, 560, 800, 1_100, 1_600, 2_200, 3_200, 4_500, 6_400, 9_000, 12_800]
LADDER_P99_MS_MAX = 100

# What a rung is: the pace that was wanted must have been reached by that much, or the lab itself was
# too slow to send.
PACE_REACHED_MIN = 0.9


def _cpu_us(phase, count):
    """Microseconds of the server's CPU in a phase for each of what it did there."""
    if not count or phase["server_cpu_s"] is None:
        raise RuntimeError(f"phase {phase['name']}: nothing was done, or the server is gone")
    return phase["server_cpu_s"] * 1e6 / count


def _delivery(outcome, phase_name):
    """What deliveries of one phase cost."""
    phase = lab.phase(outcome, phase_name)
    deliveries, seconds = phase["deliveries"], phase["to_s"] - phase["from_s"]
    cpu_us = _cpu_us(phase, deliveries)
    return {
        "cpu_us": cpu_us,
        "user_us": cpu_us * phase["user_share"] if phase["user_share"] is not None else None,
        "deliveries_per_s": deliveries / seconds,
        "bytes": phase["bytes_received"] / deliveries,
        "p50_ms": phase["latency"]["p50"],
        "p99_ms": phase["latency"]["p99"],
    }


def _loss(outcome):
    totals = outcome["totals"]
    return {"lost": totals["lost_deliveries"] / max(totals["expected_deliveries"], 1)}


def burst(outcome):
    return {
        "one": _delivery(outcome, "one") | _loss(outcome),
        "saturated": _delivery(outcome, "many") | _loss(outcome),
    }


def big(outcome):
    members = outcome["totals"]["joins"]
    return {
        "big_one": _delivery(outcome, "one") | _loss(outcome) | {"members": members},
        "big_saturated": _delivery(outcome, "many") | _loss(outcome) | {"members": members},
    }


def paced(outcome):
    return {"paced": _delivery(outcome, "talk") | _loss(outcome)}


def rooms(outcome):
    return {"rooms": _delivery(outcome, "talk") | _loss(outcome)}


def joins(outcome):
    joined = lab.phase(outcome, "join")
    return {"joins": {"cpu_us": _cpu_us(joined, joined["joins"]), "joins": joined["joins"]}}


def storm(outcome):
    joined, members = lab.phase(outcome, "join"), outcome["totals"]["joins"]
    return {
        "storm": {
            "joins": members,
            "bytes_per_member": outcome["totals"]["bytes_received"] / max(members, 1),
            "cpu_us": _cpu_us(joined, joined["joins"]),
        }
    }


def idle(outcome):
    members = outcome["totals"]["joins"]
    start_bytes = outcome["server"]["rss_start_bytes"]
    seen = [it["server_rss_bytes"] for it in outcome["series"] if it["server_rss_bytes"] is not None]
    if not seen or not members:
        raise RuntimeError("nobody joined, or the server is gone")
    last = seen[-1]
    return {"idle": {"kib": (last - start_bytes) / members / 1024, "members": members}}


@dataclass(frozen=True)
class Shape:
    """One script, played in rounds to each of the servers."""

    name: str
    servers: list
    # From an outcome to the figures of one or more tables.
    figures: Callable
    # At most so many rounds: what takes long and varies little is played less often.
    rounds_max: int = 100
    # Part of a quick run.
    quick: bool = True
    # Whether the script's rate is searched for and not given.
    climbs: bool = False


MAIN = ["floor", "liveroom", "uws", "socketioxide", "socketio"]
SHAPES = {
    shape.name: shape
    for shape in [
        Shape("burst", [*MAIN, "floor50", "liveroom_v4"], burst),
        Shape("paced", MAIN, paced),
        Shape("rooms", MAIN, rooms),
        Shape("ladder", ["liveroom", "uws", "socketioxide", "socketio"], None, rounds_max=3, climbs=True),
        Shape("big", ["floor", "floor50", "liveroom", "uws", "socketioxide"], big, rounds_max=2, quick=False),
        Shape("joins", [*MAIN, "liveroom_v4"], joins, rounds_max=2),
        Shape("storm", ["liveroom", "liveroom_v4"], storm, rounds_max=1, quick=False),
        Shape(
            "idle",
            [
                *["floor", "uws", "liveroom", "liveroom_v4", "liveroom_v3", "liveroom_polling"],
                *["socketioxide", "socketioxide_polling", "socketio", "socketio_polling"],
            ],
            idle,
            rounds_max=1,
            quick=False,
        ),
    ]
}


def holds(outcome, rate):
    """Whether a server holds a rung: everything arrived, in time, and was really sent at that pace."""
    talk = lab.phase(outcome, "talk")
    sent_per_s = talk["comments_sent"] / (talk["to_s"] - talk["from_s"])
    in_time = talk["latency"]["count"] > 0 and talk["latency"]["p99"] <= LADDER_P99_MS_MAX
    return outcome["totals"]["lost_deliveries"] == 0 and in_time and sent_per_s >= rate * PACE_REACHED_MIN


def climb(play, start=None):
    """Finds the highest rung that is held, when `play(rate)` gives a rung's outcome. Looks by halves,
    or, where an earlier round has found one, around that. Returns its figures."""
    outcomes = {}

    def held(rung):
        if rung < 0:
            return True
        if rung >= len(RUNGS):
            return False
        if rung not in outcomes:
            outcomes[rung] = play(RUNGS[rung])
        return holds(outcomes[rung], RUNGS[rung])

    low, high = -1, len(RUNGS)
    if start is not None:
        low, high = _around(held, RUNGS.index(start) if start in RUNGS else -1)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if held(middle) else (low, middle)
    if low < 0:
        return {"rate": 0, "p99_ms": None, "lab_busy": None}
    best = outcomes[low]
    talk = lab.phase(best, "talk")
    figures = {"rate": RUNGS[low], "p99_ms": talk["latency"]["p99"], "lab_busy": best["lab_busy"]}
    # If the next rung fails for want of a lab that sends so fast, the server may do more.
    if high in outcomes:
        next_talk = lab.phase(outcomes[high], "talk")
        sent_per_s = next_talk["comments_sent"] / (next_talk["to_s"] - next_talk["from_s"])
        figures["lab_was_the_limit"] = sent_per_s < RUNGS[high] * PACE_REACHED_MIN
    return figures


def _around(held, rung):
    """Bounds one rung apart, searched upwards or downwards from a rung."""
    if held(rung):
        while held(rung + 1):
            rung += 1
        return rung, rung + 1
    while not held(rung - 1):
        rung -= 1
    return rung - 1, rung
