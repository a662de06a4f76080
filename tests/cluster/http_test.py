"""The HTTP interface of a real node: what openapi.yaml promises, and what a hostile client gets.

    python3 tests/cluster/http_test.py --bin-dir build/release/bin
"""

import argparse
import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import jsonschema
import yaml

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tools", "story"))
from notice_stream import EventStream, NoticeStream  # noqa: E402

BIN_DIR = os.path.join(ROOT, "build", "release", "bin")
NOW = "2025-12-20T12:00:00Z"
JSON, NDJSON, MSGPACK = "application/json", "application/x-ndjson", "application/msgpack"
TOML = "application/toml"


class Node:
    """One candord on a free loopback port, with a data folder of its own and a settable clock."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="candor-http-test-")
        transcriber = os.path.join(self.folder.name, "transcriber")
        with open(transcriber, "w", encoding="utf-8") as script:
            script.write("#!/bin/sh\ncat >/dev/null\n"
                         """echo '{"transcript": "which hiking boots", "confidence": 0.9}'\n""")
        os.chmod(transcriber, 0o755)
        self.log = open(os.path.join(self.folder.name, "candord.log"), "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [os.path.join(BIN_DIR, "candord"), "--http", "127.0.0.1:0",
             "--data", os.path.join(self.folder.name, "data"),
             "--clock", "settable", "--clock-start", NOW, "--transcriber", transcriber],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        for line in self.process.stdout:
            if found := re.search(r"listens\s+http://127\.0\.0\.1:(\d+)", line):
                self.port = int(found.group(1))
                break
        else:
            self.log.seek(0)
            raise RuntimeError("the node did not start:\n" + self.log.read())
        self.wait_until_ready()

    def wait_until_ready(self):
        for _ in range(300):
            with contextlib.suppress(OSError):
                if self.call("GET", "/readyz").status == 200:
                    return
            time.sleep(0.1)
        raise RuntimeError("the node is not ready after 30 s")

    def call(self, method, path, body=None, content_type=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = dict(headers or {})
            if content_type:
                sent["Content-Type"] = content_type
            connection.request(method, path, body=body, headers=sent)
            answer = connection.getresponse()
            answer.text = answer.read()
            answer.kind = (answer.getheader("Content-Type") or "").partition(";")[0]
            return answer
        finally:
            connection.close()

    def raw(self, *pieces, timeout=30):
        """Sends bytes as they are; everything that comes back until the end."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as s:
            with contextlib.suppress(OSError):
                for piece in pieces:
                    s.sendall(piece)
            return read_all(s)

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        status = self.process.wait(timeout=30)
        self.process.stdout.close()
        self.log.close()
        self.folder.cleanup()
        return status


def read_all(s):
    got = b""
    with contextlib.suppress(OSError):
        while piece := s.recv(65536):
            got += piece
    return got


def status_of(raw):
    found = re.match(rb"HTTP/1\.1 (\d{3}) ", raw)
    return int(found.group(1)) if found else 0


def chat(event_id, user="u-42", **more):
    return {"id": event_id, "user": user, "at": "2025-12-20T11:00:00Z", "kind": "ai_interaction",
            "modality": "text", "lang": "en", "text": "which hiking boots are good in winter?", **more}


def like(event_id, user="u-42", **more):
    return {"id": event_id, "user": user, "at": "2025-12-20T11:30:00Z", "kind": "engagement",
            "action": "like", "object": {"id": "page-7", "topics": ["outdoors"]}, **more}


def form(event, sound):
    """The body of a spoken interaction, and its type."""
    head = 'Content-Disposition: form-data; name='
    return (f'--b0und\r\n{head}"event"\r\nContent-Type: application/json\r\n\r\n{json.dumps(event)}\r\n'
            f'--b0und\r\n{head}"audio"\r\nContent-Type: audio/wav\r\n\r\n'.encode() + sound +
            b"\r\n--b0und--\r\n", "multipart/form-data; boundary=b0und")


def ndjson(*events):
    return "".join(json.dumps(e) + "\n" for e in events).encode()


def msgpack(value):
    """As much of msgpack as an event needs."""
    if isinstance(value, dict):
        return bytes([0x80 + len(value)]) + b"".join(msgpack(k) + msgpack(v) for k, v in value.items())
    if isinstance(value, list):
        return bytes([0x90 + len(value)]) + b"".join(map(msgpack, value))
    text = value.encode()
    return b"\xdb" + len(text).to_bytes(4, "big") + text


class Contract:
    """Holds an answer against openapi.yaml, and remembers which operations were called."""

    def __init__(self):
        with open(os.path.join(ROOT, "actors", "gateway", "openapi.yaml"), encoding="utf-8") as f:
            self.text = f.read()
        self.api = yaml.safe_load(self.text)
        self.called = set()

    def operations(self):
        return {(method.upper(), path) for path, item in self.api["paths"].items()
                for method in item if method in ("get", "put", "post", "delete")}

    def path_of(self, path):
        segments = path.partition("?")[0].split("/")
        for pattern in self.api["paths"]:
            wanted = pattern.split("/")
            if len(wanted) == len(segments) and all(
                    w == s or w.startswith("{") for w, s in zip(wanted, segments)):
                return pattern
        raise AssertionError(f"{path} is not in openapi.yaml")

    def resolve(self, node):
        while "$ref" in node:
            found = self.api
            for part in node["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            node = found
        return node

    def validate(self, value, schema):
        jsonschema.Draft202012Validator(
            {**schema, "components": self.api["components"]}).validate(value)

    def check(self, method, path, answer):
        pattern = self.path_of(path)
        responses = self.api["paths"][pattern][method.lower()]["responses"]
        described = responses.get(str(answer.status)) or responses.get("default")
        if described is None or (answer.status < 400 and str(answer.status) not in responses):
            raise AssertionError(f"{method} {pattern}: {answer.status} is not described: {answer.text[:300]}")
        content = self.resolve(described)["content"]
        if answer.kind not in content:
            raise AssertionError(f"{method} {pattern}: {answer.status} as {answer.kind}: {answer.text[:300]}")
        schema = content[answer.kind]["schema"]
        if answer.kind.endswith("json"):
            lines = answer.text.splitlines() if answer.kind == NDJSON else [answer.text]
            for line in lines:
                self.validate(json.loads(line), schema)
        self.called.add((method, pattern))


node = None
contract = None


def setUpModule():
    global node, contract
    contract = Contract()
    node = Node()


def tearDownModule():
    if node.stop() != 0:
        raise AssertionError("the node did not end well")


class HttpTest(unittest.TestCase):
    def ask(self, method, path, body=None, content_type=None, headers=None, status=None, code=None):
        """An answer that keeps to the contract."""
        if isinstance(body, (dict, list)):
            body, content_type = json.dumps(body).encode(), content_type or JSON
        answer = node.call(method, path, body, content_type, headers)
        contract.check(method, path, answer)
        self.assertRegex(answer.getheader("traceparent"), r"^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$")
        if status:
            self.assertEqual(answer.status, status, answer.text)
        if code:
            problem = json.loads(answer.text)
            self.assertEqual(problem["code"], code)
            self.assertEqual(problem["status"], answer.status)
        return answer

    def found(self, *args, **more):
        return json.loads(self.ask(*args, status=200, **more).text)

    def verdicts(self, body, content_type=NDJSON):
        answer = self.ask("POST", "/v1/events", body, content_type, status=200)
        self.assertEqual(answer.kind, NDJSON)
        return [json.loads(line) for line in answer.text.splitlines()]

    def tearDown(self):
        self.assertIsNone(node.process.poll(), "the node has ended")
        self.ask("GET", "/livez", status=200)


class TheContract(HttpTest):
    def test_every_operation_answers_as_described(self):
        for path in ("/", "/livez", "/readyz", "/startupz", "/metrics"):
            self.ask("GET", path, status=200)
        served = self.ask("GET", "/v1/openapi.yaml", status=200)
        self.assertEqual(served.text.decode(), contract.text)

        person = {"user": "u-42", "region": "US", "region_since": "2020-01-01", "lang": "en",
                  "zone": "America/New_York", "email": "u42@example.org", "birth_year": 1990,
                  "assistant_user_since": "2025-11-02", "app": "feed"}
        self.ask("PUT", "/v1/users/u-42", person, status=201)
        self.ask("PUT", "/v1/users/u-42", {"lang": "en"}, status=200)
        self.found("POST", "/v1/admin/notice_reached", {
            "user": "u-42", "policy": "ai-interactions", "revision": 1, "channel": "in_app",
            "at": "2025-10-08T00:00:00Z"})

        self.assertEqual(self.found("POST", "/v1/events", chat("c-1")), {"id": "c-1", "status": "accepted"})
        self.assertEqual(self.found("POST", "/v1/events", chat("c-1"))["status"], "duplicate")
        spoken = {"id": "c-0", "user": "u-42", "at": "2025-12-20T11:00:00Z", "lang": "en"}
        self.assertEqual(self.found("POST", "/v1/interactions/voice", *form(spoken, b"RIFF")),
                         {"id": "c-0", "status": "accepted"})
        self.ask("POST", "/v1/interactions/voice", *form(spoken, b""), status=400, code="bad_value")
        self.ask("POST", "/v1/interactions/voice", spoken, status=415, code="unsupported_media_type")
        bulk = self.verdicts(ndjson(chat("c-2"), like("c-3"), chat("c-1"), chat("c-4", user="u-nobody")))
        self.assertEqual([v["status"] for v in bulk], ["accepted", "accepted", "duplicate", "withheld"])
        self.assertEqual(bulk[3]["reason"], "region_unknown")
        packed = self.verdicts(msgpack(chat("c-5")) + msgpack(like("c-6")), MSGPACK)
        self.assertEqual([v["status"] for v in packed], ["accepted", "accepted"])
        sensitive = like("c-7")
        sensitive["object"]["topics"] = ["health"]
        self.assertEqual(self.found("POST", "/v1/events", sensitive)["reason"], "sensitive")

        shown = self.found("GET", "/v1/users/u-42")
        self.assertEqual(shown["region"], "US")
        self.assertEqual(shown["notices"][0]["channel"], "in_app")
        interests = self.found("GET", "/v1/users/u-42/interests")["interests"]
        learned = {(i["topic"], i["source"]) for i in interests}
        self.assertLessEqual({("outdoors", "ai"), ("outdoors", "engagement")}, learned)
        self.assertTrue(all(i["uses"]["ads"] is True for i in interests), interests)
        export = self.ask("GET", "/v1/users/u-42/export", status=200)
        self.assertIn("attachment", export.getheader("Content-Disposition"))
        exported = json.loads(export.text)
        self.keeps_to("export", exported)
        self.assertEqual(exported["events_remembered"], 6)
        self.found("DELETE", "/v1/users/u-42/interests/outdoors")
        left = self.found("GET", "/v1/users/u-42/interests")["interests"]
        self.assertNotIn("outdoors", {i["topic"] for i in left})
        self.ask("POST", "/v1/users/u-42/opt-out", status=409, code="opt_out_not_offered")

        self.ask("PUT", "/v1/users/u-43", {**person, "user": "u-43"}, status=201)
        told = self.wait_for_notices("u-43")
        self.assertEqual(told["channel"], "in_app")
        self.assertIn("2025", told["body"])
        self.found("POST", f"/v1/users/u-43/notices/{told['notice']}/ack")
        self.assertIsNotNone(self.found("GET", "/v1/users/u-43/notices?peek=true")["notices"][0]["reached"])
        exported = self.found("GET", "/v1/users/u-43/export")
        self.keeps_to("export", exported)
        self.assertIn((told["notice"], "in_app", "sent"),
                      [(n["notice"], n["channel"], n["state"]) for n in exported["notice_ledger"] if n["reached"]])

        self.check_notice_stream(person)
        self.check_ads_and_content(person)

        with open(os.path.join(ROOT, "configs", "policies", "ai-interactions-2025-12-16.1.toml"),
                  encoding="utf-8") as f:
            later = f.read().replace('version = "2025-12-16.1"', 'version = "2025-12-16.2"')
        effect = self.found("POST", "/v1/policies/2025-12-16.2/simulate", later.encode(), content_type=TOML)
        self.assertGreaterEqual(effect["persons"], 3)
        self.ask("POST", "/v1/policies/2025-12-16.3/simulate", later.encode(), TOML, status=400, code="bad_value")
        self.found("PUT", "/v1/policies/2025-12-16.2", later.encode(), content_type=TOML)
        self.found("PUT", "/v1/policies/2025-12-16.2", {"text": later})
        self.ask("PUT", "/v1/policies/2025-12-16.3", {"text": later}, status=400, code="bad_value")
        self.ask("POST", "/v1/policies/2025-12-16.2/apply", {}, status=409, code="policy_late")
        self.assertEqual(self.found("POST", "/v1/policies/2025-12-16.2/apply", {"late": True})["shards_missing"], [])
        self.assertEqual(self.found("GET", "/v1/policies")["in_force"], "2025-12-16.2")
        self.assertFalse(self.found("GET", "/v1/policies/2025-12-16.2/readiness")["paused"])

        receipt = self.found("DELETE", "/v1/users/u-42")
        self.assertEqual(receipt["subject"], shown["pseudonym"])
        self.assertIsNone(receipt["final_at"])
        self.assertGreaterEqual(self.ask("GET", "/v1/users/u-42").status, 404)
        self.assertEqual(self.found("POST", "/v1/events", chat("c-8"))["reason"], "erased")

        audit = self.found("GET", "/v1/audit?limit=100")["records"]
        self.assertIn(receipt["audit"]["hash"], {r["hash"] for r in audit})
        verified = self.found("POST", "/v1/admin/audit_verify", {})
        self.keeps_to("audit_verified", verified)
        self.assertTrue(verified["ok"])
        self.check_cluster()
        self.check_backup()
        self.check_verbs()
        clock = self.found("POST", "/v1/admin/clock_show")
        self.assertTrue(clock["settable"])
        self.assertGreaterEqual(clock["now"], NOW)

        self.assertEqual(contract.operations() - contract.called, set(), "operations that were not called")

    def keeps_to(self, schema, value):
        contract.validate(value, contract.api["components"]["schemas"][schema])

    def check_backup(self):
        """All steps of a backup, and of a restore what a node that holds data answers."""
        backup = {"backup": "contract"}
        cut = self.found("POST", "/v1/admin/backup_cut", backup)
        self.keeps_to("backup_cut", cut)
        found = {True: 0, False: 0}
        for keys in found:
            for shard in cut["shards"]:
                cursor = ""
                while True:
                    part = self.found("POST", "/v1/admin/backup_part",
                                      {**backup, "shard": shard["shard"], "keys": keys, "cursor": cursor})
                    self.keeps_to("backup_part", part)
                    found[keys] += part["count"]
                    cursor = part["next"]
                    if not cursor:
                        break
        self.assertGreater(min(found.values()), 0, "neither rows nor keys may be missing")
        self.keeps_to("backup_stepped", self.found("POST", "/v1/admin/backup_keep", backup))
        self.keeps_to("backup_stepped", self.found("POST", "/v1/admin/backup_end", backup))
        self.ask("POST", "/v1/admin/backup_keep", backup, status=404, code="not_found")
        self.ask("POST", "/v1/admin/backup_part", {**backup, "shard": 9999, "keys": False}, status=404,
                 code="not_found")
        look = {**backup, "step": "look", "secrets": cut["secrets"], "term_floor": 1, "log_time": cut["cut_at"],
                "shards": len(cut["shards"])}
        answers = [node.call("POST", "/v1/admin/restore_step", json.dumps({**look, "shard": s["shard"]}), JSON)
                   for s in cut["shards"]]
        self.assertEqual({a.status for a in answers}, {200, 409}, "some shards are empty, some are not")
        for a in answers:
            self.keeps_to("restore_step" if a.status == 200 else "problem", json.loads(a.text))
        self.ask("POST", "/v1/admin/restore_step", {**backup, "shard": 0, "step": "leap"}, status=400, code="bad_value")

    def check_verbs(self):
        """Each that there is has a line in the document."""
        with open(os.path.join(ROOT, "actors", "admin", "admin_actor.cpp"), encoding="utf-8") as f:
            verbs = re.findall(r'{"([a-z_]+)", &admin_actor::', f.read())
        self.assertGreater(len(verbs), 25)
        said = contract.api["paths"]["/v1/admin/{verb}"]["post"]["description"]
        self.assertEqual([v for v in verbs if f"`{v}`" not in said], [])

    def check_cluster(self):
        """A node that is alone is a cluster of one, to be asked in the same way."""
        state = self.found("GET", "/v1/cluster")
        self.assertEqual(state["clock"], "settable")
        self.assertTrue(state["healthy"], state)
        (only,) = state["nodes"]
        self.assertEqual((only["name"], only["state"]), (state["node"], "active"))
        self.assertEqual({s["primary"] for s in state["shards"]}, {only["name"]})
        self.assertNotIn("cluster", state)
        with EventStream(node.port, "/v1/cluster/events") as stream:
            told = [self.next_event(stream) for _ in range(len(state["shards"]))]
        contract.called.add(("GET", "/v1/cluster/events"))
        led = {e["data"]["shard"]: e["data"] for e in told if e["event"] == "primary_changed"}
        self.assertGreater(len(led), len(state["shards"]) - 5)
        self.assertEqual(led[0]["primary"], only["name"])

        verb = {"node": only["name"]}
        self.keeps_to("drained", changed := self.found("POST", "/v1/admin/drain", verb))
        self.assertTrue(changed["changed"])
        self.assertFalse(self.found("POST", "/v1/admin/drain", verb)["changed"])
        self.found("POST", "/v1/admin/undrain", verb)
        drained = {"event": "node_state_changed", "node": only["name"]}
        with EventStream(node.port, "/v1/cluster/events", last=told[-1]["id"]) as stream:
            seen = []
            while not seen or seen[-1]["event"] != "node_state_changed" or seen[-1]["data"]["state"] != "active":
                seen.append(self.next_event(stream))
        self.assertNotIn(told[-1]["id"], {e["id"] for e in seen})
        states = [e["data"]["state"] for e in seen if {"event": e["event"], "node": e["data"].get("node")} == drained]
        self.assertEqual(states, ["draining", "active"])
        # An id of an earlier life of the node: all that is there.
        with EventStream(node.port, "/v1/cluster/events", last="1-7") as stream:
            self.assertEqual(self.next_event(stream)["id"], told[0]["id"])

        self.keeps_to("moved", self.found("POST", "/v1/admin/move", {"shard": 3, "node": only["name"]}))
        self.ask("POST", "/v1/admin/move", {"shard": 3, "node": "nobody"}, status=404, code="not_found")
        self.ask("POST", "/v1/admin/move", {"shard": 9999, "node": only["name"]}, status=404, code="not_found")
        self.ask("POST", "/v1/admin/drain", {"node": "nobody"}, status=404, code="not_found")
        self.ask("POST", "/v1/admin/drain", {}, status=400, code="missing_field")
        self.ask("POST", "/v1/admin/forget", {"node": "nobody"}, status=404, code="not_found")
        self.ask("POST", "/v1/admin/forget", {"node": only["name"]}, status=409, code="conflict")
        self.ask("POST", "/v1/admin/stop", {"node": "nobody"}, status=503, code="unavailable")
        self.keeps_to("rebalanced", balance := self.found("POST", "/v1/admin/rebalance", {"dry_run": True}))
        self.assertEqual(balance["moves"], [])
        self.ask("GET", "/v1/cluster/events?since=1", status=400, code="unknown_field")

    def next_event(self, stream):
        event = stream.next()
        self.assertIsNotNone(event, "no event came")
        event["data"] = json.loads(event["data"])
        self.keeps_to("cluster_event", event["data"])
        return event

    def check_notice_stream(self, person):
        """Open before there is anything to tell; told once, and not again to who says where it stopped."""
        in_app_only = {k: v for k, v in person.items() if k != "email"}
        self.ask("PUT", "/v1/users/u-44", in_app_only | {"user": "u-44"}, status=201)
        with NoticeStream(node.port, "u-44") as stream:
            told = stream.next()
            contract.called.add(("GET", "/v1/users/{id}/notices/stream"))
            self.assertEqual(told["event"], "notice")
            notice = json.loads(told["data"])
            contract.validate(notice, contract.api["components"]["schemas"]["notice"])
            self.assertEqual(told["id"], notice["notice"])
            self.assertIn("2025", notice["body"])
            self.assertIsNone(notice["reached"])
            for _ in range(100):
                if self.found("GET", "/v1/users/u-44/notices?peek=true")["notices"][0]["reached"]:
                    break
                time.sleep(0.1)
            else:
                self.fail("what was read from the stream did not count as reached")
        with NoticeStream(node.port, "u-44") as stream:
            self.assertEqual(stream.next()["id"], told["id"])
        with NoticeStream(node.port, "u-44", last=told["id"]) as stream:
            self.assertIsNone(stream.next(within_s=2))
        self.ask("GET", "/v1/users/u-never/notices/stream", status=404)
        self.ask("GET", "/v1/users/u-44/notices/stream?since=1", status=400, code="unknown_field")

    def check_ads_and_content(self, person):
        campaign = {"advertiser": "a-3", "bid_micros": 850000, "quality": 180,
                    "budget": {"total_micros": 50000000, "daily_micros": 20000000},
                    "schedule": {"from": "2025-12-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"},
                    "cap": {"impressions": 2, "per": "24h"}, "pacing": "asap", "relevance": {"outdoors": 200},
                    "targeting": "(country in (US, CA) and device = phone)",
                    "creatives": [{"id": "cr-1", "title": "Winter boots", "body": "Warm",
                                   "url": "https://example.org/boots"}]}
        self.ask("PUT", "/v1/campaigns/c-7", campaign | {"campaign": "c-7"}, status=201)
        self.ask("PUT", "/v1/campaigns/c-7", campaign, status=200)
        self.ask("PUT", "/v1/campaigns/c-7", campaign | {"campaign": "c-8"}, status=400, code="bad_value")
        as_json = {"and": [{"attr": "country", "in": ["US", "CA"]}, {"not": {"attr": "device", "ne": "phone"}}]}
        self.ask("PUT", "/v1/campaigns/c-8", campaign | {
            "targeting": as_json, "bid_micros": 20000, "cap": {"impressions": 100, "per": "24h"}}, status=201)
        self.assertEqual(self.found("GET", "/v1/campaigns/c-8")["targeting"],
                         "(country in (CA, US) and not device <> phone)")
        for change, code in (({"targeting": "country in US"}, "targeting_invalid"),
                             ({"targeting": "ctx one of (religion)"}, "sensitive_targeting"),
                             ({"targeting": {"attr": "topics", "one_of": ["health"]}}, "sensitive_targeting"),
                             ({"targeting": {"xor": []}}, "targeting_invalid"),
                             ({"relevance": {"politics": 9}}, "sensitive_targeting"),
                             ({"relevance": {"outdoors": 0}}, "bad_value"),
                             ({"bid_micros": 0}, "bad_value"), ({"creatives": []}, "missing_field"),
                             ({"budget": {"total_micros": 5, "daily_micros": 6}}, "bad_value"),
                             ({"schedule": {"from": NOW, "to": NOW}}, "bad_value"),
                             ({"schedule": {"from": "2025-01-01T00:00:00Z", "to": NOW}}, "bad_value"),
                             ({"targeting": "not " * 1000 + "consent"}, "targeting_invalid"),
                             ({"targeting": "(" * 50000}, "targeting_invalid"),
                             ({"bid_micros": -1}, "bad_value"), ({"targeting": "colour = red"}, "targeting_invalid"),
                             ({"cap": {"impressions": 1, "per": "31d"}}, "bad_value"),
                             ({"colour": "red"}, "unknown_field")):
            with self.subTest(str(change)):
                self.ask("PUT", "/v1/campaigns/c-9", campaign | change, code=code)
                self.ask("GET", "/v1/campaigns/c-9", status=404)  # nothing was applied
        item = {"title": "Winter trails", "url": "https://example.org/trails", "lang": "en", "regions": ["US"],
                "topics": {"outdoors": 220}, "published": "2025-12-10T08:00:00Z"}
        self.ask("PUT", "/v1/content/p-7", item | {"content": "p-7"}, status=201)
        self.ask("PUT", "/v1/content/p-8", item | {"regions": ["ZZ"]}, status=400)
        self.assertEqual(self.found("GET", "/v1/content/p-7")["title"], "Winter trails")
        for _ in range(100):
            if len(self.found("GET", "/v1/campaigns")["items"]) == 2 and self.found("GET", "/v1/content")["items"]:
                break
            time.sleep(0.05)
        first = self.found("GET", "/v1/campaigns?limit=1")
        self.assertEqual([c["campaign"] for c in first["items"]], ["c-7"])
        self.assertEqual([c["campaign"] for c in self.found("GET", f"/v1/campaigns?after={first['next']}")["items"]],
                         ["c-8"])

        self.ask("PUT", "/v1/users/u-45", person | {"user": "u-45"}, status=201)
        context = {"placement": "feed", "device": "phone", "ctx": ["outdoors"]}
        for _ in range(20):  # a node that has not heard of a shard for a second serves nothing from it
            decided = self.found("POST", "/v1/ads/match", {"match": {"user": "u-45", "k": 3, "context": context}})
            if len(decided["ads"]) == 2:
                break
            time.sleep(0.2)
        self.assertEqual([a["campaign"] for a in decided["ads"]], ["c-7", "c-8"])
        self.assertTrue(decided["personal"])
        ad = decided["ads"][0]
        told = {"event": "impression", "impression": ad["impression"]}
        self.ask("POST", "/v1/ads/events", told, status=400, code="missing_field")
        self.assertEqual(self.found("POST", "/v1/ads/events", told | {"user": "u-45"})["status"], "accepted")
        self.assertEqual(self.found("POST", "/v1/ads/events", told | {"user": "u-45"})["status"], "duplicate")
        self.found("POST", "/v1/ads/events", told | {"user": "u-45", "event": "click"})
        budget = self.found("GET", "/v1/campaigns/c-7/budget")
        self.assertEqual((budget["settled_micros"], budget["reserved_micros"]), (ad["price_micros"], 0))
        why = self.found("GET", f"/v1/users/u-45/ads/{ad['impression']}/why")
        self.assertEqual(why["matched"], ["country in (CA, US)", "device = phone"])
        self.assertEqual(self.found("GET", "/v1/users/u-45/export")["ads"][0]["state"], "clicked")
        self.found("POST", "/v1/ads/events", told | {"user": "u-45", "event": "hide"})
        asked = {"why_not": {"user": "u-45", "campaign": "c-7", "context": context}}
        self.assertEqual(self.found("POST", "/v1/ads/why-not", asked)["reason"], "hidden")
        self.found("POST", "/v1/campaigns/c-8/pause")
        self.assertEqual(self.found("GET", "/v1/campaigns/c-8")["state"], "paused")
        self.found("POST", "/v1/campaigns/c-8/resume")
        self.check_feed()
        self.check_openrtb(campaign)
        self.ask("POST", "/v1/ads/events", told | {"impression": "i-0000-nothing"}, status=404)
        self.ask("POST", "/v1/ads/match", {"match": {"k": 11}}, status=400)
        self.found("DELETE", "/v1/campaigns/c-8")
        self.ask("GET", "/v1/campaigns/c-8", status=404)
        self.found("DELETE", "/v1/content/p-7")

    def check_feed(self):
        def items(query="k=3"):
            return [i["content"] for i in self.found("GET", f"/v1/users/u-45/feed?{query}")["items"]]
        self.assertEqual(items(), ["p-7"])
        self.assertEqual(items("exclude=p-9,p-7"), [])
        self.ask("GET", "/v1/users/u-45/feed?exclude=" + ",".join(["p"] * 101), status=400, code="too_many")
        self.ask("GET", "/v1/users/u-45/feed?exclude=,", status=400, code="bad_value")
        self.ask("GET", "/v1/users/u-45/feed?country=ZZ", status=400, code="bad_region")
        # Of a stranger nothing is known but what the request says.
        here = self.found("GET", "/v1/users/u-none/feed?country=US")["items"]
        self.assertEqual([i["content"] for i in here], ["p-7"])
        self.assertEqual(self.found("GET", "/v1/users/u-none/feed?country=KR")["items"], [])
        self.found("POST", "/v1/users/u-45/feed/events", {"event": "seen", "content": "p-7"})
        self.assertEqual(items(), [])
        self.found("POST", "/v1/users/u-45/feed/events", {"event": "hide", "content": "p-7"})
        kept = self.found("GET", "/v1/users/u-45/export")["content"]
        self.assertEqual([(c["content"], c["state"]) for c in kept], [("p-7", "hidden")])
        self.ask("POST", "/v1/users/u-45/feed/events", {"event": "like", "content": "p-7"}, status=400)
        self.ask("POST", "/v1/users/u-none/feed/events", {"event": "seen", "content": "p-7"}, status=404,
                 code="user_not_found")

    def check_openrtb(self, campaign):
        """c-8 bids 20 000 micros, which is a CPM of 20; c-7 is hidden for u-45."""
        self.ask("PUT", "/v1/campaigns/c-10", campaign | {
            "bid_micros": 40000, "cap": {"impressions": 100, "per": "24h"}, "relevance": {"travel": 9},
            "targeting": "segments none of (crew)", "advertiser": "a-4",
            "creatives": [{"id": "de", "title": "Ferien", "url": "https://shop.example.net/de", "lang": "de"},
                          {"id": "en", "title": "Holiday", "url": "https://shop.example.net/en", "lang": "en"}]},
                 status=201)
        request = {"id": "r-1", "at": 2, "imp": [{"id": "1", "banner": {"w": 300, "h": 250}}],
                   "device": {"devicetype": 4, "geo": {"country": "USA"}}, "user": {"id": "u-45"},
                   "site": {"cat": ["653"], "cattax": 9, "ext": {"anything": [1, {"goes": True}]}}}

        def bids(**change):
            answer = self.found("POST", "/v1/openrtb", request | change)
            self.assertEqual(answer["id"], "r-1")
            return answer["seatbid"][0]["bid"] if "seatbid" in answer else answer["nbr"]
        for _ in range(40):
            now = bids(test=1)
            if now != 500 and now[0]["cid"] == "c-10":
                break
            time.sleep(0.1)
        first = bids()[0]
        self.assertEqual((first["cid"], first["impid"], first["adomain"], first["cat"]),
                         ("c-10", "1", ["shop.example.net"], ["653"]))
        # Priced by the next, or the reserve where the rank of the next is less.
        self.assertTrue(10 <= first["price"] <= 40, first)
        price = round(first["price"] * 1000)
        self.assertEqual(self.found("GET", "/v1/campaigns/c-10/budget")["reserved_micros"], price)
        told = {"event": "impression", "impression": first["id"], "user": "u-45"}
        self.assertEqual(self.found("POST", "/v1/ads/events", told)["status"], "accepted")
        self.assertEqual(self.found("GET", "/v1/campaigns/c-10/budget")["settled_micros"], price)

        # Each place has its own floor, and no campaign has two of them.
        places = [{"id": "a", "native": {}, "bidfloor": 30}, {"id": "b", "banner": {}}, {"id": "c", "banner": {}}]
        both = bids(imp=places, test=1)
        self.assertEqual([(b["impid"], b["cid"]) for b in both], [("a", "c-10"), ("b", "c-8")])
        self.assertGreaterEqual(both[0]["price"], 30)
        self.assertEqual(bids(imp=[{"id": "1", "banner": {}, "bidfloor": 40.001}], test=1), 500)

        # What the page blocks.
        self.assertEqual(bids(badv=["example.net"], test=1)[0]["cid"], "c-8")
        self.assertEqual(bids(bcat=["653"], cattax=9, test=1)[0]["cid"], "c-8")
        self.assertEqual(bids(badv=["example.net", "EXAMPLE.org"], test=1), 500)
        self.assertEqual(bids(wlang=["de"], test=1)[0]["crid"], "de")
        self.assertEqual(bids(wlang=["fr"], test=1), 500)
        self.assertEqual(bids(bcat=["IAB20"]), 501)
        self.assertEqual(bids(cur=["EUR"]), 502)
        self.assertEqual(bids(imp=[{"id": "1", "video": {}}]), 503)
        self.assertEqual(bids(wseat=["other"]), 504)
        self.assertEqual(bids(tmax=1), 15)

        # Of whom nothing may be known, nothing is: their segments do not count, and no cap could be.
        vip = {"id": "u-45", "data": [{"segment": [{"id": "crew"}]}]}
        self.assertEqual(bids(user=vip, test=1)[0]["cid"], "c-8")
        for refusing in ({"regs": {"coppa": 1}}, {"regs": {"gdpr": 1}}, {"regs": {"us_privacy": "1YYN"}},
                         {"regs": {"gpp": "DBABBg"}}, {"user": {"id": "nobody"}}, {"user": {}}):
            self.assertEqual(bids(**refusing, test=1), 500, refusing)
        spent = self.found("GET", "/v1/campaigns/c-10/budget")
        self.assertEqual(spent["reserved_micros"], 0, "a test or a refusal reserved something")

        for wrong in ({"id": 1}, {"imp": []}, {"imp": [{"id": "1", "bidfloor": -1}]}, {"regs": {"coppa": 2}}):
            self.assertEqual(self.ask("POST", "/v1/openrtb", request | wrong).status, 400)
        self.ask("POST", "/v1/openrtb", b"{", JSON, status=400, code="malformed")
        self.ask("POST", "/v1/openrtb", b"[" * 5000, JSON, status=400, code="malformed")
        self.found("DELETE", "/v1/campaigns/c-10")

    def wait_for_notices(self, user):
        """The scheduler goes round the shards in its own time."""
        for _ in range(100):
            notices = self.found("GET", f"/v1/users/{user}/notices?peek=true")["notices"]
            if notices:
                return notices[0]
            time.sleep(0.1)
        raise AssertionError("no notice came")

    def test_examples_of_the_schemas_hold(self):
        for name, schema in contract.api["components"]["schemas"].items():
            for example in schema.get("examples", []):
                with self.subTest(name):
                    contract.validate(example, schema)
                    if name in ("ai_interaction", "engagement"):
                        contract.validate(example, contract.api["components"]["schemas"]["event"])

    def test_head_options_and_unknown_addresses(self):
        head = node.call("HEAD", "/v1/openapi.yaml")
        self.assertEqual((head.status, head.text), (200, b""))
        self.assertEqual(int(head.getheader("Content-Length")), len(contract.text.encode()))
        options = node.call("OPTIONS", "/v1/events")
        self.assertEqual((options.status, options.getheader("Allow")), (405, "POST"))
        missing = node.call("GET", "/v1/no/such/thing")
        self.assertEqual((missing.status, missing.kind), (404, "application/problem+json"))
        self.ask("POST", "/v1/events", b"<event/>", "text/xml", status=415, code="unsupported_media_type")
        self.ask("POST", "/v1/admin/no_such_verb", {}, status=404, code="not_found")

    def test_a_trace_goes_through(self):
        trace = "4bf92f3577b34da6a3ce929d0e0e4736"
        answer = self.ask("GET", "/v1/users/u-unknown", status=404, code="user_not_found",
                          headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
        self.assertEqual(json.loads(answer.text)["trace_id"], trace)

    def test_metrics_have_the_names_of_the_golden_file(self):
        self.ask("POST", "/v1/events", like("m-1", user="u-metrics"), status=200)
        self.ask("POST", "/v1/events", chat("m-2", user="u-metrics"), status=200)
        text = self.ask("GET", "/metrics", status=200).text.decode()
        names = {line.split()[2] + " " + line.split()[3] for line in text.splitlines()
                 if line.startswith("# TYPE ")}
        with open(os.path.join(ROOT, "tests", "golden", "metrics.txt"), encoding="utf-8") as f:
            golden = {line.strip() for line in f if line.strip() and not line.startswith("#")}
        self.assertEqual(names - golden, set(), "metrics that are not in tests/golden/metrics.txt")
        self.assertEqual(golden - names, set(), "metrics of tests/golden/metrics.txt that are not there")
        for name in names:
            self.assertRegex(name.split()[0], r"^candor_[a-z_]+$")
        self.assertNotIn("u-metrics", text)


class BadInput(HttpTest):
    """A clear problem for each, or a verdict a line for bulk; and the node keeps serving."""

    def refused(self, event, code, raw=None):
        body = raw if raw is not None else json.dumps(event).encode()
        self.ask("POST", "/v1/events", body, JSON, status=400, code=code)
        # The same in bulk, between two good lines.
        user = f"u-bulk-{code}"
        lines = self.verdicts(ndjson(like(f"{code}-1", user)) + body.replace(b"\n", b" ") + b"\n" +
                              ndjson(like(f"{code}-2", user)))
        self.assertEqual([v["status"] for v in lines][1], "invalid", lines)
        self.assertEqual(lines[1]["reason"], code)
        self.assertEqual(lines[1]["line"], 2)
        self.assertIn(lines[0]["status"], ("accepted", "duplicate"))
        self.assertIn(lines[2]["status"], ("accepted", "duplicate"))
        return lines[1]

    def test_truncated_json(self):
        whole = json.dumps(chat("b-1")).encode()
        for length in (1, 10, len(whole) // 2, len(whole) - 1):
            verdict = self.refused(None, "malformed", whole[:length])
            self.assertIsNone(verdict["id"])

    def test_unknown_fields(self):
        self.assertEqual(self.refused(chat("b-2", mood="happy"), "unknown_field")["id"], "b-2")
        self.assertIn("mood", self.refused(chat("b-2", mood="happy"), "unknown_field")["detail"])

    def test_a_field_twice(self):
        self.refused(None, "bad_value", json.dumps(chat("b-3")).encode().replace(b'"lang"', b'"id": "x", "lang"'))

    def test_invalid_utf8(self):
        self.refused(None, "bad_utf8", json.dumps(chat("b-4")).encode().replace(b"boots", b"b\xff\xfe\xc0ts"))

    def test_dates_in_1600(self):
        self.refused(chat("b-5", at="1600-01-01T00:00:00Z"), "bad_time")

    def test_dates_ahead_and_far_behind(self):
        ahead = self.ask("POST", "/v1/events", chat("b-6", at="2025-12-25T00:00:00Z"), status=400)
        self.assertEqual(json.loads(ahead.text)["code"], "in_the_future")
        user = "u-old"
        self.ask("PUT", f"/v1/users/{user}", {"region": "US", "region_since": "2020-01-01"})
        old = self.ask("POST", "/v1/events", like("b-7", user, at="2025-11-01T00:00:00Z"), status=400)
        self.assertEqual(json.loads(old.text)["code"], "too_old")

    def test_user_ids_of_ten_kilobytes(self):
        verdict = self.refused(chat("b-8", user="u" * 10_000), "too_large")
        self.assertNotIn("uuuu", verdict["detail"])
        self.ask("GET", "/v1/users/" + "u" * 10_000, status=413, code="too_large")
        self.ask("PUT", "/v1/users/" + "u" * 10_000, {}, status=413, code="too_large")

    def test_unknown_region(self):
        self.refused(chat("b-9", region="XX"), "bad_region")
        self.ask("PUT", "/v1/users/u-region", {"region": "XX"}, status=400, code="bad_region")

    def test_deep_nesting(self):
        self.refused(None, "malformed", b"[" * 100_000)
        self.refused(None, "malformed", b'{"object":' * 50 + b"1" + b"}" * 50)

    def test_bodies_of_ten_megabytes(self):
        for kind in (JSON, NDJSON, MSGPACK):
            with self.subTest(kind):
                self.ask("POST", "/v1/events", b"x" * (10 << 20), kind, status=413, code="too_large")
        chunks = [b"100000\r\n" + b"x" * 0x100000 + b"\r\n"] * 10 + [b"0\r\n\r\n"]
        answer = node.raw(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n", *chunks)
        self.assertEqual(status_of(answer), 413, answer[:300])

    def test_too_many_events(self):
        self.ask("POST", "/v1/events", b"{}\n" * 20_001, NDJSON, status=400, code="too_many")

    def test_a_line_over_its_limit(self):
        lines = self.verdicts(ndjson(chat("b-10", text="x" * 140_000), like("b-11", "u-long")))
        self.assertEqual([v["status"] for v in lines], ["invalid", "accepted"])
        self.assertEqual(lines[0]["reason"], "too_large")

    def test_msgpack_bombs(self):
        bombs = {
            "an array of 4 000 million": b"\xdd\xff\xff\xff\xff",
            "a map of 4 000 million": b"\xdf\xff\xff\xff\xff",
            "a string of 4 000 million": b"\xdb\xff\xff\xff\xffx",
            "binary of 4 000 million": b"\xc6\xff\xff\xff\xffx",
            "an extension of 4 000 million": b"\xc9\xff\xff\xff\xff\x01x",
            "a million arrays in each other": b"\x91" * 1_000_000,
            "a million maps in each other": b"\x81\xa1a" * 1_000_000,
            "what msgpack never uses": b"\xc1" * 1000,
        }
        for name, bomb in bombs.items():
            with self.subTest(name):
                started = time.monotonic()
                lines = self.verdicts(msgpack(like("b-12", "u-bomb")) + bomb, MSGPACK)
                self.assertEqual(len(lines), 2)
                self.assertIn(lines[0]["status"], ("accepted", "duplicate"))
                self.assertEqual(lines[1]["status"], "invalid")
                self.assertLess(time.monotonic() - started, 2)
        with open(f"/proc/{node.process.pid}/status", encoding="ascii") as f:
            peak = int(re.search(r"VmHWM:\s+(\d+) kB", f.read()).group(1))
        self.assertLess(peak, 2_000_000, "kB of memory at the peak")

    def test_what_is_not_http(self):
        for text in (b"\x16\x03\x01\x02\x00\x01\x00", b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     b"POST /v1/events HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
                     b"POST /v1/events HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"):
            with self.subTest(text):
                answer = node.raw(text + b"\r\n\r\n", timeout=15)
                self.assertEqual(status_of(answer), 400, answer[:300])
                self.assertIn(b"application/problem+json", answer)
        long_head = node.raw(b"GET / HTTP/1.1\r\n" + b"X-Long: " + b"x" * 40_000 + b"\r\n\r\n")
        self.assertEqual(status_of(long_head), 431)

    def test_other_sites_in_a_browser_of_this_machine(self):
        self.ask("POST", "/v1/admin/stop", headers={"Origin": "https://evil.example"}, status=403, code="forbidden")
        self.ask("GET", "/v1/cluster", headers={"Host": "evil.example"}, status=403, code="forbidden")


class SlowLoris(HttpTest):
    def test_two_hundred_slow_clients(self):
        half_heads = [b"POST /v1/events HTTP/1.1\r\nHo", b"G", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"]
        slow = []
        try:
            for i in range(200):
                s = socket.create_connection(("127.0.0.1", node.port), timeout=30)
                s.sendall(half_heads[i % 3])
                slow.append(s)
            started = time.monotonic()
            for i in range(50):
                self.ask("POST", "/v1/events", like(f"s-{i}", "u-loris"), status=200)
            self.assertLess(time.monotonic() - started, 5, "the others wait for the slow ones")
            for s in slow:
                answer = read_all(s)
                self.assertEqual(status_of(answer), 408, answer[:200])
                self.assertIn(b"request_timeout", answer)
            self.assertLess(time.monotonic() - started, 25)
        finally:
            for s in slow:
                s.close()


def main():
    global BIN_DIR
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin-dir", default=BIN_DIR)
    known, rest = parser.parse_known_args()
    BIN_DIR = os.path.abspath(known.bin_dir)
    unittest.main(argv=[sys.argv[0], *rest])


if __name__ == "__main__":
    main()
