"""Clients of a cluster that write down what they did and saw: writers, readers, and one that looks at the cluster.

Every event of a person has a time of its own, and a person's record shows the times of the events that it remembers in
the order in which they were taken: so a read shows which events are there, each once or not, and in which order.
"""

import collections
import datetime
import json
import random
import threading
import time

from connection import BROKEN, Connection

TOPICS = ("books", "gaming", "music", "outdoors", "pets", "travel")
EVENTS_A_PERSON = 120     # then another person comes: no read grows without end
SHIFT_MS = 70 * 60 * 1000  # events are of seventy minutes ago: a node whose clock is an hour behind takes them too
APPLIED, AGAIN, REFUSED = {"accepted", "duplicate"}, {"unknown"}, {"overloaded", "withheld", "invalid"}


def time_text(ms):
    at = datetime.datetime.fromtimestamp(ms / 1000, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03}Z"


def time_ms(text):
    return round(datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() * 1000)


class Person:
    """Who they are and what was sent for them."""

    def __init__(self, name, shard):
        self.name = name
        self.shard = shard
        self.guard = threading.Lock()
        self.ids = {}        # at_ms -> event id
        self.last_ms = 0

    def next_event(self, topic):
        """(id, at_ms, the event): of a time that no other event of theirs has."""
        with self.guard:
            ms = max(int(time.time() * 1000) - SHIFT_MS, self.last_ms + 1)
            self.last_ms = ms
            id = f"{self.name}-{len(self.ids)}"
            self.ids[ms] = id
        return id, ms, {"id": id, "user": self.name, "at": time_text(ms), "kind": "engagement", "action": "like",
                        "object": {"id": f"page-{ms % 50}", "topics": [topic]}}

    def events_of(self, body):
        """Ids in the order of the record that a node shows."""
        with self.guard:
            return [self.ids.get(time_ms(text), f"?{text}") for text in json.loads(body)["events"]]


def keep_token(connection, token):
    """What a session has seen so far, as the last answer has it."""
    if token is not None and (seen := connection.answered.get("Candor-Session")):
        token["Candor-Session"] = seen


class Workload:
    """Runs until it is stopped; `rate` is events and reads a second, of all threads together."""

    def __init__(self, cluster, history, seed, persons=48, writers=4, readers=4, sessions=2, batch=4, rate=240,
                 timeout_s=2, prefix="p"):
        self.cluster = cluster
        self.history = history
        self.prefix = prefix
        self.batch = batch
        self.timeout_s = timeout_s
        self.guard = threading.Lock()
        self.made = 0
        self.persons = [self.make_person() for _ in range(persons)]
        self.retired = []
        self.ended = threading.Event()
        self.reading_ended = threading.Event()
        self.last_ack = {}       # shard -> when its last acknowledged event was begun
        self.acks = collections.deque()  # (acknowledged, shard, took), as time.monotonic
        self.errors = collections.Counter()
        self.crashed = []
        pause = (writers * batch + readers + 2 * sessions) / rate
        self.threads = [threading.Thread(target=self.guarded, args=(self.write, i, seed, pause), daemon=True)
                        for i in range(writers)]
        self.readers = [threading.Thread(target=self.guarded, args=(self.read, 100 + i, seed, pause), daemon=True)
                        for i in range(readers)]
        self.readers += [threading.Thread(target=self.guarded, args=(self.visit, 300 + i, seed, pause), daemon=True)
                         for i in range(sessions)]

    def make_person(self):
        self.made += 1
        name = f"{self.prefix}{self.made}"
        return Person(name, self.cluster.shard_of(name))

    def start(self):
        for t in self.threads + self.readers:
            t.start()
        return self

    def stop(self):
        """Writers first, so that the last reads come after the last acknowledgement."""
        self.ended.set()
        for t in self.threads:
            t.join(30)
        self.reading_ended.set()
        for t in self.readers:
            t.join(30)
        if self.crashed:
            raise RuntimeError(f"a client crashed: {self.crashed[0]}")

    def guarded(self, work, *arguments):
        try:
            work(*arguments)
        except Exception as e:  # whatever it is, the run is worth nothing then
            self.crashed.append(repr(e))
            raise

    def pick(self, chance):
        with self.guard:
            i = chance.randrange(len(self.persons))
            person = self.persons[i]
            if len(person.ids) >= EVENTS_A_PERSON:
                self.retired.append(person)
                person = self.persons[i] = self.make_person()
            return person

    # -- writing -----------------------------------------------------------------------------------

    def write(self, process, seed, pause):
        chance = random.Random(f"{seed}/{process}")
        connections = {}
        turn = process
        while not self.ended.is_set():
            began = time.monotonic()
            open_events = {}
            for _ in range(self.batch):
                person = self.pick(chance)
                id, ms, event = person.next_event(chance.choice(TOPICS))
                open_events[id] = (person, ms, event)
            tries = 0
            # A few are given up: whether they count nobody knows then, and either must be right.
            gives_up_after = 1 if chance.random() < 0.05 else 1000
            while open_events and tries < gives_up_after and not self.ended.is_set():
                nodes = self.cluster.nodes
                node = nodes[turn % len(nodes)]
                self.send(process, node, connections, open_events)
                tries += 1
                if open_events:
                    turn += 1
                    self.ended.wait(0.05)
            turn += 1
            self.ended.wait(max(0, pause - (time.monotonic() - began)))
        for c in connections.values():
            c.close()

    def send(self, process, node, connections, open_events, token=None):
        connection = connections.setdefault(node.name, Connection(node, self.timeout_s))
        ops = {id: self.history.begin("event", process=process, node=node.name, user=person.name, event=id, at_ms=ms,
                                      shard=person.shard)
               for id, (person, ms, _) in open_events.items()}
        began = time.monotonic()
        body = "".join(json.dumps(event) + "\n" for _, _, event in open_events.values())
        try:
            status, text = connection.request("POST", "/v1/events", body, "application/x-ndjson", token)
            keep_token(connection, token)
            if status != 200:
                raise ValueError(f"answered {status}")
            verdicts = {v["id"]: v for v in map(json.loads, filter(str.strip, text.splitlines()))}
        except BROKEN as e:
            self.errors[type(e).__name__] += 1
            verdicts = {}
        done = time.monotonic()
        for id, op in ops.items():
            person = open_events[id][0]
            verdict = verdicts.get(id, {"status": "unknown"})
            if verdict["status"] in APPLIED:
                self.history.end(op, "ok", status=verdict["status"])
                with self.guard:
                    self.acks.append((done, person.shard, done - began))
                    self.last_ack[person.shard] = max(self.last_ack.get(person.shard, 0), began)
                open_events.pop(id)
            elif verdict["status"] in REFUSED:
                self.history.end(op, "fail", status=verdict["status"], reason=verdict.get("reason"))
                if verdict["status"] != "overloaded":
                    self.errors[f"{verdict['status']}: {verdict.get('reason')}"] += 1
                    open_events.pop(id)
            else:
                self.history.end(op, "unknown")

    # -- reading -----------------------------------------------------------------------------------

    def read(self, process, seed, pause):
        chance = random.Random(f"{seed}/{process}")
        connections = {}
        while not self.reading_ended.is_set():
            began = time.monotonic()
            nodes = self.cluster.nodes
            self.read_one(process, chance.choice(nodes), connections, self.pick(chance))
            self.reading_ended.wait(max(0, pause - (time.monotonic() - began)))
        for c in connections.values():
            c.close()

    def visit(self, process, seed, pause):
        """A session: an event of a person, then a read of them through another node, which its own copy may answer.
        What the session has seen goes along as its token."""
        chance = random.Random(f"{seed}/{process}")
        connections, token = {}, {}
        while not self.reading_ended.is_set():
            began = time.monotonic()
            person = self.pick(chance)
            if not self.ended.is_set() and chance.random() < 0.5:
                id, ms, event = person.next_event(chance.choice(TOPICS))
                node = chance.choice(self.cluster.nodes)
                self.send(process, node, connections, {id: (person, ms, event)}, token)
            self.read_one(process, chance.choice(self.cluster.nodes), connections, person, token)
            self.reading_ended.wait(max(0, pause - (time.monotonic() - began)))
        for c in connections.values():
            c.close()

    def read_one(self, process, node, connections, person, token=None):
        """True when it was answered. A strong read, or where there is a `token` one of that session."""
        connection = connections.setdefault(node.name, Connection(node, self.timeout_s))
        level, query = ("strong", "") if token is None else ("session", "&consistency=session")
        op = self.history.begin("read", process=process, node=node.name, user=person.name, level=level)
        try:
            status, body = connection.request("GET", f"/v1/users/{person.name}?events=true{query}", headers=token)
            keep_token(connection, token)
            events = person.events_of(body) if status == 200 else [] if status == 404 else None
        except BROKEN:
            events = None
        if events is None:
            self.history.end(op, "fail")
            return False
        self.history.end(op, "ok", events=events)
        return True

    def write_and_read(self, process, shard, writer, reader, ended):
        """An event of somebody of the shard, sent to a node until it is acknowledged; then a strong read at another."""
        with self.guard:
            person = self.make_person()
            while person.shard != shard:
                person = self.make_person()
            self.retired.append(person)
        id, ms, event = person.next_event(TOPICS[0])
        open_events, connections = {id: (person, ms, event)}, {}
        while open_events and not ended.wait(0.05):
            self.send(process, writer, connections, open_events)
        if not open_events:
            self.read_one(process, reader, connections, person)
        for c in connections.values():
            c.close()

    def read_all(self, within_s=120):
        """The last word: every person through every node, until each has answered, or the time is over; who did not
        answer by then is asked once more and raised."""
        until = time.monotonic() + within_s
        connections, silent = {}, []
        for person in self.retired + self.persons:
            for node in self.cluster.nodes:
                while not self.read_one(900, node, connections, person):
                    if time.monotonic() > until:
                        silent.append(f"{person.name} (shard {person.shard}) through {node.name}")
                        break
                    time.sleep(0.1)
        for c in connections.values():
            c.close()
        if silent:
            raise RuntimeError(f"{within_s} s after the last fault {len(silent)} reads have no answer: "
                               f"{', '.join(silent[:3])}")

    # -- waiting -----------------------------------------------------------------------------------

    def unserved(self, since):
        with self.guard:
            shards = {p.shard for p in self.persons}
            return sorted(s for s in shards if self.last_ack.get(s, 0) < since)

    def wait_until_all_are_served(self, within_s=90, tend=None):
        """Until each shard that has a person acknowledged an event that was sent from now on."""
        since = time.monotonic()
        while self.unserved(since):
            if tend:
                tend()
            if time.monotonic() > since + within_s:
                raise RuntimeError(f"shards {self.unserved(since)} take no writes after {within_s} s; failed requests: "
                                   f"{dict(self.errors)}")
            time.sleep(0.02)
        return time.monotonic() - since


class Observer:
    """Asks the nodes in turn what they think of the cluster, and writes down who leads and the digests."""

    def __init__(self, cluster, history, every_s=0.5):
        self.cluster = cluster
        self.history = history
        self.every_s = every_s
        self.ended = threading.Event()
        self.told = set()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def start(self):
        self.thread.start()
        return self

    def stop(self):
        self.ended.set()
        self.thread.join(30)

    def work(self):
        turn = 0
        while not self.ended.wait(self.every_s):
            nodes = self.cluster.nodes
            turn += 1
            self.look(nodes[turn % len(nodes)])

    def look(self, node):
        connection = Connection(node, 2)
        try:
            status, body = connection.request("GET", "/v1/cluster")
            view = json.loads(body) if status == 200 else {"shards": []}
        except BROKEN:
            return
        finally:
            connection.close()
        for s in view["shards"]:
            if not s["serving"]:
                continue
            # A digest of all that the shard did: the head of its audit chain after so many records.
            seen = (s["shard"], s["audit"]["entries"], s["audit"]["head"])
            if seen not in self.told:
                self.told.add(seen)
                self.history.say("digest", shard=s["shard"], seq=s["audit"]["entries"], digest=s["audit"]["head"],
                                 node=node.name)
