#!/usr/bin/env python3
"""Every acknowledged event is in the profiles exactly once, however often the node is killed.

The load is made so that counting is exact: what each event teaches is known beforehand (engagements state their topic;
for what is said, the topic filter is asked without a node), so each person's count for each topic and source, and the
number of remembered ids, follow from a set of events.
"""

import collections
import concurrent.futures
import datetime
import json
import subprocess
import time

import process_case

EVENTS = 10_000 if process_case.SANITIZED else 100_000
USERS = 400
CONNECTIONS = 4
BATCH = 100


class KilledNode(process_case.ProcessCase):
    def test_every_acknowledged_event_is_there_exactly_once_after_kill_9(self):
        node = self.start_node()
        at = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=1)
        load = [process_case.bin_dir / "candor-load", "--node", node.url, "--events", EVENTS, "--users", USERS,
                "--seed", 7, "--at", at.strftime("%Y-%m-%dT%H:%M:%SZ")]
        self.run_load(load + ["--write", self.folder / "all.ndjson"])
        events = {}
        with open(self.folder / "all.ndjson", encoding="utf-8") as lines:
            for line in lines:
                event = json.loads(line)
                events[event["id"]] = event
        self.assertEqual(len(events), EVENTS)
        self.learn_what_texts_teach(node, events)
        self.run_load(load[:3] + ["--prepare", "--users", USERS, "--events", 0, "--concurrency", 16])

        # The load runs, the node is killed in the middle.
        acked_file = self.folder / "acked.tsv"
        sending = subprocess.Popen(list(map(str, load + ["--acked", acked_file, "--patience", "0s", "--concurrency",
                                                         CONNECTIONS, "--batch", BATCH])),
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.addCleanup(sending.kill)
        self.wait_for_lines(acked_file, EVENTS * 35 // 100, sending)
        node.kill()
        self.assertEqual(sending.wait(60), 1, "the load must see that the node is gone")
        acked = {line.split("\t")[0] for line in acked_file.read_text().splitlines()}
        self.assertGreater(len(acked), EVENTS * 30 // 100)
        self.assertLess(len(acked), EVENTS, "the node was killed too late to tell anything")

        node.start()
        counted = self.count(node)
        least, most = self.expected(events, acked), self.expected(events, events)
        for user in least:
            for what, n in least[user].items():
                self.assertGreaterEqual(counted[user][what], n, f"{user} lost an acknowledged event: {what}")
        for user in counted:
            for what, n in counted[user].items():
                self.assertLessEqual(n, most[user][what], f"{user} has more than was ever sent: {what}")
        in_flight = CONNECTIONS * BATCH
        self.assertLessEqual(self.total(counted), len(acked) + in_flight, "only what was on its way may be there too")

        # All of it again, killed in the middle again; candorctl goes on when the node is back.
        verdicts_file = self.folder / "verdicts.ndjson"
        ingest = [process_case.bin_dir / "candorctl", "ingest", self.folder / "all.ndjson", "--node", node.url,
                  "--verdicts", verdicts_file, "--patience", "2m", "-o", "json"]
        sending = subprocess.Popen(list(map(str, ingest)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.addCleanup(sending.kill)
        self.wait_for_lines(verdicts_file, EVENTS * 60 // 100, sending)
        node.kill()
        time.sleep(0.5)
        self.assertIsNone(sending.poll(), "the node was killed too late to tell anything")
        node.start()
        out, err = sending.communicate(timeout=300)
        self.assertEqual(sending.returncode, 0, err)
        verdicts = self.read_verdicts(verdicts_file)
        for id, event in events.items():
            wanted = {"withheld: sensitive"} if event["teaches"] is None else {"accepted", "duplicate"}
            self.assertIn(verdicts[id], wanted, id)
        forgotten = [id for id in acked if verdicts[id] != "duplicate"]
        self.assertEqual(forgotten, [], "an acknowledged event was taken a second time")
        counted = self.count(node)
        self.assertEqual(counted, self.expected(events, events))

        # All of it once more changes nothing.
        before = self.exports(node)
        done = subprocess.run(list(map(str, ingest)), capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)
        sensitive = sum(e["teaches"] is None for e in events.values())
        self.assertEqual(json.loads(done.stdout)["verdicts"], {"duplicate": EVENTS - sensitive, "withheld": sensitive})
        self.assertEqual(self.exports(node), before)

        self.assertTrue(node.admin("audit_verify")["ok"])
        self.assertEqual(node.stop(), 0)

    # -- the load ----------------------------------------------------------------------------------

    def run_load(self, command):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 0, done.stderr)

    def wait_for_lines(self, file, wanted, process):
        until = time.monotonic() + 300
        while time.monotonic() < until:
            if file.exists():
                with open(file, "rb") as content:
                    if sum(block.count(b"\n") for block in iter(lambda: content.read(1 << 20), b"")) >= wanted:
                        return
            self.assertIsNone(process.poll(), "the load ended before the node could be killed")
            time.sleep(0.01)
        self.fail("the load came to nothing")

    def learn_what_texts_teach(self, node, events):
        """Sets `teaches`: the (topic, source) pairs of an event, or None where it is sensitive."""
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
