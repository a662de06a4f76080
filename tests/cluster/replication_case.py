"""What the tests of a cluster share: a cluster for each test, a load that remembers what was acknowledged, watchers
that catch a stale read, and the check that every acknowledged event is there exactly once.

Counting is exact because every event is an engagement that states its topic: each person's count for each topic follows
from a set of event ids.
"""

import collections
import concurrent.futures
import contextlib
import datetime
import itertools
import json
import os
import random
import shutil
import sys
import threading
import time

import process_case

sys.path.insert(0, str(process_case.SOURCE / "tools" / "cluster_tool"))
from connection import AGAIN, BROKEN, Connection  # noqa: E402
from local_cluster import LocalCluster  # noqa: E402

TOPICS = ("books", "gaming", "music", "outdoors", "pets", "travel")
# Nothing here asserts that something is fast; these only end a test that hangs.
PATIENCE_S = 240 if process_case.SANITIZED else 90


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def can_make_networks():
    return os.geteuid() == 0 and shutil.which("ip") and shutil.which("iptables")


class Busy:
    """Threads that do something until they are told to end."""

    def __init__(self, do, each):
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=do, args=(x,), daemon=True) for x in each]

    def start(self):
        for t in self.threads:
            t.start()
        return self

    def end(self):
        self.ended.set()
        for t in self.threads:
            t.join(PATIENCE_S)


class Load(Busy):
    """Events through all nodes until it is stopped. What is not answered is sent again with the same id, through
    another node; with `tries_most` it is given up after so many tries."""

    def __init__(self, cluster, users=120, workers=4, batch=20, timeout_s=3, prefix="e", tries_most=None):
        super().__init__(self.work, range(workers))
        self.cluster = cluster
        self.users = [f"u-{i}" for i in range(users)]
        self.batch = batch
        self.timeout_s = timeout_s
        self.prefix = prefix
        self.numbers = itertools.count()
        self.guard = threading.Lock()
        self.sent = {}       # id -> event
        self.acked = {}      # id -> when, as time.monotonic
        self.acked_of = collections.Counter()  # user -> acknowledged ids
        self.last_ack = {}   # user -> when their last acknowledged event was begun
        self.unexpected = []  # verdicts that no event of this load may get
        self.failures = collections.Counter()
        self.tries_most = tries_most
        self.requests = 0
        self.given_up = 0     # events, after `tries_most`
        self.most_tries = 0   # that a batch took
        self.longest_s = 0.0  # from an event's first sending to its acknowledgement

    def stop(self):
        """What is on its way may still be acknowledged."""
        self.end()
        if self.unexpected:
            raise AssertionError(f"verdicts that must not be: {self.unexpected[:5]}")
        return self

    def make_event(self, chance):
        number = next(self.numbers)
        return {"id": f"{self.prefix}-{number}", "user": chance.choice(self.users), "at": now(), "kind": "engagement",
                "action": "like", "object": {"id": f"page-{number % 50}", "topics": [chance.choice(TOPICS)]}}

    def work(self, number):
        chance = random.Random(number)
        connections = {}
        turn = number
        while not self.ended.is_set():
            open_events = {}
            for _ in range(self.batch):
                event = self.make_event(chance)
                open_events[event["id"]] = event
            with self.guard:
                self.sent.update(open_events)
            gave_up_at = None
            first, tries = time.monotonic(), 0
            while open_events:
                nodes = self.cluster.nodes
                node = nodes[turn % len(nodes)]
                connection = connections.setdefault(node.name, Connection(node, self.timeout_s))
                began = time.monotonic()
                try:
                    self.take(open_events, connection.send_events(list(open_events.values())), began)
                except BROKEN as e:
                    self.failures[type(e).__name__] += 1
                tries += 1
                self.note_try(tries, time.monotonic() - first)
                if open_events:
                    turn += 1
                    time.sleep(0.02)
                if self.tries_most and tries >= self.tries_most:
                    with self.guard:
                        self.given_up += len(open_events)
                    break
                if self.ended.is_set():  # a last few tries, so that little stays unknown
                    gave_up_at = gave_up_at or time.monotonic() + 2 * self.timeout_s
                    if time.monotonic() > gave_up_at:
                        break
            turn += 1
        for c in connections.values():
            c.close()

    def note_try(self, tries, passed_s):
        with self.guard:
            self.requests += 1
            self.most_tries = max(self.most_tries, tries)
            self.longest_s = max(self.longest_s, passed_s)

    def take(self, open_events, verdicts, began):
        with self.guard:
            for id, verdict in verdicts.items():
                event = open_events.pop(id, None)
                if event is None:
                    continue
                if verdict["status"] not in ("accepted", "duplicate"):
                    self.unexpected.append(verdict)
                    continue
                self.acked[id] = time.monotonic()
                self.acked_of[event["user"]] += 1
                self.last_ack[event["user"]] = max(self.last_ack.get(event["user"], 0), began)

    def acknowledged(self, user):
        with self.guard:
            return self.acked_of[user]

    def wait_for_acks(self, count, within_s=PATIENCE_S):
        """Until so many more are acknowledged."""
        wanted = len(self.acked) + count
        self.wait(lambda: len(self.acked) >= wanted, within_s, lambda: f"{len(self.acked)} of {wanted} acknowledged")

    def wait_until_all_are_served(self, within_s=PATIENCE_S):
        """Until an event of every person, sent from now on, is acknowledged: every shard takes writes."""
        since = time.monotonic()
        self.wait(lambda: not self.unserved(since), within_s,
                  lambda: f"{len(self.unserved(since))} persons are not served: shards "
                          f"{sorted({self.cluster.shard_of(u) for u in self.unserved(since)})}")

    def unserved(self, since):
        with self.guard:
            return [u for u in self.users if self.last_ack.get(u, 0) < since]

    def wait(self, holds, within_s, what):
        until = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > until:
                raise AssertionError(f"not in {within_s} s: {what()}; failed requests: {dict(self.failures)}")
            time.sleep(0.02)


class Watcher(Busy):
    """Reads persons through every node while the load runs. Not being answered is allowed; an answer that lacks what
    was acknowledged before the read began is not."""

    def __init__(self, load, nodes=None, timeout_s=3):
        super().__init__(self.watch, nodes or load.cluster.nodes)
        self.load = load
        self.timeout_s = timeout_s
        self.reads = collections.Counter()
        self.stale = []

    def stop(self):
        self.end()
        if self.stale:
            raise AssertionError(f"{len(self.stale)} stale reads of {sum(self.reads.values())}: {self.stale[:5]}")
        return self

    def watch(self, node):
        chance = random.Random(node.name)
        connection = Connection(node, self.timeout_s)
        while not self.ended.is_set():
            user = chance.choice(self.load.users)
            acknowledged = self.load.acknowledged(user)
            try:
                status, body = connection.request("GET", f"/v1/users/{user}/export")
                # "Not found" is an answer too: that nothing is known of them.
                found = json.loads(body)["events_remembered"] if status == 200 else 0 if status == 404 else None
            except BROKEN:
                found = None
            if found is None:
                time.sleep(0.02)
                continue
            self.reads[node.name] += 1
            if found < acknowledged:
                self.stale.append(f"{node.name} knew {found} of {acknowledged} events of {user}")
        connection.close()


class ReplicationCase(process_case.ProcessCase):
    """A cluster for each test, ended and removed with it."""

    def start_cluster(self, nodes=3, **options):
        options.setdefault("shards", 16)
        cluster = LocalCluster.up(self.folder / "cluster", process_case.bin_dir, nodes=nodes, **options)
        self.addCleanup(cluster.down)
        self.addCleanup(self.show_logs, cluster)
        cluster.wait_until_healthy()
        return cluster

    def show_logs(self, cluster):
        """Of a test that failed, before its folder goes."""
        outcome = self._outcome.result
        if any(test is self for test, _ in outcome.failures + outcome.errors):
            for m in cluster.members:
                print(f"--- {m.name} ({m.state()})\n{m.log_tail(15)}", file=sys.stderr)

    def start_load(self, cluster, **options):
        load = Load(cluster, **options).start()
        self.addCleanup(load.ended.set)
        load.wait_until_all_are_served()
        return load

    def start_watcher(self, load, **options):
        watcher = Watcher(load, **options).start()
        self.addCleanup(watcher.ended.set)
        return watcher

    @contextlib.contextmanager
    def cluster_under_load(self, load_options=None, **options):
        """A cluster, a load and a watcher; what was acknowledged is counted when the body has ended."""
        cluster = self.start_cluster(**options)
        load = self.start_load(cluster, **(load_options or {}))
        watcher = self.start_watcher(load)
        yield cluster, load, watcher
        watcher.stop()
        self.verify(cluster, load)

    def kill_and_bring_back(self, cluster, node, load):
        """kill -9; the others serve all of it, then it comes back."""
        node.kill()
        load.wait_until_all_are_served()
        node.start()
        cluster.wait_until_healthy()

    def say(self, text):
        """A figure, beside the test's name."""
        print(f"{text} ...", end=" ", file=sys.stderr, flush=True)

    def leader_of_most(self, cluster):
        """The node that leads most shards."""
        led = collections.Counter(s["primary"] for s in cluster.view()["shards"] if s.get("primary"))
        self.assertTrue(led, "nobody leads anything")
        return cluster.node(led.most_common(1)[0][0])

    def terms(self, cluster):
        return {s["shard"]: s["term"] for s in cluster.view()["shards"]}

    # -- counting ----------------------------------------------------------------------------------

    def verify(self, cluster, load):
        """Every acknowledged event is there exactly once, seen through every node; at the end all that was sent is."""
        load.stop()
        self.assertGreater(len(load.acked), 0)
        for node in cluster.nodes:
            counted = self.count(node, load.users)
            least, most = expected(load, load.acked), expected(load, load.sent)
            for user in load.users:
                for what, n in least[user].items():
                    self.assertGreaterEqual(counted[user][what], n, f"{node.name}: {user} lost an event: {what}")
                for what, n in counted[user].items():
                    self.assertLessEqual(n, most[user][what], f"{node.name}: {user} has more than was sent: {what}")
        verdicts = self.send_all_again(cluster, load)
        forgotten = [id for id in load.acked if verdicts[id]["status"] != "duplicate"]
        self.assertEqual(forgotten, [], "an acknowledged event was taken a second time")
        wanted = expected(load, load.sent)
        for node in cluster.nodes:
            self.assertEqual(self.count(node, load.users), wanted, f"seen through {node.name}")
            self.assertTrue(node.admin("audit_verify")["ok"], node.name)
        self.say(f"{len(load.acked)} acknowledged of {len(load.sent)} and none lost or twice, "
                 f"{sum(load.failures.values())} of {load.requests} requests failed {dict(load.failures) or ''}")

    def send_all_again(self, cluster, load):
        """{id: verdict} of all of it, through the nodes in turn."""
        connections = [Connection(n, 30) for n in cluster.nodes]
        for c in connections:
            self.addCleanup(c.close)
        turns = itertools.cycle(connections)
        verdicts = {}
        events = list(load.sent.values())
        for at in range(0, len(events), 500):
            missing = {e["id"]: e for e in events[at:at + 500]}
            until = time.monotonic() + PATIENCE_S
            while missing:
                try:
                    verdicts.update(next(turns).send_events(list(missing.values())))
                except BROKEN as e:
                    self.assertLess(time.monotonic(), until, str(e))
                    time.sleep(0.1)
                missing = {id: e for id, e in missing.items() if id not in verdicts}
                self.assertLess(time.monotonic(), until, f"{len(missing)} events have no verdict")
        return verdicts

    def count(self, node, users):
        """{user: {topic: events, "ids": events}} as the node has it."""
        def one(user):
            until = time.monotonic() + PATIENCE_S
            while True:
                try:
                    answer = node.call("GET", f"/v1/users/{user}/export", timeout=30)
                    if answer.status == 200:
                        break
                    if answer.status == 404:
                        return user, collections.Counter()
                    why = f"{answer.status} {answer.body}"
                except BROKEN as e:
                    why = str(e)
                if time.monotonic() > until:
                    raise AssertionError(f"{node.name} does not say what it knows of {user}: {why}")
                time.sleep(0.1)
            export = answer.json()
            counts = collections.Counter({i["topic"]: i["events"] for i in export["interests"]})
            counts["ids"] = export["events_remembered"]
            return user, counts
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            return dict(pool.map(one, users))


def expected(load, ids):
    counts = {user: collections.Counter() for user in load.users}
    for id in ids:
        event = load.sent[id]
        counts[event["user"]]["ids"] += 1
        counts[event["user"]].update(event["object"]["topics"])
    return counts
