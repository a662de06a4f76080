"""The fault matrix, measured row by row: what a fault costs the shards that it concerns, and that nothing else is lost.

Each row has a cluster and a history of its own. Beside the load, one client for each of some shards that the victim
leads sends one event after the other; a shard's silence is the longest time between two of its acknowledgements, from a
second before the fault until the cluster is healthy again.
"""

import collections
import json
import pathlib
import random
import shutil
import sys
import tempfile
import time

import checker
import faults
from history import History
from local_cluster import ClusterError, LocalCluster
from policy_load import POLICY, PolicyLoad
from run import Abilities
from workload import Observer, Workload

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from failover_bench import Probe, persons_of, quantile, wait  # noqa: E402

PROBE_PAUSE_S = 0.02  # the figures are hundreds of milliseconds
LED, OTHERS, ALL = "shards that the victim led", "shards that others than the victim led", "all shards"


class Row:
    def __init__(self, title, fault, lasts_s, concerned, target, rounds=20):
        self.title, self.fault, self.lasts_s, self.concerned, self.target = title, fault, lasts_s, concerned, target
        self.rounds = rounds


ROWS = [
    Row("kill -9 of the primary", "kill-primary", 3, LED, "p50 < 900, p99 < 1500"),
    Row("SIGSTOP for 5 s, then on", "pause-primary", 5, LED, "p50 < 900, p99 < 1500"),
    Row("primary cut off", "cut-primary", 5, LED, "< 2000"),
    Row("primary deaf (one-way)", "cut-primary-deaf", 5, LED, "< 2000"),
    Row("primary mute (one-way)", "cut-primary-mute", 5, LED, "< 2000"),
    Row("bridge partition", "cut-bridge", 5, LED, "< 2000"),
    Row("primary and etcd leader die together", "kill-primary-and-etcd-leader", 3, LED, "< 2500"),
    Row("etcd away for 60 s", "etcd-away", 60, ALL, "0", rounds=3),
    Row("dead secondary", "kill-secondary", 3, OTHERS, "writes stall < 800"),
    Row("secondary whose disk hangs", "disk-hangs-at-secondary", 4, OTHERS, "writes stall < 800"),
    Row("the primary's disk hangs", "disk-hangs", 5, LED, "< 1500"),
    Row("the primary's disk is full", "disk-full", 5, LED, "< 1000"),
    Row("the file system of the primary is full", "disk-full-for-real", 5, LED, "< 1000", rounds=3),
    Row("wall clock +1 h", "wall-clock-ahead", 4, ALL, "0"),
    Row("wall clock -1 h", "wall-clock-behind", 4, ALL, "0"),
    Row("clocks drift within 1 %", "clock-drift", 4, ALL, "0"),
    Row("clock drift above 1 % (must be found)", "clock-stands", 8, LED, "found", rounds=3),
    Row("bit flips in the log of a node", "corrupt-log", 3, ALL, "relearned", rounds=3),
    Row("bit flips in a table of a node", "corrupt-table", 3, ALL, "relearned", rounds=3),
    Row("power loss of all (unsynced data dropped)", "power-loss", 0.5, ALL, "< 10000", rounds=3),
    Row("the same with disks that lie (must be found)", "power-loss-with-lying-disks", 1, ALL, "found", rounds=1),
    Row("rolling restart by drain", "rolling-restart", 0, ALL, "< 50", rounds=3),
]


class Measurement:
    def __init__(self, given, row, say):
        self.given, self.row, self.say = given, row, say
        self.silences_ms = []
        self.trouble = []

    def work(self):
        g = self.given
        folder = pathlib.Path(tempfile.mkdtemp(prefix="candor-chaos-"))
        rounds = g.rounds or self.row.rounds
        cluster = None
        keep = True
        try:
            cluster = LocalCluster.up(folder / "cluster", g.bin_dir, nodes=g.nodes, etcd=3, shards=g.shards,
                                      **Abilities(g.bin_dir).cluster_options([self.row.fault]))
            cluster.wait_until_healthy()
            history = History(folder / "history.jsonl", seed=g.seed, policy=POLICY)
            try:
                self.rounds_in(cluster, history, rounds)
            finally:
                history.close()
            verdict = checker.check_file(folder / "history.jsonl")
            keep = not verdict["ok"] and not faults.BY_NAME[self.row.fault].breaks_promises
        finally:
            if cluster is not None:
                cluster.down(keep=keep)
            if keep:
                self.say(f"logs and history are kept in {folder}")
            else:
                shutil.rmtree(folder, ignore_errors=True)
        return self.result(verdict, rounds)

    def rounds_in(self, cluster, history, rounds):
        people = PolicyLoad(cluster, history, self.given.seed)
        people.prepare()
        load = Workload(cluster, history, self.given.seed, rate=self.given.rate)
        world = faults.World(cluster, random.Random(f"victims/{self.given.seed}"), history, people, load)
        observer = Observer(cluster, history)
        for clients in (people, load, observer):
            clients.start()
        try:
            load.wait_until_all_are_served()
            for number in range(rounds):
                self.one_round(world, load, number, rounds)
        finally:
            people.ended.set()
            load.ended.set()
            observer.stop()
        load.stop()
        people.stop()
        try:
            load.read_all()
            people.look_at_the_end()
        except RuntimeError as e:
            self.trouble.append(str(e))
        for node in cluster.nodes:
            try:
                history.say("audit", node=node.name, ok=node.admin("audit_verify")["ok"])
            except (OSError, RuntimeError) as e:
                self.trouble.append(f"{node.name} does not verify its audit chains: {e}")
        people.look_for_canaries()

    def settled_view(self, world, within_s=30):
        """Leaders move after a rebalance: the view in which they have not for two seconds."""
        until = time.monotonic() + within_s
        led, since = None, 0
        while True:
            view = world.view()
            now = [(s["shard"], s.get("primary")) for s in view["shards"]]
            if now != led or not now:
                led, since = now, time.monotonic()
            elif time.monotonic() > since + 2:
                return view
            if time.monotonic() > until:
                raise ClusterError(f"leaders still move after {within_s} s")
            time.sleep(0.1)

    def one_round(self, world, load, number, rounds):
        row = self.row
        world.ctl("cluster", "rebalance")
        try:
            view = self.settled_view(world)
        except ClusterError as e:
            self.trouble.append(f"round {number + 1}: {e}")
            return
        victim = {LED: world.leader_of_most, OTHERS: world.follower, ALL: lambda: None}[row.concerned]()
        world.watched = victim
        shards = [s["shard"] for s in view["shards"]
                  if victim is None or (s["primary"] == victim.name) == (row.concerned is LED)]
        nodes = [n for n in world.cluster.nodes if n is not victim]
        persons = persons_of(world.cluster, set(shards[:self.given.probes]))
        probes = [Probe(user, shard, nodes, 0.3, PROBE_PAUSE_S) for shard, user in persons.items()]
        for p in probes:
            p.thread.start()
        made = faults.BY_NAME[row.fault](world)
        try:
            wait(lambda: all(len(p.acked) >= 10 for p in probes), "the probes are not acknowledged")
            if victim is not None:
                led = {s["shard"] for s in world.view()["shards"] if s.get("primary") == victim.name}
                if not (led.issuperset(persons) if row.concerned is LED else led.isdisjoint(persons)):
                    raise ClusterError(f"who leads what is watched has changed beside {victim.name}")
            moment = time.monotonic()
            try:
                what = made.inject()
                world.history.say("fault", what=row.fault, target=what, phase="inject")
                time.sleep(max(0, moment + row.lasts_s - time.monotonic()))
            finally:
                made.heal()
                world.history.say("fault", what=row.fault, phase="heal")
            load.wait_until_all_are_served(tend=world.tend)
            world.wait_until_healthy()
            wait(lambda: all(p.gap(moment) is not None for p in probes), "a shard was not led again")
            silences = [1000 * p.longest_silence(moment) for p in probes]
            self.silences_ms += silences
            self.say(f"  {row.title} {number + 1}/{rounds} ({what}): {quantile(silences, 0.5):.0f} ms, longest "
                     f"{max(silences):.0f} ms")
        except (RuntimeError, ClusterError) as e:
            self.trouble.append(f"round {number + 1}: {str(e)[-300:]}")
            self.say(f"  {self.trouble[-1]}")
        finally:
            world.watched = None
            for p in probes:
                p.ended.set()
            for p in probes:
                p.thread.join(10)
            world.start_again([n.member for n in world.cluster.nodes])

    def result(self, verdict, rounds):
        found = collections.Counter()
        for kind, n in verdict["violations"].items():
            found[GROUPS.get(kind, "policy")] += n
        made = {"row": self.row.title, "fault": self.row.fault, "target_ms": self.row.target, "rounds": rounds,
                "concerned": self.row.concerned, "lost": found["lost"], "duplicated": found["duplicated"],
                "stale": found["stale"], "policy": found["policy"], "violations": verdict["violations"],
                "acknowledged": verdict["counts"].get("acknowledged", 0), "reads": verdict["counts"].get("read.ok", 0),
                "trouble": self.trouble}
        for q, of in (("p50", 0.5), ("p99", 0.99), ("max", 1.0)):
            made[f"silence_{q}_ms"] = round(quantile(self.silences_ms, of)) if self.silences_ms else None
        return made


GROUPS = {"lost_acknowledgement": "lost", "settled_lost": "lost", "duplicate": "duplicated",
          "accepted_twice": "duplicated", "stale_read": "stale", "session_back": "stale", "diverging_order": "stale",
          "phantom": "stale", "aborted_read": "stale", "unequal_digests": "stale", "two_leaders": "stale"}


def fine(result):
    """Nothing lost, or where promises were broken on purpose: something found."""
    found = bool(result["violations"])
    return found == faults.BY_NAME[result["fault"]].breaks_promises and not result["trouble"]


def show(results):
    """Markdown."""
    lines = ["| fault | rounds | lost | duplicated | stale | policy | silence of a shard, ms: p50 / p99 / longest | "
             "target, ms |", "| --- | --- | --- | --- | --- | --- | --- | --- |"]
    for r in results:
        lines.append(f"| {r['row']} | {r['rounds']} | {r['lost']} | {r['duplicated']} | {r['stale']} | {r['policy']} | "
                     f"{r['silence_p50_ms']} / {r['silence_p99_ms']} / {r['silence_max_ms']} | {r['target_ms']} |")
    for r in results:
        lines += [f"{r['row']}: {t}" for t in r["trouble"]]
    return "\n".join(lines)


def measure(given, say):
    wanted = given.rows.split(",") if given.rows else None
    rows = [r for r in ROWS if wanted is None or r.fault in wanted]
    if not rows:
        raise ClusterError(f"there is no such row; there are {', '.join(r.fault for r in ROWS)}")
    results = []
    for row in rows:
        say(f"{row.title}: {given.rounds or row.rounds} rounds")
        results.append(Measurement(given, row, say).work())
        if given.out:
            pathlib.Path(given.out).write_text(json.dumps(results, indent=1) + "\n")
    return results
