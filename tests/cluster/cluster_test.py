#!/usr/bin/env python3
"""A cluster of real nodes under load, and what may befall it: nothing acknowledged is lost or taken twice, no read is
stale, and every shard serves again.
"""

import json
import os
import random
import shutil
import signal
import time
import unittest

import process_case
from replication_case import ReplicationCase, can_make_networks

PAUSE_S = 5
ETCD_AWAY_S = float(os.environ.get("ETCD_AWAY_S", 8))
TRIES_MOST = 50  # of a client, 20 ms apart at least, each through another node


class Cluster(ReplicationCase):
    def test_a_killed_primary_is_followed_by_another(self):
        with self.cluster_under_load() as (cluster, load, _):
            for _ in range(3):
                before = self.terms(cluster)
                victim = self.leader_of_most(cluster)
                led = [s["shard"] for s in cluster.view()["shards"] if s["primary"] == victim.name]
                victim.kill()
                load.wait_until_all_are_served()
                after = self.terms(cluster)
                for shard in led:
                    self.assertGreater(after[shard], before[shard], f"shard {shard} was led on without a new term")
                self.assertEqual(cluster.candorctl("cluster", "health", check=False).returncode, 10)
                victim.start()
                cluster.wait_until_healthy()

    def test_a_primary_that_was_stopped_and_goes_on_tells_nothing_stale(self):
        with self.cluster_under_load() as (cluster, load, watcher):
            victim = self.leader_of_most(cluster)
            victim.member.signal(signal.SIGSTOP)
            time.sleep(PAUSE_S)
            load.wait_until_all_are_served()
            read_before = watcher.reads[victim.name]
            victim.member.signal(signal.SIGCONT)
            cluster.wait_until_healthy()
            load.wait(lambda: watcher.reads[victim.name] > read_before + 20, 60, lambda: "nothing was read through it")

    def test_while_etcd_is_away_the_data_path_goes_on(self):
        with self.cluster_under_load() as (cluster, load, _):
            before = self.terms(cluster)
            for m in cluster.etcd:
                m.kill()
            acked, failed = len(load.acked), sum(load.failures.values())
            time.sleep(ETCD_AWAY_S)
            self.say(f"etcd away for {ETCD_AWAY_S:g} s: {len(load.acked) - acked} events acknowledged meanwhile, "
                     f"{sum(load.failures.values()) - failed} requests failed")
            load.wait_until_all_are_served()
            self.assertEqual(self.terms(cluster), before, "nobody can have become a primary")
            for m in cluster.etcd:
                cluster.launch(m)
            cluster.wait_for_etcd()
            cluster.wait_until_healthy()
            # It can be reconfigured again.
            self.kill_and_bring_back(cluster, self.leader_of_most(cluster), load)

    def test_a_rolling_restart_by_drain_interrupts_nobody_for_long(self):
        with self.cluster_under_load({"tries_most": TRIES_MOST}) as (cluster, load, _):
            for node in cluster.nodes:
                cluster.candorctl("cluster", "drain", node.name, "--wait")
                self.assertNotIn(node.name, {s["primary"] for s in cluster.view()["shards"]})
                self.assertTrue(node.stop(), f"{node.name} did not end in order")
                waited_for = [s["shard"] for s in cluster.view()["shards"] if node.name in s["in_sync"]]
                self.assertEqual(waited_for, [], f"writes wait for {node.name}, which is gone")
                load.wait_until_all_are_served()
                node.start()
                cluster.candorctl("cluster", "undrain", node.name)
                cluster.wait_until_healthy()
            load.stop()
            self.say(f"no event took more than {load.most_tries} tries and {load.longest_s * 1000:.0f} ms")
            self.assertEqual(load.given_up, 0, f"events were not acknowledged in {TRIES_MOST} tries")

    def test_a_fourth_node_takes_its_part(self):
        with self.cluster_under_load(shards=64) as (cluster, load, _):
            before = cluster.view()["shards"]
            added = cluster.add()

            def lies_as_wanted():
                shards = cluster.view()["shards"]
                return any(added.name in s["in_sync"] for s in shards) and all(
                    set(s["in_sync"]) == set(s["wanted"]) and s["primary"] == s["wanted"][0] for s in shards)
            load.wait(lies_as_wanted, 180, lambda: "the shards do not come to lie where they should")
            cluster.wait_until_healthy()
            after = cluster.view()["shards"]
            # Placed anew as soon as the node was heard of: nothing is left for an operator to do.
            left = json.loads(cluster.candorctl("cluster", "rebalance", "--dry-run", "-o", "json").stdout)
            self.assertEqual(left["moves"], [])
            announced, copies = newcomers(before, after, "wanted"), newcomers(before, after, "in_sync")
            leaders = sum(a["primary"] != b["primary"] for a, b in zip(before, after))
            nodes = len(cluster.nodes)
            self.say(f"{copies} copies of {len(after) * 3} moved, placed anew were {announced}, ideal "
                     f"{len(after) * 3 // nodes}; {leaders} of {len(after)} leaders moved, ideal {len(after) // nodes}")
            self.assertGreater(copies, 0)
            self.assertLessEqual(copies, announced)
            watcher = self.start_watcher(load)  # through the new one too
            self.kill_and_bring_back(cluster, cluster.node("node-1"), load)
            watcher.stop()

    def test_when_all_are_killed_at_once_they_come_back_with_all_of_it(self):
        with self.cluster_under_load(etcd=3) as (cluster, load, _):
            load.wait_for_acks(500)
            for m in cluster.members:
                m.signal(signal.SIGKILL)
            for m in cluster.members:
                m.wait(30)
            for m in cluster.etcd:
                cluster.launch(m)
            cluster.wait_for_etcd()
            for n in cluster.nodes:
                n.launch()
            for n in cluster.nodes:
                n.wait_until_ready()
            cluster.wait_until_healthy()
            load.wait_until_all_are_served()

    def test_a_node_that_lost_its_disk_learns_all_of_it_again(self):
        with self.cluster_under_load() as (cluster, load, _):
            victim = self.leader_of_most(cluster)
            victim.kill()
            # The secrets of the cluster are put back by whoever gives the node a new disk.
            keys = {f: (victim.data / "keys" / f).read_text() for f in ("master.key", "cluster.secret")}
            shutil.rmtree(victim.data)
            (victim.data / "keys").mkdir(parents=True, mode=0o700)
            for name, text in keys.items():
                cluster.write_private(victim.data / "keys" / name, text)
            load.wait_until_all_are_served()
            victim.start()
            cluster.wait_until_healthy()
            # What it holds now is whole: the others may go, one after the other.
            for other in [n for n in cluster.nodes if n is not victim]:
                self.kill_and_bring_back(cluster, other, load)


@unittest.skipUnless(can_make_networks(), "cutting nodes off takes root, ip and iptables")
class CutCluster(ReplicationCase):
    def test_a_primary_that_is_cut_off_acknowledges_nothing_and_reads_nothing_stale(self):
        with self.cluster_under_load(netns=True, etcd=3) as (cluster, load, _):
            victim = self.leader_of_most(cluster)
            led = {s["shard"] for s in cluster.view()["shards"] if s["primary"] == victim.name}
            cluster.partition([victim.name])
            load.wait_until_all_are_served()
            # Clients still reach it; what it led is led elsewhere now.
            chance = random.Random(7)
            for user in [u for u in load.users if cluster.shard_of(u) in led][:5]:
                event = {**load.make_event(chance), "user": user}
                load.sent[event["id"]] = event
                try:
                    verdict = victim.events([event])[0]
                except (OSError, RuntimeError):
                    continue
                self.assertNotIn(verdict["status"], ("accepted", "duplicate"), "a minority acknowledged an event")
            cluster.heal()
            cluster.wait_until_healthy()
            load.wait_until_all_are_served()

    def test_a_primary_that_one_other_cannot_hear_is_not_fought_over(self):
        with self.cluster_under_load(netns=True) as (cluster, load, _):
            before = self.terms(cluster)
            cluster.partition(["node-1"], ["node-2"])
            load.wait_until_all_are_served()
            time.sleep(5)
            for shard, term in self.terms(cluster).items():
                self.assertLessEqual(term, before[shard] + 1, f"shard {shard} changed its primary again and again")
            cluster.heal()
            cluster.wait_until_healthy()


def newcomers(before, after, what):
    """How many nodes hold a shard that did not."""
    return sum(len(set(a[what]) - set(b[what])) for a, b in zip(before, after))


if __name__ == "__main__":
    process_case.main()
