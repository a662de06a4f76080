#!/usr/bin/env python3
"""An erasure in a cluster: when its receipt says that it is final, no node holds the person's key any more; and it does
not say so while one may.
"""

import datetime
import time

import process_case
from key_pages import destroyed_slots, read_pages
from replication_case import BROKEN, PATIENCE_S, ReplicationCase, now

SWEEPS_S = 4  # an erasure becomes final with a sweep, of which there is one a second


class Erasure(ReplicationCase):
    def setUp(self):
        super().setUp()
        self.person = "ann"

    def begin(self, **options):
        self.cluster = self.start_cluster(**options)
        self.shard = self.cluster.shard_of(self.person)
        # Somebody whose key lies in the same page: it is rewritten, and theirs must be in it.
        self.neighbour = next(u for u in (f"u-{i}" for i in range(1000)) if self.cluster.shard_of(u) == self.shard)
        for user in (self.person, self.neighbour):
            self.like(user)

    def like(self, user):
        event = {"id": f"{user}-{time.monotonic()}", "user": user, "at": now(), "kind": "engagement", "action": "like",
                 "object": {"id": "page-1", "topics": ["outdoors"]}}
        self.assertEqual(self.cluster.nodes[0].events([event])[0]["status"], "accepted")

    def wait(self, holds, what):
        until = time.monotonic() + PATIENCE_S
        while not (found := holds()):
            self.assertLess(time.monotonic(), until, what)
            time.sleep(0.05)
        return found

    def erase(self, node):
        """The receipt; the node is asked until it has one."""
        def ask():
            try:
                answer = node.call("DELETE", f"/v1/users/{self.person}", timeout=30)
            except BROKEN:
                return None
            if answer.status == 200:
                return answer.json()
            self.assertEqual(answer.status, 503, answer.body)
            return None
        return self.wait(ask, f"{node.name} gives no receipt")

    def wait_until_final(self, node):
        def ask():
            receipt = self.erase(node)
            return receipt if receipt["final_at"] else None
        return self.wait(ask, "the erasure does not become final")

    def pages(self, node):
        return read_pages(node.data, self.shard)

    def pages_in_use(self):
        """By node, of the pages that all have: of those the shard's keys are taken."""
        def ask():
            held = {n.name: self.pages(n) for n in self.cluster.nodes}
            common = set.intersection(*(set(pages) for pages in held.values()))
            return {node: {name: pages[name] for name in common} for node, pages in held.items()} if common else None
        return self.wait(ask, "the nodes do not hold the same page")

    def assert_same_receipt(self, a, b):
        for field in ("receipt", "subject", "erased_at", "audit"):
            self.assertEqual(a[field], b[field], field)

    def assert_key_is_nowhere(self, before):
        """On every node the same one key is gone, of a page whose old bytes and keys lie in no file."""
        gone = None
        for node in self.cluster.nodes:
            pages = self.pages(node)
            slots = {s for s in destroyed_slots(pages) if s[0] in before[node.name]}
            self.assertEqual(len(slots), 1, node.name)
            self.assertEqual(slots, gone or slots, node.name)
            gone = slots
            (name, slot), = slots
            old = before[node.name][name]
            self.assertTrue(old.states[slot], "the key was there before")
            self.assertNotEqual(old.keys[slot], pages[name].keys[slot])
            for i in range(len(old.keys)):
                if i != slot:
                    self.assertEqual(old.keys[i], pages[name].keys[i], "somebody else's key is not as it was")
            seen = b""
            for file in self.files_of(node):
                try:
                    content = file.read_bytes()
                except FileNotFoundError:  # a running process took it away
                    continue
                seen += content
                for secret in (*old.sealed, old.keys[slot]):
                    self.assertNotIn(secret, content, f"{node.name}: {file.name}")
            for kept in pages[name].sealed:
                self.assertIn(kept, seen, "the search cannot find what is there")

    def files_of(self, node):
        return [f for f in node.folder.rglob("*") if f.is_file()]

    def final_events(self, receipt):
        found = self.cluster.candorctl("audit", "find", "--subject", receipt["subject"], "-o", "json").stdout
        return found.count('"erasure_final"')

    def test_a_receipt_is_final_when_no_replica_holds_the_key(self):
        self.begin()
        first, second, third = self.cluster.nodes
        before = self.pages_in_use()
        self.assertEqual(destroyed_slots(before[first.name]), set())
        receipt = self.erase(first)
        self.assertEqual(receipt["final_at"], None)
        final = self.wait_until_final(second)
        self.assert_same_receipt(receipt, final)
        at = datetime.datetime.fromisoformat(final["final_at"].replace("Z", "+00:00"))
        self.assertGreaterEqual(at, datetime.datetime.fromisoformat(final["erased_at"].replace("Z", "+00:00")))
        self.assert_key_is_nowhere(before)
        self.assertEqual(self.erase(third), final)

        # Whoever leads the shard next knows it, and says it once.
        leader = next(s["primary"] for s in self.cluster.view()["shards"] if s["shard"] == self.shard)
        self.cluster.node(leader).kill()
        self.assertEqual(self.erase(next(n for n in self.cluster.nodes if n.name != leader)), final)
        self.cluster.node(leader).start()
        self.cluster.wait_until_healthy()
        time.sleep(SWEEPS_S)
        self.assertEqual(self.final_events(final), 1)
        self.assertEqual(first.call("GET", f"/v1/users/{self.neighbour}/export").status, 200)

    def test_it_is_not_final_while_a_node_is_away_that_holds_the_key(self):
        self.begin()
        before = self.pages_in_use()
        away = self.cluster.node(next(s["primary"] for s in self.cluster.view()["shards"] if s["shard"] == self.shard))
        here = [n for n in self.cluster.nodes if n is not away]
        away.stop()
        receipt = self.erase(here[0])
        for node in here:
            self.wait(lambda: destroyed_slots(self.pages(node)), f"{node.name} does not destroy the key")
        time.sleep(SWEEPS_S)
        for node in here:
            self.assertIsNone(self.erase(node)["final_at"])
        self.assertEqual(destroyed_slots(self.pages(away)), set(), "nobody can have told it")

        away.start()
        final = self.wait_until_final(here[1])
        self.assertNotEqual(destroyed_slots(self.pages(away)), set(), "final, and there is a key")
        self.assert_same_receipt(receipt, final)
        self.cluster.wait_until_healthy()
        self.assert_key_is_nowhere(before)
        self.assertEqual(self.erase(away)["final_at"], final["final_at"])
        self.assertEqual(self.final_events(final), 1)

    def erase_while_a_dropped_copy_is_away(self):
        """A node gives its copies away, and ends before it has emptied its disk. Its name, and the others."""
        self.begin(replicas=2)
        shard = next(s for s in self.cluster.view()["shards"] if s["shard"] == self.shard)
        away = self.cluster.node(shard["in_sync"][0])
        here = [n for n in self.cluster.nodes if n is not away]
        here[0].candorctl("cluster", "drain", away.name)

        def is_out():
            shards = here[0].call("GET", "/v1/cluster").json()["shards"]
            return all(away.name not in (*s["in_sync"], *s["wanted"]) for s in shards)
        self.wait(is_out, "it still counts")
        away.kill()
        self.assertTrue(self.pages(away), "it has emptied its disk already")
        self.wait(lambda: self.state_of(here[0], away.name) == "down", "it is not missed")
        self.erase(here[0])
        for node in here:
            self.wait(lambda: destroyed_slots(self.pages(node)), f"{node.name} does not destroy the key")
        time.sleep(SWEEPS_S)
        for node in here:
            self.assertIsNone(self.erase(node)["final_at"], "the dropped copy holds the key")
        return away, here

    def state_of(self, node, name):
        return next((n["state"] for n in node.call("GET", "/v1/cluster").json()["nodes"] if n["name"] == name), None)

    def test_a_dropped_copy_that_is_away_counts_until_its_node_is_forgotten(self):
        away, here = self.erase_while_a_dropped_copy_is_away()
        living = here[1].call("POST", "/v1/admin/forget", {"node": here[0].name})
        self.assertEqual((living.status, living.json()["code"]), (409, "conflict"))
        answer = here[1].call("POST", "/v1/admin/forget", {"node": away.name})
        self.assertEqual(answer.status, 200, answer.body)
        self.assertTrue(answer.json()["changed"])
        self.assertIn(self.shard, answer.json()["held"])
        final = self.wait_until_final(here[0])
        self.assertEqual(self.final_events(final), 1)
        self.assertIsNone(self.state_of(here[0], away.name))
        told = here[0].candorctl("audit", "find", "--action", "node_forgotten", "-o", "json").stdout
        self.assertIn(away.name, told)

        away.start()  # as a new node
        self.cluster.wait_until_healthy()
        self.assertEqual(self.state_of(here[0], away.name), "active")

    def test_a_dropped_copy_counts_until_it_has_come_back_and_emptied_its_disk(self):
        away, here = self.erase_while_a_dropped_copy_is_away()
        away.start()
        time.sleep(SWEEPS_S)
        if self.pages(away):
            self.assertIsNone(self.erase(here[0])["final_at"], "the dropped copy holds the key")
        self.wait(lambda: not self.pages(away), "it does not empty its disk")
        self.wait_until_final(here[0])


if __name__ == "__main__":
    process_case.main()
