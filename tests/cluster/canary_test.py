#!/usr/bin/env python3
"""What a person says is nowhere: in no file that a node writes, no log line, no metric, no answer.

A word that stands nowhere else is sent in every place where text may stand, with every kind of outcome, to a node that
logs all it can; then everything that the node wrote or says is searched for it. The same is done with a cluster, each
call through another of its nodes; there the files of every node and of etcd are searched.
"""

import base64
import datetime
import itertools
import json
import struct
import unittest

import process_case
from replication_case import ReplicationCase

from canary import disguises, word  # noqa: E402 (in tools/cluster_tool)


def pack(value):
    """msgpack, as far as events need it."""
    if isinstance(value, str):
        data = value.encode()
        return struct.pack(">BI", 0xDB, len(data)) + data
    if isinstance(value, float):
        return struct.pack(">Bd", 0xCB, value)
    if isinstance(value, list):
        return struct.pack(">BI", 0xDD, len(value)) + b"".join(map(pack, value))
    return struct.pack(">BI", 0xDF, len(value)) + b"".join(pack(k) + pack(v) for k, v in value.items())


class Canary:
    """What is sent and where it is looked for; `nodes` are given by who uses it."""

    def let_loose(self, nodes):
        self.nodes = nodes
        self.turns = itertools.cycle(nodes)
        self.canary = word("quokka")
        self.person = word("person")
        self.misnamed = word("misnamed")  # in place of a name: told back to its sender, and kept nowhere
        self.answers = []

    @property
    def node(self):
        """The next whose turn it is."""
        return next(self.turns)

    def event(self, id, user, **more):
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"id": id, "user": user, "at": now, "kind": "ai_interaction", "modality": "text", "lang": "en", **more}

    def post(self, body, content_type="application/x-ndjson"):
        answer = self.node.call("POST", "/v1/events", body, content_type)
        self.answers.append(answer.body)
        return answer

    def verdicts(self, *events):
        answer = self.post("".join(json.dumps(e) + "\n" for e in events))
        return [v["status"] + (": " + v["reason"] if "reason" in v else "") for v in answer.lines()]

    def send_everything(self):
        canary, told, untold = self.canary, self.person, self.person + "x"
        self.introduce(self.node, told)
        self.introduce(self.node, untold, told=False)
        hiking = f"which hiking boots would {canary} wear in winter?"
        voice = self.event("voice", told)
        voice.update(modality="voice", transcript=hiking, confidence=0.95)
        mumbled = {**voice, "id": "mumbled", "confidence": 0.05}
        like = {k: v for k, v in self.event("like", told).items() if k not in ("modality", "lang")}
        like.update(kind="engagement", action="like",
                    object={"id": "page-1", "topics": ["outdoors"], "text": f"trails of {canary}"})
        self.assertEqual(self.verdicts(
            self.event("said", told, text=hiking),
            self.event("loud", told, text=hiking.upper()),
            self.event("turns", told, text="and in summer?",
                       context=[f"{canary} asked for hiking boots for the winter", "leather boots or light ones?"]),
            voice, like,
        ), ["accepted"] * 5)
        self.assertEqual(self.verdicts(
            self.event("ill", told, text=f"{canary} has diabetes, and so have I"),
            self.event("ill-before", told, text="and now?", context=[f"{canary} was diagnosed with cancer"]),
            mumbled,
            self.event("untold", untold, text=hiking),
            self.event("nobody", "stranger", text=hiking),
        ), ["withheld: sensitive"] * 3 + ["withheld: not_notified", "withheld: region_unknown"])
        self.assertEqual(self.verdicts(
            self.event("late", told, text=hiking, at="2025-12-20T00:00:00Z"),
            self.event("soon", told, text=hiking, at="2190-01-01T00:00:00Z"),
            self.event("when", told, text=hiking, at=canary),
            self.event("field", told, text=hiking, **{self.misnamed: canary}),
            self.event("kind", told, text=hiking, kind=canary),
            self.event("long", told, text=canary * 6000),
            {**like, "id": "topic", "object": {"id": "p", "topics": [self.misnamed], "text": canary}},
        )[:4], ["invalid: too_old", "invalid: in_the_future", "invalid: bad_time", "invalid: unknown_field"])
        # Not even JSON, not even UTF-8.
        self.post('{"id":"broken","text":"%s' % canary)
        self.post(b'{"id":"latin","user":"x","text":"caf\xe9 ' + canary.encode() + b'"}')
        # One by one, and as msgpack.
        one = self.post(json.dumps(self.event("single", told, text=hiking)), "application/json")
        self.assertEqual(one.json()["status"], "accepted")
        self.assertEqual(self.post(json.dumps(self.event("bad", told, text=hiking, at="x")), "application/json").status,
                         400)
        packed = self.post(pack(self.event("packed", told, text=hiking)) + pack(mumbled | {"id": "packed-2"}),
                           "application/msgpack")
        self.assertEqual([v["status"] for v in packed.lines()], ["accepted", "withheld"])
        self.post(pack(self.event("cut", told, text=hiking))[:-4], "application/msgpack")
        # Addresses that do not exist, admin messages that make no sense.
        self.answers.append(self.node.call("POST", "/v1/events?import=7",
                                           json.dumps(self.event("run", told, text=hiking)),
                                           "application/x-ndjson").body)
        self.answers.append(self.node.call("POST", "/v1/admin/log_level", {"level": "debug", "text": canary}).body)

    def assert_nowhere(self, secret, where, content):
        content = content.lower()
        for form in disguises(secret):
            self.assertNotIn(form, content, f"{secret} stands in {where} as {form}")

    def assert_that_nobody_says_it(self, node):
        for path in ("/metrics", f"/v1/users/{self.person}/export", f"/v1/users/{self.person}/interests",
                     "/v1/audit?limit=1000", "/v1/cluster"):
            answer = node.call("GET", path)
            self.assertEqual(answer.status, 200, answer.body)
            self.assert_nowhere(self.canary, path, answer.body.encode())
            if path in ("/metrics", "/v1/audit?limit=1000", "/v1/cluster"):
                self.assert_nowhere(self.person, path, answer.body.encode())
                self.assert_nowhere(self.misnamed, path, answer.body.encode())
        for answer in self.answers:
            self.assert_nowhere(self.canary, "an answer to its sender", answer.encode())

    def assert_in_no_file(self, folder, holds=None):
        """`holds`: what is there and may be, to show that the search can find it."""
        files = [f for f in folder.rglob("*") if f.is_file()]
        self.assertTrue(files, folder)
        held = b""
        for file in files:
            try:
                content = file.read_bytes()
            except FileNotFoundError:  # a running process took it away
                continue
            for secret in (self.canary, self.person, self.misnamed):
                self.assert_nowhere(secret, str(file.relative_to(self.folder)), content)
            held += content
        if holds:
            self.assertIn(holds, held, folder)

    def assert_not_in_its_log(self, node):
        log = node.log.read_bytes()
        self.assertIn(b"the node stops", log, "the log is not where it is looked for")
        for secret in (self.canary, self.person, self.misnamed):
            self.assert_nowhere(secret, "the log", log)


class OfANode(Canary, process_case.ProcessCase):
    def test_what_was_said_is_in_no_file_no_log_no_metric_and_no_answer(self):
        node = self.start_node(flags=["--log-level", "debug"])
        with open(f"/proc/{node.process.pid}/limits", encoding="ascii") as f:
            self.assertRegex(f.read(), r"Max core file size +0 +0 ")
        self.let_loose([node])
        self.send_everything()
        self.assert_that_nobody_says_it(node)
        # Once while it runs (the log of writes is not compressed; a policy is public, and stored as it is) and once
        # after its end.
        self.assert_in_no_file(node.data, b"2025-12-16.1")
        node.admin("stop")
        self.assertEqual(node.process.wait(30), 0)
        self.assert_in_no_file(node.data)
        self.assert_not_in_its_log(node)


class OfACluster(Canary, ReplicationCase):
    def test_what_was_said_is_with_no_node_and_not_in_etcd(self):
        cluster = self.start_cluster(settings={"log_level": "debug"})
        self.let_loose(cluster.nodes)
        self.send_everything()
        for node in cluster.nodes:
            self.assert_that_nobody_says_it(node)
        for moment in ("running", "stopped"):
            if moment == "stopped":
                for node in cluster.nodes:
                    node.admin("stop")
                    self.assertTrue(node.member.wait(30), f"{node.name} does not end")
                for m in cluster.etcd:
                    self.assertTrue(m.stop(), f"{m.name} does not end in order")
            for node in cluster.nodes:
                self.assert_in_no_file(node.data, b"2025-12-16.1" if moment == "running" else None)
            for m in cluster.etcd:  # what nodes agree on stands there: their names do
                self.assert_in_no_file(m.folder / "data", b"node-1")
        for node in cluster.nodes:
            self.assert_not_in_its_log(node)
        for m in cluster.etcd:
            for secret in (self.canary, self.person, self.misnamed):
                self.assert_nowhere(secret, "etcd's log", m.log.read_bytes())


class SearchItself(unittest.TestCase):
    def test_a_word_is_found_in_every_disguise(self):
        secret = word("quokka")
        raw = secret.encode()
        for shift in range(3):
            for tail in range(3):
                hidden = base64.b64encode(b"x" * shift + raw + b"y" * tail).lower()
                self.assertTrue(any(form in hidden for form in disguises(secret)), (shift, tail))
        self.assertTrue(any(form in raw.hex().encode() for form in disguises(secret)))


if __name__ == "__main__":
    process_case.main()
