#!/usr/bin/env python3
"""A cluster of real nodes under load, and what may befall it: nothing acknowledged is lost or taken twice, no read is
stale, and every shard serves again.
"""

import random
import shutil
import signal
import time
import unittest

import process_case
from replication_case import ReplicationCase, can_make_networks

PAUSE_S = 5
ETCD_AWAY_S = 8


class Cluster(ReplicationCase):
    def test_a_killed_primary_is_followed_by_another(self):
        cluster = self.start_cluster()
        load = self.start_load(cluster)
        watcher = self.start_watcher(load)
        before = self.terms(cluster)
        for _ in range(3):
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
            before = self.terms(cluster)
        watcher.stop()
        self.verify(cluster, load)

    def test_a_primary_that_was_stopped_and_goes_on_tells_nothing_stale(self):
        cluster = self.start_cluster()
        load = self.start_load(cluster)
        watcher = self.start_watcher(load)
        victim = self.leader_of_most(cluster)
        victim.member.signal(signal.SIGSTOP)
        time.sleep(PAUSE_S)
        load.wait_until_all_are_served()
        read_before = watcher.reads[victim.name]
        victim.member.signal(signal.SIGCONT)
        cluster.wait_until_healthy()
        load.wait(lambda: watcher.reads[victim.name] > read_before + 20, 60, lambda: "nothing was read through it")
        watcher.stop()
        self.verify(cluster, load)

    def test_while_etcd_is_away_the_data_path_goes_on(self):
        cluster = self.start_cluster()
        load = self.start_load(cluster)
        watcher = self.start_watcher(load)
        before = self.terms(cluster)
        for m in cluster.etcd:
            m.kill()
        time.sleep(ETCD_AWAY_S)
        load.wait_until_all_are_served()
        self.assertEqual(self.terms(cluster), before, "nobody can have become a primary")
        for m in cluster.etcd:
            cluster.launch(m)
        cluster.wait_for_etcd()
        cluster.wait_until_healthy()
        # It can be reconfigured again.
        victim = self.leader_of_most(cluster)
        victim.kill()
        load.wait_until_all_are_served()
        victim.start()
        cluster.wait_until_healthy()
        watcher.stop()
        self.verify(cluster, load)

    def test_a_rolling_restart_by_drain_interrupts_nobody_for_long(self):
        cluster = self.start_cluster()
        load = self.start_load(cluster)
        watcher = self.start_watcher(load)
        for node in cluster.nodes:
            cluster.candorctl("cluster", "drain", node.name, "--wait")
            self.assertNotIn(node.name, {s["primary"] for s in cluster.view()["shards"]})
            self.assertTrue(node.stop(), f"{node.name} did not end in order")
            load.wait_until_all_are_served()
            node.start()
            cluster.candorctl("cluster", "undrain", node.name)
            cluster.wait_until_healthy()
        watcher.stop()
        self.verify(cluster, load)

    def test_a_fourth_node_takes_its_part(self):
        cluster = self.start_cluster()
        load = self.start_load(cluster)
        added = cluster.add()
        cluster.candorctl("cluster", "rebalance")

        def held():
            found = [n for n in cluster.view()["nodes"] if n["name"] == added.name]
            return found[0]["in_sync"] if found else 0
        load.wait(lambda: held() > 0, 180, lambda: f"{added.name} holds nothing")
        cluster.wait_until_healthy()
        watcher = self.start_watcher(load)
        victim = cluster.node("node-1")
        victim.kill()
        load.wait_until_all_are_served()
        victim.start()
        cluster.wait_until_healthy()
        watcher.stop()
        self.verify(cluster, load)

    def test_when_all_are_killed_at_once_they_come_back_with_all_of_it(self):
        cluster = self.start_cluster(etcd=3)
        load = self.start_load(cluster)
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
        self.verify(cluster, load)

    def test_a_node_that_lost_its_disk_learns_all_of_it_again(self):
        cluster = self.start_cluster()
        load = self.start_load(cluster)
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
        watcher = self.start_watcher(load)
        for other in [n for n in cluster.nodes if n is not victim]:
            other.kill()
            load.wait_until_all_are_served()
            other.start()
            cluster.wait_until_healthy()
        watcher.stop()
        self.verify(cluster, load)


@unittest.skipUnless(can_make_networks(), "cutting nodes off takes root, ip and iptables")
class CutCluster(ReplicationCase):
    def test_a_primary_that_is_cut_off_acknowledges_nothing_and_reads_nothing_stale(self):
        cluster = self.start_cluster(netns=True, etcd=3)
        load = self.start_load(cluster)
        watcher = self.start_watcher(load)
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
        watcher.stop()
        self.verify(cluster, load)

    def test_a_primary_that_one_other_cannot_hear_is_not_fought_over(self):
        cluster = self.start_cluster(netns=True)
        load = self.start_load(cluster)
        watcher = self.start_watcher(load)
        before = self.terms(cluster)
        cluster.partition(["node-1"], ["node-2"])
        load.wait_until_all_are_served()
        time.sleep(5)
        after = self.terms(cluster)
        for shard, term in after.items():
            self.assertLessEqual(term, before[shard] + 1, f"shard {shard} changed its primary again and again")
        cluster.heal()
        cluster.wait_until_healthy()
        watcher.stop()
        self.verify(cluster, load)


if __name__ == "__main__":
    process_case.main()
