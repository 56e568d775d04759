"""What was measured, kept in one JSON file so that runs of some shapes or servers add up.

A sample belongs to a session, one call of the runner, and to a round of it; only samples of one round
are divided by each other. A later session replaces what it measures again.
"""

import json
from pathlib import Path
from statistics import median

PATH = Path(__file__).resolve().parent / "results.json"
FLOOR = "floor"


class Results:
    def __init__(self, text=None):
        kept = json.loads(text) if text else {}
        self.sessions = kept.get("sessions", {})
        self.samples = kept.get("samples", [])
        # Servers that could not be measured, and why.
        self.absent = kept.get("absent", {})

    @classmethod
    def load(cls, path=PATH):
        return cls(path.read_text() if path.exists() else None)

    def save(self, path=PATH):
        """One sample a line, so that a difference can be read."""
        used = {sample["session"] for sample in self.samples}
        kept = {name: facts for name, facts in self.sessions.items() if name in used}
        samples = ",\n    ".join(json.dumps(sample, ensure_ascii=False) for sample in self.samples)
        sessions = json.dumps(kept, indent=2, ensure_ascii=False).replace("\n", "\n  ")
        absent = json.dumps(self.absent, ensure_ascii=False)
        partial = path.with_suffix(".partial")
        partial.write_text(
            f'{{\n  "sessions": {sessions},\n  "absent": {absent},\n  "samples": [\n    {samples}\n  ]\n}}\n'
        )
        partial.replace(path)

    def add(self, session, round_number, server, figure, values, failed):
        self._forget(server, figure, session)
        self.samples.append(
            {
                "session": session,
                "round": round_number,
                "server": server,
                "figure": figure,
                "values": {name: _rounded(value) for name, value in values.items()},
                "failed": failed,
            }
        )

    def _forget(self, server, figure, session):
        """Drops what earlier sessions measured of this. Their floor stays while others lean on it."""

        def outdated(sample):
            return (sample["server"], sample["figure"]) == (server, figure) and sample["session"] != session

        def leaned_on(sample):
            same = [it for it in self.samples if (it["session"], it["figure"]) == (sample["session"], figure)]
            return server == FLOOR and any(not it["server"].startswith(FLOOR) for it in same)

        self.samples = [it for it in self.samples if not outdated(it) or leaned_on(it)]

    def of(self, server, figure):
        """The samples of the latest session that measured this."""
        found = [it for it in self.samples if (it["server"], it["figure"]) == (server, figure)]
        latest = max((it["session"] for it in found), default=None)
        return [it for it in found if it["session"] == latest]

    def values(self, server, figure, name):
        found = (it["values"].get(name) for it in self.of(server, figure))
        return [value for value in found if value is not None]

    def median(self, server, figure, name):
        values = self.values(server, figure, name)
        return median(values) if values else None

    def ratios(self, server, figure, name, base=FLOOR):
        """To another server's figures, each of the same round."""
        bases = {
            (it["session"], it["round"]): it["values"].get(name)
            for it in self.samples
            if (it["server"], it["figure"]) == (base, figure)
        }
        pairs = [
            (it["values"].get(name), bases.get((it["session"], it["round"]))) for it in self.of(server, figure)
        ]
        return [value / base for value, base in pairs if value is not None and base]

    def ratio(self, server, figure, name, base=FLOOR):
        ratios = self.ratios(server, figure, name, base)
        return median(ratios) if ratios else None

    def failures(self, server, figure):
        return sorted({text for it in self.of(server, figure) for text in it["failed"]})


def _rounded(value):
    """To five digits: more is noise, and makes a file that nobody can read."""
    return float(f"{value:.5g}") if isinstance(value, float) else value
