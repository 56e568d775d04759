"""Looks at a process now and then, to tell its own code's CPU time from the kernel's on its behalf."""

import os
import threading
import time
from bisect import bisect_right
from pathlib import Path

LOOK_EVERY_S = 0.1
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def times(stat):
    """User and system seconds from the text of /proc/PID/stat. The name in it may hold anything but
    the last bracket."""
    words = stat.rsplit(")", 1)[1].split()
    return int(words[11]) / TICKS_PER_S, int(words[12]) / TICKS_PER_S


class Watch:
    """Takes samples from when it is entered until it is left."""

    def __init__(self, pid):
        self.path = Path(f"/proc/{pid}/stat")
        # Seconds since 1970, user seconds, system seconds.
        self.samples = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._look)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()

    def _look(self):
        while True:
            try:
                self.samples.append((time.time(), *times(self.path.read_text())))
            except (OSError, IndexError):
                # A process that is gone has no more to tell; the lab finds out as well.
                return
            if self.over.wait(LOOK_EVERY_S):
                return

    def user_share(self, since, until):
        """Of the CPU time used between two moments, how much was the process's own code."""
        user, system = (self._at(until, of) - self._at(since, of) for of in (1, 2))
        return user / (user + system) if user + system > 0 else None

    def _at(self, moment, of):
        """The latest sample up to a moment; before the first there is only that."""
        index = bisect_right(self.samples, moment, key=lambda sample: sample[0])
        return self.samples[max(index - 1, 0)][of]
