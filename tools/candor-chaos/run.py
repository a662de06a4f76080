"""One run: a cluster, a load, faults by a schedule, and the verdict on what clients saw."""

import collections
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import threading
import time

import checker
import faults
from history import History
from local_cluster import ClusterError, LocalCluster
from workload import Observer, Workload

HEALTHY_WITHIN_S = 120


class Schedule:
    """(when, which fault, how long) for the whole run: follows from the seed, the minutes and the list of faults."""

    def __init__(self, seed, seconds, names, pause_s=(2, 5)):
        chance = random.Random(f"schedule/{seed}")
        self.steps = []
        at = chance.uniform(1, 3)
        order = []
        while at < seconds:
            if not order:  # each once before any comes again
                order = list(names)
                chance.shuffle(order)
            name = order.pop()
            lasts = chance.uniform(*faults.BY_NAME[name].lasts_s)
            if at + lasts > seconds and self.steps:
                break
            self.steps.append({"at_s": round(at, 3), "fault": name, "lasts_s": round(lasts, 3)})
            at += lasts + chance.uniform(*pause_s)


def available(names, netns):
    """Those of the faults that this machine and this cluster can have."""
    return [n for n in names if netns or not faults.BY_NAME[n].needs_networks]


class Run:
    def __init__(self, given, say):
        self.given = given
        self.say = say
        self.faults = []  # what was done, for the report
        self.trouble = []  # what went wrong beside the history: a shard that takes no writes
        self.gaps = []

    def command(self):
        g = self.given
        made = f"candor-chaos run --seed {g.seed} --minutes {g.minutes:g} --nodes {g.nodes} --etcd {g.etcd}"
        return made + (f" --faults {g.faults}" if g.faults else "")

    def work(self):
        g = self.given
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="candor-chaos-"))
        self.history_file = pathlib.Path(g.history) if g.history else self.folder / "history.jsonl"
        netns = can_make_networks()
        names = available(g.faults.split(",") if g.faults else list(faults.BY_NAME), netns)
        schedule = Schedule(g.seed, g.minutes * 60, names)
        keep = g.keep
        cluster = None
        try:
            self.say(f"seed {g.seed}: {len(schedule.steps)} faults in {g.minutes:g} min; {self.command()}")
            cluster = LocalCluster.up(self.folder / "cluster", g.bin_dir, nodes=g.nodes, etcd=g.etcd, shards=g.shards,
                                      netns=netns)
            cluster.wait_until_healthy()
            self.began = time.monotonic_ns()
            history = History(self.history_file, seed=g.seed, command=self.command(), nodes=g.nodes, etcd=g.etcd,
                              window_ms=86_400_000)
            try:
                self.run_in(cluster, history, schedule)
            finally:
                history.close()
            verdict = checker.check_file(self.history_file)
            keep = keep or not verdict["ok"] or bool(self.trouble)
        except BaseException:
            keep = True
            raise
        finally:
            if cluster is not None:
                cluster.down(keep=keep)
            if keep:
                self.say(f"logs and history are kept in {self.folder}")
        self.result = self.summary(verdict, schedule)
        if g.report:
            import report
            report.write(g.report, self.history_file, self.result)
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)
        return self.result

    def run_in(self, cluster, history, schedule):
        world = faults.World(cluster, random.Random(f"victims/{self.given.seed}"), history)
        load = Workload(cluster, history, self.given.seed, rate=self.given.rate)
        observer = Observer(cluster, history)
        load.start()
        observer.start()
        try:
            load.wait_until_all_are_served()
            zero = time.monotonic()
            for step in schedule.steps:
                time.sleep(max(0, zero + step["at_s"] - time.monotonic()))
                self.one_fault(world, load, step)
                if load.crashed:
                    raise RuntimeError(f"a client crashed: {load.crashed[0]}")
            self.settle(cluster, load)
        finally:
            load.ended.set()
            load.reading_ended.set() if sys.exc_info()[0] else None
            observer.stop()
        load.stop()
        try:
            load.read_all()
        except RuntimeError as e:
            self.trouble.append(str(e))
        self.look_at_the_end(cluster, history)
        self.errors = load.errors

    def one_fault(self, world, load, step):
        made = faults.BY_NAME[step["fault"]](world)
        began = time.monotonic()
        try:
            what = made.inject()
            world.history.say("fault", what=step["fault"], target=what, phase="inject")
            self.say(f"{step['at_s']:7.1f} s  {step['fault']}: {what} for {step['lasts_s']:.1f} s")
            time.sleep(max(0, began + step["lasts_s"] - time.monotonic()))
        finally:
            made.heal()
            world.history.say("fault", what=step["fault"], phase="heal")
        healed = time.monotonic()
        try:
            load.wait_until_all_are_served()
        except RuntimeError as e:
            self.trouble.append(f"after {step['fault']} ({what}): {e}")
            self.say(f"  {self.trouble[-1]}")
        try:
            world.cluster.wait_until_healthy(HEALTHY_WITHIN_S)
        except ClusterError as e:
            self.trouble.append(f"after {step['fault']} ({what}): not healthy: {str(e)[-300:]}")
            self.say(f"  {self.trouble[-1]}")
        self.faults.append({**step, "target": what, "healthy_after_s": round(time.monotonic() - healed, 2)})
        for n in world.cluster.nodes:
            if n.state() == "stopped":
                self.trouble.append(f"after {step['fault']}: {n.name} has ended by itself; its log ends with:\n"
                                    f"{n.member.log_tail(8)}")
                world.cluster.launch(n.member)

    def settle(self, cluster, load):
        for n in cluster.nodes:
            n.wait_until_ready()
        load.wait_until_all_are_served()

    def look_at_the_end(self, cluster, history):
        for node in cluster.nodes:
            try:
                said = node.admin("audit_verify")
            except (OSError, RuntimeError) as e:
                said = {"ok": False, "why": str(e)}
            history.say("audit", node=node.name, ok=said["ok"], why=said.get("why", ""))

    def summary(self, verdict, schedule):
        done = collections.Counter()
        for name, n in verdict["counts"].items():
            if "." in name:
                done[name] += n
        return {"ok": verdict["ok"] and not self.trouble, "seed": self.given.seed, "command": self.command(),
                "planned": schedule.steps, "faults": self.faults, "trouble": self.trouble, "verdict": verdict,
                "failed_requests": dict(self.errors), "cpus": os.cpu_count(),
                "history": str(self.history_file)}


def can_make_networks():
    return os.geteuid() == 0 and shutil.which("ip") is not None and shutil.which("iptables") is not None


def show(result):
    lines = [f"seed {result['seed']}: {len(result['faults'])} faults", checker.show(result["verdict"])]
    lines += [f"trouble: {t}" for t in result["trouble"]]
    lines.append(f"again: {result['command']}")
    return "\n".join(lines)
