#!/usr/bin/env python3
"""How long a shard is without a primary when its primary is killed, seen from a client.

Makes a cluster through tools/cluster_tool; then, again and again: one event after the other is sent for a person of
each shard of the node that leads most, through the other nodes; the node is killed (or paused, or drained). The gap of
a shard is the silence between the last acknowledgement before that and the first of an event that was sent after. A
request that is not answered within --patience-ms is sent again with the same id through another node.

  tools/failover_bench.py --kills 20 --out failover.json
"""

import argparse
import datetime
import json
import math
import os
import pathlib
import platform
import shutil
import signal
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "cluster_tool"))
from connection import BROKEN, Connection  # noqa: E402
from local_cluster import ClusterError, LocalCluster  # noqa: E402


class Probe:
    """One person of one shard: events one after the other, each until it is acknowledged."""

    def __init__(self, user, shard, nodes, patience_s, pause_s=0.005):
        self.user = user
        self.shard = shard
        self.nodes = nodes
        self.patience_s = patience_s
        self.pause_s = pause_s
        self.acked = []  # (begun, acknowledged), as time.monotonic
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        connections = {}
        turn, number = self.shard, 0
        while not self.ended.is_set():
            event = {"id": f"{self.user}-{time.monotonic_ns()}-{number}", "user": self.user, "at": self.now(),
                     "kind": "engagement", "action": "like", "object": {"id": "page", "topics": ["music"]}}
            number += 1
            began = time.monotonic()
            while not self.ended.is_set():
                node = self.nodes[turn % len(self.nodes)]
                if self.send(connections, node, event):
                    self.acked.append((began, time.monotonic()))
                    break
                turn += 1
                time.sleep(0.005)
            time.sleep(self.pause_s)
        for c in connections.values():
            c.close()

    def now(self):
        return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def send(self, connections, node, event):
        if node.name not in connections:
            connections[node.name] = Connection(node, self.patience_s)
        try:
            status, body = connections[node.name].request("POST", "/v1/events", json.dumps(event) + "\n",
                                                          "application/x-ndjson")
            return status == 200 and json.loads(body)["status"] in ("accepted", "duplicate")
        except BROKEN:
            return False

    def gap(self, moment):
        """Seconds, or None while nothing that was begun after the moment is acknowledged. What was on its way then may
        have been the old primary's last answer or the new one's first: the longest silence around it counts."""
        acked = list(self.acked)
        before = [done for _, done in acked if done <= moment][-1:]
        on_its_way = [done for begun, done in acked if begun <= moment < done]
        after = [done for begun, done in acked if begun > moment][:1]
        times = before + on_its_way + after
        return max(b - a for a, b in zip(times, times[1:])) if before and after else None

    def longest_silence(self, moment):
        times = [done for _, done in self.acked if done > moment - 1]
        return max(b - a for a, b in zip(times, times[1:]))


def persons_of(cluster, shards):
    """{shard: a person of it}"""
    found, number = {}, 0
    while len(found) < len(shards):
        user = f"probe-{number}"
        number += 1
        shard = cluster.shard_of(user)
        if shard in shards and shard not in found:
            found[shard] = user
    return found


def leader_of_most(view):
    led = {}
    for s in view["shards"]:
        if s.get("primary"):
            led.setdefault(s["primary"], []).append(s["shard"])
    if not led:
        raise ClusterError("no shard names its primary")
    return max(led.items(), key=lambda item: len(item[1]))


def one_round(cluster, given):
    """The gaps of the shards, in seconds."""
    name, shards = leader_of_most(cluster.view())
    victim = cluster.node(name)
    persons = persons_of(cluster, set(shards[:given.probes]))
    others = [n for n in cluster.nodes if n is not victim]
    probes = [Probe(user, shard, others, given.patience_ms / 1000) for shard, user in persons.items()]
    for p in probes:
        p.thread.start()
    try:
        wait(lambda: all(len(p.acked) >= 10 for p in probes), "the probes are not acknowledged")
        moment = time.monotonic()
        if given.how == "kill":
            victim.member.signal(signal.SIGKILL)
        elif given.how == "pause":
            victim.member.signal(signal.SIGSTOP)
        else:
            cluster.candorctl("cluster", "drain", name, "--wait")
        if given.how == "drain":  # handed off one after the other: the longest silence of each is its gap
            time.sleep(0.5)
            return name, {p.shard: p.longest_silence(moment) for p in probes}
        wait(lambda: all(p.gap(moment) is not None for p in probes), "a shard was not led again")
        return name, {p.shard: p.gap(moment) for p in probes}
    finally:
        for p in probes:
            p.ended.set()
        for p in probes:
            p.thread.join(10)
        restore(cluster, victim, given.how)


def restore(cluster, victim, how):
    if how == "pause":
        victim.member.signal(signal.SIGCONT)
    elif how == "kill":
        victim.member.wait(10)
        victim.start()
    else:
        cluster.candorctl("cluster", "undrain", victim.name)
        cluster.candorctl("cluster", "rebalance")
    cluster.wait_until_healthy()


def wait(holds, what, within_s=60):
    until = time.monotonic() + within_s
    while not holds():
        if time.monotonic() > until:
            raise ClusterError(f"not in {within_s} s: {what}")
        time.sleep(0.01)


def quantile(values, q):
    """The smallest that at least a part `q` of them does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * q) - 1)]


def summary(gaps):
    ms = [1000 * g for g in gaps]
    return {"gaps": len(ms), "p50_ms": round(quantile(ms, 0.5), 1), "p99_ms": round(quantile(ms, 0.99), 1),
            "max_ms": round(max(ms), 1)}


def parse():
    app = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    app.add_argument("--bin-dir", default=str(HERE.parent / "build" / "release" / "bin"))
    app.add_argument("--kills", type=int, default=20, help="how many times [20]")
    app.add_argument("--how", choices=("kill", "pause", "drain"), default="kill")
    app.add_argument("--nodes", type=int, default=3)
    app.add_argument("--etcd", type=int, choices=(1, 3), default=1)
    app.add_argument("--shards", type=int, default=64)
    app.add_argument("--probes", type=int, default=12, help="shards that are watched a time, at most [12]")
    app.add_argument("--patience-ms", type=int, default=300, help="of one request [300]")
    app.add_argument("--out", default="failover.json", help="where the figures go [failover.json]")
    return app.parse_args()


def main():
    given = parse()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="candor-failover-"))
    rounds = []
    cluster = LocalCluster.up(folder / "cluster", given.bin_dir, nodes=given.nodes, etcd=given.etcd,
                              shards=given.shards)
    try:
        cluster.wait_until_healthy()
        for i in range(given.kills):
            name, gaps = one_round(cluster, given)
            rounds.append({"node": name, "gaps_ms": {s: round(1000 * g, 1) for s, g in sorted(gaps.items())}})
            print(f"{i + 1}/{given.kills}  {given.how} {name}: {summary(gaps.values())}", file=sys.stderr)
    finally:
        cluster.down()
        shutil.rmtree(folder, ignore_errors=True)
    all_gaps = [g / 1000 for r in rounds for g in r["gaps_ms"].values()]
    worst = [max(r["gaps_ms"].values()) / 1000 for r in rounds]
    figures = {"how": given.how, "times": given.kills, "nodes": given.nodes, "etcd": given.etcd, "shards": given.shards,
               "cpus": os.cpu_count(), "machine": platform.machine(), "patience_ms": given.patience_ms,
               "of_a_shard": summary(all_gaps), "of_the_slowest_shard": summary(worst), "rounds": rounds}
    pathlib.Path(given.out).write_text(json.dumps(figures, indent=1) + "\n")
    for title, s in (("a shard", figures["of_a_shard"]), ("the slowest shard", figures["of_the_slowest_shard"])):
        print(f"{given.how} x{given.kills}: {title} is without a primary for p50 {s['p50_ms']} ms, "
              f"p99 {s['p99_ms']} ms, max {s['max_ms']} ms ({s['gaps']} gaps)")


if __name__ == "__main__":
    try:
        main()
    except ClusterError as e:
        print(f"failover_bench: {e}", file=sys.stderr)
        sys.exit(1)
