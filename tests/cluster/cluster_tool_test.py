#!/usr/bin/env python3
"""tools/cluster does what it says, ends only what it started, and leaves nothing behind; and the checks that the tests
of a cluster rest on find what is wrong.
"""

import json
import random
import stat
import subprocess
import sys
import time
import unittest

import process_case
from replication_case import ReplicationCase, can_make_networks

sys.path.insert(0, str(process_case.SOURCE / "tools"))
import failover_bench  # noqa: E402

TOOL = process_case.SOURCE / "tools" / "cluster"


class Tool(process_case.ProcessCase):
    def setUp(self):
        super().setUp()
        self.place = self.folder / "cluster"

    def run_tool(self, *arguments, code=0):
        done = subprocess.run([str(TOOL), "--bin-dir", str(process_case.bin_dir), "--dir", str(self.place),
                               *map(str, arguments)], capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done

    def up(self, *arguments):
        self.addCleanup(lambda: self.place.exists() and self.run_tool("down"))
        self.run_tool("up", *arguments)

    def states(self):
        status = json.loads(self.run_tool("status", "-o", "json").stdout)
        return {m["name"]: m["state"] for m in status["nodes"] + status["etcd"]}

    def test_nodes_are_killed_paused_started_and_added(self):
        self.up(2, "--shards", 16, "--set", "log_kept_bytes=65536")
        self.assertEqual(self.states(), {"node-1": "running", "node-2": "running", "etcd-1": "running"})
        self.run_tool("kill", "node-2")
        self.run_tool("pause", "node-1")
        self.assertEqual(self.states(), {"node-1": "paused", "node-2": "stopped", "etcd-1": "running"})
        self.assertIn("does not run", self.run_tool("kill", "node-2", code=1).stderr)
        self.run_tool("resume", "node-1")
        self.run_tool("start", "node-2")
        self.assertIn("node-3 is ready", self.run_tool("add").stdout)
        self.run_tool("stop", "etcd")
        self.assertEqual(self.states()["etcd-1"], "stopped")
        self.run_tool("start", "etcd-1")
        self.assertEqual(set(self.states().values()), {"running"})
        self.assertIn("is ready", self.run_tool("logs", "node-3").stdout)
        self.assertIn("there is no node-9", self.run_tool("stop", "node-9", code=1).stderr)
        self.assertIn("--netns", self.run_tool("partition", "node-1", code=1).stderr)
        self.assertIn("already", self.run_tool("up", code=1).stderr)

        # candorctl finds it, and another node where the first is gone.
        self.assertIn("candorctl", self.run_tool("exec", "candorctl", "version").stdout)
        first = json.loads(self.run_tool("exec", "candorctl", "cluster", "status", "-o", "json").stdout)["node"]
        self.run_tool("kill", first)
        second = json.loads(self.run_tool("exec", "candorctl", "cluster", "status", "-o", "json").stdout)["node"]
        self.assertNotEqual(first, second)

        for file in self.place.rglob("*"):
            if file.name in ("master.key", "cluster.secret", "cluster.json", "state.json") or file.suffix == ".key":
                self.assertEqual(stat.S_IMODE(file.stat().st_mode) & 0o077, 0, f"{file} is open to others")
        self.run_tool("down")
        self.assertFalse(self.place.exists())
        self.assertIn("there is no cluster", self.run_tool("status", code=1).stderr)

    def test_a_process_that_is_not_surely_its_own_is_never_signalled(self):
        self.up(1)
        bystander = subprocess.Popen(["sleep", "600"])
        self.addCleanup(bystander.wait)
        self.addCleanup(bystander.kill)
        file = self.place / "state.json"
        state = json.loads(file.read_text())
        own = state["nodes"][0]["pid"]
        state["nodes"][0]["pid"] = bystander.pid  # as when the number is another's by now
        file.write_text(json.dumps(state))
        self.assertEqual(self.states()["node-1"], "stopped")
        self.run_tool("kill", "node-1", code=1)
        self.run_tool("down", "--keep")
        self.assertIsNone(bystander.poll())
        state["nodes"][0]["pid"] = own
        file.write_text(json.dumps(state))
        self.assertEqual(self.states(), {"node-1": "running", "etcd-1": "stopped"})

    def test_what_cannot_be_started_leaves_no_process_and_says_where_its_log_is(self):
        failed = self.run_tool("up", 1, "--set", "zone=not a zone", code=1)
        self.assertIn("zone has", failed.stderr)
        self.assertEqual(self.states(), {"node-1": "stopped", "etcd-1": "stopped"})
        self.run_tool("down")
        self.assertFalse(self.place.exists())

    def test_a_folder_of_another_kind_is_left_alone(self):
        self.place.mkdir()
        (self.place / "letter.txt").write_text("mine")
        self.run_tool("up", 1, code=1)
        self.run_tool("down", code=1)
        self.assertEqual((self.place / "letter.txt").read_text(), "mine")

    @unittest.skipUnless(can_make_networks(), "networks take root, ip and iptables")
    def test_with_networks_of_their_own_nodes_can_be_cut_off(self):
        self.up(3, "--netns")
        cluster = json.loads((self.place / "state.json").read_text())
        spaces = {m["name"]: m["namespace"] for m in cluster["nodes"] + cluster["etcd"]}
        urls = {n["name"]: n["url"] for n in cluster["nodes"]}

        def reaches(here, there):
            asked = subprocess.run(["ip", "netns", "exec", spaces[here], "curl", "-sk", "-m", "1",
                                    f"{urls[there]}/livez"], capture_output=True)
            return asked.returncode == 0
        self.assertTrue(reaches("node-1", "node-2") and reaches("node-3", "node-1"))
        self.run_tool("partition", "node-1,etcd-1")
        self.assertFalse(reaches("node-1", "node-2") or reaches("node-2", "node-1"))
        self.assertTrue(reaches("node-2", "node-3") and reaches("etcd-1", "node-1"))
        self.assertIn("running, cut off", self.run_tool("status").stdout)
        self.run_tool("heal")
        self.assertTrue(reaches("node-1", "node-2"))
        self.run_tool("partition", "node-1", "--from", "node-2")
        self.assertFalse(reaches("node-1", "node-2"))
        self.assertTrue(reaches("node-1", "node-3"))
        self.run_tool("heal")
        self.run_tool("exec", "candorctl", "cluster", "health", "--exit-when-healthy", "--within", "60s")
        # Beyond loopback there is TLS and a key, and candorctl has both.
        self.run_tool("exec", "candorctl", "doctor", "-o", "json", code=0)
        self.run_tool("down")
        left = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True).stdout
        self.assertNotIn(cluster["netns"], left)


class Checks(ReplicationCase):
    """With one node, so that what is checked is the checks."""

    def test_a_load_over_kills_is_counted_exactly(self):
        cluster = self.start_cluster(nodes=1)
        load = self.start_load(cluster, users=30)
        watcher = self.start_watcher(load)
        for _ in range(3):
            load.wait_for_acks(300)
            cluster.nodes[0].kill()
            time.sleep(0.2)
            cluster.nodes[0].start()
            load.wait_until_all_are_served()
        watcher.stop()
        self.assertGreater(sum(watcher.reads.values()), 20)
        self.assertGreater(sum(load.failures.values()), 0, "nobody noticed the kills")
        self.verify(cluster, load)

    def test_a_lost_a_doubled_and_an_unsent_event_are_found(self):
        cluster = self.start_cluster(nodes=1)
        load = self.start_load(cluster, users=10)
        load.wait_for_acks(100)
        load.stop()
        unsent = {**load.make_event(random.Random(1)), "user": "u-3"}
        cluster.nodes[0].events([unsent])
        with self.assertRaisesRegex(AssertionError, "u-3 has more than was sent"):
            self.verify(cluster, load)

        load.sent[unsent["id"]] = unsent
        lost = dict(next(iter(load.sent.values())), id="lost", user="u-4")
        load.sent["lost"] = lost
        load.acked["lost"] = 0
        with self.assertRaisesRegex(AssertionError, "u-4 lost an event"):
            self.verify(cluster, load)

    def test_a_stale_read_is_found(self):
        cluster = self.start_cluster(nodes=1)
        load = self.start_load(cluster, users=10)
        watcher = self.start_watcher(load)
        load.wait_for_acks(100)
        load.stop()
        load.acked_of["u-5"] += 1  # as if one more had been acknowledged before the read
        load.wait(lambda: watcher.stale, 30, lambda: "nothing was found")
        with self.assertRaisesRegex(AssertionError, "stale reads of"):
            watcher.stop()


class Figures(unittest.TestCase):
    """What tools/failover_bench.py makes of acknowledgements."""

    def probe(self, *acked):
        made = failover_bench.Probe("u", 0, [], 1)
        made.acked = list(acked)
        return made

    def test_a_gap_is_the_silence_around_the_moment(self):
        # What was on its way waited for the new primary, or was the old one's last answer.
        self.assertAlmostEqual(self.probe((0, 0.1), (0.1, 0.2), (0.2, 1.2), (1.2, 1.3)).gap(0.25), 1.0)
        self.assertAlmostEqual(self.probe((0, 0.1), (0.1, 0.2), (0.2, 0.26), (0.26, 1.3)).gap(0.25), 1.04)

    def test_there_is_no_gap_until_an_event_that_was_begun_later_is_acknowledged(self):
        self.assertIsNone(self.probe((0, 0.1), (0.2, 0.26)).gap(0.25))
        self.assertIsNone(self.probe((0.3, 0.4)).gap(0.25))

    def test_a_quantile_is_a_value_that_was_measured(self):
        self.assertEqual(failover_bench.quantile([4, 1, 3, 2], 0.5), 2)
        self.assertEqual(failover_bench.quantile([4, 1, 3, 2], 0.99), 4)
        self.assertEqual(failover_bench.quantile([7], 0.5), 7)


if __name__ == "__main__":
    process_case.main()
