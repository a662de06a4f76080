#!/usr/bin/env python3
"""candorctl's group `cluster` against a stand-in that answers as a node of a cluster does: what is shown, what is sent,
and which exit code a state of the cluster has. What real nodes answer is cluster_test.py's.
"""

import copy
import http.server
import json
import os
import subprocess
import threading
import time

import process_case

NODES = ("node-1", "node-2", "node-3")


def healthy():
    return {"cluster": "c-1", "node": "node-1", "version": "0.1.0", "now": "2026-01-01T00:00:00Z", "clock": "system",
            "nodes": [{"name": n, "zone": "default", "url": f"http://{n}:8080", "state": "active", "disk_id": "d",
                       "incarnation": "i", "led": 2, "held": 6, "in_sync": 6, "last_seen_ms": 40} for n in NODES],
            "shards": [{"shard": i, "term": 3, "version": 7, "primary": NODES[i % 3], "in_sync": list(NODES),
                        "wanted": list(NODES), "serving": True, "seq": 100 + i} for i in range(6)],
            "coordinator": {"reachable": True, "endpoints": ["https://127.0.0.1:2379"]},
            "healthy": True, "problems": []}


class StandIn:
    def __init__(self):
        self.state = healthy()
        self.asked = []     # (verb, arguments)
        self.answers = {}   # verb -> answer
        self.resumed_at = []  # Last-Event-ID of each stream
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_):
                pass

            def reply(self, status, body, kind="application/json"):
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                if self.path == "/v1/cluster":
                    self.reply(200, outer.state)
                elif self.path == "/v1/cluster/events":
                    outer.resumed_at.append(self.headers.get("Last-Event-ID"))
                    first = 2 * len(outer.resumed_at) - 1
                    events = b"".join(b": alive\n\nid: %d\nevent: failover\ndata: {\"at\":\"2026-01-01T00:00:00Z\","
                                      b"\"shard\":%d}\n\n" % (i, i) for i in (first, first + 1))
                    self.reply(200, events, "text/event-stream")
                else:
                    self.reply(200, b"ok", "text/plain")

            def do_POST(self):
                verb = self.path.rsplit("/", 1)[1]
                arguments = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append((verb, arguments))
                self.reply(200, outer.answers.get(verb, {}))

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def end(self):
        self.server.shutdown()
        self.server.server_close()


class ClusterCommands(process_case.ProcessCase):
    def setUp(self):
        super().setUp()
        self.node = StandIn()
        self.addCleanup(self.node.end)

    def ctl(self, *arguments, code=0, environment=None):
        without = {k: v for k, v in os.environ.items() if not k.startswith("CANDOR_")}
        done = subprocess.run([str(process_case.bin_dir / "candorctl"), "cluster", *map(str, arguments)],
                              capture_output=True, text=True, timeout=60,
                              env=without | (environment or {"CANDOR_NODE": self.node.url}))
        self.assertEqual(done.returncode, code, done.stdout + done.stderr)
        return done.stdout

    def test_a_healthy_cluster_is_shown_and_exits_0(self):
        shown = self.ctl("status")
        self.assertRegex(shown, r"health +healthy")
        self.assertRegex(shown, r"etcd +reachable: https://127.0.0.1:2379")
        self.assertRegex(shown, r"node-2 +default +active +2 +6 +6 +0.0 s +http://node-2:8080")
        self.assertRegex(shown, r"shards +6, 6 with a primary, 6 in full sync, 615 log entries")
        self.assertEqual(self.ctl("health"), "healthy\n")
        self.assertEqual(len(self.ctl("nodes", "-o", "jsonl").splitlines()), 3)
        self.assertEqual(len(json.loads(self.ctl("shards", "-o", "json"))["shards"]), 6)
        self.assertEqual(len(self.ctl("shards", "--troubled").splitlines()), 1)

    def test_each_fault_exits_10_and_is_named(self):
        def down(state):
            state["nodes"][2].update(state="down", last_seen_ms=61_000)

        def headless(state):
            state["shards"][4]["primary"] = None

        def behind(state):
            state["shards"][0]["in_sync"] = ["node-1", "node-2"]

        def alone(state):
            state["coordinator"]["reachable"] = False
        for harm, said in ((down, "node-3 is down, last seen 61 s ago"), (headless, "shard 4 has no primary"),
                           (behind, "shard 0 has too few copies in sync"), (alone, "the coordinator does not answer")):
            with self.subTest(said):
                self.node.state = healthy()
                harm(self.node.state)
                self.assertIn(said, self.ctl("health", code=10))
                answer = json.loads(self.ctl("health", "-o", "json", code=10))
                self.assertFalse(answer["healthy"])
                self.assertEqual(len(answer["problems"]), 1)
                self.assertIn(f"problem   {said}", self.ctl("status"))

    def test_health_is_waited_for(self):
        self.node.state["shards"][4]["primary"] = None
        self.assertIn("has no primary", self.ctl("health", "--exit-when-healthy", "--within", "1s", code=10))
        threading.Timer(1.5, lambda: setattr(self.node, "state", healthy())).start()
        lines = self.ctl("health", "--exit-when-healthy", "--within", "50s", "-o", "jsonl").splitlines()
        self.assertEqual([json.loads(line)["healthy"] for line in lines], [False, True])

    def test_a_drain_is_waited_for_until_the_node_leads_nothing(self):
        def hand_off():
            time.sleep(0.5)
            for left in (1, 0):
                state = copy.deepcopy(self.node.state)
                state["nodes"][1].update(state="draining", led=left)
                self.node.state = state
                time.sleep(0.3)
        self.assertIn("still leads", subprocess.run(
            [str(process_case.bin_dir / "candorctl"), "cluster", "drain", "node-2", "--wait", "--within", "1s",
             "--node", self.node.url], capture_output=True, text=True).stderr)
        threading.Thread(target=hand_off).start()
        self.assertIn("may be stopped", self.ctl("drain", "node-2", "--wait", "--within", "50s"))
        self.assertEqual(self.node.asked[-1], ("drain", {"node": "node-2"}))
        self.assertEqual(self.node.state["nodes"][1]["led"], 0)
        self.ctl("drain", "node-9", "--wait", code=1)

    def test_orders_carry_their_arguments(self):
        self.ctl("drain", "node-2")
        self.ctl("undrain", "node-2")
        self.assertIn("nothing waits for its disk", self.ctl("forget", "node-2"))
        self.ctl("move", 17, "node-3")
        self.node.answers["rebalance"] = {"moves": [{"shard": 5, "from": "node-1", "to": "node-3"}]}
        self.assertRegex(self.ctl("rebalance", "--dry-run"), r"5 +node-1 +node-3\n1 moves would be made")
        self.node.answers["rebalance"] = {"moves": []}
        self.assertIn("where it should be", self.ctl("rebalance"))
        self.assertEqual(self.node.asked, [
            ("drain", {"node": "node-2"}), ("undrain", {"node": "node-2"}), ("forget", {"node": "node-2"}),
            ("move", {"shard": 17, "node": "node-3"}),
            ("rebalance", {"dry_run": True}), ("rebalance", {"dry_run": False})])
        self.ctl("move", "x", "node-3", code=2)

    def test_events_go_on_where_a_stream_ended(self):
        lines = self.ctl("events", "--count", 5).splitlines()
        self.assertEqual(lines, [f"2026-01-01T00:00:00Z  failover  shard={i}" for i in range(1, 6)])
        self.assertEqual(self.node.resumed_at, [None, "2", "4"])
        one = json.loads(self.ctl("events", "--count", 1, "-o", "jsonl"))
        self.assertEqual((one["event"], one["data"]["shard"]), ("failover", 7))

    def test_of_a_cluster_of_this_machine_another_node_is_asked_where_the_first_is_gone(self):
        file = self.folder / "cluster.json"
        file.write_text(json.dumps({"nodes": [{"name": "node-1", "url": "http://127.0.0.1:9"},
                                              {"name": "node-2", "url": self.node.url}], "ca": None, "key": None}))
        self.assertEqual(self.ctl("health", environment={"CANDOR_CLUSTER_FILE": str(file)}), "healthy\n")
        # A node that is named wins.
        self.ctl("health", "--node", "http://127.0.0.1:9", environment={"CANDOR_CLUSTER_FILE": str(file)}, code=1)


if __name__ == "__main__":
    process_case.main()
