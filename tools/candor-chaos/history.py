"""Writes a history as docs/reference/history.md has it. Any thread may."""

import json
import threading
import time


class History:
    def __init__(self, path, **run):
        self.out = open(path, "w", buffering=1 << 20)
        self.guard = threading.Lock()
        self.ops = 0
        self.say("run", format=1, clock="CLOCK_MONOTONIC", **run)

    def say(self, type, **more):
        line = json.dumps({"type": type, "at": time.monotonic_ns(), **more}, separators=(",", ":"))
        with self.guard:
            if self.out is not None:
                self.out.write(line + "\n")

    def begin(self, kind, **more):
        """The number of the operation. Its line stands in the file before the operation begins."""
        with self.guard:
            self.ops += 1
            op = self.ops
        self.say("invoke", op=op, kind=kind, **more)
        return op

    def end(self, op, type, **more):
        self.say(type, op=op, **more)

    def close(self):
        with self.guard:
            self.out.close()
            self.out = None
