#!/usr/bin/env python3
"""What a client is promised of a cluster: whatever it asks, it may ask any node, and a node that dies costs it a wait.

Streams outlive the primary they read from, campaigns and policies put through one node serve and bind through all, and
a budget holds over the death of whoever kept it.
"""

import http.client
import json
import sys
import time

import process_case
from process_case import SOURCE
from replication_case import BROKEN, PATIENCE_S, ReplicationCase, now

from notice_stream import EventStream, NoticeStream  # noqa: E402

CAMPAIGN = {"advertiser": "a-1", "bid_micros": 100_000, "quality": 100,
            "budget": {"total_micros": 50_000_000},
            "schedule": {"from": "2020-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"},
            "creatives": [{"id": "cr", "title": "t", "url": "https://example.org"}]}


class ClusterApi(ReplicationCase):
    def setUp(self):
        super().setUp()
        self.cluster = self.start_cluster()

    def others(self, *not_these):
        return [n for n in self.cluster.nodes if n not in not_these]

    def primary_of(self, user):
        shard = self.cluster.shard_of(user)
        return self.cluster.node(self.cluster.view()["shards"][shard]["primary"])

    def user_led_by(self, node, but_not=()):
        """A person whose shard the node leads; campaigns are found in the same way."""
        led = {s["shard"] for s in self.cluster.view()["shards"] if s.get("primary") == node.name}
        return next(u for i in range(10_000) if self.cluster.shard_of(u := f"u-{i}") in led and u not in but_not)

    def until(self, holds, what, within_s=PATIENCE_S):
        end = time.monotonic() + within_s
        while True:
            try:
                if found := holds():
                    return found
            except BROKEN:
                pass
            if time.monotonic() > end:
                self.fail(f"not in {within_s} s: {what}")
            time.sleep(0.05)

    def ask(self, node, method, path, body=None, **more):
        """The answer's JSON; where a shard has no primary at the moment it is asked again, as clients are told."""
        def answered():
            answer = node.call(method, path, body, **more)
            if answer.status in (200, 201):
                return answer.json()
            self.assertIn(answer.status, (503, 504), f"{node.name} {method} {path}: {answer.body}")
            return None
        return self.until(answered, f"{node.name} answers {method} {path}")

    # -- streams -----------------------------------------------------------------------------------

    def test_a_notice_stream_outlives_the_primary_and_is_resumed_through_another_node(self):
        reader, victim, third = self.cluster.nodes
        user = self.user_led_by(victim)
        person = {"region": "US", "region_since": "2020-01-01"}
        self.ask(reader, "PUT", f"/v1/users/{user}", person)
        with NoticeStream(reader.port, user) as stream:
            self.assertIsNone(stream.next(within_s=1), "nobody tells anything to who does not use the assistant")
        with NoticeStream(reader.port, user) as stream:
            victim.kill()
            # Opened while nobody leads the shard perhaps: it waits too.
            with NoticeStream(third.port, user) as other:
                self.ask(third, "PUT", f"/v1/users/{user}", person | {"assistant_user_since": "2025-09-01"})
                first = stream.next(PATIENCE_S)
                self.assertIsNotNone(first, "the stream told nothing after the failover")
                self.assertEqual(other.next(PATIENCE_S)["id"], first["id"])
            with NoticeStream(third.port, user, last=first["id"]) as resumed:
                self.apply_second_revision(third)
                second, as_resumed = stream.next(PATIENCE_S), resumed.next(PATIENCE_S)
                self.assertIsNotNone(second, "the stream tells nothing more")
                self.assertEqual(json.loads(second["data"])["revision"], 2)
                self.assertEqual(as_resumed["id"], second["id"])
                self.assertIsNone(resumed.next(within_s=2), "told twice")
            self.assertIsNone(stream.next(within_s=1), "told twice")
        for node in (reader, third):
            with NoticeStream(node.port, user, last=second["id"]) as stream:
                self.assertIsNone(stream.next(within_s=1), f"{node.name} told again what was told")
            with NoticeStream(node.port, user) as stream:
                self.assertEqual([stream.next()["id"], stream.next()["id"]], [first["id"], second["id"]])

    def apply_second_revision(self, node):
        """Everybody is told anew."""
        text = (SOURCE / "configs" / "policies" / "ai-interactions-2025-12-16.1.toml").read_text()
        text = text.replace('version = "2025-12-16.1"', 'version = "2025-12-16.2"')
        text = text.replace("notice_revision = 1", "notice_revision = 2")
        self.assertIn("notice_revision = 2", text)
        self.ask(node, "PUT", "/v1/policies/2025-12-16.2", text, content_type="application/toml")
        self.ask(node, "POST", "/v1/policies/2025-12-16.2/apply", {"late": True})

    def test_events_of_the_cluster_tell_of_a_death_and_go_on_after_a_restart(self):
        reader, victim, _ = self.cluster.nodes
        led = {s["shard"] for s in self.cluster.view()["shards"] if s["primary"] == victim.name}
        events = self.follow(reader)
        self.assertEqual({e["data"]["node"] for e in events if e["event"] == "node_linked"},
                         {n.name for n in self.others(reader)})
        last = events[-1]["id"]
        victim.kill()

        def all_taken_over(seen):
            return led <= {e["data"]["shard"] for e in seen
                           if e["event"] == "primary_changed" and e["data"]["before"] == victim.name}
        seen = self.follow(reader, last, all_taken_over)
        self.assertIn(victim.name, {e["data"]["node"] for e in seen if e["event"] == "node_lost"})
        self.assertFalse({e["id"] for e in seen} & {e["id"] for e in events}, "told twice")
        last = seen[-1]["id"]
        victim.start()
        seen = self.follow(reader, last, lambda s: self.of_node(s, "node_linked", victim))
        self.assertTrue(self.of_node(seen, "node_registered", victim))
        # Through any node, and by an operator's command.
        self.ask(victim, "POST", "/v1/admin/drain", {"node": "node-3"})
        for node in self.cluster.nodes:
            self.follow(node, None, lambda s: [e for e in self.of_node(s, "node_state_changed", "node-3")
                                               if e["data"]["state"] == "draining"])
        self.ask(reader, "POST", "/v1/admin/undrain", {"node": "node-3"})
        lines = reader.candorctl("cluster", "events", "--count", 3, "-o", "jsonl").stdout.splitlines()
        self.assertEqual([json.loads(line)["id"] for line in lines], [e["id"] for e in events[:3]])
        # A new life of the reader: its old ids are followed by all that it tells now.
        reader.stop()
        reader.start()
        again = self.follow(reader, last)
        self.assertFalse({e["id"] for e in again} & {e["id"] for e in events}, "an id was given twice")
        self.assertEqual(again[0]["id"].rsplit("-", 1)[1], "1")
        for m in self.cluster.etcd:
            m.kill()
        lost = self.follow(reader, again[-1]["id"], lambda s: [e for e in s if e["event"] == "coordinator_lost"])
        for m in self.cluster.etcd:
            self.cluster.launch(m)
        self.follow(reader, lost[-1]["id"], lambda s: [e for e in s if e["event"] == "coordinator_back"])

    @staticmethod
    def of_node(events, name, node):
        node = getattr(node, "name", node)
        return [e for e in events if e["event"] == name and e["data"]["node"] == node]

    def follow(self, node, last=None, enough=None):
        """What the node tells after `last`, until it is enough, or as long as something comes."""
        seen = []
        with EventStream(node.port, "/v1/cluster/events", last=last) as stream:
            while not (enough and enough(seen)):
                event = stream.next(PATIENCE_S if enough else 2)
                if event is None:
                    self.assertIsNone(enough, f"{node.name} told only {seen[-5:]}")
                    break
                event["data"] = json.loads(event["data"])
                seen.append(event)
        return seen

    # -- campaigns, content, policies --------------------------------------------------------------

    def test_a_campaign_put_through_one_node_serves_through_all_and_its_budget_outlives_its_owner(self):
        nodes = self.cluster.nodes
        victim = nodes[1]
        campaign = self.user_led_by(victim)
        bid, total = CAMPAIGN["bid_micros"], 3_000_000
        self.ask(nodes[0], "PUT", f"/v1/campaigns/{campaign}", CAMPAIGN | {"budget": {"total_micros": total}})
        users = [self.user_led_by(n, but_not=(campaign,)) for n in nodes]
        for user in users:
            self.ask(nodes[0], "PUT", f"/v1/users/{user}", {"region": "US", "region_since": "2020-01-01"})
        for node in nodes:
            for user in users:
                ad = self.until(lambda: self.match(node, user), f"{node.name} serves {user}")
                self.assertEqual(ad["campaign"], campaign)
        # Spent through all nodes, the owner killed in the middle, until nothing is left.
        settled, perhaps, dry = 0, 0, 0
        for i in range(400):
            if i == 8:
                victim.kill()
            if i == 20:
                victim.start()
                self.cluster.wait_until_healthy()
            node, user = nodes[i % 3], users[i % len(users)]
            ad = self.match_or_none(node, user)
            if not ad:
                # Dry only where all say so of all again and again, long after somebody died.
                dry = dry + 1 if i > 20 else 0
                if dry >= 30:
                    break
                time.sleep(0.1)
                continue
            dry = 0
            self.assertLessEqual(ad["price_micros"], bid)
            perhaps += ad["price_micros"]
            told = {"event": "impression", "impression": ad["impression"], "user": user}
            try:
                answer = node.call("POST", "/v1/ads/events", told, timeout=30)
                if answer.status == 200:
                    settled += ad["price_micros"]
            except BROKEN:
                pass
        self.assertGreater(settled, total // 4, "too little was spent to show anything")
        self.assertTrue(dry >= 30, "the budget did not run out")
        for node in nodes:
            budget = self.ask(node, "GET", f"/v1/campaigns/{campaign}/budget")
            self.assertLessEqual(budget["settled_micros"] + budget["reserved_micros"], total, budget)
            self.assertGreaterEqual(budget["settled_micros"], settled, "an impression that was acknowledged is lost")
            self.assertLessEqual(budget["settled_micros"], perhaps)
        # Paused through one node, it is served through none.
        more = self.user_led_by(nodes[2], but_not=(campaign, *users))
        self.ask(nodes[2], "PUT", f"/v1/campaigns/{more}", CAMPAIGN)
        for node in nodes:
            self.until(lambda: self.match_or_none(node, users[0]), f"{node.name} serves the other campaign")
        self.ask(nodes[1], "POST", f"/v1/campaigns/{more}/pause")
        for node in nodes:
            self.until(lambda: self.match_or_none(node, users[0]) is None, f"{node.name} serves what is paused")
        print(f"{settled / 1e6:.2f} of {total / 1e6:.2f} settled ...", end=" ", file=sys.stderr, flush=True)

    def match(self, node, user):
        answer = node.call("POST", "/v1/ads/match", {"match": {"user": user, "k": 1}}, timeout=30)
        self.assertIn(answer.status, (200, 503, 504), answer.body)
        return answer.json()["ads"][0] if answer.status == 200 and answer.json()["ads"] else None

    def match_or_none(self, node, user):
        try:
            return self.match(node, user)
        except (OSError, http.client.HTTPException):
            return None

    def test_content_put_through_one_node_is_in_the_feed_of_all(self):
        nodes = self.cluster.nodes
        item = {"title": "Winter trails", "url": "https://example.org/trails", "lang": "en", "regions": ["US"],
                "topics": {"outdoors": 220}, "published": "2025-12-10T08:00:00Z"}
        self.ask(nodes[0], "PUT", "/v1/users/u-1", {"region": "US", "region_since": "2020-01-01", "lang": "en"})
        self.ask(nodes[1], "PUT", "/v1/content/p-7", item)
        for node in nodes:
            self.assertEqual(self.ask(node, "GET", "/v1/content/p-7")["title"], item["title"])
            self.until(lambda: [i["content"] for i in self.ask(node, "GET", "/v1/users/u-1/feed")["items"]] == ["p-7"],
                       f"{node.name} shows it")
        self.ask(nodes[2], "DELETE", "/v1/content/p-7")
        for node in nodes:
            self.until(lambda: not self.ask(node, "GET", "/v1/users/u-1/feed")["items"], f"{node.name} shows it still")

    def test_a_policy_applied_through_one_node_is_shown_and_judged_by_all(self):
        nodes = self.cluster.nodes
        shipped = (SOURCE / "configs" / "policies" / "ai-interactions-2025-12-16.1.toml").read_text()
        later = shipped.replace('version = "2025-12-16.1"', 'version = "2025-12-16.2"')
        later = later.replace('excluded_regions = [', 'excluded_regions = ["US", ')
        self.assertIn('"US", ', later)
        users = [self.user_led_by(n) for n in nodes]
        for user in users:
            self.ask(nodes[0], "PUT", f"/v1/users/{user}", {"region": "US", "region_since": "2020-01-01"})
            self.ask(nodes[0], "POST", "/v1/admin/notice_reached", {
                "user": user, "policy": "ai-interactions", "revision": 1, "channel": "in_app",
                "at": "2025-10-08T00:00:00Z"})
        self.assertEqual(self.say(nodes, users, "before"), {("accepted", None)})
        # Put through one node, applied through another at once.
        self.ask(nodes[0], "PUT", "/v1/policies/2025-12-16.2", later, content_type="application/toml")
        self.ask(nodes[1], "POST", "/v1/policies/2025-12-16.2/apply", {"late": True})
        self.until(lambda: self.say(nodes, users, f"after-{time.monotonic()}") == {("withheld", "region_excluded")},
                   "every shard judges by the new version")
        for node in nodes:
            self.until(lambda: self.ask(node, "GET", "/v1/policies")["in_force"] == "2025-12-16.2",
                       f"{node.name} shows the new version")
            self.ask(node, "GET", "/v1/policies/2025-12-16.2/readiness")
            self.assertGreaterEqual(self.ask(node, "POST", "/v1/policies/2025-12-16.2/simulate",
                                             {"text": later})["persons"], len(users))

        # A new primary judges by it too, and the audit is whole through every node.
        victim = self.leader_of_most(self.cluster)
        victim.kill()
        left = self.others(victim)
        self.until(lambda: self.say(left, users, f"later-{time.monotonic()}") == {("withheld", "region_excluded")},
                   "every shard judges by the new version after a failover")
        for node in left:
            verified = self.until(lambda: (v := self.ask(node, "POST", "/v1/admin/audit_verify", {}))["ok"] and v,
                                  f"{node.name} verifies every shard's chain")
            self.assertEqual(len(verified["shards"]), self.cluster.state["shards"])
            self.assertLessEqual({s["node"] for s in verified["shards"]}, {n.name for n in left})
            applied = self.ask(node, "GET", "/v1/audit?action=policy_applied&limit=1000")["records"]
            shards = {r["shard"] for r in applied if "2025-12-16.2" in r["subject"]}
            self.assertEqual(len(shards), self.cluster.state["shards"], applied)
            self.ask(node, "GET", "/v1/policies/2025-12-16.2/readiness")
        self.assertEqual(left[0].candorctl("audit", "verify", check=False).returncode, 0)

    def say(self, nodes, users, prefix):
        """(status, reason) of what each person says through each node."""
        verdicts = set()
        for node in nodes:
            for user in users:
                event = {"id": f"{prefix}-{node.name}-{user}", "user": user, "at": now(), "kind": "ai_interaction",
                         "modality": "text", "lang": "en", "text": "which hiking boots are good in winter?"}
                verdict = node.events([event])[0]
                verdicts.add((verdict["status"], verdict.get("reason")))
        return verdicts


if __name__ == "__main__":
    process_case.main()
