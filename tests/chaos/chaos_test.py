#!/usr/bin/env python3
"""The short form of candor-chaos: some faults of each sort are survived, and what is more than is promised is found."""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
sys.dont_write_bytecode = True
for folder in ("candor-chaos", "cluster_tool", "story"):
    sys.path.insert(0, str(SOURCE / "tools" / folder))
import faults  # noqa: E402
from run import Abilities, Schedule  # noqa: E402

bin_dir = SOURCE / "build" / "release" / "bin"
SURVIVED = ["kill-primary", "pause-primary", "kill-etcd-leader", "power-loss", "disk-hangs", "cut-primary"]


def chaos(*arguments):
    done = subprocess.run([str(bin_dir / "candor-chaos"), *map(str, arguments)], capture_output=True, text=True)
    sys.stderr.write(done.stderr)
    return done


class ShortForm(unittest.TestCase):
    def run_of(self, names, *arguments):
        """The result of a run of those of the faults that can be had here."""
        abilities = Abilities(bin_dir)
        names = [n for n in names if abilities.can(n)]
        if not names:
            self.skipTest("this takes root, ip, iptables and candor-chaos-clock.so")
        done = chaos("run", "--faults", ",".join(names), "-o", "json", *arguments)
        self.assertIn(done.returncode, (0, 10), done.stderr)
        return done.returncode, json.loads(done.stdout)

    def test_faults_of_each_sort_are_survived(self):
        with tempfile.TemporaryDirectory() as folder:
            report = pathlib.Path(folder) / "report.html"
            code, result = self.run_of(SURVIVED, "--seed", 7, "--minutes", 0.8, "--report", report)
            self.assertEqual((code, result["verdict"]["violations"], result["trouble"]), (0, {}, []))
            self.assertGreater(len(result["faults"]), 2)
            self.assertGreater(result["verdict"]["counts"]["acknowledged"], 500)
            self.assertGreater(result["verdict"]["counts"]["read.ok"], 500)
            page = report.read_text()
            self.assertIn("--seed 7", page)
            self.assertIn("<svg", page)

    def test_disks_that_lie_lose_acknowledged_events_and_that_is_found(self):
        code, result = self.run_of(["power-loss-with-lying-disks"], "--seed", 3, "--minutes", 0.1)
        self.assertEqual(code, 10)
        self.assertIn("lost_acknowledgement", result["verdict"]["violations"])
        # What somebody still has is given back: the cluster serves again.
        self.assertIsNotNone(result["faults"][0]["healthy_after_s"], result["trouble"])

    def test_a_clock_that_nearly_stands_makes_stale_reads_and_that_is_found(self):
        code, result = self.run_of(["clock-stands"], "--seed", 3, "--minutes", 0.2, "--shards", 64)
        self.assertEqual(code, 10)
        # A session's promise does not rest on clocks.
        self.assertEqual(list(result["verdict"]["violations"]), ["stale_read"])


class Plan(unittest.TestCase):
    def test_a_seed_is_a_schedule(self):
        names = list(faults.BY_NAME)
        one, again, other = (Schedule(seed, 600, names).steps for seed in (5, 5, 6))
        self.assertEqual(one, again)
        self.assertNotEqual(one, other)

    def test_each_fault_comes_once_before_any_comes_again(self):
        names = list(faults.BY_NAME)
        steps = [s["fault"] for s in Schedule(5, 3600, names).steps]
        self.assertEqual(sorted(steps[:len(names)]), sorted(names))

    def test_a_schedule_keeps_to_its_time(self):
        for seconds in (30, 60, 600):
            last = Schedule(1, seconds, list(faults.BY_NAME)).steps[-1]
            self.assertLess(last["at_s"], seconds)

    def test_a_schedule_keeps_to_its_rate(self):
        steps = Schedule(1, 3600, list(faults.BY_NAME), per_hour=20).steps
        self.assertIn(len(steps), range(15, 25))

    def test_every_fault_is_told_in_a_line(self):
        done = chaos("list")
        self.assertEqual(done.returncode, 0)
        for name, made in faults.BY_NAME.items():
            self.assertIn(f"{name} ", done.stdout)
            self.assertNotIn("\n", made.__doc__)

    def test_a_fault_that_there_is_not_is_refused(self):
        done = chaos("run", "--faults", "kill-the-sun")
        self.assertEqual(done.returncode, 1)
        self.assertIn("kill-the-sun", done.stderr)


if __name__ == "__main__":
    options = argparse.ArgumentParser(add_help=False)
    options.add_argument("--bin-dir", type=pathlib.Path, default=bin_dir)
    given, rest = options.parse_known_args()
    bin_dir = given.bin_dir.resolve()
    unittest.main(argv=[sys.argv[0], *rest], verbosity=2)
