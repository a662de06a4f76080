#!/usr/bin/env python3
"""What candor-chaos hurts with does what it says: slow networks, bent clocks, spoiled files, reports."""

import argparse
import json
import os
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
for folder in ("candor-chaos", "cluster_tool", "story"):
    sys.path.insert(0, str(SOURCE / "tools" / folder))
import faults  # noqa: E402
import network  # noqa: E402
import report  # noqa: E402
import run  # noqa: E402
import slow_network  # noqa: E402
from clocks import Clock  # noqa: E402

bin_dir = SOURCE / "build" / "release" / "bin"
CAN_MAKE_NETWORKS = os.geteuid() == 0 and all(map(shutil.which, ("ip", "iptables")))


class Place:
    """As much of a member as a slow port needs."""

    def __init__(self, namespace, address):
        self.facts = {"namespace": namespace, "address": address}


@unittest.skipUnless(CAN_MAKE_NETWORKS, "networks of their own take root, ip and iptables")
class SlowNetwork(unittest.TestCase):
    def setUp(self):
        name = f"candor-test-{os.getpid()}"
        self.bridge = f"{name}-net"
        self.here, self.there = Place(f"{name}-a", "10.77.0.11"), Place(f"{name}-b", "10.77.0.12")
        network.make_bridge(self.bridge)
        self.addCleanup(network.remove, self.bridge)
        for place in (self.here, self.there):
            network.join(place.facts["namespace"], self.bridge, place.facts["address"])
            self.addCleanup(network.remove, place.facts["namespace"])
        with network.inside(self.there.facts["namespace"]):
            self.server = socket.create_server(("10.77.0.12", 9000))
        self.addCleanup(self.server.close)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                peer, _ = self.server.accept()
            except OSError:
                return
            count = 0
            with peer:
                while part := peer.recv(65536):
                    count += len(part)
                    if part.endswith(b"."):
                        peer.sendall(str(count).encode())
                        break

    def ask(self, count):
        """(what the other side counted, how long that took)"""
        with network.inside(self.here.facts["namespace"]):
            mine = socket.create_connection(("10.77.0.12", 9000), 30)
        with mine:
            began = time.monotonic()
            mine.sendall(b"x" * (count - 1) + b".")
            return int(mine.recv(100)), time.monotonic() - began

    def test_what_passes_is_held_back_and_arrives_whole(self):
        port = slow_network.SlowPort(self.bridge, self.here, 0.05, 0.01).start()
        for count in (10, 500_000):  # the second in frames that a machine would leave to its network card
            counted, took = self.ask(count)
            self.assertEqual(counted, count)
            self.assertGreater(took, 0.08, "there and back is twice 40 ms at least")
        port.end()
        self.assertEqual(self.ask(500_000)[0], 500_000)

    def test_a_cut_in_one_direction_leaves_the_other(self):
        network.cut(self.there.facts["namespace"], ["10.77.0.11"], one_way=True)
        with network.inside(self.here.facts["namespace"]), self.assertRaises(TimeoutError):
            socket.create_connection(("10.77.0.12", 9000), 0.5)
        network.heal(self.there.facts["namespace"])
        self.assertEqual(self.ask(10)[0], 10)


class Clocks(unittest.TestCase):
    def test_a_process_sees_the_clocks_that_it_is_told(self):
        library = bin_dir / "candor-chaos-clock.so"
        if not library.exists():
            self.skipTest(f"{library} is not there")
        with tempfile.TemporaryDirectory() as folder:
            clock = Clock(pathlib.Path(folder) / "clock")
            clock.write()
            asked = "import sys, time\nfor _ in sys.stdin: print(time.time(), time.monotonic(), flush=True)"
            with subprocess.Popen([sys.executable, "-c", asked], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  text=True, env={"LD_PRELOAD": str(library), "CHAOS_CLOCK": str(clock.file)}) as other:
                def times():
                    other.stdin.write("\n")
                    other.stdin.flush()
                    return [float(t) for t in other.stdout.readline().split()]
                self.assertLess(times()[0], time.time() + 60)
                clock.set_wall(3600)
                self.assertGreater(times()[0], time.time() + 3500)
                clock.set_wall(-3600)
                self.assertLess(times()[0], time.time() - 3500)
                clock.set_rate(0.02)
                before = times()[1]
                time.sleep(0.5)
                slow = times()[1] - before
                self.assertGreaterEqual(slow, 0)
                self.assertLess(slow, 0.3)
                clock.set_rate(1.0)
                before = times()[1]
                time.sleep(0.5)
                self.assertGreaterEqual(times()[1] - before, 0.45)
                other.stdin.close()


class Files(unittest.TestCase):
    def test_a_spoiled_file_keeps_its_length_and_its_ends(self):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "f"
            file.write_bytes(bytes(10_000))
            faults.spoil(file, random.Random(1))
            spoiled = file.read_bytes()
            self.assertEqual(len(spoiled), 10_000)
            turned = [i for i, b in enumerate(spoiled) if b]
            self.assertTrue(turned)
            self.assertGreaterEqual(min(turned), 1250)
            self.assertLess(max(turned), 5000)

    def test_availability_counts_the_seconds_in_which_a_shard_took_something(self):
        lines = [{"type": "invoke", "op": 1, "at": 0, "kind": "event", "shard": 1},
                 {"type": "ok", "op": 1, "at": 5},
                 {"type": "invoke", "op": 2, "at": 10**9, "kind": "event", "shard": 1},
                 {"type": "unknown", "op": 2, "at": 10**9 + 5},
                 {"type": "invoke", "op": 3, "at": 10**9, "kind": "event", "shard": 2},
                 {"type": "ok", "op": 3, "at": 10**9 + 5},
                 {"type": "invoke", "op": 4, "at": 10**9, "kind": "event", "shard": 2}]
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "h"
            file.write_text("".join(json.dumps(line) + "\n" for line in lines))
            self.assertAlmostEqual(run.availability(file), 2 / 3)


class Pages(unittest.TestCase):
    def test_a_page_shows_faults_and_what_was_found_and_escapes_it(self):
        lines = [{"type": "run", "at": 0, "format": 1},
                 {"type": "invoke", "op": 1, "at": 10, "kind": "event"}, {"type": "ok", "op": 1, "at": 5_000_000},
                 {"type": "fault", "at": 10**9, "what": "kill-primary", "target": "<node-1>", "phase": "inject"},
                 {"type": "fault", "at": 2 * 10**9, "what": "kill-primary", "phase": "heal"}]
        timeline = report.Timeline(json.dumps(line) for line in lines)
        self.assertEqual(len(report.spans(timeline)), 1)
        result = {"ok": False, "seed": 5, "command": "candor-chaos run --seed 5", "faults": [{}], "trouble": ["<b>"],
                  "verdict": {"counts": {"acknowledged": 1}, "examples": [{"kind": "phantom", "what": "<e>"}]}}
        page = report.page(timeline, result)
        for text in ("candor-chaos run --seed 5", "kill-primary: &lt;node-1&gt;", "phantom", "&lt;e&gt;"):
            self.assertIn(text, page)
        self.assertNotIn("<e>", page)


if __name__ == "__main__":
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--bin-dir", type=pathlib.Path, default=bin_dir)
    given, rest = options.parse_known_args()
    bin_dir = given.bin_dir.resolve()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
