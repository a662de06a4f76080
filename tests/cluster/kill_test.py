#!/usr/bin/env python3
"""Every acknowledged event is in the profiles exactly once, however often the node is killed.

The load is made so that counting is exact: what each event teaches is known beforehand (engagements state their topic;
for what is said, the topic filter is asked without a node), so each person's count for each topic and source, and the
number of remembered ids, follow from a set of events.

--events N takes another number of them; --seed N other moments of the kills (printed with the outcome).
"""

import argparse
import collections
import concurrent.futures
import datetime
import json
import os
import random
import subprocess
import sys
import time

import process_case

USERS = 400
CONNECTIONS = 4
BATCH = 100


def own_options():
    """What this file takes; the rest stays for unittest."""
    made = argparse.ArgumentParser(add_help=False)
    made.add_argument("--events", type=int, default=10_000 if process_case.SANITIZED else 100_000)
    made.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    own, sys.argv[1:] = made.parse_known_args()
    return own


OPTIONS = own_options() if __name__ == "__main__" else None


class KilledNode(process_case.ProcessCase):
    def setUp(self):
        super().setUp()
        self.chance = random.Random(OPTIONS.seed)
        self.kills = collections.Counter()
        print(f"seed {OPTIONS.seed} ...", end=" ", file=sys.stderr, flush=True)

    def test_every_acknowledged_event_is_there_exactly_once_after_kill_9(self):
        began = time.monotonic()
        node = self.start_node()
        count = OPTIONS.events
        events = self.make_events(node, count)
        self.candor_load(node, "--prepare", "--events", 0, "--concurrency", 16)

        # The load runs over several connections, the node is killed in the middle.
        acked_file = self.folder / "acked.tsv"
        sending = self.start_candor_load(node, "--events", count, "--acked", acked_file, "--patience", "0s",
                                         "--concurrency", CONNECTIONS, "--batch", BATCH)
        self.wait_for_lines(acked_file, count * 35 // 100, sending)
        self.kill_while_it_serves(node)
        self.assertEqual(sending.wait(60), 1, "the load must see that the node is gone")
        acked = {line.split("\t")[0] for line in acked_file.read_text().splitlines()}
        self.assertGreater(len(acked), count * 30 // 100)
        self.assertLess(len(acked), count, "the node was killed too late to tell anything")

        self.kill_while_it_starts(node, in_its_store=True)
        node.start()
        self.assert_between(self.count(node), events, acked)
        self.assertTrue(node.admin("audit_verify")["ok"])

        # All of it again, killed in the middle again and again; candorctl goes on when the node is back.
        verdicts_file = self.folder / "verdicts.ndjson"
        ingest = [process_case.bin_dir / "candorctl", "ingest", self.folder / "all.ndjson", "--node", node.url,
                  "--verdicts", verdicts_file, "--patience", "2m", "-o", "json"]
        sending = subprocess.Popen(list(map(str, ingest)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(sending.kill)
        for percent in (50, 65, 80):
            self.wait_for_lines(verdicts_file, count * percent // 100, sending)
            self.kill_while_it_serves(node)
            time.sleep(0.3)
            self.assertIsNone(sending.poll(), "the node was killed too late to tell anything")
            if percent == 65:
                self.kill_while_it_starts(node, in_its_store=False)
            node.start()
        out, err = sending.communicate(timeout=300)
        self.assertEqual(sending.returncode, 0, err)
        verdicts = self.read_verdicts(verdicts_file)
        for id, event in events.items():
            wanted = {"withheld: sensitive"} if event["teaches"] is None else {"accepted", "duplicate"}
            self.assertIn(verdicts[id], wanted, id)
        forgotten = [id for id in acked if verdicts[id] != "duplicate"]
        self.assertEqual(forgotten, [], "an acknowledged event was taken a second time")
        self.assertEqual(self.count(node), self.expected(events, events))

        # All of it once more changes nothing.
        before = self.exports(node)
        done = subprocess.run(list(map(str, ingest)), capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        sensitive = sum(e["teaches"] is None for e in events.values())
        self.assertEqual(json.loads(done.stdout)["verdicts"], {"duplicate": count - sensitive, "withheld": sensitive})
        self.assertEqual(self.exports(node), before)

        self.assertEqual(self.kills, {"serving": 4, "starting": 2})
        self.assertTrue(node.admin("audit_verify")["ok"])
        self.assertEqual(node.stop(), 0)
        print(f"{count} events, {len(acked)} acknowledged before the first kill, {sensitive} sensitive, "
              f"{self.kills['serving']} kills while it served and {self.kills['starting']} while it started, "
              f"{time.monotonic() - began:.1f} s ...", end=" ", file=sys.stderr, flush=True)

    def test_a_node_that_is_killed_in_start_after_start_loses_nothing(self):
        node = self.start_node()
        events = self.make_events(node, 2_000)
        self.candor_load(node, "--prepare", "--events", 0, "--concurrency", 16)
        acked_file = self.folder / "acked.tsv"
        self.candor_load(node, "--events", 2_000, "--acked", acked_file)
        acked = {line.split("\t")[0] for line in acked_file.read_text().splitlines()}
        before = self.exports(node)
        self.assertEqual(self.count(node), self.expected(events, acked))
        node.kill()
        for _ in range(8):
            self.kill_while_it_starts(node, in_its_store=True)
        node.start()
        self.assertEqual(self.exports(node), before)
        self.assertTrue(node.admin("audit_verify")["ok"])
        verdicts = node.events([{k: v for k, v in e.items() if k != "teaches"} for e in events.values()])
        self.assertEqual({v["id"] for v in verdicts if v["status"] == "duplicate"}, acked)
        self.assertEqual({v["status"] for v in verdicts if v["id"] not in acked}, {"withheld"})
        self.assertEqual(self.exports(node), before)

    def test_a_node_that_is_killed_in_its_first_starts_begins_where_it_was_told(self):
        """At any moment of them: with half of its files made, its shards fixed and its log still empty."""
        for round in range(4):
            node = process_case.Node(process_case.bin_dir, self.folder / f"node-{round}",
                                     flags=["--clock", "settable", "--clock-start", "2025-10-01T09:00:00Z"],
                                     start_deadline_s=120 if process_case.SANITIZED else 30)
            self.addCleanup(node.kill)
            for _ in range(6):
                node.launch()
                time.sleep(self.chance.uniform(0.02, 0.35))
                node.kill()
            node.start()
            self.assertRegex(node.admin("status")["now"], "^2025-10-01T09:0")
            self.assertTrue(node.admin("audit_verify")["ok"])
            self.assertEqual(node.stop(), 0)

    # -- killing -----------------------------------------------------------------------------------

    def kill_while_it_serves(self, node):
        self.assertIsNone(node.process.poll(), node.log_text()[-2000:])
        node.kill()
        self.kills["serving"] += 1

    def kill_while_it_starts(self, node, in_its_store):
        """Starts it and kills it before it is ready: at any moment, or once it has begun to work on what it keeps."""
        wait_s = self.chance.uniform(0, 0.03) if in_its_store else self.chance.uniform(0.05, 0.8)
        for _ in range(6):
            held = self.names_held(node)
            node.launch()
            if in_its_store:
                until = time.monotonic() + node.start_deadline_s
                while self.names_held(node) == held and node.process.poll() is None and time.monotonic() < until:
                    time.sleep(0.0005)
                self.assertNotEqual(self.names_held(node), held, "a start leaves no trace by which to know it")
            time.sleep(wait_s)
            self.assertIsNone(node.process.poll(), node.log_text()[-2000:])
            was_starting = not node.is_ready()
            node.kill()
            if was_starting:
                self.kills["starting"] += 1
                return
            wait_s /= 3
        self.fail("it was ready each time before it could be killed")

    @staticmethod
    def names_held(node):
        return sorted(os.listdir(node.data / "db"))

    # -- the load ----------------------------------------------------------------------------------

    def make_events(self, node, count):
        """{id: event}, each with `teaches`: its (topic, source) pairs, or None where it is sensitive."""
        at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)
        self.load = ["--users", USERS, "--seed", 7, "--at", at.strftime("%Y-%m-%dT%H:%M:%SZ")]
        self.candor_load(node, "--events", count, "--write", self.folder / "all.ndjson")
        with open(self.folder / "all.ndjson", encoding="utf-8") as lines:
            events = {event["id"]: event for event in map(json.loads, lines)}
        self.assertEqual(len(events), count)
        self.learn_what_texts_teach(node, events)
        return events

    def load_command(self, node, *more):
        return list(map(str, [process_case.bin_dir / "candor-load", "--node", node.url, *self.load, *more]))

    def candor_load(self, node, *more):
        done = subprocess.run(self.load_command(node, *more), capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)

    def start_candor_load(self, node, *more):
        sending = subprocess.Popen(self.load_command(node, *more), stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        self.addCleanup(sending.kill)
        return sending

    def wait_for_lines(self, file, wanted, process):
        """Until the file that a process writes has so many lines."""
        until = time.monotonic() + 300
        lines = at = 0
        while time.monotonic() < until:
            if file.exists():
                with open(file, "rb") as content:
                    content.seek(at)
                    for block in iter(lambda: content.read(1 << 20), b""):
                        lines += block.count(b"\n")
                        at += len(block)
                if lines >= wanted:
                    return
            self.assertIsNone(process.poll(), "the load ended before the node could be killed")
            time.sleep(0.01)
        self.fail("the load came to nothing")

    def learn_what_texts_teach(self, node, events):
        texts = sorted({e.get("text") or e.get("transcript") for e in events.values() if e["kind"] == "ai_interaction"})
        asked = "".join(json.dumps({"id": t, "text": t, "lang": "en"}) + "\n" for t in texts)
        judged = {}
        for line in node.candorctl("topics", "classify", "--jsonl", stdin=asked).stdout.splitlines():
            answer = json.loads(line)
            withheld = answer["verdict"] == "withheld"
            judged[answer["id"]] = None if withheld else [(topic, "ai") for topic in answer["topics"]]
        for event in events.values():
            if event["kind"] == "engagement":
                event["teaches"] = [(topic, "engagement") for topic in event["object"]["topics"]]
            else:
                event["teaches"] = judged[event.get("text") or event.get("transcript")]
        with_topic = sum(bool(e["teaches"]) for e in events.values())
        self.assertGreater(with_topic, len(events) * 3 // 4, "too few events teach anything to count by")

    # -- counting ----------------------------------------------------------------------------------

    def assert_between(self, counted, events, acked):
        """Nothing acknowledged is lost, and nothing is there that was not sent."""
        least, most = self.expected(events, acked), self.expected(events, events)
        for user in least:
            for what, n in least[user].items():
                self.assertGreaterEqual(counted[user][what], n, f"{user} lost an acknowledged event: {what}")
        for user in counted:
            for what, n in counted[user].items():
                self.assertLessEqual(n, most[user][what], f"{user} has more than was ever sent: {what}")
        in_flight = CONNECTIONS * BATCH
        self.assertLessEqual(self.total(counted), len(acked) + in_flight, "only what was on its way may be there too")

    @staticmethod
    def expected(events, ids):
        """{user: {(topic, source): events, "ids": events}} of the events with these ids."""
        counts = {f"u-{i}": collections.Counter() for i in range(USERS)}
        for id in ids:
            event = events[id]
            if event["teaches"] is not None:
                counts[event["user"]]["ids"] += 1
                counts[event["user"]].update(event["teaches"])
        return counts

    @staticmethod
    def total(counted):
        return sum(of_user["ids"] for of_user in counted.values())

    def exports(self, node):
        """What does not change by itself as time goes on."""
        def one(user):
            answer = node.call("GET", f"/v1/users/{user}/export")
            self.assertEqual(answer.status, 200, answer.body)
            export = answer.json()
            kept = ("topic", "source", "events", "since", "last")
            return user, {"ids": export["events_remembered"],
                          "interests": [{k: i[k] for k in kept} for i in export["interests"]]}
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            return dict(pool.map(one, [f"u-{i}" for i in range(USERS)]))

    def count(self, node):
        counted = {}
        for user, export in self.exports(node).items():
            counted[user] = collections.Counter({(i["topic"], i["source"]): i["events"] for i in export["interests"]})
            if export["ids"]:
                counted[user]["ids"] = export["ids"]
        return counted

    @staticmethod
    def read_verdicts(file):
        found = {}
        with open(file, encoding="utf-8") as lines:
            for line in lines:
                verdict = json.loads(line)
                found[verdict["id"]] = verdict["status"] + (": " + verdict["reason"] if "reason" in verdict else "")
        return found


if __name__ == "__main__":
    process_case.main()
