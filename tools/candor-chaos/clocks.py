"""The clocks of a node under trial, as its own process sees them; see clock/clock.cpp."""

import pathlib
import struct
import time

FORM = struct.Struct("=qqqd")


class Clock:
    def __init__(self, file):
        self.file = pathlib.Path(file)
        self.wall_ns, self.drift_ns, self.since_ns, self.rate = 0, 0, time.monotonic_ns(), 1.0

    def write(self):
        with open(self.file, "r+b" if self.file.exists() else "wb") as out:  # in place: a node has it mapped
            out.write(FORM.pack(self.wall_ns, self.drift_ns, self.since_ns, self.rate))

    def set_wall(self, seconds):
        """So far from the machine's time of day."""
        self.wall_ns = int(seconds * 1e9)
        self.write()

    def set_rate(self, rate):
        """From now on the steady clocks run at this rate; they never jump."""
        now = time.monotonic_ns()
        self.drift_ns += int((now - self.since_ns) * (self.rate - 1))
        self.since_ns, self.rate = now, rate
        self.write()
