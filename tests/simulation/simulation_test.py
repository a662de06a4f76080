#!/usr/bin/env python3
"""The protocol survives what the simulator does to it, and the simulator finds each rule that is left out."""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
bin_dir = None

# Where each variant is looked for, and what it breaks. A profile presses on the situations in which the rule matters.
ANY_READ = "a strong read sees every acknowledged event"
ANY_MEMBER = "every in-sync member holds every acknowledged event"
VARIANTS = {
    "nosync": ("mixed", ANY_MEMBER),
    "lease_nowait": ("mixed", ANY_READ),
    "wait_at_serve": ("successions", ANY_READ),
    "appoint_nowait": ("appointments", ANY_READ),
    "grant_lost": ("restarts", ANY_READ),
    "grant_oldterm": ("successions", ANY_READ),
    "read_nolease": ("mixed", ANY_READ),
    "forget_term": ("successions", "one leader a term"),
    "keep_id": ("wipes", None),  # whichever of the two checks of what members hold sees it first
    "shrink": ("wipes", "some member holds every acknowledged event"),
    "quorum": ("mixed", ANY_MEMBER),
    "drop_early": ("mixed", ANY_MEMBER),
    "add_late": ("mixed", ANY_MEMBER),
    "no_recon": ("mixed", ANY_MEMBER),
    "no_commit_on_recon": ("mixed", ANY_READ),
    "no_dedupe": ("mixed", "no event twice"),
}
SEEDS_MOST = 4000


def sim(name, *arguments):
    done = subprocess.run([str(bin_dir / name), "--scenario", "replica", "-o", "json", *map(str, arguments)],
                          capture_output=True, text=True, timeout=500)
    return done.returncode, json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}


class RightProtocol(unittest.TestCase):
    def test_nothing_is_found_in_some_thousand_seeds_of_every_profile(self):
        for profile in ("mixed", "races", "wipes", "moves", "restarts", "appointments", "successions"):
            with self.subTest(profile):
                code, said = sim("candor-sim", "--seeds", 2000 if profile == "mixed" else 500, "--profile", profile)
                self.assertEqual(code, 0, json.dumps({k: v for k, v in said.items() if k != "trace"}))
                self.assertGreater(said["acknowledged"], 10_000, "a cluster that takes nothing loses nothing")
                self.assertGreater(said["strong_reads"], 10_000)
                self.assertGreater(said["copy_reads"], 10_000)

    def test_a_seed_repeats_itself_to_the_last_event(self):
        self.assertEqual(sim("candor-sim", "--seeds", 100, "--verify")[0], 0)

    def test_its_help_shows_a_worked_example(self):
        done = subprocess.run([str(bin_dir / "candor-sim"), "--help"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("Example:\n  candor-sim", done.stdout)


class BrokenVariants(unittest.TestCase):
    def test_the_table_names_every_variant_that_the_code_has(self):
        text = (SOURCE / "cluster/replication/broken.hpp").read_text()
        names = re.findall(r"^  ([a-z_]+),", text[text.index("enum class variant"):text.index("};")], re.M)
        self.assertEqual(sorted(VARIANTS), sorted(set(names) - {"none"}))

    def test_each_is_found(self):
        for variant, (profile, breaks) in VARIANTS.items():
            with self.subTest(variant):
                code, said = sim(f"candor-sim-{variant}", "--seeds", SEEDS_MOST, "--profile", profile, "--shrink", 3)
                self.assertEqual(code, 10, f"not found: {said}")
                print(f"{variant:<20} {profile:<13} after {said['found_after_seeds']:>5} seeds, shortest trace: seed "
                      f"{said['seed']}, {said['trace_rows']} rows: {said['violated']}", flush=True)
                self.assertIn(said["violated"], [breaks] if breaks else [
                    ANY_MEMBER, "some member holds every acknowledged event"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin-dir", required=True, type=pathlib.Path)
    options, rest = parser.parse_known_args()
    bin_dir = options.bin_dir
    unittest.main(argv=sys.argv[:1] + rest, verbosity=2)
