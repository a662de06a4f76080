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
from clocks import Clock
from history import History
from local_cluster import ClusterError, LocalCluster
from policy_load import POLICY, PolicyLoad
from workload import Observer, Workload

SICK_READS_S = 20  # a cluster that did not heal is read as far as it answers
SMALL_DISK_MIB = 1024  # in memory, for each node


class Schedule:
    """(when, which fault, how long) for the whole run: follows from the seed, the minutes and the list of faults."""

    def __init__(self, seed, seconds, names, per_hour=None):
        pause_s = (2, 5) if per_hour is None else (1800 / per_hour, 5400 / per_hour)
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


class Abilities:
    """What a cluster on this machine can be made to suffer."""

    def __init__(self, bin_dir):
        self.networks = os.geteuid() == 0 and all(map(shutil.which, ("ip", "iptables")))
        self.clock_library = pathlib.Path(bin_dir).resolve() / "candor-chaos-clock.so"
        self.has = {"disk"} | ({"clock"} if self.clock_library.exists() else set())
        if os.geteuid() == 0 and shutil.which("mount"):
            self.has.add("small disk")

    def can(self, name):
        made = faults.BY_NAME[name]
        return (self.networks or not made.needs_networks) and self.has.issuperset(made.needs)

    def cluster_options(self, names):
        """For LocalCluster.up, when these faults are to come."""
        environment = {}
        settings = {"testing": "yes", "testing_disk_faults": "{folder}/disk"}
        small = any("small disk" in faults.BY_NAME[name].needs for name in names)
        if small:
            mib = 1 << 20
            settings |= {"disk_low_bytes": SMALL_DISK_MIB // 8 * mib, "disk_reserve_bytes": SMALL_DISK_MIB // 16 * mib}
        if "clock" in self.has:
            environment = {"LD_PRELOAD": str(self.clock_library), "CHAOS_CLOCK": "{folder}/clock"}
        def prepare(cluster):
            for node in cluster.nodes:
                Clock(node.folder / "clock").write()
                faults.tell_disk(node)
        return {"netns": self.networks, "node_environment": environment, "prepare": prepare,
                "settings": settings, "data_mib": SMALL_DISK_MIB if small else None}


def default_faults(abilities):
    """All that promises hold against, but those that take a disk too small for a long run."""
    return [n for n, made in faults.BY_NAME.items()
            if abilities.can(n) and not made.breaks_promises and "small disk" not in made.needs]


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
        made += f" --per-hour {g.per_hour:g}" if g.per_hour else ""
        return made + (f" --faults {g.faults}" if g.faults else "")

    def work(self):
        g = self.given
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="candor-chaos-"))
        self.history_file = pathlib.Path(g.history) if g.history else self.folder / "history.jsonl"
        abilities = Abilities(g.bin_dir)
        names = g.faults.split(",") if g.faults else default_faults(abilities)
        for name in names:
            if name not in faults.BY_NAME:
                raise ClusterError(f"there is no fault {name}; `candor-chaos list` shows those that there are")
            if not abilities.can(name):
                raise ClusterError(f"{name} takes root, ip and iptables, and candor-chaos-clock.so beside candord")
        schedule = Schedule(g.seed, g.minutes * 60, names, g.per_hour)
        keep = g.keep
        cluster = None
        try:
            self.say(f"seed {g.seed}: {len(schedule.steps)} faults in {g.minutes:g} min; {self.command()}")
            cluster = LocalCluster.up(self.folder / "cluster", g.bin_dir, nodes=g.nodes, etcd=g.etcd, shards=g.shards,
                                      **abilities.cluster_options(names))
            cluster.wait_until_healthy()
            self.began = time.monotonic_ns()
            history = History(self.history_file, seed=g.seed, command=self.command(), nodes=g.nodes, etcd=g.etcd,
                              policy=POLICY)
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
        load = Workload(cluster, history, self.given.seed, rate=self.given.rate)
        observer = Observer(cluster, history)
        people = PolicyLoad(cluster, history, self.given.seed)
        people.prepare()
        world = faults.World(cluster, random.Random(f"victims/{self.given.seed}"), history, people, load)
        people.start()
        load.start()
        observer.start()
        try:
            load.wait_until_all_are_served()
            zero = time.monotonic()
            for step in schedule.steps:
                world.rest(zero + step["at_s"])
                healed = self.one_fault(world, load, step)
                if load.crashed:
                    raise RuntimeError(f"a client crashed: {load.crashed[0]}")
                if not healed:
                    self.trouble.append("the run ended there: what came after would tell nothing")
                    break
            else:
                self.settle(world, load)
        finally:
            people.ended.set()
            load.ended.set()
            observer.stop()
        load.stop()
        people.stop()
        try:
            load.read_all(*([SICK_READS_S] if self.trouble else []))
            people.look_at_the_end()
        except RuntimeError as e:
            self.trouble.append(str(e))
        self.look_at_the_end(cluster, history)
        people.look_for_canaries()
        self.errors, self.verdicts = load.errors, people.verdicts

    def one_fault(self, world, load, step):
        """True when the cluster is healthy after it."""
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
        began = time.monotonic()
        try:
            load.wait_until_all_are_served(tend=world.tend)
            world.wait_until_healthy()
            took = round(time.monotonic() - began, 2)
            self.say(f"           healthy {took} s after it was healed")
        except (RuntimeError, ClusterError) as e:
            took = None
            self.trouble.append(f"after {step['fault']} ({what}): not healthy: {str(e)[-300:]}")
            self.say(f"  {self.trouble[-1]}")
        self.faults.append({**step, "target": what, "healthy_after_s": took})
        world.tend()
        for n in world.cluster.nodes:
            if n.state() == "stopped":
                self.trouble.append(f"after {step['fault']}: {n.name} has ended by itself; its log ends with:\n"
                                    f"{n.member.log_tail(8)}")
                world.cluster.launch(n.member)
        return took is not None

    def settle(self, world, load):
        for n in world.cluster.nodes:
            world.wait_until_ready(n)
        load.wait_until_all_are_served()

    def look_at_the_end(self, cluster, history):
        for node in cluster.nodes:
            try:
                said = node.admin("audit_verify")
            except (OSError, RuntimeError) as e:
                self.trouble.append(f"{node.name} does not verify its audit chains: {e}")
                continue
            history.say("audit", node=node.name, ok=said["ok"], why=said.get("why", ""))

    def summary(self, verdict, schedule):
        done = collections.Counter()
        for name, n in verdict["counts"].items():
            if "." in name:
                done[name] += n
        return {"ok": verdict["ok"] and not self.trouble, "seed": self.given.seed, "command": self.command(),
                "planned": schedule.steps, "faults": self.faults, "trouble": self.trouble, "verdict": verdict,
                "failed_requests": dict(self.errors), "policy_verdicts": dict(self.verdicts), "cpus": os.cpu_count(),
                "available": availability(self.history_file),
                "history": str(self.history_file)}


def availability(history):
    """Of the seconds in which events were sent for a shard, the part in which one of them was acknowledged."""
    sent, asked = {}, {}
    with open(history, encoding="utf-8") as lines:
        for line in lines:
            entry = json.loads(line)
            if entry["type"] == "invoke" and "shard" in entry:
                second = (entry["shard"], entry["at"] // 1_000_000_000)
                asked[entry["op"]] = second
                sent.setdefault(second, False)
            elif entry["type"] == "ok" and entry["op"] in asked:
                sent[asked[entry["op"]]] = True
    return sum(sent.values()) / len(sent) if sent else None


def show(result):
    lines = [f"seed {result['seed']}: {len(result['faults'])} faults", checker.show(result["verdict"])]
    if result["available"] is not None:
        lines.append(f"available: {100 * result['available']:.2f} % of shard-seconds")
    lines += [f"trouble: {t}" for t in result["trouble"]]
    lines.append(f"again: {result['command']}")
    return "\n".join(lines)
