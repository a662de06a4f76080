#!/usr/bin/env python3
"""Whole clusters of real actors survive what the simulator does to them, and it finds each planted bug."""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import unittest

SOURCE = pathlib.Path(__file__).resolve().parents[2]
SCENARIOS = SOURCE / "tests/sim"
bin_dir = None
seeds = 6

# Where each bug is looked for, and the checks that may see it first. What a run needs is printed.
LOST = "a strong read sees every acknowledged event"
TWICE = "no event is applied twice"
REASON = "an event is refused only for a reason that holds"
ERASED = "an erased person does not come back"
KEY_GONE = "an erased person's key is gone everywhere"
SETTLES = "the cluster settles after its faults"
UNTOLD = "nothing is learned before the date, nor from who was not told"
OVERSPENT = "a campaign spends no more than its budget"
ASSERTION = "an assertion of the product's own"
PLANTED = {
    "ack_before_copies": ("crashes", {LOST}),
    # What is lost may be a policy that every shard had logged.
    "no_fsync": ("crashes", {LOST, SETTLES, REASON, "a node starts from what is on its disk"}),
    "cut_too_far": ("crashes", {ASSERTION, LOST, "a node starts from what is on its disk", SETTLES}),
    "copy_short": ("erasures", {"copies of a shard are equal"}),
    "audit_tail_lost": ("erasures", {"the audit chain holds every receipt", "the audit chain verifies"}),
    "key_kept_by_copies": ("erasures", {KEY_GONE}),
    "erased_key_cached": ("erasures", {KEY_GONE, ERASED}),
    "erased_rows_stay": ("erasures", {ERASED, SETTLES}),
    "dedupe_forgotten": ("crashes", {TWICE}),
    "applied_twice": ("crashes", {TWICE}),
    "policy_at_start_only": ("policies", {REASON, SETTLES}),
    "learned_untold": ("policies", {UNTOLD}),
    "intent_not_recorded": ("notices", {"a mail is sent only when its intent is recorded",
                                        "everybody in the audience is told",
                                        "one notice a person, version and channel"}),
    "outcome_without_send": ("notices", {"a notice that was sent was sent", UNTOLD}),
    "money_forgotten": ("budgets", {OVERSPENT}),
    "window_of_lost_link": ("partitions", {SETTLES}),
    "stale_map": ("crashes", {SETTLES, "a new cluster serves"}),
    "damage_unheard": ("flips", {"a damaged copy is given up", SETTLES}),
    "log_time_is_wall": ("clocks", {REASON, TWICE, OVERSPENT, "what a decision reserved is there"}),
    "day_renewed": ("clocks", {OVERSPENT}),
    "stamped_early": ("clocks", {UNTOLD, "an erased person does not come back"}),
    "session_unasked": ("sessions", {"a session sees what it wrote, and never goes back"}),
    "drain_ignored": ("drains", {"a node that is drained soon leads nothing"}),
}
SEEDS_MOST = 250
# Where many seeds find nothing: from shortly before the one that does.
FROM = {"stamped_early": 115}


def sim(program, *arguments):
    done = subprocess.run([str(bin_dir / program), "-o", "json", *map(str, arguments)],
                          capture_output=True, text=True, timeout=6 * 3600)
    return done.returncode, json.loads(done.stdout) if done.stdout else {"stderr": done.stderr}


class RealActors(unittest.TestCase):
    def test_every_scenario_holds_and_every_seed_repeats_itself(self):
        code, said = sim("candor-sim", "--seeds", seeds)
        self.assertEqual(code, 0, said)
        scenarios = len(list(SCENARIOS.glob("*.toml")))
        self.assertEqual(said["runs"], scenarios * seeds)
        for what in ("disks_given_up", "session_reads", "drained"):  # one scenario each has them
            self.assertGreater(said[what], 0, f"no run had {what}")
        for what in ("acknowledged", "withheld", "reads", "mails", "erased", "leaderships"):
            self.assertGreater(said[what], said["runs"] // 4, f"a run without {what} tells nothing of them")
        print(f"{said['runs']} runs, each twice: {said['simulated_hours']:.2f} simulated hours in "
              f"{said['seconds']:.0f} s", flush=True)

    def test_the_help_shows_a_worked_example(self):
        done = subprocess.run([str(bin_dir / "candor-sim"), "--help"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0)
        self.assertIn("Example:\n  candor-sim", done.stdout)

    def test_an_unknown_scenario_is_wrong_usage(self):
        self.assertEqual(sim("candor-sim", "--scenario", "nothing-like-it")[0], 2)
        self.assertEqual(sim("candor-sim", "--scenario", SCENARIOS / "nothing-like-it.toml")[0], 2)

    def test_a_scenario_is_a_file_too(self):
        code, said = sim("candor-sim", "--scenario", SCENARIOS / "quiet.toml")
        self.assertEqual((code, said["runs"]), (0, 1), said)


class PlantedBugs(unittest.TestCase):
    def test_the_table_names_every_bug_that_can_be_planted(self):
        text = (SOURCE / "storage/base/planted.hpp").read_text()
        names = re.findall(r"^  ([a-z_]+),", text[text.index("enum class bug"):text.index("};")], re.M)
        self.assertEqual(sorted(PLANTED), sorted(set(names) - {"none"}))

    def test_no_shipped_program_can_plant_one(self):
        self.assertIn(b"outcome_without_send", (bin_dir / "candor-sim-planted").read_bytes())
        for shipped in ("candord", "candor-sim"):
            path = bin_dir / shipped
            if path.exists():
                self.assertNotIn(b"outcome_without_send", path.read_bytes(), shipped)
        self.assertEqual(sim("candor-sim", "--plant", "no_fsync")[0], 2)

    def test_each_is_found(self):
        for name, (scenario, checks) in PLANTED.items():
            with self.subTest(name):
                code, said = sim("candor-sim-planted", "--plant", name, "--scenario", scenario, "--seeds", SEEDS_MOST,
                                 "--from", FROM.get(name, 1), "--once")
                if "an assertion failed in scenario" in said.get("stderr", ""):
                    seed = re.search(r"in scenario \w+, seed (\d+)", said["stderr"]).group(1)
                    code, said = 10, {"found": {"violated": ASSERTION, "found_after_seeds": int(seed)}}
                self.assertEqual(code, 10, f"not found: {said}")
                found = said["found"]
                print(f"{name:<22} {scenario:<12} after {found['found_after_seeds']:>3} seeds: {found['violated']}",
                      flush=True)
                self.assertIn(found["violated"], checks)

    def test_a_failure_can_be_shrunk_and_told(self):
        done = subprocess.run([str(bin_dir / "candor-sim-planted"), "--plant", "applied_twice", "--scenario", "crashes",
                               "--seeds", str(SEEDS_MOST), "--once", "--shrink"],
                              capture_output=True, text=True, timeout=900)
        self.assertEqual(done.returncode, 10, done.stdout)
        for what in ("VIOLATED", "Legend:", "seed ", "scenario crashes", "version ", "again: candor-sim"):
            self.assertIn(what, done.stdout)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--bin-dir", required=True, type=pathlib.Path)
    parser.add_argument("--seeds", type=int, default=seeds, help="of each scenario; the long form: 670")
    options, rest = parser.parse_known_args()
    bin_dir, seeds = options.bin_dir, options.seeds
    unittest.main(argv=sys.argv[:1] + rest, verbosity=2)
