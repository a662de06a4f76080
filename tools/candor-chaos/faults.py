"""What can be done to a cluster. Each fault is a class with `inject` and `heal`; the schedule is made of them.

`inject` picks its victims among what is there now and says in a few words what it did; `heal` undoes it, waits for
nothing, and must work whatever became of the cluster meanwhile.
"""

import json
import shutil
import signal
import subprocess
import threading
import time

import network
import slow_network
from clocks import Clock
from local_cluster import ClusterError
from node import ROOT

BY_NAME = {}


def tell_disk(node, *orders):
    """What the node's disk is to do (storage/engine/disk_faults.hpp). At any rate what was not synced is lost when the
    process is killed."""
    new = node.folder / "disk.new"
    new.write_text("\n".join(["unsynced lost", *orders]) + "\n")
    new.rename(node.folder / "disk")


class World:
    """What faults act on. `chance` is the run's own: the same seed picks the same victims of the same view."""

    def __init__(self, cluster, chance, history, people, load):
        self.cluster = cluster
        self.chance = chance
        self.history = history
        self.people = people  # the load on the policy
        self.load = load      # writers and readers
        self.spoilt = []      # members whose files were spoilt
        self.watched = None   # the node that a measurement watches: it is the one that is hurt
        self.clocks = {n.name: Clock(n.folder / "clock") for n in cluster.nodes}

    def empty_disk(self, member):
        """A new disk, with the secrets that its operator puts back."""
        data = member.folder / "data"
        keys = {f: (data / "keys" / f).read_text() for f in ("master.key", "cluster.secret")}
        for child in data.iterdir():
            shutil.rmtree(child) if child.is_dir() else child.unlink()
        (data / "keys").mkdir(mode=0o700)
        for name, text in keys.items():
            self.cluster.write_private(data / "keys" / name, text)

    def tend(self):
        """As an operator would: a node that gave its spoilt data up gets an empty disk, and is started."""
        for m in list(self.spoilt):
            if m.state() == "stopped" and any(word in m.log_tail(5) for word in ("damaged", "corrupt")):
                self.history.say("note", what=f"{m.name} gave its data up; its disk is emptied")
                self.empty_disk(m)
                self.cluster.launch(m)
                self.spoilt.remove(m)  # what it ends of from now on is another matter

    def rest(self, until):
        """Until a moment of time.monotonic()."""
        while (left := until - time.monotonic()) > 0:
            self.tend()
            time.sleep(min(1, left))

    def wait_until_ready(self, node):
        """What was spoilt long ago may be read for the first time as the node starts."""
        try:
            node.wait_until_ready()
        except ClusterError:
            if node.member not in self.spoilt:
                raise
            self.tend()
            node.wait_until_ready()

    def wait_until_healthy(self, within_s=120):
        until = time.monotonic() + within_s
        while True:
            self.tend()
            try:
                return self.cluster.wait_until_healthy(10)
            except ClusterError:
                if time.monotonic() > until:
                    raise

    def view(self):
        """As the first node says that answers; empty where none does."""
        try:
            return self.cluster.view()
        except ClusterError:
            return {"shards": [], "nodes": []}

    def running(self):
        return [n for n in self.cluster.nodes if n.state() == "running"]

    def leader_of_most(self):
        """The node that leads most shards, or that is watched."""
        if self.watched is not None and self.watched.state() == "running":
            return self.watched
        led = {}
        for s in self.view()["shards"]:
            led[s.get("primary")] = led.get(s.get("primary"), 0) + 1
        found = [n for n in self.running() if n.name in led]
        return max(found, key=lambda n: led[n.name]) if found else self.chance.choice(self.running())

    def follower(self):
        """One that leads fewest, or that is watched."""
        if self.watched is not None and self.watched.state() == "running":
            return self.watched
        led = {n.name: 0 for n in self.running()}
        for s in self.view()["shards"]:
            if s.get("primary") in led:
                led[s["primary"]] += 1
        return self.cluster.node(min(led, key=led.get))

    def placement_leader(self):
        name = self.view().get("placement_leader")
        return self.cluster.node(name) if name and self.cluster.node(name).state() == "running" else self.follower()

    def etcd_leader(self):
        found = self.etcd_statuses()
        for member, status in found.items():
            if status.get("leader") == status["header"]["member_id"]:
                return next(m for m in self.cluster.etcd if m.name == member)
        return self.chance.choice([m for m in self.cluster.etcd if m.is_alive()])

    def etcd_statuses(self):
        found = {}
        certificates = self.cluster.folder / "certificates"
        for m in self.cluster.etcd:
            if m.state() != "running":
                continue
            with network.inside(self.cluster.client_namespace):
                done = subprocess.run(
                    ["etcdctl", "--endpoints", f"https://{m.facts['address']}:{m.facts['client_port']}", "--cacert",
                     str(certificates / "etcd-ca.crt"), "--cert", str(certificates / f"{m.name}.crt"), "--key",
                     str(certificates / f"{m.name}.key"), "--command-timeout=1s", "endpoint", "status", "-w", "json"],
                    capture_output=True, text=True, env={"ETCDCTL_API": "3", "PATH": "/usr/bin:/bin"})
            if done.returncode == 0:
                found[m.name] = json.loads(done.stdout)[0]["Status"]
        return found

    def start_again(self, members):
        """Those of them that do not run; etcd first, since a node waits for it."""
        for m in sorted(members, key=lambda m: m not in self.cluster.etcd):
            if m.state() == "paused":
                m.signal(signal.SIGCONT)
            elif m.state() == "stopped":
                self.cluster.launch(m)

    def ctl(self, *arguments):
        """An operator's command that may fail: true where it did not."""
        try:
            return self.cluster.candorctl(*arguments, check=False).returncode == 0
        except OSError:
            return False


class Fault:
    needs_networks = False  # members have networks of their own
    needs = ()              # further abilities of the cluster: "clock", "disk", "small disk"
    breaks_promises = False  # what it does is more than is promised against: the checker must find it
    lasts_s = (2, 8)        # how long before it is healed

    def __init__(self, world):
        self.world = world
        self.victims = []   # members to start again, or to go on

    def inject(self):
        raise NotImplementedError

    def heal(self):
        self.world.start_again(self.victims)

    def kill(self, *members):
        for m in members:
            m.signal(signal.SIGKILL)
        for m in members:
            m.wait(30)
        self.victims += members
        return ", ".join(m.name for m in members)

    def pause(self, member):
        member.signal(signal.SIGSTOP)
        self.victims.append(member)
        return member.name


def fault(name, **how):
    """Gives a class its name in the schedule."""
    def add(made):
        made.name = name
        for key, value in how.items():
            setattr(made, key, value)
        BY_NAME[name] = made
        return made
    return add


# -- processes that die or stand still -------------------------------------------------------------

@fault("kill-primary")
class KillPrimary(Fault):
    """kill -9 of the node that leads most shards"""

    def inject(self):
        return self.kill(self.world.leader_of_most().member)


@fault("kill-secondary")
class KillSecondary(Fault):
    """kill -9 of the node that leads fewest shards"""

    def inject(self):
        return self.kill(self.world.follower().member)


@fault("kill-placement-leader")
class KillPlacementLeader(Fault):
    """kill -9 of the node that leads the placement"""

    def inject(self):
        return self.kill(self.world.placement_leader().member)


@fault("kill-etcd-leader")
class KillEtcdLeader(Fault):
    """kill -9 of etcd's leader"""

    def inject(self):
        return self.kill(self.world.etcd_leader())


@fault("kill-primary-and-etcd-leader")
class KillPrimaryAndEtcdLeader(Fault):
    """kill -9 of the primary of most shards and of etcd's leader at once"""

    def inject(self):
        return self.kill(self.world.leader_of_most().member, self.world.etcd_leader())


@fault("kill-several")
class KillSeveral(Fault):
    """kill -9 of two nodes at once"""

    def inject(self):
        nodes = self.world.running()
        return self.kill(*[n.member for n in self.world.chance.sample(nodes, min(2, len(nodes)))])


@fault("kill-all", lasts_s=(0, 1))
class KillAll(Fault):
    """kill -9 of all nodes and all of etcd at once"""

    def inject(self):
        return self.kill(*self.world.cluster.members)


@fault("pause-primary")
class PausePrimary(Fault):
    """SIGSTOP of the node that leads most shards, then SIGCONT"""

    def inject(self):
        return self.pause(self.world.leader_of_most().member)


@fault("pause-secondary")
class PauseSecondary(Fault):
    """SIGSTOP of the node that leads fewest shards, then SIGCONT"""

    def inject(self):
        return self.pause(self.world.follower().member)


@fault("pause-placement-leader")
class PausePlacementLeader(Fault):
    """SIGSTOP of the node that leads the placement, then SIGCONT"""

    def inject(self):
        return self.pause(self.world.placement_leader().member)


@fault("pause-etcd-leader")
class PauseEtcdLeader(Fault):
    """SIGSTOP of etcd's leader, then SIGCONT"""

    def inject(self):
        return self.pause(self.world.etcd_leader())


@fault("etcd-away", lasts_s=(5, 15))
class EtcdAway(Fault):
    """kill -9 of all of etcd: the data path goes on"""

    def inject(self):
        return self.kill(*self.world.cluster.etcd)


@fault("restart-storm", lasts_s=(6, 10))
class RestartStorm(Fault):
    """kill -9 and start, again and again, of whichever node"""

    def inject(self):
        self.ended = threading.Event()
        seed = self.world.chance.random()
        self.storm = threading.Thread(target=self.work, args=(seed,), daemon=True)
        self.storm.start()
        return "each in turn"

    def work(self, seed):
        nodes = list(self.world.cluster.nodes)
        turn = int(seed * 1000)
        while not self.ended.is_set():
            turn += 1
            member = nodes[turn % len(nodes)].member
            member.kill()
            self.world.cluster.launch(member)
            self.ended.wait(0.2 + 1.5 * ((seed * turn) % 1))

    def heal(self):
        self.ended.set()
        self.storm.join(60)
        self.victims = [n.member for n in self.world.cluster.nodes]
        super().heal()


# -- networks --------------------------------------------------------------------------------------

class Cut(Fault):
    needs_networks = True
    lasts_s = (3, 10)

    def heal(self):
        self.world.cluster.heal()
        super().heal()

    def cut(self, names, others=None, one_way=False):
        self.world.cluster.partition(names, others, one_way)


@fault("cut-primary")
class CutPrimary(Cut):
    """the primary of most shards is cut off from all but its clients"""

    def inject(self):
        name = self.world.leader_of_most().name
        self.cut([name])
        return name


@fault("cut-primary-deaf")
class CutPrimaryDeaf(Cut):
    """the primary of most shards hears nobody, and is heard"""

    def inject(self):
        name = self.world.leader_of_most().name
        self.cut([name], one_way=True)
        return name


@fault("cut-primary-mute")
class CutPrimaryMute(Cut):
    """the primary of most shards hears all, and nobody hears it"""

    def inject(self):
        name = self.world.leader_of_most().name
        for m in self.world.cluster.members:
            if m.name != name:
                self.cut([m.name], [name], one_way=True)
        return name


@fault("cut-bridge")
class CutBridge(Cut):
    """the primary of most shards and one other do not hear each other; all else do"""

    def inject(self):
        name = self.world.leader_of_most().name
        other = self.world.chance.choice([n.name for n in self.world.cluster.nodes if n.name != name])
        self.cut([name], [other])
        return f"{name} and {other}"


@fault("cut-secondary")
class CutSecondary(Cut):
    """the node that leads fewest is cut off"""

    def inject(self):
        name = self.world.follower().name
        self.cut([name])
        return name


@fault("cut-from-etcd")
class CutFromEtcd(Cut):
    """the primary of most shards does not reach etcd; nodes reach each other"""

    def inject(self):
        name = self.world.leader_of_most().name
        self.cut([name], ["etcd"])
        return name


@fault("cut-etcd-leader")
class CutEtcdLeader(Cut):
    """etcd's leader is cut off from etcd and all nodes"""

    def inject(self):
        name = self.world.etcd_leader().name
        self.cut([name])
        return name


@fault("cut-halves")
class CutHalves(Cut):
    """two halves: one has most nodes, the other most of etcd"""

    def inject(self):
        nodes = [n.name for n in self.world.cluster.nodes]
        etcd = [m.name for m in self.world.cluster.etcd]
        self.world.chance.shuffle(nodes)
        half = nodes[:len(nodes) // 2 + 1] + etcd[:(len(etcd) - 1) // 2]
        self.cut(half)
        return f"{', '.join(half)} from all others"


@fault("cut-flapping", lasts_s=(6, 12))
class CutFlapping(Cut):
    """the primary of most shards is cut off and healed, several times a second to every other second"""

    def inject(self):
        self.ended = threading.Event()
        name = self.world.leader_of_most().name
        every_s = self.world.chance.uniform(0.2, 1.2)
        self.flapping = threading.Thread(target=self.work, args=(name, every_s), daemon=True)
        self.flapping.start()
        return name

    def work(self, name, every_s):
        while not self.ended.is_set():
            self.cut([name])
            self.ended.wait(every_s)
            self.world.cluster.heal()
            self.ended.wait(every_s)

    def heal(self):
        self.ended.set()
        self.flapping.join(30)
        super().heal()


# -- while something else is under way -------------------------------------------------------------

@fault("kill-while-draining")
class KillWhileDraining(Fault):
    """a node is drained, and it or another is killed meanwhile"""

    def inject(self):
        self.drained = self.world.leader_of_most()
        drain = threading.Thread(target=self.world.ctl, args=("cluster", "drain", self.drained.name), daemon=True)
        drain.start()
        time.sleep(self.world.chance.uniform(0, 0.3))
        killed = self.kill(self.world.chance.choice(self.world.running()).member)
        drain.join(60)
        return f"{self.drained.name} drained, {killed} killed"

    def heal(self):
        super().heal()
        undrain(self.world, self.drained.name)


@fault("kill-while-moving")
class KillWhileMoving(Fault):
    """shards are moved, and a node is killed meanwhile"""

    def inject(self):
        names = [n.name for n in self.world.cluster.nodes]
        shards = [s for s in self.world.view()["shards"] if s.get("primary")]
        for s in self.world.chance.sample(shards, min(4, len(shards))):
            others = [n for n in names if n != s["primary"]]
            self.world.ctl("cluster", "move", s["shard"], self.world.chance.choice(others))
        return "killed " + self.kill(self.world.chance.choice(self.world.running()).member)

    def heal(self):
        super().heal()
        self.world.ctl("cluster", "rebalance")


@fault("kill-while-catching-up")
class KillWhileCatchingUp(Fault):
    """a node that was away is started, and another is killed before it has caught up"""

    def inject(self):
        late = self.world.follower()
        self.kill(late.member)
        time.sleep(self.world.chance.uniform(2, 4))
        self.world.cluster.launch(late.member)
        time.sleep(self.world.chance.uniform(0, 1))
        killed = self.kill(self.world.chance.choice([n for n in self.world.cluster.nodes if n is not late]).member)
        return f"{late.name} late, {killed} killed"


@fault("kill-while-backing-up")
class KillWhileBackingUp(Fault):
    """a backup is taken, and a node is killed meanwhile"""

    def inject(self):
        where = self.world.cluster.folder / f"backup-{time.monotonic_ns()}"
        backup = threading.Thread(target=self.world.ctl, args=("backup", "create", str(where)), daemon=True)
        backup.start()
        time.sleep(self.world.chance.uniform(0, 0.5))
        killed = self.kill(self.world.leader_of_most().member)
        backup.join(60)
        return f"{killed} killed"


@fault("kill-while-activating-a-policy")
class KillWhileActivatingAPolicy(Fault):
    """a version of the policy is applied, a node is killed meanwhile, and it is applied again until all have it"""

    def inject(self):
        shipped = ROOT / "configs" / "policies" / "ai-interactions-2025-12-16.1.toml"
        self.file = self.world.cluster.folder / f"policy-{time.monotonic_ns()}.toml"
        version = f'version = "2025-12-16.{time.monotonic_ns() // 1_000_000}"'
        self.file.write_text("\n".join(version if line.startswith("version =") else line
                                       for line in shipped.read_text().splitlines()) + "\n")
        apply = threading.Thread(target=self.apply, daemon=True)
        apply.start()
        time.sleep(self.world.chance.uniform(0, 0.4))
        killed = self.kill(self.world.leader_of_most().member)
        apply.join(60)
        return f"{killed} killed"

    def apply(self):
        return self.world.ctl("policy", "apply", str(self.file), "--late")

    def heal(self):
        super().heal()
        until = time.monotonic() + 60
        while not self.apply():
            if time.monotonic() > until:
                self.world.history.say("note", what="a policy could not be applied for a minute")
                return
            time.sleep(0.5)


@fault("kill-while-telling-people")
class KillWhileTellingPeople(Fault):
    """people are to get notices, and the primary of most shards is killed meanwhile"""

    def inject(self):
        if self.world.people is None:
            return "nobody is there"
        self.world.people.add_audience(40)
        time.sleep(self.world.chance.uniform(0, 1.5))
        return self.kill(self.world.leader_of_most().member) + " killed"


@fault("kill-while-erasing")
class KillWhileErasing(Fault):
    """people are erased as fast as one client can, and the primary of most shards is killed meanwhile"""

    def inject(self):
        if self.world.people is None:
            return "nobody is there"
        self.world.people.eager.set()
        time.sleep(self.world.chance.uniform(0.5, 1.5))
        return self.kill(self.world.leader_of_most().member) + " killed"

    def heal(self):
        super().heal()
        if self.world.people is not None:
            self.world.people.eager.clear()


@fault("rolling-restart", lasts_s=(0, 1))
class RollingRestart(Fault):
    """one node after the other is drained, restarted and undrained, as for an upgrade"""

    def inject(self):
        for node in self.world.cluster.nodes:
            self.world.ctl("cluster", "drain", node.name, "--wait")
            self.victims = [node.member]
            node.member.stop()
            node.launch()
            self.world.wait_until_ready(node)
            undrain(self.world, node.name)
            self.world.ctl("cluster", "health", "--exit-when-healthy", "--within", "60s")
        return "each in turn"


def undrain(world, name, within_s=60):
    """An operator would try until it is done."""
    until = time.monotonic() + within_s
    while not world.ctl("cluster", "undrain", name) and time.monotonic() < until:
        time.sleep(0.5)
    world.ctl("cluster", "rebalance")


# -- clocks ----------------------------------------------------------------------------------------

class ClockFault(Fault):
    needs = ("clock",)
    lasts_s = (4, 8)

    def clock(self, node):
        return self.world.clocks[node.name]


@fault("wall-clock-ahead")
class WallClockAhead(ClockFault):
    """a node's time of day is an hour ahead"""
    seconds = 3600

    def inject(self):
        self.node = self.world.chance.choice(self.world.cluster.nodes)
        self.clock(self.node).set_wall(self.seconds)
        return self.node.name

    def heal(self):
        self.clock(self.node).set_wall(0)


@fault("wall-clock-behind")
class WallClockBehind(WallClockAhead):
    """a node's time of day is an hour behind"""
    seconds = -3600


@fault("clock-drift")
class ClockDrift(ClockFault):
    """each node's steady clock is wrong by up to 0.5 %, another way each (within what is promised)"""

    def inject(self):
        for i, node in enumerate(self.world.cluster.nodes):
            self.clock(node).set_rate((0.995, 1.005, 1.0)[i % 3])
        return "all"

    def heal(self):
        for node in self.world.cluster.nodes:
            self.clock(node).set_rate(1.0)


@fault("clock-stands", lasts_s=(8, 8), needs_networks=True, breaks_promises=True)
class ClockStands(ClockFault):
    """a primary that is cut off has a steady clock that nearly stands: not promised against, and must be found"""

    def inject(self):
        self.node = self.world.leader_of_most()
        led = [s["shard"] for s in self.world.view()["shards"] if s.get("primary") == self.node.name]
        self.clock(self.node).set_rate(0.02)
        self.world.cluster.partition([self.node.name])
        # The first writer that comes to it stops a shard's reads there: who is to see a stale one comes before.
        self.ended = threading.Event()
        self.readers = [threading.Thread(target=self.read_behind, args=(shard,), daemon=True) for shard in led]
        for r in self.readers:
            r.start()
        return self.node.name

    def read_behind(self, shard):
        """An event that another node acknowledges, and then a strong read at the one that is cut off."""
        other = next(n for n in self.world.cluster.nodes if n is not self.node)
        self.world.load.write_and_read(700 + shard, shard, other, self.node, self.ended)

    def heal(self):
        self.ended.set()
        for r in self.readers:
            r.join()
        self.clock(self.node).set_rate(1.0)
        self.world.cluster.heal()


# -- slow networks ---------------------------------------------------------------------------------

@fault("slow-network", needs_networks=True, lasts_s=(4, 8))
class SlowNetwork(Fault):
    """what comes and goes at a node takes 20 to 60 ms, and one frame of a hundred is lost"""

    def inject(self):
        node = self.world.chance.choice(self.world.cluster.nodes)
        delay_s = self.world.chance.uniform(0.02, 0.06)
        self.port = slow_network.SlowPort(self.world.cluster.client_namespace, node.member, delay_s, delay_s / 4,
                                          loss=0.01).start()
        return f"{node.name} by {1000 * delay_s:.0f} ms"

    def heal(self):
        self.port.end()


# -- disks -----------------------------------------------------------------------------------------

class DiskFault(Fault):
    needs = ("disk",)
    lasts_s = (3, 6)

    def tell(self, node, *orders):
        tell_disk(node, *orders)
        return node.name

    def heal(self):
        for node in self.world.cluster.nodes:
            tell_disk(node)
        super().heal()


@fault("disk-hangs")
class DiskHangs(DiskFault):
    """writes and syncs of the primary of most shards hang, and go on"""

    def inject(self):
        return self.tell(self.world.leader_of_most(), "hang")


@fault("disk-hangs-at-secondary")
class DiskHangsAtSecondary(DiskFault):
    """writes and syncs of a node that leads few shards hang, and go on"""

    def inject(self):
        return self.tell(self.world.follower(), "hang")


@fault("disk-slow")
class DiskSlow(DiskFault):
    """each write and sync of the primary of most shards takes 60 ms longer"""

    def inject(self):
        return self.tell(self.world.leader_of_most(), "delay 60")


@fault("disk-full")
class DiskFull(DiskFault):
    """the database of the primary of most shards finds its disk full"""

    def inject(self):
        return self.tell(self.world.leader_of_most(), "writes enospc")


@fault("disk-read-only")
class DiskReadOnly(DiskFault):
    """the database of the primary of most shards can write no more"""

    def inject(self):
        return self.tell(self.world.leader_of_most(), "writes erofs")


@fault("disk-fails")
class DiskFails(DiskFault):
    """writes of a node that leads few shards fail"""

    def inject(self):
        return self.tell(self.world.follower(), "writes eio")


@fault("power-loss", lasts_s=(0, 1))
class PowerLoss(DiskFault):
    """all nodes and all of etcd die at once, and what was not synced is lost"""

    def inject(self):
        return self.kill(*self.world.cluster.members)


@fault("power-loss-with-lying-disks", lasts_s=(1, 1), breaks_promises=True)
class LyingPowerLoss(DiskFault):
    """as a build without fsync: disks that lie, then all die; acknowledged events are lost, and must be found so"""

    def inject(self):
        for node in self.world.cluster.nodes:  # a log file that is opened from now on
            self.tell(node, "syncs lie")
        for node in self.world.cluster.nodes:
            node.member.stop()
            self.world.cluster.launch(node.member)
            self.world.wait_until_ready(node)
        self.world.wait_until_healthy()
        time.sleep(5)
        return self.kill(*self.world.cluster.members)


@fault("disk-full-for-real", lasts_s=(3, 6))
class DiskFullForReal(Fault):
    """the file system of the primary of most shards has no room"""
    needs = ("small disk",)

    def inject(self):
        node = self.world.leader_of_most()
        self.ballast = node.data / "ballast"
        with open(self.ballast, "wb") as out:
            try:
                while True:
                    out.write(b"\0" * (1 << 20))
                    out.flush()
            except OSError:
                pass
        return node.name

    def heal(self):
        self.ballast.unlink(missing_ok=True)


class Corruption(Fault):
    """Bytes of a file of a node that does not run are turned over; it is started again."""
    lasts_s = (3, 5)
    pattern = None

    def inject(self):
        node = self.world.follower()
        # Orderly, so that what lies in memory is in files.
        node.member.stop() if self.orderly else self.kill(node.member)
        self.victims.append(node.member)
        files = sorted((f for f in (node.data / "db").glob(self.pattern) if f.stat().st_size > 2048),
                       key=lambda f: f.stat().st_size)
        if not files:
            return f"{node.name}: it has no such file"
        spoil(files[-1], self.world.chance)
        self.world.spoilt.append(node.member)
        self.world.cluster.launch(node.member)
        return f"{node.name}: {files[-1].name}"

    def heal(self):
        for m in self.victims:
            node = self.world.cluster.node(m.name)
            until = time.monotonic() + 120
            while m.state() == "running" and not node.is_ready() and time.monotonic() < until:
                time.sleep(0.1)
        self.world.tend()
        super().heal()


def spoil(file, chance, bytes_turned=8):
    """In the first half: what stands at a log's end may be cut off, what stands before it not."""
    size = file.stat().st_size
    with open(file, "r+b") as f:
        for _ in range(bytes_turned):
            at = chance.randrange(size // 8, size // 2)
            f.seek(at)
            byte = f.read(1)[0]
            f.seek(at)
            f.write(bytes([byte ^ (1 << chance.randrange(8))]))


@fault("corrupt-table")
class CorruptTable(Corruption):
    """bytes of a table file (SST) of a node are turned over"""
    pattern, orderly = "*.sst", True


@fault("corrupt-log")
class CorruptLog(Corruption):
    """bytes of a node's write-ahead log are turned over, not at its end"""
    pattern, orderly = "*.log", False
