#!/usr/bin/env python3
"""Sessions in a cluster: whoever brings the token of what they have seen sees it through every node, answered by that
node's own copy; nobody who was erased is seen again; and where two of three nodes are lost, sessions read on.
"""

import collections
import json
import random
import threading
import time

import process_case
from replication_case import BROKEN, PATIENCE_S, TOPICS, Connection, ReplicationCase, now

SESSION_AGE_S = 3  # limits::session_age


class Session:
    """Remembers what it has seen, as a client does: the last token of the one shard that it asks for."""

    def __init__(self, nodes, token=""):
        self.connections = [Connection(n, 10) for n in nodes]
        self.token = token

    def ask(self, number, method, path, body=None):
        """(status, body) of one node."""
        c = self.connections[number % len(self.connections)]
        headers = {"Candor-Session": self.token} if self.token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            opened = c.connected()
            opened.request(method, path, body=body, headers=headers)
            answer = opened.getresponse()
            text = answer.read().decode(errors="replace")
        except BROKEN:
            c.close()
            raise
        self.token = answer.headers.get("Candor-Session", self.token)
        return answer.status, text

    def close(self):
        for c in self.connections:
            c.close()


def events_in(text):
    return sum(i["events"] for i in json.loads(text)["interests"])


class Talker:
    """One person's session: tells something through one node, and looks for it through the others."""

    def __init__(self, cluster, user):
        self.user = user
        self.session = Session(cluster.nodes)
        self.nodes = len(cluster.nodes)
        self.chance = random.Random(user)
        self.acknowledged = self.reads = 0
        self.faults = []
        self.last = 0
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.work, daemon=True)

    def work(self):
        number = 0
        while not self.ended.is_set() and not self.faults:
            event = {"id": f"{self.user}-{number}", "user": self.user, "at": now(), "kind": "engagement",
                     "action": "like", "object": {"id": "page", "topics": [self.chance.choice(TOPICS)]}}
            if self.tell(json.dumps(event)):
                number += 1
                self.acknowledged += 1
                self.look()
        self.session.close()

    def tell(self, event):
        try:
            status, text = self.session.ask(self.chance.randrange(self.nodes), "POST", "/v1/events", event)
            return status == 200 and json.loads(text)["status"] in ("accepted", "duplicate")
        except BROKEN:
            return False

    def look(self):
        for node in range(self.nodes):
            try:
                status, text = self.session.ask(node, "GET", f"/v1/users/{self.user}/interests")
            except BROKEN:
                continue
            if status == 404 and self.acknowledged:
                self.faults.append(f"{self.user} is not known to node {node}")
            if status != 200:
                continue
            seen = events_in(text)
            self.reads += 1
            if seen < max(self.acknowledged, self.last):
                self.faults.append(f"node {node} told {self.user} of {seen} events after {self.last}, and "
                                   f"{self.acknowledged} acknowledged")
            self.last = max(self.last, seen)


class Sessions(ReplicationCase):
    def told_here(self, node):
        """Session reads that the node's own copy answered."""
        for line in node.call("GET", "/metrics").body.splitlines():
            if line.startswith("candor_routing_session_here_total "):
                return float(line.split()[1])
        return 0

    def get(self, node, user, token="", query=""):
        return node.call("GET", f"/v1/users/{user}/interests{query}", timeout=30,
                         headers={"Candor-Session": token} if token else None)

    def wait(self, holds, what, within_s=PATIENCE_S):
        until = time.monotonic() + within_s
        while not (found := holds()):
            self.assertLess(time.monotonic(), until, what())
            time.sleep(0.02)
        return found

    def like(self, node, user):
        answer = node.call("POST", "/v1/events", json.dumps(
            {"id": f"{user}-{time.monotonic()}", "user": user, "at": now(), "kind": "engagement", "action": "like",
             "object": {"id": "page-1", "topics": ["outdoors"]}}))
        self.assertEqual((answer.status, answer.json()["status"]), (200, "accepted"), answer.body)
        return answer.headers["Candor-Session"]

    def test_a_session_sees_what_it_told_through_every_node_and_never_goes_back(self):
        cluster = self.start_cluster()
        talkers = [Talker(cluster, f"u-{i}") for i in range(12)]
        for t in talkers:
            self.addCleanup(t.ended.set)
            t.thread.start()

        def go_on(count):
            wanted = {t: t.acknowledged + count for t in talkers}
            self.wait(lambda: all(t.acknowledged >= wanted[t] or t.faults for t in talkers),
                      lambda: f"they did not go on: {[t.acknowledged for t in talkers]}")
            self.assertEqual([f for t in talkers for f in t.faults], [])
        go_on(10)
        victim = self.leader_of_most(cluster)
        victim.kill()
        go_on(10)
        victim.start()
        cluster.wait_until_healthy()
        go_on(10)
        for t in talkers:
            t.ended.set()
        for t in talkers:
            t.thread.join(PATIENCE_S)
        self.assertEqual([f for t in talkers for f in t.faults], [])
        for node in cluster.nodes:
            self.assertGreater(self.told_here(node), 0, f"{node.name} answered nothing by itself")

    def test_nobody_sees_a_person_again_whose_erasure_was_acknowledged(self):
        cluster = self.start_cluster()
        chance = random.Random(3)
        for i in range(30):
            user = f"gone-{i}"
            self.like(chance.choice(cluster.nodes), user)
            for node in cluster.nodes:
                self.wait(lambda: self.get(node, user, query="?consistency=session").status == 200,
                          lambda: f"{node.name} does not know {user}")
            erased = chance.choice(cluster.nodes).call("DELETE", f"/v1/users/{user}")
            self.assertEqual(erased.status, 200, erased.body)
            # Other sessions, which know nothing of it.
            for node in chance.sample(cluster.nodes, len(cluster.nodes)):
                self.assertEqual(self.get(node, user, query="?consistency=session").status, 404,
                                 f"{node.name} still knows {user}")

    def test_when_two_of_three_nodes_are_lost_sessions_read_on(self):
        cluster = self.start_cluster()
        users = [f"u-{i}" for i in range(24)]
        tokens = {u: self.like(cluster.nodes[0], u) for u in users}
        left, *lost = cluster.nodes
        for u in users:  # so that nothing waits to be applied there
            self.wait(lambda: self.get(left, u, tokens[u]).status == 200, lambda: f"{u} is not known")
        time.sleep(1)
        for node in lost:
            node.kill()
        began = time.monotonic()
        answered = collections.Counter()
        while time.monotonic() < began + 3 * SESSION_AGE_S:
            for u in users:
                answer = self.get(left, u, tokens[u])
                self.assertEqual(answer.status, 200, f"{u}: {answer.body}")
                self.assertEqual(events_in(answer.body), 1)
                tokens[u] = answer.headers["Candor-Session"]
                answered[u] += 1
            time.sleep(0.2)
        self.assertGreater(min(answered.values()), 1)
        strong = self.get(left, users[0])
        self.assertEqual((strong.status, strong.json()["code"]), (503, "unavailable"), strong.body)
        strong = self.get(left, users[0], tokens[users[0]], "?consistency=strong")
        self.assertEqual(strong.status, 503, strong.body)
        # Without the coordinator nobody knows whether this copy still counts.
        for m in cluster.etcd:
            m.kill()
        self.wait(lambda: self.get(left, users[0], tokens[users[0]]).status == 503,
                  lambda: "a copy that hears nobody goes on answering")
        for m in cluster.etcd:
            cluster.launch(m)
        cluster.wait_for_etcd()
        for node in lost:
            node.start()
        cluster.wait_until_healthy()
        for u in users:
            self.assertEqual(events_in(self.get(left, u).body), 1)


if __name__ == "__main__":
    process_case.main()
