"""Tests of the benchmark's own arithmetic and texts; nothing is measured here.

    python3 -m unittest discover -s tests/bench
"""

import json
import os
import tempfile
import tomllib
import unittest
from pathlib import Path

import accounts
import lab
import run
import shapes
import tables
import watch
from results import Results
from servers import SERVERS


def sample(server, figure, values, session="s1", round_number=1, failed=()):
    return {
        "session": session,
        "round": round_number,
        "server": server,
        "figure": figure,
        "values": values,
        "failed": list(failed),
    }


def results_of(*samples):
    facts = {"date": "2026-01-31", "machine": "a machine", "versions": {"liveroom": "abc1234"}, "command": "run.py"}
    sessions = {name: facts for name in {it["session"] for it in samples}}
    return Results(json.dumps({"sessions": sessions, "absent": {}, "samples": samples}))


def talk(rate, p99_ms=5, lost=0, sent_per_s=None):
    """The outcome of one rung."""
    latency = {"count": 100, "p99": p99_ms}
    sent = (sent_per_s or rate) * 4
    phase = {"name": "talk", "from_s": 2.0, "to_s": 6.0, "comments_sent": sent, "latency": latency}
    return {"phases": [phase], "totals": {"lost_deliveries": lost}, "lab_busy": 0.5}


class ResultsTest(unittest.TestCase):
    def test_ratios_are_of_one_round_and_their_median_counts(self):
        results = results_of(
            *(sample("floor", "one", {"cpu_us": cost}, round_number=n) for n, cost in enumerate([1.0, 2.0, 4.0])),
            *(sample("uws", "one", {"cpu_us": cost}, round_number=n) for n, cost in enumerate([1.2, 2.2, 8.0])),
        )
        self.assertEqual(results.ratios("uws", "one", "cpu_us"), [1.2, 1.1, 2.0])
        self.assertEqual(results.ratio("uws", "one", "cpu_us"), 1.2)

    def test_a_round_without_a_floor_has_no_ratio(self):
        results = results_of(sample("uws", "one", {"cpu_us": 1.2}))
        self.assertIsNone(results.ratio("uws", "one", "cpu_us"))

    def test_a_later_session_replaces_what_it_measures_and_nothing_else(self):
        results = results_of(
            sample("floor", "one", {"cpu_us": 1.0}),
            sample("uws", "one", {"cpu_us": 1.5}),
            sample("liveroom", "one", {"cpu_us": 3.0}),
        )
        results.add("s2", 1, "floor", "one", {"cpu_us": 10.0}, [])
        results.add("s2", 1, "liveroom", "one", {"cpu_us": 12.0}, [])
        self.assertEqual(results.ratio("liveroom", "one", "cpu_us"), 1.2)
        self.assertEqual(results.ratio("uws", "one", "cpu_us"), 1.5)

    def test_a_floor_that_nobody_leans_on_is_dropped(self):
        results = results_of(sample("floor", "one", {"cpu_us": 1.0}))
        results.add("s2", 1, "floor", "one", {"cpu_us": 2.0}, [])
        self.assertEqual([it["session"] for it in results.samples], ["s2"])

    def test_what_is_saved_is_read_again(self):
        results = results_of(sample("floor", "one", {"cpu_us": 1.25}, failed=["a: b"]))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "results.json"
            results.save(path)
            again = Results.load(path)
        self.assertEqual((again.samples, again.sessions), (results.samples, results.sessions))


class ScriptsTest(unittest.TestCase):
    def test_scripts_fit_every_server_of_their_shape(self):
        for shape in shapes.SHAPES.values():
            text = (lab.SHAPES / f"{shape.name}.toml").read_text()
            for server in (SERVERS[name] for name in shape.servers):
                with self.subTest(shape=shape.name, server=server.name):
                    script = tomllib.loads(lab.fit(text, server))
                    self.assertEqual(list(script["room"][0]["members"]), [server.kind])
                    self.assertEqual(script.get("target", {}).get("templates"), server.templates)

    def test_a_rate_takes_the_place_of_the_scripts(self):
        text = (lab.SHAPES / "ladder.toml").read_text()
        script = tomllib.loads(lab.fit(text, SERVERS["liveroom"], rate=6_400))
        self.assertEqual(script["room"][0]["comments"]["rate"], 6_400)


class WatchTest(unittest.TestCase):
    def test_a_name_with_blanks_and_brackets_does_not_shift_the_fields(self):
        stat = "77 (a) b (c) S 1 77 77 0 -1 0 1 2 3 4 150 50 7 8 20 0 9 0 4242 1 2 3"
        self.assertEqual(watch.times(stat), (150 / watch.TICKS_PER_S, 50 / watch.TICKS_PER_S))

    def test_the_share_is_that_of_the_time_between(self):
        look = watch.Watch(0)
        look.samples = [(10.0, 1.0, 1.0), (11.0, 1.0, 2.0), (12.0, 1.3, 2.9), (13.0, 9.0, 9.0)]
        self.assertAlmostEqual(look.user_share(11.0, 12.5), 0.25)
        self.assertIsNone(look.user_share(11.0, 11.5))

    def test_a_process_that_is_gone_leaves_what_was_seen(self):
        with watch.Watch(os.getpid()) as look:
            pass
        self.assertTrue(look.samples)


class AccountsTest(unittest.TestCase):
    def test_a_token_is_a_jwt_with_hs256(self):
        token = accounts.sign({"id": 1}, "secret")
        self.assertEqual(token, "eyJhbGciOiJIUzI1NiJ9.eyJpZCI6MX0.fWoPW7BmOFoOaiFYoMbNuNjmLrSoc-74ShvCq5QacvQ")


class LadderTest(unittest.TestCase):
    def test_the_highest_rung_that_is_held_is_found(self):
        played = []

        def play(rate):
            played.append(rate)
            return talk(rate, p99_ms=5 if rate <= 800 else 500)

        self.assertEqual(shapes.climb(play)["rate"], 800)
        self.assertLessEqual(len(played), 5)

    def test_a_later_round_looks_around_what_the_first_found(self):
        for real, start in [(800, 800), (1_100, 800), (400, 800), (50, 70)]:
            with self.subTest(real=real, start=start):
                play = lambda rate: talk(rate, lost=0 if rate <= real else 9)
                self.assertEqual(shapes.climb(play, start)["rate"], real)

    def test_no_rung_held_is_nothing(self):
        self.assertEqual(shapes.climb(lambda rate: talk(rate, lost=1))["rate"], 0)

    def test_a_lab_that_cannot_send_so_fast_is_named(self):
        figures = shapes.climb(lambda rate: talk(rate, sent_per_s=min(rate, 1_000)))
        self.assertEqual((figures["rate"], figures["lab_was_the_limit"]), (1_100, True))


class TablesTest(unittest.TestCase):
    def test_numbers_have_three_digits_and_no_exponent(self):
        shown = [tables.figure(value) for value in (0.03456, 1.2345, 12.345, 345.6, 123456.7, 0, None, 1e-7)]
        self.assertEqual(shown, ["0.0346", "1.23", "12.3", "346", "123,457", "0", "–", "0"])
        self.assertEqual(tables.figure(9_750, digits=5), "9,750")

    def test_the_document_has_a_place_for_every_table(self):
        document = tables.DOCUMENT.read_text()
        self.assertEqual(tables.fill(tables.fill(document, Results()), Results()), tables.fill(document, Results()))

    def test_a_target_that_is_kept_says_yes_and_one_that_is_not_says_no(self):
        delivery = {"deliveries_per_s": 1e6, "bytes": 230, "lost": 0, "user_us": 0.5, "p50_ms": 1, "p99_ms": 2}
        results = results_of(
            sample("floor", "one", delivery | {"cpu_us": 1.0}),
            sample("liveroom", "one", delivery | {"cpu_us": 1.25}),
            sample("floor", "rooms", delivery | {"cpu_us": 1.0}),
            sample("liveroom", "rooms", delivery | {"cpu_us": 2.0}, failed=["order: it was not kept"]),
            sample("liveroom", "storm", {"joins": 10_000, "bytes_per_member": 75_000, "cpu_us": 30.0}),
        )
        filled = tables.fill(tables.DOCUMENT.read_text(), results)
        for line in [
            "| one comment at a time, 1,000 members: CPU × floor | ≤ 1.3 | 1.25 | yes |",
            "| 100 rooms of 10: CPU × floor | ≤ 1.3 | 2 | **no** |",
            "| storm of joins: bytes × one event per join | ≤ 0.1 | 0.05 | yes |",
            "| connect + join, token checked: µs CPU | ≤ 40 | – | not measured |",
            "| liveroom, WebSocket | 1.25 | 0.5 | 1.25 | – | 1,000,000 | 230 | none |",
            "- liveroom, WebSocket, rooms: order: it was not kept",
            "- 2026-01-31, a machine; liveroom abc1234; `run.py`",
        ]:
            self.assertIn(line + "\n", filled)


class PlanTest(unittest.TestCase):
    def test_the_floor_has_its_turn_in_a_partial_run(self):
        args = run.arguments(["--shapes", "paced", "--servers", "uws", "--rounds", "2"])
        turns = [(number, shape.name, wanted) for number, shape, wanted in run.plan(args)]
        self.assertEqual(turns, [(1, "paced", ["floor", "uws"]), (2, "paced", ["floor", "uws"])])

    def test_a_quick_run_has_one_round_and_no_long_shape(self):
        turns = list(run.plan(run.arguments(["--quick"])))
        self.assertTrue(turns)
        self.assertTrue(all(number == 1 and shape.quick for number, shape, _ in turns))


if __name__ == "__main__":
    unittest.main()
